// Makes a PNG (base64) into one with a palette of at most 256 colours, as an array of bytes: a screenshot of a page of few
// colours is a third of its size then. The browser decodes and compresses; this counts colours and writes the chunks.
async (base64) => {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  await image.decode();
  const { width, height } = image, canvas = new OffscreenCanvas(width, height), pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const pixels = new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer);
  // Colours by how often they are there, told apart by four bits each but for the exact ones of large areas.
  const exact = new Map();
  for (const pixel of pixels) exact.set(pixel, (exact.get(pixel) ?? 0) + 1);
  const common = [...exact].sort((a, b) => b[1] - a[1]).slice(0, 96).map(([colour]) => colour);
  const rounded = new Map(), round = (colour) => (colour & 0xf0f0f0f0) >>> 0;
  for (const [colour, n] of exact) { const key = round(colour), known = rounded.get(key) ?? [0, colour]; rounded.set(key, [known[0] + n, known[1]]) }
  const rest = [...rounded.values()].sort((a, b) => b[0] - a[0]).map(([, colour]) => colour).filter((colour) => !common.includes(colour));
  const palette = [...common, ...rest].slice(0, 256), part = (colour, at) => (colour >>> (8 * at)) & 255;
  const nearest = new Map(palette.map((colour, i) => [colour, i]));
  const place = (colour) => {
    const known = nearest.get(colour);
    if (known !== undefined) return known;
    let best = 0, least = Infinity;
    palette.forEach((other, i) => { let far = 0; for (let at = 0; at < 3; at++) far += (part(colour, at) - part(other, at)) ** 2; if (far < least) [best, least] = [i, far] });
    nearest.set(colour, best);
    return best;
  };
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = place(pixels[y * width + x]);
  const packed = new Uint8Array(await new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"))).arrayBuffer());
  const table = Uint32Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n });
  const big = (n) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
  const chunk = (name, bytes) => {
    const body = [...name].map((c) => c.charCodeAt(0)).concat([...bytes]);
    let crc = 0xffffffff;
    for (const byte of body) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
    return [...big(bytes.length), ...body, ...big((crc ^ 0xffffffff) >>> 0)];
  };
  return [137, 80, 78, 71, 13, 10, 26, 10, ...chunk("IHDR", [...big(width), ...big(height), 8, 3, 0, 0, 0]),
    ...chunk("PLTE", palette.flatMap((colour) => [0, 1, 2].map((at) => part(colour, at)))), ...chunk("IDAT", packed), ...chunk("IEND", [])];
}

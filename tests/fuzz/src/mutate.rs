//! Bytes made of other bytes: what was changed by accident, by malice, or by another version.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Bytes that mean something to one format or another: the ends of ranges, the marks of variable-length numbers, JSON's own.
const BYTES: [u8; 24] = [
    0, 1, 2, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b'0',
    b'-', b'.', b' ', b'\n',
];

/// Numbers as texts have them, one more or less than what fits somewhere among them.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "255",
    "256",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "0.1",
    "01",
];

/// What JSON and our own texts are made of.
const WORDS: [&str; 20] = [
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "\"\"",
    "[[",
    "{\"",
    "\":",
    "\\u0000",
    "\\ud800",
    "0-65535",
    "0-65535,",
    "-0",
    "/",
    "=",
    "ffffffffffffffff",
    "00000000000000000000000000000000",
    "\u{1f980}",
    "\u{fc}",
];

/// Something else than `base`, at most `bytes_max` long: one change, or several. `other` gives parts of itself, and `words`
/// are those that belong to the target.
pub(crate) fn mutated(
    dice: &mut ChaCha8Rng,
    base: &[u8],
    other: &[u8],
    words: &[Vec<u8>],
    bytes_max: usize,
) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..1_u32 << dice.random_range(0..4) {
        change(dice, &mut bytes, other, words, bytes_max);
    }
    bytes.truncate(bytes_max);
    bytes
}

/// Part of something: mostly a short one.
fn part(dice: &mut ChaCha8Rng, length: usize) -> std::ops::Range<usize> {
    if length == 0 {
        return 0..0;
    }
    let from = dice.random_range(0..length);
    let most = if dice.random_ratio(3, 4) { 16.min(length - from) } else { length - from };
    from..from + dice.random_range(1..=most)
}

fn change(dice: &mut ChaCha8Rng, bytes: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>], bytes_max: usize) {
    let at = dice.random_range(0..=bytes.len());
    let within = (at < bytes.len()).then_some(at);
    match (dice.random_range(0..14), within) {
        (0, Some(at)) => bytes[at] ^= 1 << dice.random_range(0..8),
        (1, Some(at)) => bytes[at] = dice.random(),
        (2, Some(at)) => bytes[at] = BYTES[dice.random_range(0..BYTES.len())],
        (3, Some(at)) => bytes[at] = bytes[at].wrapping_add(dice.random_range(0..9)).wrapping_sub(4),
        (4, Some(at)) => {
            let number: u64 = match dice.random_range(0..4) {
                0 => bytes.len() as u64,
                1 => u64::MAX >> dice.random_range(0..64),
                2 => 1 << dice.random_range(0..64),
                _ => dice.random(),
            };
            let length = 1 << dice.random_range(0..4);
            for (to, from) in bytes[at..].iter_mut().zip(&number.to_le_bytes()[..length]) {
                *to = *from;
            }
        }
        (5 | 6, Some(_)) => drop(bytes.drain(part(dice, bytes.len()))),
        (7, _) => {
            let copy = bytes[part(dice, bytes.len())].to_vec();
            put(bytes, at, &copy);
        }
        (8, _) => {
            let (gone, come) = (part(dice, bytes.len()), part(dice, other.len()));
            bytes.splice(gone, other[come].iter().copied());
        }
        (9, _) => {
            let word = match dice.random_range(0..3) {
                0 if !words.is_empty() => &words[dice.random_range(0..words.len())],
                1 => NUMBERS[dice.random_range(0..NUMBERS.len())].as_bytes(),
                _ => WORDS[dice.random_range(0..WORDS.len())].as_bytes(),
            };
            put(bytes, at, word);
        }
        // Another number, another word, in its place.
        (10, Some(at)) => {
            let digit = |byte: &u8| byte.is_ascii_digit();
            if let Some(from) = bytes[at..].iter().position(digit).map(|behind| at + behind) {
                let end = from + bytes[from..].iter().take_while(|byte| digit(byte)).count();
                let number = NUMBERS[dice.random_range(0..NUMBERS.len())];
                bytes.splice(from..end, number.bytes());
            }
        }
        (11, Some(at)) if !words.is_empty() => {
            let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if let Some(from) = bytes[at..].iter().position(letter).map(|behind| at + behind) {
                let end = from + bytes[from..].iter().take_while(|byte| letter(byte)).count();
                bytes.splice(from..end, words[dice.random_range(0..words.len())].iter().copied());
            }
        }
        (12, Some(at)) if dice.random_ratio(1, 2) => bytes.truncate(at),
        // The same again and again.
        (13, _) => {
            let copy = bytes[part(dice, bytes.len())].to_vec();
            let room = bytes_max.saturating_sub(bytes.len()) / copy.len().max(1);
            let times = room.min(1 << dice.random_range(0..9));
            put(bytes, at.min(bytes.len()), &copy.repeat(times));
        }
        _ => put(bytes, at, &[dice.random()]),
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    bytes.splice(at..at, more.iter().copied());
}

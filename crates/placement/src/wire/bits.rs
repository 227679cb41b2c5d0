//! Bits in a row, the low ones of a byte first: numbers of any width, numbers of seven-bit groups, and gaps.
//!
//! A reader never reads behind the end, and says what it was reading when there was nothing left.

use super::FrameFault;

/// How many bits it takes to tell so many values apart.
pub(crate) fn width(values: usize) -> u32 {
    usize::BITS - values.saturating_sub(1).leading_zeros()
}

/// Writes bits.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that fill no byte yet: the low `held` ones, fewer than 8 between two calls.
    rest: u64,
    held: u32,
}

impl BitWriter {
    /// The low `width` bits of `value`: at most 56, the others are 0.
    pub(crate) fn put(&mut self, value: u64, width: u32) {
        debug_assert!(width <= 56 && value >> width == 0, "{value} in {width} bits");
        self.rest |= value << self.held;
        self.held += width;
        while self.held >= 8 {
            self.bytes.push(self.rest as u8);
            self.rest >>= 8;
            self.held -= 8;
        }
    }

    /// As many bytes as there are.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put((*byte).into(), 8);
        }
    }

    /// Seven bits at a time, the low ones first; the eighth says that more follow.
    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    /// A Rice code: `value >> low` ones, a zero, and the `low` low bits of `value`.
    pub(crate) fn put_rice(&mut self, value: u32, low: u32) {
        let mut ones = u64::from(value) >> low;
        while ones > 0 {
            let some = ones.min(32);
            self.put((1 << some) - 1, some as u32);
            ones -= some;
        }
        self.put(0, 1);
        self.put(u64::from(value) & ((1 << low) - 1), low);
    }

    /// All of it; the last byte is filled with zeros.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let fill = (8 - self.held) % 8;
        self.put(0, fill);
        self.bytes
    }
}

/// Reads bits.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// How many bits have been read.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The byte it is in.
    pub(crate) fn byte(&self) -> usize {
        self.at / 8
    }

    fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// Refuses to go on unless `items` things of at least `bits` bits each can follow.
    pub(crate) fn expect(&self, what: &'static str, items: usize, bits: u32) -> Result<(), FrameFault> {
        let fits = items.checked_mul(bits as usize).is_some_and(|bits| bits <= self.left());
        if fits { Ok(()) } else { Err(FrameFault::Cut { what, at: self.byte() }) }
    }

    /// The next `width` bits, at most 56.
    pub(crate) fn take(&mut self, what: &'static str, width: u32) -> Result<u64, FrameFault> {
        self.expect(what, 1, width)?;
        let value = self.peek() & ((1 << width) - 1);
        self.at += width as usize;
        Ok(value)
    }

    /// At least 56 bits that are next; behind the end are zeros.
    fn peek(&self) -> u64 {
        let rest = &self.bytes[self.byte()..];
        let word = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            word
        });
        u64::from_le_bytes(word) >> (self.at % 8)
    }

    pub(crate) fn take_u128(&mut self, what: &'static str) -> Result<u128, FrameFault> {
        (0..4).try_fold(0, |value, nth| Ok(value | u128::from(self.take(what, 32)?) << (32 * nth)))
    }

    pub(crate) fn take_u64(&mut self, what: &'static str) -> Result<u64, FrameFault> {
        Ok(self.take(what, 32)? | self.take(what, 32)? << 32)
    }

    pub(crate) fn take_varint(&mut self, what: &'static str) -> Result<u64, FrameFault> {
        let at = self.byte();
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let group = self.take(what, 8)?;
            let bits = group & 0x7f;
            // The tenth group has one bit, and no number ends in an empty group but 0.
            if shift == 63 && bits > 1 || shift > 0 && group == 0 {
                break;
            }
            value |= bits << shift;
            if group < 0x80 {
                return Ok(value);
            }
        }
        Err(FrameFault::Number { what, at })
    }

    /// A number of which at most `most` is meant.
    pub(crate) fn take_bounded(&mut self, what: &'static str, most: u64) -> Result<u64, FrameFault> {
        let (at, value) = (self.byte(), self.take_varint(what)?);
        if value > most { Err(FrameFault::Range { what, value, most, at }) } else { Ok(value) }
    }

    /// A Rice code of at most `most`.
    pub(crate) fn take_rice(&mut self, what: &'static str, low: u32, most: u32) -> Result<u32, FrameFault> {
        let at = self.byte();
        let mut high = 0_u64;
        loop {
            // Zeros behind the end end the ones, so they are never counted too far; the zero itself is then missing.
            let ones = self.peek().trailing_ones().min(56);
            self.at += ones as usize;
            high += u64::from(ones);
            if ones < 56 {
                break;
            }
        }
        self.take(what, 1)?;
        let low_bits = self.take(what, low)?;
        let value = high << low | low_bits;
        if value > most.into() {
            Err(FrameFault::Range { what, value, most: most.into(), at })
        } else {
            Ok(value as u32)
        }
    }

    /// Raw bytes, `count` of them.
    pub(crate) fn take_bytes(&mut self, what: &'static str, count: usize) -> Result<Vec<u8>, FrameFault> {
        self.expect(what, count, 8)?;
        (0..count).map(|_| Ok(self.take(what, 8)? as u8)).collect()
    }

    /// Nothing follows but zeros that fill the last byte.
    pub(crate) fn end(mut self) -> Result<(), FrameFault> {
        let at = self.byte();
        let left = self.left();
        if left >= 8 || self.take("end", left as u32)? != 0 {
            return Err(FrameFault::Trailing { at });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let numbers = [0, 1, 2, 127, 128, 300, 1 << 20, (1 << 35) + 1, u64::MAX - 1, u64::MAX];
        for head in 0..9 {
            let mut writer = BitWriter::default();
            writer.put((1 << head) - 1, head);
            for value in numbers {
                writer.put_varint(value);
                writer.put(value & ((1 << 56) - 1), 56);
            }
            for (value, low) in [(0, 0), (1, 0), (40, 0), (56, 0), (57, 0), (5, 3), (1 << 20, 14), (u32::MAX, 32)] {
                writer.put_rice(value, low);
            }
            writer.put_bytes(&[7, 255]);
            let bytes = writer.into_bytes();
            let mut reader = BitReader::new(&bytes);
            assert_eq!(reader.take("head", head), Ok((1 << head) - 1));
            for value in numbers {
                assert_eq!(reader.take_varint("number"), Ok(value));
                assert_eq!(reader.take("bits", 56), Ok(value & ((1 << 56) - 1)));
            }
            for (value, low) in [(0, 0), (1, 0), (40, 0), (56, 0), (57, 0), (5, 3), (1 << 20, 14), (u32::MAX, 32)] {
                assert_eq!(reader.take_rice("gap", low, u32::MAX), Ok(value), "{value} with {low}");
            }
            assert_eq!(reader.take_bytes("bytes", 2), Ok(vec![7, 255]));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn what_ends_early_or_says_too_much_is_refused() {
        let cut = |at| FrameFault::Cut { what: "x", at };
        assert_eq!(BitReader::new(&[]).take("x", 1), Err(cut(0)));
        assert_eq!(BitReader::new(&[0xff]).take("x", 9), Err(cut(0)));
        assert_eq!(BitReader::new(&[0xff; 3]).take_rice("x", 0, 99), Err(cut(3)));
        assert_eq!(BitReader::new(&[0x80]).take_varint("x"), Err(cut(1)));
        assert_eq!(BitReader::new(&[0; 4]).take_u64("x"), Err(cut(4)));
        assert_eq!(BitReader::new(&[1, 2]).take_bytes("x", usize::MAX), Err(cut(0)));
        for bad in [&[0x80, 0][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert_eq!(BitReader::new(bad).take_varint("x"), Err(FrameFault::Number { what: "x", at: 0 }));
        }
        let refused = FrameFault::Range { what: "x", value: 3, most: 2, at: 0 };
        assert_eq!(BitReader::new(&[0b0111]).take_rice("x", 0, 2), Err(refused.clone()));
        assert_eq!(BitReader::new(&[3]).take_bounded("x", 2), Err(refused));
        assert_eq!(BitReader::new(&[0]).end(), Err(FrameFault::Trailing { at: 0 }));
        let mut reader = BitReader::new(&[0b100]);
        assert_eq!(reader.take("x", 1), Ok(0));
        assert_eq!(reader.end(), Err(FrameFault::Trailing { at: 0 }));
    }

    #[test]
    fn a_width_tells_as_many_values_apart_as_asked() {
        for (values, bits) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (1_001, 10), (1_024, 10), (1_025, 11)] {
            assert_eq!(width(values), bits, "{values}");
        }
    }
}

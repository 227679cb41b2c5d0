//! What the bytes promise: they stay as they are for ever, they are read back, and no others are believed.

mod golden;
mod hostile;
mod round_trip;
pub(crate) mod samples;

use super::{CHECKSUM_HEADER, FORMAT, checksum, payload_hash};

#[test]
fn the_checksum_and_the_hash_are_the_published_functions() {
    assert_eq!(checksum(b"123456789"), "e3069283", "the check value of CRC-32C");
    assert_eq!(payload_hash(b""), 0x2d06_8005_38d3_94c2, "XXH3-64 of nothing");
    assert_eq!((CHECKSUM_HEADER, FORMAT), ("Aether-Crc32c", 1));
}

//! Format 2, which there is not: what tests have in its place, so that a change of formats is tried before there is one.
//!
//! A text says which build wrote it, and the envelope ends with a second checksum. Neither is readable for format 1.

use bytes::{BufMut, Bytes, BytesMut};

use super::v1::{Encoded, WireFault, checksum, payload_hash};

const HEAD: &str = "{\"format\":1,";
const NEXT: &str = "{\"format\":2,\"build\":\"next\",";

/// A text of format 1 in format 2.
pub(super) fn text(plain: Encoded) -> Encoded {
    let rest = plain.payload.strip_prefix(HEAD.as_bytes()).expect("format 1 begins so");
    let payload = [NEXT.as_bytes(), rest].concat();
    Encoded { checksum: Some(checksum(&payload)), payload: payload.into() }
}

/// A text of format 2 in format 1, with its checksum.
pub(super) fn plain_text(payload: &[u8], header: Option<&str>) -> Result<(Vec<u8>, Option<String>), WireFault> {
    if header != Some(checksum(payload).as_str()) {
        return Err(WireFault::Checksum);
    }
    let rest = payload.strip_prefix(NEXT.as_bytes()).ok_or(WireFault::UnknownEncoding)?;
    let plain = [HEAD.as_bytes(), rest].concat();
    let checksum = checksum(&plain);
    Ok((plain, Some(checksum)))
}

/// An envelope of format 1 in format 2.
pub(super) fn envelope(plain: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(plain.len() + 8);
    bytes.put_slice(plain);
    bytes[2] = 2;
    bytes.put_u64_le(payload_hash(plain));
    bytes.freeze()
}

/// An envelope of format 2 in format 1.
pub(super) fn plain_envelope(payload: &[u8]) -> Result<Vec<u8>, WireFault> {
    let (plain, hash) = payload.split_last_chunk::<8>().ok_or(WireFault::UnknownEncoding)?;
    let mut plain = plain.to_vec();
    *plain.get_mut(2).ok_or(WireFault::UnknownEncoding)? = 1;
    if u64::from_le_bytes(*hash) == payload_hash(&plain) { Ok(plain) } else { Err(WireFault::Checksum) }
}

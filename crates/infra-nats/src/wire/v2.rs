//! Format 2, which there is not: what tests have in its place, so that a change of formats is tried before there is one.
//!
//! A text says which build wrote it, and the envelope ends with a second checksum. Neither is readable for format 1.

use bytes::{BufMut, Bytes, BytesMut};

use super::v1::{Encoded, WireFault, checksum, payload_hash};

const HEAD: &str = "{\"format\":1,";
const NEXT: &str = "{\"format\":2,\"written_by\":\"next\",";

/// A record of format 1 in format 2.
pub(super) fn written(plain: Encoded) -> Encoded {
    match plain.checksum {
        Some(_) => text(&plain.payload),
        None => Encoded { payload: envelope(&plain.payload), checksum: None },
    }
}

/// A record of format 2 in format 1, with its checksum if it is a text.
pub(super) fn plain(payload: &[u8], header: Option<&str>) -> Result<(Vec<u8>, Option<String>), WireFault> {
    if payload.starts_with(b"{") { plain_text(payload, header) } else { Ok((plain_envelope(payload)?, None)) }
}

fn text(plain: &[u8]) -> Encoded {
    let rest = plain.strip_prefix(HEAD.as_bytes()).expect("format 1 begins so");
    let payload = [NEXT.as_bytes(), rest].concat();
    Encoded { checksum: Some(checksum(&payload)), payload: payload.into() }
}

fn plain_text(payload: &[u8], header: Option<&str>) -> Result<(Vec<u8>, Option<String>), WireFault> {
    match header {
        None => return Err(WireFault::NoChecksum),
        Some(header) if header != checksum(payload) => return Err(WireFault::Checksum),
        Some(_) => {}
    }
    let rest = payload.strip_prefix(NEXT.as_bytes()).ok_or(WireFault::UnknownEncoding)?;
    let plain = [HEAD.as_bytes(), rest].concat();
    let checksum = checksum(&plain);
    Ok((plain, Some(checksum)))
}

fn envelope(plain: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(plain.len() + 8);
    bytes.put_slice(plain);
    bytes[2] = 2;
    bytes.put_u64_le(payload_hash(plain));
    bytes.freeze()
}

fn plain_envelope(payload: &[u8]) -> Result<Vec<u8>, WireFault> {
    let (plain, hash) = payload.split_last_chunk::<8>().ok_or(WireFault::UnknownEncoding)?;
    let mut plain = plain.to_vec();
    *plain.get_mut(2).ok_or(WireFault::UnknownEncoding)? = 1;
    if u64::from_le_bytes(*hash) == payload_hash(&plain) { Ok(plain) } else { Err(WireFault::Checksum) }
}

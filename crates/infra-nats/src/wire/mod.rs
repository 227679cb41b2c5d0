//! The bytes of everything Aether stores and sends: one folder a format, frozen once released.
//!
//! A change is a new folder beside the old one, never an edit: golden bytes in the tests keep it so. What differs between
//! formats is chosen here, by the number; what has one form only is taken from [`v1`] directly. The first byte tells JSON
//! from the binary envelope, and both say their format in the same place for ever: `{"format":N,"kind":…` and the third byte.

pub(crate) mod formats;
#[cfg(test)]
mod tests;
pub(crate) mod v1;
#[cfg(any(test, feature = "next-format"))]
mod v2;

use aether_domain::NodeRef;
use aether_domain::ports::Frame;
use aether_domain::records::{CommitRecord, Entry, Format};
use bytes::Bytes;

use v1::{Encoded, WireFault};

/// The format that `payload` says it is in. Whether it is, its decoder finds out.
fn format_of(payload: &[u8]) -> Format {
    const JSON: &[u8] = b"{\"format\":";
    let number = match payload.strip_prefix(JSON) {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok())
        }
        None => payload.get(2).copied().filter(|_| payload.starts_with(b"AE")),
    };
    number.map_or(Format::FIRST, Format)
}

/// The format of what is to be read here, if it is one that is read; else the fault that says who wrote it.
fn read_as(payload: &[u8], reads: Format) -> Result<Format, WireFault> {
    let found = format_of(payload);
    if found <= reads { Ok(found) } else { Err(v1::newer(payload, found, reads)) }
}

fn unknown(found: Format) -> WireFault {
    WireFault::UnknownFormat { found: found.0.into(), reads: formats::NEWEST.0, build: String::new() }
}

/// The entry as it is stored, in its own format.
pub(crate) fn encode_entry(entry: &Entry) -> Result<Encoded, WireFault> {
    match entry.format.0 {
        1 => v1::encode_entry(entry),
        #[cfg(any(test, feature = "next-format"))]
        2 => v1::encode_entry(entry).map(v2::text),
        _ => Err(unknown(entry.format)),
    }
}

/// The entry that stored bytes hold.
pub(crate) fn decode_entry(payload: &[u8], header: Option<&str>, reads: Format) -> Result<Entry, WireFault> {
    match read_as(payload, reads)?.0 {
        #[cfg(any(test, feature = "next-format"))]
        2 => {
            let (payload, header) = v2::plain_text(payload, header)?;
            let entry = v1::decode_entry(&payload, header.as_deref())?;
            Ok(Entry { format: Format(2), ..entry })
        }
        _ => v1::decode_entry(payload, header),
    }
}

/// The commit as it is stored.
pub(crate) fn encode_commit(record: &CommitRecord, format: Format) -> Result<Encoded, WireFault> {
    let encoded = v1::encode_commit(record)?;
    match format.0 {
        1 => Ok(encoded),
        #[cfg(any(test, feature = "next-format"))]
        2 if encoded.checksum.is_some() => Ok(v2::text(encoded)),
        #[cfg(any(test, feature = "next-format"))]
        2 => Ok(Encoded { payload: v2::envelope(&encoded.payload), checksum: None }),
        _ => Err(unknown(format)),
    }
}

/// The commit that stored bytes hold.
pub(crate) fn decode_commit(payload: &[u8], header: Option<&str>, reads: Format) -> Result<CommitRecord, WireFault> {
    match read_as(payload, reads)?.0 {
        #[cfg(any(test, feature = "next-format"))]
        2 if payload.starts_with(b"{") => {
            let (payload, header) = v2::plain_text(payload, header)?;
            v1::decode_commit(&payload, header.as_deref())
        }
        #[cfg(any(test, feature = "next-format"))]
        2 => v1::decode_commit(&v2::plain_envelope(payload)?, None),
        _ => v1::decode_commit(payload, header),
    }
}

/// One message of frames from `from`, at most `bytes_max` long.
pub(crate) fn encode_frames(
    from: &NodeRef,
    frames: &[Frame],
    bytes_max: usize,
    format: Format,
) -> Result<Bytes, WireFault> {
    let payload = v1::encode_frames(from, frames, bytes_max)?;
    match format.0 {
        1 => Ok(payload),
        #[cfg(any(test, feature = "next-format"))]
        2 => Ok(v2::envelope(&payload)),
        _ => Err(unknown(format)),
    }
}

/// Who sent a message, its frames, and why others of the same message cannot be understood.
pub(crate) fn decode_frames(payload: &[u8], reads: Format) -> Result<v1::Received, WireFault> {
    match read_as(payload, reads)?.0 {
        #[cfg(any(test, feature = "next-format"))]
        2 => v1::decode_frames(&v2::plain_envelope(payload)?),
        _ => v1::decode_frames(payload),
    }
}

//! The bytes of everything Aether stores and sends: one folder a format, frozen once released.
//!
//! A change is a new folder beside the old one, never an edit: golden bytes in the tests keep it so. What differs between
//! formats is chosen here, by the number, for every kind of record and message; the adapters know nothing else. The first
//! byte tells JSON from the binary envelope, and both say their format in the same place for ever: `{"format":N,"kind":…`
//! and the third byte.

pub(crate) mod formats;
#[cfg(test)]
mod tests;
pub(crate) mod v1;
#[cfg(any(test, feature = "next-format"))]
mod v2;

use std::borrow::Cow;

use aether_domain::ports::{Claim, Frame};
use aether_domain::records::{
    ActorSnapshot, Checkpoint, CommitRecord, ControlKey, ControlRecord, DeadLetter, Entry, Format,
};
use aether_domain::{FeedName, NodeRef, WallTime};
use bytes::Bytes;

use v1::{Encoded, Kept, WireFault};

/// The format that `payload` says it is in. Whether it is, its decoder finds out.
pub(crate) fn format_of(payload: &[u8]) -> Format {
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

/// A record in the words of format 1, as it is stored or sent in `format`.
fn written(plain: Encoded, format: Format) -> Result<Encoded, WireFault> {
    match format.0 {
        1 => Ok(plain),
        #[cfg(any(test, feature = "next-format"))]
        2 => Ok(v2::written(plain)),
        _ => Err(WireFault::UnknownFormat { found: format.0.into(), reads: formats::NEWEST.0, build: String::new() }),
    }
}

/// What was stored or sent, in the words of format 1.
struct Plain<'a> {
    /// The format it was in.
    format: Format,
    payload: Cow<'a, [u8]>,
    header: Option<Cow<'a, str>>,
}

impl<'a> Plain<'a> {
    /// Of bytes in a format that is read here; of a newer one, the fault that says who wrote it.
    fn of(payload: &'a [u8], header: Option<&'a str>, reads: Format) -> Result<Self, WireFault> {
        let format = format_of(payload);
        if format > reads {
            return Err(v1::newer(payload, format, reads));
        }
        match format.0 {
            #[cfg(any(test, feature = "next-format"))]
            2 => {
                let (payload, header) = v2::plain(payload, header)?;
                Ok(Self { format, payload: payload.into(), header: header.map(Cow::from) })
            }
            // Any other number than 1 is refused by what reads format 1.
            _ => Ok(Self { format, payload: payload.into(), header: header.map(Cow::from) }),
        }
    }

    fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }
}

/// The entry as it is stored, in its own format.
pub(crate) fn encode_entry(entry: &Entry) -> Result<Encoded, WireFault> {
    written(v1::encode_entry(entry)?, entry.format)
}

/// The entry that stored bytes hold.
pub(crate) fn decode_entry(payload: &[u8], header: Option<&str>, reads: Format) -> Result<Entry, WireFault> {
    let plain = Plain::of(payload, header, reads)?;
    Ok(Entry { format: plain.format, ..v1::decode_entry(&plain.payload, plain.header())? })
}

/// The commit as it is stored.
pub(crate) fn encode_commit(record: &CommitRecord, format: Format) -> Result<Encoded, WireFault> {
    written(v1::encode_commit(record)?, format)
}

/// The commit that stored bytes hold.
pub(crate) fn decode_commit(payload: &[u8], header: Option<&str>, reads: Format) -> Result<CommitRecord, WireFault> {
    let plain = Plain::of(payload, header, reads)?;
    v1::decode_commit(&plain.payload, plain.header())
}

/// The control record as it is stored.
pub(crate) fn encode_control(record: &ControlRecord, format: Format) -> Result<Encoded, WireFault> {
    written(v1::encode_control(record)?, format)
}

/// The record stored under `key`: it must be of the key's kind and speak of the key's node.
pub(crate) fn decode_control(
    key: &ControlKey,
    payload: &[u8],
    header: Option<&str>,
    reads: Format,
) -> Result<ControlRecord, WireFault> {
    let plain = Plain::of(payload, header, reads)?;
    v1::decode_control(key, &plain.payload, plain.header())
}

/// The checkpoint as it is stored.
pub(crate) fn encode_checkpoint(checkpoint: &Checkpoint, format: Format) -> Result<Encoded, WireFault> {
    written(v1::encode_checkpoint(checkpoint)?, format)
}

/// The checkpoint stored for that feed.
pub(crate) fn decode_checkpoint(
    feed: &FeedName,
    payload: &[u8],
    header: Option<&str>,
    reads: Format,
) -> Result<Checkpoint, WireFault> {
    let plain = Plain::of(payload, header, reads)?;
    v1::decode_checkpoint(feed, &plain.payload, plain.header())
}

/// The letter as it is stored.
pub(crate) fn encode_letter(letter: &DeadLetter, format: Format) -> Result<Encoded, WireFault> {
    written(v1::encode_letter(letter)?, format)
}

/// The letter that stored bytes hold.
pub(crate) fn decode_letter(payload: &[u8], header: Option<&str>, reads: Format) -> Result<DeadLetter, WireFault> {
    let plain = Plain::of(payload, header, reads)?;
    v1::decode_letter(&plain.payload, plain.header())
}

/// The wake as it is stored.
pub(crate) fn encode_wake(at: Option<WallTime>, format: Format) -> Result<Encoded, WireFault> {
    written(v1::encode_wake(at)?, format)
}

/// When the actor has to be looked at, if at all.
pub(crate) fn decode_wake(payload: &[u8], reads: Format) -> Result<Option<WallTime>, WireFault> {
    v1::decode_wake(&Plain::of(payload, None, reads)?.payload)
}

/// The claim as it is sent.
pub(crate) fn encode_claim(claim: &Claim, format: Format) -> Result<Bytes, WireFault> {
    Ok(written(v1::encode_claim(claim)?, format)?.payload)
}

/// The claim that those bytes hold.
pub(crate) fn decode_claim(payload: &[u8], reads: Format) -> Result<Claim, WireFault> {
    v1::decode_claim(&Plain::of(payload, None, reads)?.payload)
}

/// The messages of a snapshot that are stored before the last one: none if it is small.
pub(crate) fn snapshot_chunks(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let chunked = if body.len() <= v1::CHUNK_BYTES_MAX { &[] } else { body };
    chunked.chunks(v1::CHUNK_BYTES_MAX)
}

/// The bytes of a snapshot, to be stored in chunks and as what is kept.
pub(crate) fn snapshot_body(snapshot: &ActorSnapshot) -> Result<Bytes, WireFault> {
    v1::snapshot_body(snapshot)
}

/// A part of a large snapshot's body, as it is stored.
pub(crate) fn encode_chunk(part: &[u8], format: Format) -> Result<Encoded, WireFault> {
    written(v1::chunk(part)?, format)
}

/// What lies under the actor's own subject: the body, or if it is large where its chunks are stored.
pub(crate) fn encode_kept(body: &[u8], chunks: Vec<u64>, format: Format) -> Result<Encoded, WireFault> {
    let plain = if chunks.is_empty() { v1::whole(body)? } else { v1::manifest(body, chunks)? };
    written(plain, format)
}

/// What a message under an actor's own subject says.
pub(crate) fn decode_kept(payload: &[u8], reads: Format) -> Result<Kept, WireFault> {
    v1::decode_kept(&Plain::of(payload, None, reads)?.payload)
}

/// Puts the part that a chunk's message holds behind the others.
pub(crate) fn append_chunk(body: &mut Vec<u8>, payload: &[u8], reads: Format) -> Result<(), WireFault> {
    body.extend_from_slice(v1::decode_chunk(&Plain::of(payload, None, reads)?.payload)?);
    Ok(())
}

/// One message of frames from `from`, at most `bytes_max` long.
pub(crate) fn encode_frames(
    from: &NodeRef,
    frames: &[Frame],
    bytes_max: usize,
    format: Format,
) -> Result<Bytes, WireFault> {
    let payload = v1::encode_frames(from, frames, bytes_max)?;
    Ok(written(Encoded { payload, checksum: None }, format)?.payload)
}

/// Who sent a message, its frames, and why others of the same message cannot be understood.
pub(crate) fn decode_frames(payload: &[u8], reads: Format) -> Result<v1::Received, WireFault> {
    v1::decode_frames(&Plain::of(payload, None, reads)?.payload)
}

//! Format 1. JSON for what people read (control records, checkpoints, topology entries, commits of JSON actors), the binary envelope
//! for the rest (frames between nodes, claims, snapshots, commits of binary actors).
//!
//! A JSON record carries its checksum in the message header [`CHECKSUM_HEADER`], an envelope inside itself. Every decoder
//! here is total: any bytes give a value or a [`WireFault`], within memory bounded by the bytes offered.

mod actor_snapshot;
mod checkpoint;
mod claim;
mod commit;
mod control;
mod envelope;
mod frame;
mod handover;
mod json;
mod letter;
mod orders;
mod policy;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod topology;
mod wake;

pub(crate) use actor_snapshot::{
    CHUNK_BYTES_MAX, Kept, ManifestB1, chunk, decode_chunk, decode_kept, manifest, snapshot_body, whole,
};
pub(crate) use checkpoint::{decode_checkpoint, encode_checkpoint};
pub(crate) use claim::{decode_claim, encode_claim};
pub(crate) use commit::{decode_commit, encode_commit};
pub(crate) use control::{decode_control, encode_control};
pub(crate) use frame::{Received, decode_frames, encode_frames};
pub(crate) use json::newer;
pub(crate) use letter::{decode_letter, encode_letter};
pub(crate) use topology::{decode_entry, encode_entry};
pub(crate) use wake::{decode_wake, encode_wake};

use aether_domain::InvalidId;
use aether_domain::image::ImageFault;
use bytes::Bytes;

/// The message header with the CRC-32C of a JSON payload, as eight lower-case hex digits.
pub(crate) const CHECKSUM_HEADER: &str = "Aether-Crc32c";

/// The number of this format.
pub(crate) const FORMAT: u8 = 1;

/// The most bytes of a control record. The largest is a release report with every other shard of 65,536 in it.
pub(crate) const CONTROL_BYTES_MAX: usize = 512 * 1024;

/// The most bytes of a topology snapshot: as many as of an entry. It may be left out: it is only a cache.
pub(crate) const SNAPSHOT_BYTES_MAX: usize = ENTRY_BYTES_MAX;

/// The most bytes of a topology entry: a message of 1 MiB, less its headers and some air.
pub(crate) const ENTRY_BYTES_MAX: usize = 768 * 1024;

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireFault {
    #[error("{bytes} bytes exceed the bound of {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("neither JSON nor an envelope")]
    UnknownEncoding,
    #[error("format {found} is not known here, which reads up to {reads}{}", written_by(.build))]
    UnknownFormat { found: u32, reads: u8, build: String },
    #[error("kind {found:?} where {expected:?} belongs")]
    Kind { expected: &'static str, found: String },
    #[error("no checksum header {CHECKSUM_HEADER}")]
    NoChecksum,
    #[error("checksum differs")]
    Checksum,
    #[error("not the JSON of a record: {0}")]
    Json(#[from] serde_json::Error),
    #[error("not an envelope: {0}")]
    Envelope(&'static str),
    #[error("envelope's body: {0}")]
    Body(String),
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error("not a topology: {0}")]
    Snapshot(&'static str),
    #[error("not a topology: {0}")]
    Image(#[from] ImageFault),
    #[error("more than {0} shards in one record")]
    TooManyShards(usize),
    #[error("{count} {what} in one record")]
    TooMany { what: &'static str, count: usize },
}

fn written_by(build: &str) -> String {
    if build.is_empty() { String::new() } else { format!(": it was written by build {build}") }
}

/// A payload with what must go into its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// What is stored.
    pub(crate) payload: Bytes,
    /// The value of [`CHECKSUM_HEADER`]; an envelope needs none.
    pub(crate) checksum: Option<String>,
}

/// The hash by which the next record names this one: XXH3-64 of the stored payload.
pub(crate) fn payload_hash(payload: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(payload)
}

/// The value of [`CHECKSUM_HEADER`] for `payload`.
pub(crate) fn checksum(payload: &[u8]) -> String {
    format!("{:08x}", crc32c::crc32c(payload))
}

fn bounded(bytes: usize, bytes_max: usize) -> Result<(), WireFault> {
    if bytes > bytes_max { Err(WireFault::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

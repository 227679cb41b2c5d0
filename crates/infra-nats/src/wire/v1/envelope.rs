//! The binary envelope: `AE`, format u8, kind u8, flags u8, body_len u32, crc32c u32 (little endian), then the body.
//!
//! The checksum covers everything but itself, so a flipped kind or length is seen too. The body is the bincode 2
//! `standard()` format, written and read by wincode: this is the only file that knows either.

use wincode::config::Configuration;
use wincode::int_encoding::{LittleEndian, VarInt};
use wincode::len::BincodeLen;
use wincode::{SchemaRead, SchemaWrite};

use super::{Encoded, FORMAT, WireFault, bounded};

const MAGIC: [u8; 2] = *b"AE";
const CRC_AT: usize = 9;
const HEAD_BYTES: usize = 13;

/// The most bytes an envelope may have: the largest message NATS takes by default.
pub(super) const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;

/// The most bytes a body may have: one that does not fit into an envelope travels in chunks.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most memory one length prefix may reserve for each byte of the body. No sequence needs more: what is in one takes at
/// least a byte there, and where it is larger in memory than this, more of them ([`paid`]).
const RESERVED_A_BYTE: usize = 64;

/// Holds what is in a sequence against what one of it takes in a body at least, while this is compiled.
pub(super) const fn paid<T>(bytes_min: usize) {
    assert!(size_of::<T>() <= RESERVED_A_BYTE * bytes_min, "a sequence of them needs more than its bytes may reserve");
}

/// The most memory one length prefix may reserve. Every sequence that fits into a body needs no more.
const RESERVED_MAX: usize = 16 * 1024 * 1024;

/// Bodies are read by their size: a length prefix in one of up to so many bytes reserves what that many may.
const TINY: usize = 256;
const SMALL: usize = 4 * TINY;
const MIDDLE: usize = 4 * SMALL;
const LARGE: usize = 4 * MIDDLE;

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Frames from one node to another.
    Frames = 1,
    /// One commit of one actor.
    Commit = 2,
    /// The fold of the topology log.
    TopologySnapshot = 3,
    /// What a node believes.
    Claim = 4,
    /// A snapshot of an actor.
    ActorSnapshot = 16,
    /// Which chunks are together a snapshot of an actor.
    SnapshotManifest = 17,
    /// A part of a snapshot's body.
    SnapshotChunk = 18,
    /// When an actor has to be looked at.
    Wake = 24,
}

/// The bincode 2 `standard()` format: little endian, variable-length integers, bounded.
type Wire<const RESERVED: usize = RESERVED_MAX> =
    Configuration<true, RESERVED, BincodeLen, LittleEndian, VarInt, u32, BODY_BYTES_MAX>;

const WIRE: Wire = wire();

const fn wire<const RESERVED: usize>() -> Wire<RESERVED> {
    Configuration::default()
        .with_varint_encoding()
        .with_preallocation_size_limit::<RESERVED>()
        .with_deserialization_size_limit::<BODY_BYTES_MAX>()
}

/// What a body of up to so many bytes may reserve.
const fn reserved(body_bytes: usize) -> usize {
    RESERVED_A_BYTE * body_bytes
}

/// What can be an envelope's body. It may borrow from what it is read from.
pub(super) trait Body<'de>:
    Sized
    + SchemaWrite<Wire, Src = Self>
    + SchemaRead<'de, Wire, Dst = Self>
    + SchemaRead<'de, Wire<{ reserved(TINY) }>, Dst = Self>
    + SchemaRead<'de, Wire<{ reserved(SMALL) }>, Dst = Self>
    + SchemaRead<'de, Wire<{ reserved(MIDDLE) }>, Dst = Self>
    + SchemaRead<'de, Wire<{ reserved(LARGE) }>, Dst = Self>
{
    /// The kind that says so.
    const KIND: Kind;
}

/// The envelope around `body`.
pub(super) fn encode<'a, T: Body<'a>>(body: &T, bytes_max: usize) -> Result<Encoded, WireFault> {
    let mut bytes = begin(size(body)?, bytes_max)?;
    write_behind(&mut bytes, body)?;
    Ok(seal(T::KIND, bytes))
}

/// The body that `bytes` envelop.
pub(super) fn decode<'de, T: Body<'de>>(bytes: &'de [u8]) -> Result<T, WireFault> {
    read(unwrap(bytes, T::KIND)?)
}

/// The bytes of a body.
pub(super) fn write<'a, T: Body<'a>>(body: &T) -> Result<Vec<u8>, WireFault> {
    wincode::config::serialize(body, WIRE).map_err(unwritten)
}

/// Adds the bytes of a body to others.
pub(super) fn write_behind<'a, T: Body<'a>>(bytes: &mut Vec<u8>, body: &T) -> Result<(), WireFault> {
    wincode::config::serialize_into(bytes, body, WIRE).map_err(unwritten)
}

fn unwritten(error: wincode::WriteError) -> WireFault {
    WireFault::Body(error.to_string())
}

/// The body of all these bytes.
pub(super) fn read<'de, T: Body<'de>>(bytes: &'de [u8]) -> Result<T, WireFault> {
    bounded(bytes.len(), BODY_BYTES_MAX)?;
    // What a length may reserve is part of the format's type.
    let read = if bytes.len() <= TINY {
        wincode::config::deserialize_exact(bytes, wire::<{ reserved(TINY) }>())
    } else if bytes.len() <= SMALL {
        wincode::config::deserialize_exact(bytes, wire::<{ reserved(SMALL) }>())
    } else if bytes.len() <= MIDDLE {
        wincode::config::deserialize_exact(bytes, wire::<{ reserved(MIDDLE) }>())
    } else if bytes.len() <= LARGE {
        wincode::config::deserialize_exact(bytes, wire::<{ reserved(LARGE) }>())
    } else {
        wincode::config::deserialize_exact(bytes, WIRE)
    };
    read.map_err(|error| WireFault::Body(error.to_string()))
}

/// The envelope around the bytes of a body of that kind.
pub(super) fn wrap(kind: Kind, body: &[u8], bytes_max: usize) -> Result<Encoded, WireFault> {
    let mut bytes = begin(body.len(), bytes_max)?;
    bytes.extend_from_slice(body);
    Ok(seal(kind, bytes))
}

/// How many bytes a body has.
pub(super) fn size<'a, T: Body<'a>>(body: &T) -> Result<usize, WireFault> {
    let size = wincode::config::serialized_size(body, WIRE).map_err(unwritten)?;
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

/// Room for an envelope around a body of so many bytes, with its head left open.
pub(super) fn begin(body_bytes: usize, bytes_max: usize) -> Result<Vec<u8>, WireFault> {
    let bytes = HEAD_BYTES.saturating_add(body_bytes);
    bounded(bytes, bytes_max.min(ENVELOPE_BYTES_MAX))?;
    let mut room = Vec::with_capacity(bytes);
    room.extend_from_slice(&[0; HEAD_BYTES]);
    Ok(room)
}

/// The envelope, now that its body stands behind the open head.
pub(super) fn seal(kind: Kind, mut bytes: Vec<u8>) -> Encoded {
    let (head, body) = bytes.split_at_mut(HEAD_BYTES);
    head[..2].copy_from_slice(&MAGIC);
    head[2..5].copy_from_slice(&[FORMAT, kind as u8, 0]);
    head[5..CRC_AT].copy_from_slice(&(body.len() as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&head[..CRC_AT]), body);
    head[CRC_AT..].copy_from_slice(&checksum.to_le_bytes());
    Encoded { payload: bytes.into(), checksum: None }
}

/// The bytes of the body that `bytes` envelop, if it is of that kind.
pub(super) fn unwrap(bytes: &[u8], kind: Kind) -> Result<&[u8], WireFault> {
    let (found, body) = open(bytes)?;
    if found == kind as u8 { Ok(body) } else { Err(WireFault::Envelope("it holds another kind")) }
}

/// What `bytes` envelop: the number of its kind, and the bytes of its body.
pub(super) fn open(bytes: &[u8]) -> Result<(u8, &[u8]), WireFault> {
    bounded(bytes.len(), ENVELOPE_BYTES_MAX)?;
    let Some((head, body)) = bytes.split_at_checked(HEAD_BYTES).filter(|(head, _)| head.starts_with(&MAGIC)) else {
        return Err(WireFault::UnknownEncoding);
    };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if head[2] != FORMAT {
        return Err(WireFault::UnknownFormat { found: head[2].into(), reads: FORMAT, build: String::new() });
    }
    if usize::try_from(word(5)) != Ok(body.len()) {
        return Err(WireFault::Envelope("its length is not what it says"));
    }
    if word(CRC_AT) != crc32c::crc32c_append(crc32c::crc32c(&head[..CRC_AT]), body) {
        return Err(WireFault::Checksum);
    }
    if head[4] != 0 {
        return Err(WireFault::Envelope("it has flags that are not known here"));
    }
    Ok((head[3], body))
}

//! Snapshots of actors in the binary envelope: whole if they are small, else a manifest and the chunks that it names.

use aether_domain::ports::SNAPSHOT_BYTES_MAX;
use aether_domain::records::{ActorSnapshot, OriginMarks, Position, StoredReply, Timer};
use aether_domain::{Epoch, Incarnation, MessageId, Sequence, Version};
use bytes::Bytes;
use wincode::{SchemaRead, SchemaWrite};

use super::commit::TimerB1;
use super::envelope::{self, Body, ENVELOPE_BYTES_MAX, Kind};
use super::frame::CodecB1;
use super::{Encoded, WireFault, bounded, payload_hash};

/// The most bytes of a body in one message.
pub(crate) const CHUNK_BYTES_MAX: usize = 256 * 1024;

#[derive(SchemaWrite, SchemaRead)]
pub(super) struct ActorSnapshotB1<'a> {
    sequence: u64,
    hash: u64,
    version: u64,
    shard_epoch: u64,
    schema: u32,
    codec: CodecB1,
    state: &'a [u8],
    origins: Vec<OriginB1<'a>>,
    messages: Vec<MessageB1<'a>>,
    timers: Vec<TimerB1>,
}

impl<'a> Body<'a> for ActorSnapshotB1<'a> {
    const KIND: Kind = Kind::ActorSnapshot;
}

#[derive(SchemaWrite, SchemaRead)]
struct OriginB1<'a> {
    life: u64,
    floor: u64,
    applied: Vec<AppliedB1<'a>>,
}

#[derive(SchemaWrite, SchemaRead)]
struct AppliedB1<'a> {
    sequence: u64,
    codec: CodecB1,
    reply: &'a [u8],
}

#[derive(SchemaWrite, SchemaRead)]
struct MessageB1<'a> {
    id: u128,
    codec: CodecB1,
    reply: &'a [u8],
}

const _: () = envelope::paid::<OriginB1<'_>>(3);
const _: () = envelope::paid::<AppliedB1<'_>>(3);
const _: () = envelope::paid::<MessageB1<'_>>(3);

/// Which messages are together the body of a snapshot.
#[derive(SchemaWrite, SchemaRead)]
pub(crate) struct ManifestB1 {
    /// How many bytes they are.
    bytes: u64,
    /// XXH3-64 of them.
    hash: u64,
    /// Where each chunk is stored in the stream, in order.
    pub(crate) chunks: Vec<u64>,
}

impl Body<'_> for ManifestB1 {
    const KIND: Kind = Kind::SnapshotManifest;
}

/// What lies under an actor's own subject.
pub(crate) enum Kept {
    /// The snapshot.
    Whole(ActorSnapshot),
    /// Where to find it.
    Chunks(ManifestB1),
}

fn reply(codec: CodecB1, bytes: &[u8]) -> StoredReply {
    StoredReply { codec: codec.into(), bytes: Bytes::copy_from_slice(bytes) }
}

impl<'a> From<&'a ActorSnapshot> for ActorSnapshotB1<'a> {
    fn from(snapshot: &'a ActorSnapshot) -> Self {
        let applied = |(sequence, reply): &'a (u64, StoredReply)| AppliedB1 {
            sequence: *sequence,
            codec: reply.codec.into(),
            reply: &reply.bytes,
        };
        let origin = |marks: &'a OriginMarks| OriginB1 {
            life: marks.origin.0,
            floor: marks.floor,
            applied: marks.applied.iter().map(applied).collect(),
        };
        let message = |(MessageId(id), reply): &'a (MessageId, StoredReply)| MessageB1 {
            id: *id,
            codec: reply.codec.into(),
            reply: &reply.bytes,
        };
        Self {
            sequence: snapshot.at.sequence.0,
            hash: snapshot.at.hash,
            version: snapshot.version.0,
            shard_epoch: snapshot.shard_epoch.0,
            schema: snapshot.schema,
            codec: snapshot.codec.into(),
            state: &snapshot.state,
            origins: snapshot.origins.iter().map(origin).collect(),
            messages: snapshot.messages.iter().map(message).collect(),
            timers: snapshot.timers.iter().map(TimerB1::from).collect(),
        }
    }
}

impl From<ActorSnapshotB1<'_>> for ActorSnapshot {
    fn from(dto: ActorSnapshotB1<'_>) -> Self {
        let origin = |marks: OriginB1<'_>| OriginMarks {
            origin: Incarnation(marks.life),
            floor: marks.floor,
            applied: marks.applied.into_iter().map(|mark| (mark.sequence, reply(mark.codec, mark.reply))).collect(),
        };
        let message = |message: MessageB1<'_>| (MessageId(message.id), reply(message.codec, message.reply));
        Self {
            at: Position { sequence: Sequence(dto.sequence), hash: dto.hash },
            version: Version(dto.version),
            shard_epoch: Epoch(dto.shard_epoch),
            schema: dto.schema,
            codec: dto.codec.into(),
            state: Bytes::copy_from_slice(dto.state),
            origins: dto.origins.into_iter().map(origin).collect(),
            messages: dto.messages.into_iter().map(message).collect(),
            timers: dto.timers.into_iter().map(Timer::from).collect(),
        }
    }
}

/// The bytes of a snapshot, for [`whole`] or, above [`CHUNK_BYTES_MAX`], for [`chunk`] by [`chunk`].
pub(crate) fn snapshot_body(snapshot: &ActorSnapshot) -> Result<Bytes, WireFault> {
    let body = envelope::write(&ActorSnapshotB1::from(snapshot))?;
    bounded(body.len(), SNAPSHOT_BYTES_MAX)?;
    Ok(body.into())
}

/// A small snapshot, as it is stored.
pub(crate) fn whole(body: &[u8]) -> Result<Encoded, WireFault> {
    envelope::wrap(Kind::ActorSnapshot, body, ENVELOPE_BYTES_MAX)
}

/// A part of a large one, as it is stored.
pub(crate) fn chunk(part: &[u8]) -> Result<Encoded, WireFault> {
    envelope::wrap(Kind::SnapshotChunk, part, ENVELOPE_BYTES_MAX)
}

/// What stands for the large snapshot whose chunks are stored there.
pub(crate) fn manifest(body: &[u8], chunks: Vec<u64>) -> Result<Encoded, WireFault> {
    let manifest = ManifestB1 { bytes: body.len() as u64, hash: payload_hash(body), chunks };
    envelope::encode(&manifest, ENVELOPE_BYTES_MAX)
}

/// What a message under an actor's own subject says.
pub(crate) fn decode_kept(bytes: &[u8]) -> Result<Kept, WireFault> {
    let (kind, body) = envelope::open(bytes)?;
    if kind == Kind::ActorSnapshot as u8 {
        return Ok(Kept::Whole(envelope::read::<ActorSnapshotB1<'_>>(body)?.into()));
    }
    let manifest: ManifestB1 = envelope::decode(bytes)?;
    let body_bytes = usize::try_from(manifest.bytes).unwrap_or(usize::MAX);
    bounded(body_bytes, SNAPSHOT_BYTES_MAX)?;
    if manifest.chunks.len() != body_bytes.div_ceil(CHUNK_BYTES_MAX) {
        return Err(WireFault::Envelope("its chunks are not as many as its bytes need"));
    }
    Ok(Kept::Chunks(manifest))
}

/// The part of a body in a chunk's message.
pub(crate) fn decode_chunk(bytes: &[u8]) -> Result<&[u8], WireFault> {
    let part = envelope::unwrap(bytes, Kind::SnapshotChunk)?;
    bounded(part.len(), CHUNK_BYTES_MAX)?;
    Ok(part)
}

impl ManifestB1 {
    /// The snapshot that these chunks, put together, are.
    pub(crate) fn decode(&self, body: &[u8]) -> Result<ActorSnapshot, WireFault> {
        if (body.len() as u64, payload_hash(body)) != (self.bytes, self.hash) {
            return Err(WireFault::Checksum);
        }
        Ok(envelope::read::<ActorSnapshotB1<'_>>(body)?.into())
    }
}

//! Commit records: JSON for actors that speak JSON, so that `nats stream view` shows a person what happened; the binary
//! envelope for the others.
//!
//! In JSON a payload stands as itself. One that is not JSON, or has blanks around it, stands as base64url beside the
//! name with `_b64`, so that every payload comes back byte for byte.

use std::borrow::Cow;

use aether_domain::records::{CommandMark, CommitRecord, EventRecord, PayloadCodec};
use aether_domain::{CommandId, Epoch, Incarnation, MessageId, Nonce, Sequence, Version, WallTime};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use wincode::{SchemaRead, SchemaWrite};

use super::envelope::{self, Body, Kind};
use super::json::{self, Counter, JsonRecord, Mark, WideMark};
use super::{Encoded, FORMAT, WireFault};
use crate::base64url;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitV1<'a> {
    format: u8,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    shard_epoch: Counter,
    owner: Mark,
    nonce: Mark,
    base: Counter,
    prev_sequence: Counter,
    prev_hash: Mark,
    at_ms: u64,
    #[serde(borrow)]
    commands: Vec<CommandV1<'a>>,
    #[serde(borrow)]
    events: Vec<EventV1<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandV1<'a> {
    origin: Mark,
    sequence: Counter,
    floor: Counter,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<WideMark>,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    reply: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_b64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventV1<'a> {
    schema: u32,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_b64: Option<String>,
}

/// A field that is there, even if its value is `null`.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl JsonRecord for CommitV1<'_> {
    const KIND: &'static str = "commit";
    fn head(&self) -> (u8, &str) {
        (self.format, &self.kind)
    }
}

/// A payload as JSON if it is exactly that, else as base64url.
fn embed(payload: &[u8]) -> (Option<&RawValue>, Option<String>) {
    let raw = serde_json::from_slice::<&RawValue>(payload).ok();
    match raw.filter(|raw| raw.get().len() == payload.len()) {
        Some(raw) => (Some(raw), None),
        None => (None, Some(base64url::encode(payload))),
    }
}

fn extract(raw: Option<&RawValue>, encoded: Option<&str>) -> Result<Bytes, WireFault> {
    let bytes = match (raw, encoded) {
        (Some(raw), None) => Some(Bytes::copy_from_slice(raw.get().as_bytes())),
        (None, Some(text)) => base64url::decode(text).map(Bytes::from),
        _ => None,
    };
    bytes.ok_or_else(|| WireFault::Body("a payload is neither JSON nor base64url, or both".to_owned()))
}

impl<'a> From<&'a CommitRecord> for CommitV1<'a> {
    fn from(record: &'a CommitRecord) -> Self {
        let command = |mark: &'a CommandMark| {
            let (reply, reply_b64) = embed(&mark.reply);
            CommandV1 {
                origin: Mark(mark.id.origin.0),
                sequence: Counter(mark.id.sequence),
                floor: Counter(mark.floor),
                message: mark.message.map(|MessageId(id)| WideMark(id)),
                reply,
                reply_b64,
            }
        };
        let event = |event: &'a EventRecord| {
            let (payload, payload_b64) = embed(&event.payload);
            EventV1 { schema: event.schema, payload, payload_b64 }
        };
        Self {
            format: FORMAT,
            kind: Self::KIND.into(),
            shard_epoch: Counter(record.shard_epoch.0),
            owner: Mark(record.owner.0),
            nonce: Mark(record.nonce.0),
            base: Counter(record.base.0),
            prev_sequence: Counter(record.prev_sequence.0),
            prev_hash: Mark(record.prev_hash),
            at_ms: record.at.unix_millis,
            commands: record.commands.iter().map(command).collect(),
            events: record.events.iter().map(event).collect(),
        }
    }
}

impl TryFrom<CommitV1<'_>> for CommitRecord {
    type Error = WireFault;
    fn try_from(dto: CommitV1<'_>) -> Result<Self, WireFault> {
        let command = |mark: &CommandV1<'_>| {
            Ok(CommandMark {
                id: CommandId { origin: Incarnation(mark.origin.0), sequence: mark.sequence.0 },
                floor: mark.floor.0,
                message: mark.message.map(|WideMark(id)| MessageId(id)),
                reply: extract(mark.reply, mark.reply_b64.as_deref())?,
            })
        };
        let event = |event: &EventV1<'_>| {
            let payload = extract(event.payload, event.payload_b64.as_deref())?;
            Ok(EventRecord { schema: event.schema, payload })
        };
        Ok(Self {
            shard_epoch: Epoch(dto.shard_epoch.0),
            owner: Incarnation(dto.owner.0),
            nonce: Nonce(dto.nonce.0),
            base: Version(dto.base.0),
            prev_sequence: Sequence(dto.prev_sequence.0),
            prev_hash: dto.prev_hash.0,
            at: WallTime { unix_millis: dto.at_ms },
            codec: PayloadCodec::Json,
            commands: dto.commands.iter().map(command).collect::<Result<_, WireFault>>()?,
            events: dto.events.iter().map(event).collect::<Result<_, WireFault>>()?,
        })
    }
}

#[derive(SchemaWrite, SchemaRead)]
struct CommitB1 {
    shard_epoch: u64,
    owner: u64,
    nonce: u64,
    base: u64,
    prev_sequence: u64,
    prev_hash: u64,
    at_ms: u64,
    commands: Vec<CommandB1>,
    events: Vec<EventB1>,
}

#[derive(SchemaWrite, SchemaRead)]
struct CommandB1 {
    origin: u64,
    sequence: u64,
    floor: u64,
    message: Option<u128>,
    reply: Bytes,
}

#[derive(SchemaWrite, SchemaRead)]
struct EventB1 {
    schema: u32,
    payload: Bytes,
}

impl Body for CommitB1 {
    const KIND: Kind = Kind::Commit;
}

impl From<&CommitRecord> for CommitB1 {
    fn from(record: &CommitRecord) -> Self {
        let command = |mark: &CommandMark| CommandB1 {
            origin: mark.id.origin.0,
            sequence: mark.id.sequence,
            floor: mark.floor,
            message: mark.message.map(|MessageId(id)| id),
            reply: mark.reply.clone(),
        };
        let event = |event: &EventRecord| EventB1 { schema: event.schema, payload: event.payload.clone() };
        Self {
            shard_epoch: record.shard_epoch.0,
            owner: record.owner.0,
            nonce: record.nonce.0,
            base: record.base.0,
            prev_sequence: record.prev_sequence.0,
            prev_hash: record.prev_hash,
            at_ms: record.at.unix_millis,
            commands: record.commands.iter().map(command).collect(),
            events: record.events.iter().map(event).collect(),
        }
    }
}

impl From<CommitB1> for CommitRecord {
    fn from(dto: CommitB1) -> Self {
        let command = |mark: CommandB1| CommandMark {
            id: CommandId { origin: Incarnation(mark.origin), sequence: mark.sequence },
            floor: mark.floor,
            message: mark.message.map(MessageId),
            reply: mark.reply,
        };
        let event = |event: EventB1| EventRecord { schema: event.schema, payload: event.payload };
        Self {
            shard_epoch: Epoch(dto.shard_epoch),
            owner: Incarnation(dto.owner),
            nonce: Nonce(dto.nonce),
            base: Version(dto.base),
            prev_sequence: Sequence(dto.prev_sequence),
            prev_hash: dto.prev_hash,
            at: WallTime { unix_millis: dto.at_ms },
            codec: PayloadCodec::Binary,
            commands: dto.commands.into_iter().map(command).collect(),
            events: dto.events.into_iter().map(event).collect(),
        }
    }
}

/// The record as it is stored, in the encoding its codec asks for.
pub(crate) fn encode_commit(record: &CommitRecord) -> Result<Encoded, WireFault> {
    match record.codec {
        PayloadCodec::Json => json::encode(&CommitV1::from(record), CommitRecord::BYTES_MAX),
        PayloadCodec::Binary => envelope::encode(&CommitB1::from(record), CommitRecord::BYTES_MAX),
    }
}

/// The record that stored bytes hold; their first byte tells the encoding.
pub(crate) fn decode_commit(payload: &[u8], header: Option<&str>) -> Result<CommitRecord, WireFault> {
    if payload.first() == Some(&b'A') {
        envelope::decode::<CommitB1>(payload).map(CommitRecord::from)
    } else {
        json::decode::<CommitV1<'_>>(payload, header, CommitRecord::BYTES_MAX)?.try_into()
    }
}

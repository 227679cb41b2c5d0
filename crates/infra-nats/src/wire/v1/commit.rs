//! Commit records: JSON for actors that speak JSON, so that `nats stream view` shows a person what happened; the binary
//! envelope for the others.
//!
//! In JSON a payload stands as itself. One that is not JSON, or has blanks around it, stands as base64url beside the
//! name with `_b64`, so that every payload comes back byte for byte.

use std::borrow::Cow;
use std::time::Duration;

use aether_domain::records::{CommandMark, CommitRecord, EventRecord, MissedTicks, PayloadCodec, Timer, TimerChange};
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
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    timers: Vec<TimerChangeV1<'a>>,
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
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_b64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum TimerChangeV1<'a> {
    #[serde(borrow)]
    Set(TimerV1<'a>),
    Cancelled {
        name: String,
    },
    Fired {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_ms: Option<u64>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimerV1<'a> {
    name: String,
    due_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "MissedV1::is_default")]
    missed: MissedV1,
    command: String,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_b64: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
#[serde(rename_all = "snake_case")]
pub(super) enum MissedV1 {
    #[default]
    Once,
    All,
    Skip,
}

impl MissedV1 {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a field so")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl From<MissedTicks> for MissedV1 {
    fn from(missed: MissedTicks) -> Self {
        match missed {
            MissedTicks::Once => Self::Once,
            MissedTicks::All => Self::All,
            MissedTicks::Skip => Self::Skip,
        }
    }
}

impl From<MissedV1> for MissedTicks {
    fn from(missed: MissedV1) -> Self {
        match missed {
            MissedV1::Once => Self::Once,
            MissedV1::All => Self::All,
            MissedV1::Skip => Self::Skip,
        }
    }
}

fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

/// A field that is there, even if its value is `null`.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl JsonRecord for CommitV1<'_> {
    const KIND: &'static str = "commit";
    fn head(&self) -> (u8, &str) {
        (self.format, &self.kind)
    }
}

/// A payload as JSON if it is exactly that, else as base64url.
pub(super) fn embed(payload: &[u8]) -> (Option<&RawValue>, Option<String>) {
    let raw = serde_json::from_slice::<&RawValue>(payload).ok();
    match raw.filter(|raw| raw.get().len() == payload.len()) {
        Some(raw) => (Some(raw), None),
        None => (None, Some(base64url::encode(payload))),
    }
}

pub(super) fn extract(raw: Option<&RawValue>, encoded: Option<&str>) -> Result<Bytes, WireFault> {
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
            EventV1 { schema: event.schema, name: Cow::Borrowed(&event.name), payload, payload_b64 }
        };
        let timer = |change: &'a TimerChange| match change {
            TimerChange::Set(timer) => {
                let (payload, payload_b64) = embed(&timer.payload);
                TimerChangeV1::Set(TimerV1 {
                    name: timer.name.clone(),
                    due_ms: timer.due.unix_millis,
                    every_ms: timer.every.map(millis),
                    missed: timer.missed.into(),
                    command: timer.command.clone(),
                    payload,
                    payload_b64,
                })
            }
            TimerChange::Cancelled { name } => TimerChangeV1::Cancelled { name: name.clone() },
            TimerChange::Fired { name, next } => {
                TimerChangeV1::Fired { name: name.clone(), next_ms: next.map(|next| next.unix_millis) }
            }
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
            timers: record.timers.iter().map(timer).collect(),
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
            Ok(EventRecord { schema: event.schema, name: named(&event.name)?, payload })
        };
        let timer = |change: &TimerChangeV1<'_>| {
            Ok(match change {
                TimerChangeV1::Set(timer) => TimerChange::Set(Timer {
                    name: timer.name.clone(),
                    due: WallTime { unix_millis: timer.due_ms },
                    every: timer.every_ms.map(Duration::from_millis),
                    missed: timer.missed.into(),
                    command: timer.command.clone(),
                    payload: extract(timer.payload, timer.payload_b64.as_deref())?,
                }),
                TimerChangeV1::Cancelled { name } => TimerChange::Cancelled { name: name.clone() },
                TimerChangeV1::Fired { name, next_ms } => {
                    let next = next_ms.map(|unix_millis| WallTime { unix_millis });
                    TimerChange::Fired { name: name.clone(), next }
                }
            })
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
            timers: dto.timers.iter().map(timer).collect::<Result<_, WireFault>>()?,
        })
    }
}

/// An event's name, if it is within its bound.
fn named(name: &str) -> Result<Cow<'static, str>, WireFault> {
    match name.len() {
        0 => Ok(Cow::Borrowed("")),
        1..=EventRecord::NAME_BYTES_MAX => Ok(Cow::Owned(name.to_owned())),
        _ => Err(WireFault::Body("an event's name is too long".to_owned())),
    }
}

#[derive(SchemaWrite, SchemaRead)]
struct CommitB1<'a> {
    shard_epoch: u64,
    owner: u64,
    nonce: u64,
    base: u64,
    prev_sequence: u64,
    prev_hash: u64,
    at_ms: u64,
    commands: Vec<CommandB1<'a>>,
    events: Vec<EventB1<'a>>,
    timers: Vec<TimerChangeB1>,
}

#[derive(SchemaWrite, SchemaRead)]
struct CommandB1<'a> {
    origin: u64,
    sequence: u64,
    floor: u64,
    message: Option<u128>,
    reply: &'a [u8],
}

#[derive(SchemaWrite, SchemaRead)]
struct EventB1<'a> {
    schema: u32,
    name: &'a str,
    payload: &'a [u8],
}

#[derive(SchemaWrite, SchemaRead)]
enum TimerChangeB1 {
    Set(TimerB1),
    Cancelled { name: String },
    Fired { name: String, next_ms: Option<u64> },
}

/// A variant, and an empty name.
const _: () = envelope::paid::<TimerChangeB1>(2);
const _: () = envelope::paid::<CommandB1<'_>>(5);
const _: () = envelope::paid::<EventB1<'_>>(3);

#[derive(SchemaWrite, SchemaRead)]
pub(super) struct TimerB1 {
    name: String,
    due_ms: u64,
    every_ms: Option<u64>,
    missed: MissedV1,
    command: String,
    payload: Bytes,
}

const _: () = envelope::paid::<TimerB1>(6);

impl From<&Timer> for TimerB1 {
    fn from(timer: &Timer) -> Self {
        Self {
            name: timer.name.clone(),
            due_ms: timer.due.unix_millis,
            every_ms: timer.every.map(millis),
            missed: timer.missed.into(),
            command: timer.command.clone(),
            payload: timer.payload.clone(),
        }
    }
}

impl From<TimerB1> for Timer {
    fn from(dto: TimerB1) -> Self {
        Self {
            name: dto.name,
            due: WallTime { unix_millis: dto.due_ms },
            every: dto.every_ms.map(Duration::from_millis),
            missed: dto.missed.into(),
            command: dto.command,
            payload: dto.payload,
        }
    }
}

impl From<&TimerChange> for TimerChangeB1 {
    fn from(change: &TimerChange) -> Self {
        match change {
            TimerChange::Set(timer) => Self::Set(timer.into()),
            TimerChange::Cancelled { name } => Self::Cancelled { name: name.clone() },
            TimerChange::Fired { name, next } => {
                Self::Fired { name: name.clone(), next_ms: next.map(|next| next.unix_millis) }
            }
        }
    }
}

impl From<TimerChangeB1> for TimerChange {
    fn from(dto: TimerChangeB1) -> Self {
        match dto {
            TimerChangeB1::Set(timer) => Self::Set(timer.into()),
            TimerChangeB1::Cancelled { name } => Self::Cancelled { name },
            TimerChangeB1::Fired { name, next_ms } => {
                Self::Fired { name, next: next_ms.map(|unix_millis| WallTime { unix_millis }) }
            }
        }
    }
}

impl<'a> Body<'a> for CommitB1<'a> {
    const KIND: Kind = Kind::Commit;
}

impl<'a> From<&'a CommitRecord> for CommitB1<'a> {
    fn from(record: &'a CommitRecord) -> Self {
        let command = |mark: &'a CommandMark| CommandB1 {
            origin: mark.id.origin.0,
            sequence: mark.id.sequence,
            floor: mark.floor,
            message: mark.message.map(|MessageId(id)| id),
            reply: &mark.reply,
        };
        let event =
            |event: &'a EventRecord| EventB1 { schema: event.schema, name: &event.name, payload: &event.payload };
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
            timers: record.timers.iter().map(TimerChangeB1::from).collect(),
        }
    }
}

impl TryFrom<CommitB1<'_>> for CommitRecord {
    type Error = WireFault;
    fn try_from(dto: CommitB1<'_>) -> Result<Self, WireFault> {
        let command = |mark: CommandB1<'_>| CommandMark {
            id: CommandId { origin: Incarnation(mark.origin), sequence: mark.sequence },
            floor: mark.floor,
            message: mark.message.map(MessageId),
            reply: Bytes::copy_from_slice(mark.reply),
        };
        let event = |event: EventB1<'_>| {
            let payload = Bytes::copy_from_slice(event.payload);
            Ok(EventRecord { schema: event.schema, name: named(event.name)?, payload })
        };
        Ok(Self {
            shard_epoch: Epoch(dto.shard_epoch),
            owner: Incarnation(dto.owner),
            nonce: Nonce(dto.nonce),
            base: Version(dto.base),
            prev_sequence: Sequence(dto.prev_sequence),
            prev_hash: dto.prev_hash,
            at: WallTime { unix_millis: dto.at_ms },
            codec: PayloadCodec::Binary,
            commands: dto.commands.into_iter().map(command).collect(),
            events: dto.events.into_iter().map(event).collect::<Result<_, WireFault>>()?,
            timers: dto.timers.into_iter().map(TimerChange::from).collect(),
        })
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
        envelope::decode::<CommitB1<'_>>(payload)?.try_into()
    } else {
        json::decode::<CommitV1<'_>>(payload, header, CommitRecord::BYTES_MAX)?.try_into()
    }
}

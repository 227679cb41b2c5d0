//! Dead letters: always JSON, so that `nats stream view` shows a person what was given up, and why.

use std::borrow::Cow;

use aether_domain::records::{DeadLetter, PayloadCodec};
use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Incarnation, MessageId, Slot, WallTime};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::commit::{embed, extract, present};
use super::json::{self, Counter, JsonRecord, Life, Mark, WideMark};
use super::{ENTRY_BYTES_MAX, Encoded, FORMAT, WireFault, bounded};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterV1<'a> {
    format: u8,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    actor_kind: String,
    actor_id: String,
    slot: u16,
    command: String,
    origin: Mark,
    sequence: Counter,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<WideMark>,
    codec: CodecV1,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_b64: Option<String>,
    reason: String,
    maybe_applied: bool,
    by: Life,
    at_ms: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CodecV1 {
    Json,
    Binary,
}

impl JsonRecord for LetterV1<'_> {
    const KIND: &'static str = "dead_letter";
    fn head(&self) -> (u8, &str) {
        (self.format, &self.kind)
    }
}

impl<'a> From<&'a DeadLetter> for LetterV1<'a> {
    fn from(letter: &'a DeadLetter) -> Self {
        let (payload, payload_b64) = letter.payload.as_deref().map_or((None, None), embed);
        Self {
            format: FORMAT,
            kind: Self::KIND.into(),
            actor_kind: letter.actor.key.kind.to_string(),
            actor_id: letter.actor.key.id.to_string(),
            slot: letter.actor.slot.0,
            command: letter.command.clone(),
            origin: Mark(letter.id.origin.0),
            sequence: Counter(letter.id.sequence),
            message: letter.message.map(|MessageId(id)| WideMark(id)),
            codec: match letter.codec {
                PayloadCodec::Json => CodecV1::Json,
                PayloadCodec::Binary => CodecV1::Binary,
            },
            payload,
            payload_b64,
            reason: letter.reason.clone(),
            maybe_applied: letter.maybe_applied,
            by: Life(letter.by.clone()),
            at_ms: letter.at.unix_millis,
        }
    }
}

impl TryFrom<LetterV1<'_>> for DeadLetter {
    type Error = WireFault;
    fn try_from(dto: LetterV1<'_>) -> Result<Self, WireFault> {
        let payload = match (dto.payload, dto.payload_b64) {
            (None, None) => None,
            (raw, encoded) => Some(extract(raw, encoded.as_deref())?),
        };
        bounded(payload.as_deref().map_or(0, <[u8]>::len), Self::PAYLOAD_BYTES_MAX)?;
        bounded(dto.reason.len(), Self::REASON_BYTES_MAX)?;
        let key = ActorKey { kind: ActorKind::new(&dto.actor_kind)?, id: ActorId::new(&dto.actor_id)? };
        Ok(Self {
            actor: ActorAddress { key, slot: Slot(dto.slot) },
            command: dto.command,
            id: CommandId { origin: Incarnation(dto.origin.0), sequence: dto.sequence.0 },
            message: dto.message.map(|WideMark(id)| MessageId(id)),
            codec: match dto.codec {
                CodecV1::Json => PayloadCodec::Json,
                CodecV1::Binary => PayloadCodec::Binary,
            },
            payload,
            reason: dto.reason,
            maybe_applied: dto.maybe_applied,
            by: dto.by.0,
            at: WallTime { unix_millis: dto.at_ms },
        })
    }
}

/// The letter as it is stored.
pub(crate) fn encode_letter(letter: &DeadLetter) -> Result<Encoded, WireFault> {
    bounded(letter.payload.as_deref().map_or(0, <[u8]>::len), DeadLetter::PAYLOAD_BYTES_MAX)?;
    bounded(letter.reason.len(), DeadLetter::REASON_BYTES_MAX)?;
    json::encode(&LetterV1::from(letter), ENTRY_BYTES_MAX)
}

/// The letter that stored bytes hold.
pub(crate) fn decode_letter(payload: &[u8], header: Option<&str>) -> Result<DeadLetter, WireFault> {
    json::decode::<LetterV1<'_>>(payload, header, ENTRY_BYTES_MAX)?.try_into()
}

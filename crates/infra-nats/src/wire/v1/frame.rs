//! Frames between nodes, in the binary envelope: who sends, then its frames in order.

use std::time::Duration;

use aether_domain::ports::{Answer, AnswerFrame, AskFrame, Frame, ReadMode, Request, WarmFrame};
use aether_domain::records::PayloadCodec;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Incarnation, InvalidId, MessageId, NodeId, NodeRef,
    Slot,
};
use bytes::Bytes;
use wincode::{SchemaRead, SchemaWrite};

use super::envelope::{self, Body, ENVELOPE_BYTES_MAX, Kind};
use super::handover::{WarmB1, WarmTakenB1};
use super::{WireFault, bounded};

#[derive(SchemaWrite, SchemaRead)]
struct FramesB1<'a> {
    node: &'a str,
    incarnation: u64,
    /// Each by itself, so that one that cannot be understood leaves the others alone.
    frames: Vec<&'a [u8]>,
}

impl<'a> Body<'a> for FramesB1<'a> {
    const KIND: Kind = Kind::Frames;
}

/// What of a [`FramesB1`] comes before its frames.
#[derive(SchemaWrite, SchemaRead)]
struct FramesHeadB1<'a> {
    node: &'a str,
    incarnation: u64,
    frames: u64,
}

impl<'a> Body<'a> for FramesHeadB1<'a> {
    const KIND: Kind = Kind::Frames;
}

/// How many bytes the frame behind it has.
#[derive(SchemaWrite, SchemaRead)]
struct LengthB1(u64);

impl Body<'_> for LengthB1 {
    const KIND: Kind = Kind::Frames;
}

#[derive(SchemaWrite, SchemaRead)]
enum FrameB1<'a> {
    Ask(AskB1<'a>),
    Answer(AnswerFrameB1<'a>),
    Warm(WarmB1<'a>),
    WarmTaken(WarmTakenB1),
}

impl<'a> Body<'a> for FrameB1<'a> {
    const KIND: Kind = Kind::Frames;
}

#[derive(SchemaWrite, SchemaRead)]
struct AskB1<'a> {
    origin: u64,
    sequence: u64,
    floor: u64,
    kind: &'a str,
    id: &'a str,
    slot: u16,
    command: &'a str,
    payload: &'a [u8],
    codec: CodecB1,
    message: Option<u128>,
    mode: ModeB1,
    view: u64,
    budget_micros: u64,
    attempt: u8,
    sending: u32,
    wants_answer: bool,
}

#[derive(Clone, Copy, SchemaWrite, SchemaRead)]
pub(super) enum CodecB1 {
    Json,
    Binary,
}

impl From<PayloadCodec> for CodecB1 {
    fn from(codec: PayloadCodec) -> Self {
        match codec {
            PayloadCodec::Json => Self::Json,
            PayloadCodec::Binary => Self::Binary,
        }
    }
}

impl From<CodecB1> for PayloadCodec {
    fn from(codec: CodecB1) -> Self {
        match codec {
            CodecB1::Json => Self::Json,
            CodecB1::Binary => Self::Binary,
        }
    }
}

#[derive(SchemaWrite, SchemaRead)]
enum ModeB1 {
    Strict,
    Leased,
    Log,
}

#[derive(SchemaWrite, SchemaRead)]
struct AnswerFrameB1<'a> {
    origin: u64,
    sequence: u64,
    sending: u32,
    view: u64,
    answer: AnswerB1<'a>,
}

#[derive(SchemaWrite, SchemaRead)]
enum AnswerB1<'a> {
    Replied { reply: &'a [u8] },
    Looked { reply: &'a [u8] },
    Rejected { refusal: &'a [u8] },
    NotOwner { owner: Option<&'a str> },
    Moving { to: Option<&'a str> },
    Behind,
    Unavailable { retry_after_micros: u64, maybe_applied: bool },
    Busy,
    Expired { maybe_applied: bool },
    Poisoned { reason: &'a str, maybe_applied: bool },
    Invalid { reason: &'a str, maybe_applied: bool },
    Quarantined { reason: &'a str, maybe_applied: bool },
}

fn micros(of: Duration) -> u64 {
    u64::try_from(of.as_micros()).unwrap_or(u64::MAX)
}

impl<'a> From<&'a Frame> for FrameB1<'a> {
    fn from(frame: &'a Frame) -> Self {
        match frame {
            Frame::Ask(ask) => Self::Ask(ask.into()),
            Frame::Answer(answer) => Self::Answer(answer.into()),
            Frame::Warm(warm) => Self::Warm(warm.into()),
            Frame::WarmTaken(taken) => Self::WarmTaken((*taken).into()),
        }
    }
}

impl<'a> From<&'a AskFrame> for AskB1<'a> {
    fn from(ask: &'a AskFrame) -> Self {
        let Request { actor, command, payload, codec, message, mode, trace: _ } = &*ask.request;
        let ActorAddress { key: ActorKey { kind, id }, slot: Slot(slot) } = actor;
        Self {
            origin: ask.id.origin.0,
            sequence: ask.id.sequence,
            floor: ask.floor,
            kind: kind.as_str(),
            id: id.as_str(),
            slot: *slot,
            command,
            payload,
            codec: (*codec).into(),
            message: message.map(|MessageId(id)| id),
            mode: match mode {
                ReadMode::Strict => ModeB1::Strict,
                ReadMode::Leased => ModeB1::Leased,
                ReadMode::Log => ModeB1::Log,
            },
            view: ask.view.0,
            budget_micros: micros(ask.budget),
            attempt: ask.attempt,
            sending: ask.sending,
            wants_answer: ask.wants_answer,
        }
    }
}

impl<'a> From<&'a AnswerFrame> for AnswerFrameB1<'a> {
    fn from(frame: &'a AnswerFrame) -> Self {
        let name = |node: &'a Option<NodeId>| node.as_ref().map(NodeId::as_str);
        Self {
            origin: frame.id.origin.0,
            sequence: frame.id.sequence,
            sending: frame.sending,
            view: frame.view.0,
            answer: match &frame.answer {
                Answer::Replied(reply) => AnswerB1::Replied { reply },
                Answer::Looked(reply) => AnswerB1::Looked { reply },
                Answer::Rejected(refusal) => AnswerB1::Rejected { refusal },
                Answer::NotOwner { owner } => AnswerB1::NotOwner { owner: name(owner) },
                Answer::Moving { to } => AnswerB1::Moving { to: name(to) },
                Answer::Behind => AnswerB1::Behind,
                Answer::Unavailable { retry_after, maybe_applied } => {
                    let retry_after_micros = micros(*retry_after);
                    AnswerB1::Unavailable { retry_after_micros, maybe_applied: *maybe_applied }
                }
                Answer::Busy => AnswerB1::Busy,
                Answer::Expired { maybe_applied } => AnswerB1::Expired { maybe_applied: *maybe_applied },
                Answer::Poisoned { reason, maybe_applied } => {
                    AnswerB1::Poisoned { reason, maybe_applied: *maybe_applied }
                }
                Answer::Invalid { reason, maybe_applied } => {
                    AnswerB1::Invalid { reason, maybe_applied: *maybe_applied }
                }
                Answer::Quarantined { reason, maybe_applied } => {
                    AnswerB1::Quarantined { reason, maybe_applied: *maybe_applied }
                }
            },
        }
    }
}

impl TryFrom<FrameB1<'_>> for Frame {
    type Error = InvalidId;
    fn try_from(frame: FrameB1<'_>) -> Result<Self, InvalidId> {
        match frame {
            FrameB1::Ask(ask) => ask.try_into().map(Self::Ask),
            FrameB1::Answer(answer) => answer.try_into().map(Self::Answer),
            FrameB1::Warm(warm) => warm.try_into().map(Self::Warm),
            FrameB1::WarmTaken(taken) => Ok(Self::WarmTaken(taken.into())),
        }
    }
}

impl TryFrom<AskB1<'_>> for AskFrame {
    type Error = InvalidId;
    fn try_from(ask: AskB1<'_>) -> Result<Self, InvalidId> {
        let key = ActorKey { kind: ActorKind::new(ask.kind)?, id: ActorId::new(ask.id)? };
        let request = Request {
            actor: ActorAddress { key, slot: Slot(ask.slot) },
            command: ask.command.to_owned().into(),
            payload: Bytes::copy_from_slice(ask.payload),
            codec: ask.codec.into(),
            message: ask.message.map(MessageId),
            mode: match ask.mode {
                ModeB1::Strict => ReadMode::Strict,
                ModeB1::Leased => ReadMode::Leased,
                ModeB1::Log => ReadMode::Log,
            },
            trace: None,
        };
        Ok(Self {
            id: CommandId { origin: Incarnation(ask.origin), sequence: ask.sequence },
            floor: ask.floor,
            request: request.into(),
            view: Epoch(ask.view),
            budget: Duration::from_micros(ask.budget_micros),
            attempt: ask.attempt,
            sending: ask.sending,
            wants_answer: ask.wants_answer,
        })
    }
}

impl TryFrom<AnswerFrameB1<'_>> for AnswerFrame {
    type Error = InvalidId;
    fn try_from(frame: AnswerFrameB1<'_>) -> Result<Self, InvalidId> {
        let (node, bytes) = (|name: Option<&str>| name.map(NodeId::new).transpose(), Bytes::copy_from_slice);
        Ok(Self {
            id: CommandId { origin: Incarnation(frame.origin), sequence: frame.sequence },
            sending: frame.sending,
            view: Epoch(frame.view),
            answer: match frame.answer {
                AnswerB1::Replied { reply } => Answer::Replied(bytes(reply)),
                AnswerB1::Looked { reply } => Answer::Looked(bytes(reply)),
                AnswerB1::Rejected { refusal } => Answer::Rejected(bytes(refusal)),
                AnswerB1::NotOwner { owner } => Answer::NotOwner { owner: node(owner)? },
                AnswerB1::Moving { to } => Answer::Moving { to: node(to)? },
                AnswerB1::Behind => Answer::Behind,
                AnswerB1::Unavailable { retry_after_micros, maybe_applied } => {
                    Answer::Unavailable { retry_after: Duration::from_micros(retry_after_micros), maybe_applied }
                }
                AnswerB1::Busy => Answer::Busy,
                AnswerB1::Expired { maybe_applied } => Answer::Expired { maybe_applied },
                AnswerB1::Poisoned { reason, maybe_applied } => {
                    Answer::Poisoned { reason: reason.to_owned(), maybe_applied }
                }
                AnswerB1::Invalid { reason, maybe_applied } => {
                    Answer::Invalid { reason: reason.to_owned(), maybe_applied }
                }
                AnswerB1::Quarantined { reason, maybe_applied } => {
                    Answer::Quarantined { reason: reason.to_owned(), maybe_applied }
                }
            },
        })
    }
}

/// Room for each frame of a message: about what a small ask takes.
const FRAME_BYTES: usize = 64;

/// One message of frames from `from`, at most `bytes_max` long.
pub(crate) fn encode_frames(from: &NodeRef, frames: &[Frame], bytes_max: usize) -> Result<Bytes, WireFault> {
    // A [`FramesB1`], written by itself: its frames are written once, each in its place.
    let (node, incarnation) = (from.node.as_str(), from.incarnation.0);
    let head = FramesHeadB1 { node, incarnation, frames: frames.len() as u64 };
    let mut written = envelope::begin(envelope::size(&head)?, bytes_max)?;
    written.reserve(frames.len().saturating_mul(FRAME_BYTES).min(bytes_max));
    envelope::write_behind(&mut written, &head)?;
    let (mut bytes, bytes_max) = (written.len(), bytes_max.min(ENVELOPE_BYTES_MAX));
    for frame in frames {
        let frame = FrameB1::from(frame);
        let size = envelope::size(&frame)?;
        let length = LengthB1(size as u64);
        bytes = bytes.saturating_add(envelope::size(&length)?).saturating_add(size);
        // Beyond the bound they are only counted.
        if bytes <= bytes_max {
            // A large one is not written into memory that grows under it.
            written.reserve(bytes.saturating_sub(written.len()));
            envelope::write_behind(&mut written, &length)?;
            envelope::write_behind(&mut written, &frame)?;
        }
    }
    bounded(bytes, bytes_max)?;
    Ok(envelope::seal(Kind::Frames, written).payload)
}

/// The most frames that are read of one message: sixteen times what a node puts into one.
const FRAMES_MAX: usize = 4_096;

/// What one message holds.
#[derive(Debug)]
pub(crate) struct Received {
    /// Who sent it.
    pub(crate) from: NodeRef,
    /// The frames that are understood, in order.
    pub(crate) frames: Vec<Frame>,
    /// Why others are not: of a kind that a later build sends, or beyond a bound.
    pub(crate) refused: Vec<WireFault>,
}

/// Who sent a message, and its frames.
pub(crate) fn decode_frames(payload: &[u8]) -> Result<Received, WireFault> {
    bounded(payload.len(), ENVELOPE_BYTES_MAX)?;
    let body: FramesB1<'_> = envelope::decode(payload)?;
    let from = NodeRef { node: NodeId::new(body.node)?, incarnation: Incarnation(body.incarnation) };
    if body.frames.len() > FRAMES_MAX {
        return Err(WireFault::TooMany { what: "frames", count: body.frames.len() });
    }
    let (mut frames, mut refused) = (Vec::with_capacity(body.frames.len()), Vec::new());
    for bytes in body.frames {
        match read_frame(bytes) {
            Ok(frame) => frames.push(frame),
            Err(fault) => refused.push(fault),
        }
    }
    Ok(Received { from, frames, refused })
}

/// The frame that these bytes hold, if it is within its own bound.
fn read_frame(bytes: &[u8]) -> Result<Frame, WireFault> {
    let frame = Frame::try_from(envelope::read::<FrameB1<'_>>(bytes)?)?;
    match &frame {
        Frame::Ask(ask) => bounded(ask.request.payload.len(), AskFrame::PAYLOAD_BYTES_MAX)?,
        Frame::Warm(warm) => bounded(warm.bytes(), WarmFrame::BYTES_MAX)?,
        Frame::Answer(_) | Frame::WarmTaken(_) => {}
    }
    Ok(frame)
}

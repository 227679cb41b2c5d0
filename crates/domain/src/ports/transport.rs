//! Messages between nodes, and from clients that are no node.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{BoxError, Updates, WarmFrame, WarmTakenFrame};
use crate::ids::{ActorAddress, CommandId, Epoch, MessageId, NodeId, NodeRef};
use crate::records::PayloadCodec;
use crate::trace::TraceParent;

/// Frames from one life of a node to another: at most once, in order per pair while both stay connected.
///
/// # Contract
/// - What [`Self::send`] takes arrives once or never; frames of one call arrive together or not at all.
/// - Nothing sent to one life is delivered to another.
/// - If nobody listens for that life, [`Delivery::Unreachable`] comes soon, as far as it can be known. It is a hint, not
///   proof: a life that has just begun to listen, or whose connection is being made again, may be named for a moment.
/// - Bytes that cannot be understood are [`Delivery::Corrupt`], never a panic and never silence.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Begins to receive for this life. Called once a life; the stream ends when the transport is closed.
    ///
    /// # Errors
    /// [`SendError::Unavailable`] if it cannot begin.
    async fn listen(&self, me: &NodeRef) -> Result<Updates<Delivery>, SendError>;

    /// Sends `frames` as one message from `from` to `to`.
    ///
    /// # Errors
    /// [`SendError`]; nothing of this call has been sent then.
    async fn send(&self, from: &NodeRef, to: &NodeRef, frames: Vec<Frame>) -> Result<(), SendError>;
}

/// Why frames were not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Not connected now.
    #[error("not connected")]
    Unavailable {
        /// Why not.
        #[source]
        cause: BoxError,
    },
    /// Too large for one message: send fewer frames, or refuse the command.
    #[error("frames of {bytes} bytes exceed the bound of {bytes_max}")]
    TooLarge {
        /// How large the encoded frames are.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

/// What a listener receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Frames from another life.
    Frames {
        /// Who sent them.
        from: NodeRef,
        /// In the order they were sent.
        frames: Vec<Frame>,
    },
    /// Something we sent met nobody.
    Unreachable {
        /// Whom we sent it to.
        to: NodeRef,
    },
    /// A message that cannot be understood; counted, never applied.
    Corrupt {
        /// What is wrong with it.
        reason: String,
    },
    /// Messages were lost because this listener did not keep up.
    Overrun,
}

/// One message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A command for an actor.
    Ask(AskFrame),
    /// What became of one.
    Answer(AnswerFrame),
    /// Actors that follow their shard.
    Warm(WarmFrame),
    /// What became of them.
    WarmTaken(WarmTakenFrame),
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// Confirmed by a compare-and-set since the actor was loaded, and within the serve lease.
    #[default]
    Strict,
    /// Within the serve lease only: may miss a tail while the store changes leaders.
    Leased,
    /// One compare-and-set a read: needs no clock assumption at all.
    Log,
}

/// What traces something, if anything does. Nothing is decided by it, and it may be lost.
pub type Traced = Option<Box<TraceParent>>;

/// What is asked of an actor, in a form that can be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whom it is for.
    pub actor: ActorAddress,
    /// The command's stable name.
    pub command: Cow<'static, str>,
    /// The command, in `codec`. At most [`AskFrame::PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Bytes,
    /// How the payload is, and the reply must be, encoded.
    pub codec: PayloadCodec,
    /// The application's own name for it, if it gave one.
    pub message: Option<MessageId>,
    /// How fresh an answer that changes nothing must be.
    pub mode: ReadMode,
    /// What traces it. It travels beside the frame.
    pub trace: Traced,
}

/// A command on its way to an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskFrame {
    /// The command's identity, kept through every retry.
    pub id: CommandId,
    /// The lowest sequence the origin still has outstanding for this shard.
    pub floor: u64,
    /// What is asked. Shared, because its origin keeps it until it is answered.
    pub request: Arc<Request>,
    /// The topology epoch the sender acts on.
    pub view: Epoch,
    /// How much time is left: expired work is not run.
    pub budget: Duration,
    /// How many lives it may have cost, this one included, from 1: what to give a command up by.
    pub attempt: u8,
    /// Which sending this is, counted from 1 by the origin, whomever it is sent to; the answer names it.
    pub sending: u32,
    /// Whether an answer is wanted; a `tell` wants none.
    pub wants_answer: bool,
}

impl AskFrame {
    /// The most bytes a command may have.
    pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerFrame {
    /// Which command.
    pub id: CommandId,
    /// Which sending of it this answers. A rejection is only about that sending: a later one may yet be stored.
    pub sending: u32,
    /// The topology epoch of whoever answers.
    pub view: Epoch,
    /// What became of it.
    pub answer: Answer,
}

/// What became of a command, as far as the answering node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is in the history; this is the reply.
    Replied(Bytes),
    /// This sending of it led to no event, so nothing was stored; this is the reply. A later sending may lead to some.
    Looked(Bytes),
    /// The actor said no to this sending, in its own words; nothing was stored. To a later sending it may say yes.
    Rejected(Bytes),
    /// Not the owner; nothing was run. Look again at an epoch not below the answer's.
    NotOwner {
        /// Who is, if known.
        owner: Option<NodeId>,
    },
    /// The shard is on its way; nothing was run. Ask the new owner once an entry names it.
    Moving {
        /// To whom.
        to: Option<NodeId>,
    },
    /// The sender knows a newer topology than this node does; nothing was run.
    Behind,
    /// Not now; nothing was run, unless `maybe_applied`.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// Whether the command may be in the history all the same.
        maybe_applied: bool,
    },
    /// A queue is full; nothing was run.
    Busy,
    /// Its time ran out.
    Expired {
        /// Whether the command may be in the history all the same.
        maybe_applied: bool,
    },
    /// The command was given up: it makes the actor panic, or nodes have died while they may have been running it. Nothing
    /// was stored, unless `maybe_applied`.
    Poisoned {
        /// The panic's message, or how many died.
        reason: String,
        /// Whether an earlier sending of it may be in the history all the same.
        maybe_applied: bool,
    },
    /// It cannot be run here, or its reply cannot be told, and trying again will not help; nothing was stored, unless
    /// `maybe_applied`.
    Invalid {
        /// What is wrong, in words.
        reason: String,
        /// Whether the command may be in the history all the same.
        maybe_applied: bool,
    },
    /// The actor's history is not what it must be; it is set aside until a person looks. Nothing was run, unless
    /// `maybe_applied`.
    Quarantined {
        /// What is wrong with it.
        reason: String,
        /// Whether an earlier sending of the command may be in the history all the same.
        maybe_applied: bool,
    },
}

impl Answer {
    /// The same, for a command of which an earlier sending may be in the history. What says already that it is there,
    /// or that nothing was run this time, stays as it is.
    #[must_use]
    pub fn or_applied(mut self, perhaps: bool) -> Self {
        match &mut self {
            Self::Unavailable { maybe_applied, .. }
            | Self::Expired { maybe_applied }
            | Self::Poisoned { maybe_applied, .. }
            | Self::Invalid { maybe_applied, .. }
            | Self::Quarantined { maybe_applied, .. } => *maybe_applied |= perhaps,
            Self::Replied(_)
            | Self::Looked(_)
            | Self::Rejected(_)
            | Self::NotOwner { .. }
            | Self::Moving { .. }
            | Self::Behind
            | Self::Busy => {}
        }
        self
    }
}

/// Commands from clients that are no node, in JSON.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Begins to take requests; each is given to one node of the cluster. Once `until` is ready no more are taken: those
    /// that were on their way to this node still come, and then the stream ends. Dropping it loses them.
    ///
    /// # Errors
    /// [`SendError::Unavailable`] if it cannot begin.
    async fn listen(&self, until: BoxFuture<'static, ()>) -> Result<Updates<GatewayRequest>, SendError>;
}

/// A client's command.
pub struct GatewayRequest {
    /// The actor's kind, as the client wrote it.
    pub kind: String,
    /// The actor's id, as the client wrote it.
    pub id: String,
    /// The command's stable name.
    pub command: String,
    /// The command, as JSON.
    pub payload: Bytes,
    /// The client's own name for it, so that its own retries count once.
    pub message: Option<MessageId>,
    /// How fresh an answer that changes nothing must be.
    pub mode: ReadMode,
    /// How long the client waits.
    pub timeout: Duration,
    /// What traces it, as the client said.
    pub trace: Traced,
    /// Answers the client, and is ready when that is on its way; dropping it unanswered leaves the client to its time-out.
    pub respond: Box<dyn FnOnce(GatewayAnswer) -> BoxFuture<'static, ()> + Send>,
}

/// Every [`GatewayAnswer::Failed`] code.
pub const GATEWAY_CODES: [&str; 6] = ["timeout", "unavailable", "busy", "poisoned", "invalid", "quarantined"];

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayAnswer {
    /// The reply, as JSON.
    Replied(Bytes),
    /// The actor's own no, as JSON.
    Rejected(Bytes),
    /// Anything else.
    Failed {
        /// A stable word, one of [`GATEWAY_CODES`].
        code: &'static str,
        /// What happened and what to do, for people.
        reason: String,
        /// Whether the command may be in the history all the same.
        maybe_applied: bool,
    },
}

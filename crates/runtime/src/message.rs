//! A command inside one node: how it reaches a shard, and how its outcome comes back.
//!
//! Between nodes the same things travel as [`AskFrame`](aether_domain::ports::AskFrame) and
//! [`Answer`]; here a payload may also be the value itself, so that a local ask crosses no codec.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aether_domain::ports::{Answer, ReadMode, Request, Traced};
use aether_domain::records::PayloadCodec;
use aether_domain::{ActorAddress, CommandId, MessageId, Monotonic};
use bytes::Bytes;
use tokio::sync::oneshot;

/// A command, a reply or a rejection.
pub enum Payload {
    /// The value itself, within one process.
    Typed(Box<dyn Any + Send>),
    /// Its bytes.
    Encoded(PayloadCodec, Bytes),
}

impl Payload {
    /// How many bytes it takes; of a value only those that every value of its type has.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Typed(value) => size_of_val(&**value),
            Self::Encoded(_, bytes) => bytes.len(),
        }
    }
}

impl fmt::Debug for Payload {
    /// Payloads are never logged: only their form and size are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typed(_) => f.write_str("typed"),
            Self::Encoded(codec, bytes) => write!(f, "{codec:?} of {} bytes", bytes.len()),
        }
    }
}

/// A command on its way into a shard of this node.
#[derive(Debug)]
pub struct Work {
    /// Its identity.
    pub id: CommandId,
    /// The lowest sequence its origin still has outstanding for this shard.
    pub floor: u64,
    /// Whom it is for.
    pub actor: ActorAddress,
    /// Its stable name.
    pub command: Cow<'static, str>,
    /// The command. Typed: the reply is wanted typed; encoded: in the same codec.
    pub payload: Payload,
    /// The application's own name for it, if it gave one.
    pub message: Option<MessageId>,
    /// How fresh an answer that changes nothing must be.
    pub mode: ReadMode,
    /// When its caller stops waiting: expired work is not run.
    pub deadline: Monotonic,
    /// Which try this is, from 1.
    pub attempt: u8,
    /// What traces it.
    pub trace: Traced,
}

impl Work {
    /// What was written elsewhere, or is kept to be sent again.
    pub(crate) fn asked(request: Arc<Request>, id: CommandId, floor: u64, deadline: Monotonic, attempt: u8) -> Self {
        let Request { actor, command, payload, codec, message, mode, trace } = Arc::unwrap_or_clone(request);
        let payload = Payload::Encoded(codec, payload);
        Self { id, floor, actor, command, payload, message, mode, deadline, attempt, trace }
    }
}

/// What became of a command.
#[derive(Debug)]
pub enum Outcome {
    /// It is in the history; this is the reply.
    Replied(Payload),
    /// It led to no event; this is the reply.
    Looked(Payload),
    /// The actor said no.
    Rejected(Payload),
    /// Anything else: never [`Answer::Replied`], [`Answer::Looked`] or [`Answer::Rejected`].
    Other(Answer),
}

impl Outcome {
    /// The same answer that has changed nothing once more, if it is one of bytes.
    pub(crate) fn encoded_copy(&self) -> Option<Self> {
        match self {
            Self::Looked(Payload::Encoded(codec, bytes)) => Some(Self::Looked(Payload::Encoded(*codec, bytes.clone()))),
            Self::Rejected(Payload::Encoded(codec, bytes)) => {
                Some(Self::Rejected(Payload::Encoded(*codec, bytes.clone())))
            }
            _ => None,
        }
    }
}

/// What has become of a command that was brought to a shard of this node.
pub enum Told {
    /// This.
    Now(Outcome),
    /// It will be told here, or has been meanwhile. Dropped untold, the shard has gone away with the command in it.
    Later(oneshot::Receiver<Outcome>),
}

/// Where an outcome goes; called exactly once.
pub enum Responder {
    /// To a waiting caller in this process.
    Waiting(oneshot::Sender<Outcome>),
    /// To whatever the closure does with it; it must be quick and must not block.
    Call(Box<dyn FnOnce(Outcome) + Send>),
}

impl Responder {
    /// Hands the outcome over. A caller that has gone away loses it, which is its own choice.
    pub fn respond(self, outcome: Outcome) {
        match self {
            Self::Waiting(caller) => drop(caller.send(outcome)),
            Self::Call(call) => call(outcome),
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "told now",
            Self::Later(_) => "told later",
        })
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("responder")
    }
}

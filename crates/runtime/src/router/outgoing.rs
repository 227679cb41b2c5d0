//! A command on its way in: what callers give the router, and what the router gives a shard of this node.

use std::borrow::Cow;
use std::time::Duration;

use aether_domain::ports::{ReadMode, Request, Traced, WarmFrame, WarmTakenFrame};
use aether_domain::records::PayloadCodec;
use aether_domain::{ActorAddress, MessageId, Monotonic, NodeRef};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::actor::CodecError;
use crate::message::{Payload, Responder, Told, Work};

/// The shards of this node, as the router sees them.
pub trait Local: Send + Sync + 'static {
    /// Takes a command and answers it through `respond`, exactly once: perhaps before this returns, perhaps later from
    /// any thread. What this node may not run now is refused there (`NotOwner`, `Moving`, `Unavailable`, `Busy`), never
    /// here. It must not block.
    fn deliver(&self, work: Work, respond: Responder);

    /// As [`Self::deliver`], for a caller who waits and who asks now: what can be said at once is said here, and what cannot
    /// has `deadline` instead of its own ([`Work::deadline`] is not looked at). That is asked for under the shard's lock: it
    /// must be quick and must not panic.
    fn ask(&self, mut work: Work, deadline: &dyn Fn() -> Monotonic) -> Told {
        work.deadline = deadline();
        let (respond, told) = oneshot::channel();
        self.deliver(work, Responder::Waiting(respond));
        Told::Later(told)
    }

    /// Takes what another life says about actors that follow their shard. It must not block.
    fn hand_over(&self, _from: &NodeRef, _what: HandOver) {}

    /// Nobody seems to listen for that life. It must not block.
    fn unreachable(&self, _to: &NodeRef) {}
}

/// What nodes say to each other about actors that follow their shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// Some of the actors.
    Warm(WarmFrame),
    /// What became of them.
    Taken(WarmTakenFrame),
}

/// A command in whatever form its caller has it: copied for a shard of this node, written for another one.
pub trait Parcel: Send {
    /// The command for a shard of this node; its answer comes in the same form.
    fn here(&self) -> Payload;
    /// The command in bytes, for another node or for another try.
    ///
    /// # Errors
    /// [`CodecError::Encode`] if it cannot be written.
    fn written(&self) -> Result<(PayloadCodec, Bytes), CodecError>;
}

/// A command that its caller has in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// How it is, and the answer is wanted, encoded.
    pub codec: PayloadCodec,
    /// The command.
    pub bytes: Bytes,
}

impl Parcel for Written {
    fn here(&self) -> Payload {
        Payload::Encoded(self.codec, self.bytes.clone())
    }
    fn written(&self) -> Result<(PayloadCodec, Bytes), CodecError> {
        Ok((self.codec, self.bytes.clone()))
    }
}

/// A command, whom it is for, and how its caller wants it asked.
#[derive(Clone, Debug)]
pub struct Outgoing<P> {
    /// Whom it is for.
    pub actor: ActorAddress,
    /// The command's stable name.
    pub command: Cow<'static, str>,
    /// The command.
    pub parcel: P,
    /// The application's own name for it, so that its own retries count once.
    pub message: Option<MessageId>,
    /// How fresh an answer that changes nothing must be.
    pub mode: ReadMode,
    /// How long the caller waits. At most [`TIMEOUT_MAX`](super::bounds::TIMEOUT_MAX).
    pub timeout: Duration,
    /// What traces it.
    pub trace: Traced,
}

impl<P: Parcel> Outgoing<P> {
    /// In a form that can be sent again.
    pub(crate) fn into_request(self) -> Result<Request, CodecError> {
        let (codec, payload) = self.parcel.written()?;
        let Self { actor, command, message, mode, trace, .. } = self;
        Ok(Request { actor, command, payload, codec, message, mode, trace })
    }
}

//! How asking an actor fails, told apart by what the caller may now assume.

use std::time::Duration;

use aether_domain::ports::Answer;
use serde::de::DeserializeOwned;

use super::codec::{self, CodecError};
use super::model::{Actor, Command};
use crate::message::{Outcome, Payload};

/// When a caller that met a shard between two owners should try again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Why an ask did not end in a reply.
///
/// [`Self::maybe_applied`] says of every case whether the command may be in the history all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError<E> {
    /// The actor said no, in its own words. Nothing was stored.
    #[error("rejected")]
    Rejected(#[source] E),
    /// No answer in time.
    #[error("no answer in time{}", maybe(*.maybe_applied))]
    Timeout {
        /// Whether the command may be in the history all the same; if so, ask with the same id or ask the history.
        maybe_applied: bool,
    },
    /// Not now: the owner is paused, on its way elsewhere, or cannot reach the store.
    #[error("unavailable, try again in {retry_after:?}{}", maybe(*.maybe_applied))]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// Whether the command may be in the history all the same.
        maybe_applied: bool,
    },
    /// A queue on the way is full. Nothing was run; try again later, or ask for less.
    #[error("busy: a queue is full")]
    Busy,
    /// The command was given up: it makes the actor panic, or nodes have died while they may have been running it. The
    /// actor lives on, and a dead letter is kept. Running it stored nothing, but see `maybe_applied`.
    #[error("the command was given up: {reason}{}", maybe(*.maybe_applied))]
    Poisoned {
        /// The panic's message, or how many died.
        reason: String,
        /// Whether an earlier sending of the same ask may be in the history all the same: it was given up in doubt, or
        /// never answered. If false, nothing was stored, nor will be.
        maybe_applied: bool,
    },
    /// It cannot be run, or what came of it cannot be told, and trying again will not help.
    #[error("cannot be run: {reason}{}", maybe(*.maybe_applied))]
    Invalid {
        /// What is wrong.
        reason: String,
        /// Whether the command may be in the history all the same: an earlier sending was given up in doubt or never
        /// answered, or the command is in the history and only its reply cannot be told. If false, nothing was stored,
        /// nor will be.
        maybe_applied: bool,
    },
    /// The actor's history is not what it must be; it is set aside until a person looks, and runs nothing until then.
    #[error("the actor is set aside: {reason}{}", maybe(*.maybe_applied))]
    Quarantined {
        /// What is wrong with it.
        reason: String,
        /// Whether an earlier sending of the same ask may be in the history all the same: it was given up in doubt, or
        /// never answered. If false, nothing was stored, nor will be.
        maybe_applied: bool,
    },
    /// The command could not be written, or its answer not be read.
    #[error("command or answer not understood{}", maybe(*.maybe_applied))]
    Codec {
        /// What the codec says.
        #[source]
        cause: CodecError,
        /// Whether the command may be in the history all the same: true once a reply to something stored has come.
        maybe_applied: bool,
    },
}

fn maybe(applied: bool) -> &'static str {
    if applied { "; the command may have been applied" } else { "" }
}

impl<E> AskError<E> {
    /// Whether the command may be in the history all the same.
    pub fn maybe_applied(&self) -> bool {
        match self {
            Self::Timeout { maybe_applied }
            | Self::Unavailable { maybe_applied, .. }
            | Self::Poisoned { maybe_applied, .. }
            | Self::Invalid { maybe_applied, .. }
            | Self::Quarantined { maybe_applied, .. }
            | Self::Codec { maybe_applied, .. } => *maybe_applied,
            Self::Rejected(_) | Self::Busy => false,
        }
    }
}

/// What an outcome means to the typed caller that asked `C` of an `A`.
///
/// # Errors
/// [`AskError`], for everything but a reply.
pub fn read_outcome<A: Actor, C: Command>(outcome: Outcome) -> Result<C::Reply, AskError<A::Error>> {
    read_reply(outcome)
}

/// As [`read_outcome`], for whatever is replied.
pub(crate) fn read_reply<R: DeserializeOwned + 'static, E: DeserializeOwned + 'static>(
    outcome: Outcome,
) -> Result<R, AskError<E>> {
    let unread = |cause| AskError::Codec { cause, maybe_applied: true };
    let unread_look = |cause| AskError::Codec { cause, maybe_applied: false };
    match outcome {
        Outcome::Replied(reply) => take(reply).map_err(unread),
        Outcome::Looked(reply) => take(reply).map_err(unread_look),
        Outcome::Rejected(rejection) => Err(take(rejection).map_or_else(unread_look, AskError::Rejected)),
        Outcome::Other(answer) => Err(failure(answer)),
    }
}

fn take<T: DeserializeOwned + 'static>(payload: Payload) -> Result<T, CodecError> {
    match payload {
        Payload::Encoded(codec, bytes) => codec::decode(codec, &bytes),
        Payload::Typed(value) => match value.downcast() {
            Ok(value) => Ok(*value),
            Err(_) => Err(CodecError::Decode { reason: "the value is of another type".into() }),
        },
    }
}

fn failure<E>(answer: Answer) -> AskError<E> {
    match answer {
        Answer::NotOwner { .. } | Answer::Moving { .. } | Answer::Behind => {
            AskError::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false }
        }
        Answer::Unavailable { retry_after, maybe_applied } => AskError::Unavailable { retry_after, maybe_applied },
        Answer::Busy => AskError::Busy,
        Answer::Expired { maybe_applied } => AskError::Timeout { maybe_applied },
        Answer::Poisoned { reason, maybe_applied } => AskError::Poisoned { reason, maybe_applied },
        Answer::Invalid { reason, maybe_applied } => AskError::Invalid { reason, maybe_applied },
        Answer::Quarantined { reason, maybe_applied } => AskError::Quarantined { reason, maybe_applied },
        Answer::Replied(_) | Answer::Looked(_) | Answer::Rejected(_) => {
            let reason = "the answer does not say how it is encoded".into();
            AskError::Codec { cause: CodecError::Decode { reason }, maybe_applied: true }
        }
    }
}

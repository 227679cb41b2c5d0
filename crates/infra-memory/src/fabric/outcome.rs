//! What may be asked of the server, and how it answers: the ports' operations and errors as plain, cloneable values.
//!
//! The ports' own errors carry a boxed cause and cannot be cloned or compared; these can, and turn into those.

use aether_domain::ids::{ActorAddress, NodeRef, Revision, Sequence};
use aether_domain::ports::{AppendError, Expected, Frame, ReadError, SendError, WriteError};
use aether_domain::records::{
    CommitRecord, ControlKey, ControlRecord, Entry, Position, StoredCommit, StoredEntry, StoredRecord,
};

/// One operation of one node on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read a control record.
    ReadControl(ControlKey),
    /// Write a control record by compare-and-set.
    WriteControl {
        /// What to write.
        record: ControlRecord,
        /// What the key must be at.
        expected: Expected,
    },
    /// Append to the topology log by compare-and-set.
    AppendEntry {
        /// What to append.
        entry: Entry,
        /// The sequence the log must be at.
        after: Sequence,
    },
    /// Read the topology log.
    ReadLog {
        /// From behind this one.
        after: Sequence,
        /// At most so many entries.
        limit: usize,
    },
    /// Append to an actor's history by compare-and-set.
    AppendCommit {
        /// Whose.
        actor: ActorAddress,
        /// What to append.
        record: CommitRecord,
        /// The sequence its history must be at.
        after: Sequence,
    },
    /// Read an actor's history.
    ReadHistory {
        /// Whose.
        actor: ActorAddress,
        /// From behind this one.
        after: Sequence,
        /// Whether the stream's leader answers.
        fresh: bool,
    },
    /// Send frames to another life.
    Send {
        /// Who sends.
        from: NodeRef,
        /// To whom.
        to: NodeRef,
        /// What, in one message.
        frames: Vec<Frame>,
    },
}

impl Op {
    /// Whether it changes what is stored.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::WriteControl { .. } | Self::AppendEntry { .. } | Self::AppendCommit { .. })
    }
}

/// How an operation ended, in the shape of its port's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one operation")]
pub enum Outcome {
    /// Of [`Op::ReadControl`].
    Control(Result<Option<StoredRecord>, ReadFailure>),
    /// Of [`Op::WriteControl`].
    Written(Result<Revision, WriteFailure>),
    /// Of [`Op::AppendEntry`] and [`Op::AppendCommit`].
    Appended(Result<Position, AppendFailure>),
    /// Of [`Op::ReadLog`].
    Log(Result<Vec<StoredEntry>, ReadFailure>),
    /// Of [`Op::ReadHistory`].
    History(Result<Vec<StoredCommit>, ReadFailure>),
    /// Of [`Op::Send`].
    Sent(Result<(), SendFailure>),
}

impl Outcome {
    /// Whether the operation did what was asked.
    pub fn is_ok(&self) -> bool {
        match self {
            Self::Control(answer) => answer.is_ok(),
            Self::Written(answer) => answer.is_ok(),
            Self::Appended(answer) => answer.is_ok(),
            Self::Log(answer) => answer.is_ok(),
            Self::History(answer) => answer.is_ok(),
            Self::Sent(answer) => answer.is_ok(),
        }
    }
}

/// The technical reason behind a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The node has no connection to the server.
    #[error("this node is cut off from the server")]
    CutOff,
    /// The whole server is away.
    #[error("the server is down")]
    Outage,
    /// The request or its answer was lost on the way.
    #[error("no answer within the time-out")]
    NoAnswer,
    /// The stream is between two leaders.
    #[error("the stream has no leader")]
    NoLeader,
    /// There is already a listener for that life.
    #[error("this life already listens")]
    AlreadyListening,
}

/// [`WriteError`] as a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// Nothing was written: the key is elsewhere. `None` while another write was in flight.
    Conflict {
        /// Where it is.
        actual: Option<Revision>,
    },
    /// It may be written now, later, or never.
    Unknown(Cause),
    /// Certainly not written.
    Unavailable(Cause),
}

/// [`AppendError`] as a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendFailure {
    /// Nothing was appended: the tail is elsewhere. `None` while another append was in flight.
    Conflict {
        /// The sequence the caller named.
        expected: Sequence,
        /// The tail found.
        actual: Option<Sequence>,
    },
    /// It may be stored now, later, or never.
    Unknown(Cause),
    /// Certainly not stored.
    Unavailable(Cause),
    /// Certainly not stored, and never will be.
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

/// [`ReadError`] as a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFailure {
    /// Not readable now.
    Unavailable(Cause),
    /// A control record that nobody can understand; only what [`Fabric::spoil`](super::Fabric::spoil) did.
    Corrupt {
        /// Where it lies.
        revision: Revision,
    },
}

/// [`SendError`] as a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// Not connected now; nothing was sent.
    Unavailable(Cause),
    /// Too large for one message; nothing was sent.
    TooLarge {
        /// How large the frames are.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

impl From<WriteFailure> for WriteError {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Conflict { actual } => Self::Conflict { actual },
            WriteFailure::Unknown(cause) => Self::Unknown { cause: cause.into() },
            WriteFailure::Unavailable(cause) => Self::Unavailable { cause: cause.into() },
        }
    }
}

impl From<AppendFailure> for AppendError {
    fn from(failure: AppendFailure) -> Self {
        match failure {
            AppendFailure::Conflict { expected, actual } => Self::Conflict { expected, actual },
            AppendFailure::Unknown(cause) => Self::Unknown { cause: cause.into() },
            AppendFailure::Unavailable(cause) => Self::Unavailable { cause: cause.into() },
            AppendFailure::TooLarge { bytes, bytes_max } => Self::TooLarge { bytes, bytes_max },
        }
    }
}

impl From<ReadFailure> for ReadError {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Unavailable(cause) => Self::Unavailable { cause: cause.into() },
            ReadFailure::Corrupt { revision } => {
                Self::Corrupt { sequence: revision.0, reason: "it was spoiled".into() }
            }
        }
    }
}

impl From<SendFailure> for SendError {
    fn from(failure: SendFailure) -> Self {
        match failure {
            SendFailure::Unavailable(cause) => Self::Unavailable { cause: cause.into() },
            SendFailure::TooLarge { bytes, bytes_max } => Self::TooLarge { bytes, bytes_max },
        }
    }
}

//! How operations on the world fail, told apart by what the caller may now assume.

use crate::ids::{Revision, Sequence};

/// The cause of a technical failure; walk its chain for the detail.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a conditional write compares with. There is no third variant: an unconditional overwrite cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No record under this key yet.
    Absent,
    /// The record's present revision.
    At(Revision),
}

impl Expected {
    /// The revision to compare with; 0 stands for "none yet".
    pub fn revision(self) -> Revision {
        match self {
            Self::Absent => Revision::ZERO,
            Self::At(revision) => revision,
        }
    }
}

/// Why a control record was not written, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody wrote first, or an earlier attempt of our own did; this attempt wrote nothing. Read and look for your
    /// own nonce before deciding again.
    #[error("the record is not at the expected revision")]
    Conflict {
        /// The revision found, where the store named it.
        actual: Option<Revision>,
    },
    /// Sent, and no answer: it may be written now, later, or never. Read and look for your own nonce; to try again,
    /// send the same record with the same expectation.
    #[error("write sent, outcome unknown")]
    Unknown {
        /// What happened to the answer.
        #[source]
        cause: BoxError,
    },
    /// Certainly not written: the store cannot be reached or has no leader now. Try again later.
    #[error("control store unavailable")]
    Unavailable {
        /// Why not.
        #[source]
        cause: BoxError,
    },
}

/// Why a record was not appended, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody appended first, or an earlier attempt of our own did; this attempt wrote nothing. Read what lies between
    /// the expectation and the tail and look for your own nonce before deciding again.
    #[error("the stream is not at the expected sequence {expected}")]
    Conflict {
        /// The sequence the caller named.
        expected: Sequence,
        /// The sequence found, where the store named it.
        actual: Option<Sequence>,
    },
    /// Sent, and no answer: it may be written now, later, or never. Read and look for your own nonce; to try again, send
    /// the same record with the same expectation.
    #[error("append sent, outcome unknown")]
    Unknown {
        /// What happened to the answer.
        #[source]
        cause: BoxError,
    },
    /// Certainly not written: the store cannot be reached, has no leader now, or is full. Try again later.
    #[error("stream unavailable")]
    Unavailable {
        /// Why not.
        #[source]
        cause: BoxError,
    },
    /// Certainly not written, and trying again cannot help: the encoded record exceeds its bound.
    #[error("record of {bytes} bytes exceeds the bound of {bytes_max}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store cannot be reached or has no leader now. Try again later.
    #[error("store unavailable")]
    Unavailable {
        /// Why not.
        #[source]
        cause: BoxError,
    },
    /// A stored record cannot be understood. It is never skipped.
    #[error("stored record at {sequence} cannot be read: {reason}")]
    Corrupt {
        /// Where it is.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
}

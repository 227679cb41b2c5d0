//! The topology log: the one ordered stream that decides.

use async_trait::async_trait;

use super::{AppendError, ReadError, Updates};
use crate::ids::Sequence;
use crate::records::{Entry, Position, StoredEntry};

/// The append-only topology log under compare-and-set on its last entry.
///
/// # Contract
/// - `append` succeeds only if the log's last sequence is `after` ([`Sequence::ZERO`] for an empty log); of racing
///   appends with the same `after` at most one succeeds.
/// - An appended entry is never changed, removed or reordered.
/// - [`Position::hash`] is the same for every reader and equals what the writer was answered.
/// - `read` and `follow` may lag behind; they never skip, reorder or invent.
#[async_trait]
pub trait TopologyLog: Send + Sync {
    /// Appends `entry` behind `after` and answers where it is now.
    ///
    /// # Errors
    /// [`AppendError`], which says whether it may have been written.
    async fn append(&self, entry: &Entry, after: Sequence) -> Result<Position, AppendError>;

    /// Up to `limit` entries behind `after`, in order; empty at the tail.
    ///
    /// # Errors
    /// [`ReadError`]; a corrupt entry is an error, never skipped.
    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredEntry>, ReadError>;

    /// Every entry behind `after`, then every later one as it is appended, in order and without gaps.
    ///
    /// An entry may come twice: ignore a sequence that is not above the last. The stream heals itself after a lost
    /// connection.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] if it cannot begin.
    async fn follow(&self, after: Sequence) -> Result<Updates<LogUpdate>, ReadError>;
}

/// One thing a follower of the log is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogUpdate {
    /// The next entry.
    Entry(StoredEntry),
    /// An entry that cannot be understood; nothing follows it.
    Corrupt {
        /// Where it is.
        sequence: Sequence,
        /// What is wrong with it.
        reason: String,
    },
}

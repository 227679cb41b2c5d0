//! The store of actor histories.

use async_trait::async_trait;

use super::{AppendError, ReadError};
use crate::ids::{ActorAddress, Sequence};
use crate::records::{CommitRecord, Position, StoredCommit};

/// Actor histories: one ordered run of commits an actor, under compare-and-set on its last commit.
///
/// Sequences belong to a stream shared by many actors: they grow along one history but are not contiguous there.
///
/// # Contract
/// - `append` succeeds only if the actor's last commit is at `after` ([`Sequence::ZERO`] if it has none); of racing
///   appends with the same `after` at most one succeeds.
/// - A commit is stored whole or not at all, and never changed, removed or reordered. A full store refuses.
/// - [`Position::hash`] is the same for every reader and equals what the writer was answered.
/// - `read` may be stale (it may miss a tail just written); it never skips, reorders or invents.
/// - Histories of different actors, kinds and namespaces never mix.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Appends `record` to the actor's history behind `after` and answers where it is now.
    ///
    /// # Errors
    /// [`AppendError`], which says whether it may have been written.
    async fn append(
        &self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError>;

    /// The actor's commits behind `after`, in order, all of them.
    ///
    /// # Errors
    /// [`ReadError`]; a corrupt record is an error, never skipped.
    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError>;

    /// Like [`Self::read`], but where the history ends is answered by the stream's leader, last of all: as fresh as the
    /// store can be without a write.
    ///
    /// Used to look for an own record after an unknown outcome or a conflict.
    ///
    /// # Errors
    /// As [`Self::read`].
    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError>;
}

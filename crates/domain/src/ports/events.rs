//! The store of actor histories.

use std::fmt;
use std::sync::Arc;

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

    /// The store itself, if it can append for those who begin many and wait for none.
    fn begins(&self) -> Option<&dyn BeginAppend> {
        None
    }
}

/// A store that tells what became of an append instead of being waited for.
///
/// Where many appends are under way this saves a task for each.
pub trait BeginAppend: Send + Sync {
    /// Does what [`EventStore::append`] does, with the same outcomes. It does not wait, and must be called within the
    /// runtime that does the store's I/O. Dropping its caller changes nothing.
    fn begin(&self, actor: ActorAddress, record: Arc<CommitRecord>, after: Sequence, told: OnAppended);
}

/// Is told once what became of an append, on whatever thread knows it: before [`BeginAppend::begin`] returns or later. It
/// must not wait there. Dropped untold, it hears that the outcome is unknown.
pub struct OnAppended(Option<Hears>);

type Hears = Box<dyn FnOnce(Result<Position, AppendError>) + Send>;

/// Why the outcome of an append is not known although no connection was lost.
#[derive(Debug, thiserror::Error)]
#[error("the store has ended before it could say")]
struct Ended;

impl OnAppended {
    /// One that does this.
    pub fn new(hears: impl FnOnce(Result<Position, AppendError>) + Send + 'static) -> Self {
        Self(Some(Box::new(hears)))
    }

    /// Tells it.
    pub fn tell(mut self, outcome: Result<Position, AppendError>) {
        self.hear(outcome);
    }

    fn hear(&mut self, outcome: Result<Position, AppendError>) {
        if let Some(hears) = self.0.take() {
            hears(outcome);
        }
    }
}

impl Drop for OnAppended {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.hear(Err(AppendError::Unknown { cause: Ended.into() }));
        }
    }
}

impl fmt::Debug for OnAppended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnAppended").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn whoever_is_told_hears_it_once_and_whoever_is_not_hears_that_nobody_knows() {
        let (hears, heard) = mpsc::channel();
        let on = |name| {
            let hears = hears.clone();
            OnAppended::new(move |outcome| hears.send((name, outcome)).expect("somebody listens"))
        };
        on("told").tell(Ok(Position { sequence: Sequence(7), hash: 1 }));
        drop(on("dropped"));
        drop(hears);
        let heard: Vec<_> = heard.iter().collect();
        assert!(matches!(
            heard[..],
            [("told", Ok(Position { sequence: Sequence(7), .. })), ("dropped", Err(AppendError::Unknown { .. }))]
        ));
    }
}

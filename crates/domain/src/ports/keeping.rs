//! What is kept beside histories: snapshots, wakes, checkpoints of feeds, dead letters.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::{BoxError, Expected, ReadError, WriteError};
use crate::ids::{ActorAddress, FeedName, Revision, Sequence, Slot};
use crate::records::{ActorSnapshot, Checkpoint, DeadLetter, StoredCheckpoint, StoredLetter, Wake};
use crate::time::WallTime;

/// Why something was not kept, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The store did not take it, or did not answer: it may be there all the same. Saving it again is safe.
    #[error("store unavailable")]
    Unavailable {
        /// Why.
        #[source]
        cause: BoxError,
    },
    /// Certainly not kept, and trying again cannot help.
    #[error("{bytes} bytes exceed the bound of {bytes_max}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

/// Snapshots of actors: a cache of what their histories say.
///
/// # Contract
/// - Of what was saved the two last are kept, at least; older ones may be gone.
/// - A snapshot is read as it was saved or not at all: one that is damaged, incomplete or of a format this build does not
///   know is left out. It may be of any size up to [`SNAPSHOT_BYTES_MAX`].
/// - Snapshots of different actors, kinds and namespaces never mix.
#[async_trait]
pub trait SnapshotStore: Send + Sync {
    /// Keeps a snapshot.
    ///
    /// # Errors
    /// [`SaveError`].
    async fn save(&self, actor: &ActorAddress, snapshot: &ActorSnapshot) -> Result<(), SaveError>;

    /// The last one of a commit that is not behind `up_to`; [`Sequence::MAX`] asks for the last of all. May be stale.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; never [`ReadError::Corrupt`].
    async fn load(&self, actor: &ActorAddress, up_to: Sequence) -> Result<Option<ActorSnapshot>, ReadError>;
}

/// The most bytes of one snapshot, as [`ActorSnapshot::bytes`] counts them.
pub const SNAPSHOT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// When which actor has to be looked at: at most one wake an actor, under compare-and-set.
///
/// # Contract
/// - Of racing writes with the same expectation at most one succeeds. The revision of an actor that never had a wake is 0.
/// - `pending` has seen every write that was acknowledged before it was asked, unless the store is changing leaders; so it
///   must be asked again now and then.
/// - Wakes of different actors, kinds and namespaces never mix.
#[async_trait]
pub trait WakeStore: Send + Sync {
    /// Says when the actor has to be looked at next; `None`: not at all.
    ///
    /// # Errors
    /// [`WriteError`], which says whether it may have been written.
    async fn set(&self, actor: &ActorAddress, at: Option<WallTime>, expected: Expected)
    -> Result<Revision, WriteError>;

    /// The actor's wake, if one was ever set. May be stale.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read(&self, actor: &ActorAddress) -> Result<Option<Wake>, ReadError>;

    /// The wakes up to `until` of the actors in these slots, earliest first: the first `limit` of them. One that cannot be
    /// understood is left out.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; never [`ReadError::Corrupt`].
    async fn pending(
        &self,
        slots: &[RangeInclusive<Slot>],
        until: WallTime,
        limit: usize,
    ) -> Result<Vec<Wake>, ReadError>;
}

/// How far feeds have come: one record a feed, under compare-and-set.
///
/// # Contract
/// - Of racing writes with the same expectation at most one succeeds; a later write has a higher revision, whatever its feed.
/// - A write whose outcome is [`WriteError::Unknown`] can be found by its nonce.
/// - Namespaces never mix.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// The record of that feed, if it ever began. May be stale.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read(&self, feed: &FeedName) -> Result<Option<StoredCheckpoint>, ReadError>;

    /// Writes the record of its feed.
    ///
    /// # Errors
    /// [`WriteError`], which says whether it may have been written.
    async fn write(&self, checkpoint: &Checkpoint, expected: Expected) -> Result<Revision, WriteError>;

    /// Every feed's record, by name. May be stale.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn all(&self) -> Result<Vec<StoredCheckpoint>, ReadError>;
}

/// Commands that were given up, until a person has looked at them.
///
/// # Contract
/// - A letter is read as it was kept.
/// - What is full refuses ([`SaveError::Unavailable`]) and forgets nothing to make room.
/// - Letters of different namespaces never mix.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Keeps a letter. Kept twice it may be there twice.
    ///
    /// # Errors
    /// [`SaveError`]; too large is what is beyond [`DeadLetter::PAYLOAD_BYTES_MAX`] or [`DeadLetter::REASON_BYTES_MAX`].
    async fn keep(&self, letter: &DeadLetter) -> Result<(), SaveError>;

    /// The letters behind `after`, in order, at most `limit`. Those before one that cannot be understood are answered
    /// without it.
    ///
    /// # Errors
    /// [`ReadError`]; of a first one that cannot be understood, [`ReadError::Corrupt`] names where it is, to go on behind.
    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredLetter>, ReadError>;

    /// Forgets a letter. One that is not there is forgotten already. It may come back if the store loses its last writes.
    ///
    /// # Errors
    /// [`SaveError::Unavailable`].
    async fn forget(&self, sequence: Sequence) -> Result<(), SaveError>;
}

//! Where a history ends, and whether a record goes on from there.

use super::{Position, StoredCommit};
use crate::ids::{Epoch, Sequence, Version};

/// Where a history ends, or a state was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many events there are up to here.
    pub version: Version,
    /// The last record.
    pub at: Position,
    /// What that record was fenced with: zero, unless an actor of a cluster wrote it.
    pub shard_epoch: Epoch,
}

/// How a record does not go on from where the history ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It stands at or before the record that it is told after.
    #[error("it stands behind {before}, not after it")]
    OutOfOrder {
        /// Where the history ends.
        before: Sequence,
    },
    /// It names another record before it: one is missing, or is not the one it was.
    #[error("what it goes on from is not the record at {before}")]
    Unchained {
        /// Where the history ends.
        before: Sequence,
    },
    /// Its events would not be contiguous with those before.
    #[error("it is based on version {base}, but {version} events are before")]
    Based {
        /// The version it is based on.
        base: Version,
        /// The events before it.
        version: Version,
    },
    /// It was written by an owner who had already been followed by another.
    #[error("its shard epoch {epoch} is below {before} before it")]
    Fenced {
        /// Its shard epoch.
        epoch: Epoch,
        /// That of the record before.
        before: Epoch,
    },
}

impl Head {
    /// Where the history ends with `commit`, if that goes on from here.
    ///
    /// # Errors
    /// [`Broken`]: it does not, and what it leads to is nobody's history.
    pub fn follow(self, commit: &StoredCommit) -> Result<Self, Broken> {
        let StoredCommit { record, at } = commit;
        let before = self.at.sequence;
        if (record.prev_sequence, record.prev_hash) != (before, self.at.hash) {
            return Err(Broken::Unchained { before });
        }
        if at.sequence <= before {
            return Err(Broken::OutOfOrder { before });
        }
        if record.base != self.version {
            return Err(Broken::Based { base: record.base, version: self.version });
        }
        if record.shard_epoch < self.shard_epoch {
            return Err(Broken::Fenced { epoch: record.shard_epoch, before: self.shard_epoch });
        }
        Ok(commit.head())
    }
}

impl StoredCommit {
    /// Where a history ends that ends with this.
    pub fn head(&self) -> Head {
        Head { version: self.record.version(), at: self.at, shard_epoch: self.record.shard_epoch }
    }
}

//! What makes a run of entries whole: each names the hash of the one before.
//!
//! Epochs order them and say where to go on; that nothing is missing in between is proved by the hashes, so it does not
//! matter whether an epoch is also a sequence of the stream.

use aether_domain::records::{Position, StoredEntry};
use aether_domain::{Epoch, Sequence};

/// Why a subscription has ended. Trying again from the same epoch meets the same entry: a person should look.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// An entry cannot be understood. Everything before it has been told.
    #[error("the topology entry at sequence {sequence} cannot be understood: {reason}")]
    Corrupt {
        /// Where it is.
        sequence: Sequence,
        /// What is wrong with it.
        reason: String,
    },
    /// What follows the last entry told does not belong behind it: entries are gone, or the log is another one.
    #[error("the topology entry of epoch {epoch} at sequence {sequence} does not belong behind epoch {behind}")]
    Broken {
        /// Where it is.
        sequence: Sequence,
        /// Its epoch.
        epoch: Epoch,
        /// The last epoch known.
        behind: Epoch,
    },
}

/// The last entry known, and from which epoch on entries are wanted.
#[derive(Debug, Default)]
pub(super) struct Chain {
    at: Position,
    epoch: Epoch,
    /// Nothing up to here is told.
    wanted_behind: Epoch,
}

impl Chain {
    /// Behind `anchor`, telling nothing up to `wanted_behind`.
    pub(super) fn behind(anchor: Option<&StoredEntry>, wanted_behind: Epoch) -> Self {
        match anchor {
            Some(stored) => Self { at: stored.at, epoch: stored.entry.epoch, wanted_behind },
            None => Self { wanted_behind, ..Self::default() },
        }
    }

    /// The last sequence known.
    pub(super) fn at(&self) -> Sequence {
        self.at.sequence
    }

    /// Takes the next entry; answers whether it is to be told. One that was taken before is passed over.
    pub(super) fn take(&mut self, stored: &StoredEntry) -> Result<bool, SubscriptionError> {
        let (sequence, epoch) = (stored.at.sequence, stored.entry.epoch);
        if sequence <= self.at.sequence {
            return Ok(false);
        }
        if epoch <= self.epoch || stored.entry.prev_hash != self.at.hash {
            return Err(SubscriptionError::Broken { sequence, epoch, behind: self.epoch });
        }
        (self.at, self.epoch) = (stored.at, epoch);
        Ok(epoch > self.wanted_behind)
    }
}

//! The store of small records that everybody watches: the lease, each node's heartbeat, what each node released, the
//! placement that an operator wants; and the snapshot of the topology, which is only read.

use async_trait::async_trait;

use super::{Expected, ReadError, Updates, WriteError};
use crate::ids::Revision;
use crate::records::{ControlKey, ControlRecord, StoredRecord};

/// Control records under compare-and-set.
///
/// # Contract
/// - Of any number of racing writes with the same `expected`, at most one succeeds.
/// - A write with [`Expected::Absent`] succeeds only if the key has never been written.
/// - A revision is never 0 and grows with every write in the store.
/// - A time-out or a lost connection is [`WriteError::Unknown`], never `Conflict`: it may have been our own write.
/// - `read` may be stale; it never invents.
/// - Nothing is ever deleted.
#[async_trait]
pub trait ControlStore: Send + Sync {
    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is known then.
    async fn read(&self, key: &ControlKey) -> Result<Option<StoredRecord>, ReadError>;

    /// Writes `record` under its own key if the key is as `expected`, and answers its new revision.
    ///
    /// # Errors
    /// [`WriteError`], which says whether it may have been written.
    async fn write(&self, record: &ControlRecord, expected: Expected) -> Result<Revision, WriteError>;

    /// Every key's last record, then [`ControlUpdate::CaughtUp`], then every later record as it is written.
    ///
    /// But for the topology snapshot: a node that follows the log has no use for it, and one that starts reads it.
    ///
    /// Records of one key come in order of revision; intermediate ones may be skipped, the last one never is.
    /// An update may come twice: ignore a revision that is not above the last of its key. The stream heals itself after
    /// a lost connection and says so with [`ControlUpdate::Interrupted`], then lists what it missed.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] if it cannot begin.
    async fn watch(&self) -> Result<Updates<ControlUpdate>, ReadError>;
}

/// One thing a watcher of the control store is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every one holds a heartbeat, which is the large one")]
pub enum ControlUpdate {
    /// A record is now this.
    Record(StoredRecord),
    /// Everything that was there when the watch began, or came back, has been told.
    CaughtUp,
    /// The connection was lost: from here on nothing may be concluded from silence. When it is back, what was missed
    /// follows (and perhaps more, again), and then [`Self::CaughtUp`].
    Interrupted,
    /// A key holds something that cannot be understood. Nothing was applied.
    Corrupt {
        /// The key as the store names it.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

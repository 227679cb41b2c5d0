//! What happened to shards.

use crate::ids::{NodeRef, ShardSet};

/// Shards that a plan moves from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMove {
    /// Which shards.
    pub shards: ShardSet,
    /// Their owner.
    pub from: NodeRef,
    /// Their next owner.
    pub to: NodeRef,
}

/// An event of the [`ShardAssignment`](super::ShardAssignment). One event may speak of many shards with the same fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentEvent {
    /// Shards without a living owner have one now; this entry's epoch is their shard epoch.
    ShardAssigned {
        /// Which shards.
        shards: ShardSet,
        /// Their owner.
        to: NodeRef,
    },
    /// Their owner is asked to release shards; this entry's epoch is the drain epoch it must report.
    ShardMigrationStarted {
        /// Which shards.
        shards: ShardSet,
        /// Their owner until it has released them.
        from: NodeRef,
        /// Who gets them then.
        to: NodeRef,
    },
    /// Released shards have a new owner; this entry's epoch is their shard epoch.
    ShardMigrated {
        /// Which shards.
        shards: ShardSet,
        /// Who had them.
        from: NodeRef,
        /// Who has them.
        to: NodeRef,
    },
    /// A move was given up; the source keeps the shards, and this entry's epoch is their shard epoch.
    ShardMigrationFailed {
        /// Which shards.
        shards: ShardSet,
        /// Who keeps them.
        from: NodeRef,
        /// Who does not get them.
        to: NodeRef,
        /// Why.
        reason: CancelReason,
    },
    /// Shards have no owner because no node is there to have them.
    ShardsOrphaned {
        /// Which shards.
        shards: ShardSet,
    },
}

/// Why a move was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CancelReason {
    /// The destination failed or is leaving.
    DestinationGone,
    /// The source did not release in time.
    Deadline,
    /// A person asked.
    Operator,
}

impl CancelReason {
    /// Every reason with its stable name.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::DestinationGone, "destination-gone"), (Self::Deadline, "deadline"), (Self::Operator, "operator")];
}

//! What may be asked of the assignment.

use super::{CancelReason, PlannedMove};
use crate::ids::{Epoch, Incarnation, NodeRef, ShardSet};

/// Shards for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which shards.
    pub shards: ShardSet,
    /// For whom.
    pub to: NodeRef,
}

/// A command to the [`ShardAssignment`](super::ShardAssignment). Facts of the cluster travel in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentCommand {
    /// Give shards whose owner is none, or gone, to nodes.
    AssignShards {
        /// Who gets what.
        grants: Vec<Grant>,
        /// The Active lives: nobody else may be given a shard.
        active: Vec<Incarnation>,
        /// The lives that still own what they own: nothing may be taken from them here.
        living: Vec<Incarnation>,
    },
    /// Begin to move shards from living owners.
    RebalanceFromTopology {
        /// The moves to begin.
        moves: Vec<PlannedMove>,
        /// The Active lives.
        active: Vec<Incarnation>,
    },
    /// Move what its source has released to its destination.
    CompleteMigration {
        /// What was released.
        shards: ShardSet,
        /// By whom.
        from: NodeRef,
        /// For whom.
        to: NodeRef,
        /// The epoch of the entry that began the move.
        drain_epoch: Epoch,
        /// The Active lives: a destination that is gone is refused.
        active: Vec<Incarnation>,
    },
    /// Give a move up: the source keeps the shards, under a new epoch.
    CancelMigration {
        /// Which shards, all on their way.
        shards: ShardSet,
        /// Who keeps them.
        from: NodeRef,
        /// Who does not get them.
        to: NodeRef,
        /// Why.
        reason: CancelReason,
    },
    /// Take shards from an owner that leaves when nobody is there to have them.
    ReleaseShard {
        /// Which shards.
        shards: ShardSet,
    },
}

//! The assignment's "no".

use crate::ids::{NodeRef, ShardId};

/// Why the [`ShardAssignment`](super::ShardAssignment) refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentRefusal {
    /// Only an Active node may be given a shard.
    #[error("shard {shard} cannot go to {node}: it is not active")]
    NodeNotActive {
        /// The shard.
        shard: ShardId,
        /// The node.
        node: NodeRef,
    },
    /// The shard has a living owner: it can be moved, not taken.
    #[error("shard {shard} has a living owner; move it instead")]
    HasOwner {
        /// The shard.
        shard: ShardId,
    },
    /// The shard is not owned by the source named.
    #[error("shard {shard} is not owned by {node}")]
    NotOwner {
        /// The shard.
        shard: ShardId,
        /// Who was said to own it.
        node: NodeRef,
    },
    /// The shard is not on its way, or under another epoch.
    #[error("shard {shard} is not on its way under that epoch")]
    NotMoving {
        /// The shard.
        shard: ShardId,
    },
    /// There is no such shard.
    #[error("there is no shard {shard} among {shards}")]
    NoSuchShard {
        /// The shard.
        shard: ShardId,
        /// How many there are.
        shards: usize,
    },
    /// A move to where the shard is already.
    #[error("shard {shard} is at {node} already")]
    AlreadyThere {
        /// The shard.
        shard: ShardId,
        /// The node.
        node: NodeRef,
    },
}

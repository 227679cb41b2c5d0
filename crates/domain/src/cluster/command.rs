//! What may be asked of the cluster.

use std::sync::Arc;

use super::{ClusterSettings, FailureReason, NodeInfo, RebalanceCause};
use crate::assignment::PlannedMove;
use crate::ids::{ClusterUid, NodeId, NodeRef, PlanId};
use crate::orders::RebalanceOrder;
use crate::policy::{PlacementPolicy, Strategy};

/// A command to the [`Cluster`](super::Cluster).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterCommand {
    /// Found a cluster: once, as the first event of its log.
    CreateCluster {
        /// Its identity, drawn at random.
        uid: ClusterUid,
        /// What can never change afterwards.
        settings: ClusterSettings,
    },
    /// Take a node in. A member's new life replaces the old one, whose shards must be assigned in the same entry.
    JoinCluster {
        /// The life that joins.
        node: NodeRef,
        /// What it is like; its weight is at least 1.
        info: NodeInfo,
    },
    /// Declare a life over, after it was fenced. Its shards must be assigned in the same entry.
    MarkNodeFailed {
        /// The life that is over.
        node: NodeRef,
        /// How that is known.
        reason: FailureReason,
    },
    /// Begin to move a node's shards away.
    DrainNode {
        /// The life to drain.
        node: NodeRef,
    },
    /// Let a node go that owns nothing any more.
    LeaveCluster {
        /// The life that leaves.
        node: NodeRef,
        /// How many shards it owns now; more than none is refused.
        shards_owned: usize,
    },
    /// Give nothing more to a node that others have found unwell for a while.
    SuspectNode {
        /// The life that is unwell.
        node: NodeRef,
        /// Who says so.
        by: Vec<NodeId>,
    },
    /// Move the shards of a suspected node away: of one node at a time, and never of more than a fifth of the Active ones.
    RelieveNode {
        /// The life to relieve.
        node: NodeRef,
    },
    /// Take a suspected node for a good one again.
    TrustNode {
        /// The life that is well.
        node: NodeRef,
    },
    /// Go by another placement policy from here on.
    AdoptPlacement {
        /// The policy; one that is gone by already, or contradicts itself, is refused.
        policy: Arc<PlacementPolicy>,
    },
    /// Say that what the adopted strategy proposes cannot be used, and that the built-in one steps in.
    RejectPlacement {
        /// The strategy.
        strategy: Strategy,
        /// What is wrong, in words; cut to [`ClusterEvent::WHY_CHARS_MAX`](super::ClusterEvent::WHY_CHARS_MAX).
        why: String,
    },
    /// Do as an operator asks with redistribution.
    OrderRebalance {
        /// The order; the one that was taken up last is refused.
        order: RebalanceOrder,
    },
    /// Announce a plan of moves.
    RebalanceShards {
        /// Its number: the epoch of the entry that will hold it.
        plan: PlanId,
        /// What made it necessary.
        cause: RebalanceCause,
        /// The moves; none is refused. While redistribution is paused, only those from nodes that leave or are relieved are
        /// not.
        moves: Vec<PlannedMove>,
    },
    /// Close a plan all of whose moves are done or given up.
    CompleteRebalance {
        /// Its number.
        plan: PlanId,
        /// Moves of it still open; more than none is refused.
        open: usize,
    },
}

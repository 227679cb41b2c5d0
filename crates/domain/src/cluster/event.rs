//! What happened to the cluster.

use std::sync::Arc;

use super::{ClusterSettings, NodeInfo};
use crate::assignment::PlannedMove;
use crate::ids::{ClusterUid, Incarnation, NodeId, NodeRef, PlanId};
use crate::orders::RebalanceOrder;
use crate::policy::{PlacementPolicy, Strategy};

/// An event of the [`Cluster`](super::Cluster).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// The cluster exists.
    ClusterCreated {
        /// Its identity.
        uid: ClusterUid,
        /// What can never change afterwards.
        settings: ClusterSettings,
    },
    /// A node is Active.
    NodeJoined {
        /// Which life of it.
        node: NodeRef,
        /// What it is like.
        info: NodeInfo,
    },
    /// A member's new life has replaced an old one.
    NodeRestarted {
        /// The new life, Active.
        node: NodeRef,
        /// The life that is over.
        previous: Incarnation,
        /// What it is like.
        info: NodeInfo,
    },
    /// A node hands its shards over.
    NodeDraining {
        /// Which.
        node: NodeRef,
    },
    /// A life is over without having left.
    NodeFailed {
        /// Which.
        node: NodeRef,
        /// How that is known.
        reason: FailureReason,
    },
    /// A node has left in good order.
    NodeLeft {
        /// Which.
        node: NodeRef,
    },
    /// A node answers, but not as it should, and has not for a while: it keeps what it has and is given nothing.
    NodeSuspected {
        /// Which.
        node: NodeRef,
        /// Who finds it unwell, itself perhaps among them.
        by: Vec<NodeId>,
    },
    /// A suspected node is no better: its shards are moved to others, a few at a time, while it stays a member.
    NodeRelieved {
        /// Which.
        node: NodeRef,
    },
    /// A suspected node has been well for a while: it is as good as any other again.
    NodeTrusted {
        /// Which.
        node: NodeRef,
    },
    /// The cluster goes by another placement policy from here on.
    PlacementAdopted {
        /// Which.
        policy: Arc<PlacementPolicy>,
    },
    /// What the adopted strategy proposed cannot be used: the built-in one plans instead.
    PlacementRejected {
        /// The strategy.
        strategy: Strategy,
        /// What is wrong, in words: at most [`ClusterEvent::WHY_CHARS_MAX`] characters.
        why: String,
    },
    /// An operator has asked for redistribution to be paused, cancelled or gone on with. Planned moves that have not begun do
    /// not begin, unless it goes on.
    RebalancingOrdered {
        /// What was asked, by whom and why.
        order: RebalanceOrder,
    },
    /// A plan of moves begins.
    RebalancingTriggered {
        /// Its number.
        plan: PlanId,
        /// What made it necessary.
        cause: RebalanceCause,
        /// All its moves.
        moves: Vec<PlannedMove>,
    },
    /// All moves of a plan are done or given up.
    RebalancingCompleted {
        /// Its number.
        plan: PlanId,
        /// How many shards it moved.
        moved: u32,
    },
}

impl ClusterEvent {
    /// The most characters of an explanation.
    pub const WHY_CHARS_MAX: usize = 200;
}

/// How it is known that a life is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// It was silent for longer than it may be, and was fenced.
    Silent,
    /// Whoever ran it saw it die.
    Died,
    /// A new life of the same node took over its record.
    Replaced,
}

impl FailureReason {
    /// Every reason with its stable name.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Silent, "silent"), (Self::Died, "died"), (Self::Replaced, "replaced")];
}

/// What made a redistribution necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RebalanceCause {
    /// A node joined.
    Join,
    /// A node failed.
    Failure,
    /// A node drains.
    Drain,
    /// A node left.
    Leave,
    /// A node that is unwell is relieved of its shards.
    Relief,
    /// Some nodes have more to do than others.
    Load,
    /// The shards were found out of balance.
    Repair,
    /// A person asked.
    Operator,
    /// Shards were with a node that has them and cannot serve them.
    Unserved,
}

impl RebalanceCause {
    /// Every cause with its stable name.
    pub const NAMES: [(Self, &'static str); 9] = [
        (Self::Join, "join"),
        (Self::Failure, "failure"),
        (Self::Drain, "drain"),
        (Self::Leave, "leave"),
        (Self::Relief, "relief"),
        (Self::Load, "load"),
        (Self::Repair, "repair"),
        (Self::Operator, "operator"),
        (Self::Unserved, "unserved"),
    ];

    /// The cause's stable name, as metrics and records carry it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(cause, _)| *cause == self).map_or("repair", |(_, name)| name)
    }
}

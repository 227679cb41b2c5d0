//! The cluster's "no".

use super::Trust;
use crate::ids::{ClusterUid, NodeId, NodeRef, PlanId};
use crate::policy::{PolicyFault, Strategy};

/// Why the [`Cluster`](super::Cluster) refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterRefusal {
    /// There is a cluster already.
    #[error("cluster {uid} exists already")]
    AlreadyCreated {
        /// Its identity.
        uid: ClusterUid,
    },
    /// There is no cluster yet.
    #[error("the cluster has not been created yet")]
    NotCreated,
    /// That life is a member already.
    #[error("{node} is a member already")]
    AlreadyMember {
        /// Which.
        node: NodeRef,
    },
    /// That life has ended; a node comes back under a new incarnation.
    #[error("{node} is over; it can only come back under a new incarnation")]
    IncarnationOver {
        /// Which.
        node: NodeRef,
    },
    /// No member of that name in that life.
    #[error("{node} is not a member")]
    NotMember {
        /// Which.
        node: NodeRef,
    },
    /// Only an Active node may do that.
    #[error("{node} is not active")]
    NodeNotActive {
        /// Which.
        node: NodeId,
    },
    /// It still owns shards.
    #[error("{node} still owns {shards} shards")]
    StillOwns {
        /// Which.
        node: NodeRef,
        /// How many shards.
        shards: usize,
    },
    /// Its trust is not such that this could follow.
    #[error("{node} is {}, so that cannot follow", trust.name())]
    TrustDiffers {
        /// Which.
        node: NodeRef,
        /// How far it is trusted.
        trust: Trust,
    },
    /// Too few would be left to carry what it has.
    #[error("{relieved} of {active} active nodes are relieved already: one at a time, and at most a fifth")]
    TooManyRelieved {
        /// Those relieved now.
        relieved: usize,
        /// The Active members.
        active: usize,
    },
    /// A weight of 0 means nothing.
    #[error("{node} has weight 0; it must be at least 1")]
    Weightless {
        /// Which.
        node: NodeRef,
    },
    /// The cluster goes by that policy already.
    #[error("that placement policy is adopted already")]
    PolicyUnchanged,
    /// No cluster of so many shards can go by that policy.
    #[error("that placement policy cannot be adopted: {0}")]
    PolicyContradicts(#[source] PolicyFault),
    /// Another strategy is the adopted one.
    #[error("{strategy} is not the adopted strategy")]
    NotAdopted {
        /// The one named.
        strategy: Strategy,
    },
    /// Another plan is under way.
    #[error("plan {plan} is still under way")]
    PlanOpen {
        /// Its number.
        plan: PlanId,
    },
    /// There is no such plan, or it still has open moves.
    #[error("plan {plan} cannot be completed with {open} moves open")]
    PlanNotDone {
        /// Its number.
        plan: PlanId,
        /// Moves still open.
        open: usize,
    },
    /// That order was taken up already.
    #[error("that order was taken up already")]
    OrderTaken,
    /// An operator has paused redistribution, and that shard need not move.
    #[error("redistribution is paused, and {node} stays")]
    RebalancePaused {
        /// The node that is to give shards away.
        node: NodeRef,
    },
    /// A plan without moves is no plan.
    #[error("there is nothing to move")]
    NothingToMove,
}

//! The whole topology laid open, so that it can be kept somewhere and built up again.
//!
//! A [`Topology`] is made by folding the log and by nothing else, but for this: an image of one. What every fold has is
//! checked before an image is believed. That it is the fold of *this* log up to *that* entry it cannot know: whoever
//! reads one asks the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::assignment::{ShardAssignment, ShardState};
use crate::cluster::{Cluster, ClusterSettings, Member, NodeStatus, OpenPlan};
use crate::ids::{ClusterUid, Epoch, NodeId, NodeRef, ShardId};
use crate::lease::LeadershipLease;
use crate::orders::RebalanceOrder;
use crate::policy::{PlacementPolicy, PolicyFault};
use crate::records::Position;
use crate::topology::Topology;

/// Everything a topology is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyImage {
    /// The cluster's identity.
    pub uid: ClusterUid,
    /// What it was founded with.
    pub settings: ClusterSettings,
    /// Every node the log has heard of, by id.
    pub members: Vec<Member>,
    /// The placement policy it goes by.
    pub policy: Arc<PlacementPolicy>,
    /// The plan under way.
    pub plan: Option<OpenPlan>,
    /// What an operator asked of redistribution last, and the entry that took it up.
    pub order: Option<(RebalanceOrder, Epoch)>,
    /// Who leads.
    pub leadership: LeadershipLease,
    /// One state a shard, by number.
    pub shards: Vec<ShardState>,
    /// Moves of the open plan that have not begun, by shard: the source and the destination.
    pub pending: Vec<(ShardId, NodeRef, NodeRef)>,
    /// The epoch of the last entry.
    pub epoch: Epoch,
    /// Where the last entry is stored.
    pub at: Position,
}

/// Why an image is of no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageFault {
    /// It speaks of an entry that cannot be.
    #[error("it is of epoch {epoch} at {}, where no entry can be", at.sequence)]
    NoEntry {
        /// The epoch it names.
        epoch: Epoch,
        /// Where it says that is.
        at: Position,
    },
    /// It has more or fewer shards than the cluster was founded with.
    #[error("it has {found} shards in a cluster of {expected}")]
    Shards {
        /// How many the settings name.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// Its placement policy is none that a cluster of its shards can have adopted.
    #[error("it has a placement policy that cannot have been adopted: {0}")]
    Policy(#[from] PolicyFault),
    /// A member is named twice, or out of order.
    #[error("{node} does not come behind the member before it")]
    Members {
        /// Which.
        node: NodeId,
    },
    /// A member has no weight.
    #[error("{node} has no weight")]
    Weightless {
        /// Which.
        node: NodeId,
    },
    /// The leader is no member that can own.
    #[error("its leader {leader} is no member")]
    LeaderNotMember {
        /// The leader.
        leader: NodeRef,
    },
    /// A shard's owner or destination is no member that can own.
    #[error("shard {shard} is with a life that is no member")]
    NotAMember {
        /// The shard.
        shard: ShardId,
    },
    /// A shard has no owner although somebody could have it.
    #[error("shard {shard} has no owner though nodes are active")]
    Unowned {
        /// The shard.
        shard: ShardId,
    },
    /// Something is said to have happened after the last entry.
    #[error("it speaks of epoch {found}, which is after its own {epoch}")]
    Later {
        /// Its own epoch.
        epoch: Epoch,
        /// The one it speaks of.
        found: Epoch,
    },
    /// A move is pending of a shard that there is not, twice, out of order, or without a plan.
    #[error("shard {shard} cannot be among its pending moves")]
    Pending {
        /// The shard.
        shard: ShardId,
    },
}

impl TopologyImage {
    /// The image of a topology; none of one that has seen no entry.
    pub fn of(topology: &Topology) -> Option<Self> {
        let (cluster, assignment) = (topology.cluster(), topology.assignment());
        Some(Self {
            uid: cluster.uid()?,
            settings: cluster.settings(),
            members: cluster.members().cloned().collect(),
            policy: Arc::clone(cluster.policy()),
            plan: cluster.plan().cloned(),
            order: cluster.order().map(|(order, since)| (order.clone(), since)),
            leadership: topology.leadership().clone(),
            shards: assignment.shards().to_vec(),
            pending: assignment.pending().map(|(shard, from, to)| (shard, from.clone(), to.clone())).collect(),
            epoch: topology.epoch(),
            at: topology.at(),
        })
    }

    /// The topology that this is the image of.
    ///
    /// # Errors
    /// [`ImageFault`]: no log folds to this.
    pub fn topology(self) -> Result<Topology, ImageFault> {
        self.check()?;
        let members = self.members.into_iter().map(|member| (member.node.node.clone(), member)).collect();
        let pending = self.pending.into_iter().map(|(shard, from, to)| (shard, (from, to))).collect();
        let cluster = Cluster::of_parts(self.uid, self.settings, members, self.policy, self.plan, self.order);
        let assignment = ShardAssignment::of_parts(self.shards, pending);
        Ok(Topology::of_parts(cluster, self.leadership, assignment, self.epoch, self.at))
    }

    fn check(&self) -> Result<(), ImageFault> {
        let (epoch, at) = (self.epoch, self.at);
        if epoch == Epoch::ZERO || at.sequence.0 == 0 {
            return Err(ImageFault::NoEntry { epoch, at });
        }
        let (expected, found) = (self.settings.shards.get(), self.shards.len());
        if expected != found {
            return Err(ImageFault::Shards { expected, found });
        }
        self.policy.check(self.settings.shards)?;
        self.order.as_ref().map_or(Ok(()), |(_, since)| self.not_later(*since))?;
        self.check_members()?;
        self.check_shards()?;
        self.check_pending()
    }

    fn not_later(&self, found: Epoch) -> Result<(), ImageFault> {
        if found > self.epoch { Err(ImageFault::Later { epoch: self.epoch, found }) } else { Ok(()) }
    }

    fn check_members(&self) -> Result<(), ImageFault> {
        let mut before: Option<&NodeId> = None;
        for member in &self.members {
            let node = &member.node.node;
            if before.is_some_and(|before| before >= node) {
                return Err(ImageFault::Members { node: node.clone() });
            }
            before = Some(node);
            if member.info.weight == 0 {
                return Err(ImageFault::Weightless { node: node.clone() });
            }
            self.not_later(member.since)?;
        }
        match self.leadership.leader() {
            Some(leader) if !self.members.iter().any(|member| member.node == *leader && member.status.owns()) => {
                Err(ImageFault::LeaderNotMember { leader: leader.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_shards(&self) -> Result<(), ImageFault> {
        let owners: BTreeSet<_> =
            self.members.iter().filter(|member| member.status.owns()).map(|member| member.node.incarnation).collect();
        let somebody_active = self.members.iter().any(|member| member.status == NodeStatus::Active);
        for (index, state) in self.shards.iter().enumerate() {
            let shard = ShardId(index as u16);
            match *state {
                ShardState::Orphaned if somebody_active => return Err(ImageFault::Unowned { shard }),
                ShardState::Orphaned => {}
                ShardState::Owned { owner, epoch } => {
                    if !owners.contains(&owner) {
                        return Err(ImageFault::NotAMember { shard });
                    }
                    self.not_later(epoch)?;
                }
                ShardState::Draining { from, to, epoch, drain_epoch } => {
                    if !owners.contains(&from) || !owners.contains(&to) {
                        return Err(ImageFault::NotAMember { shard });
                    }
                    self.not_later(epoch.max(drain_epoch))?;
                }
            }
        }
        Ok(())
    }

    fn check_pending(&self) -> Result<(), ImageFault> {
        let mut before = None;
        for (shard, ..) in &self.pending {
            let fits = self.plan.is_some() && shard.index() < self.shards.len() && before < Some(*shard);
            if !fits {
                return Err(ImageFault::Pending { shard: *shard });
            }
            before = Some(*shard);
        }
        Ok(())
    }
}

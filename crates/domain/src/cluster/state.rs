//! The cluster as folded from its events, and its judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ClusterCommand as Command, ClusterEvent as Event, ClusterRefusal as Refusal, RebalanceCause};
use crate::aggregate::Aggregate;
use crate::assignment::PlannedMove;
use crate::ids::{ClusterUid, Epoch, Incarnation, NodeId, NodeRef, PlanId, ShardCount, Tag, Zone};
use crate::orders::{RebalanceOrder, Wish};
use crate::policy::PlacementPolicy;
use crate::timing::Profile;
use crate::topology::TopologyEvent;

/// How many nodes may be relieved of their shards at a time.
const RELIEVED_MAX: usize = 1;
/// Of this many Active nodes one may be relieved: the others must carry what it had.
const RELIEVED_ONE_OF: usize = 5;

/// What is fixed when a cluster is created; a node that is configured otherwise refuses to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterSettings {
    /// How many shards there are.
    pub shards: ShardCount,
    /// Which frozen hash finds an actor's shard.
    pub hash: u8,
    /// That hash's seed.
    pub hash_seed: u64,
    /// The timers: who waits for whom, and for how long, must be the same everywhere.
    pub profile: Profile,
}

/// A node's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeStatus {
    /// It serves and may be given shards.
    Active,
    /// It serves what it still has and is given nothing.
    Draining,
    /// Its last life ended without leaving.
    Failed,
    /// It left in good order.
    Left,
}

impl NodeStatus {
    /// The status's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Failed => "failed",
            Self::Left => "left",
        }
    }
    /// Whether a node of this standing can own shards.
    pub fn owns(self) -> bool {
        matches!(self, Self::Active | Self::Draining)
    }
}

/// How far a member is trusted to do what it is there for. It is about being slow, not about being dead: a node that is
/// silent fails, however far it was trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// As any other.
    #[default]
    Full,
    /// Others have found it unwell for a while: it keeps what it has and is given nothing.
    Suspected,
    /// It has not become better: what it has is moved to others.
    Relieved,
}

impl Trust {
    /// Every degree with its stable name.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Full, "trusted"), (Self::Suspected, "suspected"), (Self::Relieved, "relieved")];

    /// The degree's stable name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(trust, _)| *trust == self).map_or("trusted", |(_, name)| name)
    }
}

/// What a node is like, as far as it matters for where shards go. It says so when it joins, and a new life may say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its capacity in proportion to the others', at least 1.
    pub weight: u32,
    /// Which nodes it may fail together with, if that is known.
    pub zone: Option<Zone>,
    /// What can be said of it, for shards that need it; at most [`NodeInfo::TAGS_MAX`].
    pub tags: BTreeSet<Tag>,
}

impl NodeInfo {
    /// The most tags that a node may have.
    pub const TAGS_MAX: usize = 16;
}

impl Default for NodeInfo {
    /// Of weight 1, without zone and tags.
    fn default() -> Self {
        Self { weight: 1, zone: None, tags: BTreeSet::new() }
    }
}

/// A node the log has heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its last known life.
    pub node: NodeRef,
    /// Its standing.
    pub status: NodeStatus,
    /// What it is like.
    pub info: NodeInfo,
    /// The entry that gave it this standing.
    pub since: Epoch,
    /// How far it is trusted; a new life begins with full trust.
    pub trust: Trust,
}

/// A plan of moves under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPlan {
    /// Its number.
    pub id: PlanId,
    /// What made it necessary.
    pub cause: RebalanceCause,
    /// How many shards it set out to move.
    pub planned: u32,
    /// How many of them have moved.
    pub moved: u32,
}

/// Membership, the placement policy, the plan under way, and what an operator asked of redistribution. A clone shares what
/// neither of the two has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    uid: Option<ClusterUid>,
    settings: ClusterSettings,
    members: Arc<BTreeMap<NodeId, Member>>,
    policy: Arc<PlacementPolicy>,
    plan: Option<OpenPlan>,
    order: Option<(Arc<RebalanceOrder>, Epoch)>,
}

impl Cluster {
    /// Its identity, once created.
    pub fn uid(&self) -> Option<ClusterUid> {
        self.uid
    }
    /// What was fixed at creation.
    pub fn settings(&self) -> ClusterSettings {
        self.settings
    }
    /// Every node the log has heard of, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }
    /// The node of that id.
    pub fn member(&self, node: &NodeId) -> Option<&Member> {
        self.members.get(node)
    }
    /// The member living that life, while it can own shards.
    pub fn owner(&self, incarnation: Incarnation) -> Option<&Member> {
        self.members.values().find(|member| member.node.incarnation == incarnation && member.status.owns())
    }
    /// The standing of exactly that life, if it is the node's last known one.
    pub fn status_of(&self, node: &NodeRef) -> Option<NodeStatus> {
        self.members.get(&node.node).filter(|member| member.node == *node).map(|member| member.status)
    }
    /// Whether exactly that life is Active.
    pub fn is_active(&self, node: &NodeRef) -> bool {
        self.status_of(node) == Some(NodeStatus::Active)
    }
    /// The Active members, by id.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.status == NodeStatus::Active)
    }
    /// The placement policy it goes by.
    pub fn policy(&self) -> &Arc<PlacementPolicy> {
        &self.policy
    }
    /// The plan under way.
    pub fn plan(&self) -> Option<&OpenPlan> {
        self.plan.as_ref()
    }

    /// What an operator asked of redistribution last, and the entry that took it up; nothing if nobody ever has.
    pub fn order(&self) -> Option<(&RebalanceOrder, Epoch)> {
        self.order.as_ref().map(|(order, since)| (&**order, *since))
    }
    /// What is to become of redistribution.
    pub fn wish(&self) -> Wish {
        self.order.as_ref().map_or(Wish::Resume, |(order, _)| order.wish)
    }
    /// Whether that life's shards are to move whatever an operator asks of redistribution: it leaves, is relieved of them, or
    /// the plan under way is about shards that are not served where they are.
    pub fn must_give(&self, incarnation: Incarnation) -> bool {
        if self.plan.as_ref().is_some_and(|plan| plan.cause == RebalanceCause::Unserved) {
            return true;
        }
        let member = self.owner(incarnation);
        member.is_some_and(|member| member.status == NodeStatus::Draining || member.trust == Trust::Relieved)
    }

    /// Built up from an image that was checked.
    pub(crate) fn of_parts(
        uid: ClusterUid,
        settings: ClusterSettings,
        members: BTreeMap<NodeId, Member>,
        policy: Arc<PlacementPolicy>,
        plan: Option<OpenPlan>,
        order: Option<(RebalanceOrder, Epoch)>,
    ) -> Self {
        let order = order.map(|(order, since)| (Arc::new(order), since));
        Self { uid: Some(uid), settings, members: Arc::new(members), policy, plan, order }
    }

    fn set(&mut self, node: &NodeRef, status: NodeStatus, info: Option<&NodeInfo>, since: Epoch) {
        let before = self.members.get(&node.node);
        let info = info.or_else(|| before.map(|member| &member.info)).cloned().unwrap_or_default();
        let trust = before.filter(|member| member.node == *node).map_or(Trust::Full, |member| member.trust);
        Arc::make_mut(&mut self.members)
            .insert(node.node.clone(), Member { node: node.clone(), status, info, since, trust });
    }

    fn set_trust(&mut self, node: &NodeRef, trust: Trust) {
        if let Some(member) = Arc::make_mut(&mut self.members).get_mut(&node.node).filter(|member| member.node == *node)
        {
            member.trust = trust;
        }
    }

    /// The Active member living that life, if it is trusted that far.
    fn trusted_so(&self, node: &NodeRef, fits: impl Fn(Trust) -> bool) -> Result<&Member, Refusal> {
        let member = self.members.get(&node.node).filter(|member| member.node == *node);
        let member = member.ok_or(Refusal::NotMember { node: node.clone() })?;
        if member.status != NodeStatus::Active {
            return Err(Refusal::NodeNotActive { node: node.node.clone() });
        }
        if !fits(member.trust) {
            return Err(Refusal::TrustDiffers { node: node.clone(), trust: member.trust });
        }
        Ok(member)
    }
}

impl Aggregate for Cluster {
    type Command = Command;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<TopologyEvent>, Refusal> {
        let created = self.uid.ok_or(Refusal::NotCreated);
        let event = match command {
            Command::CreateCluster { uid, settings } => match created {
                Ok(uid) => return Err(Refusal::AlreadyCreated { uid }),
                Err(_) => Event::ClusterCreated { uid: *uid, settings: *settings },
            },
            Command::JoinCluster { node, info } => {
                created?;
                if info.weight == 0 {
                    return Err(Refusal::Weightless { node: node.clone() });
                }
                let (node, info) = (node.clone(), info.clone());
                match self.members.get(&node.node) {
                    Some(member) if member.node == node && member.status.owns() => {
                        return Err(Refusal::AlreadyMember { node });
                    }
                    Some(member) if member.node == node => return Err(Refusal::IncarnationOver { node }),
                    Some(member) if member.status.owns() => {
                        Event::NodeRestarted { node, previous: member.node.incarnation, info }
                    }
                    _ => Event::NodeJoined { node, info },
                }
            }
            Command::MarkNodeFailed { node, reason } => match self.status_of(node) {
                Some(status) if status.owns() => Event::NodeFailed { node: node.clone(), reason: *reason },
                Some(_) => return Err(Refusal::IncarnationOver { node: node.clone() }),
                None => return Err(Refusal::NotMember { node: node.clone() }),
            },
            Command::DrainNode { node } => match self.status_of(node) {
                Some(NodeStatus::Active) => Event::NodeDraining { node: node.clone() },
                Some(_) => return Err(Refusal::NodeNotActive { node: node.node.clone() }),
                None => return Err(Refusal::NotMember { node: node.clone() }),
            },
            Command::LeaveCluster { node, shards_owned } => match self.status_of(node) {
                Some(status) if status.owns() => {
                    if *shards_owned > 0 {
                        return Err(Refusal::StillOwns { node: node.clone(), shards: *shards_owned });
                    }
                    Event::NodeLeft { node: node.clone() }
                }
                Some(_) => return Err(Refusal::IncarnationOver { node: node.clone() }),
                None => return Err(Refusal::NotMember { node: node.clone() }),
            },
            Command::SuspectNode { node, by } => {
                self.trusted_so(node, |trust| trust == Trust::Full)?;
                Event::NodeSuspected { node: node.clone(), by: by.clone() }
            }
            Command::RelieveNode { node } => {
                self.trusted_so(node, |trust| trust == Trust::Suspected)?;
                let active = self.active().count();
                let relieved = self.active().filter(|member| member.trust == Trust::Relieved).count();
                if relieved >= RELIEVED_MAX || (relieved + 1) * RELIEVED_ONE_OF > active {
                    return Err(Refusal::TooManyRelieved { relieved, active });
                }
                Event::NodeRelieved { node: node.clone() }
            }
            Command::TrustNode { node } => {
                self.trusted_so(node, |trust| trust != Trust::Full)?;
                Event::NodeTrusted { node: node.clone() }
            }
            Command::AdoptPlacement { policy } => {
                created?;
                if *policy == self.policy {
                    return Err(Refusal::PolicyUnchanged);
                }
                policy.check(self.settings.shards).map_err(Refusal::PolicyContradicts)?;
                Event::PlacementAdopted { policy: Arc::clone(policy) }
            }
            Command::RejectPlacement { strategy, why } => {
                created?;
                if *strategy != self.policy.strategy {
                    return Err(Refusal::NotAdopted { strategy: strategy.clone() });
                }
                let why = why.chars().take(Event::WHY_CHARS_MAX).collect();
                Event::PlacementRejected { strategy: strategy.clone(), why }
            }
            Command::OrderRebalance { order } => {
                created?;
                if self.order.as_ref().is_some_and(|(last, _)| last.id == order.id) {
                    return Err(Refusal::OrderTaken);
                }
                Event::RebalancingOrdered { order: order.clone() }
            }
            Command::RebalanceShards { plan, cause, moves } => {
                created?;
                if let Some(open) = &self.plan {
                    return Err(Refusal::PlanOpen { plan: open.id });
                }
                if moves.iter().all(|planned| planned.shards.is_empty()) {
                    return Err(Refusal::NothingToMove);
                }
                let stays = |planned: &&PlannedMove| !self.must_give(planned.from.incarnation);
                if self.wish() != Wish::Resume
                    && *cause != RebalanceCause::Unserved
                    && let Some(planned) = moves.iter().find(stays)
                {
                    return Err(Refusal::RebalancePaused { node: planned.from.clone() });
                }
                Event::RebalancingTriggered { plan: *plan, cause: *cause, moves: moves.clone() }
            }
            Command::CompleteRebalance { plan, open } => match &self.plan {
                Some(under_way) if under_way.id == *plan && *open == 0 => {
                    Event::RebalancingCompleted { plan: *plan, moved: under_way.moved }
                }
                _ => return Err(Refusal::PlanNotDone { plan: *plan, open: *open }),
            },
        };
        Ok(vec![event.into()])
    }

    fn evolve(&mut self, event: &TopologyEvent, epoch: Epoch) {
        use crate::assignment::AssignmentEvent;
        match event {
            TopologyEvent::Cluster(event) => match event {
                Event::ClusterCreated { uid, settings } => {
                    self.uid = Some(*uid);
                    self.settings = *settings;
                }
                Event::NodeJoined { node, info } | Event::NodeRestarted { node, info, .. } => {
                    self.set(node, NodeStatus::Active, Some(info), epoch);
                }
                Event::NodeDraining { node } => self.set(node, NodeStatus::Draining, None, epoch),
                Event::NodeFailed { node, .. } => self.set(node, NodeStatus::Failed, None, epoch),
                Event::NodeLeft { node } => self.set(node, NodeStatus::Left, None, epoch),
                Event::NodeSuspected { node, .. } => self.set_trust(node, Trust::Suspected),
                Event::NodeRelieved { node } => self.set_trust(node, Trust::Relieved),
                Event::NodeTrusted { node } => self.set_trust(node, Trust::Full),
                Event::PlacementAdopted { policy } => self.policy = Arc::clone(policy),
                Event::PlacementRejected { .. } => {}
                Event::RebalancingOrdered { order } => self.order = Some((Arc::new(order.clone()), epoch)),
                Event::RebalancingTriggered { plan, cause, moves } => {
                    let planned = moves.iter().map(|planned| planned.shards.len() as u32).sum();
                    self.plan = Some(OpenPlan { id: *plan, cause: *cause, planned, moved: 0 });
                }
                Event::RebalancingCompleted { .. } => self.plan = None,
            },
            TopologyEvent::Assignment(AssignmentEvent::ShardMigrated { shards, .. }) => {
                if let Some(plan) = &mut self.plan {
                    plan.moved += shards.len() as u32;
                }
            }
            TopologyEvent::Assignment(_) | TopologyEvent::Leadership(_) => {}
        }
    }
}

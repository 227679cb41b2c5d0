//! How every node is, and the cluster: a verdict with its reasons in words.
//!
//! What the log says is folded ([`Health`]); what was heard lately is handed in ([`Facts`]). It alarms people and decides
//! nothing: that a node is to be fenced is the coordinator's business, by other rules.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::cluster::{ClusterEvent, FailureReason, NodeStatus, Trust};
use aether_domain::lease::LeadershipEvent;
use aether_domain::orders::Wish;
use aether_domain::policy::Strategy;
use aether_domain::timing::Profile;
use aether_domain::topology::{Topology, TopologyEvent};
use aether_domain::{Epoch, NodeId, NodeRef, PlanId, ShardId, WallTime};

use crate::control::{Phase, unmet};
use crate::subscription::TopologyRecord;

/// For how long a rebalance may go on before somebody should look.
pub const REBALANCING_MAX: Duration = Duration::from_secs(5 * 60);
/// For how long redistribution may be paused before somebody should look.
pub const PAUSED_MAX: Duration = Duration::from_secs(10 * 60);
/// For how long the leader's heartbeat may be missing before somebody should look, where two of them are not longer.
pub const LEADER_SILENT_MAX: Duration = Duration::from_secs(5);

/// How many shards that are too hot are named.
const TOO_HOT_NAMED_MAX: usize = 8;

/// What the log tells of health beside the topology: it survives restarts, because it is folded again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    failed: BTreeMap<NodeId, FailureReason>,
    plan: Option<(PlanId, WallTime)>,
    rejected: Option<(Strategy, String)>,
    rejections: u64,
    /// When the last order of an operator on redistribution was taken up.
    ordered: Option<WallTime>,
    epoch: Epoch,
}

impl Health {
    /// Folds the next entry.
    pub fn apply(&mut self, record: &TopologyRecord) {
        self.epoch = record.epoch;
        for event in &record.events {
            let event = match event {
                TopologyEvent::Cluster(event) => event,
                // Whoever leads now finds out for itself.
                TopologyEvent::Leadership(LeadershipEvent::TermStarted { .. }) => {
                    self.rejected = None;
                    continue;
                }
                _ => continue,
            };
            match event {
                ClusterEvent::PlacementRejected { strategy, why } => {
                    self.rejected = Some((strategy.clone(), why.clone()));
                    self.rejections += 1;
                }
                ClusterEvent::PlacementAdopted { .. } => self.rejected = None,
                ClusterEvent::NodeFailed { node, reason } => {
                    self.failed.insert(node.node.clone(), *reason);
                }
                ClusterEvent::NodeJoined { node, .. }
                | ClusterEvent::NodeRestarted { node, .. }
                | ClusterEvent::NodeLeft { node } => drop(self.failed.remove(&node.node)),
                ClusterEvent::RebalancingTriggered { plan, .. } => self.plan = Some((*plan, record.stamped)),
                ClusterEvent::RebalancingCompleted { .. } => self.plan = None,
                ClusterEvent::RebalancingOrdered { .. } => self.ordered = Some(record.stamped),
                ClusterEvent::ClusterCreated { .. }
                | ClusterEvent::NodeDraining { .. }
                | ClusterEvent::NodeSuspected { .. }
                | ClusterEvent::NodeRelieved { .. }
                | ClusterEvent::NodeTrusted { .. } => {}
            }
        }
    }

    /// Why the adopted strategy is not planned by in this term, if the leader has found so.
    pub fn rejected(&self) -> Option<String> {
        self.rejected.as_ref().map(|(strategy, why)| format!("{strategy}: {why}"))
    }

    /// How many strategies were rejected in the entries folded.
    pub fn rejections(&self) -> u64 {
        self.rejections
    }

    /// The last entry folded.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// What one node knows beside the log.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who it is.
    pub me: NodeRef,
    /// What it is doing.
    pub phase: Phase,
    /// How long ago the last heartbeat of each node was first seen, and whose life it was.
    pub heard: BTreeMap<NodeId, (NodeRef, Duration)>,
    /// The cluster's timers.
    pub profile: Profile,
    /// Its wall clock: how long a plan is under way is told by stamps, and only for people.
    pub wall: WallTime,
    /// What is wrong with it, if anything is.
    pub fault: Option<String>,
    /// What its split-brain watch suspects, in words.
    pub suspicions: Vec<String>,
    /// Why the placement that an operator wants is not adopted, if that is so.
    pub placement_obstacle: Option<String>,
    /// If it leads: the lives whose shard map is another than its own, and at which entry.
    pub strays: Vec<(NodeRef, Epoch)>,
    /// Shards that alone are more than a node is to bear, each with how much of that it is in percent; a leader's.
    pub too_hot: Vec<(ShardId, u32)>,
    /// How many actors it has set aside until a person looks.
    pub quarantined: usize,
    /// How many shards of this node do something else than the topology says, although they were told again.
    pub unreconciled: usize,
}

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It serves, and is heard in time.
    Healthy,
    /// Its heartbeat is late.
    Late {
        /// By how much.
        by: Duration,
    },
    /// Others, or it itself, find it unwell: the log says so.
    Suspect,
    /// Its serve lease must be over.
    Silent {
        /// For how long it has not been heard.
        since: Duration,
    },
    /// It is a member and answers nothing for now.
    Paused,
    /// It hands its shards over.
    Draining,
    /// Its last life ended without leaving.
    Failed {
        /// How that is known, if the entry that says so has been folded.
        reason: Option<FailureReason>,
    },
    /// It left in good order.
    Left,
}

impl Verdict {
    /// The verdict's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Late { .. } => "late",
            Self::Suspect => "suspect",
            Self::Silent { .. } => "silent",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Failed { .. } => "failed",
            Self::Left => "left",
        }
    }
}

/// One node's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// Which.
    pub node: NodeRef,
    /// How it is.
    pub verdict: Verdict,
}

/// How the cluster is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterVerdict {
    /// Nothing is known to be wrong.
    #[default]
    Ok,
    /// It serves, and somebody should look.
    Degraded,
    /// Something is not served, or soon will not be, or must not be believed.
    Critical,
}

impl ClusterVerdict {
    /// The verdict's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

/// How everybody is, as one node sees it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthView {
    /// How the cluster is.
    pub verdict: ClusterVerdict,
    /// Why, the worst first.
    pub reasons: Vec<(ClusterVerdict, String)>,
    /// Every node the log has heard of, by id.
    pub nodes: Vec<NodeHealth>,
}

impl HealthView {
    /// What follows from the log and from what was heard.
    pub fn of(topology: &Topology, health: &Health, facts: &Facts) -> Self {
        let members = topology.cluster().members();
        let nodes: Vec<_> = members
            .map(|member| NodeHealth {
                node: member.node.clone(),
                verdict: match verdict(&member.node, member.status, health, facts) {
                    Verdict::Healthy | Verdict::Late { .. } if member.trust != Trust::Full => Verdict::Suspect,
                    verdict => verdict,
                },
            })
            .collect();
        let mut reasons = Vec::new();
        let mut because = |verdict, reason: String| reasons.push((verdict, reason));
        critical(topology, &nodes, facts, &mut |reason| because(ClusterVerdict::Critical, reason));
        degraded(topology, health, &nodes, facts, &mut |reason| because(ClusterVerdict::Degraded, reason));
        let verdict = reasons.iter().map(|(verdict, _)| *verdict).max().unwrap_or_default();
        Self { verdict, reasons, nodes }
    }
}

fn verdict(node: &NodeRef, status: NodeStatus, health: &Health, facts: &Facts) -> Verdict {
    let timings = facts.profile.member();
    match status {
        NodeStatus::Failed => Verdict::Failed { reason: health.failed.get(&node.node).copied() },
        NodeStatus::Left => Verdict::Left,
        NodeStatus::Active | NodeStatus::Draining if *node == facts.me => match facts.phase {
            Phase::Active => Verdict::Healthy,
            Phase::Draining => Verdict::Draining,
            Phase::Joining | Phase::Paused | Phase::Faulty | Phase::Stopped => Verdict::Paused,
        },
        NodeStatus::Active | NodeStatus::Draining => {
            let heard = facts.heard.get(&node.node).filter(|(life, _)| life == node).map(|(_, age)| *age);
            match heard {
                // A life that has never been heard has been silent for as long as it could be.
                None => Verdict::Silent { since: timings.suspect_after() },
                Some(age) if age >= timings.serve_lease() => Verdict::Silent { since: age },
                Some(_) if status == NodeStatus::Draining => Verdict::Draining,
                // A heartbeat that comes half an interval late is no news.
                Some(age) if age >= timings.heartbeat_every() * 3 / 2 => {
                    Verdict::Late { by: age.saturating_sub(timings.heartbeat_every()) }
                }
                Some(_) => Verdict::Healthy,
            }
        }
    }
}

/// What a reason begins with that is about a node that has failed; how follows.
pub fn has_failed(node: impl std::fmt::Display) -> String {
    format!("{node} has failed")
}

/// For how long shards may be with a node that is not heard: by then it has been found silent and fenced, its serve lease is
/// over, and they are others'.
fn unserved_max(profile: Profile) -> Duration {
    let timings = profile.member();
    timings.suspect_after() + timings.serve_lease_over() + timings.heartbeat_every() * 2
}

fn critical(topology: &Topology, nodes: &[NodeHealth], facts: &Facts, because: &mut dyn FnMut(String)) {
    for suspicion in &facts.suspicions {
        because(format!("a split brain is suspected: {suspicion}"));
    }
    for (node, epoch) in &facts.strays {
        because(format!("{} has another shard map than the leader at entry {epoch}", node.node));
    }
    if let Some(fault) = &facts.fault {
        because(format!("{} serves nothing: {fault}", facts.me.node));
    }
    if facts.unreconciled > 0 {
        because(format!(
            "{} shards of {} do something else than the topology says: see ShardReconciled in its log",
            facts.unreconciled, facts.me.node
        ));
    }
    let orphaned = topology.assignment().orphaned();
    if orphaned > 0 {
        because(format!("{orphaned} shards have no owner"));
    }
    for NodeHealth { node, verdict } in nodes {
        let Verdict::Silent { since } = verdict else { continue };
        let shards = topology.assignment().owned_by(node.incarnation);
        if shards > 0 && *since > unserved_max(facts.profile) {
            because(format!(
                "nobody serves {shards} shards: {} has them and has not been heard for {since:.1?}",
                node.node
            ));
        }
    }
    if topology.leadership().leader().is_none() {
        because(format!("nobody leads since term {}", topology.leadership().term()));
    }
    let failed = nodes.iter().filter(|node| matches!(node.verdict, Verdict::Failed { .. })).count();
    let expected = nodes.iter().filter(|node| node.verdict != Verdict::Left).count();
    if failed * 2 > expected {
        because(format!("{failed} of {expected} nodes have failed"));
    }
}

fn degraded(
    topology: &Topology,
    health: &Health,
    nodes: &[NodeHealth],
    facts: &Facts,
    because: &mut dyn FnMut(String),
) {
    let leader = topology.leadership().leader().filter(|leader| **leader != facts.me);
    if let Some(leader) = leader {
        let heard = facts.heard.get(&leader.node).filter(|(life, _)| life == leader);
        let silence_max = LEADER_SILENT_MAX.max(facts.profile.member().heartbeat_every() * 2);
        match heard {
            Some((_, age)) if *age <= silence_max => {}
            Some((_, age)) => because(format!("{}, which leads, has not been heard for {age:.1?}", leader.node)),
            None => because(format!("{}, which leads, has not been heard", leader.node)),
        }
    }
    if let Some((_, since)) = health.plan.filter(|_| topology.cluster().plan().is_some()) {
        let lasts = Duration::from_millis(facts.wall.unix_millis.saturating_sub(since.unix_millis));
        if lasts > REBALANCING_MAX {
            because(format!("shards have been moving for {} s", lasts.as_secs()));
        }
    }
    if let Some((order, _)) = topology.cluster().order().filter(|(order, _)| order.wish != Wish::Resume) {
        let since = health.ordered.map_or(0, |since| facts.wall.unix_millis.saturating_sub(since.unix_millis));
        let lasts = Duration::from_millis(since);
        if lasts > PAUSED_MAX {
            because(format!("redistribution has been paused for {} s ({})", lasts.as_secs(), order.asked));
        }
    }
    for (shard, percent) in facts.too_hot.iter().take(TOO_HOT_NAMED_MAX) {
        because(format!("shard {shard} alone has {percent} % of what a node is to bear: moving it cannot help"));
    }
    if let Some(why) = &facts.placement_obstacle {
        because(format!("the placement that an operator wants is not adopted: {why}"));
    }
    if facts.quarantined > 0 {
        because(format!(
            "{} actors are quarantined on {}: see /v1/quarantined there",
            facts.quarantined, facts.me.node
        ));
    }
    let unmet = unmet(topology);
    if !unmet.is_empty() {
        because(format!("{} shards cannot be where the placement policy wants them", unmet.len()));
    }
    if let Some((strategy, why)) = &health.rejected {
        because(format!("{strategy} does not place shards, {} does instead: {why}", Strategy::built_in()));
    }
    for NodeHealth { node, verdict } in nodes {
        match verdict {
            Verdict::Silent { since } => because(format!("{} has not been heard for {since:.1?}", node.node)),
            Verdict::Suspect => because(format!("{} is found unwell", node.node)),
            Verdict::Paused => because(format!("{} is paused", node.node)),
            Verdict::Failed { reason } => {
                let how = reason.and_then(|reason| FailureReason::NAMES.iter().find(|(named, _)| *named == reason));
                because(format!("{} ({})", has_failed(&node.node), how.map_or("not known how", |(_, name)| name)));
            }
            Verdict::Healthy | Verdict::Late { .. } | Verdict::Draining | Verdict::Left => {}
        }
    }
}

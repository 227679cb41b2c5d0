//! The pages' JSON, made from a [`Picture`]. Field names are for ever.
//!
//! Epochs, terms and counts are numbers; identities that need all their bits (incarnation, cluster) are hex text.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::{Member, OpenPlan};
use aether_domain::{Incarnation, ShardId, ShardSet};
use aether_runtime::control::Preview;
use serde::{Deserialize, Serialize};

use super::moves::ShardMoveView;
use super::picture::{Picture, PlacementPicture};
use crate::placement::PolicyText;

/// `GET /v1/cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's name.
    pub namespace: String,
    /// The cluster's identity; empty before it exists.
    pub cluster_uid: String,
    /// The id of the node that says so.
    #[serde(default)]
    pub me: String,
    /// The last entry of the topology log this node has applied.
    pub epoch: u64,
    /// The last term started.
    pub term: u64,
    /// The id of the node that leads, as the log says.
    pub leader: Option<String>,
    /// The lease of leadership, if this node holds it: only its holder knows how much is left of it.
    #[serde(default)]
    pub lease: Option<LeaseView>,
    /// Every node the log has heard of, by id.
    pub nodes: Vec<NodeView>,
    /// Shards by state.
    pub shards: ShardCounts,
    /// What an operator asked of redistribution last; nothing if nobody ever has.
    #[serde(default)]
    pub order: Option<OrderView>,
    /// Which frozen hash finds an actor's shard.
    #[serde(default)]
    pub hash: u8,
    /// That hash's seed, as hex text; empty before the cluster exists.
    #[serde(default)]
    pub hash_seed: String,
}

/// The lease of leadership, as its holder counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// For how long one renewal lets its holder lead, in milliseconds.
    pub ttl_ms: u64,
    /// How much of that is left.
    pub left_ms: u64,
    /// How long ago the last stored renewal was sent.
    pub renewed_ms: u64,
}

/// One node: an entry of `GET /v1/nodes`, and `GET /v1/nodes/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub id: String,
    /// Its last known life.
    pub incarnation: String,
    /// `active`, `draining`, `failed` or `left`.
    pub status: String,
    /// How many shards it owns.
    pub shards: u64,
    /// How many actors it holds, by its last heartbeat.
    pub actors: u64,
    /// Where its own pages are; nothing if it has none or is not heard of.
    pub admin_url: Option<String>,
    /// Commands a second, by its last heartbeat.
    pub commands_per_second: u64,
    /// Its relative capacity.
    pub weight: u32,
    /// Which nodes it may fail together with, if that is known.
    pub zone: Option<String>,
    /// What can be said of it.
    pub tags: Vec<String>,
    /// The entry that gave it this status.
    pub since_epoch: u64,
    /// `trusted`; `suspected` if others have found it slow for a while and it is given nothing; `relieved` if its shards
    /// are moved away for that.
    pub trust: String,
    /// The last entry it had applied, by its last heartbeat.
    pub view_epoch: Option<u64>,
    /// What it runs, by its last heartbeat.
    pub build: Option<String>,
    /// How long ago that heartbeat was first seen here, in milliseconds.
    #[serde(default)]
    pub heard_ms: Option<u64>,
}

/// What an operator asked of redistribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// `pause`, `cancel` or `resume`.
    pub wish: String,
    /// Who asked.
    pub by: String,
    /// Why; empty if that was not said.
    pub why: String,
    /// The entry that took it up.
    pub since_epoch: u64,
}

/// `GET /v1/rebalance`: what a plan would move if it were made now, and nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceView {
    /// The last entry applied.
    pub epoch: u64,
    /// What an operator asked last; nothing if nobody ever has.
    pub order: Option<OrderView>,
    /// The plan under way.
    pub plan: Option<PlanView>,
    /// What would move, moves under way not included. What moves for load only the leader knows: any other node says so in
    /// `obstacle`.
    pub next: Vec<StepView>,
    /// Why there is no plan, or where load decides, why nothing moves for it, or not yet.
    pub obstacle: Option<String>,
}

/// Shards that would move for the same reason and by the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Which, as runs.
    pub shards: String,
    /// Whose they are; nothing if they have no owner.
    pub from: Option<String>,
    /// Whose they would be.
    pub to: String,
    /// `orphan`, `drain`, `rule` or `balance`.
    pub class: String,
}

/// How many shards are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounts {
    /// All of them.
    pub total: u64,
    /// Those with an owner, moving ones included.
    pub assigned: u64,
    /// Those without.
    pub orphaned: u64,
    /// Those their owner has been asked to release.
    pub moving: u64,
}

/// `GET /v1/placement`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementView {
    /// The last entry applied.
    pub epoch: u64,
    /// The policy that the cluster goes by.
    pub adopted: PolicyText,
    /// The one that an operator wants, if it is another.
    pub desired: Option<PolicyText>,
    /// Why this node, if it led, could not adopt it.
    pub not_adopted: Option<String>,
    /// Why the adopted strategy is not planned by, if the leader has found so.
    pub rejected: Option<String>,
    /// Shards whose pins or rules nobody can obey now, as runs.
    pub unmet: String,
    /// The strategies that this node knows.
    pub strategies: Vec<String>,
}

/// `GET /v1/quarantined`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedView {
    /// The last entry applied.
    pub epoch: u64,
    /// The id of the node that has set them aside.
    pub node: String,
    /// The actors that it has set aside until a person looks, at most 1,024 of them.
    pub actors: Vec<QuarantinedActor>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedActor {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Why, in words.
    pub reason: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// `GET /v1/nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodesView {
    /// The last entry applied.
    pub epoch: u64,
    /// Every node the log has heard of, by id.
    pub nodes: Vec<NodeView>,
}

/// `GET /v1/shards`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardsView {
    /// The last entry applied.
    pub epoch: u64,
    /// How many shards there are.
    pub total: u64,
    /// Each owner's shards, as runs like `0-340,512`.
    pub owners: BTreeMap<String, String>,
    /// Those without an owner, as runs.
    pub orphaned: String,
    /// Those on their way, as runs.
    pub moving: String,
    /// Each shard by itself, on `?full=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<Vec<ShardView>>,
}

/// One shard: an entry of `GET /v1/shards?full=1`, and `GET /v1/shards/{n}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardView {
    /// Its number.
    pub shard: u16,
    /// `owned`, `draining` or `orphaned`.
    pub state: &'static str,
    /// Who may serve it now.
    pub owner: Option<String>,
    /// Which life of that node.
    pub incarnation: Option<String>,
    /// The fencing token of its commits.
    pub shard_epoch: Option<u64>,
    /// Who gets it once it is released.
    pub to: Option<String>,
    /// The entry that asked for its release.
    pub drain_epoch: Option<u64>,
}

/// `GET /v1/moves`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovesView {
    /// The last entry applied.
    pub epoch: u64,
    /// The plan under way.
    pub plan: Option<PlanView>,
    /// Moves whose source has been asked to release.
    pub draining: Vec<MoveView>,
    /// Moves of the plan that have not begun.
    pub pending: Vec<MoveView>,
    /// The moves that this node has a part in, or had, the latest first; at most 1,024.
    pub here: Vec<ShardMoveView>,
}

/// A plan under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// Its number.
    pub id: u64,
    /// What made it necessary.
    pub cause: String,
    /// How many shards it set out to move.
    pub planned: u32,
    /// How many have moved.
    pub moved: u32,
}

/// Shards with the same way to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveView {
    /// Which, as runs.
    pub shards: String,
    /// Whose they are.
    pub from: String,
    /// Whose they will be.
    pub to: String,
}

/// `GET /readyz?verbose`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadyView {
    /// Whether this node takes commands.
    pub ready: bool,
    /// What it is doing.
    pub phase: &'static str,
    /// Each condition and whether it holds.
    pub checks: BTreeMap<&'static str, bool>,
    /// Why it stopped by itself, if it did.
    pub fault: Option<String>,
}

impl QuarantinedView {
    /// The actors this node has set aside.
    pub fn of(picture: &Picture) -> Self {
        let actor = |quarantined: &aether_runtime::shard::Quarantined| QuarantinedActor {
            kind: quarantined.actor.key.kind.to_string(),
            id: quarantined.actor.key.id.to_string(),
            reason: quarantined.reason.clone(),
            since_ms: quarantined.since.unix_millis,
        };
        Self {
            epoch: picture.topology.epoch().0,
            node: picture.me.node.to_string(),
            actors: picture.quarantined.iter().map(actor).collect(),
        }
    }
}

impl ClusterView {
    /// The whole cluster in one look.
    pub fn of(picture: &Picture) -> Self {
        let topology = &picture.topology;
        Self {
            namespace: picture.namespace.to_string(),
            cluster_uid: topology.cluster().uid().map(|uid| uid.to_string()).unwrap_or_default(),
            me: picture.me.node.to_string(),
            epoch: topology.epoch().0,
            term: topology.leadership().term().0,
            leader: topology.leadership().leader().map(|leader| leader.node.to_string()),
            lease: LeaseView::of(picture),
            nodes: NodesView::of(picture).nodes,
            shards: ShardCounts::of(picture),
            order: OrderView::of(picture),
            hash: topology.cluster().settings().hash,
            hash_seed: topology
                .cluster()
                .uid()
                .map(|_| format!("{:016x}", topology.cluster().settings().hash_seed))
                .unwrap_or_default(),
        }
    }
}

impl LeaseView {
    fn of(picture: &Picture) -> Option<Self> {
        let (left, renewed) = (picture.leading?.1, picture.renewed?);
        Some(Self { ttl_ms: millis(left + renewed), left_ms: millis(left), renewed_ms: millis(renewed) })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl OrderView {
    fn of(picture: &Picture) -> Option<Self> {
        picture.topology.cluster().order().map(|(order, since)| Self {
            wish: order.wish.name().to_owned(),
            by: order.asked.by().to_owned(),
            why: order.asked.why().to_owned(),
            since_epoch: since.0,
        })
    }
}

impl RebalanceView {
    /// What that plan would move, or why there is none.
    pub fn of(picture: &Picture, preview: Result<Preview, String>) -> Self {
        let (steps, obstacle) = match preview {
            Ok(Preview { steps, waits }) => (steps, waits),
            Err(why) => (Vec::new(), Some(why)),
        };
        let mut ways: BTreeMap<(String, Option<String>, String), ShardSet> = BTreeMap::new();
        for (shard, from, to, class) in steps {
            let way = (class.to_string(), from.map(|from| from.node.to_string()), to.node.to_string());
            ways.entry(way).or_default().insert(shard);
        }
        let step =
            |((class, from, to), shards): (_, ShardSet)| StepView { shards: shards.to_string(), from, to, class };
        Self {
            epoch: picture.topology.epoch().0,
            order: OrderView::of(picture),
            plan: picture.topology.cluster().plan().map(PlanView::of),
            next: ways.into_iter().map(step).collect(),
            obstacle,
        }
    }
}

impl PlanView {
    fn of(plan: &OpenPlan) -> Self {
        Self { id: plan.id.0, cause: plan.cause.name().to_owned(), planned: plan.planned, moved: plan.moved }
    }
}

impl ShardCounts {
    /// Counts them.
    pub fn of(picture: &Picture) -> Self {
        let assignment = picture.topology.assignment();
        let (total, orphaned) = (assignment.shards().len() as u64, assignment.orphaned() as u64);
        Self { total, assigned: total - orphaned, orphaned, moving: assignment.moving() as u64 }
    }
}

impl NodesView {
    /// Every node the log has heard of.
    pub fn of(picture: &Picture) -> Self {
        let cluster = picture.topology.cluster();
        Self {
            epoch: picture.topology.epoch().0,
            nodes: cluster.members().map(|member| NodeView::of(picture, member)).collect(),
        }
    }
}

impl NodeView {
    /// One node.
    pub fn of(picture: &Picture, member: &Member) -> Self {
        let beat = picture.heartbeat(&member.node).filter(|_| member.status.owns());
        let owned = picture.topology.assignment().owned_by(member.node.incarnation);
        Self {
            id: member.node.node.to_string(),
            incarnation: member.node.incarnation.to_string(),
            status: member.status.name().to_owned(),
            shards: if member.status.owns() { owned as u64 } else { 0 },
            actors: beat.map_or(0, |beat| beat.load.actors.into()),
            admin_url: beat.map(|beat| beat.admin_url.clone()).filter(|url| !url.is_empty()),
            commands_per_second: beat.map_or(0, |beat| beat.load.commands_per_second.into()),
            weight: member.info.weight,
            zone: member.info.zone.as_ref().map(ToString::to_string),
            tags: member.info.tags.iter().map(ToString::to_string).collect(),
            since_epoch: member.since.0,
            trust: member.trust.name().to_owned(),
            view_epoch: beat.map(|beat| beat.view.0),
            build: beat.map(|beat| beat.build.clone()),
            heard_ms: beat.and_then(|_| picture.heartbeats.get(&member.node.node)).map(|(_, age)| millis(*age)),
        }
    }
}

impl PlacementView {
    /// What the cluster goes by, and what is wanted.
    pub fn of(picture: &Picture) -> Self {
        let adopted = picture.topology.cluster().policy();
        let PlacementPicture { desired, obstacle, rejected, unmet, strategies, too_hot: _ } = &picture.placement;
        let desired = desired.as_ref().filter(|desired| *desired != adopted);
        Self {
            epoch: picture.topology.epoch().0,
            adopted: PolicyText::of(adopted),
            desired: desired.map(|desired| PolicyText::of(desired)),
            not_adopted: desired.and(obstacle.clone()),
            rejected: rejected.clone(),
            unmet: unmet.to_string(),
            strategies: strategies.clone(),
        }
    }
}

fn name_of(picture: &Picture, life: Incarnation) -> Option<String> {
    picture.topology.cluster().owner(life).map(|member| member.node.node.to_string())
}

impl ShardsView {
    /// Who owns what; with `full`, shard by shard as well.
    pub fn of(picture: &Picture, full: bool) -> Self {
        let mut sets: BTreeMap<String, ShardSet> = BTreeMap::new();
        let (mut orphaned, mut moving) = (ShardSet::default(), ShardSet::default());
        let assignment = picture.topology.assignment();
        for (shard, state) in assignment.iter() {
            match state.owner().and_then(|owner| name_of(picture, owner)) {
                Some(name) => sets.entry(name).or_default().insert(shard),
                None => orphaned.insert(shard),
            }
            if matches!(state, ShardState::Draining { .. }) {
                moving.insert(shard);
            }
        }
        let shards =
            full.then(|| assignment.iter().map(|(shard, state)| ShardView::of(picture, shard, state)).collect());
        Self {
            epoch: picture.topology.epoch().0,
            total: assignment.shards().len() as u64,
            owners: sets.into_iter().map(|(name, set)| (name, set.to_string())).collect(),
            orphaned: orphaned.to_string(),
            moving: moving.to_string(),
            shards,
        }
    }
}

impl ShardView {
    /// One shard.
    pub fn of(picture: &Picture, shard: ShardId, state: ShardState) -> Self {
        let (name, to, drain_epoch) = match state {
            ShardState::Orphaned => ("orphaned", None, None),
            ShardState::Owned { .. } => ("owned", None, None),
            ShardState::Draining { to, drain_epoch, .. } => ("draining", Some(to), Some(drain_epoch.0)),
        };
        Self {
            shard: shard.0,
            state: name,
            owner: state.owner().and_then(|owner| name_of(picture, owner)),
            incarnation: state.owner().map(|owner| owner.to_string()),
            shard_epoch: state.epoch().map(|epoch| epoch.0),
            to: to.and_then(|to| name_of(picture, to)),
            drain_epoch,
        }
    }
}

impl MovesView {
    /// What is on its way.
    pub fn of(picture: &Picture) -> Self {
        let (cluster, assignment) = (picture.topology.cluster(), picture.topology.assignment());
        let unknown = |life: Incarnation| name_of(picture, life).unwrap_or_else(|| life.to_string());
        let draining = assignment.iter().filter_map(|(shard, state)| match state {
            ShardState::Draining { from, to, .. } => Some((shard, unknown(from), unknown(to))),
            _ => None,
        });
        let pending = assignment.pending().map(|(shard, from, to)| (shard, from.node.to_string(), to.node.to_string()));
        Self {
            epoch: picture.topology.epoch().0,
            plan: cluster.plan().map(PlanView::of),
            draining: grouped(draining),
            pending: grouped(pending),
            here: picture.moves.iter().map(|moved| ShardMoveView::of(picture, moved)).collect(),
        }
    }
}

fn grouped(moves: impl Iterator<Item = (ShardId, String, String)>) -> Vec<MoveView> {
    let mut ways: BTreeMap<(String, String), ShardSet> = BTreeMap::new();
    for (shard, from, to) in moves {
        ways.entry((from, to)).or_default().insert(shard);
    }
    ways.into_iter().map(|((from, to), shards)| MoveView { shards: shards.to_string(), from, to }).collect()
}

impl ReadyView {
    /// Whether the node takes commands, and why not.
    pub fn of(picture: Option<&Picture>) -> Self {
        let active = picture.is_some_and(|picture| picture.phase == "active");
        let fresh = picture.is_some_and(|picture| !picture.serve_left.is_zero());
        let staying = picture.is_some_and(|picture| picture.phase != "draining");
        let fault = picture.and_then(|picture| picture.fault.clone());
        let checks = BTreeMap::from([
            ("active", active),
            ("heartbeat-fresh", fresh),
            ("nats-connected", picture.is_some_and(|picture| picture.nats.is_none_or(|nats| nats.connected))),
            ("not-draining", staying),
            ("settled", picture.is_some_and(|picture| picture.settled)),
            ("view-fresh", picture.is_some_and(is_view_fresh)),
            ("no-fault", picture.is_some() && fault.is_none()),
        ]);
        let ready = checks.values().all(|holds| *holds);
        Self { ready, phase: picture.map_or("starting", |picture| picture.phase), checks, fault }
    }
}

/// By how much a node's view may be behind what others say they have applied.
const VIEW_LATE_MAX: Duration = Duration::from_secs(2);

/// Whether the node has applied whatever others have said for a while that they have.
fn is_view_fresh(picture: &Picture) -> bool {
    let told = picture.heartbeats.values().filter(|(_, age)| *age >= VIEW_LATE_MAX).map(|(record, _)| record.view);
    told.max().is_none_or(|latest| latest <= picture.topology.epoch())
}

/// `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthView {
    /// `ok`, `degraded` or `critical`.
    pub verdict: &'static str,
    /// Why, in words, the worst first.
    pub reasons: Vec<String>,
    /// Every node the log has heard of, by id.
    pub nodes: Vec<NodeHealthView>,
}

/// One node's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeHealthView {
    /// Its id.
    pub id: String,
    /// `healthy`, `late`, `suspect`, `silent`, `paused`, `draining`, `failed` or `left`.
    pub verdict: &'static str,
}

/// `GET /v1/shards/{n}/why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyView {
    /// The shard's number.
    pub shard: u16,
    /// Who may serve it now.
    pub owner: Option<String>,
    /// What led to that, in order.
    pub entries: Vec<super::EntryView>,
    /// Whether that is all; otherwise it began in entries that are not kept in memory, and `/v1/events` has them.
    pub whole: bool,
}

impl HealthView {
    /// How everybody is.
    pub fn of(picture: &Picture) -> Self {
        let health = &picture.health;
        Self {
            verdict: health.verdict.name(),
            reasons: health.reasons.iter().map(|(_, reason)| reason.clone()).collect(),
            nodes: health
                .nodes
                .iter()
                .map(|node| NodeHealthView { id: node.node.node.to_string(), verdict: node.verdict.name() })
                .collect(),
        }
    }
}

impl WhyView {
    /// Why that shard is where it is.
    pub fn of(picture: &Picture, shard: ShardId, why: &aether_runtime::projection::Why) -> Self {
        let owner = picture.topology.owner(shard).map(|(node, _)| node.node.to_string());
        let entries = why.lines.iter().map(super::EntryView::of_line).collect();
        Self { shard: shard.0, owner, entries, whole: why.whole }
    }
}

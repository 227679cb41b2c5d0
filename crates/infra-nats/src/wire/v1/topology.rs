//! Topology entries in JSON; each event stands under its stable name in the field `event`.

use aether_domain::assignment::{AssignmentEvent, CancelReason, PlannedMove};
use aether_domain::cluster::{ClusterEvent, ClusterSettings, FailureReason, RebalanceCause};
use aether_domain::lease::{LeadershipEvent, LossReason};
use aether_domain::policy::Strategy;
use aether_domain::records::{Entry, Format};
use aether_domain::timing::Profile;
use aether_domain::topology::TopologyEvent;
use aether_domain::{
    ClusterUid, Epoch, Incarnation, NodeId, NodeRef, Nonce, PlanId, ShardCount, ShardSet, Tag, Term, WallTime, Zone,
};
use serde::{Deserialize, Serialize};

use super::json::{self, Counter, JsonRecord, Life, Mark, ShardBudget, Text, WideMark, Word, Words};
use super::orders::RebalanceV1;
use super::policy::PolicyV1;
use super::{ENTRY_BYTES_MAX, Encoded, FORMAT, WireFault};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryV1 {
    format: u8,
    kind: String,
    cluster: WideMark,
    epoch: Counter,
    term: Counter,
    leader: Life,
    nonce: Mark,
    prev_hash: Mark,
    cause: String,
    at_ms: u64,
    events: Vec<EventV1>,
}

impl JsonRecord for EntryV1 {
    const KIND: &'static str = "entry";
    fn head(&self) -> (u8, &str) {
        (self.format, &self.kind)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", deny_unknown_fields)]
enum EventV1 {
    ClusterCreated { uid: WideMark, shards: u32, hash: u8, hash_seed: Mark, profile: Word<Profile> },
    NodeJoined { node: Life, weight: u32, zone: Option<Text<Zone>>, tags: Vec<Text<Tag>> },
    NodeRestarted { node: Life, previous: Mark, weight: u32, zone: Option<Text<Zone>>, tags: Vec<Text<Tag>> },
    NodeDraining { node: Life },
    NodeFailed { node: Life, reason: Word<FailureReason> },
    NodeLeft { node: Life },
    NodeSuspected { node: Life, by: Vec<Text<NodeId>> },
    NodeRelieved { node: Life },
    NodeTrusted { node: Life },
    PlacementAdopted { policy: Box<PolicyV1> },
    PlacementRejected { strategy: Text<Strategy>, why: String },
    RebalancingOrdered { order: RebalanceV1 },
    RebalancingTriggered { plan: Counter, cause: Word<RebalanceCause>, moves: Vec<MoveV1> },
    RebalancingCompleted { plan: Counter, moved: u32 },
    TermStarted { term: Counter, leader: Life },
    LeadershipRenewed { term: Counter, leader: Life },
    LeadershipLost { term: Counter, leader: Life, reason: Word<LossReason> },
    ShardAssigned { shards: String, to: Life },
    ShardMigrationStarted { shards: String, from: Life, to: Life },
    ShardMigrated { shards: String, from: Life, to: Life },
    ShardMigrationFailed { shards: String, from: Life, to: Life, reason: Word<CancelReason> },
    ShardsOrphaned { shards: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveV1 {
    shards: String,
    from: Life,
    to: Life,
}

impl Words for Profile {
    const TABLE: &'static [(Self, &'static str)] = &Self::NAMES;
}

fn life(node: &NodeRef) -> Life {
    Life(node.clone())
}

fn runs(shards: &ShardSet) -> String {
    shards.to_string()
}

impl From<&TopologyEvent> for EventV1 {
    fn from(event: &TopologyEvent) -> Self {
        match event {
            TopologyEvent::Cluster(event) => event.into(),
            TopologyEvent::Leadership(event) => event.into(),
            TopologyEvent::Assignment(event) => event.into(),
        }
    }
}

impl From<&ClusterEvent> for EventV1 {
    fn from(event: &ClusterEvent) -> Self {
        match event {
            ClusterEvent::ClusterCreated { uid, settings } => Self::ClusterCreated {
                uid: WideMark(uid.0),
                shards: settings.shards.get() as u32,
                hash: settings.hash,
                hash_seed: Mark(settings.hash_seed),
                profile: Word(settings.profile),
            },
            ClusterEvent::NodeJoined { node, info } => {
                let (weight, zone, tags) = json::info_parts(info);
                Self::NodeJoined { node: life(node), weight, zone, tags }
            }
            ClusterEvent::NodeRestarted { node, previous, info } => {
                let (weight, zone, tags) = json::info_parts(info);
                Self::NodeRestarted { node: life(node), previous: Mark(previous.0), weight, zone, tags }
            }
            ClusterEvent::NodeDraining { node } => Self::NodeDraining { node: life(node) },
            ClusterEvent::NodeFailed { node, reason } => Self::NodeFailed { node: life(node), reason: Word(*reason) },
            ClusterEvent::NodeLeft { node } => Self::NodeLeft { node: life(node) },
            ClusterEvent::NodeSuspected { node, by } => {
                Self::NodeSuspected { node: life(node), by: by.iter().cloned().map(Text).collect() }
            }
            ClusterEvent::NodeRelieved { node } => Self::NodeRelieved { node: life(node) },
            ClusterEvent::NodeTrusted { node } => Self::NodeTrusted { node: life(node) },
            ClusterEvent::PlacementAdopted { policy } => {
                Self::PlacementAdopted { policy: Box::new(PolicyV1::from(&**policy)) }
            }
            ClusterEvent::PlacementRejected { strategy, why } => {
                Self::PlacementRejected { strategy: Text(strategy.clone()), why: why.clone() }
            }
            ClusterEvent::RebalancingOrdered { order } => Self::RebalancingOrdered { order: order.into() },
            ClusterEvent::RebalancingTriggered { plan, cause, moves } => Self::RebalancingTriggered {
                plan: Counter(plan.0),
                cause: Word(*cause),
                moves: moves.iter().map(MoveV1::from).collect(),
            },
            ClusterEvent::RebalancingCompleted { plan, moved } => {
                Self::RebalancingCompleted { plan: Counter(plan.0), moved: *moved }
            }
        }
    }
}

impl From<&PlannedMove> for MoveV1 {
    fn from(PlannedMove { shards, from, to }: &PlannedMove) -> Self {
        Self { shards: runs(shards), from: life(from), to: life(to) }
    }
}

impl From<&LeadershipEvent> for EventV1 {
    fn from(event: &LeadershipEvent) -> Self {
        match event {
            LeadershipEvent::TermStarted { term, leader } => {
                Self::TermStarted { term: Counter(term.0), leader: life(leader) }
            }
            LeadershipEvent::LeadershipRenewed { term, leader } => {
                Self::LeadershipRenewed { term: Counter(term.0), leader: life(leader) }
            }
            LeadershipEvent::LeadershipLost { term, leader, reason } => {
                Self::LeadershipLost { term: Counter(term.0), leader: life(leader), reason: Word(*reason) }
            }
        }
    }
}

impl From<&AssignmentEvent> for EventV1 {
    fn from(event: &AssignmentEvent) -> Self {
        match event {
            AssignmentEvent::ShardAssigned { shards, to } => Self::ShardAssigned { shards: runs(shards), to: life(to) },
            AssignmentEvent::ShardMigrationStarted { shards, from, to } => {
                Self::ShardMigrationStarted { shards: runs(shards), from: life(from), to: life(to) }
            }
            AssignmentEvent::ShardMigrated { shards, from, to } => {
                Self::ShardMigrated { shards: runs(shards), from: life(from), to: life(to) }
            }
            AssignmentEvent::ShardMigrationFailed { shards, from, to, reason } => Self::ShardMigrationFailed {
                shards: runs(shards),
                from: life(from),
                to: life(to),
                reason: Word(*reason),
            },
            AssignmentEvent::ShardsOrphaned { shards } => Self::ShardsOrphaned { shards: runs(shards) },
        }
    }
}

impl EventV1 {
    fn read(self, budget: &mut ShardBudget) -> Result<TopologyEvent, WireFault> {
        Ok(match self {
            Self::ClusterCreated { uid: WideMark(uid), shards, hash, hash_seed: Mark(hash_seed), profile } => {
                let shards = ShardCount::new(shards)?;
                let settings = ClusterSettings { shards, hash, hash_seed, profile: profile.0 };
                ClusterEvent::ClusterCreated { uid: ClusterUid(uid), settings }.into()
            }
            Self::NodeJoined { node: Life(node), weight, zone, tags } => {
                ClusterEvent::NodeJoined { node, info: json::node_info(weight, zone, tags)? }.into()
            }
            Self::NodeRestarted { node: Life(node), previous: Mark(previous), weight, zone, tags } => {
                let info = json::node_info(weight, zone, tags)?;
                ClusterEvent::NodeRestarted { node, previous: Incarnation(previous), info }.into()
            }
            Self::NodeDraining { node: Life(node) } => ClusterEvent::NodeDraining { node }.into(),
            Self::NodeFailed { node: Life(node), reason: Word(reason) } => {
                ClusterEvent::NodeFailed { node, reason }.into()
            }
            Self::NodeLeft { node: Life(node) } => ClusterEvent::NodeLeft { node }.into(),
            Self::NodeSuspected { node: Life(node), by } => {
                ClusterEvent::NodeSuspected { node, by: by.into_iter().map(|Text(node)| node).collect() }.into()
            }
            Self::NodeRelieved { node: Life(node) } => ClusterEvent::NodeRelieved { node }.into(),
            Self::NodeTrusted { node: Life(node) } => ClusterEvent::NodeTrusted { node }.into(),
            Self::PlacementAdopted { policy } => ClusterEvent::PlacementAdopted { policy: policy.read(budget)? }.into(),
            Self::PlacementRejected { strategy: Text(strategy), why } => {
                ClusterEvent::PlacementRejected { strategy, why }.into()
            }
            Self::RebalancingOrdered { order } => ClusterEvent::RebalancingOrdered { order: order.read()? }.into(),
            Self::RebalancingTriggered { plan: Counter(plan), cause: Word(cause), moves } => {
                let moves = moves.into_iter().map(|planned| planned.read(budget)).collect::<Result<_, _>>()?;
                ClusterEvent::RebalancingTriggered { plan: PlanId(plan), cause, moves }.into()
            }
            Self::RebalancingCompleted { plan: Counter(plan), moved } => {
                ClusterEvent::RebalancingCompleted { plan: PlanId(plan), moved }.into()
            }
            Self::TermStarted { term: Counter(term), leader: Life(leader) } => {
                LeadershipEvent::TermStarted { term: Term(term), leader }.into()
            }
            Self::LeadershipRenewed { term: Counter(term), leader: Life(leader) } => {
                LeadershipEvent::LeadershipRenewed { term: Term(term), leader }.into()
            }
            Self::LeadershipLost { term: Counter(term), leader: Life(leader), reason: Word(reason) } => {
                LeadershipEvent::LeadershipLost { term: Term(term), leader, reason }.into()
            }
            Self::ShardAssigned { shards, to: Life(to) } => {
                AssignmentEvent::ShardAssigned { shards: budget.read(&shards)?, to }.into()
            }
            Self::ShardMigrationStarted { shards, from: Life(from), to: Life(to) } => {
                AssignmentEvent::ShardMigrationStarted { shards: budget.read(&shards)?, from, to }.into()
            }
            Self::ShardMigrated { shards, from: Life(from), to: Life(to) } => {
                AssignmentEvent::ShardMigrated { shards: budget.read(&shards)?, from, to }.into()
            }
            Self::ShardMigrationFailed { shards, from: Life(from), to: Life(to), reason: Word(reason) } => {
                AssignmentEvent::ShardMigrationFailed { shards: budget.read(&shards)?, from, to, reason }.into()
            }
            Self::ShardsOrphaned { shards } => AssignmentEvent::ShardsOrphaned { shards: budget.read(&shards)? }.into(),
        })
    }
}

impl MoveV1 {
    fn read(self, budget: &mut ShardBudget) -> Result<PlannedMove, WireFault> {
        Ok(PlannedMove { shards: budget.read(&self.shards)?, from: self.from.0, to: self.to.0 })
    }
}

/// The entry as it is stored.
pub(crate) fn encode_entry(entry: &Entry) -> Result<Encoded, WireFault> {
    let dto = EntryV1 {
        format: FORMAT,
        kind: EntryV1::KIND.to_owned(),
        cluster: WideMark(entry.cluster.0),
        epoch: Counter(entry.epoch.0),
        term: Counter(entry.term.0),
        leader: life(&entry.leader),
        nonce: Mark(entry.nonce.0),
        prev_hash: Mark(entry.prev_hash),
        cause: entry.cause.clone(),
        at_ms: entry.at.unix_millis,
        events: entry.events.iter().map(EventV1::from).collect(),
    };
    json::encode(&dto, ENTRY_BYTES_MAX)
}

/// The entry that stored bytes hold.
pub(crate) fn decode_entry(payload: &[u8], header: Option<&str>) -> Result<Entry, WireFault> {
    let dto: EntryV1 = json::decode(payload, header, ENTRY_BYTES_MAX)?;
    let mut budget = ShardBudget::default();
    Ok(Entry {
        format: Format::FIRST,
        cluster: ClusterUid(dto.cluster.0),
        epoch: Epoch(dto.epoch.0),
        term: Term(dto.term.0),
        leader: dto.leader.0,
        nonce: Nonce(dto.nonce.0),
        prev_hash: dto.prev_hash.0,
        cause: dto.cause,
        at: WallTime { unix_millis: dto.at_ms },
        events: dto.events.into_iter().map(|event| event.read(&mut budget)).collect::<Result<_, _>>()?,
    })
}

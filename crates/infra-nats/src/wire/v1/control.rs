//! Control records in JSON: lease, member record, release report, desired placement, orders. The topology snapshot, which no person reads, is binary.

use std::time::Duration;

use aether_domain::records::{
    ControlKey, ControlRecord, DesiredPlacement, Format, Health, LeaseRecord, LeaseState, Load, MemberRecord,
    MemberState, ReleaseReport,
};
use aether_domain::{Epoch, Incarnation, NodeId, NodeRef, Nonce, ShardId, Tag, Term, Zone};
use serde::{Deserialize, Serialize};

use super::json::{self, Counter, JsonRecord, Mark, ShardBudget, Text, WideMark, Word, millis};
use super::orders::OrdersV1;
use super::policy::PolicyV1;
use super::{CONTROL_BYTES_MAX, Encoded, FORMAT, WireFault, snapshot};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseV1 {
    format: u8,
    kind: String,
    term: Counter,
    node: Text<NodeId>,
    inc: Mark,
    ttl_ms: u64,
    nonce: Mark,
    state: Word<LeaseState>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberV1 {
    format: u8,
    kind: String,
    node: Text<NodeId>,
    inc: Mark,
    state: Word<MemberState>,
    heartbeat: Counter,
    nonce: Mark,
    heartbeat_every_ms: u64,
    view: Counter,
    load: LoadV1,
    weight: u32,
    zone: Option<Text<Zone>>,
    tags: Vec<Text<Tag>>,
    admin_url: String,
    build: String,
    supervisor: Option<Mark>,
    health: HealthV1,
    /// Pairs of a shard and its load.
    shard_loads: Vec<(u16, u32)>,
    digest: WideMark,
    reads: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthV1 {
    loop_lag_ms: u64,
    commit_p99_ms: u64,
    mailbox_age_ms: u64,
    accuses: Vec<Text<NodeId>>,
    unserved: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadV1 {
    actors: u32,
    commands_per_second: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseV1 {
    format: u8,
    kind: String,
    node: Text<NodeId>,
    inc: Mark,
    nonce: Mark,
    released: Vec<ReleasedV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlacementV1 {
    format: u8,
    kind: String,
    nonce: Mark,
    policy: PolicyV1,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleasedV1 {
    shards: String,
    epoch: Counter,
}

macro_rules! kinds {
    ($($record:ty => $kind:literal),+) => {
        $(impl JsonRecord for $record {
            const KIND: &'static str = $kind;
            fn head(&self) -> (u8, &str) {
                (self.format, &self.kind)
            }
        })+
    };
}

kinds!(LeaseV1 => "lease", MemberV1 => "member", ReleaseV1 => "release", PlacementV1 => "placement");

impl From<&LeaseRecord> for LeaseV1 {
    fn from(record: &LeaseRecord) -> Self {
        Self {
            format: FORMAT,
            kind: Self::KIND.to_owned(),
            term: Counter(record.term.0),
            node: Text(record.holder.node.clone()),
            inc: Mark(record.holder.incarnation.0),
            ttl_ms: millis(record.ttl),
            nonce: Mark(record.nonce.0),
            state: Word(record.state),
        }
    }
}

impl From<LeaseV1> for LeaseRecord {
    fn from(dto: LeaseV1) -> Self {
        Self {
            term: Term(dto.term.0),
            holder: life(dto.node, dto.inc),
            ttl: Duration::from_millis(dto.ttl_ms),
            nonce: Nonce(dto.nonce.0),
            state: dto.state.0,
        }
    }
}

impl From<&MemberRecord> for MemberV1 {
    fn from(record: &MemberRecord) -> Self {
        let Load { actors, commands_per_second } = record.load;
        let (weight, zone, tags) = json::info_parts(&record.info);
        Self {
            format: FORMAT,
            kind: Self::KIND.to_owned(),
            node: Text(record.node.node.clone()),
            inc: Mark(record.node.incarnation.0),
            state: Word(record.state),
            heartbeat: Counter(record.heartbeat),
            nonce: Mark(record.nonce.0),
            heartbeat_every_ms: millis(record.heartbeat_every),
            view: Counter(record.view.0),
            load: LoadV1 { actors, commands_per_second },
            weight,
            zone,
            tags,
            admin_url: record.admin_url.clone(),
            build: record.build.clone(),
            supervisor: record.supervisor.map(|token| Mark(token.0)),
            health: HealthV1 {
                loop_lag_ms: millis(record.health.loop_lag),
                commit_p99_ms: millis(record.health.commit_p99),
                mailbox_age_ms: millis(record.health.mailbox_age),
                accuses: record.health.accuses.iter().cloned().map(Text).collect(),
                unserved: record.health.unserved.to_string(),
            },
            shard_loads: record.shard_loads.iter().map(|(shard, load)| (shard.0, *load)).collect(),
            digest: WideMark(record.digest),
            reads: record.reads.0,
        }
    }
}

impl TryFrom<MemberV1> for MemberRecord {
    type Error = WireFault;
    fn try_from(dto: MemberV1) -> Result<Self, WireFault> {
        let LoadV1 { actors, commands_per_second } = dto.load;
        if dto.health.accuses.len() > Health::ACCUSED_MAX {
            return Err(WireFault::TooMany { what: "accused nodes", count: dto.health.accuses.len() });
        }
        let unserved = ShardBudget::default().read(&dto.health.unserved)?;
        if unserved.len() > Health::UNSERVED_MAX {
            return Err(WireFault::TooMany { what: "shards that are not served", count: unserved.len() });
        }
        if dto.shard_loads.len() > MemberRecord::SHARD_LOADS_MAX {
            return Err(WireFault::TooMany { what: "loads of shards", count: dto.shard_loads.len() });
        }
        Ok(Self {
            node: life(dto.node, dto.inc),
            state: dto.state.0,
            heartbeat: dto.heartbeat.0,
            nonce: Nonce(dto.nonce.0),
            heartbeat_every: Duration::from_millis(dto.heartbeat_every_ms),
            view: Epoch(dto.view.0),
            load: Load { actors, commands_per_second },
            info: json::node_info(dto.weight, dto.zone, dto.tags)?,
            admin_url: dto.admin_url,
            build: dto.build,
            supervisor: dto.supervisor.map(|token| Nonce(token.0)),
            health: Health {
                loop_lag: Duration::from_millis(dto.health.loop_lag_ms),
                commit_p99: Duration::from_millis(dto.health.commit_p99_ms),
                mailbox_age: Duration::from_millis(dto.health.mailbox_age_ms),
                accuses: dto.health.accuses.into_iter().map(|Text(node)| node).collect(),
                unserved,
            },
            shard_loads: dto.shard_loads.into_iter().map(|(shard, load)| (ShardId(shard), load)).collect(),
            digest: dto.digest.0,
            reads: Format(dto.reads),
        })
    }
}

impl From<&ReleaseReport> for ReleaseV1 {
    fn from(report: &ReleaseReport) -> Self {
        let released = report.released.iter();
        Self {
            format: FORMAT,
            kind: Self::KIND.to_owned(),
            node: Text(report.node.node.clone()),
            inc: Mark(report.node.incarnation.0),
            nonce: Mark(report.nonce.0),
            released: released
                .map(|(shards, epoch)| ReleasedV1 { shards: shards.to_string(), epoch: Counter(epoch.0) })
                .collect(),
        }
    }
}

impl TryFrom<ReleaseV1> for ReleaseReport {
    type Error = WireFault;
    fn try_from(dto: ReleaseV1) -> Result<Self, WireFault> {
        let mut budget = ShardBudget::default();
        let released = dto.released.into_iter().map(|one| Ok((budget.read(&one.shards)?, Epoch(one.epoch.0))));
        let released = released.collect::<Result<_, WireFault>>()?;
        Ok(Self { node: life(dto.node, dto.inc), nonce: Nonce(dto.nonce.0), released })
    }
}

impl From<&DesiredPlacement> for PlacementV1 {
    fn from(record: &DesiredPlacement) -> Self {
        let policy = PolicyV1::from(&*record.policy);
        Self { format: FORMAT, kind: Self::KIND.to_owned(), nonce: Mark(record.nonce.0), policy }
    }
}

impl TryFrom<PlacementV1> for DesiredPlacement {
    type Error = WireFault;
    fn try_from(dto: PlacementV1) -> Result<Self, WireFault> {
        Ok(Self { nonce: Nonce(dto.nonce.0), policy: dto.policy.read(&mut ShardBudget::default())? })
    }
}

fn life(Text(node): Text<NodeId>, Mark(incarnation): Mark) -> NodeRef {
    NodeRef { node, incarnation: Incarnation(incarnation) }
}

/// The record as it is stored.
pub(crate) fn encode_control(record: &ControlRecord) -> Result<Encoded, WireFault> {
    match record {
        ControlRecord::Lease(record) => json::encode(&LeaseV1::from(record), CONTROL_BYTES_MAX),
        ControlRecord::Member(record) => json::encode(&MemberV1::from(record), CONTROL_BYTES_MAX),
        ControlRecord::Release(report) => json::encode(&ReleaseV1::from(report), CONTROL_BYTES_MAX),
        ControlRecord::Snapshot(snapshot) => snapshot::encode_snapshot(snapshot),
        ControlRecord::Placement(record) => json::encode(&PlacementV1::from(record), CONTROL_BYTES_MAX),
        ControlRecord::Orders(record) => json::encode(&OrdersV1::from(record), CONTROL_BYTES_MAX),
    }
}

/// The record stored under `key`: it must be of the key's kind and speak of the key's node.
pub(crate) fn decode_control(
    key: &ControlKey,
    payload: &[u8],
    header: Option<&str>,
) -> Result<ControlRecord, WireFault> {
    let record = match key {
        ControlKey::Lease => ControlRecord::Lease(json::decode::<LeaseV1>(payload, header, CONTROL_BYTES_MAX)?.into()),
        ControlKey::Member(_) => {
            ControlRecord::Member(json::decode::<MemberV1>(payload, header, CONTROL_BYTES_MAX)?.try_into()?)
        }
        ControlKey::Release(_) => {
            ControlRecord::Release(json::decode::<ReleaseV1>(payload, header, CONTROL_BYTES_MAX)?.try_into()?)
        }
        ControlKey::TopologySnapshot => ControlRecord::Snapshot(snapshot::decode_snapshot(payload)?),
        ControlKey::Placement => {
            ControlRecord::Placement(json::decode::<PlacementV1>(payload, header, CONTROL_BYTES_MAX)?.try_into()?)
        }
        ControlKey::Orders => {
            ControlRecord::Orders(json::decode::<OrdersV1>(payload, header, CONTROL_BYTES_MAX)?.try_into()?)
        }
    };
    if record.key() == *key {
        Ok(record)
    } else {
        Err(WireFault::Kind { expected: "a record of its key's node", found: crate::names::control_key(&record.key()) })
    }
}

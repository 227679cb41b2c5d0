//! The topology snapshot in the binary envelope: a table of lives, and everything else in terms of it.
//!
//! 65,536 shards were given by few entries, and neighbours often by the same one: who was given what when is listed once,
//! and the shards as runs of it. A number in those runs counts from 1, and 0 says that there is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::{ClusterSettings, Member, NodeInfo, NodeStatus, OpenPlan, Trust};
use aether_domain::image::TopologyImage;
use aether_domain::lease::LeadershipLease;
use aether_domain::policy::PlacementPolicy;
use aether_domain::records::{Position, TopologySnapshot};
use aether_domain::{
    ClusterUid, Epoch, Incarnation, NodeId, NodeRef, Nonce, PlanId, Sequence, ShardCount, ShardId, Tag, Term, Zone,
};
use wincode::{SchemaRead, SchemaWrite};

use super::envelope::{self, Body, Kind};
use super::json::{ShardBudget, Word};
use super::orders::RebalanceV1;
use super::policy::PolicyV1;
use super::{Encoded, SNAPSHOT_BYTES_MAX, WireFault};

#[derive(SchemaWrite, SchemaRead)]
struct SnapshotB1 {
    nonce: u64,
    uid: u128,
    shards: u32,
    hash: u8,
    hash_seed: u64,
    profile: String,
    epoch: u64,
    sequence: u64,
    prev_hash: u64,
    /// Every life that is spoken of.
    lives: Vec<LifeB1>,
    members: Vec<MemberB1>,
    /// The placement policy in JSON, unless it is the default.
    policy: Option<String>,
    plan: Option<PlanB1>,
    order: Option<OrderB1>,
    term: u64,
    leader: Option<u32>,
    /// Whom shards were given to, and by which entry.
    given: Vec<SinceB1>,
    /// Whom shards are on their way to, and by which entry.
    asked: Vec<SinceB1>,
    /// Which of them, for how many shards on end.
    runs: Vec<RunB1>,
    pending: Vec<PendingB1>,
}

impl Body<'_> for SnapshotB1 {
    const KIND: Kind = Kind::TopologySnapshot;
}

#[derive(SchemaWrite, SchemaRead)]
struct LifeB1 {
    node: String,
    incarnation: u64,
}

#[derive(SchemaWrite, SchemaRead)]
struct MemberB1 {
    life: u32,
    status: StatusB1,
    weight: u32,
    zone: Option<String>,
    tags: Vec<String>,
    since: u64,
    trust: TrustB1,
}

#[derive(SchemaWrite, SchemaRead)]
enum StatusB1 {
    Active,
    Draining,
    Failed,
    Left,
}

#[derive(SchemaWrite, SchemaRead)]
enum TrustB1 {
    Full,
    Suspected,
    Relieved,
}

#[derive(SchemaWrite, SchemaRead)]
struct PlanB1 {
    id: u64,
    cause: String,
    planned: u32,
    moved: u32,
}

#[derive(SchemaWrite, SchemaRead)]
struct OrderB1 {
    /// In JSON.
    order: String,
    since: u64,
}

#[derive(SchemaWrite, SchemaRead)]
struct SinceB1 {
    life: u32,
    epoch: u64,
}

#[derive(SchemaWrite, SchemaRead)]
struct RunB1 {
    /// 0: they are orphaned.
    given: u32,
    /// 0: they stay.
    asked: u32,
    shards: u32,
}

#[derive(SchemaWrite, SchemaRead)]
struct PendingB1 {
    /// How many shards lie between the run before and this one.
    skipped: u32,
    shards: u32,
    /// 0: from their owner.
    from: u32,
    to: u32,
}

const _: () = envelope::paid::<LifeB1>(2);
const _: () = envelope::paid::<MemberB1>(7);
const _: () = envelope::paid::<SinceB1>(2);
const _: () = envelope::paid::<RunB1>(3);
const _: () = envelope::paid::<PendingB1>(4);

const NOT_LISTED: WireFault = WireFault::Snapshot("it names something that it does not list");

/// Different things, in the order in which they were met, each with its number.
struct Table<T> {
    numbers: BTreeMap<T, u32>,
    items: Vec<T>,
}

impl<T: Ord + Clone> Table<T> {
    fn new() -> Self {
        Self { numbers: BTreeMap::new(), items: Vec::new() }
    }
    /// The number of `item`, from 1.
    fn number(&mut self, item: T) -> u32 {
        *self.numbers.entry(item.clone()).or_insert_with(|| {
            self.items.push(item);
            self.items.len() as u32
        })
    }
}

/// What has that number, from 1.
fn listed<T>(items: &[T], number: u32) -> Result<&T, WireFault> {
    number.checked_sub(1).and_then(|index| items.get(index as usize)).ok_or(NOT_LISTED)
}

fn write(image: &TopologyImage, nonce: Nonce) -> Result<SnapshotB1, WireFault> {
    let changed = *image.policy != PlacementPolicy::default();
    let policy = changed.then(|| serde_json::to_string(&PolicyV1::from(&*image.policy))).transpose()?;
    let order = image.order.as_ref().map(|(order, since)| {
        let order = serde_json::to_string(&RebalanceV1::from(order))?;
        Ok::<_, WireFault>(OrderB1 { order, since: since.0 })
    });
    let order = order.transpose()?;
    let mut lives = Table::new();
    let mut by_incarnation = BTreeMap::new();
    let members = image.members.iter().map(|member| {
        let life = lives.number(member.node.clone());
        by_incarnation.insert(member.node.incarnation, life);
        let status = match member.status {
            NodeStatus::Active => StatusB1::Active,
            NodeStatus::Draining => StatusB1::Draining,
            NodeStatus::Failed => StatusB1::Failed,
            NodeStatus::Left => StatusB1::Left,
        };
        let trust = match member.trust {
            Trust::Full => TrustB1::Full,
            Trust::Suspected => TrustB1::Suspected,
            Trust::Relieved => TrustB1::Relieved,
        };
        let NodeInfo { weight, zone, tags } = &member.info;
        MemberB1 {
            life,
            status,
            weight: *weight,
            zone: zone.as_ref().map(ToString::to_string),
            tags: tags.iter().map(ToString::to_string).collect(),
            since: member.since.0,
            trust,
        }
    });
    let members: Vec<_> = members.collect();
    let leader = image.leadership.leader().map(|leader| lives.number(leader.clone()));
    // Whoever has a shard is a member; a topology that says otherwise could not be built up again.
    let owner = |incarnation: Incarnation| by_incarnation.get(&incarnation).copied().unwrap_or(u32::MAX);
    let (mut given, mut asked) = (Table::new(), Table::new());
    let mut runs: Vec<RunB1> = Vec::new();
    for state in &image.shards {
        let to = match *state {
            ShardState::Draining { to, drain_epoch, .. } => asked.number((owner(to), drain_epoch.0)),
            ShardState::Orphaned | ShardState::Owned { .. } => 0,
        };
        let by = match (state.owner(), state.epoch()) {
            (Some(by), Some(epoch)) => given.number((owner(by), epoch.0)),
            _ => 0,
        };
        match runs.last_mut() {
            Some(run) if (run.given, run.asked) == (by, to) => run.shards += 1,
            _ => runs.push(RunB1 { given: by, asked: to, shards: 1 }),
        }
    }
    let mut pending: Vec<PendingB1> = Vec::new();
    let mut next = 0;
    for (shard, from, to) in &image.pending {
        let from = lives.number(from.clone());
        let to = lives.number(to.clone());
        let owner = image.shards.get(shard.index()).and_then(|state| state.owner()).map(owner);
        let from = if owner == Some(from) { 0 } else { from };
        let skipped = u32::from(shard.0) - next;
        next = u32::from(shard.0) + 1;
        match pending.last_mut() {
            Some(run) if (run.from, run.to) == (from, to) && skipped == 0 => run.shards += 1,
            _ => pending.push(PendingB1 { skipped, shards: 1, from, to }),
        }
    }
    let since = |(life, epoch)| SinceB1 { life, epoch };
    let lives = lives.items.into_iter();
    Ok(SnapshotB1 {
        nonce: nonce.0,
        uid: image.uid.0,
        shards: image.settings.shards.get() as u32,
        hash: image.settings.hash,
        hash_seed: image.settings.hash_seed,
        profile: Word(image.settings.profile).to_string(),
        epoch: image.epoch.0,
        sequence: image.at.sequence.0,
        prev_hash: image.at.hash,
        members,
        policy,
        plan: image.plan.as_ref().map(|plan| PlanB1 {
            id: plan.id.0,
            cause: Word(plan.cause).to_string(),
            planned: plan.planned,
            moved: plan.moved,
        }),
        order,
        term: image.leadership.term().0,
        leader,
        given: given.items.into_iter().map(since).collect(),
        asked: asked.items.into_iter().map(since).collect(),
        runs,
        pending,
        lives: lives.map(|life| LifeB1 { node: life.node.to_string(), incarnation: life.incarnation.0 }).collect(),
    })
}

fn read(dto: SnapshotB1) -> Result<(TopologyImage, Nonce), WireFault> {
    let lives = dto
        .lives
        .into_iter()
        .map(|life| Ok(NodeRef { node: NodeId::new(life.node)?, incarnation: Incarnation(life.incarnation) }));
    let lives = lives.collect::<Result<Vec<_>, WireFault>>()?;
    let life = |number: u32| listed(&lives, number);
    let members = dto.members.into_iter().map(|member| {
        let status = match member.status {
            StatusB1::Active => NodeStatus::Active,
            StatusB1::Draining => NodeStatus::Draining,
            StatusB1::Failed => NodeStatus::Failed,
            StatusB1::Left => NodeStatus::Left,
        };
        let node = life(member.life)?.clone();
        let trust = match member.trust {
            TrustB1::Full => Trust::Full,
            TrustB1::Suspected => Trust::Suspected,
            TrustB1::Relieved => Trust::Relieved,
        };
        if member.tags.len() > NodeInfo::TAGS_MAX {
            return Err(WireFault::TooMany { what: "tags of a node", count: member.tags.len() });
        }
        let info = NodeInfo {
            weight: member.weight,
            zone: member.zone.map(Zone::new).transpose()?,
            tags: member.tags.into_iter().map(Tag::new).collect::<Result<_, _>>()?,
        };
        Ok(Member { node, status, info, since: Epoch(member.since), trust })
    });
    let members = members.collect::<Result<_, WireFault>>()?;
    let since = |listed: Vec<SinceB1>| {
        let since = listed.into_iter().map(|since| Ok((life(since.life)?.clone(), Epoch(since.epoch))));
        since.collect::<Result<Vec<_>, WireFault>>()
    };
    let (given, asked) = (since(dto.given)?, since(dto.asked)?);
    let count = ShardCount::new(dto.shards)?;
    // Counted before it is unfolded: a few bytes can name many shards.
    let named: u64 = dto.runs.iter().map(|run| u64::from(run.shards)).sum();
    if named != count.get() as u64 {
        return Err(WireFault::Snapshot("its runs are not of as many shards as there are"));
    }
    let mut shards = Vec::with_capacity(count.get());
    // Whose each of them is.
    let mut owners = Vec::with_capacity(count.get());
    for run in dto.runs {
        let (state, owner) = match (run.given, run.asked) {
            (0, 0) => (ShardState::Orphaned, None),
            (by, 0) => {
                let (owner, epoch) = listed(&given, by)?;
                (ShardState::Owned { owner: owner.incarnation, epoch: *epoch }, Some(owner))
            }
            (by, to) => {
                let ((owner, epoch), (to, drain_epoch)) = (listed(&given, by)?, listed(&asked, to)?);
                let (from, to) = (owner.incarnation, to.incarnation);
                (ShardState::Draining { from, to, epoch: *epoch, drain_epoch: *drain_epoch }, Some(owner))
            }
        };
        shards.extend(std::iter::repeat_n(state, run.shards as usize));
        owners.extend(std::iter::repeat_n(owner, run.shards as usize));
    }
    let mut pending = Vec::new();
    let mut next: usize = 0;
    for run in dto.pending {
        let first = next.saturating_add(run.skipped as usize);
        next = first.saturating_add(run.shards as usize);
        let theirs = owners.get(first..next).ok_or(WireFault::Snapshot("it moves shards that there are not"))?;
        let to = life(run.to)?;
        for (shard, owner) in (first..next).zip(theirs) {
            let from = if run.from == 0 { owner.ok_or(NOT_LISTED)? } else { life(run.from)? };
            pending.push((ShardId(shard as u16), from.clone(), to.clone()));
        }
    }
    let plan = dto.plan.map(|plan| {
        let Word(cause) = plan.cause.parse().map_err(WireFault::Snapshot)?;
        Ok::<_, WireFault>(OpenPlan { id: PlanId(plan.id), cause, planned: plan.planned, moved: plan.moved })
    });
    let term = Term(dto.term);
    let leadership = match dto.leader {
        Some(leader) => LeadershipLease::Held { leader: life(leader)?.clone(), term },
        None => LeadershipLease::Vacant { last_term: term },
    };
    let policy = match dto.policy {
        Some(policy) => serde_json::from_str::<PolicyV1>(&policy)?.read(&mut ShardBudget::default())?,
        None => Arc::default(),
    };
    let order = dto.order.map(|OrderB1 { order, since }| {
        Ok::<_, WireFault>((serde_json::from_str::<RebalanceV1>(&order)?.read()?, Epoch(since)))
    });
    let Word(profile) = dto.profile.parse().map_err(WireFault::Snapshot)?;
    let image = TopologyImage {
        uid: ClusterUid(dto.uid),
        settings: ClusterSettings { shards: count, hash: dto.hash, hash_seed: dto.hash_seed, profile },
        members,
        policy,
        plan: plan.transpose()?,
        order: order.transpose()?,
        leadership,
        shards,
        pending,
        epoch: Epoch(dto.epoch),
        at: Position { sequence: Sequence(dto.sequence), hash: dto.prev_hash },
    };
    Ok((image, Nonce(dto.nonce)))
}

/// The snapshot as it is stored.
pub(super) fn encode_snapshot(snapshot: &TopologySnapshot) -> Result<Encoded, WireFault> {
    let nothing = WireFault::Snapshot("no entry has been seen");
    let image = TopologyImage::of(&snapshot.topology).ok_or(nothing)?;
    envelope::encode(&write(&image, snapshot.nonce)?, SNAPSHOT_BYTES_MAX)
}

/// The snapshot that stored bytes hold, if it can be of any topology.
pub(super) fn decode_snapshot(payload: &[u8]) -> Result<TopologySnapshot, WireFault> {
    let (image, nonce) = read(envelope::decode(payload)?)?;
    Ok(TopologySnapshot { nonce, topology: Arc::new(image.topology()?) })
}

//! What operators want of placement, now and then: drawn, and what must be true of it in the end.
//!
//! What nodes are like and what is wanted comes of dice of its own, so that a seed without any of it is what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::{Member, NodeInfo, NodeStatus};
use aether_domain::policy::{Pin, PlacementPolicy, Strategy, TagRule, ZoneMode};
use aether_domain::records::{ControlRecord, DesiredPlacement};
use aether_domain::topology::Topology;
use aether_domain::{NodeId, Nonce, ShardCount, ShardId, Tag, Zone};
use aether_placement::{PlacementError, PlacementInput, PlacementPlan, PlacementStrategy, StrategyId};
use aether_runtime::control::Strategies;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::act::Act;
use crate::world::World;

/// Tags that nodes may have, and one that none has.
const TAGS: [&str; 3] = ["ssd", "eu", "nobody-has-it"];
/// A strategy that every node knows, and that always panics.
const BROKEN: StrategyId = StrategyId { name: "broken", version: 1 };

struct Broken;

impl PlacementStrategy for Broken {
    fn id(&self) -> StrategyId {
        BROKEN
    }
    fn plan(&self, _: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        // As a panic, without its noise.
        std::panic::resume_unwind(Box::new("it always does"))
    }
}

/// What every node knows.
pub(crate) fn strategies() -> Strategies {
    let mut strategies = Strategies::default();
    strategies.register(Broken).expect("a name that nobody else has");
    strategies
}

/// What a seed's nodes are like, and what is wanted of placement and when: in half of the seeds nothing.
pub(crate) fn draw(seed: u64, nodes: usize, until: Duration) -> (BTreeMap<NodeId, NodeInfo>, Vec<(Duration, Act)>) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed ^ 0x0097_ACED);
    if dice.random_ratio(1, 2) {
        return (BTreeMap::new(), Vec::new());
    }
    let zones = dice.random_range(1..=3);
    let infos = (1..=nodes).map(|number| {
        let zone = Some(Zone::new(format!("z{}", dice.random_range(1..=zones))).expect("a zone"));
        let tags = TAGS[..2].iter().filter(|_| dice.random_ratio(1, 2)).map(|tag| Tag::new(tag).expect("a tag"));
        (
            NodeId::new(format!("n{number}")).expect("a node"),
            NodeInfo { zone, tags: tags.collect(), ..NodeInfo::default() },
        )
    });
    let infos = infos.collect();
    let wants = dice.random_range(1..=4);
    let millis = until.as_millis() as u64;
    let acts = (0..wants)
        .map(|_| (Duration::from_millis(dice.random_range(0..millis.max(1))), Act::Place { bits: dice.next_u64() }));
    (infos, acts.collect())
}

/// A policy; one of eight cannot be gone by.
fn policy(bits: u64, shards: ShardCount, nodes: usize) -> PlacementPolicy {
    let mut dice = ChaCha8Rng::seed_from_u64(bits);
    let strategy = match dice.random_range(0..6) {
        0 => "rendezvous/1".to_owned(),
        1 | 2 => BROKEN.to_string(),
        _ => Strategy::built_in().to_string(),
    };
    let shard = |dice: &mut ChaCha8Rng| ShardId(dice.random_range(0..shards.get()) as u16);
    let mut pins: BTreeMap<ShardId, NodeId> = BTreeMap::new();
    for _ in 0..dice.random_range(0..=3) {
        let node = NodeId::new(format!("n{}", dice.random_range(1..=nodes))).expect("a node");
        pins.insert(shard(&mut dice), node);
    }
    let mut rules = Vec::new();
    for _ in 0..if dice.random_ratio(1, 2) { dice.random_range(1..=2) } else { 0 } {
        let (first, second) = (shard(&mut dice), shard(&mut dice));
        let tags = [Tag::new(TAGS[dice.random_range(0..TAGS.len())]).expect("a tag")].into();
        rules.push(TagRule { shards: (first.min(second).0..=first.max(second).0).map(ShardId).collect(), tags });
    }
    if dice.random_ratio(1, 8)
        && let Ok(beyond) = u16::try_from(shards.get())
    {
        pins.insert(ShardId(beyond), NodeId::new("n1").expect("a node"));
    }
    PlacementPolicy {
        strategy: strategy.parse().expect("a strategy"),
        zones: if dice.random_ratio(1, 2) { ZoneMode::Equal } else { ZoneMode::Ignored },
        pins: pins.into_iter().map(|(shard, node)| Pin { shard, node }).collect(),
        rules,
        ..PlacementPolicy::default()
    }
}

impl World {
    /// An operator writes down what is wanted.
    pub(crate) fn place(&mut self, bits: u64) {
        let policy = policy(bits, self.scenario.shards, self.scenario.clocks.len());
        self.wanted = Some(policy.clone());
        let record = ControlRecord::Placement(DesiredPlacement { nonce: Nonce(bits), policy: Arc::new(policy) });
        self.fabric.write_over(self.now, &record);
    }

    /// What is not as it is wanted although it could be, in words.
    pub(crate) fn misplaced(&self) -> Option<String> {
        let truth = &self.checks.truth;
        let adopted = truth.cluster().policy();
        let shards = truth.cluster().settings().shards;
        match &self.wanted {
            Some(wanted) if *wanted != **adopted && wanted.check(shards).is_ok() => {
                return Some(format!("not adopted: {wanted:?}"));
            }
            _ => {}
        }
        ill_placed(truth, adopted)
    }
}

fn ill_placed(truth: &Topology, policy: &PlacementPolicy) -> Option<String> {
    let active: Vec<&Member> = truth.cluster().members().filter(|m| m.status == NodeStatus::Active).collect();
    let pins: BTreeMap<_, _> = policy.pins.iter().map(|pin| (pin.shard, &pin.node)).collect();
    for (shard, _) in truth.assignment().iter() {
        let (owner, _) = truth.owner(shard)?;
        let pinned = pins.get(&shard).filter(|node| active.iter().any(|member| member.node.node == ***node));
        if let Some(node) = pinned {
            if owner.node != **node {
                return Some(format!("shard {shard} is pinned to {node} and on {owner}"));
            }
            continue;
        }
        let asked: Vec<_> = policy.rules.iter().filter(|rule| rule.shards.contains(shard)).collect();
        let fits = |member: &&&Member| asked.iter().all(|rule| rule.tags.is_subset(&member.info.tags));
        let fitting: BTreeSet<_> = active.iter().filter(fits).map(|member| &member.node).collect();
        if !fitting.is_empty() && !fitting.contains(owner) {
            return Some(format!("shard {shard} is on {owner}, and not on one of {fitting:?}"));
        }
    }
    // Whatever cannot count is stood in for by what can; among nodes that are not all alike more is asked elsewhere.
    let counts = policy.strategy == Strategy::built_in() || policy.strategy.to_string() == BROKEN.to_string();
    let few = policy.pins.len() * active.len() * 3 <= truth.assignment().shards().len();
    if !counts || !few || !policy.rules.is_empty() {
        return None;
    }
    let owned = |member: &&&Member| truth.assignment().owned_by(member.node.incarnation);
    let mut zones: BTreeMap<Option<&Zone>, Vec<usize>> = BTreeMap::new();
    for member in &active {
        let zone = if policy.zones == ZoneMode::Equal { member.info.zone.as_ref() } else { None };
        zones.entry(zone).or_default().push(owned(&member));
    }
    let apart = |counts: &[usize]| counts.iter().max() > counts.iter().min().map(|least| least + 1).as_ref();
    let totals: Vec<usize> = zones.values().map(|counts| counts.iter().sum()).collect();
    let uneven = apart(&totals) || zones.values().any(|counts| apart(counts));
    uneven.then(|| format!("the shares are {zones:?}"))
}

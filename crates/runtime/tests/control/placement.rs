//! Placement as an operator wants it: adopted, carried out, refused; and strategies that fail.

use std::sync::{Arc, Mutex};

use aether_domain::cluster::RebalanceCause;
use aether_domain::policy::{Pin, PlacementPolicy, Strategy, TagRule, ZoneMode};
use aether_domain::records::DesiredPlacement;
use aether_domain::{Tag, Zone};
use aether_placement::{
    InputFault, Move, MoveClass, NodeIdx, NodeView, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy,
    StickyBalanced, StrategyId,
};

use super::*;

impl World {
    /// An operator writes down what is wanted.
    pub(super) fn ask_for(&mut self, policy: PlacementPolicy) {
        self.revision += 1;
        let desired = DesiredPlacement { nonce: Nonce(self.revision), policy: Arc::new(policy) };
        let stored = StoredRecord { record: ControlRecord::Placement(desired), revision: Revision(self.revision) };
        self.control.insert(ControlKey::Placement, stored.clone());
        for to in 0..self.nodes.len() {
            self.queue.push_back((to, Input::Control(ControlUpdate::Record(stored.clone()))));
        }
        self.drain_queue();
    }

    fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        self.until(time + SOON, "time", |world| world.now >= until);
    }

    fn owner_of(&self, shard: u16) -> String {
        let viewer = self.leader().expect("a leader");
        self.nodes[viewer].machine.topology().owner(ShardId(shard)).expect("an owner").0.node.to_string()
    }

    fn placed(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let topology = self.nodes[leader].machine.topology();
        topology.cluster().plan().is_none() && topology.assignment().orphaned() == 0
    }
}

fn pin(shard: u16, node: &str) -> Pin {
    Pin { shard: ShardId(shard), node: NodeId::new(node).expect("a valid name") }
}

fn by(strategy: &str) -> PlacementPolicy {
    PlacementPolicy { strategy: strategy.parse().expect("a strategy"), ..PlacementPolicy::default() }
}

fn adopted(entries: &[StoredEntry]) -> usize {
    cluster_events(entries).filter(|event| matches!(event, ClusterEvent::PlacementAdopted { .. })).count()
}

fn rejections(entries: &[StoredEntry]) -> Vec<String> {
    let said = cluster_events(entries).filter_map(|event| match event {
        ClusterEvent::PlacementRejected { strategy, why } => Some(format!("{strategy}: {why}")),
        _ => None,
    });
    said.collect()
}

fn causes(entries: &[StoredEntry]) -> Vec<RebalanceCause> {
    let plans = cluster_events(entries).filter_map(|event| match event {
        ClusterEvent::RebalancingTriggered { cause, .. } => Some(*cause),
        _ => None,
    });
    plans.collect()
}

#[test]
fn what_an_operator_wants_is_adopted_once_and_carried_out_by_one_plan() {
    let mut world = three(Profile::Default);
    let (before, from) = (world.log.len(), world.owner_of(7));
    let to = if from == "n2" { "n3" } else { "n2" };
    let policy = PlacementPolicy { pins: vec![pin(7, to)], ..PlacementPolicy::default() };
    world.ask_for(policy.clone());
    world.until(SOON, "the shard is where it is wanted", |world| world.owner_of(7) == to && world.settled(3));
    assert_eq!((adopted(&world.log[before..]), causes(&world.log[before..])), (1, vec![RebalanceCause::Operator]));
    let moved: usize = (world.log[before..].iter().flat_map(|stored| &stored.entry.events))
        .map(|event| match event {
            TopologyEvent::Assignment(AssignmentEvent::ShardMigrated { shards, .. }) => shards.len(),
            _ => 0,
        })
        .sum();
    assert!(moved <= 2, "{moved} moves for one shard and the balance it disturbs");
    // The same again is no news, and nothing is undone by time or by another leader.
    let settled = world.log.len();
    world.ask_for(policy);
    world.passes(SOON);
    assert_eq!(world.log.len(), settled, "{}", world.describe());
    let leader = world.leader().expect("a leader");
    let pinned_at = world.nodes.iter().position(|node| node.machine.me().node.as_str() == to).expect("it runs");
    world.nodes[leader].alive = false;
    world.until(SOON, "another leads", |world| world.settled(2));
    assert!(adopted(&world.log[settled..]) == 0);
    if leader == pinned_at {
        assert_ne!(world.owner_of(7), to, "nobody waits for a node that is gone");
        world.start(to);
        world.until(SOON, "it is back", |world| world.settled(3) && world.owner_of(7) == to);
    } else {
        assert_eq!(world.owner_of(7), to);
    }
    // What an operator does not want any more is given up by the same way.
    world.ask_for(PlacementPolicy::default());
    world.until(SOON, "the default again", |world| adopted(&world.log[settled..]) == 1 && world.placed());
}

#[test]
fn what_no_cluster_can_go_by_is_not_adopted_and_said_once() {
    let mut world = three(Profile::Default);
    let (leader, before) = (world.leader().expect("a leader"), world.log.len());
    let beyond = PlacementPolicy { pins: vec![pin(1024, "n1")], ..PlacementPolicy::default() };
    for (policy, why) in [(beyond, "shard 1024 is named"), (by("own/1"), "own/1 is not known")] {
        world.ask_for(policy);
        world.passes(SOON);
        let said = world.notes.drain(..).filter_map(|(at, note)| match note {
            Note::PlacementNotAdopted { why, .. } => Some((at, why)),
            _ => None,
        });
        let said: Vec<_> = said.collect();
        assert!(matches!(&said[..], [(at, said)] if *at == leader && said.contains(why)), "{said:?}");
        assert_eq!(world.log.len(), before, "{}", world.describe());
        let obstacle = world.nodes[(leader + 1) % 3].machine.placement_obstacle();
        assert!(obstacle.is_some_and(|found| found.contains(why)), "every node can say why");
    }
    world.ask_for(PlacementPolicy::default());
    assert_eq!(world.nodes[leader].machine.placement_obstacle(), None);
}

/// Another name for the built-in strategy.
struct Own;

impl PlacementStrategy for Own {
    fn id(&self) -> StrategyId {
        StrategyId { name: "own", version: 1 }
    }
    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        StickyBalanced.plan(input)
    }
}

fn knowing(strategy: impl PlacementStrategy) -> Strategies {
    let mut strategies = Strategies::default();
    strategies.register(strategy).expect("a good name");
    strategies
}

#[test]
fn a_leader_that_does_not_know_the_adopted_strategy_moves_only_what_must_move() {
    let mut world = World::new(Profile::Default);
    world.strategies = knowing(Own);
    for name in ["n1", "n2"] {
        world.start(name);
    }
    world.until(SOON, "two balanced nodes", |world| world.settled(2));
    world.ask_for(by("own/1"));
    world.until(SOON, "it is adopted", |world| adopted(&world.log) == 1);
    world.strategies = Strategies::default();
    for name in ["n3", "n4"] {
        world.start(name);
    }
    world.until(SOON, "four balanced nodes", |world| world.settled(4));
    assert!(rejections(&world.log).is_empty());
    let before = world.log.len();
    (world.nodes[0].alive, world.nodes[1].alive) = (false, false);
    world.until(SOON * 2, "every shard with one of two", |world| {
        world.placed() && world.nodes[2].machine.topology().cluster().active().count() == 2
    });
    let leader = world.leader().expect("a leader");
    // It says so, once, and a newcomer is given nothing: nobody here knows whether it should be.
    world.start("n5");
    world.passes(SOON);
    let name = world.nodes[leader].machine.me().node.clone();
    assert_eq!(rejections(&world.log[before..]), [format!("own/1: {name} does not know it")]);
    assert_eq!(world.shards_of(leader).get("n5"), None, "{}", world.describe());
    assert!(causes(&world.log[before..]).is_empty());
    // Sooner or later one leads that knows it: the newcomers have their parts.
    world.strategies = knowing(Own);
    let knows = world.start("n6");
    while world.leader() != Some(knows) {
        let leader = world.leader().expect("a leader");
        world.nodes[leader].alive = false;
        world.until(SOON, "another leads", |world| world.leader().is_some_and(|at| at != leader));
    }
    let left = world.nodes.iter().filter(|node| node.alive).count();
    world.until(SOON * 2, "balance", |world| world.settled(left));
    assert!(world.refusals.is_empty(), "{:?}", world.refusals);
}

/// Fails in one of four ways.
#[derive(Clone, Copy, Debug)]
enum Bad {
    Errs,
    Panics,
    Lies,
    LeavesOut,
}

impl PlacementStrategy for Bad {
    fn id(&self) -> StrategyId {
        StrategyId { name: "bad", version: 1 }
    }
    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let to = NodeIdx(input.nodes.len() as u16);
        match self {
            Self::Errs => Err(PlacementError::Input(InputFault::InFlightTwice { shard: ShardId(5) })),
            // Without the noise that `panic!` makes.
            Self::Panics => std::panic::resume_unwind(Box::new("it cannot count")),
            Self::Lies => {
                let (shard, from) = (ShardId(0), input.current[0]);
                Ok(PlacementPlan::new(vec![Move { shard, from, to, class: MoveClass::Balance }], 0))
            }
            Self::LeavesOut => Ok(PlacementPlan::default()),
        }
    }
}

#[test]
fn a_strategy_that_fails_is_stood_in_for_and_each_term_says_so_once() {
    for (bad, why) in [
        (Bad::Errs, "shard 5 is in flight twice"),
        (Bad::Panics, "it panicked: it cannot count"),
        (Bad::Lies, "is moved to node index"),
        (Bad::LeavesOut, "without an owner"),
    ] {
        let mut world = World::new(Profile::Default);
        world.strategies = knowing(bad);
        for name in ["n1", "n2", "n3"] {
            world.start(name);
        }
        world.until(SOON, "three balanced nodes", |world| world.settled(3));
        world.ask_for(by("bad/1"));
        world.until(SOON, "it is adopted", |world| adopted(&world.log) == 1);
        let leader = world.leader().expect("a leader");
        let other = (leader + 1) % 3;
        world.nodes[other].alive = false;
        world.until(SOON, "a failure", |world| world.settled(2));
        if !matches!(bad, Bad::LeavesOut) {
            world.start("n4");
            world.until(SOON, "a join", |world| world.settled(3));
        }
        world.passes(SOON);
        let said = rejections(&world.log);
        assert!(said.len() == 1 && said[0].starts_with("bad/1: ") && said[0].contains(why), "{bad:?}: {said:?}");
        // The next leader finds out for itself.
        let before = world.log.len();
        world.nodes[leader].alive = false;
        world.until(SOON, "another leads, with every shard", |world| world.placed() && world.leader() != Some(leader));
        world.passes(SOON);
        assert!(rejections(&world.log[before..]).len() <= 1, "{bad:?}: {:?}", rejections(&world.log[before..]));
        assert!(world.refusals.is_empty(), "{bad:?}: {:?}", world.refusals);
        assert!(world.placed(), "{bad:?}: {}", world.describe());
    }
}

/// What a strategy was last told.
#[derive(Clone, Default)]
struct Listens(Arc<Mutex<Told>>);

/// The nodes, and what of a policy there is in an input.
type Told = Option<(Vec<NodeView>, PlacementPolicy)>;

impl PlacementStrategy for Listens {
    fn id(&self) -> StrategyId {
        StrategyId { name: "listens", version: 1 }
    }
    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let policy = PlacementPolicy {
            strategy: "listens/1".parse().expect("a strategy"),
            zones: input.zones,
            pins: input.pins.to_vec(),
            rules: input.rules.to_vec(),
            ..PlacementPolicy::default()
        };
        *self.0.lock().expect("nobody panics with it") = Some((input.nodes.to_vec(), policy));
        Ok(PlacementPlan::default())
    }
}

#[test]
fn a_strategy_is_told_what_the_nodes_and_the_operator_have_said() {
    let (mut world, listens) = (World::new(Profile::Default), Listens::default());
    world.strategies = knowing(listens.clone());
    let info = |weight, zone: &str, tags: &[&str]| NodeInfo {
        weight,
        zone: Some(Zone::new(zone).expect("a zone")),
        tags: tags.iter().map(|tag| Tag::new(tag).expect("a tag")).collect(),
    };
    let infos = [("n1", info(1, "z1", &["eu", "ssd"])), ("n2", info(3, "z2", &[]))];
    for (name, info) in &infos {
        world.infos.insert((*name).to_owned(), info.clone());
        world.start(name);
    }
    let served = |world: &World| world.shards_of(0).values().sum::<usize>() == 1024 && world.shards_of(0).len() == 2;
    world.until(SOON, "both serve", |world| served(world) && world.placed());
    let policy = PlacementPolicy {
        zones: ZoneMode::Equal,
        pins: vec![pin(1, "n2"), pin(9, "n1")],
        rules: vec![TagRule { shards: ShardId(3).into(), tags: infos[0].1.tags.clone() }],
        ..by("listens/1")
    };
    world.ask_for(policy.clone());
    world.until(SOON, "it is asked", |_| listens.0.lock().expect("nobody panics with it").is_some());
    let (nodes, told) = listens.0.lock().expect("nobody panics with it").clone().expect("it was asked");
    assert_eq!(told, policy);
    let told: Vec<_> = nodes
        .into_iter()
        .map(|node| (node.id.to_string(), NodeInfo { weight: node.weight.get(), zone: node.zone, tags: node.tags }))
        .collect();
    assert_eq!(told, infos.map(|(name, info)| (name.to_owned(), info)));
}

#[test]
fn the_built_in_strategy_has_the_name_that_the_default_policy_says() {
    let StrategyId { name, version } = StickyBalanced.id();
    assert_eq!(Strategy::built_in().to_string(), format!("{name}/{version}"));
}

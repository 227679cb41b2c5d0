//! Load mode: what it promises for every input, how well it does on loads as clusters have them, and its edges.

use std::time::Duration;

use aether_domain::policy::{LoadPolicy, Pin, TagRule};
use aether_domain::{ShardId, ShardSet, Tag};
use aether_placement::{
    InFlight, InputFault, Move, MoveClass, NodeIdx, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy,
    ShardLoads, StickyBalanced, TooHot, too_hot,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::loads::{self, Draw};
use crate::world::{Weights, World, worlds};

/// A world and what its shards cost.
#[derive(Clone, Debug)]
struct Loaded {
    world: World,
    loads: Vec<u32>,
    resting: ShardSet,
    pins: Vec<Pin>,
    rules: Vec<TagRule>,
    policy: LoadPolicy,
}

/// Moves whenever it helps and as much as it likes.
const EAGER: LoadPolicy = LoadPolicy { trigger: 101, stop: 100, cap: 1_000, budget: 1_000, dwell: Duration::ZERO };

impl Loaded {
    fn new(world: World, loads: Vec<u32>, policy: LoadPolicy) -> Self {
        Self { world, loads, resting: ShardSet::default(), pins: Vec::new(), rules: Vec::new(), policy }
    }

    fn input(&self) -> PlacementInput<'_> {
        let Self { loads, resting, pins, rules, policy, .. } = self;
        let load = Some(ShardLoads { loads, resting, policy: *policy });
        PlacementInput { pins, rules, load, ..self.world.input() }
    }

    fn plan(&self) -> PlacementPlan {
        StickyBalanced.plan(&self.input()).expect("somebody is receiving")
    }

    /// The plan's moves, once they have passed the check that every plan must pass.
    fn moves(&self) -> Vec<Move> {
        self.plan().check(&self.input()).expect("a plan of ours is legal").into_moves()
    }

    fn committed(self, moves: &[Move]) -> Self {
        Self { world: self.world.committed(moves), ..self }
    }

    /// What each shard costs, as the docs say: in 1,024ths of the mean, at least 16.
    fn costs(&self) -> Vec<u128> {
        let (sum, shards) = (self.loads.iter().map(|load| u128::from(*load)).sum::<u128>(), self.loads.len() as u128);
        self.loads
            .iter()
            .map(|load| (u128::from(*load) * 1_024 * shards).checked_div(sum).unwrap_or(0).max(16))
            .collect()
    }

    fn weight(&self, node: NodeIdx) -> u128 {
        self.world.nodes[node.index()].weight.get().into()
    }

    /// By node index, what its shards cost once all that is in flight has landed.
    fn node_costs(&self) -> Vec<u128> {
        let mut costs = vec![0; self.world.nodes.len()];
        for (owner, cost) in self.world.clone().landed().current.iter().zip(self.costs()) {
            if let Some(owner) = owner {
                costs[owner.index()] += cost;
            }
        }
        costs
    }

    /// The receiver with the most cost for its weight, and that cost.
    fn hottest(&self) -> (u128, NodeIdx) {
        let costs = self.node_costs();
        let hotter =
            |a: &NodeIdx, b: &NodeIdx| (costs[a.index()] * self.weight(*b)).cmp(&(costs[b.index()] * self.weight(*a)));
        let node = self.world.receivers().into_iter().max_by(hotter).expect("somebody is receiving");
        (costs[node.index()], node)
    }

    /// Whether the hottest node of `self` is no hotter than that of `other`.
    fn is_no_hotter_than(&self, other: &Self) -> bool {
        let ((cost, node), (other_cost, other_node)) = (self.hottest(), other.hottest());
        cost * other.weight(other_node) <= other_cost * self.weight(node)
    }

    /// Whether a receiver has much less than its share of shards, as a newcomer does.
    fn has_newcomers(&self) -> bool {
        let counts = self.world.clone().landed().counts();
        let is_few = |node: NodeIdx| {
            let few = self.shared_out() * self.weight(node) * 100;
            u128::from(counts[node.index()]) * u128::from(self.policy.cap) * self.all_weights() < few
        };
        self.world.receivers().into_iter().any(is_few)
    }

    /// The most shards this node may be given.
    fn cap(&self, node: NodeIdx) -> u128 {
        let most = self.shared_out() * self.weight(node) * u128::from(self.policy.cap);
        most.div_ceil(100 * self.all_weights())
    }

    /// How many shards the receivers have between them: all but those on their way to a draining node.
    fn shared_out(&self) -> u128 {
        let stranded = self.world.in_flight.iter().filter(|moving| !self.world.receives(moving.to)).count();
        (self.world.current.len() - stranded) as u128
    }

    fn all_weights(&self) -> u128 {
        self.world.receivers().iter().map(|node| self.weight(*node)).sum()
    }
}

fn any_load() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 500_u32..1_500, 2 => 0_u32..20_000, 2 => Just(0), 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn any_policy() -> impl Strategy<Value = LoadPolicy> {
    (101_u16..130, 0_u16..100, 100_u16..200, prop_oneof![1_u16..60, Just(1_000)]).prop_map(
        |(trigger, below, cap, budget)| {
            let stop = 100 + (trigger - 100) * below / 100;
            LoadPolicy { trigger, stop, cap, budget, dwell: Duration::ZERO }
        },
    )
}

fn loaded(world: BoxedStrategy<World>) -> impl Strategy<Value = Loaded> {
    let loads = |shards| prop_oneof![vec(any_load(), shards), vec(900_u32..1_100, shards), vec(Just(0), shards)];
    (world, any_policy()).prop_flat_map(move |(world, policy)| {
        (Just(world.clone()), loads(world.current.len()), Just(policy))
            .prop_map(|(world, loads, policy)| Loaded::new(world, loads, policy))
    })
}

/// Everything settled somewhere that receives: nothing has to move.
fn at_home(world: BoxedStrategy<World>) -> BoxedStrategy<World> {
    world
        .prop_map(|mut world| {
            let receivers = world.receivers();
            for (nth, owner) in world.current.iter_mut().enumerate() {
                if owner.is_none_or(|node| !receivers.contains(&node)) {
                    *owner = Some(receivers[nth * nth % receivers.len()]);
                }
            }
            world
        })
        .boxed()
}

/// With shards that rest, pins and tag rules besides.
fn confined(loaded: impl Strategy<Value = Loaded>) -> impl Strategy<Value = Loaded> {
    (loaded, any::<u64>()).prop_map(|(mut loaded, mut bits)| {
        let mut draw = |of: u64| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (bits >> 33) % of
        };
        let tag = |name: &str| Tag::new(name).expect("a tag");
        for node in &mut loaded.world.nodes {
            node.tags.extend(["disk", "gpu"].into_iter().filter(|_| draw(2) == 0).map(tag));
        }
        let mut some =
            |of| -> ShardSet { (0..).map(ShardId).take(loaded.loads.len()).filter(|_| draw(of) == 0).collect() };
        loaded.resting = some(5);
        let rule = |shards, tags: &[&str]| TagRule { shards, tags: tags.iter().map(|name| tag(name)).collect() };
        loaded.rules = vec![rule(some(3), &["disk"]), rule(some(4), &["gpu"]), rule(some(40), &["none"])];
        let nodes = &loaded.world.nodes;
        let nth = |shard: ShardId| nodes[shard.index() * 7 % nodes.len()].id.clone();
        loaded.pins = some(12).iter().map(|shard| Pin { shard, node: nth(shard) }).collect();
        loaded
    })
}

fn any_loaded() -> impl Strategy<Value = Loaded> {
    let plain = || {
        prop_oneof![worlds(60, 8, Weights::Any, 6), worlds(200, 20, Weights::Equal, 9), worlds(6, 12, Weights::Any, 3)]
    };
    prop_oneof![
        loaded(plain().boxed()),
        confined(loaded(plain().boxed())),
        loaded(at_home(worlds(80, 8, Weights::Any, 0))),
        confined(loaded(at_home(worlds(80, 8, Weights::Any, 0)))),
    ]
}

/// What no placement of these shards can beat, as a cost and a weight: the mean, or the heaviest shard on the best node.
/// Without pins and rules.
fn unavoidable(loaded: &Loaded) -> (u128, u128) {
    let most =
        loaded.world.receivers().into_iter().map(|node| loaded.weight(node)).max().expect("somebody is receiving");
    let total = loaded.all_weights();
    let heaviest = loaded.costs().into_iter().max().unwrap_or(0);
    let sum = loaded.costs().into_iter().sum::<u128>();
    if heaviest * total > sum * most { (heaviest, most) } else { (sum, total) }
}

/// Whether moving some shard off the hottest node, or changing it for another, makes the sum of cost times heat smaller and
/// leaves the other node cooler than the hottest is now and within its cap.
fn can_be_cooler(loaded: &Loaded) -> bool {
    let (costs, shard_costs) = (loaded.node_costs(), loaded.costs());
    let (hot_cost, hot) = loaded.hottest();
    let of = |node: NodeIdx| -> Vec<u128> {
        let owned = loaded.world.current.iter().zip(&shard_costs).filter(|(owner, _)| **owner == Some(node));
        owned.map(|(_, cost)| *cost).collect()
    };
    let (hot_weight, counts) = (loaded.weight(hot), loaded.world.counts());
    loaded.world.receivers().into_iter().filter(|node| *node != hot).any(|cold| {
        let (cost, weight) = (costs[cold.index()], loaded.weight(cold));
        let nothing = (u128::from(counts[cold.index()]) < loaded.cap(cold)).then_some(0);
        let takes: Vec<u128> = of(cold).into_iter().chain(nothing).collect();
        of(hot).into_iter().flat_map(|give| takes.iter().map(move |take| (give, *take))).any(|(give, take)| {
            let (less, more) = (hot_cost + take - give, cost + give - take);
            // L^2/w of both, times both weights.
            let before = hot_cost.pow(2) * weight + cost.pow(2) * hot_weight;
            let after = less.pow(2) * weight + more.pow(2) * hot_weight;
            after < before && more * hot_weight < hot_cost * weight
        })
    })
}

proptest! {
    #![proptest_config(crate::cases(400))]

    #[test]
    fn a_plan_is_legal_and_moves_for_load_only_when_nothing_has_to_move(loaded in any_loaded()) {
        let report = loaded.plan().report;
        let moves = loaded.moves();
        let after = loaded.clone().committed(&moves);
        prop_assert_eq!(report.optimum, report.forced);
        for (shard, owner) in (0..).map(ShardId).zip(&after.world.current) {
            let served = owner.is_some_and(|node| loaded.world.receives(node));
            prop_assert!(served || loaded.world.is_in_flight(shard), "{shard}");
        }
        let recovers = |moving: &InFlight| {
            loaded.world.current[moving.shard.index()].is_none_or(|owner| !loaded.world.receives(owner))
        };
        if report.forced > 0 || loaded.world.in_flight.iter().any(recovers) {
            prop_assert_eq!(report.voluntary, 0);
        }
        let left_alone = |step: &Move| step.class == MoveClass::Load && !loaded.resting.contains(step.shard);
        prop_assert!(moves.iter().all(|step| step.class.is_forced() || left_alone(step)), "{moves:?}");
    }

    #[test]
    fn nothing_gets_hotter_than_the_hottest_was_nor_fuller_than_allowed(
        loaded in prop_oneof![
            loaded(at_home(worlds(80, 8, Weights::Any, 0))),
            loaded(at_home(worlds(80, 8, Weights::Any, 9))),
            confined(loaded(at_home(worlds(80, 8, Weights::Any, 0)))),
            confined(loaded(at_home(worlds(80, 8, Weights::Any, 9)))),
        ],
    ) {
        let forced: Vec<Move> = loaded.moves().into_iter().filter(|step| step.class.is_forced()).collect();
        let loaded = loaded.committed(&forced);
        let moves = loaded.moves();
        let after = loaded.clone().committed(&moves);
        prop_assert!(after.is_no_hotter_than(&loaded));
        for node in loaded.world.receivers() {
            let count = |loaded: &Loaded| u128::from(loaded.world.clone().landed().counts()[node.index()]);
            let [before, after] = [&loaded, &after].map(count);
            let cap = loaded.cap(node);
            prop_assert!(after <= cap.max(before), "{node:?}: {before} to {after}, at most {cap}");
        }
        if !loaded.has_newcomers() {
            let budget = (loaded.loads.len() * usize::from(loaded.policy.budget) / 1_000).max(1);
            prop_assert!(moves.len() <= budget, "{} moves of {budget}", moves.len());
        }
    }

    #[test]
    fn planning_on_and_on_ends_where_no_exchange_helps_the_hottest(
        world in prop_oneof![worlds(24, 6, Weights::Any, 0), worlds(24, 6, Weights::Equal, 0)],
        loads in vec(any_load(), 24),
    ) {
        let loads = loads[..world.current.len()].to_vec();
        let mut loaded = Loaded::new(world, loads, EAGER);
        for round in 0.. {
            prop_assert!(round < 30, "no end");
            let moves = loaded.moves();
            if moves.is_empty() {
                break;
            }
            let before = loaded.clone();
            loaded = loaded.committed(&moves);
            let are_alike = loaded.world.nodes.iter().all(|node| node.weight == loaded.world.nodes[0].weight);
            if are_alike && moves.iter().all(|step| step.class == MoveClass::Load) {
                let squares = |loaded: &Loaded| loaded.node_costs().iter().map(|cost| cost * cost).sum::<u128>();
                prop_assert!(squares(&loaded) < squares(&before), "{moves:?}");
            }
        }
        let ((cost, node), (least, weight)) = (loaded.hottest(), unavoidable(&loaded));
        let is_hot = cost * weight * 100 > least * loaded.weight(node) * 101;
        prop_assert!(!(is_hot && can_be_cooler(&loaded)), "{:?}", loaded.node_costs());
    }

    #[test]
    fn until_the_trigger_nothing_moves(
        shards in 40_usize..120, weights in vec(1_u32..4, 1..8), loads in vec(600_u32..1_400, 120), policy in any_policy(),
    ) {
        let loaded = settled(&weights, loads[..shards].to_vec(), policy);
        let ((cost, node), (least, weight)) = (loaded.hottest(), unavoidable(&loaded));
        let is_cool = cost * weight * 100 <= least * loaded.weight(node) * u128::from(loaded.policy.trigger);
        if is_cool && !loaded.has_newcomers() {
            prop_assert_eq!(loaded.moves(), vec![]);
        }
    }

    #[test]
    fn shards_without_an_owner_are_shared_out_as_evenly_as_a_list_can_be(
        shards in 0_usize..60, nodes in 1_usize..8, loads in vec(any_load(), 60),
    ) {
        let world = World::new(shards, &vec![1; nodes]);
        let loaded = Loaded::new(world, loads[..shards].to_vec(), EAGER);
        let moves = loaded.moves();
        let (costs, after) = (loaded.costs(), loaded.committed(&moves));
        // The last shard of the hottest node went to the coldest one, which had no more than the mean of the others.
        let (sum, heaviest) = (costs.iter().sum::<u128>(), costs.into_iter().max().unwrap_or(0));
        let nodes = nodes as u128;
        prop_assert!(after.hottest().0 * nodes <= sum + (nodes - 1) * heaviest, "{:?}", after.node_costs());
    }

    #[test]
    fn each_of_them_goes_to_the_node_that_is_coldest_with_it_and_not_full(
        loaded in loaded(prop_oneof![worlds(40, 8, Weights::Any, 0), worlds(40, 8, Weights::Any, 4)].boxed()),
    ) {
        let moves = loaded.moves();
        let (costs, mut node_costs, mut counts) = (loaded.costs(), loaded.node_costs(), loaded.world.clone().landed().counts());
        let mut homeless: Vec<Move> = moves.into_iter().filter(|step| step.class.is_forced()).collect();
        for step in &homeless {
            if let Some(from) = step.from {
                node_costs[from.index()] -= costs[step.shard.index()];
            }
        }
        homeless.sort_by_key(|step| (std::cmp::Reverse(costs[step.shard.index()]), step.shard));
        for step in homeless {
            let (cost, to) = (costs[step.shard.index()], step.to);
            let with = |node: NodeIdx| (node_costs[node.index()] + cost, loaded.weight(node));
            prop_assert!(u128::from(counts[to.index()]) < loaded.cap(to));
            for other in loaded.world.receivers() {
                let is_full = u128::from(counts[other.index()]) >= loaded.cap(other);
                let is_colder = with(other).0 * with(to).1 < with(to).0 * with(other).1;
                prop_assert!(is_full || !is_colder, "{} to {to:?} and not {other:?}", step.shard);
            }
            node_costs[to.index()] += cost;
            counts[to.index()] += 1;
        }
    }

    #[test]
    fn the_order_of_nodes_does_not_matter_to_load(
        (loaded, order) in any_loaded().prop_flat_map(|loaded| {
            let order: Vec<usize> = (0..loaded.world.nodes.len()).collect();
            (Just(loaded), Just(order).prop_shuffle())
        })
    ) {
        let mut relisted = Loaded { world: loaded.world.relisted(&order), ..loaded.clone() };
        relisted.pins.reverse();
        relisted.rules.reverse();
        let [one, other] = [&loaded, &relisted].map(|loaded| loaded.plan().describe(&loaded.world.nodes));
        prop_assert_eq!(one, other);
    }
}

/// `shards` shards on nodes of these weights, placed by number, and `loads`.
fn settled(weights: &[u32], loads: Vec<u32>, policy: LoadPolicy) -> Loaded {
    let world = World::new(loads.len(), weights);
    let moves = StickyBalanced.plan(&world.input()).expect("somebody is receiving").moves;
    Loaded::new(world.committed(&moves), loads, policy)
}

/// The hottest node against the least it can be, by the loads themselves.
fn above_least(loaded: &Loaded) -> f64 {
    let owners = loaded.world.current.iter().flatten().map(|owner| owner.index());
    let (heats, least) = loads::heats(owners, &loaded.loads, loaded.world.nodes.len());
    heats[0] / least
}

#[test]
fn hot_shards_are_cooled_by_moving_few() {
    let policy = LoadPolicy { trigger: 106, budget: 50, ..LoadPolicy::default() };
    for seed in 1..=8 {
        for (shards, nodes) in [(1_024, 10), (1_024, 50), (65_536, 1_000)] {
            for actors in [None, Some(if shards > 1_024 { 1_000_000 } else { 100_000 })] {
                if shards > 1_024 && seed > 1 {
                    continue;
                }
                let mut draw = Draw::new(seed);
                let drawn = match actors {
                    Some(actors) => draw.zipf(shards, actors),
                    None => draw.lognormal(shards),
                };
                let loaded = settled(&vec![1; nodes], loads::measured(&drawn), policy);
                let moves = loaded.moves();
                let cooled = above_least(&loaded.committed(&moves));
                let what = format!("seed {seed}: {shards} shards, {nodes} nodes, {actors:?} actors");
                assert!(cooled <= 1.0505 && moves.len() * 20 <= shards, "{what}: {cooled:.3}, {} moves", moves.len());
            }
        }
    }
}

#[test]
fn loads_that_drift_move_little_and_never_get_hot() {
    for (seed, nodes, zipf) in [(1, 10, false), (2, 10, true), (3, 20, false), (4, 20, false)] {
        let mut draw = Draw::new(seed);
        let mut drawn = if zipf { draw.zipf(1_024, 100_000) } else { draw.lognormal(1_024) };
        let mut loaded = settled(&vec![1; nodes], loads::measured(&drawn), LoadPolicy::default());
        for _ in 0..5 {
            let moves = loaded.moves();
            loaded = loaded.committed(&moves);
        }
        let mut moved = 0;
        for epoch in 0..200 {
            draw.drift(&mut drawn);
            loaded.loads = loads::measured(&drawn);
            let moves = loaded.moves();
            moved += moves.len();
            loaded = loaded.committed(&moves);
            let hottest = above_least(&loaded);
            assert!(hottest <= 1.101, "seed {seed}, {nodes} nodes, epoch {epoch}: {hottest:.3}");
        }
        assert!(moved * 1_000 <= 2 * 200 * 1_024, "seed {seed}, {nodes} nodes: {moved} in 200 epochs");
    }
}

#[test]
fn a_newcomer_is_filled_at_once_whatever_the_budget() {
    for (what, loads, most) in [
        ("all alike", vec![1_000; 1_024], 90),
        ("idle", vec![0; 1_024], 90),
        ("lognormal", loads::measured(&Draw::new(1).lognormal(1_024)), 60),
    ] {
        let policy = LoadPolicy { budget: 1, ..LoadPolicy::default() };
        let mut loaded = settled(&[1; 10], loads, LoadPolicy { budget: 1_000, ..policy });
        let moves = loaded.moves();
        loaded = loaded.committed(&moves);
        loaded = Loaded { world: loaded.world.joined("new", 1), policy, ..loaded };
        let moves = loaded.moves();
        assert!((10..=most).contains(&moves.len()), "{what}: {} moves", moves.len());
        let newcomer = NodeIdx(10);
        assert!(moves.iter().filter(|step| step.to != newcomer).count() <= 1, "{what}: {moves:?}");
        let after = loaded.committed(&moves);
        let costs = after.node_costs();
        assert!(costs[10] * 11 * 100 >= costs.iter().sum::<u128>() * 90, "{what}: {costs:?}");
        assert_eq!(after.moves(), vec![], "{what}: and then there is rest");
    }
}

#[test]
fn the_plans_for_load_are_the_same_everywhere() {
    let loads = vec![900, 50, 40, 100, 700, 60, 300, 80, 0, 500, 90, 70];
    let mut world = World::new(12, &[1, 2, 1]);
    world.current = (0..12).map(|shard| Some(NodeIdx(shard % 3))).collect();
    let hot = Loaded::new(world, loads, LoadPolicy { budget: 1_000, ..LoadPolicy::default() });
    let left = Loaded { world: hot.world.clone().joined("n3", 1).draining(2).failed(0), ..hot.clone() };
    for (loaded, expected) in [
        (
            hot,
            "\
             load    n0 -> n1: 0,6\n\
             load    n1 -> n2: 4\n\
             load    n2 -> n0: 5\n\
             load    n2 -> n1: 11\n\
             forced 0, voluntary 5, optimum 0, max degree 3\n",
        ),
        (
            left,
            "\
             orphan  - -> n1: 3,6,9\n\
             orphan  - -> n3: 0\n\
             drain   n2 -> n1: 2,11\n\
             drain   n2 -> n3: 5,8\n\
             forced 8, voluntary 0, optimum 8, max degree 5\n",
        ),
    ] {
        let text = loaded.plan().describe(&loaded.world.nodes);
        assert!(text == expected, "the plan is another:\n{text}instead of:\n{expected}");
    }
}

/// Nodes `n0`, `n1`, .. of one weight that own shards of these loads.
fn owning(loads: &[&[u32]]) -> Loaded {
    let mut world = World::new(0, &vec![1; loads.len()]);
    for (node, loads) in (0..).zip(loads) {
        world.current.extend(loads.iter().map(|_| Some(NodeIdx(node))));
    }
    Loaded::new(world, loads.concat(), LoadPolicy { budget: 1_000, cap: 1_000, ..LoadPolicy::default() })
}

#[test]
fn what_cannot_be_moved_counts_once_and_where_it_leads() {
    let pin = |shard, node: &Loaded| Pin { shard: ShardId(shard), node: node.world.nodes[0].id.clone() };
    let mut leaving = owning(&[&[100, 50, 100], &[50]]);
    leaving.world.in_flight = vec![InFlight { shard: ShardId(0), to: NodeIdx(1) }];
    assert_eq!(leaving.moves(), vec![], "150 each, once it has landed");
    leaving.pins = vec![pin(0, &leaving)];
    assert_eq!(leaving.moves(), vec![], "and the same if it has been pinned to where it comes from");

    let mut pinned = owning(&[&[150, 150], &[100, 100], &[10]]);
    assert_eq!(pinned.moves().len(), 1, "one of 150 leaves");
    pinned.pins = vec![pin(0, &pinned), pin(1, &pinned)];
    assert_eq!(pinned.moves(), vec![], "300 cannot be avoided then, and nobody else has more");
}

#[test]
fn what_is_extreme_is_planned_all_the_same() {
    let heaviest = |shards: usize| [vec![u32::MAX], vec![0; shards - 1]].concat();
    for (what, weights, loads) in [
        ("nothing to place", vec![1, 1], vec![]),
        ("all idle", vec![1; 3], vec![0; 100]),
        ("all as heavy as can be", vec![u32::MAX, 1, u32::MAX], vec![u32::MAX; 100]),
        ("one shard has everything", vec![1; 4], heaviest(100)),
        ("fewer shards than nodes", vec![1; 12], vec![5, 1, 900]),
        ("one node", vec![7], vec![1, 2, 3]),
        ("the most shards", vec![u32::MAX, u32::MAX - 1, 1], vec![u32::MAX; 65_536]),
    ] {
        let shards = loads.len();
        let empty = Loaded::new(World::new(shards, &weights), loads.clone(), LoadPolicy::default());
        let moves = empty.moves();
        assert_eq!(moves.len(), shards, "{what}");
        let counted = settled(&weights, loads, EAGER);
        let (moves, policy) = (counted.moves(), counted.policy);
        let after = counted.clone().committed(&moves);
        assert!(after.is_no_hotter_than(&counted), "{what}");
        assert_eq!(Loaded { policy, ..after }.moves(), vec![], "{what}");
    }
}

#[test]
fn a_policy_out_of_range_counts_as_the_nearest_in_range() {
    let loads = loads::measured(&Draw::new(3).lognormal(200));
    let plan = |trigger, stop, cap, budget| {
        let policy = LoadPolicy { trigger, stop, cap, budget, dwell: Duration::ZERO };
        settled(&[1; 8], loads.clone(), policy).plan()
    };
    assert_eq!(plan(0, 0, 0, 0), plan(101, 100, 100, 1));
    assert_eq!(plan(120, 200, 100, 1_001), plan(120, 120, 100, 1_000));
    assert_eq!(plan(u16::MAX, 0, u16::MAX, u16::MAX), plan(1_000, 100, 1_000, 1_000));
}

#[test]
fn loads_of_another_number_of_shards_are_refused() {
    let loaded = Loaded::new(World::new(3, &[1, 1]), vec![1, 2], EAGER);
    let fault = InputFault::Loads { loads: 2, shards: 3 };
    assert_eq!(StickyBalanced.plan(&loaded.input()), Err(PlacementError::Input(fault.clone())));
    assert_eq!(PlacementPlan::default().check(&loaded.input()), Err(fault.clone().into()));
    assert_eq!(too_hot(&loaded.input()), Err(fault.into()));
}

#[test]
fn a_shard_above_what_the_best_node_for_it_should_bear_is_too_hot() {
    let hot = |shard, percent| TooHot { shard: ShardId(shard), percent };
    for (what, weights, loads, expected) in [
        ("no load", vec![1, 1], vec![0; 4], vec![]),
        ("just the mean", vec![1, 1], vec![6, 3, 2, 1], vec![]),
        ("above the mean", vec![1, 1], vec![7, 2, 2, 1], vec![hot(0, 116)]),
        ("a stronger node bears more", vec![3, 1], vec![7, 2, 2, 1], vec![]),
        ("one node bears everything", vec![1], vec![7, 0], vec![]),
        ("two, the hotter first", vec![1; 4], vec![50, 1, 80, 1], vec![hot(2, 242), hot(0, 151)]),
        ("as hot as can be", vec![1; 4], vec![u32::MAX, 0, 0, 0], vec![hot(0, 400)]),
    ] {
        let loaded = Loaded::new(World::new(loads.len(), &weights), loads, EAGER);
        assert_eq!(too_hot(&loaded.input()), Ok(expected), "{what}");
    }
    let mut confined = settled(&[1, 9], vec![3, 3, 3, 3], EAGER);
    confined.pins = vec![Pin { shard: ShardId(1), node: confined.world.nodes[0].id.clone() }];
    assert_eq!(too_hot(&confined.input()), Ok(vec![hot(1, 250)]), "its node is the weak one");
    assert_eq!(too_hot(&confined.world.input()), Ok(vec![]), "without loads nothing is hot");
}

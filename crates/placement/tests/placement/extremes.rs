//! The edges: no receiver, one node, more nodes than shards, the heaviest weights, the most shards, bad input.

use aether_domain::{NodeId, ShardId};
use aether_placement::{
    InFlight, InputFault, NodeIdx, NodeState, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy,
    StickyBalanced, minimum_moves,
};

use crate::world::{World, node};

fn plan(world: &World) -> PlacementPlan {
    let plan = StickyBalanced.plan(&world.input()).expect("somebody is receiving");
    plan.clone().check(&world.input()).expect("a plan of ours is legal");
    plan
}

/// How many shards each node has, largest first, when an empty world is filled.
fn counts_from_nothing(shards: usize, weights: &[u32]) -> Vec<u64> {
    let world = World::new(shards, weights);
    let moves = plan(&world).moves;
    let mut counts = world.committed(&moves).counts();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

#[test]
fn nobody_to_receive_is_an_error_and_not_an_empty_plan() {
    let all_draining = World::new(4, &[1, 1]).draining(0).draining(1);
    let refusal = Err(PlacementError::NoReceivers { nodes: 2 });
    assert_eq!(StickyBalanced.plan(&all_draining.input()), refusal);
    assert_eq!(minimum_moves(&all_draining.input()), Err(PlacementError::NoReceivers { nodes: 2 }));
    let empty = World::new(4, &[]);
    assert_eq!(StickyBalanced.plan(&empty.input()), Err(PlacementError::NoReceivers { nodes: 0 }));
}

#[test]
fn counts_at_the_edges() {
    for (shards, weights, expected) in [
        (0, vec![1, 1], vec![0, 0]),
        (5, vec![3], vec![5]),
        (2, vec![1, 1, 1], vec![1, 1, 0]),
        (1024, vec![u32::MAX; 3], vec![342, 341, 341]),
        (1024, vec![u32::MAX, 1], vec![1024, 0]),
        (7, vec![u32::MAX, u32::MAX, 1, 1], vec![4, 3, 0, 0]),
        (1024, vec![1, 2, 4], vec![585, 293, 146]),
        (65_536, vec![1; 3], vec![21_846, 21_845, 21_845]),
        (65_536, vec![u32::MAX, u32::MAX - 1], vec![32_768, 32_768]),
    ] {
        assert_eq!(counts_from_nothing(shards, &weights), expected, "{shards} shards, weights {weights:?}");
    }
}

#[test]
fn a_join_a_drain_and_a_failure_move_what_they_must() {
    let world = World::new(1024, &[1; 10]);
    let moves = plan(&world).moves;
    let settled = world.committed(&moves);
    for (what, world, expected) in [
        ("nothing", settled.clone(), 0),
        ("a join", settled.clone().joined("new", 1), 93),
        ("a drain", settled.clone().draining(3), usize::try_from(settled.counts()[3]).expect("few")),
        ("a failure", settled.clone().failed(3), usize::try_from(settled.counts()[3]).expect("few")),
    ] {
        assert_eq!(plan(&world).moves.len(), expected, "{what}");
    }
    let failed = plan(&settled.failed(3));
    assert!(failed.report.max_degree <= 103_u32.div_ceil(9) + 1, "recovery is shared out: {:?}", failed.report);
}

#[test]
fn a_move_under_way_to_a_node_now_draining_is_left_to_end() {
    let mut world = World::new(5, &[1, 1, 1]).draining(2);
    world.in_flight.push(InFlight { shard: ShardId(4), to: NodeIdx(2) });
    let moves = plan(&world).moves;
    let landed = world.committed(&moves).landed();
    assert_eq!(landed.counts(), vec![2, 2, 1], "the other four are shared out");
    assert_eq!(plan(&landed).moves.len(), 1, "the last one follows when it has landed");
}

#[test]
fn a_node_whose_share_is_whole_saves_no_move_by_rounding() {
    // The shares are 3, 1.5 and 1.5: one node is rounded up, but never the first.
    let mut world = World::new(6, &[2, 1, 1]);
    world.current = vec![Some(NodeIdx(0)); 6];
    assert_eq!(minimum_moves(&world.input()), Ok(3));
    assert_eq!(plan(&world).moves.len(), 3);
}

#[test]
fn a_node_just_filled_by_moves_under_way_leaves_the_others_their_rounding() {
    // The shares are 5.5, 2.01, 1.7 and 0.79. The counts 6, 3, 1 and 0 are within one of them, the first all in flight.
    let mut world = World::new(10, &[550, 201, 170, 79]);
    world.in_flight = (0..6).map(|shard| InFlight { shard: ShardId(shard), to: NodeIdx(0) }).collect();
    world.current = [3, 3, 3, 2, 2, 2, 1, 1, 1, 2].map(|owner| Some(NodeIdx(owner))).to_vec();
    assert_eq!(minimum_moves(&world.input()), Ok(0));
    assert_eq!(plan(&world).moves, vec![]);
}

#[test]
fn a_node_filled_up_in_flight_takes_no_rounding_from_the_others() {
    // In hundredths of a shard: five nodes have 16 and one shard in flight to them, which leaves the others 84 shards, less
    // than the 88.2 they are due: 1.995, 1.051, 42.587 and 42.567. The first of them gets both shards
    // without an owner, or none.
    let mut world = World::new(89, &[19_950, 10_510, 425_870, 425_670, 1_600, 1_600, 1_600, 1_600, 1_600]);
    world.in_flight = (0..5).map(|shard| InFlight { shard: ShardId(shard), to: NodeIdx(4 + shard) }).collect();
    let owners = [(0, 5), (1, 2), (2, 40), (3, 40)].into_iter();
    world.current = owners.flat_map(|(node, count)| vec![(node > 0).then_some(NodeIdx(node)); count]).collect();
    world.current.resize(89, None);
    let first = plan(&world).moves;
    world.in_flight.extend(first.iter().map(|step| InFlight { shard: step.shard, to: step.to }));
    assert_eq!(plan(&world).moves, vec![], "what is in flight finishes the plan");
}

#[test]
fn zones_at_the_edges() {
    let most = u32::MAX;
    for (shards, weights, zones, expected) in [
        // Three zones of one, two and three nodes: 4 shards each.
        (12, vec![1; 6], vec!["a", "b", "b", "c", "c", "c"], vec![4, 2, 2, 2, 1, 1]),
        (1024, vec![most; 6], vec!["a", "b", "b", "c", "c", "c"], vec![342, 171, 170, 114, 114, 113]),
        // Within a zone by weight, however heavy or light the others are.
        (1024, vec![1, most, most - 1], vec!["a", "b", "b"], vec![512, 256, 256]),
        (1024, vec![most, 1, 1], vec!["a", "a", "b"], vec![512, 512, 0]),
        (9, vec![1, 2, 3], vec!["a", "a", ""], vec![4, 3, 2]),
        // Fewer shards than zones, one zone, one node, no shard.
        (2, vec![1, 1, 1, 1], vec!["a", "b", "c", "d"], vec![1, 1, 0, 0]),
        (7, vec![1, 1, 1], vec!["a"], vec![3, 2, 2]),
        (7, vec![most], vec![""], vec![7]),
        (0, vec![1, 1], vec!["a", "b"], vec![0, 0]),
    ] {
        let world = World::new(shards, &weights).zoned(&zones);
        let moves = plan(&world).moves;
        let mut counts = world.committed(&moves).counts();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(counts, expected, "{shards} shards, weights {weights:?}, zones {zones:?}");
    }
}

#[test]
fn a_zone_lost_is_shared_out_and_comes_back_with_its_share() {
    let zones: Vec<&str> = ["a"; 5].into_iter().chain(["b"; 3]).chain(["c"; 2]).collect();
    let world = World::new(1024, &[1; 10]).zoned(&zones);
    let moves = plan(&world).moves;
    let settled = world.committed(&moves);
    let of_zones = |world: &World| -> Vec<u64> {
        let zones = world.zones();
        zones.iter().map(|zone| zone.iter().map(|node| world.counts()[node.index()]).sum()).collect()
    };
    assert_eq!(of_zones(&settled).iter().max(), Some(&342));
    let lost = settled.failed(8).failed(9);
    let moves = plan(&lost).moves;
    assert!(matches!(moves.len(), 341 | 342), "{}", moves.len());
    let mut without = lost.committed(&moves);
    assert_eq!(of_zones(&without), vec![512, 512]);
    for nth in [8, 9] {
        without.nodes[nth].state = NodeState::Receiving;
    }
    let back = plan(&without).moves;
    assert_eq!(back.len(), 341, "as many as it has to have, and none between the others");
    assert!(back.iter().all(|step| step.to.index() >= 8));
}

#[test]
fn more_zones_of_the_greatest_weights_than_can_be_divided_exactly_are_still_balanced() {
    // Each zone has a node that is pinned more than its share, so all are partly open, and no unit is common to all.
    let weights: Vec<u32> = (0..60).map(|nth| u32::MAX - nth * nth).collect();
    let names: Vec<String> = (0..60).map(|nth| format!("z{}", nth / 3)).collect();
    let mut world = World::new(2_000, &weights).zoned(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for shard in 0..1_000 {
        world = world.pinned(shard, &format!("n{}", shard % 20 * 3));
    }
    let moves = plan(&world).moves;
    let settled = world.committed(&moves);
    for (nth, count) in settled.counts().into_iter().enumerate() {
        let expected = if nth.is_multiple_of(3) { 50..=50 } else { 25..=26 };
        assert!(expected.contains(&count), "n{nth} holds {count}");
    }
    assert_eq!(plan(&settled).moves, vec![]);
}

#[test]
fn pins_at_the_edges() {
    let all_to = |world: World, id: &str| (0..12).fold(world, |world, shard| world.pinned(shard, id));
    for (what, world, expected) in [
        ("all pinned to one", all_to(World::new(12, &[1; 3]), "n1"), vec![0, 12, 0]),
        ("all pinned to one that drains", all_to(World::new(12, &[1; 3]), "n1").draining(1), vec![6, 0, 6]),
        ("all pinned to one that is not there", all_to(World::new(12, &[1; 3]), "gone"), vec![4, 4, 4]),
        ("all pinned to one of a zone", all_to(World::new(12, &[1; 3]), "n1").zoned(&["a", "a", "b"]), vec![0, 12, 0]),
        ("more than its share", (0..7).fold(World::new(12, &[1; 3]), |w, s| w.pinned(s, "n2")), vec![3, 2, 7]),
        (
            "two a part more than their share, one all of its rounded down: the last has what is left",
            [0, 0, 0, 1, 1, 1, 2, 2]
                .iter()
                .zip(0..)
                .fold(World::new(9, &[1; 4]), |w, (n, s)| w.pinned(s, &format!("n{n}"))),
            vec![3, 3, 2, 1],
        ),
        ("less than its share", World::new(12, &[1; 3]).pinned(0, "n2").pinned(7, "n0"), vec![4, 4, 4]),
        ("fewer shards than nodes", World::new(2, &[1; 4]).pinned(0, "n3").pinned(1, "n3"), vec![0, 0, 0, 2]),
        (
            "all pinned to nodes of one zone, none of which has more than its share rounded up",
            World::new(2, &[1; 4]).zoned(&["a", "a", "b", "b"]).pinned(0, "n0").pinned(1, "n1"),
            vec![1, 1, 0, 0],
        ),
        ("the lightest of all", World::new(4, &[u32::MAX, 1]).pinned(0, "n1").pinned(1, "n1"), vec![2, 2]),
    ] {
        let moves = plan(&world).moves;
        let settled = world.committed(&moves);
        let mut counts = settled.counts();
        if what == "more than its share" {
            counts[..2].sort_unstable_by(|a, b| b.cmp(a));
        }
        assert_eq!(counts, expected, "{what}");
        assert_eq!(plan(&settled).moves, vec![], "{what}");
    }
    let nobody = all_to(World::new(12, &[1; 2]), "n1").zoned(&["a"]).draining(0).draining(1);
    assert_eq!(StickyBalanced.plan(&nobody.input()), Err(PlacementError::NoReceivers { nodes: 2 }));
}

#[test]
fn the_larger_remainder_is_rounded_up_whatever_breaks_the_ties() {
    // Of ten shards six are pinned to `n0`; of the others zone `a` is due a third, 1.33, and `b` two thirds, 2.67.
    let zoned = (0..6).fold(World::new(10, &[1; 3]).zoned(&["a", "a", "b"]), |world, shard| world.pinned(shard, "n0"));
    for (world, expected) in [(zoned, vec![6, 1, 3]), (World::new(10, &[26, 23, 51]), vec![3, 2, 5])] {
        for seed in 0..20 {
            let world = World { seed, ..world.clone() };
            let moves = plan(&world).moves;
            assert_eq!(world.committed(&moves).counts(), expected, "seed {seed}");
        }
    }
}

#[test]
fn a_zone_whose_share_is_whole_is_rounded_neither_up_nor_down() {
    // Four shards each are pinned to `n0` and `n2`. The other two are shared by `n1`, `n3`, and `n4` with `n5`: 0.5, 0.5 and 1.
    let mut world = World::new(10, &[1; 6]).zoned(&["a", "a", "b", "b", "c", "c"]);
    for shard in 0..8 {
        world = world.pinned(shard, ["n0", "n2"][usize::from(shard / 4)]);
        world.current[usize::from(shard)] = Some(NodeIdx(shard / 4 * 2));
    }
    for (owners, moved) in [([1, 3], 1), ([4, 5], 1), ([1, 4], 0), ([1, 1], 1)] {
        world.current.splice(8.., owners.map(|owner| Some(NodeIdx(owner))));
        let moves = plan(&world).moves;
        assert_eq!(moves.len(), moved, "{owners:?}");
        let counts = world.clone().committed(&moves).counts();
        assert_eq!((counts[1] + counts[3], counts[4] + counts[5]), (1, 1), "{owners:?}: {counts:?}");
    }
}

#[test]
fn what_cannot_be_obeyed_now_is_said() {
    let world = World::new(4, &[1, 1]).pinned(3, "gone").pinned(0, "n1").pinned(1, "n0").draining(1);
    let input = world.input();
    let places = input.places().expect("somebody is receiving");
    assert_eq!(places.unmet(), [ShardId(0), ShardId(3)]);
    assert!(places.allows(ShardId(0), NodeIdx(0)) && !places.allows(ShardId(0), NodeIdx(1)));
    assert!(!places.allows(ShardId(0), NodeIdx(9)), "nobody is there");
    assert_eq!(places.forced().len(), 4, "nobody has them yet");
}

#[test]
fn an_input_that_contradicts_itself_is_refused() {
    let good = World::new(2, &[1, 1]);
    let moving = |shard, to| InFlight { shard: ShardId(shard), to: NodeIdx(to) };
    let twice = World { nodes: vec![node("a", 1, NodeState::Receiving); 2], ..good.clone() };
    for (world, fault) in [
        (twice, InputFault::NodeTwice { node: NodeId::new("a").expect("a node id") }),
        (
            World { current: vec![Some(NodeIdx(2)), None], ..good.clone() },
            InputFault::UnknownNode { node: NodeIdx(2), nodes: 2 },
        ),
        (
            World { in_flight: vec![moving(0, 9)], ..good.clone() },
            InputFault::UnknownNode { node: NodeIdx(9), nodes: 2 },
        ),
        (
            World { in_flight: vec![moving(2, 0)], ..good.clone() },
            InputFault::UnknownShard { shard: ShardId(2), shards: 2 },
        ),
        (
            World { in_flight: vec![moving(1, 0), moving(0, 1), moving(1, 1)], ..good.clone() },
            InputFault::InFlightTwice { shard: ShardId(1) },
        ),
        (good.clone().pinned(1, "a").pinned(0, "b").pinned(1, "c"), InputFault::PinnedTwice { shard: ShardId(1) }),
        (good.clone().pinned(2, "n0"), InputFault::UnknownShard { shard: ShardId(2), shards: 2 }),
        (
            World { current: vec![None; PlacementInput::COUNT_MAX + 1], ..good.clone() },
            InputFault::TooMany { what: "shards", count: 65_537, most: 65_536 },
        ),
    ] {
        assert_eq!(StickyBalanced.plan(&world.input()), Err(PlacementError::Input(fault.clone())));
        assert_eq!(PlacementPlan::default().check(&world.input()), Err(fault.into()));
    }
}

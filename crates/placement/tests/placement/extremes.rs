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
        (
            World { current: vec![None; PlacementInput::COUNT_MAX + 1], ..good.clone() },
            InputFault::TooMany { what: "shards", count: 65_537, most: 65_536 },
        ),
    ] {
        assert_eq!(StickyBalanced.plan(&world.input()), Err(PlacementError::Input(fault.clone())));
        assert_eq!(PlacementPlan::default().check(&world.input()), Err(fault.into()));
    }
}

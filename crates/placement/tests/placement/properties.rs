//! What the sticky planner promises for every input.

use aether_domain::ShardId;
use aether_placement::{
    ConsistentHashRing150, InFlight, Move, NodeIdx, PlacementPlan, PlacementStrategy, StickyBalanced, minimum_moves,
};
use proptest::prelude::*;

use crate::world::{Weights, World, pinned, worlds, zoned};

fn plan(world: &World) -> PlacementPlan {
    StickyBalanced.plan(&world.input()).expect("somebody is receiving")
}

/// The plan's moves, once they have passed the check that every plan must pass.
fn moves(world: &World) -> Vec<Move> {
    plan(world).check(&world.input()).expect("a plan of ours is legal").into_moves()
}

fn minimum(world: &World) -> usize {
    minimum_moves(&world.input()).expect("somebody is receiving") as usize
}

fn any_world() -> impl Strategy<Value = World> {
    prop_oneof![
        worlds(60, 8, Weights::Any, 0),
        worlds(60, 8, Weights::Any, 6),
        worlds(60, 8, Weights::Equal, 6),
        worlds(60, 8, Weights::Any, 2),
        worlds(6, 12, Weights::Any, 3),
        worlds(400, 40, Weights::Any, 9),
        zoned(worlds(60, 8, Weights::Any, 0)),
        zoned(worlds(400, 40, Weights::Any, 9)),
        pinned(worlds(60, 8, Weights::Any, 6), 8),
        zoned(pinned(worlds(60, 8, Weights::Any, 6), 3)),
    ]
}

proptest! {
    #![proptest_config(crate::cases(250))]

    #[test]
    fn every_shard_ends_up_owned_by_a_receiving_node(world in any_world()) {
        let moves = moves(&world);
        let after = world.clone().committed(&moves);
        for (shard, owner) in after.current.iter().enumerate() {
            let shard = ShardId(u16::try_from(shard).expect("few shards"));
            prop_assert!(world.is_in_flight(shard) || owner.is_some_and(|node| world.receives(node)), "{shard}");
        }
        let stranded = world.in_flight.iter().filter(|moving| !world.receives(moving.to)).count();
        let landed = after.landed();
        let kept: u64 = world.receivers().iter().map(|node| landed.counts()[node.index()]).sum();
        prop_assert_eq!(kept, (world.current.len() - stranded) as u64);
    }

    #[test]
    fn every_node_is_within_one_shard_of_its_share(world in worlds(200, 12, Weights::Any, 0)) {
        let after = world.clone().committed(&moves(&world));
        let total: u128 = world.receivers().iter().map(|node| u128::from(world.nodes[node.index()].weight.get())).sum();
        for node in world.receivers() {
            let share = world.current.len() as u128 * u128::from(world.nodes[node.index()].weight.get());
            let held = u128::from(after.counts()[node.index()]) * total;
            prop_assert!(held.abs_diff(share) < total, "{:?} of {:?}", node, after.counts());
        }
    }

    #[test]
    fn every_zone_has_the_same_share_and_in_it_every_node_by_weight(world in zoned(worlds(200, 12, Weights::Any, 0))) {
        let counts = world.clone().committed(&moves(&world)).counts();
        let (shards, zones) = (world.current.len() as u128, world.zones());
        for zone in &zones {
            let weight = |node: &NodeIdx| u128::from(world.nodes[node.index()].weight.get());
            let total: u128 = zone.iter().map(weight).sum::<u128>() * zones.len() as u128;
            let together: u128 = zone.iter().map(|node| u128::from(counts[node.index()])).sum();
            prop_assert!((together * zones.len() as u128).abs_diff(shards) < zones.len() as u128, "{zone:?} of {counts:?}");
            for node in zone {
                let held = u128::from(counts[node.index()]) * total;
                prop_assert!(held.abs_diff(shards * weight(node)) < total, "{node:?} of {counts:?}");
            }
        }
    }

    #[test]
    fn what_is_in_flight_is_left_alone_and_what_is_pinned_goes_there_and_nowhere_else(
        world in zoned(pinned(worlds(60, 8, Weights::Any, 6), 3))
    ) {
        let moves = moves(&world);
        let after = world.clone().committed(&moves);
        for shard in (0..).map(ShardId).take(world.current.len()) {
            let moved = moves.iter().find(|step| step.shard == shard);
            match world.fixed_at(shard) {
                Some(_) if world.is_in_flight(shard) => prop_assert_eq!(moved, None),
                Some(at) => {
                    prop_assert_eq!(after.current[shard.index()], Some(at));
                    prop_assert!(moved.is_none_or(|step| step.class.is_forced()));
                }
                None => {}
            }
        }
    }

    #[test]
    fn nodes_of_equal_weight_differ_by_one_shard_at_most(world in worlds(200, 12, Weights::Equal, 0)) {
        let after = world.clone().committed(&moves(&world));
        let counts: Vec<u64> = world.receivers().iter().map(|node| after.counts()[node.index()]).collect();
        prop_assert!(counts.iter().max().expect("one") - counts.iter().min().expect("one") <= 1, "{counts:?}");
    }

    #[test]
    fn as_many_shards_move_as_the_theorem_says(world in any_world()) {
        let plan = plan(&world);
        prop_assert_eq!(plan.moves.len(), minimum(&world));
        prop_assert_eq!(plan.report.optimum as usize, plan.moves.len());
        prop_assert_eq!((plan.report.forced + plan.report.voluntary) as usize, plan.moves.len());
    }

    #[test]
    fn a_map_just_planned_is_left_alone(world in any_world()) {
        let after = world.clone().committed(&moves(&world));
        prop_assert_eq!(moves(&after), vec![]);
        let reseeded = World { seed: !world.seed, ..after };
        prop_assert_eq!(moves(&reseeded), vec![], "whatever breaks the ties");
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(
        (world, order) in any_world().prop_flat_map(|world| {
            let order: Vec<usize> = (0..world.nodes.len()).collect();
            (Just(world), Just(order).prop_shuffle())
        })
    ) {
        let relisted = world.relisted(&order);
        prop_assert_eq!(plan(&world).describe(&world.nodes), plan(&relisted).describe(&relisted.nodes));
    }

    #[test]
    fn no_node_both_sends_and_receives(world in any_world()) {
        let mut moves = moves(&world);
        moves.retain(|step| world.fixed_at(step.shard).is_none()); // a pin has its own way
        for node in world.receivers() {
            let sends = moves.iter().any(|step| step.from == Some(node));
            prop_assert!(!(sends && moves.iter().any(|step| step.to == node)), "{:?}", node);
        }
    }

    #[test]
    fn a_plan_made_in_the_middle_of_another_adds_no_move(
        world in any_world(), other_seed: u64, fates in proptest::collection::vec(0_u8..4, 400),
    ) {
        let first = moves(&world);
        let mut midway = World { seed: other_seed, ..world.clone() };
        let (mut done, mut moving) = (0, 0);
        for (step, fate) in first.iter().zip(&fates) {
            match fate {
                0 => { midway.commit(*step); done += 1; }
                1 => { midway.in_flight.push(InFlight { shard: step.shard, to: step.to }); moving += 1; }
                _ => {}
            }
        }
        let second = moves(&midway);
        prop_assert!(second.iter().all(|step| !midway.is_in_flight(step.shard)));
        prop_assert_eq!(done + moving + second.len(), first.len());
    }

    #[test]
    fn a_node_with_too_much_in_flight_to_it_gets_no_more(world in worlds(60, 8, Weights::Any, 2)) {
        let landed = world.clone().committed(&moves(&world)).landed();
        let total: u128 = world.receivers().iter().map(|node| u128::from(world.nodes[node.index()].weight.get())).sum();
        for node in world.receivers() {
            let fixed = world.in_flight.iter().filter(|moving| moving.to == node).count() as u64;
            let count = landed.counts()[node.index()];
            prop_assert!(count >= fixed);
            let most = world.current.len() as u128 * u128::from(world.nodes[node.index()].weight.get());
            prop_assert!(count == fixed || u128::from(count - 1) * total < most, "{:?}: {count}, {fixed} fixed", node);
        }
    }

    #[test]
    fn the_ring_alone_plans_legally_and_settles_in_one_step(world in any_world()) {
        let plan = ConsistentHashRing150.plan(&world.input()).expect("somebody is receiving");
        prop_assert_eq!(plan.report.optimum as usize, minimum(&world));
        let after = world.clone().committed(plan.check(&world.input()).expect("legal").moves());
        let again = ConsistentHashRing150.plan(&after.input()).expect("somebody is receiving");
        prop_assert_eq!(again.moves, vec![]);
    }
}

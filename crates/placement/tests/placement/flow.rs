//! What the sticky planner promises when tags say where shards may be.

use std::collections::BTreeSet;

use aether_placement::{InFlight, Move, PlacementPlan, PlacementStrategy, StickyBalanced, minimum_moves};
use proptest::prelude::*;

use crate::flow_oracle::{Fair, every_map, fewest_moves};
use crate::flow_world::{Extras, Tagged, tagged};

fn plan(world: &Tagged) -> PlacementPlan {
    StickyBalanced.plan(&world.input()).expect("somebody is receiving")
}

/// The plan's moves, once they have passed the check that every plan must pass.
fn moves(world: &Tagged) -> Vec<Move> {
    let plan = plan(world);
    assert_eq!(plan.report.optimum as usize, plan.moves.len(), "a plan is as short as it says it can be");
    assert_eq!(minimum_moves(&world.input()), Ok(plan.report.optimum));
    plan.check(&world.input()).expect("a plan of ours is legal").into_moves()
}

fn any_world() -> impl Strategy<Value = Tagged> {
    let extras = |pins, zones, in_flight, heavy| Extras { pins, zones, in_flight, heavy };
    with_needs(prop_oneof![
        tagged(60, 8, 4, extras(false, false, false, false)),
        tagged(60, 8, 4, extras(true, true, false, false)),
        tagged(60, 8, 4, extras(true, true, true, false)),
        tagged(60, 8, 4, extras(true, true, true, true)),
        tagged(6, 12, 3, extras(true, true, true, false)),
        tagged(300, 30, 9, extras(true, true, true, false)),
    ])
}

/// However many worlds are drawn in vain.
fn patient(bounded: u32) -> ProptestConfig {
    ProptestConfig { max_local_rejects: u32::MAX, ..crate::cases(bounded) }
}

/// Without shards that need certain nodes the closed form plans, and is tested elsewhere.
fn with_needs(worlds: impl Strategy<Value = Tagged>) -> impl Strategy<Value = Tagged> {
    worlds.prop_filter("no shard needs certain nodes", Tagged::has_needs)
}

const PINS_AND_ZONES: Extras = Extras { pins: true, zones: true, in_flight: false, heavy: false };
const AROUND_MOVES: Extras = Extras { in_flight: true, ..PINS_AND_ZONES };

proptest! {
    #![proptest_config(patient(100))]

    #[test]
    fn no_fair_map_is_nearer(world in with_needs(tagged(7, 4, 4, PINS_AND_ZONES))) {
        let fair = Fair::of(&world);
        let mut fewest = None;
        every_map(&world, &fair, |moves, counts| {
            if fair.allows(counts) {
                fewest = Some(fewest.map_or(moves, |fewest: u32| fewest.min(moves)));
            }
        });
        prop_assert!(fair.allows(&fair.counts(&world.clone().committed(&moves(&world)))));
        prop_assert_eq!(Some(plan(&world).report.optimum), fewest);
    }

    #[test]
    fn around_moves_in_flight_no_map_is_fairer_nor_nearer(world in with_needs(tagged(7, 4, 4, AROUND_MOVES))) {
        let fair = Fair::of(&world);
        let mut best = None;
        every_map(&world, &fair, |moves, counts| {
            let rank = (fair.strain(counts), moves);
            if best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        });
        let moves = moves(&world);
        let counts = fair.counts(&world.clone().committed(&moves).landed());
        prop_assert_eq!(Some((fair.strain(&counts), u32::try_from(moves.len()).expect("few"))), best);
    }

    #[test]
    fn every_shard_ends_where_it_may_be_and_what_cannot_move_does_not(world in any_world()) {
        let moves = moves(&world);
        let after = world.clone().committed(&moves);
        for shard in world.shards() {
            let owner = after.current[shard.index()];
            match world.destination(shard) {
                Some(_) => prop_assert_eq!(owner, world.current[shard.index()]),
                None => prop_assert!(owner.is_some_and(|node| world.allowed(shard).contains(&node)), "{}", shard),
            }
        }
    }

    #[test]
    fn a_map_just_planned_is_left_alone(world in any_world()) {
        let after = world.clone().committed(&moves(&world));
        prop_assert_eq!(moves(&after), vec![]);
        let reseeded = Tagged { seed: !world.seed, ..after };
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
    fn no_node_both_sends_and_receives_shards_with_the_same_need(world in any_world()) {
        let mut sent = BTreeSet::new();
        let mut received = BTreeSet::new();
        for step in moves(&world).into_iter().filter(|step| world.pin(step.shard).is_none()) {
            let allowed = world.allowed(step.shard);
            if step.from.is_some_and(|node| allowed.contains(&node)) {
                sent.insert((allowed.clone(), step.from.expect("just seen")));
            }
            received.insert((allowed, step.to));
        }
        prop_assert!(sent.is_disjoint(&received), "{:?}", sent.intersection(&received));
    }

    #[test]
    fn interrupted_anywhere_and_planned_again_it_moves_no_shard_more(
        (world, fates, other_seed) in any_world().prop_flat_map(|world| {
            let fates = proptest::collection::vec(0_u8..3, world.current.len());
            (Just(world), fates, any::<u64>())
        })
    ) {
        let first = moves(&world);
        let mut midway = Tagged { seed: other_seed, ..world.clone() };
        let (mut done, mut moving) = (0, 0);
        for (step, fate) in first.iter().zip(&fates) {
            match fate {
                0 => { midway.current[step.shard.index()] = Some(step.to); done += 1; }
                1 => { midway.in_flight.push(InFlight { shard: step.shard, to: step.to }); moving += 1; }
                _ => {}
            }
        }
        let second = moves(&midway);
        prop_assert_eq!(done + moving + second.len(), first.len());
    }
}

proptest! {
    #![proptest_config(patient(50))]

    #[test]
    fn no_flow_of_single_shards_is_cheaper(world in with_needs(tagged(200, 12, 6, PINS_AND_ZONES))) {
        let fair = Fair::of(&world);
        let plan = moves(&world);
        prop_assert!(fair.allows(&fair.counts(&world.clone().committed(&plan))));
        prop_assert_eq!(Some(plan.len()), fewest_moves(&world, &fair).map(|moves| usize::try_from(moves).expect("few")));
    }
}

//! Small worlds, all of whose maps are tried: nothing balanced is nearer than the plan.

use aether_domain::ShardId;
use aether_placement::{NodeIdx, PlacementStrategy, StickyBalanced};
use proptest::prelude::*;

use crate::world::{Weights, World, pinned, worlds, zoned};

/// Every way to give the shards that are neither in flight nor pinned to receiving nodes, the moves it takes, those to where
/// shards are pinned included, and what each node then holds, moves in flight included.
fn every_map(world: &World, mut judge: impl FnMut(u32, &[u64])) {
    let (mut movable, mut held, mut moves) = (Vec::new(), vec![0; world.nodes.len()], 0);
    for (shard, owner) in (0..).map(ShardId).zip(&world.current) {
        match world.fixed_at(shard) {
            Some(at) => {
                held[at.index()] += 1;
                moves += u32::from(!world.is_in_flight(shard) && *owner != Some(at));
            }
            None => movable.push(*owner),
        }
    }
    descend(&movable, &world.receivers(), &mut held, moves, &mut judge);
}

fn descend(
    movable: &[Option<NodeIdx>],
    receivers: &[NodeIdx],
    held: &mut [u64],
    moves: u32,
    judge: &mut impl FnMut(u32, &[u64]),
) {
    let Some((owner, others)) = movable.split_first() else { return judge(moves, held) };
    for node in receivers {
        held[node.index()] += 1;
        descend(others, receivers, held, moves + u32::from(*owner != Some(*node)), judge);
        held[node.index()] -= 1;
    }
}

/// The receivers' counts, largest first: the smaller in this order, the better balanced when all weigh the same.
fn largest_first(world: &World, held: &[u64]) -> Vec<u64> {
    let mut counts: Vec<u64> = world.receivers().iter().map(|node| held[node.index()]).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

/// Every node within one shard of its share, and every zone.
fn keeps_the_quota(world: &World, held: &[u64]) -> bool {
    let weight = |node: &NodeIdx| u128::from(world.nodes[node.index()].weight.get());
    let (shards, zones) = (world.current.len() as u128, world.zones());
    zones.iter().all(|zone| {
        let total = zone.iter().map(weight).sum::<u128>() * zones.len() as u128;
        let within = |node: &NodeIdx| (u128::from(held[node.index()]) * total).abs_diff(shards * weight(node)) < total;
        let together = zone.iter().map(|node| u128::from(held[node.index()])).sum::<u128>() * zones.len() as u128;
        zone.iter().all(within) && together.abs_diff(shards) < zones.len() as u128
    })
}

fn moves_of_the_plan(world: &World) -> u32 {
    let plan = StickyBalanced.plan(&world.input()).expect("somebody is receiving");
    u32::try_from(plan.moves.len()).expect("few moves")
}

proptest! {
    #![proptest_config(crate::cases(200))]

    #[test]
    fn no_map_within_the_quota_is_nearer(
        world in prop_oneof![worlds(7, 4, Weights::Any, 0), zoned(worlds(7, 4, Weights::Any, 0))]
    ) {
        let mut fewest = u32::MAX;
        every_map(&world, |moves, held| {
            if keeps_the_quota(&world, held) {
                fewest = fewest.min(moves);
            }
        });
        prop_assert_eq!(moves_of_the_plan(&world), fewest);
    }

    #[test]
    fn around_what_is_fixed_no_map_is_better_balanced_nor_nearer(
        world in prop_oneof![
            worlds(7, 4, Weights::Equal, 3),
            pinned(worlds(7, 4, Weights::Equal, 0), 3),
            pinned(worlds(7, 4, Weights::Equal, 4), 4),
        ]
    ) {
        let mut best = None;
        every_map(&world, |moves, held| {
            let rank = (largest_first(&world, held), moves);
            if best.as_ref().is_none_or(|best| rank < *best) {
                best = Some(rank);
            }
        });
        let plan = StickyBalanced.plan(&world.input()).expect("somebody is receiving");
        let after = world.clone().committed(&plan.moves).landed();
        prop_assert_eq!(Some((largest_first(&world, &after.counts()), moves_of_the_plan(&world))), best);
    }

    #[test]
    fn around_pins_in_zones_no_map_is_nearer_that_keeps_the_quota(
        world in zoned(pinned(worlds(7, 4, Weights::Any, 0), 4))
    ) {
        let mut fewest = None;
        every_map(&world, |moves, held| {
            if keeps_the_quota(&world, held) && fewest.is_none_or(|fewest| moves < fewest) {
                fewest = Some(moves);
            }
        });
        // Where pins leave a balanced map.
        if let Some(fewest) = fewest {
            prop_assert_eq!(moves_of_the_plan(&world), fewest);
        }
    }
}

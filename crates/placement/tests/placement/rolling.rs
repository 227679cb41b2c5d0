//! Every node is restarted, one after the other: what moves, and what one plan for a return and a drain saves.

use aether_domain::ShardSet;
use aether_domain::policy::LoadPolicy;
use aether_placement::{NodeState, PlacementInput, PlacementStrategy, ShardLoads, StickyBalanced};

use crate::loads::{self, Draw};
use crate::world::World;

/// Plans, checks and executes; with `loads` in load mode. How many moved.
fn settle(world: &mut World, loads: Option<&[u32]>) -> usize {
    let (resting, policy) = (ShardSet::default(), LoadPolicy::default());
    let load = loads.map(|loads| ShardLoads { loads, resting: &resting, policy });
    let input = PlacementInput { load, ..world.input() };
    let plan = StickyBalanced.plan(&input).expect("somebody is receiving");
    let moves = plan.check(&input).expect("a plan of ours is legal").into_moves();
    for step in &moves {
        world.commit(*step);
    }
    moves.len()
}

/// How many shards move while all nodes are restarted. `together` makes one plan of a node's return and the next one's
/// drain; otherwise there is a plan for each. Never is a node stopped that still has a shard.
fn restart(shards: usize, nodes: usize, together: bool, loads: Option<&[u32]>) -> usize {
    let mut world = World::new(shards, &vec![1; nodes]);
    settle(&mut world, loads);
    let mut moved = 0;
    for nth in 0..nodes {
        world.nodes[nth].state = NodeState::Draining;
        moved += settle(&mut world, loads);
        assert_eq!(world.counts()[nth], 0, "a node that has drained owns nothing");
        // It stops, starts and is back, with nothing.
        world.nodes[nth].state = NodeState::Receiving;
        if !together || nth + 1 == nodes {
            moved += settle(&mut world, loads);
        }
    }
    moved
}

#[test]
fn a_return_planned_with_the_next_drain_saves_nearly_half_of_a_rolling_restart() {
    for (shards, nodes, percent) in [(1_024, 5, 140), (1_024, 10, 120), (1_024, 50, 105), (4_096, 200, 105)] {
        let apart = restart(shards, nodes, false, None);
        assert!((190 * shards..=205 * shards).contains(&(apart * 100)), "{shards} on {nodes}: {apart} one by one");
        let together = restart(shards, nodes, true, None);
        let most = (shards * percent).div_ceil(100);
        assert!((shards..=most).contains(&together), "{shards} on {nodes}: {together} of at most {most}");
    }
}

#[test]
fn in_load_mode_too() {
    let loads = loads::measured(&Draw::new(1).lognormal(1_024));
    for (nodes, percent) in [(10, 120), (50, 105)] {
        let together = restart(1_024, nodes, true, Some(&loads));
        let most = (1_024_usize * percent).div_ceil(100);
        assert!((1_024..=most).contains(&together), "{nodes} nodes: {together} of at most {most}");
    }
}

//! Moves over time: in waves, and in a rolling restart, where every node drains, stops, starts and is back.

use std::time::Instant;

use aether_domain::policy::MoveCaps;
use aether_placement::{Move, NodeState, PlacementStrategy, StickyBalanced, next_wave, waves};

use super::World;

/// Shards, nodes, and what a restart with returns and drains in one plan may move at most, in hundredths of all shards.
const CASES: [(usize, usize, usize); 4] = [(1_024, 5, 140), (1_024, 10, 120), (1_024, 50, 105), (65_536, 1_000, 105)];

/// Prints the tables, and says what is worse than promised.
pub(crate) fn tables(quick: bool, seed: u64) -> Vec<String> {
    let mut missed = rolling(quick, seed);
    missed.extend(in_waves(quick, seed));
    missed
}

fn rolling(quick: bool, seed: u64) -> Vec<String> {
    println!(
        "\n| shards | nodes | one plan for each | of all shards | return and next drain in one plan | of all shards |\n\
         |---|---|---|---|---|---|"
    );
    let mut missed = Vec::new();
    for (shards, nodes, percent) in CASES.into_iter().filter(|case| !quick || case.0 <= 1_024) {
        let apart = restart(shards, nodes, seed, false);
        let together = restart(shards, nodes, seed, true);
        let all = |moved: usize| moved as f64 / shards as f64;
        println!("| {shards} | {nodes} | {apart} | {:.2} | {together} | {:.2} |", all(apart), all(together));
        if together > (shards * percent).div_ceil(100) {
            missed.push(format!("{shards} shards, {nodes} nodes: {together} moves in a rolling restart"));
        }
    }
    missed
}

/// How many shards move while all nodes are restarted.
fn restart(shards: usize, nodes: usize, seed: u64, together: bool) -> usize {
    let mut world = World::new(shards, nodes, seed);
    settle(&mut world);
    let mut moved = 0;
    for nth in 0..nodes {
        world.nodes[nth].state = NodeState::Draining;
        moved += settle(&mut world).len();
        world.nodes[nth].state = NodeState::Receiving;
        if !together || nth + 1 == nodes {
            moved += settle(&mut world).len();
        }
    }
    moved
}

fn in_waves(quick: bool, seed: u64) -> Vec<String> {
    println!(
        "\n| shards | nodes | change | moves | at a time from and to a node | waves | the fewest | ms for the first |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let mut missed = Vec::new();
    for (shards, nodes) in [(1_024, 10), (65_536, 1_000)].into_iter().filter(|case| !quick || case.0 <= 1_024) {
        let mut before = World::new(shards, nodes, seed);
        settle(&mut before);
        for change in ["a node joins", "a tenth as many join", "a node drains"] {
            let mut world = before.clone();
            match change {
                "a node joins" => world.join(),
                "a node drains" => world.nodes[0].state = NodeState::Draining,
                _ => (0..nodes / 10).for_each(|_| world.join()),
            }
            let plan = StickyBalanced.plan(&world.input()).expect("somebody is receiving");
            for cap in [1, 4, 16, 32] {
                let caps = MoveCaps { total: u16::MAX, per_source: cap, per_target: cap, ..MoveCaps::default() };
                let began = Instant::now();
                next_wave(&plan.moves, &[], caps);
                let took = began.elapsed().as_secs_f64() * 1_000.0;
                let (waves, fewest) = (waves(&plan.moves, caps).len(), plan.report.max_degree.div_ceil(cap.into()));
                let moves = plan.moves.len();
                println!("| {shards} | {nodes} | {change} | {moves} | {cap} | {waves} | {fewest} | {took:.2} |");
                if waves > fewest as usize + 1 {
                    missed.push(format!("{shards} shards, {nodes} nodes, {change}: {waves} waves, {fewest} would do"));
                }
            }
        }
    }
    missed
}

/// Plans and executes.
pub(crate) fn settle(world: &mut World) -> Vec<Move> {
    let plan = StickyBalanced.plan(&world.input()).expect("somebody is receiving");
    plan.moves.iter().for_each(|step| world.current[step.shard.index()] = Some(step.to));
    plan.moves
}

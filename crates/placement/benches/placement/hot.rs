//! Hot shards: how much cooler the hottest node is for how few moves.

use std::time::Instant;

use aether_domain::ShardSet;
use aether_domain::policy::LoadPolicy;
use aether_placement::{PlacementInput, PlacementStrategy, ShardLoads, StickyBalanced};

use super::{World, loads, rolling};
use loads::Draw;

/// Shards, nodes, and whether loads are Zipf's or lognormal.
const CASES: [(usize, usize, bool); 7] = [
    (1_024, 10, false),
    (1_024, 10, true),
    (1_024, 20, false),
    (1_024, 50, false),
    (1_024, 50, true),
    (65_536, 1_000, false),
    (65_536, 1_000, true),
];

/// Prints the table, and says what is worse than promised.
pub(crate) fn table(quick: bool, seed: u64) -> Vec<String> {
    println!(
        "\n| shards | nodes | load | least | counts only | 1 % moved | 2 % | 5 % | to 1.05 or the least | plan, ms | from nothing, ms \
         | 10 % drift, moved an epoch | worst |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut missed = Vec::new();
    for (shards, nodes, zipf) in CASES.into_iter().filter(|case| !quick || case.0 <= 1_024) {
        let mut draw = Draw::new(seed);
        let mut drawn = if zipf { draw.zipf(shards, 1_000_000) } else { draw.lognormal(shards) };
        let measured = loads::measured(&drawn);
        let mut world = World::new(shards, nodes, seed);
        rolling::settle(&mut world);
        let moved_at_once = |budget| {
            let policy = LoadPolicy { trigger: 101, stop: 100, budget, ..LoadPolicy::default() };
            plan(&mut world.clone(), &measured, policy).0
        };
        let [one, two, five] = [10, 20, 50].map(moved_at_once);
        let began = Instant::now();
        let (cooled, moves) = plan(
            &mut world.clone(),
            &measured,
            LoadPolicy { trigger: 106, stop: 105, budget: 50, ..LoadPolicy::default() },
        );
        let took = began.elapsed();
        let began = Instant::now();
        plan(&mut World { current: vec![None; shards], ..world.clone() }, &measured, LoadPolicy::default());
        let first = began.elapsed();
        let (counted, least) = heat(&world, &measured);

        let epochs = if shards > 1_024 { 40 } else { 200 };
        let (mut drifted, mut worst) = (0, 0.0_f64);
        plan(&mut world, &measured, LoadPolicy { budget: 50, ..LoadPolicy::default() });
        for _ in 0..epochs {
            draw.drift(&mut drawn);
            let measured = loads::measured(&drawn);
            drifted += plan(&mut world, &measured, LoadPolicy::default()).1;
            let (hottest, least) = heat(&world, &measured);
            worst = worst.max(hottest / least);
        }
        let percent = |moves: usize| moves as f64 * 100.0 / shards as f64;
        println!(
            "| {shards} | {nodes} | {} | {least:.3} | {counted:.3} | {one:.3} | {two:.3} | {five:.3} | {cooled:.3}, {moves} moves \
             ({:.1} %) | {:.1} | {:.1} | {:.2} % | {worst:.3} |",
            if zipf { "zipf" } else { "lognormal" },
            percent(moves),
            took.as_secs_f64() * 1_000.0,
            first.as_secs_f64() * 1_000.0,
            percent(drifted) / f64::from(epochs),
        );
        if cooled > 1.0505 * least || percent(moves) > 5.0 {
            missed
                .push(format!("{shards} shards, {nodes} nodes, zipf {zipf}: {cooled:.3} of {least:.3}, {moves} moves"));
        }
        // With few shards a node, each of them matters more, and so does its drift.
        let most = if shards / nodes >= 50 { 0.2 } else { 0.5 };
        if percent(drifted) / f64::from(epochs) > most || worst > 1.101 {
            missed.push(format!("{shards} shards, {nodes} nodes, zipf {zipf}: {drifted} moves, worst {worst:.3}"));
        }
    }
    missed
}

/// Plans and executes: the hottest node in means afterwards, and how many moved.
fn plan(world: &mut World, loads: &[u32], policy: LoadPolicy) -> (f64, usize) {
    let resting = ShardSet::default();
    let load = Some(ShardLoads { loads, resting: &resting, policy });
    let plan = StickyBalanced.plan(&PlacementInput { load, ..world.input() }).expect("somebody is receiving");
    for step in &plan.moves {
        world.current[step.shard.index()] = Some(step.to);
    }
    (heat(world, loads).0, plan.moves.len())
}

/// The hottest node, and what it is at least, both in means.
fn heat(world: &World, loads: &[u32]) -> (f64, f64) {
    let owners = world.current.iter().flatten().map(|owner| owner.index());
    let (heats, least) = loads::heats(owners, loads, world.nodes.len());
    let mean = heats.iter().sum::<f64>() / heats.len() as f64;
    (heats[0] / mean, least / mean)
}

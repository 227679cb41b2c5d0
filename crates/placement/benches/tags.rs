//! How long a plan takes when tags say where shards may be: `cargo bench -p aether-placement --bench tags`.
//!
//! An eighth of the shards needs nothing; the others are of as many kinds as it says, each of which may be on a quarter of the nodes,
//! drawn for itself.
//! Averages of five seeds.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark reads clocks and prints")]

use std::time::{Duration, Instant};

use aether_domain::policy::{TagRule, ZoneMode};
use aether_domain::{NodeId, ShardId, Tag, Zone};
use aether_placement::{NodeIdx, NodeState, NodeView, PlacementInput, PlacementStrategy, StickyBalanced};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SEEDS: u64 = 5;

fn main() {
    println!(
        "| shards | nodes | kinds | zones | plan, ms | a node leaves, ms | moves |\n|---|---|---|---|---|---|---|"
    );
    for (shards, nodes, kinds) in
        [(1_024, 10, 4), (1_024, 100, 8), (65_536, 100, 8), (65_536, 1_000, 8), (65_536, 1_000, 64)]
    {
        for (zones, name) in ZoneMode::NAMES {
            let (mut first, mut change, mut moves) = (Duration::ZERO, Duration::ZERO, 0);
            for seed in 0..SEEDS {
                let (mut nodes, rules) = (nodes_of(nodes, kinds), rules_of(shards, kinds));
                let mut current = vec![None; shards];
                let planned = |current: &[Option<NodeIdx>], nodes: &[NodeView]| {
                    let input = PlacementInput { seed, current, nodes, rules: &rules, zones, ..Default::default() };
                    let start = Instant::now();
                    let plan = StickyBalanced.plan(&input).expect("somebody is receiving");
                    (plan.moves, start.elapsed())
                };
                let (placed, took) = planned(&current, &nodes);
                first += took;
                for step in placed {
                    current[step.shard.index()] = Some(step.to);
                }
                nodes[3].state = NodeState::Draining;
                let (left, took) = planned(&current, &nodes);
                change += took;
                moves += left.len();
            }
            let millis = |sum: Duration| sum.as_secs_f64() * 1_000.0 / f64::from(SEEDS as u32);
            let (first, change, moves) = (millis(first), millis(change), moves / SEEDS as usize);
            println!("| {shards} | {nodes} | {kinds} | {name} | {first:.1} | {change:.1} | {moves} |");
        }
    }
}

/// Whether a node has a tag: one in four.
fn drawn(node: usize, tag: usize) -> bool {
    xxh3_64_with_seed(&(node as u64).to_le_bytes(), tag as u64).is_multiple_of(4)
}

fn tag(nth: usize) -> Tag {
    Tag::new(format!("t{nth}")).expect("a tag")
}

fn nodes_of(nodes: usize, kinds: usize) -> Vec<NodeView> {
    let node = |nth: usize| NodeView {
        tags: (0..kinds).filter(|kind| drawn(nth, *kind)).map(tag).collect(),
        zone: Some(Zone::new(format!("z{}", nth % 3)).expect("a zone")),
        ..NodeView::new(NodeId::new(format!("n{nth}")).expect("a node id"))
    };
    (0..nodes).map(node).collect()
}

fn rules_of(shards: usize, kinds: usize) -> Vec<TagRule> {
    let named = |kind: usize| {
        (0..=u16::MAX).take(shards).filter(move |shard| shard % 8 > 0 && usize::from(*shard) / 8 % kinds == kind)
    };
    (0..kinds).map(|kind| TagRule { shards: named(kind).map(ShardId).collect(), tags: [tag(kind)].into() }).collect()
}

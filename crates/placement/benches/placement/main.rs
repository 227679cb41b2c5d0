//! Strategies side by side: how even, how many moves, how long. `cargo xtask bench placement` prints the tables that
//! `docs/placement.md` shows, also those of load mode, waves and rolling restarts; the same `--seed` prints the same numbers,
//! but for the times.
//!
//! `--only NAME` takes one strategy. `--quick` takes fewer seeds and leaves the large clusters out. The largest has more
//! shards than a cluster can have, to see where that would lead, and the sticky plan only. `--check` fails if the sticky plan
//! is anywhere less even than it promises or moves a shard more than it must, or takes more than three times its time, or if
//! load mode, waves or a rolling restart come to more than they may.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark reads clocks, prints, and rounds"
)]

mod hot;
#[path = "../../tests/placement/loads.rs"]
mod loads;
mod rivals;
mod rolling;

use std::time::{Duration, Instant};

use aether_domain::NodeId;
use aether_placement::sticky::plan_of_many;
use aether_placement::{
    BoundedRing, ConsistentHashRing150, NodeIdx, NodeView, PlacementInput, PlacementStrategy, Rendezvous,
    StickyBalanced,
};
use rivals::{Jump, Maglev};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Random joins and leaves of one run of churn.
const CHURN_STEPS: u64 = 200;
/// Nodes that fail at once.
const FAILED: usize = 5;

/// The sizes: shards, nodes, seeds, and what a plan from nothing and one for a single change may take at the 99th
/// percentile.
const SIZES: [(usize, usize, u64, Duration, Duration); 6] = [
    (1_024, 3, 20, Duration::from_millis(1), Duration::from_millis(1)),
    (1_024, 10, 20, Duration::from_millis(1), Duration::from_millis(1)),
    (1_024, 50, 20, Duration::from_millis(1), Duration::from_millis(1)),
    (1_024, 100, 20, Duration::from_millis(1), Duration::from_millis(1)),
    (65_536, 1_000, 2, Duration::from_millis(30), Duration::from_millis(2)),
    (1_048_576, 1_000, 1, Duration::from_millis(300), Duration::from_millis(20)),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let (quick, check) = (has("--quick"), has("--check"));
    let after = |flag: &str| arguments.iter().position(|argument| argument == flag).map(|at| at + 1);
    let seed: u64 =
        after("--seed").and_then(|at| arguments.get(at)).map_or(1_u64, |text| text.parse().expect("a number"));
    let only = after("--only").and_then(|at| arguments.get(at));
    println!(
        "| shards | nodes | strategy | max/mean | worst | min/mean | join | leave | {FAILED} fail | {CHURN_STEPS} steps \
         | x | plan, ms | change, ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut missed = Vec::new();
    for (shards, nodes, seeds, first_max, change_max) in SIZES {
        if quick && shards > 1_024 {
            continue;
        }
        let seeds = if quick { 4 } else { seeds };
        let strategies: [&dyn PlacementStrategy; 7] = [
            &ConsistentHashRing150,
            &Rendezvous,
            &Jump,
            &Maglev { exact: false },
            &Maglev { exact: true },
            &BoundedRing::default(),
            &StickyBalanced,
        ];
        let many = shards > PlacementInput::COUNT_MAX;
        let planners = if many { vec![Planner::Many] } else { strategies.map(Planner::Strategy).to_vec() };
        for planner in planners.into_iter().filter(|planner| only.is_none_or(|name| name == planner.name())) {
            let figures = Figures::of(planner, shards, nodes, seed.wrapping_mul(1_000), seeds);
            println!("| {shards} | {nodes} | {} | {}", planner.name(), figures.row(nodes));
            if planner.name() == StickyBalanced.id().name {
                let times = (figures.first_p99(), figures.change_p99());
                if !figures.exact || times.0 > 3 * first_max || times.1 > 3 * change_max {
                    missed.push(format!("{shards} shards, {nodes} nodes: exact {}, {times:?}", figures.exact));
                }
            }
        }
    }
    missed.extend(hot::table(quick, seed));
    missed.extend(rolling::tables(quick, seed));
    assert!(!check || missed.is_empty(), "missed: {missed:#?}");
}

/// Who plans: a strategy, or the default one for more shards than a strategy can be given.
#[derive(Clone, Copy)]
enum Planner<'a> {
    Strategy(&'a dyn PlacementStrategy),
    Many,
}

impl Planner<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Strategy(strategy) => strategy.id().name,
            Self::Many => StickyBalanced.id().name,
        }
    }

    /// The sticky one for as many shards.
    fn ideal(self) -> Self {
        match self {
            Self::Strategy(_) => Self::Strategy(&StickyBalanced),
            Self::Many => Self::Many,
        }
    }

    /// Plans and executes: moves, the time the plan took, and the fewest there could have been.
    fn execute(self, world: &mut World) -> (usize, Duration, usize) {
        let began = Instant::now();
        let (moves, optimum, took) = match self {
            Self::Strategy(strategy) => {
                let plan = strategy.plan(&world.input()).expect("somebody is receiving");
                let took = began.elapsed();
                let moves: Vec<_> = plan.moves.iter().map(|step| (u32::from(step.shard.0), step.to)).collect();
                (moves, plan.report.optimum, took)
            }
            Self::Many => {
                let (moves, optimum) = plan_of_many(&world.input()).expect("somebody is receiving");
                (moves, optimum, began.elapsed())
            }
        };
        for (shard, to) in &moves {
            world.current[*shard as usize] = Some(*to);
        }
        (moves.len(), took, optimum as usize)
    }
}

/// What one strategy comes to at one size.
#[derive(Default)]
struct Figures {
    max: Vec<f64>,
    min: Vec<f64>,
    join: Vec<usize>,
    leave: Vec<usize>,
    fail: Vec<usize>,
    churned: usize,
    /// What churn would take at least, from one balanced map to the next.
    least: usize,
    first: Vec<Duration>,
    change: Vec<Duration>,
    /// Whether every map was even to one shard and no plan moved more than it had to.
    exact: bool,
}

impl Figures {
    fn of(planner: Planner<'_>, shards: usize, nodes: usize, first: u64, seeds: u64) -> Self {
        let mut figures = Self { exact: true, ..Self::default() };
        for nth in 0..seeds {
            let seed = first + nth;
            let mut world = World::new(shards, nodes, seed);
            figures.first.push(planner.execute(&mut world).1);
            figures.exact &= world.is_even();
            let (most, least) = world.extremes();
            let mean = shards as f64 / nodes as f64;
            figures.max.push(most as f64 / mean);
            figures.min.push(least as f64 / mean);
            let mut changed = |change: &dyn Fn(&mut World)| {
                let mut world = world.clone();
                change(&mut world);
                let (moved, took, least) = planner.execute(&mut world);
                figures.change.push(took);
                figures.exact &= world.is_even() && moved == least;
                moved
            };
            figures.join.push(changed(&|world| world.join()));
            figures.leave.push(changed(&|world| world.drop_one(seed)));
            if nodes > FAILED {
                figures.fail.push(changed(&|world| (0..FAILED as u64).for_each(|nth| world.drop_one(seed + nth))));
            }
            if nth < seeds.div_ceil(4) {
                figures.churn(&mut world, planner, nodes);
            }
        }
        figures
    }

    fn churn(&mut self, world: &mut World, planner: Planner<'_>, nodes: usize) {
        // The least is what the sticky plan takes, which is exactly the least at every step.
        let mut ideal = World { current: vec![None; world.current.len()], ..world.clone() };
        planner.ideal().execute(&mut ideal);
        for step in 0..CHURN_STEPS {
            let joins = match world.alive() {
                alive if alive <= nodes.div_ceil(2).max(1) => true,
                alive if alive >= 2 * nodes => false,
                _ => xxh3_64_with_seed(&step.to_le_bytes(), world.seed).is_multiple_of(2),
            };
            for world in [&mut *world, &mut ideal] {
                if joins { world.join() } else { world.drop_one(step) }
            }
            self.churned += planner.execute(world).0;
            self.least += planner.ideal().execute(&mut ideal).0;
        }
    }

    fn first_p99(&self) -> Duration {
        p99(&self.first)
    }
    fn change_p99(&self) -> Duration {
        p99(&self.change)
    }

    fn row(&self, nodes: usize) -> String {
        let mean = |counts: &[usize]| counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        let average = |ratios: &[f64]| ratios.iter().sum::<f64>() / ratios.len() as f64;
        let worst = self.max.iter().copied().fold(0.0, f64::max);
        let fail = if nodes > FAILED { format!("{:.1}", mean(&self.fail)) } else { "-".into() };
        format!(
            "{:.3} | {worst:.3} | {:.3} | {:.1} | {:.1} | {fail} | {} | {:.2} | {:.2} | {:.2} |",
            average(&self.max),
            average(&self.min),
            mean(&self.join),
            mean(&self.leave),
            self.churned,
            self.churned as f64 / self.least as f64,
            self.first_p99().as_secs_f64() * 1_000.0,
            self.change_p99().as_secs_f64() * 1_000.0,
        )
    }
}

fn p99(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}

/// Shards and nodes of one weight, and time passing in them.
#[derive(Clone)]
struct World {
    seed: u64,
    current: Vec<Option<NodeIdx>>,
    nodes: Vec<NodeView>,
    born: usize,
}

impl World {
    fn new(shards: usize, nodes: usize, seed: u64) -> Self {
        let mut world = Self { seed, current: vec![None; shards], nodes: Vec::new(), born: 0 };
        (0..nodes).for_each(|_| world.join());
        world
    }

    fn input(&self) -> PlacementInput<'_> {
        PlacementInput { seed: self.seed, current: &self.current, nodes: &self.nodes, ..Default::default() }
    }

    fn alive(&self) -> usize {
        self.nodes.len()
    }

    fn join(&mut self) {
        let id = NodeId::new(format!("n{:x}", xxh3_64_with_seed(&self.born.to_le_bytes(), self.seed))).expect("a name");
        self.born += 1;
        self.nodes.push(NodeView::new(id));
    }

    /// A node drawn by `draw` is gone, and its shards have no owner.
    fn drop_one(&mut self, draw: u64) {
        let gone = (xxh3_64_with_seed(&draw.to_le_bytes(), !self.seed) % self.nodes.len() as u64) as usize;
        self.nodes.remove(gone);
        for owner in &mut self.current {
            *owner = match owner.map(NodeIdx::index) {
                Some(at) if at == gone => None,
                Some(at) if at > gone => Some(NodeIdx(at as u16 - 1)),
                _ => *owner,
            };
        }
    }

    fn extremes(&self) -> (usize, usize) {
        let mut counts = vec![0; self.nodes.len()];
        self.current.iter().flatten().for_each(|owner| counts[owner.index()] += 1);
        (counts.iter().copied().max().unwrap_or(0), counts.iter().copied().min().unwrap_or(0))
    }

    fn is_even(&self) -> bool {
        let (most, least) = self.extremes();
        most - least <= 1
    }
}

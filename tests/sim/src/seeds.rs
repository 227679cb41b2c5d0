//! Many seeds, one after another, and what they come to.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::scenario::{Scenario, Wanted};
use crate::world::{Failure, Run, World};

/// The command that runs that seed again, with everything that happens.
pub fn reproduction(seed: u64, wanted: &Wanted) -> String {
    let default = Wanted::default();
    let minutes = wanted.faults_last.map(|last| format!(" --minutes {}", last.as_secs_f64() / 60.0));
    let (from, to) = (wanted.nodes.start(), wanted.nodes.end());
    let nodes = (wanted.nodes != default.nodes).then(|| format!(" --nodes {from}..{to}"));
    let profile = wanted.profile.map(|profile| format!(" --profile {}", profile.name()));
    let wanted: String = [minutes, nodes, profile].into_iter().flatten().collect();
    format!("cargo xtask simulate --seed {seed:#x} --trace{wanted}")
}

/// Runs one seed; everything that happens is written to `trace`. A panic is a failure like another.
///
/// # Errors
/// The first thing that must not be.
pub fn run_seed(seed: u64, wanted: &Wanted, trace: Option<Box<dyn io::Write>>) -> Result<Run, Box<Failure>> {
    let run = || World::new(Scenario::draw(seed, wanted), trace).run();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        Err(Box::new(Failure { seed, at: Duration::ZERO, what: format!("it panicked: {text}"), tail: Vec::new() }))
    })
}

/// Runs seeds on that many threads and hands each outcome to `met`, in the order of the seeds, until it has enough.
pub fn run_seeds(
    seeds: Range<u64>,
    jobs: usize,
    wanted: &Wanted,
    mut met: impl FnMut(u64, &Result<Run, Box<Failure>>) -> ControlFlow<()>,
) {
    let (next, (tell, told)) = (AtomicU64::new(seeds.start), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (next, tell, end) = (&next, tell.clone(), seeds.end);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || tell.send((seed, run_seed(seed, wanted, None))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        let (mut early, mut due) = (BTreeMap::new(), seeds.start);
        for (seed, run) in told {
            early.insert(seed, run);
            while let Some(run) = early.remove(&due) {
                if met(due, &run).is_break() {
                    next.store(seeds.end, Ordering::Relaxed);
                    return;
                }
                due += 1;
            }
        }
    });
}

/// What should have happened at least once before many seeds mean much, by the names under which it is counted: each fault,
/// and each way in which a node or a leader loses what it had.
pub const MARKS: [&str; 60] = [
    "NodeRelieved",
    "NodeSuspected",
    "NodeTrusted",
    "PlacementAdopted",
    "PlacementRejected",
    "RebalancingOrdered",
    "acknowledgement lost",
    "answer cut off",
    "asked to cancel",
    "asked to drain",
    "asked to pause",
    "asked to resume",
    "asked to step down",
    "began with a snapshot",
    "certificate shortened a failure",
    "clock jump",
    "clocks too far apart",
    "collapse",
    "corrupt record seen",
    "crash",
    "crash of all",
    "cut",
    "drain",
    "drain of all",
    "drain in a collapse",
    "drain met a return",
    "driven out by its own id",
    "election",
    "fenced",
    "freeze",
    "freeze half way",
    "freeze of all",
    "ghost",
    "ghost of a node cut off",
    "join",
    "left",
    "left on an order",
    "left unasked",
    "life over",
    "message lost",
    "missing entry noticed",
    "outage",
    "placement not adopted",
    "placement wanted",
    "record spoiled",
    "refused for its settings",
    "replacement",
    "slowness",
    "stale read",
    "stepped down on an order",
    "stepped down: another leader's term is in the log",
    "stepped down: it resigned",
    "stepped down: the lease ran out before it was renewed",
    "stepped down: the lease was taken",
    "stuck shard given to another",
    "stuck shards",
    "suspected",
    "update twice",
    "watch reset",
    "write vanished in an election",
];

/// What many runs come to.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// How many seeds were run.
    pub seeds: u64,
    /// The seeds that failed.
    pub failed: Vec<u64>,
    /// How much time was simulated, failed runs not included.
    pub simulated: Duration,
    /// The longest time to come to rest.
    pub rested_after_max: Duration,
    /// All traces' hashes, combined in order.
    pub trace_hash: u64,
    /// What happened how often.
    pub counts: BTreeMap<String, u64>,
}

impl Sum {
    /// Adds a run.
    pub fn add(&mut self, run: &Result<Run, Box<Failure>>) {
        self.seeds += 1;
        let hash = match run {
            Ok(run) => {
                self.simulated += run.simulated;
                self.rested_after_max = self.rested_after_max.max(run.rested_after);
                for (what, times) in &run.counts {
                    *self.counts.entry(what.clone()).or_default() += times;
                }
                run.trace_hash
            }
            Err(failure) => {
                self.failed.push(failure.seed);
                0
            }
        };
        self.trace_hash = self.trace_hash.rotate_left(5) ^ hash;
    }

    /// The [`MARKS`] that were not reached.
    pub fn marks_missed(&self) -> Vec<&'static str> {
        MARKS.into_iter().filter(|mark| !self.counts.contains_key(*mark)).collect()
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        let hours = self.simulated.as_secs_f64() / 3600.0;
        let failed: Vec<_> = self.failed.iter().map(|seed| format!("\"{seed:#x}\"")).collect();
        format!(
            "{{\"seeds\":{},\"failures\":{},\"simulated_hours\":{hours:.3},\"trace_hash\":\"{:016x}\",\
             \"rested_after_seconds_max\":{:.3},\"failed\":[{}],\"marks_missed\":[{}]}}",
            self.seeds,
            self.failed.len(),
            self.trace_hash,
            self.rested_after_max.as_secs_f64(),
            failed.join(","),
            self.marks_missed().iter().map(|mark| format!("\"{mark}\"")).collect::<Vec<_>>().join(",")
        )
    }
}

//! Many seeds, one after another, and what they come to.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::scenario::Scenario;
use crate::world::{Failure, Run, World};

/// The command that runs that seed again, with everything that happens.
pub fn reproduction(seed: u64, faults_last: Option<Duration>) -> String {
    let minutes = faults_last.map(|last| format!(" --minutes {}", last.as_secs_f64() / 60.0)).unwrap_or_default();
    format!("cargo xtask simulate --seed {seed:#x} --trace{minutes}")
}

/// Runs one seed. A panic is a failure like another.
///
/// # Errors
/// The first thing that must not be.
pub fn run_seed(seed: u64, faults_last: Option<Duration>, print: bool) -> Result<Run, Box<Failure>> {
    let run = || World::new(Scenario::draw(seed, faults_last), print).run();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        Err(Box::new(Failure { seed, at: Duration::ZERO, what: format!("it panicked: {text}"), tail: Vec::new() }))
    })
}

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

    /// One JSON object.
    pub fn json(&self) -> String {
        let hours = self.simulated.as_secs_f64() / 3600.0;
        let failed: Vec<_> = self.failed.iter().map(|seed| format!("\"{seed:#x}\"")).collect();
        format!(
            "{{\"seeds\":{},\"failures\":{},\"simulated_hours\":{hours:.3},\"trace_hash\":\"{:016x}\",\
             \"rested_after_seconds_max\":{:.3},\"failed\":[{}]}}",
            self.seeds,
            self.failed.len(),
            self.trace_hash,
            self.rested_after_max.as_secs_f64(),
            failed.join(",")
        )
    }
}

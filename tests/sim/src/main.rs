//! The simulation on the command line; `cargo xtask simulate` builds and runs it.
#![expect(clippy::print_stdout, reason = "what it finds is its output")]

use std::process::ExitCode;
use std::time::Duration;

use aether_sim::{Sum, reproduction, run_seed};
use clap::Parser;

/// Runs the control plane over a server in virtual time, seed after seed, and checks the invariants after every event.
#[derive(Debug, Parser)]
#[command(name = "simulate", disable_version_flag = true)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value = "0", value_parser = number)]
    start: u64,
    /// This one only.
    #[arg(long, value_parser = number, conflicts_with_all = ["seeds", "start"])]
    seed: Option<u64>,
    /// Print everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many minutes faults strike; drawn by default, from 3 to 5.
    #[arg(long, value_parser = minutes)]
    minutes: Option<Duration>,
    /// One JSON object as the last line.
    #[arg(long)]
    json: bool,
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    parsed.map_err(|error| error.to_string())
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let asked = Arguments::parse();
    let (first, count) = asked.seed.map_or((asked.start, asked.seeds), |seed| (seed, 1));
    let mut sum = Sum::default();
    for seed in (0..count).map(|nth| first.wrapping_add(nth)) {
        let run = run_seed(seed, asked.minutes, asked.trace);
        if let Err(failure) = &run {
            if !asked.trace {
                for line in &failure.tail {
                    println!("{line}");
                }
            }
            println!("seed {seed:#x} failed {:?} after its beginning: {}", failure.at, failure.what);
            println!("again: {}", reproduction(seed, asked.minutes));
        }
        sum.add(&run);
    }
    for (what, times) in &sum.counts {
        println!("{times:>12}  {what}");
    }
    let hours = sum.simulated.as_secs_f64() / 3600.0;
    let (seeds, failed, rest) = (sum.seeds, sum.failed.len(), sum.rested_after_max);
    println!("{seeds} seeds, {failed} failed, {hours:.2} simulated hours; at rest within {rest:?} of the last fault");
    if asked.json {
        println!("{}", sum.json());
    }
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

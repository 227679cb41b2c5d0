//! The simulation on the command line; `cargo xtask simulate` builds and runs it.
#![expect(clippy::print_stdout, reason = "what it finds is its output")]

use std::ops::{ControlFlow, RangeInclusive};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use aether_domain::timing::Profile;
use aether_sim::{Failure, Hunt, MARKS, Run, Sum, Wanted, reproduction, run_seed, run_seeds};
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
    /// How many nodes there are, as A..B with both included; B is 128 at most.
    #[arg(long, value_name = "A..B", value_parser = nodes)]
    nodes: Option<RangeInclusive<usize>>,
    /// The cluster's timers, default, fast or seed; drawn by default from the first two.
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// How many seeds run at the same time; as many as there are processors by default.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Take away one rule after another and say with which seed that is noticed; for a build with
    /// `--cfg aether_mutants`, which `cargo xtask mutants` makes.
    #[arg(long, conflicts_with_all = ["seed", "trace"])]
    mutants: bool,
    /// Take away this rule only.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
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

fn nodes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (from, to) = text.split_once("..").ok_or("a range such as 3..9")?;
    let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{text:?}: {error}"));
    let nodes = number(from)?..=number(to)?;
    let fits = !nodes.is_empty() && *nodes.start() >= 3 && *nodes.end() <= 128;
    if fits { Ok(nodes) } else { Err("from 3 to 128, the smaller number first".to_owned()) }
}

fn profile(text: &str) -> Result<Profile, String> {
    Profile::named(text).ok_or_else(|| "default, fast or seed".to_owned())
}

/// Where the whole trace of a failed seed is written.
const TRACES: &str = "target/sim";

fn main() -> ExitCode {
    let asked = Arguments::parse();
    let mut wanted = Wanted { faults_last: asked.minutes, profile: asked.profile, ..Wanted::default() };
    wanted.nodes = asked.nodes.clone().unwrap_or(wanted.nodes);
    let jobs = asked.jobs.map(usize::from).or(available_parallelism().ok().map(usize::from)).unwrap_or(1);
    if asked.mutants || asked.only.is_some() {
        return mutants(&asked, jobs, &wanted);
    }
    let mut sum = Sum::default();
    if let (Some(seed), true) = (asked.seed, asked.trace) {
        let run = run_seed(seed, &wanted, Some(Box::new(std::io::stdout())));
        tell(seed, &run, &wanted, false);
        sum.add(&run);
    } else {
        let seeds = asked.seed.map_or(asked.start..asked.start.saturating_add(asked.seeds), |seed| seed..seed + 1);
        run_seeds(seeds, jobs, &wanted, |seed, run| {
            tell(seed, run, &wanted, true);
            sum.add(run);
            ControlFlow::Continue(())
        });
    }
    for (what, times) in &sum.counts {
        println!("{times:>12}  {what}");
    }
    let hours = sum.simulated.as_secs_f64() / 3600.0;
    let (seeds, failed, rest) = (sum.seeds, sum.failed.len(), sum.rested_after_max);
    println!("{seeds} seeds, {failed} failed, {hours:.2} simulated hours; at rest within {rest:?} of the last fault");
    let missed = sum.marks_missed();
    println!("{} of {} marks reached; missed: {missed:?}", MARKS.len() - missed.len(), MARKS.len());
    if asked.json {
        println!("{}", sum.json());
    }
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes rules away, and prints a line for each.
fn mutants(asked: &Arguments, jobs: usize, wanted: &Wanted) -> ExitCode {
    let seeds = asked.start..asked.start.saturating_add(asked.seeds);
    // A mutant may well panic: that is one way of being noticed.
    std::panic::set_hook(Box::new(|_| ()));
    let hunt = Hunt::run(asked.only.as_deref(), seeds, jobs, wanted, |catch| println!("{catch}"));
    let hunt = match hunt {
        Ok(hunt) => hunt,
        Err(reason) => {
            println!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    println!("{hunt}");
    if asked.json {
        println!("{}", hunt.json());
    }
    if hunt.missed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says how a failed seed failed. With `again` it is run once more, for a file of everything that happened.
fn tell(seed: u64, run: &Result<Run, Box<Failure>>, wanted: &Wanted, again: bool) {
    let Err(failure) = run else { return };
    if again {
        for line in &failure.tail {
            println!("{line}");
        }
        match write_trace(seed, wanted) {
            Ok(path) => println!("all of it: {}", path.display()),
            Err(error) => println!("its trace could not be written below {TRACES}: {error}"),
        }
    }
    println!("seed {seed:#x} failed {:?} after its beginning: {}", failure.at, failure.what);
    println!("again: {}", reproduction(seed, wanted));
}

fn write_trace(seed: u64, wanted: &Wanted) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(TRACES)?;
    let path = PathBuf::from(TRACES).join(format!("{seed:#x}.txt"));
    let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    // It fails again in the same way; that is known.
    let _ = run_seed(seed, wanted, Some(Box::new(file)));
    Ok(path)
}

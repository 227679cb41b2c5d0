//! One target, tried again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xtask::clock::{Deadline, Stopwatch};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Target, Verdict, corpus, mutate};

/// The most inputs that are kept to be changed further.
const POOL_MAX: usize = 4_096;

/// How many inputs are tried between two looks at the clock.
const BETWEEN_LOOKS: u64 = 256;

/// How long one round of so many may take, before one of them is said to hang.
const ROUND_MAX: Duration = Duration::from_secs(30);

/// How long a target is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many inputs.
    Executions(u64),
    /// For so long.
    Time(Duration),
}

/// Bytes that break a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which promise, and how.
    pub what: String,
    /// The bytes, without what the target's shape puts around them.
    pub input: Vec<u8>,
    /// Where they were met: a file of the corpus, or the seed and the number of the input.
    pub met: String,
}

/// An input that makes its target do something new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which way it goes.
    pub way: u64,
    /// It.
    pub input: Vec<u8>,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many inputs were tried.
    pub executions: u64,
    /// How many of them had a meaning.
    pub meant: u64,
    /// The most of its allowance of memory that any of them took, in per cent.
    pub memory: u64,
    /// How many there were to begin with.
    pub seeds: usize,
    /// What was found that goes ways that those do not.
    pub found: Vec<Found>,
    /// What ended it before its time.
    pub finding: Option<Finding>,
    /// How long it took.
    pub took: Duration,
}

/// Tries the corpus of `target`, and then what is made of it by chance from `seed`, until `limit`.
///
/// # Errors
/// The corpus cannot be read, or one round of inputs takes longer than 30 s.
pub fn run(target: &Target, seed: u64, limit: Limit) -> Result<Report> {
    let watch = Stopwatch::start();
    let deadline = match limit {
        Limit::Time(time) => Some(Deadline::after(time)),
        Limit::Executions(_) => None,
    };
    let inputs = corpus::read(target)?;
    let words = corpus::words(&inputs);
    let mut report = Report { seeds: inputs.len(), ..Report::default() };
    let (mut pool, mut meaningful, mut ways) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (name, input) in inputs {
        report.executions += 1;
        match target.try_with(&input) {
            Verdict::Fine { meant, way, memory } => {
                report.meant += u64::from(meant);
                report.memory = report.memory.max(memory);
                ways.insert(way);
                if meant {
                    meaningful.push(input.clone());
                }
                pool.push(input);
            }
            Verdict::Broken(what) => report.finding = Some(Finding { what, input, met: name }),
        }
    }
    let mut dice = ChaCha8Rng::seed_from_u64(xxh3_64_with_seed(target.name.as_bytes(), seed));
    let mut round = Stopwatch::start();
    while report.finding.is_none() {
        if report.executions.is_multiple_of(BETWEEN_LOOKS) {
            if round.elapsed() > ROUND_MAX {
                bail!("{}: {BETWEEN_LOOKS} inputs of seed {seed} took {:?}", target.name, round.elapsed());
            }
            round = Stopwatch::start();
            if deadline.is_some_and(Deadline::passed) {
                break;
            }
        }
        if matches!(limit, Limit::Executions(most) if report.executions >= most) {
            break;
        }
        // Half of them are made of what has a meaning: most of the rest has been refused at once.
        let from = if dice.random_ratio(1, 2) && !meaningful.is_empty() { &meaningful } else { &pool };
        let base = &from[dice.random_range(0..from.len())];
        let other = &pool[dice.random_range(0..pool.len())];
        let input = mutate::mutated(&mut dice, base, other, &words, target.bytes_max);
        report.executions += 1;
        match target.try_with(&input) {
            Verdict::Fine { meant, way, memory } => {
                report.meant += u64::from(meant);
                report.memory = report.memory.max(memory);
                if pool.len() < POOL_MAX && ways.insert(way) {
                    report.found.push(Found { way, input: input.clone() });
                    if meant {
                        meaningful.push(input.clone());
                    }
                    pool.push(input);
                }
            }
            Verdict::Broken(what) => {
                let met = format!("seed {seed}, input {}", report.executions);
                report.finding = Some(Finding { what, input, met });
            }
        }
    }
    report.took = watch.elapsed();
    Ok(report)
}

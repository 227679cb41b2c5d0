//! Many seeds, one after another; and of one that fails, the least that still does.

use std::fmt::Display;
use std::ops::{AddAssign, RangeInclusive};

use crate::plan::{Failure, Plan};

/// What once failed, and is played for ever: a plan a line, and what it found.
pub(crate) fn failed() -> impl Iterator<Item = &'static str> {
    include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'))
}

/// How one kind of storm is played.
pub(crate) struct Seeds<'a, R> {
    /// What `cargo xtask simulate` calls it.
    pub(crate) storms: &'static str,
    /// How many nodes there are.
    pub(crate) nodes: RangeInclusive<usize>,
    pub(crate) play: &'a dyn Fn(&Plan) -> Result<R, Failure>,
}

/// From the environment, for whoever wants more than a moment of it.
fn wanted(name: &str, unless: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(unless)
}

impl<R: AddAssign + Default + Display> Seeds<'_, R> {
    /// Plays as many as are wanted, with so many questions in all, and says what they come to; or the one plan that is
    /// wanted, and says nothing of it.
    ///
    /// # Panics
    /// With the least that fails, and how to play that again.
    #[expect(clippy::print_stderr, reason = "what a storm did is what `cargo xtask simulate` shows")]
    pub(crate) fn run(&self, seeds: u64, asks: u64) -> Option<R> {
        if let Ok(plan) = std::env::var("AETHER_PLAN") {
            let plan: Plan = plan.parse().unwrap_or_else(|wrong| panic!("{wrong}"));
            let done = (self.play)(&plan).unwrap_or_else(|failure| panic!("{}", failure.what));
            eprintln!("{done}");
            return None;
        }
        let (first, seeds) = (wanted("AETHER_SEED", 1), wanted("AETHER_SEEDS", seeds));
        let each = wanted("AETHER_ASKS", asks).div_ceil(seeds);
        let mut all = R::default();
        for seed in first..first + seeds {
            let plan = Plan::draw(seed, each, self.nodes.clone());
            let done = (self.play)(&plan).unwrap_or_else(|failure| panic!("{}", self.told(plan, &failure)));
            if seeds > 8 {
                eprintln!("seed {seed}: {done}");
            }
            all += done;
        }
        eprintln!("{seeds} seeds from {first}: {all}");
        Some(all)
    }

    /// What is said of a plan that failed: its swarm, the least that fails, and the command that plays that again. The plan as it
    /// is comes first, on standard error: finding the least takes a while.
    #[expect(clippy::print_stderr, reason = "whoever has no patience has that")]
    pub(crate) fn told(&self, plan: Plan, failure: &Failure) -> String {
        let (seed, struck) = (plan.seed, failure.struck);
        let swarm: Vec<_> = plan.swarm().iter().map(|(fault, times)| format!("{fault} {times}")).collect();
        eprintln!("seed {seed}: {}\nagain: cargo xtask simulate {} --plan \"{plan}\"", failure.what, self.storms);
        let (least, what) = plan.least(|plan| (self.play)(plan).map(drop));
        let what = what.unwrap_or_else(|| "nothing, the second time: it is no function of its seed".to_owned());
        format!(
            "seed {seed}: {}\nits swarm: {}\nthe least that fails, {} things broken of {struck} and {} asked: {what}\n\
             again: cargo xtask simulate {} --plan \"{least}\"",
            failure.what,
            swarm.join(", "),
            least.strikes.len(),
            least.asks,
            self.storms,
        )
    }

    /// Plays what once failed.
    ///
    /// # Panics
    /// If it does so again, or a line says nothing.
    pub(crate) fn play_what_failed(&self) -> usize {
        let mut played = 0;
        for line in failed() {
            let (plan, why) = line.split_once(" | ").unwrap_or_else(|| panic!("{line}: it says no reason"));
            let Some(plan) = plan.strip_prefix(self.storms) else { continue };
            let plan: Plan = plan.parse().unwrap_or_else(|wrong| panic!("{wrong}"));
            if let Err(failure) = (self.play)(&plan) {
                panic!("{why}: {}\nagain: cargo xtask simulate {} --plan \"{plan}\"", failure.what, self.storms);
            }
            played += 1;
        }
        played
    }
}

//! Does the net catch fish? Each rule is taken away in turn, and seeds are run until one of them fails.
//!
//! It needs a build with `--cfg aether_mutants`: in every other one no rule can be taken away, and it says so.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use aether_domain::mutants::{Mutant, take_away};

use crate::scenario::Wanted;
use crate::seeds::run_seeds;

/// How a rule's absence was noticed, if it was.
#[derive(Clone, Debug)]
pub struct Catch {
    /// The mutant's name.
    pub name: &'static str,
    /// The rule or invariant that it breaks.
    pub rule: &'static str,
    /// Which of the seeds failed first, counted from 1; none if all passed.
    pub nth: Option<u64>,
    /// How much time was simulated until then.
    pub simulated: Duration,
    /// What noticed it.
    pub noticed: String,
}

impl fmt::Display for Catch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nth = self.nth.map_or_else(|| "missed".to_owned(), |nth| nth.to_string());
        let hours = self.simulated.as_secs_f64() / 3600.0;
        let Self { name, rule, noticed, .. } = self;
        write!(f, "{name:<24} {rule:<10} {nth:>6} {hours:>7.2} h  {noticed}")
    }
}

/// All catches.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// One for each rule that was taken away.
    pub catches: Vec<Catch>,
}

impl Hunt {
    /// Takes each rule away, or only the one of that name, and runs seeds until one fails.
    ///
    /// # Errors
    /// There is no such mutant, or this build has none.
    pub fn run(
        only: Option<&str>,
        seeds: Range<u64>,
        jobs: usize,
        wanted: &Wanted,
        mut met: impl FnMut(&Catch),
    ) -> Result<Self, String> {
        // What becomes of commands is not in this simulation: `shard::tests::owners` of the runtime hunts for that.
        let here = Mutant::ALL.iter().filter(|(mutant, ..)| !mutant.is_of_commands());
        let all = here.filter(|(_, name, ..)| only.is_none_or(|only| only == *name));
        let mut hunt = Self::default();
        for (mutant, name, rule, _) in all {
            if !take_away(Some(*mutant)) {
                return Err("no rule can be taken away in this build: use cargo xtask mutants".to_owned());
            }
            let mut catch = Catch { name, rule, nth: None, simulated: Duration::ZERO, noticed: String::new() };
            run_seeds(seeds.clone(), jobs, wanted, |seed, run| match run {
                Ok(run) => {
                    catch.simulated += run.simulated;
                    ControlFlow::Continue(())
                }
                Err(failure) => {
                    catch.simulated += failure.at;
                    catch.nth = Some(seed - seeds.start + 1);
                    catch.noticed.clone_from(&failure.what);
                    ControlFlow::Break(())
                }
            });
            take_away(None);
            met(&catch);
            hunt.catches.push(catch);
        }
        if hunt.catches.is_empty() {
            let names: Vec<_> = Mutant::ALL.iter().map(|(_, name, ..)| *name).collect();
            return Err(format!("there is no such mutant; there are {}", names.join(", ")));
        }
        Ok(hunt)
    }

    /// How many were not noticed.
    pub fn missed(&self) -> usize {
        self.catches.iter().filter(|catch| catch.nth.is_none()).count()
    }

    /// The median of the seeds it took, of those that were noticed.
    pub fn median(&self) -> u64 {
        let mut seeds: Vec<_> = self.catches.iter().filter_map(|catch| catch.nth).collect();
        seeds.sort_unstable();
        seeds.get(seeds.len() / 2).copied().unwrap_or_default()
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        let catches: Vec<_> = self
            .catches
            .iter()
            .map(|catch| {
                format!(
                    "{{\"name\":\"{}\",\"rule\":\"{}\",\"found_at_seed\":{},\"simulated_hours\":{:.3},\"noticed\":{:?}}}",
                    catch.name,
                    catch.rule,
                    catch.nth.map_or_else(|| "null".to_owned(), |nth| nth.to_string()),
                    catch.simulated.as_secs_f64() / 3600.0,
                    catch.noticed
                )
            })
            .collect();
        let (mutants, missed, median) = (self.catches.len(), self.missed(), self.median());
        let catches = catches.join(",");
        format!("{{\"mutants\":{mutants},\"missed\":{missed},\"median_seeds\":{median},\"catches\":[{catches}]}}")
    }
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.catches.iter().filter_map(|catch| catch.nth).max().unwrap_or_default();
        let (mutants, missed, median) = (self.catches.len(), self.missed(), self.median());
        write!(f, "{mutants} mutants, {missed} missed; found after {median} seeds (median), {most} at most")
    }
}

//! What was measured against what was promised, as a table for people and as JSON.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::Conditions;

/// What a figure may be at most; nothing where it is only reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Half of the rounds are within this.
    pub half: Option<Duration>,
    /// All but one in a hundred are within this.
    pub most: Option<Duration>,
    /// All are within this.
    pub all: Option<Duration>,
}

impl Bound {
    /// Every round is within that.
    pub const fn of(millis: u64) -> Self {
        Self { half: None, most: None, all: Some(Duration::from_millis(millis)) }
    }

    /// Half of the rounds are within the first, all within the second.
    pub const fn half_and_all(half: u64, all: u64) -> Self {
        Self { half: Some(Duration::from_millis(half)), most: None, all: Some(Duration::from_millis(all)) }
    }

    /// Half of the rounds are within the first, all but one in a hundred within the second.
    pub const fn half_and_most(half: u64, most: u64) -> Self {
        Self { half: Some(Duration::from_millis(half)), most: Some(Duration::from_millis(most)), all: None }
    }
}

/// One figure of one round.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// From what to what.
    pub what: &'static str,
    /// How long that took.
    pub took: Duration,
    /// What was promised.
    pub bound: Bound,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.4} s", self.what, self.took.as_secs_f64())
    }
}

/// One figure over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The timeline's name.
    pub timeline: &'static str,
    /// From what to what.
    pub what: String,
    /// What half of the rounds must be within.
    pub bound_p50_ms: Option<f64>,
    /// What all but one in a hundred must be within.
    pub bound_p99_ms: Option<f64>,
    /// What all must be within.
    pub bound_max_ms: Option<f64>,
    /// What half of the rounds were within.
    pub p50_ms: f64,
    /// What all but one in a hundred were within.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Every round.
    pub rounds_ms: Vec<f64>,
    /// Whether everything promised was kept.
    pub met: bool,
}

impl Row {
    fn new(timeline: &'static str, measured: &Measured) -> Self {
        let Bound { half, most, all } = measured.bound;
        Self {
            timeline,
            what: measured.what.to_owned(),
            bound_p50_ms: half.map(millis),
            bound_p99_ms: most.map(millis),
            bound_max_ms: all.map(millis),
            p50_ms: 0.0,
            p99_ms: 0.0,
            max_ms: 0.0,
            rounds_ms: Vec::new(),
            met: true,
        }
    }

    fn add(&mut self, took: Duration) {
        self.rounds_ms.push(millis(took));
        let mut sorted = self.rounds_ms.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        self.p50_ms = sorted[(sorted.len() - 1) / 2];
        self.p99_ms = sorted[(sorted.len() * 99).div_ceil(100) - 1];
        self.max_ms = sorted[sorted.len() - 1];
        let within = |took: f64, bound: Option<f64>| bound.is_none_or(|bound| took <= bound);
        self.met = within(self.p50_ms, self.bound_p50_ms)
            && within(self.p99_ms, self.bound_p99_ms)
            && within(self.max_ms, self.bound_max_ms);
    }
}

/// Everything that was played.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// On what.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// The figures, in the order of the timelines.
    pub rows: Vec<Row>,
    /// Rounds that went wrong: the timeline's name, and what happened.
    pub failures: Vec<(&'static str, String)>,
}

impl Report {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self { conditions, rows: Vec::new(), failures: Vec::new() }
    }

    pub(super) fn add(&mut self, timeline: &'static str, measured: Vec<Measured>) {
        for one in measured {
            let known = self.rows.iter().position(|row| row.timeline == timeline && row.what == one.what);
            let place = known.unwrap_or_else(|| {
                self.rows.push(Row::new(timeline, &one));
                self.rows.len() - 1
            });
            self.rows[place].add(one.took);
        }
    }

    pub(super) fn failed(&mut self, timeline: &'static str, why: String) {
        self.failures.push((timeline, why));
    }

    /// How many figures were missed and rounds went wrong.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| !row.met).count() + self.failures.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |millis: f64| format!("{:.4}", millis / 1000.0);
        writeln!(f, "{}", self.conditions)?;
        writeln!(f, "| timeline | from the fault to | bound (s) | p50 | p99 | max | n | |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let half = row.bound_p50_ms.map(|bound| format!("p50 {}, ", seconds(bound))).unwrap_or_default();
            let most = row.bound_p99_ms.map(|bound| format!("p99 {}, ", seconds(bound))).unwrap_or_default();
            let bound = row.bound_max_ms.map_or_else(|| "-".to_owned(), seconds);
            let Row { timeline, what, p50_ms, p99_ms, max_ms, rounds_ms, met, .. } = row;
            let (p50, p99, max, rounds) = (seconds(*p50_ms), seconds(*p99_ms), seconds(*max_ms), rounds_ms.len());
            let verdict = if *met { "met" } else { "MISSED" };
            writeln!(
                f,
                "| {timeline} | {what} | {half}{most}{bound} | {p50} | {p99} | {max} | {rounds} | {verdict} |"
            )?;
        }
        for (timeline, why) in &self.failures {
            writeln!(f, "{timeline} FAILED: {why}")?;
        }
        Ok(())
    }
}

/// In milliseconds, to the tenth above.
fn millis(span: Duration) -> f64 {
    f64::from(u32::try_from(span.as_micros().div_ceil(100)).unwrap_or(u32::MAX)) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rounds: &[u64], bound: Bound) -> Report {
        let mut report = Report::new(Conditions::default());
        for &took in rounds {
            report.add("t", vec![Measured { what: "w", took: Duration::from_millis(took), bound }]);
        }
        report
    }

    #[test]
    fn a_figure_is_met_if_half_and_all_of_its_rounds_are_within_their_bounds() {
        for (rounds, bound, met) in [
            (&[1, 2, 9][..], Bound::of(9), true),
            (&[1, 2, 10], Bound::of(9), false),
            (&[3, 1, 9, 2], Bound::half_and_all(2, 9), true),
            (&[3, 1, 9, 3], Bound::half_and_all(2, 9), false),
            (&[99], Bound::default(), true),
            (&[8, 9, 7], Bound::half_and_most(8, 9), true),
            (&[8, 10, 7], Bound::half_and_most(8, 9), false),
        ] {
            let report = report(rounds, bound);
            assert_eq!((report.rows.len(), report.missed()), (1, usize::from(!met)), "{rounds:?} {bound:?}");
        }
    }

    #[test]
    fn one_in_a_hundred_may_be_beyond_what_most_are_within() {
        for (late, met) in [(1, true), (2, false)] {
            let rounds: Vec<_> = (0..100).map(|nth| if nth < late { 50 } else { 5 }).collect();
            assert_eq!(report(&rounds, Bound::half_and_most(8, 40)).missed(), usize::from(!met), "{late} late");
        }
    }

    #[test]
    fn a_round_that_went_wrong_is_a_miss() {
        let mut report = report(&[1], Bound::of(9));
        report.failed("t", "a shard was lost".to_owned());
        assert_eq!(report.missed(), 1);
        assert!(report.to_string().contains("t FAILED: a shard was lost"), "{report}");
    }
}

//! What the load has seen so far, and what its page shows of it.

use std::collections::VecDeque;
use std::time::Duration;

use aether_domain::Monotonic;
use serde::{Deserialize, Serialize};

/// Over how many whole seconds the rate is taken.
const RATE_SECONDS: u32 = 5;

/// The last text of an error is cut after so many characters.
const ERROR_CHARS_MAX: usize = 500;

/// `GET /v1/load`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadView {
    /// Operations and reads answered, refusals included: what the cluster has given its word for.
    pub acknowledged: u64,
    /// Of these, how many the accounts refused, rightly.
    pub refused: u64,
    /// Those under way.
    pub in_flight: u64,
    /// Acknowledged operations missing at the last audit.
    pub lost: u64,
    /// Operations found once too often at the last audit.
    pub applied_twice: u64,
    /// Whether balances and pending transfers of every account were exact at the last audit.
    pub sums_exact: bool,
    /// Whether the audit was made for this answer and could ask every account.
    pub verified: bool,
    /// Answers that contradict what was acknowledged before: a stale read is one.
    pub wrong_answers: u64,
    /// Tries that brought no answer of the account; each is tried again.
    pub errors: u64,
    /// What the last of them, or of the wrong answers, said.
    pub last_error: Option<String>,
    /// Answers a second, over the last few seconds.
    pub ops_per_second: f64,
    /// The longest time without any answer, pauses for audits not counted.
    pub longest_gap_ms: u64,
    /// The longest time from first asking an operation to its answer.
    pub slowest_ms: u64,
    /// How many accounts there are.
    pub accounts: u64,
}

/// The figures behind the page.
#[derive(Debug)]
pub(super) struct Tally {
    view: LoadView,
    last_answer: Monotonic,
    paused: bool,
    /// Answers by second of the clock, the newest last.
    seconds: VecDeque<(u64, u64)>,
}

impl Tally {
    pub(super) fn new(accounts: u64, now: Monotonic) -> Self {
        let view = LoadView { accounts, ..LoadView::default() };
        Self { view, last_answer: now, paused: false, seconds: VecDeque::new() }
    }

    pub(super) fn begun(&mut self) {
        self.view.in_flight += 1;
    }

    pub(super) fn unheard(&mut self, reason: &str) {
        self.view.errors += 1;
        self.blame(reason);
    }

    /// The account answered an operation that was first asked at `since`.
    pub(super) fn answered(&mut self, now: Monotonic, since: Monotonic, refused: bool, wrong: Option<&str>) {
        self.view.acknowledged += 1;
        self.view.in_flight -= 1;
        self.view.refused += u64::from(refused);
        if let Some(wrong) = wrong {
            self.view.wrong_answers += 1;
            self.blame(wrong);
        }
        self.view.longest_gap_ms = self.view.longest_gap_ms.max(millis(now.since(self.last_answer)));
        self.view.slowest_ms = self.view.slowest_ms.max(millis(now.since(since)));
        self.last_answer = now;
        let second = now.since_start().as_secs();
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
        while self.seconds.front().is_some_and(|(first, _)| first + u64::from(RATE_SECONDS) < second) {
            self.seconds.pop_front();
        }
    }

    /// A worker stopped before its operation was answered.
    pub(super) fn abandoned(&mut self) {
        self.view.in_flight -= 1;
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self, now: Monotonic) {
        self.paused = false;
        self.last_answer = now;
    }

    pub(super) fn audited(&mut self, lost: u64, applied_twice: u64, sums_exact: bool) {
        self.view.lost = lost;
        self.view.applied_twice = applied_twice;
        self.view.sums_exact = sums_exact;
    }

    pub(super) fn blame(&mut self, reason: &str) {
        self.view.last_error = Some(reason.chars().take(ERROR_CHARS_MAX).collect());
    }

    pub(super) fn view(&self, now: Monotonic) -> LoadView {
        let mut view = self.view.clone();
        if !self.paused {
            view.longest_gap_ms = view.longest_gap_ms.max(millis(now.since(self.last_answer)));
        }
        let second = now.since_start().as_secs();
        let whole = |at: u64| at < second && at + u64::from(RATE_SECONDS) >= second;
        let answers: u64 = self.seconds.iter().filter(|(at, _)| whole(*at)).map(|(_, count)| count).sum();
        view.ops_per_second = f64::from(u32::try_from(answers).unwrap_or(u32::MAX)) / f64::from(RATE_SECONDS);
        view
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! Whether and when a supervisor starts a process again: no clock, no process, only the rules.

use std::time::Duration;

use clap::ValueEnum;

use super::exit;

/// How long to wait before the first start after an end; doubled with each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest such wait.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A process that has lived this long did well: the next wait is the shortest again.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// When to start a process again that has ended by itself. One that was asked to end is never started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Restart {
    /// Never: the supervisor ends with it.
    Never,
    /// When a signal killed it, or its exit code is neither 0 nor one that would only come again (2 and 78).
    OnFailure,
    /// Whatever its exit code.
    Always,
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Its exit code; `None` if a signal killed it.
    pub(super) code: Option<i32>,
    /// Whether somebody had asked it to end.
    pub(super) asked: bool,
}

impl Restart {
    /// Whether to start it again.
    pub(super) fn again(self, end: End) -> bool {
        let settled = [exit::OK, exit::USAGE, exit::NODE_ID_IN_USE];
        let settled = end.code.is_some_and(|code| settled.iter().any(|settled| i32::from(*settled) == code));
        match self {
            _ if end.asked => false,
            Self::Never => false,
            Self::OnFailure => !settled,
            Self::Always => true,
        }
    }
}

/// Waits between starts, longer each time.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    last: Option<Duration>,
}

impl Pauses {
    /// How long to wait after a process that lived that long.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        let next = match self.last {
            Some(last) if lived < WELL_AFTER => (last * 2).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        self.last = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_only_come_again_or_was_asked_for_is_not_started_again() {
        use Restart::{Always, Never, OnFailure};
        for (code, by_policy) in [
            (None, [false, true, true]),
            (Some(1), [false, true, true]),
            (Some(101), [false, true, true]),
            (Some(0), [false, false, true]),
            (Some(2), [false, false, true]),
            (Some(78), [false, false, true]),
        ] {
            let again = [Never, OnFailure, Always].map(|policy| policy.again(End { code, asked: false }));
            assert_eq!(again, by_policy, "{code:?}");
            let asked = [Never, OnFailure, Always].map(|policy| policy.again(End { code, asked: true }));
            assert_eq!(asked, [false; 3], "{code:?}");
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_a_good_while() {
        let mut pauses = Pauses::default();
        let millis: Vec<_> = (0..8).map(|_| pauses.after(Duration::from_secs(59)).as_millis()).collect();
        assert_eq!(millis, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(pauses.after(WELL_AFTER), PAUSE_MIN);
        assert_eq!(pauses.after(Duration::ZERO), PAUSE_MIN * 2);
    }
}

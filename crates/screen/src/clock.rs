//! The one place where the screen reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the screen began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a screen is looked at in real time; this is its clock adapter")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// Milliseconds since 1970 by this machine's clock, for the age of what others have stamped.
#[expect(clippy::disallowed_methods, reason = "for people: how long ago something was, by two clocks")]
pub(crate) fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

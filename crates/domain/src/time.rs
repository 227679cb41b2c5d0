//! Time as the domain knows it: a local clock that only compares with itself, and a stamp for people.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A reading of this machine's boot-time clock (it counts suspend, and nobody can set it).
///
/// It means nothing outside the process that took it and never crosses the wire: events carry durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic {
    nanos: u64,
}

impl Monotonic {
    /// The clock's own beginning.
    pub const ZERO: Self = Self { nanos: 0 };

    /// A reading that no clock comes to.
    pub const MAX: Self = Self { nanos: u64::MAX };

    /// The reading `since` after the clock's beginning.
    pub fn from_start(since: Duration) -> Self {
        Self { nanos: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX) }
    }
    /// How long after the clock's beginning this is.
    pub fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }
    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self { nanos: self.nanos.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)) }
    }
}

impl Sub<Duration> for Monotonic {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self { nanos: self.nanos.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)) }
    }
}

/// Milliseconds since 1970 on some machine's wall clock: for people to read, never to decide with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime {
    /// Milliseconds since the Unix epoch.
    pub unix_millis: u64,
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.unix_millis / 1000, self.unix_millis % 1000)
    }
}

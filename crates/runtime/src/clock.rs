//! The one place that asks what time it is.
//!
//! Everything else is handed a [`Monotonic`]. The clock is the boot-time clock: it goes on through a suspend, and
//! nobody can set it. Wall-clock stamps are for people.

use std::time::Duration;

use aether_domain::{Monotonic, WallTime};

/// Reads this machine's clocks. A port, so that tests and the simulator bring their own.
pub trait Clock: Send + Sync + 'static {
    /// The boot-time clock.
    fn now(&self) -> Monotonic;
    /// The wall clock, for stamps that people read.
    fn wall(&self) -> WallTime;
}

/// `CLOCK_BOOTTIME` where there is one, and the system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Monotonic {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let id = rustix::time::ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let id = rustix::time::ClockId::Monotonic;
        let read = rustix::time::clock_gettime(id);
        let (seconds, nanos) = (u64::try_from(read.tv_sec).unwrap_or(0), u32::try_from(read.tv_nsec).unwrap_or(0));
        Monotonic::from_start(Duration::new(seconds, nanos))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock adapter")]
    fn wall(&self) -> WallTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        WallTime { unix_millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}

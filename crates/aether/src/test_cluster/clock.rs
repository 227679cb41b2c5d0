//! The clock of a node in virtual time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aether_domain::{Monotonic, WallTime};
use aether_runtime::clock::Clock;
use tokio::time::Instant;

/// What every boot-time clock shows when the cluster begins.
const BEGINNING: Duration = Duration::from_secs(1_000);

/// What every wall clock shows when the cluster begins: some day in 2026.
const BEGINNING_UNIX_MILLIS: u64 = 1_780_000_000_000;

/// Follows tokio's paused time, and stands still while its node is paused.
pub(super) struct VirtualClock {
    began: Instant,
    /// What it showed when it was stopped.
    stopped: Mutex<Option<Duration>>,
}

impl VirtualClock {
    pub(super) fn beginning(began: Instant) -> Arc<Self> {
        Arc::new(Self { began, stopped: Mutex::new(None) })
    }

    /// Lets it stand still.
    pub(super) fn stop(&self) {
        let now = self.passed();
        *self.lock() = Some(now);
    }

    /// Lets it go on, at what it would show had it never stopped.
    pub(super) fn go_on(&self) {
        *self.lock() = None;
    }

    fn passed(&self) -> Duration {
        self.lock().unwrap_or_else(|| self.began.elapsed())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Monotonic {
        Monotonic::from_start(BEGINNING + self.passed())
    }

    fn wall(&self) -> WallTime {
        let passed = u64::try_from(self.passed().as_millis()).unwrap_or(u64::MAX);
        WallTime { unix_millis: BEGINNING_UNIX_MILLIS.saturating_add(passed) }
    }
}

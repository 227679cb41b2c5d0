//! What time it is for a shard: the boot-time clock, the serve lease it is held against, and a stamp for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::{Monotonic, WallTime};

use super::input::Now;
use crate::clock::Clock;
use crate::view::ServeLease;

/// How old the recent reading of the clock may be while commands come in: 1 ms.
const RECENT_NANOS: u64 = 1_000_000;

/// A node's clocks and its serve lease.
pub(super) struct Clocks {
    clock: Arc<dyn Clock>,
    lease: Arc<ServeLease>,
    /// A recent reading of the clock, in nanoseconds: taken at least once a tick.
    recent: AtomicU64,
    /// How far the wall clock is ahead of the other one, in milliseconds: read once a tick, for what only people read.
    wall_ahead: AtomicU64,
}

impl Clocks {
    pub(super) fn new(clock: Arc<dyn Clock>, lease: Arc<ServeLease>) -> Self {
        let clocks = Self { clock, lease, recent: AtomicU64::new(0), wall_ahead: AtomicU64::new(0) };
        clocks.read_wall();
        clocks
    }

    /// Sets the stamps for people by the wall clock.
    pub(super) fn read_wall(&self) {
        let (wall, at) = (self.clock.wall().unix_millis, millis(self.now().at));
        self.wall_ahead.store(wall.wrapping_sub(at), Ordering::Relaxed);
    }

    /// The present.
    pub(super) fn now(&self) -> Now {
        let at = self.clock.now();
        let nanos = at.since_start().as_nanos() as u64;
        // Written rarely, so that threads do not fight over it.
        if nanos > self.recent.load(Ordering::Relaxed) + RECENT_NANOS {
            self.recent.store(nanos, Ordering::Relaxed);
        }
        self.at(at)
    }

    /// The recent past, without the price of reading a clock.
    pub(super) fn recently(&self) -> Now {
        self.at(Monotonic::from_start(Duration::from_nanos(self.recent.load(Ordering::Relaxed))))
    }

    fn at(&self, at: Monotonic) -> Now {
        let unix_millis = millis(at).wrapping_add(self.wall_ahead.load(Ordering::Relaxed));
        Now { at, wall: WallTime { unix_millis }, serving: self.lease.holds(at) }
    }
}

fn millis(at: Monotonic) -> u64 {
    let since = at.since_start();
    since.as_secs() * 1000 + u64::from(since.subsec_millis())
}

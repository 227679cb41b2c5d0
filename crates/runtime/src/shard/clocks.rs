//! What time it is for a shard: the boot-time clock, the serve lease it is held against, and a stamp for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::{Monotonic, WallTime};

use super::bounds::TICK_EVERY;
use super::input::Now;
use crate::clock::Clock;
use crate::view::ServeLease;

/// How old the recent reading of the clock may be while commands come in: 1 ms.
const RECENT_NANOS: u64 = 1_000_000;

/// This long before the lease ends the clock is read for every command: one that was run by an old reading and is refused
/// by a present one costs its actor its place in memory.
const LEASE_ENDS_SOON: Duration = Duration::from_millis(2 * TICK_EVERY.as_millis() as u64);

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

    /// The recent past, without the price of reading a clock; the present once the lease ends soon.
    pub(super) fn recently(&self) -> Now {
        let recent = Monotonic::from_start(Duration::from_nanos(self.recent.load(Ordering::Relaxed)));
        if self.lease.holds(recent + LEASE_ENDS_SOON) { self.at(recent) } else { self.now() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Set(AtomicU64);

    impl Clock for Set {
        fn now(&self) -> Monotonic {
            Monotonic::from_start(Duration::from_millis(self.0.load(Ordering::Relaxed)))
        }
        fn wall(&self) -> WallTime {
            WallTime { unix_millis: 0 }
        }
    }

    #[test]
    fn an_old_reading_never_says_that_a_lease_holds_which_is_over() {
        let (clock, lease) = (Arc::new(Set::default()), Arc::new(ServeLease::default()));
        lease.extend(Monotonic::from_start(Duration::from_secs(3)));
        let clocks = Clocks::new(Arc::clone(&clock) as Arc<dyn Clock>, lease);
        // Nobody has read the clock since the last tick.
        for (read, now, serving) in [(2_000, 2_090, true), (2_900, 2_990, true), (2_990, 3_080, false)] {
            clock.0.store(read, Ordering::Relaxed);
            clocks.read_wall();
            clock.0.store(now, Ordering::Relaxed);
            assert_eq!(clocks.recently().serving, serving, "{read} ms, {now} ms");
        }
    }
}

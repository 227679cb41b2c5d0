//! A node's own clock: it began at some other moment and goes a little fast or slow.

use std::time::Duration;

use aether_domain::Monotonic;

const MILLION: u128 = 1_000_000;

/// Turns simulated time into what one node's clock shows, and back.
#[derive(Clone, Copy, Debug)]
pub struct NodeClock {
    /// What it shows at the simulation's beginning.
    pub offset: Duration,
    /// How many of its own microseconds pass in a simulated second.
    pub rate_ppm: u32,
    /// How far its wall clock is off, in milliseconds: nothing may depend on it.
    pub wall_millis_ahead: u64,
}

impl NodeClock {
    /// What the node's clock shows at `now`.
    pub fn shows(&self, now: Monotonic) -> Monotonic {
        let passed = now.since_start().as_nanos() * u128::from(self.rate_ppm) / MILLION;
        Monotonic::from_start(self.offset + nanos(passed))
    }

    /// Sets its wall clock forward or back by one hour.
    pub(crate) fn jump_wall(&mut self, forward: bool) {
        const HOUR: u64 = 3_600_000;
        let before = self.wall_millis_ahead;
        self.wall_millis_ahead = if forward { before + HOUR } else { before.saturating_sub(HOUR) };
    }

    /// The first moment at which the node's clock shows `local` or later.
    pub fn when(&self, local: Monotonic) -> Monotonic {
        let passed = local.since_start().saturating_sub(self.offset).as_nanos();
        Monotonic::from_start(nanos((passed * MILLION).div_ceil(u128::from(self.rate_ppm))))
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_asked_for_has_come_when_the_clock_shows_it_and_not_before() {
        for rate_ppm in [950_000, 999_999, 1_000_000, 1_050_000] {
            let clock = NodeClock { offset: Duration::from_secs(77), rate_ppm, wall_millis_ahead: 0 };
            for millis in [1, 333, 86_400_000] {
                let local = Monotonic::from_start(clock.offset + Duration::from_millis(millis));
                let at = clock.when(local);
                assert!(clock.shows(at) >= local);
                assert!(clock.shows(at - Duration::from_nanos(3)) < local);
            }
        }
    }
}

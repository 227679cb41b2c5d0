//! How long things took, as counts in a few fixed buckets: what a dashboard makes quantiles of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of all buckets but the last, which has none: 1, 2.5 and 5 of each power of ten from 1 µs to 10 s, and
/// half a minute and a minute.
pub const BOUNDS: [Duration; 24] = [
    Duration::from_micros(1),
    Duration::from_nanos(2_500),
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations by bucket since somebody began to count. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    counts: [u64; BUCKETS],
    nanos: u64,
}

impl Spread {
    /// One more.
    pub(crate) fn note(&mut self, took: Duration) {
        self.counts[bucket(took)] += 1;
        self.nanos = self.nanos.saturating_add(nanos(took));
    }

    /// Each bucket's upper bound, nothing for the last one, and how many took longer than the bound before and no longer
    /// than this one.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(self.counts)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took, all together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }
}

/// A [`Spread`] that anybody may add to, without a lock.
#[derive(Debug, Default)]
pub(crate) struct SharedSpread {
    counts: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl SharedSpread {
    /// One more.
    pub(crate) fn note(&self, took: Duration) {
        self.counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    /// What was noted so far; the sum may be a few ahead of the counts, or behind.
    pub(crate) fn read(&self) -> Spread {
        let counts = std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed));
        Spread { counts, nanos: self.nanos.load(Ordering::Relaxed) }
    }
}

fn bucket(took: Duration) -> usize {
    BOUNDS.partition_point(|bound| *bound < took)
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_rise() {
        assert!(BOUNDS.is_sorted_by(|this, next| this < next));
    }

    #[test]
    fn what_took_exactly_as_long_as_a_bound_is_below_it() {
        let longest = Duration::from_secs(3_600);
        let (mut plain, shared) = (Spread::default(), SharedSpread::default());
        for took in [Duration::ZERO, BOUNDS[0], BOUNDS[0] + Duration::from_nanos(1), BOUNDS[23], longest] {
            plain.note(took);
            shared.note(took);
        }
        let held: Vec<_> = plain.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(held, [(Some(BOUNDS[0]), 2), (Some(BOUNDS[1]), 1), (Some(BOUNDS[23]), 1), (None, 1)]);
        assert_eq!((plain.count(), plain.sum()), (5, BOUNDS[0] * 2 + Duration::from_nanos(1) + BOUNDS[23] + longest));
        assert_eq!(shared.read(), plain);
    }
}

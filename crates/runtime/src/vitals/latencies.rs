//! How long something took, as a few counters anybody may add to without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds are 1 ms, 2 ms, 4 ms … and the last, 65,536 ms, holds everything above.
const BUCKETS: usize = 17;

/// Durations by powers of two.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    counts: [AtomicU64; BUCKETS],
}

impl Latencies {
    /// One more.
    pub(crate) fn note(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - millis.leading_zeros()) as usize;
        self.counts[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// What 99 of 100 took at most, rounded up to a power of two, since this was last asked; zero if there were none.
    pub(crate) fn take_p99(&self) -> Duration {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let mut above = all / 100;
        for (bucket, count) in counts.iter().enumerate().rev() {
            if *count > above {
                return Duration::from_millis(1 << bucket);
            }
            above -= count;
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_of_a_hundred_took_at_most_that() {
        for (took_millis, p99_millis) in [
            (vec![], 0),
            (vec![0], 1),
            (vec![3], 4),
            (vec![4], 8),
            (vec![1_000_000], 65_536),
            ([vec![1; 99], vec![900]].concat(), 2),
            ([vec![1; 98], vec![900; 2]].concat(), 1_024),
        ] {
            let latencies = Latencies::default();
            for millis in &took_millis {
                latencies.note(Duration::from_millis(*millis));
            }
            assert_eq!(latencies.take_p99(), Duration::from_millis(p99_millis), "{took_millis:?}");
            assert_eq!(latencies.take_p99(), Duration::ZERO, "what was asked for counts no more");
        }
    }
}

//! What each shard costs its node: work counted by the shards' host, smoothed over windows.
//!
//! A cost is a rate, in microseconds of work a second, so that it adds up and is the same measure on every node: the time
//! in which the shard was run, a little for every message and every record beside that, and one for every actor in memory (a
//! million of them as much as one busy core).

use std::time::Duration;

use aether_domain::Monotonic;
use aether_domain::records::MemberRecord;

/// What is looked at together.
const WINDOW: Duration = MemberRecord::SHARD_LOADS_EVERY;
/// What a message costs its node beside the time in which its shard is run: it comes over the network and is answered.
const MESSAGE: Duration = Duration::from_micros(10);
/// What a record costs beside that: it is encoded, sent and acknowledged.
const RECORD: Duration = Duration::from_micros(30);
/// A window counts a quarter, and everything before it the rest: what was is half forgotten after three windows.
const NEWEST_COUNTS_ONE_IN: u64 = 4;
/// Costs are kept in 256ths, so that small ones are not rounded away.
const FINER: u64 = 256;

/// What one shard has done since its host began, and has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// How long it was run.
    pub(crate) busy: Duration,
    pub(crate) messages: u64,
    pub(crate) records: u64,
    pub(crate) actors: u64,
}

impl Done {
    /// All it has done, in microseconds.
    fn micros(self) -> u64 {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let per = |count: u64, each: Duration| count.saturating_mul(micros(each));
        micros(self.busy).saturating_add(per(self.messages, MESSAGE)).saturating_add(per(self.records, RECORD))
    }
}

/// What each shard costs, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// When the window began.
    since: Option<Monotonic>,
    /// By shard: all it had done then, in microseconds.
    done: Vec<u64>,
    /// By shard: its smoothed cost, in 256ths.
    smooth: Vec<u64>,
}

impl Costs {
    /// What each shard costs, by shard, if a window is over; `work` is only asked then. The first reading begins the first.
    pub(crate) fn read(&mut self, now: Monotonic, work: impl FnOnce() -> Vec<Done>) -> Option<Vec<u32>> {
        let elapsed = self.since.map(|since| now.since(since));
        if elapsed.is_some_and(|elapsed| elapsed < WINDOW) {
            return None;
        }
        let work = work();
        let before = std::mem::replace(&mut self.done, work.iter().map(|work| work.micros()).collect());
        self.since = Some(now);
        let elapsed = elapsed?.as_micros();
        self.smooth.resize(work.len(), 0);
        let costs =
            work.iter().zip(&self.done).zip(before).zip(&mut self.smooth).map(|(((work, done), before), smooth)| {
                let worked = u128::from(done.saturating_sub(before)) * 1_000_000 / elapsed;
                let cost =
                    u64::try_from(worked).unwrap_or(u64::MAX).saturating_add(work.actors).min(u32::MAX.into()) * FINER;
                // What has come lately is not kept small by what was not there.
                *smooth = match *smooth {
                    0 => cost,
                    before => (before * (NEWEST_COUNTS_ONE_IN - 1) + cost) / NEWEST_COUNTS_ONE_IN,
                };
                u32::try_from(*smooth / FINER).unwrap_or(u32::MAX)
            });
        Some(costs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    /// The costs of one shard over windows, in each of which it does that.
    fn over(windows: &[Done]) -> Vec<u32> {
        let (mut costs, mut sum) = (Costs::default(), Done::default());
        assert_eq!(costs.read(at(0), || vec![sum]), None, "the first reading begins the first window");
        let mut read = |(nth, window): (usize, &Done)| {
            let Done { busy, messages, records, actors } = *window;
            let before = sum;
            sum = Done {
                busy: before.busy + busy,
                messages: before.messages + messages,
                records: before.records + records,
                actors,
            };
            let ends = (nth as u64 + 1) * 5_000;
            assert_eq!(costs.read(at(ends - 1), || panic!("nobody asks")), None, "the window is not over");
            costs.read(at(ends), || vec![sum]).expect("a window is over")[0]
        };
        windows.iter().enumerate().map(&mut read).collect()
    }

    #[test]
    fn a_cost_is_the_work_of_a_second_in_microseconds_and_one_for_each_actor() {
        let (none, second) = (Done::default(), Duration::from_secs(1));
        for (window, cost) in [
            (none, 0),
            (Done { busy: second, ..none }, 200_000),
            (Done { messages: 500, ..none }, 1_000),
            (Done { records: 500, ..none }, 3_000),
            (Done { actors: 700, ..none }, 700),
            (Done { busy: second, messages: 500, records: 500, actors: 700 }, 204_700),
            (Done { busy: second * 1_000_000, ..none }, u32::MAX),
            (Done { messages: u64::MAX, records: u64::MAX, actors: u64::MAX, ..none }, u32::MAX),
        ] {
            assert_eq!(over(&[window]), [cost], "{window:?}");
        }
    }

    #[test]
    fn a_moment_of_work_counts_a_quarter_and_is_forgotten_in_time() {
        let (calm, busy) = (Done { messages: 5_000, ..Done::default() }, Done { messages: 45_000, ..Done::default() });
        let costs = over(&[calm, busy, calm, calm, calm, calm]);
        assert_eq!(costs, [10_000, 30_000, 25_000, 21_250, 18_437, 16_328]);
    }

    #[test]
    fn a_shard_that_has_just_come_is_not_kept_small_by_what_it_was_not() {
        let (none, busy) = (Done::default(), Done { messages: 45_000, ..Done::default() });
        assert_eq!(over(&[none, none, busy, busy]), [0, 0, 90_000, 90_000]);
    }
}

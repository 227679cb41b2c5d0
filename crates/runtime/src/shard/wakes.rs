//! The host's part in timers: writes wakes, reads those of shards it has taken, and sees that shards look in time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use aether_domain::ports::{BoxError, Expected, WakeStore, WriteError};
use aether_domain::records::Wake;
use aether_domain::{ActorAddress, Revision, ShardCount, ShardId, Slot, WallTime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::bounds::{
    WAKE_TRIES_MAX, WAKES_AGAIN_AFTER, WAKES_AHEAD, WAKES_EVERY, WAKES_GATHER, WAKES_READ_MAX, back_off,
};
use super::cell::lock;
use super::inner::Inner;
use super::input::{Input, Keep};
use crate::view::Route;

/// Looked for again after this long at the latest: the wall clock may be set.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What a host knows about wakes.
pub(super) struct Wakes {
    pub(super) store: Arc<dyn WakeStore>,
    /// The shards whose wakes have to be read.
    unread: Mutex<BTreeSet<ShardId>>,
    taken: Notify,
    /// When the host means to look next, in milliseconds of the wall clock.
    looks_at: AtomicU64,
    sooner: Notify,
}

impl Wakes {
    pub(super) fn new(store: Arc<dyn WakeStore>) -> Self {
        let (unread, taken, sooner) = (Mutex::default(), Notify::new(), Notify::new());
        Self { store, unread, taken, looks_at: AtomicU64::new(u64::MAX), sooner }
    }

    /// The shard is this node's from now on.
    pub(super) fn taken(&self, shard: ShardId) {
        lock(&self.unread).insert(shard);
        self.taken.notify_one();
    }

    /// A shard has to look at an actor then.
    pub(super) fn look_by(&self, look: u64) {
        if look < self.looks_at.load(Ordering::SeqCst) {
            self.sooner.notify_one();
        }
    }
}

/// Writes a wake.
pub(super) async fn keep(store: &dyn WakeStore, actor: &ActorAddress, keep: Keep) -> Result<Wake, BoxError> {
    let set = async |at, revision| {
        let expected = if revision == Revision::ZERO { Expected::Absent } else { Expected::At(revision) };
        let written = store.set(actor, at, expected).await;
        written.map(|revision| Wake { actor: actor.clone(), at, revision })
    };
    let (latest, mut known) = match keep {
        Keep::Exactly { at, expected } => return Ok(set(at, expected).await?),
        Keep::NoLaterThan { at, known } => (at, known),
    };
    for _ in 0..WAKE_TRIES_MAX {
        let (revision, stored) = match known {
            Some(known) => known,
            None => store.read(actor).await?.map_or((Revision::ZERO, None), |wake| (wake.revision, wake.at)),
        };
        let at = stored.map_or(latest, |stored| stored.min(latest));
        match set(Some(at), revision).await {
            Err(WriteError::Conflict { .. }) => known = None,
            // Unknown ends too: whoever asked asks again, and what may have been written is read then.
            written => return Ok(written?),
        }
    }
    Err("somebody else writes this wake all the time".into())
}

/// Tells shards to look when their time has come.
pub(super) async fn look(wakes: Arc<Wakes>, inner: Weak<Inner>, closing: CancellationToken) {
    loop {
        let wait = {
            let Some(inner) = inner.upgrade() else { return };
            // Whoever puts a shard's look earlier from here on wakes this task.
            wakes.looks_at.store(u64::MAX, Ordering::SeqCst);
            let now = inner.clocks.now().wall.unix_millis;
            let mut next = u64::MAX;
            for shard in inner.shards.all() {
                let look = inner.cells[shard.index()].look.load(Ordering::SeqCst);
                if look <= now {
                    // Whoever runs the shard next says anew when it has to look; that is after this input at the latest.
                    inner.cells[shard.index()].look.store(u64::MAX, Ordering::SeqCst);
                    inner.offer(shard, Input::Look);
                    next = next.min(now + 1);
                } else {
                    next = next.min(look);
                }
            }
            wakes.looks_at.store(next, Ordering::SeqCst);
            Duration::from_millis(next - now).min(SLEEP_MAX)
        };
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = wakes.sooner.notified() => {}
            () = sleep(wait) => {}
        }
    }
}

/// The moment after that wait.
#[expect(clippy::disallowed_methods, reason = "when something is read again decides nothing")]
fn from_now(wait: Duration) -> Instant {
    Instant::now() + wait
}

/// Reads the wakes of shards that were taken: soon, once more soon after, and now and then those of all that it has.
pub(super) async fn read(wakes: Arc<Wakes>, inner: Weak<Inner>, closing: CancellationToken) {
    let mut all_again = from_now(WAKES_EVERY);
    let mut failed = 0;
    loop {
        let was_taken = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = wakes.taken.notified() => true,
            () = sleep_until(all_again) => false,
        };
        if was_taken {
            sleep(WAKES_GATHER).await;
        }
        let Some(host) = inner.upgrade() else { return };
        let mut shards = std::mem::take(&mut *lock(&wakes.unread));
        if was_taken {
            all_again = all_again.min(from_now(WAKES_AGAIN_AFTER));
        } else {
            all_again = from_now(WAKES_EVERY);
            let view = lock(&host.view).clone();
            let mine =
                |shard: &ShardId| view.as_ref().is_some_and(|view| matches!(view.route(*shard), Route::Mine { .. }));
            shards.extend(host.shards.all().filter(mine));
        }
        if shards.is_empty() {
            continue;
        }
        let until = later(host.clocks.now().wall, WAKES_AHEAD);
        let (slots, count) = (slots(&shards, host.shards), host.shards);
        drop(host);
        let found = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            found = wakes.store.pending(&slots, until, WAKES_READ_MAX) => found,
        };
        match found {
            Ok(found) => {
                failed = 0;
                let Some(host) = inner.upgrade() else { return };
                let full = found.len() >= WAKES_READ_MAX;
                if full {
                    // What did not fit is read when some of these are done with.
                    all_again = all_again.min(from_now(WAKES_AGAIN_AFTER));
                }
                let until = found.last().and_then(|last| last.at).filter(|_| full).unwrap_or(until);
                let mut of: BTreeMap<ShardId, Vec<Wake>> =
                    shards.into_iter().map(|shard| (shard, Vec::new())).collect();
                for wake in found {
                    if let Some(wakes) = of.get_mut(&wake.actor.slot.shard(count)) {
                        wakes.push(wake);
                    }
                }
                for (shard, wakes) in of {
                    host.offer(shard, Input::Wakes { wakes, until });
                }
            }
            Err(error) => {
                failed += 1;
                tracing::warn!(%error, shards = shards.len(), "wakes not read: reminders may be late");
                lock(&wakes.unread).append(&mut shards);
                tokio::select! {
                    biased;
                    () = closing.cancelled() => return,
                    () = sleep(back_off(failed)) => wakes.taken.notify_one(),
                }
            }
        }
    }
}

fn later(than: WallTime, by: Duration) -> WallTime {
    WallTime { unix_millis: than.unix_millis.saturating_add(by.as_millis() as u64) }
}

/// The slots of these shards, as few ranges as possible.
fn slots(shards: &BTreeSet<ShardId>, count: ShardCount) -> Vec<RangeInclusive<Slot>> {
    let bits = 16 - count.log2();
    let mut ranges: Vec<RangeInclusive<Slot>> = Vec::new();
    for shard in shards {
        let first = u32::from(shard.0) << bits;
        let (first, last) = (Slot(first as u16), Slot((first + (1 << bits) - 1) as u16));
        match ranges.last_mut() {
            Some(range) if u32::from(range.end().0) + 1 == u32::from(first.0) => *range = *range.start()..=last,
            _ => ranges.push(first..=last),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_shards_are_one_range_of_slots() {
        let check = |count: u32, shards: &[u16]| {
            let shards = shards.iter().map(|shard| ShardId(*shard)).collect();
            let ranges = slots(&shards, ShardCount::new(count).expect("a power of two"));
            ranges.iter().map(|range| (range.start().0, range.end().0)).collect::<Vec<_>>()
        };
        assert_eq!(check(1024, &[0, 1, 5]), [(0, 127), (320, 383)]);
        assert_eq!(check(4, &[0, 1, 2, 3]), [(0, 65_535)]);
        assert_eq!(check(1, &[0]), [(0, 65_535)]);
        assert_eq!(check(65_536, &[7, 9]), [(7, 7), (9, 9)]);
    }
}

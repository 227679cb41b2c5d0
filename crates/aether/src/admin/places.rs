//! Who may be connected: so many at once. Whoever has not said yet what it wants makes room for those who come, so that no
//! number of silent clients keeps a probe out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// The most connections at once.
pub const CONNECTIONS_MAX: usize = 256;

/// With fewer places free than this, no connection is kept open for a further request.
const SCARCE_BELOW: usize = CONNECTIONS_MAX / 4;

/// Nobody who came so short a time ago is called silent: between connecting and asking a client may have to wait for its turn.
const SILENT_FROM: Duration = Duration::from_millis(100);

/// The one that was silent longest may be about to speak after all; then after so long another one makes room.
const ANOTHER_AFTER: Duration = Duration::from_millis(20);

/// The places there are.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    silent: Arc<Mutex<Silent>>,
}

/// Those who have a place and have not said what for, in the order in which they came.
#[derive(Default)]
struct Silent {
    came: u64,
    waiting: BTreeMap<u64, (Instant, Arc<Call>)>,
}

/// How a connection hears that its place is needed.
#[derive(Default)]
struct Call {
    ended: AtomicBool,
    waker: AtomicWaker,
}

impl Places {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(CONNECTIONS_MAX)), silent: Arc::default() }
    }

    /// A place; if none is free, that of whoever has been silent longest and for [`SILENT_FROM`], or else the next that is given
    /// back.
    pub(super) async fn take(&self) -> Place {
        let permit = loop {
            let free = Arc::clone(&self.free);
            if let Ok(permit) = free.clone().try_acquire_owned() {
                break permit;
            }
            let again = self.end_a_silent_one();
            if let Ok(permit) = timeout(again, free.acquire_owned()).await {
                break permit.expect("nobody closes it");
            }
        };
        #[expect(clippy::disallowed_methods, reason = "patience towards a connection, which no rule rests on")]
        let came = Instant::now();
        let call = Arc::<Call>::default();
        let mut silent = lock(&self.silent);
        silent.came += 1;
        let number = silent.came;
        silent.waiting.insert(number, (came, Arc::clone(&call)));
        drop(silent);
        Place { number, call, silent: Arc::clone(&self.silent), _permit: permit }
    }

    /// Ends whoever has been silent longest, if that is long enough; answers when to look again.
    fn end_a_silent_one(&self) -> Duration {
        let mut silent = lock(&self.silent);
        let Some(longest) = silent.waiting.first_entry() else { return ANOTHER_AFTER };
        let left = SILENT_FROM.saturating_sub(longest.get().0.elapsed());
        if left.is_zero() {
            let (_, call) = longest.remove();
            call.ended.store(true, Ordering::Release);
            call.waker.wake();
        }
        left.max(ANOTHER_AFTER)
    }

    /// Whether so few are free that nobody should keep one for later.
    pub(super) fn are_scarce(&self) -> bool {
        self.free.available_permits() < SCARCE_BELOW
    }
}

/// One connection's place, until it is dropped.
pub(super) struct Place {
    number: u64,
    call: Arc<Call>,
    silent: Arc<Mutex<Silent>>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// It has said what it wants: nobody takes its place any more.
    pub(super) fn has_spoken(&self) {
        lock(&self.silent).waiting.remove(&self.number);
    }

    /// Whether its place is needed; if not, `context` is woken when it is.
    pub(super) fn is_needed(&self, context: &Context<'_>) -> bool {
        self.call.waker.register(context.waker());
        self.call.ended.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.has_spoken();
    }
}

fn lock(silent: &Mutex<Silent>) -> MutexGuard<'_, Silent> {
    // Nothing is left half done under it.
    silent.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::FutureExt as _;

    use super::*;

    fn is_needed(place: &Place) -> bool {
        place.is_needed(&Context::from_waker(Waker::noop()))
    }

    async fn full() -> (Places, Vec<Place>) {
        let places = Places::new();
        let mut taken = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            taken.push(places.take().await);
        }
        (places, taken)
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_silent_longest_makes_room_and_who_has_spoken_stays() {
        let (places, mut taken) = full().await;
        assert!(places.are_scarce() && !taken.iter().any(is_needed), "nobody waits");
        taken[0].has_spoken();
        let mut next = Box::pin(places.take());
        assert!(next.as_mut().now_or_never().is_none(), "all are taken");
        assert!(!taken.iter().any(is_needed), "all have only just come");
        let early = timeout(SILENT_FROM / 2, next.as_mut()).await.is_ok();
        assert!(!early && !taken.iter().any(is_needed), "and may be about to speak");
        let late = timeout(SILENT_FROM / 2 + ANOTHER_AFTER / 2, next.as_mut()).await.is_ok();
        assert!(!late);
        let needed = |taken: &[Place]| taken.iter().position(is_needed);
        assert_eq!(needed(&taken), Some(1), "it came first of those who say nothing");
        // It does not go, so the next one has to.
        taken.remove(1);
        assert_eq!(needed(&taken), None);
        assert!(next.now_or_never().is_some(), "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn where_one_does_not_go_another_has_to_and_where_all_have_spoken_who_comes_waits() {
        let (places, mut taken) = full().await;
        let next = tokio::spawn({
            let places = places.clone();
            async move { places.take().await }
        });
        tokio::time::sleep(SILENT_FROM + ANOTHER_AFTER * 7 / 2).await;
        assert_eq!(taken.iter().filter(|place| is_needed(place)).count(), 4);
        taken.iter().for_each(Place::has_spoken);
        tokio::time::sleep(ANOTHER_AFTER * 7 / 2).await;
        assert!(!next.is_finished() && taken.iter().filter(|place| is_needed(place)).count() == 4);
        taken.pop();
        let last = next.await.expect("it has a place");
        drop((taken, last));
        assert!(lock(&places.silent).waiting.is_empty() && !places.are_scarce(), "the books are empty");
    }
}

//! Handlers that run too long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether_domain::ports::{AppendError, EventStore, ReadError};
use aether_domain::records::{CommitRecord, Position, StoredCommit};
use aether_domain::testing::life;
use aether_domain::{ActorAddress, Sequence, ShardId};
use aether_infra_memory::MemoryHub;
use aether_runtime::clock::{BootClock, Clock as _};
use aether_runtime::shard::{StuckHandler, Watchdog};
use async_trait::async_trait;
use tokio::sync::Notify;

use crate::bank::{Balance, Nap};
use crate::desk::Desk;

/// A desk whose handlers are watched, and those that it would have ended its process for.
fn watched(hub: &MemoryHub, slow_after: u64, end_after: u64) -> (Desk, Arc<Mutex<Vec<StuckHandler>>>) {
    let (desk, ended) = (Desk::open(hub, "a", 1), Arc::new(Mutex::new(Vec::new())));
    let end = {
        let ended = ended.clone();
        Arc::new(move |stuck: &StuckHandler| ended.lock().expect("no panic").push(stuck.clone()))
    };
    let (slow_after, end_after) = (Duration::from_millis(slow_after), Duration::from_millis(end_after));
    desk.host.watch_handlers(Watchdog { slow_after, end_after, end }).expect("a thread");
    (desk, ended)
}

// Each look of the watchdog counts a bounded time, so that on a machine under load it is later with what it sees.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_named_when_it_is_slow_and_many_quick_ones_are_not() {
    let (desk, ended) = watched(&MemoryHub::new(), 500, 60_000);
    let slow = || (desk.host.stats().slow_handlers, ended.lock().expect("no panic").len());
    for _ in 0..60 {
        assert_eq!(desk.ask(2, Nap(10)).await, Ok(()));
    }
    assert_eq!(slow(), (0, 0), "many quick ones are not a slow one");
    assert_eq!(desk.ask(2, Nap(3_000)).await, Ok(()));
    assert_eq!(slow(), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_does_not_end_is_the_end_of_its_process() {
    let (desk, ended) = watched(&MemoryHub::new(), 100, 500);
    assert_eq!(desk.ask(6, Nap(5_000)).await, Ok(()));
    assert_eq!(desk.ask(6, Balance).await, Ok(0));
    assert_eq!(desk.host.stats().slow_handlers, 1);
    let ended = ended.lock().expect("no panic");
    let StuckHandler { shard, what, running } = &ended[0];
    assert_eq!((*shard, what.as_str()), (ShardId(2), "account nap 6"));
    assert!((500..600).contains(&running.as_millis()), "{running:?}");
}

/// A store that answers later, and wakes somebody as the last thing it does: as a connection is told what it is to do next.
struct Waking {
    store: Arc<dyn EventStore>,
    wakes: Arc<Notify>,
}

#[async_trait]
impl EventStore for Waking {
    async fn append(
        &self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError> {
        self.store.append(actor, record, after).await
    }
    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.wakes.notify_one();
        self.store.read(actor, after).await
    }
    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.read(actor, after).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_of_an_actor_just_loaded_keeps_nobody_waiting_whom_the_store_has_woken() {
    let (hub, wakes) = (MemoryHub::new(), Arc::<Notify>::default());
    let desk = Desk::adjusted(&hub, life("a", 1), 1, |config| {
        config.events = Arc::new(Waking { store: config.events.clone(), wakes: wakes.clone() });
    });
    let woken = tokio::spawn(async move {
        wakes.notified().await;
        BootClock.now()
    });
    assert_eq!(desk.ask(2, Nap(6_000)).await, Ok(()));
    let ended = BootClock.now();
    let waited = ended.since(woken.await.expect("no panic"));
    assert!(waited >= Duration::from_secs(1), "it ran {waited:?} before the handler had ended");
}

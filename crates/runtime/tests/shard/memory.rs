//! What a node holds is bounded, whatever it is asked, and those within the bounds do not suffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aether_domain::ports::{Answer, AppendError, EventStore, ReadError, ReadMode};
use aether_domain::records::{CommitRecord, Position, StoredCommit};
use aether_domain::testing::life;
use aether_domain::{ActorAddress, Sequence, ShardCount, Slot};
use aether_infra_memory::MemoryHub;
use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle, KindRegistry, RegisterError, Settings};
use aether_runtime::clock::{BootClock, Clock};
use aether_runtime::message::{Outcome, Payload};
use aether_runtime::shard::{HostConfig, HostStats};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::bank::{Balance, Deposit};
use crate::desk::{DEADLINE, Desk, account, answered};

/// A store whose reads and appends go through gates, and that knows how many were under way at once.
struct Gated {
    inner: Arc<dyn EventStore>,
    reads: Semaphore,
    appends: Semaphore,
    reading: AtomicUsize,
    reading_most: AtomicUsize,
}

const OPEN: usize = 1 << 20;

impl Gated {
    fn over(inner: Arc<dyn EventStore>) -> Arc<Self> {
        let (reading, reading_most) = Default::default();
        let (reads, appends) = (Semaphore::new(OPEN), Semaphore::new(OPEN));
        Arc::new(Self { inner, reads, appends, reading, reading_most })
    }
}

/// Closes a gate until this is dropped.
async fn shut(gate: &Semaphore) -> tokio::sync::SemaphorePermit<'_> {
    gate.acquire_many(OPEN as u32).await.expect("it is never closed for good")
}

#[async_trait]
impl EventStore for Gated {
    async fn append(
        &self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError> {
        let _through = self.appends.acquire().await.expect("it is never closed for good");
        self.inner.append(actor, record, after).await
    }
    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        let reading = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
        self.reading_most.fetch_max(reading, Ordering::SeqCst);
        let through = self.reads.acquire().await.expect("it is never closed for good");
        let read = self.inner.read(actor, after).await;
        drop(through);
        self.reading.fetch_sub(1, Ordering::SeqCst);
        read
    }
    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.read(actor, after).await
    }
}

/// A desk over a gated store, with something else about its host.
fn gated(adjust: impl FnOnce(&mut HostConfig)) -> (Desk, Arc<Gated>) {
    let mut store = None;
    let desk = Desk::adjusted(&MemoryHub::new(), life("a", 1), 1, |config| {
        let gated = Gated::over(config.events.clone());
        config.events = gated.clone();
        store = Some(gated);
        adjust(config);
    });
    (desk, store.expect("it was made"))
}

fn deposit(amount: u64) -> Payload {
    Payload::Typed(Box::new(Deposit { amount }))
}

fn is_busy(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Other(Answer::Busy))
}

async fn until(what: &str, desk: &Desk, is_so: impl Fn(HostStats) -> bool) {
    let give_up = BootClock.now() + DEADLINE;
    while !is_so(desk.host.stats()) {
        assert!(BootClock.now() < give_up, "{what}: {:?}", desk.host.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn residents_stay_within_their_limit_and_whoever_left_comes_back_as_it_was() {
    const LIMIT: usize = 100;
    const IDS: u64 = 3_000;
    let hub = MemoryHub::new();
    let desk = Desk::adjusted(&hub, life("a", 1), 1, |config| config.limits.residents_max = LIMIT);
    for number in 0..IDS {
        assert_eq!(desk.ask(number, Deposit { amount: number }).await, Ok(number));
        let resident = desk.host.stats().resident_actors;
        assert!(resident <= LIMIT, "{resident} after {number}");
    }
    for number in (0..IDS).step_by(37) {
        assert_eq!(desk.ask(number, Balance).await, Ok(number));
    }
    let stats = desk.host.stats();
    assert!(stats.evictions >= IDS - LIMIT as u64, "{stats:?}");
    assert_eq!((stats.passivations, stats.busy_load, stats.waiting_bytes), (0, 0, 0));
}

#[tokio::test]
async fn whoever_leaves_to_make_room_is_saved_if_that_is_worth_it_and_comes_back_from_there() {
    const DEPOSITS: u64 = 70;
    let hub = MemoryHub::new();
    let desk = Desk::adjusted(&hub, life("a", 1), 1, |config| config.limits.residents_max = 10);
    for number in 0..10 {
        // A quarter of what makes a snapshot due is enough for one that leaves; half of these have that.
        for deposit in 1..=DEPOSITS * (number % 2) {
            assert_eq!(desk.ask(number, Deposit { amount: 1 }).await, Ok(deposit));
        }
        desk.ask(number, Deposit { amount: 0 }).await.expect("nothing refuses it");
    }
    for number in 100..150 {
        assert_eq!(desk.ask_as(number, Balance, ReadMode::Leased, None).await, Ok(0));
    }
    until("five are saved", &desk, |stats| stats.snapshots_saved == 5).await;
    for number in 0..10 {
        assert_eq!(desk.ask(number, Balance).await, Ok(DEPOSITS * (number % 2)));
    }
    let stats = desk.host.stats();
    assert_eq!((stats.snapshots_used, stats.snapshots_failed, stats.passivations), (5, 0, 0), "{stats:?}");
}

/// An actor that says what it holds.
#[derive(Default, Serialize, Deserialize)]
struct Bag {
    things: String,
}
#[derive(Serialize, Deserialize)]
struct Filled {
    bytes: usize,
}
impl Event for Filled {}
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;
#[derive(Clone, Serialize, Deserialize)]
struct Fill {
    bytes: usize,
}
impl Command for Fill {
    const NAME: &'static str = "fill";
    type Reply = ();
}
impl Actor for Bag {
    const KIND: &'static str = "bag";
    type Id = String;
    type Event = Filled;
    type Error = Never;
    type Commands = (Fill,);
    fn apply(&mut self, filled: &Filled) {
        self.things = "x".repeat(filled.bytes);
    }
    fn heap_bytes(&self) -> usize {
        self.things.capacity()
    }
    fn settings() -> Settings {
        Settings { residents_max: 50, resident_bytes_max: 100_000, ..Settings::default() }
    }
}
impl Handle<Fill> for Bag {
    fn handle(&self, fill: Fill, _: &Ctx<Self>) -> Decision<Self, Fill> {
        Ok(Self::emit(Filled { bytes: fill.bytes }))
    }
}

fn bag(number: u64) -> ActorAddress {
    let mut address = account(number);
    address.key.kind = Bag::KIND.parse().expect("a kind");
    address
}

#[tokio::test]
async fn a_kind_has_limits_of_its_own_by_count_and_by_what_its_actors_say_they_hold() {
    let hub = MemoryHub::new();
    let desk = Desk::adjusted(&hub, life("a", 1), 1, |config| {
        config.kinds.register::<Bag>().expect("the bag is well defined");
    });
    for number in 0..20 {
        assert_eq!(desk.ask(number, Balance).await, Ok(0));
    }
    let fill = |bytes| Payload::Typed(Box::new(Fill { bytes }));
    for (bags, bytes, most) in [(200, 10, 50), (200, 9_000, 11)] {
        for number in 0..bags {
            let outcome = answered(desk.send(desk.work(&bag(number), Fill::NAME, fill(bytes)))).await;
            assert!(matches!(outcome, Outcome::Replied(_)), "{outcome:?}");
        }
        until("there are no more bags than there may be", &desk, |stats| stats.resident_actors <= 20 + most).await;
        let resident_bytes = desk.host.stats().resident_bytes;
        assert!(resident_bytes <= 100_000 + 10_000 + 20 * 500, "{resident_bytes}");
    }
    let before = desk.host.stats().activations;
    for number in 0..20 {
        assert_eq!(desk.ask(number, Balance).await, Ok(0));
    }
    assert_eq!(desk.host.stats().activations, before, "the other kind's actors have not left for it");
}

#[test]
fn a_kind_without_room_for_one_actor_is_refused() {
    #[derive(Default, Serialize, Deserialize)]
    struct Homeless;
    impl Actor for Homeless {
        const KIND: &'static str = "homeless";
        type Id = u64;
        type Event = Filled;
        type Error = Never;
        type Commands = (Fill,);
        fn apply(&mut self, _: &Filled) {}
        fn settings() -> Settings {
            Settings { residents_max: 0, ..Settings::default() }
        }
    }
    impl Handle<Fill> for Homeless {
        fn handle(&self, _: Fill, _: &Ctx<Self>) -> Decision<Self, Fill> {
            Ok(Self::nothing())
        }
    }
    let refused = KindRegistry::new().register::<Homeless>();
    assert!(matches!(refused, Err(RegisterError::Setting { setting: "residents_max", .. })), "{refused:?}");
}

#[tokio::test]
async fn when_nobody_can_leave_one_more_actor_is_busy_and_nothing_under_way_is_lost() {
    const LIMIT: u64 = 10;
    let (desk, store) = gated(|config| config.limits.residents_max = LIMIT as usize);
    let closed = shut(&store.appends).await;
    let under_way: Vec<_> =
        (0..LIMIT).map(|number| desk.send(desk.work(&account(number), Deposit::NAME, deposit(5)))).collect();
    let refused = answered(desk.send(desk.work(&account(77), Deposit::NAME, deposit(5)))).await;
    assert!(is_busy(&refused), "{refused:?}");
    let stats = desk.host.stats();
    assert_eq!((stats.busy_load, stats.resident_actors as u64, stats.evictions), (1, LIMIT, 0));
    drop(closed);
    for answer in under_way {
        assert!(matches!(answered(answer).await, Outcome::Replied(_)));
    }
    assert_eq!(desk.ask(77, Deposit { amount: 6 }).await, Ok(6));
    for number in 0..LIMIT {
        assert_eq!(desk.ask(number, Balance).await, Ok(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_crowd_waits_to_be_loaded_whoever_is_in_memory_is_answered_at_once() {
    // An unoptimised build takes long for each; what is refused is refused all the same.
    const CROWD: u64 = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    let (desk, store) = gated(|config| config.shards = ShardCount::new(64).expect("a power of two"));
    let address = |number: u64| ActorAddress { slot: Slot(((number % 64) << 10) as u16), ..account(number) };
    let ask = |number: u64, command: &'static str, payload: Payload, mode| {
        let mut work = desk.work(&address(number), command, payload);
        (work.mode, work.deadline) = (mode, work.deadline + 6 * DEADLINE);
        desk.send(work)
    };
    let hot: Vec<u64> = (1_000_000..1_000_100).collect();
    for number in &hot {
        assert!(matches!(answered(ask(*number, "deposit", deposit(1), ReadMode::Strict)).await, Outcome::Replied(_)));
    }
    let closed = shut(&store.reads).await;
    let balance = || Payload::Typed(Box::new(Balance));
    let crowd: Vec<_> = (0..CROWD).map(|number| ask(number, "balance", balance(), ReadMode::Leased)).collect();
    until("as many wait as may", &desk, |stats| stats.loads_waiting == 16 * 1024).await;
    assert_eq!(store.reading.load(Ordering::SeqCst), 64);
    let busy = |stats: HostStats| stats.busy_load + stats.busy_shard;
    until("all others are refused", &desk, |stats| busy(stats) == CROWD - 64 - 16 * 1024).await;
    until("nothing is kept of them", &desk, |stats| stats.resident_actors == 100 + 64 + 16 * 1024).await;
    for number in &hot {
        let read = answered(ask(*number, "balance", balance(), ReadMode::Strict)).await;
        assert!(matches!(read, Outcome::Looked(_)), "whoever is in memory waits for no read");
        let written = answered(ask(*number, "deposit", deposit(1), ReadMode::Strict)).await;
        assert!(matches!(written, Outcome::Replied(_)), "appends do not wait for reads");
    }
    drop(closed);
    let mut loaded = 0;
    for answer in crowd {
        match answered(answer).await {
            Outcome::Looked(_) => loaded += 1,
            outcome => assert!(is_busy(&outcome), "{outcome:?}"),
        }
    }
    assert_eq!(loaded, 64 + 16 * 1024);
    assert_eq!(store.reading_most.load(Ordering::SeqCst), 64);
    assert_eq!(desk.host.stats().waiting_bytes, 0);
}

#[tokio::test]
async fn histories_that_nobody_waits_for_any_more_are_not_read() {
    let (desk, store) = gated(|config| config.loads_max = 4);
    let closed = shut(&store.reads).await;
    let mut waiting = Vec::new();
    for number in 0..100 {
        let mut work = desk.work(&account(number), Balance::NAME, Payload::Typed(Box::new(Balance)));
        work.deadline = BootClock.now() + Duration::from_millis(if number % 2 == 0 { 50 } else { 8_000 });
        waiting.push(desk.send(work));
    }
    let mut expired = Vec::new();
    for (number, answer) in waiting.into_iter().enumerate() {
        if number % 2 == 0 {
            assert!(matches!(answered(answer).await, Outcome::Other(Answer::Expired { maybe_applied: false })));
        } else {
            expired.push(answer);
        }
    }
    drop(closed);
    for answer in expired {
        assert!(matches!(answered(answer).await, Outcome::Looked(_)));
    }
    // The four that were under way, and the fifty that somebody waited for.
    let stats = desk.host.stats();
    assert!(stats.activations <= 54, "{stats:?}");
    until("nothing is kept of the others", &desk, |stats| stats.loads_waiting == 0 && stats.resident_actors <= 54)
        .await;
}

#[tokio::test]
async fn what_waits_on_a_node_is_bounded_in_bytes_over_all_its_actors() {
    const LIMIT: usize = 1024 * 1024;
    let (desk, store) = gated(|config| config.limits.waiting_bytes_max = LIMIT);
    for number in 0..100 {
        assert_eq!(desk.ask(number, Balance).await, Ok(0));
    }
    let closed = shut(&store.appends).await;
    let flood: Vec<_> =
        (0..30_000).map(|nth| desk.send(desk.work(&account(nth % 100), Deposit::NAME, deposit(1)))).collect();
    let stats = desk.host.stats();
    assert!(stats.waiting_bytes >= LIMIT && stats.waiting_bytes < LIMIT + 4096, "{stats:?}");
    assert!(stats.busy_node > 20_000, "{stats:?}");
    // Whoever need not wait is answered: a leased read of an actor with nothing under way.
    assert_eq!(desk.ask_as(777, Balance, ReadMode::Leased, None).await.map_err(|_| ()), Err(()), "a load has to wait");
    drop(closed);
    let mut taken = 0;
    for answer in flood {
        match answered(answer).await {
            Outcome::Replied(_) => taken += 1,
            outcome => assert!(is_busy(&outcome), "{outcome:?}"),
        }
    }
    let mut total = 0;
    for number in 0..100 {
        total += desk.ask(number, Balance).await.expect("it is answered");
    }
    assert_eq!(total, taken, "what was answered Busy has changed nothing, and the rest counts once");
    assert_eq!(desk.host.stats().waiting_bytes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooded_actor_answers_busy_and_delays_nobody_else() {
    let (desk, store) = gated(|_| ());
    for number in 0..8 {
        assert_eq!(desk.ask(number, Balance).await, Ok(0));
    }
    let closed = shut(&store.appends).await;
    // Ten times what its mailbox takes.
    let flood: Vec<_> = (0..10_240).map(|_| desk.send(desk.work(&account(0), Deposit::NAME, deposit(1)))).collect();
    // Whoever comes while the shard is run is left in its inbox for a moment.
    let refused = |stats: &HostStats| stats.busy_mailbox + stats.busy_shard;
    until("all others are told at once", &desk, |stats| refused(&stats) == 10_240 - 1024).await;
    let stats = desk.host.stats();
    assert!(stats.waiting_bytes <= 1024 * 1024, "{stats:?}");
    for number in 1..8 {
        let read = desk.work(&account(number), Balance::NAME, Payload::Typed(Box::new(Balance)));
        assert!(matches!(answered(desk.send(read)).await, Outcome::Looked(_)), "also in the same shard");
    }
    assert_eq!(desk.host.stats().commits, stats.commits, "nothing was stored meanwhile");
    drop(closed);
    let mut taken = 0;
    for answer in flood {
        taken += u64::from(matches!(answered(answer).await, Outcome::Replied(_)));
    }
    assert_eq!((taken, desk.ask(0, Balance).await), (1024, Ok(1024)));
    assert!(desk.host.stats().commits < 64, "they were stored many to a record");
}

//! What a caller may rely on, whatever becomes of stores, leases and owners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::ports::{Answer, ReadError, ReadMode, SaveError, SnapshotStore};
use aether_domain::records::ActorSnapshot;
use aether_domain::testing::life;
use aether_domain::{ActorAddress, ActorKind, Epoch, MessageId, Monotonic, Sequence, ShardId, WallTime};
use aether_infra_memory::{Loss, MemoryHub, Target};
use aether_runtime::actor::AskError;
use aether_runtime::clock::{BootClock, Clock};
use aether_runtime::message::{Outcome, Payload, Responder, Told};
use aether_runtime::view::Route;
use async_trait::async_trait;

use crate::bank::{AccountError, Balance, Dawdle, Deposit, Explode, GATE, Withdraw};
use crate::desk::{DEADLINE, Desk, account, answered, other, shards};

#[tokio::test]
async fn an_account_answers_from_its_history_wherever_it_is_loaded() {
    let hub = MemoryHub::new();
    let first = Desk::open(&hub, "a", 1);
    assert_eq!(first.ask(7, Balance).await, Ok(0));
    assert_eq!(first.ask(7, Deposit { amount: 70 }).await, Ok(70));
    assert_eq!(first.ask(7, Withdraw { amount: 20 }).await, Ok(50));
    let refused = AccountError::Insufficient { balance: 50 };
    assert_eq!(first.ask(7, Withdraw { amount: 51 }).await, Err(AskError::Rejected(refused)));

    let second = Desk::open(&hub, "b", 2);
    for mode in [ReadMode::Strict, ReadMode::Leased, ReadMode::Log] {
        assert_eq!(second.ask_as(7, Balance, mode, None).await, Ok(50), "{mode:?}");
    }
    assert_eq!(first.host.stats().resident_actors, 1);
}

#[tokio::test]
async fn a_message_id_of_the_application_counts_once_across_owners() {
    let hub = MemoryHub::new();
    let first = Desk::open(&hub, "a", 1);
    let again = Some(MessageId(99));
    for _ in 0..3 {
        assert_eq!(first.ask_as(1, Deposit { amount: 5 }, ReadMode::Strict, again).await, Ok(5));
    }
    let second = Desk::open(&hub, "b", 2);
    assert_eq!(second.ask_as(1, Deposit { amount: 5 }, ReadMode::Strict, again).await, Ok(5));
    assert_eq!(second.ask(1, Balance).await, Ok(5));
}

#[tokio::test]
async fn a_message_id_used_for_another_command_does_not_hide_that_the_first_is_stored() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    let again = Some(MessageId(99));
    assert_eq!(desk.ask_as(1, Deposit { amount: 5 }, ReadMode::Strict, again).await, Ok(5));
    let other = desk.ask_as(1, Explode, ReadMode::Strict, again).await;
    assert!(matches!(&other, Err(AskError::Invalid { reason, maybe_applied: true }) if reason.contains("history")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deposits_from_many_tasks_add_up() {
    const TASKS: u64 = 32;
    const DEPOSITS: u64 = 50;
    let hub = MemoryHub::new();
    let desk = Arc::new(Desk::open(&hub, "a", 1));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let desk = desk.clone();
        tasks.spawn(async move {
            for nth in 0..DEPOSITS {
                let account = if nth % 2 == 0 { 4 } else { 100 + task };
                desk.ask(account, Deposit { amount: 1 }).await.expect("a deposit is never refused");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no task fails");
    }
    assert_eq!(desk.ask(4, Balance).await, Ok(TASKS * DEPOSITS / 2));
    for task in 0..TASKS {
        assert_eq!(desk.ask(100 + task, Balance).await, Ok(DEPOSITS / 2));
    }
    let stats = desk.host.stats();
    assert_eq!(stats.resident_actors as u64, TASKS + 1);
    assert_eq!(stats.commands, TASKS * DEPOSITS + TASKS + 1);
    assert!(stats.commits <= TASKS * DEPOSITS, "{stats:?}");
    assert_eq!((stats.conflicts, stats.poisoned, stats.quarantined), (0, 0, 0));
}

#[tokio::test]
async fn an_actor_that_moves_is_loaded_from_what_its_last_owner_has_saved() {
    let hub = MemoryHub::new();
    let a = Desk::open(&hub, "a", 1);
    for deposit in 1..=300 {
        assert_eq!(a.ask(1, Deposit { amount: 1 }).await, Ok(deposit));
    }
    let snapshots = || hub.stores().snapshots(&account(1)).map(|kept| kept.version.0).collect::<Vec<_>>();
    saves(&a, 1, 0).await;
    assert_eq!(snapshots(), [256]);
    // 44 events more are not worth one more; 64 are.
    for deposit in 301..=320 {
        assert_eq!(a.ask(1, Deposit { amount: 1 }).await, Ok(deposit));
    }
    a.view(2, |_| Route::Leaving { epoch: Epoch(1), drain_epoch: Epoch(2), to: life("b", 1) });
    saves(&a, 2, 0).await;
    assert_eq!(snapshots(), [320, 256]);
    let b = Desk::open(&hub, "b", 3);
    assert_eq!(b.ask(1, Deposit { amount: 1 }).await, Ok(321));
    assert_eq!((b.host.stats().snapshots_used, b.host.stats().activations), (1, 1));
}

/// A store of snapshots that does not work, or never answers when something is to be saved.
struct Broken {
    hangs: bool,
}

#[async_trait]
impl SnapshotStore for Broken {
    async fn save(&self, _: &ActorAddress, _: &ActorSnapshot) -> Result<(), SaveError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(SaveError::Unavailable { cause: "it is broken".into() })
    }
    async fn load(&self, _: &ActorAddress, _: Sequence) -> Result<Option<ActorSnapshot>, ReadError> {
        Err(ReadError::Unavailable { cause: "it is broken".into() })
    }
}

#[tokio::test]
async fn snapshots_that_cannot_be_saved_or_read_hold_nobody_up_and_are_counted() {
    for hangs in [false, true] {
        let hub = MemoryHub::new();
        let desk = Desk::adjusted(&hub, life("a", 1), 1, |config| config.snapshots = Arc::new(Broken { hangs }));
        for deposit in 1..=600 {
            assert_eq!(desk.ask(1, Deposit { amount: 1 }).await, Ok(deposit));
        }
        saves(&desk, 0, if hangs { 0 } else { 2 }).await;
        let next = Desk::adjusted(&hub, life("b", 1), 2, |config| config.snapshots = Arc::new(Broken { hangs }));
        assert_eq!(next.ask(1, Balance).await, Ok(600));
        assert_eq!((next.host.stats().activations, next.host.stats().snapshots_used), (1, 0));
    }
}

/// Waits until so many snapshots were saved, and so many not.
async fn saves(desk: &Desk, saved: u64, failed: u64) {
    let counted = || {
        let stats = desk.host.stats();
        (stats.snapshots_saved, stats.snapshots_failed) == (saved, failed)
    };
    let waited = tokio::time::timeout(DEADLINE, async {
        while !counted() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{:?}", desk.host.stats()));
}

#[test]
fn a_slow_handler_keeps_nobody_elses_thread_and_is_answered_before_what_was_left_meanwhile_is_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(runtime.block_on(desk.ask(0, Balance)), Ok(0));
    assert_eq!(runtime.block_on(desk.ask(4, Balance)), Ok(0));
    let (tell, told) = std::sync::mpsc::channel();
    let telling = |who: &'static str| {
        let tell = tell.clone();
        Responder::Call(Box::new(move |outcome| {
            assert!(matches!(outcome, Outcome::Replied(_) | Outcome::Looked(_)), "{outcome:?}");
            tell.send(who).expect("the test listens");
        }))
    };
    let slow = desk.work(&account(0), "dawdle", Payload::Typed(Box::new(Dawdle)));
    let (host, respond) = (desk.host.clone(), telling("slow"));
    let thread = std::thread::spawn(move || host.deliver(slow, respond));
    GATE.wait();
    // The handler runs now, on the other thread, and holds the shard. This must return all the same.
    desk.host.deliver(desk.work(&account(4), "balance", Payload::Typed(Box::new(Balance))), telling("left meanwhile"));
    let deposit = desk.work(&account(4), "deposit", Payload::Typed(Box::new(Deposit { amount: 1 })));
    let late = desk.host.ask(deposit, &|| BootClock.now());
    assert!(told.try_recv().is_err(), "the handler has not ended");
    GATE.wait();
    let next = || told.recv_timeout(DEADLINE).expect("in time");
    assert_eq!([next(), next()], ["slow", "left meanwhile"]);
    thread.join().expect("the slow caller ends");
    let Told::Later(late) = late else { panic!("it was left too") };
    assert_eq!(other(runtime.block_on(answered(late))), Answer::Expired { maybe_applied: false }, "its time was up");
    assert_eq!(runtime.block_on(desk.ask(4, Balance)), Ok(0));
}

#[tokio::test]
async fn a_lost_acknowledgement_is_found_and_counts_once() {
    for loss in [Loss::Stored, Loss::NotStored, Loss::Late] {
        let hub = MemoryHub::new();
        let desk = Desk::open(&hub, "a", 1);
        assert_eq!(desk.ask(3, Deposit { amount: 1 }).await, Ok(1));
        hub.lose_next_ack(&desk.me.node, Target::Events, loss);
        assert_eq!(desk.ask(3, Deposit { amount: 10 }).await, Ok(11), "{loss:?}");
        hub.land_late_writes();
        assert_eq!(desk.ask_as(3, Balance, ReadMode::Log, None).await, Ok(11), "{loss:?}");
    }
}

#[tokio::test]
async fn a_node_cut_off_from_the_store_resolves_its_commit_when_it_is_back() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(desk.ask(3, Deposit { amount: 1 }).await, Ok(1));
    hub.cut(&desk.me.node);
    let deposit = |amount| Payload::Typed(Box::new(Deposit { amount }));
    let mut work = desk.work(&account(3), "deposit", deposit(10));
    work.deadline = BootClock.now() + Duration::from_millis(50);
    let soon = work.deadline;
    let impatient = desk.send(work);
    let asked = desk.host.ask(desk.work(&account(3), "deposit", deposit(1_000)), &|| soon);
    let patient = desk.send(desk.work(&account(3), "deposit", deposit(100)));
    assert_eq!(other(answered(impatient).await), Answer::Expired { maybe_applied: true });
    let Told::Later(asked) = asked else { panic!("nothing can be said of it yet") };
    assert_eq!(other(answered(asked).await), Answer::Expired { maybe_applied: true });
    assert_eq!(
        desk.ask(7, Balance).await.map_err(|refused| refused.maybe_applied()),
        Err(false),
        "it cannot be loaded"
    );
    hub.heal(&desk.me.node);
    assert!(matches!(answered(patient).await, Outcome::Replied(_) | Outcome::Looked(_)));
    assert_eq!(desk.ask(3, Balance).await, Ok(1_111), "the expired ones were applied once the store was back");
}

#[tokio::test]
async fn a_node_without_its_serve_lease_pauses_and_resumes_without_a_reload() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(desk.ask(3, Deposit { amount: 1 }).await, Ok(1));
    desk.lease.end();
    let paused =
        |refused: AskError<AccountError>| matches!(refused, AskError::Unavailable { maybe_applied: false, .. });
    assert!(desk.ask(3, Balance).await.is_err_and(paused));
    assert!(desk.ask(3, Deposit { amount: 1 }).await.is_err_and(paused));
    desk.lease.extend(BootClock.now() + DEADLINE);
    assert_eq!(desk.ask(3, Balance).await, Ok(1));
    assert_eq!(desk.host.stats().activations, 1);
}

/// A clock that jumps past every lease between two readings, once told to.
struct Jumping {
    readings: AtomicU64,
    jumps_at: AtomicU64,
}

impl Clock for Jumping {
    fn now(&self) -> Monotonic {
        let nth = self.readings.fetch_add(1, Ordering::SeqCst);
        let jumped = nth >= self.jumps_at.load(Ordering::SeqCst);
        if jumped { BootClock.now() + Duration::from_secs(3600) } else { BootClock.now() }
    }
    fn wall(&self) -> WallTime {
        BootClock.wall()
    }
}

#[tokio::test]
async fn a_read_is_given_only_if_the_lease_holds_after_the_state_was_read() {
    let hub = MemoryHub::new();
    let clock = Arc::new(Jumping { readings: AtomicU64::new(0), jumps_at: AtomicU64::new(u64::MAX) });
    let desk = Desk::with_clock(&hub, "a", 1, clock.clone());
    assert_eq!(desk.ask(3, Deposit { amount: 1 }).await, Ok(1));
    assert_eq!(desk.ask(3, Balance).await, Ok(1));
    // The next reading comes after the handler; what lets the command in is an earlier one.
    clock.jumps_at.store(clock.readings.load(Ordering::SeqCst), Ordering::SeqCst);
    assert!(matches!(desk.ask(3, Balance).await, Err(AskError::Unavailable { maybe_applied: false, .. })));
}

#[tokio::test]
async fn what_this_node_does_not_know_is_named() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    let mut stranger = account(1);
    stranger.key.kind = ActorKind::new("submarine").expect("a kind");
    let outcome = answered(desk.send(desk.work(&stranger, "dive", Payload::Typed(Box::new(()))))).await;
    assert!(matches!(other(outcome), Answer::Invalid { reason, maybe_applied: false } if reason.contains("submarine")));
    let outcome = answered(desk.send(desk.work(&account(1), "dive", Payload::Typed(Box::new(()))))).await;
    assert!(matches!(other(outcome), Answer::Invalid { reason, maybe_applied: false } if reason.contains("dive")));
    let mut nameless = account(1);
    nameless.key.id = aether_domain::ActorId::new("one").expect("an id");
    let outcome = answered(desk.send(desk.work(&nameless, "balance", Payload::Typed(Box::new(Balance))))).await;
    assert!(matches!(other(outcome), Answer::Invalid { reason, maybe_applied: false } if reason.contains("\"one\"")));
}

#[tokio::test]
async fn a_panic_costs_its_command_only() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(desk.ask(3, Deposit { amount: 1 }).await, Ok(1));
    let (exploded, balance) = tokio::join!(desk.ask(3, Explode), desk.ask(3, Balance));
    assert_eq!(exploded, Err(AskError::Poisoned { reason: "boom".into(), maybe_applied: false }));
    assert_eq!(balance, Ok(1));
    assert_eq!(desk.host.stats().poisoned, 1);
}

#[tokio::test]
async fn a_drained_shard_is_reported_once_its_commits_have_ended() {
    let hub = MemoryHub::new();
    let mut desk = Desk::open(&hub, "a", 1);
    for number in 0..4 {
        assert_eq!(desk.ask(number, Deposit { amount: 1 }).await, Ok(1));
    }
    let leaving = desk.send(desk.work(&account(2), "deposit", Payload::Typed(Box::new(Deposit { amount: 1 }))));
    let other_node = life("b", 1);
    let drain = Route::Leaving { epoch: Epoch(1), drain_epoch: Epoch(2), to: other_node.clone() };
    desk.view(2, |shard| if shard == ShardId(2) { drain.clone() } else { Route::Mine { epoch: Epoch(1) } });
    let release = tokio::time::timeout(DEADLINE, desk.releases.recv()).await.expect("it is released in time");
    assert_eq!(release, Some((ShardId(2), Epoch(2))));
    assert!(matches!(answered(leaving).await, Outcome::Replied(_) | Outcome::Looked(_)), "what was sealed is answered");
    let late = answered(desk.send(desk.work(&account(2), "balance", Payload::Typed(Box::new(Balance))))).await;
    assert_eq!(other(late), Answer::Moving { to: Some(other_node.node.clone()) });
    desk.view(3, |shard| match shard {
        ShardId(2) => Route::Remote { owner: other_node.clone() },
        _ => Route::Mine { epoch: Epoch(1) },
    });
    let late = answered(desk.send(desk.work(&account(2), "balance", Payload::Typed(Box::new(Balance))))).await;
    assert_eq!(other(late), Answer::NotOwner { owner: Some(other_node.node.clone()) });
    assert_eq!(desk.ask(1, Balance).await, Ok(1), "the other shards were not touched");
}

#[tokio::test]
async fn a_zombie_changes_no_history() {
    let hub = MemoryHub::new();
    let zombie = Desk::open(&hub, "a", 1);
    assert_eq!(zombie.ask(3, Deposit { amount: 1 }).await, Ok(1));
    let owner = Desk::open(&hub, "b", 2);
    assert_eq!(owner.ask(3, Deposit { amount: 10 }).await, Ok(11));
    for _ in 0..3 {
        let refused = zombie.ask(3, Deposit { amount: 100 }).await.expect_err("it owns the shard no more");
        assert!(!refused.maybe_applied(), "{refused:?}");
    }
    assert_eq!(owner.ask(3, Balance).await, Ok(11));
}

#[tokio::test]
async fn all_shards_can_be_given_up_at_once_without_losing_a_release() {
    let hub = MemoryHub::new();
    let mut desk = Desk::open(&hub, "a", 1);
    for epoch in 2..6 {
        let to = life("b", 1);
        desk.view(2 * epoch, |_| Route::Leaving { epoch: Epoch(1), drain_epoch: Epoch(2 * epoch), to: to.clone() });
        desk.view(2 * epoch + 1, |_| Route::Mine { epoch: Epoch(2 * epoch + 1) });
    }
    for _ in 0..4 * shards().get() {
        let release = tokio::time::timeout(DEADLINE, desk.releases.recv()).await;
        assert!(release.expect("it is released in time").is_some());
    }
}

#[tokio::test]
async fn closing_answers_everybody() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(desk.ask(3, Deposit { amount: 1 }).await, Ok(1));
    hub.cut(&desk.me.node);
    let sealed = desk.send(desk.work(&account(3), "deposit", Payload::Typed(Box::new(Deposit { amount: 10 }))));
    let gathered = desk.send(desk.work(&account(3), "deposit", Payload::Typed(Box::new(Deposit { amount: 10 }))));
    tokio::time::timeout(DEADLINE, desk.host.close()).await.expect("closing ends");
    assert!(matches!(other(answered(sealed).await), Answer::Unavailable { maybe_applied: true, .. }));
    assert_eq!(other(answered(gathered).await), Answer::NotOwner { owner: None });
    assert!(matches!(desk.ask(3, Balance).await, Err(AskError::Unavailable { maybe_applied: false, .. })));
}

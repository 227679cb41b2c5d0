//! Timers on a real clock: in time, in order, once, whoever owns the shard and whatever the store of wakes does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::Epoch;
use aether_domain::records::TimerChange;
use aether_domain::testing::life;
use aether_infra_memory::{Loss, MemoryHub, Target};
use aether_runtime::clock::{BootClock, Clock};
use aether_runtime::view::Route;

use crate::bank::{Balance, Deposit, Save};
use crate::desk::{DEADLINE, Desk, account};

fn once(amount: u64, after_ms: u64) -> Save {
    Save { amount, after_ms, again: false }
}

/// How late this machine is with a sleep of a millisecond, at worst.
struct Stalls {
    worst_ms: Arc<AtomicU64>,
    watch: tokio::task::JoinHandle<()>,
}

impl Stalls {
    fn watch() -> Self {
        let worst_ms = Arc::<AtomicU64>::default();
        let worst = worst_ms.clone();
        let watch = tokio::spawn(async move {
            loop {
                let before = BootClock.now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                worst.fetch_max(BootClock.now().since(before).as_millis() as u64, Ordering::Relaxed);
            }
        });
        Self { worst_ms, watch }
    }

    fn worst_ms(self) -> u64 {
        self.watch.abort();
        self.worst_ms.load(Ordering::Relaxed)
    }
}

/// Waits until the account has that balance at least: one that grows by itself may have grown on before it is asked again.
async fn reaches(desk: &Desk, number: u64, balance: u64) {
    let reached = async {
        while !matches!(desk.ask(number, Balance).await, Ok(now) if now >= balance) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reached).await.unwrap_or_else(|_| panic!("{number} never reaches {balance}"));
}

/// The firings in the account's history, in order, each with by how many milliseconds its record was late.
fn fired(hub: &MemoryHub, number: u64) -> Vec<(String, u64)> {
    let (stores, mut due, mut fired) = (hub.stores(), std::collections::BTreeMap::new(), Vec::new());
    for commit in stores.commits(&account(number), aether_domain::Sequence::ZERO) {
        for change in &commit.record.timers {
            match change {
                TimerChange::Set(timer) => drop(due.insert(timer.name.clone(), timer.due)),
                TimerChange::Cancelled { name } => drop(due.remove(name)),
                TimerChange::Fired { name, next } => {
                    let since = due.remove(name).expect("only an open timer fires");
                    if *next == Some(since) {
                        // It was only begun, by somebody new.
                        due.insert(name.clone(), since);
                        continue;
                    }
                    fired.push((name.clone(), commit.record.at.unix_millis - since.unix_millis));
                    due.extend(next.map(|next| (name.clone(), next)));
                }
            }
        }
    }
    fired
}

/// The names of the timers that were set for the account, as they are due: on a machine under load each is set much later than
/// the one before.
fn in_order_of_due(hub: &MemoryHub, number: u64) -> Vec<String> {
    let mut set = Vec::new();
    for commit in hub.stores().commits(&account(number), aether_domain::Sequence::ZERO) {
        for change in &commit.record.timers {
            if let TimerChange::Set(timer) = change {
                set.push((timer.due, timer.name.clone()));
            }
        }
    }
    set.sort();
    set.into_iter().map(|(_, name)| name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_in_order_never_early_and_soon() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    let stalls = Stalls::watch();
    // A machine under load is late with everything, this thread more than that: one round of a few has to be in time.
    let (mut rounds, mut counted_late, mut counted) = (Vec::new(), Vec::new(), 0);
    for number in 0..5 {
        // Set in another order than they are due, and nobody asks meanwhile.
        for after in [130, 20, 75, 40, 115, 60] {
            desk.ask(number, once(after, after)).await.expect("nothing refuses it");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        reaches(&desk, number, 440).await;
        let fired = fired(&hub, number);
        let names: Vec<_> = fired.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, in_order_of_due(&hub, number));
        let mut late: Vec<_> = fired.iter().map(|(_, late)| *late).collect();
        late.sort_unstable();
        // Counted when it is stored, a moment after the stamp of its record.
        let so_far = desk.host.stats().reminders_late_millis;
        counted_late.push((so_far - counted).checked_sub(late.iter().sum()).expect("no sooner than it is stamped"));
        counted = so_far;
        rounds.push(late);
        // A resolution of a tick would make each late by 50 ms in the middle.
        if rounds[rounds.len() - 1][2] < 50 {
            break;
        }
    }
    let worst = stalls.worst_ms();
    let in_time = rounds.iter().any(|late| late[2] < 50 + 2 * worst);
    assert!(in_time, "late by {rounds:?} ms, where a sleep of a millisecond is late by {worst}");
    let stats = desk.host.stats();
    assert_eq!(stats.reminders_fired, 6 * rounds.len() as u64);
    let counted_in_time = counted_late.iter().any(|late| *late < 6 * (50 + 2 * worst));
    assert!(counted_in_time, "six reminders are counted {counted_late:?} ms later than they are stamped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_keeps_its_beat_until_nobody_owns_the_shard_and_then_makes_up_for_it() {
    let hub = MemoryHub::new();
    let first = Desk::open(&hub, "a", 1);
    first.ask(2, Save { amount: 1, after_ms: 20, again: true }).await.expect("nothing refuses it");
    reaches(&first, 2, 5).await;
    first.view(2, |_| Route::Nobody);
    // What was on its way to the store by then is there soon.
    let mut before = fired(&hub, 2).len() as u64;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = fired(&hub, 2).len() as u64;
        if now == std::mem::replace(&mut before, now) {
            break;
        }
        assert!(now < 10_000 / 20, "it goes on and on");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fired(&hub, 2).len() as u64, before, "nobody may fire now");
    let second = Desk::open(&hub, "b", 3);
    let ten_missed = async {
        while (fired(&hub, 2).len() as u64) < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ten_missed).await.expect("nobody asks, and the next owner fires all the same");
    assert!(second.host.stats().reminders_fired >= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_survives_moves_passivation_and_the_loss_of_its_owner_and_fires_once() {
    let hub = MemoryHub::new();
    let mut first = Desk::open(&hub, "a", 1);
    for number in 0..20 {
        first.ask(number, once(7, 150)).await.expect("nothing refuses it");
    }
    // Shards 0 and 1 move in order, the owner of the others is gone without a word.
    let to = life("b", 1);
    first.view(2, |shard| match shard.0 {
        0 | 1 => Route::Leaving { epoch: Epoch(1), drain_epoch: Epoch(2), to: to.clone() },
        _ => Route::Mine { epoch: Epoch(1) },
    });
    for _ in 0..2 {
        first.releases.recv().await.expect("a shard is released");
    }
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = Desk::open(&hub, "b", 3);
    let done = async {
        while (0..20).any(|number| fired(&hub, number).is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, done).await.expect("every timer fires, though nobody asks");
    for number in 0..20 {
        assert_eq!(second.ask(number, Balance).await, Ok(7), "account {number}");
        assert_eq!(fired(&hub, number).len(), 1, "account {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_live_owners_fire_each_timer_once_in_effect() {
    let hub = MemoryHub::new();
    let desk = |name, incarnation| Desk::of(&hub, life(name, incarnation), 1, Arc::new(BootClock));
    let (a, b) = (desk("a", 1), desk("b", 2));
    for number in 0..40 {
        let desk = if number % 2 == 0 { &a } else { &b };
        desk.ask(number, once(3, 60 + number)).await.expect("nothing refuses it");
        // So that both have it in memory, and both look at it in time.
        a.ask(number, Balance).await.expect("it is read");
        b.ask(number, Balance).await.expect("it is read");
    }
    let done = async {
        while (0..40).any(|number| fired(&hub, number).is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, done).await.expect("every timer fires");
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..40 {
        assert_eq!(fired(&hub, number).len(), 1, "account {number}");
        assert_eq!(b.ask(number, Deposit { amount: 1 }).await, Ok(4), "account {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_a_wake_s_acknowledgement_the_timer_is_stored_and_fires() {
    for loss in [Loss::Stored, Loss::NotStored, Loss::Late] {
        let hub = MemoryHub::new();
        let first = Desk::open(&hub, "a", 1);
        hub.lose_next_ack(&first.me.node, Target::Wakes, loss);
        first.ask(3, once(10, 100)).await.expect("it is written in the end");
        hub.land_late_writes();
        drop(first);
        let second = Desk::open(&hub, "b", 2);
        let done = async {
            while fired(&hub, 3).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, done).await.unwrap_or_else(|_| panic!("{loss:?}: it never fires"));
        assert_eq!(second.ask(3, Balance).await, Ok(10), "{loss:?}");
    }
}

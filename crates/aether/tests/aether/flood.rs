//! Ten times as many callers as may wait: a cluster says Busy, keeps its memory, beats on, and goes on serving the others.
//!
//! The callers have threads of their own, as callers elsewhere have. How long the others wait is printed and not asserted:
//! 20,480 callers take the processors of this very machine, and a command takes what its share of them takes (docs/PROOF.md
//! has figures). What is the product's part of it, whether any queue of the flood's is in their way, is asserted where only
//! waiting takes time, in `test_cluster/flood.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aether::demo::bank::{Account, Deposit, Open};
use aether::metrics::encode;
use aether::prelude::*;
use aether_domain::ports::ControlStore;
use aether_domain::testing::life;
use aether_domain::{Monotonic, Namespace, NodeId};
use aether_runtime::clock::{BootClock, Clock};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::beats::{Pulse, Pulses};

const PATIENCE: Duration = Duration::from_secs(60);
/// The account that everybody wants.
const HOT: u64 = 7;
/// The others.
const QUIET: std::ops::Range<u64> = 100..116;
/// Callers at once, of each node: ten times what may be outstanding for one shard.
const CALLERS: u64 = 10 * 1024;
/// How often the memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const FLOODED_FOR: Duration = Duration::from_secs(3);

/// A figure of a node's metrics page, a whole number.
fn figure(node: &Node, name: &str) -> u64 {
    let page = encode(&node.source().picture().expect("it runs"));
    let lines = page.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.trim_end_matches(".0").parse::<u64>().ok()).sum()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() / 1024
}

/// What is seen of the nodes from outside: by a thread of its own, which no caller can hold up.
struct Outside {
    pulses: Pulses,
    worst: Arc<Worst>,
    /// Ends the thread when it is dropped.
    _watching: oneshot::Sender<()>,
}

/// The worst that was seen.
#[derive(Default)]
struct Worst {
    /// The memory of this process.
    mib: AtomicU64,
    /// How late the machine let the thread go on.
    late_millis: AtomicU64,
}

impl Outside {
    /// Watches through the connection that `connect` makes.
    fn watch<C>(connect: impl Future<Output = (Arc<dyn ControlStore>, C)> + Send + 'static) -> Self {
        let (pulses, worst) = (Pulses::default(), Arc::new(Worst::default()));
        let (watching, mut over) = oneshot::channel::<()>();
        let (heard, seen) = (pulses.clone(), worst.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let (control, _connection) = connect.await;
                let looking = async {
                    loop {
                        seen.mib.fetch_max(resident_mib(), Ordering::Relaxed);
                        let before = now();
                        sleep(LOOK_EVERY).await;
                        let late = now().saturating_sub(before + LOOK_EVERY).as_millis();
                        seen.late_millis.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
                    }
                };
                tokio::select! {
                    _ = &mut over => {}
                    () = heard.listen(&*control, now) => panic!("the store has ended"),
                    () = looking => {}
                }
            });
        });
        Self { pulses, worst, _watching: watching }
    }

    /// What was seen since this was asked last: heartbeats, how late this thread itself was, and the most memory.
    fn take(&self) -> (BTreeMap<NodeId, Pulse>, Duration, u64) {
        let worst = |of: &AtomicU64| of.swap(0, Ordering::Relaxed);
        (self.pulses.take(now()), Duration::from_millis(worst(&self.worst.late_millis)), worst(&self.worst.mib))
    }
}

fn now() -> Duration {
    BootClock.now().since(Monotonic::ZERO)
}

/// Asks the quiet accounts one at a time, until told to stop; every one is answered. Gives the slowest of a hundred.
async fn p99(node: &Node, operations: &AtomicU64, stop: &AtomicBool) -> Duration {
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for account in QUIET {
            let operation = operations.fetch_add(1, Ordering::Relaxed);
            let began = BootClock.now();
            // However long the machine takes: that is measured.
            let account = node.actor::<Account>(account).timeout(PATIENCE);
            let asked = account.ask(Deposit { operation, amount: 1 }).await;
            asked.expect("a quiet account is answered, and not with Busy");
            took.push(BootClock.now().since(began));
        }
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

async fn for_a_while(node: &Node, operations: &AtomicU64) -> Duration {
    let stop = AtomicBool::new(false);
    let (slowest, ()) = tokio::join!(p99(node, operations, &stop), async {
        sleep(FLOODED_FOR).await;
        stop.store(true, Ordering::Relaxed);
    });
    slowest
}

/// What became of the flood.
#[derive(Default)]
struct Flooded {
    acknowledged: AtomicU64,
    busy: AtomicU64,
    /// It may have been applied, or not.
    in_doubt: AtomicU64,
}

/// All callers; and how many bytes they themselves take.
fn flood(
    nodes: &[Arc<Node>; 2],
    flooded: &Arc<Flooded>,
    operations: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
) -> (JoinSet<()>, usize) {
    let (mut callers, mut bytes) = (JoinSet::new(), 0);
    for nth in 0..CALLERS {
        for node in nodes {
            let (node, flooded, operations, stop) = (node.clone(), flooded.clone(), operations.clone(), stop.clone());
            let calling = async move {
                while !stop.load(Ordering::Relaxed) {
                    let operation = operations.fetch_add(1, Ordering::Relaxed);
                    match node.actor::<Account>(HOT).ask(Deposit { operation, amount: 1 }).await {
                        Ok(_) => &flooded.acknowledged,
                        Err(AskError::Busy) => &flooded.busy,
                        Err(refused) if refused.maybe_applied() => &flooded.in_doubt,
                        Err(_) => continue,
                    }
                    .fetch_add(1, Ordering::Relaxed);
                    // Whoever is told Busy asks for less; together they still ask for far more than can be done.
                    sleep(Duration::from_millis(50 + nth % 50)).await;
                }
            };
            bytes += size_of_val(&calling);
            callers.spawn(calling);
        }
    }
    (callers, bytes)
}

#[expect(clippy::print_stdout, reason = "the figures are for whoever reads them")]
async fn play(name: &str, (first, second): (Node, Node), outside: Outside, kept_here: bool) {
    let (first, second) = (Arc::new(first), Arc::new(second));
    for account in QUIET.chain([HOT]) {
        let account = first.actor::<Account>(account);
        let opened = account.ask(Open { operation: 1 });
        timeout(PATIENCE, opened).await.expect("in time").expect("it is opened");
    }
    let operations = Arc::new(AtomicU64::new(2));
    let before = for_a_while(&first, &operations).await;
    let (_, _, memory) = outside.take();
    let (flooded, stop) = (Arc::new(Flooded::default()), Arc::new(AtomicBool::new(false)));
    let elsewhere =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let nodes = [first.clone(), second.clone()];
    let (callers, bytes) = {
        let _threads = elsewhere.enter();
        flood(&nodes, &flooded, &operations, &stop)
    };
    drop(nodes);
    let during = for_a_while(&first, &operations).await;
    let (beats, late, most) = outside.take();
    stop.store(true, Ordering::Relaxed);
    timeout(PATIENCE, callers.join_all()).await.expect("every caller is answered");
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (acknowledged, busy, in_doubt) = (count(&flooded.acknowledged), count(&flooded.busy), count(&flooded.in_doubt));
    let (grown, own) = (most.saturating_sub(memory), bytes as u64 / (1024 * 1024));
    let silences: Vec<_> = beats.values().map(|pulse| pulse.silence).collect();
    println!(
        "{name}: p99 of quiet accounts {before:?}, flooded {during:?} ({:.1}x); {acknowledged} acknowledged, {busy} busy, \
         {in_doubt} in doubt; memory {memory} MiB before, {grown} more, {own} of them the callers' own; longest without a \
         heartbeat {silences:?}; a thread was late by {late:?}",
        during.as_secs_f64() / before.as_secs_f64(),
    );
    assert!(busy > acknowledged / 10, "{busy} were told Busy, {acknowledged} were acknowledged");
    // A store in this process keeps every record: that is no queue.
    let kept = if kept_here { acknowledged / 1024 } else { 0 };
    assert!(
        grown < 64 + own + kept,
        "{grown} MiB more than before the flood, {own} of them the callers' own, {kept} histories"
    );
    assert_eq!(beats.len(), 2, "{beats:?}");
    for (node, pulse) in beats {
        // What the machine keeps from a thread that has nothing else to do it keeps from any.
        let missed = pulse.every * 2 + late;
        assert!(pulse.beats > 0 && pulse.silence < missed, "{node} has missed a heartbeat: {pulse:?}, late {late:?}");
    }
    for node in [&first, &second] {
        assert!(node.is_active(), "{} serves", node.id());
        assert_eq!(figure(node, "aether_fencing_rejections_total"), 0, "no life was ended");
        // What nobody waits for any more may still be under way.
        let left = || figure(node, "aether_commands_waiting_bytes");
        let gone = async {
            while left() > 0 {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{} bytes are left of it", left()));
    }
    // What was acknowledged is there once, what was told Busy is not: the balance says so.
    let operation = operations.fetch_add(1, Ordering::Relaxed);
    let balance = first.actor::<Account>(HOT).ask(Deposit { operation, amount: 1 }).await.expect("it is quiet again");
    assert!(
        (acknowledged..=acknowledged + in_doubt).contains(&(balance - 1)),
        "{balance} after {acknowledged}, {in_doubt}"
    );
    for node in [first, second] {
        node.kill().await;
    }
    // Some of what the nodes began for a caller may have run there.
    elsewhere.shutdown_background();
}

async fn started(node: aether::NodeBuilder) -> Node {
    timeout(PATIENCE, node.actor::<Account>().start()).await.expect("in time").expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_in_memory_is_told_busy_and_costs_nobody_else_an_answer() {
    let hub = MemoryHub::new();
    let node = |id: &str| Node::builder(id).namespace("flood").in_memory(&hub);
    let (first, second) = (started(node("n1")).await, started(node("n2")).await);
    let listener = hub.ports(&life("listener", 1).node);
    let outside = Outside::watch(async move { (listener.control, ()) });
    play("in memory", (first, second), outside, true).await;
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_nats_is_told_busy_and_costs_nobody_else_an_answer() {
    let server = xtask::nats::NatsServer::start(xtask::nats::ServerOptions::default()).expect("a nats-server");
    let config = NatsConfig::new([server.url()]);
    let node = |id: &str| Node::builder(id).namespace("flood").nats(config.clone());
    let (first, second) = (started(node("n1")).await, started(node("n2")).await);
    let outside = Outside::watch(async move {
        let namespace = Namespace::new("flood").expect("a name");
        let listener = aether_infra_nats::connect(&config, &namespace).await.expect("it connects");
        (listener.ports.control.clone(), listener)
    });
    play("on NATS", (first, second), outside, false).await;
}

//! Ten times what a cluster can do: it says Busy, keeps its memory and its members, and goes on serving the others.
//!
//! How long the others wait is printed and not asserted: 20,480 callers take the processors of this very process. What is
//! the product's part of it is asserted where only waiting takes time, in `test_cluster/flood.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aether::demo::bank::{Account, Deposit, Open};
use aether::metrics::encode;
use aether::prelude::*;
use aether_runtime::clock::{BootClock, Clock};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
/// The account that everybody wants.
const HOT: u64 = 7;
/// The others.
const QUIET: std::ops::Range<u64> = 100..116;
/// Callers at once, of each node: ten times what may be outstanding for one shard.
const CALLERS: u64 = 10 * 1024;
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

/// Asks the quiet accounts one at a time, until told to stop; every one is answered. Gives the slowest of a hundred.
async fn p99(node: &Node, operations: &AtomicU64, stop: &AtomicBool) -> Duration {
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for account in QUIET {
            let operation = operations.fetch_add(1, Ordering::Relaxed);
            let began = BootClock.now();
            let account = node.actor::<Account>(account);
            let asked = account.ask(Deposit { operation, amount: 1 });
            timeout(PATIENCE, asked).await.expect("in time").expect("a quiet account is answered, and not with Busy");
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

async fn flood(nodes: [Arc<Node>; 2], flooded: Arc<Flooded>, operations: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut callers = JoinSet::new();
    for nth in 0..CALLERS {
        for node in &nodes {
            let (node, flooded, operations, stop) = (node.clone(), flooded.clone(), operations.clone(), stop.clone());
            callers.spawn(async move {
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
            });
        }
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no caller fails");
    }
}

#[expect(clippy::print_stdout, reason = "the figures are for whoever reads them")]
async fn play(name: &str, (first, second): (Node, Node), kept_here: bool) {
    let (first, second) = (Arc::new(first), Arc::new(second));
    for account in QUIET.chain([HOT]) {
        let account = first.actor::<Account>(account);
        let opened = account.ask(Open { operation: 1 });
        timeout(PATIENCE, opened).await.expect("in time").expect("it is opened");
    }
    let operations = Arc::new(AtomicU64::new(2));
    let before = for_a_while(&first, &operations).await;
    let (flooded, stop) = (Arc::new(Flooded::default()), Arc::new(AtomicBool::new(false)));
    let flooding =
        tokio::spawn(flood([first.clone(), second.clone()], flooded.clone(), operations.clone(), stop.clone()));
    sleep(Duration::from_millis(500)).await;
    let memory = resident_mib();
    let during = for_a_while(&first, &operations).await;
    let grown = resident_mib().saturating_sub(memory);
    stop.store(true, Ordering::Relaxed);
    timeout(PATIENCE, flooding).await.expect("every caller is answered").expect("it ends");
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (acknowledged, busy, in_doubt) = (count(&flooded.acknowledged), count(&flooded.busy), count(&flooded.in_doubt));
    println!(
        "{name}: p99 of quiet accounts {before:?}, flooded {during:?} ({:.1}x); {acknowledged} acknowledged, {busy} busy, \
         {in_doubt} in doubt; memory {memory} MiB, {grown} more",
        during.as_secs_f64() / before.as_secs_f64(),
    );
    assert!(busy > acknowledged / 10, "{busy} were told Busy, {acknowledged} were acknowledged");
    // A store in this process keeps every record: that is no queue.
    let kept = if kept_here { acknowledged / 1024 } else { 0 };
    assert!(
        grown < 64 + kept,
        "{grown} MiB more at the end of the flood than at its beginning, {kept} of them histories"
    );
    for node in [&first, &second] {
        assert!(node.is_active(), "{} serves", node.id());
        assert_eq!(figure(node, "aether_fencing_rejections_total"), 0, "no life was ended");
        assert_eq!(figure(node, "aether_commands_waiting_bytes"), 0, "nothing is left of it");
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
}

async fn started(node: aether::NodeBuilder) -> Node {
    timeout(PATIENCE, node.actor::<Account>().start()).await.expect("in time").expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_in_memory_is_told_busy_and_costs_nobody_else_an_answer() {
    let hub = MemoryHub::new();
    let node = |id: &str| Node::builder(id).namespace("flood").in_memory(&hub);
    let (first, second) = (started(node("n1")).await, started(node("n2")).await);
    play("in memory", (first, second), true).await;
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_nats_is_told_busy_and_costs_nobody_else_an_answer() {
    let server = xtask::nats::NatsServer::start(xtask::nats::ServerOptions::default()).expect("a nats-server");
    let config = NatsConfig::new([server.url()]);
    let node = |id: &str| Node::builder(id).namespace("flood").nats(config.clone());
    let (first, second) = (started(node("n1")).await, started(node("n2")).await);
    play("on NATS", (first, second), false).await;
}

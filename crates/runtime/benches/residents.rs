//! What actors in memory cost that nobody asks anything, in bytes of this process; and that it does not grow with the ids
//! that were ever asked.
//!
//! No history is kept: what is measured is memory, and an in-memory store grows by itself. `--quick` measures fewer; with
//! `--check` it fails where an idle actor costs more than twice its goal (few of them share the fixed costs of a thousand
//! shards: 200,000 cost a third more than a million do), where one that has committed costs more than twice what it should,
//! or memory grows by a tenth.

#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a benchmark prints, and rounds")]

mod host;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::ports::{AppendError, EventStore, ReadError, ReadMode};
use aether_domain::records::{CommitRecord, Position, StoredCommit};
use aether_domain::{ActorAddress, Sequence};
use async_trait::async_trait;
use host::{Add, Counter, Get, Ours, address};
use tokio::time::sleep;

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes of this process in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says how large a process is");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has some memory");
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().expect("it is a number of KiB");
    kib * 1024
}

/// Measures what those cost that have committed, and nothing else.
const COMMITTED: &str = "--committed";

/// Long enough for actors to come to rest.
const REST: Duration = Duration::from_millis(600);
/// Actors in memory on the walk, however many ids it passes.
const WALK_RESIDENTS: usize = 100_000;

/// Acknowledges everything and keeps nothing. Good for actors that never have to be loaded again.
#[derive(Default)]
struct KeepsNothing {
    last: AtomicU64,
}

#[async_trait]
impl EventStore for KeepsNothing {
    async fn append(&self, _: &ActorAddress, _: &CommitRecord, _: Sequence) -> Result<Position, AppendError> {
        let last = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Position { sequence: Sequence(last), hash: last })
    }
    async fn read(&self, _: &ActorAddress, _: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        Ok(Vec::new())
    }
    async fn read_fresh(&self, _: &ActorAddress, _: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        Ok(Vec::new())
    }
}

/// What an actor has done before it is idle.
#[derive(Clone, Copy)]
enum Past {
    /// It was read from memory once, and has stored nothing.
    Read,
    /// It has stored one command, and remembers it with its reply.
    Committed,
}

/// Prints what an idle actor of that past takes, and says it.
async fn idle(count: u64, past: Past) -> f64 {
    let ours = Ours::with(|config| config.events = Arc::new(KeepsNothing::default()));
    let ask = async |number| match past {
        Past::Read => ours.ask(&address(number), Get, ReadMode::Leased).await,
        Past::Committed => ours.ask(&address(number), Add, ReadMode::Leased).await,
    };
    ask(0).await;
    let before = resident_bytes();
    for number in 1..=count {
        ask(number).await;
    }
    sleep(REST).await;
    let each = resident_bytes().saturating_sub(before) as f64 / count as f64;
    assert_eq!(ours.host.stats().resident_actors as u64, count + 1, "all are in memory");
    let overhead = each - size_of::<Counter>() as f64;
    let past = match past {
        Past::Read => "read once: {} B each besides the state (goal: <= 100 B)",
        Past::Committed => "one command stored: {} B each besides the state",
    };
    println!("{count} idle actors, {}", past.replace("{}", &format!("{overhead:.0}")));
    overhead
}

/// Asks so many ids once each, of which few may be in memory; prints and says by which part the process grew meanwhile.
async fn walk(ids: u64) -> f64 {
    let ours = Ours::with(|config| config.limits.residents_max = WALK_RESIDENTS);
    let hot: Vec<_> = (0..100).map(|number| address(u64::MAX - number)).collect();
    let (mut warm, mut most) = (0, 0);
    for number in 0..ids {
        ours.ask(&address(number), Get, ReadMode::Leased).await;
        if number % 64 == 0 {
            ours.ask(&hot[(number / 64 % 100) as usize], Get, ReadMode::Leased).await;
        }
        if number == 2 * WALK_RESIDENTS as u64 {
            warm = resident_bytes();
        }
        if number % 10_000 == 0 {
            most = most.max(resident_bytes());
            // As often as another caller would let it.
            tokio::task::yield_now().await;
        }
    }
    let stats = ours.host.stats();
    assert!(stats.resident_actors <= WALK_RESIDENTS, "{stats:?}");
    let grown = most as f64 / warm as f64 - 1.0;
    let again = stats.activations - ids;
    println!(
        "{ids} ids, at most {WALK_RESIDENTS} in memory: {:.0} MiB after the first {}, at most {:.0} MiB, {:+.1} % (goal: flat); \
         100 asked now and then were loaded {again} times",
        warm as f64 / MIB,
        2 * WALK_RESIDENTS,
        most as f64 / MIB,
        100.0 * grown,
    );
    grown
}

fn main() {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    // `cargo test` runs benches too; then the least is enough to see that they work.
    let (actors, ids) = match (flag("--bench"), flag("--quick")) {
        (false, _) => (1_000, 1_000),
        (true, true) => (200_000, 1_000_000),
        (true, false) => (1_000_000, 10_000_000),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    if flag(COMMITTED) {
        let overhead = runtime.block_on(idle(actors, Past::Committed));
        let bound = if flag("--check") { 700.0 } else { f64::INFINITY };
        assert!(overhead <= bound, "{overhead:.0} B an idle actor that has committed, besides its state");
        return;
    }
    let (overhead, grown) = runtime.block_on(async { (idle(actors, Past::Read).await, walk(ids).await) });
    // What one measurement has given back to the allocator the next one would be given: it has a process of its own.
    let program = std::env::current_exe().expect("this program has a path");
    let committed = Command::new(program).args(std::env::args().skip(1)).arg(COMMITTED).status();
    assert!(committed.expect("it runs").success(), "it has said why");
    if flag("--check") {
        assert!(overhead <= 200.0, "{overhead:.0} B an idle actor besides its state");
        assert!(grown <= 0.1, "memory grew by {:.0} % while ids went by", 100.0 * grown);
    }
}

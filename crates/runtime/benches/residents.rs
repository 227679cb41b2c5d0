//! What actors in memory cost that nobody asks anything, in bytes of this process; and that it does not grow with the ids
//! that were ever asked.
//!
//! Nothing is stored but where that is the point: what is measured is memory, and an in-memory store grows by itself.
//! `--quick` measures fewer; with `--check` it fails where an idle actor costs more than twice its goal (few of them share
//! the fixed costs of a thousand shards: 200,000 cost a third more than a million do), or memory grows by a tenth.

#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a benchmark prints, and rounds")]

mod host;

use std::time::Duration;

use aether_domain::ports::ReadMode;
use host::{Counter, Get, Ours, address};
use tokio::time::sleep;

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes of this process in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says how large a process is");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has some memory");
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().expect("it is a number of KiB");
    kib * 1024
}

/// Long enough for actors to come to rest.
const REST: Duration = Duration::from_millis(600);
/// Actors in memory on the walk, however many ids it passes.
const WALK_RESIDENTS: usize = 100_000;

/// Prints what an idle actor takes, and says it.
async fn idle(count: u64) -> f64 {
    let ours = Ours::open();
    ours.ask(&address(0), Get, ReadMode::Leased).await;
    let before = resident_bytes();
    for number in 1..=count {
        ours.ask(&address(number), Get, ReadMode::Leased).await;
    }
    sleep(REST).await;
    let each = resident_bytes().saturating_sub(before) as f64 / count as f64;
    let overhead = each - size_of::<Counter>() as f64;
    println!("{count} idle actors, read once: {overhead:.0} B each besides the state (goal: <= 100 B)");
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
    let (overhead, grown) = runtime.block_on(async { (idle(actors).await, walk(ids).await) });
    if flag("--check") {
        assert!(overhead <= 200.0, "{overhead:.0} B an idle actor besides its state");
        assert!(grown <= 0.1, "memory grew by {:.0} % while ids went by", 100.0 * grown);
    }
}

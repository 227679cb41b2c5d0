//! How well this node is: what its heartbeats say of it, and of the nodes it asks.
//!
//! It measures and judges nobody; who is unwell is the leader's business (`coordinator/policy/gray.rs`).

mod costs;
mod latencies;
mod peers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aether_domain::records::Health;
use aether_domain::{Monotonic, ShardSet};

pub(crate) use costs::{Costs, Done};
pub(crate) use latencies::Latencies;
use peers::Peers;
pub(crate) use peers::Tally;

use crate::clock::Clock;

/// How often it is looked whether the executor runs what is ready.
const LAG_EVERY: Duration = Duration::from_millis(50);

/// What one node measures of itself.
pub(crate) struct Vitals {
    clock: Arc<dyn Clock>,
    commits: Arc<Latencies>,
    /// The worst lag since it was last read, in microseconds.
    lag: AtomicU64,
    peers: Mutex<Peers>,
}

impl Vitals {
    /// Begins to measure, within the present tokio runtime and until the last handle is dropped. `commits` is filled by
    /// whoever commits.
    pub(crate) fn begin(clock: Arc<dyn Clock>, commits: Arc<Latencies>) -> Arc<Self> {
        let vitals = Arc::new(Self { clock, commits, lag: AtomicU64::new(0), peers: Mutex::default() });
        tokio::spawn(measure_lag(Arc::downgrade(&vitals)));
        vitals
    }

    /// How well this node has been since it was last asked. `mailbox_age` is how long commands have waited without one
    /// being taken; `tallies` what was asked of others so far and what they answered; `unserved` what it cannot serve.
    pub(crate) fn read(&self, mailbox_age: Duration, tallies: Vec<Tally>, unserved: ShardSet) -> Health {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        Health {
            loop_lag: Duration::from_micros(self.lag.swap(0, Ordering::Relaxed)),
            commit_p99: self.commits.take_p99(),
            mailbox_age,
            accuses: peers.accuse(self.clock.now(), tallies),
            unserved,
        }
    }
}

async fn measure_lag(vitals: Weak<Vitals>) {
    let mut due: Option<Monotonic> = None;
    while let Some(vitals) = vitals.upgrade() {
        let now = vitals.clock.now();
        let late = due.map_or(Duration::ZERO, |due| now.since(due));
        vitals.lag.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        due = Some(now + LAG_EVERY);
        drop(vitals);
        tokio::time::sleep(LAG_EVERY).await;
    }
}

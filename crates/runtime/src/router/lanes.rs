//! One shard's machine behind its short lock, and the order in which its commands reach this node's own shards.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aether_domain::ports::Answer;
use aether_domain::{Incarnation, Monotonic, ShardCount, ShardId};
use tokio::sync::oneshot;

use super::ask::Try;
use super::budget::NodeBudget;
use super::machine::{Effect, ShardAsks};

/// Tells a caller what became of its ask; one that has gone away does not hear it.
pub(crate) type Caller = oneshot::Sender<Answer>;

/// Room for more effects than this is not kept by a lane.
pub(crate) const EFFECTS_KEPT: usize = 4;

/// One shard's asks.
pub(crate) struct Lane {
    state: Mutex<LaneState>,
    /// When the machine wants to be looked at, in nanoseconds of the clock; `u64::MAX` for never. Read without the lock.
    wakes_at: AtomicU64,
}

/// What lies behind the lock.
pub(crate) struct LaneState {
    pub(crate) asks: ShardAsks<Caller>,
    /// What the machine wants done, while it is done. Empty otherwise, and kept for its memory: one is the rule.
    pub(crate) effects: Vec<Effect<Caller>>,
    /// Commands for this node's own shard that waited or were refused before, in order. They are delivered one at a
    /// time outside the lock, by whoever set `delivering`; while there are any, no command is begun in place.
    pub(crate) outbox: VecDeque<Try>,
    pub(crate) delivering: bool,
    /// Routing is over: nothing is taken any more.
    pub(crate) over: bool,
    /// How many commands were begun in place.
    pub(crate) begun: u64,
    /// How many were sent to another node, repeats not counted.
    pub(crate) sent: u64,
}

impl Lane {
    fn new(shard: ShardId, origin: Incarnation, budget: Arc<NodeBudget>) -> Self {
        let asks = ShardAsks::new(shard, origin, budget);
        let (effects, outbox) = (Vec::new(), VecDeque::new());
        let state = LaneState { asks, effects, outbox, delivering: false, over: false, begun: 0, sent: 0 };
        Self { state: Mutex::new(state), wakes_at: AtomicU64::new(u64::MAX) }
    }

    /// One lane a shard, in order.
    pub(crate) fn all(shards: ShardCount, origin: Incarnation, budget: &Arc<NodeBudget>) -> Box<[Self]> {
        shards.all().map(|shard| Self::new(shard, origin, budget.clone())).collect()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LaneState> {
        // The machine asserts only in debug builds; what it holds stays usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes when the machine wants to be looked at; true if it wants to be at all.
    pub(crate) fn note_wake(&self, wakes_at: Option<Monotonic>) -> bool {
        let nanos = wakes_at.map_or(u64::MAX, |at| u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX - 1));
        self.wakes_at.store(nanos, Ordering::SeqCst);
        nanos != u64::MAX
    }

    /// When the machine wants to be looked at, as last noted.
    pub(crate) fn wakes_at(&self) -> Option<Monotonic> {
        let nanos = self.wakes_at.load(Ordering::SeqCst);
        (nanos != u64::MAX).then(|| Monotonic::from_start(Duration::from_nanos(nanos)))
    }
}

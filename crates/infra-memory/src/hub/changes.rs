//! Says that something has changed, to all who wait, in the order in which they began to wait.
//!
//! As tokio's `watch` without a value; that one wakes its receivers in an order of chance, and a simulated run must be the
//! same each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Who says it. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Changes {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How often something has changed.
    count: AtomicU64,
    changed: Notify,
}

/// Who is told: at once if something has changed since it last looked.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    seen: u64,
}

impl Changes {
    pub(super) fn tell(&self) {
        self.shared.count.fetch_add(1, Ordering::AcqRel);
        self.shared.changed.notify_waiters();
    }

    /// A watcher that has seen everything up to now.
    pub(super) fn watch(&self) -> Watcher {
        Watcher { shared: self.shared.clone(), seen: self.shared.count.load(Ordering::Acquire) }
    }
}

impl Watcher {
    /// Everything up to now is seen.
    pub(super) fn mark_unchanged(&mut self) {
        self.seen = self.shared.count.load(Ordering::Acquire);
    }

    /// Waits until something changes that it has not seen.
    pub(super) async fn changed(&mut self) {
        loop {
            // Begun before looking, so that a change after the look wakes it.
            let changed = self.shared.changed.notified();
            let count = self.shared.count.load(Ordering::Acquire);
            if count != self.seen {
                self.seen = count;
                return;
            }
            changed.await;
        }
    }
}

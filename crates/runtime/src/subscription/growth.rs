//! How a reader that has read everything learns that there is more: as a number, never as the entries themselves.
//!
//! A number is overwritten by the next one, so a reader that does not look costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::Sequence;
use aether_domain::ports::{LogUpdate, TopologyLog};
use futures_util::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

/// How long a reader waits to be told of growth before it looks for itself: a node with a fault tells of none.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// How long to wait before a follower that could not begin, or ended, is begun again.
const REOPEN_AFTER: Duration = Duration::from_millis(200);

/// Whom a reader learns from.
pub(crate) enum Growth {
    /// A node that folds the log.
    Node(Arc<Grown>),
    /// Nobody yet: a follower of its own is begun when it is first needed.
    Unfollowed(Arc<dyn TopologyLog>),
    /// A follower of its own, which ends with the reader.
    Followed { seen: watch::Receiver<Sequence>, _follower: AbortOnDropHandle<()> },
}

/// How far a node has folded the log, for those who read it beside. They go on in the order in which they came, which those of a
/// `watch` do not: a simulated run must be the same each time.
#[derive(Debug, Default)]
pub(crate) struct Grown {
    at: AtomicU64,
    told: Notify,
}

impl Grown {
    /// It has been folded up to there. A log that has lost its end goes on with less.
    pub(crate) fn tell(&self, at: Sequence) {
        if self.at.swap(at.0, Ordering::AcqRel) != at.0 {
            self.told.notify_waiters();
        }
    }

    pub(crate) fn at(&self) -> Sequence {
        Sequence(self.at.load(Ordering::Acquire))
    }

    async fn behind(&self, at: Sequence) {
        loop {
            // Begun before looking, so that what is told after the look wakes it.
            let told = self.told.notified();
            if self.at() > at {
                return;
            }
            told.await;
        }
    }
}

impl Growth {
    pub(crate) fn followed(log: Arc<dyn TopologyLog>) -> Self {
        Self::Unfollowed(log)
    }

    /// Waits until the log is said to go on behind `at`, or until it is time to look.
    pub(super) async fn behind(&mut self, at: Sequence) {
        if let Self::Unfollowed(log) = self {
            let (tell, seen) = watch::channel(at);
            let follower = AbortOnDropHandle::new(tokio::spawn(follow(Arc::clone(log), at, tell)));
            *self = Self::Followed { seen, _follower: follower };
        }
        let grown = async {
            match self {
                Self::Node(grown) => {
                    grown.behind(at).await;
                    true
                }
                Self::Followed { seen, .. } => seen.wait_for(|seen| *seen > at).await.is_ok(),
                Self::Unfollowed(_) => false,
            }
        };
        match tokio::time::timeout(LOOK_AFTER, grown).await {
            Ok(true) | Err(_) => {}
            Ok(false) => tokio::time::sleep(LOOK_AFTER).await,
        }
    }
}

/// Says how far the log has grown, until nobody wants to know.
async fn follow(log: Arc<dyn TopologyLog>, mut at: Sequence, tell: watch::Sender<Sequence>) {
    loop {
        if let Ok(mut updates) = log.follow(at).await {
            while let Some(update) = updates.next().await {
                at = at.max(match update {
                    LogUpdate::Entry(stored) => stored.at.sequence,
                    // Whoever reads it will see why.
                    LogUpdate::Corrupt { sequence, .. } => sequence,
                });
                tell.send_replace(at);
            }
        }
        tokio::time::sleep(REOPEN_AFTER).await;
    }
}

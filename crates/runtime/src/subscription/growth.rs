//! How a reader that has read everything learns that there is more: as a number, never as the entries themselves.
//!
//! A number is overwritten by the next one, so a reader that does not look costs nothing.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::Sequence;
use aether_domain::ports::{LogUpdate, TopologyLog};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::control::service::Status;

/// How long a reader waits to be told of growth before it looks for itself: a node with a fault tells of none.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// How long to wait before a follower that could not begin, or ended, is begun again.
const REOPEN_AFTER: Duration = Duration::from_millis(200);

/// Whom a reader learns from.
pub(crate) enum Growth {
    /// A node that folds the log.
    Node(watch::Receiver<Arc<Status>>),
    /// Nobody yet: a follower of its own is begun when it is first needed.
    Unfollowed(Arc<dyn TopologyLog>),
    /// A follower of its own, which ends with the reader.
    Followed { seen: watch::Receiver<Sequence>, _follower: AbortOnDropHandle<()> },
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
                // A node with a fault learns nothing more: it is no witness.
                Self::Node(status) => {
                    status.wait_for(|status| status.fault.is_none() && status.topology.at().sequence > at).await.is_ok()
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

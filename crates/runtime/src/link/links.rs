//! The links of one node, by the life at their other end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aether_domain::ports::{SendError, Transport};
use aether_domain::{Incarnation, NodeRef};
use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Link;
use crate::vitals::Tally;

/// Links of one node: far more than a cluster has nodes, so only strangers that keep coming meet it.
pub const LINKS_MAX: usize = 1024;

/// Hears of frames that did not leave this node. It is told of asks only: whoever waits for an answer asks again.
pub(crate) trait Undelivered: Send + Sync {
    /// None of the asks with these sequences has left, for that reason.
    fn undelivered(&self, sequences: &[u64], fault: &SendError);
}

/// What all links of a node share.
pub(crate) struct Wiring {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) undelivered: Weak<dyn Undelivered>,
    /// Where sends that have to wait go on.
    pub(crate) runtime: Handle,
    /// The sends under way; closed and awaited when routing ends.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when routing ends.
    pub(crate) over: CancellationToken,
}

/// The links of one node, made when they are first needed and closed when their other end is no member any more.
pub(crate) struct Links {
    wiring: Arc<Wiring>,
    /// Looked at for every frame, by all threads: so it is never changed in place.
    table: ArcSwap<Table>,
    /// Held by whoever puts another in its place.
    changing: Mutex<()>,
}

#[derive(Clone)]
struct Table {
    me: NodeRef,
    by_life: BTreeMap<Incarnation, Arc<Link>>,
}

impl Links {
    /// No links yet, of that life.
    pub(crate) fn new(me: NodeRef, wiring: Wiring) -> Self {
        let table = ArcSwap::from_pointee(Table { me, by_life: BTreeMap::new() });
        Self { wiring: Arc::new(wiring), table, changing: Mutex::default() }
    }

    /// Does something with the link to that life; nothing if there are too many.
    pub(crate) fn with<R>(&self, to: &NodeRef, act: impl FnOnce(&Arc<Link>) -> R) -> Option<R> {
        if let Some(link) = self.table.load().by_life.get(&to.incarnation) {
            return Some(act(link));
        }
        self.made(to).as_ref().map(act)
    }

    fn made(&self, to: &NodeRef) -> Option<Arc<Link>> {
        let _alone = self.changing();
        let table = self.table.load();
        if let Some(link) = table.by_life.get(&to.incarnation) {
            return Some(link.clone());
        }
        if table.by_life.len() >= LINKS_MAX {
            return None;
        }
        let link = Arc::new(Link::new(table.me.clone(), to.clone(), self.wiring.clone()));
        let mut with_it = Table::clone(&table);
        with_it.by_life.insert(to.incarnation, link.clone());
        self.table.store(Arc::new(with_it));
        Some(link)
    }

    /// The link to that life, if there is one.
    pub(crate) fn known(&self, to: &NodeRef) -> Option<Arc<Link>> {
        self.table.load().by_life.get(&to.incarnation).cloned()
    }

    /// Closes the links to all others; what waits for them is dropped. A new life of this node starts without links.
    pub(crate) fn keep(&self, me: &NodeRef, lives: &BTreeSet<Incarnation>) {
        let _alone = self.changing();
        let mut kept = Table::clone(&self.table.load());
        let same = kept.me == *me;
        kept.me = me.clone();
        kept.by_life.retain(|life, link| {
            let stays = same && lives.contains(life);
            if !stays {
                // Before it is out of the table: no life has two open links, which would not keep their order.
                link.close();
            }
            stays
        });
        self.table.store(Arc::new(kept));
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked over each, and what has been answered.
    pub(crate) fn tallies(&self) -> Vec<Tally> {
        self.table.load().by_life.values().map(|link| link.tally()).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table.load().by_life.len()
    }
}

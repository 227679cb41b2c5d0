//! Streams of what changes, read from the stores by position: a slow reader misses nothing and nothing is queued for it.

use std::collections::VecDeque;

use aether_domain::ids::{NodeId, Revision, Sequence};
use aether_domain::ports::{ControlUpdate, LogUpdate, Updates};
use futures_util::stream;

use super::MemoryHub;
use super::changes::Watcher;

/// How many entries of the log a follower takes at a time.
const FOLLOW_ENTRIES_MAX: usize = 256;

/// Every key's last record, then every later one.
pub(super) fn watch(hub: MemoryHub, node: NodeId) -> Updates<ControlUpdate> {
    let changed = hub.shared.control_changed.watch();
    let watching = Watching {
        hub,
        node,
        changed,
        told: Revision::ZERO,
        caught_up: false,
        interrupted: false,
        ready: VecDeque::new(),
    };
    Box::pin(stream::unfold(watching, |mut watching| async move {
        loop {
            if let Some(update) = watching.ready.pop_front() {
                return Some((update, watching));
            }
            // Marked as seen before looking, so that a change after the look wakes us again.
            watching.changed.mark_unchanged();
            if !watching.look() {
                watching.changed.changed().await;
            }
        }
    }))
}

struct Watching {
    hub: MemoryHub,
    node: NodeId,
    changed: Watcher,
    /// The last revision told.
    told: Revision,
    caught_up: bool,
    interrupted: bool,
    /// At most one record a key.
    ready: VecDeque<ControlUpdate>,
}

impl Watching {
    /// Takes what is new; answers whether there was anything.
    fn look(&mut self) -> bool {
        let server = self.hub.lock();
        if server.switches.is_paused(&self.node) {
            return false;
        }
        let away = server.switches.away(&self.node).is_some();
        if away {
            if !std::mem::replace(&mut self.interrupted, true) {
                self.ready.push_back(ControlUpdate::Interrupted);
            }
            return !self.ready.is_empty();
        }
        let back = std::mem::replace(&mut self.interrupted, false);
        self.ready.extend(server.stores.control_since(self.told).cloned().map(ControlUpdate::Record));
        self.told = server.stores.revision();
        if !std::mem::replace(&mut self.caught_up, true) || back {
            self.ready.push_back(ControlUpdate::CaughtUp);
        }
        !self.ready.is_empty()
    }
}

/// Every entry behind `after`, then every later one.
pub(super) fn follow(hub: MemoryHub, node: NodeId, after: Sequence) -> Updates<LogUpdate> {
    let changed = hub.shared.log_changed.watch();
    let following = Following { hub, node, changed, told: after, ready: VecDeque::new() };
    Box::pin(stream::unfold(following, |mut following| async move {
        loop {
            if let Some(update) = following.ready.pop_front() {
                return Some((update, following));
            }
            following.changed.mark_unchanged();
            if !following.look() {
                following.changed.changed().await;
            }
        }
    }))
}

struct Following {
    hub: MemoryHub,
    node: NodeId,
    changed: Watcher,
    /// The last sequence taken.
    told: Sequence,
    /// At most [`FOLLOW_ENTRIES_MAX`].
    ready: VecDeque<LogUpdate>,
}

impl Following {
    fn look(&mut self) -> bool {
        let server = self.hub.lock();
        if server.switches.is_paused(&self.node) || server.switches.away(&self.node).is_some() {
            return false;
        }
        let entries = server.stores.entries(self.told).iter().take(FOLLOW_ENTRIES_MAX).cloned();
        self.ready.extend(entries.map(LogUpdate::Entry));
        if let Some(LogUpdate::Entry(last)) = self.ready.back() {
            self.told = last.at.sequence;
        }
        !self.ready.is_empty()
    }
}

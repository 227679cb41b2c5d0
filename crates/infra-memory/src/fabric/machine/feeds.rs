//! What watchers and followers are told: read from the stores by position, late and twice as the faults have it.

use aether_domain::Monotonic;
use aether_domain::ports::{ControlUpdate, LogUpdate};

use super::{Fabric, Pending};
use crate::fabric::event::FabricEvent;

/// How many entries a follower is fed at a time.
const FEED_ENTRIES_MAX: usize = 256;

impl Fabric {
    pub(super) fn feed(&mut self, now: Monotonic, node: usize) {
        self.feed_control(now, node);
        self.feed_log(now, node);
    }

    /// Plans the next feed of a node's watch, unless one is planned.
    pub(super) fn feed_control(&mut self, now: Monotonic, node: usize) {
        let Some(watch) = self.links.get_mut(&node).and_then(|link| link.watch.as_mut()).filter(|w| !w.fed) else {
            return;
        };
        watch.fed = true;
        let subscription = watch.number;
        let at = self.update_arrives(now);
        self.plan(at, Pending::FeedControl { node, subscription });
    }

    /// Plans the next feed of a node's follower, unless one is planned.
    pub(super) fn feed_log(&mut self, now: Monotonic, node: usize) {
        let Some(follow) = self.links.get_mut(&node).and_then(|link| link.follow.as_mut()).filter(|f| !f.fed) else {
            return;
        };
        follow.fed = true;
        let subscription = follow.number;
        let at = self.update_arrives(now);
        self.plan(at, Pending::FeedLog { node, subscription });
    }

    fn update_arrives(&mut self, now: Monotonic) -> Monotonic {
        now + self.faults.latency.draw(&mut self.dice) + self.faults.update_lag.draw(&mut self.dice)
    }

    pub(super) fn tell_control(&mut self, now: Monotonic, node: usize, subscription: u64, out: &mut Vec<FabricEvent>) {
        let away = self.away(node).is_some() || self.leaderless_until > now;
        let twice = !away && self.faults.update_twice.strikes(&mut self.dice);
        let link = self.links.entry(node).or_default();
        let Some(watch) = link.watch.as_mut().filter(|watch| watch.number == subscription) else { return };
        watch.fed = false;
        let mut updates = Vec::new();
        if away {
            if !std::mem::replace(&mut link.interrupted, true) {
                updates.push(ControlUpdate::Interrupted);
            }
        } else {
            let back = std::mem::replace(&mut link.interrupted, false);
            updates.extend(self.stores.updates_since(watch.told));
            watch.told = self.stores.revision();
            if twice {
                updates.extend(updates.clone());
            }
            if !std::mem::replace(&mut watch.caught_up, true) || back {
                updates.push(ControlUpdate::CaughtUp);
            }
        }
        for update in updates {
            link.pass(FabricEvent::Control { node, update }, out);
        }
        if twice {
            self.strike("update twice");
        }
        self.feed_after_election(now, |fabric, at| fabric.feed_control(at, node));
    }

    pub(super) fn tell_log(&mut self, now: Monotonic, node: usize, subscription: u64, out: &mut Vec<FabricEvent>) {
        let away = self.away(node).is_some() || self.leaderless_until > now;
        let twice = !away && self.faults.update_twice.strikes(&mut self.dice);
        let link = self.links.entry(node).or_default();
        let Some(follow) = link.follow.as_mut().filter(|follow| follow.number == subscription) else { return };
        follow.fed = false;
        if away {
            self.feed_after_election(now, |fabric, at| fabric.feed_log(at, node));
            return;
        }
        let behind = self.stores.entries(follow.told);
        let more = behind.len() > FEED_ENTRIES_MAX;
        let mut entries: Vec<_> = behind.iter().take(FEED_ENTRIES_MAX).cloned().collect();
        follow.told = entries.last().map_or(follow.told, |last| last.at.sequence);
        if twice && let Some(last) = entries.last().cloned() {
            entries.push(last);
        }
        for entry in entries {
            link.pass(FabricEvent::Log { node, update: LogUpdate::Entry(entry) }, out);
        }
        if twice {
            self.strike("update twice");
        }
        if more {
            self.feed_log(now, node);
        }
    }

    /// What could not be told for want of a leader is told once there is one.
    fn feed_after_election(&mut self, now: Monotonic, feed: impl FnOnce(&mut Self, Monotonic)) {
        if self.leaderless_until > now {
            feed(self, self.leaderless_until);
        }
    }
}

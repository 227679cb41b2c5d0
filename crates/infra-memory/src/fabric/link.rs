//! One node's side of the fabric: whether it is connected, what it subscribed to, and what waits while it is paused.

use std::collections::VecDeque;

use aether_domain::Monotonic;
use aether_domain::ids::{Revision, Sequence};
use aether_domain::ports::Delivery;

use super::event::FabricEvent;

/// How many deliveries wait for a paused node before the rest is dropped and told as an overrun.
const HELD_DELIVERIES_MAX: usize = 65_536;

/// Where a subscription has got to.
#[derive(Clone, Debug)]
pub(super) struct Subscription<P> {
    /// The last position told.
    pub(super) told: P,
    /// Whether the end of the first list has been told.
    pub(super) caught_up: bool,
    /// Whether a feed is under way already.
    pub(super) fed: bool,
    /// Feeds of an older subscription are not for this one.
    pub(super) number: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Counts crashes: what was meant for an earlier process is dropped.
    pub(super) session: u64,
    /// Since when it is cut off.
    pub(super) cut_since: Option<Monotonic>,
    /// Whether the watcher was told of the present interruption.
    pub(super) interrupted: bool,
    pub(super) watch: Option<Subscription<Revision>>,
    pub(super) follow: Option<Subscription<Sequence>>,
    /// Counts pauses, so that a late end of one does not end the next.
    pub(super) pauses: u64,
    paused: bool,
    held: VecDeque<FabricEvent>,
    held_deliveries: usize,
}

impl Link {
    /// Passes an event on, or keeps it while the node is paused.
    pub(super) fn pass(&mut self, event: FabricEvent, out: &mut Vec<FabricEvent>) {
        if !self.paused {
            out.push(event);
            return;
        }
        if let FabricEvent::Delivery { node, life, .. } = &event {
            self.held_deliveries += 1;
            if self.held_deliveries == HELD_DELIVERIES_MAX {
                let (node, life) = (*node, life.clone());
                self.held.push_back(FabricEvent::Delivery { node, life, delivery: Delivery::Overrun });
            }
            if self.held_deliveries >= HELD_DELIVERIES_MAX {
                return;
            }
        }
        self.held.push_back(event);
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
        self.pauses += 1;
    }

    /// Ends that pause and gives out what was kept, in order.
    pub(super) fn resume(&mut self, pauses: u64, out: &mut Vec<FabricEvent>) {
        if self.pauses == pauses {
            self.paused = false;
            self.held_deliveries = 0;
            out.extend(self.held.drain(..));
        }
    }

    /// The process is gone: nothing that was meant for it arrives any more. The connection stays as it was.
    pub(super) fn crash(&mut self) {
        let (session, pauses, cut_since) = (self.session + 1, self.pauses + 1, self.cut_since);
        *self = Self { session, cut_since, pauses, ..Self::default() };
    }
}

//! The way of a message between two lives: in order for each pair, at most once.

use aether_domain::Monotonic;
use aether_domain::ids::NodeRef;
use aether_domain::ports::{Delivery, Frame};

use super::{Fabric, Pending, Sender};
use crate::fabric::event::FabricEvent;
use crate::fabric::message_bytes;
use crate::fabric::outcome::{Outcome, SendFailure};

impl Fabric {
    pub(super) fn send(&mut self, now: Monotonic, by: Sender, from: NodeRef, to: NodeRef, frames: Vec<Frame>) {
        let outcome = match (message_bytes(&frames), self.away(by.node)) {
            (Err(failure), _) => Err(failure),
            (Ok(_), Some(cause)) => Err(SendFailure::Unavailable(cause)),
            (Ok(_), None) => Ok(()),
        };
        let sent = outcome.is_ok();
        // A client says "sent" once the bytes are its own library's, which takes no time.
        self.plan(now, Pending::TimeOut { of: by, outcome: Outcome::Sent(outcome) });
        if !sent {
            return;
        }
        if self.faults.message_lost.strikes(&mut self.dice) {
            self.strike("message lost");
            return;
        }
        let way = self.faults.latency.draw(&mut self.dice) + self.faults.message_delay.draw(&mut self.dice);
        let last = self.last_arrival.entry((by.node, to.clone())).or_insert(now);
        *last = (*last).max(now + way);
        let arrives = *last;
        self.plan(arrives, Pending::Route { sender: by.node, from, to, frames });
    }

    pub(super) fn route(
        &mut self,
        now: Monotonic,
        sender: usize,
        from: NodeRef,
        to: NodeRef,
        frames: Vec<Frame>,
        out: &mut Vec<FabricEvent>,
    ) {
        if self.away(sender).is_some() {
            self.strike("message cut off");
            return;
        }
        let listens = self.listeners.get(&to).copied();
        let cut_since = listens.and_then(|node| self.link(node).cut_since);
        let noticed = cut_since.is_some_and(|since| now.since(since) >= self.faults.notices_after);
        match listens {
            Some(node) if cut_since.is_none() => {
                let event = FabricEvent::Delivery { node, life: to, delivery: Delivery::Frames { from, frames } };
                self.link(node).pass(event, out);
            }
            Some(_) if !noticed => self.strike("message cut off"),
            _ => {
                let back = now + self.faults.latency.draw(&mut self.dice);
                self.plan(back, Pending::Unreachable { to: from, nobody: to });
            }
        }
    }

    /// Word that nobody was there reaches the sender, if it still listens.
    pub(super) fn unreachable(&mut self, sender: NodeRef, nobody: NodeRef, out: &mut Vec<FabricEvent>) {
        let Some(node) = self.listeners.get(&sender).copied() else { return };
        if self.away(node).is_none() {
            let delivery = Delivery::Unreachable { to: nobody };
            self.link(node).pass(FabricEvent::Delivery { node, life: sender, delivery }, out);
        }
    }
}

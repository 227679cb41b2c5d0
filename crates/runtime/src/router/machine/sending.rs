//! How a command leaves, waits, and is taken off the books: the only places that touch counters, timers and budgets.

use aether_domain::ports::Answer;
use aether_domain::{CommandId, Monotonic};

use super::super::ask::{Pending, Place, Target, Try, weight};
use super::super::bounds::{HELD_BYTES_PER_SHARD_MAX, HELD_PER_SHARD_MAX, RESEND_AFTER, RESEND_LEFT_MIN};
use super::{Effect, ShardAsks, ended};
use crate::view::View;

impl<T> ShardAsks<T> {
    pub(super) fn send(&mut self, now: Monotonic, view: &View, sequence: u64, effects: &mut Vec<Effect<T>>) {
        let (target, floor) = (self.target.clone(), self.window.floor().unwrap_or(sequence));
        let id = CommandId { origin: self.origin, sequence };
        let Some(ask) = self.asks.get_mut(sequence) else { return };
        // A life that goes on has told, or will tell, what it did; only one that is over may have been ended by it.
        if ask.lost.take_if(|to| to.is_gone(view)).is_some() {
            ask.attempt = ask.attempt.saturating_add(1);
        }
        ask.sendings = ask.sendings.saturating_add(1);
        ask.place = Place::Out(target.clone());
        ask.unanswered += 1;
        let left = ask.deadline.since(now);
        let resend = matches!(target, Target::There(_)) && left >= RESEND_LEFT_MIN * 2;
        let wake = if resend { now + RESEND_AFTER.min(left / 2) } else { ask.deadline };
        let wants_answer = ask.token.is_some();
        let attempt = Try {
            id,
            floor,
            request: ask.request.clone(),
            deadline: ask.deadline,
            attempt: ask.attempt,
            sending: ask.sendings,
            view: view.epoch,
            wants_answer,
        };
        match target {
            Target::Here => effects.push(Effect::Deliver { attempt }),
            Target::There(to) => effects.push(Effect::Send { to, attempt }),
            Target::Nowhere => debug_assert!(false, "nothing is sent nowhere"),
        }
        if wants_answer {
            self.set_wake(sequence, wake);
        } else {
            self.forget(sequence);
        }
    }

    /// Lets a command wait for the hold, or refuses it if too many do and it is certainly not applied.
    pub(super) fn hold_back(&mut self, sequence: u64, effects: &mut Vec<Effect<T>>) {
        let Some(ask) = self.asks.get_mut(sequence) else { return };
        let (bytes, deadline) = (weight(&ask.request), ask.deadline);
        let fits = self.held < HELD_PER_SHARD_MAX && self.held_bytes + bytes <= HELD_BYTES_PER_SHARD_MAX;
        if !(fits && self.budget.hold(bytes)) {
            if !ask.maybe_applied() {
                // Counted out of the hold before it is counted in: nothing of it is held yet.
                ask.place = Place::BackOff;
                self.complete(sequence, Answer::Busy, effects);
                return;
            }
            self.budget.hold_regardless(bytes);
        }
        ask.place = Place::Waiting;
        self.held += 1;
        self.held_bytes += bytes;
        self.set_wake(sequence, deadline);
    }

    /// Nobody will say what became of its last sending.
    pub(super) fn lose(&mut self, sequence: u64, effects: &mut Vec<Effect<T>>) {
        if let Some(ask) = self.asks.get_mut(sequence)
            && let Place::Out(to) = &ask.place
        {
            ask.lost = Some(to.clone());
            self.hold_back(sequence, effects);
        }
    }

    /// The asks that are so, in order.
    pub(super) fn sequences(&self, is: impl Fn(&Pending<T>) -> bool) -> Vec<u64> {
        self.asks.iter().filter(|(_, ask)| is(ask)).map(|(sequence, _)| *sequence).collect()
    }

    pub(super) fn set_wake(&mut self, sequence: u64, wake: Monotonic) {
        if let Some(ask) = self.asks.get(sequence) {
            let wake = wake.min(ask.deadline);
            self.asks.set_wake(sequence, wake);
        }
    }

    pub(super) fn take_from_hold(&mut self, sequence: u64) {
        if let Some(ask) = self.asks.get(sequence) {
            let bytes = weight(&ask.request);
            self.held -= 1;
            self.held_bytes -= bytes;
            self.budget.release(bytes);
        }
    }

    pub(super) fn complete(&mut self, sequence: u64, answer: Answer, effects: &mut Vec<Effect<T>>) {
        if let Some(ask) = self.forget(sequence) {
            effects.push(ended(ask.token, answer));
        }
    }

    pub(super) fn forget(&mut self, sequence: u64) -> Option<Pending<T>> {
        if self.asks.get(sequence)?.place == Place::Waiting {
            self.take_from_hold(sequence);
        }
        let ask = self.asks.remove(sequence)?;
        self.window.close(sequence);
        self.budget.give_back(weight(&ask.request));
        Some(ask)
    }
}

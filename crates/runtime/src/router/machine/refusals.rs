//! What an answer means for an ask and for its shard, and what time does: holding, releasing, repeating, giving up.

use std::time::Duration;

use aether_domain::ports::Answer;
use aether_domain::{Epoch, Monotonic};

use super::super::ask::{Place, Target, back_off};
use super::super::bounds::{BACK_OFF_MIN, RESEND_AFTER, RESEND_LEFT_MIN, RETRY_AFTER_MAX};
use super::{Effect, Hold, Sent, ShardAsks};
use crate::view::View;

impl<T> ShardAsks<T> {
    pub(super) fn answered(
        &mut self,
        now: Monotonic,
        sequence: u64,
        sent: Sent<'_>,
        known: Epoch,
        answer: Answer,
        effects: &mut Vec<Effect<T>>,
    ) {
        let Some(ask) = self.asks.get_mut(sequence) else { return };
        ask.unanswered = ask.unanswered.saturating_sub(1);
        ask.lost.take_if(|_| ask.unanswered == 0);
        let current = matches!(&ask.place, Place::Out(to) if to == sent.to);
        match answer {
            Answer::NotOwner { .. } | Answer::Moving { .. } | Answer::Behind if current => {
                self.hold_back(sequence, effects);
                self.refused_by(now, sent.to.clone(), known);
            }
            Answer::Unavailable { retry_after, maybe_applied } => {
                ask.perhaps |= maybe_applied;
                if current {
                    self.refused_alone(now, sequence, Some(retry_after));
                }
            }
            Answer::Busy if current => self.refused_alone(now, sequence, None),
            // A late refusal of an earlier sending: only its account is settled.
            Answer::NotOwner { .. } | Answer::Moving { .. } | Answer::Behind | Answer::Busy => {}
            fate @ Answer::Expired { .. } => {
                let fate = fate.or_applied(ask.maybe_applied());
                self.complete(sequence, fate, effects);
            }
            // Nothing came of this sending; a later one is on its way and may be stored.
            Answer::Looked(_) | Answer::Rejected(_) if sent.nth != ask.sendings => {
                self.wait_for_the_last(now, sequence);
            }
            fate @ (Answer::Replied(_)
            | Answer::Looked(_)
            | Answer::Rejected(_)
            | Answer::Poisoned { .. }
            | Answer::Invalid { .. }
            | Answer::Quarantined { .. }) => {
                let fate = fate.or_applied(ask.maybe_applied());
                self.round = 0;
                self.complete(sequence, fate, effects);
            }
        }
    }

    /// Holds the shard, or goes on holding it: `who` does not take its commands.
    pub(super) fn refused_by(&mut self, now: Monotonic, who: Target, known: Epoch) {
        let retry_at = now + back_off(self.round, u64::from(self.shard.0) ^ self.minted);
        if let Some(hold) = &mut self.hold {
            hold.reach = hold.reach.max(known);
            hold.refused = Some(who);
            hold.retry_at.get_or_insert(retry_at);
        } else {
            self.hold = Some(Hold { refused: Some(who), reach: known, retry_at: Some(retry_at) });
            self.round = self.round.saturating_add(1);
        }
    }

    /// It never left: as if its target had refused it.
    pub(super) fn not_sent(&mut self, now: Monotonic, sequence: u64, effects: &mut Vec<Effect<T>>) {
        let Some(ask) = self.asks.get_mut(sequence) else { return };
        let Place::Out(to @ Target::There(_)) = ask.place.clone() else { return };
        ask.unanswered = ask.unanswered.saturating_sub(1);
        self.hold_back(sequence, effects);
        self.refused_by(now, to, Epoch::ZERO);
    }

    /// An answer shows that what was sent arrives, so the last sending's answer is on its way too: one more sending now
    /// would only move the last one further off.
    fn wait_for_the_last(&mut self, now: Monotonic, sequence: u64) {
        let Some(ask) = self.asks.get(sequence) else { return };
        if matches!(ask.place, Place::Out(_)) {
            let left = ask.deadline.since(now);
            let wake = if left >= RESEND_LEFT_MIN * 2 { now + RESEND_AFTER.max(left / 2) } else { ask.deadline };
            self.set_wake(sequence, wake);
        }
    }

    /// It can never leave, though an earlier sending of it may have.
    pub(super) fn too_large(&mut self, sequence: u64, reason: String, effects: &mut Vec<Effect<T>>) {
        let Some(ask) = self.asks.get_mut(sequence) else { return };
        ask.unanswered = ask.unanswered.saturating_sub(1);
        let maybe_applied = ask.maybe_applied();
        self.complete(sequence, Answer::Invalid { reason, maybe_applied }, effects);
    }

    pub(super) fn refused_alone(&mut self, now: Monotonic, sequence: u64, after: Option<Duration>) {
        let Some(ask) = self.asks.get_mut(sequence) else { return };
        let pause = match after {
            Some(after) => after.clamp(BACK_OFF_MIN, RETRY_AFTER_MAX),
            None => back_off(ask.round, sequence >> 16),
        };
        ask.round = ask.round.saturating_add(1);
        ask.place = Place::BackOff;
        let wake = ask.deadline.min(now + pause);
        self.set_wake(sequence, wake);
    }

    pub(super) fn unreachable(&mut self, now: Monotonic, to: &Target, effects: &mut Vec<Effect<T>>) {
        let out = self.sequences(|ask| matches!(&ask.place, Place::Out(place) if place == to));
        if out.is_empty() {
            return;
        }
        for sequence in out {
            self.lose(sequence, effects);
        }
        self.refused_by(now, to.clone(), Epoch::ZERO);
    }

    pub(super) fn wake(&mut self, now: Monotonic, view: &View, effects: &mut Vec<Effect<T>>) {
        while let Some((at, sequence)) = self.asks.next_wake()
            && at <= now
            && let Some(ask) = self.asks.get(sequence)
        {
            if ask.deadline <= now {
                let maybe_applied = ask.maybe_applied();
                self.complete(sequence, Answer::Expired { maybe_applied }, effects);
                continue;
            }
            let lost = match &ask.place {
                Place::Out(to) => Some(to.clone()),
                Place::BackOff | Place::Waiting => None,
            };
            if self.hold.is_some() || self.target == Target::Nowhere {
                match lost {
                    // Its shard is held: the release decides whether to send it again.
                    Some(_) => self.set_wake(sequence, now + RESEND_AFTER),
                    None => self.hold_back(sequence, effects),
                }
                if self.hold.is_none() {
                    self.hold = Some(Hold { refused: None, reach: Epoch::ZERO, retry_at: None });
                }
                continue;
            }
            if let (Some(to), Some(ask)) = (lost, self.asks.get_mut(sequence)) {
                ask.lost = Some(to);
            }
            self.send(now, view, sequence, effects);
        }
    }

    pub(super) fn release(&mut self, now: Monotonic, view: &View, effects: &mut Vec<Effect<T>>) {
        let Some(hold) = &self.hold else { return };
        let due = hold.retry_at.is_some_and(|at| at <= now);
        let elsewhere = view.epoch >= hold.reach && hold.refused.as_ref().is_none_or(|who| *who != self.target);
        if self.target == Target::Nowhere || !(due || (elsewhere && !self.stragglers())) {
            return;
        }
        self.hold = None;
        // Whoever was asked before and has not answered by now is taken to have lost it: the id makes a repeat harmless.
        for sequence in self.sequences(|ask| matches!(&ask.place, Place::Out(to) if *to != self.target)) {
            self.lose(sequence, effects);
        }
        for sequence in self.sequences(|ask| ask.place == Place::Waiting) {
            self.take_from_hold(sequence);
            self.send(now, view, sequence, effects);
        }
    }
}

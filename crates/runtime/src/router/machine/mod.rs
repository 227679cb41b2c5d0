//! The outstanding asks of this node for one shard, as a pure machine: ids, floors, refusals, holding back, deadlines.
//!
//! A shard whose commands were refused is *held*: they wait and are sent again, in order, once the view names somebody
//! else, or after a pause. When the view moves a shard, commands for the new owner wait until the old one has answered
//! what it was sent (or is gone, or is slow): no command overtakes an earlier one across a move. A command that was
//! refused by itself (`Busy`, `Unavailable`) comes back alone, so commands in flight together may overtake it.
//!
//! What came of one sending says nothing of a later one, unless it is stored: a rejection, or a reply without events, ends
//! an ask only if it answers the last sending. Otherwise the last one's answer is waited for, since that one may be run on
//! another state and be stored. Links keep their order, so the last sending to a life is the last to be run there.
//!
//! It does not send, encode or wait: [`super::service`] does. A command that runs in place on this node touches it only
//! to be given an id and to be taken off the window, unless it is refused.

mod asks;
mod refusals;
mod sending;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aether_domain::ports::{Answer, Request};
use aether_domain::{CommandId, Epoch, Incarnation, Monotonic, NodeRef, ShardId, Slot};

use self::asks::Asks;
use super::ask::{Pending, Place, Target, Try, weight};
use super::bounds::{RETRY_NEXT_LIFE, STRAGGLERS_WAIT};
use super::budget::NodeBudget;
use super::window::{Window, sequence};
use crate::view::View;

/// What happens to a shard's asks. `T` is whatever tells the caller.
#[derive(Debug)]
pub(crate) enum Input<T> {
    /// A new command; without a token it is sent at most once and nobody is told.
    Ask { token: Option<T>, request: Arc<Request>, deadline: Monotonic },
    /// A command that was begun in place was refused: from now on it is looked after here.
    RefusedHere { sequence: u64, token: T, request: Arc<Request>, deadline: Monotonic, answer: Answer },
    /// What `from` says became of a command as it was sent the `sending`th time, on the topology epoch `view`.
    Answered { sequence: u64, sending: u32, from: Target, view: Epoch, answer: Answer },
    /// A sending did not leave this node.
    NotSent { sequence: u64 },
    /// A sending can never leave this node: it is larger than a message may be.
    TooLarge { sequence: u64, reason: String },
    /// Something sent to that life met nobody.
    Unreachable { to: NodeRef },
    /// There is another view, or time has passed.
    Look,
    /// Routing ends: every caller is told what is known.
    Over,
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect<T> {
    /// Send to another life.
    Send { to: NodeRef, attempt: Try },
    /// Hand to a shard of this node.
    Deliver { attempt: Try },
    /// Tell the caller. Never [`Answer::NotOwner`], [`Answer::Moving`] or [`Answer::Behind`].
    Complete { token: T, answer: Answer },
    /// A `tell` was not sent and never will be.
    Untold { answer: Answer },
}

/// What becomes of a command that would run in place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Run it here under this id.
    Here { id: CommandId, floor: u64 },
    /// Too many are outstanding.
    Busy,
    /// Not here, or not now: let it go through [`ShardAsks::step`].
    Elsewhere,
    /// Step with [`Input::Look`] first: this view has not been looked at.
    NewView,
}

/// Why a shard's commands wait.
#[derive(Debug)]
struct Hold {
    /// Who refused; sent on once the view names somebody else. None if the wait is only for stragglers or for a route.
    refused: Option<Target>,
    /// The epoch that the refusal knew of.
    reach: Epoch,
    /// When to try again whatever the view says, if it names anybody.
    retry_at: Option<Monotonic>,
}

/// The outstanding asks for one shard. Invariant: whatever waits, waits for `hold`.
#[derive(Debug)]
pub(crate) struct ShardAsks<T> {
    shard: ShardId,
    origin: Incarnation,
    minted: u64,
    budget: Arc<NodeBudget>,
    window: Window,
    asks: Asks<T>,
    seen: Option<Epoch>,
    target: Target,
    hold: Option<Hold>,
    /// How often the shard was held since it last answered.
    round: u32,
    held: usize,
    held_bytes: usize,
}

impl<T> ShardAsks<T> {
    /// No asks yet, for the life that `origin` names.
    pub(crate) fn new(shard: ShardId, origin: Incarnation, budget: Arc<NodeBudget>) -> Self {
        Self {
            shard,
            origin,
            minted: 0,
            budget,
            window: Window::new(shard),
            asks: Asks::new(),
            seen: None,
            target: Target::Nowhere,
            hold: None,
            round: 0,
            held: 0,
            held_bytes: 0,
        }
    }

    /// Whether a command for that slot may run in place, and under which id. The caller reports back with
    /// [`Self::settle`] or [`Input::RefusedHere`], exactly once.
    pub(crate) fn begin(&mut self, view: &View, slot: Slot) -> Begin {
        if !self.has_seen(view) {
            return Begin::NewView;
        }
        if self.target != Target::Here || self.hold.is_some() {
            return Begin::Elsewhere;
        }
        if !self.window.has_room(slot) {
            return Begin::Busy;
        }
        let sequence = self.mint();
        self.window.open(sequence, slot);
        let id = CommandId { origin: self.origin, sequence };
        Begin::Here { id, floor: self.window.floor().unwrap_or(sequence) }
    }

    /// Takes a command that ran in place off the window. True if others wait for that: then step with
    /// [`Input::Look`].
    pub(crate) fn settle(&mut self, sequence: u64) -> bool {
        self.window.close(sequence);
        self.hold.is_some()
    }

    /// Whether the view's life and epoch are those this machine acts on.
    fn has_seen(&self, view: &View) -> bool {
        self.seen == Some(view.epoch) && self.origin == view.me.incarnation
    }

    /// When [`Input::Look`] is due, if nothing else happens.
    pub(crate) fn wakes_at(&self) -> Option<Monotonic> {
        let timer = self.asks.next_wake().map(|(at, _)| at);
        let retry = self.hold.as_ref().filter(|_| self.target != Target::Nowhere).and_then(|hold| hold.retry_at);
        [timer, retry].into_iter().flatten().min()
    }

    /// How many commands are outstanding, those that run in place included.
    pub(crate) fn outstanding(&self) -> usize {
        self.window.len()
    }

    /// Takes one input; what is to be done is added to `effects`.
    pub(crate) fn step(&mut self, now: Monotonic, view: &View, input: Input<T>, effects: &mut Vec<Effect<T>>) {
        self.look(now, view, effects);
        match input {
            Input::Ask { token, request, deadline } => self.ask(now, view, token, request, deadline, effects),
            Input::RefusedHere { sequence, token, request, deadline, answer } => {
                if self.adopt(sequence, token, request, deadline, &answer, effects) {
                    self.answered(now, sequence, Sent { nth: 1, to: &Target::Here }, view.epoch, answer, effects);
                }
            }
            Input::Answered { sequence, sending, from, view, answer } => {
                self.answered(now, sequence, Sent { nth: sending, to: &from }, view, answer, effects);
            }
            Input::NotSent { sequence } => self.not_sent(now, sequence, effects),
            Input::TooLarge { sequence, reason } => self.too_large(sequence, reason, effects),
            Input::Unreachable { to } => self.unreachable(now, &Target::There(to), effects),
            Input::Look => {}
            Input::Over => self.over(effects),
        }
        self.wake(now, view, effects);
        self.release(now, view, effects);
    }

    // The view.

    fn look(&mut self, now: Monotonic, view: &View, effects: &mut Vec<Effect<T>>) {
        if self.has_seen(view) {
            return;
        }
        if self.origin != view.me.incarnation {
            self.over(effects);
            self.origin = view.me.incarnation;
        }
        self.seen = Some(view.epoch);
        let target = Target::of(view, self.shard);
        if target == self.target {
            return;
        }
        let left = std::mem::replace(&mut self.target, target);
        let out: Vec<u64> = self.sequences(|ask| matches!(&ask.place, Place::Out(to) if to.is_gone(view)));
        for sequence in out {
            self.lose(sequence, effects);
        }
        let stragglers = self.stragglers() || (left == Target::Here && self.begun_here() > 0);
        let retry_at = stragglers.then_some(now + STRAGGLERS_WAIT);
        match &mut self.hold {
            Some(hold) => hold.retry_at = retry_at.or(hold.retry_at),
            None if stragglers || self.held > 0 => {
                self.hold = Some(Hold { refused: None, reach: Epoch::ZERO, retry_at });
            }
            None => {}
        }
    }

    /// Commands that were begun in place and are not looked after here.
    fn begun_here(&self) -> usize {
        self.window.len() - self.asks.len()
    }

    /// Whether somebody other than the present target still has to answer.
    fn stragglers(&self) -> bool {
        let elsewhere = |ask: &Pending<T>| matches!(&ask.place, Place::Out(to) if *to != self.target);
        self.asks.iter().map(|(_, ask)| ask).any(elsewhere) || (self.target != Target::Here && self.begun_here() > 0)
    }

    fn over(&mut self, effects: &mut Vec<Effect<T>>) {
        for sequence in self.sequences(|_| true) {
            let maybe_applied = self.asks.get(sequence).is_some_and(Pending::maybe_applied);
            self.complete(sequence, Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied }, effects);
        }
        self.window.clear();
        (self.hold, self.round) = (None, 0);
    }

    // New commands.

    fn mint(&mut self) -> u64 {
        self.minted += 1;
        sequence(self.minted, self.shard)
    }

    fn ask(
        &mut self,
        now: Monotonic,
        view: &View,
        token: Option<T>,
        request: Arc<Request>,
        deadline: Monotonic,
        effects: &mut Vec<Effect<T>>,
    ) {
        if deadline <= now {
            effects.push(ended(token, Answer::Expired { maybe_applied: false }));
            return;
        }
        let slot = request.actor.slot;
        if !self.window.has_room(slot) || !self.budget.take(weight(&request)) {
            effects.push(ended(token, Answer::Busy));
            return;
        }
        let sequence = self.mint();
        self.window.open(sequence, slot);
        self.asks.insert(sequence, Pending::new(token, request, deadline));
        if self.target == Target::Nowhere && self.hold.is_none() {
            self.hold = Some(Hold { refused: None, reach: Epoch::ZERO, retry_at: None });
        }
        if self.hold.is_some() {
            self.hold_back(sequence, effects);
        } else {
            self.send(now, view, sequence, effects);
        }
    }

    /// Takes over a command that was begun in place. False if it is over already.
    fn adopt(
        &mut self,
        sequence: u64,
        token: T,
        request: Arc<Request>,
        deadline: Monotonic,
        answer: &Answer,
        effects: &mut Vec<Effect<T>>,
    ) -> bool {
        let applied = matches!(answer, Answer::Unavailable { maybe_applied: true, .. });
        if !self.window.contains(sequence) {
            let answer = Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied: applied };
            effects.push(Effect::Complete { token, answer });
            return false;
        }
        if !self.budget.take(weight(&request)) {
            self.window.close(sequence);
            let answer = if applied {
                Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied: true }
            } else {
                Answer::Busy
            };
            effects.push(Effect::Complete { token, answer });
            return false;
        }
        let mut ask = Pending::new(Some(token), request, deadline);
        (ask.place, ask.unanswered, ask.sendings) = (Place::Out(Target::Here), 1, 1);
        self.asks.insert(sequence, ask);
        true
    }
}

/// One sending of a command.
struct Sent<'a> {
    /// Which one, from 1.
    nth: u32,
    /// To whom.
    to: &'a Target,
}

/// Tells whoever asked that it is over.
fn ended<T>(token: Option<T>, answer: Answer) -> Effect<T> {
    match token {
        Some(token) => Effect::Complete { token, answer },
        None => Effect::Untold { answer },
    }
}

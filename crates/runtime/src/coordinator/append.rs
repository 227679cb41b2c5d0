//! One entry on its way into the log, carried to a certain end (rules R1 and R13).
//!
//! After a conflict or an unknown outcome the log is read on: an entry of ours that landed is met there, and an entry of
//! somebody else in its place proves that ours never will be. Until either, the same entry is sent again.

use std::time::Duration;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::records::{Entry, Position};
use aether_domain::{Monotonic, Sequence};

use super::machine::RETRY_AFTER;
use crate::control::{Effect, Timers, Token};

/// How an append went, as the machines see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendResult {
    /// Stored there.
    Ok(Position),
    /// Nothing of this attempt was stored.
    Conflict {
        /// The sequence found, where the log named it.
        actual: Option<Sequence>,
    },
    /// It may be stored now, later, or never.
    Unknown,
    /// Certainly not stored.
    Unavailable,
    /// Certainly not stored, and never will be.
    TooLarge,
}

/// An append whose outcome is not known yet.
#[derive(Debug)]
pub(super) struct PendingAppend {
    entry: Entry,
    after: Sequence,
    token: Token,
    first_sent: Monotonic,
    state: State,
}

#[derive(Debug)]
enum State {
    Sent,
    ReadAt(Monotonic),
    Reading,
    ResendAt(Monotonic),
}

/// What an entry that was met in the log means for the one on its way.
pub(super) enum Met {
    /// It is ours.
    Ours,
    /// It stands where ours was to be: ours can never be stored now.
    InItsPlace,
    /// Nothing.
    Earlier,
}

impl PendingAppend {
    pub(super) fn send(entry: Entry, after: Sequence, token: Token, now: Monotonic, effects: &mut Vec<Effect>) -> Self {
        effects.push(Effect::Append { token, entry: entry.clone(), after });
        Self { entry, after, token, first_sent: now, state: State::Sent }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }
    /// Behind which entry it is to be stored.
    pub(super) fn after(&self) -> Sequence {
        self.after
    }
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }
    pub(super) fn first_sent(&self) -> Monotonic {
        self.first_sent
    }
    /// Whether its outcome has been unknown for too long.
    pub(super) fn is_stuck(&self, longest: Duration, timers: &mut Timers) -> bool {
        timers.reached(self.first_sent + longest)
    }

    /// Nothing is known yet: look in the log before anything else.
    pub(super) fn in_doubt(&mut self, now: Monotonic) {
        self.state = State::ReadAt(now);
    }
    /// It was certainly not stored.
    pub(super) fn not_stored(&mut self, now: Monotonic) {
        self.state = State::ResendAt(now + RETRY_AFTER);
    }

    /// A read of the log has ended, with so many entries, all applied already; nothing if it failed.
    pub(super) fn log_read(&mut self, token: Token, entries: Option<usize>, now: Monotonic) {
        if matches!(self.state, State::Reading) && self.token == token {
            self.state = match entries {
                // Whether ours was among them was found as they were applied.
                Some(0) => State::ResendAt(now + RETRY_AFTER),
                Some(_) => State::ReadAt(now),
                None => State::ReadAt(now + RETRY_AFTER),
            };
        }
    }

    /// What an entry met in the log means for this one.
    pub(super) fn met(&self, entry: &Entry, at: Position) -> Met {
        if self.entry.nonce == entry.nonce {
            Met::Ours
        } else if at.sequence > self.after && !is_on(Mutant::AppendsBlindly) {
            Met::InItsPlace
        } else {
            Met::Earlier
        }
    }

    /// Reads the log, or sends the same entry again, when it is time.
    pub(super) fn advance(
        &mut self,
        tail: Sequence,
        timers: &mut Timers,
        effects: &mut Vec<Effect>,
        fresh: &mut dyn FnMut() -> u64,
    ) {
        match self.state {
            State::ReadAt(at) if timers.reached(at) => {
                self.token = Token(fresh());
                self.state = State::Reading;
                effects.push(Effect::ReadLog { token: self.token, after: tail });
            }
            State::ResendAt(at) if timers.reached(at) => {
                self.state = State::Sent;
                self.after = if is_on(Mutant::AppendsBlindly) { tail } else { self.after };
                effects.push(Effect::Append { token: self.token, entry: self.entry.clone(), after: self.after });
            }
            _ => {}
        }
    }
}

//! One compare-and-set on its way, carried to a certain end (rule R13).
//!
//! After a conflict or an unknown outcome: read, look for our own nonce; if it is absent and nobody else has written,
//! send the same record with the same expectation again. Never a blind retry, never a second intention beside it.

use std::time::Duration;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::Expected;
use aether_domain::records::{ControlKey, ControlRecord, StoredRecord};
use aether_domain::{Monotonic, Revision};

use super::exchange::{Effect, Token, WriteOutcome};
use super::timers::Timers;

/// How long to wait before asking a store again that did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A control write whose outcome is not known yet.
#[derive(Debug)]
pub(crate) struct PendingWrite {
    record: ControlRecord,
    expected: Expected,
    first_sent: Monotonic,
    token: Token,
    resend_at: Option<Monotonic>,
}

/// How far a write has come.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Still on its way.
    Open,
    /// It is stored at that revision; it counts from when it was first sent.
    Landed { revision: Revision, first_sent: Monotonic },
    /// Somebody else wrote; this is what is there now.
    Lost(Box<StoredRecord>),
    /// Something that cannot be understood lies there, at that revision. Nobody of ours wrote it, and nobody can know
    /// what it has replaced: whoever wrote decides whether to write over it.
    Spoiled(Revision),
}

impl PendingWrite {
    pub(crate) fn send(
        record: ControlRecord,
        expected: Expected,
        token: Token,
        now: Monotonic,
        effects: &mut Vec<Effect>,
    ) -> Self {
        effects.push(Effect::Write { token, record: record.clone(), expected });
        Self { record, expected, first_sent: now, token, resend_at: None }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }
    pub(crate) fn record(&self) -> &ControlRecord {
        &self.record
    }
    /// Which key it is for, and the revision that must have been stored there.
    pub(crate) fn expects(&self) -> (ControlKey, Revision) {
        (self.record.key(), self.expected.revision())
    }
    pub(crate) fn first_sent(&self) -> Monotonic {
        self.first_sent
    }

    pub(crate) fn written(&mut self, outcome: &WriteOutcome, now: Monotonic, effects: &mut Vec<Effect>) -> Progress {
        match outcome {
            WriteOutcome::Ok(revision) => {
                return Progress::Landed { revision: *revision, first_sent: self.first_sent };
            }
            WriteOutcome::Unknown if is_on(Mutant::UnknownSucceeds) => {
                return Progress::Landed { revision: self.expected.revision().next(), first_sent: self.first_sent };
            }
            WriteOutcome::Conflict { .. } | WriteOutcome::Unknown => {
                effects.push(Effect::ReadBack { token: self.token, key: self.record.key() });
            }
            WriteOutcome::Unavailable => self.resend_at = Some(now + RETRY_AFTER),
        }
        Progress::Open
    }

    /// What a read showed: nothing, if there was nothing or the read failed.
    pub(crate) fn read_back(&mut self, found: Option<&StoredRecord>, now: Monotonic) -> Progress {
        if let Some(stored) = found {
            return self.seen(stored, now);
        }
        self.resend_at = Some(now + RETRY_AFTER);
        Progress::Open
    }

    /// A read showed something at that revision that cannot be understood.
    pub(crate) fn read_spoiled(&mut self, revision: Revision, now: Monotonic) -> Progress {
        if revision > self.expected.revision() {
            return Progress::Spoiled(revision);
        }
        self.resend_at = Some(now + RETRY_AFTER);
        Progress::Open
    }

    /// Sends the same bytes again, this time over what cannot be understood.
    pub(crate) fn write_over(&mut self, spoiled: Revision, effects: &mut Vec<Effect>) {
        self.expected = Expected::At(spoiled);
        effects.push(Effect::Write { token: self.token, record: self.record.clone(), expected: self.expected });
    }

    /// What the watch or a read showed under this key.
    pub(crate) fn seen(&mut self, stored: &StoredRecord, now: Monotonic) -> Progress {
        if stored.record.nonce() == self.record.nonce() {
            Progress::Landed { revision: stored.revision, first_sent: self.first_sent }
        } else if stored.revision > self.expected.revision() {
            Progress::Lost(Box::new(stored.clone()))
        } else {
            self.resend_at = Some(now + RETRY_AFTER);
            Progress::Open
        }
    }

    /// Sends the same bytes with the same expectation again when it is time.
    pub(crate) fn advance(&mut self, timers: &mut Timers, effects: &mut Vec<Effect>) {
        if self.resend_at.is_some_and(|at| timers.reached(at)) {
            self.resend_at = None;
            effects.push(Effect::Write { token: self.token, record: self.record.clone(), expected: self.expected });
        }
    }
}

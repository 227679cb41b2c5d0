//! What a leader keeps of its fold, so that nodes which start need not read the whole log.
//!
//! It is only a cache. A write that loses, or whose outcome is not known, is not tried again: the next one comes. So
//! nothing here is carried to a certain end, and nothing of it counts as evidence against the store.

use std::sync::Arc;

use aether_domain::ports::Expected;
use aether_domain::records::{ControlKey, ControlRecord, TopologySnapshot};
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Monotonic, Nonce, Revision};

use super::machine::Surroundings;
use crate::control::{Effect, Note, Token, WriteOutcome};

/// How long an answer is waited for before the next snapshot may be begun.
const ANSWERED_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// The snapshot that is being written, if one is.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// The epoch up to which nothing more is due.
    done: Epoch,
    step: Option<Step>,
    /// Whether it was said that one was not stored, and none has been since.
    said: bool,
}

#[derive(Debug)]
struct Step {
    token: Token,
    until: Monotonic,
    /// Its epoch, once it has been sent.
    sent: Option<Epoch>,
}

impl Snapshots {
    /// Begins one if the log has come past a multiple of `every` since the last. `leads` says whether this is ours to do.
    pub(super) fn advance(&mut self, every: u64, leads: bool, s: &mut Surroundings<'_>) {
        let epoch = s.topology.epoch();
        if !leads || self.done == Epoch::ZERO {
            self.done = epoch;
        }
        if self.step.as_ref().is_some_and(|step| s.timers.now() >= step.until) {
            self.step = None;
        }
        if self.step.is_some() || epoch.0 / every <= self.done.0 / every {
            return;
        }
        self.done = epoch;
        // What is there now is read for its revision only: whatever it says, this leader knows better.
        let token = self.begin(None, s);
        s.effects.push(Effect::ReadBack { token, key: ControlKey::TopologySnapshot });
    }

    fn begin(&mut self, sent: Option<Epoch>, s: &mut Surroundings<'_>) -> Token {
        let token = Token((s.fresh)());
        self.step = Some(Step { token, until: s.timers.now() + ANSWERED_WITHIN, sent });
        token
    }

    fn is_reading(&self, token: Token) -> bool {
        self.step.as_ref().is_some_and(|step| step.token == token && step.sent.is_none())
    }

    /// What is there was read; true if this had asked for it.
    pub(super) fn read_back(&mut self, token: Token, found: Option<Revision>, s: &mut Surroundings<'_>) -> bool {
        if !self.is_reading(token) {
            return false;
        }
        let epoch = s.topology.epoch();
        let token = self.begin(Some(epoch), s);
        let topology: Arc<Topology> = Arc::new(s.topology.clone());
        let record = ControlRecord::Snapshot(TopologySnapshot { nonce: Nonce((s.fresh)()), topology });
        let expected = found.map_or(Expected::Absent, Expected::At);
        s.effects.push(Effect::Write { token, record, expected });
        true
    }

    /// A write was answered; true if it was of this.
    pub(super) fn written(&mut self, token: Token, outcome: &WriteOutcome, s: &mut Surroundings<'_>) -> bool {
        let Some(Step { sent: Some(epoch), .. }) = self.step.as_ref().filter(|step| step.token == token) else {
            return false;
        };
        let epoch = *epoch;
        self.step = None;
        match outcome {
            WriteOutcome::Ok(_) => {
                self.said = false;
                s.effects.push(Effect::Note(Note::SnapshotStored { epoch }));
            }
            // The next one comes; that it goes on like this is said once.
            WriteOutcome::Conflict { .. } | WriteOutcome::Unknown | WriteOutcome::Unavailable => {
                if !std::mem::replace(&mut self.said, true) {
                    s.effects.push(Effect::Note(Note::SnapshotNotStored { epoch, outcome: *outcome }));
                }
            }
        }
        true
    }
}

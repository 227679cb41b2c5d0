//! One death certificate as a state machine: find the records of the dead process, write over each that it is dead.
//!
//! A record is written over by compare-and-set on the revision that was read (rule R4), again and again until it says
//! dead or is another process's: what the dead process had sent may still land before. What an outcome does not tell, a
//! read does (R13). Inputs and effects are those of the control plane, so a simulator runs both alike.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::ports::{ControlUpdate, Expected};
use aether_domain::records::{ControlRecord, MemberRecord, MemberState, StoredRecord};
use aether_domain::{Monotonic, NodeId, NodeRef, Nonce, Revision};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::control::{Effect, Input, PendingWrite, Progress, Timers, Token};

/// How long a process's first record, sent just before it died, is waited for when there is none yet.
const FIRST_RECORD_LATE_MAX: Duration = Duration::from_secs(1);

/// What came of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No record of the process is left that says otherwise.
    Settled {
        /// The lives whose records say that they are dead.
        dead: Vec<NodeRef>,
        /// The lives whose records another process has taken over meanwhile.
        replaced: Vec<NodeRef>,
    },
    /// No record names the process: it had not registered, or it is no node of this cluster.
    NoRecord,
    /// The store did not answer in time. Where it was written and not acknowledged it may yet land, which is harmless;
    /// otherwise the others miss these lives by their silence.
    TimedOut {
        /// The lives whose end may be unwritten; none if the store could not even be asked.
        open: Vec<NodeRef>,
    },
}

/// What is known of one record that the process wrote.
#[derive(Debug)]
enum Standing {
    Writing {
        write: Box<PendingWrite>,
        life: NodeRef,
    },
    Dead(NodeRef),
    Replaced(NodeRef),
    /// Something lies there that cannot be understood, and may be of a process that lives.
    Unreadable(NodeRef),
}

/// The certificate of one dead process.
#[derive(Debug)]
pub struct Certificate {
    supervisor: Nonce,
    rng: ChaCha8Rng,
    records: BTreeMap<NodeId, Standing>,
    /// When every record that was there had been seen for the first time.
    caught_up: Option<Monotonic>,
    ends_at: Monotonic,
    verdict: Option<Verdict>,
    wakes_at: Option<Monotonic>,
}

impl Certificate {
    /// The certificate of a process that has been reaped, known to its records as `supervisor`. It is given up `within`
    /// that time. All its randomness comes from `seed`.
    pub fn new(supervisor: Nonce, seed: u64, now: Monotonic, within: Duration) -> Self {
        Self {
            supervisor,
            rng: ChaCha8Rng::seed_from_u64(seed),
            records: BTreeMap::new(),
            caught_up: None,
            ends_at: now + within,
            verdict: None,
            wakes_at: Some(now + within),
        }
    }

    /// What came of it, once that is certain. Nothing is written after that.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }
    /// When to step again with [`Input::Tick`] if nothing else comes first.
    pub fn wakes_at(&self) -> Option<Monotonic> {
        self.wakes_at
    }

    /// Takes what the control store says, and does whatever is due. Of the effects it asks for writes and reads only.
    pub fn step(&mut self, now: Monotonic, input: Input) -> Vec<Effect> {
        let (mut effects, mut timers) = (Vec::new(), Timers::at(now));
        if self.verdict.is_some() {
            return effects;
        }
        match input {
            Input::Control(ControlUpdate::Record(stored)) => self.saw(&stored, now, &mut effects),
            Input::Control(ControlUpdate::CaughtUp) => {
                self.caught_up.get_or_insert(now);
            }
            Input::Written { token, outcome } => {
                self.carry_on(token, now, &mut effects, |write, effects| write.written(&outcome, now, effects));
            }
            Input::ReadBack { token, found } => {
                self.carry_on(token, now, &mut effects, |write, _| write.read_back(found.as_ref(), now));
            }
            Input::Spoiled { token, revision } => {
                self.carry_on(token, now, &mut effects, |write, _| write.read_spoiled(revision, now));
            }
            _ => {}
        }
        for standing in self.records.values_mut() {
            if let Standing::Writing { write, .. } = standing {
                write.advance(&mut timers, &mut effects);
            }
        }
        self.conclude(&mut timers);
        self.wakes_at = timers.next().filter(|_| self.verdict.is_none());
        effects
    }

    fn saw(&mut self, stored: &StoredRecord, now: Monotonic, effects: &mut Vec<Effect>) {
        let ControlRecord::Member(record) = &stored.record else { return };
        match self.records.get_mut(&record.node.node) {
            Some(Standing::Writing { write, life }) => {
                let (_, known) = write.expects();
                if stored.revision > known {
                    let (progress, life) = (write.seen(stored, now), life.clone());
                    self.went(&life, progress, now, effects);
                }
            }
            None if record.supervisor == Some(self.supervisor) => {
                self.judge(record, stored.revision, now, effects);
            }
            // Of another process, or later than what has settled and so of another one too.
            _ => {}
        }
    }

    fn carry_on(
        &mut self,
        token: Token,
        now: Monotonic,
        effects: &mut Vec<Effect>,
        answer: impl FnOnce(&mut PendingWrite, &mut Vec<Effect>) -> Progress,
    ) {
        let found = self.records.values_mut().find_map(|standing| match standing {
            Standing::Writing { write, life } if write.token() == token => Some((write, life.clone())),
            _ => None,
        });
        if let Some((write, life)) = found {
            let progress = answer(write, effects);
            self.went(&life, progress, now, effects);
        }
    }

    fn went(&mut self, life: &NodeRef, progress: Progress, now: Monotonic, effects: &mut Vec<Effect>) {
        let standing = match progress {
            Progress::Open => return,
            Progress::Landed { .. } => Standing::Dead(life.clone()),
            Progress::Spoiled(_) => Standing::Unreadable(life.clone()),
            Progress::Lost(stored) => {
                let StoredRecord { record: ControlRecord::Member(record), revision } = *stored else { return };
                // A fence of an older build does not say who supervised the life it ended.
                if record.node == *life || record.supervisor == Some(self.supervisor) {
                    return self.judge(&record, revision, now, effects);
                }
                Standing::Replaced(life.clone())
            }
        };
        self.records.insert(life.node.clone(), standing);
    }

    /// A record of the process: it is dead, whatever the record says.
    fn judge(&mut self, record: &MemberRecord, revision: Revision, now: Monotonic, effects: &mut Vec<Effect>) {
        let life = record.node.clone();
        let standing = if record.state == MemberState::Dead {
            Standing::Dead(life)
        } else {
            let nonce = Nonce(self.rng.next_u64());
            let supervisor = Some(self.supervisor);
            let dead = MemberRecord { state: MemberState::Dead, nonce, supervisor, ..record.clone() };
            let token = Token(self.rng.next_u64());
            let write = PendingWrite::send(ControlRecord::Member(dead), Expected::At(revision), token, now, effects);
            Standing::Writing { write: Box::new(write), life }
        };
        self.records.insert(record.node.node.clone(), standing);
    }

    fn conclude(&mut self, timers: &mut Timers) {
        let (mut dead, mut replaced, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for standing in self.records.values() {
            match standing {
                Standing::Dead(life) => dead.push(life.clone()),
                Standing::Replaced(life) => replaced.push(life.clone()),
                Standing::Writing { life, .. } | Standing::Unreadable(life) => open.push(life.clone()),
            }
        }
        let out_of_time = timers.reached(self.ends_at);
        let Some(since) = self.caught_up else {
            self.verdict = out_of_time.then_some(Verdict::TimedOut { open });
            return;
        };
        self.verdict = if !open.is_empty() {
            out_of_time.then_some(Verdict::TimedOut { open })
        } else if !self.records.is_empty() {
            Some(Verdict::Settled { dead, replaced })
        } else {
            timers.reached(since + FIRST_RECORD_LATE_MAX).then_some(Verdict::NoRecord)
        };
    }
}

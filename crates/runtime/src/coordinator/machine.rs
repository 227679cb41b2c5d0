//! Election and leadership of one node: follower → contender → elected → leader → follower.
//!
//! Nothing here trusts the lease: until `TermStarted` is acknowledged by the log a node does nothing as leader, and every
//! entry it writes fails if a newer leader has written one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::aggregate::Aggregate;
use aether_domain::cluster::{Member, NodeStatus, Trust};
use aether_domain::lease::LeadershipCommand;
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::Expected;
use aether_domain::records::{ControlKey, ControlRecord, LeaseRecord, LeaseState, MemberState, Position};
use aether_domain::records::{Entry, Format, StoredRecord};
use aether_domain::topology::{Signature, Topology};
use aether_domain::{ClusterUid, Monotonic, NodeId, NodeRef, Nonce, Revision, Sequence, ShardId, Term, WallTime};

use super::append::{AppendResult, Met, PendingAppend};
use super::fences::Fences;
use super::formats;
use super::policy::outlook::Outlook;
use super::policy::{self, Facts, Memory};
use super::snapshots::Snapshots;
use crate::control::{ControlConfig, Effect, Note, PendingWrite, Progress, Sightings, Timers, Token, WriteOutcome};

/// Contenders wait up to this long at random, so that one is usually alone.
const JITTER_MAX_MILLIS: u64 = 300;
/// The same when the holder is known to be dead: nobody doubts that somebody must take the lease.
const JITTER_CERTAIN_MAX_MILLIS: u64 = 100;
/// A leader whose append has no known outcome for this long gives the lead back; so does one whose term the log has not
/// taken for this long.
const APPEND_UNKNOWN_MAX: Duration = Duration::from_secs(10);
/// How long a lease record that is no election is left to lie before its leader writes over it: long enough for
/// everybody's split-brain watch to see it, and far below what a lease lasts.
const TAKE_BACK_AFTER: Duration = Duration::from_millis(300);
/// How long after one such taking from a holder there is no other.
const STEAL_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A node that others have found unwell lets them contend this much earlier.
const DISTRUSTED_STANDS_BACK: Duration = Duration::from_secs(2);
/// Entries are at least this far apart, so that what happens together is one entry; but one that ends every move under way
/// has nothing to wait for, while everybody who asks for what moves waits for it.
const ENTRY_GAP: Duration = Duration::from_millis(5);
/// How long to wait before reading or appending again after a failure.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
enum Stage {
    /// Watching. `since` is when it became possible to contend; the jitter is drawn then.
    Follower { contend_at: Option<(Monotonic, ContendFor)> },
    /// The lease has been asked for.
    Contending { term: Term },
    /// The lease is held, since then; the log has not been told.
    Elected { term: Term, reading: Reading, since: Monotonic },
    /// The log has been told.
    Leader { term: Term },
}

/// Why a node contends: a change of reason draws a new jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContendFor {
    Free(Revision),
    Silent(Revision),
}

/// Reading the log to its end before the first append of a term.
#[derive(Debug)]
enum Reading {
    Due { at: Monotonic },
    Asked(Token),
    AtTail,
}

/// What the policy looks at: borrowed field by field, so that the rest of the coordinator and its surroundings stay free.
macro_rules! facts {
    ($coordinator:expr, $s:expr) => {
        Facts {
            me: $s.me,
            now: $s.timers.now(),
            config: &$coordinator.config,
            sightings: $s.sightings,
            fences: &$coordinator.fences,
            format: $coordinator.format,
            doubtful: policy::doubtful(
                $s.topology,
                $s.me,
                &$coordinator.config,
                ($s.sightings, &$coordinator.fences),
                $s.timers,
            ),
            leaving: policy::leaving($s.topology, $s.sightings),
        }
    };
}

/// Leadership, from one node's side.
#[derive(Debug)]
pub(crate) struct Coordinator {
    config: ControlConfig,
    stage: Stage,
    /// The lease as we hold it: its revision, and until when we may act on it.
    lease_revision: Option<Revision>,
    lease_until: Monotonic,
    renew_at: Monotonic,
    writing: Option<PendingWrite>,
    appending: Option<PendingAppend>,
    /// Until when nothing is tried again after a failure.
    retry_at: Monotonic,
    /// Until when the next entry is gathered.
    gathers_until: Monotonic,
    /// Until then this node, which gave the lease back because the log did not answer it, leaves it to others.
    stands_aside: Monotonic,
    /// The holder whose lease was last taken because nobody found it, and when.
    stole: Option<(NodeRef, Monotonic)>,
    /// When silent lives were last sent something.
    probed: BTreeMap<NodeRef, Monotonic>,
    fences: Fences,
    memory: Memory,
    resigning: bool,
    snapshots: Snapshots,
    /// The format of the newest entry applied.
    format: Format,
}

/// What a coordinator machine is handed at each step.
pub(crate) struct Surroundings<'a> {
    pub(crate) me: &'a NodeRef,
    pub(crate) registered: bool,
    pub(crate) leaving: bool,
    /// Whether everything that was in the stores at the start has been seen.
    pub(crate) caught_up: bool,
    pub(crate) wall: WallTime,
    pub(crate) topology: &'a Topology,
    pub(crate) sightings: &'a mut Sightings,
    pub(crate) timers: &'a mut Timers,
    pub(crate) effects: &'a mut Vec<Effect>,
    pub(crate) fresh: &'a mut dyn FnMut() -> u64,
}

/// Whose that lease is. Where the log knows the term, it says whose it is, whatever the record says.
fn holder_of<'a>(lease: &'a LeaseRecord, topology: &'a Topology) -> &'a NodeRef {
    let led = topology.leadership();
    led.leader().filter(|_| lease.term <= led.term()).unwrap_or(&lease.holder)
}

impl Coordinator {
    pub(crate) fn new(config: ControlConfig) -> Self {
        Self {
            config,
            stage: Stage::Follower { contend_at: None },
            lease_revision: None,
            lease_until: Monotonic::ZERO,
            renew_at: Monotonic::ZERO,
            writing: None,
            appending: None,
            retry_at: Monotonic::ZERO,
            gathers_until: Monotonic::ZERO,
            stands_aside: Monotonic::ZERO,
            stole: None,
            probed: BTreeMap::new(),
            fences: Fences::default(),
            memory: Memory::default(),
            resigning: false,
            snapshots: Snapshots::default(),
            format: Format::FIRST,
        }
    }

    /// The term this node leads in, and until when by its own clock.
    pub(crate) fn leads(&self) -> Option<(Term, Monotonic)> {
        match self.stage {
            Stage::Leader { term } => Some((term, self.lease_until)),
            _ => None,
        }
    }

    /// The shards that alone are more than a node is to bear, each with how much of that it is in percent, if this node leads.
    pub(crate) fn too_hot(&self) -> Vec<(ShardId, u32)> {
        self.memory.too_hot().filter(|_| self.leads().is_some()).collect()
    }

    /// What this node goes by when it plans, if it leads and has looked around.
    pub(crate) fn outlook(&self) -> Option<Arc<Outlook>> {
        self.memory.outlook().filter(|_| self.leads().is_some()).cloned()
    }

    /// The key and the revision that the write with that token expects, if it is ours.
    pub(crate) fn expects(&self, token: Token) -> Option<(ControlKey, Revision)> {
        let lease = self.writing.as_ref().filter(|pending| pending.token() == token);
        lease.or_else(|| self.fences.write(token)).map(PendingWrite::expects)
    }

    /// Behind which entry the append with that token is to be stored.
    pub(crate) fn appends_behind(&self, token: Token) -> Option<Sequence> {
        self.appending.as_ref().filter(|pending| pending.token() == token).map(PendingAppend::after)
    }

    pub(crate) fn written(&mut self, token: Token, outcome: &WriteOutcome, s: &mut Surroundings<'_>) {
        let now = s.timers.now();
        if let Some(pending) = self.writing.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.written(outcome, now, s.effects);
            self.lease_went(progress, s);
        } else if !self.snapshots.written(token, outcome, s) {
            self.fences.answered(token, s, |write, s| write.written(outcome, now, s.effects));
        }
    }

    pub(crate) fn read_back(&mut self, token: Token, found: Option<&StoredRecord>, s: &mut Surroundings<'_>) {
        let now = s.timers.now();
        if let Some(pending) = self.writing.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.read_back(found, now);
            self.lease_went(progress, s);
        } else if !self.snapshots.read_back(token, found.map(|stored| stored.revision), s) {
            self.fences.answered(token, s, |write, _| write.read_back(found, now));
        }
    }

    pub(crate) fn read_spoiled(&mut self, token: Token, revision: Revision, s: &mut Surroundings<'_>) {
        let now = s.timers.now();
        if let Some(pending) = self.writing.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.read_spoiled(revision, now);
            self.lease_went(progress, s);
        } else if !self.snapshots.read_back(token, Some(revision), s) {
            self.fences.answered(token, s, |write, _| write.read_spoiled(revision, now));
        }
    }

    /// The lease record was seen.
    pub(crate) fn saw(&mut self, stored: &StoredRecord, s: &mut Surroundings<'_>) {
        let ControlRecord::Lease(record) = &stored.record else { return };
        if let Some(pending) = &mut self.writing {
            if stored.revision > self.lease_revision.unwrap_or_default() {
                let progress = pending.seen(stored, s.timers.now());
                self.lease_went(progress, s);
            }
        } else if self.lease_revision.is_some_and(|held| stored.revision > held)
            && record.holder != *s.me
            && !self.takes_back(record, stored.revision, s)
        {
            self.step_down("the lease was taken", s);
        }
    }

    /// The answer to an append of ours.
    pub(crate) fn appended(
        &mut self,
        token: Token,
        outcome: &AppendResult,
        s: &mut Surroundings<'_>,
    ) -> Option<(Entry, Position)> {
        let pending = self.appending.as_mut().filter(|pending| pending.token() == token)?;
        match outcome {
            AppendResult::Ok(position) => {
                let landed = (pending.entry().clone(), *position);
                self.gathers_until = pending.first_sent() + ENTRY_GAP;
                self.appending = None;
                return Some(landed);
            }
            AppendResult::Conflict { .. } | AppendResult::Unknown => pending.in_doubt(s.timers.now()),
            AppendResult::Unavailable => pending.not_stored(s.timers.now()),
            AppendResult::TooLarge => {
                s.effects.push(Effect::Note(Note::Refused { reason: "an entry exceeds its bound".into() }));
                self.appending = None;
                self.retry_at = s.timers.now() + Duration::from_secs(1);
            }
        }
        None
    }

    /// A read of the log has ended; its entries have been applied already. `None` if it failed.
    pub(crate) fn log_read(&mut self, token: Token, entries: Option<usize>, s: &mut Surroundings<'_>) {
        let now = s.timers.now();
        if let Stage::Elected { reading, .. } = &mut self.stage
            && matches!(reading, Reading::Asked(asked) if *asked == token)
        {
            *reading = match entries {
                Some(0) => Reading::AtTail,
                Some(_) => Reading::Due { at: now },
                None => Reading::Due { at: now + RETRY_AFTER },
            };
        }
        if let Some(pending) = &mut self.appending {
            pending.log_read(token, entries, now);
        }
    }

    /// An entry was applied to the fold.
    pub(crate) fn applied(&mut self, entry: &Entry, at: Position, s: &mut Surroundings<'_>) {
        self.format = self.format.max(entry.format);
        if let Some(pending) = &self.appending {
            match pending.met(entry, at) {
                Met::Ours => {
                    self.gathers_until = pending.first_sent() + ENTRY_GAP;
                    self.appending = None;
                }
                Met::InItsPlace => {
                    self.appending = None;
                    if let Stage::Elected { reading, .. } = &mut self.stage {
                        *reading = Reading::Due { at: s.timers.now() };
                    }
                }
                Met::Earlier => {}
            }
        }
        match &self.stage {
            Stage::Elected { term, .. } if s.topology.leadership().is_led_by(s.me, *term) => {
                let term = *term;
                self.stage = Stage::Leader { term };
                self.memory = Memory::default();
                s.effects.push(Effect::Note(Note::Elected { term }));
            }
            Stage::Elected { term, .. } | Stage::Contending { term }
                if entry.term >= *term && entry.leader != *s.me =>
            {
                self.step_down("another leader's term is in the log", s);
            }
            Stage::Leader { term } if !s.topology.leadership().is_led_by(s.me, *term) => {
                self.step_down("another leader's term is in the log", s);
            }
            _ => {}
        }
    }

    /// Whether a read of the log with that token is still awaited.
    pub(crate) fn awaits_log(&self, token: Token) -> bool {
        let reads = matches!(&self.stage, Stage::Elected { reading: Reading::Asked(asked), .. } if *asked == token);
        reads || self.appending.as_ref().is_some_and(|pending| pending.token() == token)
    }

    /// This node begins a new life: whatever it led, it leads no more.
    pub(crate) fn new_life(&mut self) {
        *self = Self::new(self.config.clone());
    }

    /// Does whatever is due.
    pub(crate) fn advance(&mut self, s: &mut Surroundings<'_>) {
        if !s.caught_up || !s.registered {
            return;
        }
        if matches!(self.stage, Stage::Elected { .. } | Stage::Leader { .. }) {
            self.keep(s);
        }
        self.probe(s);
        match &self.stage {
            Stage::Follower { .. } => self.contend(s),
            Stage::Contending { .. } => {}
            Stage::Elected { .. } => self.tell_the_log(s),
            Stage::Leader { .. } => self.lead(s),
        }
        if let Some(pending) = &mut self.appending {
            pending.advance(s.topology.at().sequence, s.timers, s.effects, s.fresh);
        }
        if let Some(pending) = &mut self.writing {
            pending.advance(s.timers, s.effects);
        }
        self.fences.advance(s.timers, s.effects);
        let leads = matches!(self.stage, Stage::Leader { .. });
        self.snapshots.advance(self.config.snapshot_every, leads, s);
    }

    // --- Following and contending ---

    fn contend(&mut self, s: &mut Surroundings<'_>) {
        if self.writing.is_some() || s.leaving && !self.alone(s) || !self.may_contend(s) {
            return;
        }
        if !s.timers.reached(self.stands_aside) && !self.alone(s) {
            return;
        }
        let profile = self.config.profile;
        let mut from_nobody = None;
        let (reason, from, jitter) = match s.sightings.lease() {
            None => (ContendFor::Free(Revision::ZERO), s.timers.now(), JITTER_MAX_MILLIS),
            Some((record, revision, _)) if record.state == LeaseState::Resigned => {
                (ContendFor::Free(revision), s.timers.now(), 0)
            }
            Some((record, revision, seen)) => {
                let holder = holder_of(record, s.topology);
                let standing = s.topology.cluster().status_of(holder);
                let gone = s.sightings.is_over(holder)
                    || matches!(standing, Some(NodeStatus::Failed | NodeStatus::Left))
                    || holder.node == s.me.node;
                if gone {
                    let certain = s.sightings.is_dead(holder);
                    let jitter = if certain { JITTER_CERTAIN_MAX_MILLIS } else { JITTER_MAX_MILLIS };
                    (ContendFor::Free(revision), s.timers.now(), jitter)
                } else {
                    let lease_over = seen + profile.lease().takeover();
                    let silent = s.sightings.silent_at(holder, profile.member().suspect_after());
                    let over = silent.map_or(lease_over, |silent| silent.min(lease_over));
                    let stole = self.stole.as_ref().filter(|(from, _)| from == holder);
                    let again = stole.is_none_or(|(_, at)| s.timers.now() >= *at + STEAL_AGAIN_AFTER);
                    let timings = profile.member();
                    match s.sightings.silent_at(holder, timings.desert_after()) {
                        Some(deserted)
                            if again
                                && s.sightings.is_deserted(holder, timings.nobody_for(), s.timers.now())
                                && deserted < over =>
                        {
                            from_nobody = Some(holder.clone());
                            (ContendFor::Silent(revision), deserted, JITTER_MAX_MILLIS)
                        }
                        _ => (ContendFor::Silent(revision), over, JITTER_MAX_MILLIS),
                    }
                }
            }
        };
        let stands_back = if is_distrusted(s) { DISTRUSTED_STANDS_BACK } else { Duration::ZERO };
        let Stage::Follower { contend_at } = &mut self.stage else { return };
        let due = match contend_at {
            Some((at, why)) if *why == reason => *at,
            _ => {
                if !s.timers.reached(from) {
                    *contend_at = None;
                    return;
                }
                let wait = if jitter > 0 { (s.fresh)() % jitter } else { 0 };
                let at = s.timers.now() + Duration::from_millis(wait) + stands_back;
                *contend_at = Some((at, reason));
                at
            }
        };
        // The reason may have gone away while we waited.
        if !s.timers.reached(from) {
            *contend_at = None;
            return;
        }
        if s.timers.reached(due) {
            if let Some(holder) = from_nobody {
                self.stole = Some((holder, s.timers.now()));
            }
            self.ask_for_lease(s);
        }
    }

    /// Sends something to silent lives whose end would be this node's business: whether anybody is there comes back. A node
    /// that is not taken in yet asks all of them: it may be the only one that lives.
    fn probe(&mut self, s: &mut Surroundings<'_>) {
        let timings = self.config.profile.member();
        let leads = matches!(self.stage, Stage::Leader { .. });
        let holder = s.sightings.lease().filter(|(record, ..)| record.state == LeaseState::Held);
        let holder = holder.map(|(record, ..)| holder_of(record, s.topology));
        let members = s.topology.cluster().members().filter(|member| member.status.owns()).map(|member| &member.node);
        let outside = s.topology.cluster().status_of(s.me).is_none();
        let concerns = |node: &NodeRef| leads || outside || holder == Some(node);
        let asked: Vec<_> = members.filter(|node| *node != s.me && concerns(node)).cloned().collect();
        self.probed.retain(|node, _| asked.contains(node));
        for node in asked {
            let silent = !s.sightings.is_over(&node)
                && s.sightings.silent_at(&node, timings.ask_after()).is_some_and(|at| s.timers.reached(at));
            if silent && self.probed.get(&node).is_none_or(|last| s.timers.reached(*last + timings.ask_every())) {
                self.probed.insert(node.clone(), s.timers.now());
                s.effects.push(Effect::Probe { node });
            }
        }
    }

    /// An Active node may contend; so may any registered one while the log is empty, or while no Active one is alive:
    /// those that are drained cannot start a term.
    fn may_contend(&self, s: &mut Surroundings<'_>) -> bool {
        let cluster = s.topology.cluster();
        if let Some(status) = cluster.status_of(s.me) {
            return status == NodeStatus::Active;
        }
        if s.leaving {
            return false;
        }
        let in_the_way = cluster.members().filter(|member| {
            member.status == NodeStatus::Active || member.status.owns() && member.node.node == s.me.node
        });
        let mut all_over = true;
        for member in in_the_way {
            all_over &= self.over_at(member, s.sightings, s.timers).is_some_and(|at| s.timers.reached(at));
        }
        all_over
    }

    /// From when on that life is over, as far as can be told now: its serve lease has run out, or it is silent.
    fn over_at(&self, member: &Member, sightings: &Sightings, timers: &Timers) -> Option<Monotonic> {
        let timings = self.config.profile.member();
        match sightings.member(&member.node.node) {
            // Our own earlier life's, too. A life of our id that the log has taken in since our record was written may be a
            // later one, and have replaced it.
            Some(seen) if sightings.is_over(&member.node) && !policy::is_before_the_log(member, &seen.record) => {
                Some(seen.surely_over(&member.node, timings.serve_lease_over()))
            }
            _ => {
                let deserted = sightings.is_deserted(&member.node, timings.nobody_for(), timers.now());
                let after = if deserted { timings.serve_lease() } else { timings.suspect_after() };
                sightings.silent_at(&member.node, after)
            }
        }
    }

    /// Whether no other node is Active, alive and stays. When all are asked to leave at once, somebody must still let them
    /// go.
    fn alone(&self, s: &mut Surroundings<'_>) -> bool {
        let after = self.config.profile.member().suspect_after();
        let others = s.topology.cluster().active().filter(|member| member.node != *s.me);
        !others.map(|member| &member.node).any(|node| {
            let seen = s.sightings.member(&node.node).filter(|seen| seen.record.node == *node);
            let leaves = seen.is_some_and(|seen| seen.record.state == MemberState::Leaving);
            let gone = leaves || s.sightings.is_dead(node);
            !gone && !s.sightings.silent_at(node, after).is_some_and(|at| s.timers.reached(at))
        })
    }

    /// Whether another node is trusted, and alive as far as this one can see.
    fn somebody_better(&self, s: &mut Surroundings<'_>) -> bool {
        let doubtful = policy::doubtful(s.topology, s.me, &self.config, (s.sightings, &self.fences), s.timers);
        let mut others = s.topology.cluster().active().filter(|member| member.node != *s.me);
        others.any(|member| member.trust == Trust::Full && !doubtful.contains(&member.node.incarnation))
    }

    fn ask_for_lease(&mut self, s: &mut Surroundings<'_>) {
        let lease = s.sightings.lease().map(|(record, revision, _)| (record.term, revision));
        let (held, logged) = (lease.map_or(Term::ZERO, |(term, _)| term), s.topology.leadership().term());
        let term = match () {
            () if is_on(Mutant::TermFromLease) => held.next(),
            () if is_on(Mutant::TermFromLog) => logged.next(),
            () => held.max(logged).next(),
        };
        let expected = lease.map_or(Expected::Absent, |(_, revision)| Expected::At(revision));
        self.stage = Stage::Contending { term };
        self.lease_revision = lease.map(|(_, revision)| revision);
        self.write_lease(term, LeaseState::Held, expected, s);
    }

    fn write_lease(&mut self, term: Term, state: LeaseState, expected: Expected, s: &mut Surroundings<'_>) {
        let ttl = self.config.profile.lease().ttl();
        let record = LeaseRecord { term, holder: s.me.clone(), ttl, nonce: Nonce((s.fresh)()), state };
        let (token, now) = (Token((s.fresh)()), s.timers.now());
        self.writing = Some(PendingWrite::send(ControlRecord::Lease(record), expected, token, now, s.effects));
    }

    fn lease_went(&mut self, progress: Progress, s: &mut Surroundings<'_>) {
        let written = match progress {
            Progress::Open => return,
            Progress::Landed { revision, first_sent } => {
                let resigned = self.writing.take().is_some_and(
                    |pending| matches!(pending.record(), ControlRecord::Lease(record) if record.state == LeaseState::Resigned),
                );
                self.lease_revision = Some(revision);
                // Counted from the moment of sending, never from the acknowledgement (R3).
                let counts_from = if is_on(Mutant::LeadsFromAnswer) { s.timers.now() } else { first_sent };
                self.lease_until = counts_from + self.config.profile.lease().self_stop();
                self.renew_at = first_sent + self.config.profile.lease().renew_every();
                if resigned {
                    self.follow(s);
                    return;
                }
                first_sent
            }
            Progress::Lost(found) => {
                self.writing = None;
                if let ControlRecord::Lease(record) = &found.record
                    && self.takes_back(record, found.revision, s)
                {
                    return;
                }
                return self.step_down("the lease was taken", s);
            }
            Progress::Spoiled(revision) => {
                // It may have replaced a lease of somebody else: then the log, which has the last word, tells.
                if let Some(pending) = &mut self.writing {
                    pending.write_over(revision, s.effects);
                }
                return;
            }
        };
        match &self.stage {
            Stage::Contending { term } => {
                let term = *term;
                let now = s.timers.now();
                self.stage = Stage::Elected { term, reading: Reading::Due { at: now }, since: now };
                if is_on(Mutant::SkipsTermStarted) {
                    self.stage = Stage::Leader { term };
                }
            }
            Stage::Leader { term } => {
                let renew = LeadershipCommand::RenewLeadership { leader: s.me.clone(), term: *term };
                if s.topology.leadership().decide(&renew).is_ok() {
                    s.effects.push(Effect::Note(Note::Renewed { sent: written }));
                }
            }
            Stage::Follower { .. } | Stage::Elected { .. } => {}
        }
    }

    /// Whether that record was no election, and is written over. An election raises the term: one that names another
    /// holder for a term that the log gives to this node was written by somebody who had no business there.
    fn takes_back(&mut self, found: &LeaseRecord, revision: Revision, s: &mut Surroundings<'_>) -> bool {
        let Stage::Leader { term } = self.stage else { return false };
        let forged = found.holder != *s.me && found.term <= term && s.topology.leadership().is_led_by(s.me, term);
        if forged {
            self.lease_revision = Some(revision);
            self.renew_at = s.timers.now() + TAKE_BACK_AFTER;
            s.timers.reached(self.renew_at);
        }
        forged
    }

    fn follow(&mut self, s: &mut Surroundings<'_>) {
        self.stage = Stage::Follower { contend_at: None };
        self.lease_revision = None;
        self.lease_until = Monotonic::ZERO;
        self.appending = None;
        self.fences = Fences::default();
        self.memory = Memory::default();
        self.resigning = false;
        s.timers.reached(s.timers.now() + RETRY_AFTER);
    }

    fn step_down(&mut self, why: &'static str, s: &mut Surroundings<'_>) {
        if let Stage::Leader { term } | Stage::Elected { term, .. } = &self.stage {
            s.effects.push(Effect::Note(Note::SteppedDown { term: *term, why }));
        }
        self.writing = None;
        self.follow(s);
    }

    // --- Holding the lease ---

    fn keep(&mut self, s: &mut Surroundings<'_>) {
        let (Stage::Leader { term } | Stage::Elected { term, .. }) = &self.stage else { return };
        let term = *term;
        let late_renewal = is_on(Mutant::RenewsLate) && self.writing.is_none();
        if s.timers.reached(self.lease_until) && !late_renewal && !is_on(Mutant::NeverStops) {
            // A node that leaves will not ask for it again; what came too late it gives back, so that nobody waits for it.
            if !s.leaving || self.writing.is_some() {
                return self.step_down("the lease ran out before it was renewed", s);
            }
            self.resigning = true;
        }
        let mut stuck = self.appending.as_ref().is_some_and(|pending| pending.is_stuck(APPEND_UNKNOWN_MAX, s.timers));
        if let Stage::Elected { since, .. } = self.stage {
            stuck |= s.timers.reached(since + APPEND_UNKNOWN_MAX);
        }
        if stuck && !self.resigning {
            self.stands_aside = s.timers.now() + self.config.profile.lease().takeover();
        }
        let asked = s.sightings.orders().and_then(|orders| orders.step_down.as_ref());
        let asked = asked.filter(|(of, _)| *of == term).map(|(_, asked)| asked.clone());
        let yields = s.leaving || asked.is_some() || is_distrusted(s) && self.somebody_better(s);
        let hand_over = yields && !self.alone(s) && self.appending.is_none();
        if let Some(asked) = asked.filter(|_| hand_over && !self.resigning) {
            s.effects.push(Effect::Note(Note::AskedToStepDown { term, asked }));
            self.stands_aside = s.timers.now() + self.config.profile.lease().takeover();
        }
        // Another leader may have begun to drain this node meanwhile: it cannot start a term any more.
        let standing = s.topology.cluster().status_of(s.me);
        let too_late =
            matches!(self.stage, Stage::Elected { .. }) && standing.is_some_and(|status| status != NodeStatus::Active);
        if stuck || hand_over || too_late {
            self.resigning = true;
        }
        if self.writing.is_some() {
            return;
        }
        let expected = self.lease_revision.map_or(Expected::Absent, Expected::At);
        if self.resigning {
            s.effects.push(Effect::Note(Note::SteppedDown { term, why: "it resigned" }));
            self.write_lease(term, LeaseState::Resigned, expected, s);
            // From here on nothing is done as leader, whatever becomes of the write.
            self.stage = Stage::Follower { contend_at: None };
            self.appending = None;
            self.fences = Fences::default();
        } else if s.timers.reached(self.renew_at) {
            self.write_lease(term, LeaseState::Held, expected, s);
        }
    }

    // --- Leading ---

    fn tell_the_log(&mut self, s: &mut Surroundings<'_>) {
        let Stage::Elected { term, reading, .. } = &mut self.stage else { return };
        let term = *term;
        match reading {
            Reading::Due { at } => {
                if s.timers.reached(*at) {
                    let token = Token((s.fresh)());
                    *reading = Reading::Asked(token);
                    s.effects.push(Effect::ReadLog { token, after: s.topology.at().sequence });
                }
            }
            Reading::Asked(_) => {}
            Reading::AtTail => {
                if self.resigning || self.appending.is_some() || !s.timers.reached(self.retry_at) {
                    return;
                }
                // The log may have a higher term than the lease had: the lease was written without knowing it.
                if s.topology.leadership().term() >= term {
                    return self.step_down("another leader's term is in the log", s);
                }
                // The first entry ends whatever life of this id there is; the log may have taken one in meanwhile.
                let other = s.topology.cluster().member(&s.me.node);
                let other = other.filter(|member| member.status.owns() && member.node != *s.me);
                let over = |member| self.over_at(member, s.sightings, s.timers);
                if let Some(at) = other.map(over)
                    && !at.is_some_and(|at| s.timers.reached(at))
                {
                    return;
                }
                let drawn = ClusterUid(u128::from((s.fresh)()) << 64 | u128::from((s.fresh)()));
                let uid = s.topology.cluster().uid().unwrap_or(drawn);
                let facts = facts!(self, s);
                match policy::first_entry(s.topology, &facts, term, uid) {
                    Ok((draft, cause)) => self.append(draft, cause, term, uid, s),
                    Err(reason) => self.refused(reason, s),
                }
            }
        }
    }

    fn lead(&mut self, s: &mut Surroundings<'_>) {
        let Stage::Leader { term } = self.stage else { return };
        let facts = facts!(self, s);
        for node in policy::suspects(s.topology, &facts, s.timers) {
            self.fences.begin(node, &self.config, s);
        }
        if self.appending.is_some() || !s.timers.reached(self.retry_at) {
            return;
        }
        let facts = facts!(self, s);
        if !s.timers.reached(self.gathers_until) && !policy::all_released(s.topology, &facts) {
            return;
        }
        let Some(uid) = s.topology.cluster().uid() else { return };
        let next = policy::next_entry(s.topology, &facts, &mut self.memory, s.timers);
        s.effects.extend(self.memory.notes.drain(..).map(Effect::Note));
        match next {
            Ok((draft, _)) if draft.is_empty() => {}
            Ok((draft, cause)) => self.append(draft, cause, term, uid, s),
            Err(reason) => self.refused(reason, s),
        }
    }

    fn refused(&mut self, reason: String, s: &mut Surroundings<'_>) {
        s.effects.push(Effect::Note(Note::Refused { reason }));
        self.retry_at = s.timers.now() + RETRY_AFTER;
        s.timers.reached(self.retry_at);
    }

    fn append(
        &mut self,
        draft: aether_domain::topology::Draft,
        cause: String,
        term: Term,
        cluster: ClusterUid,
        s: &mut Surroundings<'_>,
    ) {
        let format = formats::agreed(s.topology, draft.topology(), s.sightings).max(self.format);
        let (leader, nonce) = (s.me.clone(), Nonce((s.fresh)()));
        let signature = Signature { format, cluster, leader, term, nonce, cause, at: s.wall };
        let entry = match draft.finish(signature) {
            Ok(entry) => entry,
            Err(violations) => {
                let reason = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                return self.refused(reason, s);
            }
        };
        let (token, after, now) = (Token((s.fresh)()), s.topology.at().sequence, s.timers.now());
        self.appending = Some(PendingAppend::send(entry, after, token, now, s.effects));
    }

    /// The record of that node was seen.
    pub(crate) fn saw_member(&mut self, stored: &StoredRecord, node: &NodeId, s: &mut Surroundings<'_>) {
        self.fences.saw(stored, node, s);
    }
}

/// Whether others have found this node unwell.
fn is_distrusted(s: &Surroundings<'_>) -> bool {
    let member = s.topology.cluster().member(&s.me.node).filter(|member| member.node == *s.me);
    member.is_some_and(|member| member.trust != Trust::Full)
}

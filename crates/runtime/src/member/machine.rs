//! One node's membership as a state machine: probe → register → join → serve → leave, and begin again when fenced.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::NodeStatus;
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::Expected;
use aether_domain::records::{
    ControlKey, ControlRecord, Health, Load, MemberRecord, MemberState, ReleaseReport, StoredRecord,
};
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Incarnation, Monotonic, NodeRef, Nonce, Revision, ShardId, ShardSet};
use aether_placement::MapDigest;

use super::loads::told;
use crate::control::{
    ControlConfig, Effect, Note, PendingWrite, Phase, Progress, Sightings, StopReason, Timers, Token, WriteOutcome,
};

/// A record that another process may be writing must be still for at least this long before it is taken over.
const STILLNESS_MIN: Duration = Duration::from_millis(1_500);
/// A node that asked to leave ends after this long even if nobody has let it go.
const LEAVE_WITHIN: Duration = Duration::from_secs(20);
/// Releases are gathered for this long while more are on their way, so that what is released together is one report.
const RELEASE_GATHER: Duration = Duration::from_millis(3);
/// Own heartbeats answered within this are "in good time": silence of others is only judged then.
const WELL_WITHIN: Duration = Duration::from_secs(1);

/// What this life is about.
#[derive(Debug)]
enum Stage {
    /// Looking whether another process lives under this node's id.
    Probing { still_since: Option<(Revision, Monotonic)>, nobody_home: bool },
    /// The first record of this life is on its way, or stored and not yet logged.
    Registering,
    /// The log says that this life is a member.
    Member,
    /// It is over for good.
    Ended,
}

/// The membership of this node.
#[derive(Debug)]
pub(crate) struct Member {
    me: NodeRef,
    /// This process's life before this one.
    former: Option<Incarnation>,
    config: ControlConfig,
    stage: Stage,
    revision: Option<Revision>,
    heartbeat: u64,
    next_beat: Monotonic,
    beating: Option<PendingWrite>,
    /// When the last heartbeat was answered, if that was in good time.
    answered: Option<Monotonic>,
    serve_until: Monotonic,
    /// Whether it is drained and nobody is there to hand over to: it serves nothing any more then. Whoever leaves last
    /// gives its shards up to nobody, and the next node to start takes them at once.
    retired: bool,
    leaving_since: Option<Monotonic>,
    /// Whether this process has been told that somebody else wants it to leave.
    asked_to_leave: bool,
    released: BTreeMap<ShardId, Epoch>,
    released_since: Option<Monotonic>,
    reported: BTreeMap<ShardId, Epoch>,
    report_revision: Option<Revision>,
    reporting: Option<PendingWrite>,
    load: Load,
    health: Health,
    /// What each shard costs, if that has not been told yet.
    costs: Option<Vec<u32>>,
}

/// What a member machine is handed at each step.
pub(crate) struct Surroundings<'a> {
    pub(crate) topology: &'a Topology,
    /// Of the shard map in it.
    pub(crate) digest: MapDigest,
    pub(crate) sightings: &'a mut Sightings,
    pub(crate) timers: &'a mut Timers,
    pub(crate) effects: &'a mut Vec<Effect>,
    pub(crate) fresh: &'a mut dyn FnMut() -> u64,
}

impl Member {
    pub(crate) fn new(me: NodeRef, config: ControlConfig) -> Self {
        Self {
            me,
            former: None,
            config,
            stage: Stage::Probing { still_since: None, nobody_home: false },
            revision: None,
            heartbeat: 0,
            next_beat: Monotonic::ZERO,
            beating: None,
            answered: None,
            serve_until: Monotonic::ZERO,
            retired: false,
            leaving_since: None,
            asked_to_leave: false,
            released: BTreeMap::new(),
            released_since: None,
            reported: BTreeMap::new(),
            report_revision: None,
            reporting: None,
            load: Load::default(),
            health: Health::default(),
            costs: None,
        }
    }

    pub(crate) fn me(&self) -> &NodeRef {
        &self.me
    }
    pub(crate) fn serve_until(&self) -> Monotonic {
        if self.retired { Monotonic::ZERO } else { self.serve_until }
    }
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving_since.is_some()
    }
    /// Whether this process has told nobody of itself yet.
    pub(crate) fn is_unheard_of(&self) -> bool {
        matches!(self.stage, Stage::Probing { .. }) && self.heartbeat == 0 && self.former.is_none()
    }
    /// Whether this life's record is stored, so that others can see it.
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.stage, Stage::Registering | Stage::Member) && self.revision.is_some()
    }

    pub(crate) fn phase(&self, now: Monotonic) -> Phase {
        match self.stage {
            Stage::Probing { .. } | Stage::Registering => Phase::Joining,
            Stage::Ended => Phase::Stopped,
            Stage::Member if now >= self.serve_until => Phase::Paused,
            Stage::Member if self.is_leaving() => Phase::Draining,
            Stage::Member => Phase::Active,
        }
    }

    pub(crate) fn carries(&mut self, load: Load, health: Health) {
        self.load = load;
        self.health = std::mem::take(&mut self.health).or_worse(health);
    }
    pub(crate) fn costs(&mut self, costs: Vec<u32>) {
        self.costs = Some(costs);
    }
    pub(crate) fn leave(&mut self, now: Monotonic) {
        self.leaving_since.get_or_insert(now);
        self.next_beat = Monotonic::ZERO;
    }
    pub(crate) fn released(&mut self, shard: ShardId, drain_epoch: Epoch) {
        self.released.insert(shard, drain_epoch);
    }
    /// A message to that life met nobody.
    pub(crate) fn unreachable(&mut self, node: &NodeRef, sightings: &Sightings) {
        if let Stage::Probing { nobody_home, .. } = &mut self.stage
            && node.node == self.me.node
            && sightings.life(&node.node) == Some(node.incarnation)
        {
            *nobody_home = true;
        }
    }

    /// The key and the revision that the write with that token expects, if it is ours.
    pub(crate) fn expects(&self, token: Token) -> Option<(ControlKey, Revision)> {
        let pending = self.beating.iter().chain(&self.reporting).find(|pending| pending.token() == token);
        pending.map(PendingWrite::expects)
    }

    /// The outcome of a write that may be ours; true if it was.
    pub(crate) fn written(&mut self, token: Token, outcome: &WriteOutcome, s: &mut Surroundings<'_>) -> bool {
        let now = s.timers.now();
        if let Some(pending) = self.beating.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.written(outcome, now, s.effects);
            if is_on(Mutant::UnknownFails) && *outcome == WriteOutcome::Unknown {
                (self.beating, self.next_beat) = (None, now);
            }
            self.beat_went(progress, s);
            true
        } else if let Some(pending) = self.reporting.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.written(outcome, now, s.effects);
            self.report_went(progress, s);
            true
        } else {
            false
        }
    }

    /// What reading back showed for a write that may be ours; true if it was.
    pub(crate) fn read_back(&mut self, token: Token, found: Option<&StoredRecord>, s: &mut Surroundings<'_>) -> bool {
        let now = s.timers.now();
        if let Some(pending) = self.beating.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.read_back(found, now);
            self.beat_went(progress, s);
            true
        } else if let Some(pending) = self.reporting.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.read_back(found, now);
            self.report_went(progress, s);
            true
        } else {
            false
        }
    }

    /// Reading back a write that may be ours met something that cannot be understood; true if it was ours.
    pub(crate) fn read_spoiled(&mut self, token: Token, revision: Revision, s: &mut Surroundings<'_>) -> bool {
        let now = s.timers.now();
        if let Some(pending) = self.beating.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.read_spoiled(revision, now);
            self.beat_went(progress, s);
            true
        } else if let Some(pending) = self.reporting.as_mut().filter(|pending| pending.token() == token) {
            let progress = pending.read_spoiled(revision, now);
            self.report_went(progress, s);
            true
        } else {
            false
        }
    }

    /// A record under one of our own keys was seen.
    pub(crate) fn saw(&mut self, stored: &StoredRecord, s: &mut Surroundings<'_>) {
        match &stored.record {
            ControlRecord::Member(record) if record.node.node == self.me.node => {
                if let Some(pending) = &mut self.beating
                    && stored.revision > self.revision.unwrap_or_default()
                {
                    let progress = pending.seen(stored, s.timers.now());
                    self.beat_went(progress, s);
                } else if stored.revision > self.revision.unwrap_or_default()
                    && !matches!(self.stage, Stage::Probing { .. } | Stage::Ended)
                {
                    self.lost(record, s);
                }
            }
            ControlRecord::Release(report) if report.node.node == self.me.node => {
                if let Some(pending) = &mut self.reporting {
                    let progress = pending.seen(stored, s.timers.now());
                    self.report_went(progress, s);
                } else {
                    self.report_revision = Some(stored.revision);
                }
            }
            _ => {}
        }
    }

    /// How long after one heartbeat's answer the next one's comes, if all is well with this process and its way.
    fn answers_within(&self) -> Duration {
        self.config.profile.member().heartbeat_every() + WELL_WITHIN
    }

    /// Has the process leave because an operator asks this life to, or the log has it drained whoever asked.
    fn follow_orders(&mut self, s: &mut Surroundings<'_>) {
        if self.is_leaving() || self.asked_to_leave || !matches!(self.stage, Stage::Member) {
            return;
        }
        let asked = s.sightings.orders().and_then(|orders| orders.drains(&self.me)).cloned();
        let drained = s.topology.cluster().status_of(&self.me) == Some(NodeStatus::Draining);
        if asked.is_some() || drained {
            self.asked_to_leave = true;
            s.effects.push(Effect::Note(Note::AskedToLeave { asked: asked.unwrap_or_default() }));
            s.effects.push(Effect::Leave);
        }
    }

    /// Does whatever is due.
    pub(crate) fn advance(&mut self, s: &mut Surroundings<'_>) {
        // A process that did not run, whatever stopped it, has heard nobody meanwhile.
        if self.answered.is_some_and(|before| s.timers.reached(before + self.answers_within())) {
            s.sightings.set_well(None);
        }
        match &self.stage {
            Stage::Probing { .. } => self.probe(s),
            Stage::Registering | Stage::Member => {
                self.follow_log(s);
                self.follow_orders(s);
                self.beat(s);
                self.report(s);
            }
            Stage::Ended => {}
        }
        if let Some(pending) = &mut self.beating {
            pending.advance(s.timers, s.effects);
            // Others are only judged while our own heartbeats are answered in good time.
            if s.timers.reached(pending.first_sent() + WELL_WITHIN) {
                s.sightings.set_well(None);
            }
        }
        if let Some(pending) = &mut self.reporting {
            pending.advance(s.timers, s.effects);
        }
    }

    /// Ends a node that was asked to leave, whether or not it hears anything of the world: at once if nothing can come
    /// of waiting, or when its time is over.
    pub(crate) fn end_in_time(&mut self, faulty: bool, s: &mut Surroundings<'_>) {
        let Some(since) = self.leaving_since else { return };
        match self.stage {
            Stage::Ended => {}
            // It has told nobody of itself yet.
            Stage::Probing { .. } => self.end(StopReason::Left, s),
            Stage::Registering | Stage::Member => {
                if faulty || s.timers.reached(since + LEAVE_WITHIN) {
                    self.end(StopReason::LeftUnasked, s);
                }
            }
        }
    }

    fn probe(&mut self, s: &mut Surroundings<'_>) {
        let Stage::Probing { still_since, nobody_home } = &mut self.stage else { return };
        let Some(seen) = s.sightings.member(&self.me.node) else {
            return self.register(Expected::Absent, s);
        };
        let (record, revision) = (seen.record.clone(), seen.revision);
        // A record of one of this process's own earlier lives, or one that is over, needs no waiting.
        let takes = is_on(Mutant::TakesLivingId);
        if takes || record.state.is_over() || Self::is_gone(&record.node, s.topology) {
            return self.register(Expected::At(revision), s);
        }
        match *still_since {
            // Its own last heartbeats, heard late: the fence comes behind them.
            Some((before, _)) if before < revision && self.former == Some(record.node.incarnation) => {
                *still_since = Some((revision, s.timers.now()));
                s.timers.reached(s.timers.now() + STILLNESS_MIN);
            }
            Some((before, _)) if before < revision => self.end(StopReason::NodeIdInUse { by: record.node }, s),
            Some((_, since)) => {
                let still = STILLNESS_MIN.max(record.heartbeat_every * 3 / 2);
                if s.timers.reached(since + still) {
                    let long_silent = since + self.config.profile.member().suspect_after().max(still);
                    if *nobody_home || s.timers.reached(long_silent) {
                        self.register(Expected::At(revision), s);
                    }
                }
            }
            None => {
                *still_since = Some((revision, s.timers.now()));
                s.timers.reached(s.timers.now() + STILLNESS_MIN);
                s.effects.push(Effect::Probe { node: record.node });
            }
        }
    }

    /// Whether the log says that this life has left in good order.
    fn is_gone(node: &NodeRef, topology: &Topology) -> bool {
        topology.cluster().status_of(node) == Some(NodeStatus::Left)
    }

    fn register(&mut self, expected: Expected, s: &mut Surroundings<'_>) {
        self.stage = Stage::Registering;
        self.send_beat(expected, s);
    }

    fn follow_log(&mut self, s: &mut Surroundings<'_>) {
        match s.topology.cluster().status_of(&self.me) {
            Some(NodeStatus::Active | NodeStatus::Draining) => {
                if matches!(self.stage, Stage::Registering) {
                    self.stage = Stage::Member;
                    s.effects.push(Effect::Note(Note::Member { me: self.me.clone(), epoch: s.topology.epoch() }));
                    if self.revision.is_some() {
                        s.effects.push(Effect::ServeUntil(self.serve_until));
                    }
                    self.next_beat = Monotonic::ZERO;
                }
                let retires = s.topology.cluster().active().next().is_none();
                if retires != std::mem::replace(&mut self.retired, retires) {
                    s.effects.push(if retires { Effect::EndServing } else { Effect::ServeUntil(self.serve_until) });
                }
            }
            Some(NodeStatus::Failed) => self.over(s),
            Some(NodeStatus::Left) => self.end(StopReason::Left, s),
            None => {
                // Another life of this node is a member after us: ours is over.
                if matches!(self.stage, Stage::Member) {
                    self.over(s);
                }
            }
        }
    }

    fn beat(&mut self, s: &mut Surroundings<'_>) {
        if self.beating.is_none() && matches!(self.stage, Stage::Registering | Stage::Member) {
            let expected = self.revision.map_or(Expected::Absent, Expected::At);
            if s.timers.reached(self.next_beat) {
                self.send_beat(expected, s);
            }
        }
    }

    fn send_beat(&mut self, expected: Expected, s: &mut Surroundings<'_>) {
        let now = s.timers.now();
        let state = match (&self.stage, self.leaving_since) {
            (Stage::Member, Some(_)) => MemberState::Leaving,
            (Stage::Member, None) => MemberState::Alive,
            _ => MemberState::Starting,
        };
        self.heartbeat += 1;
        // Each reading is told once.
        let costs = self.costs.take().filter(|_| s.topology.cluster().policy().load.is_some());
        let health = Health { unserved: self.unserved(s.topology), ..self.health.clone() };
        let shard_loads = costs.map_or_else(Vec::new, |costs| told(s.topology, self.me.incarnation, &costs));
        let record = MemberRecord {
            node: self.me.clone(),
            state,
            heartbeat: self.heartbeat,
            nonce: Nonce((s.fresh)()),
            heartbeat_every: self.config.profile.member().heartbeat_every(),
            view: s.topology.epoch(),
            load: self.load,
            info: self.config.info.clone(),
            admin_url: self.config.admin_url.clone(),
            build: self.config.build.clone(),
            supervisor: self.config.supervisor,
            health,
            shard_loads,
            digest: s.digest.0,
            reads: self.config.reads,
        };
        // What was worst is said once; who is accused and what is not served, until that is taken back.
        let Health { accuses, unserved, .. } = std::mem::take(&mut self.health);
        self.health = Health { accuses, unserved, ..Health::default() };
        self.next_beat = now + self.config.profile.member().heartbeat_every();
        let token = Token((s.fresh)());
        self.beating = Some(PendingWrite::send(ControlRecord::Member(record), expected, token, now, s.effects));
    }

    /// Of the shards that it was told it cannot serve, those that are still its own, as many as a record says.
    fn unserved(&self, topology: &Topology) -> ShardSet {
        let me = self.me.incarnation;
        let mine = |shard: &ShardId| matches!(topology.assignment().shard(*shard), ShardState::Owned { owner, .. } if owner == me);
        self.health.unserved.iter().filter(mine).take(Health::UNSERVED_MAX).collect()
    }

    fn beat_went(&mut self, progress: Progress, s: &mut Surroundings<'_>) {
        match progress {
            Progress::Open => {}
            Progress::Landed { revision, first_sent } => {
                let now = s.timers.now();
                self.beating = None;
                self.revision = Some(revision);
                if self.answered.is_none_or(|before| now > before + self.answers_within()) {
                    // Nobody was heard in between, by no fault of theirs.
                    s.sightings.set_well(None);
                }
                self.answered = (now.since(first_sent) < WELL_WITHIN).then_some(now);
                s.sightings.set_well(self.answered);
                // The lease counts from when the heartbeat was first sent, never from its acknowledgement (R3).
                let counts_from = if is_on(Mutant::ServesFromAnswer) { now } else { first_sent };
                self.serve_until = self.serve_until.max(counts_from + self.config.profile.member().serve_lease());
                if matches!(self.stage, Stage::Member) && !self.retired {
                    s.effects.push(Effect::ServeUntil(self.serve_until));
                }
            }
            Progress::Lost(stored) => {
                self.beating = None;
                if let ControlRecord::Member(record) = &stored.record {
                    self.lost(record, s);
                }
            }
            Progress::Spoiled(revision) => match (&self.stage, &mut self.beating) {
                (Stage::Registering, Some(pending)) if self.revision.is_none() => {
                    pending.write_over(revision, s.effects);
                }
                // What cannot be understood may have replaced a fence: this life is over, and a new one writes over it.
                _ => {
                    self.over(s);
                    if !matches!(self.stage, Stage::Ended) {
                        self.register(Expected::At(revision), s);
                    }
                }
            },
        }
    }

    /// Our record holds something that we did not write.
    fn lost(&mut self, record: &MemberRecord, s: &mut Surroundings<'_>) {
        if record.node == self.me && record.state.is_over() {
            // A record that says this life is dead is a mistake of whoever wrote it, and ends it as a fence does.
            self.over(s);
        } else if record.node != self.me {
            // Somebody else runs, or has just ended, under this node's id: look again before deciding which.
            match (&self.stage, self.heartbeat) {
                (Stage::Registering, 0..=1) => {
                    self.stage = Stage::Probing { still_since: None, nobody_home: false };
                    self.revision = None;
                }
                _ => self.end(StopReason::NodeIdInUse { by: record.node.clone() }, s),
            }
        }
    }

    /// This life is over, whoever ended it: nothing of it goes on, and the process begins a new one, unless it was to leave:
    /// then there is nothing left to hand over.
    fn over(&mut self, s: &mut Surroundings<'_>) {
        if is_on(Mutant::LivesOnFenced) {
            self.revision = s.sightings.member(&self.me.node).map(|seen| seen.revision);
            return;
        }
        s.effects.push(Effect::EndServing);
        s.effects.push(Effect::Note(Note::LifeOver { node: self.me.clone() }));
        if self.is_leaving() || self.asked_to_leave {
            return self.end(StopReason::LeftUnasked, s);
        }
        self.begin_again(Incarnation((s.fresh)().max(1)), s.effects);
        s.timers.reached(s.timers.now() + Duration::from_millis(1));
    }

    /// Takes a new life. What the old one knew, held or had under way is nothing to it.
    pub(crate) fn begin_again(&mut self, incarnation: Incarnation, effects: &mut Vec<Effect>) {
        let me = NodeRef { node: self.me.node.clone(), incarnation };
        effects.push(Effect::NewLife { me: me.clone() });
        let former = Some(self.me.incarnation);
        *self = Self { former, load: self.load, ..Self::new(me, self.config.clone()) };
    }

    fn end(&mut self, reason: StopReason, s: &mut Surroundings<'_>) {
        self.stage = Stage::Ended;
        s.effects.push(Effect::EndServing);
        s.effects.push(Effect::Stop(reason));
    }

    /// Writes what was released and is still awaited by the log.
    fn report(&mut self, s: &mut Surroundings<'_>) {
        let me = self.me.incarnation;
        let awaited = |shard: ShardId, drain_epoch: Epoch| match s.topology.assignment().shard(shard) {
            ShardState::Draining { from, drain_epoch: asked, .. } => from == me && asked == drain_epoch,
            _ => s.topology.epoch() < drain_epoch,
        };
        self.released.retain(|shard, drain_epoch| awaited(*shard, *drain_epoch));
        let news = self.released.iter().any(|(shard, drain_epoch)| self.reported.get(shard) != Some(drain_epoch));
        if self.reporting.is_some() || !news {
            return;
        }
        let since = *self.released_since.get_or_insert(s.timers.now());
        let more = s.topology.assignment().iter().any(|(shard, state)| match state {
            ShardState::Draining { from, drain_epoch, .. } => {
                from == me && self.released.get(&shard) != Some(&drain_epoch)
            }
            _ => false,
        });
        if more && !s.timers.reached(since + RELEASE_GATHER) {
            return;
        }
        self.released_since = None;
        let mut by_epoch: BTreeMap<Epoch, Vec<ShardId>> = BTreeMap::new();
        for (shard, drain_epoch) in &self.released {
            by_epoch.entry(*drain_epoch).or_default().push(*shard);
        }
        let released = by_epoch.into_iter().map(|(epoch, shards)| (shards.into_iter().collect(), epoch)).collect();
        let report = ReleaseReport { node: self.me.clone(), nonce: Nonce((s.fresh)()), released };
        self.reported = self.released.clone();
        let known = s.sightings.release(&self.me.node).map(|(_, revision)| revision);
        let expected = self.report_revision.max(known).map_or(Expected::Absent, Expected::At);
        let (token, now) = (Token((s.fresh)()), s.timers.now());
        self.reporting = Some(PendingWrite::send(ControlRecord::Release(report), expected, token, now, s.effects));
    }

    fn report_went(&mut self, progress: Progress, s: &mut Surroundings<'_>) {
        match progress {
            Progress::Open => {}
            Progress::Landed { revision, .. } => {
                self.reporting = None;
                self.report_revision = Some(revision);
                self.report(s);
            }
            Progress::Lost(stored) => {
                // An earlier life's last words; ours go behind them.
                self.reporting = None;
                self.reported.clear();
                self.report_revision = Some(stored.revision);
            }
            Progress::Spoiled(revision) => {
                if let Some(pending) = &mut self.reporting {
                    pending.write_over(revision, s.effects);
                }
            }
        }
    }
}

//! The control plane as one state machine: `step(now, input) -> effects`.
//!
//! It owns the fold of the log and everything seen in the control store, and hands both to the member and the
//! coordinator. It performs nothing: effects are data, and their answers come back as inputs. The same machine runs in
//! the product and in the simulator.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::ClusterSettings;
use aether_domain::invariants::Violation;
use aether_domain::mutants::{self, Mutant, is_on};
use aether_domain::ports::{ControlUpdate, LogUpdate};
use aether_domain::records::{ControlRecord, Position, StoredEntry, StoredRecord};
use aether_domain::time::WallTime;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Incarnation, Monotonic, NodeId, NodeRef, Sequence, ShardId, Term};
use aether_placement::MapDigest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::digests::{Digests, terms_of};
use super::exchange::{ControlConfig, Effect, Input, Note, Phase, StopReason, Token, WriteOutcome};
use super::fault::{Doubted, Doubts, Fault, OnRegression};
use super::sightings::Sightings;
use super::timers::Timers;
use crate::coordinator::append::AppendResult;
use crate::coordinator::machine::{self as coordinator, Coordinator};
use crate::coordinator::policy::obstacle;
use crate::coordinator::policy::outlook::Outlook;
use crate::member::machine::{self as member, Member};

/// The control plane of one node.
#[derive(Debug)]
pub struct Machine {
    config: ControlConfig,
    topology: Topology,
    digests: Digests,
    sightings: Sightings,
    member: Member,
    coordinator: Coordinator,
    rng: ChaCha8Rng,
    control_caught_up: bool,
    log_caught_up: bool,
    fault: Option<Fault>,
    doubts: Doubts,
    /// The entry that last did not follow the one before, after which this node began again.
    broke_at: Option<Position>,
    stopped: bool,
    wakes_at: Option<Monotonic>,
    clock: mutants::Clock,
}

impl Machine {
    /// A node's control plane at its start. All its randomness comes from `seed`: never use one twice.
    pub fn new(node: NodeId, config: ControlConfig, seed: u64) -> Self {
        // A cluster is founded with the timers that its founder goes by.
        let settings = ClusterSettings { profile: config.profile, ..config.settings };
        let config = ControlConfig { settings, snapshot_every: config.snapshot_every.max(1), ..config };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let me = NodeRef { node, incarnation: Incarnation(rng.next_u64().max(1)) };
        Self {
            member: Member::new(me, config.clone()),
            coordinator: Coordinator::new(config.clone()),
            config,
            topology: Topology::default(),
            digests: Digests::default(),
            sightings: Sightings::default(),
            rng,
            control_caught_up: false,
            log_caught_up: false,
            fault: None,
            doubts: Doubts::default(),
            broke_at: None,
            stopped: false,
            wakes_at: None,
            clock: mutants::Clock::default(),
        }
    }

    /// This life.
    pub fn me(&self) -> &NodeRef {
        self.member.me()
    }
    /// The fold of the log so far.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
    /// The digest of the shard map at the last entry of that fold.
    pub fn digest(&self) -> MapDigest {
        self.digests.now()
    }
    /// While this node leads: the lives whose last heartbeat said another digest than its own at the same entry, and which
    /// entry that was.
    pub fn strays(&self) -> impl ExactSizeIterator<Item = &(NodeRef, Epoch)> {
        self.digests.strays()
    }
    /// Everything seen in the control store.
    pub fn sightings(&self) -> &Sightings {
        &self.sightings
    }
    /// Why the placement that an operator wants cannot be adopted by this node; nothing if it can, or is, or none is wanted.
    pub fn placement_obstacle(&self) -> Option<String> {
        let (desired, _) = self.sightings.desired()?;
        let adopted = desired == self.topology.cluster().policy();
        if adopted { None } else { obstacle(desired, &self.topology, &self.config.strategies) }
    }
    /// What this node is doing.
    pub fn phase(&self, now: Monotonic) -> Phase {
        if self.stopped {
            Phase::Stopped
        } else if self.fault.is_some() {
            Phase::Faulty
        } else {
            match self.member.phase(now) {
                Phase::Active | Phase::Draining if self.doubts.any() => Phase::Paused,
                phase => phase,
            }
        }
    }
    /// The term this node leads in, and until when by its own clock.
    pub fn leads(&self) -> Option<(Term, Monotonic)> {
        self.coordinator.leads()
    }
    /// The shards that alone are more than a node is to bear, each with how much of that it is in percent (`ShardTooHot`): no
    /// placement can help them. Only a leader knows, and only where load decides.
    pub fn too_hot(&self) -> Vec<(ShardId, u32)> {
        self.coordinator.too_hot()
    }
    /// What this node goes by when it plans, if it leads and has looked around.
    pub fn outlook(&self) -> Option<Arc<Outlook>> {
        self.coordinator.outlook()
    }
    /// Until when this life may answer from memory.
    pub fn serve_until(&self) -> Monotonic {
        if self.fault.is_some() || self.doubts.any() { Monotonic::ZERO } else { self.member.serve_until() }
    }
    /// What is wrong, if anything is.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }
    /// When to step again with [`Input::Tick`] if nothing else comes first.
    pub fn wakes_at(&self) -> Option<Monotonic> {
        self.wakes_at
    }

    /// Takes one input and does whatever is due. `now` never goes back; `wall` is for stamps only.
    pub fn step(&mut self, now: Monotonic, wall: WallTime, input: Input) -> Vec<Effect> {
        let now = self.clock.reads(now, wall);
        let mut effects = Vec::new();
        let mut timers = Timers::at(now);
        if self.stopped {
            return effects;
        }
        if self.fault.is_none() {
            self.take(&mut timers, wall, input, &mut effects);
        } else if matches!(input, Input::Leave) {
            self.member.leave(now);
        }
        if self.fault.is_none() {
            self.advance(&mut timers, wall, &mut effects);
        }
        if self.fault.is_some() || self.doubts.any() {
            // Whatever was decided before that was found: nothing is served from here on.
            effects.retain(|effect| !matches!(effect, Effect::ServeUntil(_)));
        }
        let faulty = self.fault.is_some();
        self.with_member(&mut timers, &mut effects, |member, s| member.end_in_time(faulty, s));
        self.stopped |= effects.iter().any(|effect| matches!(effect, Effect::Stop(_)));
        self.wakes_at = timers.next();
        effects
    }

    fn take(&mut self, timers: &mut Timers, wall: WallTime, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Control(ControlUpdate::Record(stored)) => self.saw(&stored, timers, wall, effects),
            Input::Control(ControlUpdate::CaughtUp) => {
                self.control_caught_up = true;
                self.sightings.set_blind(false);
            }
            Input::Control(ControlUpdate::Interrupted) => self.sightings.set_blind(true),
            Input::Control(ControlUpdate::Corrupt { key, reason }) => {
                effects.push(Effect::Note(Note::CorruptRecord { key, reason }));
            }
            Input::Log(LogUpdate::Entry(stored)) => self.apply(&stored, timers, wall, effects),
            Input::Log(LogUpdate::Corrupt { sequence, reason }) => {
                self.fail(Fault::Unreadable { sequence, reason }, effects);
            }
            Input::Snapshot(snapshot) => self.begin_from(snapshot, effects),
            Input::SnapshotPassedOver(why) => effects.push(Effect::Note(Note::SnapshotPassedOver { why })),
            Input::LogCaughtUp => self.log_caught_up = true,
            Input::Written { token, outcome } => {
                self.weigh_write(token, &outcome, timers.now(), effects);
                let ours = self.with_member(timers, effects, |member, s| member.written(token, &outcome, s));
                if !ours {
                    self.with_coordinator(timers, wall, effects, |coordinator, s| {
                        coordinator.written(token, &outcome, s);
                    });
                }
            }
            Input::ReadBack { token, found } => {
                let asked = self.member.expects(token).or_else(|| self.coordinator.expects(token));
                if let Some(stored) = found.as_ref().filter(|_| asked.is_some()) {
                    self.sightings.saw(stored, timers.now());
                }
                let found = found.as_ref();
                let ours = self.with_member(timers, effects, |member, s| member.read_back(token, found, s));
                if !ours {
                    self.with_coordinator(timers, wall, effects, |coordinator, s| {
                        coordinator.read_back(token, found, s);
                    });
                }
            }
            Input::Spoiled { token, revision } => {
                let ours = self.with_member(timers, effects, |member, s| member.read_spoiled(token, revision, s));
                if !ours {
                    self.with_coordinator(timers, wall, effects, |coordinator, s| {
                        coordinator.read_spoiled(token, revision, s);
                    });
                }
            }
            Input::Appended { token, outcome } => {
                self.weigh_append(token, &outcome, timers.now(), effects);
                let landed = self
                    .with_coordinator(timers, wall, effects, |coordinator, s| coordinator.appended(token, &outcome, s));
                if let Some((entry, at)) = landed {
                    self.apply(&StoredEntry { entry, at }, timers, wall, effects);
                }
            }
            // Asked by a life that is over, of a log that may have been another.
            Input::LogRead { token, .. } if !self.coordinator.awaits_log(token) => {}
            Input::LogRead { token, entries } => {
                let life = self.me().incarnation;
                for stored in entries.iter().flatten() {
                    self.apply(stored, timers, wall, effects);
                    if self.me().incarnation != life {
                        // It was not the log that this node knew: another life begins with it, from its start.
                        return;
                    }
                }
                let count = entries.map(|entries| entries.len());
                self.with_coordinator(timers, wall, effects, |coordinator, s| coordinator.log_read(token, count, s));
            }
            Input::Unreachable(node) => {
                self.sightings.unanswered(&node, timers.now());
                self.member.unreachable(&node, &self.sightings);
            }
            Input::Released(shard, drain_epoch) => self.member.released(shard, drain_epoch),
            Input::Carries(load, health) => self.member.carries(load, health),
            Input::Costs(costs) => self.member.costs(costs),
            Input::Leave => self.member.leave(timers.now()),
        }
    }

    fn advance(&mut self, timers: &mut Timers, wall: WallTime, effects: &mut Vec<Effect>) {
        if !(self.control_caught_up && self.log_caught_up) {
            return;
        }
        self.with_member(timers, effects, Member::advance);
        self.with_coordinator(timers, wall, effects, Coordinator::advance);
    }

    fn saw(&mut self, stored: &StoredRecord, timers: &mut Timers, wall: WallTime, effects: &mut Vec<Effect>) {
        if !self.sightings.saw(stored, timers.now()) {
            return;
        }
        // The store has gone past what it seemed to have lost; nobody here will ask it about that any more.
        self.doubts.settled(&Doubted::Control(stored.record.key()));
        self.compare_maps(&stored.record, effects);
        self.with_member(timers, effects, |member, s| member.saw(stored, s));
        self.with_coordinator(timers, wall, effects, |coordinator, s| match &stored.record {
            ControlRecord::Member(record) => coordinator.saw_member(stored, &record.node.node, s),
            _ => coordinator.saw(stored, s),
        });
    }

    /// Applies an entry if it is the next; one that was applied before is passed over.
    fn apply(&mut self, stored: &StoredEntry, timers: &mut Timers, wall: WallTime, effects: &mut Vec<Effect>) {
        if self.fault.is_some() {
            return;
        }
        let sequence = stored.at.sequence;
        if sequence <= self.topology.at().sequence {
            if self.doubts.is_another(stored.at) {
                self.fail(Fault::LogReplaced { sequence }, effects);
            }
            return;
        }
        let before = terms_of(&self.topology, &stored.entry);
        if let Err(violations) = self.topology.apply(stored) {
            // Behind another entry than this node has applied: either the log was replaced, or this entry is wrong. Whoever
            // begins again with the log as it is finds out which.
            let elsewhere = violations.iter().any(|found| matches!(found, Violation::BrokenChain { .. }));
            if elsewhere && self.accepts() && self.broke_at.replace(stored.at) != Some(stored.at) {
                let sequence = self.topology.at().sequence;
                return self.fail(Fault::LogReplaced { sequence }, effects);
            }
            let violations = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return self.fail(Fault::Broken { sequence, violations }, effects);
        }
        self.doubts.applied(stored.at);
        let entry = &stored.entry;
        self.digests.applied(entry, before, &self.topology);
        let events = entry.events.iter().map(aether_domain::topology::TopologyEvent::name).collect();
        effects.push(Effect::Note(Note::Applied { epoch: entry.epoch, cause: entry.cause.clone(), events }));
        effects.push(Effect::Publish);
        self.compare_settings(effects);
        self.with_coordinator(timers, wall, effects, |coordinator, s| coordinator.applied(entry, stored.at, s));
    }

    /// A leader compares the digest that a heartbeat says with its own at the same entry.
    fn compare_maps(&mut self, record: &ControlRecord, effects: &mut Vec<Effect>) {
        if self.coordinator.leads().is_none() {
            return self.digests.forget_strays();
        }
        let ControlRecord::Member(record) = record else { return };
        if self.digests.heard(record) {
            effects.push(Effect::Note(Note::MapDiffers { node: record.node.clone(), epoch: record.view }));
        }
    }

    /// A cluster that was founded with other settings is none that this node can be of.
    fn compare_settings(&self, effects: &mut Vec<Effect>) {
        let found = self.topology.cluster().settings();
        if found != self.config.settings && !is_on(Mutant::JoinsAnyway) {
            let configured = self.config.settings;
            effects.push(Effect::EndServing);
            effects.push(Effect::Stop(StopReason::SettingsDiffer { found, configured }));
        }
    }

    /// Begins with a fold that the log bears out, unless something was applied already.
    fn begin_from(&mut self, snapshot: Arc<Topology>, effects: &mut Vec<Effect>) {
        if self.topology.at().sequence != Sequence::ZERO {
            return;
        }
        self.topology = Arc::unwrap_or_clone(snapshot);
        self.digests = Digests::of(&self.topology);
        self.doubts.applied(self.topology.at());
        effects.push(Effect::Note(Note::BeganFrom { epoch: self.topology.epoch() }));
        effects.push(Effect::Publish);
        self.compare_settings(effects);
    }

    /// Whether an answer of the control store contradicts what it had stored (R16).
    fn weigh_write(&mut self, token: Token, outcome: &WriteOutcome, now: Monotonic, effects: &mut Vec<Effect>) {
        let Some((key, known)) = self.member.expects(token).or_else(|| self.coordinator.expects(token)) else { return };
        let doubted = Doubted::Control(key.clone());
        match outcome {
            WriteOutcome::Conflict { actual: Some(found) } if *found < known => {
                self.contradicted(doubted, Fault::ControlRegression { key, known, found: *found }, now, effects);
            }
            WriteOutcome::Ok(_) | WriteOutcome::Conflict { actual: Some(_) } => self.doubts.settled(&doubted),
            WriteOutcome::Conflict { actual: None } | WriteOutcome::Unknown | WriteOutcome::Unavailable => {}
        }
    }

    /// Whether an answer of the log contradicts what it had stored (R16): an append names an entry that was there.
    fn weigh_append(&mut self, token: Token, outcome: &AppendResult, now: Monotonic, effects: &mut Vec<Effect>) {
        let Some(known) = self.coordinator.appends_behind(token) else { return };
        match outcome {
            AppendResult::Conflict { actual: Some(found) } if *found < known => {
                self.contradicted(Doubted::Log, Fault::LogRegression { known, found: *found }, now, effects);
            }
            AppendResult::Ok(_) | AppendResult::Conflict { actual: Some(_) } => self.doubts.settled(&Doubted::Log),
            _ => {}
        }
    }

    fn contradicted(&mut self, doubted: Doubted, fault: Fault, now: Monotonic, effects: &mut Vec<Effect>) {
        if !self.doubts.any() {
            effects.push(Effect::EndServing);
        }
        if self.doubts.contradicted(doubted, now) {
            self.fail(fault, effects);
        }
    }

    fn fail(&mut self, fault: Fault, effects: &mut Vec<Effect>) {
        if self.fault.is_some() {
            return;
        }
        effects.push(Effect::EndServing);
        if self.accepts() && fault.is_regression() {
            return self.accept(fault, effects);
        }
        effects.push(Effect::Note(Note::Fault { fault: fault.clone() }));
        if matches!(fault, Fault::Unreadable { .. }) && self.member.is_unheard_of() {
            effects.push(Effect::Stop(StopReason::LogUnreadable { why: fault.to_string() }));
        }
        self.fault = Some(fault);
        // Others see its lease run out; what it meant to write it writes no more.
        self.coordinator.new_life();
    }

    /// Whether this node goes on after a regression. One that leaves has nothing to begin again for.
    fn accepts(&self) -> bool {
        self.config.on_regression == OnRegression::AcceptLog && !self.member.is_leaving()
    }

    /// Goes on with what the stores hold now: nothing of what this node knew is left, and it is another life that begins.
    fn accept(&mut self, fault: Fault, effects: &mut Vec<Effect>) {
        effects.push(Effect::Note(Note::RegressionAccepted { fault, had: self.topology.epoch() }));
        self.topology = Topology::default();
        self.digests = Digests::default();
        self.sightings = Sightings::default();
        self.doubts = Doubts::default();
        (self.control_caught_up, self.log_caught_up) = (false, false);
        self.coordinator.new_life();
        let life = Incarnation(self.rng.next_u64().max(1));
        self.member.begin_again(life, effects);
        effects.push(Effect::TellAgain);
        effects.push(Effect::Publish);
    }

    fn with_member<R>(
        &mut self,
        timers: &mut Timers,
        effects: &mut Vec<Effect>,
        call: impl FnOnce(&mut Member, &mut member::Surroundings<'_>) -> R,
    ) -> R {
        let mut fresh = || self.rng.next_u64();
        let mut surroundings = member::Surroundings {
            topology: &self.topology,
            digest: self.digests.now(),
            sightings: &mut self.sightings,
            timers,
            effects,
            fresh: &mut fresh,
        };
        let before = self.member.me().incarnation;
        let answer = call(&mut self.member, &mut surroundings);
        if self.member.me().incarnation != before {
            // Whatever the old life led, it leads no more.
            self.coordinator.new_life();
            effects.push(Effect::Publish);
        }
        answer
    }

    fn with_coordinator<R>(
        &mut self,
        timers: &mut Timers,
        wall: WallTime,
        effects: &mut Vec<Effect>,
        call: impl FnOnce(&mut Coordinator, &mut coordinator::Surroundings<'_>) -> R,
    ) -> R {
        let mut fresh = || self.rng.next_u64();
        let me = self.member.me().clone();
        let mut surroundings = coordinator::Surroundings {
            me: &me,
            registered: self.member.is_registered(),
            leaving: self.member.is_leaving(),
            caught_up: self.control_caught_up && self.log_caught_up,
            wall,
            topology: &self.topology,
            sightings: &mut self.sightings,
            timers,
            effects,
            fresh: &mut fresh,
        };
        call(&mut self.coordinator, &mut surroundings)
    }
}

/// The longest a control plane sleeps although nothing is due: a bound on how late a missed wake-up is noticed.
pub const IDLE_MAX: Duration = Duration::from_secs(1);

//! One node of a run: its place, its clock, and the process that runs there now, if one does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::ClusterSettings;
use aether_domain::ports::ControlUpdate;
use aether_domain::records::{ControlRecord, Format};
use aether_domain::timing::Profile;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Monotonic, NodeId, NodeRef, Nonce, Revision, Sequence, ShardId, WallTime};
use aether_infra_memory::fabric::FabricEvent;
use aether_runtime::control::machine::IDLE_MAX;
use aether_runtime::control::{ControlConfig, Effect, Input, Machine, Token};
use aether_runtime::view::ServeLease;

use crate::accusation::Troubles;
use crate::clock::NodeClock;
use crate::placement;
use crate::plane::Plane;
use crate::scenario::Scenario;

/// The most steps one process may take in one simulated second: more is a machine that never comes to rest.
const STEPS_PER_SECOND_MAX: u32 = 20_000;

/// Every how many entries a leader keeps a snapshot: far more often than in the product, so that many begin with one.
const SNAPSHOT_EVERY: u64 = 16;

/// A place where processes of one node id run, one after another.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// What it is called in a trace.
    pub(crate) name: String,
    pub(crate) clock: NodeClock,
    /// Counts its processes.
    pub(crate) session: u64,
    pub(crate) process: Option<Process>,
    /// How long after it has left it is started again, if at all.
    pub(crate) restart_after: Option<Duration>,
    /// Whether it has other timers than the cluster.
    pub(crate) stranger: bool,
    /// How much later than it comes it takes everything in.
    pub(crate) slow: Duration,
    /// Whether the others find it unwell.
    pub(crate) unwell: bool,
    /// When the last of what was late is taken in: nothing overtakes it.
    pub(crate) late_until: Monotonic,
    pub(crate) troubles: Troubles,
}

/// A running process.
pub(crate) struct Process {
    pub(crate) machine: Machine,
    pub(crate) lease: ServeLease,
    pub(crate) plane: Plane,
    /// The life it listens under.
    pub(crate) listens: NodeRef,
    /// What its supervisor knows it by, if it has one.
    pub(crate) supervisor: Option<Nonce>,
    pub(crate) leaving: bool,
    pub(crate) freeze: Freeze,
    /// When it is woken, if nothing comes before.
    pub(crate) wake: Option<(Monotonic, u64)>,
    /// What it had decided when it was stopped half way.
    pub(crate) decided: Vec<Effect>,
    /// What it was told at the instant it was stopped.
    pub(crate) told: Vec<Input>,
    /// What fell due while it was stopped.
    pub(crate) waiting: Vec<Due>,
    /// Where its follower goes on; none before it has caught up.
    pub(crate) follows: bool,
    /// Whether its follower will miss the next entry, and whether it has missed one.
    pub(crate) skips: bool,
    pub(crate) misled: bool,
    /// When it first sent its last writes of the lease, by its own clock.
    pub(crate) lease_sent: VecDeque<(Nonce, Monotonic)>,
    /// When it had first sent the last of them that is stored.
    pub(crate) lease_stored: Monotonic,
    /// How often it has begun to read everything: what an earlier beginning asked for is nothing to a later one.
    pub(crate) beginning: u64,
    /// The snapshot that was found, until the log has borne it out.
    pub(crate) found: Option<Arc<Topology>>,
    /// The last revision at which this life has been shown its own record.
    own_record: Option<(NodeRef, Revision)>,
    second: Monotonic,
    steps: u32,
}

/// Other timers than those.
fn other_than(profile: Profile) -> Profile {
    if profile == Profile::Default { Profile::Fast } else { Profile::Default }
}

/// Whether a process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freeze {
    /// It runs.
    No,
    /// It will be stopped between its next decision and its effects.
    HalfWay,
    /// It is stopped.
    Yes,
}

/// Something of one process that falls due by itself.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    Wake,
    Release(Vec<(ShardId, Epoch)>),
    /// Whoever has asked through it is answered: it may leave.
    Leave,
    CatchUp,
    Late(Box<FabricEvent>),
    Health,
}

/// What an operation was for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Write(Token),
    ReadBack(Token),
    Append(Token),
    ReadLog(Token),
    /// The snapshot is read, by the process's so manieth beginning.
    Look(u64),
    /// The entry that a snapshot ends with is read.
    Prove(u64),
    CatchUp(u64),
    Probe,
}

impl Node {
    /// The place of node `number`, or another one where a process of it may run.
    pub(crate) fn new(number: usize, elsewhere: bool, clock: NodeClock) -> Self {
        #[expect(clippy::expect_used, reason = "n1, n2, .. are names")]
        let id = NodeId::new(format!("n{}", number + 1)).expect("it is a name");
        let name = format!("{id}{}", if elsewhere { "'" } else { "" });
        Self::named(id, name, clock)
    }

    /// The place of a node with other timers than the cluster's.
    pub(crate) fn stranger(clock: NodeClock) -> Self {
        #[expect(clippy::expect_used, reason = "it is a name")]
        let id = NodeId::new("x").expect("it is a name");
        Self { stranger: true, ..Self::named(id, "x".to_owned(), clock) }
    }

    fn named(id: NodeId, name: String, clock: NodeClock) -> Self {
        Self {
            id,
            name,
            clock,
            session: 0,
            process: None,
            restart_after: None,
            stranger: false,
            slow: Duration::ZERO,
            unwell: false,
            late_until: Monotonic::ZERO,
            troubles: Troubles::default(),
        }
    }

    /// When something that comes now is taken in, if not at once.
    pub(crate) fn takes_in(&mut self, now: Monotonic) -> Option<Monotonic> {
        if self.slow.is_zero() && now > self.late_until {
            return None;
        }
        self.late_until = self.late_until.max(now + self.slow);
        Some(self.late_until)
    }

    /// Starts a process.
    pub(crate) fn start(&mut self, scenario: &Scenario, seed: u64) -> &mut Process {
        self.session += 1;
        self.restart_after = None;
        let supervisor = scenario.supervised.then(|| Nonce(seed.rotate_left(17) ^ 0x5AFE));
        let config = ControlConfig {
            profile: if self.stranger { other_than(scenario.profile) } else { scenario.profile },
            settings: ClusterSettings { shards: scenario.shards, ..ClusterSettings::default() },
            info: scenario.infos.get(&self.id).cloned().unwrap_or_default(),
            admin_url: String::new(),
            build: "simulated".into(),
            supervisor,
            reads: Format::FIRST,
            on_regression: scenario.on_regression,
            strategies: placement::strategies(),
            snapshot_every: SNAPSHOT_EVERY,
        };
        let machine = Machine::new(self.id.clone(), config, seed);
        let me = machine.me().clone();
        let plane = Plane::new(me.clone());
        self.process.insert(Process {
            machine,
            lease: ServeLease::default(),
            plane,
            listens: me,
            supervisor,
            leaving: false,
            freeze: Freeze::No,
            wake: None,
            decided: Vec::new(),
            told: Vec::new(),
            waiting: Vec::new(),
            follows: false,
            skips: false,
            misled: false,
            lease_sent: VecDeque::new(),
            lease_stored: Monotonic::ZERO,
            beginning: 0,
            found: None,
            own_record: None,
            second: Monotonic::ZERO,
            steps: 0,
        })
    }

    /// What its wall clock shows: nothing may depend on it.
    pub(crate) fn wall(&self, now: Monotonic) -> WallTime {
        let millis = u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX);
        WallTime { unix_millis: millis + self.clock.wall_millis_ahead }
    }

    /// Whether its process would answer from memory now, by its own clock.
    pub(crate) fn may_serve(&self, now: Monotonic) -> bool {
        self.process.as_ref().is_some_and(|process| process.lease.holds(self.clock.shows(now)))
    }

    /// The term its process believes to lead in now, by its own clock.
    pub(crate) fn leads(&self, now: Monotonic) -> Option<aether_domain::Term> {
        let (term, until) = self.process.as_ref()?.machine.leads()?;
        (self.clock.shows(now) < until).then_some(term)
    }

    /// When its machine wants to be woken.
    pub(crate) fn wakes_at(&self, now: Monotonic) -> Option<Monotonic> {
        let idle = self.clock.shows(now) + IDLE_MAX;
        let machine = &self.process.as_ref()?.machine;
        Some(self.clock.when(machine.wakes_at().map_or(idle, |at| at.min(idle))))
    }

    /// The life its process lives.
    pub(crate) fn life(&self) -> Option<&NodeRef> {
        self.process.as_ref().map(|process| process.machine.me())
    }
}

impl Process {
    /// One step of its machine; an error if it never comes to rest.
    pub(crate) fn step(&mut self, local: Monotonic, wall: WallTime, input: Input) -> Result<Vec<Effect>, String> {
        if local.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.steps) = (local, 0);
        }
        self.steps += 1;
        if self.steps > STEPS_PER_SECOND_MAX {
            return Err(format!("{} steps in one second and no end: {input:?}", self.steps));
        }
        Ok(self.machine.step(local, wall, input))
    }

    /// Notes what it is shown of its own record.
    pub(crate) fn hear(&mut self, input: &Input) {
        let (Input::Control(ControlUpdate::Record(stored)) | Input::ReadBack { found: Some(stored), .. }) = input
        else {
            return;
        };
        if let ControlRecord::Member(record) = &stored.record
            && record.node == *self.machine.me()
        {
            let before = self.own_record.take().filter(|(life, _)| *life == record.node);
            let revision = before.map_or(stored.revision, |(_, revision)| revision.max(stored.revision));
            self.own_record = Some((record.node.clone(), revision));
        }
    }

    /// Whether that is a heartbeat over a revision that this very life knows to be past: it will never be stored.
    pub(crate) fn is_futile(&self, effect: &Effect) -> bool {
        let Effect::Write { record: ControlRecord::Member(record), expected, .. } = effect else { return false };
        self.own_record.as_ref().is_some_and(|(life, seen)| record.node == *life && expected.revision() < *seen)
    }

    /// Behind which entry its log goes on.
    pub(crate) fn at(&self) -> Sequence {
        self.machine.topology().at().sequence
    }
}

//! What a test can break, and what a three-replica server breaks by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use aether_domain::ids::NodeId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fabric::{Cause, Manner, Op};

/// In the manner of three replicas one write in so many finds another in flight.
const IN_FLIGHT_ONE_IN: u32 = 64;

/// In the manner of three replicas one operation in so many meets an election.
const ELECTION_ONE_IN: u32 = 512;

/// How many operations an election refuses, at most.
const ELECTION_OPERATIONS_MAX: u32 = 4;

/// Which store a write goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The control records.
    Control,
    /// The topology log.
    Log,
    /// The actor histories.
    Events,
    /// The feeds' checkpoints.
    Checkpoints,
    /// When actors have to be looked at.
    Wakes,
}

/// What really became of a write whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// It was stored; the acknowledgement was lost.
    Stored,
    /// It was lost on the way.
    NotStored,
    /// It is still on its way, until [`MemoryHub::land_late_writes`](crate::MemoryHub::land_late_writes).
    Late,
}

/// What the server does with an operation.
pub(super) enum Fate {
    /// Runs it.
    Run,
    /// Does with it what the switch says, and answers nothing.
    Lose(Loss),
    /// Refuses it, because another write is in flight.
    InFlight,
    /// Refuses it.
    Unavailable(Cause),
    /// Never hears of it.
    Unheard(Cause),
}

pub(super) struct Switches {
    manner: Manner,
    dice: ChaCha8Rng,
    /// The longest way to the server and back, each; nobody waits if it is zero.
    way_millis_max: u64,
    seed: u64,
    ways: BTreeMap<(NodeId, &'static str), ChaCha8Rng>,
    paused: BTreeSet<NodeId>,
    cut: BTreeSet<NodeId>,
    outage: bool,
    no_leader_for: u32,
    losses: BTreeMap<(NodeId, Target), VecDeque<Loss>>,
    lost_messages: BTreeMap<NodeId, u32>,
    late: Vec<Op>,
}

impl Switches {
    pub(super) fn new(manner: Manner, seed: u64) -> Self {
        Self {
            manner,
            dice: ChaCha8Rng::seed_from_u64(seed),
            way_millis_max: 0,
            seed,
            ways: BTreeMap::new(),
            paused: BTreeSet::new(),
            cut: BTreeSet::new(),
            outage: false,
            no_leader_for: 0,
            losses: BTreeMap::new(),
            lost_messages: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    pub(super) fn distance(&mut self, way_max: Duration) {
        self.way_millis_max = u64::try_from(way_max.as_millis()).unwrap_or(u64::MAX);
    }
    /// Whether anything takes time on its way.
    pub(super) fn is_far(&self) -> bool {
        self.way_millis_max > 0
    }
    /// How long the next thing of that node and kind is on its way. Each kind has chances of its own: it does not matter
    /// to one what comes first of the others.
    pub(super) fn way(&mut self, node: &NodeId, kind: &'static str) -> Duration {
        if self.way_millis_max == 0 {
            return Duration::ZERO;
        }
        let seed = self.seed;
        let dice = self.ways.entry((node.clone(), kind)).or_insert_with(|| {
            let name = node.as_str().bytes().chain(kind.bytes());
            ChaCha8Rng::seed_from_u64(name.fold(seed, |mixed, byte| mixed.rotate_left(7) ^ u64::from(byte)))
        });
        Duration::from_millis(dice.random_range(0..=self.way_millis_max))
    }
    pub(super) fn pause(&mut self, node: &NodeId, paused: bool) {
        if paused {
            self.paused.insert(node.clone());
        } else {
            self.paused.remove(node);
        }
    }
    pub(super) fn is_paused(&self, node: &NodeId) -> bool {
        self.paused.contains(node)
    }
    pub(super) fn cut(&mut self, node: &NodeId) {
        self.cut.insert(node.clone());
    }
    pub(super) fn heal(&mut self, node: &NodeId) {
        self.cut.remove(node);
    }
    pub(super) fn outage(&mut self, down: bool) {
        self.outage = down;
    }
    pub(super) fn fail_over(&mut self, operations: u32) {
        self.no_leader_for = operations;
    }
    pub(super) fn lose_next_ack(&mut self, node: &NodeId, target: Target, loss: Loss) {
        self.losses.entry((node.clone(), target)).or_default().push_back(loss);
    }
    pub(super) fn lose_next_message(&mut self, node: &NodeId) {
        *self.lost_messages.entry(node.clone()).or_default() += 1;
    }
    pub(super) fn hold_back(&mut self, op: Op) {
        self.late.push(op);
    }
    pub(super) fn take_late(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.late)
    }

    /// Why that node cannot reach the server now, if it cannot.
    pub(super) fn away(&self, node: &NodeId) -> Option<Cause> {
        if self.outage { Some(Cause::Outage) } else { self.cut.contains(node).then_some(Cause::CutOff) }
    }

    /// Whether that node's next message is lost; asking uses the loss up.
    pub(super) fn loses_message(&mut self, node: &NodeId) -> bool {
        let Some(left) = self.lost_messages.get_mut(node).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    pub(super) fn read_fate(&mut self, node: &NodeId) -> Fate {
        match self.away(node) {
            Some(cause) => Fate::Unheard(cause),
            None if self.elects() => Fate::Unavailable(Cause::NoLeader),
            None => Fate::Run,
        }
    }

    pub(super) fn write_fate(&mut self, node: &NodeId, target: Target) -> Fate {
        if let Some(cause) = self.away(node) {
            return Fate::Unheard(cause);
        }
        if self.elects() {
            return Fate::Unavailable(Cause::NoLeader);
        }
        if let Some(loss) = self.losses.get_mut(&(node.clone(), target)).and_then(VecDeque::pop_front) {
            return Fate::Lose(loss);
        }
        if self.manner == Manner::R3 && self.dice.random_ratio(1, IN_FLIGHT_ONE_IN) {
            return Fate::InFlight;
        }
        Fate::Run
    }

    fn elects(&mut self) -> bool {
        if self.no_leader_for == 0 && self.manner == Manner::R3 && self.dice.random_ratio(1, ELECTION_ONE_IN) {
            self.no_leader_for = self.dice.random_range(1..=ELECTION_OPERATIONS_MAX);
        }
        let elects = self.no_leader_for > 0;
        self.no_leader_for = self.no_leader_for.saturating_sub(1);
        elects
    }
}

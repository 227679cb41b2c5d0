//! The fabric under random use: whatever strikes, what it says is true, and the same seed says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use aether_domain::ids::{
    ActorAddress, ActorId, ActorKey, ActorKind, ClusterUid, Epoch, Incarnation, NodeRef, Nonce, Revision, Sequence,
    Slot, Term, Version,
};
use aether_domain::lease::LeadershipEvent;
use aether_domain::ports::{Answer, AnswerFrame, ControlUpdate, Delivery, Expected, Frame, LogUpdate};
use aether_domain::records::{
    CommitRecord, ControlKey, ControlRecord, Entry, Format, LeaseRecord, LeaseState, PayloadCodec, Position,
    StoredRecord,
};
use aether_domain::testing::life;
use aether_domain::time::WallTime;
use aether_domain::{CommandId, Monotonic};
use aether_infra_memory::Manner;
use aether_infra_memory::fabric::{
    AppendFailure, ENTRY_BYTES_MAX, Fabric, FabricEvent, Faults, Op, OpId, Outcome, PerMille, Span, WriteFailure,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many nodes take part.
const NODES: usize = 4;

/// How many actions the dice choose in one run.
const ACTIONS: usize = 3_000;

/// How many seeds are run.
const SEEDS: u64 = 40;

/// How long everything must have settled after, once nothing fails any more.
const SETTLED_AFTER: Duration = Duration::from_secs(120);

/// A fabric in random use, and everything it was asked and has said.
struct Use {
    fabric: Fabric,
    dice: ChaCha8Rng,
    now: Monotonic,
    nonce: u64,
    asked: BTreeMap<OpId, (usize, Op)>,
    ended: BTreeMap<OpId, Outcome>,
    /// Operations whose answer a crash took.
    orphaned: BTreeSet<OpId>,
    lives: [u64; NODES],
    told_log: [Vec<Sequence>; NODES],
    told_control: [BTreeMap<ControlKey, StoredRecord>; NODES],
    caught_up: [bool; NODES],
    sent: u64,
    received: BTreeMap<(NodeRef, NodeRef), Vec<u64>>,
    unreachable: u64,
    trace: String,
}

impl Use {
    fn new(manner: Manner, seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let faults = Faults::draw(&mut dice);
        let mut new = Self {
            fabric: Fabric::new(manner, faults, seed),
            dice,
            now: Monotonic::ZERO,
            nonce: 0,
            asked: BTreeMap::new(),
            ended: BTreeMap::new(),
            orphaned: BTreeSet::new(),
            lives: [1; NODES],
            told_log: Default::default(),
            told_control: Default::default(),
            caught_up: [false; NODES],
            sent: 0,
            received: BTreeMap::new(),
            unreachable: 0,
            trace: String::new(),
        };
        for node in 0..NODES {
            new.start(node);
        }
        new
    }

    fn life(&self, node: usize) -> NodeRef {
        life(&format!("n{node}"), self.lives[node])
    }

    fn start(&mut self, node: usize) {
        self.told_log[node].clear();
        self.told_control[node].clear();
        self.caught_up[node] = false;
        self.fabric.watch(self.now, node);
        self.fabric.follow(self.now, node, Sequence::ZERO);
        let life = self.life(node);
        self.fabric.listen(node, life);
    }

    fn run(&mut self) {
        for _ in 0..ACTIONS {
            let node = self.dice.random_range(0..NODES);
            match self.dice.random_range(0..1000) {
                0..700 => self.ask(node),
                700..900 => self.write_to(node),
                900..930 => self.fabric.cut(self.now, node),
                930..965 => self.fabric.heal(self.now, node),
                965..975 => self.fabric.pause(node),
                975..990 => self.fabric.resume(self.now, node),
                990..994 => self.crash(node),
                994..996 => self.fabric.outage(self.now, true),
                _ => self.fabric.outage(self.now, false),
            }
            // Mostly everything happens on top of each other; now and then there is a long stretch of nothing.
            let longest = if self.dice.random_ratio(1, 100) { 10_000_000 } else { 20_000 };
            let wait = Duration::from_micros(self.dice.random_range(0..longest));
            self.advance(self.now + wait);
        }
        self.fabric.set_faults(self.now, Faults::none());
        self.fabric.outage(self.now, false);
        for node in 0..NODES {
            self.fabric.heal(self.now, node);
            self.fabric.resume(self.now, node);
        }
        self.advance(self.now + SETTLED_AFTER);
    }

    fn advance(&mut self, to: Monotonic) {
        while let Some(at) = self.fabric.next_event_at().filter(|at| *at <= to) {
            for event in self.fabric.step(at) {
                let _ = writeln!(self.trace, "{at:?} {event:?}");
                self.take(event);
            }
        }
        self.now = to;
    }

    fn ask(&mut self, node: usize) {
        self.nonce += 1;
        let nonce = Nonce(self.nonce);
        let stores = self.fabric.stores();
        let off_by = u64::from(self.dice.random_ratio(1, 5));
        let op = match self.dice.random_range(0..7) {
            0 | 1 => {
                let revision = stores.control(&ControlKey::Lease).map_or(Revision::ZERO, |stored| stored.revision);
                let expected = match revision.0 + off_by {
                    0 => Expected::Absent,
                    at => Expected::At(Revision(at)),
                };
                Op::WriteControl { record: lease(self.life(node), nonce), expected }
            }
            2 | 3 => {
                let tail = stores.entries(Sequence::ZERO).last().map_or(Position::default(), |stored| stored.at);
                Op::AppendEntry {
                    entry: entry(self.life(node), nonce, tail),
                    after: Sequence(tail.sequence.0 + off_by),
                }
            }
            4 => {
                let actor = actor(self.dice.random_range(0..3));
                let commits = stores.commits(&actor, Sequence::ZERO);
                let tail = commits.last().map_or(Position::default(), |stored| stored.at);
                let record = commit(nonce, commits.len() as u64, tail);
                Op::AppendCommit { actor, record, after: Sequence(tail.sequence.0 + off_by) }
            }
            5 => Op::ReadHistory { actor: actor(0), after: Sequence::ZERO, fresh: self.dice.random() },
            _ => Op::ReadLog { after: Sequence::ZERO, limit: usize::MAX },
        };
        let id = self.fabric.submit(self.now, node, op.clone());
        assert!(self.asked.insert(id, (node, op)).is_none(), "{id:?} was given twice");
    }

    fn write_to(&mut self, node: usize) {
        let to = self.dice.random_range(0..NODES);
        self.sent += 1;
        let op = Op::Send { from: self.life(node), to: self.life(to), frames: vec![frame(self.sent)] };
        let id = self.fabric.submit(self.now, node, op.clone());
        self.asked.insert(id, (node, op));
    }

    fn crash(&mut self, node: usize) {
        self.fabric.crash(node);
        let unanswered = self.asked.iter().filter(|(id, (by, _))| *by == node && !self.ended.contains_key(id));
        self.orphaned.extend(unanswered.map(|(id, _)| *id));
        self.lives[node] += 1;
        self.start(node);
    }

    fn take(&mut self, event: FabricEvent) {
        match event {
            FabricEvent::Done { node, op, outcome } => {
                assert!(self.asked.get(&op).is_some_and(|(by, _)| *by == node), "{op:?} was never asked by {node}");
                assert!(!self.orphaned.contains(&op), "{op:?} was asked by a process that is gone");
                assert!(self.ended.insert(op, outcome).is_none(), "{op:?} ended twice");
            }
            FabricEvent::Log { node, update: LogUpdate::Entry(stored) } => {
                let told = &mut self.told_log[node];
                let next = Sequence(told.len() as u64 + 1);
                assert!(stored.at.sequence <= next, "node {node} was told {} instead of {next}", stored.at.sequence);
                if stored.at.sequence == next {
                    told.push(next);
                }
            }
            FabricEvent::Control { node, update: ControlUpdate::Record(stored) } => {
                let before = self.told_control[node].insert(stored.record.key(), stored.clone());
                let lowest = if self.caught_up[node] { before.map_or(0, |before| before.revision.0) } else { 0 };
                assert!(stored.revision.0 >= lowest, "node {node} was told of the past");
            }
            FabricEvent::Control { node, update: ControlUpdate::CaughtUp } => {
                assert!(!std::mem::replace(&mut self.caught_up[node], true), "node {node} caught up twice in a row");
            }
            FabricEvent::Delivery { node, life, delivery } => {
                assert_eq!(life, self.life(node), "a message for another life");
                match delivery {
                    Delivery::Frames { from, frames } => {
                        let [Frame::Answer(answer)] = &frames[..] else { panic!("what was sent was one answer") };
                        self.received.entry((from, life)).or_default().push(answer.id.sequence);
                    }
                    Delivery::Unreachable { .. } => self.unreachable += 1,
                    other => panic!("{other:?}"),
                }
            }
            FabricEvent::Log { update, .. } => panic!("{update:?}"),
            // What was missed follows, and is told to have been caught up with again.
            FabricEvent::Control { node, update: ControlUpdate::Interrupted } => self.caught_up[node] = false,
            FabricEvent::Control { update, .. } => panic!("{update:?}"),
        }
    }

    /// Everything that must be true whatever happened.
    fn check(&self) {
        let stores = self.fabric.stores();
        let entries = stores.entries(Sequence::ZERO);
        for (nth, stored) in entries.iter().enumerate() {
            assert_eq!(stored.at.sequence.0, nth as u64 + 1);
        }
        let in_log: BTreeMap<Nonce, Position> = entries.iter().map(|stored| (stored.entry.nonce, stored.at)).collect();
        assert_eq!(in_log.len(), entries.len(), "an entry is there twice");
        let in_histories: BTreeMap<Nonce, Position> = stores
            .histories()
            .flat_map(|(_, commits)| commits.iter().map(|stored| (stored.record.nonce, stored.at)))
            .collect();
        for (id, (_, op)) in &self.asked {
            let Some(outcome) = self.ended.get(id) else {
                assert!(self.orphaned.contains(id), "{id:?} never ended: {op:?}");
                continue;
            };
            let stored = match op {
                Op::AppendEntry { entry, .. } => in_log.get(&entry.nonce),
                Op::AppendCommit { record, .. } => in_histories.get(&record.nonce),
                _ => None,
            };
            match outcome {
                Outcome::Appended(Ok(at)) => assert_eq!(stored, Some(at), "{op:?} was acknowledged"),
                Outcome::Appended(Err(AppendFailure::Unknown(_))) => {}
                Outcome::Appended(Err(failure)) => assert_eq!(stored, None, "{op:?} ended {failure:?}"),
                Outcome::Log(Ok(read)) => assert_eq!(read[..], entries[..read.len()], "a read invented or skipped"),
                _ => {}
            }
        }
        for node in 0..NODES {
            assert_eq!(self.told_log[node].len(), entries.len(), "node {node} misses the log's end");
            let lasts: BTreeMap<_, _> =
                stores.control_since(Revision::ZERO).map(|stored| (stored.record.key(), stored.clone())).collect();
            assert_eq!(self.told_control[node], lasts, "node {node} misses a last record");
            assert!(self.caught_up[node]);
        }
        let mut seen = BTreeSet::new();
        for ((from, to), numbers) in &self.received {
            assert!(numbers.is_sorted(), "messages of {from} to {to} changed their order");
            assert!(numbers.iter().all(|number| seen.insert(*number)), "a message of {from} came twice");
        }
    }
}

fn lease(holder: NodeRef, nonce: Nonce) -> ControlRecord {
    let (term, ttl, state) = (Term(1), Duration::from_secs(10), LeaseState::Held);
    ControlRecord::Lease(LeaseRecord { term, holder, ttl, nonce, state })
}

fn entry(leader: NodeRef, nonce: Nonce, before: Position) -> Entry {
    Entry {
        format: Format::FIRST,
        cluster: ClusterUid(1),
        epoch: Epoch(before.sequence.0 + 1),
        term: Term(1),
        leader: leader.clone(),
        nonce,
        prev_hash: before.hash,
        cause: String::new(),
        at: WallTime::default(),
        events: vec![LeadershipEvent::TermStarted { term: Term(1), leader }.into()],
    }
}

fn actor(nth: u16) -> ActorAddress {
    let kind = ActorKind::new("account").expect("is a name");
    let id = ActorId::new(nth.to_string()).expect("is an id");
    ActorAddress { key: ActorKey { kind, id }, slot: Slot(nth) }
}

fn commit(nonce: Nonce, base: u64, before: Position) -> CommitRecord {
    CommitRecord {
        shard_epoch: Epoch(1),
        owner: Incarnation(1),
        nonce,
        base: Version(base),
        prev_sequence: before.sequence,
        prev_hash: before.hash,
        at: WallTime::default(),
        codec: PayloadCodec::Json,
        commands: vec![],
        events: vec![],
        timers: vec![],
    }
}

fn frame(number: u64) -> Frame {
    let id = CommandId { origin: Incarnation(1), sequence: number };
    Frame::Answer(AnswerFrame { id, sending: 1, view: Epoch(1), answer: Answer::Busy })
}

fn used(manner: Manner, seed: u64) -> Use {
    let mut used = Use::new(manner, seed);
    used.run();
    used
}

#[test]
fn the_same_seed_twice_says_the_same() {
    for (manner, seed) in [(Manner::R1, 11), (Manner::R3, 12)] {
        let (once, again) = (used(manner, seed), used(manner, seed));
        assert!(once.trace.len() > 10_000, "seed {seed}: hardly anything happened");
        assert!(once.trace == again.trace, "seed {seed} said two different things");
    }
    assert!(used(Manner::R3, 12).trace != used(Manner::R3, 13).trace, "different seeds say different things");
}

#[test]
fn whatever_strikes_the_answers_are_true_and_everything_heals() {
    let mut struck: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut received, mut unreachable) = (0, 0);
    for seed in 0..SEEDS {
        let manner = if seed % 2 == 0 { Manner::R1 } else { Manner::R3 };
        println!("seed {seed} in the manner of {manner:?}");
        let used = used(manner, seed);
        used.check();
        for (fault, times) in used.fabric.struck() {
            *struck.entry(fault).or_default() += times;
        }
        received += used.received.values().map(Vec::len).sum::<usize>();
        unreachable += used.unreachable;
    }
    let all = [
        "unavailable",
        "request lost",
        "ghost",
        "ghost of a node cut off",
        "acknowledgement lost",
        "answer cut off",
        "request cut off",
        "election",
        "no leader",
        "write vanished in an election",
        "in flight",
        "stale read",
        "message lost",
        "message cut off",
        "update twice",
    ];
    for fault in all {
        assert!(struck.contains_key(fault), "{fault} never struck in {SEEDS} seeds: {struck:?}");
    }
    assert!(received > 1_000 && unreachable > 10, "{received} messages came, {unreachable} met nobody");
}

#[test]
fn with_no_faults_everything_succeeds_at_once() {
    let mut fabric = Fabric::new(Manner::R3, Faults::none(), 1);
    let (a, b) = (life("a", 1), life("b", 1));
    fabric.watch(Monotonic::ZERO, 1);
    fabric.listen(1, b.clone());
    let write = Op::WriteControl { record: lease(a.clone(), Nonce(1)), expected: Expected::Absent };
    let write = fabric.submit(Monotonic::ZERO, 0, write);
    let frames = vec![frame(1)];
    fabric.submit(Monotonic::ZERO, 0, Op::Send { from: a.clone(), to: b.clone(), frames: frames.clone() });
    let at = Monotonic::from_start(Duration::from_millis(10));
    let events = fabric.step(at);
    assert!(events.contains(&FabricEvent::Done { node: 0, op: write, outcome: Outcome::Written(Ok(Revision(1))) }));
    let delivery = Delivery::Frames { from: a.clone(), frames };
    assert!(events.contains(&FabricEvent::Delivery { node: 1, life: b, delivery }));
    let record = StoredRecord { record: lease(a, Nonce(1)), revision: Revision(1) };
    assert!(events.contains(&FabricEvent::Control { node: 1, update: ControlUpdate::Record(record) }));
    assert_eq!(fabric.next_event_at(), None, "an idle fabric plans nothing");
}

#[test]
fn a_record_too_large_is_refused_whatever_is_in_the_way() {
    let mut fabric = Fabric::new(Manner::R3, Faults { request_lost: PerMille(1000), ..Faults::none() }, 6);
    fabric.cut(Monotonic::ZERO, 0);
    let large = Entry { cause: "x".repeat(ENTRY_BYTES_MAX), ..entry(life("a", 1), Nonce(1), Position::default()) };
    let op = fabric.submit(Monotonic::ZERO, 0, Op::AppendEntry { entry: large, after: Sequence::ZERO });
    let events = fabric.step(Monotonic::ZERO);
    let [FabricEvent::Done { op: ended, outcome, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*ended, op);
    assert!(matches!(outcome, Outcome::Appended(Err(AppendFailure::TooLarge { .. }))), "{outcome:?}");
}

#[test]
fn a_ghost_is_unknown_first_and_stored_later() {
    let faults = Faults { ghost: PerMille(1000), ..Faults::none() };
    let mut fabric = Fabric::new(Manner::R1, faults, 3);
    let write = Op::WriteControl { record: lease(life("a", 1), Nonce(1)), expected: Expected::Absent };
    let id = fabric.submit(Monotonic::ZERO, 0, write);
    let mut events = vec![];
    while let Some(at) = fabric.next_event_at() {
        events.extend(fabric.step(at));
    }
    let [FabricEvent::Done { op, outcome: Outcome::Written(Err(WriteFailure::Unknown(_))), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*op, id);
    assert!(fabric.stores().control(&ControlKey::Lease).is_some());
}

#[test]
fn what_an_election_held_back_is_told_after_it() {
    let (every, election) = (Duration::from_secs(10), Span::exactly(Duration::from_secs(5)));
    let faults = Faults { election_every: Some(every), election, ..Faults::none() };
    let mut fabric = Fabric::new(Manner::R3, faults, 5);
    let write = Op::WriteControl { record: lease(life("a", 1), Nonce(1)), expected: Expected::Absent };
    fabric.submit(Monotonic::ZERO, 0, write);
    let append = Op::AppendEntry { entry: entry(life("a", 1), Nonce(2), Position::default()), after: Sequence::ZERO };
    fabric.submit(Monotonic::ZERO, 0, append);
    let mut now = Monotonic::ZERO;
    while !fabric.struck().contains_key("election") {
        now = fabric.next_event_at().expect("an election is planned");
        fabric.step(now);
    }
    fabric.set_faults(now, Faults::none());
    fabric.watch(now, 1);
    fabric.follow(now, 1, Sequence::ZERO);
    let mut told = vec![];
    while let Some(at) = fabric.next_event_at() {
        told.extend(fabric.step(at).into_iter().map(|event| (at.since(now) >= Duration::from_secs(5), event)));
    }
    let after: Vec<_> = told.iter().filter(|(after, _)| *after).map(|(_, event)| event).collect();
    let before: Vec<_> = told.iter().filter(|(after, _)| !after).map(|(_, event)| event).collect();
    assert_eq!(before, [&FabricEvent::Control { node: 1, update: ControlUpdate::Interrupted }]);
    assert_eq!(after.len(), 3, "a record, the end of the list and an entry: {after:?}");
}

#[test]
fn a_paused_node_finds_everything_in_order_when_it_goes_on() {
    let mut fabric = Fabric::new(Manner::R1, Faults::none(), 4);
    fabric.follow(Monotonic::ZERO, 1, Sequence::ZERO);
    fabric.pause(1);
    let mut now = Monotonic::ZERO;
    let mut tail = Position::default();
    for nonce in 1..=20 {
        fabric.submit(now, 0, Op::AppendEntry { entry: entry(life("a", 1), Nonce(nonce), tail), after: tail.sequence });
        now = now + Duration::from_millis(50);
        let reached = fabric.step(now);
        assert!(reached.iter().all(|event| event.node() == 0), "a paused node was reached: {reached:?}");
        tail = fabric.stores().entries(Sequence::ZERO).last().map_or(tail, |stored| stored.at);
    }
    fabric.resume(now, 1);
    let told: Vec<u64> = fabric
        .step(now)
        .into_iter()
        .map(|event| match event {
            FabricEvent::Log { update: LogUpdate::Entry(stored), .. } => stored.at.sequence.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, (1..=20).collect::<Vec<_>>());
}

//! What a cluster costs its leader and everybody who follows its log: planning, folding, and a heartbeat seen.
//!
//! Prints one line a row: what, how long, and the goal. The machines are the product's; nothing is sent anywhere. With
//! `--check` it fails where a row takes more than three times its goal, three times in a row.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark reads clocks and prints")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use aether_domain::assignment::{AssignmentCommand, Grant};
use aether_domain::cluster::{ClusterCommand, ClusterSettings, FailureReason, NodeInfo};
use aether_domain::lease::LeadershipCommand;
use aether_domain::ports::ControlUpdate;
use aether_domain::records::{ControlRecord, Entry, Format, Health, Load, MemberRecord, MemberState, Position};
use aether_domain::records::{StoredEntry, StoredRecord};
use aether_domain::testing::life;
use aether_domain::topology::{Draft, Signature, Topology};
use aether_domain::{
    ClusterUid, Incarnation, Monotonic, NodeRef, Nonce, Revision, Sequence, ShardCount, Term, WallTime,
};
use aether_placement::{InFlight, NodeIdx, NodeView, PlacementInput, PlacementStrategy, ShardHash, StickyBalanced};
use aether_runtime::control::{
    AppendResult, ControlConfig, Effect, Input, Machine, OnRegression, SNAPSHOT_EVERY, Strategies, WriteOutcome,
};

/// How often `--check` measures before it says that a row misses its goal: a neighbour on the machine is no miss.
const ATTEMPTS_MAX: usize = 3;

/// A cluster of so many shards and nodes, balanced, and its log's last position.
struct Cluster {
    topology: Topology,
    nodes: Vec<NodeRef>,
    log: Vec<StoredEntry>,
}

impl Cluster {
    /// The first of its nodes has that life.
    fn balanced(shards: ShardCount, count: usize, first: &NodeRef) -> Self {
        let settings = ClusterSettings { shards, hash: ShardHash::ID, ..ClusterSettings::default() };
        let nodes: Vec<_> = std::iter::once(first.clone())
            .chain((1..count).map(|nth| life(&format!("n{:05}", nth + 1), nth as u64 + 1_000)))
            .collect();
        let mut cluster = Self { topology: Topology::default(), nodes, log: Vec::new() };
        let mut draft = Draft::new(&cluster.topology);
        let refused = "a command that the domain takes";
        draft.cluster(&ClusterCommand::CreateCluster { uid: ClusterUid(7), settings }).expect(refused);
        for node in &cluster.nodes {
            draft
                .cluster(&ClusterCommand::JoinCluster { node: node.clone(), info: NodeInfo::default() })
                .expect(refused);
        }
        // Another life has led so far: nobody's term is open for the one that is measured.
        let leader = cluster.nodes[count - 1].clone();
        let elect = LeadershipCommand::ElectLeader { candidate: leader, term: Term(1), active: true };
        draft.leadership(&elect).expect(refused);
        let mut shares: BTreeMap<NodeRef, Vec<_>> = BTreeMap::new();
        for shard in shards.all() {
            shares.entry(cluster.nodes[shard.index() % count].clone()).or_default().push(shard);
        }
        let grants = shares.into_iter().map(|(to, shards)| Grant { shards: shards.into_iter().collect(), to });
        let living: Vec<Incarnation> = cluster.nodes.iter().map(|node| node.incarnation).collect();
        let assign = AssignmentCommand::AssignShards { grants: grants.collect(), active: living.clone(), living };
        draft.assignment(&assign).expect(refused);
        let entry = cluster.sign(draft);
        cluster.append(entry);
        cluster
    }

    fn sign(&self, draft: Draft) -> Entry {
        let leader = self.nodes[self.nodes.len() - 1].clone();
        let (cluster, term, nonce, at) = (ClusterUid(7), Term(1), Nonce(1), WallTime::default());
        let signature = Signature { format: Format::FIRST, cluster, leader, term, nonce, cause: "measured".into(), at };
        draft.finish(signature).expect("an entry that keeps the invariants")
    }

    fn append(&mut self, entry: Entry) {
        let sequence = self.topology.at().sequence.next();
        let stored = StoredEntry { entry, at: Position { sequence, hash: sequence.0 } };
        self.topology.apply(&stored).expect("the next entry");
        self.log.push(stored);
    }

    /// An entry that takes one more node in.
    fn join(&self) -> StoredEntry {
        let mut draft = Draft::new(&self.topology);
        let join = ClusterCommand::JoinCluster { node: life("z", 99), info: NodeInfo::default() };
        draft.cluster(&join).expect("it is new");
        let sequence = self.topology.at().sequence.next();
        StoredEntry { entry: self.sign(draft), at: Position { sequence, hash: sequence.0 } }
    }

    /// An entry in which the second node fails and the third has its shards.
    fn failure(&self) -> StoredEntry {
        let (mut draft, dead) = (Draft::new(&self.topology), &self.nodes[1]);
        let fail = ClusterCommand::MarkNodeFailed { node: dead.clone(), reason: FailureReason::Silent };
        draft.cluster(&fail).expect("it is a member");
        let shards = self.topology.assignment().iter().filter(|(_, state)| state.owner() == Some(dead.incarnation));
        let grant = Grant { shards: shards.map(|(shard, _)| shard).collect(), to: self.nodes[2].clone() };
        let living: Vec<_> = self.nodes.iter().filter(|node| *node != dead).map(|node| node.incarnation).collect();
        let assign = AssignmentCommand::AssignShards { grants: vec![grant], active: living.clone(), living };
        draft.assignment(&assign).expect("their owner is gone");
        let sequence = self.topology.at().sequence.next();
        StoredEntry { entry: self.sign(draft), at: Position { sequence, hash: sequence.0 } }
    }

    /// What a strategy makes of it with one more node, or from nothing.
    fn plan(&self, from_nothing: bool) {
        let views = self.nodes.iter().map(|node| node.node.clone()).chain([life("z", 99).node]);
        let weight = NonZeroU32::MIN;
        let nodes: Vec<_> = views.map(|id| NodeView { weight, ..NodeView::new(id) }).collect();
        let index: BTreeMap<_, _> =
            self.nodes.iter().enumerate().map(|(at, node)| (node.incarnation, NodeIdx(at as u16))).collect();
        let states = self.topology.assignment().shards().iter();
        let current: Vec<Option<NodeIdx>> = states
            .map(|state| state.owner().filter(|_| !from_nothing).and_then(|owner| index.get(&owner).copied()))
            .collect();
        let in_flight: [InFlight; 0] = [];
        let input =
            PlacementInput { seed: 1, current: &current, nodes: &nodes, in_flight: &in_flight, ..Default::default() };
        let best = best_of(|| StickyBalanced.plan(&input).expect("a plan"));
        let (what, goal) = match (from_nothing, self.nodes.len()) {
            (true, 0..=100) => ("plan from nothing", Duration::from_millis(1)),
            (true, _) => ("plan from nothing", Duration::from_millis(30)),
            (false, 0..=100) => ("plan for one more node", Duration::from_millis(1)),
            (false, _) => ("plan for one more node", Duration::from_millis(2)),
        };
        self.row(what, best, Some(goal));
    }

    fn row(&self, what: &str, took: Duration, goal: Option<Duration>) {
        let (shards, nodes) = (self.topology.assignment().shards().len(), self.nodes.len());
        let told = goal.map_or_else(|| "no goal".to_owned(), |goal| format!("goal {goal:?}"));
        println!("{shards:>6} x {nodes:<5} {what:<40} {took:>12.1?}  {told}");
        if goal.is_some_and(|goal| took > goal * 3) {
            MISSED.lock().expect("nobody panics with it").push(format!("{shards} x {nodes} {what}"));
        }
    }
}

static MISSED: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

/// The best of several runs.
fn best_of<R>(mut work: impl FnMut() -> R) -> Duration {
    let once = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    let mut work = || drop(black_box(work()));
    (0..10).map(|_| once(&mut work)).min().unwrap_or_default()
}

/// A node that leads that cluster, and what it is told next.
struct Leader {
    machine: Machine,
    now: Monotonic,
    revision: u64,
    members: Vec<MemberRecord>,
}

impl Leader {
    fn elected(shards: ShardCount, count: usize) -> Self {
        let settings = ClusterSettings { shards, hash: ShardHash::ID, ..ClusterSettings::default() };
        let config = ControlConfig {
            profile: settings.profile,
            settings,
            info: NodeInfo::default(),
            admin_url: String::new(),
            build: "measured".into(),
            supervisor: None,
            reads: Format::FIRST,
            on_regression: OnRegression::Halt,
            strategies: Strategies::default(),
            snapshot_every: SNAPSHOT_EVERY,
        };
        let machine = Machine::new(life("a", 1).node, config, 7);
        let cluster = Cluster::balanced(shards, count, machine.me());
        let heartbeat_every = settings.profile.member().heartbeat_every();
        let member = |node: &NodeRef| MemberRecord {
            node: node.clone(),
            state: MemberState::Alive,
            heartbeat: 1,
            nonce: Nonce(node.incarnation.0),
            heartbeat_every,
            view: cluster.topology.epoch(),
            load: Load::default(),
            info: NodeInfo::default(),
            admin_url: String::new(),
            build: String::new(),
            supervisor: None,
            health: Health::default(),
            shard_loads: Vec::new(),
            reads: Format::FIRST,
            digest: 0,
        };
        let members = cluster.nodes[1..].iter().map(member).collect();
        let now = Monotonic::from_start(Duration::from_secs(1_000));
        let mut leader = Self { machine, now, revision: 0, members };
        for stored in cluster.log {
            leader.tell(Input::Log(aether_domain::ports::LogUpdate::Entry(stored)));
        }
        for nth in 0..leader.members.len() {
            leader.beat(nth);
        }
        leader.tell(Input::LogCaughtUp);
        leader.tell(Input::Control(ControlUpdate::CaughtUp));
        for _ in 0..1_000 {
            leader.now = leader.now + Duration::from_millis(10);
            leader.tell(Input::Tick);
            if leader.machine.leads().is_some() {
                break;
            }
        }
        assert!(leader.machine.leads().is_some(), "it leads");
        for nth in 0..leader.members.len() {
            leader.beat(nth);
        }
        // What a new leader does when it has looked around is done by then.
        leader.now = leader.now + Duration::from_millis(500);
        leader.tell(Input::Tick);
        leader
    }

    /// Tells it something, and answers at once whatever it asks for.
    fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.machine.step(self.now, WallTime::default(), input) {
                match effect {
                    Effect::Write { token, .. } => {
                        self.revision += 1;
                        inputs.push(Input::Written { token, outcome: WriteOutcome::Ok(Revision(self.revision)) });
                    }
                    Effect::Append { token, after, .. } => {
                        let at = Position { sequence: after.next(), hash: after.next().0 };
                        inputs.push(Input::Appended { token, outcome: AppendResult::Ok(at) });
                    }
                    Effect::ReadLog { token, after: _ } => {
                        inputs.push(Input::LogRead { token, entries: Some(Vec::new()) });
                    }
                    _ => {}
                }
            }
        }
    }

    /// That member's next heartbeat is seen.
    fn beat(&mut self, nth: usize) {
        self.revision += 1;
        self.members[nth].heartbeat += 1;
        let record = ControlRecord::Member(self.members[nth].clone());
        let stored = StoredRecord { record, revision: Revision(self.revision) };
        self.tell(Input::Control(ControlUpdate::Record(stored)));
    }
}

fn report() {
    MISSED.lock().expect("nobody panics with it").clear();
    for (shards, count) in [(1_024, 100), (65_536, 1_000)] {
        let shards = ShardCount::new(shards).expect("a count");
        let cluster = Cluster::balanced(shards, count, &life("a", 1));
        cluster.plan(false);
        cluster.plan(true);
        for (what, stored) in [("fold of a join", cluster.join()), ("fold of a failure", cluster.failure())] {
            cluster.row(what, best_of(|| cluster.topology.after(&stored.entry)), None);
        }
        let mut leader = Leader::elected(shards, count);
        let at = leader.machine.topology().at().sequence;
        let beats = leader.members.len().min(100);
        let took = best_of(|| (0..beats).for_each(|nth| leader.beat(nth)));
        assert!(at > Sequence::ZERO && leader.machine.topology().at().sequence == at, "it writes nothing");
        // It grows with the members, not with the shards.
        let goal = Duration::from_micros(3) * count as u32;
        cluster.row("a heartbeat seen by the leader", took / beats as u32, Some(goal));
    }
}

fn main() {
    let checks = std::env::args().any(|argument| argument == "--check");
    let missed = || MISSED.lock().expect("nobody panics with it").clone();
    report();
    for _ in 1..ATTEMPTS_MAX {
        if !checks || missed().is_empty() {
            break;
        }
        println!("once more, for these were missed: {}", missed().join("; "));
        report();
    }
    assert!(!checks || missed().is_empty(), "more than three times its goal: {}", missed().join("; "));
}

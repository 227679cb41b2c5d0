//! The control plane's machines over a perfect store: elections, joins, failures, drains, and what they cost.
//!
//! Faults of the store itself are the simulator's business (`tests/sim`); here everything is answered at once.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::assignment::{AssignmentEvent, ShardState};
use aether_domain::cluster::{
    ClusterEvent, ClusterSettings, FailureReason, NodeInfo, NodeStatus, RebalanceCause, Trust,
};
use aether_domain::ports::{ControlUpdate, LogUpdate};
use aether_domain::records::{
    ControlKey, ControlRecord, Format, Health, LeaseRecord, LeaseState, Load, MemberRecord, MemberState, Position,
    StoredEntry, StoredRecord,
};
use aether_domain::testing::life;
use aether_domain::timing::Profile;
use aether_domain::topology::TopologyEvent;
use aether_domain::{
    Epoch, Incarnation, Monotonic, NodeId, NodeRef, Nonce, Revision, Sequence, ShardId, Term, WallTime,
};
use aether_runtime::control::AppendResult;
use aether_runtime::control::{
    ControlConfig, Effect, Fault, Input, Machine, Note, OnRegression, Phase, SNAPSHOT_EVERY, StopReason, Strategies,
    WriteOutcome, policies,
};

#[path = "control/catch_up.rs"]
mod catch_up;
#[path = "control/digests.rs"]
mod digests;
#[path = "control/formats.rs"]
mod formats;
#[path = "control/gray.rs"]
mod gray;
#[path = "control/load.rs"]
mod load;
#[path = "control/namesakes.rs"]
mod namesakes;
#[path = "control/orders.rs"]
mod orders;
#[path = "control/placement.rs"]
mod placement;
#[path = "control/plans.rs"]
mod plans;
#[path = "control/regression.rs"]
mod regression;
#[path = "control/rolling.rs"]
mod rolling;
#[path = "control/unserved.rs"]
mod unserved;
#[path = "control/upgrades.rs"]
mod upgrades;
#[path = "control/waves.rs"]
mod waves;

struct Node {
    machine: Machine,
    wakes_at: Monotonic,
    alive: bool,
    frozen: bool,
    owned: BTreeMap<ShardId, (Epoch, Option<Epoch>)>,
    stopped: Option<StopReason>,
    lives: Vec<NodeRef>,
}

/// Nodes on one perfect store, and one clock that only this test turns.
struct World {
    now: Monotonic,
    nodes: Vec<Node>,
    control: BTreeMap<ControlKey, StoredRecord>,
    /// Keys that hold something nobody can read, and at which revision.
    spoiled: BTreeMap<ControlKey, Revision>,
    revision: u64,
    log: Vec<StoredEntry>,
    queue: std::collections::VecDeque<(usize, Input)>,
    profile: Profile,
    refusals: Vec<String>,
    /// Nodes that cannot reach the log.
    log_away: std::collections::BTreeSet<usize>,
    /// Whoever makes the log so long cannot reach it any more; and who that was.
    stops_writing_at: Option<usize>,
    stopped_writing: Option<usize>,
    /// How many shards a host releases each time it is asked.
    releases_max: usize,
    on_regression: OnRegression,
    /// What nodes that are started know, and what they are like.
    strategies: Strategies,
    infos: BTreeMap<String, NodeInfo>,
    /// The newest format that nodes of that name read; the first one, unless told.
    reads: BTreeMap<String, Format>,
    /// What nodes of that name say of their build; `test`, unless told.
    builds: BTreeMap<String, String>,
    snapshot_every: u64,
    /// What was noted of snapshots, maps and regressions, by node.
    notes: Vec<(usize, Note)>,
}

fn config(profile: Profile) -> ControlConfig {
    let settings = ClusterSettings::default();
    ControlConfig {
        profile,
        settings,
        info: NodeInfo::default(),
        admin_url: String::new(),
        build: "test".into(),
        supervisor: None,
        reads: Format::FIRST,
        on_regression: OnRegression::Halt,
        strategies: Strategies::default(),
        snapshot_every: SNAPSHOT_EVERY,
    }
}

/// Whether the watch tells of it.
fn is_watched(record: &ControlRecord) -> bool {
    !matches!(record, ControlRecord::Snapshot(_))
}

impl World {
    fn new(profile: Profile) -> Self {
        let now = Monotonic::from_start(Duration::from_secs(1_000));
        Self {
            now,
            nodes: Vec::new(),
            control: BTreeMap::new(),
            spoiled: BTreeMap::new(),
            revision: 0,
            log: Vec::new(),
            queue: std::collections::VecDeque::new(),
            profile,
            refusals: Vec::new(),
            log_away: std::collections::BTreeSet::new(),
            stops_writing_at: None,
            stopped_writing: None,
            releases_max: usize::MAX,
            on_regression: OnRegression::Halt,
            strategies: Strategies::default(),
            infos: BTreeMap::new(),
            reads: BTreeMap::new(),
            builds: BTreeMap::new(),
            snapshot_every: SNAPSHOT_EVERY,
            notes: Vec::new(),
        }
    }

    fn start(&mut self, name: &str) -> usize {
        let (on_regression, snapshot_every) = (self.on_regression, self.snapshot_every);
        let seed = self.nodes.len() as u64 + 1;
        let (supervisor, reads) = (Some(Nonce(seed)), self.reads.get(name).copied().unwrap_or_default());
        let (strategies, info) = (self.strategies.clone(), self.infos.get(name).cloned().unwrap_or_default());
        let build = self.builds.get(name).cloned().unwrap_or_else(|| "test".into());
        let config = ControlConfig {
            build,
            info,
            supervisor,
            reads,
            on_regression,
            strategies,
            snapshot_every,
            ..config(self.profile)
        };
        let node = NodeId::new(name).expect("a valid name");
        let machine = Machine::new(node, config, seed);
        let lives = vec![machine.me().clone()];
        let at = self.nodes.len();
        self.nodes.push(Node {
            machine,
            wakes_at: self.now,
            alive: true,
            frozen: false,
            owned: BTreeMap::new(),
            stopped: None,
            lives,
        });
        self.tell(at);
        self.drain_queue();
        at
    }

    /// Tells a node everything that is in the stores.
    fn tell(&mut self, at: usize) {
        let readable =
            |stored: &&StoredRecord| !self.spoiled.contains_key(&stored.record.key()) && is_watched(&stored.record);
        for stored in self.control.values().filter(readable) {
            self.queue.push_back((at, Input::Control(ControlUpdate::Record(stored.clone()))));
        }
        let after = self.tell_of_snapshot(at);
        for stored in self.log.iter().filter(|stored| stored.at.sequence > after) {
            self.queue.push_back((at, self.read(at, stored)));
        }
        self.queue.push_back((at, Input::Control(ControlUpdate::CaughtUp)));
        self.queue.push_back((at, Input::LogCaughtUp));
    }

    /// What that node's store makes of an entry.
    fn read(&self, at: usize, stored: &StoredEntry) -> Input {
        let (sequence, found) = (stored.at.sequence, stored.entry.format);
        let reads = self.reads.get(self.nodes[at].machine.me().node.as_str()).copied().unwrap_or_default();
        let reason = format!("format {found} is not known here");
        Input::Log(if found <= reads {
            LogUpdate::Entry(stored.clone())
        } else {
            LogUpdate::Corrupt { sequence, reason }
        })
    }

    fn drain_queue(&mut self) {
        while let Some((at, input)) = self.queue.pop_front() {
            if self.nodes[at].frozen || !self.nodes[at].alive {
                if self.nodes[at].frozen {
                    self.queue.push_back((at, input));
                    if self.queue.iter().all(|(at, _)| self.nodes[*at].frozen) {
                        return;
                    }
                }
                continue;
            }
            let effects = self.nodes[at].machine.step(self.now, WallTime::default(), input);
            let wakes = self.nodes[at].machine.wakes_at().unwrap_or(self.now + Duration::from_secs(1));
            self.nodes[at].wakes_at = wakes;
            for effect in effects {
                self.perform(at, effect);
            }
        }
    }

    fn perform(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Write { token, record, expected } => {
                let key = record.key();
                let stored = self.control.get(&key).map(|stored| stored.revision);
                let present = self.spoiled.get(&key).copied().or(stored).unwrap_or(Revision::ZERO);
                let outcome = if present == expected.revision() {
                    self.revision += 1;
                    let stored = StoredRecord { record, revision: Revision(self.revision) };
                    self.spoiled.remove(&key);
                    self.control.insert(key, stored.clone());
                    for to in 0..if is_watched(&stored.record) { self.nodes.len() } else { 0 } {
                        self.queue.push_back((to, Input::Control(ControlUpdate::Record(stored.clone()))));
                    }
                    WriteOutcome::Ok(Revision(self.revision))
                } else {
                    WriteOutcome::Conflict { actual: Some(present) }
                };
                self.queue.push_front((at, Input::Written { token, outcome }));
            }
            Effect::ReadBack { token, key } => {
                let found = self.control.get(&key).cloned();
                let answer = match self.spoiled.get(&key) {
                    Some(&revision) => Input::Spoiled { token, revision },
                    None => Input::ReadBack { token, found },
                };
                self.queue.push_back((at, answer));
            }
            Effect::Append { token, entry, after } => {
                let tail = self.log.last().map_or(Sequence::ZERO, |stored| stored.at.sequence);
                let outcome = if self.log_away.contains(&at) {
                    AppendResult::Unavailable
                } else if tail == after {
                    let position = Position { sequence: tail.next(), hash: entry.nonce.0 };
                    let stored = StoredEntry { entry, at: position };
                    self.log.push(stored.clone());
                    if self.stops_writing_at.is_some_and(|length| self.log.len() >= length) {
                        (self.stops_writing_at, self.stopped_writing) = (None, Some(at));
                        self.log_away.insert(at);
                    }
                    for to in 0..self.nodes.len() {
                        self.queue.push_back((to, self.read(to, &stored)));
                    }
                    AppendResult::Ok(position)
                } else {
                    AppendResult::Conflict { actual: Some(tail) }
                };
                self.queue.push_front((at, Input::Appended { token, outcome }));
            }
            Effect::ReadLog { token, after } => {
                let entries = self.log.iter().filter(|stored| stored.at.sequence > after).cloned().collect();
                let entries = (!self.log_away.contains(&at)).then_some(entries);
                self.queue.push_back((at, Input::LogRead { token, entries }));
            }
            Effect::Probe { node } => {
                let listens = self.nodes.iter().any(|other| other.alive && *other.machine.me() == node);
                if !listens {
                    self.queue.push_back((at, Input::Unreachable(node)));
                }
            }
            Effect::Publish => self.release(at),
            Effect::Leave => self.queue.push_back((at, Input::Leave)),
            Effect::NewLife { me } => self.nodes[at].lives.push(me),
            Effect::Stop(reason) => {
                self.nodes[at].stopped = Some(reason);
                self.nodes[at].alive = false;
            }
            Effect::TellAgain => {
                let is_told = |input: &Input| matches!(input, Input::Control(_) | Input::Log(_) | Input::LogCaughtUp);
                self.queue.retain(|(to, input)| *to != at || !is_told(input));
                self.tell(at);
            }
            Effect::Note(
                note @ (Note::BeganFrom { .. }
                | Note::SnapshotPassedOver { .. }
                | Note::SnapshotStored { .. }
                | Note::SnapshotNotStored { .. }
                | Note::PlacementNotAdopted { .. }
                | Note::MapDiffers { .. }
                | Note::AskedToStepDown { .. }
                | Note::RegressionAccepted { .. }),
            ) => self.notes.push((at, note)),
            Effect::Note(Note::Refused { reason }) => self.refusals.push(reason),
            Effect::Note(Note::Fault { fault }) => self.refusals.push(fault.to_string()),
            Effect::ServeUntil(_) | Effect::EndServing | Effect::Note(_) => {}
        }
    }

    /// Somebody writes over a record what nobody can read.
    fn spoil(&mut self, key: ControlKey) {
        self.revision += 1;
        self.spoiled.insert(key.clone(), Revision(self.revision));
        for to in 0..self.nodes.len() {
            let (key, reason) = (format!("{key:?}"), "spoiled".to_owned());
            self.queue.push_back((to, Input::Control(ControlUpdate::Corrupt { key, reason })));
        }
        self.drain_queue();
    }

    /// Whoever runs that node's process says that it has died, over whatever its record says.
    fn certify(&mut self, node: &NodeRef) {
        let key = ControlKey::Member(node.node.clone());
        let ControlRecord::Member(last) = &self.control[&key].record else { panic!("a member's record") };
        assert_eq!(last.node, *node, "it is still its record");
        self.revision += 1;
        let nonce = Nonce(self.revision);
        let record = ControlRecord::Member(MemberRecord { state: MemberState::Dead, nonce, ..last.clone() });
        let stored = StoredRecord { record, revision: Revision(self.revision) };
        self.control.insert(key, stored.clone());
        for to in 0..self.nodes.len() {
            self.queue.push_back((to, Input::Control(ControlUpdate::Record(stored.clone()))));
        }
        self.drain_queue();
    }

    /// Somebody who has no business there writes a lease record over the one that is there.
    fn forge_lease(&mut self, holder: &NodeRef, term: Term) {
        self.revision += 1;
        let (ttl, nonce) = (Duration::from_secs(10), Nonce(666));
        let lease = LeaseRecord { term, holder: holder.clone(), ttl, nonce, state: LeaseState::Held };
        let stored = StoredRecord { record: ControlRecord::Lease(lease), revision: Revision(self.revision) };
        self.control.insert(ControlKey::Lease, stored.clone());
        for to in 0..self.nodes.len() {
            self.queue.push_back((to, Input::Control(ControlUpdate::Record(stored.clone()))));
        }
        self.drain_queue();
    }

    fn is_fenced(&self, node: &NodeRef) -> bool {
        let stored = &self.control[&ControlKey::Member(node.node.clone())].record;
        matches!(stored, ControlRecord::Member(record) if record.state == MemberState::Fenced && record.node == *node)
    }

    /// Kills that node's process, and lets its supervisor say so.
    fn dies(&mut self, at: usize) {
        let node = self.nodes[at].machine.me().clone();
        self.nodes[at].alive = false;
        self.certify(&node);
    }

    /// The shards' host: releases at once whatever is asked of it.
    fn release(&mut self, at: usize) {
        let me = self.nodes[at].machine.me().incarnation;
        let asked: Vec<_> = self.nodes[at]
            .machine
            .topology()
            .assignment()
            .iter()
            .filter_map(|(shard, state)| match state {
                ShardState::Draining { from, drain_epoch, .. } if from == me => Some((shard, drain_epoch)),
                _ => None,
            })
            .collect();
        let mut left = self.releases_max;
        for (shard, drain_epoch) in asked {
            let done = self.nodes[at].owned.entry(shard).or_default();
            if left > 0 && done.1 != Some(drain_epoch) {
                left -= 1;
                done.1 = Some(drain_epoch);
                self.queue.push_back((at, Input::Released(shard, drain_epoch)));
            }
        }
    }

    /// Turns the clock until `done` or `within` has passed; the time it took.
    fn until(&mut self, within: Duration, what: &str, done: impl Fn(&Self) -> bool) -> Duration {
        let began = self.now;
        while !done(self) {
            assert!(self.now.since(began) < within, "{what} did not happen within {within:?}: {}", self.describe());
            let next = self
                .nodes
                .iter()
                .filter(|node| node.alive && !node.frozen)
                .map(|node| node.wakes_at)
                .min()
                .unwrap_or(self.now + Duration::from_millis(100));
            self.now = next.max(self.now + Duration::from_micros(100));
            for at in 0..self.nodes.len() {
                if self.nodes[at].alive && !self.nodes[at].frozen && self.nodes[at].wakes_at <= self.now {
                    self.queue.push_back((at, Input::Tick));
                }
            }
            self.drain_queue();
        }
        self.now.since(began)
    }

    fn describe(&self) -> String {
        let causes: Vec<_> =
            self.log.iter().map(|stored| format!("{}: {}", stored.entry.epoch, stored.entry.cause)).collect();
        let phases: Vec<_> = self.nodes.iter().map(|node| (node.machine.me(), node.machine.phase(self.now))).collect();
        let tail = causes.len().saturating_sub(12);
        format!("{:#?} {phases:?} refused: {:?}", &causes[tail..], self.refusals.last())
    }

    fn shards_of(&self, viewer: usize) -> BTreeMap<String, usize> {
        let topology = self.nodes[viewer].machine.topology();
        let mut counts = BTreeMap::new();
        for (shard, _) in topology.assignment().iter() {
            let owner = topology.owner(shard).map_or("nobody".to_owned(), |(node, _)| node.node.to_string());
            *counts.entry(owner).or_default() += 1;
        }
        counts
    }

    fn settled(&self, active: usize) -> bool {
        let living: Vec<_> = self.nodes.iter().filter(|node| node.alive && !node.frozen).collect();
        living.iter().all(|node| {
            let topology = node.machine.topology();
            let counts: Vec<_> = topology
                .cluster()
                .active()
                .map(|member| topology.assignment().owned_by(member.node.incarnation))
                .collect();
            counts.len() == active
                && topology.assignment().orphaned() == 0
                && topology.assignment().moving() == 0
                && topology.cluster().plan().is_none()
                && counts.iter().max().expect("active") - counts.iter().min().expect("active") <= 1
        })
    }

    /// Who holds the lease, whatever the log says.
    fn holder(&self) -> Option<usize> {
        let ControlRecord::Lease(lease) = &self.control.get(&ControlKey::Lease)?.record else { return None };
        let is_its = |node: &Node| lease.state == LeaseState::Held && *node.machine.me() == lease.holder;
        self.nodes.iter().position(is_its)
    }

    fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.alive && node.machine.leads().is_some())
    }
}

const SOON: Duration = Duration::from_secs(15);

fn three(profile: Profile) -> World {
    let mut world = World::new(profile);
    for name in ["n1", "n2", "n3"] {
        world.start(name);
    }
    world.until(SOON, "three balanced nodes", |world| world.settled(3));
    world
}

#[test]
fn three_nodes_elect_one_leader_and_share_every_shard() {
    let world = three(Profile::Default);
    let leaders: Vec<_> = world.nodes.iter().filter_map(|node| node.machine.leads()).collect();
    assert_eq!(leaders.len(), 1);
    let shares: Vec<_> = world.shards_of(0).into_values().collect();
    assert_eq!(shares.iter().sum::<usize>(), 1024);
    assert!(shares.iter().all(|share| (341..=342).contains(share)), "{shares:?}");
}

#[test]
fn a_dead_node_is_replaced_in_one_entry_within_its_bound() {
    let mut world = three(Profile::Default);
    let victim = (world.leader().expect("a leader") + 1) % 3;
    world.nodes[victim].alive = false;
    let before = world.log.len();
    let took = world.until(SOON, "the dead node's shards elsewhere", |world| world.settled(2));
    assert!(took < Duration::from_secs(8), "{took:?}");
    let failed: Vec<_> = world.log[before..].iter().filter(|stored| stored.entry.cause.contains("failure")).collect();
    assert_eq!(failed.len(), 1, "one entry fails it and assigns its shards: {}", world.describe());
}

#[test]
fn a_dead_leader_is_succeeded_and_its_shards_are_served_elsewhere() {
    for profile in [Profile::Default, Profile::Fast] {
        let mut world = three(profile);
        let victim = world.leader().expect("a leader");
        let term = world.nodes[victim].machine.topology().leadership().term();
        world.nodes[victim].alive = false;
        let took = world.until(SOON, "a new leader and every shard", |world| world.settled(2));
        let bound = profile.member().suspect_after() + Duration::from_secs(2);
        assert!(took < bound, "{took:?} for {profile:?}");
        let leader = world.leader().expect("a leader");
        assert!(world.nodes[leader].machine.topology().leadership().term() > term);
    }
}

#[test]
fn a_dead_leader_whom_nobody_finds_is_succeeded_long_before_its_silence_is_suspicious() {
    for (profile, led, served) in [
        (Profile::Default, Duration::from_millis(1_300)..Duration::from_millis(2_700), Duration::from_millis(4_500)),
        (Profile::Fast, Duration::from_millis(250)..Duration::from_millis(1_100), Duration::from_millis(1_400)),
    ] {
        let mut world = three(profile);
        let victim = world.leader().expect("a leader");
        world.nodes[victim].alive = false;
        let took = world.until(SOON, "a new leader", |world| world.leader().is_some());
        assert!(led.contains(&took), "{took:?} for {profile:?}");
        let took = took + world.until(SOON, "its shards elsewhere", |world| world.settled(2));
        assert!(took < served, "{took:?} for {profile:?}");
    }
}

#[test]
fn whoever_holds_the_lease_and_cannot_reach_the_log_gives_it_back_and_stands_aside() {
    let mut world = three(Profile::Default);
    let victim = world.leader().expect("a leader");
    let others = [(victim + 1) % 3, (victim + 2) % 3];
    world.nodes[victim].alive = false;
    world.log_away.extend(others);
    world.until(SOON, "another holds the lease", |world| world.holder().is_some_and(|at| at != victim));
    let first = world.holder().expect("held");
    let took = world.until(SOON, "it gives it back", |world| world.holder() != Some(first));
    assert!(took < Duration::from_secs(11), "{took:?}");
    world.until(SOON, "the other one tries", |world| world.holder().is_some_and(|at| at != first));
    let stays = world.now + Duration::from_secs(9);
    world.until(SOON, "a while", |world| world.holder() == Some(first) || world.now >= stays);
    assert_ne!(world.holder(), Some(first), "it does not push itself forward");
    world.log_away.clear();
    world.until(SOON, "the two that live have everything", |world| world.settled(2));
}

#[test]
fn a_forged_lease_record_of_a_term_that_is_led_changes_neither_the_leader_nor_its_term() {
    for stranger in [life("n9", 666), life("n2", 666)] {
        for lower in [0, 1] {
            let mut world = three(Profile::Default);
            let leader = world.leader().expect("a leader");
            let (term, entries) = (world.nodes[leader].machine.topology().leadership().term(), world.log.len());
            for _ in 0..20 {
                world.forge_lease(&stranger, Term(term.0 - lower));
                let written_over = |world: &World| world.holder() == Some(leader);
                let took = world.until(SOON, "the leader writes over it", written_over);
                let bounds = Duration::from_millis(300)..Duration::from_millis(400);
                assert!(bounds.contains(&took), "{took:?}");
                let later = world.now + Duration::from_millis(700);
                world.until(SOON, "a while", |world| world.now >= later);
                assert_eq!(world.leader(), Some(leader));
            }
            assert_eq!(world.log.len(), entries, "{}", world.describe());
            assert!(world.refusals.is_empty(), "{:?}", world.refusals);
        }
    }
}

#[test]
fn a_forged_lease_record_of_a_leader_that_is_dead_delays_its_successor_no_longer_than_its_own_would() {
    let mut world = three(Profile::Default);
    let leader = world.leader().expect("a leader");
    let term = world.nodes[leader].machine.topology().leadership().term();
    world.nodes[leader].alive = false;
    world.forge_lease(&life("n9", 666), term);
    let took = world.until(SOON, "another leader", |world| world.leader().is_some());
    assert!(took < Duration::from_millis(2_700), "{took:?}");
}

#[test]
fn a_frozen_leader_wakes_up_fenced_and_rejoins_under_a_new_life() {
    let mut world = three(Profile::Default);
    let victim = world.leader().expect("a leader");
    let old = world.nodes[victim].machine.me().clone();
    world.nodes[victim].frozen = true;
    world.until(SOON, "its shards elsewhere", |world| world.settled(2));
    let entries = world.log.len();
    world.nodes[victim].frozen = false;
    world.drain_queue();
    world.until(SOON, "all three again", |world| world.settled(3));
    assert_ne!(*world.nodes[victim].machine.me(), old);
    assert!(
        world.log[entries..].iter().all(|stored| stored.entry.leader != old),
        "the woken leader wrote: {}",
        world.describe()
    );
}

#[test]
fn a_join_moves_exactly_the_fewest_shards() {
    let mut world = three(Profile::Default);
    let before = world.log.len();
    world.start("n4");
    world.until(SOON, "four balanced nodes", |world| world.settled(4));
    let moved: usize = world.log[before..]
        .iter()
        .flat_map(|stored| &stored.entry.events)
        .map(|event| match event {
            TopologyEvent::Assignment(AssignmentEvent::ShardMigrated { shards, .. }) => shards.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(moved, 256);
}

#[test]
fn no_source_drains_more_than_32_shards_at_once() {
    let mut world = World::new(Profile::Default);
    let only = world.start("n1");
    world.until(SOON, "one node with everything", |world| world.settled(1));
    world.releases_max = 16;
    world.start("n2");
    let mut most = 0;
    for _ in 0..400 {
        let until = world.now + Duration::from_millis(10);
        world.until(SOON, "a moment", |world| world.now >= until);
        most = most.max(world.nodes[only].machine.topology().assignment().moving());
        world.release(only);
        world.drain_queue();
    }
    assert!(world.settled(2), "{}", world.describe());
    assert_eq!(most, 32, "a full wave and no more");
}

#[test]
fn a_leaving_node_hands_over_everything_and_is_let_go() {
    let mut world = three(Profile::Default);
    for leaver in [(world.leader().expect("a leader") + 1) % 3, world.leader().expect("a leader")] {
        world.queue.push_back((leaver, Input::Leave));
        world.drain_queue();
        world.until(SOON, "the leaver is let go", |world| world.nodes[leaver].stopped.is_some());
        assert_eq!(world.nodes[leaver].stopped, Some(StopReason::Left), "{}", world.describe());
        let staying = world.nodes.iter().filter(|node| node.alive).count();
        world.until(SOON, "the others have everything", |world| world.settled(staying));
        let failures = world.log.iter().filter(|stored| stored.entry.cause.contains("failure")).count();
        assert_eq!(failures, 0, "a graceful stop made a false failure");
    }
}

#[test]
fn the_last_node_leaves_saying_aloud_that_nobody_has_the_shards() {
    let mut world = World::new(Profile::Fast);
    world.start("n1");
    world.until(SOON, "one node with everything", |world| world.settled(1));
    world.queue.push_back((0, Input::Leave));
    world.drain_queue();
    world.until(SOON, "it has left", |world| world.nodes[0].stopped.is_some());
    assert_eq!(world.nodes[0].stopped, Some(StopReason::Left), "{}", world.describe());
    world.start("n2");
    world.until(SOON, "the next one takes over the empty house", |world| world.settled(1));
}

#[test]
fn nodes_that_are_all_asked_to_leave_at_once_all_leave_in_good_order() {
    for profile in [Profile::Default, Profile::Fast] {
        let mut world = three(profile);
        for at in 0..3 {
            world.queue.push_back((at, Input::Leave));
        }
        world.drain_queue();
        let took = world.until(SOON, "everybody has left", |world| world.nodes.iter().all(|node| !node.alive));
        assert!(took < Duration::from_secs(4), "{took:?}");
        for node in &world.nodes {
            assert_eq!(node.stopped, Some(StopReason::Left), "{}", world.describe());
        }
        world.start("n2");
        world.until(SOON, "the next one takes over the empty house", |world| world.settled(1));
    }
}

#[test]
fn records_that_nobody_can_read_are_written_over() {
    for profile in [Profile::Default, Profile::Fast] {
        let mut world = three(profile);
        let leader = world.leader().expect("a leader");
        let follower = (leader + 1) % 3;
        let beats = |world: &World, at: usize| {
            let node = &world.nodes[at];
            node.alive && node.machine.phase(world.now) == Phase::Active
        };
        let whole = |world: &World| {
            world.spoiled.is_empty()
                && world.settled(3)
                && (0..3).all(|at| beats(world, at))
                && world.leader().is_some()
        };
        world.spoil(ControlKey::Lease);
        world.until(SOON, "a readable lease", whole);
        for at in [follower, leader] {
            let node = world.nodes[at].machine.me().node.clone();
            let lives = world.nodes[at].lives.len();
            world.spoil(ControlKey::Member(node));
            world.until(SOON, "a readable member record", whole);
            assert_eq!(world.nodes[at].lives.len(), lives + 1, "it may have been a fence: the life under it is over");
        }
        // A dead node's record, and the lease with it.
        let leader = world.leader().expect("a leader");
        let node = world.nodes[leader].machine.me().node.clone();
        world.nodes[leader].alive = false;
        world.spoil(ControlKey::Member(node));
        world.spoil(ControlKey::Lease);
        world.until(SOON, "the others have everything", |world| world.settled(2));
    }
}

#[test]
fn a_node_that_starts_over_records_nobody_can_read_writes_over_them() {
    let mut world = World::new(Profile::Default);
    world.spoil(ControlKey::Lease);
    world.spoil(ControlKey::Member(NodeId::new("n1").expect("valid")));
    world.start("n1");
    world.until(SOON, "one node with everything", |world| world.settled(1));
}

#[test]
fn a_second_process_with_the_same_id_is_refused_and_the_first_never_notices() {
    let mut world = three(Profile::Default);
    let (first, lives) = (world.nodes[1].machine.me().clone(), world.nodes[1].lives.len());
    let second = world.start("n2");
    let took = world.until(SOON, "the second is refused", |world| world.nodes[second].stopped.is_some());
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert_eq!(world.nodes[second].stopped, Some(StopReason::NodeIdInUse { by: first.clone() }));
    assert_eq!((world.nodes[1].machine.me(), world.nodes[1].lives.len()), (&first, lives));
    assert_eq!(world.nodes[1].machine.phase(world.now), Phase::Active);
}

#[test]
fn a_killed_process_comes_back_under_the_same_id_and_a_new_life() {
    let mut world = three(Profile::Default);
    let victim = (world.leader().expect("a leader") + 1) % 3;
    let name = world.nodes[victim].machine.me().node.to_string();
    world.nodes[victim].alive = false;
    world.start(&name);
    world.until(SOON, "three again", |world| world.settled(3));
}

#[test]
fn a_whole_dead_cluster_starts_again_without_anybody_from_before() {
    let mut world = three(Profile::Fast);
    for node in &mut world.nodes {
        node.alive = false;
    }
    world.start("n2");
    world.start("n4");
    world.until(Duration::from_secs(30), "the two own everything", |world| world.settled(2));
    let status = |name: &str| {
        let topology = world.nodes[4].machine.topology();
        topology.cluster().member(&NodeId::new(name).expect("valid")).map(|member| member.status)
    };
    assert_eq!(status("n1"), Some(NodeStatus::Failed));
    assert_eq!(status("n2"), Some(NodeStatus::Active));
    assert!(world.control.values().any(|stored| matches!(
        &stored.record,
        ControlRecord::Member(record) if record.state == MemberState::Fenced
    )));
}

#[test]
fn one_node_of_a_dead_cluster_does_not_wait_until_the_silence_of_the_others_is_suspicious() {
    for profile in [Profile::Default, Profile::Fast] {
        let mut world = three(profile);
        for node in &mut world.nodes {
            node.alive = false;
        }
        world.start("n2");
        let took = world.until(SOON, "the one that came back owns everything", |world| world.settled(1));
        // It makes sure that its own old life is over, and then that nobody is there and no serve lease runs.
        let bound = Duration::from_millis(1_500) + profile.member().serve_lease() + Duration::from_secs(1);
        assert!(took < bound, "{took:?} for {profile:?}");
    }
}

/// Who failed in these entries, and why, an entry at a time.
fn failures(entries: &[StoredEntry]) -> Vec<Vec<(String, FailureReason)>> {
    let failed = |stored: &StoredEntry| -> Vec<_> {
        cluster_events(std::slice::from_ref(stored))
            .filter_map(|event| match event {
                ClusterEvent::NodeFailed { node, reason } => Some((node.node.to_string(), *reason)),
                _ => None,
            })
            .collect()
    };
    entries.iter().map(failed).filter(|failed| !failed.is_empty()).collect()
}

#[test]
fn a_node_whose_supervisor_saw_it_die_is_replaced_at_once() {
    for profile in [Profile::Default, Profile::Fast, Profile::Seed] {
        let mut world = three(profile);
        let leader = world.leader().expect("a leader");
        let victim = (leader + 1) % 3;
        let name = world.nodes[victim].machine.me().node.to_string();
        let before = world.log.len();
        world.dies(victim);
        let took = world.until(SOON, "its shards elsewhere", |world| !world.shards_of(leader).contains_key(&name));
        assert!(took < Duration::from_millis(20), "{took:?} in {profile:?}");
        assert_eq!(failures(&world.log[before..]), [vec![(name, FailureReason::Died)]]);
        assert_eq!(world.log.len(), before + 1, "one entry fails it and assigns its shards: {}", world.describe());
        world.until(SOON, "two balanced nodes", |world| world.settled(2));
    }
}

#[test]
fn a_leader_whose_supervisor_saw_it_die_is_succeeded_and_replaced_at_once() {
    for profile in [Profile::Default, Profile::Fast, Profile::Seed] {
        let mut world = three(profile);
        let victim = world.leader().expect("a leader");
        let name = world.nodes[victim].machine.me().node.to_string();
        let before = world.log.len();
        world.dies(victim);
        let other = (victim + 1) % 3;
        let took = world.until(SOON, "its shards elsewhere", |world| !world.shards_of(other).contains_key(&name));
        assert!(took < Duration::from_millis(150), "{took:?} in {profile:?}");
        assert_eq!(failures(&world.log[before..]), [vec![(name, FailureReason::Died)]]);
    }
}

#[test]
fn a_node_that_was_fenced_before_its_supervisor_saw_it_die_is_waited_for_no_longer() {
    let mut world = three(Profile::Default);
    let victim = (world.leader().expect("a leader") + 1) % 3;
    let node = world.nodes[victim].machine.me().clone();
    // Nobody answers under its name: it is fenced after the serve lease, before the lease is surely over.
    world.nodes[victim].alive = false;
    world.until(SOON, "its fence", |world| world.is_fenced(&node));
    let ControlRecord::Member(fence) = &world.control[&ControlKey::Member(node.node.clone())].record else { panic!() };
    assert_eq!(fence.supervisor, Some(Nonce(victim as u64 + 1)), "its supervisor still finds it");
    let before = world.log.len();
    world.certify(&node);
    let took = world.until(SOON, "its failure", |world| world.log.len() > before);
    assert!(took < Duration::from_millis(20), "{took:?}");
    assert_eq!(failures(&world.log[before..]), [vec![(node.node.to_string(), FailureReason::Died)]]);
}

#[test]
fn those_who_die_with_a_certificate_neither_wait_for_others_nor_let_them_wait() {
    let mut world = World::new(Profile::Default);
    for nth in 1..=5 {
        world.start(&format!("n{nth}"));
    }
    world.until(SOON, "five balanced nodes", |world| world.settled(5));
    let leader = world.leader().expect("a leader");
    let (silent, certified) = ((leader + 1) % 5, (leader + 2) % 5);
    let name = |world: &World, at: usize| world.nodes[at].machine.me().node.to_string();
    let before = world.log.len();
    world.nodes[silent].alive = false;
    // Its failure is about to be due: others would be held back for it.
    let lost = world.nodes[silent].machine.me().clone();
    world.until(SOON, "its fence", |world| world.is_fenced(&lost));
    assert_eq!(world.log.len(), before);
    world.dies(certified);
    let took = world.until(SOON, "the certified failure", |world| world.log.len() > before);
    assert!(took < Duration::from_millis(20), "{took:?}");
    world.until(SOON, "three balanced nodes", |world| world.settled(3));
    let expected = [(certified, FailureReason::Died), (silent, FailureReason::Silent)];
    let expected = expected.map(|(at, reason)| vec![(name(&world, at), reason)]);
    assert_eq!(failures(&world.log[before..]), expected);
    let changes = hands_changed(&world.log[before..]);
    assert!(changes.values().all(|times| *times == 1), "nothing went to the silent one: {}", world.describe());
}

#[test]
fn a_process_that_is_started_again_over_a_death_certificate_waits_for_nothing() {
    // Once after its failure is in the log, and once before: then the leader logs the restart.
    for log_away in [false, true] {
        let mut world = three(Profile::Default);
        let leader = world.leader().expect("a leader");
        let victim = (leader + 1) % 3;
        let name = world.nodes[victim].machine.me().node.to_string();
        if log_away {
            world.log_away.insert(leader);
        }
        let before = world.log.len();
        world.dies(victim);
        if !log_away {
            world.until(SOON, "its failure", |world| world.log.len() > before);
        }
        let again = world.start(&name);
        world.log_away.clear();
        let is_active = |world: &World| world.nodes[again].machine.phase(world.now) == Phase::Active;
        let took = world.until(SOON, "it serves", is_active);
        assert!(took < Duration::from_millis(300), "{took:?}, with the log away {log_away}");
        let restarted = cluster_events(&world.log[before..])
            .filter(|event| matches!(event, ClusterEvent::NodeRestarted { .. }))
            .count();
        assert_eq!((failures(&world.log[before..]).len(), restarted), if log_away { (0, 1) } else { (1, 0) });
        world.until(SOON, "three balanced nodes", |world| world.settled(3));
    }
}

#[test]
fn a_life_that_is_written_dead_and_lives_begins_a_new_one() {
    let mut world = three(Profile::Default);
    for at in [(world.leader().expect("a leader") + 1) % 3, world.leader().expect("a leader")] {
        let old = world.nodes[at].machine.me().clone();
        world.certify(&old);
        assert_ne!(*world.nodes[at].machine.me(), old, "its record says that it is over");
        world.until(SOON, "all three again", |world| world.settled(3));
        assert_eq!(world.nodes[at].stopped, None);
    }
}

#[test]
fn a_certificate_of_a_node_that_has_left_in_good_order_changes_nothing() {
    let mut world = three(Profile::Default);
    let leaver = (world.leader().expect("a leader") + 1) % 3;
    let node = world.nodes[leaver].machine.me().clone();
    world.queue.push_back((leaver, Input::Leave));
    world.drain_queue();
    world.until(SOON, "it is let go", |world| world.nodes[leaver].stopped.is_some() && world.settled(2));
    let before = world.log.len();
    world.certify(&node);
    let later = world.now + Duration::from_secs(8);
    world.until(SOON, "a while", |world| world.now >= later);
    assert_eq!(world.log.len(), before, "{}", world.describe());
    world.start(node.node.as_str());
    world.until(SOON, "three balanced nodes", |world| world.settled(3));
}

#[test]
fn a_node_that_leaves_waits_for_nobody_who_is_known_to_be_dead() {
    let mut world = World::new(Profile::Default);
    world.start("n1");
    world.start("n2");
    world.until(SOON, "two balanced nodes", |world| world.settled(2));
    let leader = world.leader().expect("a leader");
    world.dies(leader);
    world.queue.push_back((1 - leader, Input::Leave));
    world.drain_queue();
    let took = world.until(SOON, "it is let go", |world| world.nodes[1 - leader].stopped.is_some());
    assert_eq!(world.nodes[1 - leader].stopped, Some(StopReason::Left));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_whole_cluster_whose_supervisors_saw_it_die_is_followed_without_waiting_for_ghosts() {
    let mut world = three(Profile::Default);
    for at in 0..3 {
        world.nodes[at].alive = false;
    }
    for at in 0..3 {
        world.dies(at);
    }
    let again = world.start("n2");
    let took = world.until(SOON, "it serves everything", |world| world.settled(1));
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(world.nodes[again].machine.phase(world.now), Phase::Active);
}

/// How often each shard was given to somebody by these entries.
fn hands_changed(entries: &[StoredEntry]) -> BTreeMap<ShardId, usize> {
    let mut changes = BTreeMap::new();
    for event in entries.iter().flat_map(|stored| &stored.entry.events) {
        let TopologyEvent::Assignment(
            AssignmentEvent::ShardAssigned { shards, .. } | AssignmentEvent::ShardMigrated { shards, .. },
        ) = event
        else {
            continue;
        };
        for shard in shards.iter() {
            *changes.entry(shard).or_default() += 1;
        }
    }
    changes
}

fn pass(world: &mut World, time: Duration) {
    let until = world.now + time;
    world.until(time * 2, "a moment", |world| world.now >= until);
}

/// How many times a shard was given to somebody.
fn handed_over(entries: &[StoredEntry]) -> usize {
    hands_changed(entries).into_values().sum()
}

#[test]
fn half_of_six_nodes_die_at_once_and_one_entry_replaces_them() {
    for (profile, victims) in [
        (Profile::Default, [0, 2, 4]),
        (Profile::Default, [1, 2, 3]),
        (Profile::Default, [3, 4, 5]),
        (Profile::Fast, [0, 1, 5]),
        (Profile::Fast, [2, 3, 4]),
    ] {
        let mut world = World::new(profile);
        let sixth = profile.member().heartbeat_every() / 6;
        for nth in 1..=6 {
            world.start(&format!("n{nth}"));
            let next = world.now + sixth + Duration::from_millis(7 * nth);
            world.until(SOON, "its heartbeats have another phase", |world| world.now >= next);
        }
        world.until(SOON, "six balanced nodes", |world| world.settled(6));
        let before = world.log.len();
        for victim in victims {
            world.nodes[victim].alive = false;
        }
        let took = world.until(SOON, "three have everything", |world| world.settled(3));
        let bound = profile.member().suspect_after() + profile.member().heartbeat_every() * 2 + Duration::from_secs(1);
        assert!(took < bound, "{took:?}");
        let later = world.now + Duration::from_secs(3);
        world.until(SOON, "a while", |world| world.now >= later);
        let entries = &world.log[before..];
        let failures: Vec<_> = entries.iter().filter(|stored| stored.entry.cause.contains("failure")).collect();
        assert_eq!(failures.len(), 1, "{victims:?}: {}", world.describe());
        let changes = hands_changed(entries);
        assert!(changes.values().all(|times| *times == 1), "{victims:?}: {}", world.describe());
        assert!((510..=514).contains(&changes.len()), "{} shards moved", changes.len());
    }
}

#[test]
fn a_node_that_may_be_dying_is_given_nothing() {
    let mut world = World::new(Profile::Default);
    for nth in 1..=5 {
        world.start(&format!("n{nth}"));
    }
    world.until(SOON, "five balanced nodes", |world| world.settled(5));
    let leader = world.leader().expect("a leader");
    let (first, second) = ((leader + 1) % 5, (leader + 2) % 5);
    let before = world.log.len();
    world.nodes[first].alive = false;
    let later = world.now + Duration::from_millis(700);
    world.until(SOON, "a while", |world| world.now >= later);
    world.nodes[second].alive = false;
    world.until(SOON, "three have everything", |world| world.settled(3));
    let changes = hands_changed(&world.log[before..]);
    assert!(changes.values().all(|times| *times == 1), "{}", world.describe());
}

/// What the log says that happened to the cluster.
fn cluster_events(entries: &[StoredEntry]) -> impl Iterator<Item = &ClusterEvent> {
    entries.iter().flat_map(|stored| &stored.entry.events).filter_map(|event| match event {
        TopologyEvent::Cluster(event) => Some(event),
        _ => None,
    })
}

fn plan_causes(entries: &[StoredEntry]) -> Vec<RebalanceCause> {
    let plans = cluster_events(entries).filter_map(|event| match event {
        ClusterEvent::RebalancingTriggered { cause, .. } => Some(*cause),
        _ => None,
    });
    plans.collect()
}

#[test]
fn a_plan_says_what_made_it_necessary() {
    let mut world = three(Profile::Default);
    assert!(plan_causes(&world.log).iter().all(|cause| *cause == RebalanceCause::Join), "{}", world.describe());
    let before = world.log.len();
    let leaver = (world.leader().expect("a leader") + 1) % 3;
    world.queue.push_back((leaver, Input::Leave));
    world.drain_queue();
    world.until(SOON, "it is let go", |world| world.nodes[leaver].stopped.is_some() && world.settled(2));
    assert_eq!(plan_causes(&world.log[before..]), [RebalanceCause::Drain]);
}

/// Turns one node's clock, and nobody else's, until it has asked for its next heartbeat to be written.
fn next_beat(world: &mut World, at: usize) -> Effect {
    for _ in 0..1_000 {
        world.now = world.nodes[at].machine.wakes_at().expect("it wakes").max(world.now + Duration::from_micros(100));
        let effects = world.nodes[at].machine.step(world.now, WallTime::default(), Input::Tick);
        let is_beat = |effect: &Effect| matches!(effect, Effect::Write { record, .. } if matches!(record.key(), ControlKey::Member(_)));
        if let Some(beat) = effects.into_iter().find(is_beat) {
            return beat;
        }
    }
    panic!("no heartbeat: {}", world.describe())
}

#[test]
fn a_node_that_has_found_a_fault_never_serves_again_and_still_ends_when_told_to() {
    let mut world = three(Profile::Default);
    let at = (world.leader().expect("a leader") + 1) % 3;
    let Effect::Write { token, .. } = next_beat(&mut world, at) else { unreachable!("it is a write") };
    let (now, wall) = (world.now, WallTime::default());
    let machine = &mut world.nodes[at].machine;
    let corrupt = LogUpdate::Corrupt { sequence: Sequence(1_000), reason: "spoiled".into() };
    let found = machine.step(now, wall, Input::Log(corrupt.clone()));
    assert!(found.contains(&Effect::EndServing), "{found:?}");
    let outcome = WriteOutcome::Ok(Revision(1_000_000));
    let landed = machine.step(now, wall, Input::Written { token, outcome });
    assert!(!landed.iter().any(|effect| matches!(effect, Effect::ServeUntil(_))), "{landed:?}");
    assert_eq!((machine.phase(now), machine.serve_until()), (Phase::Faulty, Monotonic::ZERO));
    assert_eq!(machine.step(now, wall, Input::Log(corrupt)), [], "what is known is not said again");
    let left = machine.step(now, wall, Input::Leave);
    assert!(left.contains(&Effect::Stop(StopReason::LeftUnasked)), "{left:?}");
}

#[test]
fn a_node_that_knows_nothing_of_the_cluster_yet_ends_at_once_when_told_to() {
    let mut machine = Machine::new(NodeId::new("n1").expect("a valid name"), config(Profile::Default), 7);
    let effects = machine.step(Monotonic::ZERO, WallTime::default(), Input::Leave);
    assert!(effects.contains(&Effect::Stop(StopReason::Left)), "{effects:?}");
}

/// Three nodes whose log has lost its last two entries, when the leader has just been told so; what was lost.
fn a_shorter_log() -> (World, usize, Vec<StoredEntry>) {
    let mut world = three(Profile::Default);
    let leader = world.leader().expect("a leader");
    let kept = world.log.len() - 2;
    let lost = world.log.split_off(kept);
    world.nodes[(leader + 1) % 3].alive = false;
    world.until(SOON, "the leader is told", |world| world.nodes[leader].machine.serve_until() == Monotonic::ZERO);
    assert_eq!(world.nodes[leader].machine.phase(world.now), Phase::Paused, "it serves nothing from here on");
    (world, leader, lost)
}

#[test]
fn a_log_that_has_lost_its_end_is_noticed_by_whoever_appends() {
    let (mut world, leader, lost) = a_shorter_log();
    let (known, found) = (lost[1].at.sequence, world.log.last().expect("entries").at.sequence);
    let other = (leader + 2) % 3;
    let faulty = |world: &World, at: usize| world.nodes[at].machine.fault().cloned();
    let within = Duration::from_secs(120);
    world.until(within, "both are convinced", |world| [leader, other].iter().all(|at| faulty(world, *at).is_some()));
    for at in [leader, other] {
        assert_eq!(faulty(&world, at), Some(Fault::LogRegression { known, found }));
        assert_eq!(world.nodes[at].machine.phase(world.now), Phase::Faulty);
    }
    assert_eq!(world.log.last().expect("entries").at.sequence, found, "nobody has written behind what is left");
}

#[test]
fn a_server_that_does_not_know_yet_that_it_leads_no_more_convinces_nobody() {
    let (mut world, _, lost) = a_shorter_log();
    let until = world.now + Duration::from_secs(19);
    world.until(SOON * 2, "19 s pass", |world| world.now >= until);
    world.log.extend(lost);
    world.until(SOON * 2, "the two that live have everything", |world| world.settled(2));
    world.until(SOON, "they serve again", |world| {
        world.nodes.iter().filter(|node| node.alive).all(|node| node.machine.phase(world.now) == Phase::Active)
    });
    assert_eq!(world.refusals, Vec::<String>::new());
}

#[test]
fn a_log_that_was_replaced_is_noticed_by_whoever_reads_it() {
    let mut world = three(Profile::Default);
    let (now, wall, machine) = (world.now, WallTime::default(), &mut world.nodes[0].machine);
    let mut other = world.log[2].clone();
    machine.step(now, wall, Input::Log(LogUpdate::Entry(other.clone())));
    assert_eq!(machine.fault(), None, "an entry told twice is nothing new");
    other.at.hash ^= 1;
    let effects = machine.step(now, wall, Input::Log(LogUpdate::Entry(other.clone())));
    assert!(effects.contains(&Effect::EndServing), "{effects:?}");
    assert_eq!(machine.fault(), Some(&Fault::LogReplaced { sequence: other.at.sequence }));
}

#[test]
fn a_control_store_that_has_lost_a_heartbeat_is_noticed_by_its_sender() {
    let mut world = three(Profile::Default);
    let at = (world.leader().expect("a leader") + 1) % 3;
    let key = ControlKey::Member(world.nodes[at].machine.me().node.clone());
    let stored = world.control.get_mut(&key).expect("it beats");
    stored.revision = Revision(stored.revision.0 - 1);
    let found = stored.revision;
    world.until(Duration::from_secs(60), "it is convinced", |world| world.nodes[at].machine.fault().is_some());
    let fault = world.nodes[at].machine.fault().cloned();
    assert_eq!(fault, Some(Fault::ControlRegression { key, known: Revision(found.0 + 1), found }));
}

#[test]
fn a_node_with_other_timers_than_the_cluster_was_founded_with_refuses_to_join() {
    let mut world = three(Profile::Default);
    let entries = world.log.len();
    world.profile = Profile::Fast;
    let other = world.start("n4");
    world.until(SOON, "it ends", |world| world.nodes[other].stopped.is_some());
    let Some(StopReason::SettingsDiffer { found, configured }) = &world.nodes[other].stopped else {
        panic!("{:?}", world.nodes[other].stopped)
    };
    assert_eq!((found.profile, configured.profile), (Profile::Default, Profile::Fast));
    assert_eq!(world.log.len(), entries, "nothing was written for it");
}

#[test]
fn every_policy_is_in_the_protocols_table_and_leads_to_commands_and_events_that_exist() {
    let page = include_str!("../../../docs/PROTOCOL.md");
    let rows: Vec<&str> = page.lines().collect();
    for policy in policies() {
        let names = |names: &[&str]| match names {
            [] => "none".to_owned(),
            names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        };
        let (commands, events) = (names(policy.commands), names(policy.events));
        let row = format!("| {} | {} | {commands} | {events} |", policy.name, policy.when);
        assert!(rows.contains(&row.as_str()), "not in docs/PROTOCOL.md:\n{row}");
    }
}

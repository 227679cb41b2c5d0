//! What is right is found right; of what is doctored, exactly what was done to it is found.

use bytes::Bytes;

use super::*;
use crate::cluster::{ClusterEvent, ClusterSettings, NodeInfo};
use crate::ids::{ActorId, ActorKey, ActorKind, ClusterUid, NodeRef, Nonce, ShardCount, ShardSet, Slot, Term, Version};
use crate::invariants::Violation;
use crate::lease::LeadershipEvent;
use crate::records::{Broken, CommandMark, Entry, EventRecord, Format, MissedTicks, PayloadCodec, Position, Timer};
use crate::testing::life;

/// Everything that a namespace has stored.
#[derive(Clone)]
struct Stored {
    log: Vec<StoredEntry>,
    commits: Vec<(ActorAddress, StoredCommit)>,
}

fn actor(id: &str) -> ActorAddress {
    let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new(id).expect("an id") };
    ActorAddress { key, slot: Slot(0) }
}

fn timer(due: u64) -> TimerChange {
    TimerChange::Set(Timer {
        name: "tick".into(),
        due: WallTime { unix_millis: due },
        every: None,
        missed: MissedTicks::Once,
        command: "tick".into(),
        payload: Bytes::new(),
    })
}

/// Appends an entry by `a`, the leader.
fn entry(log: &mut Vec<StoredEntry>, topology: &mut Topology, events: Vec<TopologyEvent>) {
    let entry = Entry {
        format: Format::FIRST,
        cluster: ClusterUid(7),
        epoch: topology.epoch().next(),
        term: Term(1),
        leader: life("a", 1),
        nonce: Nonce(1),
        prev_hash: topology.at().hash,
        cause: "test".into(),
        at: WallTime::default(),
        events,
    };
    let sequence = Sequence(log.len() as u64 + 1);
    log.push(StoredEntry { entry, at: Position { sequence, hash: 1_000 + sequence.0 } });
    topology.apply(log.last().expect("just pushed")).expect("a lawful entry");
}

/// Adds a commit of one command and one event to that actor's history.
fn commit(stored: &mut Stored, actor: &ActorAddress, owner: &str, epoch: u64, timers: Vec<TimerChange>) {
    let before = stored.commits.iter().rev().find(|(whose, _)| whose == actor).map(|(_, last)| last.head());
    let (before, sequence) = (before.unwrap_or_default(), stored.commits.len() as u64 + 1);
    let id = CommandId { origin: Incarnation(3), sequence };
    let record = CommitRecord {
        shard_epoch: Epoch(epoch),
        owner: life(owner, 1).incarnation,
        nonce: Nonce(9),
        base: before.version,
        prev_sequence: before.at.sequence,
        prev_hash: before.at.hash,
        at: WallTime::default(),
        codec: PayloadCodec::Json,
        commands: vec![CommandMark { id, floor: 1, message: None, reply: Bytes::new() }],
        events: vec![EventRecord { schema: 1, name: "".into(), payload: Bytes::new() }],
        timers,
    };
    let at = Position { sequence: Sequence(sequence), hash: 77 + sequence };
    stored.commits.push((actor.clone(), StoredCommit { record, at }));
}

/// `a` has every shard from epoch 1 on, `b` from epoch 3 on; two actors with commits of both, one of them with a timer.
fn right() -> Stored {
    let (mut log, mut topology) = (Vec::new(), Topology::default());
    let count = ShardCount::new(16).expect("a power of two");
    let settings = ClusterSettings { shards: count, ..Default::default() };
    let (a, b, shards): (_, _, ShardSet) = (life("a", 1), life("b", 1), count.all().collect());
    let joined = |node: &NodeRef| ClusterEvent::NodeJoined { node: node.clone(), info: NodeInfo::default() }.into();
    let founded = vec![
        ClusterEvent::ClusterCreated { uid: ClusterUid(7), settings }.into(),
        joined(&a),
        joined(&b),
        LeadershipEvent::TermStarted { term: Term(1), leader: a.clone() }.into(),
        AssignmentEvent::ShardAssigned { shards: shards.clone(), to: a.clone() }.into(),
    ];
    let (from, to) = (a.clone(), b.clone());
    let begins = AssignmentEvent::ShardMigrationStarted { shards: shards.clone(), from, to };
    let ends = AssignmentEvent::ShardMigrated { shards, from: a, to: b };
    for events in [founded, vec![begins.into()], vec![ends.into()]] {
        entry(&mut log, &mut topology, events);
    }
    let mut stored = Stored { log, commits: Vec::new() };
    let (anna, bert) = (actor("anna"), actor("bert"));
    commit(&mut stored, &anna, "a", 1, vec![timer(500)]);
    commit(&mut stored, &bert, "a", 1, vec![]);
    commit(&mut stored, &anna, "a", 1, vec![]);
    commit(&mut stored, &anna, "b", 3, vec![]);
    commit(&mut stored, &bert, "b", 3, vec![]);
    stored
}

fn verified(stored: &Stored) -> (Verification, Vec<Finding>) {
    let (mut all, mut found) = (Verification::default(), Vec::new());
    for entry in &stored.log {
        found.extend(all.entry(entry));
    }
    for (actor, commit) in &stored.commits {
        found.extend(all.commit(actor, commit));
    }
    (all, found)
}

#[test]
fn nothing_is_found_in_what_is_right_and_everything_is_counted() {
    let (all, found) = verified(&right());
    assert_eq!(found, []);
    let anna = actor("anna");
    assert_eq!(all.timed().collect::<Vec<_>>(), [&anna]);
    assert_eq!(all.wake(&anna, Some(WallTime { unix_millis: 500 })), None);
    let expected = Counts { entries: 3, actors: 2, commits: 5, events: 5, commands: 5, snapshots: 0, timed: 1 };
    assert_eq!(all.counts(), expected);
    assert_eq!(all.head(&anna).version, Version(3));
}

/// What is done to what is right, and what is to be found.
type Doctored = (&'static str, fn(&mut Stored), fn() -> Vec<Finding>);

#[test]
fn what_is_done_to_a_namespace_is_what_is_found_in_it() {
    let cases: [Doctored; 9] = [
        (
            "an entry is lost",
            |stored| drop(stored.log.remove(1)),
            || {
                let epoch = Epoch(3);
                let (at, to) = (Sequence(3), life("b", 1));
                let gap = Violation::EpochGap { before: Epoch(1), found: epoch };
                let mut all = vec![gap, Violation::BrokenChain { epoch }];
                all.extend((0..16).map(|shard| Violation::NotOnItsWay {
                    shard: ShardId(shard),
                    from: life("a", 1),
                    to: to.clone(),
                }));
                all.into_iter().map(|violation| Finding::Entry { at, violation }).collect()
            },
        ),
        (
            "the log ends too early",
            |stored| stored.log.truncate(2),
            || {
                let why = "shard epoch 3 is beyond the log, which ends at 2";
                [("anna", 4), ("bert", 5)].map(|(id, at)| not_the_owner(id, at, "b", why)).into()
            },
        ),
        (
            "a commit is lost",
            |stored| drop(stored.commits.remove(2)),
            || {
                let broken = Broken::Unchained { before: Sequence(1) };
                vec![Finding::Broken { actor: actor("anna").key, at: Sequence(4), broken }]
            },
        ),
        (
            "a commit was changed",
            |stored| stored.commits[1].1.at.hash += 1,
            || {
                let broken = Broken::Unchained { before: Sequence(2) };
                vec![Finding::Broken { actor: actor("bert").key, at: Sequence(5), broken }]
            },
        ),
        (
            "versions are not contiguous",
            |stored| stored.commits[3].1.record.base = Version(7),
            || {
                let broken = Broken::Based { base: Version(7), version: Version(2) };
                vec![Finding::Broken { actor: actor("anna").key, at: Sequence(4), broken }]
            },
        ),
        (
            "somebody writes who was given nothing",
            |stored| stored.commits[2].1.record.owner = Incarnation(99),
            || {
                let why = format!("shard 0 was {}'s under shard epoch 1", life("a", 1).incarnation);
                let (actor, at, owner) = (actor("anna").key, Sequence(3), Incarnation(99));
                vec![Finding::NotTheOwner { actor, at, owner, why }]
            },
        ),
        (
            "somebody writes under an epoch that gave nothing",
            |stored| stored.commits[3].1.record.shard_epoch = Epoch(2),
            || vec![not_the_owner("anna", 4, "b", "nobody was given shard 0 under shard epoch 2")],
        ),
        (
            "an owner writes once more after the next one",
            |stored| commit(stored, &actor("anna"), "a", 1, vec![]),
            || {
                let broken = Broken::Fenced { epoch: Epoch(1), before: Epoch(3) };
                vec![Finding::Broken { actor: actor("anna").key, at: Sequence(6), broken }]
            },
        ),
        (
            "a command takes effect twice",
            |stored| {
                let again = stored.commits[0].1.record.commands.clone();
                stored.commits[3].1.record.commands = again;
            },
            || {
                let command = CommandId { origin: Incarnation(3), sequence: 1 };
                vec![Finding::Repeated { actor: actor("anna").key, at: Sequence(4), command }]
            },
        ),
    ];
    for (what, doctor, expected) in cases {
        let mut stored = right();
        doctor(&mut stored);
        assert_eq!(verified(&stored).1, expected(), "{what}");
    }
}

fn not_the_owner(id: &str, at: u64, owner: &str, why: &str) -> Finding {
    let (actor, owner) = (actor(id).key, life(owner, 1).incarnation);
    Finding::NotTheOwner { actor, at: Sequence(at), owner, why: why.into() }
}

#[test]
fn what_is_kept_beside_a_history_is_measured_by_it() {
    let stored = right();
    let (mut all, _) = verified(&stored);
    let (anna, second, third) = (actor("anna"), &stored.commits[2].1, &stored.commits[3].1);
    let at = |commit: &StoredCommit| ActorSnapshot {
        at: commit.at,
        version: commit.record.version(),
        shard_epoch: commit.record.shard_epoch,
        schema: 1,
        codec: PayloadCodec::Json,
        state: Bytes::new(),
        origins: Vec::new(),
        messages: Vec::new(),
        timers: Vec::new(),
    };
    let snapshot = at(second);
    let history = [second.clone(), third.clone()];
    assert_eq!(all.snapshot(&anna, &snapshot, &history), None);
    // What was acknowledged, and remembered by the snapshot, is gone.
    for history in [&history[1..], &[]] {
        let lost = Finding::Snapshot { actor: anna.key.clone(), at: Sequence(3), version: Version(2) };
        assert_eq!(all.snapshot(&anna, &snapshot, history), Some(lost));
    }
    for wake in [None, Some(WallTime { unix_millis: 501 })] {
        let (actor, timer, due) = (anna.key.clone(), "tick".into(), WallTime { unix_millis: 500 });
        assert_eq!(all.wake(&anna, wake), Some(Finding::Wake { actor, timer, due, wake }));
    }
    let node = life("b", 1).node;
    assert_eq!(all.view(&node, Epoch(3)), None);
    let lost = Finding::LogLost { node: node.clone(), view: Epoch(4), ends: Epoch(3) };
    assert_eq!(all.view(&node, Epoch(4)), Some(lost));
}

#[test]
fn an_entry_that_nobody_can_read_ends_what_is_said_of_the_log() {
    let (stored, mut all) = (right(), Verification::default());
    assert_eq!(all.entry(&stored.log[0]), []);
    let found = all.unreadable_entry(Sequence(2), "damaged".into());
    assert_eq!(found.to_string(), "topology log at 2: damaged; nothing behind it was judged");
    assert_eq!(all.entry(&stored.log[2]), []);
    // Whose a commit was cannot be told any more; that it follows, can.
    let found: Vec<_> = stored.commits.iter().flat_map(|(actor, commit)| all.commit(actor, commit)).collect();
    assert_eq!(found, []);
}

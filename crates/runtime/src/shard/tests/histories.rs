//! A snapshot and what is behind it make the actor that the whole history makes, wherever it is cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::records::{
    ActorSnapshot, CommandMark, CommitRecord, EventRecord, MissedTicks, PayloadCodec, Position, StoredCommit, Timer,
    TimerChange,
};
use aether_domain::{ActorId, ActorKind, CommandId, Epoch, Incarnation, MessageId, Nonce, Sequence, Version, WallTime};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::counter::{Counter, Get, Happened};
use crate::actor::{Actor, Kept, Kind, KindRegistry, codec};
use crate::shard::history::{Refused, Replayed, replay};
use crate::shard::input::Found;
use crate::shard::remembered::Lives;

/// What one record says: what its events add, which commands it answers, and how far the epoch has come since.
#[derive(Clone, Debug)]
struct Said {
    adds: Vec<u64>,
    /// Life, sequence, how far the floor lies below it, the application's own name.
    commands: Vec<(u64, u64, u64, Option<u128>)>,
    /// Reminders by name: when they are due, or that they are cancelled.
    reminders: Vec<(u64, Option<u64>)>,
    epochs: u64,
}

fn said() -> impl Strategy<Value = Said> {
    let command = (0..6_u64, 1..40_u64, 0..30_u64, option::of(0..9_u128));
    let reminder = (0..5_u64, option::of(0..1000_u64));
    let parts = (vec(0..1000_u64, 0..4), vec(command, 0..4), vec(reminder, 0..2), 0..2_u64);
    parts.prop_map(|(adds, commands, reminders, epochs)| Said { adds, commands, reminders, epochs })
}

fn history(codec: PayloadCodec, said: &[Said]) -> Vec<StoredCommit> {
    let (mut tail, mut version, mut epoch) = (Position::default(), Version::ZERO, Epoch(1));
    let mut commits = Vec::new();
    for (nth, Said { adds, commands, reminders, epochs }) in (1..).zip(said) {
        epoch.0 += epochs;
        let mark = |(life, sequence, below, message): &(u64, u64, u64, Option<u128>)| CommandMark {
            id: CommandId { origin: Incarnation(*life), sequence: *sequence },
            floor: sequence.saturating_sub(*below),
            message: message.map(MessageId),
            reply: Bytes::from(format!("{nth}")),
        };
        let event = |by: &u64| EventRecord {
            schema: 1,
            name: "".into(),
            payload: codec::encode(codec, &Happened::Added { by: *by }).expect("an event encodes"),
        };
        let reminder = |(name, due): &(u64, Option<u64>)| match due {
            None => TimerChange::Cancelled { name: name.to_string() },
            Some(due) => TimerChange::Set(Timer {
                name: name.to_string(),
                due: WallTime { unix_millis: *due },
                every: due.is_multiple_of(2).then_some(Duration::from_millis(*due + 1)),
                missed: MissedTicks::All,
                command: if due.is_multiple_of(3) { "no such command" } else { "get" }.into(),
                payload: codec::encode(codec, &Get {}).expect("a command encodes"),
            }),
        };
        let record = CommitRecord {
            shard_epoch: epoch,
            owner: Incarnation(7),
            nonce: Nonce(nth),
            base: version,
            prev_sequence: tail.sequence,
            prev_hash: tail.hash,
            at: WallTime::default(),
            codec,
            commands: commands.iter().map(mark).collect(),
            events: adds.iter().map(event).collect(),
            timers: reminders.iter().map(reminder).collect(),
        };
        version = record.version();
        tail = Position { sequence: Sequence(3 * nth), hash: nth * 1000 };
        commits.push(StoredCommit { record, at: tail });
    }
    commits
}

fn kind(kinds: &KindRegistry) -> Arc<dyn Kind> {
    kinds.get(&ActorKind::new(Counter::KIND).expect("a kind")).expect("it is there").clone()
}

fn made(kind: &dyn Kind, lives: &Lives, known: Position, found: &Found) -> Replayed {
    match replay(kind, &ActorId::new("1").expect("an id"), Epoch(100), lives, known, found) {
        Ok(replayed) => replayed,
        Err(Refused::Quarantine(reason) | Refused::Panicked(reason)) => panic!("{reason}"),
        Err(Refused::Stale(_) | Refused::Short) => panic!("it is neither stale nor short"),
    }
}

/// Everything that an actor is made of.
fn parts(mut replayed: Replayed, codec: PayloadCodec, lives: &Lives) -> impl PartialEq + std::fmt::Debug {
    replayed.remembered.forget_gone(lives);
    let kept = replayed.instance.kept(codec, 0).expect("it can be written");
    (kept, replayed.instance.version(), replayed.tail, replayed.remembered.marks())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_snapshot_and_the_tail_make_what_the_whole_history_makes(
        said in vec(said(), 1..30), members in option::of(vec(0..6_u64, 0..6)),
    ) {
        let mut kinds = KindRegistry::new();
        kinds.register::<Counter>().expect("the counter is well defined");
        let kind = kind(&kinds);
        let lives = Lives(members.map(|lives| Arc::new(lives.into_iter().map(Incarnation).collect::<BTreeSet<_>>())));
        for codec in [PayloadCodec::Json, PayloadCodec::Binary] {
            let commits = history(codec, &said);
            let known = commits.last().expect("there is one").at;
            let found = |snapshot, commits: &[StoredCommit]| Found { snapshot, commits: commits.to_vec() };
            let whole = parts(made(&*kind, &lives, known, &found(None, &commits)), codec, &lives);
            for (cut, last) in commits.iter().enumerate() {
                let so_far = made(&*kind, &lives, Position::default(), &found(None, &commits[..=cut]));
                let Kept { state, timers } = so_far.instance.kept(codec, 0).expect("it can be written");
                let (origins, messages) = so_far.remembered.marks();
                let snapshot = ActorSnapshot {
                    at: last.at,
                    version: last.record.version(),
                    shard_epoch: last.record.shard_epoch,
                    schema: Counter::SNAPSHOT,
                    codec,
                    state,
                    origins,
                    messages,
                    timers,
                };
                let rest = found(Some(Box::new(snapshot)), &commits[cut..]);
                let cut_there = parts(made(&*kind, &lives, known, &rest), codec, &lives);
                prop_assert!(cut_there == whole, "cut behind record {cut}:\n{cut_there:?}\n{whole:?}");
            }
        }
    }
}

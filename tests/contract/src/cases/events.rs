//! The event store: one history an actor, under compare-and-set on its last commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::ids::{ActorAddress, CommandId, Epoch, Incarnation, MessageId, Nonce, Sequence, Slot, Version};
use aether_domain::ports::{AppendError, AskFrame, EventStore};
use aether_domain::records::{CommandMark, CommitRecord, EventRecord, PayloadCodec, Position, StoredCommit};
use futures_util::future::join_all;

use super::{case, connect, place, winners};
use crate::samples::{NOTHING, actor, commit, first_commit, odd_commits};
use crate::settle::{self, Lost};
use crate::wait::until;
use crate::{Case, World};

/// How many rounds two connections race.
const ROUNDS: u64 = 1_000;

/// More commits than one page of any adapter holds.
const LONG_HISTORY: u64 = 300;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("events", an_actor_never_written_has_no_history),
        case!("events", an_append_names_the_last_commit_or_is_refused),
        case!("events", of_ten_owners_one_wins),
        case!("events", in_a_thousand_races_of_two_each_has_one_winner),
        case!("events", commits_of_every_shape_read_back_bit_for_bit),
        case!("events", any_text_can_be_an_actor_id),
        case!("events", histories_of_different_actors_and_kinds_never_mix),
        case!("events", namespaces_never_mix),
        case!("events", a_history_longer_than_a_page_reads_whole),
        case!("events", a_history_reads_from_any_commit),
        case!("events", a_fresh_read_sees_own_writes_at_once),
        case!("events", append_and_read_agree_on_the_chain_of_hashes),
        case!("events", commits_that_differ_in_anything_hash_differently),
        case!("events", the_largest_payload_reads_back),
        case!("events", a_commit_too_large_is_refused_before_it_is_sent),
        case!("events", many_actors_commit_at_once),
    ]
}

async fn an_actor_never_written_has_no_history(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    let read = until("a read", || async { ports.events.read(&anna, NOTHING).await.ok() }).await;
    assert_eq!(read, []);
    assert_eq!(fresh(&*ports.events, &anna, NOTHING).await, []);
    settle::commit(&*ports.events, &actor("account", "bert"), &first_commit(1), NOTHING).await.expect("is free");
    assert_eq!(fresh(&*ports.events, &anna, NOTHING).await, []);
}

async fn an_append_names_the_last_commit_or_is_refused(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let anna = actor("account", "anna");
    // Another actor's commits move the stream, not this actor's history.
    let bert = settle::commit(&*a.events, &actor("account", "bert"), &first_commit(9), NOTHING).await;
    let bert = bert.expect("nobody else commits");
    assert_eq!(settle::commit(&*a.events, &anna, &first_commit(1), bert.sequence).await, Err(Lost));
    let first = settle::commit(&*a.events, &anna, &first_commit(2), NOTHING).await.expect("anna is new");
    assert_eq!(settle::commit(&*b.events, &anna, &first_commit(3), NOTHING).await, Err(Lost));
    let second = commit(4, Version(1), first);
    let second = settle::commit(&*b.events, &anna, &second, first.sequence).await.expect("that is the last");
    assert!(second.sequence > first.sequence);
    assert_eq!(settle::commit(&*a.events, &anna, &commit(5, Version(1), first), first.sequence).await, Err(Lost));
    let ahead = second.sequence.next();
    assert_eq!(settle::commit(&*a.events, &anna, &commit(6, Version(2), second), ahead).await, Err(Lost));
    let nonces = nonces(&read_to(&*a.events, &anna, second.sequence).await);
    assert_eq!(nonces, [2, 4], "refused commits are nowhere");
}

async fn of_ten_owners_one_wins(world: Arc<dyn World>) {
    let place = place(&world).await;
    let anna = actor("account", "anna");
    let connections = join_all((0..10).map(|nth| {
        let place = &place;
        async move { connect(&**place, &format!("racer-{nth}")).await }
    }))
    .await;
    let racing = connections.iter().zip(1..).map(|(ports, nonce)| {
        let anna = &anna;
        async move { settle::commit(&*ports.events, anna, &first_commit(nonce), NOTHING).await.map(|at| (nonce, at)) }
    });
    let outcomes = join_all(racing).await;
    assert_eq!(winners(&outcomes), 1, "{outcomes:?}");
    let (nonce, at) = outcomes.into_iter().find_map(Result::ok).expect("one won");
    let history = read_to(&*connections[0].events, &anna, at.sequence).await;
    assert_eq!(history, [StoredCommit { record: first_commit(nonce), at }]);
}

async fn in_a_thousand_races_of_two_each_has_one_winner(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let anna = actor("account", "anna");
    let mut tail = Position::default();
    for round in 0..ROUNDS {
        let of_a = commit(2 * round + 1, Version(round), tail);
        let of_b = commit(2 * round + 2, Version(round), tail);
        let racing = (
            settle::commit(&*a.events, &anna, &of_a, tail.sequence),
            settle::commit(&*b.events, &anna, &of_b, tail.sequence),
        );
        tail = match tokio::join!(racing.0, racing.1) {
            (Ok(at), Err(Lost)) | (Err(Lost), Ok(at)) => at,
            other => panic!("round {round} ended {other:?}"),
        };
    }
    let history = read_to(&*a.events, &anna, tail.sequence).await;
    assert_eq!(history.len() as u64, ROUNDS, "one commit a round");
    chained(&history);
}

async fn commits_of_every_shape_read_back_bit_for_bit(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let anna = actor("account", "anna");
    let mut written: Vec<StoredCommit> = vec![];
    for record in odd_commits() {
        let before = written.last().map_or(Position::default(), |stored| stored.at);
        let base = written.last().map_or(Version::ZERO, |stored| stored.record.version());
        let record = CommitRecord { base, prev_sequence: before.sequence, prev_hash: before.hash, ..record };
        let at = settle::commit(&*writer.events, &anna, &record, before.sequence).await.expect("nobody else commits");
        written.push(StoredCommit { record, at });
    }
    let tail = written.last().map_or(NOTHING, |stored| stored.at.sequence);
    assert_eq!(read_to(&*reader.events, &anna, tail).await, written);
    assert_eq!(fresh(&*reader.events, &anna, NOTHING).await, written);
}

async fn any_text_can_be_an_actor_id(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut ids: Vec<String> = (0..=127u8).map(|byte| char::from(byte).to_string()).collect();
    ids.extend((0..=127u8).map(|byte| format!("a{}b", char::from(byte))));
    ids.extend(
        ["=", "==", "=YQ", "YQ", "a.b", "a..b", ".", ">", "*", "$JS", "a b", "\u{fc}ber", "\u{1f980}"]
            .map(String::from),
    );
    ids.extend(["x".repeat(128), ".".repeat(128), "\u{1f980}".repeat(32), "\u{0}".repeat(128)]);
    ids.sort();
    ids.dedup();
    let writing = ids.iter().zip(1..).map(|(id, nonce)| {
        let events = ports.events.clone();
        async move {
            let written = settle::commit(&*events, &actor("odd", id), &first_commit(nonce), NOTHING).await;
            written.unwrap_or_else(|Lost| panic!("{id:?} shares a history with another id"))
        }
    });
    let written = join_all(writing).await;
    for ((id, nonce), at) in ids.iter().zip(1..).zip(written) {
        let history = read_to(&*ports.events, &actor("odd", id), at.sequence).await;
        assert_eq!(history, [StoredCommit { record: first_commit(nonce), at }], "of {id:?}");
    }
}

async fn histories_of_different_actors_and_kinds_never_mix(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let elsewhere = ActorAddress { slot: Slot(0xffff), ..actor("account", "anna") };
    let actors = [
        actor("account", "anna"),
        actor("account", "ann"),
        actor("account", "anna2"),
        actor("transfer", "anna"),
        actor("a", "account"),
        actor("account", "a.nna"),
        elsewhere,
    ];
    let mut tails = vec![Position::default(); actors.len()];
    let count = actors.len() as u64;
    for round in 0..5 {
        for ((actor, tail), nth) in actors.iter().zip(&mut tails).zip(0..) {
            let record = commit(round * count + nth + 1, Version(round), *tail);
            *tail = settle::commit(&*ports.events, actor, &record, tail.sequence).await.expect("has its own history");
        }
    }
    for ((actor, tail), nth) in actors.iter().zip(&tails).zip(0..) {
        let history = read_to(&*ports.events, actor, tail.sequence).await;
        let own: Vec<_> = (0..5).map(|round| round * count + nth + 1).collect();
        assert_eq!(nonces(&history), own, "of {actor:?}");
        chained(&history);
    }
}

async fn namespaces_never_mix(world: Arc<dyn World>) {
    let (one, two) = (place(&world).await, place(&world).await);
    assert_ne!(one.namespace(), two.namespace());
    let (in_one, in_two) = (connect(&*one, "a").await, connect(&*two, "a").await);
    let anna = actor("account", "anna");
    settle::commit(&*in_one.events, &anna, &first_commit(1), NOTHING).await.expect("is free");
    assert_eq!(fresh(&*in_two.events, &anna, NOTHING).await, []);
    let at = settle::commit(&*in_two.events, &anna, &first_commit(2), NOTHING).await.expect("is free there too");
    assert_eq!(nonces(&read_to(&*in_two.events, &anna, at.sequence).await), [2]);
    assert_eq!(nonces(&fresh(&*in_one.events, &anna, NOTHING).await), [1]);
}

async fn a_history_longer_than_a_page_reads_whole(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    let written = append_many(&*ports.events, &anna, LONG_HISTORY).await;
    let tail = written.last().map_or(NOTHING, |stored| stored.at.sequence);
    assert_eq!(read_to(&*ports.events, &anna, tail).await, written);
    assert_eq!(fresh(&*ports.events, &anna, NOTHING).await, written);
}

async fn a_history_reads_from_any_commit(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let (anna, bert) = (actor("account", "anna"), actor("account", "bert"));
    let bert_before = append_many(&*ports.events, &bert, 3).await;
    let written = append_many(&*ports.events, &anna, 12).await;
    let tail = written[11].at.sequence;
    read_to(&*ports.events, &anna, tail).await;
    for behind in 0..=12 {
        let after = if behind == 0 { NOTHING } else { written[behind - 1].at.sequence };
        let read = fresh(&*ports.events, &anna, after).await;
        assert_eq!(read, written[behind..], "from behind commit {behind}");
    }
    // A position between this actor's commits is as good as any.
    let between = bert_before[2].at.sequence;
    assert_eq!(fresh(&*ports.events, &anna, between).await, written);
    assert_eq!(fresh(&*ports.events, &anna, Sequence(tail.0 + 9)).await, []);
}

async fn a_fresh_read_sees_own_writes_at_once(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    let mut tail = Position::default();
    for nth in 0..50 {
        let record = commit(nth + 1, Version(nth), tail);
        tail = settle::commit(&*ports.events, &anna, &record, tail.sequence).await.expect("nobody else commits");
        let read = fresh(&*ports.events, &anna, NOTHING).await;
        assert_eq!(read.last().map(|stored| stored.at), Some(tail), "after commit {nth}");
    }
}

async fn append_and_read_agree_on_the_chain_of_hashes(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let anna = actor("account", "anna");
    let written = append_many(&*writer.events, &anna, 20).await;
    chained(&written);
    assert_eq!(read_to(&*reader.events, &anna, written[19].at.sequence).await, written);
}

async fn commits_that_differ_in_anything_hash_differently(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let plain = || {
        let id = CommandId { origin: Incarnation(1), sequence: 1 };
        let mark = CommandMark { id, floor: 1, message: None, reply: "null".into() };
        CommitRecord { commands: vec![mark], ..first_commit(1) }
    };
    let changes: Vec<fn(&mut CommitRecord)> = vec![
        |_| {},
        |record| record.shard_epoch = Epoch(2),
        |record| record.owner = Incarnation(8),
        |record| record.nonce = Nonce(2),
        |record| record.base = Version(1),
        |record| record.prev_sequence = Sequence(1),
        |record| record.prev_hash = 1,
        |record| record.at.unix_millis += 1,
        |record| record.codec = PayloadCodec::Binary,
        |record| record.commands.clear(),
        |record| record.commands[0].id.origin = Incarnation(2),
        |record| record.commands[0].id.sequence = 2,
        |record| record.commands[0].floor = 0,
        |record| record.commands[0].message = Some(MessageId(0)),
        |record| record.commands[0].message = Some(MessageId(1)),
        |record| record.commands[0].reply = "true".into(),
        |record| record.commands.push(record.commands[0].clone()),
        |record| record.events.clear(),
        |record| record.events[0].schema = 2,
        |record| record.events[0].payload = "null".into(),
        |record| record.events.push(record.events[0].clone()),
    ];
    let mut hashes = BTreeMap::new();
    for (nth, change) in changes.iter().enumerate() {
        let mut record = plain();
        change(&mut record);
        let actor = actor("account", &format!("acc-{nth}"));
        let at = settle::commit(&*ports.events, &actor, &record, NOTHING).await.expect("nobody else commits");
        let same = hashes.insert(at.hash, record.clone());
        assert_eq!(same, None, "hashes like {record:?}");
    }
}

async fn the_largest_payload_reads_back(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    let bytes: Vec<u8> = (0..AskFrame::PAYLOAD_BYTES_MAX).map(|nth| (nth * 31 % 251) as u8).collect();
    let record = CommitRecord {
        codec: PayloadCodec::Binary,
        events: vec![EventRecord { schema: 1, name: "".into(), payload: bytes.into() }],
        ..first_commit(1)
    };
    let at = settle::commit(&*ports.events, &anna, &record, NOTHING).await.expect("nobody else commits");
    let history = read_to(&*ports.events, &anna, at.sequence).await;
    assert!(history == [StoredCommit { record, at }], "what was read is not what was written");
}

async fn a_commit_too_large_is_refused_before_it_is_sent(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    for codec in [PayloadCodec::Json, PayloadCodec::Binary] {
        let payload = format!("\"{}\"", "x".repeat(CommitRecord::BYTES_MAX)).into();
        let events = vec![EventRecord { schema: 1, name: "".into(), payload }];
        let refused = ports.events.append(&anna, &CommitRecord { codec, events, ..first_commit(1) }, NOTHING).await;
        assert!(
            matches!(refused, Err(AppendError::TooLarge { bytes, bytes_max })
                if bytes > bytes_max && bytes_max == CommitRecord::BYTES_MAX),
            "{codec:?}: {refused:?}"
        );
    }
    settle::commit(&*ports.events, &anna, &first_commit(2), NOTHING).await.expect("nothing was stored");
}

async fn many_actors_commit_at_once(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let actors: Vec<_> = (0..40).map(|nth| actor("account", &format!("acc-{nth}"))).collect();
    let histories = join_all(actors.iter().map(|actor| append_many(&*ports.events, actor, 5))).await;
    for (actor, written) in actors.iter().zip(histories) {
        assert_eq!(read_to(&*ports.events, actor, written[4].at.sequence).await, written);
        chained(&written);
    }
}

/// Appends so many commits, each naming the one before.
async fn append_many(events: &dyn EventStore, actor: &ActorAddress, count: u64) -> Vec<StoredCommit> {
    let mut written: Vec<StoredCommit> = vec![];
    for nth in 0..count {
        let before = written.last().map_or(Position::default(), |stored| stored.at);
        let record = commit(nth + 1, Version(nth), before);
        let at = settle::commit(events, actor, &record, before.sequence).await.expect("nobody else commits");
        written.push(StoredCommit { record, at });
    }
    written
}

/// The whole history, once it is readable up to `tail`.
pub(super) async fn read_to(events: &dyn EventStore, actor: &ActorAddress, tail: Sequence) -> Vec<StoredCommit> {
    let look = || async {
        let history = events.read(actor, NOTHING).await.ok()?;
        (history.last()?.at.sequence >= tail).then_some(history)
    };
    until("a history to be readable to its end", look).await
}

/// What the stream's leader says, once there is one.
async fn fresh(events: &dyn EventStore, actor: &ActorAddress, after: Sequence) -> Vec<StoredCommit> {
    until("a fresh read", || async { events.read_fresh(actor, after).await.ok() }).await
}

pub(super) fn nonces(history: &[StoredCommit]) -> Vec<u64> {
    history.iter().map(|stored| stored.record.nonce.0).collect()
}

fn chained(history: &[StoredCommit]) {
    let mut before = Position::default();
    for stored in history {
        assert_eq!(stored.record.prev_sequence, before.sequence);
        assert_eq!(stored.record.prev_hash, before.hash, "at {}", stored.at.sequence);
        assert!(stored.at.sequence > before.sequence);
        assert_ne!(stored.at.hash, 0);
        before = stored.at;
    }
}

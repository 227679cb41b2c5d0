//! The topology log: one ordered stream under compare-and-set on its tail.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::cluster::ClusterEvent;
use aether_domain::ids::{ClusterUid, Epoch, Incarnation, Nonce, Sequence, Term};
use aether_domain::ports::{AppendError, LogUpdate, TopologyLog, Updates};
use aether_domain::records::{Entry, Position, StoredEntry};
use aether_domain::testing::life;
use futures_util::future::join_all;

use super::{case, connect, place, winners};
use crate::samples::{NOTHING, entry, odd_entry};
use crate::settle::{self, Lost};
use crate::wait::{next, until};
use crate::{Case, World};

/// How many rounds two connections race.
const ROUNDS: u64 = 1_000;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("log", an_empty_log_reads_as_nothing),
        case!("log", an_append_names_the_tail_or_is_refused),
        case!("log", a_log_that_is_empty_refuses_any_other_tail),
        case!("log", of_ten_who_append_one_wins),
        case!("log", in_a_thousand_races_of_two_each_has_one_winner),
        case!("log", pages_follow_each_other_without_gap),
        case!("log", a_follower_begins_anywhere_and_goes_on),
        case!("log", append_read_and_follow_agree_on_the_chain_of_hashes),
        case!("log", entries_that_differ_in_anything_hash_differently),
        case!("log", an_entry_of_every_event_reads_back_bit_for_bit),
        case!("log", an_entry_too_large_is_refused_before_it_is_sent),
    ]
}

async fn an_empty_log_reads_as_nothing(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    assert_eq!(read_behind(&*ports.log, NOTHING).await, []);
}

async fn an_append_names_the_tail_or_is_refused(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let first = settle::append(&*a.log, &entry(1, Position::default()), NOTHING).await.expect("nobody else appends");
    assert_eq!(settle::append(&*b.log, &entry(2, Position::default()), NOTHING).await, Err(Lost));
    let second = settle::append(&*b.log, &entry(3, first), first.sequence).await.expect("that is the tail");
    assert!(second.sequence > first.sequence);
    assert_eq!(settle::append(&*a.log, &entry(4, first), first.sequence).await, Err(Lost));
    assert_eq!(settle::append(&*a.log, &entry(5, second), second.sequence.next()).await, Err(Lost));
    let entries = read_to(&*a.log, NOTHING, second.sequence).await;
    let nonces: Vec<_> = entries.iter().map(|stored| stored.entry.nonce.0).collect();
    assert_eq!(nonces, [1, 3], "refused entries are nowhere");
}

async fn a_log_that_is_empty_refuses_any_other_tail(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    for tail in [1, 2, 1 << 40] {
        let refused = settle::append(&*ports.log, &entry(1, Position::default()), Sequence(tail)).await;
        assert_eq!(refused, Err(Lost), "there is nothing at {tail}");
    }
    settle::append(&*ports.log, &entry(2, Position::default()), NOTHING).await.expect("the log is still empty");
}

async fn of_ten_who_append_one_wins(world: Arc<dyn World>) {
    let place = place(&world).await;
    let connections = join_all((0..10).map(|nth| {
        let place = &place;
        async move { connect(&**place, &format!("racer-{nth}")).await }
    }))
    .await;
    let racing = connections.iter().zip(1..).map(|(ports, nonce)| async move {
        settle::append(&*ports.log, &entry(nonce, Position::default()), NOTHING).await.map(|at| (nonce, at))
    });
    let outcomes = join_all(racing).await;
    assert_eq!(winners(&outcomes), 1, "{outcomes:?}");
    let (nonce, at) = outcomes.into_iter().find_map(Result::ok).expect("one won");
    let entries = read_to(&*connections[0].log, NOTHING, at.sequence).await;
    assert_eq!(entries, [StoredEntry { entry: entry(nonce, Position::default()), at }]);
}

async fn in_a_thousand_races_of_two_each_has_one_winner(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut tail = Position::default();
    for round in 0..ROUNDS {
        let (of_a, of_b) = (entry(2 * round + 1, tail), entry(2 * round + 2, tail));
        let racing = (settle::append(&*a.log, &of_a, tail.sequence), settle::append(&*b.log, &of_b, tail.sequence));
        tail = match tokio::join!(racing.0, racing.1) {
            (Ok(at), Err(Lost)) | (Err(Lost), Ok(at)) => at,
            other => panic!("round {round} ended {other:?}"),
        };
    }
    let entries = read_to(&*a.log, NOTHING, tail.sequence).await;
    assert_eq!(entries.len() as u64, ROUNDS, "one entry a round");
    chained(&entries);
}

async fn pages_follow_each_other_without_gap(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let written = append_many(&*ports.log, 50).await;
    for limit in [1, 7, 50, 1000] {
        let mut read: Vec<StoredEntry> = vec![];
        while read.len() < written.len() {
            let after = read.last().map_or(NOTHING, |stored| stored.at.sequence);
            let page = until("the next page", || async {
                ports.log.read(after, limit).await.ok().filter(|page| !page.is_empty())
            });
            let page = page.await;
            assert!(page.len() <= limit, "{} entries where {limit} were asked for", page.len());
            read.extend(page);
        }
        assert_eq!(read, written, "in pages of {limit}");
    }
    let tail = written[49].at.sequence;
    assert_eq!(read_behind(&*ports.log, tail).await, []);
    assert_eq!(read_behind(&*ports.log, Sequence(tail.0 + 5)).await, []);
}

async fn a_follower_begins_anywhere_and_goes_on(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut written = append_many(&*writer.log, 10).await;
    let mut followers = vec![];
    for behind in [0, 1, 5, 10] {
        let after = if behind == 0 { NOTHING } else { written[behind - 1].at.sequence };
        followers.push((behind, reader.log.follow(after).await.expect("a follower begins")));
    }
    for nonce in 11..=30 {
        let before = written.last().map_or(Position::default(), |stored| stored.at);
        let entry = entry(nonce, before);
        let at = settle::append(&*writer.log, &entry, before.sequence).await.expect("nobody else appends");
        written.push(StoredEntry { entry, at });
    }
    for (behind, mut updates) in followers {
        let told = follow_to(&mut updates, written[29].at.sequence).await;
        assert_eq!(told, written[behind..], "from behind entry {behind}");
    }
}

async fn append_read_and_follow_agree_on_the_chain_of_hashes(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let written = append_many(&*writer.log, 20).await;
    let tail = written[19].at.sequence;
    chained(&written);
    assert_eq!(read_to(&*reader.log, NOTHING, tail).await, written);
    let mut updates = reader.log.follow(NOTHING).await.expect("a follower begins");
    assert_eq!(follow_to(&mut updates, tail).await, written);
}

async fn entries_that_differ_in_anything_hash_differently(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let changes: Vec<fn(&mut Entry)> = vec![
        |_| {},
        |entry| entry.cluster = ClusterUid(2),
        |entry| entry.epoch = Epoch(9),
        |entry| entry.term = Term(9),
        |entry| entry.leader = life("b", 1),
        |entry| entry.leader.incarnation = Incarnation(9),
        |entry| entry.nonce = Nonce(9),
        |entry| entry.prev_hash = 9,
        |entry| entry.cause.push('!'),
        |entry| entry.at.unix_millis += 1,
        |entry| entry.events.push(entry.events[0].clone()),
        |entry| entry.events[0] = ClusterEvent::NodeLeft { node: life("a", 1) }.into(),
    ];
    let (mut hashes, mut tail) = (BTreeMap::new(), NOTHING);
    for change in changes {
        let mut record = entry(1, Position::default());
        change(&mut record);
        // The nonce may be there already, so this is not settled by it.
        let at = until("an entry to be appended", || async { ports.log.append(&record, tail).await.ok() }).await;
        tail = at.sequence;
        let same = hashes.insert(at.hash, record.clone());
        assert_eq!(same, None, "hashes like {record:?}");
    }
}

async fn an_entry_of_every_event_reads_back_bit_for_bit(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let odd = odd_entry(Position::default());
    let at = settle::append(&*writer.log, &odd, NOTHING).await.expect("nobody else appends");
    assert_eq!(read_to(&*reader.log, NOTHING, at.sequence).await, [StoredEntry { entry: odd, at }]);
}

async fn an_entry_too_large_is_refused_before_it_is_sent(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut large = entry(1, Position::default());
    large.cause = "x".repeat(2 * 1024 * 1024);
    let refused = ports.log.append(&large, NOTHING).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { bytes, bytes_max }) if bytes > bytes_max), "{refused:?}");
    settle::append(&*ports.log, &entry(2, Position::default()), NOTHING).await.expect("the log is still empty");
}

/// Appends so many entries, each naming the hash of the one before.
async fn append_many(log: &dyn TopologyLog, count: u64) -> Vec<StoredEntry> {
    let mut written: Vec<StoredEntry> = vec![];
    for nonce in 1..=count {
        let before = written.last().map_or(Position::default(), |stored| stored.at);
        let entry = entry(nonce, before);
        let at = settle::append(log, &entry, before.sequence).await.expect("nobody else appends");
        written.push(StoredEntry { entry, at });
    }
    written
}

/// Some of what is behind `after`, once the log is readable.
async fn read_behind(log: &dyn TopologyLog, after: Sequence) -> Vec<StoredEntry> {
    until("a read", || async { log.read(after, 10).await.ok() }).await
}

/// Everything behind `after` up to `tail`, once it is readable.
async fn read_to(log: &dyn TopologyLog, after: Sequence, tail: Sequence) -> Vec<StoredEntry> {
    let look = || async {
        let entries = log.read(after, 10_000).await.ok()?;
        (entries.last()?.at.sequence >= tail).then_some(entries)
    };
    until("the log to be readable to its tail", look).await
}

/// What a follower is told up to `tail`, doubles left out.
async fn follow_to(updates: &mut Updates<LogUpdate>, tail: Sequence) -> Vec<StoredEntry> {
    let mut told: Vec<StoredEntry> = vec![];
    while told.last().is_none_or(|last| last.at.sequence < tail) {
        match next("the next entry", updates).await {
            LogUpdate::Entry(stored) => {
                if told.last().is_none_or(|last| last.at.sequence < stored.at.sequence) {
                    told.push(stored);
                }
            }
            LogUpdate::Corrupt { sequence, reason } => panic!("the entry at {sequence} is corrupt: {reason}"),
        }
    }
    told
}

fn chained(entries: &[StoredEntry]) {
    let mut before = Position::default();
    for stored in entries {
        assert_eq!(stored.entry.prev_hash, before.hash, "at {}", stored.at.sequence);
        assert!(stored.at.sequence > before.sequence);
        assert_ne!(stored.at.hash, 0);
        before = stored.at;
    }
}

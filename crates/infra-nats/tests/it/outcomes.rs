//! What became of a write: stored, conflict, unknown or certainly not stored, and never one for another.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use aether_domain::ports::{AppendError, Expected, ReadError, WriteError};
use aether_domain::records::{CommitRecord, ControlKey, PayloadCodec};
use aether_domain::{Revision, Sequence};
use aether_infra_nats::{NatsConfig, connect};

use crate::support::{
    LeaderGets, actor, commit, config, entry, eventually, freeze, lease, namespace, ports, server, stranger,
};

#[tokio::test]
async fn a_conflict_names_the_actual_sequence() {
    let server = server();
    let ports = ports(&server).await;
    let first = ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect("an empty log");
    let late = ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect_err("somebody was first");
    assert!(matches!(late, AppendError::Conflict { actual: Some(at), .. } if at == first.sequence), "{late:?}");
    let ahead = ports.log.append(&entry(2, 0), Sequence(9)).await.expect_err("there is no such entry");
    assert!(matches!(ahead, AppendError::Conflict { actual: Some(at), .. } if at == first.sequence), "{ahead:?}");
    let revision = ports.control.write(&lease(1), Expected::Absent).await.expect("the first lease");
    let taken = ports.control.write(&lease(2), Expected::Absent).await.expect_err("taken");
    assert!(matches!(taken, WriteError::Conflict { actual: Some(at) } if at == revision), "{taken:?}");
    assert!(ports.control.write(&lease(2), Expected::At(revision)).await.is_ok());
}

#[tokio::test]
async fn a_commit_names_the_last_sequence_of_its_own_actor_only() {
    let server = server();
    let ports = ports(&server).await;
    let (alice, bob) = (actor("alice"), actor("al ice"));
    let a1 = ports.events.append(&alice, &commit(0, Sequence::ZERO, "1"), Sequence::ZERO).await.expect("a first");
    let b1 = ports.events.append(&bob, &commit(0, Sequence::ZERO, "2"), Sequence::ZERO).await.expect("another first");
    let a2 = ports.events.append(&alice, &commit(1, a1.sequence, "3"), a1.sequence).await.expect("a second");
    assert_eq!((a1.sequence, b1.sequence, a2.sequence), (Sequence(1), Sequence(2), Sequence(3)));
    for read in [ports.events.read(&alice, Sequence::ZERO).await, ports.events.read_fresh(&alice, Sequence(0)).await] {
        let read = read.expect("a history");
        assert_eq!(read.iter().map(|commit| commit.at).collect::<Vec<_>>(), [a1, a2]);
    }
    let behind = ports.events.read(&alice, a1.sequence).await.expect("a history");
    assert_eq!(behind.len(), 1);
    assert!(ports.events.read(&actor("nobody"), Sequence::ZERO).await.expect("no history").is_empty());
    assert!(ports.events.read(&alice, a2.sequence).await.expect("no more").is_empty());
    assert!(ports.events.read_fresh(&alice, a2.sequence).await.expect("no more").is_empty());
}

#[tokio::test]
async fn a_long_history_comes_whole_and_in_order_from_both_readers() {
    const COMMITS: u64 = 1_300;
    let server = server();
    let ports = ports(&server).await;
    let (alice, bob) = (actor("alice"), actor("bob"));
    let mut after = Sequence::ZERO;
    let mut positions = Vec::new();
    for base in 0..COMMITS {
        let payload = format!("\"{}\"", "x".repeat((base % 7 * 100) as usize));
        let at = ports.events.append(&alice, &commit(base, after, payload), after).await.expect("sequential");
        after = at.sequence;
        positions.push(at);
        if base % 100 == 0 {
            let end = ports.events.read_fresh(&bob, Sequence::ZERO).await.expect("a history");
            let end = end.last().map_or(Sequence::ZERO, |commit| commit.at.sequence);
            ports.events.append(&bob, &commit(base, end, "0"), end).await.expect("sequential");
        }
    }
    let mut gets = LeaderGets::of(&server).await;
    let read = ports.events.read(&alice, Sequence::ZERO).await;
    assert_eq!(gets.count().await, 0, "it came in batches");
    let fresh = ports.events.read_fresh(&alice, Sequence::ZERO).await;
    let asked = gets.count().await;
    assert!((1..=10).contains(&asked), "the leader says where it ends, not every commit: {asked} requests");
    for read in [read, fresh] {
        let read = read.expect("a history");
        assert_eq!(read.iter().map(|commit| commit.at).collect::<Vec<_>>(), positions);
        assert!(read.iter().zip(0..).all(|(commit, base)| commit.record.base.0 == base));
    }
}

#[tokio::test]
async fn large_commits_fill_several_batches_by_their_bytes() {
    let server = server();
    let ports = ports(&server).await;
    let alice = actor("alice");
    let payload = format!("\"{}\"", "x".repeat(700 * 1024));
    let mut after = Sequence::ZERO;
    for base in 0..30 {
        let record = commit(base, after, payload.clone());
        after = ports.events.append(&alice, &record, after).await.expect("it fits").sequence;
    }
    let mut gets = LeaderGets::of(&server).await;
    assert_eq!(ports.events.read(&alice, Sequence::ZERO).await.expect("a history").len(), 30);
    assert_eq!(gets.count().await, 0, "every batch was whole");
    let record = commit(30, after, format!("\"{}\"", "x".repeat(CommitRecord::BYTES_MAX)));
    for codec in [PayloadCodec::Json, PayloadCodec::Binary] {
        let large = ports.events.append(&alice, &CommitRecord { codec, ..record.clone() }, after).await;
        assert!(matches!(large, Err(AppendError::TooLarge { bytes_max: CommitRecord::BYTES_MAX, .. })), "{large:?}");
    }
    assert_eq!(ports.events.read_fresh(&alice, Sequence(29)).await.expect("a history").len(), 1, "nothing was added");
}

#[tokio::test]
async fn of_racing_appends_one_is_stored_and_the_others_conflict() {
    let server = server();
    let ports = ports(&server).await;
    for base in 0..20 {
        let after = ports.events.read_fresh(&actor("a"), Sequence::ZERO).await.expect("a history");
        let after = after.last().map_or(Sequence::ZERO, |commit| commit.at.sequence);
        let racing = (0..8).map(|_| {
            let events = ports.events.clone();
            tokio::spawn(async move { events.append(&actor("a"), &commit(base, after, "1"), after).await })
        });
        let mut stored = 0;
        for one in racing.collect::<Vec<_>>() {
            match one.await.expect("no panic") {
                Ok(_) => stored += 1,
                Err(AppendError::Conflict { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(stored, 1);
    }
}

#[tokio::test]
async fn a_write_into_a_frozen_server_is_unknown_and_may_land_later() {
    let server = server();
    let impatient = NatsConfig { request_timeout: Duration::from_secs(2), ..config(server.url()) };
    let ports = connect(&impatient, &namespace()).await.expect("ports");
    freeze(&server);
    let unknown = ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect_err("no answer");
    assert!(matches!(unknown, AppendError::Unknown { .. }), "{unknown:?}");
    let unknown = ports.control.write(&lease(1), Expected::Absent).await.expect_err("no answer");
    assert!(matches!(unknown, WriteError::Unknown { .. }), "{unknown:?}");
    assert!(matches!(ports.control.read(&ControlKey::Lease).await, Err(ReadError::Unavailable { .. })));
    server.cont().expect("it is frozen");
    let landed = eventually("the ghost", async || {
        let entries = ports.log.read(Sequence::ZERO, 10).await.unwrap_or_default();
        entries.into_iter().next()
    });
    assert_eq!(landed.await.entry, entry(1, 0), "a write of unknown outcome did land");
    let again = eventually("an answer", async || match ports.log.append(&entry(1, 0), Sequence::ZERO).await {
        Err(AppendError::Unknown { .. } | AppendError::Unavailable { .. }) => None,
        outcome => Some(outcome.expect_err("ours was first")),
    });
    let again = again.await;
    assert!(matches!(again, AppendError::Conflict { actual: Some(Sequence(1)), .. }), "{again:?}");
}

#[tokio::test]
async fn nothing_is_sent_while_the_server_is_away() {
    let mut server = server();
    let ports = ports(&server).await;
    ports.control.write(&lease(1), Expected::Absent).await.expect("the first lease");
    server.kill().expect("it ran");
    eventually("the loss to be noticed", async || (!ports.session.is_connected()).then_some(())).await;
    let refused = ports.control.write(&lease(2), Expected::At(Revision(1))).await.expect_err("away");
    assert!(matches!(refused, WriteError::Unavailable { .. }), "{refused:?}");
    let refused = ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect_err("away");
    assert!(matches!(refused, AppendError::Unavailable { .. }), "{refused:?}");
    assert!(matches!(ports.control.watch().await.err(), Some(ReadError::Unavailable { .. })));
    assert!(matches!(ports.log.follow(Sequence::ZERO).await.err(), Some(ReadError::Unavailable { .. })));
    assert!(matches!(ports.events.read(&actor("a"), Sequence::ZERO).await, Err(ReadError::Unavailable { .. })));
    server.restart().expect("it comes back");
    eventually("the connection", async || ports.session.is_connected().then_some(())).await;
    let lease = eventually("a read", async || ports.control.read(&ControlKey::Lease).await.ok().flatten()).await;
    assert_eq!(lease.record, crate::support::lease(1), "the refused write was not queued");
    assert!(ports.log.read(Sequence::ZERO, 10).await.expect("a log").is_empty(), "nor was this one");
}

#[tokio::test]
async fn a_write_whose_connection_breaks_in_flight_is_unknown_before_its_time_out() {
    let mut server = server();
    let patient = NatsConfig { request_timeout: Duration::from_secs(25), ..config(server.url()) };
    let ports = connect(&patient, &namespace()).await.expect("ports");
    freeze(&server);
    let first = entry(1, 0);
    let mut append = ports.log.append(&first, Sequence::ZERO);
    // Polled once, it has been handed to the connection and waits for the acknowledgement.
    let waits = poll_fn(|context| Poll::Ready(append.as_mut().poll(context).is_pending())).await;
    assert!(waits, "a frozen server acknowledges nothing");
    server.kill().expect("it ran");
    let ended = tokio::time::timeout(Duration::from_secs(15), append).await.expect("long before the time-out");
    let unknown = ended.expect_err("no answer");
    assert!(matches!(unknown, AppendError::Unknown { .. }), "{unknown:?}");
}

#[tokio::test]
async fn a_full_store_refuses_and_forgets_nothing() {
    let server = server();
    let ports = ports(&server).await;
    let js = stranger(&server).await;
    let mut limited = js.get_stream("AETHER_t_EVT_0").await.expect("it exists").cached_info().config.clone();
    limited.max_bytes = 4096;
    js.update_stream(limited).await.expect("an operator may limit a stream");
    let (alice, mut after, mut stored) = (actor("alice"), Sequence::ZERO, 0);
    let full = loop {
        match ports.events.append(&alice, &commit(stored, after, format!("\"{}\"", "x".repeat(500))), after).await {
            Ok(at) => (after, stored) = (at.sequence, stored + 1),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, AppendError::Unavailable { .. }), "{full:?}");
    assert_eq!(ports.events.read(&alice, Sequence::ZERO).await.expect("a history").len() as u64, stored);
}

#[tokio::test]
async fn without_its_stream_a_write_is_refused_and_not_unknown() {
    let server = server();
    let ports = ports(&server).await;
    stranger(&server).await.delete_stream("AETHER_t_TOP").await.expect("a vandal");
    let refused = ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect_err("no stream");
    assert!(matches!(refused, AppendError::Unavailable { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_log_of_thousands_is_read_in_order_and_up_to_a_limit() {
    const ENTRIES: u64 = 2_000;
    let server = server();
    let ports = ports(&server).await;
    let mut hash = 0;
    for epoch in 1..=ENTRIES {
        hash = ports.log.append(&entry(epoch, hash), Sequence(epoch - 1)).await.expect("sequential").hash;
    }
    let all = ports.log.read(Sequence::ZERO, usize::MAX).await.expect("a log");
    assert_eq!(all.len() as u64, ENTRIES);
    let mut previous = 0;
    for (stored, epoch) in all.iter().zip(1..) {
        assert_eq!((stored.entry.epoch.0, stored.at.sequence.0, stored.entry.prev_hash), (epoch, epoch, previous));
        previous = stored.at.hash;
    }
    let some = ports.log.read(Sequence(10), 5).await.expect("a log");
    assert_eq!(some, all[10..15]);
    assert!(ports.log.read(Sequence(ENTRIES), 5).await.expect("a log").is_empty());
    assert!(ports.log.read(Sequence(ENTRIES + 7), 5).await.expect("a log").is_empty());
}

//! Watches and feeds across the death of a server: told, healed, nothing missed.

use std::collections::BTreeMap;

use aether_domain::journal::{AppendFailed, Draft, Head, Journal, stream};
use aether_domain::ports::{ControlUpdate, Expected, LogUpdate, StartAt, Whose};
use aether_domain::records::{ControlKey, ControlRecord, EventRecord, PayloadCodec, StoredRecord};
use aether_domain::{Incarnation, Revision, Sequence, WallTime};
use futures_util::StreamExt;

use crate::support::{config, entry, eventually, freeze, lease, member, namespace, next, ports, server, until, within};

fn heartbeat(stored: &StoredRecord) -> u64 {
    match &stored.record {
        ControlRecord::Member(member) => member.heartbeat,
        _ => 0,
    }
}

fn record(update: &ControlUpdate) -> Option<StoredRecord> {
    match update {
        ControlUpdate::Record(stored) => Some(stored.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_that_it_is_all_then_what_comes() {
    let server = server();
    let ports = ports(&server).await;
    let mut empty = ports.control.watch().await.expect("a watch");
    assert_eq!(next(&mut empty).await, ControlUpdate::CaughtUp);
    let lease_at = ports.control.write(&lease(1), Expected::Absent).await.expect("written");
    let first = ports.control.write(&member("n1", 1), Expected::Absent).await.expect("written");
    ports.control.write(&member("n1", 2), Expected::At(first)).await.expect("written");
    let mut watch = ports.control.watch().await.expect("a watch");
    let mut listed = BTreeMap::new();
    until(&mut watch, |update| match update {
        ControlUpdate::Record(stored) => {
            listed.insert(stored.record.key(), stored.clone());
            None
        }
        ControlUpdate::CaughtUp => Some(()),
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[&ControlKey::Lease], StoredRecord { record: lease(1), revision: lease_at });
    assert_eq!(listed[&member("n1", 0).key()].record, member("n1", 2));
    ports.control.write(&lease(2), Expected::At(lease_at)).await.expect("written");
    for watch in [&mut watch, &mut empty] {
        until(watch, |update| record(update).filter(|stored| stored.record == lease(2))).await;
    }
}

#[tokio::test]
async fn a_watch_survives_a_killed_server_and_misses_nothing() {
    let mut server = server();
    let (watcher, writer) = (ports(&server).await, ports(&server).await);
    let mut revision = writer.control.write(&member("n1", 1), Expected::Absent).await.expect("written");
    let mut watch = watcher.control.watch().await.expect("a watch");
    until(&mut watch, |update| (*update == ControlUpdate::CaughtUp).then_some(())).await;
    let mut beat = 1;
    for round in 0..3 {
        server.kill().expect("it ran");
        until(&mut watch, |update| (*update == ControlUpdate::Interrupted).then_some(())).await;
        server.restart().expect("it comes back");
        eventually("the writer", async || writer.session.is_connected().then_some(())).await;
        // Written before the watch is back, perhaps.
        beat += 1;
        revision = eventually("a heartbeat", async || {
            writer.control.write(&member("n1", beat), Expected::At(revision)).await.ok()
        })
        .await;
        writer.control.write(&lease(round), Expected::At(Revision::ZERO)).await.ok();
        let mut caught_up = false;
        let mut seen = 0;
        until(&mut watch, |update| {
            caught_up |= *update == ControlUpdate::CaughtUp;
            seen = seen.max(record(update).map_or(0, |stored| heartbeat(&stored)));
            (caught_up && seen == beat).then_some(())
        })
        .await;
        beat += 1;
        revision = writer.control.write(&member("n1", beat), Expected::At(revision)).await.expect("written");
        until(&mut watch, |update| record(update).filter(|stored| heartbeat(stored) == beat)).await;
    }
    let counters = watcher.session.counters();
    assert!(counters.disconnects >= 3 && counters.connects >= 4, "{counters:?}");
}

#[tokio::test]
async fn a_watch_over_a_silent_connection_is_interrupted_too() {
    let server = server();
    let ports = ports(&server).await;
    let mut watch = ports.control.watch().await.expect("a watch");
    assert_eq!(next(&mut watch).await, ControlUpdate::CaughtUp);
    freeze(&server);
    assert_eq!(next(&mut watch).await, ControlUpdate::Interrupted);
    server.cont().expect("it is frozen");
    until(&mut watch, |update| (*update == ControlUpdate::CaughtUp).then_some(())).await;
    ports.control.write(&lease(1), Expected::Absent).await.expect("written");
    until(&mut watch, |update| record(update).filter(|stored| stored.record == lease(1))).await;
}

#[tokio::test]
async fn a_forced_reconnect_heals_like_any_other() {
    let server = server();
    let ports = ports(&server).await;
    let mut watch = ports.control.watch().await.expect("a watch");
    assert_eq!(next(&mut watch).await, ControlUpdate::CaughtUp);
    ports.session.force_reconnect().await;
    until(&mut watch, |update| (*update == ControlUpdate::CaughtUp).then_some(())).await;
    assert!(ports.control.write(&lease(1), Expected::Absent).await.is_ok());
    until(&mut watch, |update| record(update).filter(|stored| stored.record == lease(1))).await;
}

#[tokio::test]
async fn a_follower_of_the_log_sees_every_entry_once_across_killed_servers() {
    let mut server = server();
    let (reader, writer) = (ports(&server).await, ports(&server).await);
    // One that has been told nothing when the server dies must not begin anywhere else afterwards.
    let mut from_two = reader.log.follow(Sequence(2)).await.expect("a feed");
    let mut from_zero = reader.log.follow(Sequence::ZERO).await.expect("a feed");
    let mut last = writer.log.append(&entry(1, 0), Sequence::ZERO).await.expect("written");
    for round in 0..3 {
        server.restart().expect("it comes back");
        eventually("the writer", async || writer.session.is_connected().then_some(())).await;
        for _ in 0..4 {
            let epoch = last.sequence.0 + 1;
            let stored = eventually("an append", async || {
                // An outcome that is unknown is looked up, as its caller must.
                match writer.log.append(&entry(epoch, last.hash), last.sequence).await {
                    Ok(at) => Some(at),
                    Err(_) => writer.log.read(last.sequence, 1).await.ok()?.first().map(|stored| stored.at),
                }
            });
            last = stored.await;
        }
        assert_eq!(last.sequence.0, 1 + 4 * (round + 1));
    }
    for (feed, first) in [(&mut from_zero, 1), (&mut from_two, 3)] {
        for expected in first..=last.sequence.0 {
            match next(feed).await {
                LogUpdate::Entry(stored) => assert_eq!(stored.at.sequence, Sequence(expected)),
                LogUpdate::Corrupt { sequence, reason } => panic!("{sequence}: {reason}"),
            }
        }
    }
}

#[tokio::test]
async fn streams_end_when_the_session_is_closed_and_not_before() {
    let server = server();
    let ports = aether_infra_nats::connect(&config(server.url()), &namespace()).await.expect("ports");
    let mut watch = ports.control.watch().await.expect("a watch");
    let mut feed = ports.log.follow(Sequence::ZERO).await.expect("a feed");
    assert_eq!(next(&mut watch).await, ControlUpdate::CaughtUp);
    ports.session.close().await;
    within("the end of the watch", async { while watch.next().await.is_some() {} }).await;
    within("the end of the feed", async { while feed.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn versions_that_are_followed_are_right_again_after_each_death_of_the_server() {
    let mut server = server();
    let (follower, writer) = (ports(&server).await, ports(&server).await);
    let writes = Journal::new(&writer.ports, Incarnation(1), 1 << 32);
    let follows = Journal::new(&follower.ports, Incarnation(2), 2 << 32);
    let (versions, bus) = (follows.versions().clone(), follower.ports.bus.clone());
    let following = tokio::spawn(async move { versions.follow(&*bus, Whose::Everybody, StartAt::Beginning).await });
    let order = stream("order", "1").expect("names");
    let placed = EventRecord { schema: 1, name: "placed".into(), payload: "1".into() };
    let draft = Draft { codec: PayloadCodec::Json, at: WallTime::default(), events: vec![placed] };
    let mut head = writes.append(&order, aether_domain::Version::ZERO, draft.clone()).await.expect("it is new");
    let right_up_to = async |head: Head| {
        let told = async || (follows.versions().right_up_to(&order) >= head.at.sequence).then_some(());
        eventually("the follower", told).await;
    };
    // It must have begun: a bus that cannot be reached then is an error.
    right_up_to(head).await;
    for _ in 0..3 {
        server.restart().expect("it comes back");
        for _ in 0..4 {
            let mut doubt = None;
            head = eventually("an append", async || {
                let tried = match doubt.take() {
                    Some(doubt) => writes.settle(doubt).await,
                    None => writes.append(&order, head.version, draft.clone()).await,
                };
                match tried {
                    Ok(head) => Some(head),
                    Err(AppendFailed::Unresolved(left)) => {
                        doubt = Some(*left);
                        None
                    }
                    Err(AppendFailed::Unavailable { .. }) => None,
                    Err(other) => panic!("{other}"),
                }
            })
            .await;
        }
        right_up_to(head).await;
        assert_eq!(follows.versions().latest(&order), Some(head.version));
    }
    assert!(!following.is_finished(), "it goes on");
    following.abort();
}

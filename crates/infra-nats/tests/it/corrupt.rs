//! Bytes of others under our names: told where they are, never skipped, never believed.

use aether_domain::Sequence;
use aether_domain::ports::{BusUpdate, ControlUpdate, Delivery, EventFilter, Expected, LogUpdate, ReadError, StartAt};
use aether_domain::records::ControlKey;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::support::{actor, commit, entry, lease, member, next, node, ports, server, stranger, until};

#[tokio::test]
async fn a_corrupt_control_record_is_told_and_the_watch_goes_on() {
    let server = server();
    let ports = ports(&server).await;
    let js = stranger(&server).await;
    let mut watch = ports.control.watch().await.expect("a watch");
    for key in ["lease", "node.n1", "what.is.this"] {
        let subject = format!("$KV.aether_t_ctl.{key}");
        js.publish(subject, "{\"format\":1}".into()).await.expect("sent").await.expect("stored");
        let told = until(&mut watch, |update| match update {
            ControlUpdate::Corrupt { key, .. } => Some(key.clone()),
            _ => None,
        });
        assert!(told.await.ends_with(key));
    }
    let read = ports.control.read(&ControlKey::Lease).await;
    assert!(matches!(&read, Err(ReadError::Corrupt { sequence: 1, .. })), "{read:?}");
    ports.control.write(&member("n2", 1), Expected::Absent).await.expect("written");
    until(&mut watch, |update| matches!(update, ControlUpdate::Record(_)).then_some(())).await;
    let kv = js.get_key_value("aether_t_ctl").await.expect("it is a bucket for tools too");
    assert!(kv.entry("node.n2").await.expect("a tool can look").is_some());
    kv.delete("node.n2").await.expect("a tool can mark it deleted");
    let reason = until(&mut watch, |update| match update {
        ControlUpdate::Corrupt { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.await.contains("deleted"));
}

#[tokio::test]
async fn a_corrupt_entry_ends_the_log() {
    let server = server();
    let ports = ports(&server).await;
    let mut feed = ports.log.follow(Sequence::ZERO).await.expect("a feed");
    ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect("written");
    let js = stranger(&server).await;
    js.publish("aether.t.top", "garbage".into()).await.expect("sent").await.expect("stored");
    ports.log.append(&entry(2, 0), Sequence(2)).await.expect("written behind it");
    assert!(matches!(next(&mut feed).await, LogUpdate::Entry(_)));
    assert!(matches!(next(&mut feed).await, LogUpdate::Corrupt { sequence: Sequence(2), .. }));
    assert_eq!(feed.next().await, None, "nothing follows it");
    let read = ports.log.read(Sequence::ZERO, 10).await;
    assert!(matches!(read, Err(ReadError::Corrupt { sequence: 2, .. })), "{read:?}");
}

#[tokio::test]
async fn a_corrupt_commit_is_an_error_with_its_place_for_both_readers() {
    let server = server();
    let ports = ports(&server).await;
    let alice = actor("alice");
    let at = ports.events.append(&alice, &commit(0, Sequence::ZERO, "1"), Sequence::ZERO).await.expect("written");
    let js = stranger(&server).await;
    for garbage in ["", "AE", "{\"format\":1,\"kind\":\"commit\"}"] {
        let bytes = Bytes::from_static(garbage.as_bytes());
        js.publish("aether.t.ev.a.5b0.account.alice", bytes).await.expect("sent").await.expect("stored");
    }
    let first_bad = at.sequence.0 + 1;
    for read in [ports.events.read(&alice, Sequence::ZERO).await, ports.events.read_fresh(&alice, Sequence(0)).await] {
        assert!(matches!(&read, Err(ReadError::Corrupt { sequence, .. }) if *sequence == first_bad), "{read:?}");
    }
    assert!(ports.events.read(&actor("bob"), Sequence::ZERO).await.is_ok(), "others are not touched");
    assert!(ports.control.write(&lease(1), Expected::Absent).await.is_ok());
}

#[tokio::test]
async fn corrupt_frames_are_told_and_the_listener_goes_on() {
    let server = server();
    let ports = ports(&server).await;
    let me = node("n1", 7);
    let mut deliveries = ports.transport.listen(&me).await.expect("a listener");
    let client = stranger(&server).await.client();
    for garbage in [&b""[..], b"AE\x01\x01", b"{}", &[0xff; 300]] {
        let bytes = Bytes::from_static(garbage);
        client.publish("aether.t.n.n1.0000000000000007", bytes).await.expect("sent");
        assert!(matches!(next(&mut deliveries).await, Delivery::Corrupt { .. }));
    }
    ports.transport.send(&me, &me, Vec::new()).await.expect("sent");
    assert_eq!(next(&mut deliveries).await, Delivery::Frames { from: me, frames: Vec::new() });
}

#[tokio::test]
async fn a_corrupt_commit_or_a_stranger_on_the_events_subjects_is_told_to_a_subscriber_and_it_goes_on() {
    let server = server();
    let ports = ports(&server).await;
    let mut updates = ports.bus.subscribe(&EventFilter::default(), StartAt::Beginning).await.expect("it begins");
    let js = stranger(&server).await;
    for subject in ["aether.t.ev.a.5b0.account.alice", "aether.t.ev.0.what.is.this"] {
        js.publish(subject, "garbage".into()).await.expect("sent").await.expect("stored");
        let told = until(&mut updates, |update| match update {
            BusUpdate::Corrupt { sequence, .. } => Some(*sequence),
            BusUpdate::EventStored { .. } => panic!("{update:?}"),
            BusUpdate::Reached(_) => None,
        });
        told.await;
    }
    let at =
        ports.events.append(&actor("bob"), &commit(0, Sequence::ZERO, "1"), Sequence::ZERO).await.expect("written");
    let told = until(&mut updates, |update| match update {
        BusUpdate::EventStored { actor, commit } => Some((actor.clone(), commit.at)),
        _ => None,
    });
    assert_eq!(told.await, (actor("bob"), at));
    assert_eq!(at.sequence, Sequence(3));
}

#[tokio::test]
async fn a_corrupt_checkpoint_is_an_error_with_its_place() {
    let server = server();
    let ports = ports(&server).await;
    let js = stranger(&server).await;
    let totals = aether_domain::FeedName::new("totals").expect("a name");
    for (nth, garbage) in ["", "AE", "{\"format\":1,\"kind\":\"checkpoint\"}"].into_iter().enumerate() {
        js.publish("aether.t.fd.totals", garbage.into()).await.expect("sent").await.expect("stored");
        for read in [ports.checkpoints.read(&totals).await.map(drop), ports.checkpoints.all().await.map(drop)] {
            let expected = nth as u64 + 1;
            assert!(matches!(&read, Err(ReadError::Corrupt { sequence, .. }) if *sequence == expected), "{read:?}");
        }
    }
}

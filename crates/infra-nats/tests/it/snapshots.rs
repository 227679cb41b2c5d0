//! Snapshots of actors that are damaged or not all there: passed over for the one before, and no error for anybody.

use aether_domain::records::{ActorSnapshot, PayloadCodec, Position};
use aether_domain::{Epoch, Sequence, Version};
use bytes::Bytes;

use crate::support::{actor, ports, server, stranger};

/// The subject of the snapshots of `actor("alice")`.
const SUBJECT: &str = "aether.t.sn.a.5b0.account.alice";

fn snapshot(sequence: u64, state_bytes: usize) -> ActorSnapshot {
    ActorSnapshot {
        at: Position { sequence: Sequence(sequence), hash: sequence },
        version: Version(sequence),
        shard_epoch: Epoch(1),
        schema: 1,
        codec: PayloadCodec::Binary,
        state: (0..state_bytes).map(|at| (at % 251) as u8 ^ sequence as u8).collect(),
        origins: Vec::new(),
        messages: Vec::new(),
        timers: Vec::new(),
    }
}

#[tokio::test]
async fn a_message_that_is_no_snapshot_is_passed_over_for_the_one_before() {
    let server = server();
    let ports = ports(&server).await;
    let (alice, js) = (actor("alice"), stranger(&server).await);
    let load = || async { ports.snapshots.load(&alice, Sequence::MAX).await.expect("no error") };
    for garbage in ["", "AE", "{\"format\":1}"] {
        ports.snapshots.save(&alice, &snapshot(5, 100)).await.expect("saved");
        assert_eq!(load().await, Some(snapshot(5, 100)));
        js.publish(SUBJECT, garbage.into()).await.expect("sent").await.expect("stored");
        assert_eq!(load().await, Some(snapshot(5, 100)), "{garbage:?}");
    }
    for _ in 0..2 {
        js.publish(SUBJECT, "garbage".into()).await.expect("sent").await.expect("stored");
    }
    assert_eq!(load().await, None);
}

#[tokio::test]
async fn a_large_snapshot_that_is_not_all_there_is_passed_over_for_the_one_before() {
    let server = server();
    let ports = ports(&server).await;
    let (alice, js) = (actor("alice"), stranger(&server).await);
    let load = || async { ports.snapshots.load(&alice, Sequence::MAX).await.expect("no error") };
    let (first, second) = (snapshot(5, 600_000), snapshot(9, 700_000));
    ports.snapshots.save(&alice, &first).await.expect("saved");
    ports.snapshots.save(&alice, &second).await.expect("saved");
    assert_eq!(load().await, Some(second));
    // A save that ended before its manifest was stored: its chunk takes the place of the oldest one only.
    let chunk = format!("{SUBJECT}.1");
    js.publish(chunk.clone(), "a chunk of a third".into()).await.expect("sent").await.expect("stored");
    assert_eq!(load().await, Some(snapshot(9, 700_000)));
    js.publish(chunk, "a chunk of a fourth".into()).await.expect("sent").await.expect("stored");
    assert_eq!(load().await, None, "neither is whole, and a smaller one would be");
    ports.snapshots.save(&alice, &snapshot(12, 10)).await.expect("saved");
    assert_eq!(load().await, Some(snapshot(12, 10)));
    js.publish(SUBJECT, Bytes::new()).await.expect("sent").await.expect("stored");
    assert_eq!(load().await, Some(snapshot(12, 10)));
}

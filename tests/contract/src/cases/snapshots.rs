//! Snapshots of actors: a cache that keeps the last two of each.

use std::sync::Arc;

use aether_domain::ids::{ActorAddress, Epoch, Incarnation, MessageId, Sequence, Version};
use aether_domain::ports::{Ports, SNAPSHOT_BYTES_MAX, SaveError};
use aether_domain::records::{ActorSnapshot, OriginMarks, PayloadCodec, Position, StoredReply};
use bytes::Bytes;

use super::{case, connect, place};
use crate::samples::{actor, open_timers};
use crate::wait::until;
use crate::{Case, World};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("snapshots", an_actor_of_which_none_was_saved_has_none),
        case!("snapshots", snapshots_of_every_shape_read_back_bit_for_bit),
        case!("snapshots", the_last_is_read_and_the_one_before_it_when_asked),
        case!("snapshots", of_many_the_last_two_are_kept),
        case!("snapshots", large_ones_read_back_up_to_the_bound),
        case!("snapshots", one_over_the_bound_is_refused),
        case!("snapshots", snapshots_of_different_actors_kinds_and_namespaces_never_mix),
    ]
}

/// A snapshot after the commit at `sequence`, with that state and nothing else.
fn plain(sequence: u64, state: impl Into<Bytes>) -> ActorSnapshot {
    ActorSnapshot {
        at: Position { sequence: Sequence(sequence), hash: !sequence },
        version: Version(sequence),
        shard_epoch: Epoch(3),
        schema: 1,
        codec: PayloadCodec::Json,
        state: state.into(),
        origins: Vec::new(),
        messages: Vec::new(),
        timers: Vec::new(),
    }
}

/// One with something in each of its places.
fn full(sequence: u64) -> ActorSnapshot {
    let reply = |codec, bytes: &'static [u8]| StoredReply { codec, bytes: Bytes::from_static(bytes) };
    let json = || reply(PayloadCodec::Json, b"{\"balance\":7}");
    let binary = || reply(PayloadCodec::Binary, &[0, 255, 7]);
    let origin = |life, applied| OriginMarks { origin: Incarnation(life), floor: 3, applied };
    ActorSnapshot {
        schema: u32::MAX,
        codec: PayloadCodec::Binary,
        origins: vec![origin(u64::MAX, vec![(3, json()), (u64::MAX, binary())]), origin(0, vec![])],
        messages: vec![(MessageId(u128::MAX), binary()), (MessageId(0), reply(PayloadCodec::Json, b""))],
        timers: open_timers(),
        ..plain(sequence, vec![0, 1, 255])
    }
}

async fn save(ports: &Ports, actor: &ActorAddress, snapshot: &ActorSnapshot) {
    until("a snapshot to be saved", || async { ports.snapshots.save(actor, snapshot).await.ok() }).await;
}

async fn load(ports: &Ports, actor: &ActorAddress, up_to: Sequence) -> Option<ActorSnapshot> {
    until("a read", || async { ports.snapshots.load(actor, up_to).await.ok() }).await
}

/// Waits until the last one of that actor is that one: reads may be stale.
async fn until_last(ports: &Ports, actor: &ActorAddress, expected: &ActorSnapshot) {
    let last = || async { load(ports, actor, Sequence::MAX).await.filter(|last| last == expected) };
    until("the last snapshot to be read", last).await;
}

async fn an_actor_of_which_none_was_saved_has_none(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    assert_eq!(load(&ports, &actor("account", "anna"), Sequence::MAX).await, None);
}

async fn snapshots_of_every_shape_read_back_bit_for_bit(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    for id in ["anna", "a.b > c*", "ü"] {
        for snapshot in [plain(1, "{}"), full(2), plain(3, ""), full(u64::MAX)] {
            save(&writer, &actor("account", id), &snapshot).await;
            until_last(&reader, &actor("account", id), &snapshot).await;
        }
    }
}

async fn the_last_is_read_and_the_one_before_it_when_asked(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    for sequence in [5, 9] {
        save(&ports, &anna, &plain(sequence, "1")).await;
        until_last(&ports, &anna, &plain(sequence, "1")).await;
    }
    for (up_to, expected) in [(9, Some(9)), (8, Some(5)), (5, Some(5)), (4, None), (0, None)] {
        let found = load(&ports, &anna, Sequence(up_to)).await;
        assert_eq!(found, expected.map(|sequence| plain(sequence, "1")), "up to {up_to}");
    }
}

async fn of_many_the_last_two_are_kept(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    for sequence in 1..=20 {
        save(&ports, &anna, &plain(sequence, "1")).await;
    }
    until_last(&ports, &anna, &plain(20, "1")).await;
    assert_eq!(load(&ports, &anna, Sequence(19)).await, Some(plain(19, "1")));
}

async fn large_ones_read_back_up_to_the_bound(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("account", "anna");
    let air = plain(1, "").bytes();
    let sizes = [256 * 1024 - 100, 256 * 1024, 256 * 1024 + 1, 3_000_000, SNAPSHOT_BYTES_MAX - air];
    for (sequence, bytes) in (1..).zip(sizes) {
        let state: Vec<u8> = (0..bytes).map(|at| (at * 31 + at / 253) as u8).collect();
        let snapshot = plain(sequence, state);
        save(&ports, &anna, &snapshot).await;
        until_last(&ports, &anna, &snapshot).await;
    }
}

async fn one_over_the_bound_is_refused(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let large = plain(1, vec![7; SNAPSHOT_BYTES_MAX]);
    let refused = ports.snapshots.save(&actor("account", "anna"), &large).await;
    assert!(matches!(refused, Err(SaveError::TooLarge { bytes_max: SNAPSHOT_BYTES_MAX, .. })), "{refused:?}");
    assert_eq!(load(&ports, &actor("account", "anna"), Sequence::MAX).await, None);
}

async fn snapshots_of_different_actors_kinds_and_namespaces_never_mix(world: Arc<dyn World>) {
    let places = [place(&world).await, place(&world).await];
    let mut all = Vec::new();
    for place in &places {
        let ports = connect(&**place, "a").await;
        for address in [actor("account", "anna"), actor("account", "bert"), actor("wallet", "anna")] {
            let snapshot = plain(all.len() as u64 + 1, format!("{}", all.len()));
            save(&ports, &address, &snapshot).await;
            all.push((ports.clone(), address, snapshot));
        }
    }
    for (ports, address, snapshot) in &all {
        until_last(ports, address, snapshot).await;
        assert_eq!(load(ports, address, Sequence(snapshot.at.sequence.0 - 1)).await, None);
    }
}

//! The hub's switches, as the tests of other crates use them.

use std::future::pending;
use std::time::Duration;

use aether_domain::ids::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Incarnation, NodeRef, Nonce, Sequence, Slot, Term,
    Version,
};
use aether_domain::ports::{
    Answer, AnswerFrame, ControlUpdate, Delivery, Expected, Frame, GatewayAnswer, ReadError, ReadMode, SaveError,
    SendError, Updates, WriteError,
};
use aether_domain::records::{
    ActorSnapshot, ControlKey, ControlRecord, LeaseRecord, LeaseState, PayloadCodec, Position,
};
use aether_domain::testing::life;
use aether_infra_memory::{GatewayCall, Loss, Manner, MemoryHub, Target};
use bytes::Bytes;
use futures_util::StreamExt;

/// How long any state may take to come about.
const STATE_LIMIT: Duration = Duration::from_secs(10);

fn lease(holder: &NodeRef, nonce: u64) -> ControlRecord {
    ControlRecord::Lease(LeaseRecord {
        term: Term(1),
        holder: holder.clone(),
        ttl: Duration::from_secs(10),
        nonce: Nonce(nonce),
        state: LeaseState::Held,
    })
}

fn frame(number: u64, bytes: usize) -> Frame {
    let id = CommandId { origin: Incarnation(1), sequence: number };
    let answer = Answer::Replied(vec![0; bytes].into());
    Frame::Answer(AnswerFrame { id, sending: 1, view: Epoch(1), answer })
}

async fn next<T>(updates: &mut Updates<T>) -> Option<T> {
    tokio::time::timeout(STATE_LIMIT, updates.next()).await.expect("the stream says something in time")
}

#[tokio::test]
async fn an_outage_takes_the_server_from_everybody_and_brings_it_back_whole() {
    let hub = MemoryHub::new();
    let (a, b) = (life("a", 1), life("b", 1));
    let (at_a, at_b) = (hub.ports(&a.node), hub.ports(&b.node));
    let revision = at_a.control.write(&lease(&a, 1), Expected::Absent).await.expect("nothing is in the way");
    let mut updates = at_b.control.watch().await.expect("a watch begins");
    assert!(matches!(next(&mut updates).await, Some(ControlUpdate::Record(_))));
    assert_eq!(next(&mut updates).await, Some(ControlUpdate::CaughtUp));

    hub.outage(true);
    assert_eq!(next(&mut updates).await, Some(ControlUpdate::Interrupted));
    let written = at_a.control.write(&lease(&a, 2), Expected::At(revision)).await;
    assert!(matches!(written, Err(WriteError::Unknown { .. })), "{written:?}");
    assert!(matches!(at_b.control.read(&ControlKey::Lease).await, Err(ReadError::Unavailable { .. })));
    assert!(at_b.control.watch().await.is_err());
    assert!(matches!(at_b.transport.listen(&b).await, Err(SendError::Unavailable { .. })));
    assert_eq!(hub.stores().revision(), revision, "nothing was stored meanwhile");

    hub.outage(false);
    let written = at_a.control.write(&lease(&a, 2), Expected::At(revision)).await;
    assert!(written.is_ok(), "{written:?}");
    let Some(ControlUpdate::Record(stored)) = next(&mut updates).await else { panic!("the watch goes on") };
    assert_eq!(stored.record.nonce(), Nonce(2));
}

#[tokio::test]
async fn a_killed_life_hears_nothing_more_and_is_unreachable() {
    let hub = MemoryHub::new();
    let (a, b) = (life("a", 1), life("b", 1));
    let (at_a, at_b) = (hub.ports(&a.node), hub.ports(&b.node));
    let (mut of_a, mut of_b) = (
        at_a.transport.listen(&a).await.expect("a begins to listen"),
        at_b.transport.listen(&b).await.expect("b begins to listen"),
    );
    at_a.transport.send(&a, &b, vec![frame(1, 0)]).await.expect("it is sent");
    hub.kill(&b);
    assert_eq!(next(&mut of_b).await, None, "what waited died with it");
    at_a.transport.send(&a, &b, vec![frame(2, 0)]).await.expect("it is sent");
    assert_eq!(next(&mut of_a).await, Some(Delivery::Unreachable { to: b.clone() }));
    drop(of_b);

    let later = life("b", 2);
    let mut of_later = at_b.transport.listen(&later).await.expect("the next life begins to listen");
    at_a.transport.send(&a, &later, vec![frame(3, 0)]).await.expect("it is sent");
    assert_eq!(next(&mut of_later).await, Some(Delivery::Frames { from: a, frames: vec![frame(3, 0)] }));
}

#[tokio::test]
async fn a_life_listens_once() {
    let hub = MemoryHub::new();
    let a = life("a", 1);
    let ports = hub.ports(&a.node);
    let first = ports.transport.listen(&a).await.expect("a begins to listen");
    assert!(ports.transport.listen(&a).await.is_err());
    drop(first);
    assert!(ports.transport.listen(&a).await.is_ok(), "its place is free again");
}

#[tokio::test]
async fn a_lost_message_is_lost_without_a_word_and_the_next_one_arrives() {
    let hub = MemoryHub::new();
    let (a, b) = (life("a", 1), life("b", 1));
    let (at_a, at_b) = (hub.ports(&a.node), hub.ports(&b.node));
    let mut of_b = at_b.transport.listen(&b).await.expect("b begins to listen");
    hub.lose_next_message(&a.node);
    for number in 1..=2 {
        at_a.transport.send(&a, &b, vec![frame(number, 0)]).await.expect("it is sent");
    }
    assert_eq!(next(&mut of_b).await, Some(Delivery::Frames { from: a, frames: vec![frame(2, 0)] }));
}

#[tokio::test]
async fn a_listener_that_does_not_keep_up_is_told_so() {
    let hub = MemoryHub::new();
    let (a, b) = (life("a", 1), life("b", 1));
    let (at_a, at_b) = (hub.ports(&a.node), hub.ports(&b.node));
    let mut of_b = at_b.transport.listen(&b).await.expect("b begins to listen");
    let large = frame(1, 1_000_000);
    for _ in 0..100 {
        at_a.transport.send(&a, &b, vec![large.clone()]).await.expect("a sender never learns of it");
    }
    let mut received = 0;
    loop {
        match next(&mut of_b).await {
            Some(Delivery::Frames { .. }) => received += 1,
            Some(Delivery::Overrun) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..100).contains(&received), "{received} of 100 messages fit");
    at_a.transport.send(&a, &b, vec![frame(2, 0)]).await.expect("it is sent");
    assert_eq!(next(&mut of_b).await, Some(Delivery::Frames { from: a, frames: vec![frame(2, 0)] }));
}

#[tokio::test]
async fn late_writes_land_in_order_under_their_own_expectations() {
    let hub = MemoryHub::new();
    let a = life("a", 1);
    let ports = hub.ports(&a.node);
    for nonce in 1..=2 {
        hub.lose_next_ack(&a.node, Target::Control, Loss::Late);
        let written = ports.control.write(&lease(&a, nonce), Expected::Absent).await;
        assert!(matches!(written, Err(WriteError::Unknown { .. })), "{written:?}");
    }
    assert!(hub.stores().control(&ControlKey::Lease).is_none());
    assert_eq!(hub.land_late_writes(), 1, "both expected absence");
    assert_eq!(hub.stores().control(&ControlKey::Lease).map(|stored| stored.record.nonce()), Some(Nonce(1)));
    assert_eq!(hub.land_late_writes(), 0);
}

#[tokio::test]
async fn without_a_leader_everything_is_unavailable_and_nothing_unclear() {
    let hub = MemoryHub::new();
    let a = life("a", 1);
    let ports = hub.ports(&a.node);
    hub.fail_over(2);
    let written = ports.control.write(&lease(&a, 1), Expected::Absent).await;
    assert!(matches!(written, Err(WriteError::Unavailable { .. })), "{written:?}");
    assert!(matches!(ports.control.read(&ControlKey::Lease).await, Err(ReadError::Unavailable { .. })));
    assert!(ports.control.write(&lease(&a, 1), Expected::Absent).await.is_ok(), "a leader is elected");
}

#[tokio::test]
async fn three_replicas_refuse_now_and_then_and_the_same_seed_refuses_the_same() {
    let refusals = |seed| async move {
        let hub = MemoryHub::imitating(Manner::R3, seed);
        let a = life("a", 1);
        let ports = hub.ports(&a.node);
        let (mut expected, mut refused) = (Expected::Absent, vec![]);
        for nonce in 0..2_000 {
            match ports.control.write(&lease(&a, nonce), expected).await {
                Ok(revision) => expected = Expected::At(revision),
                Err(WriteError::Conflict { actual: None }) => refused.push((nonce, "in flight")),
                Err(WriteError::Unavailable { .. }) => refused.push((nonce, "no leader")),
                Err(other) => panic!("{other}"),
            }
        }
        refused
    };
    let refused = refusals(1).await;
    assert!(refused.iter().any(|(_, why)| *why == "in flight") && refused.iter().any(|(_, why)| *why == "no leader"));
    assert_eq!(refused, refusals(1).await);
    assert_ne!(refused, refusals(2).await);
}

fn call(timeout: Duration) -> GatewayCall {
    GatewayCall {
        kind: "account".to_owned(),
        id: "anna".to_owned(),
        command: "balance".to_owned(),
        payload: Bytes::from_static(b"null"),
        message: None,
        mode: ReadMode::Strict,
        timeout,
    }
}

fn code(answer: &GatewayAnswer) -> (&'static str, bool) {
    match answer {
        GatewayAnswer::Failed { code, maybe_applied, .. } => (code, *maybe_applied),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_always_gets_an_answer() {
    let hub = MemoryHub::new();
    let a = life("a", 1);
    let long = Duration::from_secs(60);
    assert_eq!(code(&hub.gateway_ask(call(long)).await), ("unavailable", false), "nobody listens");

    let mut requests = hub.ports(&a.node).gateway.listen(Box::pin(pending())).await.expect("a node takes requests");
    let drops = async {
        let request = requests.next().await.expect("the request arrives");
        drop(request);
    };
    let (answer, ()) = tokio::join!(hub.gateway_ask(call(long)), drops);
    assert_eq!(code(&answer), ("timeout", true), "the node may have run it before it forgot to answer");

    hub.cut(&a.node);
    assert_eq!(code(&hub.gateway_ask(call(long)).await), ("unavailable", false), "the only node is cut off");
    hub.heal(&a.node);
    drop(requests);
    assert_eq!(code(&hub.gateway_ask(call(long)).await), ("unavailable", false), "the only node has left");
}

#[tokio::test]
async fn snapshots_are_out_of_reach_with_everything_else() {
    let hub = MemoryHub::new();
    let ports = hub.ports(&life("a", 1).node);
    let kind = ActorKind::new("account").expect("a kind");
    let actor = ActorAddress { key: ActorKey { kind, id: ActorId::new("7").expect("an id") }, slot: Slot(7) };
    let snapshot = |sequence| ActorSnapshot {
        at: Position { sequence: Sequence(sequence), hash: 1 },
        version: Version(sequence),
        shard_epoch: Epoch(1),
        schema: 1,
        codec: PayloadCodec::Json,
        state: Bytes::from_static(b"7"),
        origins: Vec::new(),
        messages: Vec::new(),
        timers: Vec::new(),
    };
    ports.snapshots.save(&actor, &snapshot(1)).await.expect("nothing is in the way");
    let (cut, fail) = (|hub: &MemoryHub| hub.cut(&life("a", 1).node), |hub: &MemoryHub| hub.fail_over(2));
    for switch in [cut as fn(&MemoryHub), fail, |hub| hub.outage(true)] {
        switch(&hub);
        let saved = ports.snapshots.save(&actor, &snapshot(2)).await;
        assert!(matches!(saved, Err(SaveError::Unavailable { .. })), "{saved:?}");
        let loaded = ports.snapshots.load(&actor, Sequence::MAX).await;
        assert!(matches!(loaded, Err(ReadError::Unavailable { .. })), "{loaded:?}");
        hub.heal(&life("a", 1).node);
    }
    hub.outage(false);
    assert_eq!(ports.snapshots.load(&actor, Sequence::MAX).await.expect("it is back"), Some(snapshot(1)));
}

#[tokio::test(start_paused = true)]
async fn a_paused_node_neither_writes_nor_hears_until_it_goes_on() {
    let hub = MemoryHub::new();
    let (a, b) = (life("a", 1), life("b", 1));
    let (at_a, at_b) = (hub.ports(&a.node), hub.ports(&b.node));
    let mut updates = at_a.control.watch().await.expect("a watch begins");
    let mut inbox = at_a.transport.listen(&a).await.expect("it listens");
    assert_eq!(next(&mut updates).await, Some(ControlUpdate::CaughtUp));

    hub.pause(&a.node);
    let (writer, record) = (at_a.control.clone(), lease(&a, 1));
    let writing = tokio::spawn(async move { writer.write(&record, Expected::Absent).await.is_ok() });
    at_b.transport.send(&b, &a, vec![frame(1, 8)]).await.expect("it is sent");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!writing.is_finished() && hub.stores().control(&ControlKey::Lease).is_none(), "nothing of it is stored");
    let waited = tokio::time::timeout(Duration::from_secs(60), inbox.next()).await;
    assert!(waited.is_err(), "it hears nothing: {waited:?}");

    hub.resume(&a.node);
    assert!(writing.await.expect("it ends"), "what it was about to write is written");
    assert!(matches!(next(&mut updates).await, Some(ControlUpdate::Record(_))), "what it missed it is told");
}

#[tokio::test(start_paused = true)]
async fn what_travels_takes_a_time_that_the_seed_says() {
    let took = |seed| async move {
        let hub = MemoryHub::imitating(Manner::R1, seed);
        hub.distance(Duration::from_millis(40));
        let a = life("a", 1);
        let control = hub.ports(&a.node).control;
        let mut took = Vec::new();
        for _ in 0..20 {
            #[expect(clippy::disallowed_methods, reason = "a test in paused time")]
            let began = tokio::time::Instant::now();
            control.read(&ControlKey::Lease).await.expect("nothing is in the way");
            took.push(began.elapsed());
        }
        took
    };
    let (first, again, other) = (took(1).await, took(1).await, took(2).await);
    assert!(first == again && first != other, "{first:?}");
    assert!(first.iter().all(|took| *took <= Duration::from_millis(80)), "{first:?}");
}

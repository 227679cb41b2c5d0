//! The transport: frames from one life to another.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ids::NodeRef;
use aether_domain::ports::{AskFrame, Delivery, Frame, Ports, SendError, Updates};
use aether_domain::testing::life;
use bytes::Bytes;
use futures_util::StreamExt;

use super::{case, connect, place};
use crate::samples::{ask, ask_of, odd_frames};
use crate::wait::{next, silent, within};
use crate::{Case, World};

/// How many messages are sent without waiting for any.
const BURST: u64 = 500;

/// How long a message that tries the way may take before the next one is sent.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("transport", messages_arrive_once_and_in_order),
        case!("transport", frames_of_one_call_arrive_together),
        case!("transport", both_directions_work_at_once),
        case!("transport", each_senders_messages_keep_their_order),
        case!("transport", only_the_named_life_receives),
        case!("transport", a_message_to_nobody_is_unreachable),
        case!("transport", a_listener_that_left_is_unreachable),
        case!("transport", a_node_may_write_to_itself),
        case!("transport", the_largest_command_arrives),
        case!("transport", frames_too_large_are_refused_and_nothing_is_sent),
        case!("transport", frames_of_every_shape_arrive_bit_for_bit),
        case!("transport", bytes_that_are_no_message_are_told_as_corrupt, RawBytes),
    ]
}

async fn listen(ports: &Ports, me: &NodeRef) -> Updates<Delivery> {
    ports.transport.listen(me).await.expect("a life begins to listen")
}

async fn frames(from: &NodeRef, updates: &mut Updates<Delivery>) -> Vec<Frame> {
    match next("a message", updates).await {
        Delivery::Frames { from: sender, frames } => {
            assert_eq!(sender, *from);
            frames
        }
        other => panic!("waited for a message of {from}, there came {other:?}"),
    }
}

/// Waits until messages of `from` reach a life that has just begun to listen, and leaves its inbox empty.
///
/// Where several servers carry the messages, they take a moment to tell each other who listens where.
async fn meet(sender: &Ports, from: &NodeRef, to: &NodeRef, inbox: &mut Updates<Delivery>) {
    let (try_it, last) = (ask(u64::MAX - 1), ask(u64::MAX));
    let met = async {
        loop {
            sender.transport.send(from, to, vec![try_it.clone()]).await.expect("it is sent");
            if tokio::time::timeout(TRY_AGAIN_AFTER, inbox.next()).await.is_ok() {
                break;
            }
        }
    };
    within("a new listener to be reached", met).await;
    sender.transport.send(from, to, vec![last.clone()]).await.expect("it is sent");
    while frames(from, inbox).await != [last.clone()] {}
}

async fn messages_arrive_once_and_in_order(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut inbox = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut inbox).await;
    for sequence in 1..=BURST {
        at_a.transport.send(&a, &b, vec![ask(sequence)]).await.expect("it is sent");
    }
    for sequence in 1..=BURST {
        assert_eq!(frames(&a, &mut inbox).await, [ask(sequence)]);
    }
    silent("each message comes once", &mut inbox).await;
}

async fn frames_of_one_call_arrive_together(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut inbox = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut inbox).await;
    let many: Vec<_> = (1..=100).map(ask).collect();
    at_a.transport.send(&a, &b, many.clone()).await.expect("it is sent");
    at_a.transport.send(&a, &b, vec![ask(101), ask(102)]).await.expect("it is sent");
    assert_eq!(frames(&a, &mut inbox).await, many);
    assert_eq!(frames(&a, &mut inbox).await, [ask(101), ask(102)]);
}

async fn both_directions_work_at_once(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let (mut inbox_a, mut inbox_b) = (listen(&at_a, &a).await, listen(&at_b, &b).await);
    meet(&at_a, &a, &b, &mut inbox_b).await;
    meet(&at_b, &b, &a, &mut inbox_a).await;
    for sequence in 1..=50 {
        at_a.transport.send(&a, &b, vec![ask(sequence)]).await.expect("it is sent");
        at_b.transport.send(&b, &a, vec![ask(1000 + sequence)]).await.expect("it is sent");
    }
    for sequence in 1..=50 {
        assert_eq!(frames(&b, &mut inbox_a).await, [ask(1000 + sequence)]);
        assert_eq!(frames(&a, &mut inbox_b).await, [ask(sequence)]);
    }
}

async fn each_senders_messages_keep_their_order(world: Arc<dyn World>) {
    let place = place(&world).await;
    let at_c = connect(&*place, "c").await;
    let c = life("c", 1);
    let mut inbox = listen(&at_c, &c).await;
    let mut last = [0; 2];
    let senders = [life("a", 1), life("b", 1)];
    let at_senders = [connect(&*place, "a").await, connect(&*place, "b").await];
    for (sender, ports) in senders.iter().zip(&at_senders) {
        meet(ports, sender, &c, &mut inbox).await;
    }
    for (sender, ports) in senders.iter().zip(&at_senders) {
        for sequence in 1..=100 {
            ports.transport.send(sender, &c, vec![ask(sequence)]).await.expect("it is sent");
        }
    }
    while last != [100, 100] {
        let Delivery::Frames { from, frames } = next("a message", &mut inbox).await else { continue };
        let sender = senders.iter().position(|sender| *sender == from).expect("one of the two sent it");
        last[sender] += 1;
        assert_eq!(frames, [ask(last[sender])], "from {from}");
    }
}

async fn only_the_named_life_receives(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b, b_later, c) = (life("a", 1), life("b", 1), life("b", 2), life("c", 1));
    let at_c = connect(&*place, "c").await;
    let (mut of_b, mut of_b_later, mut of_c) =
        (listen(&at_b, &b).await, listen(&at_b, &b_later).await, listen(&at_c, &c).await);
    meet(&at_a, &a, &b, &mut of_b).await;
    meet(&at_a, &a, &b_later, &mut of_b_later).await;
    meet(&at_a, &a, &c, &mut of_c).await;
    at_a.transport.send(&a, &b_later, vec![ask(1)]).await.expect("it is sent");
    at_a.transport.send(&a, &c, vec![ask(2)]).await.expect("it is sent");
    at_a.transport.send(&a, &b, vec![ask(3)]).await.expect("it is sent");
    assert_eq!(frames(&a, &mut of_b_later).await, [ask(1)]);
    assert_eq!(frames(&a, &mut of_c).await, [ask(2)]);
    assert_eq!(frames(&a, &mut of_b).await, [ask(3)]);
    silent("a life receives only its own", &mut of_b_later).await;
}

async fn a_message_to_nobody_is_unreachable(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut of_b = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut of_b).await;
    let mut inbox = listen(&at_a, &a).await;
    for nobody in [life("b", 2), life("z", 1)] {
        at_a.transport.send(&a, &nobody, vec![ask(1)]).await.expect("it is sent");
        assert_eq!(next("word that nobody is there", &mut inbox).await, Delivery::Unreachable { to: nobody });
    }
    at_a.transport.send(&a, &b, vec![ask(2)]).await.expect("it is sent");
    silent("a listener is never called unreachable", &mut inbox).await;
}

async fn a_listener_that_left_is_unreachable(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut inbox = listen(&at_a, &a).await;
    let mut of_b = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut of_b).await;
    at_a.transport.send(&a, &b, vec![ask(1)]).await.expect("it is sent");
    assert_eq!(frames(&a, &mut of_b).await, [ask(1)]);
    drop((of_b, at_b));
    // The backend may need a moment to notice; then every message tells.
    let told = async {
        loop {
            at_a.transport.send(&a, &b, vec![ask(2)]).await.expect("it is sent");
            let said = tokio::time::timeout(TRY_AGAIN_AFTER, next("word", &mut inbox)).await;
            if let Ok(delivery) = said {
                return delivery;
            }
        }
    };
    let told = within("word that the listener has left", told).await;
    assert_eq!(told, Delivery::Unreachable { to: b });
}

async fn a_node_may_write_to_itself(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, _at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, later) = (life("a", 1), life("a", 2));
    let (mut inbox, mut of_later) = (listen(&at_a, &a).await, listen(&at_a, &later).await);
    at_a.transport.send(&a, &a, vec![ask(1)]).await.expect("it is sent");
    at_a.transport.send(&a, &later, vec![ask(2)]).await.expect("it is sent");
    assert_eq!(frames(&a, &mut inbox).await, [ask(1)]);
    assert_eq!(frames(&a, &mut of_later).await, [ask(2)]);
}

async fn the_largest_command_arrives(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut inbox = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut inbox).await;
    let payload: Vec<u8> = (0..AskFrame::PAYLOAD_BYTES_MAX).map(|nth| (nth * 37 % 253) as u8).collect();
    let largest = Frame::Ask(ask_of(1, payload.into()));
    at_a.transport.send(&a, &b, vec![largest.clone()]).await.expect("it is within the bound");
    assert!(frames(&a, &mut inbox).await == [largest], "what arrived is not what was sent");
}

async fn frames_too_large_are_refused_and_nothing_is_sent(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut inbox = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut inbox).await;
    let large = Bytes::from(vec![7; AskFrame::PAYLOAD_BYTES_MAX]);
    let together = (1..=3).map(|sequence| Frame::Ask(ask_of(sequence, large.clone()))).collect();
    let refused = at_a.transport.send(&a, &b, together).await;
    assert!(matches!(refused, Err(SendError::TooLarge { bytes, bytes_max }) if bytes > bytes_max), "{refused:?}");
    at_a.transport.send(&a, &b, vec![ask(9)]).await.expect("it is sent");
    assert_eq!(frames(&a, &mut inbox).await, [ask(9)], "nothing of the refused call arrives");
}

async fn frames_of_every_shape_arrive_bit_for_bit(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let a = NodeRef { incarnation: aether_domain::Incarnation(u64::MAX), ..life("a", 1) };
    let b = NodeRef { incarnation: aether_domain::Incarnation(1), ..life("b", 1) };
    let mut inbox = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut inbox).await;
    at_a.transport.send(&a, &b, odd_frames()).await.expect("it is sent");
    assert_eq!(frames(&a, &mut inbox).await, odd_frames());
    for frame in odd_frames() {
        at_a.transport.send(&a, &b, vec![frame.clone()]).await.expect("it is sent");
        assert_eq!(frames(&a, &mut inbox).await, [frame]);
    }
}

async fn bytes_that_are_no_message_are_told_as_corrupt(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut inbox = listen(&at_b, &b).await;
    meet(&at_a, &a, &b, &mut inbox).await;
    let mut wrong: Vec<Bytes> = vec![
        Bytes::new(),
        Bytes::from_static(b"A"),
        Bytes::from_static(b"AE"),
        Bytes::from_static(b"{}"),
        Bytes::from_static(b"AE\x01\x01\x00\xff\xff\xff\xff\x00\x00\x00\x00"),
    ];
    wrong.extend((1..=40).map(|nth: usize| (0..nth * 7).map(|at| (at * 89 + nth * 13) as u8).collect()));
    for bytes in wrong {
        place.send_raw(&b, bytes.clone()).await.expect("the backend carries any bytes");
        let told = next("word of corrupt bytes", &mut inbox).await;
        assert!(matches!(told, Delivery::Corrupt { .. }), "{bytes:?} was taken for {told:?}");
    }
    at_a.transport.send(&a, &b, vec![ask(1)]).await.expect("it is sent");
    assert_eq!(frames(&a, &mut inbox).await, [ask(1)], "the listener goes on");
}

//! Frames between lives of nodes.

use std::time::Duration;

use aether_domain::ports::{Answer, AnswerFrame, AskFrame, Delivery, Frame, ReadMode, Request, SendError};
use aether_domain::records::PayloadCodec;
use aether_domain::{CommandId, Epoch, Incarnation};

use crate::support::{actor, eventually, next, node, ports, server, until};

fn ask(sequence: u64, bytes: usize) -> Frame {
    let request = Request {
        actor: actor("alice"),
        command: "Deposit".into(),
        payload: vec![b'1'; bytes].into(),
        codec: PayloadCodec::Json,
        message: None,
        mode: ReadMode::Strict,
        trace: None,
    };
    Frame::Ask(AskFrame {
        id: CommandId { origin: Incarnation(1), sequence },
        floor: 1,
        request: request.into(),
        view: Epoch(3),
        budget: Duration::from_secs(1),
        attempt: 1,
        sending: 1,
        wants_answer: true,
    })
}

fn answer(sequence: u64) -> Frame {
    let id = CommandId { origin: Incarnation(1), sequence };
    Frame::Answer(AnswerFrame { id, sending: 1, view: Epoch(3), answer: Answer::Behind })
}

#[tokio::test]
async fn frames_arrive_together_in_order_and_only_at_the_life_they_were_sent_to() {
    let server = server();
    let (a, b) = (ports(&server).await, ports(&server).await);
    let (n1, n2, n2_later, n3) = (node("n1", 1), node("n2", 1), node("n2", 2), node("n3", 1));
    let mut at_n1 = a.transport.listen(&n1).await.expect("a listener");
    let mut at_n2 = b.transport.listen(&n2).await.expect("a listener");
    let mut at_n2_later = b.transport.listen(&n2_later).await.expect("a listener");
    let mut at_n3 = b.transport.listen(&n3).await.expect("a listener");
    for round in 0..200 {
        let frames = vec![ask(round, 10), answer(round)];
        a.transport.send(&n1, &n2, frames.clone()).await.expect("sent");
        assert_eq!(next(&mut at_n2).await, Delivery::Frames { from: n1.clone(), frames });
    }
    a.transport.send(&n1, &n2_later, vec![ask(999, 1)]).await.expect("sent");
    assert_eq!(
        next(&mut at_n2_later).await,
        Delivery::Frames { from: n1.clone(), frames: vec![ask(999, 1)] },
        "nothing for the earlier life came here before"
    );
    // Another node's life of the same number is another one, in whatever order they are written to.
    a.transport.send(&n1, &n3, vec![ask(1000, 1)]).await.expect("sent");
    a.transport.send(&n1, &n2, vec![ask(1001, 1)]).await.expect("sent");
    for (inbox, sequence) in [(&mut at_n3, 1000), (&mut at_n2, 1001)] {
        assert_eq!(next(inbox).await, Delivery::Frames { from: n1.clone(), frames: vec![ask(sequence, 1)] });
    }
    b.transport.send(&n2, &n1, vec![answer(1)]).await.expect("sent");
    assert_eq!(next(&mut at_n1).await, Delivery::Frames { from: n2, frames: vec![answer(1)] });
}

#[tokio::test]
async fn a_message_for_nobody_comes_back_to_the_life_that_sent_it() {
    let server = server();
    let ports = ports(&server).await;
    let (me, my_past, nobody) = (node("n1", 2), node("n1", 1), node("n2", 9));
    let mut mine = ports.transport.listen(&me).await.expect("a listener");
    let mut past = ports.transport.listen(&my_past).await.expect("a listener");
    ports.transport.send(&me, &nobody, vec![ask(1, 1)]).await.expect("sent");
    assert_eq!(next(&mut mine).await, Delivery::Unreachable { to: nobody.clone() });
    ports.transport.send(&my_past, &nobody, vec![ask(1, 1)]).await.expect("sent");
    assert_eq!(next(&mut past).await, Delivery::Unreachable { to: nobody.clone() });
    drop(past);
    eventually("the past life's silence", async || {
        ports.transport.send(&me, &my_past, vec![ask(2, 1)]).await.expect("sent");
        (next(&mut mine).await == Delivery::Unreachable { to: my_past.clone() }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_largest_command_goes_through_and_more_is_refused_before_sending() {
    let server = server();
    let ports = ports(&server).await;
    let me = node("n1", 1);
    let mut mine = ports.transport.listen(&me).await.expect("a listener");
    let large = ask(1, AskFrame::PAYLOAD_BYTES_MAX);
    ports.transport.send(&me, &me, vec![large.clone()]).await.expect("sent");
    assert_eq!(next(&mut mine).await, Delivery::Frames { from: me.clone(), frames: vec![large.clone()] });
    let refused = ports.transport.send(&me, &me, vec![large.clone(), large]).await;
    assert!(matches!(refused, Err(SendError::TooLarge { bytes_max: 1_048_576, .. })), "{refused:?}");
    ports.transport.send(&me, &me, vec![answer(2)]).await.expect("sent");
    assert_eq!(next(&mut mine).await, Delivery::Frames { from: me, frames: vec![answer(2)] });
}

#[tokio::test]
async fn a_listener_that_does_not_keep_up_is_told_that_it_lost_something() {
    let server = server();
    let (a, b) = (ports(&server).await, ports(&server).await);
    let (n1, n2) = (node("n1", 1), node("n2", 1));
    let mut slow = b.transport.listen(&n2).await.expect("a listener");
    // More than a subscription holds; the listener looks only afterwards.
    for sequence in 0..70_000 {
        a.transport.send(&n1, &n2, vec![answer(sequence)]).await.expect("sent");
    }
    until(&mut slow, |delivery| (*delivery == Delivery::Overrun).then_some(())).await;
    assert!(b.session.counters().slow_consumers > 0);
}

#[tokio::test]
async fn a_listener_hears_again_after_the_server_came_back() {
    let mut server = server();
    let ports = ports(&server).await;
    let me = node("n1", 1);
    let mut mine = ports.transport.listen(&me).await.expect("a listener");
    server.kill().expect("it ran");
    eventually("the loss to be noticed", async || (!ports.session.is_connected()).then_some(())).await;
    let away = ports.transport.send(&me, &me, vec![answer(1)]).await;
    assert!(matches!(away, Err(SendError::Unavailable { .. })), "{away:?}");
    server.restart().expect("it comes back");
    eventually("the connection", async || ports.transport.send(&me, &me, vec![answer(2)]).await.ok()).await;
    assert_eq!(next(&mut mine).await, Delivery::Frames { from: me, frames: vec![answer(2)] });
}

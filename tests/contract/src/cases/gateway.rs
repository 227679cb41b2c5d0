//! The gateway: commands from clients that are no node.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aether_domain::ids::MessageId;
use aether_domain::ports::{GatewayAnswer, GatewayRequest, ReadMode, Updates};
use aether_infra_memory::GatewayCall;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{case, connect, place};
use crate::wait::{next, until};
use crate::{Case, Place, World};

/// What a client is told when no node listens, on every backend.
const NOBODY: &str = "no node takes requests";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("gateway", a_request_arrives_as_it_was_asked),
        case!("gateway", every_kind_of_answer_comes_back),
        case!("gateway", each_request_is_given_to_one_node),
        case!("gateway", a_node_that_takes_no_more_answers_what_was_on_its_way),
    ]
}

fn call(command: &str) -> GatewayCall {
    GatewayCall {
        kind: "account".to_owned(),
        id: "\u{fc}ber/ .>*".to_owned(),
        command: command.to_owned(),
        payload: Bytes::from_static(b"{\"amount\":12}"),
        message: None,
        mode: ReadMode::Strict,
        timeout: Duration::from_secs(10),
    }
}

/// Asks until somebody is there to be asked: several servers take a moment to tell each other who listens where.
async fn ask(place: &dyn Place, call: GatewayCall) -> GatewayAnswer {
    let look = || async {
        let answer = place.ask(call.clone()).await.expect("the client reaches the backend");
        let nobody = matches!(&answer, GatewayAnswer::Failed { reason, .. } if reason.contains(NOBODY));
        (!nobody).then_some(answer)
    };
    until("an answer", look).await
}

async fn a_request_arrives_as_it_was_asked(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut requests = ports.gateway.listen(Box::pin(pending())).await.expect("a node takes requests");
    let modes = [ReadMode::Strict, ReadMode::Leased, ReadMode::Log];
    for (mode, message) in modes.into_iter().zip([None, Some(MessageId(0)), Some(MessageId(u128::MAX))]) {
        let asked = GatewayCall { mode, message, ..call("deposit") };
        let serve = async {
            let request = next("a request", &mut requests).await;
            let got = GatewayCall {
                kind: request.kind,
                id: request.id,
                command: request.command,
                payload: request.payload,
                message: request.message,
                mode: request.mode,
                timeout: request.timeout,
            };
            (request.respond)(GatewayAnswer::Replied(Bytes::from_static(b"null"))).await;
            got
        };
        let (answer, got) = tokio::join!(ask(&*place, asked.clone()), serve);
        assert_eq!(got, asked);
        assert_eq!(answer, GatewayAnswer::Replied(Bytes::from_static(b"null")));
    }
}

async fn every_kind_of_answer_comes_back(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut requests = ports.gateway.listen(Box::pin(pending())).await.expect("a node takes requests");
    let failed =
        |code, maybe_applied| GatewayAnswer::Failed { code, reason: "\u{1f980} \"quoted\"".to_owned(), maybe_applied };
    let answers = [
        GatewayAnswer::Replied(Bytes::from_static(b"{\"balance\":12}")),
        GatewayAnswer::Replied(Bytes::from_static(b"null")),
        GatewayAnswer::Rejected(Bytes::from_static(b"\"insufficient\"")),
        failed("timeout", true),
        failed("unavailable", false),
        failed("busy", false),
        failed("poisoned", false),
        failed("invalid", false),
        failed("quarantined", true),
    ];
    for given in answers {
        let serve = async { (next("a request", &mut requests).await.respond)(given.clone()).await };
        let (answer, ()) = tokio::join!(ask(&*place, call("balance")), serve);
        assert_eq!(answer, given);
    }
}

async fn each_request_is_given_to_one_node(world: Arc<dyn World>) {
    let place = place(&world).await;
    let mut serving = vec![];
    for name in ["a", "b", "c"] {
        let ports = connect(&*place, name).await;
        let requests = ports.gateway.listen(Box::pin(pending())).await.expect("a node takes requests");
        serving.push(tokio::spawn(serve(requests, name)));
    }
    let asking = (0..60).map(|nth| ask(&*place, call(&format!("command-{nth}"))));
    let answers = join_all(asking).await;
    for (nth, answer) in answers.iter().enumerate() {
        let GatewayAnswer::Replied(reply) = answer else { panic!("request {nth} was answered {answer:?}") };
        let reply = String::from_utf8_lossy(reply);
        assert!(reply.starts_with(&format!("\"command-{nth} ")), "request {nth} was answered {reply}");
    }
    for node in serving {
        node.abort();
    }
}

async fn a_node_that_takes_no_more_answers_what_was_on_its_way(world: Arc<dyn World>) {
    const COMES_AND_GOES: usize = 30;
    const CALLERS: usize = 16;
    let place = place(&world).await;
    let (stays, goes) = (connect(&*place, "stays").await, connect(&*place, "goes").await);
    let requests = stays.gateway.listen(Box::pin(pending())).await.expect("a node takes requests");
    let staying = tokio::spawn(serve(requests, "stays"));
    let over = AtomicBool::new(false);
    let caller = || async {
        let mut by_who_goes = 0;
        while !over.load(Ordering::Relaxed) {
            let answer = ask(&*place, call("balance")).await;
            let GatewayAnswer::Replied(reply) = answer else { panic!("a request was answered {answer:?}") };
            by_who_goes += usize::from(reply.starts_with(b"\"balance goes "));
        }
        by_who_goes
    };
    let comes_and_goes = async {
        for _ in 0..COMES_AND_GOES {
            let (go, told) = oneshot::channel::<()>();
            let until = Box::pin(async { drop(told.await) });
            let requests = goes.gateway.listen(until).await.expect("a node takes requests");
            let serving = tokio::spawn(serve(requests, "goes"));
            tokio::time::sleep(Duration::from_millis(20)).await;
            go.send(()).expect("it listens");
            tokio::time::timeout(Duration::from_secs(10), serving).await.expect("it ends").expect("no panic");
        }
        over.store(true, Ordering::Relaxed);
    };
    let (by_who_goes, ()) = tokio::join!(join_all((0..CALLERS).map(|_| caller())), comes_and_goes);
    assert!(by_who_goes.iter().sum::<usize>() >= COMES_AND_GOES, "it took part: {by_who_goes:?}");
    staying.abort();
}

/// Answers every request with its command, the node's name and how many that node has answered.
async fn serve(mut requests: Updates<GatewayRequest>, name: &'static str) {
    let mut count = 0;
    while let Some(request) = requests.next().await {
        count += 1;
        let reply = format!("\"{} {name} {count}\"", request.command);
        (request.respond)(GatewayAnswer::Replied(reply.into())).await;
    }
}

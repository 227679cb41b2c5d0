//! Commands from clients that are no node, in whatever language.

use std::future::pending;
use std::time::Duration;

use aether_domain::MessageId;
use aether_domain::ports::{GatewayAnswer, ReadMode};
use aether_infra_nats::{GatewayClient, GatewayError};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use crate::support::{config, namespace, next, ports, server, stranger, within};

/// For what is answered, and for what is not.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_ask_is_answered_refused_or_failed_in_json() {
    let server = server();
    let ports = ports(&server).await;
    let client = GatewayClient::connect(&config(server.url()), &namespace()).await.expect("a client");
    let early = client.ask_json("account", "a", "Open", &json!(null), None, LONG).await;
    assert!(matches!(&early, Err(error @ GatewayError::NoNode { .. }) if !error.maybe_applied()), "{early:?}");
    let mut requests = ports.gateway.listen(Box::pin(pending())).await.expect("a gateway");
    let answers = [
        GatewayAnswer::Replied(Bytes::from_static(b"{\"balance\":90}")),
        GatewayAnswer::Rejected(Bytes::from_static(b"\"no funds\"")),
        GatewayAnswer::Failed { code: "timeout", reason: "too late".to_owned(), maybe_applied: true },
    ];
    let serving = tokio::spawn(async move {
        for answer in answers {
            let request = requests.next().await.expect("a request");
            assert_eq!((&*request.kind, &*request.id, &*request.command), ("account", "al ice", "Withdraw"));
            assert_eq!((&request.payload[..], request.mode), (&b"{\"amount\":10}"[..], ReadMode::Strict));
            assert_eq!((request.message, request.timeout), (Some(MessageId(7)), LONG));
            (request.respond)(answer).await;
        }
        drop(requests.next().await.expect("a request nobody answers"));
    });
    let ask = |timeout| {
        let client = client.clone();
        async move {
            let payload = json!({"amount": 10});
            client.ask_json("account", "al ice", "Withdraw", &payload, Some(MessageId(7)), timeout).await
        }
    };
    assert_eq!(ask(LONG).await.expect("a reply"), json!({"balance": 90}));
    assert!(matches!(ask(LONG).await, Err(GatewayError::Rejected(why)) if why == json!("no funds")));
    let failed = ask(LONG).await.expect_err("failed");
    assert!(matches!(&failed, GatewayError::Failed { code, .. } if code == "timeout") && failed.maybe_applied());
    let silent = ask(SHORT).await.expect_err("no answer");
    assert!(matches!(silent, GatewayError::NoAnswer { .. }) && silent.maybe_applied(), "{silent:?}");
    serving.await.expect("no panic");
    client.close().await;
}

#[tokio::test]
async fn a_malformed_request_is_answered_and_never_passed_on() {
    let server = server();
    let ports = ports(&server).await;
    let mut requests = ports.gateway.listen(Box::pin(pending())).await.expect("a gateway");
    let serving = tokio::spawn(async move { next(&mut requests).await.id });
    let client = stranger(&server).await.client();
    for bad in ["", "not json", "{}", "{\"kind\":1}"] {
        let answer = within("an answer", client.request("aether.t.gw", bad.into())).await.expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
        assert_eq!(answer["error"]["code"], "invalid", "{answer}");
        assert_eq!(answer["error"]["maybe_applied"], false, "{answer}");
    }
    let good = r#"{"kind":"account","id":"first","command":"Open"}"#;
    client.publish_with_reply("aether.t.gw", "_INBOX.nowhere", good.into()).await.expect("sent");
    assert_eq!(serving.await.expect("no panic"), "first");
}

#[tokio::test]
async fn each_request_goes_to_one_node() {
    let server = server();
    let (a, b) = (ports(&server).await, ports(&server).await);
    let mut serving = Vec::new();
    for (ports, name) in [(a, "a"), (b, "b")] {
        let mut requests = ports.gateway.listen(Box::pin(pending())).await.expect("a gateway");
        serving.push(tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                (request.respond)(GatewayAnswer::Replied(Bytes::from(format!("\"{name}\"")))).await;
            }
        }));
    }
    let client = GatewayClient::connect(&config(server.url()), &namespace()).await.expect("a client");
    let mut by = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..100 {
        let node = client.ask_json("k", "i", "c", &json!(null), None, LONG).await.expect("a reply");
        *by.entry(node.to_string()).or_default() += 1;
    }
    assert_eq!(by.values().sum::<usize>(), 100);
    assert_eq!(by.len(), 2, "both nodes take requests: {by:?}");
    for task in serving {
        task.abort();
    }
}

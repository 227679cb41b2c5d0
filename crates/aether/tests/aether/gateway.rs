//! Programs that are no node: the requests that the gateway's page shows, and the typed client.

use std::time::Duration;

use aether::client::Client;
use aether::demo::bank::{Account, AccountError, Balance, Deposit, Open, Withdraw};
use aether::prelude::*;
use tokio::time::timeout;
use xtask::nats::{NatsServer, ServerOptions};

const PATIENCE: Duration = Duration::from_secs(60);

async fn started(id: &str, config: &NatsConfig) -> Node {
    let node = Node::builder(id).namespace("bank").profile(Profile::Fast).nats(config.clone()).actor::<Account>();
    timeout(PATIENCE, node.start()).await.expect("in time").expect("it starts")
}

/// The requests of the page with what is printed below each: subject, request, answer.
fn shown(page: &str) -> Vec<(&str, &str, &str)> {
    let mut lines = page.lines().peekable();
    let mut shown = Vec::new();
    while let Some(line) = lines.next() {
        let Some(request) = line.strip_prefix("$ nats req --raw ") else { continue };
        let (subject, request) = request.split_once(" '").expect("a subject and a quoted request");
        let request = request.strip_suffix('\'').expect("a quoted request");
        shown.push((subject, request, lines.next().expect("an answer")));
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_on_the_gateways_page_are_answered_as_it_says() {
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let node = started("n1", &NatsConfig::new([server.url()])).await;
    let nats = async_nats::connect(server.url()).await.expect("a client");
    let shown = shown(include_str!("../../../../docs/GATEWAY.md"));
    assert!(shown.len() >= 10, "{} requests", shown.len());
    for (subject, request, expected) in shown {
        let answer = nats.request(subject.to_owned(), request.to_owned().into()).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer.payload), expected, "{request}");
    }
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_typed_both_ways_and_asks_the_history() {
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let config = NatsConfig::new([server.url()]);
    let client = Client::connect(&config, "bank").await.expect("nobody needs to be there");
    let account = client.actor::<Account>(42).timeout(Duration::from_millis(200));
    let mut early = account.ask(Balance {}).await;
    for _ in 0..20 {
        // On a machine under load the server may not even say in time that nobody is there.
        if !matches!(early, Err(AskError::Timeout { .. })) {
            break;
        }
        early = account.ask(Balance {}).await;
    }
    assert!(matches!(early, Err(AskError::Unavailable { maybe_applied: false, .. })), "{early:?}");

    let node = started("n1", &config).await;
    let account = account.timeout(PATIENCE);
    account.ask(Open { operation: 1 }).await.expect("it was not open");
    assert_eq!(account.ask_with_id(MessageId(7), Deposit { operation: 2, amount: 100 }).await, Ok(100));
    assert_eq!(account.ask(Withdraw { operation: 3, amount: 30 }).await, Ok(70));
    let short = AskError::Rejected(AccountError::Insufficient { balance: 70 });
    assert_eq!(account.ask(Withdraw { operation: 4, amount: 80 }).await, Err(short));
    assert_eq!(
        account.ask_with_id(MessageId(7), Deposit { operation: 2, amount: 100 }).await,
        Ok(100),
        "its first reply"
    );
    for mode in [ReadMode::Strict, ReadMode::Leased, ReadMode::Log] {
        assert_eq!(account.clone().mode(mode).ask(Balance {}).await, Ok(70));
    }
    assert_eq!(account.outcome_of::<Deposit, _>(MessageId(7)).await, Ok(Fate::Applied(100)));
    assert_eq!(account.outcome_of::<Deposit, _>(MessageId(8)).await, Ok(Fate::NotApplied));
    // What is told is run, and nobody says so.
    account.tell(Withdraw { operation: 6, amount: 20 }).await.expect("it is sent");
    let arrived = async {
        while account.ask(Balance {}).await != Ok(50) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("it arrives");
    let refused = account.ask_with_id(MessageId(8), Deposit { operation: 5, amount: 100 }).await;
    assert!(matches!(&refused, Err(AskError::Invalid { maybe_applied: false, .. })), "{refused:?}");
    assert_eq!(node.actor::<Account>(42).ask(Balance {}).await, Ok(50), "a node says the same");
    assert!(client.try_actor::<Account>(&42).is_ok() && Client::connect(&config, "No Name").await.is_err());
    client.close().await;
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_asks_counts_once_while_a_node_dies() {
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let config = NatsConfig::new([server.url()]);
    let (first, second) = (started("n1", &config).await, started("n2", &config).await);
    let client = Client::connect(&config, "bank").await.expect("a client");
    let tellers = (0..4_u64).map(|id| {
        let account = client.actor::<Account>(id).timeout(PATIENCE);
        tokio::spawn(async move {
            account.ask(Open { operation: 0 }).await.expect("it was not open");
            for operation in 1..=50 {
                let balance = account.ask(Deposit { operation, amount: 1 }).await;
                assert_eq!(balance, Ok(operation), "account {id}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            account.ask(Balance {}).await
        })
    });
    let tellers: Vec<_> = tellers.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.kill().await;
    for teller in tellers {
        assert_eq!(timeout(PATIENCE * 2, teller).await.expect("in time").expect("no panic"), Ok(50));
    }
    second.kill().await;
}

/// Whether somebody outside is answered by a node while whoever has started it keeps its own threads busy.
fn is_answered_meanwhile(has_its_own_runtime: bool) -> bool {
    const BUSY: Duration = Duration::from_secs(4);
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let config = NatsConfig::new([server.url()]);
    let callers = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let nodes = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let runtime = if has_its_own_runtime { nodes.handle() } else { callers.handle() };
    let starting = {
        runtime.spawn({
            let config = config.clone();
            async move { started("n1", &config).await }
        })
    };
    let node = callers.block_on(starting).expect("it starts");
    let opened = callers.block_on(node.actor::<Account>(7).timeout(PATIENCE).ask(Open { operation: 1 }));
    opened.expect("it was not open");
    let outside = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            // Its serve lease would be over by then.
            tokio::time::sleep(BUSY / 2).await;
            let client = Client::connect(&config, "bank").await.expect("there is a server");
            client.actor::<Account>(7).timeout(BUSY / 4).ask(Balance {}).await.is_ok()
        })
    });
    callers.block_on(async { std::thread::sleep(BUSY) });
    let answered = outside.join().expect("no panic");
    callers.block_on(node.kill());
    answered
}

#[test]
fn a_node_on_a_runtime_of_its_own_serves_on_while_whoever_started_it_keeps_its_threads_busy() {
    assert!(is_answered_meanwhile(true));
    assert!(!is_answered_meanwhile(false), "the other way round there is nothing to see");
}

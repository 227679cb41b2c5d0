//! A node inside an application, in memory.

use std::time::Duration;

use aether::demo::bank::{Account, AccountError, Balance, Deposit, Open};
use aether::prelude::*;
use aether_domain::orders::Asked;
use aether_placement::StickyBalanced;
use tokio::time::timeout;

fn described(id: &str, hub: &MemoryHub) -> aether::NodeBuilder {
    Node::builder(id).namespace("bank").profile(Profile::Fast).in_memory(hub).actor::<Account>()
}

async fn started(id: &str, hub: &MemoryHub) -> Node {
    let starting = timeout(Duration::from_secs(30), described(id, hub).start());
    starting.await.expect("within half a minute").expect("it starts")
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let hub = MemoryHub::new();
    for (builder, expected) in [
        (Node::builder("N 1").in_memory(&hub), "cannot have that name"),
        (Node::builder("n1").namespace("").in_memory(&hub), "cannot have that name"),
        (Node::builder("n1"), ".nats(..) or .in_memory(..)"),
        (described("n1", &hub).actor::<Account>(), "cannot be served"),
        (described("n1", &hub).weight(0), "weight"),
        (described("n1", &hub).zone("Room 1"), "cannot have that name"),
        (described("n1", &hub).tags(["ssd", "EU"]), "cannot have that name"),
        (described("n1", &hub).tags(0..17), "17 tags"),
        (described("n1", &hub).strategy(StickyBalanced), "known already"),
    ] {
        let refusal = builder.launch().await.err().expect("it is refused").to_string();
        assert!(refusal.contains(expected), "{expected:?} is missing: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_reaches_every_account_and_a_drained_one_leaves_them_all() {
    let hub = MemoryHub::new();
    let (first, second) = (started("n1", &hub).await, started("n2", &hub).await);
    for id in 0..64u64 {
        first.actor::<Account>(id).ask(Open { operation: 1 }).await.expect("opened");
        second.actor::<Account>(id).ask(Deposit { operation: 2, amount: 10 + id }).await.expect("deposited");
    }
    let refused = second.actor::<Account>(7).ask(Open { operation: 3 }).await;
    assert_eq!(refused, Err(AskError::Rejected(AccountError::AlreadyOpen)));

    let ended = timeout(Duration::from_secs(30), first.drain()).await.expect("at most 20 s");
    assert!(matches!(ended, Ended::Left { .. }), "{ended}");
    for id in 0..64u64 {
        assert_eq!(second.actor::<Account>(id).ask(Balance {}).await, Ok(10 + id), "account {id}");
    }
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_of_the_same_id_ends_and_the_first_goes_on() {
    let hub = MemoryHub::new();
    let first = started("n1", &hub).await;
    let second = timeout(Duration::from_secs(30), described("n1", &hub).start()).await.expect("it is noticed");
    let refusal = second.err().expect("it is refused");
    assert!(matches!(refusal, StartError::Ended(Ended::NodeIdInUse { .. })), "{refusal}");
    assert!(first.is_active());
    assert_eq!(first.actor::<Account>(1).ask(Open { operation: 1 }).await, Ok(()));
    first.kill().await;
    let ended = timeout(Duration::from_secs(30), first.ended()).await.expect("it has ended");
    assert!(matches!(ended, Ended::Killed { .. }), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_an_operator_asks_to_leave_hands_over_and_ends_in_good_order() {
    let hub = MemoryHub::new();
    let (first, second) = (started("n1", &hub).await, started("n2", &hub).await);
    for id in 0..64u64 {
        first.actor::<Account>(id).ask(Open { operation: 1 }).await.expect("opened");
    }
    let control = hub.ports(second.id()).control;
    let asked = Asked::new("ann", "a new disk");
    let life = aether::operator::drain(&*control, first.id(), &asked).await.expect("it is asked");
    assert_eq!(life.node, *first.id());
    let ended = timeout(Duration::from_secs(30), first.ended()).await.expect("at most 20 s");
    assert!(matches!(ended, Ended::Left { .. }), "{ended}");
    for id in 0..64u64 {
        assert_eq!(second.actor::<Account>(id).ask(Balance {}).await, Ok(0), "account {id}");
    }
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_two_namespaces_on_one_hub_are_two_clusters_and_one_outage_is_everybodys() {
    let hub = MemoryHub::new();
    let node = |namespace: &str| described("n1", &hub).namespace(namespace);
    let start = |namespace: &str| timeout(Duration::from_secs(30), node(namespace).start());
    let (blue, green) = (start("blue").await.expect("in time"), start("green").await.expect("in time"));
    let (blue, green) = (blue.expect("it starts"), green.expect("though the other has the same id"));
    for (node, amount) in [(&blue, 100), (&green, 5)] {
        node.actor::<Account>(1).ask(Open { operation: 1 }).await.expect("nobody else has opened it");
        assert_eq!(node.actor::<Account>(1).ask(Deposit { operation: 2, amount }).await, Ok(amount));
    }
    hub.outage(true);
    let asked = [&blue, &green].map(|node| {
        let account = node.actor::<Account>(1).timeout(Duration::from_millis(200));
        async move { account.ask(Deposit { operation: 3, amount: 1 }).await }
    });
    for refused in futures_util::future::join_all(asked).await {
        match refused {
            // It is on its way to the store, or whoever runs it may not do so any more.
            Err(AskError::Timeout { maybe_applied: true } | AskError::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    hub.outage(false);
    blue.kill().await;
    let again = start("blue").await.expect("in time").expect("it starts again");
    assert_eq!(again.actor::<Account>(2).ask(Open { operation: 1 }).await, Ok(()));
    again.kill().await;
    green.kill().await;
}

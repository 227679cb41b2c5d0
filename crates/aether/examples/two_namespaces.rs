//! Two namespaces on one server are two clusters, and neither sees anything of the other.
//!
//! ```console
//! $ cargo run --example two_namespaces
//! account 1 of "blue" has 100, account 1 of "green" has 5
//! "blue" has founded one cluster and "green" another
//! a feed in "green" was handed the 2 events of "green" and none of "blue"
//! "blue" is gone, and "green" does not mind: 6
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aether::demo::bank::{Account, AccountEvent, Balance, Deposit, Open};
use aether::prelude::*;
use aether::{Since, StreamExt as _};

/// The same node id in both: names of nodes are told apart by their namespace as well.
async fn start(namespace: &str, hub: &MemoryHub) -> Result<Node, StartError> {
    Node::builder("n1").namespace(namespace).profile(Profile::Fast).in_memory(hub).actor::<Account>().start().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = MemoryHub::new();
    let (blue, green) = (start("blue", &hub).await?, start("green", &hub).await?);
    for (node, amount) in [(&blue, 100), (&green, 5)] {
        node.actor::<Account>(1).ask(Open { operation: 1 }).await?;
        node.actor::<Account>(1).ask(Deposit { operation: 2, amount }).await?;
    }
    let (ours, theirs) =
        (blue.actor::<Account>(1).ask(Balance {}).await?, green.actor::<Account>(1).ask(Balance {}).await?);
    assert_eq!((ours, theirs), (100, 5));
    say(&format!("account 1 of \"blue\" has {ours}, account 1 of \"green\" has {theirs}"));

    let mut founded = Vec::new();
    for node in [&blue, &green] {
        let first = node.topology_events(Since::Start).next().await.expect("a log has a first entry")?;
        founded.push(format!("{:?}", first.events));
    }
    assert_ne!(founded[0], founded[1]);
    say("\"blue\" has founded one cluster and \"green\" another");

    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let feed = green.subscribe::<Account>("all", FeedOptions::default(), move |_: Recorded<AccountEvent>| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    })?;
    feed.caught_up().await;
    assert_eq!(seen.load(Ordering::Relaxed), 2);
    say("a feed in \"green\" was handed the 2 events of \"green\" and none of \"blue\"");

    blue.kill().await;
    let balance = green.actor::<Account>(1).ask(Deposit { operation: 3, amount: 1 }).await?;
    assert_eq!(balance, 6);
    say(&format!("\"blue\" is gone, and \"green\" does not mind: {balance}"));
    green.drain().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}

//! One program, two engines: three nodes are one cluster in memory, or on NATS if its address is given.
//!
//! ```console
//! $ cargo run --example bank_cluster
//! n1, n2 and n3 are one cluster, in memory
//! account 42 is reached through n1: the balance is 10
//! account 42 is reached through n2: the balance is 20
//! account 42 is reached through n3: the balance is 30
//! n2 has left the cluster
//! account 42 is reached through n1: the balance is 40
//! account 42 is reached through n3: the balance is 50
//! ```
//!
//! The same on NATS: `cargo xtask nats --run` starts a server and says where, and
//! `cargo run --example bank_cluster -- nats://127.0.0.1:PORT` runs this on it. Run it twice: the balance goes on from where it
//! was, for now the history outlives the process.

use aether::demo::bank::{Account, AccountError, Deposit, Open};
use aether::prelude::*;

async fn start(id: &str, hub: &MemoryHub, nats: Option<&str>) -> Result<Node, StartError> {
    let node = Node::builder(id).namespace("bank-cluster").profile(Profile::Fast).actor::<Account>();
    // The one place that differs.
    let node = match nats {
        None => node.in_memory(hub),
        Some(url) => node.nats(NatsConfig::new([url])),
    };
    node.start().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (hub, nats) = (MemoryHub::new(), std::env::args().nth(1));
    let mut nodes = Vec::new();
    for id in ["n1", "n2", "n3"] {
        nodes.push(start(id, &hub, nats.as_deref()).await?);
    }
    let place = nats.map_or_else(|| "in memory".to_owned(), |url| format!("on {url}"));
    say(&format!("n1, n2 and n3 are one cluster, {place}"));

    let mut balance = match nodes[0].actor::<Account>(42).ask(Open { operation: 1 }).await {
        Ok(()) => 0,
        // An earlier run has opened it, on NATS.
        Err(AskError::Rejected(AccountError::AlreadyOpen)) => deposit(&nodes[0], 0).await?,
        Err(other) => return Err(other.into()),
    };
    for node in &nodes {
        balance = deposit_through(node, balance).await?;
    }

    // Whoever leaves hands its shards over first, so nobody misses it.
    let left = nodes.remove(1).drain().await;
    assert!(matches!(left, Ended::Left { .. }), "{left}");
    say("n2 has left the cluster");
    for node in &nodes {
        balance = deposit_through(node, balance).await?;
    }
    for node in &nodes {
        node.drain().await;
    }
    Ok(())
}

/// Any node will do: the account is wherever its shard is.
async fn deposit_through(node: &Node, before: u64) -> Result<u64, AskError<AccountError>> {
    let balance = deposit(node, 10).await?;
    assert_eq!(balance, before + 10, "each deposit counts once");
    say(&format!("account 42 is reached through {}: the balance is {balance}", node.id()));
    Ok(balance)
}

async fn deposit(node: &Node, amount: u64) -> Result<u64, AskError<AccountError>> {
    node.actor::<Account>(42).ask(Deposit { operation: 2, amount }).await
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}

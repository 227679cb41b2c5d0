//! A node joins, and half of the shards move to it while their actors are asked: none of them notices.
//!
//! ```console
//! $ cargo run --example live_migration
//! n1 owns 1024 shards and has 100 accounts in memory
//! n2 has joined: 512 shards have moved to it, each once
//! accounts were asked all the while: no ask has failed, and every balance is right
//! a move with an account in memory, as n1 saw it: paused, captured, sent, acknowledged, completed
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aether::demo::bank::{Account, AccountError, Balance, Deposit, Open};
use aether::prelude::*;
use aether::{MovePhase, MoveRole, MoveStatus, Since, StreamExt as _};

const ACCOUNTS: u64 = 100;
/// The shards of a cluster; with two nodes half of them are the second one's share.
const SHARDS: usize = 1024;

async fn start(id: &str, hub: &MemoryHub) -> Result<Node, StartError> {
    Node::builder(id).namespace("moving").profile(Profile::Fast).in_memory(hub).actor::<Account>().start().await
}

/// Deposits 1 into each account, round after round, until told to stop. Every balance must be the number of the round.
async fn ask_on(node: Node, stop: Arc<AtomicBool>) -> Result<u64, AskError<AccountError>> {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        for id in 0..ACCOUNTS {
            let balance = node.actor::<Account>(id).ask(Deposit { operation: round, amount: 1 }).await?;
            assert_eq!(balance, round, "account {id}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(round)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = MemoryHub::new();
    let first = start("n1", &hub).await?;
    for id in 0..ACCOUNTS {
        first.actor::<Account>(id).ask(Open { operation: 0 }).await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let asker = tokio::spawn(ask_on(first.clone(), Arc::clone(&stop)));
    say(&format!("n1 owns {SHARDS} shards and has {ACCOUNTS} accounts in memory"));

    // Whoever follows the log is told every move, in order, and may go on behind the last one after a restart.
    let mut migrations = first.shard_migrations(Since::Start);
    let second = start("n2", &hub).await?;
    let mut moved = BTreeSet::new();
    while moved.len() < SHARDS / 2 {
        let told = migrations.next().await.expect("it goes on for ever")?;
        assert_eq!((told.from.node.as_str(), told.to.node.as_str()), ("n1", "n2"));
        assert!(moved.insert(told.shard), "shard {} moved twice", told.shard);
    }
    say(&format!("n2 has joined: {} shards have moved to it, each once", moved.len()));

    stop.store(true, Ordering::Relaxed);
    let rounds = asker.await??;
    for id in 0..ACCOUNTS {
        assert_eq!(second.actor::<Account>(id).ask(Balance {}).await?, rounds, "account {id}");
    }
    say("accounts were asked all the while: no ask has failed, and every balance is right");

    let moves = first.moves();
    let over = |status: &&MoveStatus| status.role == MoveRole::Source && status.phase() == MovePhase::Completed;
    let with_actors =
        moves.iter().filter(over).find(|status| status.actors > 0).expect("100 accounts are in many shards");
    let phases: Vec<_> = with_actors.reached.iter().map(|reached| reached.phase.name()).collect();
    say(&format!("a move with an account in memory, as n1 saw it: {}", phases.join(", ")));
    first.kill().await;
    second.kill().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}

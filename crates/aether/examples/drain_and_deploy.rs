//! A rolling deployment: node after node is drained and comes back as a new build, while accounts are asked all the time.
//!
//! ```console
//! $ cargo run --example drain_and_deploy
//! n1, n2 and n3 serve 30 accounts, and one asker never stops
//! n1 has left and is back
//! n2 has left and is back
//! n3 has left and is back
//! no ask has failed; every deposit that was acknowledged is there, once
//! ```
//!
//! In production each node is a process: it is sent SIGTERM, ends with exit code 0 once everything is handed over, and the next
//! one waits for `/readyz`. See `docs/deploy/README.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aether::demo::bank::{Account, AccountError, Balance, Deposit, Open};
use aether::prelude::*;
use tokio::sync::watch;

const ACCOUNTS: u64 = 30;
const NODES: [&str; 3] = ["n1", "n2", "n3"];

async fn start(id: &str, hub: &MemoryHub) -> Result<Node, StartError> {
    Node::builder(id).namespace("deploy").profile(Profile::Fast).in_memory(hub).actor::<Account>().start().await
}

/// Deposits 1 into one account after the other until told to stop; answers how much each was acknowledged.
async fn ask_on(through: watch::Receiver<Node>, stop: Arc<AtomicBool>) -> Result<Vec<u64>, AskError<AccountError>> {
    let mut acknowledged = vec![0; ACCOUNTS as usize];
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = turn % ACCOUNTS;
        // A load balancer would do this: whoever asks goes through a node that stays.
        let node = through.borrow().clone();
        node.actor::<Account>(id).timeout(Duration::from_secs(20)).ask(Deposit { operation: turn, amount: 1 }).await?;
        acknowledged[id as usize] += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(acknowledged)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = MemoryHub::new();
    let mut nodes = Vec::new();
    for id in NODES {
        nodes.push(start(id, &hub).await?);
    }
    for id in 0..ACCOUNTS {
        nodes[0].actor::<Account>(id).ask(Open { operation: 0 }).await?;
    }
    let (door, through) = watch::channel(nodes[0].clone());
    let stop = Arc::new(AtomicBool::new(false));
    let asker = tokio::spawn(ask_on(through, Arc::clone(&stop)));
    say(&format!("n1, n2 and n3 serve {ACCOUNTS} accounts, and one asker never stops"));

    for (nth, id) in NODES.iter().enumerate() {
        // Nobody asks through a node that leaves; what it still has been asked it answers first.
        door.send_replace(nodes[(nth + 1) % NODES.len()].clone());
        let ended = nodes[nth].drain().await;
        assert!(matches!(ended, Ended::Left { .. }), "{ended}");
        nodes[nth] = start(id, &hub).await?;
        say(&format!("{id} has left and is back"));
    }

    stop.store(true, Ordering::Relaxed);
    let acknowledged = asker.await??;
    for (id, acknowledged) in acknowledged.into_iter().enumerate() {
        assert!(acknowledged > 0, "account {id} was asked");
        let balance = nodes[0].actor::<Account>(id as u64).ask(Balance {}).await?;
        assert_eq!(balance, acknowledged, "account {id}");
    }
    say("no ask has failed; every deposit that was acknowledged is there, once");
    for node in &nodes {
        node.kill().await;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}

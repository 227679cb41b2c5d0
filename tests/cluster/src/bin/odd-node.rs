//! A node of odd actors: `odd-node URL NAMESPACE ID STARTS`. Each start adds a line to the file STARTS.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aether::prelude::*;
use aether_cluster_tests::odd::{HARMFUL, Odd};
use anyhow::{Context, Result};

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, namespace, id, starts] = &arguments[..] else { anyhow::bail!("odd-node URL NAMESPACE ID STARTS") };
    let mut file = OpenOptions::new().create(true).append(true).open(starts).context("the file of starts")?;
    writeln!(file, "{id}")?;
    HARMFUL.store(true, Ordering::SeqCst);
    let watchdog = aether::Watchdog {
        slow_after: Duration::from_millis(500),
        end_after: Duration::from_secs(2),
        ..aether::Watchdog::default()
    };
    let node = Node::builder(id)
        .namespace(namespace)
        .profile(Profile::Fast)
        .weight(1000)
        .nats(NatsConfig::new([url.clone()]))
        .watchdog(watchdog)
        .actor::<Odd>();
    node.start().await?.ended().await;
    Ok(())
}

//! A node of odd actors: `odd-node URL NAMESPACE ID STARTS [END_AFTER_MS]`. Each start adds a line to the file STARTS.
//!
//! A handler may run for END_AFTER_MS, 2,000 unless told. Asked to end (SIGTERM) it hands over, and ends with 0 if it was let go.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aether::prelude::*;
use aether_cluster_tests::odd::{HARMFUL, Odd};
use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let ended = runtime.block_on(live())?;
    // A handler that never ends is not waited for.
    runtime.shutdown_background();
    Ok(if matches!(ended, Ended::Left { .. }) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn live() -> Result<Ended> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, namespace, id, starts, end_after @ ..] = &arguments[..] else {
        anyhow::bail!("odd-node URL NAMESPACE ID STARTS [END_AFTER_MS]")
    };
    let mut file = OpenOptions::new().create(true).append(true).open(starts).context("the file of starts")?;
    writeln!(file, "{id}")?;
    HARMFUL.store(true, Ordering::SeqCst);
    let end_after = end_after.first().map_or(Ok(2_000), |millis| millis.parse())?;
    let watchdog = aether::Watchdog {
        slow_after: Duration::from_millis(500),
        end_after: Duration::from_millis(end_after),
        ..aether::Watchdog::default()
    };
    let mut asked_to_end = signal(SignalKind::terminate())?;
    // The default timers: with shorter ones a machine under load may itself be why it is missed.
    let node = Node::builder(id)
        .namespace(namespace)
        .weight(1000)
        .nats(NatsConfig::new([url.clone()]))
        .watchdog(watchdog)
        .actor::<Odd>();
    let node = node.start().await?;
    Ok(tokio::select! {
        ended = node.ended() => ended,
        _ = asked_to_end.recv() => node.drain().await,
    })
}

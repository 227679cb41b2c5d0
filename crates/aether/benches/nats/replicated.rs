//! Commits on three servers: every history and the raw stream have three copies, on the same disk and processors.

use std::sync::Arc;
use std::time::Duration;

use aether_infra_nats::NatsConfig;
use xtask::nats::{NatsCluster, ServerOptions, Sync};

use super::{Binary, RawStream, actors, balanced, by_hand, commit_rate, node, show};

/// Prints what commits are to raw publishes there: with the servers' own `sync_interval`, and when each write is on the
/// disk before it is acknowledged.
pub(super) async fn measure(time: Duration) -> anyhow::Result<()> {
    for (sync, rows) in [(Sync::ServerDefault, &[64, 1_000][..]), (Sync::Always, &[1_000])] {
        let cluster = NatsCluster::start_with(3, &ServerOptions { sync, ..ServerOptions::default() })?;
        let raw = Arc::new(RawStream::open(&cluster.urls()[0], 3).await?);
        let node = node(&NatsConfig { replicas: 3, ..NatsConfig::new(cluster.urls()) }, "n1", 1).await?;
        balanced(&node, 1).await?;
        for workers in rows.iter().copied() {
            let limit = raw.rate(workers, time).await;
            let ours = commit_rate(actors::<Binary>(&node, workers, true)?, workers, time).await;
            let what = match sync {
                Sync::Always => format!("commit, {workers} actors, R3, sync always"),
                _ => format!("commit, {workers} actors, R3"),
            };
            show(&what, &ours.to_string(), &limit.to_string(), ours.per_second / limit.per_second, 0.95);
            let hand = by_hand::rate(&raw.context, workers, workers, time).await;
            show("the same by hand", &hand.to_string(), &limit.to_string(), hand.per_second / limit.per_second, 0.95);
        }
        node.drain().await;
    }
    Ok(())
}

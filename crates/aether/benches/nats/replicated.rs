//! Commits on three servers: every history and the raw stream have three copies, on the same disk and processors.
//!
//! How quick a replicated stream is depends on where it is led from. So both streams are led by the same server, and all
//! clients are with the same one.

use std::sync::Arc;
use std::time::Duration;

use aether_infra_nats::NatsConfig;
use async_nats::jetstream::Context;
use serde_json::{Value, json};
use xtask::nats::{NatsCluster, ServerOptions, Sync};

use super::{Binary, RAW, RawStream, actors, balanced, binary_side, by_hand, commit_rate, in_turn, node, show};

/// The stream of all histories.
const HISTORIES: &str = "AETHER_bench_EVT_0";

/// How often the raw stream's leader is asked to step down.
const ELECTIONS_MAX: usize = 20;

/// Prints what commits are to raw publishes there: with the servers' own `sync_interval`, and when each write is on the
/// disk before it is acknowledged.
pub(super) async fn measure(time: Duration) -> anyhow::Result<()> {
    for (sync, rows) in [(Sync::ServerDefault, &[64, 1_000][..]), (Sync::Always, &[1_000])] {
        let cluster = NatsCluster::start_with(3, &ServerOptions { sync, ..ServerOptions::default() })?;
        let url = &cluster.urls()[0];
        let raw = Arc::new(RawStream::open(url, 3).await?);
        let node = node(&NatsConfig { replicas: 3, ..NatsConfig::new([url]) }, "n1", 1).await?;
        balanced(&node, 1).await?;
        for workers in rows.iter().copied() {
            // So that the stream of the histories is there.
            commit_rate(actors::<Binary>(&node, workers, true)?, workers, time / 10).await;
            lead_alike(&raw.context).await?;
            let sides = (raw.side(workers), binary_side(&node, workers), by_hand::side(&raw, workers));
            let [limit, ours, hand] = in_turn(time, [&sides.0, &sides.1, &sides.2]).await?;
            let what = match sync {
                Sync::Always => format!("commit, {workers} actors, R3, sync always"),
                _ => format!("commit, {workers} actors, R3"),
            };
            for (what, ours, goal) in [(what.as_str(), ours, 0.95), ("the same by hand", hand, f64::NAN)] {
                show(what, &ours.to_string(), &limit.to_string(), ours.per_second / limit.per_second, goal);
            }
        }
        node.drain().await;
    }
    Ok(())
}

/// Has the raw stream led by whoever leads the histories.
async fn lead_alike(context: &Context) -> anyhow::Result<()> {
    for _ in 0..ELECTIONS_MAX {
        let (histories, raw) = (leader(context, HISTORIES).await?, leader(context, RAW).await?);
        if raw.is_some() && raw == histories {
            return Ok(());
        }
        if raw.is_some() {
            let wanted = json!({"placement": {"preferred": histories}});
            let _: Value = context.request(format!("STREAM.LEADER.STEPDOWN.{RAW}"), &wanted).await?;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    anyhow::bail!("the server that leads the histories did not come to lead the raw stream")
}

async fn leader(context: &Context, stream: &str) -> anyhow::Result<Option<String>> {
    let stream = context.get_stream(stream).await?;
    Ok(stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone()))
}

//! A node's metrics in OpenMetrics text, made afresh from a [`Picture`] at each scrape.
//!
//! Nothing is registered globally, so several nodes fit in one process. The names are in [`names`].

pub mod names;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use aether_domain::cluster::NodeStatus;
use aether_domain::orders::Wish;
use aether_runtime::feed::{FeedState, FeedStats};
use aether_runtime::handover::MovePhase;
use aether_runtime::projection::ClusterVerdict;

use crate::admin::{NodesView, Picture, ShardCounts};
use names::{Kind, Metric};

/// What a scrape answers in its header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The value of a metric's label, if it has one, and the figure.
type Sample = (Option<String>, f64);

/// Every metric of [`names::ALL`] as `picture` has it.
pub fn encode(picture: &Picture) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(picture.clone())));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("writing to a text cannot fail");
    text
}

#[derive(Debug)]
struct Scrape(Picture);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for metric in names::ALL {
            let samples = samples(metric, &self.0);
            match metric.kind {
                Kind::Gauge => {
                    write(&mut encoder, metric, MetricType::Gauge, &samples, ConstGauge::new)?;
                }
                Kind::Counter => {
                    write(&mut encoder, metric, MetricType::Counter, &samples, ConstCounter::new)?;
                }
            }
        }
        Ok(())
    }
}

fn write<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    metric: &Metric,
    kind: MetricType,
    samples: &[Sample],
    of: impl Fn(f64) -> M,
) -> Result<(), fmt::Error> {
    let mut described = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
    let Some(label) = metric.label else {
        return samples.first().map_or(Ok(()), |(_, figure)| of(*figure).encode(described));
    };
    for (value, figure) in samples {
        let labels = [(label, value.as_deref().unwrap_or_default())];
        of(*figure).encode(described.encode_family(&labels)?)?;
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format knows floats only; counts above 2^53 lose their last digits"
)]
fn float(count: u64) -> f64 {
    count as f64
}

/// A figure of every feed, by name.
fn feeds(picture: &Picture, of: impl Fn(&FeedStats) -> f64) -> Vec<Sample> {
    picture.feeds.iter().map(|feed| (Some(feed.name.to_string()), of(feed))).collect()
}

fn samples(metric: &Metric, picture: &Picture) -> Vec<Sample> {
    let one = |figure| vec![(None, figure)];
    let topology = &picture.topology;
    let nodes = || NodesView::of(picture).nodes.into_iter();
    match *metric {
        names::NODES => [NodeStatus::Active, NodeStatus::Draining, NodeStatus::Failed, NodeStatus::Left]
            .into_iter()
            .map(|status| {
                let count = topology.cluster().members().filter(|member| member.status == status).count();
                (Some(status.name().to_owned()), float(count as u64))
            })
            .collect(),
        names::SHARDS_ASSIGNED => one(float(ShardCounts::of(picture).assigned)),
        names::SHARDS_ORPHANED => one(float(ShardCounts::of(picture).orphaned)),
        names::IS_LEADER => one(if picture.leading.is_some() { 1.0 } else { 0.0 }),
        names::LEADER_TERM => one(float(topology.leadership().term().0)),
        names::LEASE_EXPIRES => one(picture.leading.map_or(0.0, |(_, left)| left.as_secs_f64())),
        names::RENEWAL_AGE => picture.renewed.map(|age| (None, age.as_secs_f64())).into_iter().collect(),
        names::HEARTBEAT_LATENCY => {
            let ages = picture.heartbeats.iter();
            ages.map(|(node, (_, age))| (Some(node.to_string()), age.as_secs_f64())).collect()
        }
        names::NATS_CONNECTED => {
            picture.nats.map(|nats| (None, if nats.connected { 1.0 } else { 0.0 })).into_iter().collect()
        }
        names::NATS_RECONNECTS => picture.nats.map(|nats| (None, float(nats.reconnects))).into_iter().collect(),
        names::NATS_SERVER_ERRORS => picture.nats.map(|nats| (None, float(nats.server_errors))).into_iter().collect(),
        names::REBALANCING_ACTIVE => one(if topology.cluster().plan().is_some() { 1.0 } else { 0.0 }),
        names::REBALANCING_PAUSED => one(if topology.cluster().wish() == Wish::Resume { 0.0 } else { 1.0 }),
        names::NODE_LOAD => nodes().map(|node| (Some(node.id), float(node.commands_per_second))).collect(),
        names::NODE_ACTORS => nodes().map(|node| (Some(node.id), float(node.actors))).collect(),
        names::NODE_SHARDS => nodes().map(|node| (Some(node.id), float(node.shards))).collect(),
        names::EPOCH => one(float(topology.epoch().0)),
        names::BUILD_INFO => vec![(Some(picture.build.clone()), 1.0)],
        names::SHARDS_TOO_HOT => one(float(picture.placement.too_hot.len() as u64)),
        names::ACTORS_QUARANTINED => one(float(picture.quarantined.len() as u64)),
        names::SPLIT_BRAIN_SUSPICIONS => one(float(picture.split_brain.suspicions.len() as u64)),
        names::CLUSTER_HEALTH => one(match picture.health.verdict {
            ClusterVerdict::Ok => 0.0,
            ClusterVerdict::Degraded => 1.0,
            ClusterVerdict::Critical => 2.0,
        }),
        names::FEED_WORKING => feeds(picture, |feed| if feed.state == FeedState::Working { 1.0 } else { 0.0 }),
        names::FEED_BEHIND => feeds(picture, |feed| float(feed.behind())),
        names::FEED_LAG => feeds(picture, |feed| feed.lag.as_secs_f64()),
        names::FEED_HANDLED => feeds(picture, |feed| float(feed.handled)),
        names::FEED_FAILURES => feeds(picture, |feed| float(feed.failures)),
        names::FEED_SKIPPED => feeds(picture, |feed| float(feed.skipped)),
        names::MOVE_DURATION => MovePhase::ALL
            .iter()
            .zip(picture.handover.phases)
            .filter(|(phase, _)| !phase.is_end())
            .map(|(phase, (micros, _))| (Some(phase.name().to_owned()), float(micros) / 1e6))
            .collect(),
        names::MOVE_PAUSE => one(float(picture.handover.paused_micros) / 1e6),
        _ => {
            let ours = picture.counters.iter().filter(|counter| counter.metric == *metric);
            ours.map(|counter| (counter.label.map(str::to_owned), float(counter.count))).collect()
        }
    }
}

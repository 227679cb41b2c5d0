//! A node's metrics in OpenMetrics text, made afresh from a [`Picture`] at each scrape.
//!
//! Nothing is registered globally, so several nodes fit in one process. The names are in [`names`].

pub mod names;

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use aether_domain::cluster::NodeStatus;
use aether_domain::orders::Wish;
use aether_runtime::feed::{FeedState, FeedStats};
use aether_runtime::handover::MovePhase;
use aether_runtime::projection::ClusterVerdict;
use aether_runtime::shard::KindStats;
use aether_runtime::spread::Spread;

use crate::admin::{NodesView, Picture, ShardCounts};
use names::{Kind, Metric};

/// What a scrape answers in its header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The values of a metric's labels, if it has any, and the figure.
type Sample<T = f64> = (Vec<String>, T);

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
            match metric.kind {
                Kind::Gauge => {
                    let write_one = |figure: &f64, to: MetricEncoder<'_>| ConstGauge::new(*figure).encode(to);
                    write(&mut encoder, metric, MetricType::Gauge, &samples(metric, &self.0), write_one)?;
                }
                Kind::Counter => {
                    let write_one = |figure: &f64, to: MetricEncoder<'_>| ConstCounter::new(*figure).encode(to);
                    write(&mut encoder, metric, MetricType::Counter, &samples(metric, &self.0), write_one)?;
                }
                Kind::Histogram => {
                    write(&mut encoder, metric, MetricType::Histogram, &spreads(metric, &self.0), write_spread)?;
                }
            }
        }
        Ok(())
    }
}

fn write<T>(
    encoder: &mut DescriptorEncoder,
    metric: &Metric,
    kind: MetricType,
    samples: &[Sample<T>],
    write_one: impl Fn(&T, MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut described = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
    for (values, figure) in samples {
        if metric.labels.is_empty() {
            return write_one(figure, described);
        }
        let labels: Vec<_> = metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        write_one(figure, described.encode_family(&labels.as_slice())?)?;
    }
    Ok(())
}

fn write_spread(spread: &Spread, mut to: MetricEncoder<'_>) -> fmt::Result {
    let bound = |bound: Option<Duration>| bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64());
    let buckets: Vec<_> = spread.buckets().map(|(below, count)| (bound(below), count)).collect();
    to.encode_histogram::<NoLabelSet>(spread.sum().as_secs_f64(), spread.count(), &buckets, None)
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
    picture.feeds.iter().map(|feed| (vec![feed.name.to_string()], of(feed))).collect()
}

/// A figure of every kind of actors, by name.
fn kinds(picture: &Picture, of: impl Fn(&KindStats) -> u64) -> Vec<Sample> {
    picture.kinds.iter().map(|kind| (vec![kind.kind.to_string()], float(of(kind)))).collect()
}

/// What became of actors of every kind, by name.
fn passivations(picture: &Picture) -> Vec<Sample> {
    let reasons = |kind: &KindStats| [("idle", kind.passivations), ("room", kind.evictions)];
    let each = picture.kinds.iter().flat_map(|kind| {
        reasons(kind).map(|(reason, count)| (vec![kind.kind.to_string(), reason.to_owned()], float(count)))
    });
    each.collect()
}

fn spreads(metric: &Metric, picture: &Picture) -> Vec<Sample<Spread>> {
    match *metric {
        names::COMMAND_DURATION => vec![(Vec::new(), picture.command_times)],
        names::APPEND_DURATION => vec![(Vec::new(), picture.append_times)],
        names::MOVE_PAUSE => vec![(Vec::new(), picture.handover.paused)],
        names::MOVE_DURATION => {
            let phases = MovePhase::ALL.iter().filter(|phase| !phase.is_end()).zip(picture.handover.phases);
            phases.map(|(phase, spread)| (vec![phase.name().to_owned()], spread)).collect()
        }
        _ => Vec::new(),
    }
}

fn samples(metric: &Metric, picture: &Picture) -> Vec<Sample> {
    let one = |figure| vec![(Vec::new(), figure)];
    let topology = &picture.topology;
    let nodes = || NodesView::of(picture).nodes.into_iter();
    match *metric {
        names::NODES => [NodeStatus::Active, NodeStatus::Draining, NodeStatus::Failed, NodeStatus::Left]
            .into_iter()
            .map(|status| {
                let count = topology.cluster().members().filter(|member| member.status == status).count();
                (vec![status.name().to_owned()], float(count as u64))
            })
            .collect(),
        names::SHARDS_ASSIGNED => one(float(ShardCounts::of(picture).assigned)),
        names::SHARDS_ORPHANED => one(float(ShardCounts::of(picture).orphaned)),
        names::IS_LEADER => one(if picture.leading.is_some() { 1.0 } else { 0.0 }),
        names::LEADER_TERM => one(float(topology.leadership().term().0)),
        names::LEASE_EXPIRES => one(picture.leading.map_or(0.0, |(_, left)| left.as_secs_f64())),
        names::RENEWAL_AGE => picture.renewed.map(|age| (Vec::new(), age.as_secs_f64())).into_iter().collect(),
        names::HEARTBEAT_LATENCY => {
            let ages = picture.heartbeats.iter();
            ages.map(|(node, (_, age))| (vec![node.to_string()], age.as_secs_f64())).collect()
        }
        names::NATS_CONNECTED => {
            picture.nats.map(|nats| (Vec::new(), if nats.connected { 1.0 } else { 0.0 })).into_iter().collect()
        }
        names::NATS_RECONNECTS => picture.nats.map(|nats| (Vec::new(), float(nats.reconnects))).into_iter().collect(),
        names::NATS_SERVER_ERRORS => {
            picture.nats.map(|nats| (Vec::new(), float(nats.server_errors))).into_iter().collect()
        }
        names::REBALANCING_ACTIVE => one(if topology.cluster().plan().is_some() { 1.0 } else { 0.0 }),
        names::REBALANCING_PAUSED => one(if topology.cluster().wish() == Wish::Resume { 0.0 } else { 1.0 }),
        names::NODE_LOAD => nodes().map(|node| (vec![node.id], float(node.commands_per_second))).collect(),
        names::NODE_ACTORS => nodes().map(|node| (vec![node.id], float(node.actors))).collect(),
        names::NODE_SHARDS => nodes().map(|node| (vec![node.id], float(node.shards))).collect(),
        names::EPOCH => one(float(topology.epoch().0)),
        names::BUILD_INFO => vec![(vec![picture.build.clone()], 1.0)],
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
        names::NATS_RTT => {
            let took = picture.nats.and(picture.round_trip);
            took.map(|took| (Vec::new(), took.as_secs_f64())).into_iter().collect()
        }
        names::ACTIVATIONS => kinds(picture, |kind| kind.activations),
        names::REPLAYED => kinds(picture, |kind| kind.replayed),
        names::PASSIVATIONS => passivations(picture),
        _ => {
            let ours = picture.counters.iter().filter(|counter| counter.metric == *metric);
            ours.map(|counter| (counter.label.map(str::to_owned).into_iter().collect(), float(counter.count))).collect()
        }
    }
}

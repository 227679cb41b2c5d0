//! What one node knows at one moment: all that its pages and metrics are made of.
//!
//! Plain values, so that a page is a pure function and a test needs no cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::policy::PlacementPolicy;
use aether_domain::ports::{ControlStore, DeadLetters};
use aether_domain::records::MemberRecord;
use aether_domain::topology::Topology;
use aether_domain::{Namespace, NodeId, NodeRef, ShardId, ShardSet, Term};

use aether_runtime::control::Preview;
use aether_runtime::feed::FeedStats;
use aether_runtime::handover::{HandoverStats, MoveStatus};
use aether_runtime::projection::{HealthView, Why};
use aether_runtime::shard::{KindStats, Quarantined};
use aether_runtime::splitbrain::SplitBrain;
use aether_runtime::spread::Spread;
use aether_runtime::subscription::{Since, TopologyEvents};

use crate::metrics::names::Metric;

/// Where pages get their picture.
pub trait Source: Send + Sync + 'static {
    /// What is known now; nothing before the node has begun.
    fn picture(&self) -> Option<Picture>;

    /// What happens to the cluster, from there on; nothing before the node has begun.
    fn topology_events(&self, since: Since) -> Option<TopologyEvents>;

    /// Why that shard is where it is; nothing before the node has begun.
    fn why(&self, shard: ShardId) -> Option<Why>;

    /// What a plan would move if it were made now, or why there is none; nothing before the node has begun.
    fn preview(&self) -> Option<Result<Preview, String>> {
        None
    }

    /// Where the commands are that were given up; nothing before the node has begun.
    fn dead_letters(&self) -> Option<Arc<dyn DeadLetters>> {
        None
    }

    /// Where what operators ask is written; nothing before the node has begun.
    fn control(&self) -> Option<Arc<dyn ControlStore>> {
        None
    }
}

/// One node's knowledge at one moment.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The cluster's name.
    pub namespace: Namespace,
    /// Whose knowledge this is.
    pub me: NodeRef,
    /// What the node is doing: `joining`, `active`, `paused`, `draining`, `faulty` or `stopped`.
    pub phase: &'static str,
    /// Whether this life of it has found its place.
    pub settled: bool,
    /// How much longer it may answer from memory; zero if it may not.
    pub serve_left: Duration,
    /// The fold of the log as far as it has read.
    pub topology: Arc<Topology>,
    /// Its own leadership, with what is left of the lease.
    pub leading: Option<(Term, Duration)>,
    /// How long ago its last stored renewal of the lease was sent, if it leads.
    pub renewed: Option<Duration>,
    /// The last heartbeat seen of each node, and how long ago it was first seen.
    pub heartbeats: BTreeMap<NodeId, (MemberRecord, Duration)>,
    /// Why it stopped by itself, if it did.
    pub fault: Option<String>,
    /// What it has counted since it started.
    pub counters: Vec<Counter>,
    /// What the actors of each kind have done here, in the order of the kinds' names.
    pub kinds: Vec<KindStats>,
    /// How long commands took here, one in 16 of them.
    pub command_times: Spread,
    /// How long the store took over this node's commits.
    pub append_times: Spread,
    /// How long this node's last stored heartbeat took to be stored.
    pub round_trip: Option<Duration>,
    /// How everybody is.
    pub health: HealthView,
    /// What its split-brain watch has seen.
    pub split_brain: Arc<SplitBrain>,
    /// What it knows of placement beside the log.
    pub placement: PlacementPicture,
    /// The actors it has set aside until a person looks, at most 1,024 of them.
    pub quarantined: Vec<Quarantined>,
    /// The moves it knows of as their source or destination, the latest first.
    pub moves: Vec<MoveStatus>,
    /// What it has handed over of actors that follow their shards.
    pub handover: HandoverStats,
    /// The feeds it subscribed to, by name.
    pub feeds: Vec<Arc<FeedStats>>,
    /// Its connection to NATS; nothing in memory.
    pub nats: Option<NatsPicture>,
    /// The build, for people.
    pub build: String,
}

/// What one node knows of placement beside what the log has adopted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementPicture {
    /// The policy that an operator wants, if one does.
    pub desired: Option<Arc<PlacementPolicy>>,
    /// Why this node, if it led, could not adopt it.
    pub obstacle: Option<String>,
    /// Shards that alone are more than a node is to bear, each with how much of that it is in percent, if it leads.
    pub too_hot: Vec<(ShardId, u32)>,
    /// Why the adopted strategy is not planned by, if the leader has found so.
    pub rejected: Option<String>,
    /// Shards whose pins or rules nobody can obey now.
    pub unmet: ShardSet,
    /// The strategies that this node knows.
    pub strategies: Vec<String>,
}

/// One count since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Of what.
    pub metric: Metric,
    /// The value of the metric's label, if it has one.
    pub label: Option<&'static str>,
    /// How many.
    pub count: u64,
}

/// The connection to NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatsPicture {
    /// Whether it is up.
    pub connected: bool,
    /// How often it was established anew.
    pub reconnects: u64,
    /// How often a server has refused something or complained.
    pub server_errors: u64,
}

impl Picture {
    /// Whether that life's heartbeat is the last one seen of its node, and what it says.
    pub fn heartbeat(&self, node: &NodeRef) -> Option<&MemberRecord> {
        self.heartbeats.get(&node.node).map(|(record, _)| record).filter(|record| record.node == *node)
    }
}

//! What one node knows at one moment: all that its pages and metrics are made of.
//!
//! Plain values, so that a page is a pure function and a test needs no cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::records::MemberRecord;
use aether_domain::topology::Topology;
use aether_domain::{Namespace, NodeId, NodeRef, Term};

/// Where pages get their picture.
pub trait Source: Send + Sync + 'static {
    /// What is known now; nothing before the node has begun.
    fn picture(&self) -> Option<Picture>;
}

/// One node's knowledge at one moment.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The cluster's name.
    pub namespace: Namespace,
    /// Whose knowledge this is.
    pub me: NodeRef,
    /// What the node is doing: `joining`, `active`, `paused`, `draining`, `fenced` or `stopped`.
    pub phase: &'static str,
    /// How much longer it may answer from memory; zero if it may not.
    pub serve_left: Duration,
    /// The fold of the log as far as it has read.
    pub topology: Arc<Topology>,
    /// Its own leadership, with what is left of the lease.
    pub leading: Option<(Term, Duration)>,
    /// The last heartbeat seen of each node.
    pub heartbeats: BTreeMap<NodeId, MemberRecord>,
    /// Why it stopped by itself, if it did.
    pub fault: Option<String>,
    /// What it has counted since it started.
    pub counters: Counters,
    /// The build, for people.
    pub build: String,
}

/// What a node has counted since it started, and how much it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Actors in memory now.
    pub actors: u64,
    /// Each counter by its metric, with the value of its label if it has one.
    pub counted: BTreeMap<(&'static str, Option<String>), u64>,
}

impl Picture {
    /// Whether that life's heartbeat is the last one seen of its node, and what it says.
    pub fn heartbeat(&self, node: &NodeRef) -> Option<&MemberRecord> {
        self.heartbeats.get(&node.node).filter(|record| record.node == *node)
    }
}

//! What is read of a node's pages, where the pages' own types only write. Fields that are not known are kept where they are
//! shown again as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `/v1/shards`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Shards {
    pub(super) epoch: u64,
    pub(super) total: u64,
    /// Each owner's shards, as runs.
    pub(super) owners: BTreeMap<String, String>,
    pub(super) orphaned: String,
    pub(super) moving: String,
}

/// `/v1/shards/{n}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ShardPage {
    pub(super) epoch: u64,
    pub(super) shard: u16,
    pub(super) state: String,
    pub(super) owner: Option<String>,
    pub(super) incarnation: Option<String>,
    pub(super) shard_epoch: Option<u64>,
    pub(super) to: Option<String>,
    pub(super) drain_epoch: Option<u64>,
}

/// `/v1/shards/{n}/why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Why {
    pub(super) epoch: u64,
    pub(super) shard: u16,
    pub(super) owner: Option<String>,
    pub(super) entries: Vec<Entry>,
    pub(super) whole: bool,
}

/// `/v1/events`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Events {
    /// The last entry that the node has applied.
    pub(super) epoch: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) next: u64,
}

/// One entry of the topology log.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Entry {
    pub(super) epoch: u64,
    pub(super) term: u64,
    pub(super) leader: String,
    pub(super) cause: String,
    pub(super) unix_millis: u64,
    pub(super) events: Vec<Event>,
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// One event of an entry.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Event {
    pub(super) name: String,
    /// Of a move, where from and where to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) nodes: Vec<String>,
    /// As runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shards: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// `/v1/health`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Health {
    pub(super) verdict: String,
    pub(super) reasons: Vec<String>,
    pub(super) nodes: Vec<NodeHealth>,
}

/// How one node is.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeHealth {
    pub(super) id: String,
    pub(super) verdict: String,
}

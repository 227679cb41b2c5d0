//! What is known of a cluster: the nodes' pages, as far as the screen shows them. Fields that are not known are passed over.

mod natural;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::map::Map;
use crate::text::Text;
pub use natural::natural;

/// The cluster at one moment, as one node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// `/v1/cluster`; its nodes in the order they are shown in.
    pub cluster: Cluster,
    /// `/v1/health`.
    pub health: Health,
    /// `/v1/moves`, with what the other nodes say of the moves they have a part in.
    pub moves: Moves,
    /// Whose the shards are.
    pub map: Map,
    /// What is wrong, the worst first.
    pub alerts: Vec<Alert>,
    /// Whether the node that was asked has a connection to NATS.
    pub connected: bool,
    /// For how long the plan under way has been, in milliseconds, by two clocks.
    pub plan_ms: Option<u64>,
    /// How the load stands, where whoever shows the screen has started one.
    pub load: Option<Text>,
}

impl View {
    /// The node of that id.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.cluster.nodes.iter().find(|node| &*node.id == id)
    }

    /// How that node is: what health finds of it, if that is worth a word, or its status.
    pub fn word<'a>(&'a self, node: &'a Node) -> &'a str {
        let health = self.health.nodes.iter().find(|health| health.id == node.id).map(|health| &*health.verdict);
        let owns = matches!(&*node.status, "active" | "draining");
        match (&node.process, health) {
            // Of a process that has ended the log soon has a better word.
            (Some(Process { state: ProcessState::Ended, .. }), _) if owns => ProcessState::Ended.name(),
            (Some(Process { state: ProcessState::Frozen, .. }), _) => ProcessState::Frozen.name(),
            (_, Some(verdict)) if verdict != "healthy" && &*node.status != "left" => verdict,
            _ if self.leads(node) => "leads",
            _ => &node.status,
        }
    }

    /// Whether that node leads.
    pub fn leads(&self, node: &Node) -> bool {
        self.cluster.leader.as_ref() == Some(&node.id) && &*node.status == "active"
    }

    /// Whether that node serves what it owns, as far as is heard.
    pub fn is_heard(&self, node: &Node) -> bool {
        let health = self.health.nodes.iter().find(|health| health.id == node.id).map(|health| &*health.verdict);
        matches!(&*node.status, "active" | "draining")
            && !matches!(health, Some("silent" | "paused" | "failed" | "left"))
    }

    /// Whether redistribution is as an operator wants it to be, and not as usual.
    pub fn paused(&self) -> bool {
        self.cluster.order.as_ref().is_some_and(|order| &*order.wish != "resume")
    }
}

/// `GET /v1/cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    /// The cluster's name.
    pub namespace: Text,
    /// The cluster's identity.
    #[serde(default)]
    pub cluster_uid: Text,
    /// The node that says so.
    #[serde(default)]
    pub me: Text,
    /// The last entry of the log it has applied.
    pub epoch: u64,
    /// The last term started.
    pub term: u64,
    /// Who leads.
    pub leader: Option<Text>,
    /// What is left of the lease, which only its holder knows.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// Every node that the log has heard of.
    pub nodes: Vec<Node>,
    /// Shards by state.
    pub shards: Counts,
    /// What an operator asked of redistribution last.
    #[serde(default)]
    pub order: Option<Order>,
}

/// The lease of leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Lease {
    /// How long one renewal is good for.
    pub ttl_ms: u64,
    /// How much of that is left.
    pub left_ms: u64,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: Text,
    /// Its last known life.
    #[serde(default)]
    pub incarnation: Text,
    /// `active`, `draining`, `failed` or `left`.
    pub status: Text,
    /// How many shards it owns.
    #[serde(default)]
    pub shards: u64,
    /// How many actors it holds.
    #[serde(default)]
    pub actors: u64,
    /// Where its own pages are.
    #[serde(default)]
    pub admin_url: Option<String>,
    /// Commands a second.
    #[serde(default)]
    pub commands_per_second: u64,
    /// Its relative capacity.
    #[serde(default)]
    pub weight: u64,
    /// Which nodes it may fail together with.
    #[serde(default)]
    pub zone: Option<Text>,
    /// What can be said of it.
    #[serde(default)]
    pub tags: Vec<Text>,
    /// The entry that gave it this status.
    #[serde(default)]
    pub since_epoch: u64,
    /// `trusted`, `suspected` or `relieved`.
    #[serde(default)]
    pub trust: Text,
    /// The last entry that it had applied.
    #[serde(default)]
    pub view_epoch: Option<u64>,
    /// What it runs.
    #[serde(default)]
    pub build: Option<Text>,
    /// How long ago it was heard.
    #[serde(default)]
    pub heard_ms: Option<u64>,
    /// Its process, where whoever shows the screen runs it.
    #[serde(skip)]
    pub process: Option<Process>,
}

/// A node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// How it is.
    pub state: ProcessState,
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It exists and does nothing.
    Frozen,
    /// It is not there any more.
    Ended,
}

impl ProcessState {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "runs",
            Self::Frozen => "frozen",
            Self::Ended => "ended",
        }
    }
}

/// Shards by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    /// Those with an owner.
    pub assigned: u64,
    /// Those without.
    pub orphaned: u64,
    /// Those that their owner has been asked to release.
    #[serde(default)]
    pub moving: u64,
}

/// What an operator asked of redistribution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// `pause`, `cancel` or `resume`.
    pub wish: Text,
    /// Who asked.
    pub by: Text,
}

/// `GET /v1/health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `ok`, `degraded` or `critical`.
    pub verdict: Text,
    /// Why.
    #[serde(default)]
    pub reasons: Vec<Text>,
    /// Every node.
    #[serde(default)]
    pub nodes: Vec<NodeHealth>,
}

/// How one node is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NodeHealth {
    /// Its id.
    pub id: Text,
    /// In a word.
    pub verdict: Text,
}

/// `GET /v1/moves`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Moves {
    /// The plan under way.
    pub plan: Option<Plan>,
    /// Shards whose owners have been asked to release them.
    #[serde(default)]
    pub draining: Vec<Way>,
    /// Shards whose turn will come.
    #[serde(default)]
    pub pending: Vec<Way>,
    /// How far moves are, as their nodes know it.
    #[serde(default)]
    pub here: Vec<Move>,
}

/// A plan under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Plan {
    /// The entry that announced it.
    pub id: u64,
    /// Why.
    pub cause: Text,
    /// How many moves it has.
    pub planned: u64,
    /// How many of them are done.
    pub moved: u64,
}

/// Shards that go the same way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Way {
    /// Which, as runs.
    pub shards: String,
    /// Whose they are.
    pub from: Text,
    /// Whose they are to be.
    pub to: Text,
}

/// How far one move is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Move {
    /// Which shard.
    pub shard: u64,
    /// The entry that asked for it.
    #[serde(default)]
    pub drain_epoch: u64,
    /// Where it is.
    pub phase: Text,
    /// When it began.
    #[serde(default)]
    pub reached: Vec<Reached>,
}

impl Move {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(&*self.phase, "completed" | "failed")
    }
}

/// When a move reached a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Reached {
    /// By the node's clock, in milliseconds since 1970.
    pub at_ms: u64,
}

/// `GET /v1/shards`.
#[derive(Clone, Debug, Deserialize)]
pub struct Shards {
    /// The last entry that the node has applied.
    pub epoch: u64,
    /// How many shards there are.
    pub total: usize,
    /// Each owner's, as runs.
    pub owners: BTreeMap<String, String>,
    /// Those without, as runs.
    #[serde(default)]
    pub orphaned: String,
    /// Those on their way, as runs.
    #[serde(default)]
    pub moving: String,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Whether it is not as it must be; otherwise somebody should look.
    pub critical: bool,
    /// What.
    pub text: Text,
}

/// One entry of the topology log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Its number.
    pub epoch: u64,
    /// The term that it was written in.
    #[serde(default)]
    pub term: u64,
    /// Who wrote it.
    #[serde(default)]
    pub leader: Text,
    /// Why.
    #[serde(default)]
    pub cause: Text,
    /// When, by the leader's clock.
    #[serde(default)]
    pub unix_millis: u64,
    /// What happened.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// One event of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// Its name.
    pub name: Text,
    /// The nodes that it is about.
    #[serde(default)]
    pub nodes: Vec<Text>,
    /// The shards that it is about, as runs.
    #[serde(default)]
    pub shards: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<Text>,
}

/// One shard, and what led to where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// `/v1/shards/{n}`.
    pub now: Shard,
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// Whether that is all there is.
    pub whole: bool,
}

/// `GET /v1/shards/{n}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Shard {
    /// `owned`, `draining` or `orphaned`.
    pub state: Text,
    /// Whose it is.
    pub owner: Option<Text>,
    /// Which life of it.
    pub incarnation: Option<Text>,
    /// Since which entry: its fencing token.
    pub shard_epoch: Option<u64>,
    /// Whose it is to be.
    pub to: Option<Text>,
}

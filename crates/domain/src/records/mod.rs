//! What is stored: the control records (lease, member, release, topology snapshot, desired placement, orders), the topology
//! entry, the actor commit, and what is kept beside histories (snapshots, wakes, checkpoints, dead letters).
//!
//! These are the meanings; their bytes belong to the adapters. A record says nothing of clocks: it carries durations,
//! and stamps only for people.

mod commit;
mod head;
mod keeping;

pub use commit::{CommandMark, CommitRecord, EventRecord, PayloadCodec, StoredCommit};
pub use head::{Broken, Head};
pub use keeping::{
    ActorSnapshot, Checkpoint, DeadLetter, FeedState, MissedTicks, OriginMarks, StoredCheckpoint, StoredLetter,
    StoredReply, Timer, TimerChange, Wake, WarmActor,
};

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::NodeInfo;
use crate::ids::{ClusterUid, Epoch, NodeId, NodeRef, Nonce, Revision, Sequence, ShardId, ShardSet, Term};
use crate::orders::Orders;
use crate::policy::PlacementPolicy;
use crate::time::WallTime;
use crate::topology::{Topology, TopologyEvent};

/// The single record that says who tries to lead. Holding it gives no right by itself: the topology log decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The term its holder was elected for.
    pub term: Term,
    /// Who holds it, or held it last.
    pub holder: NodeRef,
    /// How long a renewal lasts.
    pub ttl: Duration,
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// Whether it is held or was given back.
    pub state: LeaseState,
}

/// Whether a lease is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// By its holder, until others see no change for long enough.
    Held,
    /// Given back: anyone may take it at once.
    Resigned,
}

/// A node's own record: its heartbeat, and the place where it is fenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Which life of which node wrote it (or, when fenced, which life is over).
    pub node: NodeRef,
    /// What that life is doing.
    pub state: MemberState,
    /// Counts this life's heartbeats from 1.
    pub heartbeat: u64,
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// The interval it promises to beat at.
    pub heartbeat_every: Duration,
    /// The last topology epoch it has applied.
    pub view: Epoch,
    /// What it carries.
    pub load: Load,
    /// What it is like.
    pub info: NodeInfo,
    /// Where its admin pages are, for people and tools; empty if it has none.
    pub admin_url: String,
    /// The build that wrote it, for people.
    pub build: String,
    /// Drawn by the supervisor that runs this process, if one does: how it finds the record of a process it has seen die.
    pub supervisor: Option<Nonce>,
    /// How well it is.
    pub health: Health,
    /// What the shards it has most to do for cost it, by shard, each once; at most [`MemberRecord::SHARD_LOADS_MAX`]. Empty
    /// unless load decides where shards are.
    pub shard_loads: Vec<(ShardId, u32)>,
    /// The digest of the shard map that it routes by, at [`MemberRecord::view`]; 0 if it has not computed one.
    pub digest: u128,
    /// The newest format that it reads.
    pub reads: Format,
}

impl MemberRecord {
    /// How often a node says what its shards cost it, while load decides where shards are.
    pub const SHARD_LOADS_EVERY: Duration = Duration::from_secs(5);
    /// The most shards whose load a node tells at a time.
    pub const SHARD_LOADS_MAX: usize = 512;
}

/// What a life of a node says it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has registered and waits to be logged as joined.
    Starting,
    /// It serves.
    Alive,
    /// It asks to hand its shards over and leave.
    Leaving,
    /// It is over: written by the leader. Never undone; the node takes a new life.
    Fenced,
    /// Its process has ended: written by the supervisor that saw it die. It serves nothing from that moment on.
    Dead,
}

impl MemberState {
    /// Every state with its stable name.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::Starting, "starting"),
        (Self::Alive, "alive"),
        (Self::Leaving, "leaving"),
        (Self::Fenced, "fenced"),
        (Self::Dead, "dead"),
    ];

    /// Whether the life that the record speaks of is over, whoever ended it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Fenced | Self::Dead)
    }
}

/// A small measure of what a node carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Actors in memory.
    pub actors: u32,
    /// Commands answered per second, lately.
    pub commands_per_second: u32,
}

/// How well a node is, by its own measure and since its last heartbeats: what a slow node cannot hide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The longest that work was ready to run and did not run.
    pub loop_lag: Duration,
    /// What 99 of 100 commits took at most.
    pub commit_p99: Duration,
    /// How long commands have waited at some shard without one being taken.
    pub mailbox_age: Duration,
    /// Nodes that do not answer this one as they should; at most [`Health::ACCUSED_MAX`].
    pub accuses: Vec<NodeId>,
    /// Shards that the log gives to this life and that it cannot serve, although it has tried for a while; at most
    /// [`Health::UNSERVED_MAX`], the others in their turn.
    pub unserved: ShardSet,
}

impl Health {
    /// The most nodes that one accuses at a time.
    pub const ACCUSED_MAX: usize = 8;
    /// The most shards that a node says it cannot serve at a time.
    pub const UNSERVED_MAX: usize = 64;

    /// The worse of two readings in each respect; who is accused and what is not served is as the later one says.
    #[must_use]
    pub fn or_worse(self, later: Self) -> Self {
        Self {
            loop_lag: self.loop_lag.max(later.loop_lag),
            commit_p99: self.commit_p99.max(later.commit_p99),
            mailbox_age: self.mailbox_age.max(later.mailbox_age),
            accuses: later.accuses,
            unserved: later.unserved,
        }
    }
}

/// What a node has given up: written once it no longer serves these shards and never will under that epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseReport {
    /// Who released.
    pub node: NodeRef,
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// The shards, each with the epoch of the entry that asked for them.
    pub released: Vec<(ShardSet, Epoch)>,
}

/// The fold of the topology log up to one entry: a node that starts need not read what came before. It is only ever a
/// cache: whoever reads one asks the log whether it holds that very entry, and can do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologySnapshot {
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// The fold, which knows up to which entry it is. It has seen one at least.
    pub topology: Arc<Topology>,
}

/// What an operator wants of placement. Nothing is done by it until the leader has taken it into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredPlacement {
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// The policy that the cluster is to go by.
    pub policy: Arc<PlacementPolicy>,
}

/// What operators ask of the cluster beside placement. It is written by them alone; the leader, and the nodes named, do as it
/// says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdersRecord {
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// What they ask.
    pub orders: Arc<Orders>,
}

/// The six kinds of control record, which share one store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every one holds a heartbeat, which is the large one")]
pub enum ControlRecord {
    /// Who tries to lead.
    Lease(LeaseRecord),
    /// A node's heartbeat.
    Member(MemberRecord),
    /// What a node has released.
    Release(ReleaseReport),
    /// The fold of the topology log.
    Snapshot(TopologySnapshot),
    /// What an operator wants of placement.
    Placement(DesiredPlacement),
    /// What operators ask beside that.
    Orders(OrdersRecord),
}

impl ControlRecord {
    /// The key this record is stored under.
    pub fn key(&self) -> ControlKey {
        match self {
            Self::Lease(_) => ControlKey::Lease,
            Self::Member(member) => ControlKey::Member(member.node.node.clone()),
            Self::Release(report) => ControlKey::Release(report.node.node.clone()),
            Self::Snapshot(_) => ControlKey::TopologySnapshot,
            Self::Placement(_) => ControlKey::Placement,
            Self::Orders(_) => ControlKey::Orders,
        }
    }
    /// The writer's mark.
    pub fn nonce(&self) -> Nonce {
        match self {
            Self::Lease(record) => record.nonce,
            Self::Member(record) => record.nonce,
            Self::Release(record) => record.nonce,
            Self::Snapshot(record) => record.nonce,
            Self::Placement(record) => record.nonce,
            Self::Orders(record) => record.nonce,
        }
    }
}

/// Names one control record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControlKey {
    /// The leadership lease: one for the cluster.
    Lease,
    /// The record of that node.
    Member(NodeId),
    /// The release report of that node.
    Release(NodeId),
    /// The snapshot of the topology: one for the cluster. No watch tells of it.
    TopologySnapshot,
    /// The placement policy that an operator wants: one for the cluster.
    Placement,
    /// What operators ask beside that: one for the cluster.
    Orders,
}

/// A control record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// What was written.
    pub record: ControlRecord,
    /// What the next write must expect.
    pub revision: Revision,
}

/// How records are laid out as bytes: a number that grows with each change that a build before it cannot read.
///
/// A build reads every format up to its newest. What it writes is decided by the log: nobody writes a newer format than
/// that of the newest entry, and an entry is written in the newest format that every member reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Format(pub u8);

impl Format {
    /// The first there was. Every build reads it.
    pub const FIRST: Self = Self(1);
}

impl Default for Format {
    fn default() -> Self {
        Self::FIRST
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of the topology log: everything that happened at once, by whom, in which term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The format it is written in. From this entry on everything may be.
    pub format: Format,
    /// Whose log this is.
    pub cluster: ClusterUid,
    /// The previous entry's epoch plus one.
    pub epoch: Epoch,
    /// The term of the leader that wrote it.
    pub term: Term,
    /// The leader that wrote it.
    pub leader: NodeRef,
    /// Lets the writer recognise its own entry.
    pub nonce: Nonce,
    /// The [`Position::hash`] of the entry before; 0 in the first.
    pub prev_hash: u64,
    /// Why, in words for people: `join n2`, `failure of n3`.
    pub cause: String,
    /// When, for people.
    pub at: WallTime,
    /// What happened, in order; never empty.
    pub events: Vec<TopologyEvent>,
}

/// Where something is stored, and what its bytes hash to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The place in its stream: what the next append must name.
    pub sequence: Sequence,
    /// A 64-bit hash of the stored bytes: what the next record must carry as `prev_hash`. 0 before the first record.
    pub hash: u64,
}

/// A topology entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// What was written.
    pub entry: Entry,
    /// Where.
    pub at: Position,
}

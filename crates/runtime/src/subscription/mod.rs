//! Topology events for other contexts: every entry of the log, once and in order, from any epoch on.
//!
//! The log is the queue: a subscriber reads it at its own pace and keeps the last epoch it has seen, so there is nothing
//! here that could overflow, lag behind or be lost with a process. What one subscriber holds is one batch of at most
//! [`READ_BATCH`] entries, whatever it does; whether the log has grown it learns from a number, not from the entries. So
//! one that is slow, stuck or gone holds nobody back.
//!
//! [`topology_events`] needs only the port; a node's own ([`crate::node::Runtime::topology_events`]) learns of growth
//! from the fold that the node keeps anyway. [`shard_migrations`] is the same, for those who follow shards from owner to
//! owner. Not here: what to make of the events ([`crate::projection`]).
//!
//! ```
//! # use std::sync::Arc;
//! # use aether_domain::cluster::{ClusterEvent, NodeInfo};
//! # use aether_domain::ids::{ClusterUid, Epoch, Nonce, Sequence, Term};
//! # use aether_domain::records::Entry;
//! # use aether_domain::testing::life;
//! # use aether_domain::time::WallTime;
//! use aether_infra_memory::MemoryHub;
//! use aether_runtime::subscription::{Since, topology_events};
//! use futures_util::StreamExt as _;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
//! # runtime.block_on(async {
//! let hub = MemoryHub::new();
//! let log = hub.ports(&life("a", 1).node).log;
//! # let entry = Entry {
//! #     format: Default::default(),
//! #     cluster: ClusterUid(7), epoch: Epoch(1), term: Term(1), leader: life("a", 1), nonce: Nonce(1), prev_hash: 0,
//! #     cause: "join a".into(), at: WallTime::default(),
//! #     events: vec![ClusterEvent::NodeJoined { node: life("a", 1), info: NodeInfo::default() }.into()],
//! # };
//! # log.append(&entry, Sequence::ZERO).await.expect("appended");
//! let mut events = topology_events(Arc::clone(&log), Since::Start);
//! let record = events.next().await.expect("the log has an entry").expect("a good one");
//! assert_eq!(record.events[0].name(), "NodeJoined");
//!
//! // Whoever keeps the last epoch it has seen goes on behind it, in this process or the next.
//! let _later = topology_events(log, Since::Epoch(record.epoch));
//! # });
//! ```

mod chain;
mod growth;
mod migrations;
mod reader;
mod seek;

use std::pin::Pin;
use std::sync::Arc;

use aether_domain::ports::TopologyLog;
use aether_domain::records::{Position, StoredEntry};
use aether_domain::topology::TopologyEvent;
use aether_domain::{Epoch, NodeRef, Sequence, Term, WallTime};
use futures_util::Stream;

pub use chain::SubscriptionError;
pub(crate) use growth::{Grown, Growth};
pub(crate) use migrations::of_events as migrations_of;
pub use migrations::{ShardMigrated, ShardMigrations, shard_migrations};
pub use reader::READ_BATCH;

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With the first entry of the log.
    Start,
    /// Behind that epoch: the last one seen. One that the log has not reached yet is waited for.
    Epoch(Epoch),
    /// With the last so many entries there are.
    Recent(u64),
    /// With what is appended from now on: from when the first entry is asked for. Whoever causes something and then looks for
    /// it begins with [`Self::Start`] or behind an epoch, not here.
    Now,
}

/// One entry of the topology log, as its subscribers have it: everything that happened at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyRecord {
    /// Its number: what to store in order to go on behind it.
    pub epoch: Epoch,
    /// The term of the leader that wrote it.
    pub term: Term,
    /// The leader that wrote it.
    pub leader: NodeRef,
    /// Why, in words for people.
    pub cause: String,
    /// When, by the leader's wall clock: for people.
    pub stamped: WallTime,
    /// Where it is stored, and what it hashes to.
    pub at: Position,
    /// What happened, in order.
    pub events: Vec<TopologyEvent>,
}

impl TopologyRecord {
    /// The record with the events of these names alone; nothing if it has none of them.
    ///
    /// ```
    /// # use aether_runtime::subscription::TopologyRecord;
    /// fn for_monitoring(record: TopologyRecord) -> Option<TopologyRecord> {
    ///     record.only(&["NodeJoined", "NodeFailed", "TermStarted"])
    /// }
    /// ```
    pub fn only(mut self, names: &[&str]) -> Option<Self> {
        self.events.retain(|event| names.contains(&event.name()));
        (!self.events.is_empty()).then_some(self)
    }
}

impl From<StoredEntry> for TopologyRecord {
    fn from(StoredEntry { entry, at }: StoredEntry) -> Self {
        Self {
            epoch: entry.epoch,
            term: entry.term,
            leader: entry.leader,
            cause: entry.cause,
            stamped: entry.at,
            at,
            events: entry.events,
        }
    }
}

/// The entries of the log as they come. It ends only behind an error.
pub type TopologyEvents = Pin<Box<dyn Stream<Item = Result<TopologyRecord, SubscriptionError>> + Send>>;

/// Every entry of `log` behind `since`: each exactly once, in order, without gaps, and every later one as it is appended.
///
/// It waits through outages of the log and goes on behind the last entry told. What cannot be understood, or is not the
/// log that was read before, is told as an error, and nothing follows it. Must be polled within a tokio runtime: one that
/// has read everything runs a task that listens for growth, which ends with it.
pub fn topology_events(log: Arc<dyn TopologyLog>, since: Since) -> TopologyEvents {
    let growth = Growth::followed(Arc::clone(&log));
    reader::read(log, since, Sequence::ZERO, growth)
}

/// As [`topology_events`], where growth is learnt from somebody who follows the log anyway and has come as far as `at`.
pub(crate) fn topology_events_beside(
    log: Arc<dyn TopologyLog>,
    since: Since,
    at: Sequence,
    growth: Growth,
) -> TopologyEvents {
    reader::read(log, since, at, growth)
}

//! The digest of the shard map at each of the last entries, and whose heartbeats say another one.
//!
//! Every node folds the same log, so at the same entry all have the same map; a leader compares what the heartbeats say with
//! its own. Nothing is decided here: a difference is a bug or a broken memory, and a person should look.

use std::collections::{BTreeMap, VecDeque};

use aether_domain::assignment::{AssignmentEvent, ShardState};
use aether_domain::records::{Entry, MemberRecord};
use aether_domain::topology::{Topology, TopologyEvent};
use aether_domain::{Epoch, Incarnation, NodeId, NodeRef, ShardId};
use aether_placement::MapDigest;

/// For how many entries back a digest is remembered: a heartbeat that is older is compared with nothing.
pub const DIGESTS_MAX: usize = 64;

/// The digests of the last entries.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    /// By entry, the last one last; at most [`DIGESTS_MAX`].
    last: VecDeque<(Epoch, MapDigest)>,
    /// The lives whose last heartbeat said another digest than this node has at its entry, and which entry that is.
    strays: BTreeMap<NodeId, (NodeRef, Epoch)>,
}

impl Digests {
    /// Begins with a whole map.
    pub(crate) fn of(topology: &Topology) -> Self {
        let all = topology.cluster().settings().shards.all();
        Self { last: VecDeque::from([(topology.epoch(), terms(topology, all))]), strays: BTreeMap::new() }
    }

    /// Of the last entry applied.
    pub(crate) fn now(&self) -> MapDigest {
        self.last.back().map_or(MapDigest::ZERO, |(_, digest)| *digest)
    }

    /// An entry was applied: the terms of the shards it speaks of were `before`, and are what `topology` makes of them.
    pub(crate) fn applied(&mut self, entry: &Entry, before: MapDigest, topology: &Topology) {
        let digest = self.now() ^ before ^ terms(topology, shards(entry));
        if self.last.len() == DIGESTS_MAX {
            self.last.pop_front();
        }
        self.last.push_back((entry.epoch, digest));
    }

    /// Compares what a heartbeat says; true if it is news that it says something else.
    pub(crate) fn heard(&mut self, record: &MemberRecord) -> bool {
        let Ok(at) = self.last.binary_search_by_key(&record.view, |(epoch, _)| *epoch) else { return false };
        if record.digest == 0 || record.digest == self.last[at].1.0 {
            self.strays.remove(&record.node.node);
            return false;
        }
        let before = self.strays.insert(record.node.node.clone(), (record.node.clone(), record.view));
        before.is_none_or(|(life, _)| life != record.node)
    }

    /// Nobody is compared with any more.
    pub(crate) fn forget_strays(&mut self) {
        self.strays.clear();
    }

    /// The lives that said another digest when last heard, and of which entry.
    pub(crate) fn strays(&self) -> impl ExactSizeIterator<Item = &(NodeRef, Epoch)> {
        self.strays.values()
    }
}

/// The shards an entry speaks of, each as often as it does.
fn shards(entry: &Entry) -> impl Iterator<Item = ShardId> {
    let assignments = entry.events.iter().filter_map(|event| match event {
        TopologyEvent::Assignment(event) => Some(event),
        TopologyEvent::Cluster(_) | TopologyEvent::Leadership(_) => None,
    });
    let mut all: Vec<ShardId> = assignments
        .flat_map(|event| match event {
            AssignmentEvent::ShardAssigned { shards, .. }
            | AssignmentEvent::ShardMigrationStarted { shards, .. }
            | AssignmentEvent::ShardMigrated { shards, .. }
            | AssignmentEvent::ShardMigrationFailed { shards, .. }
            | AssignmentEvent::ShardsOrphaned { shards } => shards.iter(),
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

/// What the shards that an entry speaks of are in the digest of `topology`.
pub(crate) fn terms_of(topology: &Topology, entry: &Entry) -> MapDigest {
    terms(topology, shards(entry))
}

/// What some shards, each once, are in the digest of `topology`.
fn terms(topology: &Topology, shards: impl Iterator<Item = ShardId>) -> MapDigest {
    let mut shards = shards.peekable();
    if shards.peek().is_none() {
        return MapDigest::ZERO;
    }
    // Whoever owns a shard, or is to have it, is a member: the invariants see to that.
    let lives: BTreeMap<Incarnation, &NodeRef> =
        topology.cluster().members().map(|member| (member.node.incarnation, &member.node)).collect();
    let mut digest = MapDigest::ZERO;
    for shard in shards {
        let number = u32::from(shard.0);
        let mut add = |life: Incarnation, term: &dyn Fn(&NodeRef) -> MapDigest| {
            digest ^= lives.get(&life).map_or(MapDigest::ZERO, |node| term(node));
        };
        match topology.assignment().shard(shard) {
            ShardState::Orphaned => {}
            ShardState::Owned { owner, epoch } => add(owner, &|node| MapDigest::owned(number, node, epoch)),
            ShardState::Draining { from, to, epoch, drain_epoch } => {
                add(from, &|node| MapDigest::owned(number, node, epoch));
                add(to, &|node| MapDigest::leaving(number, node, drain_epoch));
            }
        }
    }
    digest
}

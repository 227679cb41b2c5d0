//! Who did what to whom, when and why: the last entries in memory, older ones from the log whenever they are asked for.

use std::collections::VecDeque;

use aether_domain::assignment::AssignmentEvent;
use aether_domain::cluster::ClusterEvent;
use aether_domain::lease::LeadershipEvent;
use aether_domain::topology::TopologyEvent;
use aether_domain::{Epoch, NodeId, NodeRef, ShardId, ShardSet, Term, WallTime};

use crate::subscription::TopologyRecord;

/// The most entries kept in memory. The log keeps all of them.
pub const RECORDS_MAX: usize = 1_024;

/// The last entries of the log.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    records: VecDeque<TopologyRecord>,
}

/// One event of an entry, by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The entry.
    pub epoch: Epoch,
    /// The term it was written in.
    pub term: Term,
    /// The leader that wrote it.
    pub leader: NodeRef,
    /// When, by the leader's wall clock.
    pub stamped: WallTime,
    /// Why, in words.
    pub cause: String,
    /// What happened.
    pub event: TopologyEvent,
}

/// Why a shard is where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// What led to it, in order: from when it last had no owner, or its owner failed.
    pub lines: Vec<Line>,
    /// Whether that is all; otherwise it began before the entries folded.
    pub whole: bool,
}

impl Audit {
    /// Takes the next entry, and forgets the oldest if that makes too many.
    pub fn apply(&mut self, record: TopologyRecord) {
        if self.records.len() == RECORDS_MAX {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The entries kept, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &TopologyRecord> {
        self.records.iter()
    }

    /// At most `limit` entries behind `epoch`; nothing if some of them are kept no more: read the log then.
    pub fn since(&self, epoch: Epoch, limit: usize) -> Option<Vec<TopologyRecord>> {
        let first = self.records.front().map_or(Epoch::ZERO, |record| record.epoch);
        (first.0 <= epoch.0.saturating_add(1)).then(|| {
            let from = self.records.partition_point(|record| record.epoch <= epoch);
            self.records.range(from..).take(limit).cloned().collect()
        })
    }

    /// What happened to that node, as far as entries are kept.
    pub fn of_node(&self, node: &NodeId) -> Vec<Line> {
        let about = |event: &TopologyEvent| nodes_of(event).into_iter().any(|named| named.node == *node);
        self.records.iter().flat_map(|record| lines(record, about)).collect()
    }

    /// Why that shard is where it is, as far as entries are kept.
    pub fn why(&self, shard: ShardId) -> Why {
        let mut why = Why::default();
        for record in &self.records {
            why.apply(shard, record);
        }
        why
    }
}

impl Why {
    /// Folds the next entry; begin with any, and go on without gaps.
    pub fn apply(&mut self, shard: ShardId, record: &TopologyRecord) {
        let begins = record.events.iter().any(|event| match event {
            TopologyEvent::Assignment(
                AssignmentEvent::ShardAssigned { shards, .. } | AssignmentEvent::ShardsOrphaned { shards },
            ) => shards.contains(shard),
            _ => false,
        });
        if begins {
            *self = Self { lines: Vec::new(), whole: true };
        }
        // With whatever ended its last owner, if that is what began it.
        self.lines.extend(lines(record, |event| names(event, shard) || begins && ends_a_life(event)));
        // Of the moves since then the last one counts: the others led to places where it is no more.
        if self.lines.len() > LINES_MAX {
            let surplus = self.lines.len() - LINES_MAX;
            self.lines.drain(..surplus);
            self.whole = false;
        }
    }
}

/// The most lines that explain a shard's place; of more, the last ones.
const LINES_MAX: usize = 256;

fn lines(record: &TopologyRecord, wanted: impl Fn(&TopologyEvent) -> bool) -> Vec<Line> {
    let wanted = record.events.iter().filter(|event| wanted(event));
    wanted
        .map(|event| Line {
            epoch: record.epoch,
            term: record.term,
            leader: record.leader.clone(),
            stamped: record.stamped,
            cause: record.cause.clone(),
            event: event.clone(),
        })
        .collect()
}

fn ends_a_life(event: &TopologyEvent) -> bool {
    matches!(
        event,
        TopologyEvent::Cluster(
            ClusterEvent::NodeFailed { .. } | ClusterEvent::NodeRestarted { .. } | ClusterEvent::NodeLeft { .. }
        )
    )
}

fn names(event: &TopologyEvent, shard: ShardId) -> bool {
    match event {
        TopologyEvent::Cluster(ClusterEvent::RebalancingTriggered { moves, .. }) => {
            moves.iter().any(|planned| planned.shards.contains(shard))
        }
        event => shards_of(event).is_some_and(|shards| shards.contains(shard)),
    }
}

/// The nodes that an event is about.
pub fn nodes_of(event: &TopologyEvent) -> Vec<&NodeRef> {
    match event {
        TopologyEvent::Cluster(event) => match event {
            ClusterEvent::NodeJoined { node, .. }
            | ClusterEvent::NodeRestarted { node, .. }
            | ClusterEvent::NodeDraining { node }
            | ClusterEvent::NodeFailed { node, .. }
            | ClusterEvent::NodeSuspected { node, .. }
            | ClusterEvent::NodeRelieved { node }
            | ClusterEvent::NodeTrusted { node }
            | ClusterEvent::NodeLeft { node } => vec![node],
            ClusterEvent::ClusterCreated { .. }
            | ClusterEvent::PlacementAdopted { .. }
            | ClusterEvent::PlacementRejected { .. }
            | ClusterEvent::RebalancingOrdered { .. }
            | ClusterEvent::RebalancingTriggered { .. }
            | ClusterEvent::RebalancingCompleted { .. } => Vec::new(),
        },
        TopologyEvent::Leadership(
            LeadershipEvent::TermStarted { leader, .. }
            | LeadershipEvent::LeadershipRenewed { leader, .. }
            | LeadershipEvent::LeadershipLost { leader, .. },
        ) => vec![leader],
        TopologyEvent::Assignment(event) => match event {
            AssignmentEvent::ShardAssigned { to, .. } => vec![to],
            AssignmentEvent::ShardMigrationStarted { from, to, .. }
            | AssignmentEvent::ShardMigrated { from, to, .. }
            | AssignmentEvent::ShardMigrationFailed { from, to, .. } => vec![from, to],
            AssignmentEvent::ShardsOrphaned { .. } => Vec::new(),
        },
    }
}

/// The shards that an event is about, apart from a plan's.
pub fn shards_of(event: &TopologyEvent) -> Option<&ShardSet> {
    match event {
        TopologyEvent::Assignment(
            AssignmentEvent::ShardAssigned { shards, .. }
            | AssignmentEvent::ShardMigrationStarted { shards, .. }
            | AssignmentEvent::ShardMigrated { shards, .. }
            | AssignmentEvent::ShardMigrationFailed { shards, .. }
            | AssignmentEvent::ShardsOrphaned { shards },
        ) => Some(shards),
        TopologyEvent::Cluster(_) | TopologyEvent::Leadership(_) => None,
    }
}

//! The topology: one fold of one ordered log, made of the three aggregates.
//!
//! [`Topology::apply`] checks an entry against the invariants before it believes it; a [`Draft`] is how a leader
//! composes an entry that will pass. Nothing here reads or writes the log.

use crate::aggregate::Aggregate;
use crate::assignment::{AssignmentEvent, ShardAssignment, ShardState};
use crate::cluster::{Cluster, ClusterEvent};
use crate::ids::{ClusterUid, Epoch, NodeRef, Nonce, ShardId, Term};
use crate::invariants::{self, Violation};
use crate::lease::{LeadershipEvent, LeadershipLease};
use crate::records::{Entry, Format, Position, StoredEntry};
use crate::time::WallTime;

/// Everything that can happen to the topology; each event has one home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopologyEvent {
    /// To membership and plans.
    Cluster(ClusterEvent),
    /// To leadership.
    Leadership(LeadershipEvent),
    /// To shards.
    Assignment(AssignmentEvent),
}

impl From<ClusterEvent> for TopologyEvent {
    fn from(event: ClusterEvent) -> Self {
        Self::Cluster(event)
    }
}

impl From<LeadershipEvent> for TopologyEvent {
    fn from(event: LeadershipEvent) -> Self {
        Self::Leadership(event)
    }
}

impl From<AssignmentEvent> for TopologyEvent {
    fn from(event: AssignmentEvent) -> Self {
        Self::Assignment(event)
    }
}

impl TopologyEvent {
    /// The stable names of all events.
    pub const NAMES: [&'static str; 22] = [
        "ClusterCreated",
        "NodeJoined",
        "NodeRestarted",
        "NodeDraining",
        "NodeFailed",
        "NodeLeft",
        "NodeSuspected",
        "NodeRelieved",
        "NodeTrusted",
        "PlacementAdopted",
        "PlacementRejected",
        "RebalancingOrdered",
        "RebalancingTriggered",
        "RebalancingCompleted",
        "TermStarted",
        "LeadershipRenewed",
        "LeadershipLost",
        "ShardAssigned",
        "ShardMigrationStarted",
        "ShardMigrated",
        "ShardMigrationFailed",
        "ShardsOrphaned",
    ];

    /// The event's stable name, as logs, metrics and subscriptions say it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cluster(event) => match event {
                ClusterEvent::ClusterCreated { .. } => "ClusterCreated",
                ClusterEvent::NodeJoined { .. } => "NodeJoined",
                ClusterEvent::NodeRestarted { .. } => "NodeRestarted",
                ClusterEvent::NodeDraining { .. } => "NodeDraining",
                ClusterEvent::NodeFailed { .. } => "NodeFailed",
                ClusterEvent::NodeLeft { .. } => "NodeLeft",
                ClusterEvent::NodeSuspected { .. } => "NodeSuspected",
                ClusterEvent::NodeRelieved { .. } => "NodeRelieved",
                ClusterEvent::NodeTrusted { .. } => "NodeTrusted",
                ClusterEvent::PlacementAdopted { .. } => "PlacementAdopted",
                ClusterEvent::PlacementRejected { .. } => "PlacementRejected",
                ClusterEvent::RebalancingOrdered { .. } => "RebalancingOrdered",
                ClusterEvent::RebalancingTriggered { .. } => "RebalancingTriggered",
                ClusterEvent::RebalancingCompleted { .. } => "RebalancingCompleted",
            },
            Self::Leadership(event) => match event {
                LeadershipEvent::TermStarted { .. } => "TermStarted",
                LeadershipEvent::LeadershipRenewed { .. } => "LeadershipRenewed",
                LeadershipEvent::LeadershipLost { .. } => "LeadershipLost",
            },
            Self::Assignment(event) => match event {
                AssignmentEvent::ShardAssigned { .. } => "ShardAssigned",
                AssignmentEvent::ShardMigrationStarted { .. } => "ShardMigrationStarted",
                AssignmentEvent::ShardMigrated { .. } => "ShardMigrated",
                AssignmentEvent::ShardMigrationFailed { .. } => "ShardMigrationFailed",
                AssignmentEvent::ShardsOrphaned { .. } => "ShardsOrphaned",
            },
        }
    }
}

/// One node's fold of the log so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    cluster: Cluster,
    leadership: LeadershipLease,
    assignment: ShardAssignment,
    epoch: Epoch,
    at: Position,
}

impl Topology {
    /// Built up from an image that was checked.
    pub(crate) fn of_parts(
        cluster: Cluster,
        leadership: LeadershipLease,
        assignment: ShardAssignment,
        epoch: Epoch,
        at: Position,
    ) -> Self {
        Self { cluster, leadership, assignment, epoch, at }
    }

    /// Membership and the plan under way.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
    /// Who leads.
    pub fn leadership(&self) -> &LeadershipLease {
        &self.leadership
    }
    /// Who owns what.
    pub fn assignment(&self) -> &ShardAssignment {
        &self.assignment
    }
    /// The epoch of the last entry applied; [`Epoch::ZERO`] before the first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
    /// Where the last entry applied is stored: what the next append compares with.
    pub fn at(&self) -> Position {
        self.at
    }

    /// The life that may serve `shard` now, with the shard epoch its commits carry.
    pub fn owner(&self, shard: ShardId) -> Option<(&NodeRef, Epoch)> {
        let state = self.assignment.shard(shard);
        let member = self.cluster.owner(state.owner()?)?;
        Some((&member.node, state.epoch()?))
    }

    /// The life that will have `shard` once its present owner has released it, if it is on its way.
    pub fn destination(&self, shard: ShardId) -> Option<&NodeRef> {
        match self.assignment.shard(shard) {
            ShardState::Draining { to, .. } => self.cluster.owner(to).map(|member| &member.node),
            _ => None,
        }
    }

    /// Checks and applies the next entry of the log.
    ///
    /// # Errors
    /// The violations found, in which case nothing was applied: the log is not the one this fold belongs to, or
    /// somebody wrote what no leader may write. A node that sees one must stop serving.
    pub fn apply(&mut self, stored: &StoredEntry) -> Result<(), Vec<Violation>> {
        let next = self.after(&stored.entry)?;
        *self = Self { at: stored.at, ..next };
        Ok(())
    }

    /// What the topology would be after `entry`, checked.
    ///
    /// # Errors
    /// The violations found.
    pub fn after(&self, entry: &Entry) -> Result<Self, Vec<Violation>> {
        let mut next = self.clone();
        for event in &entry.events {
            next.evolve(event, entry.epoch);
        }
        next.epoch = entry.epoch;
        let violations = invariants::check(self, entry, &next);
        if violations.is_empty() { Ok(next) } else { Err(violations) }
    }

    fn evolve(&mut self, event: &TopologyEvent, epoch: Epoch) {
        self.cluster.evolve(event, epoch);
        self.leadership.evolve(event, epoch);
        self.assignment.evolve(event, epoch);
    }
}

/// An entry in the making: each command is judged by the topology as it would be after the ones before it.
#[derive(Clone, Debug)]
pub struct Draft {
    base: Topology,
    work: Topology,
    events: Vec<TopologyEvent>,
}

/// Who signs an entry, and why.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The format it is written in.
    pub format: Format,
    /// The cluster it is for.
    pub cluster: ClusterUid,
    /// The leader who writes.
    pub leader: NodeRef,
    /// The term it leads in.
    pub term: Term,
    /// A fresh mark.
    pub nonce: Nonce,
    /// Why, for people.
    pub cause: String,
    /// When, for people.
    pub at: WallTime,
}

impl Draft {
    /// An empty draft behind `base`.
    pub fn new(base: &Topology) -> Self {
        Self { base: base.clone(), work: base.clone(), events: Vec::new() }
    }
    /// The topology as it would be now.
    pub fn topology(&self) -> &Topology {
        &self.work
    }
    /// The epoch the entry will have.
    pub fn epoch(&self) -> Epoch {
        self.base.epoch.next()
    }
    /// What has been added, in order.
    pub fn events(&self) -> &[TopologyEvent] {
        &self.events
    }
    /// Whether nothing has been added.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
    /// Adds what `command` leads to in the cluster.
    ///
    /// # Errors
    /// The cluster's refusal; the draft is as before.
    pub fn cluster(
        &mut self,
        command: &<Cluster as Aggregate>::Command,
    ) -> Result<(), <Cluster as Aggregate>::Refusal> {
        let events = self.work.cluster.decide(command)?;
        self.add(events);
        Ok(())
    }
    /// Adds what `command` leads to in leadership.
    ///
    /// # Errors
    /// Leadership's refusal; the draft is as before.
    pub fn leadership(
        &mut self,
        command: &<LeadershipLease as Aggregate>::Command,
    ) -> Result<(), <LeadershipLease as Aggregate>::Refusal> {
        let events = self.work.leadership.decide(command)?;
        self.add(events);
        Ok(())
    }
    /// Adds what `command` leads to in the assignment.
    ///
    /// # Errors
    /// The assignment's refusal; the draft is as before.
    pub fn assignment(
        &mut self,
        command: &<ShardAssignment as Aggregate>::Command,
    ) -> Result<(), <ShardAssignment as Aggregate>::Refusal> {
        let events = self.work.assignment.decide(command)?;
        self.add(events);
        Ok(())
    }
    /// The entry, checked as every node will check it.
    ///
    /// # Errors
    /// The violations it would be refused for.
    pub fn finish(self, by: Signature) -> Result<Entry, Vec<Violation>> {
        let entry = Entry {
            format: by.format,
            cluster: by.cluster,
            epoch: self.base.epoch.next(),
            term: by.term,
            leader: by.leader,
            nonce: by.nonce,
            prev_hash: self.base.at.hash,
            cause: by.cause,
            at: by.at,
            events: self.events,
        };
        self.base.after(&entry)?;
        Ok(entry)
    }

    fn add(&mut self, events: Vec<TopologyEvent>) {
        let epoch = self.epoch();
        for event in events {
            self.work.evolve(&event, epoch);
            self.events.push(event);
        }
    }
}

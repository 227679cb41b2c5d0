//! The assignment as folded from its events, and its judgement.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AssignmentCommand as Command, AssignmentEvent as Event, AssignmentRefusal as Refusal, PlannedMove};
use crate::aggregate::Aggregate;
use crate::cluster::ClusterEvent;
use crate::ids::{Epoch, Incarnation, NodeRef, ShardId, ShardSet};
use crate::orders::Wish;
use crate::topology::TopologyEvent;

/// Where one shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShardState {
    /// Nobody has it: before the first assignment, or when no node is left.
    #[default]
    Orphaned,
    /// One life has it.
    Owned {
        /// Whose it is.
        owner: Incarnation,
        /// Since which entry: the fencing token of its commits.
        epoch: Epoch,
    },
    /// Its owner has been asked to release it.
    Draining {
        /// Whose it is until released.
        from: Incarnation,
        /// Whose it will be.
        to: Incarnation,
        /// The fencing token while it is still served.
        epoch: Epoch,
        /// The entry that asked: what the source must report.
        drain_epoch: Epoch,
    },
}

impl ShardState {
    /// Who may serve it now.
    pub fn owner(self) -> Option<Incarnation> {
        match self {
            Self::Orphaned => None,
            Self::Owned { owner, .. } => Some(owner),
            Self::Draining { from, .. } => Some(from),
        }
    }
    /// The fencing token of its commits.
    pub fn epoch(self) -> Option<Epoch> {
        match self {
            Self::Orphaned => None,
            Self::Owned { epoch, .. } | Self::Draining { epoch, .. } => Some(epoch),
        }
    }
}

/// Who owns what, what is on its way, and what a plan still means to move. A clone shares what neither has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardAssignment {
    /// One state a shard, by number. Empty until the cluster is created.
    shards: Arc<Vec<ShardState>>,
    /// Moves of the open plan that have not begun.
    pending: Arc<BTreeMap<ShardId, (NodeRef, NodeRef)>>,
}

impl ShardAssignment {
    /// Every shard's state, by number.
    pub fn shards(&self) -> &[ShardState] {
        &self.shards
    }
    /// One shard's state; orphaned if there is no such shard.
    pub fn shard(&self, shard: ShardId) -> ShardState {
        self.shards.get(shard.index()).copied().unwrap_or_default()
    }
    /// Every shard with its state, by number.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, ShardState)> + '_ {
        self.shards.iter().enumerate().map(|(index, state)| (ShardId(index as u16), *state))
    }
    /// How many shards that life may serve.
    pub fn owned_by(&self, incarnation: Incarnation) -> usize {
        self.shards.iter().filter(|state| state.owner() == Some(incarnation)).count()
    }
    /// How many shards have no owner.
    pub fn orphaned(&self) -> usize {
        self.shards.iter().filter(|state| state.owner().is_none()).count()
    }
    /// How many shards are on their way.
    pub fn moving(&self) -> usize {
        self.shards.iter().filter(|state| matches!(state, ShardState::Draining { .. })).count()
    }
    /// Moves of the open plan that have not begun: shard, source, destination.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = (ShardId, &NodeRef, &NodeRef)> {
        self.pending.iter().map(|(shard, (from, to))| (*shard, from, to))
    }

    /// Built up from an image that was checked.
    pub(crate) fn of_parts(shards: Vec<ShardState>, pending: BTreeMap<ShardId, (NodeRef, NodeRef)>) -> Self {
        Self { shards: Arc::new(shards), pending: Arc::new(pending) }
    }

    fn known(&self, shard: ShardId) -> Result<ShardState, Refusal> {
        self.shards.get(shard.index()).copied().ok_or(Refusal::NoSuchShard { shard, shards: self.shards.len() })
    }
    fn set(&mut self, shards: &ShardSet, state: impl Fn(ShardState) -> ShardState) {
        let slots = Arc::make_mut(&mut self.shards);
        for shard in shards.iter() {
            if let Some(slot) = slots.get_mut(shard.index()) {
                *slot = state(*slot);
            }
        }
        if shards.iter().any(|shard| self.pending.contains_key(&shard)) {
            let pending = Arc::make_mut(&mut self.pending);
            for shard in shards.iter() {
                pending.remove(&shard);
            }
        }
    }

    /// Only the moves that `stays` accepts are still meant.
    fn keep_pending(&mut self, stays: impl Fn(&NodeRef, &NodeRef) -> bool) {
        if self.pending.values().any(|(from, to)| !stays(from, to)) {
            Arc::make_mut(&mut self.pending).retain(|_, (from, to)| stays(from, to));
        }
    }
}

impl Aggregate for ShardAssignment {
    type Command = Command;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<TopologyEvent>, Refusal> {
        match command {
            Command::AssignShards { grants, active, living } => {
                let mut events = Vec::new();
                for grant in grants.iter().filter(|grant| !grant.shards.is_empty()) {
                    for shard in grant.shards.iter() {
                        if self.known(shard)?.owner().is_some_and(|owner| living.contains(&owner)) {
                            return Err(Refusal::HasOwner { shard });
                        }
                        if !active.contains(&grant.to.incarnation) {
                            return Err(Refusal::NodeNotActive { shard, node: grant.to.clone() });
                        }
                    }
                    events.push(Event::ShardAssigned { shards: grant.shards.clone(), to: grant.to.clone() }.into());
                }
                Ok(events)
            }
            Command::RebalanceFromTopology { moves, active } => {
                let mut events = Vec::new();
                for planned in moves.iter().filter(|planned| !planned.shards.is_empty()) {
                    let PlannedMove { shards, from, to } = planned;
                    for shard in shards.iter() {
                        match self.known(shard)? {
                            ShardState::Owned { owner, .. } if owner == from.incarnation => {}
                            _ => return Err(Refusal::NotOwner { shard, node: from.clone() }),
                        }
                        if !active.contains(&to.incarnation) {
                            return Err(Refusal::NodeNotActive { shard, node: to.clone() });
                        }
                        if from == to {
                            return Err(Refusal::AlreadyThere { shard, node: to.clone() });
                        }
                    }
                    let (shards, from, to) = (shards.clone(), from.clone(), to.clone());
                    events.push(Event::ShardMigrationStarted { shards, from, to }.into());
                }
                Ok(events)
            }
            Command::CompleteMigration { shards, from, to, drain_epoch, active } => {
                for shard in shards.iter() {
                    match self.known(shard)? {
                        ShardState::Draining { from: source, to: destination, drain_epoch: asked, .. }
                            if (source, destination, asked) == (from.incarnation, to.incarnation, *drain_epoch) => {}
                        _ => return Err(Refusal::NotMoving { shard }),
                    }
                    if !active.contains(&to.incarnation) {
                        return Err(Refusal::NodeNotActive { shard, node: to.clone() });
                    }
                }
                let (shards, from, to) = (shards.clone(), from.clone(), to.clone());
                Ok(vec![Event::ShardMigrated { shards, from, to }.into()])
            }
            Command::CancelMigration { shards, from, to, reason } => {
                for shard in shards.iter() {
                    match self.known(shard)? {
                        ShardState::Draining { from: source, to: destination, .. }
                            if (source, destination) == (from.incarnation, to.incarnation) => {}
                        _ => return Err(Refusal::NotMoving { shard }),
                    }
                }
                let (shards, from, to) = (shards.clone(), from.clone(), to.clone());
                Ok(vec![Event::ShardMigrationFailed { shards, from, to, reason: *reason }.into()])
            }
            Command::ReleaseShard { shards } => {
                for shard in shards.iter() {
                    self.known(shard)?;
                }
                if shards.is_empty() {
                    return Ok(Vec::new());
                }
                Ok(vec![Event::ShardsOrphaned { shards: shards.clone() }.into()])
            }
        }
    }

    fn evolve(&mut self, event: &TopologyEvent, epoch: Epoch) {
        match event {
            TopologyEvent::Assignment(event) => match event {
                Event::ShardAssigned { shards, to } | Event::ShardMigrated { shards, to, .. } => {
                    self.set(shards, |_| ShardState::Owned { owner: to.incarnation, epoch });
                }
                Event::ShardMigrationStarted { shards, from, to } => {
                    self.set(shards, |was| ShardState::Draining {
                        from: from.incarnation,
                        to: to.incarnation,
                        epoch: was.epoch().unwrap_or(epoch),
                        drain_epoch: epoch,
                    });
                }
                Event::ShardMigrationFailed { shards, from, .. } => {
                    self.set(shards, |_| ShardState::Owned { owner: from.incarnation, epoch });
                }
                Event::ShardsOrphaned { shards } => self.set(shards, |_| ShardState::Orphaned),
            },
            TopologyEvent::Cluster(ClusterEvent::ClusterCreated { settings, .. }) => {
                self.shards = Arc::new(vec![ShardState::Orphaned; settings.shards.get()]);
            }
            TopologyEvent::Cluster(ClusterEvent::RebalancingTriggered { moves, .. }) => {
                let pending = Arc::make_mut(&mut self.pending);
                for planned in moves {
                    for shard in planned.shards.iter() {
                        pending.insert(shard, (planned.from.clone(), planned.to.clone()));
                    }
                }
            }
            TopologyEvent::Cluster(ClusterEvent::RebalancingOrdered { order }) => {
                if order.wish != Wish::Resume {
                    self.pending = Arc::default();
                }
            }
            // What was planned by another policy and has not begun does not begin.
            TopologyEvent::Cluster(
                ClusterEvent::RebalancingCompleted { .. } | ClusterEvent::PlacementAdopted { .. },
            ) => self.pending = Arc::default(),
            // A source or destination that is gone takes its unstarted moves with it.
            TopologyEvent::Cluster(
                ClusterEvent::NodeFailed { node, .. }
                | ClusterEvent::NodeLeft { node }
                | ClusterEvent::NodeDraining { node },
            ) => {
                let draining = matches!(event, TopologyEvent::Cluster(ClusterEvent::NodeDraining { .. }));
                self.keep_pending(|from, to| to != node && (draining || from != node));
            }
            TopologyEvent::Cluster(ClusterEvent::NodeRestarted { node, previous, .. }) => {
                let over = NodeRef { node: node.node.clone(), incarnation: *previous };
                self.keep_pending(|from, to| *to != over && *from != over);
            }
            // Whoever is well again keeps what it has.
            TopologyEvent::Cluster(ClusterEvent::NodeTrusted { node }) => {
                self.keep_pending(|from, _| from != node);
            }
            // What it was to be given it is not given any more.
            TopologyEvent::Cluster(ClusterEvent::NodeSuspected { node, .. }) => {
                self.keep_pending(|_, to| to != node);
            }
            TopologyEvent::Cluster(
                ClusterEvent::NodeJoined { .. }
                | ClusterEvent::NodeRelieved { .. }
                | ClusterEvent::PlacementRejected { .. },
            )
            | TopologyEvent::Leadership(_) => {}
        }
    }
}

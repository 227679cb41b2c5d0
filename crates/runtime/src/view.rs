//! What the data plane knows of the topology: for each shard, where its commands go.
//!
//! A [`View`] is made from the fold after each batch of entries and swapped in whole, so a command sees one epoch.
//! The serve lease is beside it: it changes with every heartbeat, not with the topology.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::assignment::ShardState;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Incarnation, Monotonic, NodeRef, ShardCount, ShardId};

/// Where a shard's commands go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nobody has it.
    Nobody,
    /// This node has it, under that shard epoch.
    Mine {
        /// The fencing token of its commits.
        epoch: Epoch,
    },
    /// This node still has it and must release it.
    Leaving {
        /// The fencing token while it is still served.
        epoch: Epoch,
        /// The entry that asked for it: what the release must name.
        drain_epoch: Epoch,
        /// Who gets it.
        to: NodeRef,
    },
    /// Another node has it.
    Remote {
        /// Which life of it.
        owner: NodeRef,
    },
}

/// One epoch of the topology as seen by one life of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The last entry it includes.
    pub epoch: Epoch,
    /// Whose view it is.
    pub me: NodeRef,
    /// How many shards there are.
    pub shards: ShardCount,
    /// One route a shard, by number; empty before the cluster exists.
    pub routes: Vec<Route>,
    /// The lives whose messages are believed: members that can own, and this one.
    pub lives: BTreeSet<Incarnation>,
    /// The shards that are to be this life's once their owners have released them, each with the entry that asked for that.
    pub arriving: BTreeMap<ShardId, Epoch>,
    /// Whether this life is one of those members: until its own view says so, nobody runs its commands (R18).
    pub member: bool,
}

impl View {
    /// Before anything is known: nothing has a route, so it does not matter who is a member.
    pub fn empty(me: NodeRef) -> Self {
        let lives = BTreeSet::from([me.incarnation]);
        Self {
            epoch: Epoch::ZERO,
            me,
            shards: ShardCount::DEFAULT,
            routes: Vec::new(),
            lives,
            member: true,
            arriving: BTreeMap::new(),
        }
    }

    /// What `me` sees in `topology`.
    pub fn of(topology: &Topology, me: &NodeRef) -> Self {
        let cluster = topology.cluster();
        let owning = cluster.members().filter(|member| member.status.owns());
        let nodes: BTreeMap<_, _> = owning.map(|member| (member.node.incarnation, &member.node)).collect();
        let by_life = |life: Incarnation| nodes.get(&life).map(|node| NodeRef::clone(node));
        let route = |state: &ShardState| match *state {
            ShardState::Owned { owner, epoch } if owner == me.incarnation => Route::Mine { epoch },
            ShardState::Draining { from, to, epoch, drain_epoch } if from == me.incarnation => match by_life(to) {
                Some(to) => Route::Leaving { epoch, drain_epoch, to },
                None => Route::Mine { epoch },
            },
            ShardState::Owned { owner, .. } | ShardState::Draining { from: owner, .. } => {
                by_life(owner).map_or(Route::Nobody, |owner| Route::Remote { owner })
            }
            ShardState::Orphaned => Route::Nobody,
        };
        let mut lives: BTreeSet<_> = nodes.keys().copied().collect();
        let member = !lives.insert(me.incarnation);
        let states = topology.assignment().shards().iter();
        let arriving = (0..=u16::MAX).map(ShardId).zip(states).filter_map(|(shard, state)| match *state {
            ShardState::Draining { to, drain_epoch, .. } if to == me.incarnation => Some((shard, drain_epoch)),
            _ => None,
        });
        Self {
            epoch: topology.epoch(),
            me: me.clone(),
            shards: cluster.settings().shards,
            routes: topology.assignment().shards().iter().map(route).collect(),
            lives,
            arriving: arriving.collect(),
            member,
        }
    }

    /// Where that shard's commands go.
    pub fn route(&self, shard: ShardId) -> &Route {
        self.routes.get(shard.index()).unwrap_or(&Route::Nobody)
    }
}

/// Until when this life may answer from memory: raised by each stored heartbeat, read with every answer.
#[derive(Debug, Default)]
pub struct ServeLease {
    until_nanos: AtomicU64,
}

impl ServeLease {
    /// Lets this life serve until then; an earlier moment than the present one changes nothing.
    pub fn extend(&self, until: Monotonic) {
        let nanos = u64::try_from(until.since_start().as_nanos()).unwrap_or(u64::MAX);
        self.until_nanos.fetch_max(nanos, Ordering::AcqRel);
    }
    /// Ends it now: this life is fenced, or over.
    pub fn end(&self) {
        self.until_nanos.store(0, Ordering::Release);
    }
    /// Whether it holds at `now`. Read the clock *after* the state whose answer it protects.
    pub fn holds(&self, now: Monotonic) -> bool {
        now < self.until()
    }
    /// The moment it ends.
    pub fn until(&self) -> Monotonic {
        Monotonic::from_start(Duration::from_nanos(self.until_nanos.load(Ordering::Acquire)))
    }
}

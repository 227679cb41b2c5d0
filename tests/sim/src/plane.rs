//! The data plane as far as it matters here: which shards a node would serve now.
//!
//! It follows the node's view as the product's shards do: a shard is served from the entry that gives it until it is
//! released or an entry takes it away. Whether the serve lease holds is asked beside it.

use std::collections::BTreeMap;

use aether_domain::{Epoch, NodeRef, ShardId, ShardSet};
use aether_runtime::view::{Route, View};

/// The shards one process would serve.
#[derive(Debug)]
pub(crate) struct Plane {
    me: NodeRef,
    served: Vec<u64>,
    /// What was asked back, by which entry, and whether it was given.
    asked: BTreeMap<ShardId, (Epoch, bool)>,
    /// What it cannot serve, each under one shard epoch.
    stuck: BTreeMap<ShardId, Epoch>,
}

impl Plane {
    pub(crate) fn new(me: NodeRef) -> Self {
        Self { me, served: Vec::new(), asked: BTreeMap::new(), stuck: BTreeMap::new() }
    }

    /// Takes over a newer view; answers what it asks back that was not asked before, and how many shards that could not be
    /// served are another's now, or this one's anew.
    pub(crate) fn view_changed(&mut self, view: &View) -> (Vec<(ShardId, Epoch)>, usize) {
        if self.me != view.me {
            *self = Self::new(view.me.clone());
        }
        let stuck = self.stuck.len();
        self.stuck.retain(|shard, under| match view.route(*shard) {
            Route::Mine { epoch } | Route::Leaving { epoch, .. } => epoch == under,
            Route::Nobody | Route::Remote { .. } => false,
        });
        self.served = vec![0; view.routes.len().div_ceil(64)];
        let mut asked = Vec::new();
        for (index, route) in view.routes.iter().enumerate() {
            let shard = ShardId(index as u16);
            let serves = match route {
                Route::Mine { .. } => {
                    self.asked.remove(&shard);
                    true
                }
                Route::Leaving { drain_epoch, .. } => match self.asked.get(&shard) {
                    Some((epoch, given)) if epoch == drain_epoch => !given,
                    _ => {
                        self.asked.insert(shard, (*drain_epoch, false));
                        asked.push((shard, *drain_epoch));
                        true
                    }
                },
                Route::Nobody | Route::Remote { .. } => false,
            };
            let serves = serves && !self.stuck.contains_key(&shard);
            self.served[index / 64] |= u64::from(serves) << (index % 64);
        }
        (asked, stuck - self.stuck.len())
    }

    /// From now on it cannot serve that shard under that epoch, which it has it under.
    pub(crate) fn stick(&mut self, shard: ShardId, epoch: Epoch) {
        self.stuck.insert(shard, epoch);
        if let Some(word) = self.served.get_mut(shard.index() / 64) {
            *word &= !(1 << (shard.index() % 64));
        }
    }

    /// What it cannot serve.
    pub(crate) fn stuck(&self) -> ShardSet {
        self.stuck.keys().copied().collect()
    }

    /// Releases a shard, if that is still asked; false if it is not.
    pub(crate) fn release(&mut self, shard: ShardId, drain_epoch: Epoch) -> bool {
        match self.asked.get_mut(&shard) {
            Some((epoch, given)) if *epoch == drain_epoch && !*given => {
                *given = true;
                self.served[shard.index() / 64] &= !(1 << (shard.index() % 64));
                true
            }
            _ => false,
        }
    }

    /// Whether it would serve that shard.
    pub(crate) fn serves(&self, shard: ShardId) -> bool {
        self.served.get(shard.index() / 64).is_some_and(|word| word >> (shard.index() % 64) & 1 == 1)
    }

    /// A shard that both would serve.
    pub(crate) fn common(&self, other: &Self) -> Option<ShardId> {
        let (at, both) =
            self.served.iter().zip(&other.served).map(|(a, b)| a & b).enumerate().find(|(_, both)| *both != 0)?;
        Some(ShardId((at * 64) as u16 + both.trailing_zeros() as u16))
    }
}

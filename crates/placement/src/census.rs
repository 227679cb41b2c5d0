//! An input counted: who may receive and holds how much, which shards must move, which must not.

use aether_domain::{NodeId, ShardId, Zone};

use crate::needs::{Need, Needs};
use crate::strategy::{Move, NodeIdx, PlacementError, PlacementInput};

/// A node that may be given shards.
#[derive(Debug)]
pub(crate) struct Receiver<'a> {
    pub(crate) id: &'a NodeId,
    pub(crate) idx: NodeIdx,
    pub(crate) weight: u32,
    pub(crate) zone: Option<&'a Zone>,
    /// Shards it owns, that are on their way to it or pinned to it, less those on their way from it or not allowed there.
    pub(crate) held: u32,
    /// Those of them on their way to it or pinned to it: they cannot be moved.
    pub(crate) fixed: u32,
}

#[derive(Debug)]
pub(crate) struct Census<'a> {
    pub(crate) input: &'a PlacementInput<'a>,
    /// By rank, never empty.
    pub(crate) receivers: Vec<Receiver<'a>>,
    /// Shards to be shared out: all but those on their way to a draining node.
    pub(crate) total: u32,
    /// Shards that move whatever the plan is: the movable ones that no receiver may keep, and those to be pinned.
    pub(crate) forced: u32,
    /// The moves of shards to where they are pinned.
    pub(crate) pinned: Vec<Move>,
    /// Where shards may be.
    pub(crate) needs: Needs,
    /// By shard: whether it is in flight or pinned.
    fixed: Vec<bool>,
}

impl<'a> Census<'a> {
    /// Counts a valid input that has a receiver, or says which of the two it is not.
    pub(crate) fn take(input: &'a PlacementInput<'a>) -> Result<Self, PlacementError> {
        input.validate()?;
        Self::count(input)
    }

    /// Counts an input that is valid, or would be with fewer shards if it says nothing of single ones.
    pub(crate) fn count(input: &'a PlacementInput<'a>) -> Result<Self, PlacementError> {
        let needs = Needs::of(input);
        let receivers: Vec<Receiver<'a>> = (needs.receivers().iter())
            .map(|&idx| {
                let node = &input.nodes[idx.index()];
                let (weight, zone) = (node.weight.get(), node.zone.as_ref());
                Receiver { id: &node.id, idx, weight, zone, held: 0, fixed: 0 }
            })
            .collect();
        if receivers.is_empty() {
            return Err(PlacementError::NoReceivers { nodes: input.nodes.len() });
        }
        let (total, fixed) = (input.current.len() as u32, vec![false; input.current.len()]);
        let mut census = Self { input, receivers, total, forced: 0, pinned: Vec::new(), needs, fixed };
        for moving in input.in_flight {
            census.fixed[moving.shard.index()] = true;
            match census.needs.rank(Some(moving.to)) {
                Some(rank) => census.fix(rank),
                None => census.total -= 1,
            }
        }
        for (at, &owner) in input.current.iter().enumerate() {
            if census.fixed[at] {
                continue;
            }
            let (shard, rank) = (ShardId(at as u16), census.needs.rank(owner));
            if let Need::Pinned(to) = census.needs.of_shard(shard) {
                census.fixed[at] = true;
                census.fix(to);
                if rank != Some(to) {
                    census.forced += 1;
                    let step = census.step(shard, to);
                    census.pinned.push(step);
                }
                continue;
            }
            match rank.filter(|rank| census.needs.allows(shard, *rank)) {
                Some(rank) => census.receivers[usize::from(rank)].held += 1,
                None => census.forced += 1,
            }
        }
        Ok(census)
    }

    fn fix(&mut self, rank: u16) {
        self.receivers[usize::from(rank)].held += 1;
        self.receivers[usize::from(rank)].fixed += 1;
    }

    /// The shards that may be moved, each with the rank of the receiver that holds it and may keep it.
    pub(crate) fn movable(&self) -> impl Iterator<Item = (ShardId, Option<u16>)> {
        self.movable_numbers().map(|(number, holder)| (ShardId(number as u16), holder))
    }

    /// The same by number, of which there may be more than there are ids.
    pub(crate) fn movable_numbers(&self) -> impl Iterator<Item = (u32, Option<u16>)> {
        let owners = (0..).zip(self.input.current).zip(&self.fixed);
        owners.filter(|(_, fixed)| !**fixed).map(|((number, &owner), _)| {
            let shard = ShardId(number as u16);
            (number, self.needs.rank(owner).filter(|rank| self.needs.allows(shard, *rank)))
        })
    }

    /// The move of a shard to the receiver of this rank.
    pub(crate) fn step(&self, shard: ShardId, to: u16) -> Move {
        let from = self.input.current[shard.index()];
        Move { shard, from, to: self.receivers[usize::from(to)].idx, class: self.needs.class(shard, from) }
    }
}

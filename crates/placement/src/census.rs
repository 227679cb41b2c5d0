//! An input counted: who may receive and holds how much, which shards must move, which must not.
//!
//! Nodes are put in the order of their ids here, so that nothing behind this point can depend on the input's order.

use aether_domain::{NodeId, ShardId};

use crate::strategy::{Move, MoveClass, NodeIdx, NodeState, PlacementError, PlacementInput};

/// A node that may be given shards.
#[derive(Debug)]
pub(crate) struct Receiver<'a> {
    pub(crate) id: &'a NodeId,
    pub(crate) idx: NodeIdx,
    pub(crate) weight: u32,
    /// Shards it owns or that are on their way to it, less those on their way from it.
    pub(crate) held: u32,
    /// Those of them on their way to it: they cannot be moved.
    pub(crate) fixed: u32,
}

#[derive(Debug)]
pub(crate) struct Census<'a> {
    input: &'a PlacementInput<'a>,
    /// Ascending by id, never empty. A position in it is a node's *rank*.
    pub(crate) receivers: Vec<Receiver<'a>>,
    /// Shards to be shared out: all but those on their way to a draining node.
    pub(crate) total: u32,
    /// Movable shards that no receiver holds.
    pub(crate) forced: u32,
    /// By node index: its rank, if it may receive.
    ranks: Vec<Option<u16>>,
    /// By shard: whether it is in flight.
    in_flight: Vec<bool>,
}

impl<'a> Census<'a> {
    /// Counts a valid input that has a receiver, or says which of the two it is not.
    pub(crate) fn take(input: &'a PlacementInput<'a>) -> Result<Self, PlacementError> {
        input.validate()?;
        let mut receivers: Vec<Receiver<'a>> = (0_u16..=u16::MAX)
            .zip(input.nodes)
            .filter(|(_, node)| node.state == NodeState::Receiving)
            .map(|(at, node)| Receiver { id: &node.id, idx: NodeIdx(at), weight: node.weight.get(), held: 0, fixed: 0 })
            .collect();
        if receivers.is_empty() {
            return Err(PlacementError::NoReceivers { nodes: input.nodes.len() });
        }
        receivers.sort_unstable_by(|a, b| a.id.cmp(b.id));
        let mut ranks = vec![None; input.nodes.len()];
        for (rank, receiver) in (0_u16..=u16::MAX).zip(&receivers) {
            ranks[receiver.idx.index()] = Some(rank);
        }
        let in_flight = vec![false; input.current.len()];
        let mut census = Self { input, receivers, total: input.current.len() as u32, forced: 0, ranks, in_flight };
        for move_ in input.in_flight {
            census.in_flight[move_.shard.index()] = true;
            match census.ranks[move_.to.index()] {
                Some(rank) => {
                    census.receivers[usize::from(rank)].held += 1;
                    census.receivers[usize::from(rank)].fixed += 1;
                }
                None => census.total -= 1,
            }
        }
        for (shard, &owner) in input.current.iter().enumerate() {
            if census.in_flight[shard] {
                continue;
            }
            match census.rank(owner) {
                Some(rank) => census.receivers[usize::from(rank)].held += 1,
                None => census.forced += 1,
            }
        }
        Ok(census)
    }

    /// The shards that may be moved, each with the rank of the receiver that holds it.
    pub(crate) fn movable(&self) -> impl Iterator<Item = (ShardId, Option<u16>)> {
        let owners = (0_u16..=u16::MAX).map(ShardId).zip(self.input.current).zip(&self.in_flight);
        owners.filter(|(_, in_flight)| !**in_flight).map(|((shard, &owner), _)| (shard, self.rank(owner)))
    }

    /// The move of a movable shard to the receiver of this rank.
    pub(crate) fn step(&self, shard: ShardId, to: u16) -> Move {
        let from = self.input.current[shard.index()];
        Move { shard, from, to: self.receivers[usize::from(to)].idx, class: MoveClass::of(from, self.input) }
    }

    fn rank(&self, owner: Option<NodeIdx>) -> Option<u16> {
        owner.and_then(|node| self.ranks[node.index()])
    }
}

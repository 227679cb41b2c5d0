//! Worlds to plan for, drawn by proptest or written down, and the ways time passes in them.

use std::num::NonZeroU32;

use aether_domain::{NodeId, ShardId};
use aether_placement::{InFlight, Move, NodeIdx, NodeState, NodeView, PlacementInput};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// An input that owns what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) current: Vec<Option<NodeIdx>>,
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) in_flight: Vec<InFlight>,
}

pub(crate) fn node(id: &str, weight: u32, state: NodeState) -> NodeView {
    let weight = NonZeroU32::new(weight).expect("a weight is not 0");
    NodeView { weight, state, ..NodeView::new(NodeId::new(id).expect("a node id")) }
}

impl World {
    /// `shards` shards without an owner and nodes `n0`, `n1`, .. of these weights.
    pub(crate) fn new(shards: usize, weights: &[u32]) -> Self {
        let nodes = weights.iter().enumerate();
        let nodes = nodes.map(|(nth, weight)| node(&format!("n{nth}"), *weight, NodeState::Receiving)).collect();
        Self { seed: 1, current: vec![None; shards], nodes, in_flight: Vec::new() }
    }

    pub(crate) fn input(&self) -> PlacementInput<'_> {
        let Self { seed, current, nodes, in_flight } = self;
        PlacementInput { seed: *seed, current, nodes, in_flight, ..Default::default() }
    }

    pub(crate) fn joined(mut self, id: &str, weight: u32) -> Self {
        self.nodes.push(node(id, weight, NodeState::Receiving));
        self
    }

    pub(crate) fn draining(mut self, nth: usize) -> Self {
        self.nodes[nth].state = NodeState::Draining;
        self
    }

    /// The node serves nothing any more; its shards have no owner. Its index stays, as nobody uses it.
    pub(crate) fn failed(mut self, nth: usize) -> Self {
        for owner in &mut self.current {
            if owner.is_some_and(|node| node.index() == nth) {
                *owner = None;
            }
        }
        self.draining(nth)
    }

    pub(crate) fn commit(&mut self, step: Move) {
        assert_eq!(self.current[step.shard.index()], step.from, "a move starts at the owner");
        self.current[step.shard.index()] = Some(step.to);
    }

    pub(crate) fn committed(mut self, moves: &[Move]) -> Self {
        for step in moves {
            self.commit(*step);
        }
        self
    }

    /// Everything in flight arrives.
    pub(crate) fn landed(mut self) -> Self {
        for InFlight { shard, to } in std::mem::take(&mut self.in_flight) {
            self.current[shard.index()] = Some(to);
        }
        self
    }

    pub(crate) fn is_in_flight(&self, shard: ShardId) -> bool {
        self.in_flight.iter().any(|moving| moving.shard == shard)
    }

    pub(crate) fn receives(&self, node: NodeIdx) -> bool {
        self.nodes[node.index()].state == NodeState::Receiving
    }

    pub(crate) fn receivers(&self) -> Vec<NodeIdx> {
        let all = (0..).map(NodeIdx).take(self.nodes.len());
        all.filter(|node| self.receives(*node)).collect()
    }

    /// By node index, draining ones included.
    pub(crate) fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.nodes.len()];
        for node in self.current.iter().flatten() {
            counts[node.index()] += 1;
        }
        counts
    }

    /// The same world listed in another order: the node at `old` is now at `new[old]`.
    pub(crate) fn relisted(&self, new: &[usize]) -> Self {
        let index = |old: NodeIdx| NodeIdx(u16::try_from(new[old.index()]).expect("few nodes"));
        let mut nodes = self.nodes.clone();
        for (old, new) in new.iter().enumerate() {
            nodes[*new] = self.nodes[old].clone();
        }
        let moved = self.in_flight.iter().rev();
        Self {
            seed: self.seed,
            current: self.current.iter().map(|owner| owner.map(index)).collect(),
            nodes,
            in_flight: moved.map(|moving| InFlight { to: index(moving.to), ..*moving }).collect(),
        }
    }
}

/// How heavy the nodes of a drawn world are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weights {
    Equal,
    Any,
}

fn weight(weights: Weights) -> BoxedStrategy<u32> {
    match weights {
        Weights::Equal => Just(7).boxed(),
        Weights::Any => {
            prop_oneof![4 => 1_u32..=4, 2 => 1_u32..=1000, 1 => Just(u32::MAX), 1 => Just(u32::MAX - 1)].boxed()
        }
    }
}

/// Worlds of up to `shards` shards and `nodes` nodes with any owners at all, at least one node receiving, and about one
/// shard in `in_flight_every` in flight (none if 0).
pub(crate) fn worlds(shards: usize, nodes: usize, weights: Weights, in_flight_every: u32) -> BoxedStrategy<World> {
    let states = prop_oneof![4 => Just(NodeState::Receiving), 1 => Just(NodeState::Draining)];
    let node_list = vec((weight(weights), states), 1..=nodes);
    // A skew draws owners from the first few nodes only, so that joins and heavily loaded nodes are common.
    (0..=shards, node_list, any::<u64>(), any::<Index>(), any::<Index>())
        .prop_flat_map(move |(shards, drawn, seed, receiver, skew)| {
            let owners = u16::try_from(skew.index(drawn.len()) + 1).expect("few nodes");
            let all = u16::try_from(drawn.len()).expect("few nodes");
            let owner = prop_oneof![1 => Just(None), 6 => (0..owners).prop_map(|at| Some(NodeIdx(at)))];
            let moving = match in_flight_every {
                0 => Just(None).boxed(),
                every => prop_oneof![every - 1 => Just(None), 1 => (0..all).prop_map(|at| Some(NodeIdx(at)))].boxed(),
            };
            (vec((owner, moving), shards), Just(drawn), Just(seed), Just(receiver))
        })
        .prop_map(|(shards, mut drawn, seed, receiver)| {
            let receiver = receiver.index(drawn.len());
            drawn[receiver].1 = NodeState::Receiving;
            // Ids in another order than the list's.
            let nodes = drawn.iter().enumerate();
            let nodes =
                nodes.map(|(nth, (weight, state))| node(&format!("n{}", nth * 7 % 64), *weight, *state)).collect();
            let (current, moving): (Vec<_>, Vec<_>) = shards.into_iter().unzip();
            let in_flight = (0..).map(ShardId).zip(moving);
            let in_flight = in_flight.filter_map(|(shard, to)| to.map(|to| InFlight { shard, to })).collect();
            World { seed, current, nodes, in_flight }
        })
        .boxed()
}

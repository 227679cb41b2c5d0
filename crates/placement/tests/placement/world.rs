//! Worlds to plan for, drawn by proptest or written down, and the ways time passes in them.

use std::num::NonZeroU32;

use aether_domain::policy::{Pin, ZoneMode};
use aether_domain::{NodeId, ShardId, Zone};
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
    pub(crate) pins: Vec<Pin>,
    pub(crate) zones: ZoneMode,
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
        let current = vec![None; shards];
        Self { seed: 1, current, nodes, in_flight: Vec::new(), pins: Vec::new(), zones: ZoneMode::Ignored }
    }

    pub(crate) fn input(&self) -> PlacementInput<'_> {
        let Self { seed, current, nodes, in_flight, pins, zones } = self;
        PlacementInput { seed: *seed, current, nodes, in_flight, pins, zones: *zones, ..Default::default() }
    }

    pub(crate) fn joined(mut self, id: &str, weight: u32) -> Self {
        self.nodes.push(node(id, weight, NodeState::Receiving));
        self
    }

    pub(crate) fn pinned(mut self, shard: u16, id: &str) -> Self {
        self.pins.push(Pin { shard: ShardId(shard), node: NodeId::new(id).expect("a node id") });
        self
    }

    /// The nodes are in these zones, in turn, and each zone is to have the same share; a zone without a name is none.
    pub(crate) fn zoned(mut self, zones: &[&str]) -> Self {
        self.zones = ZoneMode::Equal;
        for (node, zone) in self.nodes.iter_mut().zip(zones.iter().cycle()) {
            node.zone = Zone::new(*zone).ok();
        }
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

    /// Where a shard is in flight to or else pinned to, unless that cannot be given shards.
    pub(crate) fn fixed_at(&self, shard: ShardId) -> Option<NodeIdx> {
        let in_flight = self.in_flight.iter().find(|moving| moving.shard == shard).map(|moving| moving.to);
        let pin = self.pins.iter().find(|pin| pin.shard == shard);
        let pinned = pin.and_then(|pin| self.receivers().into_iter().find(|at| self.nodes[at.index()].id == pin.node));
        in_flight.or(pinned)
    }

    pub(crate) fn receives(&self, node: NodeIdx) -> bool {
        self.nodes[node.index()].state == NodeState::Receiving
    }

    pub(crate) fn receivers(&self) -> Vec<NodeIdx> {
        let all = (0..).map(NodeIdx).take(self.nodes.len());
        all.filter(|node| self.receives(*node)).collect()
    }

    /// The receivers' zones, or one for all if zones do not matter, each with its nodes.
    pub(crate) fn zones(&self) -> Vec<Vec<NodeIdx>> {
        let zone = |at: &NodeIdx| self.nodes[at.index()].zone.as_ref().filter(|_| self.zones == ZoneMode::Equal);
        let mut receivers = self.receivers();
        receivers.sort_by_key(zone);
        receivers.chunk_by(|a, b| zone(a) == zone(b)).map(<[NodeIdx]>::to_vec).collect()
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
            current: self.current.iter().map(|owner| owner.map(index)).collect(),
            nodes,
            in_flight: moved.map(|moving| InFlight { to: index(moving.to), ..*moving }).collect(),
            pins: self.pins.iter().rev().cloned().collect(),
            ..*self
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
            World { seed, current, nodes, in_flight, pins: Vec::new(), zones: ZoneMode::Ignored }
        })
        .boxed()
}

/// The same worlds with each node in one of a few zones, which are to have the same share.
pub(crate) fn zoned(worlds: impl Strategy<Value = World> + 'static) -> BoxedStrategy<World> {
    (worlds, vec(0_usize..4, 1..40))
        .prop_map(|(world, zones)| {
            world.zoned(&zones.iter().map(|zone| ["", "a", "b", "c"][*zone]).collect::<Vec<_>>())
        })
        .boxed()
}

/// The same worlds with about one shard in `every` pinned, some to nodes that drain, some to a node that is not there.
pub(crate) fn pinned(worlds: impl Strategy<Value = World> + 'static, every: u32) -> BoxedStrategy<World> {
    let pins = prop_oneof![every - 1 => Just(None), 1 => any::<Index>().prop_map(Some)];
    (worlds, vec(pins, 400))
        .prop_map(|(mut world, pins)| {
            for (shard, to) in (0..world.current.len()).zip(pins) {
                let Some(to) = to.map(|to| to.index(world.nodes.len() + 1)) else { continue };
                let id = world.nodes.get(to).map_or_else(|| "gone".to_owned(), |node| node.id.to_string());
                world = world.pinned(u16::try_from(shard).expect("few shards"), &id);
            }
            world
        })
        .boxed()
}

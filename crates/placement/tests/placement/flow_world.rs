//! Worlds in which tags say where shards may be.

use std::collections::BTreeSet;

use aether_domain::policy::{Pin, TagRule, ZoneMode};
use aether_domain::{NodeId, ShardId, Tag, Zone};
use aether_placement::{InFlight, Move, NodeIdx, NodeState, NodeView, PlacementInput};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::node;

/// An input that owns what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Tagged {
    pub(crate) seed: u64,
    pub(crate) current: Vec<Option<NodeIdx>>,
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) rules: Vec<TagRule>,
    pub(crate) zones: ZoneMode,
}

pub(crate) fn tags(names: &str) -> BTreeSet<Tag> {
    names.split_whitespace().map(|name| Tag::new(name).expect("a tag")).collect()
}

pub(crate) fn rule(names: &str, shards: impl IntoIterator<Item = u16>) -> TagRule {
    TagRule { shards: shards.into_iter().map(ShardId).collect(), tags: tags(names) }
}

impl Tagged {
    /// `shards` shards without an owner and nodes `n0`, `n1`, .. of weight 1 with these tags.
    pub(crate) fn new(shards: usize, nodes: &[&str], rules: Vec<TagRule>) -> Self {
        let view = |(nth, names): (usize, &&str)| NodeView {
            tags: tags(names),
            ..node(&format!("n{nth}"), 1, NodeState::Receiving)
        };
        let (in_flight, pins, zones) = (Vec::new(), Vec::new(), ZoneMode::Ignored);
        let nodes = nodes.iter().enumerate().map(view).collect();
        Self { seed: 1, current: vec![None; shards], nodes, in_flight, pins, rules, zones }
    }

    pub(crate) fn input(&self) -> PlacementInput<'_> {
        let Self { seed, current, nodes, in_flight, pins, rules, zones } = self;
        PlacementInput { seed: *seed, current, nodes, in_flight, pins, rules, zones: *zones, load: None }
    }

    pub(crate) fn pinned(mut self, shard: u16, node: &str) -> Self {
        self.pins.push(Pin { shard: ShardId(shard), node: NodeId::new(node).expect("a node id") });
        self
    }

    pub(crate) fn committed(mut self, moves: &[Move]) -> Self {
        for step in moves {
            assert_eq!(self.current[step.shard.index()], step.from, "a move starts at the owner");
            self.current[step.shard.index()] = Some(step.to);
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

    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> {
        (0..).map(ShardId).take(self.current.len())
    }

    pub(crate) fn destination(&self, shard: ShardId) -> Option<NodeIdx> {
        self.in_flight.iter().find(|moving| moving.shard == shard).map(|moving| moving.to)
    }

    pub(crate) fn receivers(&self) -> Vec<NodeIdx> {
        let all = (0..).map(NodeIdx).zip(&self.nodes);
        all.filter(|(_, node)| node.state == NodeState::Receiving).map(|(at, _)| at).collect()
    }

    /// The receiver a shard is pinned to.
    pub(crate) fn pin(&self, shard: ShardId) -> Option<NodeIdx> {
        let pin = self.pins.iter().find(|pin| pin.shard == shard)?;
        self.receivers().into_iter().find(|at| self.nodes[at.index()].id == pin.node)
    }

    /// The receivers a shard may be on.
    pub(crate) fn allowed(&self, shard: ShardId) -> Vec<NodeIdx> {
        self.pin(shard).map_or_else(|| self.tagged(shard), |pin| vec![pin])
    }

    /// The same without pins.
    fn tagged(&self, shard: ShardId) -> Vec<NodeIdx> {
        let named = self.rules.iter().filter(|rule| rule.shards.contains(shard));
        let asked: BTreeSet<&Tag> = named.flat_map(|rule| &rule.tags).collect();
        let mut fitting = self.receivers();
        fitting.retain(|at| asked.iter().all(|tag| self.nodes[at.index()].tags.contains(*tag)));
        if fitting.is_empty() { self.receivers() } else { fitting }
    }

    /// Whether tags keep some shard from some receiver.
    pub(crate) fn has_needs(&self) -> bool {
        self.shards().any(|shard| self.tagged(shard).len() < self.receivers().len())
    }

    /// The same world with its nodes in another order, the one at `old` now at `new[old]`, and all else backwards.
    pub(crate) fn relisted(&self, new: &[usize]) -> Self {
        let index = |old: NodeIdx| NodeIdx(u16::try_from(new[old.index()]).expect("few nodes"));
        let mut nodes = self.nodes.clone();
        for (old, new) in new.iter().enumerate() {
            nodes[*new] = self.nodes[old].clone();
        }
        let in_flight = self.in_flight.iter().rev();
        Self {
            current: self.current.iter().map(|owner| owner.map(index)).collect(),
            nodes,
            in_flight: in_flight.map(|moving| InFlight { to: index(moving.to), ..*moving }).collect(),
            pins: self.pins.iter().rev().cloned().collect(),
            rules: self.rules.iter().rev().cloned().collect(),
            ..self.clone()
        }
    }
}

/// What there may be in a drawn world beyond nodes and rules.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) pins: bool,
    pub(crate) zones: bool,
    pub(crate) in_flight: bool,
    /// The heaviest weights there are. Without, small ones.
    pub(crate) heavy: bool,
}

/// Worlds of up to `shards` shards, `nodes` nodes and `rules` rules, at least one node receiving.
pub(crate) fn tagged(shards: usize, nodes: usize, rules: usize, extras: Extras) -> BoxedStrategy<Tagged> {
    let weight = if extras.heavy {
        prop_oneof![Just(1), Just(1000), Just(u32::MAX - 1), Just(u32::MAX)].boxed()
    } else {
        prop_oneof![3 => Just(1), 2 => 1_u32..=5].boxed()
    };
    let view =
        (weight, prop_oneof![5 => Just(NodeState::Receiving), 1 => Just(NodeState::Draining)], 0_u8..16, 0_u8..4);
    let one_in = |every: u32, on: bool| {
        let some = any::<Index>().prop_map(Some);
        if on { prop_oneof![every => Just(None), 1 => some].boxed() } else { Just(None).boxed() }
    };
    // Owners among the first few, so that joins and heavily loaded nodes are common.
    let shard = (
        prop_oneof![1 => Just(None), 6 => any::<Index>().prop_map(Some)],
        one_in(7, extras.pins),
        one_in(4, extras.in_flight),
    );
    let of_rule = (0_u8..16, 1_u32..6, any::<u64>());
    (
        vec(shard, 0..=shards),
        vec(view, 1..=nodes),
        vec(of_rule, rules.div_ceil(2)..=rules),
        any::<u64>(),
        any::<(Index, Index, bool)>(),
    )
        .prop_map(move |(shards, mut views, rules, seed, (receiver, owners, zoned))| {
            let receiver = receiver.index(views.len());
            views[receiver].1 = NodeState::Receiving;
            let names = |bits: u8| {
                let names: Vec<_> =
                    ["a", "b", "c", "d"].into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).collect();
                names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" ")
            };
            let nodes: Vec<NodeView> = (views.iter().enumerate())
                .map(|(nth, (weight, state, bits, zone))| NodeView {
                    tags: tags(&names(*bits)),
                    zone: (*zone > 0).then(|| Zone::new(format!("z{zone}")).expect("a zone")),
                    ..node(&format!("n{}", nth * 7 % 64), *weight, *state) // in another order than the list's
                })
                .collect();
            let place = |index: Index, among: usize| NodeIdx(u16::try_from(index.index(among)).expect("few nodes"));
            let (owners, all) = (owners.index(nodes.len()) + 1, nodes.len());
            let numbered = || (0..).map(ShardId).zip(&shards);
            let pins = numbered().filter_map(|(shard, (_, pin, _))| {
                let node = pin.map(|index| place(index, all))?;
                Some(Pin { shard, node: nodes[node.index()].id.clone() })
            });
            let in_flight = numbered()
                .filter_map(|(shard, (_, _, moving))| moving.map(|index| InFlight { shard, to: place(index, all) }));
            let of_rule = |(bits, one_in, start): (u8, u32, u64)| {
                let mut dice = start | 1;
                let mut roll = || {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (dice >> 33) as u32
                };
                let named = (0..).take(shards.len()).filter(|_| roll() % one_in == 0);
                rule(&names(bits), named.collect::<Vec<u16>>())
            };
            Tagged {
                seed,
                current: shards.iter().map(|(owner, ..)| owner.map(|index| place(index, owners))).collect(),
                in_flight: in_flight.collect(),
                pins: pins.collect(),
                rules: rules.into_iter().map(of_rule).collect(),
                zones: if extras.zones && zoned { ZoneMode::Equal } else { ZoneMode::Ignored },
                nodes,
            }
        })
        .boxed()
}

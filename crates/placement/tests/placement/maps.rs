//! Maps and their histories, written down or drawn by proptest, and the plain model that they are compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::policy::Strategy;
use aether_domain::{ClusterUid, Epoch, Incarnation, NodeId, NodeRef, Term, Zone};
use aether_placement::map::{Delta, MapNode, NodeNumber, NodeTable, ShardBits, ShardMap};
use aether_placement::wire::Origin;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Strategy as Drawn;
use twox_hash::XxHash3_128;

pub(crate) const ORIGIN: Origin =
    Origin { cluster: ClusterUid(0x00c1_0500_0000_0000_0000_0000_0000_cafe), term: Term(3) };

pub(crate) fn strategy() -> Strategy {
    "sticky-balanced/1".parse().expect("a strategy")
}

pub(crate) fn life(nth: usize) -> NodeRef {
    let node = NodeId::new(format!("n{nth}")).expect("a node id");
    NodeRef { node, incarnation: Incarnation(0x1000 + nth as u64) }
}

#[expect(clippy::unnecessary_wraps, reason = "a place of a table")]
pub(crate) fn place(nth: usize) -> Option<MapNode> {
    let zone = (nth % 3 != 2).then(|| Zone::new(format!("z{}", nth % 3)).expect("a zone"));
    Some(MapNode { node: life(nth), zone })
}

/// Nodes `n0`, `n1`, ..
pub(crate) fn nodes(count: usize) -> Arc<NodeTable> {
    Arc::new(NodeTable::new(1, (0..count).map(place).collect()).expect("a table"))
}

pub(crate) fn bits(log2: u8) -> ShardBits {
    ShardBits::new(log2).expect("at most 20")
}

pub(crate) fn numbers(changes: &[(u32, i32)]) -> Vec<(u32, Option<NodeNumber>)> {
    changes.iter().map(|(shard, number)| (*shard, u16::try_from(*number).ok().map(NodeNumber))).collect()
}

/// A change; a node below 0 is nobody.
pub(crate) fn delta(base: u64, version: u64, given: &[(u32, i32)], begun: &[(u32, i32)]) -> Delta {
    Delta { base: Epoch(base), version: Epoch(version), given: numbers(given), begun: numbers(begun) }
}

/// A map of 16 shards on three nodes, with a free place among them, in which something of everything has happened.
pub(crate) fn small() -> (ShardMap, Vec<Delta>) {
    let places = vec![place(0), None, place(1), place(2)];
    let mut map = ShardMap::empty(bits(4), Arc::new(NodeTable::new(9, places).expect("a table")));
    let all: Vec<(u32, i32)> = (0..15).map(|shard| (shard, [0, 2, 3][shard as usize % 3])).collect();
    let deltas = vec![
        delta(0, 2, &all, &[]),
        delta(2, 5, &[(7, 0)], &[(1, 3), (4, 3)]),
        delta(5, 300, &[(1, 3), (9, -1)], &[(4, -1), (5, 2), (14, 0)]),
    ];
    for delta in &deltas {
        map.apply(delta).expect("fits");
    }
    (map, deltas)
}

/// Who has every shard and where each is on its way to, by name: nothing that is packed, numbered or incremental.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) owned: BTreeMap<u32, (NodeRef, Epoch)>,
    pub(crate) leaving: BTreeMap<u32, (NodeRef, Epoch)>,
}

impl Model {
    pub(crate) fn of(map: &ShardMap) -> Self {
        let life = |number| map.nodes().get(number).expect("a known number").node.clone();
        let owned = (0..).zip(map.owners());
        Self {
            owned: owned.filter_map(|(shard, owner)| owner.map(|(to, epoch)| (shard, (life(to), epoch)))).collect(),
            leaving: map.leaving().iter().map(|(shard, way)| (*shard, (life(way.to), way.since))).collect(),
        }
    }

    pub(crate) fn apply(&mut self, nodes: &NodeTable, delta: &Delta) {
        let life = |number| nodes.get(number).expect("a known number").node.clone();
        for (shard, to) in &delta.given {
            self.owned.remove(shard);
            self.leaving.remove(shard);
            if let Some(to) = to {
                self.owned.insert(*shard, (life(*to), delta.version));
            }
        }
        for (shard, to) in &delta.begun {
            self.leaving.remove(shard);
            if let Some(to) = to {
                self.leaving.insert(*shard, (life(*to), delta.version));
            }
        }
    }

    /// The digest as the specification has it, by the other implementation of XXH3.
    pub(crate) fn digest(&self) -> u128 {
        let term = |tag: u8, shard: u32, (node, epoch): &(NodeRef, Epoch)| {
            let mut frame = vec![tag];
            frame.extend(shard.to_le_bytes());
            frame.extend(node.incarnation.0.to_le_bytes());
            frame.extend(epoch.0.to_le_bytes());
            frame.extend(node.node.as_str().bytes());
            XxHash3_128::oneshot(&frame)
        };
        let owned = self.owned.iter().map(|(shard, what)| term(b'O', *shard, what));
        let leaving = self.leaving.iter().map(|(shard, what)| term(b'L', *shard, what));
        owned.chain(leaving).fold(0, |digest, term| digest ^ term)
    }
}

/// A map from nothing by deltas: how it begins, and what changes it.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) start: ShardMap,
    pub(crate) deltas: Vec<Delta>,
}

impl History {
    /// The map after each delta.
    pub(crate) fn maps(&self) -> Vec<ShardMap> {
        let mut map = self.start.clone();
        let after = self.deltas.iter().map(|delta| {
            map.apply(delta).expect("it was drawn to fit");
            map.clone()
        });
        after.collect()
    }
}

/// Up to 256 shards, up to 40 nodes, up to 6 changes of any size.
pub(crate) fn histories() -> impl Drawn<Value = History> {
    let change = || vec((any::<u32>(), proptest::option::weighted(0.9, any::<u16>())), 0..200);
    let step = (1_u64..1_000, change(), change());
    (0_u8..=8, 1_usize..40, vec(step, 1..6)).prop_map(|(log2, count, steps)| {
        let start = ShardMap::empty(bits(log2), nodes(count));
        let mut map = start.clone();
        let deltas = steps.into_iter().map(|(later, given, begun)| {
            let version = Epoch(map.version().0 + later);
            let placed = |changes: Vec<(u32, Option<u16>)>| -> BTreeMap<u32, Option<NodeNumber>> {
                let shards = map.owners().len() as u32;
                let number = |number: u16| NodeNumber(number % count as u16);
                changes.into_iter().map(|(shard, to)| (shard % shards, to.map(number))).collect()
            };
            let given = placed(given);
            let mut begun = placed(begun);
            begun.retain(|shard, _| map.owner(*shard).is_some() && !given.contains_key(shard));
            let given = given.into_iter().collect();
            let delta = Delta { base: map.version(), version, given, begun: begun.into_iter().collect() };
            map.apply(&delta).expect("it fits");
            delta
        });
        History { deltas: deltas.collect(), start }
    })
}

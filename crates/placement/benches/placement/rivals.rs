//! Stateless schemes that the crate does not offer, to compare with: jump hashing and Maglev.

use std::cell::RefCell;

use aether_domain::NodeId;
use aether_placement::{
    Move, MoveClass, NodeIdx, NodeState, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy, StrategyId,
    minimum_moves,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The shards of a plan are wherever `wanted` says, and nothing is in flight.
fn plan_of(
    input: &PlacementInput<'_>,
    wanted: impl Fn(u64, &[NodeIdx]) -> usize,
) -> Result<PlacementPlan, PlacementError> {
    let optimum = minimum_moves(input)?;
    let receivers = receivers(input);
    let mut moves = Vec::new();
    for (shard, owner) in (0_u16..).map(aether_domain::ShardId).zip(input.current) {
        let place = xxh3_64_with_seed(&u32::from(shard.0).to_le_bytes(), input.seed);
        let to = receivers[wanted(place, &receivers)];
        if *owner != Some(to) {
            let class = match owner.map(|node| input.nodes[node.index()].state) {
                None => MoveClass::Orphan,
                Some(NodeState::Draining) => MoveClass::Drain,
                Some(NodeState::Receiving) => MoveClass::Balance,
            };
            moves.push(Move { shard, from: *owner, to, class });
        }
    }
    Ok(PlacementPlan::new(moves, optimum))
}

/// By id.
fn receivers(input: &PlacementInput<'_>) -> Vec<NodeIdx> {
    let mut all: Vec<_> =
        (0..).map(NodeIdx).zip(input.nodes).filter(|(_, n)| n.state == NodeState::Receiving).collect();
    all.sort_by(|a, b| a.1.id.cmp(&b.1.id));
    all.into_iter().map(|(at, _)| at).collect()
}

/// J. Lamping and E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014), over the nodes in the order of
/// their ids: it can only add and take away at the end of a list, and nodes do not leave in that order.
pub(crate) struct Jump;

impl PlacementStrategy for Jump {
    fn id(&self) -> StrategyId {
        StrategyId { name: "jump", version: 1 }
    }
    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        plan_of(input, |place, receivers| jump(place, receivers.len()))
    }
}

fn jump(mut key: u64, buckets: usize) -> usize {
    let (mut bucket, mut next) = (0_u64, 0_u64);
    while next < buckets as u64 {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (bucket + 1) * 2^31 / ((key >> 33) + 1), in whole numbers.
        next = ((u128::from(bucket + 1) << 31) / u128::from((key >> 33) + 1)) as u64;
    }
    bucket as usize
}

/// D. Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer" (2016): a table that the nodes
/// take turns in filling. With shards hashed into it, or (`exact`) as large as there are shards, and each has an entry.
pub(crate) struct Maglev {
    pub(crate) exact: bool,
}

impl PlacementStrategy for Maglev {
    fn id(&self) -> StrategyId {
        StrategyId { name: if self.exact { "maglev, a shard an entry" } else { "maglev" }, version: 1 }
    }
    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let entries = if self.exact { input.current.len() } else { ENTRIES };
        let ids: Vec<&NodeId> = receivers(input).iter().map(|node| &input.nodes[node.index()].id).collect();
        if ids.is_empty() {
            return minimum_moves(input).map(|optimum| PlacementPlan::new(Vec::new(), optimum));
        }
        let table = fill(&ids, entries, input.seed);
        let turn = RefCell::new(0);
        plan_of(input, |place, _| {
            let at = if self.exact { turn.replace_with(|at| *at + 1) } else { (place % entries as u64) as usize };
            usize::from(table[at])
        })
    }
}

/// A prime, at least 65 for each of 1,000 nodes.
const ENTRIES: usize = 65_537;

fn fill(ids: &[&NodeId], entries: usize, seed: u64) -> Vec<u16> {
    let drawn = |id: &NodeId, salt| xxh3_64_with_seed(id.as_str().as_bytes(), seed ^ salt) as usize;
    // A step that has no divisor in common with the table visits every entry; tables of powers of two take odd steps.
    let step = |id| (drawn(id, 2) % (entries - 1).max(1) + 1) | usize::from(entries.is_power_of_two());
    let mut turns: Vec<_> = ids.iter().map(|id| (drawn(id, 1) % entries, step(id) % entries.max(2))).collect();
    let mut table: Vec<Option<u16>> = vec![None; entries];
    let mut left = entries;
    while left > 0 {
        for (node, (at, step)) in (0_u16..).zip(&mut turns) {
            while table[*at].is_some() && left > 0 {
                *at = (*at + *step) % entries;
            }
            if left > 0 {
                table[*at] = Some(node);
                left -= 1;
            }
        }
    }
    table.into_iter().map(|node| node.expect("filled")).collect()
}

//! Which moves to begin now: the urgent first, and no more at a time than a node or the cluster can bear.
//!
//! A move keeps its source and its target busy until it is committed or given up. Nothing here knows how long that takes,
//! and nothing is remembered: ask [`next_wave`] again whenever moves have ended.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use aether_domain::ShardId;
use aether_domain::policy::MoveCaps;

use crate::strategy::{Move, NodeIdx};

/// Those of `moves` that may begin while `under_way` are not finished, in the order they are given. Both are moves of
/// checked plans; together they name a shard once.
///
/// A shard without an owner waits for nobody: it always begins, and is not counted. Of the others no more are begun than
/// `caps` allow together with those under way; a cap of 0 counts as 1. A less urgent class gets what the more urgent ones
/// leave. Within a class the move comes first whose nodes need the most waves for what they have left, so that the busiest
/// are not idle; the lower shard decides what ties remain.
pub fn next_wave(moves: &[Move], under_way: &[Move], caps: MoveCaps) -> Vec<Move> {
    let ends = moves.iter().chain(under_way).flat_map(|step| step.from.into_iter().chain([step.to]));
    let nodes = ends.map(NodeIdx::index).max().map_or(0, |last| last + 1);
    let mut begun = Tally::new(nodes);
    for step in under_way {
        if let Some(from) = step.from {
            begun.add(from, step.to);
        }
    }
    let mut begins = vec![false; moves.len()];
    let mut classes: BTreeMap<_, Vec<(usize, NodeIdx)>> = BTreeMap::new();
    for (at, step) in moves.iter().enumerate() {
        match step.from {
            Some(from) => classes.entry(step.class).or_default().push((at, from)),
            None => begins[at] = true,
        }
    }
    let caps = Caps::from(caps);
    for class in classes.into_values() {
        let mut pairs: BTreeMap<(NodeIdx, NodeIdx), Vec<Placed>> = BTreeMap::new();
        let mut left = Tally::new(nodes);
        for (at, from) in class {
            let Move { shard, to, .. } = moves[at];
            pairs.entry((from, to)).or_default().push((Reverse(shard), at));
            left.add(from, to);
        }
        let mut queue = BinaryHeap::new();
        for (&(from, to), moves) in &mut pairs {
            moves.sort_unstable();
            queue.extend(moves.last().map(|&(shard, _)| (left.pressure(from, to, caps), shard, from, to)));
        }
        while let Some((pressure, shard, from, to)) = queue.pop() {
            if !begun.has_room(from, to, caps) {
                continue;
            }
            let now = left.pressure(from, to, caps);
            if now < pressure {
                queue.push((now, shard, from, to)); // it has fallen since, and never rises
                continue;
            }
            let moves = pairs.get_mut(&(from, to)).expect("a pair is queued because it has moves");
            let (_, at) = moves.pop().expect("and only while it has one");
            begins[at] = true;
            begun.add(from, to);
            left.remove(from, to);
            queue.extend(moves.last().map(|&(shard, _)| (left.pressure(from, to, caps), shard, from, to)));
        }
    }
    moves.iter().zip(begins).filter(|(_, begins)| *begins).map(|(step, _)| *step).collect()
}

/// All of `moves` in waves, each of which ends before the next begins. Never one that is empty.
///
/// The moves of one class take at least as many waves as the busiest node needs, and hardly ever more:
/// `docs/placement.md` says how many at most.
pub fn waves(moves: &[Move], caps: MoveCaps) -> Vec<Vec<Move>> {
    let mut left = moves.to_vec();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let wave = next_wave(&left, &[], caps);
        let begun: BTreeSet<ShardId> = wave.iter().map(|step| step.shard).collect();
        left.retain(|step| !begun.contains(&step.shard));
        waves.push(wave);
    }
    waves
}

/// A shard and the place of its move. In order the lowest shard is the last.
type Placed = (Reverse<ShardId>, usize);

/// [`MoveCaps`], each at least 1.
#[derive(Clone, Copy)]
struct Caps {
    total: u64,
    source: u64,
    target: u64,
}

impl From<MoveCaps> for Caps {
    fn from(caps: MoveCaps) -> Self {
        let [total, source, target] = [caps.total, caps.per_source, caps.per_target].map(|cap| cap.max(1).into());
        Self { total, source, target }
    }
}

/// Moves counted, by their ends. A node may send and receive at once, and each has its cap.
struct Tally {
    total: u64,
    /// By node index.
    from: Vec<u64>,
    /// By node index.
    to: Vec<u64>,
}

impl Tally {
    fn new(nodes: usize) -> Self {
        Self { total: 0, from: vec![0; nodes], to: vec![0; nodes] }
    }

    fn add(&mut self, from: NodeIdx, to: NodeIdx) {
        self.total += 1;
        self.from[from.index()] += 1;
        self.to[to.index()] += 1;
    }

    fn remove(&mut self, from: NodeIdx, to: NodeIdx) {
        self.total -= 1;
        self.from[from.index()] -= 1;
        self.to[to.index()] -= 1;
    }

    fn has_room(&self, from: NodeIdx, to: NodeIdx, caps: Caps) -> bool {
        self.total < caps.total && self.from[from.index()] < caps.source && self.to[to.index()] < caps.target
    }

    /// How many waves these nodes need for what is counted, the busier one first.
    fn pressure(&self, from: NodeIdx, to: NodeIdx, caps: Caps) -> (u64, u64) {
        let source = self.from[from.index()].div_ceil(caps.source);
        let target = self.to[to.index()].div_ceil(caps.target);
        (source.max(target), source.min(target))
    }
}

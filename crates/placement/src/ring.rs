//! A consistent-hash ring of 150 points a node: where a shard would like to be.
//!
//! [`StickyBalanced`](crate::StickyBalanced) asks it only to break ties between nodes that have room.
//! [`ConsistentHashRing150`] obeys it alone and is here for comparison: it moves little, but balances badly.

use aether_domain::{NodeId, ShardId, Zone};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::census::{Census, Receiver};
use crate::needs::Need;
use crate::sticky::minimum_moves;
use crate::strategy::{PlacementError, PlacementInput, PlacementPlan, PlacementStrategy, StrategyId};

/// The points each node has on the ring.
const POINTS_PER_NODE: u32 = 150;

/// A shard's place on the circle of 64-bit numbers. Frozen: `XXH3-64(seed, "shard" u32le(shard))`.
pub(crate) fn shard_place(seed: u64, shard: ShardId) -> u64 {
    place_of(seed, shard.0.into())
}

/// The same of a shard by its number, of which there may be more than there are ids.
pub(crate) fn place_of(seed: u64, shard: u32) -> u64 {
    let mut frame = *b"shard\0\0\0\0";
    frame[5..].copy_from_slice(&shard.to_le_bytes());
    xxh3_64_with_seed(&frame, seed)
}

/// What a node's places are drawn from. Frozen: `XXH3-64(seed, "node" id)`.
pub(crate) fn node_seed(seed: u64, node: &NodeId) -> u64 {
    named(seed, *b"node", node.as_str())
}

/// What breaks ties between zones. Frozen: `XXH3-64(seed, "zone" name)`; the nodes without a zone have an empty name.
pub(crate) fn zone_seed(seed: u64, zone: Option<&Zone>) -> u64 {
    named(seed, *b"zone", zone.map_or("", Zone::as_str))
}

fn named(seed: u64, kind: [u8; 4], name: &str) -> u64 {
    let name = name.as_bytes();
    let mut frame = [0; 4 + 32];
    let frame = &mut frame[..4 + name.len()]; // a name has at most 32 bytes
    frame[..4].copy_from_slice(&kind);
    frame[4..].copy_from_slice(name);
    xxh3_64_with_seed(frame, seed)
}

/// One of a node's places on the circle. Frozen: `XXH3-64(node seed, u32le(point))`.
fn node_place(node_seed: u64, point: u32) -> u64 {
    xxh3_64_with_seed(&point.to_le_bytes(), node_seed)
}

/// The points of some nodes, clockwise. Nodes can be closed, one after the other, and are then passed over.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Place and rank, ascending; equal places are ordered by rank, which is by id.
    points: Vec<(u64, u16)>,
    /// By the top bits of a place: the first point that is not before every place with these bits. About as many as
    /// there are points, so that a point is found, and put in order, among a few.
    slices: Vec<u32>,
    /// How many low bits of a place do not count for its slice.
    low_bits: u32,
    /// By point: a later point (the first, behind the last) such that all between the two are closed.
    later: Vec<u32>,
}

impl Ring {
    pub(crate) fn new<'a>(seed: u64, nodes: impl Iterator<Item = (u16, &'a NodeId)>) -> Self {
        let points = nodes.flat_map(|(rank, id)| {
            let node_seed = node_seed(seed, id);
            (0..POINTS_PER_NODE).map(move |point| (node_place(node_seed, point), rank))
        });
        Self::of(points.collect())
    }

    fn of(drawn: Vec<(u64, u16)>) -> Self {
        let low_bits = u64::BITS - drawn.len().max(2).ilog2();
        let slice = |place: u64| (place >> low_bits) as usize;
        // Places are as good as random, so each slice has a few: put each in its slice, and each slice in order.
        let mut slices = vec![0_u32; (1 << (u64::BITS - low_bits)) + 1];
        for (place, _) in &drawn {
            slices[slice(*place) + 1] += 1;
        }
        for at in 1..slices.len() {
            slices[at] += slices[at - 1];
        }
        let (mut next, mut points) = (slices.clone(), vec![(0, 0); drawn.len()]);
        for point in drawn {
            let at = &mut next[slice(point.0)];
            points[*at as usize] = point;
            *at += 1;
        }
        for ends in slices.windows(2) {
            points[ends[0] as usize..ends[1] as usize].sort_unstable();
        }
        let mut ring = Self { points, slices, low_bits, later: Vec::new() };
        ring.reopen();
        ring
    }

    /// Whether it has no node.
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// How far clockwise of `place` the next point is. The ring is not empty.
    pub(crate) fn distance(&self, place: u64) -> u64 {
        self.points[self.first(place)].0.wrapping_sub(place)
    }

    /// The rank of the first node clockwise of `place` that is open. At least one is, and none is opened again but by
    /// [`Ring::reopen`].
    pub(crate) fn open_node(&mut self, place: u64, is_open: impl Fn(u16) -> bool) -> u16 {
        self.nearest(place, is_open).1
    }

    /// The same, behind how far clockwise of `place` it is.
    pub(crate) fn nearest(&mut self, place: u64, is_open: impl Fn(u16) -> bool) -> (u64, u16) {
        let start = self.first(place);
        let mut found = start;
        while !is_open(self.points[found].1) {
            found = self.later[found] as usize;
        }
        let mut at = start;
        while at != found {
            at = std::mem::replace(&mut self.later[at], found as u32) as usize;
        }
        let (at, rank) = self.points[found];
        (at.wrapping_sub(place), rank)
    }

    /// Opens all nodes again.
    pub(crate) fn reopen(&mut self) {
        self.later = (1..self.points.len() as u32).chain([0]).collect();
    }

    /// The rank of the first node clockwise of `place` that will do, if one does. Nothing is closed: what will not do for one
    /// shard may do for the next.
    pub(crate) fn fitting_node(&self, place: u64, fits: impl Fn(u16) -> bool) -> Option<u16> {
        let (before, behind) = self.points.split_at(self.first(place));
        behind.iter().chain(before).map(|(_, rank)| *rank).find(|rank| fits(*rank))
    }

    /// The first point at or clockwise of `place`.
    fn first(&self, place: u64) -> usize {
        let slice = (place >> self.low_bits) as usize;
        let (from, to) = (self.slices[slice] as usize, self.slices[slice + 1] as usize);
        let at = from + self.points[from..to].partition_point(|point| point.0 < place);
        if at == self.points.len() { 0 } else { at }
    }
}

/// Each shard to the next point of the ring whose node it may be on, whatever that does to balance; weights and zones are
/// ignored.
///
/// For comparison only: with 1024 shards its fullest node has 1.1 times the mean among 3 nodes, and 1.9 times among
/// 100.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsistentHashRing150;

impl PlacementStrategy for ConsistentHashRing150 {
    fn id(&self) -> StrategyId {
        StrategyId { name: "consistent-hash-ring-150", version: 1 }
    }

    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let census = Census::take(input)?;
        let ring = Ring::new(input.seed, (0_u16..=u16::MAX).zip(census.receivers.iter().map(|receiver| receiver.id)));
        let mut moves = census.pinned.clone();
        for (shard, holder) in census.movable() {
            let wanted = ring.fitting_node(shard_place(input.seed, shard), |rank| census.needs.allows(shard, rank));
            if let Some(wanted) = wanted.filter(|wanted| holder != Some(*wanted)) {
                moves.push(census.step(shard, wanted)); // somebody always will do
            }
        }
        Ok(PlacementPlan::new(moves, minimum_moves(input)?))
    }
}

/// Each shard to the next point of the ring whose node is not full: no node holds more than a part above its share, unless
/// pins, tag rules or moves in flight want it. Zones are ignored.
///
/// For comparison: it bounds the fullest node and not the emptiest, and what a full node turns away it turns away again
/// and again when nodes come and go. Source: V. Mirrokni, M. Thorup and M. Zadimoghaddam, "Consistent Hashing with Bounded
/// Loads" (2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundedRing {
    /// Invariant: at least 100.
    percent: u32,
}

impl Default for BoundedRing {
    /// A quarter above the share.
    fn default() -> Self {
        Self { percent: 125 }
    }
}

impl BoundedRing {
    /// A node is full at that many percent of its share, rounded up; less than 100 would leave shards without a place and
    /// counts as 100.
    pub fn full_at(percent: u32) -> Self {
        Self { percent: percent.max(100) }
    }
}

impl PlacementStrategy for BoundedRing {
    fn id(&self) -> StrategyId {
        StrategyId { name: "bounded-ring", version: 1 }
    }

    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let census = Census::take(input)?;
        let mut ring =
            Ring::new(input.seed, (0_u16..=u16::MAX).zip(census.receivers.iter().map(|receiver| receiver.id)));
        let weight: u128 = census.receivers.iter().map(|node| u128::from(node.weight)).sum();
        let full_at = |node: &Receiver<'_>| {
            let part = u128::from(census.total) * u128::from(node.weight) * u128::from(self.percent);
            part.div_ceil(100 * weight)
        };
        let full_at: Vec<u128> = census.receivers.iter().map(full_at).collect();
        let mut count: Vec<u128> = census.receivers.iter().map(|node| u128::from(node.fixed)).collect();
        let mut with_room = count.iter().zip(&full_at).filter(|(count, full_at)| count < full_at).count();
        let mut moves = census.pinned.clone();
        for (shard, holder) in census.movable() {
            let place = shard_place(input.seed, shard);
            let has_room = |rank: u16| count[usize::from(rank)] < full_at[usize::from(rank)];
            let allows = |rank: u16| census.needs.allows(shard, rank);
            let wanted = if census.needs.of_shard(shard) == Need::Anywhere {
                // More than its part may be on its way to a node: then others must hold more than theirs.
                ring.open_node(place, |rank| with_room == 0 || has_room(rank))
            } else {
                let fitting = ring.fitting_node(place, |rank| allows(rank) && has_room(rank));
                // Where it must be, it must also be if that is more than a part.
                let Some(wanted) = fitting.or_else(|| ring.fitting_node(place, allows)) else { continue };
                wanted
            };
            let (held, full) = (&mut count[usize::from(wanted)], full_at[usize::from(wanted)]);
            *held += 1;
            with_room -= usize::from(*held == full); // it becomes full once
            if holder != Some(wanted) {
                moves.push(census.step(shard, wanted));
            }
        }
        Ok(PlacementPlan::new(moves, minimum_moves(input)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_no_end_and_passes_over_closed_nodes() {
        let mut ring = Ring::of(vec![(40, 0), (20, 1), (10, 0), (30, 2)]);
        for (place, expected, distance) in
            [(0, 0, 10), (10, 0, 0), (11, 1, 9), (30, 2, 0), (31, 0, 9), (41, 0, u64::MAX - 30), (u64::MAX, 0, 11)]
        {
            assert_eq!(ring.open_node(place, |_| true), expected, "at {place}");
            assert_eq!(ring.distance(place), distance, "at {place}");
        }
        for (closed, place, expected) in [(0, 41, 1), (0, 31, 1), (0, 30, 2), (1, 41, 2), (1, 11, 2), (1, 0, 2)] {
            assert_eq!(ring.open_node(place, |node| node > closed), expected, "at {place}, up to {closed} closed");
        }
    }
    #[test]
    fn a_node_that_does_not_fit_one_shard_may_fit_the_next() {
        let ring = Ring::of(vec![(10, 0), (20, 1), (30, 0), (40, 2)]);
        for (place, fits, expected) in [
            (0, [true, true, true], Some(0)),
            (11, [true, false, true], Some(0)),
            (11, [false, false, true], Some(2)),
            (31, [false, true, false], Some(1)),
            (31, [false, false, false], None),
        ] {
            assert_eq!(ring.fitting_node(place, |rank| fits[usize::from(rank)]), expected, "at {place}, {fits:?}");
        }
    }

    #[test]
    fn points_are_found_as_a_sorted_list_would_find_them() {
        for count in [1_u32, 2, 3, 4, 7, 150, 1_000] {
            let place = |nth: u32| xxh3_64_with_seed(&nth.to_le_bytes(), 7) >> (nth % 3 * 20);
            let drawn: Vec<_> = (0..count).map(|nth| (place(nth), (nth % 9) as u16)).collect();
            let ring = Ring::of(drawn.clone());
            let mut sorted = drawn;
            sorted.sort_unstable();
            assert_eq!(ring.points, sorted);
            for probe in (0..500).map(|nth| place(nth + 5_000)).chain([0, u64::MAX]).chain(sorted.iter().map(|p| p.0)) {
                let at = sorted.partition_point(|point| point.0 < probe);
                assert_eq!(ring.first(probe), at % sorted.len(), "{count} points, {probe}");
            }
        }
    }
}

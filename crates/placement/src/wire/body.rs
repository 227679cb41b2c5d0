//! What frames say of shards, bit by bit: the owners of a run packed, and changes as gaps and numbers.
//!
//! A node's number takes as many bits as tell all places and nobody apart; nobody is the number behind the last place.

use std::collections::BTreeMap;
use std::ops::Range;

use aether_domain::Epoch;

use super::FrameFault;
use super::bits::{BitReader, BitWriter, width};
use crate::map::{Delta, Leaving, NodeNumber, ShardMap};

/// Shards, ascending, and a node or nobody for each.
type Changes = Vec<(u32, Option<NodeNumber>)>;
/// The bits that say how many low bits of a gap are written as they are.
const LOW_WIDTH: u32 = 5;

/// How numbers are written when there are `places`.
#[derive(Clone, Copy)]
struct Numbers {
    places: usize,
    width: u32,
}

impl Numbers {
    fn new(places: usize) -> Self {
        Self { places, width: width(places + 1) }
    }
    fn put(self, bits: &mut BitWriter, number: Option<NodeNumber>) {
        bits.put(number.map_or(self.places, NodeNumber::index) as u64, self.width);
    }
    fn take(self, bits: &mut BitReader<'_>) -> Result<Option<NodeNumber>, FrameFault> {
        let at = bits.byte();
        let value = bits.take("node number", self.width)?;
        let most = self.places as u64;
        if value > most {
            return Err(FrameFault::Range { what: "node number", value, most, at });
        }
        Ok((value < most).then_some(NodeNumber(value as u16)))
    }
}

pub(crate) fn put_snapshot(bits: &mut BitWriter, map: &ShardMap, run: Range<usize>) {
    let numbers = Numbers::new(map.nodes().places().len());
    let owners = &map.owners()[run.clone()];
    for owner in owners {
        numbers.put(bits, owner.map(|(number, _)| number));
    }
    // Shards given by the same entry have the same epoch, so there are few: each once, and by shard which of them.
    let mut epochs: Vec<Epoch> = owners.iter().flatten().map(|(_, epoch)| *epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    bits.put_varint(epochs.len() as u64);
    let mut after = map.version().0;
    for epoch in epochs.iter().rev() {
        bits.put_varint(after - epoch.0);
        after = epoch.0.saturating_sub(1); // the last of them may be 0, and nothing follows it
    }
    let index_width = width(epochs.len());
    for (_, epoch) in owners.iter().flatten() {
        let below = epochs.partition_point(|other| other < epoch);
        bits.put(below as u64, index_width);
    }
    let leaving = || map.leaving().range(run.start as u32..run.end as u32);
    let to: Changes = leaving().map(|(shard, leaving)| (*shard, Some(leaving.to))).collect();
    put_changes(bits, numbers, &to, run.start as u32);
    leaving().for_each(|(_, leaving)| bits.put_varint(map.version().0 - leaving.since.0));
}

/// The owners of a run's shards with their epochs, and those of them that are leaving.
type Shards = (Vec<Option<(NodeNumber, Epoch)>>, BTreeMap<u32, Leaving>);

pub(crate) fn take_snapshot(
    bits: &mut BitReader<'_>,
    places: usize,
    version: Epoch,
    run: Range<usize>,
) -> Result<Shards, FrameFault> {
    let numbers = Numbers::new(places);
    bits.expect("owners", run.len(), numbers.width)?;
    let numbers_of = run.clone().map(|_| numbers.take(bits)).collect::<Result<Vec<_>, _>>()?;
    let owned = numbers_of.iter().flatten().count();
    let count = bits.take_bounded("epochs", owned as u64)? as usize;
    bits.expect("epochs", count, 8)?;
    let mut epochs = Vec::with_capacity(count);
    let mut most = Some(version.0);
    for _ in 0..count {
        let after = most.ok_or(FrameFault::Invalid { what: "epoch", at: bits.byte() })?;
        let epoch = after - bits.take_bounded("epoch", after)?;
        epochs.push(Epoch(epoch));
        most = epoch.checked_sub(1);
    }
    let index_width = width(count);
    let mut owners = Vec::with_capacity(numbers_of.len());
    for number in numbers_of {
        let Some(number) = number else {
            owners.push(None);
            continue;
        };
        let below = bits.take("epoch index", index_width)? as usize;
        let epoch = count.checked_sub(below + 1).map(|at| epochs[at]);
        owners.push(Some((number, epoch.ok_or(FrameFault::Invalid { what: "epoch index", at: bits.byte() })?)));
    }
    let mut leaving = BTreeMap::new();
    for (shard, to) in take_changes(bits, numbers, run)? {
        let to = to.ok_or(FrameFault::Invalid { what: "destination", at: bits.byte() })?;
        let since = Epoch(version.0 - bits.take_bounded("entry of a move", version.0)?);
        leaving.insert(shard, Leaving { to, since });
    }
    Ok((owners, leaving))
}

pub(crate) fn put_delta(bits: &mut BitWriter, places: usize, delta: &Delta, run: Range<usize>) {
    for changes in [&delta.given, &delta.begun] {
        let at = |shard: usize| changes.partition_point(|(changed, _)| (*changed as usize) < shard);
        put_changes(bits, Numbers::new(places), &changes[at(run.start)..at(run.end)], run.start as u32);
    }
}

/// Shards that were given, and shards that have begun to move.
pub(crate) fn take_delta(
    bits: &mut BitReader<'_>,
    places: usize,
    run: Range<usize>,
) -> Result<(Changes, Changes), FrameFault> {
    let numbers = Numbers::new(places);
    Ok((take_changes(bits, numbers, run.clone())?, take_changes(bits, numbers, run)?))
}

/// Writes changes in the shorter of two forms: by shard (gap, number), or by node (number, how many, their gaps).
fn put_changes(bits: &mut BitWriter, numbers: Numbers, changes: &[(u32, Option<NodeNumber>)], first: u32) {
    bits.put_varint(changes.len() as u64);
    if changes.is_empty() {
        return;
    }
    let mut by_node: BTreeMap<Option<NodeNumber>, Vec<u32>> = BTreeMap::new();
    for (shard, number) in changes {
        by_node.entry(*number).or_default().push(*shard);
    }
    let gaps = gaps(changes.iter().map(|(shard, _)| *shard), first);
    let (low, gap_bits) = rice(&gaps);
    let group_gaps: Vec<u32> = by_node.values().flat_map(|shards| self::gaps(shards.iter().copied(), first)).collect();
    let (group_low, group_bits) = rice(&group_gaps);
    let width = u64::from(numbers.width);
    let by_node_bits = group_bits
        + 8 * varint_bytes(by_node.len())
        + by_node.values().map(|shards| width + 8 * varint_bytes(shards.len())).sum::<u64>();
    let is_by_node = by_node_bits < gap_bits + width * changes.len() as u64;
    bits.put(is_by_node.into(), 1);
    if !is_by_node {
        bits.put(low.into(), LOW_WIDTH);
        for (gap, (_, number)) in gaps.iter().zip(changes) {
            bits.put_rice(*gap, low);
            numbers.put(bits, *number);
        }
        return;
    }
    bits.put(group_low.into(), LOW_WIDTH);
    bits.put_varint(by_node.len() as u64);
    let mut gaps = group_gaps.iter();
    for (number, shards) in by_node {
        numbers.put(bits, number);
        bits.put_varint(shards.len() as u64);
        gaps.by_ref().take(shards.len()).for_each(|gap| bits.put_rice(*gap, group_low));
    }
}

fn take_changes(bits: &mut BitReader<'_>, numbers: Numbers, run: Range<usize>) -> Result<Changes, FrameFault> {
    let count = bits.take_bounded("changes", run.len() as u64)? as usize;
    if count == 0 {
        return Ok(Vec::new());
    }
    let is_by_node = bits.take("form", 1)? == 1;
    let low = bits.take("gap width", LOW_WIDTH)? as u32;
    bits.expect("changes", count, 1 + low)?;
    let mut changes = Vec::with_capacity(count);
    let Range { start, end } = run;
    // The next shard at or behind `next`.
    let shard = |bits: &mut BitReader<'_>, next: usize| {
        let most = end.checked_sub(next + 1).ok_or(FrameFault::Invalid { what: "shard", at: bits.byte() })?;
        Ok::<_, FrameFault>(next + bits.take_rice("gap", low, most as u32)? as usize)
    };
    if !is_by_node {
        let mut next = start;
        for _ in 0..count {
            let shard = shard(bits, next)?;
            changes.push((shard as u32, numbers.take(bits)?));
            next = shard + 1;
        }
        return Ok(changes);
    }
    for _ in 0..bits.take_bounded("groups", count as u64)? {
        let number = numbers.take(bits)?;
        let mut next = start;
        for _ in 0..bits.take_bounded("shards of a group", (count - changes.len()) as u64)? {
            let shard = shard(bits, next)?;
            changes.push((shard as u32, number));
            next = shard + 1;
        }
    }
    changes.sort_unstable();
    if changes.len() != count || changes.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(FrameFault::Invalid { what: "changes", at: bits.byte() });
    }
    Ok(changes)
}

/// How many shards are passed over before each.
fn gaps(shards: impl Iterator<Item = u32>, first: u32) -> Vec<u32> {
    let mut next = first;
    shards.map(|shard| shard - std::mem::replace(&mut next, shard + 1)).collect()
}

/// How many low bits of these gaps are best written as they are, and the bits that all of them take then: never more
/// than `low + 3` a gap, since the mean is below `2 * 2^low`.
fn rice(gaps: &[u32]) -> (u32, u64) {
    let mean = gaps.iter().map(|gap| u64::from(*gap)).sum::<u64>() / gaps.len() as u64;
    let low = mean.max(1).ilog2();
    let bits = |low: u32| gaps.iter().map(|gap| u64::from(gap >> low) + 1 + u64::from(low)).sum();
    let (fewer, fewer_bits) = (low.saturating_sub(1), bits(low.saturating_sub(1)));
    let low_bits = bits(low);
    if fewer_bits < low_bits { (fewer, fewer_bits) } else { (low, low_bits) }
}

fn varint_bytes(value: usize) -> u64 {
    u64::from((usize::BITS - (value | 1).leading_zeros()).div_ceil(7))
}

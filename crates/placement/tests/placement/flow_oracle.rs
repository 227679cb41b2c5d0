//! What is fair and what is nearest, found slowly and in another way than the planner finds it.

use aether_domain::policy::ZoneMode;
use aether_domain::{ShardId, Zone};
use aether_placement::NodeIdx;

use crate::flow_world::Tagged;

/// A whole number of parts of a shard, and how many make one.
type Fraction = (u128, u128);

/// What the receivers and the zones of a world are entitled to. Receivers are numbered in the order of the world's list.
#[derive(Debug)]
pub(crate) struct Fair {
    pub(crate) receivers: Vec<NodeIdx>,
    /// Rounded down and up.
    pub(crate) shares: Vec<(u64, u64)>,
    /// By zone: its receivers, and its share rounded down and up.
    pub(crate) zones: Vec<(Vec<usize>, u64, u64)>,
}

fn set(world: &Tagged, nodes: &[NodeIdx]) -> usize {
    let receivers = world.receivers();
    let place = |node: &NodeIdx| receivers.iter().position(|at| at == node);
    nodes.iter().map(|node| 1 << place(node).expect("a receiver")).sum()
}

impl Fair {
    /// Tries all sets of receivers for the one to which most is confined for its weight; takes that out, and again.
    pub(crate) fn of(world: &Tagged) -> Self {
        let receivers = world.receivers();
        // How many shards may be on each set of receivers.
        let mut confined = vec![0_u128; 1 << receivers.len()];
        for shard in world.shards() {
            let allowed = world.allowed(shard);
            let places = match world.destination(shard) {
                None => set(world, &allowed),
                Some(to) if !receivers.contains(&to) => continue,
                Some(to) if world.pin(shard).is_none() && allowed.contains(&to) => set(world, &allowed),
                Some(to) => set(world, &[to]),
            };
            confined[places] += 1;
        }
        let zone = |rank: usize| world.nodes[receivers[rank].index()].zone.clone();
        let zones: Vec<Vec<usize>> = if world.zones == ZoneMode::Equal {
            let mut names: Vec<Option<Zone>> = (0..receivers.len()).map(zone).collect();
            names.sort();
            names.dedup();
            names.iter().map(|name| (0..receivers.len()).filter(|rank| zone(*rank) == *name).collect()).collect()
        } else {
            vec![(0..receivers.len()).collect()]
        };
        let weight = |rank: usize| u128::from(world.nodes[receivers[rank].index()].weight.get());
        let of_zone = |members: &[usize]| members.iter().map(|rank| weight(*rank)).sum::<u128>();
        let unit: u128 = zones.iter().map(|members| of_zone(members)).product();
        let mut weights = vec![0; receivers.len()];
        for members in &zones {
            for rank in members {
                weights[*rank] = weight(*rank) * (unit / of_zone(members));
            }
        }
        let shares = divide(&mut confined, &weights);
        let rounded = |sum: Fraction| {
            let whole = |number: u128| u64::try_from(number).expect("few shards");
            (whole(sum.0 / sum.1), whole(sum.0.div_ceil(sum.1)))
        };
        let of_zone = |members: Vec<usize>| {
            let (low, high) = rounded(members.iter().fold((0, 1), |sum, rank| add(sum, shares[*rank])));
            (members, low, high)
        };
        let zones = zones.into_iter().map(of_zone).collect();
        Self { receivers, shares: shares.iter().map(|share| rounded(*share)).collect(), zones }
    }

    /// By receiver, what each holds.
    pub(crate) fn counts(&self, world: &Tagged) -> Vec<u64> {
        let held = |node: &NodeIdx| world.current.iter().filter(|owner| **owner == Some(*node)).count() as u64;
        self.receivers.iter().map(held).collect()
    }

    pub(crate) fn allows(&self, counts: &[u64]) -> bool {
        let zone = |(members, low, high): &(Vec<usize>, u64, u64)| {
            (*low..=*high).contains(&members.iter().map(|rank| counts[*rank]).sum())
        };
        self.shares.iter().zip(counts).all(|((low, high), count)| (*low..=*high).contains(count))
            && self.zones.iter().all(zone)
    }

    /// How far counts are from what is fair: the shards beyond it, and what part of their share some must do without, of
    /// 65,536.
    pub(crate) fn strain(&self, counts: &[u64]) -> (u64, u64) {
        let within = |rank: &usize| counts[*rank].min(self.shares[*rank].1);
        let in_zone = |members: &[usize]| members.iter().map(within).sum::<u64>();
        let kept: u64 = self.zones.iter().map(|(members, _, high)| in_zone(members).min(*high)).sum();
        let beyond = counts.iter().sum::<u64>() - kept;
        let holds = |part: u64| {
            let least = |low: u64| low * part / 65_536;
            self.shares.iter().zip(counts).all(|((low, _), count)| *count >= least(*low))
                && self.zones.iter().all(|(members, low, _)| in_zone(members) >= least(*low))
        };
        let (mut part, mut too_much) = (0, 65_537);
        while too_much - part > 1 {
            let middle = u64::midpoint(part, too_much);
            if holds(middle) { part = middle } else { too_much = middle }
        }
        (beyond, 65_536 - part)
    }
}

/// By receiver, its exact share.
fn divide(confined: &mut [u128], weights: &[u128]) -> Vec<Fraction> {
    let mut shares = vec![(0, 1); weights.len()];
    let mut rest = confined.len() - 1;
    while rest != 0 {
        // All subsets of the rest; the worst, and of equally bad ones the union.
        let (mut worst, mut share) = (0_usize, (0, 1));
        let mut subset = rest;
        while subset != 0 {
            let here: u128 = (0..confined.len()).filter(|set| set & !subset == 0).map(|set| confined[set]).sum();
            let weight: u128 =
                (0..weights.len()).filter(|rank| subset >> rank & 1 == 1).map(|rank| weights[rank]).sum();
            match (here * share.1).cmp(&(share.0 * weight)) {
                std::cmp::Ordering::Greater => (worst, share) = (subset, (here, weight)),
                std::cmp::Ordering::Equal => worst |= subset,
                std::cmp::Ordering::Less => {}
            }
            subset = (subset - 1) & rest;
        }
        for rank in (0..weights.len()).filter(|rank| worst >> rank & 1 == 1) {
            shares[rank] = (share.0 * weights[rank], share.1);
        }
        rest &= !worst;
        for set in 1..confined.len() {
            if set & !worst != 0 && set & worst != 0 {
                confined[set & !worst] += std::mem::take(&mut confined[set]);
            } else if set & !worst == 0 {
                confined[set] = 0;
            }
        }
    }
    shares
}

fn add(one: Fraction, other: Fraction) -> Fraction {
    let divisor = common_divisor(one.1, other.1);
    let sum = (one.0 * (other.1 / divisor) + other.0 * (one.1 / divisor), one.1 / divisor * other.1);
    let divisor = common_divisor(sum.0, sum.1);
    (sum.0 / divisor, sum.1 / divisor)
}

fn common_divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Every map that the movable shards can make, what moves it takes, and what each receiver then has, moves in flight included.
pub(crate) fn every_map(world: &Tagged, fair: &Fair, mut judge: impl FnMut(u32, &[u64])) {
    let place = |node: NodeIdx| fair.receivers.iter().position(|at| *at == node);
    let mut counts = vec![0; fair.receivers.len()];
    let mut movable = Vec::new();
    for shard in world.shards() {
        if let Some(to) = world.destination(shard) {
            if let Some(rank) = place(to) {
                counts[rank] += 1;
            }
            continue;
        }
        let owner = world.current[shard.index()].and_then(place);
        movable.push((owner, world.allowed(shard).into_iter().filter_map(place).collect()));
    }
    descend(&movable, &mut counts, 0, &mut judge);
}

fn descend(
    movable: &[(Option<usize>, Vec<usize>)],
    counts: &mut [u64],
    moves: u32,
    judge: &mut impl FnMut(u32, &[u64]),
) {
    let Some(((owner, allowed), others)) = movable.split_first() else { return judge(moves, counts) };
    for rank in allowed {
        counts[*rank] += 1;
        descend(others, counts, moves + u32::from(*owner != Some(*rank)), judge);
        counts[*rank] -= 1;
    }
}

/// The fewest moves to a fair map: every shard sent for itself, one after the other, by the cheapest way there is then. None if
/// no map is fair.
pub(crate) fn fewest_moves(world: &Tagged, fair: &Fair) -> Option<i64> {
    // What must be there is worth more than all moves together, so it comes first.
    const WORTH: i64 = 1_000_000;
    let shards: Vec<ShardId> = world
        .shards()
        .filter(|shard| world.destination(*shard).is_none_or(|to| fair.receivers.contains(&to)))
        .collect();
    let (receivers, zones) = (fair.receivers.len(), fair.zones.len());
    let (source, sink) = (shards.len() + receivers + zones, shards.len() + receivers + zones + 1);
    let (node, zone) = (|rank: usize| shards.len() + rank, |nth: usize| shards.len() + receivers + nth);
    let mut arcs: Vec<(usize, usize, u64, i64)> = Vec::new();
    let mut arc = |from, to, capacity, cost| {
        arcs.push((from, to, capacity, cost));
        arcs.push((to, from, 0, -cost));
    };
    for (nth, shard) in shards.iter().enumerate() {
        arc(source, nth, 1, 0);
        let at = world.current[shard.index()];
        for (rank, receiver) in fair.receivers.iter().enumerate() {
            match world.destination(*shard) {
                Some(to) if to == *receiver => arc(nth, node(rank), 1, 0),
                None if world.allowed(*shard).contains(receiver) => {
                    arc(nth, node(rank), 1, i64::from(at != Some(*receiver)));
                }
                _ => {}
            }
        }
    }
    for (nth, (members, low, high)) in fair.zones.iter().enumerate() {
        for rank in members {
            let (low, high) = fair.shares[*rank];
            arc(node(*rank), zone(nth), low, -WORTH);
            arc(node(*rank), zone(nth), high - low, 0);
        }
        arc(zone(nth), sink, *low, -WORTH);
        arc(zone(nth), sink, high - low, 0);
    }
    let mut cost = 0;
    for _ in &shards {
        let mut best = vec![i64::MAX; sink + 1];
        let mut through = vec![usize::MAX; sink + 1];
        best[source] = 0;
        let mut changed = true;
        while changed {
            changed = false;
            for (nth, (from, to, room, price)) in arcs.iter().enumerate() {
                if *room > 0 && best[*from] < i64::MAX && best[*from] + price < best[*to] {
                    (best[*to], through[*to], changed) = (best[*from] + price, nth, true);
                }
            }
        }
        if best[sink] == i64::MAX {
            return None;
        }
        cost += best[sink];
        let mut at = sink;
        while at != source {
            let nth = through[at];
            arcs[nth].2 -= 1;
            arcs[nth ^ 1].2 += 1;
            at = arcs[nth].0;
        }
    }
    let least = |(low, _): &(u64, u64)| i64::try_from(*low).expect("few shards");
    let zones = fair.zones.iter().map(|(_, low, high)| (*low, *high)).collect::<Vec<_>>();
    let worth: i64 = fair.shares.iter().chain(&zones).map(least).sum::<i64>() * WORTH;
    (0..WORTH).contains(&(cost + worth)).then_some(cost + worth)
}

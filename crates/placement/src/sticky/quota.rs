//! How many shards each receiver is to hold, and the fewest moves that can achieve it.
//!
//! All in whole numbers. Which shards these are is not decided here. Nodes are in *zones* here, each of which has the
//! same share; without zones all are in one. Why it is right: `docs/placement.md`, section 3.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use aether_domain::Zone;
use aether_domain::policy::ZoneMode;

use crate::census::{Census, Receiver};
use crate::ring::{node_seed, zone_seed};

/// The most units that the whole of a zone is counted in. With it no product here exceeds 128 bits, for as many shards, nodes
/// and weights as there can be.
const UNITS_MAX: u128 = 1 << 63;

/// What one receiver is entitled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// So many shards and no others: its share is whole, or what is fixed there decides.
    Exact { count: u32 },
    /// Its share is `floor` and a part of one more, in which `remainder` grows: it is rounded down or up. Remainders of nodes
    /// of one zone can be compared.
    Between { floor: u32, remainder: u128 },
}

/// What the receivers of one zone are entitled to together.
#[derive(Clone, Debug, Default)]
struct ZoneShare<'a> {
    /// None if there are no zones, or these are the nodes without one.
    name: Option<&'a Zone>,
    /// Of all its receivers.
    weight: u64,
    /// How many of its nodes whose share is between two counts its share, rounded down, lets it round up: fewer than 0 if too
    /// many others had to be.
    ideal: i64,
    /// What rounding its share down took away, of the same for all zones.
    remainder: u128,
    /// How many of these it rounds up at least.
    spare: u32,
    /// Whether it may round up one more.
    one_more: bool,
}

/// The exact shares of all receivers, and which of them may be rounded up.
#[derive(Debug)]
pub(crate) struct Shares<'a> {
    /// By rank.
    nodes: Vec<Share>,
    /// By rank: the place of its zone.
    zone_of: Vec<usize>,
    /// By name.
    zones: Vec<ZoneShare<'a>>,
    /// How many zones round up one more.
    spare: u32,
}

impl<'a> Shares<'a> {
    /// Divides all shards by weight, or among zones and then by weight.
    ///
    /// A node with more fixed shards than its share rounded up keeps those, and the others divide what remains. Each round
    /// takes at least one such node out, so there are at most as many rounds as nodes. A node with as many fixed as its share
    /// rounded up is rounded up. If these are more than its zone has room for, then that has more than its share; and if they
    /// are more than the cluster has room for, then others have less than theirs.
    pub(crate) fn of(census: &Census<'a>) -> Self {
        let receivers = &census.receivers;
        let mut shares = Self::undivided(receivers, census.input.zones);
        let mut overfull = vec![false; receivers.len()];
        let mut rest = census.total;
        loop {
            shares.divide(rest, receivers, &overfull);
            let ranks = 0..receivers.len();
            let too_full: Vec<usize> =
                ranks.filter(|rank| receivers[*rank].fixed > shares.nodes[*rank].most()).collect();
            if too_full.is_empty() {
                break;
            }
            for rank in too_full {
                let count = receivers[rank].fixed;
                (overfull[rank], shares.nodes[rank]) = (true, Share::Exact { count });
                rest -= count; // never below what is fixed at the others
            }
        }
        let floors = shares.nodes.iter().zip(&overfull).filter(|(_, overfull)| !**overfull);
        let floors: u32 = floors.map(|(share, _)| share.least()).sum();
        let mut spare = i64::from(rest - floors);
        for (rank, node) in receivers.iter().enumerate() {
            if node.fixed > shares.nodes[rank].least() {
                shares.nodes[rank] = Share::Exact { count: node.fixed };
                let zone = &mut shares.zones[shares.zone_of[rank]];
                zone.ideal -= 1;
                spare -= 1;
            }
        }
        match u32::try_from(spare) {
            Ok(spare) => shares.round_zones(spare),
            Err(_) => shares.take_away(spare.unsigned_abs(), receivers),
        }
        shares
    }

    fn undivided(receivers: &[Receiver<'a>], mode: ZoneMode) -> Self {
        let zone = |node: &Receiver<'a>| node.zone.filter(|_| mode == ZoneMode::Equal);
        let mut names: Vec<Option<&Zone>> = receivers.iter().map(zone).collect();
        names.sort_unstable();
        names.dedup();
        let place = |node| names.partition_point(|name| *name < zone(node));
        let zone_of: Vec<usize> = receivers.iter().map(place).collect();
        let mut zones: Vec<_> = names.into_iter().map(|name| ZoneShare { name, ..ZoneShare::default() }).collect();
        for (node, zone) in receivers.iter().zip(&zone_of) {
            zones[*zone].weight += u64::from(node.weight);
        }
        Self { nodes: vec![Share::Exact { count: 0 }; receivers.len()], zone_of, zones, spare: 0 }
    }

    /// Gives every zone and every node that is not overfull its exact share of `rest`.
    fn divide(&mut self, rest: u32, receivers: &[Receiver<'_>], overfull: &[bool]) {
        let Self { nodes, zone_of, zones, .. } = self;
        let open = || (0..receivers.len()).filter(|rank| !overfull[*rank]);
        let mut weights = vec![0; zones.len()];
        for rank in open() {
            weights[zone_of[rank]] += u64::from(receivers[rank].weight);
        }
        let parts = parts(zones, &weights);
        let whole = parts.iter().sum::<u128>().max(1); // 0 if nobody is open, and then nothing is left
        for (zone, part) in zones.iter_mut().zip(&parts) {
            let product = u128::from(rest) * part;
            (zone.ideal, zone.remainder) = ((product / whole) as i64, product % whole);
        }
        for rank in open() {
            let at = zone_of[rank];
            let product = u128::from(rest) * parts[at] * u128::from(receivers[rank].weight);
            let divisor = whole * u128::from(weights[at]);
            let (floor, remainder) = ((product / divisor) as u32, product % divisor);
            zones[at].ideal -= i64::from(floor);
            nodes[rank] =
                if remainder > 0 { Share::Between { floor, remainder } } else { Share::Exact { count: floor } };
        }
    }

    /// Decides how many nodes each zone rounds up, `spare` in all: as many as its share rounded down or up lets it. Where
    /// a zone had to round up more, the others round up fewer, all by the same.
    fn round_zones(&mut self, spare: u32) {
        let together = |zones: &[ZoneShare<'_>], step| zones.iter().map(|zone| zone.rounded_up(step)).sum::<u32>();
        let mut step = 0;
        while together(&self.zones, step) > spare {
            step -= 1;
        }
        for zone in &mut self.zones {
            zone.spare = zone.rounded_up(step);
            zone.one_more = zone.rounded_up(step + 1) > zone.spare;
        }
        self.spare = spare - together(&self.zones, step);
    }

    /// Rounds all down and takes away `missing` shards, one after the other from whoever has most for its weight in its zone
    /// and not only fixed ones. Of several that have the same, any may give the last.
    fn take_away(&mut self, missing: u64, receivers: &[Receiver<'_>]) {
        let zone_weights: Vec<u64> = self.zone_of.iter().map(|zone| self.zones[*zone].weight).collect();
        let fullness = |rank: usize, count: u32| {
            let shards = u128::from(count) * u128::from(zone_weights[rank]);
            Fullness { shards, weight: receivers[rank].weight.into() }
        };
        let mut counts: Vec<u32> = self.nodes.iter().map(|share| share.least()).collect();
        let can_give = |rank: usize, counts: &[u32]| counts[rank] > receivers[rank].fixed;
        let givers = (0..counts.len()).filter(|rank| can_give(*rank, &counts));
        let mut givers: BinaryHeap<(Fullness, usize)> =
            givers.map(|rank| (fullness(rank, counts[rank]), rank)).collect();
        let mut last = Fullness { shards: 0, weight: 1 };
        for _ in 0..missing {
            let Some((most, rank)) = givers.pop() else { break }; // not before: all that is fixed has room
            last = most;
            counts[rank] -= 1;
            if can_give(rank, &counts) {
                givers.push((fullness(rank, counts[rank]), rank));
            }
        }
        let mut spare = 0;
        for (rank, share) in self.nodes.iter_mut().enumerate() {
            let count = counts[rank];
            // Nobody else's next shard is as low: all floors are below it.
            let gave = fullness(rank, count + 1) == last;
            let could = can_give(rank, &counts) && fullness(rank, count) == last;
            spare += u32::from(could);
            *share = match (gave, could) {
                (false, false) => Share::Exact { count },
                _ => Share::Between { floor: count - u32::from(could), remainder: 1 },
            };
        }
        self.zone_of.fill(0);
        self.zones = vec![ZoneShare { spare, ..ZoneShare::default() }];
    }

    /// How many shards each receiver is to hold, by rank. Rounded up is who then need not give a shard away, next who has the
    /// largest remainder; the seed breaks what ties are left. First among zones, and in each among nodes.
    pub(crate) fn targets(&self, census: &Census<'_>, seed: u64) -> Vec<u32> {
        let savable = self.savable(census);
        let mut spare: Vec<u32> = self.zones.iter().map(|zone| zone.spare).collect();
        let mut first_served: Vec<_> = (self.zones.iter().enumerate())
            .filter(|(_, zone)| zone.one_more)
            .map(|(at, zone)| (Reverse((savable[at] > zone.spare, zone.remainder)), zone_seed(seed, zone.name), at))
            .collect();
        first_served.sort_unstable();
        for (.., at) in first_served.into_iter().take(self.spare as usize) {
            spare[at] += 1;
        }
        let mut first_served: Vec<_> = (self.nodes.iter().zip(&census.receivers).enumerate())
            .filter_map(|(rank, (share, node))| match *share {
                Share::Between { floor, remainder } => {
                    Some((Reverse((node.held > floor, remainder)), node_seed(seed, node.id), rank))
                }
                Share::Exact { .. } => None,
            })
            .collect();
        first_served.sort_unstable();
        let mut targets: Vec<u32> = self.nodes.iter().map(|share| share.least()).collect();
        for (.., rank) in first_served {
            let spare = &mut spare[self.zone_of[rank]];
            targets[rank] += (*spare).min(1);
            *spare = spare.saturating_sub(1);
        }
        targets
    }

    /// Theorem 1: the fewest moves to any map that keeps these shares.
    pub(crate) fn minimum_moves(&self, census: &Census<'_>) -> u32 {
        let nodes = self.nodes.iter().zip(&census.receivers);
        let surplus: u32 = nodes.map(|(share, node)| node.held.saturating_sub(share.least())).sum();
        let (mut saved, mut zones_that_save) = (0, 0);
        for (zone, savable) in self.zones.iter().zip(self.savable(census)) {
            saved += savable.min(zone.spare);
            zones_that_save += u32::from(zone.one_more && savable > zone.spare);
        }
        census.forced + surplus - saved - zones_that_save.min(self.spare)
    }

    /// By zone: how many nodes give a shard less away if they are rounded up.
    fn savable(&self, census: &Census<'_>) -> Vec<u32> {
        let mut savable = vec![0; self.zones.len()];
        for ((share, zone), node) in self.nodes.iter().zip(&self.zone_of).zip(&census.receivers) {
            savable[*zone] += u32::from(matches!(share, Share::Between { floor, .. } if node.held > *floor));
        }
        savable
    }
}

impl Share {
    /// Its share rounded down.
    fn least(self) -> u32 {
        match self {
            Self::Exact { count: least } | Self::Between { floor: least, .. } => least,
        }
    }

    /// Its share rounded up.
    fn most(self) -> u32 {
        self.least() + u32::from(matches!(self, Self::Between { .. }))
    }
}

impl ZoneShare<'_> {
    /// How many nodes it rounds up at one of the steps of all zones: at 0 as its share rounded down lets it, at 1 as rounded
    /// up, which a whole share cannot be, at -1 one fewer, and so on. It has as many nodes: each gives less than one to what
    /// its share is above their floors.
    fn rounded_up(&self, step: i64) -> u32 {
        let whole = i64::from(step > 0 && self.remainder == 0);
        (self.ideal + step - whole).max(0).unsigned_abs() as u32
    }
}

/// What a node has for its weight in its zone, to compare: as a fraction that is never expanded.
#[derive(Clone, Copy, Debug)]
struct Fullness {
    shards: u128,
    weight: u128,
}

impl Ord for Fullness {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.shards * other.weight).cmp(&(other.shards * self.weight))
    }
}

impl PartialOrd for Fullness {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Fullness {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fullness {}

/// By zone: the part of its weight that is open, in units of which the whole of each zone has as many. Exact, unless many
/// zones are partly open and there is no such unit; then it is less by less than one unit of 2^63.
fn parts(zones: &[ZoneShare<'_>], open: &[u64]) -> Vec<u128> {
    let all = || zones.iter().zip(open).map(|(zone, open)| (u128::from(*open), u128::from(zone.weight)));
    let units = all().try_fold(1, |units, (open, weight)| {
        let lowest = weight / common_divisor(open, weight);
        Some(units / common_divisor(units, lowest) * lowest).filter(|units| *units <= UNITS_MAX)
    });
    let units = units.unwrap_or(UNITS_MAX);
    all().map(|(open, weight)| open * units / weight).collect()
}

/// The largest number that divides both; the second is not 0.
fn common_divisor(mut a: u128, mut b: u128) -> u128 {
    while a != 0 {
        (a, b) = (b % a, a);
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_parts_are_counted_in_the_largest_unit_that_is_exact() {
        for (weights, open, expected) in [
            (&[5, 7][..], &[5, 7][..], &[1, 1][..]),
            (&[6, 4], &[2, 4], &[1, 3]),
            (&[6, 6], &[1, 5], &[1, 5]),
            (&[6, 4, 9], &[5, 1, 0], &[10, 3, 0]),
            // Whole zones need no unit, however heavy they are.
            (&[(1 << 48) - 1, 3], &[(1 << 48) - 1, 1], &[3, 1]),
            // Up to 2^63 of them, and then 2^63 of them, the parts rounded down.
            (&[1 << 31, 3 << 31], &[1, 1], &[3, 1]),
            (&[1 << 32, (1 << 31) - 1], &[1, 1], &[(1 << 31) - 1, 1 << 32]),
            (&[(1 << 32) - 1, (1 << 32) + 1], &[1, 1], &[(1 << 31), (1 << 31) - 1]),
        ] {
            let zones: Vec<_> = weights.iter().map(|&weight| ZoneShare { weight, ..ZoneShare::default() }).collect();
            assert_eq!(parts(&zones, open), expected, "{open:?} of {weights:?}");
        }
    }
}

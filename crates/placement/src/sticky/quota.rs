//! How many shards each receiver is to hold, and the fewest moves that can achieve it.
//!
//! All in whole numbers. Which shards these are is not decided here. Nodes are in *zones* here, each of which has the
//! same share; without zones all are in one. Why it is right: `docs/placement.md`, section 3.

use std::cmp::Reverse;

use aether_domain::Zone;
use aether_domain::policy::ZoneMode;

use crate::census::{Census, Receiver};
use crate::ring::{node_seed, zone_seed};

/// The finest unit in which the parts of zones are counted. With it no product here exceeds 128 bits, for as many shards,
/// nodes and weights as there can be.
const UNIT_MAX: u128 = 1 << 60;

/// What one receiver is entitled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// More than its share is on its way to it and cannot be turned back: it holds exactly that.
    Overfull { count: u32 },
    /// Its exact share is `floor` and a part of one more, in which `remainder` grows; 0 is nothing. Remainders of nodes
    /// of one zone can be compared.
    Open { floor: u32, remainder: u128 },
}

/// What the open receivers of one zone are entitled to together.
#[derive(Clone, Debug, Default)]
struct ZoneShare<'a> {
    /// None if there are no zones, or these are the nodes without one.
    name: Option<&'a Zone>,
    /// Of all its receivers.
    weight: u64,
    /// Of those that are open.
    open: u64,
    /// What is left of its share, rounded down, when every open node has its floor: fewer than there are open nodes with a
    /// remainder.
    spare: u32,
    /// What rounding it down took away, of the same for all zones. A zone without can not be rounded up.
    remainder: u128,
}

/// The exact shares of all receivers.
#[derive(Debug)]
pub(crate) struct Shares<'a> {
    /// By rank.
    shares: Vec<Share>,
    /// By rank: the place of its zone.
    zone_of: Vec<usize>,
    /// By name.
    zones: Vec<ZoneShare<'a>>,
    /// What is left when every zone has its share rounded down: so many zones are rounded up.
    spare: u32,
}

impl<'a> Shares<'a> {
    /// Divides all shards by weight, or among zones and then by weight. A node with more shards on their way to it than its
    /// share keeps those, and the others divide what remains. Each round takes at least one such node out, so there are at
    /// most as many rounds as nodes.
    pub(crate) fn of(census: &Census<'a>) -> Self {
        let receivers = &census.receivers;
        let mut shares = Self::undivided(receivers, census.input.zones);
        let mut rest = census.total;
        loop {
            shares.divide(rest, receivers);
            let overfull = shares.overfull(receivers);
            if overfull.is_empty() {
                return shares;
            }
            for rank in overfull {
                let count = receivers[rank].fixed;
                shares.shares[rank] = Share::Overfull { count };
                rest -= count; // never below what is fixed at the open nodes
            }
        }
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
        Self { shares: vec![Share::Open { floor: 0, remainder: 0 }; receivers.len()], zone_of, zones, spare: 0 }
    }

    /// Gives every zone and every open node its exact share of `rest`.
    fn divide(&mut self, rest: u32, receivers: &[Receiver<'_>]) {
        let Self { shares, zone_of, zones, spare } = self;
        zones.iter_mut().for_each(|zone| zone.open = 0);
        for ((share, zone), node) in shares.iter().zip(&*zone_of).zip(receivers) {
            zones[*zone].open += u64::from(node.weight) * u64::from(matches!(share, Share::Open { .. }));
        }
        let parts = parts(zones);
        let whole = parts.iter().sum::<u128>().max(1); // 0 if nobody is open, and then nothing is left
        *spare = rest;
        for (zone, part) in zones.iter_mut().zip(&parts) {
            let product = u128::from(rest) * part;
            (zone.spare, zone.remainder) = ((product / whole) as u32, product % whole);
            *spare -= zone.spare;
        }
        for ((share, zone), node) in shares.iter_mut().zip(&*zone_of).zip(receivers) {
            if let Share::Open { floor, remainder } = share {
                let product = u128::from(rest) * parts[*zone] * u128::from(node.weight);
                let zone = &mut zones[*zone];
                let divisor = whole * u128::from(zone.open);
                (*floor, *remainder) = ((product / divisor) as u32, product % divisor);
                zone.spare -= *floor;
            }
        }
    }

    /// The ranks of open nodes that cannot hold as few shards as their share allows them: each has more fixed shards than
    /// even its share rounded up; or, if there is none, it has to be rounded up and too many others of its zone have to; or its
    /// zone has to and too many others have to.
    fn overfull(&self, receivers: &[Receiver<'_>]) -> Vec<usize> {
        let select = |wanted: &dyn Fn(usize, u32, u128) -> bool| -> Vec<usize> {
            let open = (0..receivers.len()).filter(|rank| match self.shares[*rank] {
                Share::Open { floor, remainder } => wanted(*rank, floor, remainder),
                Share::Overfull { .. } => false,
            });
            open.collect()
        };
        let beyond = select(&|rank, floor, remainder| receivers[rank].fixed > floor + u32::from(remainder > 0));
        if !beyond.is_empty() {
            return beyond;
        }
        let urgent = self.count(receivers, |node| node.fixed);
        let zones = || self.zones.iter().zip(&urgent);
        let in_zones = |too_full: &dyn Fn(&ZoneShare<'_>, u32) -> bool| {
            select(&|rank, floor, _| {
                let zone = self.zone_of[rank];
                receivers[rank].fixed > floor && too_full(&self.zones[zone], urgent[zone])
            })
        };
        let crowded = in_zones(&|zone, urgent| urgent > zone.spare + u32::from(zone.remainder > 0));
        let to_be_rounded_up = zones().filter(|(zone, urgent)| **urgent > zone.spare).count();
        if !crowded.is_empty() || to_be_rounded_up <= self.spare as usize {
            return crowded;
        }
        in_zones(&|zone, urgent| urgent > zone.spare)
    }

    /// By zone: how many open nodes whose share is not whole have more than its floor, as `count` counts.
    fn count(&self, receivers: &[Receiver<'_>], count: impl Fn(&Receiver<'_>) -> u32) -> Vec<u32> {
        let mut counts = vec![0; self.zones.len()];
        for ((share, zone), node) in self.shares.iter().zip(&self.zone_of).zip(receivers) {
            if let Share::Open { floor, remainder } = *share {
                counts[*zone] += u32::from(remainder > 0 && count(node) > floor);
            }
        }
        counts
    }

    /// How many shards each receiver is to hold, by rank. The spare ones go where a shard in flight or one already held
    /// then need not be surplus, next to the largest remainders; the seed breaks what ties are left. First to zones, and in
    /// each to nodes.
    pub(crate) fn targets(&self, census: &Census<'_>, seed: u64) -> Vec<u32> {
        let receivers = &census.receivers;
        let (urgent, savable) = (self.count(receivers, |node| node.fixed), self.count(receivers, |node| node.held));
        let mut spare: Vec<u32> = self.zones.iter().map(|zone| zone.spare).collect();
        let fractional = self.zones.iter().enumerate().filter(|(_, zone)| zone.remainder > 0);
        let mut first_served: Vec<_> = fractional
            .map(|(at, zone)| {
                let urgency = (urgent[at] > zone.spare, savable[at] > zone.spare, zone.remainder);
                (Reverse(urgency), zone_seed(seed, zone.name), at)
            })
            .collect();
        first_served.sort_unstable();
        for (.., at) in first_served.into_iter().take(self.spare as usize) {
            spare[at] += 1;
        }

        let mut first_served: Vec<_> = (self.shares.iter().zip(receivers).enumerate())
            .filter_map(|(rank, (share, node))| match *share {
                Share::Open { floor, remainder } if remainder > 0 => {
                    let urgency = (node.fixed > floor, node.held > floor, remainder);
                    Some((Reverse(urgency), node_seed(seed, node.id), rank))
                }
                _ => None,
            })
            .collect();
        first_served.sort_unstable();
        let mut targets: Vec<u32> = (self.shares.iter())
            .map(|share| match *share {
                Share::Overfull { count: target } | Share::Open { floor: target, .. } => target,
            })
            .collect();
        for (.., rank) in first_served {
            let spare = &mut spare[self.zone_of[rank]];
            targets[rank] += (*spare).min(1);
            *spare = spare.saturating_sub(1);
        }
        targets
    }

    /// Theorem 1: the fewest moves to any map that keeps these shares.
    pub(crate) fn minimum_moves(&self, census: &Census<'_>) -> u32 {
        let surplus = self.shares.iter().zip(&census.receivers).map(|(share, node)| match *share {
            Share::Overfull { count } => node.held - count,
            Share::Open { floor, .. } => node.held.saturating_sub(floor),
        });
        let (mut saved, mut zones_that_save) = (0, 0);
        for (zone, savable) in self.zones.iter().zip(self.count(&census.receivers, |node| node.held)) {
            saved += savable.min(zone.spare);
            zones_that_save += u32::from(savable > zone.spare && zone.remainder > 0);
        }
        census.forced + surplus.sum::<u32>() - saved - zones_that_save.min(self.spare)
    }
}

/// By zone: the part of its weight that is open, in a unit that is the same for all. Exact, unless many zones are partly
/// open and no unit will do for all of them; then it is less by at most one part in 2^60 of a zone.
fn parts(zones: &[ZoneShare<'_>]) -> Vec<u128> {
    let mut unit = 1;
    for zone in zones {
        let (open, weight) = (u128::from(zone.open), u128::from(zone.weight));
        let lowest = weight / common_divisor(open, weight);
        unit = (unit / common_divisor(unit, lowest) * lowest).min(UNIT_MAX);
        if unit == UNIT_MAX {
            break;
        }
    }
    zones.iter().map(|zone| u128::from(zone.open) * unit / u128::from(zone.weight)).collect()
}

/// The largest number that divides both; the second is not 0.
fn common_divisor(mut a: u128, mut b: u128) -> u128 {
    while a != 0 {
        (a, b) = (b % a, a);
    }
    b
}

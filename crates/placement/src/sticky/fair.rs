//! What each receiver is entitled to when tags say where shards may be.
//!
//! Where more shards are confined to some receivers than their weights entitle them to, those receivers have all of these and
//! nothing else, and the others divide the rest. The exact shares make the largest count for its weight as small as can be,
//! then the next largest, and so on. What is in flight does not matter to them. `docs/placement.md`, section 4.

use aether_domain::policy::ZoneMode;

use super::network::Network;
use crate::census::Receiver;

/// The finest unit in which the weights of zones are counted; with it no product here exceeds 128 bits.
const UNIT_MAX: u128 = 1 << 90;
/// The unit if there is no exact one: what every number up to 50 divides.
const UNIT_ROUND: u128 = 3_099_044_504_245_996_706_400;

/// Receivers that every kind may be on all of or on none, and what only they may hold.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The bits that its receivers have: see [`crate::needs::Needs::meets`].
    pub(super) meets: u64,
    /// Their weights together.
    pub(super) weight: u128,
    /// Shards that may be nowhere else.
    pub(super) confined: u32,
}

/// Shards that may be on the same receivers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// The bits a receiver must have.
    pub(super) kind: u64,
    /// How many they are.
    pub(super) shards: u32,
}

/// A number of shards divided in proportion to weights: a receiver of weight `w` has `shards * w / weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) shards: u32,
    pub(super) weight: u128,
}

impl Level {
    /// What of a share rounding it down takes away, in parts of 65,536.
    pub(super) fn remainder(self, weight: u128) -> u32 {
        let remainder = u128::from(self.shards) * weight % self.weight;
        ((remainder << 16) / self.weight) as u32 // a weight is below 2^107
    }
}

/// A share rounded down and up: the same if it is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) floor: u32,
    pub(super) ceil: u32,
}

/// By rank: what shares are in proportion to. Without zones the weights, with zones the parts of the zone's weight in a unit
/// that is the same for all zones. Where no unit is exact, receivers have at most one part in 2^71 of a zone too much or too
/// little, and every zone has exactly as much as the others.
pub(super) fn weights(receivers: &[Receiver<'_>], zone_of: &[usize], mode: ZoneMode) -> Vec<u128> {
    if mode == ZoneMode::Ignored {
        return receivers.iter().map(|node| node.weight.into()).collect();
    }
    let mut totals = vec![0; receivers.len()];
    for (node, zone) in receivers.iter().zip(zone_of) {
        totals[*zone] += u128::from(node.weight);
    }
    let multiple = totals.iter().filter(|total| **total > 0).try_fold(1_u128, |unit, total| {
        (unit / common_divisor(unit, *total)).checked_mul(*total).filter(|multiple| *multiple <= UNIT_MAX)
    });
    let mut counted = vec![0; receivers.len()];
    let up_to = |weight: u128, zone: usize| match multiple {
        Some(unit) => unit / totals[zone] * weight,
        None => weight * UNIT_ROUND / totals[zone], // below 2^48 * 2^72
    };
    (receivers.iter().zip(zone_of))
        .map(|(node, &zone)| {
            let before = up_to(counted[zone], zone);
            counted[zone] += u128::from(node.weight);
            up_to(counted[zone], zone) - before
        })
        .collect()
}

/// The level each part is on. Divides everything by weight; if some parts cannot have as little as that, because too much is
/// confined to them, then what is confined there and what is not are divided each for itself.
pub(super) fn levels(parts: &[Part], demands: &[Demand]) -> Vec<Level> {
    let mut levels = vec![Level { shards: 0, weight: 1 }; parts.len()];
    let mut undivided = vec![((0..parts.len()).collect::<Vec<_>>(), demands.to_vec())];
    while let Some((places, demands)) = undivided.pop() {
        let here = || places.iter().map(|place| &parts[*place]);
        let shards =
            here().map(|part| part.confined).sum::<u32>() + demands.iter().map(|kind| kind.shards).sum::<u32>();
        let level = Level { shards, weight: here().map(|part| part.weight).sum() };
        let crowded = crowded(&here().collect::<Vec<_>>(), &demands, level);
        if !crowded.contains(&true) {
            for place in places {
                levels[place] = level;
            }
            continue;
        }
        let is_outside = |kind: u64| here().zip(&crowded).any(|(part, crowded)| !crowded && kind & !part.meets == 0);
        let (outside, inside) = demands.iter().partition(|demand| is_outside(demand.kind));
        let (crowd, others): (Vec<_>, Vec<_>) = places.iter().zip(&crowded).partition(|(_, crowded)| **crowded);
        undivided.push((crowd.into_iter().map(|(place, _)| *place).collect(), inside));
        undivided.push((others.into_iter().map(|(place, _)| *place).collect(), outside));
    }
    levels
}

/// By part: whether it is among those to which most is confined beyond what the level would give them. None if the level
/// can be kept; never all, as they together have just what it gives.
fn crowded(parts: &[&Part], demands: &[Demand], level: Level) -> Vec<bool> {
    let Level { shards, weight } = level;
    let mut network = Network::new(2 + parts.len() + demands.len());
    for (at, part) in parts.iter().enumerate() {
        network.arc(Network::SOURCE, 2 + at, u128::from(part.confined) * weight, 0);
        network.arc(2 + at, Network::SINK, part.weight * u128::from(shards), 0);
    }
    for (nth, demand) in demands.iter().enumerate() {
        let vertex = 2 + parts.len() + nth;
        let capacity = u128::from(demand.shards) * weight;
        network.arc(Network::SOURCE, vertex, capacity, 0);
        for (at, _) in parts.iter().enumerate().filter(|(_, part)| demand.kind & !part.meets == 0) {
            network.arc(vertex, 2 + at, capacity, 0);
        }
    }
    network.fill();
    // Everything found a place, or there are parts that more could be sent to and that are full.
    network.reachable()[2..2 + parts.len()].to_vec()
}

/// The shares of some receivers together, each given as its level and its weight there, rounded down and up. Exact as long as
/// their denominators have a common one of 128 bits; the sums before and after such a point are rounded each for itself.
pub(super) fn together(shares: impl Iterator<Item = (Level, u128)>) -> Bounds {
    let mut sum = Bounds::default();
    let (mut above, mut below) = (0, 1);
    for (level, weight) in shares {
        let product = u128::from(level.shards) * weight;
        let whole = (product / level.weight) as u32;
        sum = Bounds { floor: sum.floor + whole, ceil: sum.ceil + whole };
        let divisor = common_divisor(product % level.weight, level.weight);
        let (part, denominator) = (product % level.weight / divisor, level.weight / divisor);
        let added = add((above, below), (part, denominator));
        let (carried, (rest, denominator)) = added.unwrap_or_else(|| {
            sum.ceil += u32::from(above > 0);
            (0, (part, denominator))
        });
        sum = Bounds { floor: sum.floor + carried, ceil: sum.ceil + carried };
        (above, below) = (rest, denominator);
    }
    sum.ceil += u32::from(above > 0);
    sum
}

/// The sum of two fractions below 1, as a whole number and a fraction, if it can be counted.
fn add(one: (u128, u128), other: (u128, u128)) -> Option<(u32, (u128, u128))> {
    let divisor = common_divisor(one.1, other.1);
    let denominator = (one.1 / divisor).checked_mul(other.1)?;
    let sum = (one.0 * (other.1 / divisor)).checked_add(other.0 * (one.1 / divisor))?;
    Some((u32::from(sum >= denominator), (sum % denominator, denominator)))
}

/// The largest number that divides both; not both are 0.
fn common_divisor(mut a: u128, mut b: u128) -> u128 {
    while a != 0 {
        (a, b) = (b % a, a);
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(meets: u64, weight: u128, confined: u32) -> Part {
        Part { meets, weight, confined }
    }

    /// What each part's share is to be, as a fraction.
    fn check(parts: &[Part], demands: &[(u64, u32)], expected: &[(u32, u128)]) {
        let demands: Vec<_> = demands.iter().map(|(kind, shards)| Demand { kind: *kind, shards: *shards }).collect();
        for (level, (above, below)) in levels(parts, &demands).into_iter().zip(expected) {
            assert_eq!(u128::from(level.shards) * below, u128::from(*above) * level.weight, "{parts:?}: {level:?}");
        }
    }

    #[test]
    fn shares_are_as_even_as_tags_allow() {
        let (a, b, all) = (1, 2, 0);
        // Room elsewhere for what is not confined: everyone the same.
        check(&[part(a, 1, 0), part(0, 2, 0)], &[(a, 3), (all, 6)], &[(9, 3), (9, 3)]);
        // Too much is confined to one: it has that and no more.
        check(&[part(a, 1, 0), part(0, 2, 0)], &[(a, 5), (all, 3)], &[(5, 1), (3, 2)]);
        // Three levels, the middle one pinned.
        let pinned = [part(a, 1, 0), part(0, 1, 4), part(b, 1, 0), part(0, 1, 0)];
        check(&pinned, &[(a, 9), (all, 3)], &[(9, 1), (4, 1), (3, 2), (3, 2)]);
        // What could be on a crowded part and elsewhere is elsewhere.
        let shared = [part(a, 1, 0), part(a | b, 1, 0), part(b, 1, 0)];
        check(&shared, &[(a, 20), (b, 4), (all, 1)], &[(20, 2), (20, 2), (5, 1)]);
        check(&[part(a, 1, 0), part(b, 1, 0)], &[], &[(0, 2), (0, 2)]);
        let heavy = [part(0, u128::from(u32::MAX), 0), part(a, 1, 0)];
        check(&heavy, &[(a, 65_536)], &[(0, 1 << 32), (65_536, 1)]);
    }

    #[test]
    fn sums_of_shares_are_exact_as_long_as_they_can_be() {
        let level = |shards, weight| (Level { shards, weight }, 1);
        let large = (1 << 100) - 1;
        for (shares, floor, ceil) in [
            (vec![], 0, 0),
            (vec![level(7, 3)], 2, 3),
            (vec![level(7, 3), level(5, 3)], 4, 4),
            (vec![level(1, 2), level(1, 3), level(1, 6)], 1, 1),
            (vec![level(1, 2), level(1, 3), level(1, 7)], 0, 1),
            (vec![level(1, large), level(1, large - 1)], 0, 2),
            (vec![level(1, large), level(1, large - 1), level(1, 2), level(1, 2)], 1, 3),
        ] {
            assert_eq!(together(shares.iter().copied()), Bounds { floor, ceil }, "{shares:?}");
        }
    }

    #[test]
    fn every_zone_weighs_the_same_whatever_its_nodes_weigh() {
        let ids: Vec<_> = (0..8).map(|nth| aether_domain::NodeId::new(format!("n{nth}")).expect("an id")).collect();
        let idx = crate::NodeIdx(0);
        let receiver = |nth: usize, weight| Receiver { id: &ids[nth], idx, weight, zone: None, held: 0, fixed: 0 };
        let zone_of = [0, 1, 1, 2, 2, 2, 3, 3];
        let big = [7, u32::MAX, 1, u32::MAX, u32::MAX - 4, 1, 4_000_000_007, 3_999_999_979];
        for (raw, exact) in [([3, 1, 1, 2, 1, 4, 5, 6], true), (big, false)] {
            let receivers: Vec<_> = raw.iter().enumerate().map(|(nth, weight)| receiver(nth, *weight)).collect();
            assert_eq!(weights(&receivers, &zone_of, ZoneMode::Ignored), raw.map(u128::from));
            let weights = weights(&receivers, &zone_of, ZoneMode::Equal);
            let total = |zone| weights.iter().zip(zone_of).filter(|(_, of)| *of == zone).map(|(w, _)| w).sum::<u128>();
            assert!((0..4).all(|zone| total(zone) == total(0)), "{weights:?}");
            let ratio = |one: usize, other: usize| {
                weights[one] * u128::from(raw[other]) == weights[other] * u128::from(raw[one])
            };
            assert_eq!(ratio(1, 2) && ratio(3, 4) && ratio(3, 5) && ratio(6, 7), exact, "{weights:?}");
        }
    }
}

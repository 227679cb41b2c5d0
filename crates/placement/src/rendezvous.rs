//! Rendezvous hashing: each shard to the node that scores highest for it.
//!
//! For comparison: it needs no state and moves only what it must when a node comes or goes, but balances as badly as a
//! ring, because with few shards a node it is the shards whose chance is uneven.

use aether_domain::ShardId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::census::Census;
use crate::ring::node_seed;
use crate::sticky::minimum_moves;
use crate::strategy::{PlacementError, PlacementInput, PlacementPlan, PlacementStrategy, StrategyId};

/// Fractional bits of a [`rarity`].
const FRACTION_BITS: u32 = 16;

/// Each shard to the receiving node with the highest score `weight / -log2(u)`, where `u` is a number between 0 and 1 that
/// is drawn from the node and the shard. So a node of twice the weight is given twice the shards, on average.
///
/// Source: D. Thaler and C. Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996); with weights: J. Resch, "New
/// Hashing Algorithms for Data Storage" (2015). The logarithm is taken in whole numbers, to 16 bits behind the point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rendezvous;

impl PlacementStrategy for Rendezvous {
    fn id(&self) -> StrategyId {
        StrategyId { name: "rendezvous", version: 1 }
    }

    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let census = Census::take(input)?;
        let seeds: Vec<u64> = census.receivers.iter().map(|node| node_seed(input.seed, node.id)).collect();
        let alike = census.receivers.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let mut moves = census.pinned.clone();
        for (shard, holder) in census.movable() {
            let wanted = highest(shard, &census, &seeds, alike);
            if let Some(wanted) = wanted.filter(|wanted| holder != Some(*wanted)) {
                moves.push(census.step(shard, wanted)); // somebody always will do
            }
        }
        Ok(PlacementPlan::new(moves, minimum_moves(input)?))
    }
}

/// The rank of the receiver with the highest score of those it may be on; of equal scores the first by id wins.
fn highest(shard: ShardId, census: &Census<'_>, seeds: &[u64], alike: bool) -> Option<u16> {
    let mut best: Option<(u16, u64)> = None;
    for (rank, node) in (0..=u16::MAX).zip(&census.receivers).filter(|(rank, _)| census.needs.allows(shard, *rank)) {
        let challenger = xxh3_64_with_seed(&u32::from(shard.0).to_le_bytes(), seeds[usize::from(rank)]);
        let wins = best.is_none_or(|(holder, score)| {
            if alike {
                challenger > score
            } else {
                // a / x > b / y is a * y > b * x, without a division.
                let theirs = census.receivers[usize::from(holder)].weight;
                u128::from(node.weight) * u128::from(rarity(score))
                    > u128::from(theirs) * u128::from(rarity(challenger))
            }
        });
        if wins {
            best = Some((rank, challenger));
        }
    }
    best.map(|(rank, _)| rank)
}

/// `-log2((drawn + 1) / 2^64)`, at least one unit, in units of 2^-16.
fn rarity(drawn: u64) -> u64 {
    let Some(number) = drawn.checked_add(1) else { return 1 };
    let whole = u64::from(number.ilog2());
    // Between 1 and 2, with 63 bits behind the point; squaring it brings out one bit of its logarithm after another.
    let mut mantissa = number << number.leading_zeros();
    let mut fraction = 0_u64;
    for _ in 0..FRACTION_BITS {
        let squared = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let bit = squared >> 64;
        fraction = fraction << 1 | bit as u64;
        mantissa = (squared >> bit) as u64;
    }
    ((64 << FRACTION_BITS) - (whole << FRACTION_BITS | fraction)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_in_whole_numbers_is_that_of_the_reals() {
        for (drawn, expected) in [
            (0, 64.0),
            (1, 63.0),
            (2, 62.415_037),
            (u64::MAX / 2, 1.0),
            (u64::MAX / 4 * 3, 0.415_037),
            (u64::MAX - 1, 0.0),
        ] {
            #[expect(clippy::cast_precision_loss, reason = "a test's tolerance is wider")]
            let found = rarity(drawn) as f64 / f64::from(1 << FRACTION_BITS);
            assert!((found - expected).abs() < 0.000_1, "{drawn}: {found}, not {expected}");
        }
        assert_eq!(rarity(u64::MAX), 1, "never nothing, or a weight would count for nothing");
    }
}

//! How many shards each receiver is to hold, and the fewest moves that can achieve it.
//!
//! All in whole numbers. Which shards these are is not decided here.

use crate::census::{Census, Receiver};
use crate::ring::node_seed;

/// What one receiver is entitled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// More than its share is on its way to it and cannot be turned back: it holds exactly that.
    Overfull { count: u32 },
    /// Its exact share is `floor + remainder / weight of all open nodes`.
    Open { floor: u32, remainder: u128 },
}

/// The exact shares of all receivers.
#[derive(Debug)]
pub(crate) struct Shares {
    /// By rank.
    shares: Vec<Share>,
    /// What is left when every open node has its floor: fewer than there are open nodes with a remainder.
    spare: u32,
}

impl Shares {
    /// Divides all shards by weight. A node with more shards on their way to it than its share keeps those, and the
    /// others divide what remains. Each round takes at least one such node out, so there are at most as many rounds as
    /// nodes.
    pub(crate) fn of(census: &Census<'_>) -> Self {
        let receivers = &census.receivers;
        let mut shares = vec![Share::Open { floor: 0, remainder: 0 }; receivers.len()];
        let mut rest = census.total;
        loop {
            let spare = divide(rest, receivers, &mut shares);
            let mut overfull =
                select(receivers, &shares, |fixed, floor, remainder| fixed > floor + u32::from(remainder > 0));
            if overfull.is_empty() {
                overfull = select(receivers, &shares, |fixed, floor, _| fixed > floor);
                if overfull.len() <= spare as usize {
                    return Self { shares, spare };
                }
            }
            for rank in overfull {
                let count = receivers[rank].fixed;
                shares[rank] = Share::Overfull { count };
                rest -= count; // never below what is fixed at the open nodes
            }
        }
    }

    /// How many shards each receiver is to hold, by rank. The spare ones go where a shard in flight or one already held
    /// then need not be surplus, next to the largest remainders; the seed breaks what ties are left.
    pub(crate) fn targets(&self, census: &Census<'_>, seed: u64) -> Vec<u32> {
        let mut first_served: Vec<_> = (self.shares.iter().zip(&census.receivers).enumerate())
            .filter_map(|(rank, (share, node))| match *share {
                Share::Open { floor, remainder } if remainder > 0 => {
                    let urgency = (node.fixed > floor, node.held > floor, remainder);
                    Some((std::cmp::Reverse(urgency), node_seed(seed, node.id), rank))
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
        for (.., rank) in first_served.into_iter().take(self.spare as usize) {
            targets[rank] += 1;
        }
        targets
    }

    /// Theorem 1: the fewest moves to any map that keeps these shares.
    pub(crate) fn minimum_moves(&self, census: &Census<'_>) -> u32 {
        let (mut surplus, mut savable) = (0, 0);
        for (share, node) in self.shares.iter().zip(&census.receivers) {
            match *share {
                Share::Overfull { count } => surplus += node.held - count,
                Share::Open { floor, remainder } => {
                    surplus += node.held.saturating_sub(floor);
                    savable += u32::from(node.held > floor && remainder > 0);
                }
            }
        }
        census.forced + surplus - savable.min(self.spare)
    }
}

/// Gives every open node its exact share of `rest` and returns what the floors leave over.
fn divide(rest: u32, receivers: &[Receiver<'_>], shares: &mut [Share]) -> u32 {
    let open = |share: &Share| matches!(share, Share::Open { .. });
    let weights = receivers.iter().zip(shares.iter()).filter(|(_, share)| open(share));
    let weight: u128 = weights.map(|(node, _)| u128::from(node.weight)).sum();
    let mut spare = rest;
    for (node, share) in receivers.iter().zip(shares).filter(|(_, share)| open(share)) {
        let product = u128::from(rest) * u128::from(node.weight);
        let floor = (product / weight) as u32;
        *share = Share::Open { floor, remainder: product % weight };
        spare -= floor;
    }
    spare
}

/// The ranks of the open nodes whose fixed shards, floor and remainder are as `wanted`.
fn select(receivers: &[Receiver<'_>], shares: &[Share], wanted: impl Fn(u32, u32, u128) -> bool) -> Vec<usize> {
    (receivers.iter().zip(shares).enumerate())
        .filter(|(_, (node, share))| match **share {
            Share::Open { floor, remainder } => wanted(node.fixed, floor, remainder),
            Share::Overfull { .. } => false,
        })
        .map(|(rank, _)| rank)
        .collect()
}

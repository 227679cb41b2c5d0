//! Sets of shards, kept as they are written: as runs. A short text that names many shards is a short set.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::ids::{InvalidId, ShardId};

/// A set of shards, read and written as runs: `0-340,512,700-1023`. Invariant: the runs ascend, and between two of them a
/// shard is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardSet(Vec<Run>);

/// From the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    first: u16,
    last: u16,
}

impl Run {
    fn shards(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl ShardSet {
    /// The shards, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ShardId> + '_ {
        self.0.iter().flat_map(|run| run.shards().map(ShardId))
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.0.iter().map(|run| run.shards().len()).sum()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether `shard` is among them.
    pub fn contains(&self, ShardId(shard): ShardId) -> bool {
        let next = self.0.partition_point(|run| run.last < shard);
        self.0.get(next).is_some_and(|run| run.first <= shard)
    }
    /// Adds a shard; adding one twice changes nothing.
    pub fn insert(&mut self, ShardId(shard): ShardId) {
        // The first run that ends at it, behind it, or right before it.
        let at = self.0.partition_point(|run| u32::from(run.last) + 1 < u32::from(shard));
        match self.0.get_mut(at) {
            Some(run) if run.shards().contains(&shard) => {}
            Some(run) if u32::from(run.last) + 1 == u32::from(shard) => {
                run.last = shard;
                let touched = self.0.get(at + 1).filter(|next| u32::from(next.first) == u32::from(shard) + 1).copied();
                if let Some(next) = touched {
                    self.0[at].last = next.last;
                    self.0.remove(at + 1);
                }
            }
            Some(run) if u32::from(shard) + 1 == u32::from(run.first) => run.first = shard,
            _ => self.0.insert(at, Run { first: shard, last: shard }),
        }
    }

    /// Adds a run behind all there are; false if it is not behind them.
    fn push(&mut self, run: Run) -> bool {
        match self.0.last_mut() {
            Some(before) if before.last >= run.first => return false,
            Some(before) if u32::from(before.last) + 1 == u32::from(run.first) => before.last = run.last,
            _ => self.0.push(run),
        }
        true
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        let mut set = Self::default();
        for shard in shards {
            // Most come in order.
            if !set.push(Run { first: shard.0, last: shard.0 }) {
                set.insert(shard);
            }
        }
        set
    }
}

impl From<ShardId> for ShardSet {
    fn from(ShardId(shard): ShardId) -> Self {
        Self(vec![Run { first: shard, last: shard }])
    }
}

impl fmt::Display for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, Run { first, last }) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

impl FromStr for ShardSet {
    type Err = InvalidId;

    /// Reads runs as [`Display`](fmt::Display) writes them; the empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bad = || InvalidId::Name {
            what: "shard set",
            text: text.chars().take(64).collect(),
            rule: "runs like 0-340,512 ascending, each shard once",
        };
        let mut set = Self::default();
        for run in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
            if first > last || !set.push(Run { first, last }) {
                return Err(bad());
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_that_its_shards_are_in_whatever_order_they_come(
            shards in prop::collection::vec(prop_oneof![0u16..40, 65_500u16..=65_535], 0..60),
        ) {
            let expected: BTreeSet<_> = shards.iter().copied().map(ShardId).collect();
            let set: ShardSet = shards.iter().copied().map(ShardId).collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!((set.len(), set.is_empty()), (expected.len(), expected.is_empty()));
            for shard in (0..=45).chain(65_490..=65_535).map(ShardId) {
                prop_assert_eq!(set.contains(shard), expected.contains(&shard));
            }
            // One set has one shape, so that equal sets are equal.
            let ascending: ShardSet = expected.iter().copied().collect();
            let descending: ShardSet = expected.iter().rev().copied().collect();
            prop_assert_eq!(&ascending, &set);
            prop_assert_eq!(&descending, &set);
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }

    #[test]
    fn runs_that_touch_are_one() {
        let set: ShardSet = "0-3,4-7,9".parse().expect("they ascend");
        assert_eq!(set.to_string(), "0-7,9");
        for bad in ["4-3", "1,1", "3-5,5-6", "7,1", ",", "1,", "-", "65536"] {
            assert!(bad.parse::<ShardSet>().is_err(), "{bad}");
        }
    }
}

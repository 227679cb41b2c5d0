//! The sequences one origin has outstanding for one shard, and the floor below which it will never ask again.
//!
//! A sequence carries its shard in its low 16 bits, so that an answer finds its ask without a table; above them counts
//! the shard's own counter, from 1. So sequences are unique within an origin, and ascend within a shard.

use std::collections::VecDeque;

use aether_domain::ShardId;

use super::bounds::OUTSTANDING_PER_SHARD_MAX;

/// The `nth` sequence of a shard, counted from 1.
pub(crate) fn sequence(nth: u64, shard: ShardId) -> u64 {
    (nth << 16) | u64::from(shard.0)
}

/// Which shard a sequence belongs to.
pub(crate) fn shard_of(sequence: u64) -> ShardId {
    ShardId((sequence & 0xFFFF) as u16)
}

/// The outstanding sequences, ascending. At most [`OUTSTANDING_PER_SHARD_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Window {
    open: VecDeque<u64>,
}

impl Window {
    /// Whether one more fits.
    pub(crate) fn has_room(&self) -> bool {
        self.open.len() < OUTSTANDING_PER_SHARD_MAX
    }
    /// Adds the newest sequence.
    pub(crate) fn open(&mut self, sequence: u64) {
        debug_assert!(self.open.back().is_none_or(|last| *last < sequence), "sequences ascend within a shard");
        self.open.push_back(sequence);
    }
    /// Takes one out; nothing happens if it is not there.
    pub(crate) fn close(&mut self, sequence: u64) {
        if self.open.front() == Some(&sequence) {
            self.open.pop_front();
        } else if let Ok(at) = self.open.binary_search(&sequence) {
            self.open.remove(at);
        }
    }
    /// Whether it is outstanding.
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.open.binary_search(&sequence).is_ok()
    }
    /// The lowest outstanding sequence.
    pub(crate) fn floor(&self) -> Option<u64> {
        self.open.front().copied()
    }
    /// How many are outstanding.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_lowest_sequence_that_may_still_be_asked_again() {
        let mut window = Window::default();
        for nth in 1..=4 {
            window.open(sequence(nth, ShardId(7)));
        }
        for (closed, floor) in [(2, Some(1)), (1, Some(3)), (9, Some(3)), (3, Some(4)), (4, None)] {
            window.close(sequence(closed, ShardId(7)));
            assert_eq!(window.floor(), floor.map(|nth| sequence(nth, ShardId(7))), "after closing {closed}");
        }
    }

    #[test]
    fn a_sequence_names_its_shard() {
        for shard in [ShardId(0), ShardId(1023), ShardId(u16::MAX)] {
            assert_eq!(shard_of(sequence(u64::from(u32::MAX), shard)), shard);
        }
    }
}

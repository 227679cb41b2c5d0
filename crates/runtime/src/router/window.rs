//! The sequences one origin has outstanding for one shard, and the floor below which it will never ask again.
//!
//! A sequence carries its shard in its low 16 bits, so that an answer finds its ask without a table; above them counts
//! the shard's own counter, from 1. So sequences are unique within an origin, and ascend within a shard.

use std::collections::VecDeque;

use aether_domain::{ShardId, Slot};

use super::bounds::{OUTSTANDING_PER_SHARD_MAX, OUTSTANDING_PER_SLOT_MAX};

/// The `nth` sequence of a shard, counted from 1.
pub(crate) fn sequence(nth: u64, shard: ShardId) -> u64 {
    (nth << 16) | u64::from(shard.0)
}

/// Which shard a sequence belongs to.
pub(crate) fn shard_of(sequence: u64) -> ShardId {
    ShardId((sequence & 0xFFFF) as u16)
}

/// The outstanding sequences of one shard, ascending. At most [`OUTSTANDING_PER_SHARD_MAX`], and of those for one slot at
/// most [`OUTSTANDING_PER_SLOT_MAX`].
#[derive(Debug)]
pub(crate) struct Window {
    shard: ShardId,
    /// Each with the slot it is for in the place of the shard, which is the same for all.
    open: VecDeque<u64>,
}

/// Which of its shard's sequences it is.
fn nth(sequence: u64) -> u64 {
    sequence >> 16
}

impl Window {
    /// Nothing is outstanding for that shard.
    pub(crate) fn new(shard: ShardId) -> Self {
        Self { shard, open: VecDeque::new() }
    }
    /// Whether one more fits that is for that slot.
    pub(crate) fn has_room(&self, slot: Slot) -> bool {
        let of_slot = || self.open.iter().filter(|open| (*open & 0xFFFF) as u16 == slot.0).count();
        self.open.len() < OUTSTANDING_PER_SLOT_MAX
            || (self.open.len() < OUTSTANDING_PER_SHARD_MAX && of_slot() < OUTSTANDING_PER_SLOT_MAX)
    }
    /// Adds the newest sequence, which is for that slot.
    pub(crate) fn open(&mut self, sequence: u64, slot: Slot) {
        let last = self.open.back();
        debug_assert!(last.is_none_or(|last| nth(*last) < nth(sequence)), "sequences ascend within a shard");
        self.open.push_back(sequence & !0xFFFF | u64::from(slot.0));
    }
    /// Takes one out; nothing happens if it is not there.
    pub(crate) fn close(&mut self, sequence: u64) {
        if self.open.front().is_some_and(|first| nth(*first) == nth(sequence)) {
            self.open.pop_front();
        } else if let Ok(at) = self.find(sequence) {
            self.open.remove(at);
        }
    }
    /// Whether it is outstanding.
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.find(sequence).is_ok()
    }
    fn find(&self, sequence: u64) -> Result<usize, usize> {
        self.open.binary_search_by_key(&nth(sequence), |open| nth(*open))
    }
    /// The lowest outstanding sequence.
    pub(crate) fn floor(&self) -> Option<u64> {
        self.open.front().map(|first| sequence(nth(*first), self.shard))
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
        let mut window = Window::new(ShardId(7));
        for nth in 1..=4 {
            window.open(sequence(nth, ShardId(7)), Slot(450));
        }
        for (closed, floor) in [(2, Some(1)), (1, Some(3)), (9, Some(3)), (3, Some(4)), (4, None)] {
            window.close(sequence(closed, ShardId(7)));
            assert_eq!(window.floor(), floor.map(|nth| sequence(nth, ShardId(7))), "after closing {closed}");
        }
    }

    #[test]
    fn what_is_outstanding_for_one_slot_leaves_room_for_the_others_of_its_shard() {
        let (shard, hot, others) = (ShardId(7), Slot(450), [Slot(448), Slot(500)]);
        let (mut window, mut nth) = (Window::new(shard), 0);
        let mut fill = |window: &mut Window, slot| {
            while window.has_room(slot) {
                nth += 1;
                window.open(sequence(nth, shard), slot);
            }
            window.len()
        };
        assert_eq!(fill(&mut window, hot), OUTSTANDING_PER_SLOT_MAX);
        assert_eq!(fill(&mut window, others[0]), OUTSTANDING_PER_SHARD_MAX);
        assert!(!window.has_room(others[1]));
        window.close(sequence(1, shard));
        assert!(window.has_room(hot) && window.has_room(others[1]), "one for the hot slot is over");
        assert_eq!(window.floor(), Some(sequence(2, shard)));
    }

    #[test]
    fn a_sequence_names_its_shard() {
        for shard in [ShardId(0), ShardId(1023), ShardId(u16::MAX)] {
            assert_eq!(shard_of(sequence(u64::from(u32::MAX), shard)), shard);
        }
    }
}

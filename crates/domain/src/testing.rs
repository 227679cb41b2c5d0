//! Given events, when a command, then events or a refusal: tests of an aggregate that read like its rules.
//!
//! Users do the same for their own actors with the runtime's test kit; this one is for the topology's aggregates.

pub mod history;

use std::fmt::Debug;

use crate::aggregate::Aggregate;
use crate::ids::{Epoch, Incarnation, NodeId, NodeRef};
use crate::topology::TopologyEvent;

/// An aggregate with a past.
pub struct Given<A> {
    state: A,
}

/// An aggregate's answer.
pub struct When<A: Aggregate> {
    outcome: Result<Vec<TopologyEvent>, A::Refusal>,
}

/// Folds `history`, one entry an event, counted from epoch 1.
pub fn given<A: Aggregate>(history: impl IntoIterator<Item = TopologyEvent>) -> Given<A> {
    let mut state = A::default();
    let mut epoch = Epoch::ZERO;
    for event in history {
        epoch = epoch.next();
        state.evolve(&event, epoch);
    }
    Given { state }
}

impl<A: Aggregate> Given<A> {
    /// Asks.
    pub fn when(self, command: A::Command) -> When<A> {
        When { outcome: self.state.decide(&command) }
    }
    /// The folded state.
    pub fn state(self) -> A {
        self.state
    }
}

impl<A: Aggregate> When<A> {
    /// Expects exactly these events.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = TopologyEvent>)
    where
        A::Refusal: Debug,
    {
        assert_eq!(self.outcome, Ok(expected.into_iter().collect()));
    }
    /// Expects exactly this refusal.
    #[track_caller]
    pub fn then_refused(self, expected: A::Refusal)
    where
        A::Refusal: Debug,
    {
        assert_eq!(self.outcome, Err(expected));
    }
}

/// The list with as much left out of it as can be, long pieces first and single items in the end, so that it is `still` what
/// it was: the least that shows a fault. Nothing that is left can be left out alone.
pub fn shrunk<T: Clone>(mut list: Vec<T>, mut still: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut length = list.len().next_power_of_two();
    loop {
        let (mut at, before) = (0, list.len());
        while at < list.len() {
            let end = (at + length).min(list.len());
            let less = [&list[..at], &list[end..]].concat();
            if still(&less) {
                list = less;
            } else {
                at = end;
            }
        }
        if length > 1 {
            length /= 2;
        } else if list.len() == before {
            return list;
        }
    }
}

/// The first life of a node with that (valid) name; `life("a", 2)` is its second.
///
/// # Panics
/// If the name is not a valid node id: a mistake of the test.
pub fn life(name: &str, nth: u64) -> NodeRef {
    let node = NodeId::new(name).expect("the test names its nodes validly");
    let number = name.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
    NodeRef { node, incarnation: Incarnation(number.wrapping_mul(1_000_003).wrapping_add(nth)) }
}

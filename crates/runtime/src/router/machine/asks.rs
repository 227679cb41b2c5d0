//! The asks of one shard that are looked after, by sequence, and when each is to be looked at again.
//!
//! Lists in order, not trees: most shards have one ask or none at a time, and what is first in a tree costs it a node each
//! time. Sequences ascend, and what comes later is mostly looked at later, so nearly all is added behind and taken in front.

use std::collections::VecDeque;

use aether_domain::Monotonic;

use super::super::ask::Pending;

/// A list that has held more than so many gives its memory back when it is empty.
const KEPT: usize = 16;

/// Invariant: every ask has one timer, at its [`Pending::wake`].
#[derive(Debug)]
pub(super) struct Asks<T> {
    /// Ascending.
    asks: VecDeque<(u64, Pending<T>)>,
    /// Ascending.
    timers: VecDeque<(Monotonic, u64)>,
}

impl<T> Asks<T> {
    pub(super) fn new() -> Self {
        Self { asks: VecDeque::new(), timers: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    /// In the order of their sequences.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(u64, Pending<T>)> {
        self.asks.iter()
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Pending<T>> {
        self.place(sequence).ok().map(|place| &self.asks[place].1)
    }

    pub(super) fn get_mut(&mut self, sequence: u64) -> Option<&mut Pending<T>> {
        self.place(sequence).ok().map(|place| &mut self.asks[place].1)
    }

    /// Adds one that is not there.
    pub(super) fn insert(&mut self, sequence: u64, ask: Pending<T>) {
        self.time(ask.wake, sequence);
        match self.place(sequence) {
            Ok(_) => debug_assert!(false, "a sequence is given once"),
            Err(place) => self.asks.insert(place, (sequence, ask)),
        }
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Pending<T>> {
        let (_, ask) = self.asks.remove(self.place(sequence).ok()?)?;
        self.untime(ask.wake, sequence);
        if self.asks.is_empty() && self.asks.capacity() > KEPT {
            *self = Self::new();
        }
        Some(ask)
    }

    /// Lets one be looked at then.
    pub(super) fn set_wake(&mut self, sequence: u64, wake: Monotonic) {
        let Some(ask) = self.get_mut(sequence) else { return };
        let before = std::mem::replace(&mut ask.wake, wake);
        self.untime(before, sequence);
        self.time(wake, sequence);
    }

    /// Which one is to be looked at first, and when.
    pub(super) fn next_wake(&self) -> Option<(Monotonic, u64)> {
        self.timers.front().copied()
    }

    /// Whether the invariants hold.
    #[cfg(test)]
    pub(super) fn is_sound(&self) -> bool {
        let timed = |(sequence, ask): &(u64, Pending<T>)| self.timers.contains(&(ask.wake, *sequence));
        self.asks.iter().map(|(sequence, _)| sequence).is_sorted_by(|a, b| a < b)
            && self.timers.iter().is_sorted_by(|a, b| a < b)
            && self.timers.len() == self.asks.len()
            && self.asks.iter().all(timed)
    }

    fn place(&self, sequence: u64) -> Result<usize, usize> {
        match self.asks.back() {
            Some((last, _)) if *last >= sequence => self.asks.binary_search_by_key(&sequence, |(known, _)| *known),
            _ => Err(self.asks.len()),
        }
    }

    fn time(&mut self, wake: Monotonic, sequence: u64) {
        let timer = (wake, sequence);
        if let Err(place) = self.timers.binary_search(&timer) {
            self.timers.insert(place, timer);
        }
    }

    fn untime(&mut self, wake: Monotonic, sequence: u64) {
        if let Ok(place) = self.timers.binary_search(&(wake, sequence)) {
            self.timers.remove(place);
        }
    }
}

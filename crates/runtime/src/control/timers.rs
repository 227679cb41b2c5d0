//! Deadlines of a machine that is asked again and again: what is not yet due says when to ask next.

use aether_domain::Monotonic;

/// The clock reading of one step, and the earliest moment something else becomes due.
#[derive(Debug)]
pub(crate) struct Timers {
    now: Monotonic,
    next: Option<Monotonic>,
}

impl Timers {
    pub(crate) fn at(now: Monotonic) -> Self {
        Self { now, next: None }
    }
    pub(crate) fn now(&self) -> Monotonic {
        self.now
    }
    /// Whether `at` has come; if not, the machine will be asked again then.
    pub(crate) fn reached(&mut self, at: Monotonic) -> bool {
        if self.now >= at {
            return true;
        }
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
        false
    }
    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.next
    }
}

//! The bytes all commands of a node may take while they are outstanding, or held back.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::bounds::{HELD_BYTES_MAX, OUTSTANDING_BYTES_MAX};

/// Two counters with their bounds, shared by all shards of a node.
#[derive(Debug, Default)]
pub(crate) struct NodeBudget {
    outstanding: AtomicUsize,
    held: AtomicUsize,
}

impl NodeBudget {
    /// Takes room for a command until its outcome is known; false if there is none.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        claim(&self.outstanding, bytes, OUTSTANDING_BYTES_MAX)
    }
    /// Gives that room back.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.outstanding.fetch_sub(bytes, Ordering::AcqRel);
    }
    /// Takes room for a command that waits; false if there is none.
    pub(crate) fn hold(&self, bytes: usize) -> bool {
        claim(&self.held, bytes, HELD_BYTES_MAX)
    }
    /// Takes room even beyond the bound: the command may already be applied, so it cannot be refused any more.
    pub(crate) fn hold_regardless(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::AcqRel);
    }
    /// Gives that room back.
    pub(crate) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
    }
    /// Bytes of the commands that wait.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
    /// Bytes of the commands whose outcome is not known yet.
    pub(crate) fn outstanding_bytes(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }
}

fn claim(counter: &AtomicUsize, bytes: usize, bound: usize) -> bool {
    let claimed = counter.fetch_add(bytes, Ordering::AcqRel) + bytes;
    if claimed > bound {
        counter.fetch_sub(bytes, Ordering::AcqRel);
    }
    claimed <= bound
}

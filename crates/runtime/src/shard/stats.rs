//! What a host carries and has done, for people and dashboards.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::input::Counts;

/// What a host carries now and has done since it began. Counters only grow; a rate is the difference of two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Actors in memory now.
    pub resident_actors: usize,
    /// Commands brought to a shard, whatever became of them.
    pub commands: u64,
    /// Records stored.
    pub commits: u64,
    /// Times somebody else had appended to a history first.
    pub conflicts: u64,
    /// Actors loaded.
    pub activations: u64,
    /// Actors dropped from memory because nobody asked them.
    pub passivations: u64,
    /// Commands given up because they make their actor panic.
    pub poisoned: u64,
    /// Actors set aside until a person looks.
    pub quarantined: u64,
}

/// The counters behind [`HostStats`].
#[derive(Debug, Default)]
pub(super) struct Meters {
    resident: AtomicUsize,
    commands: AtomicU64,
    commits: AtomicU64,
    conflicts: AtomicU64,
    activations: AtomicU64,
    passivations: AtomicU64,
    poisoned: AtomicU64,
    quarantined: AtomicU64,
}

impl Meters {
    pub(super) fn add(&self, counts: Counts) {
        let add = |meter: &AtomicU64, more| {
            if more > 0 {
                meter.fetch_add(more, Ordering::Relaxed);
            }
        };
        add(&self.commands, counts.commands);
        add(&self.commits, counts.commits);
        add(&self.conflicts, counts.conflicts);
        add(&self.activations, counts.activations);
        add(&self.passivations, counts.passivations);
        add(&self.poisoned, counts.poisoned);
        add(&self.quarantined, counts.quarantined);
    }

    /// One shard holds `now` actors instead of `before`.
    pub(super) fn resident(&self, before: usize, now: usize) {
        if now >= before {
            self.resident.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.resident.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> HostStats {
        HostStats {
            resident_actors: self.resident.load(Ordering::Relaxed),
            commands: self.commands.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            activations: self.activations.load(Ordering::Relaxed),
            passivations: self.passivations.load(Ordering::Relaxed),
            poisoned: self.poisoned.load(Ordering::Relaxed),
            quarantined: self.quarantined.load(Ordering::Relaxed),
        }
    }
}

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

/// One shard's part of [`HostStats`]. Only whoever holds the shard writes it, so plain stores do; everybody may read.
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
    /// Adds what has been done, and takes over how many actors are in memory. Only while holding the shard.
    pub(super) fn note(&self, counts: Counts, resident: usize) {
        let add = |meter: &AtomicU64, more: u64| {
            if more > 0 {
                meter.store(meter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
            }
        };
        add(&self.commands, counts.commands);
        add(&self.commits, counts.commits);
        add(&self.conflicts, counts.conflicts);
        add(&self.activations, counts.activations);
        add(&self.passivations, counts.passivations);
        add(&self.poisoned, counts.poisoned);
        add(&self.quarantined, counts.quarantined);
        self.resident.store(resident, Ordering::Relaxed);
    }

    pub(super) fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    pub(super) fn add_to(&self, stats: &mut HostStats) {
        stats.resident_actors += self.resident();
        stats.commands += self.commands.load(Ordering::Relaxed);
        stats.commits += self.commits.load(Ordering::Relaxed);
        stats.conflicts += self.conflicts.load(Ordering::Relaxed);
        stats.activations += self.activations.load(Ordering::Relaxed);
        stats.passivations += self.passivations.load(Ordering::Relaxed);
        stats.poisoned += self.poisoned.load(Ordering::Relaxed);
        stats.quarantined += self.quarantined.load(Ordering::Relaxed);
    }
}

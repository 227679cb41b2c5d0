//! What a host carries and has done, for people and dashboards.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::input::Counts;
use crate::vitals::Done;

/// One in this many commands that find their shard free is timed: a power of two.
pub(super) const TIMED_ONE_IN: u32 = 16;

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
    /// Bytes of the actors in memory, by estimate.
    pub resident_bytes: usize,
    /// Bytes of the commands that wait in shards, by estimate.
    pub waiting_bytes: usize,
    /// Actors that wait for their histories to be read.
    pub loads_waiting: usize,
    /// Actors dropped from memory because nobody asked them for long enough.
    pub passivations: u64,
    /// Actors dropped from memory to make room for others.
    pub evictions: u64,
    /// Commands answered `Busy` because too many wait for their actor.
    pub busy_mailbox: u64,
    /// Commands answered `Busy` because too many wait for their shard, or too many of its actors have something under way.
    pub busy_shard: u64,
    /// Commands answered `Busy` because too much waits on this node.
    pub busy_node: u64,
    /// Commands answered `Busy` because their actor was not in memory, and there was no room or too many were to be loaded.
    pub busy_load: u64,
    /// Commands given up because they make their actor panic.
    pub poisoned: u64,
    /// Actors set aside until a person looks.
    pub quarantined: u64,
    /// Snapshots of actors saved.
    pub snapshots_saved: u64,
    /// Snapshots of actors that were due and could not be written or saved.
    pub snapshots_failed: u64,
    /// Actors loaded from a snapshot instead of their whole history.
    pub snapshots_used: u64,
    /// Actors put in place as they came with their shard, without any read.
    pub warm_used: u64,
    /// Actors that could not follow their shard, or came and could not be used: they are loaded.
    pub warm_left_out: u64,
    /// Bytes of actors that came with their shard and were not asked yet, by estimate.
    pub warm_waiting_bytes: usize,
    /// Those that are set aside now, as far as is known: one that was released counts until somebody asks for the list.
    pub quarantined_now: usize,
    /// Handlers that were named because they ran too long.
    pub slow_handlers: u64,
    /// Times a shard was told again what the view says, because it went on doing something else.
    pub reconciled: u64,
    /// Shards that do something else than the view says now, although they were told again.
    pub unreconciled: usize,
    /// Times a stored record showed that a shard of this node is somebody else's by now: it was dropped here.
    pub shards_fenced: u64,
    /// Letters kept about commands that were given up.
    pub letters_kept: u64,
    /// Letters that could not be kept.
    pub letters_lost: u64,
    /// Actors that are to be looked at because of their reminders, as far ahead as this node knows.
    pub actors_with_reminders: usize,
    /// Reminders that have fired and are stored.
    pub reminders_fired: u64,
    /// By how many milliseconds they were stored after they were due, all together.
    pub reminders_late_millis: u64,
}

/// One shard's part of [`HostStats`]. Only whoever holds the shard writes it, so plain stores do; everybody may read.
#[derive(Debug, Default)]
pub(super) struct Meters {
    resident: AtomicUsize,
    /// How long it was run, in nanoseconds.
    busy: AtomicU64,
    commands: AtomicU64,
    commits: AtomicU64,
    conflicts: AtomicU64,
    busy_mailbox: AtomicU64,
    busy_shard: AtomicU64,
    busy_node: AtomicU64,
    busy_load: AtomicU64,
    /// Commands refused at the inbox, by anybody at any time.
    busy_inbox: AtomicU64,
    poisoned: AtomicU64,
    quarantined: AtomicU64,
    snapshots_saved: AtomicU64,
    snapshots_failed: AtomicU64,
    snapshots_used: AtomicU64,
    warm_used: AtomicU64,
    warm_left_out: AtomicU64,
    timed: AtomicUsize,
    fired: AtomicU64,
    late_millis: AtomicU64,
}

impl Meters {
    /// Adds what has been done and how long that took, and takes over how many actors are in memory, and how many
    /// have to be looked at. Only while holding the shard.
    pub(super) fn note(&self, counts: Counts, busy: Duration, resident: usize, timed: usize) {
        let add = |meter: &AtomicU64, more: u64| {
            if more > 0 {
                meter.store(meter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
            }
        };
        add(&self.busy, busy.as_nanos() as u64);
        add(&self.commands, counts.commands);
        self.timed.store(timed, Ordering::Relaxed);
        self.resident.store(resident, Ordering::Relaxed);
        if (Counts { commands: 0, ..counts }) == Counts::default() {
            return;
        }
        add(&self.commits, counts.commits);
        add(&self.conflicts, counts.conflicts);
        add(&self.busy_mailbox, counts.busy_mailbox);
        add(&self.busy_shard, counts.busy_shard);
        add(&self.busy_node, counts.busy_node);
        add(&self.busy_load, counts.busy_load);
        add(&self.poisoned, counts.poisoned);
        add(&self.quarantined, counts.quarantined);
        add(&self.snapshots_saved, counts.snapshots_saved);
        add(&self.snapshots_failed, counts.snapshots_failed);
        add(&self.snapshots_used, counts.snapshots_used);
        add(&self.warm_used, counts.warm_used);
        add(&self.warm_left_out, counts.warm_left_out);
        add(&self.fired, counts.fired);
        add(&self.late_millis, counts.late_millis);
    }

    /// A command found the inbox full.
    pub(super) fn refused_at_inbox(&self) {
        self.busy_inbox.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    /// Whether the next command is one of those that are timed, each in place of [`TIMED_ONE_IN`]: reading a clock for
    /// every one would cost more than many of them. Which ones, no pattern of commands can foresee.
    pub(super) fn times_next(&self) -> bool {
        let nth = self.commands.load(Ordering::Relaxed);
        nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - TIMED_ONE_IN.ilog2()) == 0
    }

    pub(super) fn done(&self) -> Done {
        Done {
            busy: Duration::from_nanos(self.busy.load(Ordering::Relaxed)),
            messages: self.commands.load(Ordering::Relaxed),
            records: self.commits.load(Ordering::Relaxed),
            actors: self.resident() as u64,
        }
    }

    pub(super) fn add_to(&self, stats: &mut HostStats) {
        stats.resident_actors += self.resident();
        stats.commands += self.commands.load(Ordering::Relaxed);
        stats.commits += self.commits.load(Ordering::Relaxed);
        stats.conflicts += self.conflicts.load(Ordering::Relaxed);
        stats.busy_mailbox += self.busy_mailbox.load(Ordering::Relaxed);
        stats.busy_shard += self.busy_shard.load(Ordering::Relaxed) + self.busy_inbox.load(Ordering::Relaxed);
        stats.busy_node += self.busy_node.load(Ordering::Relaxed);
        stats.busy_load += self.busy_load.load(Ordering::Relaxed);
        stats.poisoned += self.poisoned.load(Ordering::Relaxed);
        stats.quarantined += self.quarantined.load(Ordering::Relaxed);
        stats.snapshots_saved += self.snapshots_saved.load(Ordering::Relaxed);
        stats.snapshots_failed += self.snapshots_failed.load(Ordering::Relaxed);
        stats.snapshots_used += self.snapshots_used.load(Ordering::Relaxed);
        stats.warm_used += self.warm_used.load(Ordering::Relaxed);
        stats.warm_left_out += self.warm_left_out.load(Ordering::Relaxed);
        stats.actors_with_reminders += self.timed.load(Ordering::Relaxed);
        stats.reminders_fired += self.fired.load(Ordering::Relaxed);
        stats.reminders_late_millis += self.late_millis.load(Ordering::Relaxed);
    }
}

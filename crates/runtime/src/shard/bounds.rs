//! The named bounds of a shard: every queue, retry and wait.

use std::time::Duration;

/// The most actors of one shard that may be loading or committing at once; one more is answered `Busy`.
pub(super) const BUSY_ACTORS_MAX: usize = 4096;
/// The most bytes of events and replies of one record that answers more than one command. A single command may fill a
/// record up to its own bound.
pub(super) const BATCH_BYTES_MAX: usize = 256 * 1024;
/// How often a command that panics is tried again, each time on a fresh instance, before it is poisoned.
pub(super) const PANIC_RETRIES_MAX: u8 = 2;
/// This many panics of one actor within [`PANIC_WINDOW`] set it aside.
pub(super) const PANICS_MAX: usize = 5;
/// See [`PANICS_MAX`].
pub(super) const PANIC_WINDOW: Duration = Duration::from_secs(60);
/// How many lives may run a command that may have cost each of them: for the next one it is only looked up in the history.
pub(super) const LIVES_RUN_MAX: u8 = 2;
/// How many lives that took a shard over may begin a timer that had been due already, and not fire it: the next one fires
/// it without its command.
pub(super) const LIVES_BEGIN_MAX: usize = 2;
/// How many lives may load an actor for such a command: the next one does not even do that.
pub(super) const LIVES_LOAD_MAX: u8 = 3;
/// The most letters on their way to their store at once; one more is not kept, and counted.
pub(super) const LETTERS_MAX: usize = 64;
/// How often it is tried to keep a letter.
pub(super) const LETTER_TRIES_MAX: u32 = 3;
/// The most quarantined actors of one node that can be listed.
pub(super) const QUARANTINED_LISTED_MAX: usize = 1024;
/// How often a load is tried before its commands are answered (store out of reach) or the actor is set aside (its
/// history makes it panic).
pub(super) const LOAD_TRIES_MAX: u32 = 3;
/// After this many tries of one append without a clear answer, new commands of the actor are refused for the time being.
pub(super) const REFUSE_AFTER_TRIES: u32 = 3;
/// The application's message ids one actor remembers.
pub(super) const MESSAGES_MAX: usize = 1024;
/// The sequences of one origin one actor remembers: what an origin may have outstanding.
pub(super) const OUTSTANDING_MAX: usize = 1024;
/// From how many origins an actor under load notes the newest command: a repeat among those of others is looked for.
pub(super) const ORIGINS_NOTED_MAX: usize = 16;
/// How often time passes for a shard: expired commands are answered this late at most.
pub(super) const TICK_EVERY: Duration = Duration::from_millis(100);
/// The most inputs one turn takes from a shard's inbox before somebody else goes on.
pub(super) const TURN_MAX: usize = 64;
/// The most commands that may wait for a shard that is at work; one more is answered `Busy`.
pub(super) const INBOX_MAX: usize = 8192;
/// The bytes of the commands that may wait for a shard that is at work; beyond, `Busy`.
pub(super) const INBOX_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a waiting command takes besides its payload, in the bounds on bytes: an upper estimate.
pub(super) const COMMAND_BYTES: usize = 512;
/// The most actors of one shard looked at in one tick for whether they may leave memory.
pub(super) const PASSIVATIONS_MAX: usize = 1024;
/// This many times as many events or bytes make a snapshot due while an actor stays, as are enough when it leaves.
pub(super) const SAVE_IDLE_PART: u32 = 4;
/// The most idle actors of one shard whose states are kept when it leaves this node, or from one tick to the next.
pub(super) const IDLE_SAVES_MAX: usize = 64;
/// The most KiB of snapshots on their way to the store, of all shards of a node; one more is not saved.
pub(super) const SAVING_KIB_MAX: usize = 64 * 1024;
/// What the smallest snapshot counts as: so many of them at most are on their way as fit.
pub(super) const SAVING_KIB_MIN: usize = 64;
/// The most actors of one shard that follow it warm: those that were asked last.
pub(super) const CAPTURED_MAX: usize = 1024;
/// The most bytes of them.
pub(super) const CAPTURED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many bytes of them are captured at once: while these are sent, the next are captured.
pub(super) const CAPTURED_AT_ONCE: usize = 64 * 1024;
/// How long an actor that came warm waits to be asked first.
pub(super) const WARM_FOR: Duration = Duration::from_secs(60);
/// The most bytes of actors that came warm and wait in the shards of a node.
pub(super) const WARM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many snapshots of an actor are looked at when it is loaded: the store keeps two.
pub(super) const SNAPSHOTS_TRIED_MAX: usize = 2;
/// How often within a kind's `passivate_after` every idle actor of it is looked at.
pub(super) const SWEEPS: u32 = 16;
/// The most actors of one shard that have nothing under way and are not packed yet; all are at the next tick.
pub(super) const RESTING_MAX: usize = 16;
/// The most actors that may wait for their histories to be read, on one node; one more is answered `Busy`.
pub(super) const LOADS_WAITING_MAX: usize = 16 * 1024;
/// How long an actor waits for others to leave memory before its commands are answered `Busy`.
pub(super) const ROOM_WITHIN: Duration = Duration::from_millis(100);
/// How soon it is tried again to make room.
pub(super) const ROOM_AGAIN: Duration = Duration::from_millis(5);
/// The most actors one shard forgets at once to make room, so that no shard pays for all.
pub(super) const EVICTIONS_MAX: usize = 16;
/// When the asker of a refused command should try again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The most timers of one actor that fire before the first of them is stored: as many as a record takes.
pub(super) const FIRINGS_MAX: usize = 64;
/// The most actors one turn looks at because of their timers.
pub(super) const LOOKS_MAX: usize = 64;
/// When an actor that was looked at is looked at again, unless it is known by then when it has to be.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A wake that has passed is put later only if nothing is due for so long: a short period is not worth a write each time.
pub(super) const WAKE_SLACK: Duration = Duration::from_secs(10);
/// The most wakes one shard keeps in memory of actors that are not; later ones are read again in time.
pub(super) const WAKES_MAX: usize = 65_536;
/// The most wakes one reading takes from the store, the earliest first.
pub(super) const WAKES_READ_MAX: usize = 262_144;
/// How often writing one wake is tried anew because somebody else wrote it between.
pub(super) const WAKE_TRIES_MAX: usize = 8;
/// How long after a shard was taken its wakes are read a second time: an earlier owner may have been about to write.
pub(super) const WAKES_AGAIN_AFTER: Duration = Duration::from_secs(15);
/// How often wakes are read in quiet times.
pub(super) const WAKES_EVERY: Duration = Duration::from_secs(600);
/// How far ahead wakes are read: beyond the next reading and a failed one.
pub(super) const WAKES_AHEAD: Duration = Duration::from_secs(1500);
/// How long after a shard was taken its wakes are read: others taken with it are read together.
pub(super) const WAKES_GATHER: Duration = Duration::from_millis(20);

const BACK_OFF_MIN: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// How long to wait before try `tries + 1`: 20 ms, doubling, at most 1 s.
pub(super) fn back_off(tries: u32) -> Duration {
    (BACK_OFF_MIN * (1 << tries.saturating_sub(1).min(10))).min(BACK_OFF_MAX)
}

//! Every bound and waiting time of routing, in one place, with the reason for it.

use std::time::Duration;

/// Asks of one origin that may be outstanding for one shard: what an actor must remember to recognise a repeat.
pub const OUTSTANDING_PER_SHARD_MAX: usize = 1024;
/// Those of them that may be for one slot: an actor that everybody wants leaves room for the others of its shard.
pub const OUTSTANDING_PER_SLOT_MAX: usize = 768;
/// Bytes of all commands a node has outstanding, sent or not: they are kept for a repeat.
pub const OUTSTANDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Commands that may wait while one shard is on its way before the next one is refused. That goes for what is certainly not
/// applied: what may be is held beyond it, for it cannot be refused any more, up to all that may be outstanding
/// ([`OUTSTANDING_PER_SHARD_MAX`], [`OUTSTANDING_BYTES_MAX`]).
pub const HELD_PER_SHARD_MAX: usize = 256;
/// Bytes of the commands that wait for one shard, as above.
pub const HELD_BYTES_PER_SHARD_MAX: usize = 1024 * 1024;
/// Bytes of all commands that wait on one node, as above.
pub const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The shortest pause before a refused command is sent again.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(20);
/// The longest one, before the spread of up to a half that keeps refused commands from returning together.
pub const BACK_OFF_MAX: Duration = Duration::from_millis(200);
/// How long commands for a shard's new owner wait for answers of the old one, so that none overtakes another.
pub const STRAGGLERS_WAIT: Duration = Duration::from_millis(200);
/// An ask without an answer for this long is sent again under the same id: the message may have been lost.
pub const RESEND_AFTER: Duration = Duration::from_secs(1);
/// No repeat is sent when less than twice this is left: its answer would come too late.
pub const RESEND_LEFT_MIN: Duration = Duration::from_millis(50);
/// How much longer than its deadline a command of this node's own shard is waited for: the shard looks at deadlines every
/// 100 ms, and only it knows whether the command has run at all.
pub const LAST_WORD_WITHIN: Duration = Duration::from_millis(150);
/// The longest a refusal's own `retry_after` is believed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// What a caller is told to wait when the life that asked for it is over.
pub const RETRY_NEXT_LIFE: Duration = Duration::from_secs(1);

/// How often outstanding asks are looked through for passed deadlines.
pub const TICK: Duration = Duration::from_millis(10);
/// How long the ticking goes on after the last outstanding ask, so that one ask at a time does not restart it each time.
pub const TICKS_IDLE_MAX: u32 = 100;
/// Asks that may wait for this node to learn any topology at all.
pub const WAITING_FOR_CLUSTER_MAX: usize = 1024;

/// How long a received command waits for this node to reach its sender's topology.
pub const PARKED_FOR: Duration = Duration::from_secs(2);
/// Commands that may wait so.
pub const PARKED_MAX: usize = 1024;
/// Bytes of the commands that wait so.
pub const PARKED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Received commands that wait for their turn: many full messages.
pub const READY_MAX: usize = 8 * 1024;
/// Bytes of the received commands that wait for their turn, or behind one that is slow, for all shards.
pub const READY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Received commands that wait behind one that is slow, for one shard.
pub const BEHIND_SLOW_MAX: usize = 1024;

/// The most bytes of a reply or a rejection that crosses nodes: with a frame's other fields it must fit in one message.
pub const REPLY_BYTES_MAX: usize = 512 * 1024;
/// The most time a command that came from outside may claim for itself.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);

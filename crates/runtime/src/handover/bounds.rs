//! The named bounds of handing actors over.

use std::time::Duration;

/// The most bytes of actors that a node keeps while their shards leave it, all shards together; beyond, they are left out.
pub(super) const LEAVING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most bytes of actors that a node keeps for shards that are on their way to it; beyond, they are refused.
pub(super) const ARRIVING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most bytes of them of one shard.
pub(super) const ARRIVING_SHARD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most parts the warm state of one shard may come in.
pub(super) const CHUNKS_MAX: u32 = 4096;
/// The most bytes on their way to one node that it has not acknowledged. One part may always be.
pub(super) const UNACKNOWLEDGED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most bytes that leave as one message, unless a single part has more.
pub(super) const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// How long after the last capture a release waits for the destination to acknowledge what was captured.
pub(super) const HOLD: Duration = Duration::from_millis(50);
/// A release waits no longer once all is sent and no more bytes of it are unacknowledged: they are there before the shard is, and
/// whatever is not is soon read.
pub(super) const NOT_WAITED_FOR_BYTES_MAX: usize = 64 * 1024;
/// When a part that was not acknowledged is sent again; doubling.
pub(super) const SEND_AGAIN: Duration = Duration::from_millis(20);
/// How often a part is sent before it is given up.
pub(super) const SENDS_MAX: u32 = 6;
/// How long actors are kept while it is open how their move ends, at either end.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(30);
/// The most moves that are remembered for people.
pub(super) const MOVES_LISTED_MAX: usize = 1024;
/// The most actors of one of them.
pub(super) const ACTORS_LISTED_MAX: usize = 64;

//! What can be wrong with what is stored.

use crate::ids::{ActorKey, CommandId, Epoch, Incarnation, NodeId, Sequence, Version};
use crate::invariants::Violation;
use crate::records::Broken;
use crate::time::WallTime;

/// One thing that is wrong. None of them can come of a failure that the protocol bears: somebody else has written, the store has
/// lost what it had acknowledged, or there is a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// An entry of the topology log breaks what must always hold.
    #[error("topology log at {at}: {violation}; nothing behind it was judged")]
    Entry {
        /// Where it is.
        at: Sequence,
        /// What it breaks.
        violation: Violation,
    },
    /// An entry of the topology log cannot be read.
    #[error("topology log at {at}: {reason}; nothing behind it was judged")]
    UnreadableEntry {
        /// Where it is.
        at: Sequence,
        /// Why.
        reason: String,
    },
    /// A node has followed the log further than it goes now.
    #[error("topology log: it ends with epoch {ends}, but {node} has seen {view}: entries are lost")]
    LogLost {
        /// The node.
        node: NodeId,
        /// How far it has followed it.
        view: Epoch,
        /// The last epoch there is.
        ends: Epoch,
    },
    /// A commit cannot be read.
    #[error("histories at {at}: {reason}")]
    UnreadableCommit {
        /// Where it is.
        at: Sequence,
        /// Why.
        reason: String,
    },
    /// A commit does not go on from the one before.
    #[error("{actor} at {at}: {broken}")]
    Broken {
        /// Whose.
        actor: ActorKey,
        /// Where it is.
        at: Sequence,
        /// How.
        broken: Broken,
    },
    /// A commit was written by somebody who did not own the actor's shard.
    #[error("{actor} at {at}: written by {owner}, but {why}")]
    NotTheOwner {
        /// Whose.
        actor: ActorKey,
        /// Where it is.
        at: Sequence,
        /// Who wrote it.
        owner: Incarnation,
        /// Whose it was.
        why: String,
    },
    /// A command is in a history a second time.
    #[error("{actor} at {at}: command {command} is there once more")]
    Repeated {
        /// Whose.
        actor: ActorKey,
        /// Where the second one is.
        at: Sequence,
        /// The command.
        command: CommandId,
    },
    /// A snapshot ends with a commit that its history does not have.
    #[error("{actor}: a snapshot of version {version} ends with a commit at {at} that the history does not have")]
    Snapshot {
        /// Whose.
        actor: ActorKey,
        /// Where that commit should be.
        at: Sequence,
        /// The snapshot's version.
        version: Version,
    },
    /// A timer would fire late: nobody looks at its actor in time.
    #[error("{actor}: timer {timer:?} is due at {}, {}", due.unix_millis, looked_at(*.wake))]
    Wake {
        /// Whose.
        actor: ActorKey,
        /// The timer.
        timer: String,
        /// When it is due.
        due: WallTime,
        /// When its actor is looked at.
        wake: Option<WallTime>,
    },
}

fn looked_at(wake: Option<WallTime>) -> String {
    wake.map_or_else(
        || "and nothing wakes the actor".to_owned(),
        |wake| format!("but the actor is woken at {} (milliseconds since 1970)", wake.unix_millis),
    )
}

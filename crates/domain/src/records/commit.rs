//! One actor's history: commits, each everything that up to 64 commands did at once.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Position, TimerChange};
use crate::ids::{CommandId, Epoch, Incarnation, MessageId, Nonce, Sequence, Version};
use crate::time::WallTime;

/// How payloads are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayloadCodec {
    /// JSON text: readable wherever the record is looked at.
    #[default]
    Json,
    /// Binary: smaller and faster, opaque to people.
    Binary,
}

/// One commit of one actor: everything that up to 64 commands did, stored as one message, so it is atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The fencing token: the epoch of the entry that gave the actor's shard to the writer.
    pub shard_epoch: Epoch,
    /// The life that wrote it.
    pub owner: Incarnation,
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// The actor's version before this commit: its events are `base + 1 ..= base + events.len()`.
    pub base: Version,
    /// The sequence of the record before on this actor's subject; 0 in the first.
    pub prev_sequence: Sequence,
    /// The [`Position::hash`] of the record before; 0 in the first.
    pub prev_hash: u64,
    /// When, for people.
    pub at: WallTime,
    /// How replies and events are encoded.
    pub codec: PayloadCodec,
    /// The commands it answers, in order. Empty in a record that only confirms ownership.
    pub commands: Vec<CommandMark>,
    /// The events, in order. A record without events, commands and timers is a *confirm*.
    pub events: Vec<EventRecord>,
    /// What became of the actor's timers, in order.
    pub timers: Vec<TimerChange>,
}

impl CommitRecord {
    /// The most commands one record answers.
    pub const COMMANDS_MAX: usize = 64;
    /// The most bytes a stored reply may have.
    pub const REPLY_BYTES_MAX: usize = 1024;
    /// The most bytes of an encoded record.
    pub const BYTES_MAX: usize = 768 * 1024;

    /// The actor's version after this commit.
    pub fn version(&self) -> Version {
        Version(self.base.0 + self.events.len() as u64)
    }
}

/// What a record remembers of one command, so that a repeat is recognised from the history itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandMark {
    /// The command.
    pub id: CommandId,
    /// The lowest sequence its origin still had outstanding for this shard: below it nothing need be remembered.
    pub floor: u64,
    /// The application's own name for it, if it gave one.
    pub message: Option<MessageId>,
    /// What was answered, at most [`CommitRecord::REPLY_BYTES_MAX`] bytes.
    pub reply: Bytes,
}

/// One event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The schema version it was written at, from 1.
    pub schema: u32,
    /// The event's own name for what happened, at most [`EventRecord::NAME_BYTES_MAX`] bytes; empty if it has none.
    pub name: Cow<'static, str>,
    /// The event, in the record's codec.
    pub payload: Bytes,
}

impl EventRecord {
    /// The most bytes an event's name may have.
    pub const NAME_BYTES_MAX: usize = 64;
}

/// A commit as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommit {
    /// What was written.
    pub record: CommitRecord,
    /// Where.
    pub at: Position,
}

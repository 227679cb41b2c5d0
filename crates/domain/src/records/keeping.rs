//! What is kept beside actor histories: snapshots and wakes, which are caches; checkpoints of feeds; dead letters.

use std::time::Duration;

use bytes::Bytes;

use super::{Head, PayloadCodec, Position};
use crate::ids::{
    ActorAddress, CommandId, Epoch, FeedName, Incarnation, MessageId, NodeRef, Nonce, Revision, Sequence, Version,
};
use crate::time::WallTime;

/// A timer of an actor: a command that it is to be asked later. The history holds it; nothing else decides whether it
/// fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Its name within its actor, 1 to [`Timer::NAME_BYTES_MAX`] bytes: setting one of the same name replaces it.
    pub name: String,
    /// When it fires next.
    pub due: WallTime,
    /// How long from one firing to the next, if there is a next; at least a millisecond.
    pub every: Option<Duration>,
    /// What becomes of ticks that nobody was there to run.
    pub missed: MissedTicks,
    /// The command's stable name.
    pub command: String,
    /// The command, in the codec of whatever holds the timer.
    pub payload: Bytes,
}

impl Timer {
    /// The most bytes a timer's name may have.
    pub const NAME_BYTES_MAX: usize = 64;
    /// The most timers one actor may have open.
    pub const OPEN_MAX: usize = 256;
    /// The most bytes a timer's command may have.
    pub const COMMAND_BYTES_MAX: usize = 16 * 1024;
}

/// What becomes of a periodic timer's ticks that nobody was there to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// One firing stands for all of them; the next is the first multiple of the period that is still to come.
    #[default]
    Once,
    /// Each of them is run, one after the other.
    All,
    /// None of them is run: the next is the first multiple of the period that is still to come. A tick that is late by less
    /// than a period is late, not missed, and is run.
    Skip,
}

/// What a commit says of one timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// It is open from now on, in the place of one with the same name.
    Set(Timer),
    /// It is open no more.
    Cancelled {
        /// Which.
        name: String,
    },
    /// It has fired: what its command did is in the same commit.
    Fired {
        /// Which.
        name: String,
        /// When it fires again; never, if it does not.
        next: Option<WallTime>,
    },
}

/// A reply as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReply {
    /// How it is encoded.
    pub codec: PayloadCodec,
    /// The reply.
    pub bytes: Bytes,
}

/// What an actor remembers of the commands of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginMarks {
    /// The life that sent them.
    pub origin: Incarnation,
    /// Below it nothing is remembered, and nothing may be run.
    pub floor: u64,
    /// The sequences that are in the history, ascending, none below the floor, with their replies.
    pub applied: Vec<(u64, StoredReply)>,
}

/// The state of an actor after one of its commits, with everything else that its history says and that outlives a load.
///
/// It is only ever a cache: whoever reads one must find that the history goes on from [`Self::at`], and can do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorSnapshot {
    /// The last commit it includes.
    pub at: Position,
    /// The actor's version after that commit.
    pub version: Version,
    /// The shard epoch that commit was written under.
    pub shard_epoch: Epoch,
    /// The version of the state's shape, from 1: another build's is not read.
    pub schema: u32,
    /// How the state, and the timers' commands, are encoded.
    pub codec: PayloadCodec,
    /// The state.
    pub state: Bytes,
    /// The commands it remembers, by origin.
    pub origins: Vec<OriginMarks>,
    /// The application's message ids it remembers, oldest first.
    pub messages: Vec<(MessageId, StoredReply)>,
    /// Its open timers.
    pub timers: Vec<Timer>,
}

impl ActorSnapshot {
    /// Where the history ended when it was taken.
    pub fn head(&self) -> Head {
        Head { version: self.version, at: self.at, shard_epoch: self.shard_epoch }
    }
    /// How many bytes it takes, nearly: its state, and everything else as if each number in it took eight.
    pub fn bytes(&self) -> usize {
        const NUMBERS: usize = 32;
        let reply = |reply: &StoredReply| NUMBERS + reply.bytes.len();
        let origin =
            |marks: &OriginMarks| NUMBERS + marks.applied.iter().map(|(_, stored)| reply(stored)).sum::<usize>();
        let timer = |timer: &Timer| 2 * NUMBERS + timer.name.len() + timer.command.len() + timer.payload.len();
        3 * NUMBERS
            + self.state.len()
            + self.origins.iter().map(origin).sum::<usize>()
            + self.messages.iter().map(|(_, stored)| reply(stored)).sum::<usize>()
            + self.timers.iter().map(timer).sum::<usize>()
    }
}

/// The warm state of an actor: what its last owner had of it in memory, for the next one.
///
/// It is only ever a hint. What proves it is the first compare-and-set behind [`ActorSnapshot::at`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmActor {
    /// Whose.
    pub actor: ActorAddress,
    /// Everything there is to it. Where its last owner did not write the last commit itself, the shard epoch is that owner's
    /// own, which is none below the commit's.
    pub snapshot: ActorSnapshot,
    /// What its history has grown by since a snapshot of it was last saved: events, records without any counting as one.
    pub grown_events: u32,
    /// The same in bytes of events.
    pub grown_bytes: u32,
}

impl WarmActor {
    /// How many bytes it takes, nearly: as [`ActorSnapshot::bytes`], with its names.
    pub fn bytes(&self) -> usize {
        const ADDRESS: usize = 16;
        let key = &self.actor.key;
        ADDRESS + key.kind.as_str().len() + key.id.as_str().len() + self.snapshot.bytes()
    }
}

/// When an actor has to be looked at, whether or not it is in memory. Earlier than needed is harmless: the actor's history
/// says what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Whom.
    pub actor: ActorAddress,
    /// When; `None` once nothing of it is open.
    pub at: Option<WallTime>,
    /// What the next write must expect.
    pub revision: Revision,
}

/// How far a feed has come, and who works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub feed: FeedName,
    /// Every event up to here has been handled.
    pub position: Sequence,
    /// Who works on it, or did last.
    pub owner: NodeRef,
    /// Lets the writer recognise its own record.
    pub nonce: Nonce,
    /// Whether it is being worked on.
    pub state: FeedState,
}

/// Whether a feed is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedState {
    /// By its owner, until others see no change for long enough.
    Held,
    /// Given back: anyone may take it at once.
    Released,
}

/// A checkpoint as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// What was written.
    pub checkpoint: Checkpoint,
    /// What the next write must expect.
    pub revision: Revision,
}

/// A command that was given up, kept for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whom it was for.
    pub actor: ActorAddress,
    /// The command's stable name.
    pub command: String,
    /// Its identity.
    pub id: CommandId,
    /// The application's own name for it, if it gave one.
    pub message: Option<MessageId>,
    /// How it is encoded.
    pub codec: PayloadCodec,
    /// The command; nothing if it has more than [`Self::PAYLOAD_BYTES_MAX`] bytes or cannot be written down.
    pub payload: Option<Bytes>,
    /// Why it was given up, in words for people; at most [`Self::REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// Whether it may be in the history all the same.
    pub maybe_applied: bool,
    /// Who gave it up.
    pub by: NodeRef,
    /// When, for people.
    pub at: WallTime,
}

impl DeadLetter {
    /// The most bytes of a command that are kept: as many as a command from another node may have.
    pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;
    /// The most bytes of a reason.
    pub const REASON_BYTES_MAX: usize = 1024;
    /// The most letters a store keeps; it takes no more until some are forgotten.
    pub const KEPT_MAX: usize = 10_000;
}

/// A dead letter as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// What was written.
    pub letter: DeadLetter,
    /// Where.
    pub sequence: Sequence,
}

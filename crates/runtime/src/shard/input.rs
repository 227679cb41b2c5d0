//! What a shard's machine is told and what it asks for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{AppendError, BoxError, ReadError, SaveError, Traced};
use aether_domain::records::{ActorSnapshot, CommitRecord, Position, StoredCommit, Wake, WarmActor};
use aether_domain::{
    ActorAddress, CommandId, Epoch, Incarnation, Monotonic, NodeId, Nonce, Revision, Sequence, WallTime,
};

use super::letters::Letter;
use super::snapshots::Part;
use crate::message::{Outcome, Work};

/// The two clocks, read once a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// What is decided with.
    pub(crate) at: Monotonic,
    /// What people read, and what says when a timer is tried.
    pub(crate) wall: WallTime,
    /// Whether the serve lease holds: without it the shard is paused, and keeps what it has.
    pub(crate) serving: bool,
}

/// What happens to a shard. `T` is whatever the shell answers a command with.
#[derive(Debug)]
pub(crate) enum Input<T> {
    /// An entry gives the shard to the life `me` of this node, under that epoch.
    Activate { me: Incarnation, epoch: Epoch },
    /// An entry asks this life to release the shard.
    Drain { drain_epoch: Epoch, to: NodeId },
    /// The shard is not this life's, or no longer.
    Deactivate { owner: Option<NodeId> },
    /// A command.
    Command(Work, T),
    /// These lives are members now: no command of any other is run.
    Lives(Arc<BTreeSet<Incarnation>>),
    /// What [`Effect::Load`] found.
    Loaded { actor: ActorAddress, ticket: u64, found: Result<Found, ReadError> },
    /// [`Effect::Load`] was not begun.
    NotRead { actor: ActorAddress, ticket: u64, why: NotRead },
    /// What became of [`Effect::Save`].
    Saved { actor: ActorAddress, outcome: Result<(), SaveError> },
    /// What became of [`Effect::Append`].
    Appended { actor: ActorAddress, nonce: Nonce, outcome: Result<Position, AppendError> },
    /// What [`Effect::Look`] found.
    Looked { actor: ActorAddress, nonce: Nonce, found: Result<Vec<StoredCommit>, ReadError> },
    /// The turn that [`Effect::EndTurn`] spoke of is over.
    TurnOver { actor: ActorAddress, ticket: u64 },
    /// [`Effect::CaptureMore`] has come up.
    CaptureMore,
    /// Actors that come warm from the shard's last owner, or from this one, in parts.
    Warm(Vec<Vec<WarmActor>>),
    /// Time has passed.
    Tick,
    /// It is time to look at actors because of their timers.
    Look,
    /// The store's wakes of this shard up to `until`.
    Wakes { wakes: Vec<Wake>, until: WallTime },
    /// What became of [`Effect::Wake`].
    WakeKept {
        actor: ActorAddress,
        /// The record that waits for it.
        record: Option<Nonce>,
        outcome: Result<Wake, BoxError>,
    },
}

/// Why a history was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// Too many wait for that already, or there is no room for one more actor.
    Busy,
    /// Nobody waited for it any more when it was its turn.
    Late,
}

/// What a shard wants done. Whatever answers comes back as an [`Input`].
#[derive(Debug)]
pub(crate) enum Effect<T> {
    /// Read the actor's history: its last snapshot that will do, and what is behind it.
    Load {
        actor: ActorAddress,
        /// To be named in the answer.
        ticket: u64,
        part: Part,
        /// To be waited before.
        wait: Duration,
        /// When nobody waits for it any more.
        until: Monotonic,
    },
    /// Append the record behind `after`. Asked again with the same record until the outcome is known.
    /// `trace`: what traces the first of its commands that is traced.
    Append { actor: ActorAddress, record: Arc<CommitRecord>, after: Sequence, wait: Duration, trace: Traced },
    /// Read freshly what lies behind `after`, to find the record with that nonce.
    Look { actor: ActorAddress, nonce: Nonce, after: Sequence, wait: Duration },
    /// Keep a snapshot, when there is nothing better to do; it may fail.
    Save { actor: ActorAddress, snapshot: Arc<ActorSnapshot> },
    /// Write an actor's wake. Sent again with the same expectation it is harmless.
    Wake {
        actor: ActorAddress,
        /// The record that waits for it, to be named in the answer.
        record: Option<Nonce>,
        keep: Keep,
        wait: Duration,
    },
    /// Say when everybody who is ready to run has run once.
    EndTurn {
        actor: ActorAddress,
        /// To be named in the answer.
        ticket: u64,
    },
    /// Answer a command.
    Respond {
        to: T,
        outcome: Outcome,
        /// Whether the answer counts only if the serve lease holds now, after the state was read.
        lease: bool,
    },
    /// These are not served here any more: they may follow the shard.
    Captured { drain_epoch: Epoch, actors: Vec<WarmActor> },
    /// Come back at once for more of these, after what is left here already.
    CaptureMore,
    /// Nothing of the shard is served any more, nor ever will be under that epoch.
    Released { drain_epoch: Epoch },
    /// Keep a letter about a command that was given up.
    Letter(Box<Letter>),
    /// For the log.
    Fact(Fact),
}

/// What was found of a history.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where to begin; the start, if there is none.
    pub(crate) snapshot: Option<Box<ActorSnapshot>>,
    /// Its own last commit and what is behind that, in order; everything, if there is no snapshot.
    pub(crate) commits: Vec<StoredCommit>,
}

/// How an actor's wake is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Then or earlier, whatever is there, and certainly written. `known`: what was there last, and under which revision.
    NoLaterThan { at: WallTime, known: Option<(Revision, Option<WallTime>)> },
    /// Exactly so, if it is still at that revision.
    Exactly { at: Option<WallTime>, expected: Revision },
}

/// What people should be able to read in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A stored record shows that the shard has been given to somebody else.
    Stale { actor: ActorAddress, epoch: Epoch },
    /// Somebody else appended to the actor's history.
    Conflict { actor: ActorAddress },
    /// An append has no clear outcome yet.
    Unresolved { actor: ActorAddress, tries: u32 },
    /// The actor could not be loaded; its commands were answered so.
    NotLoaded { actor: ActorAddress, reason: String },
    /// A snapshot was not saved.
    NotSaved { actor: ActorAddress, reason: String },
    /// The history does not go on from a snapshot, or nothing can be made of it.
    SnapshotLeftOut { actor: ActorAddress, reason: String },
    /// An actor that came warm, or was to follow its shard, cannot be read or written.
    WarmLeftOut { actor: ActorAddress, reason: String },
    /// A handler or `apply` panicked.
    Panicked { actor: ActorAddress, reason: String },
    /// A command was given up.
    Poisoned { actor: ActorAddress, command: CommandId, reason: String },
    /// The actor is set aside.
    Quarantined { actor: ActorAddress, reason: String },
    /// A timer fires without its command, which cannot be run.
    TimerGivenUp { actor: ActorAddress, timer: String, reason: String },
    /// A timer stays open and does not fire here, because this build does not know its command.
    TimerUnknown { actor: ActorAddress, timer: String, command: String },
    /// A record with timers was not sent, because no wake could be written for it.
    NoWake { actor: ActorAddress, reason: String },
}

/// What has been done since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) commands: u64,
    pub(crate) commits: u64,
    pub(crate) conflicts: u64,
    /// Commands answered `Busy`, by why.
    pub(crate) busy_mailbox: u64,
    pub(crate) busy_shard: u64,
    pub(crate) busy_node: u64,
    pub(crate) busy_load: u64,
    pub(crate) poisoned: u64,
    pub(crate) quarantined: u64,
    pub(crate) snapshots_saved: u64,
    pub(crate) snapshots_failed: u64,
    pub(crate) snapshots_used: u64,
    pub(crate) warm_used: u64,
    pub(crate) warm_left_out: u64,
    pub(crate) fired: u64,
    pub(crate) late_millis: u64,
}

//! What the control plane is told and what it answers: its configuration, inputs, effects and notes, all of them data.
//!
//! Nothing is decided here; [`machine`](super::machine) does that.

use std::sync::Arc;

use aether_domain::cluster::{ClusterSettings, NodeInfo};
use aether_domain::orders::Asked;
use aether_domain::ports::{ControlUpdate, Expected, LogUpdate};
use aether_domain::records::{ControlKey, ControlRecord, Entry, Format, Health, Load, StoredEntry, StoredRecord};
use aether_domain::timing::Profile;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Monotonic, NodeRef, Nonce, Revision, Sequence, ShardId, Term};

use super::catch_up::PassedOver;
use super::fault::{Fault, OnRegression};
use crate::coordinator::append::AppendResult;
use crate::coordinator::strategies::Strategies;

/// What a node's control plane is told once.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// The cluster's timers.
    pub profile: Profile,
    /// What a cluster founded by this node is founded with, and what an existing one must have.
    pub settings: ClusterSettings,
    /// What this node is like; its weight is at least 1.
    pub info: NodeInfo,
    /// Where its admin pages are; empty if nowhere.
    pub admin_url: String,
    /// The build, for people.
    pub build: String,
    /// What this process's supervisor knows it by, if it has one.
    pub supervisor: Option<Nonce>,
    /// The newest format that this node reads, and lets the cluster write.
    pub reads: Format,
    /// What to do once a store has surely lost what it had acknowledged.
    pub on_regression: OnRegression,
    /// The placement strategies that this node knows.
    pub strategies: Strategies,
    /// Every how many entries a leader keeps a snapshot of the fold, at least 1: [`SNAPSHOT_EVERY`], but for tests.
    pub snapshot_every: u64,
}

/// Every how many entries a leader keeps a snapshot of the fold.
pub const SNAPSHOT_EVERY: u64 = 256;

/// Names one operation, so that its answer finds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// How a control write went, as the machines see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Stored at that revision.
    Ok(Revision),
    /// Nothing of this attempt was stored.
    Conflict {
        /// The revision found, where the store named it.
        actual: Option<Revision>,
    },
    /// It may be stored now, later, or never.
    Unknown,
    /// Certainly not stored.
    Unavailable,
}

/// What the machine is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The control store's watch said something.
    Control(ControlUpdate),
    /// The log's follower said something.
    Log(LogUpdate),
    /// The fold up to an entry that the log was seen to hold: what comes first of the log begins behind it.
    Snapshot(Arc<Topology>),
    /// A snapshot was passed over; the log comes from its start.
    SnapshotPassedOver(PassedOver),
    /// Everything that was in the log when this node started has been told.
    LogCaughtUp,
    /// An [`Effect::Write`] was answered.
    Written {
        /// Which.
        token: Token,
        /// How it went.
        outcome: WriteOutcome,
    },
    /// An [`Effect::ReadBack`] was answered.
    ReadBack {
        /// Which.
        token: Token,
        /// What was there: nothing, if there was nothing or the read failed.
        found: Option<StoredRecord>,
    },
    /// An [`Effect::ReadBack`] met something that cannot be understood.
    Spoiled {
        /// Which.
        token: Token,
        /// Where it lies.
        revision: Revision,
    },
    /// An [`Effect::Append`] was answered.
    Appended {
        /// Which.
        token: Token,
        /// How it went.
        outcome: AppendResult,
    },
    /// An [`Effect::ReadLog`] was answered; `None` if it failed.
    LogRead {
        /// Which.
        token: Token,
        /// What was behind the position asked for; empty at the tail.
        entries: Option<Vec<StoredEntry>>,
    },
    /// Something sent to that life met nobody.
    Unreachable(NodeRef),
    /// The shards' host has released a shard.
    Released(ShardId, Epoch),
    /// What this node carries now, and how well it is.
    Carries(Load, Health),
    /// What each shard costs this node, by shard, whether it has it or not: see
    /// [`MemberRecord::shard_loads`](aether_domain::records::MemberRecord::shard_loads).
    Costs(Vec<u32>),
    /// Leave the cluster in good order: nobody waits for an answer through this node any more.
    Leave,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write a control record; answer with [`Input::Written`].
    Write {
        /// Names it.
        token: Token,
        /// What.
        record: ControlRecord,
        /// Over what.
        expected: Expected,
    },
    /// Read a control record; answer with [`Input::ReadBack`], or with [`Input::Spoiled`].
    ReadBack {
        /// Names it.
        token: Token,
        /// Which.
        key: ControlKey,
    },
    /// Append to the log; answer with [`Input::Appended`].
    Append {
        /// Names it.
        token: Token,
        /// What.
        entry: Entry,
        /// Behind what.
        after: Sequence,
    },
    /// Read the log behind a position; answer with [`Input::LogRead`].
    ReadLog {
        /// Names it.
        token: Token,
        /// Behind what.
        after: Sequence,
    },
    /// Send something to that life: whether anybody is there comes back as [`Input::Unreachable`], or not at all.
    Probe {
        /// Whom.
        node: NodeRef,
    },
    /// The topology has changed: tell the data plane.
    Publish,
    /// This life may answer from memory until then.
    ServeUntil(Monotonic),
    /// This life may not answer from memory any more, ever.
    EndServing,
    /// From here on this node lives a new life: listen under it, and forget the old one's asks.
    NewLife {
        /// The new life.
        me: NodeRef,
    },
    /// Forget what the stores have told, and tell everything again: the watch and the log, each from its beginning.
    TellAgain,
    /// Others want this node to leave: answer the clients that have asked through it, then say [`Input::Leave`].
    Leave,
    /// The node is to end.
    Stop(StopReason),
    /// Something worth a line in the log, and perhaps a counter.
    Note(Note),
}

/// Why a node ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It has left in good order.
    Left,
    /// It asked to leave and nobody let it go in time.
    LeftUnasked,
    /// A part of it that it cannot be without ended by itself, by a bug. To the others it looks like a crash.
    PartEnded {
        /// Which part.
        part: &'static str,
    },
    /// Another process lives under its node id.
    NodeIdInUse {
        /// Which life.
        by: NodeRef,
    },
    /// It cannot read the log, and has told nobody of itself yet: a newer build has written there, or it is damaged.
    LogUnreadable {
        /// Where, and what is wrong with it.
        why: String,
    },
    /// The cluster in the log was founded with other settings than this node is configured with.
    SettingsDiffer {
        /// What the log says.
        found: ClusterSettings,
        /// What this node says.
        configured: ClusterSettings,
    },
}

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An entry was applied.
    Applied {
        /// Its epoch.
        epoch: Epoch,
        /// Its cause.
        cause: String,
        /// Its events' names.
        events: Vec<&'static str>,
    },
    /// The log says that this life is a member.
    Member {
        /// Who.
        me: NodeRef,
        /// As of which epoch.
        epoch: Epoch,
    },
    /// This node leads.
    Elected {
        /// In which term.
        term: Term,
    },
    /// The lease was renewed.
    Renewed {
        /// When the renewal was sent.
        sent: Monotonic,
    },
    /// This node leads no more.
    SteppedDown {
        /// The term it led in.
        term: Term,
        /// Why.
        why: &'static str,
    },
    /// This node led, and an operator asked it not to.
    AskedToStepDown {
        /// The term it led in.
        term: Term,
        /// Who asks, and why.
        asked: Asked,
    },
    /// This node is to hand over and leave, and it was not its own process that was told so.
    AskedToLeave {
        /// Who asks, and why.
        asked: Asked,
    },
    /// A life has been silent for too long; its fence is on its way.
    Suspected {
        /// Which.
        node: NodeRef,
    },
    /// A life was fenced.
    Fenced {
        /// Which.
        node: NodeRef,
    },
    /// This node's own life was ended by others.
    LifeOver {
        /// Which.
        node: NodeRef,
    },
    /// What the leader meant to write was refused by its own rules; nothing was written.
    Refused {
        /// By which rule.
        reason: String,
    },
    /// The placement that an operator wants cannot be adopted by this leader: the cluster goes by what it had.
    PlacementNotAdopted {
        /// The record that asks for it.
        revision: Revision,
        /// Why, in words.
        why: String,
    },
    /// A control record cannot be understood; nothing was applied.
    CorruptRecord {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// This node begins with the fold up to that entry instead of reading everything before it.
    BeganFrom {
        /// The entry's epoch.
        epoch: Epoch,
    },
    /// A snapshot was passed over, and the log is read from its start: nothing is lost but time.
    SnapshotPassedOver {
        /// Why.
        why: PassedOver,
    },
    /// A snapshot of the fold was stored.
    SnapshotStored {
        /// Of which epoch.
        epoch: Epoch,
    },
    /// A snapshot of the fold was not stored, for all that is known; the next one comes.
    SnapshotNotStored {
        /// Of which epoch.
        epoch: Epoch,
        /// How that went.
        outcome: WriteOutcome,
    },
    /// A node's map of shards is not this leader's at the same entry: a person should look.
    MapDiffers {
        /// Whose.
        node: NodeRef,
        /// At which entry.
        epoch: Epoch,
    },
    /// A store has lost what it had acknowledged, and this node goes on with what is left: a person should look.
    RegressionAccepted {
        /// What was found.
        fault: Fault,
        /// The last entry that this node had applied.
        had: Epoch,
    },
    /// This node cannot go on serving: a person should look.
    Fault {
        /// What is wrong.
        fault: Fault,
    },
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It waits to be taken in.
    Joining,
    /// It serves.
    Active,
    /// It is a member, and its serve lease is over: it keeps everything and answers nothing from memory.
    Paused,
    /// It hands its shards over.
    Draining,
    /// It has found something wrong and serves nothing until a person has looked.
    Faulty,
    /// It has ended.
    Stopped,
}

impl Phase {
    /// The phase's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Faulty => "faulty",
            Self::Stopped => "stopped",
        }
    }
}

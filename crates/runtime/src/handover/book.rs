//! What people see of moves: how far each shard's is, as this node knows it as its source or destination.
//!
//! Nothing is decided by it. Authoritative are the log's entries alone: what was asked to be released, and who has what.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use aether_domain::records::WarmActor;
use aether_domain::{ActorKey, Epoch, Monotonic, NodeRef, ShardId, Version, WallTime};

use super::bounds::{ACTORS_LISTED_MAX, MOVES_LISTED_MAX};
use crate::spread::Spread;

/// On which side of a move this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveRole {
    /// It gives the shard away.
    Source,
    /// It gets the shard.
    Destination,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MovePhase {
    /// Its commands wait at their senders.
    Paused,
    /// Every actor that was in memory is at rest and written down.
    Captured,
    /// All of that has been sent.
    Sent,
    /// All of that has been acknowledged, or the source waits for that no longer.
    Acknowledged,
    /// The shard is the destination's.
    Completed,
    /// The shard stays where it was, or went to somebody else.
    Failed,
}

impl MovePhase {
    /// Every phase, in order.
    pub const ALL: [Self; 6] =
        [Self::Paused, Self::Captured, Self::Sent, Self::Acknowledged, Self::Completed, Self::Failed];

    /// Its name, as people and dashboards read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Captured => "captured",
            Self::Sent => "sent",
            Self::Acknowledged => "acknowledged",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// When a move reached a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub phase: MovePhase,
    /// When, for people.
    pub at: WallTime,
    /// How long after the move began at this node.
    pub after: Duration,
}

/// An actor that follows its shard, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorMoved {
    /// Whom.
    pub actor: ActorKey,
    /// Its version as it was captured.
    pub version: Version,
    /// How far it is: of the source [`MovePhase::Captured`], [`MovePhase::Sent`], [`MovePhase::Acknowledged`], or
    /// [`MovePhase::Failed`] if the destination would not have it; of the destination [`MovePhase::Acknowledged`] or, once its
    /// shard has it, [`MovePhase::Completed`].
    pub phase: MovePhase,
}

/// One move, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveStatus {
    /// Which shard.
    pub shard: ShardId,
    /// The entry that asked for it to be released.
    pub drain_epoch: Epoch,
    /// On which side this node is.
    pub role: MoveRole,
    /// Who is on the other side.
    pub peer: NodeRef,
    /// Each phase that it has reached, in order; the last one is where it is.
    pub reached: Vec<Reached>,
    /// How many actors were captured, or have arrived.
    pub actors: usize,
    /// Their bytes, nearly.
    pub bytes: usize,
    /// How many parts were sent again.
    pub retries: u32,
    /// The first actors of it, at most 64.
    pub listed: Vec<ActorMoved>,
    pub(super) began: Monotonic,
}

impl MoveStatus {
    /// Where it is.
    pub fn phase(&self) -> MovePhase {
        self.reached.last().map_or(MovePhase::Paused, |reached| reached.phase)
    }

    /// How long it has been in each phase that is over.
    pub fn durations(&self) -> impl Iterator<Item = (MovePhase, Duration)> {
        let pairs = self.reached.iter().zip(self.reached.iter().skip(1));
        pairs.map(|(this, next)| (this.phase, next.after.saturating_sub(this.after)))
    }
}

/// What has been handed over since this node began, and what is kept now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandoverStats {
    /// Moves from this node that ended with the shard at its destination.
    pub completed: u64,
    /// Moves from this node that ended otherwise.
    pub failed: u64,
    /// Actors acknowledged by their destinations.
    pub acknowledged: u64,
    /// Actors that destinations would not have, did not acknowledge, or for which there was no room here.
    pub left_out: u64,
    /// Parts sent again.
    pub retries: u64,
    /// Actors that came from other nodes and were given to their shards.
    pub arrived: u64,
    /// Actors that came from other nodes and were forgotten or refused.
    pub refused: u64,
    /// Actors given back to their shard because its move was cancelled.
    pub given_back: u64,
    /// Bytes kept now of actors whose shards leave or arrive.
    pub held_bytes: usize,
    /// Of moves from this node that are over: how long they were in each phase that is no end, in the order of
    /// [`MovePhase::ALL`].
    pub phases: [Spread; 4],
    /// Of moves from this node that are completed: how long the shard was paused.
    pub paused: Spread,
}

/// The moves of a node.
#[derive(Debug, Default)]
pub(super) struct Book {
    moves: VecDeque<MoveStatus>,
    pub(super) stats: HandoverStats,
}

/// When something happens: what is decided with, and what people read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Monotonic,
    pub(crate) wall: WallTime,
}

impl Book {
    /// A move is new to this node.
    pub(super) fn begin(&mut self, now: Now, shard: ShardId, drain_epoch: Epoch, role: MoveRole, peer: NodeRef) {
        if self.moves.len() == MOVES_LISTED_MAX {
            self.moves.pop_front();
        }
        let first = Reached { phase: MovePhase::Paused, at: now.wall, after: Duration::ZERO };
        self.moves.push_back(MoveStatus {
            shard,
            drain_epoch,
            role,
            peer,
            reached: vec![first],
            actors: 0,
            bytes: 0,
            retries: 0,
            listed: Vec::new(),
            began: now.at,
        });
    }

    pub(super) fn find(&mut self, shard: ShardId, drain_epoch: Epoch) -> Option<&mut MoveStatus> {
        self.moves.iter_mut().rev().find(|moved| (moved.shard, moved.drain_epoch) == (shard, drain_epoch))
    }

    /// Actors were captured, or have arrived: after so many others.
    pub(super) fn list(
        &mut self,
        shard: ShardId,
        drain_epoch: Epoch,
        actors: &[WarmActor],
        bytes: usize,
        phase: MovePhase,
    ) -> usize {
        let Some(moved) = self.find(shard, drain_epoch) else { return 0 };
        let before = moved.actors;
        moved.actors += actors.len();
        moved.bytes += bytes;
        let room = ACTORS_LISTED_MAX.saturating_sub(moved.listed.len());
        moved.listed.extend(actors.iter().take(room).map(|warm| ActorMoved {
            actor: warm.actor.key.clone(),
            version: warm.snapshot.version,
            phase,
        }));
        before
    }

    /// Of the actors that were captured, in that order, those at these places are so far.
    pub(super) fn mark(&mut self, shard: ShardId, drain_epoch: Epoch, places: Range<usize>, phase: MovePhase) {
        let Some(moved) = self.find(shard, drain_epoch) else { return };
        let many = moved.listed.len();
        for listed in &mut moved.listed[places.start.min(many)..places.end.min(many)] {
            listed.phase = phase;
        }
    }

    /// A part was sent again.
    pub(super) fn retry(&mut self, shard: ShardId, drain_epoch: Epoch) {
        self.stats.retries += 1;
        if let Some(moved) = self.find(shard, drain_epoch) {
            moved.retries += 1;
        }
    }

    /// A move is so far, unless it was farther.
    pub(super) fn reach(&mut self, now: Now, shard: ShardId, drain_epoch: Epoch, phase: MovePhase) {
        let Some(moved) = self.find(shard, drain_epoch) else { return };
        if moved.phase() >= phase || moved.phase().is_end() {
            return;
        }
        let after = now.at.since(moved.began);
        moved.reached.push(Reached { phase, at: now.wall, after });
        if !phase.is_end() {
            return;
        }
        if moved.role == MoveRole::Destination {
            for listed in &mut moved.listed {
                listed.phase = phase;
            }
            return;
        }
        let over: Vec<_> = moved.durations().collect();
        for (phase, took) in over {
            if let Some(spread) = self.stats.phases.get_mut(phase as usize) {
                spread.note(took);
            }
        }
        if phase == MovePhase::Completed {
            self.stats.completed += 1;
            self.stats.paused.note(after);
        } else {
            self.stats.failed += 1;
        }
    }

    /// Every move that is remembered, the latest first.
    pub(super) fn moves(&self) -> Vec<MoveStatus> {
        self.moves.iter().rev().cloned().collect()
    }
}

//! `GET /v1/moves/{n}`, and what `/v1/moves` says of the moves that this node has a part in.
//!
//! The log alone says who owns what, and which shards are asked for. How far a move between two such entries is, only its
//! source and its destination know.

use std::time::Duration;

use aether_domain::ShardId;
use aether_runtime::handover::{MovePhase, MoveRole, MoveStatus};
use serde::{Deserialize, Serialize};

use super::picture::Picture;

/// A move of one shard, as its source or its destination knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMoveView {
    /// Which shard.
    pub shard: u16,
    /// The entry that asked for it to be released.
    pub drain_epoch: u64,
    /// Whose it was, and which life of it, if that is this node or known to it.
    pub from: String,
    /// Whose it is to be.
    pub to: String,
    /// `source` or `destination`: what this node is.
    pub role: String,
    /// Where it is: `paused`, `captured`, `sent`, `acknowledged`, `completed` or `failed`.
    pub phase: String,
    /// Each phase that it has reached, in order.
    pub reached: Vec<ReachedView>,
    /// Actors that follow it, or have.
    pub actors: usize,
    /// Their bytes, nearly.
    pub bytes: usize,
    /// Parts that were sent again.
    pub retries: u32,
}

/// When a move reached a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachedView {
    /// Which.
    pub phase: String,
    /// When, for people.
    pub at_ms: u64,
    /// How long after the move began here.
    pub after_us: u64,
}

/// `GET /v1/moves/{n}`: the moves of one shard that this node had a part in, the latest first, each with its actors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovesOfShardView {
    /// The last entry applied.
    pub epoch: u64,
    /// Each move.
    pub moves: Vec<MoveWithActors>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveWithActors {
    /// The shard's part.
    #[serde(flatten)]
    pub of_shard: ShardMoveView,
    /// The first 64 of its actors.
    pub listed: Vec<ActorMoveView>,
}

/// One actor that follows its shard, or has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorMoveView {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its version when it was captured.
    pub version: u64,
    /// Where it is, as of its shard.
    pub phase: String,
}

impl ShardMoveView {
    pub(super) fn of(picture: &Picture, moved: &MoveStatus) -> Self {
        let (me, peer) = (picture.me.to_string(), moved.peer.to_string());
        let (from, to, role) = match moved.role {
            MoveRole::Source => (me, peer, "source"),
            MoveRole::Destination => (peer, me, "destination"),
        };
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let reached = moved.reached.iter().map(|reached| ReachedView {
            phase: reached.phase.name().to_owned(),
            at_ms: reached.at.unix_millis,
            after_us: micros(reached.after),
        });
        Self {
            shard: moved.shard.0,
            drain_epoch: moved.drain_epoch.0,
            from,
            to,
            role: role.to_owned(),
            phase: name(moved.phase()),
            reached: reached.collect(),
            actors: moved.actors,
            bytes: moved.bytes,
            retries: moved.retries,
        }
    }
}

impl MovesOfShardView {
    pub(super) fn of(picture: &Picture, shard: ShardId) -> Self {
        let of_it = picture.moves.iter().filter(|moved| moved.shard == shard);
        let moves = of_it.map(|moved| MoveWithActors {
            of_shard: ShardMoveView::of(picture, moved),
            listed: moved
                .listed
                .iter()
                .map(|listed| ActorMoveView {
                    kind: listed.actor.kind.to_string(),
                    id: listed.actor.id.to_string(),
                    version: listed.version.0,
                    phase: name(listed.phase),
                })
                .collect(),
        });
        Self { epoch: picture.topology.epoch().0, moves: moves.collect() }
    }
}

fn name(phase: MovePhase) -> String {
    phase.name().to_owned()
}

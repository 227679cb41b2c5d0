//! Warm actors on their way to the next owner of their shard, and what becomes of them: two of the frames.

use std::sync::Arc;

use aether_domain::ports::{WarmFrame, WarmTakenFrame, WarmVerdict};
use aether_domain::records::WarmActor;
use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, Epoch, InvalidId, ShardId, Slot};
use wincode::{SchemaRead, SchemaWrite};

use super::actor_snapshot::ActorSnapshotB1;

#[derive(SchemaWrite, SchemaRead)]
pub(super) struct WarmB1<'a> {
    shard: u16,
    drain_epoch: u64,
    chunk: u32,
    actors: Vec<WarmActorB1<'a>>,
}

#[derive(SchemaWrite, SchemaRead)]
struct WarmActorB1<'a> {
    kind: &'a str,
    id: &'a str,
    slot: u16,
    snapshot: ActorSnapshotB1<'a>,
    grown_events: u32,
    grown_bytes: u32,
}

const _: () = super::envelope::paid::<WarmActorB1<'_>>(15);

#[derive(SchemaWrite, SchemaRead)]
pub(super) struct WarmTakenB1 {
    shard: u16,
    drain_epoch: u64,
    chunk: u32,
    verdict: VerdictB1,
}

#[derive(SchemaWrite, SchemaRead)]
enum VerdictB1 {
    Taken,
    NoRoom,
    Unwanted,
}

impl<'a> From<&'a WarmFrame> for WarmB1<'a> {
    fn from(frame: &'a WarmFrame) -> Self {
        let actor = |warm: &'a WarmActor| WarmActorB1 {
            kind: warm.actor.key.kind.as_str(),
            id: warm.actor.key.id.as_str(),
            slot: warm.actor.slot.0,
            snapshot: ActorSnapshotB1::from(&warm.snapshot),
            grown_events: warm.grown_events,
            grown_bytes: warm.grown_bytes,
        };
        Self {
            shard: frame.shard.0,
            drain_epoch: frame.drain_epoch.0,
            chunk: frame.chunk,
            actors: frame.actors.iter().map(actor).collect(),
        }
    }
}

impl TryFrom<WarmB1<'_>> for WarmFrame {
    type Error = InvalidId;
    fn try_from(dto: WarmB1<'_>) -> Result<Self, InvalidId> {
        let actor = |warm: WarmActorB1<'_>| {
            let key = ActorKey { kind: ActorKind::new(warm.kind)?, id: ActorId::new(warm.id)? };
            Ok(WarmActor {
                actor: ActorAddress { key, slot: Slot(warm.slot) },
                snapshot: warm.snapshot.into(),
                grown_events: warm.grown_events,
                grown_bytes: warm.grown_bytes,
            })
        };
        Ok(Self {
            shard: ShardId(dto.shard),
            drain_epoch: Epoch(dto.drain_epoch),
            chunk: dto.chunk,
            actors: Arc::new(dto.actors.into_iter().map(actor).collect::<Result<_, InvalidId>>()?),
        })
    }
}

impl From<WarmTakenFrame> for WarmTakenB1 {
    fn from(frame: WarmTakenFrame) -> Self {
        Self {
            shard: frame.shard.0,
            drain_epoch: frame.drain_epoch.0,
            chunk: frame.chunk,
            verdict: match frame.verdict {
                WarmVerdict::Taken => VerdictB1::Taken,
                WarmVerdict::NoRoom => VerdictB1::NoRoom,
                WarmVerdict::Unwanted => VerdictB1::Unwanted,
            },
        }
    }
}

impl From<WarmTakenB1> for WarmTakenFrame {
    fn from(dto: WarmTakenB1) -> Self {
        Self {
            shard: ShardId(dto.shard),
            drain_epoch: Epoch(dto.drain_epoch),
            chunk: dto.chunk,
            verdict: match dto.verdict {
                VerdictB1::Taken => WarmVerdict::Taken,
                VerdictB1::NoRoom => WarmVerdict::NoRoom,
                VerdictB1::Unwanted => WarmVerdict::Unwanted,
            },
        }
    }
}

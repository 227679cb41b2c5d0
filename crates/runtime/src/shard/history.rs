//! From a stored history to an actor in memory, or to the reason why there can be none.

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::records::{Position, StoredCommit};
use aether_domain::{ActorId, Epoch, Sequence};

use super::remembered::Remembered;
use crate::actor::{Instance, Kind, Replay};

/// An actor as its history makes it.
pub(super) struct Replayed {
    pub(super) instance: Box<dyn Instance>,
    pub(super) tail: Position,
    pub(super) remembered: Remembered,
}

/// Why a history makes no actor here and now.
pub(super) enum Refused {
    /// A record was written under a later epoch than this shard is owned under: it is owned by somebody else now.
    Stale(Epoch),
    /// It does not reach as far as is known: the read was stale.
    Short,
    /// It is not what it must be.
    Quarantine(String),
    /// It makes the actor panic.
    Panicked(String),
}

/// Replays `commits`, the whole history, for an owner under `epoch` that knows of `known` from an acknowledgement.
pub(super) fn replay(
    kind: &dyn Kind,
    id: &ActorId,
    epoch: Epoch,
    known: Position,
    commits: &[StoredCommit],
) -> Result<Replayed, Refused> {
    let corrupt = |at: Sequence, what: String| Refused::Quarantine(format!("corrupt history at {at}: {what}"));
    let later = commits.iter().map(|commit| commit.record.shard_epoch).find(|found| *found > epoch);
    if let Some(later) = later.filter(|_| !is_on(Mutant::LoadsAnyway)) {
        return Err(Refused::Stale(later));
    }
    let mut instance = kind.instance(id).map_err(Refused::Quarantine)?;
    let mut remembered = Remembered::default();
    let (mut tail, mut written_under) = (Position::default(), Epoch::ZERO);
    let mut met_known = known.sequence == Sequence::ZERO;
    for StoredCommit { record, at } in commits {
        if (record.prev_sequence, record.prev_hash) != (tail.sequence, tail.hash) || at.sequence <= tail.sequence {
            let (before, after) = (tail.sequence, record.prev_sequence);
            return Err(corrupt(at.sequence, format!("it follows {after}, but the record before is {before}")));
        }
        if record.base != instance.version() {
            let (base, version) = (record.base, instance.version());
            return Err(corrupt(
                at.sequence,
                format!("it is based on version {base}, but {version} events are before"),
            ));
        }
        if record.shard_epoch < written_under {
            let found = record.shard_epoch;
            return Err(corrupt(at.sequence, format!("its shard epoch {found} is below {written_under} before it")));
        }
        if at.sequence == known.sequence {
            if at.hash != known.hash {
                return Err(Refused::Quarantine(format!("history regressed: {} is another record now", at.sequence)));
            }
            met_known = true;
        }
        instance.replay(record).map_err(|fault| match fault {
            Replay::Unreadable(reason) => corrupt(at.sequence, reason),
            Replay::Panicked(reason) => Refused::Panicked(reason),
        })?;
        for mark in &record.commands {
            remembered.note(mark, record.codec);
        }
        (tail, written_under) = (*at, record.shard_epoch);
    }
    if tail.sequence < known.sequence {
        return Err(Refused::Short);
    }
    if !met_known {
        let known = known.sequence;
        return Err(Refused::Quarantine(format!("history regressed: the acknowledged record {known} is gone")));
    }
    Ok(Replayed { instance, tail, remembered })
}

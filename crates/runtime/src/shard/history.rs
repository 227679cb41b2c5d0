//! From a stored history to an actor in memory, or to the reason why there can be none.

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::records::{Head, Position, StoredCommit};
use aether_domain::{ActorId, Epoch, Sequence};

use super::input::Found;
use super::remembered::{Lives, Remembered};
use super::snapshots::Growth;
use crate::actor::{Instance, Kind, Replay};

/// An actor as its history makes it.
pub(super) struct Replayed {
    pub(super) instance: Box<dyn Instance>,
    pub(super) tail: Position,
    pub(super) remembered: Remembered,
    /// What the history has grown by since the snapshot.
    pub(super) growth: Growth,
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

/// Replays what was found of a history, for an owner under `epoch` that believes `lives` and knows of `known` from an
/// acknowledgement.
///
/// Without a snapshot that is the whole history. With one, the history must hold the very commit that it ends with, and go
/// on from there: what is wrong then may be wrong with the snapshot alone. A history of nothing leaves the snapshot to
/// itself: whoever has lost what was acknowledged convicts himself at the next append.
pub(super) fn replay(
    kind: &dyn Kind,
    id: &ActorId,
    epoch: Epoch,
    lives: &Lives,
    known: Position,
    Found { snapshot, commits }: &Found,
) -> Result<Replayed, Refused> {
    let corrupt = |at: Sequence, what: String| Refused::Quarantine(format!("corrupt history at {at}: {what}"));
    // Where there are commits, the snapshot's own is the first of them, and the more to be believed.
    let alone = snapshot.iter().filter(|_| commits.is_empty()).map(|snapshot| snapshot.shard_epoch);
    let mut written = alone.chain(commits.iter().map(|commit| commit.record.shard_epoch));
    let later = written.find(|found| *found > epoch);
    if let Some(later) = later.filter(|_| !is_on(Mutant::LoadsAnyway)) {
        return Err(Refused::Stale(later));
    }
    let (instance, mut remembered, mut head) = match snapshot {
        None => (kind.instance(id), Remembered::default(), Head::default()),
        Some(snapshot) => (kind.revive(id, snapshot), Remembered::of(snapshot, lives), snapshot.head()),
    };
    let mut instance = instance.map_err(Refused::Quarantine)?;
    let mut growth = Growth::default();
    let mut met_known = known.sequence == Sequence::ZERO || head.at == known;
    let mut commits = commits.iter();
    if snapshot.is_some()
        && let Some(last) = commits.next()
        && last.head() != head
    {
        return Err(corrupt(last.at.sequence, format!("a snapshot says otherwise of {}", head.at.sequence)));
    }
    for commit in commits {
        let StoredCommit { record, at } = commit;
        head = head.follow(commit).map_err(|broken| corrupt(at.sequence, broken.to_string()))?;
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
            remembered.note(mark, record.codec, lives);
        }
        growth = growth.with(record);
    }
    if head.at.sequence < known.sequence {
        return Err(Refused::Short);
    }
    if !met_known {
        let known = known.sequence;
        return Err(Refused::Quarantine(format!("history regressed: the acknowledged record {known} is gone")));
    }
    Ok(Replayed { instance, tail: head.at, remembered, growth })
}

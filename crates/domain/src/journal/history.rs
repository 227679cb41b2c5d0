//! A stored history, checked as it is read.

use crate::ids::{Sequence, Version};
use crate::ports::ReadError;
use crate::records::{ActorSnapshot, Broken, EventRecord, Head, PayloadCodec, StoredCommit};
use crate::time::WallTime;

/// A stream as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What to begin with; nothing, if the events are all there are from the version asked for.
    pub snapshot: Option<ActorSnapshot>,
    /// The events behind it, in order.
    pub events: Vec<Recorded>,
    /// Where the stream ends.
    pub head: Head,
}

/// One stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Which one of its stream it is, from 1.
    pub version: Version,
    /// The place of the record it is in; events that were stored together share it.
    pub sequence: Sequence,
    /// When it was stored, for people.
    pub at: WallTime,
    /// How it is encoded.
    pub codec: PayloadCodec,
    /// What happened.
    pub event: EventRecord,
}

/// Where `commits` lead from `head`, if each follows the one before.
pub(super) fn walk(mut head: Head, commits: &[StoredCommit]) -> Result<Head, ReadError> {
    for commit in commits {
        let corrupt =
            |broken: Broken| ReadError::Corrupt { sequence: commit.at.sequence.0, reason: broken.to_string() };
        head = head.follow(commit).map_err(corrupt)?;
    }
    Ok(head)
}

/// The events of `commits` behind `version`.
pub(super) fn events(commits: Vec<StoredCommit>, version: Version) -> Vec<Recorded> {
    let each = commits.into_iter().flat_map(|StoredCommit { record, at }| {
        let (base, sequence, codec, stored) = (record.base.0, at.sequence, record.codec, record.at);
        (base + 1..).zip(record.events).map(move |(nth, event)| Recorded {
            version: Version(nth),
            sequence,
            at: stored,
            codec,
            event,
        })
    });
    each.filter(|event| event.version > version).collect()
}

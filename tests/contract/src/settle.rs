//! Writes as every careful caller makes them: an unclear outcome is looked up by its nonce, then tried again unchanged.
//!
//! With three replicas a write may be refused because another is in flight, and streams may be without a leader for a
//! moment. These make the outcome plain, so that the cases can say "one wins" about every backend.

use std::time::Duration;

use aether_domain::WallTime;
use aether_domain::ids::{ActorAddress, Revision, Sequence};
use aether_domain::ports::{
    AppendError, CheckpointStore, ControlStore, EventStore, Expected, TopologyLog, WakeStore, WriteError,
};
use aether_domain::records::{Checkpoint, CommitRecord, ControlRecord, Entry, Position};

/// How often an unclear outcome is tried again: at the pause below, far more than an election takes.
const TRIES_MAX: usize = 2_000;

/// Between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Somebody else was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// Writes until it is certain whether it was written.
pub(crate) async fn write(
    control: &dyn ControlStore,
    record: &ControlRecord,
    expected: Expected,
) -> Result<Revision, Lost> {
    for _ in 0..TRIES_MAX {
        let certain = match control.write(record, expected).await {
            Ok(revision) => return Ok(revision),
            Err(WriteError::Conflict { actual }) => actual.is_some(),
            Err(WriteError::Unknown { .. } | WriteError::Unavailable { .. }) => false,
        };
        if let Ok(Some(found)) = control.read(&record.key()).await
            && found.record.nonce() == record.nonce()
        {
            return Ok(found.revision);
        }
        if certain {
            return Err(Lost);
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    panic!("a write of {:?} stayed unclear for {TRIES_MAX} tries", record.key())
}

/// As [`write`], for a feed's record.
pub(crate) async fn checkpoint(
    store: &dyn CheckpointStore,
    record: &Checkpoint,
    expected: Expected,
) -> Result<Revision, Lost> {
    for _ in 0..TRIES_MAX {
        let certain = match store.write(record, expected).await {
            Ok(revision) => return Ok(revision),
            Err(WriteError::Conflict { actual }) => actual.is_some(),
            Err(WriteError::Unknown { .. } | WriteError::Unavailable { .. }) => false,
        };
        if let Ok(Some(found)) = store.read(&record.feed).await
            && found.checkpoint.nonce == record.nonce
        {
            return Ok(found.revision);
        }
        if certain {
            return Err(Lost);
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    panic!("a write of {}'s checkpoint stayed unclear for {TRIES_MAX} tries", record.feed)
}

/// As [`write`], for an actor's wake. It has no nonce: a time that nobody else of the case sets is its own.
pub(crate) async fn wake(
    store: &dyn WakeStore,
    actor: &ActorAddress,
    at: Option<WallTime>,
    expected: Expected,
) -> Result<Revision, Lost> {
    for _ in 0..TRIES_MAX {
        let certain = match store.set(actor, at, expected).await {
            Ok(revision) => return Ok(revision),
            Err(WriteError::Conflict { actual }) => actual.is_some(),
            Err(WriteError::Unknown { .. } | WriteError::Unavailable { .. }) => false,
        };
        if let Ok(Some(found)) = store.read(actor).await
            && found.at == at
            && found.revision > expected.revision()
        {
            return Ok(found.revision);
        }
        if certain {
            return Err(Lost);
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    panic!("a write of the wake of {} stayed unclear for {TRIES_MAX} tries", actor.key)
}

/// Appends to the log until it is certain whether it was appended.
pub(crate) async fn append(log: &dyn TopologyLog, entry: &Entry, after: Sequence) -> Result<Position, Lost> {
    for _ in 0..TRIES_MAX {
        let certain = match log.append(entry, after).await {
            Ok(at) => return Ok(at),
            Err(error) => certainly_not(error),
        };
        let behind = log.read(after, 16).await.unwrap_or_default();
        if let Some(own) = behind.iter().find(|stored| stored.entry.nonce == entry.nonce) {
            return Ok(own.at);
        }
        if certain {
            return Err(Lost);
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    panic!("an append to the log stayed unclear for {TRIES_MAX} tries")
}

/// Appends to a history until it is certain whether it was appended.
pub(crate) async fn commit(
    events: &dyn EventStore,
    actor: &ActorAddress,
    record: &CommitRecord,
    after: Sequence,
) -> Result<Position, Lost> {
    for _ in 0..TRIES_MAX {
        let certain = match events.append(actor, record, after).await {
            Ok(at) => return Ok(at),
            Err(error) => certainly_not(error),
        };
        let behind = events.read_fresh(actor, after).await.unwrap_or_default();
        if let Some(own) = behind.iter().find(|stored| stored.record.nonce == record.nonce) {
            return Ok(own.at);
        }
        if certain {
            return Err(Lost);
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    panic!("an append to {} stayed unclear for {TRIES_MAX} tries", actor.key)
}

fn certainly_not(error: AppendError) -> bool {
    match error {
        AppendError::Conflict { actual, .. } => actual.is_some(),
        AppendError::Unknown { .. } | AppendError::Unavailable { .. } => false,
        AppendError::TooLarge { bytes, bytes_max } => panic!("a record of {bytes} bytes, {bytes_max} allowed"),
    }
}

//! Appending: one record, one compare-and-set, and what became of it.

use super::{Draft, Head, Journal, history};
use crate::ids::{ActorAddress, Epoch, Version};
use crate::ports::{AppendError, BoxError, ReadError};
use crate::records::{CommitRecord, EventRecord, Position, StoredCommit};

/// How often one record is sent, and looked for, before its outcome is left to the caller. Each try waits as long as the
/// adapter's own time-out.
const TRIES_MAX: usize = 8;

/// Why events were not appended, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum AppendFailed {
    /// The stream is at another version than the caller named: nothing of these events is stored, nor will be. If it is
    /// further, somebody appended first: load and decide again. If it is not as far, the caller named a version that there has
    /// never been.
    #[error("the stream is at version {actual}, expected {expected}")]
    Conflict {
        /// The version the caller named.
        expected: Version,
        /// The version it is at.
        actual: Version,
    },
    /// Sent, and nobody has said what became of it: they may be stored now, later or never. Keep the doubt and
    /// [settle](Journal::settle) it; do not append them anew before.
    #[error("sent, outcome unknown: settle it before anything else")]
    Unresolved(Box<Doubt>),
    /// Certainly not stored: the store cannot be reached, has no leader now, or is full. Try again later.
    #[error("store unavailable")]
    Unavailable {
        /// Why.
        #[source]
        cause: BoxError,
    },
    /// Certainly not stored: the history belongs to an actor of a cluster. Ask the actor.
    #[error("the history belongs to an actor of a cluster, under shard epoch {epoch}: ask the actor")]
    Owned {
        /// What its last record is fenced with.
        epoch: Epoch,
    },
    /// Certainly not stored, and trying again cannot help.
    #[error("cannot be stored: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// Certainly not stored: the history is not what it must be. A person should look.
    #[error("the stream's history is damaged at {sequence}: {reason}")]
    Corrupt {
        /// Where.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Events that were sent and may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "whether its events are stored is found out by settling it"]
pub struct Doubt {
    stream: ActorAddress,
    record: CommitRecord,
}

impl Doubt {
    /// Whose stream it is.
    pub fn stream(&self) -> &ActorAddress {
        &self.stream
    }
    /// What was to be stored.
    pub fn events(&self) -> &[EventRecord] {
        &self.record.events
    }
}

impl Journal {
    /// Appends the events of `draft` if the stream is at version `expected`, and answers where it is then.
    ///
    /// Events stored together are never seen apart. If the future is dropped before it is done, they may be stored.
    ///
    /// # Errors
    /// [`AppendFailed`], which says whether they may be stored.
    pub async fn append(&self, stream: &ActorAddress, expected: Version, draft: Draft) -> Result<Head, AppendFailed> {
        check(&draft)?;
        let head = match self.versions.head(stream) {
            Some(known) if known.version == expected => known,
            // A stream that is not known is most likely new: then nothing needs to be read.
            None if expected == Version::ZERO => Head::default(),
            _ => self.head(stream).await?,
        };
        if head.shard_epoch > Epoch::ZERO {
            return Err(AppendFailed::Owned { epoch: head.shard_epoch });
        }
        if head.version != expected {
            return Err(AppendFailed::Conflict { expected, actual: head.version });
        }
        let record = CommitRecord {
            shard_epoch: Epoch::ZERO,
            owner: self.writer,
            nonce: self.nonces.next(),
            base: head.version,
            prev_sequence: head.at.sequence,
            prev_hash: head.at.hash,
            at: draft.at,
            codec: draft.codec,
            commands: Vec::new(),
            events: draft.events,
            timers: Vec::new(),
        };
        self.write(Doubt { stream: stream.clone(), record }, false).await
    }

    /// Finds out what became of events that were sent: stored (where the stream was right behind them), or not and never
    /// to be ([`AppendFailed::Conflict`]).
    ///
    /// # Errors
    /// [`AppendFailed`]; [`AppendFailed::Unresolved`] if it cannot be found out yet.
    pub async fn settle(&self, doubt: Doubt) -> Result<Head, AppendFailed> {
        self.write(doubt, true).await
    }

    async fn write(&self, doubt: Doubt, mut sent: bool) -> Result<Head, AppendFailed> {
        let failed = match self.try_to_write(&doubt, &mut sent).await {
            // It says what became of it. Anything else says only what became of the last try.
            Ok(head) => return Ok(head),
            Err(known @ (AppendFailed::Conflict { .. } | AppendFailed::Owned { .. })) => return Err(known),
            Err(failed) => failed,
        };
        Err(if sent { AppendFailed::Unresolved(Box::new(doubt)) } else { failed })
    }

    async fn try_to_write(&self, doubt: &Doubt, sent: &mut bool) -> Result<Head, AppendFailed> {
        let Doubt { stream, record } = doubt;
        let after = record.prev_sequence;
        let mut last: BoxError = "others are writing to the stream all the time".into();
        for _ in 0..TRIES_MAX {
            match self.events.append(stream, record, after).await {
                Ok(at) => return Ok(self.stored(stream, record, at)),
                Err(AppendError::Unknown { cause }) => (*sent, last) = (true, cause),
                Err(AppendError::Conflict { actual: Some(actual), .. }) if actual < after => {
                    let reason = format!("history regressed: it ends at {actual}, {after} was acknowledged");
                    return Err(AppendFailed::Corrupt { sequence: after.0, reason });
                }
                Err(AppendError::Conflict { .. }) => {}
                Err(AppendError::Unavailable { cause }) => return Err(AppendFailed::Unavailable { cause }),
                Err(AppendError::TooLarge { bytes, bytes_max }) => {
                    let reason = format!("a record of {bytes} bytes exceeds the bound of {bytes_max}");
                    return Err(AppendFailed::Invalid { reason });
                }
            }
            let behind = self.events.read_fresh(stream, after).await?;
            let at = Position { sequence: after, hash: record.prev_hash };
            let head = history::walk(Head { version: record.base, at, shard_epoch: record.shard_epoch }, &behind)?;
            self.versions.note(stream, head);
            let own =
                |commit: &&StoredCommit| (commit.record.nonce, commit.record.owner) == (record.nonce, record.owner);
            if let Some(own) = behind.iter().find(own) {
                return Ok(self.stored(stream, record, own.at));
            }
            if head.shard_epoch > Epoch::ZERO {
                return Err(AppendFailed::Owned { epoch: head.shard_epoch });
            }
            if !behind.is_empty() {
                // Another record stands where it would have to be: it can never be stored.
                return Err(AppendFailed::Conflict { expected: record.base, actual: head.version });
            }
        }
        Err(AppendFailed::Unavailable { cause: last })
    }

    fn stored(&self, stream: &ActorAddress, record: &CommitRecord, at: Position) -> Head {
        let head = Head { version: record.version(), at, shard_epoch: record.shard_epoch };
        self.versions.note(stream, head);
        head
    }
}

fn check(draft: &Draft) -> Result<(), AppendFailed> {
    let invalid = |reason: String| Err(AppendFailed::Invalid { reason });
    if draft.events.is_empty() {
        return invalid("there is no event".into());
    }
    for event in &draft.events {
        let (bytes, bytes_max) = (event.name.len(), EventRecord::NAME_BYTES_MAX);
        if bytes > bytes_max {
            return invalid(format!("an event's name of {bytes} bytes exceeds the bound of {bytes_max}"));
        }
        if event.schema == 0 {
            return invalid("an event's schema is 0; schemas begin with 1".into());
        }
    }
    Ok(())
}

impl From<ReadError> for AppendFailed {
    fn from(fault: ReadError) -> Self {
        match fault {
            ReadError::Unavailable { cause } => Self::Unavailable { cause },
            ReadError::Corrupt { sequence, reason } => Self::Corrupt { sequence, reason },
        }
    }
}

//! The topology log: one stream with one subject, so its sequences are contiguous and a gap is damage.

use std::sync::Arc;

use aether_domain::Sequence;
use aether_domain::ports::{AppendError, LogUpdate, ReadError, TopologyLog, Updates};
use aether_domain::records::{Entry, Position, StoredEntry};
use async_nats::HeaderMap;
use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use crate::connection::Connection;
use crate::feed::{Feed, From, Told};
use crate::outcome;
use crate::read::{self, Wanted, checksum_of, unavailable};
use crate::wire::formats::Formats;
use crate::wire::v1::{WireFault, payload_hash};
use crate::wire::{decode_entry, encode_entry};

/// How many entries are asked for at once while the log is read.
const READS_IN_FLIGHT: usize = 64;

/// [`TopologyLog`] on a JetStream stream.
#[derive(Clone, Debug)]
pub(crate) struct NatsTopologyLog {
    connection: Connection,
}

impl NatsTopologyLog {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The log's last sequence, 0 for an empty log.
    async fn tail(&self) -> Result<u64, ReadError> {
        let names = &self.connection.names;
        let subject = names.topology_subject();
        let last = read::get(&self.connection, &names.topology_stream(), Wanted::LastOf(&subject)).await?;
        Ok(last.map_or(0, |message| message.sequence))
    }
}

fn decode(
    sequence: u64,
    headers: Option<&HeaderMap>,
    payload: &[u8],
    formats: &Formats,
) -> Result<StoredEntry, String> {
    let entry = decode_entry(payload, checksum_of(headers), formats.reads()).map_err(|fault| fault.to_string())?;
    formats.met(entry.format);
    Ok(StoredEntry { entry, at: Position { sequence: Sequence(sequence), hash: payload_hash(payload) } })
}

/// What could not be encoded was never sent.
pub(crate) fn not_encoded(fault: WireFault) -> AppendError {
    match fault {
        WireFault::TooLarge { bytes, bytes_max } => AppendError::TooLarge { bytes, bytes_max },
        fault => AppendError::Unavailable { cause: fault.into() },
    }
}

#[async_trait]
impl TopologyLog for NatsTopologyLog {
    async fn append(&self, entry: &Entry, after: Sequence) -> Result<Position, AppendError> {
        // What has been met is never gone below: whoever leads may not have read all of the log.
        let formats = &self.connection.formats;
        let entry = Entry { format: entry.format.max(formats.writes()), ..entry.clone() };
        let encoded = encode_entry(&entry).map_err(not_encoded)?;
        let subject = self.connection.names.topology_subject();
        let outcome = outcome::publish(&self.connection, &subject, &encoded, after.0).await;
        let sequence = outcome.appended(after)?;
        formats.met(entry.format);
        Ok(Position { sequence, hash: payload_hash(&encoded.payload) })
    }

    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredEntry>, ReadError> {
        let last = self.tail().await?.min(after.0.saturating_add(limit as u64));
        let stream = self.connection.names.topology_stream();
        let one = |sequence| read::get(&self.connection, &stream, Wanted::At(sequence));
        let mut messages = stream::iter(after.0 + 1..=last).map(one).buffered(READS_IN_FLIGHT);
        let mut entries = Vec::new();
        while let Some(message) = messages.next().await {
            // One that is not there now was answered by a server that lags behind: what came before it stands.
            let Some(message) = message? else { break };
            let entry = decode(message.sequence, Some(&message.headers), &message.payload, &self.connection.formats);
            entries.push(entry.map_err(|reason| ReadError::Corrupt { sequence: message.sequence, reason })?);
        }
        Ok(entries)
    }

    async fn follow(&self, after: Sequence) -> Result<Updates<LogUpdate>, ReadError> {
        let names = &self.connection.names;
        let (log, subject) = (names.topology_stream(), names.topology_subject());
        let feed =
            Feed::open(self.connection.clone(), log, subject, From::After(after.0)).await.map_err(unavailable)?;
        let formats = Arc::clone(&self.connection.formats);
        Ok(Box::pin(stream::unfold(Some((feed, after.0)), move |following| {
            let formats = Arc::clone(&formats);
            async move {
                let (mut feed, last) = following?;
                loop {
                    let (sequence, headers, payload) = match feed.next().await? {
                        Told::Message { sequence, headers, payload, .. } => (sequence, headers, payload),
                        Told::CaughtUp | Told::Reached(_) | Told::Interrupted => continue,
                    };
                    if sequence <= last {
                        continue;
                    }
                    let decoded = if sequence == last + 1 {
                        decode(sequence, headers.as_ref(), &payload, &formats)
                    } else {
                        Err(format!("the log goes on with {sequence} behind {last}; what was between is gone"))
                    };
                    return Some(match decoded {
                        Ok(entry) => (LogUpdate::Entry(entry), Some((feed, sequence))),
                        Err(reason) => {
                            tracing::error!(sequence, reason, "a topology entry cannot be understood");
                            (LogUpdate::Corrupt { sequence: Sequence(sequence), reason }, None)
                        }
                    });
                }
            }
        })))
    }
}

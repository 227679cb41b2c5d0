//! Lease, member records, release reports and the topology snapshot in one bucket; one watch over all but the last.
//!
//! The bucket is a stream like the others, written and read without the client library's key-value layer: that one
//! turns an unknown outcome into "already exists" and reads from any replica.

use aether_domain::Revision;
use aether_domain::ports::{ControlStore, ControlUpdate, Expected, ReadError, Updates, WriteError};
use aether_domain::records::{ControlKey, ControlRecord, Format, StoredRecord};
use async_nats::HeaderMap;
use async_trait::async_trait;

use crate::connection::Connection;
use crate::feed::{Feed, From, Told};
use crate::names::control_key;
use crate::outcome;
use crate::read::{self, Wanted, checksum_of, unavailable};
use crate::wire::{decode_control, encode_control};

/// What a key-value tool marks a deletion with.
const DELETED_HEADER: &str = "KV-Operation";

/// [`ControlStore`] on a JetStream bucket.
#[derive(Clone, Debug)]
pub(crate) struct NatsControlStore {
    connection: Connection,
}

impl NatsControlStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

fn decode(
    key: &ControlKey,
    sequence: u64,
    headers: Option<&HeaderMap>,
    payload: &[u8],
    reads: Format,
) -> Result<StoredRecord, String> {
    if headers.is_some_and(|headers| headers.get(DELETED_HEADER).is_some()) {
        return Err("it was deleted with a key-value tool; nothing of Aether deletes".to_owned());
    }
    let record = decode_control(key, payload, checksum_of(headers), reads).map_err(|fault| fault.to_string())?;
    Ok(StoredRecord { record, revision: Revision(sequence) })
}

#[async_trait]
impl ControlStore for NatsControlStore {
    async fn read(&self, key: &ControlKey) -> Result<Option<StoredRecord>, ReadError> {
        let names = &self.connection.names;
        let subject = names.control_subject(key);
        let wanted = Wanted::LastOf(&subject);
        let Some(message) = read::get(&self.connection, &names.control_stream(), wanted).await? else {
            return Ok(None);
        };
        let stored =
            decode(key, message.sequence, Some(&message.headers), &message.payload, self.connection.formats.reads());
        stored.map(Some).map_err(|reason| {
            let reason = format!("{}: {reason}", control_key(key));
            ReadError::Corrupt { sequence: message.sequence, reason }
        })
    }

    async fn write(&self, record: &ControlRecord, expected: Expected) -> Result<Revision, WriteError> {
        let encoded = encode_control(record, self.connection.formats.writes());
        let encoded = encoded.map_err(|fault| WriteError::Unavailable { cause: fault.into() })?;
        let subject = self.connection.names.control_subject(&record.key());
        outcome::publish(&self.connection, &subject, &encoded, expected.revision().0).await.written()
    }

    async fn watch(&self) -> Result<Updates<ControlUpdate>, ReadError> {
        let (names, reads) = (self.connection.names.clone(), self.connection.formats.reads());
        let feed =
            Feed::open(self.connection.clone(), names.control_stream(), names.control_subjects(), From::LastPerSubject);
        let feed = feed.await.map_err(unavailable)?;
        Ok(Box::pin(futures_util::stream::unfold((feed, names), move |(mut feed, names)| async move {
            let update = loop {
                break match feed.next().await? {
                    Told::CaughtUp => ControlUpdate::CaughtUp,
                    Told::Interrupted => ControlUpdate::Interrupted,
                    Told::Reached(_) => continue,
                    Told::Message { subject, sequence, headers, payload } => match names.control_key_of(&subject) {
                        None => corrupt(&subject, "not a key of ours".to_owned()),
                        // It comes with the rest and is not even looked at: over 256 entries it is a few bytes an entry.
                        Some(ControlKey::TopologySnapshot) => continue,
                        Some(key) => match decode(&key, sequence, headers.as_ref(), &payload, reads) {
                            Ok(stored) => ControlUpdate::Record(stored),
                            Err(reason) => corrupt(&control_key(&key), reason),
                        },
                    },
                };
            };
            Some((update, (feed, names)))
        })))
    }
}

fn corrupt(key: &str, reason: String) -> ControlUpdate {
    tracing::error!(key, reason, "a control record cannot be understood");
    ControlUpdate::Corrupt { key: key.to_owned(), reason }
}

//! How far feeds have come: one subject a feed, under compare-and-set, read from the stream's leader.

use aether_domain::ports::{CheckpointStore, Expected, ReadError, WriteError};
use aether_domain::records::{Checkpoint, StoredCheckpoint};
use aether_domain::{FeedName, Revision};
use async_nats::HeaderMap;
use async_trait::async_trait;

use crate::connection::Connection;
use crate::feed::{Feed, From, Told};
use crate::outcome;
use crate::read::{self, Wanted, checksum_of, unavailable};
use crate::wire::{decode_checkpoint, encode_checkpoint};

/// [`CheckpointStore`] on a JetStream stream.
#[derive(Clone, Debug)]
pub(crate) struct NatsCheckpointStore {
    connection: Connection,
}

impl NatsCheckpointStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    fn decode(
        &self,
        subject: &str,
        sequence: u64,
        headers: Option<&HeaderMap>,
        payload: &[u8],
    ) -> Result<StoredCheckpoint, ReadError> {
        let corrupt = |reason: String| ReadError::Corrupt { sequence, reason: format!("{subject}: {reason}") };
        let feed = self.connection.names.feed_of(subject).ok_or_else(|| corrupt("not a feed of ours".to_owned()))?;
        let checkpoint = decode_checkpoint(&feed, payload, checksum_of(headers), self.connection.formats.reads());
        let checkpoint = checkpoint.map_err(|fault| corrupt(fault.to_string()))?;
        Ok(StoredCheckpoint { checkpoint, revision: Revision(sequence) })
    }
}

#[async_trait]
impl CheckpointStore for NatsCheckpointStore {
    async fn read(&self, feed: &FeedName) -> Result<Option<StoredCheckpoint>, ReadError> {
        let names = &self.connection.names;
        let subject = names.feed_subject(feed);
        let found = read::get(&self.connection, &names.feed_stream(), Wanted::LastOf(&subject)).await?;
        found
            .map(|message| self.decode(&subject, message.sequence, Some(&message.headers), &message.payload))
            .transpose()
    }

    async fn write(&self, checkpoint: &Checkpoint, expected: Expected) -> Result<Revision, WriteError> {
        let encoded = encode_checkpoint(checkpoint, self.connection.formats.writes());
        let encoded = encoded.map_err(|fault| WriteError::Unavailable { cause: fault.into() })?;
        let subject = self.connection.names.feed_subject(&checkpoint.feed);
        outcome::publish(&self.connection, &subject, &encoded, expected.revision().0).await.written()
    }

    async fn all(&self) -> Result<Vec<StoredCheckpoint>, ReadError> {
        let names = &self.connection.names;
        let opened =
            Feed::open(self.connection.clone(), names.feed_stream(), names.feed_subjects(), From::LastPerSubject);
        let mut feed = opened.await.map_err(unavailable)?;
        let mut found = Vec::new();
        loop {
            match self.connection.bounded(feed.next()).await.map_err(unavailable)? {
                Some(Told::Message { subject, sequence, headers, payload }) => {
                    found.push(self.decode(&subject, sequence, headers.as_ref(), &payload)?);
                }
                Some(Told::CaughtUp) => break,
                Some(Told::Reached(_)) => {}
                Some(Told::Interrupted) | None => return Err(unavailable("interrupted")),
            }
        }
        found.sort_by(|one, other| one.checkpoint.feed.cmp(&other.checkpoint.feed));
        Ok(found)
    }
}

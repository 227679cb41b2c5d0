//! How far feeds have come.

use aether_domain::ports::{CheckpointStore, Expected, ReadError, WriteError};
use aether_domain::records::{Checkpoint, StoredCheckpoint};
use aether_domain::{FeedName, Revision};
use async_trait::async_trait;

use crate::connection::Connection;

/// [`CheckpointStore`] on JetStream.
#[derive(Clone, Debug)]
pub(crate) struct NatsCheckpointStore {
    #[expect(dead_code, reason = "not built yet")]
    connection: Connection,
}

impl NatsCheckpointStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl CheckpointStore for NatsCheckpointStore {
    async fn read(&self, _: &FeedName) -> Result<Option<StoredCheckpoint>, ReadError> {
        Ok(None)
    }
    async fn write(&self, _: &Checkpoint, _: Expected) -> Result<Revision, WriteError> {
        Err(WriteError::Unavailable { cause: "not built yet".into() })
    }
    async fn all(&self) -> Result<Vec<StoredCheckpoint>, ReadError> {
        Ok(Vec::new())
    }
}

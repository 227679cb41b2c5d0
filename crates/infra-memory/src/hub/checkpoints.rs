//! How far feeds have come.

use aether_domain::ports::{CheckpointStore, Expected, ReadError, WriteError};
use aether_domain::records::{Checkpoint, StoredCheckpoint};
use aether_domain::{FeedName, Revision};
use async_trait::async_trait;

use super::ports::Connection;

#[async_trait]
impl CheckpointStore for Connection {
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

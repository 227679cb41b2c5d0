//! How far feeds have come.

use aether_domain::ports::{CheckpointStore, Expected, ReadError, WriteError};
use aether_domain::records::{Checkpoint, StoredCheckpoint};
use aether_domain::{FeedName, Revision};
use async_trait::async_trait;

use super::Target;
use super::kept::Kept;
use super::ports::Connection;

/// Each feed's last record.
pub(super) type Checkpoints = Kept<FeedName, Checkpoint>;

fn stored((checkpoint, revision): &(Checkpoint, Revision)) -> StoredCheckpoint {
    StoredCheckpoint { checkpoint: checkpoint.clone(), revision: *revision }
}

#[async_trait]
impl CheckpointStore for Connection {
    async fn read(&self, feed: &FeedName) -> Result<Option<StoredCheckpoint>, ReadError> {
        Connection::read(self, |_| ()).await?;
        Ok(self.hub.lock().checkpoints.records.get(feed).map(stored))
    }

    async fn write(&self, checkpoint: &Checkpoint, expected: Expected) -> Result<Revision, WriteError> {
        let (feed, record) = (checkpoint.feed.clone(), checkpoint.clone());
        Ok(self.keep(Target::Checkpoints, |server| &mut server.checkpoints, feed, record, expected).await?)
    }

    async fn all(&self) -> Result<Vec<StoredCheckpoint>, ReadError> {
        Connection::read(self, |_| ()).await?;
        Ok(self.hub.lock().checkpoints.records.values().map(stored).collect())
    }
}

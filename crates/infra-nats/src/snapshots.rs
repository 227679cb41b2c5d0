//! Snapshots of actors.

use aether_domain::ActorAddress;
use aether_domain::ports::{ReadError, SaveError, SnapshotStore};
use aether_domain::records::ActorSnapshot;
use async_trait::async_trait;

use crate::connection::Connection;

/// [`SnapshotStore`] on JetStream.
#[derive(Clone, Debug)]
pub(crate) struct NatsSnapshotStore {
    #[expect(dead_code, reason = "not built yet")]
    connection: Connection,
}

impl NatsSnapshotStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl SnapshotStore for NatsSnapshotStore {
    async fn save(&self, _: &ActorAddress, _: &ActorSnapshot) -> Result<(), SaveError> {
        Err(SaveError::Unavailable { cause: "not built yet".into() })
    }
    async fn load(&self, _: &ActorAddress) -> Result<Vec<ActorSnapshot>, ReadError> {
        Ok(Vec::new())
    }
}

//! Snapshots of actors.

use aether_domain::ActorAddress;
use aether_domain::ports::{ReadError, SaveError, SnapshotStore};
use aether_domain::records::ActorSnapshot;
use async_trait::async_trait;

use super::ports::Connection;

#[async_trait]
impl SnapshotStore for Connection {
    async fn save(&self, _: &ActorAddress, _: &ActorSnapshot) -> Result<(), SaveError> {
        Err(SaveError::Unavailable { cause: "not built yet".into() })
    }
    async fn load(&self, _: &ActorAddress) -> Result<Vec<ActorSnapshot>, ReadError> {
        Ok(Vec::new())
    }
}

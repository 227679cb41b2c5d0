//! Snapshots of actors. A save reaches the server or fails; none is ever in doubt, and none arrives late.

use aether_domain::ports::{ReadError, SNAPSHOT_BYTES_MAX, SaveError, SnapshotStore};
use aether_domain::records::ActorSnapshot;
use aether_domain::{ActorAddress, Sequence};
use async_trait::async_trait;

use super::ports::Connection;

#[async_trait]
impl SnapshotStore for Connection {
    async fn save(&self, actor: &ActorAddress, snapshot: &ActorSnapshot) -> Result<(), SaveError> {
        let (bytes, bytes_max) = (snapshot.bytes(), SNAPSHOT_BYTES_MAX);
        if bytes > bytes_max {
            return Err(SaveError::TooLarge { bytes, bytes_max });
        }
        let saved = self.put(|stores| stores.keep_snapshot(actor, snapshot)).await;
        saved.map_err(|cause| SaveError::Unavailable { cause: cause.into() })
    }

    async fn load(&self, actor: &ActorAddress, up_to: Sequence) -> Result<Option<ActorSnapshot>, ReadError> {
        let last = self.read(|stores| stores.snapshots(actor).find(|kept| kept.at.sequence <= up_to).cloned());
        Ok(last.await?)
    }
}

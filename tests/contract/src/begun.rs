//! A store whose appends are begun, and told of, instead of waited for: what a node does with a store that can.

use std::sync::Arc;

use aether_domain::ports::{AppendError, EventStore, OnAppended, ReadError};
use aether_domain::records::{CommitRecord, Position, StoredCommit};
use aether_domain::{ActorAddress, Sequence};
use async_trait::async_trait;
use tokio::sync::oneshot;

/// The store, whose [`EventStore::append`] is its [`BeginAppend::begin`](aether_domain::ports::BeginAppend::begin).
pub struct Begun(pub Arc<dyn EventStore>);

#[async_trait]
impl EventStore for Begun {
    async fn append(
        &self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError> {
        let (told, outcome) = oneshot::channel();
        let told = OnAppended::new(move |outcome| drop(told.send(outcome)));
        let store = self.0.begins().expect("a store that can begin appends");
        store.begin(actor.clone(), Arc::new(record.clone()), after, told);
        outcome.await.expect("whoever is to be told is told")
    }

    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.0.read(actor, after).await
    }

    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.0.read_fresh(actor, after).await
    }
}

//! Stored commits, told to whoever wants to know.

use aether_domain::Sequence;
use aether_domain::ports::{BusUpdate, EventBus, EventFilter, ReadError, StartAt, Updates};
use async_trait::async_trait;

use super::ports::Connection;

#[async_trait]
impl EventBus for Connection {
    async fn subscribe(&self, _: &EventFilter, _: StartAt) -> Result<Updates<BusUpdate>, ReadError> {
        Err(ReadError::Unavailable { cause: "not built yet".into() })
    }
    async fn end(&self) -> Result<Sequence, ReadError> {
        Err(ReadError::Unavailable { cause: "not built yet".into() })
    }
}

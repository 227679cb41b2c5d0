//! When which actor has to be looked at.

use std::ops::RangeInclusive;

use aether_domain::ports::{Expected, ReadError, WakeStore, WriteError};
use aether_domain::records::Wake;
use aether_domain::{ActorAddress, Revision, Slot, WallTime};
use async_trait::async_trait;

use crate::connection::Connection;

/// [`WakeStore`] on JetStream.
#[derive(Clone, Debug)]
pub(crate) struct NatsWakeStore {
    #[expect(dead_code, reason = "not built yet")]
    connection: Connection,
}

impl NatsWakeStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl WakeStore for NatsWakeStore {
    async fn set(&self, _: &ActorAddress, _: Option<WallTime>, _: Expected) -> Result<Revision, WriteError> {
        Err(WriteError::Unavailable { cause: "not built yet".into() })
    }
    async fn read(&self, _: &ActorAddress) -> Result<Option<Wake>, ReadError> {
        Ok(None)
    }
    async fn pending(&self, _: &[RangeInclusive<Slot>]) -> Result<Vec<Wake>, ReadError> {
        Ok(Vec::new())
    }
}

//! Commands that were given up.

use aether_domain::Sequence;
use aether_domain::ports::{DeadLetters, ReadError, SaveError};
use aether_domain::records::{DeadLetter, StoredLetter};
use async_trait::async_trait;

use crate::connection::Connection;

/// [`DeadLetters`] on JetStream.
#[derive(Clone, Debug)]
pub(crate) struct NatsDeadLetters {
    #[expect(dead_code, reason = "not built yet")]
    connection: Connection,
}

impl NatsDeadLetters {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl DeadLetters for NatsDeadLetters {
    async fn keep(&self, _: &DeadLetter) -> Result<(), SaveError> {
        Err(SaveError::Unavailable { cause: "not built yet".into() })
    }
    async fn read(&self, _: Sequence, _: usize) -> Result<Vec<StoredLetter>, ReadError> {
        Ok(Vec::new())
    }
    async fn forget(&self, _: Sequence) -> Result<(), SaveError> {
        Err(SaveError::Unavailable { cause: "not built yet".into() })
    }
}

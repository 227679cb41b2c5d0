//! Commands that were given up.

use aether_domain::Sequence;
use aether_domain::ports::{DeadLetters, ReadError, SaveError};
use aether_domain::records::{DeadLetter, StoredLetter};
use async_trait::async_trait;

use super::ports::Connection;

#[async_trait]
impl DeadLetters for Connection {
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

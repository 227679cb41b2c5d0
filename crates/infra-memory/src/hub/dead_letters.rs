//! Commands that were given up.

use aether_domain::Sequence;
use aether_domain::ports::{DeadLetters, ReadError, SaveError};
use aether_domain::records::{DeadLetter, StoredLetter};
use async_trait::async_trait;

use super::ports::Connection;
use crate::fabric::Stores;

#[async_trait]
impl DeadLetters for Connection {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), SaveError> {
        for (bytes, bytes_max) in [
            (letter.payload.as_deref().map_or(0, <[u8]>::len), DeadLetter::PAYLOAD_BYTES_MAX),
            (letter.reason.len(), DeadLetter::REASON_BYTES_MAX),
        ] {
            if bytes > bytes_max {
                return Err(SaveError::TooLarge { bytes, bytes_max });
            }
        }
        self.reach().map_err(unavailable)?;
        let kept = self.hub.lock().stores.letters.keep(letter);
        if kept { Ok(()) } else { Err(unavailable("as many letters are kept as may be")) }
    }

    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredLetter>, ReadError> {
        let look = |stores: &Stores| stores.letters.behind(after).take(limit).collect();
        Ok(Connection::read(self, look).await?)
    }

    async fn forget(&self, sequence: Sequence) -> Result<(), SaveError> {
        self.reach().map_err(unavailable)?;
        self.hub.lock().stores.letters.forget(sequence);
        Ok(())
    }
}

fn unavailable(cause: impl Into<aether_domain::ports::BoxError>) -> SaveError {
    SaveError::Unavailable { cause: cause.into() }
}

//! Whoever carries a question to an account.

use aether_domain::MessageId;
use async_trait::async_trait;

use super::asked::{Asked, Told};

/// Carries one question to one account and brings back what it was told.
#[async_trait]
pub trait Teller: Send + Sync + 'static {
    /// Asks once, and waits a bounded time. Asking again with the same `message` must count once.
    async fn ask(&self, account: u64, asked: &Asked, message: MessageId) -> Told;
}

//! Whoever carries a question to an account: a node of this process, or the gateway over NATS.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aether_domain::MessageId;
use aether_runtime::actor::{AskError, Command, Contains, Handle};
use async_trait::async_trait;

use super::asked::{Asked, Said, Told};
use crate::demo::bank::Account;
use crate::node::Node;

/// How long one try waits for its answer. Short, because the next try may meet the new owner.
const TRY_MAX: Duration = Duration::from_secs(2);

/// Carries one question to one account and brings back what it was told.
#[async_trait]
pub trait Teller: Send + Sync + 'static {
    /// Asks once, and waits a bounded time. Asking again with the same `message` must count once.
    async fn ask(&self, account: u64, asked: &Asked, message: MessageId) -> Told;
}

/// Asks through nodes of this process, in turn.
pub struct LocalTeller {
    nodes: Box<dyn Fn() -> Vec<Node> + Send + Sync>,
    next: AtomicUsize,
}

impl LocalTeller {
    /// Asks through these nodes.
    ///
    /// # Panics
    /// Without a node.
    pub fn new(nodes: Vec<Node>) -> Self {
        assert!(!nodes.is_empty(), "somebody must carry the questions");
        Self::of(move || nodes.clone())
    }

    /// Asks through whichever nodes there are each time. While there is none, nothing is answered.
    pub fn of(nodes: impl Fn() -> Vec<Node> + Send + Sync + 'static) -> Self {
        Self { nodes: Box::new(nodes), next: AtomicUsize::new(0) }
    }

    async fn carry<C, I>(
        &self,
        account: u64,
        message: MessageId,
        command: C,
        said: impl FnOnce(C::Reply) -> Said,
    ) -> Told
    where
        C: Command,
        Account: Handle<C>,
        <Account as aether_runtime::actor::Actor>::Commands: Contains<C, I>,
    {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let nodes = (self.nodes)();
        let Some(node) = nodes.get(turn % nodes.len().max(1)) else {
            return Told::Unheard { reason: "there is no node to ask".to_owned() };
        };
        let account = node.actor::<Account>(account).timeout(TRY_MAX);
        match account.ask_with_id(message, command).await {
            Ok(reply) => Told::Said(said(reply)),
            Err(AskError::Rejected(refusal)) => Told::Refused(refusal),
            Err(other) => Told::Unheard { reason: other.to_string() },
        }
    }
}

#[async_trait]
impl Teller for LocalTeller {
    async fn ask(&self, account: u64, asked: &Asked, message: MessageId) -> Told {
        match asked.clone() {
            Asked::Open(asked) => self.carry(account, message, asked, |()| Said::Done).await,
            Asked::Deposit(asked) => self.carry(account, message, asked, Said::Balance).await,
            Asked::Withdraw(asked) => self.carry(account, message, asked, Said::Balance).await,
            Asked::Balance(asked) => self.carry(account, message, asked, Said::Balance).await,
            Asked::Audit(asked) => self.carry(account, message, asked, Said::Audited).await,
            Asked::TransferOut(asked) => self.carry(account, message, asked, Said::Balance).await,
            Asked::TransferIn(asked) => self.carry(account, message, asked, Said::Balance).await,
            Asked::Settle(asked) => self.carry(account, message, asked, Said::Balance).await,
        }
    }
}

/// Asks through the gateway: any node of the cluster takes the question.
#[cfg(feature = "nats")]
pub struct GatewayTeller {
    client: aether_infra_nats::GatewayClient,
}

#[cfg(feature = "nats")]
impl GatewayTeller {
    /// Asks through this client.
    pub fn new(client: aether_infra_nats::GatewayClient) -> Self {
        Self { client }
    }
}

#[cfg(feature = "nats")]
#[async_trait]
impl Teller for GatewayTeller {
    async fn ask(&self, account: u64, asked: &Asked, message: MessageId) -> Told {
        use aether_infra_nats::GatewayError;
        use aether_runtime::actor::Actor;

        let (id, command, payload) = (account.to_string(), asked.command(), asked.json());
        match self.client.ask_json(Account::KIND, &id, command, &payload, Some(message), TRY_MAX).await {
            Ok(reply) => asked.replied(reply),
            Err(GatewayError::Rejected(refusal)) => Asked::refused(refusal),
            Err(other) => Told::Unheard { reason: other.to_string() },
        }
    }
}

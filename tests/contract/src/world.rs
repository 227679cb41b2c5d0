//! What a case may ask of a backend.

use aether_domain::ids::{Namespace, NodeId, NodeRef};
use aether_domain::ports::{GatewayAnswer, Ports};
use aether_infra_memory::{GatewayCall, Loss, Target};
use async_trait::async_trait;
use bytes::Bytes;

/// One backend under test.
#[async_trait]
pub trait World: Send + Sync {
    /// What it is, for the report: `memory R1`.
    fn backend(&self) -> &str;

    /// A namespace in which nothing has been written. Two of them share the backend and nothing else.
    ///
    /// # Errors
    /// The backend cannot make one.
    async fn place(&self) -> anyhow::Result<Box<dyn Place>>;

    /// Whether the backend can do what a case needs.
    fn can(&self, need: crate::Need) -> bool;
}

/// One namespace.
#[async_trait]
pub trait Place: Send + Sync {
    /// Its name.
    fn namespace(&self) -> &Namespace;

    /// A connection of its own for that node.
    ///
    /// # Errors
    /// The backend cannot be reached or refuses.
    async fn connect(&self, node: &NodeId) -> anyhow::Result<Ports>;

    /// Asks through the gateway, as a client that is no node.
    ///
    /// # Errors
    /// The client cannot reach the backend.
    async fn ask(&self, call: GatewayCall) -> anyhow::Result<GatewayAnswer>;

    /// Sends bytes that are no message of ours to a life that listens.
    ///
    /// # Errors
    /// The backend cannot: only cases with [`Need::RawBytes`](crate::Need::RawBytes) call it.
    async fn send_raw(&self, to: &NodeRef, bytes: Bytes) -> anyhow::Result<()>;

    /// Tells everybody bytes that are no claim.
    ///
    /// # Errors
    /// As [`Self::send_raw`].
    async fn claim_raw(&self, bytes: Bytes) -> anyhow::Result<()>;

    /// Its faults, where they can be had: what cases with [`Need::Faults`](crate::Need::Faults) use.
    fn faults(&self) -> Option<&dyn Faults>;
}

/// What can be broken on demand.
pub trait Faults: Send + Sync {
    /// Makes the node's next write to that store end in `Unknown`.
    fn lose_next_ack(&self, node: &NodeId, target: Target, loss: Loss);
    /// Lets writes that were held back arrive.
    fn land_late_writes(&self);
    /// Cuts a node off from the backend.
    fn cut(&self, node: &NodeId);
    /// Undoes that.
    fn heal(&self, node: &NodeId);
}

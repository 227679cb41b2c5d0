//! The in-memory adapter as a world: every place is a hub of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use aether_domain::ids::{Namespace, NodeId, NodeRef};
use aether_domain::ports::{GatewayAnswer, Ports};
use aether_infra_memory::{GatewayCall, Loss, Manner, MemoryHub, Target};
use async_trait::async_trait;
use bytes::Bytes;

use crate::{Faults, Need, Place, World};

/// The in-memory adapter in one of its manners.
pub struct MemoryWorld {
    manner: Manner,
    /// How many places there are: names the next one and seeds it.
    places: AtomicU64,
}

impl MemoryWorld {
    /// A world in that manner.
    pub fn new(manner: Manner) -> Self {
        Self { manner, places: AtomicU64::new(0) }
    }
}

#[async_trait]
impl World for MemoryWorld {
    fn backend(&self) -> &str {
        match self.manner {
            Manner::R1 => "memory R1",
            Manner::R3 => "memory R3",
        }
    }

    async fn place(&self) -> anyhow::Result<Box<dyn Place>> {
        let nth = self.places.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::new(format!("case-{nth}"))?;
        Ok(Box::new(MemoryPlace { namespace, hub: MemoryHub::imitating(self.manner, nth) }))
    }

    fn can(&self, need: Need) -> bool {
        matches!(need, Need::Nothing | Need::Faults)
    }
}

struct MemoryPlace {
    namespace: Namespace,
    hub: MemoryHub,
}

#[async_trait]
impl Place for MemoryPlace {
    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    async fn connect(&self, node: &NodeId) -> anyhow::Result<Ports> {
        Ok(self.hub.ports(node))
    }

    async fn ask(&self, call: GatewayCall) -> anyhow::Result<GatewayAnswer> {
        Ok(self.hub.gateway_ask(call).await)
    }

    async fn send_raw(&self, _to: &NodeRef, _bytes: Bytes) -> anyhow::Result<()> {
        anyhow::bail!("messages in memory are values, not bytes")
    }

    async fn claim_raw(&self, _bytes: Bytes) -> anyhow::Result<()> {
        anyhow::bail!("claims in memory are values, not bytes")
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }
}

impl Faults for MemoryPlace {
    fn lose_next_ack(&self, node: &NodeId, target: Target, loss: Loss) {
        self.hub.lose_next_ack(node, target, loss);
    }
    fn land_late_writes(&self) {
        self.hub.land_late_writes();
    }
    fn cut(&self, node: &NodeId) {
        self.hub.cut(node);
    }
    fn heal(&self, node: &NodeId) {
        self.hub.heal(node);
    }
}

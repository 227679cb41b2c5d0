//! An operator beside the cluster, who says where shards are wanted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aether_domain::{
    Namespace, NodeId, Nonce, ShardId,
    orders::{Asked, Wish},
    policy::{Pin, PlacementPolicy},
    ports::{ControlStore, Expected, WriteError},
    records::{ControlKey, ControlRecord, DesiredPlacement},
};
use aether_infra_nats::NatsConfig;
use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use xtask::cluster::ClusterFile;

/// How often a change is made anew because nobody knows whether it was stored, or somebody else was faster.
const ATTEMPTS_MAX: usize = 20;

/// Whoever writes the placement that is wanted.
pub struct Operator {
    control: Arc<dyn ControlStore>,
    runtime: Runtime,
    /// Tells what was written apart.
    written: AtomicU64,
}

impl Operator {
    /// Connects to the cluster's stores.
    ///
    /// # Errors
    /// No server answers, or they are not of such a cluster.
    pub fn of(file: &ClusterFile, replicas: usize) -> Result<Self> {
        let namespace = Namespace::new(file.namespace.as_str())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let request_timeout = Duration::from_secs(10);
        let config = NatsConfig { replicas, request_timeout, ..NatsConfig::new(file.nats_urls.iter().cloned()) };
        let connected = runtime.block_on(aether_infra_nats::connect(&config, &namespace))?;
        Ok(Self { control: connected.ports.control, runtime, written: AtomicU64::new(1) })
    }

    /// Wants that shard on that node.
    ///
    /// # Errors
    /// As [`Operator::want`].
    pub fn pin(&self, shard: usize, node: &str) -> Result<()> {
        let pin = Pin { shard: ShardId(u16::try_from(shard)?), node: NodeId::new(node)? };
        self.want(|policy| {
            policy.pins.retain(|old| old.shard != pin.shard);
            policy.pins.push(pin.clone());
            policy.pins.sort_by_key(|pin| pin.shard);
        })
    }

    /// Wishes that of redistribution. A leader takes it up as soon as it sees it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn order(&self, wish: Wish) -> Result<()> {
        let asked = Asked::new("a test", "");
        self.runtime.block_on(aether::operator::rebalance(&*self.control, wish, &asked))?;
        Ok(())
    }

    /// Whether that node has released the shard that the entry of that epoch asked it for.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn has_released(&self, node: &str, shard: usize, drain_epoch: u64) -> Result<bool> {
        let (key, shard) = (ControlKey::Release(NodeId::new(node)?), ShardId(u16::try_from(shard)?));
        let found = self.runtime.block_on(self.control.read(&key)).context("a release cannot be read")?;
        let Some(ControlRecord::Release(report)) = found.map(|stored| stored.record) else { return Ok(false) };
        let mut released = report.released.iter();
        Ok(released.any(|(shards, epoch)| epoch.0 == drain_epoch && shards.contains(shard)))
    }

    /// Changes what is wanted. A leader adopts it as soon as it sees it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn want(&self, change: impl Fn(&mut PlacementPolicy)) -> Result<()> {
        let written = self.written.fetch_add(1, Ordering::Relaxed);
        let nonce = Nonce(u64::from(std::process::id()) << 32 | written);
        self.runtime.block_on(async {
            for _ in 0..ATTEMPTS_MAX {
                let found = self.control.read(&ControlKey::Placement).await.context("what is wanted cannot be read")?;
                let (mut policy, expected) = match found {
                    Some(stored) if stored.record.nonce() == nonce => return Ok(()),
                    Some(stored) => match stored.record {
                        ControlRecord::Placement(desired) => ((*desired.policy).clone(), Expected::At(stored.revision)),
                        _ => bail!("the control store has something else under that key"),
                    },
                    None => (PlacementPolicy::default(), Expected::Absent),
                };
                change(&mut policy);
                let desired = DesiredPlacement { nonce, policy: Arc::new(policy) };
                match self.control.write(&ControlRecord::Placement(desired), expected).await {
                    Ok(_) => return Ok(()),
                    Err(WriteError::Conflict { .. } | WriteError::Unknown { .. }) => {}
                    Err(error @ WriteError::Unavailable { .. }) => return Err(error.into()),
                }
            }
            bail!("what is wanted was not written in {ATTEMPTS_MAX} attempts")
        })
    }
}

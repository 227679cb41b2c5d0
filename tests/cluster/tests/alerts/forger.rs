//! Somebody with the rights of a node who writes what no node would.

use aether_domain::ports::{Claim, Expected, Ports};
use aether_domain::records::{CommitRecord, ControlKey, ControlRecord, EventRecord, PayloadCodec};
use aether_domain::{
    ActorId, ActorKey, ActorKind, Epoch, Incarnation, Namespace, NodeId, Nonce, Sequence, Version, WallTime,
};
use aether_infra_nats::{NatsConfig, NatsPorts, connect};
use aether_placement::ShardHash;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::runtime::Runtime;

/// The ports of a cluster that the test is no node of.
pub(crate) struct Forger {
    runtime: Runtime,
    nats: NatsPorts,
    namespace: Namespace,
}

impl Forger {
    /// Connects, and makes the streams that are missing.
    pub(crate) fn of(urls: &str, namespace: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let namespace = Namespace::new(namespace)?;
        let nats = runtime.block_on(connect(&NatsConfig::new(urls.split(',')), &namespace))?;
        Ok(Self { runtime, nats, namespace })
    }

    fn ports(&self) -> &Ports {
        &self.nats.ports
    }

    /// Claims for a node, which says nothing of the kind, that it leads in the present term.
    pub(crate) fn claim_the_lead_for(&self, node: &str) -> Result<()> {
        self.runtime.block_on(async {
            let Some(ControlRecord::Lease(lease)) = self.read(&ControlKey::Lease).await? else { bail!("no lease") };
            let Some(ControlRecord::Member(member)) = self.read(&ControlKey::Member(NodeId::new(node)?)).await? else {
                bail!("{node} has no heartbeat")
            };
            let claim = Claim {
                node: member.node.clone(),
                leads: Some(lease.term),
                term: lease.term,
                leader: Some(member.node),
                epoch: Epoch::ZERO,
                hash: 0,
                serves: None,
            };
            Ok(self.ports().claims.tell(&claim).await?)
        })
    }

    /// Writes the last heartbeat of a node once more, with another digest of the shard map.
    pub(crate) fn spoil_the_digest_of(&self, node: &str) -> Result<()> {
        let key = ControlKey::Member(NodeId::new(node)?);
        self.runtime.block_on(async {
            let found = self.ports().control.read(&key).await?.context("it has a heartbeat")?;
            let ControlRecord::Member(mut member) = found.record else { bail!("{key:?} is no heartbeat") };
            member.digest ^= 1;
            member.nonce = Nonce(member.nonce.0 ^ 1);
            self.ports().control.write(&ControlRecord::Member(member), Expected::At(found.revision)).await?;
            Ok(())
        })
    }

    /// The first record of an actor that has none, with one event, as of that shard epoch and that moment.
    pub(crate) fn commit(
        &self,
        kind: &str,
        id: &str,
        event: &serde_json::Value,
        epoch: Epoch,
        at: WallTime,
    ) -> Result<()> {
        let key = ActorKey { kind: ActorKind::new(kind)?, id: ActorId::new(id)? };
        let event = EventRecord { schema: 1, name: "".into(), payload: Bytes::from(serde_json::to_vec(event)?) };
        let record = CommitRecord {
            shard_epoch: epoch,
            owner: Incarnation(1),
            nonce: Nonce(1),
            base: Version::ZERO,
            prev_sequence: Sequence::ZERO,
            prev_hash: 0,
            at,
            codec: PayloadCodec::Json,
            commands: Vec::new(),
            events: vec![event],
            timers: Vec::new(),
        };
        let actor = ShardHash::v1(0, &self.namespace).address(key);
        let appended = self.ports().events.append(&actor, &record, Sequence::ZERO);
        self.runtime.block_on(appended).context("it had a history")?;
        Ok(())
    }

    async fn read(&self, key: &ControlKey) -> Result<Option<ControlRecord>> {
        Ok(self.ports().control.read(key).await?.map(|stored| stored.record))
    }
}

//! The in-memory adapter with one fault planted in it: what the differential must find.

use std::ops::RangeInclusive;
use std::sync::Arc;

use aether_contract::memory::MemoryWorld;
use aether_contract::{Faults, Need, Place, World};
use aether_domain::ids::{ActorAddress, FeedName, Namespace, NodeId, NodeRef, Revision, Sequence, Slot};
use aether_domain::ports::{
    AppendError, BusUpdate, CheckpointStore, Claim, Claims, ControlStore, ControlUpdate, DeadLetters, Delivery,
    EventBus, EventFilter, EventStore, Expected, Frame, Gateway, GatewayAnswer, GatewayRequest, Heard, LogUpdate,
    Ports, ReadError, SaveError, SendError, SnapshotStore, StartAt, TopologyLog, Transport, Updates, WakeStore,
    WriteError,
};
use aether_domain::records::{
    ActorSnapshot, Checkpoint, CommitRecord, ControlKey, ControlRecord, DeadLetter, Entry, Position, StoredCheckpoint,
    StoredCommit, StoredEntry, StoredLetter, StoredRecord, Wake,
};
use aether_domain::time::WallTime;
use aether_infra_memory::{GatewayCall, Manner};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, ready};

/// In which way it errs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A control record is written over whatever is there.
    WritesOver,
    /// A read of the log gives one entry more than it may.
    GivesOneMore,
    /// A fresh read of a history is behind by one.
    ReadsBehind,
    /// The last snapshot is loaded, wherever it is from.
    LoadsTheLast,
    /// A wake that is cleared stays.
    KeepsWakes,
    /// A checkpoint's revision is told as one more than it is.
    CountsOneMore,
    /// A dead letter that is forgotten stays.
    ForgetsNothing,
    /// A message is delivered twice.
    SendsTwice,
    /// Whoever listens to commits is told nothing of every second one.
    TellsHalf,
    /// A claim is told with what it leaves open as 0.
    FillsIn,
    /// A client's own name for its request is lost.
    ForgetsTheName,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::WritesOver,
        Self::GivesOneMore,
        Self::ReadsBehind,
        Self::LoadsTheLast,
        Self::KeepsWakes,
        Self::CountsOneMore,
        Self::ForgetsNothing,
        Self::SendsTwice,
        Self::TellsHalf,
        Self::FillsIn,
        Self::ForgetsTheName,
    ];
}

/// Memory that errs in one way.
pub(crate) struct ErringWorld {
    memory: MemoryWorld,
    fault: Fault,
}

impl ErringWorld {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { memory: MemoryWorld::new(Manner::R1), fault }
    }
}

#[async_trait]
impl World for ErringWorld {
    fn backend(&self) -> &'static str {
        "memory that errs"
    }
    async fn place(&self) -> anyhow::Result<Box<dyn Place>> {
        Ok(Box::new(ErringPlace { memory: self.memory.place().await?, fault: self.fault }))
    }
    fn can(&self, need: Need) -> bool {
        self.memory.can(need)
    }
}

struct ErringPlace {
    memory: Box<dyn Place>,
    fault: Fault,
}

#[async_trait]
impl Place for ErringPlace {
    fn namespace(&self) -> &Namespace {
        self.memory.namespace()
    }
    async fn connect(&self, node: &NodeId) -> anyhow::Result<Ports> {
        let mut ports = self.memory.connect(node).await?;
        let port = Arc::new(Erring(ports.clone()));
        match self.fault {
            Fault::WritesOver => ports.control = port,
            Fault::GivesOneMore => ports.log = port,
            Fault::ReadsBehind => ports.events = port,
            Fault::LoadsTheLast => ports.snapshots = port,
            Fault::KeepsWakes => ports.wakes = port,
            Fault::CountsOneMore => ports.checkpoints = port,
            Fault::ForgetsNothing => ports.dead_letters = port,
            Fault::SendsTwice => ports.transport = port,
            Fault::TellsHalf => ports.bus = port,
            Fault::FillsIn => ports.claims = port,
            Fault::ForgetsTheName => ports.gateway = port,
        }
        Ok(ports)
    }
    async fn ask(&self, call: GatewayCall) -> anyhow::Result<GatewayAnswer> {
        self.memory.ask(call).await
    }
    async fn send_raw(&self, to: &NodeRef, bytes: Bytes) -> anyhow::Result<()> {
        self.memory.send_raw(to, bytes).await
    }
    async fn claim_raw(&self, bytes: Bytes) -> anyhow::Result<()> {
        self.memory.claim_raw(bytes).await
    }
    fn faults(&self) -> Option<&dyn Faults> {
        self.memory.faults()
    }
}

/// Every port, each with its fault; only one of them is ever in use.
struct Erring(Ports);

#[async_trait]
impl ControlStore for Erring {
    async fn read(&self, key: &ControlKey) -> Result<Option<StoredRecord>, ReadError> {
        self.0.control.read(key).await
    }
    async fn write(&self, record: &ControlRecord, expected: Expected) -> Result<Revision, WriteError> {
        match self.0.control.write(record, expected).await {
            Err(WriteError::Conflict { actual: Some(actual) }) => {
                self.0.control.write(record, Expected::At(actual)).await
            }
            written => written,
        }
    }
    async fn watch(&self) -> Result<Updates<ControlUpdate>, ReadError> {
        self.0.control.watch().await
    }
}

#[async_trait]
impl TopologyLog for Erring {
    async fn append(&self, entry: &Entry, after: Sequence) -> Result<Position, AppendError> {
        self.0.log.append(entry, after).await
    }
    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredEntry>, ReadError> {
        self.0.log.read(after, limit + 1).await
    }
    async fn follow(&self, after: Sequence) -> Result<Updates<LogUpdate>, ReadError> {
        self.0.log.follow(after).await
    }
}

#[async_trait]
impl EventStore for Erring {
    async fn append(
        &self,
        actor: &ActorAddress,
        commit: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError> {
        self.0.events.append(actor, commit, after).await
    }
    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.0.events.read(actor, after).await
    }
    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        let mut commits = self.0.events.read_fresh(actor, after).await?;
        commits.pop();
        Ok(commits)
    }
}

#[async_trait]
impl SnapshotStore for Erring {
    async fn save(&self, actor: &ActorAddress, snapshot: &ActorSnapshot) -> Result<(), SaveError> {
        self.0.snapshots.save(actor, snapshot).await
    }
    async fn load(&self, actor: &ActorAddress, _: Sequence) -> Result<Option<ActorSnapshot>, ReadError> {
        self.0.snapshots.load(actor, Sequence(u64::MAX)).await
    }
}

#[async_trait]
impl WakeStore for Erring {
    async fn set(
        &self,
        actor: &ActorAddress,
        at: Option<WallTime>,
        expected: Expected,
    ) -> Result<Revision, WriteError> {
        let kept = self.0.wakes.read(actor).await.ok().flatten().and_then(|wake| wake.at);
        self.0.wakes.set(actor, at.or(kept), expected).await
    }
    async fn read(&self, actor: &ActorAddress) -> Result<Option<Wake>, ReadError> {
        self.0.wakes.read(actor).await
    }
    async fn pending(
        &self,
        slots: &[RangeInclusive<Slot>],
        until: WallTime,
        limit: usize,
    ) -> Result<Vec<Wake>, ReadError> {
        self.0.wakes.pending(slots, until, limit).await
    }
}

#[async_trait]
impl CheckpointStore for Erring {
    async fn read(&self, feed: &FeedName) -> Result<Option<StoredCheckpoint>, ReadError> {
        self.0.checkpoints.read(feed).await
    }
    async fn write(&self, checkpoint: &Checkpoint, expected: Expected) -> Result<Revision, WriteError> {
        self.0.checkpoints.write(checkpoint, expected).await.map(|Revision(revision)| Revision(revision + 1))
    }
    async fn all(&self) -> Result<Vec<StoredCheckpoint>, ReadError> {
        self.0.checkpoints.all().await
    }
}

#[async_trait]
impl DeadLetters for Erring {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), SaveError> {
        self.0.dead_letters.keep(letter).await
    }
    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredLetter>, ReadError> {
        self.0.dead_letters.read(after, limit).await
    }
    async fn forget(&self, _: Sequence) -> Result<(), SaveError> {
        Ok(())
    }
}

#[async_trait]
impl Transport for Erring {
    async fn listen(&self, me: &NodeRef) -> Result<Updates<Delivery>, SendError> {
        self.0.transport.listen(me).await
    }
    async fn send(&self, from: &NodeRef, to: &NodeRef, frames: Vec<Frame>) -> Result<(), SendError> {
        self.0.transport.send(from, to, frames.clone()).await?;
        self.0.transport.send(from, to, frames).await
    }
}

#[async_trait]
impl EventBus for Erring {
    async fn subscribe(&self, filter: &EventFilter, start: StartAt) -> Result<Updates<BusUpdate>, ReadError> {
        let mut nth = 0;
        let told = self.0.bus.subscribe(filter, start).await?.filter(move |update| {
            nth += u64::from(matches!(update, BusUpdate::EventStored { .. }));
            ready(!matches!(update, BusUpdate::EventStored { .. }) || nth % 2 == 1)
        });
        Ok(Box::pin(told))
    }
    async fn end(&self) -> Result<Sequence, ReadError> {
        self.0.bus.end().await
    }
}

#[async_trait]
impl Claims for Erring {
    async fn tell(&self, claim: &Claim) -> Result<(), SendError> {
        let serves = claim.serves.or(Some(0));
        self.0.claims.tell(&Claim { serves, ..claim.clone() }).await
    }
    async fn listen(&self) -> Result<Updates<Heard>, SendError> {
        self.0.claims.listen().await
    }
}

#[async_trait]
impl Gateway for Erring {
    async fn listen(&self, until: BoxFuture<'static, ()>) -> Result<Updates<GatewayRequest>, SendError> {
        let requests = self.0.gateway.listen(until).await?;
        Ok(Box::pin(requests.map(|request| GatewayRequest { message: None, ..request })))
    }
}

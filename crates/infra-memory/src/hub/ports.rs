//! One node's connection: the three stores' ports. The transport and the gateway are in files of their own.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ids::{ActorAddress, NodeId, Revision, Sequence};
use aether_domain::ports::{
    AppendError, BeginAppend, ControlStore, ControlUpdate, EventStore, Expected, LogUpdate, OnAppended, ReadError,
    TopologyLog, Updates, WriteError,
};
use aether_domain::records::{
    CommitRecord, ControlKey, ControlRecord, Entry, Position, StoredCommit, StoredEntry, StoredRecord,
};
use async_trait::async_trait;

use super::switches::Fate;
use super::{Loss, MemoryHub, Target, updates};
use crate::fabric::{AppendFailure, Cause, Op, ReadFailure, Stores, WriteFailure, render_commit, render_entry};

/// How long an unreachable server is waited for before an operation ends: callers that retry must not spin.
pub(super) const UNHEARD_AFTER: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Connection {
    pub(super) hub: MemoryHub,
    pub(super) node: NodeId,
}

/// What a write's failure is made of, for either kind of write.
trait Failure {
    fn unknown(cause: Cause) -> Self;
    fn unavailable(cause: Cause) -> Self;
}

impl Failure for WriteFailure {
    fn unknown(cause: Cause) -> Self {
        Self::Unknown(cause)
    }
    fn unavailable(cause: Cause) -> Self {
        Self::Unavailable(cause)
    }
}

impl Failure for AppendFailure {
    fn unknown(cause: Cause) -> Self {
        Self::Unknown(cause)
    }
    fn unavailable(cause: Cause) -> Self {
        Self::Unavailable(cause)
    }
}

impl Connection {
    pub(super) fn new(hub: MemoryHub, node: NodeId) -> Self {
        Self { hub, node }
    }

    async fn write<T: Send, F: Failure + Send>(
        &self,
        target: Target,
        act: impl FnOnce(&mut Stores) -> Result<T, F> + Send,
        late: impl FnOnce() -> Op + Send,
        in_flight: F,
    ) -> Result<T, F> {
        self.hub.way(&self.node, "write").await;
        let outcome = self.write_now(target, act, late, in_flight).await;
        self.hub.way(&self.node, "write").await;
        outcome
    }

    async fn write_now<T, F: Failure + Send>(
        &self,
        target: Target,
        act: impl FnOnce(&mut Stores) -> Result<T, F> + Send,
        late: impl FnOnce() -> Op + Send,
        in_flight: F,
    ) -> Result<T, F> {
        let unheard = {
            let mut server = self.hub.lock();
            match server.switches.write_fate(&self.node, target) {
                Fate::Run => {
                    let outcome = act(&mut server.stores);
                    drop(server);
                    if outcome.is_ok() {
                        self.hub.changed(target);
                    }
                    return outcome;
                }
                Fate::Lose(Loss::Stored) => {
                    let outcome = act(&mut server.stores);
                    drop(server);
                    if outcome.is_ok() {
                        self.hub.changed(target);
                    }
                    return Err(F::unknown(Cause::NoAnswer));
                }
                Fate::Lose(Loss::NotStored) => return Err(F::unknown(Cause::NoAnswer)),
                Fate::Lose(Loss::Late) => {
                    server.switches.hold_back(late());
                    return Err(F::unknown(Cause::NoAnswer));
                }
                Fate::InFlight => return Err(in_flight),
                Fate::Unavailable(cause) => return Err(F::unavailable(cause)),
                Fate::Unheard(cause) => cause,
            }
        };
        tokio::time::sleep(UNHEARD_AFTER).await;
        Err(F::unknown(unheard))
    }

    /// Keeps something that nobody compares with: it is there afterwards, or it is not.
    pub(super) async fn put(&self, act: impl FnOnce(&mut Stores) + Send) -> Result<(), Cause> {
        self.hub.way(&self.node, "snapshot").await;
        let put = self.put_now(act).await;
        self.hub.way(&self.node, "snapshot").await;
        put
    }

    async fn put_now(&self, act: impl FnOnce(&mut Stores) + Send) -> Result<(), Cause> {
        let cause = {
            let mut server = self.hub.lock();
            match server.switches.read_fate(&self.node) {
                Fate::Unheard(cause) => cause,
                Fate::Unavailable(cause) => return Err(cause),
                Fate::Run | Fate::Lose(_) | Fate::InFlight => {
                    act(&mut server.stores);
                    return Ok(());
                }
            }
        };
        tokio::time::sleep(UNHEARD_AFTER).await;
        Err(cause)
    }

    pub(super) async fn read<T: Send>(&self, look: impl FnOnce(&Stores) -> T + Send) -> Result<T, ReadFailure> {
        self.hub.way(&self.node, "read").await;
        let found = self.read_now(look).await;
        self.hub.way(&self.node, "read").await;
        found
    }

    async fn read_now<T>(&self, look: impl FnOnce(&Stores) -> T + Send) -> Result<T, ReadFailure> {
        let cause = {
            let mut server = self.hub.lock();
            match server.switches.read_fate(&self.node) {
                Fate::Unheard(cause) => cause,
                Fate::Unavailable(cause) => return Err(ReadFailure::Unavailable(cause)),
                Fate::Run | Fate::Lose(_) | Fate::InFlight => return Ok(look(&server.stores)),
            }
        };
        tokio::time::sleep(UNHEARD_AFTER).await;
        Err(ReadFailure::Unavailable(cause))
    }

    /// Refuses to begin a subscription while the server cannot be reached.
    pub(super) fn reach(&self) -> Result<(), Cause> {
        self.hub.lock().switches.away(&self.node).map_or(Ok(()), Err)
    }
}

#[async_trait]
impl ControlStore for Connection {
    async fn read(&self, key: &ControlKey) -> Result<Option<StoredRecord>, ReadError> {
        Ok(Connection::read(self, |stores| stores.control(key).cloned()).await?)
    }

    async fn write(&self, record: &ControlRecord, expected: Expected) -> Result<Revision, WriteError> {
        let act = |stores: &mut Stores| stores.write(record, expected);
        let late = || Op::WriteControl { record: record.clone(), expected };
        let in_flight = WriteFailure::Conflict { actual: None };
        Ok(Connection::write(self, Target::Control, act, late, in_flight).await?)
    }

    async fn watch(&self) -> Result<Updates<ControlUpdate>, ReadError> {
        self.reach().map_err(ReadFailure::Unavailable)?;
        Ok(updates::watch(self.hub.clone(), self.node.clone()))
    }
}

#[async_trait]
impl TopologyLog for Connection {
    async fn append(&self, entry: &Entry, after: Sequence) -> Result<Position, AppendError> {
        let rendered = render_entry(entry)?;
        let act = |stores: &mut Stores| stores.append_rendered_entry(entry, rendered, after);
        let late = || Op::AppendEntry { entry: entry.clone(), after };
        let in_flight = AppendFailure::Conflict { expected: after, actual: None };
        Ok(Connection::write(self, Target::Log, act, late, in_flight).await?)
    }

    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredEntry>, ReadError> {
        let look = |stores: &Stores| stores.entries(after).iter().take(limit).cloned().collect();
        Ok(Connection::read(self, look).await?)
    }

    async fn follow(&self, after: Sequence) -> Result<Updates<LogUpdate>, ReadError> {
        self.reach().map_err(ReadFailure::Unavailable)?;
        Ok(updates::follow(self.hub.clone(), self.node.clone(), after))
    }
}

#[async_trait]
impl EventStore for Connection {
    async fn append(
        &self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError> {
        let rendered = render_commit(record)?;
        let act = |stores: &mut Stores| stores.append_rendered_commit(actor, record, rendered, after);
        let late = || Op::AppendCommit { actor: actor.clone(), record: record.clone(), after };
        let in_flight = AppendFailure::Conflict { expected: after, actual: None };
        Ok(Connection::write(self, Target::Events, act, late, in_flight).await?)
    }

    fn begins(&self) -> Option<&dyn BeginAppend> {
        // What is answered at once need not be begun.
        self.hub.lock().switches.is_far().then_some(self)
    }

    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        Ok(Connection::read(self, |stores| stores.commits(actor, after).to_vec()).await?)
    }

    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        EventStore::read(self, actor, after).await
    }
}

impl BeginAppend for Connection {
    fn begin(&self, actor: ActorAddress, record: Arc<CommitRecord>, after: Sequence, told: OnAppended) {
        let connection = self.clone();
        tokio::spawn(async move { told.tell(EventStore::append(&connection, &actor, &record, after).await) });
    }
}

//! A host over an in-memory server, and a desk that asks it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::ports::{Answer, ReadMode};
use aether_domain::testing::life;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, MessageId, NodeRef, ShardCount, ShardId, Slot,
};
use aether_infra_memory::MemoryHub;
use aether_runtime::actor::{AskError, Command, KindRegistry, read_outcome};
use aether_runtime::clock::{BootClock, Clock};
use aether_runtime::message::{Outcome, Payload, Responder, Work};
use aether_runtime::shard::{HostConfig, Release, ShardHost};
use aether_runtime::view::{Route, ServeLease, View};
use tokio::sync::{mpsc, oneshot};

use crate::bank::{Account, AccountError};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// One life of a node: its host, and everything a test may want to turn.
pub(crate) struct Desk {
    pub(crate) host: ShardHost,
    pub(crate) me: NodeRef,
    pub(crate) lease: Arc<ServeLease>,
    pub(crate) releases: mpsc::Receiver<Release>,
    shards: ShardCount,
    sequence: AtomicU64,
}

/// The shards of these tests.
pub(crate) fn shards() -> ShardCount {
    ShardCount::new(4).expect("four is a power of two")
}

/// An account of that number; all are in shard `number % 4`.
pub(crate) fn account(number: u64) -> ActorAddress {
    let kind = ActorKind::new("account").expect("a kind");
    let id = ActorId::new(number.to_string()).expect("an id");
    ActorAddress { key: ActorKey { kind, id }, slot: Slot(((number % 4) << 14) as u16) }
}

impl Desk {
    /// A node with that name that owns every shard under `epoch` and may serve.
    pub(crate) fn open(hub: &MemoryHub, name: &str, epoch: u64) -> Self {
        Self::adjusted(hub, life(name, 1), epoch, |_| ())
    }

    /// The same with a clock of the test's own.
    pub(crate) fn with_clock(hub: &MemoryHub, name: &str, epoch: u64, clock: Arc<dyn Clock>) -> Self {
        Self::adjusted(hub, life(name, 1), epoch, |config| config.clock = clock)
    }

    /// The same of a life that a test chooses.
    pub(crate) fn of(hub: &MemoryHub, me: NodeRef, epoch: u64, clock: Arc<dyn Clock>) -> Self {
        Self::adjusted(hub, me, epoch, |config| config.clock = clock)
    }

    /// The same with something else about its host.
    pub(crate) fn adjusted(hub: &MemoryHub, me: NodeRef, epoch: u64, adjust: impl FnOnce(&mut HostConfig)) -> Self {
        let mut kinds = KindRegistry::new();
        kinds.register::<Account>().expect("the account is well defined");
        let lease = Arc::new(ServeLease::default());
        let ports = hub.ports(&me.node);
        let (clock, seed) = (Arc::new(BootClock), me.incarnation.0);
        let mut config = HostConfig::new(clock, &ports, kinds, seed, lease.clone(), shards());
        adjust(&mut config);
        let shards = config.shards;
        let (host, releases) = ShardHost::new(config);
        let desk = Self { host, me, lease, releases, shards, sequence: AtomicU64::new(0) };
        desk.lease.extend(BootClock.now() + Duration::from_secs(600));
        desk.view(epoch, |_| Route::Mine { epoch: Epoch(epoch) });
        desk
    }

    /// Shows the host a view.
    pub(crate) fn view(&self, epoch: u64, route: impl Fn(ShardId) -> Route) {
        let mut view = View::empty(self.me.clone());
        view.epoch = Epoch(epoch);
        view.shards = self.shards;
        view.routes = self.shards.all().map(route).collect();
        self.host.view_changed(&Arc::new(view));
    }

    pub(crate) fn work(&self, actor: &ActorAddress, command: &'static str, payload: Payload) -> Work {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        Work {
            trace: None,
            id: CommandId { origin: self.me.incarnation, sequence },
            floor: 1,
            actor: actor.clone(),
            command: Cow::Borrowed(command),
            payload,
            message: None,
            mode: ReadMode::Strict,
            deadline: BootClock.now() + DEADLINE,
            attempt: 1,
        }
    }

    pub(crate) fn send(&self, work: Work) -> oneshot::Receiver<Outcome> {
        let (respond, answer) = oneshot::channel();
        self.host.deliver(work, Responder::Waiting(respond));
        answer
    }

    pub(crate) async fn ask<C: Command>(&self, number: u64, command: C) -> Result<C::Reply, AskError<AccountError>> {
        self.ask_as(number, command, ReadMode::Strict, None).await
    }

    pub(crate) async fn ask_as<C: Command>(
        &self,
        number: u64,
        command: C,
        mode: ReadMode,
        message: Option<MessageId>,
    ) -> Result<C::Reply, AskError<AccountError>> {
        let mut work = self.work(&account(number), C::NAME, Payload::Typed(Box::new(command)));
        (work.mode, work.message) = (mode, message);
        read_outcome::<Account, C>(answered(self.send(work)).await)
    }
}

/// The answer, which must come.
pub(crate) async fn answered(answer: oneshot::Receiver<Outcome>) -> Outcome {
    let answered = tokio::time::timeout(DEADLINE * 2, answer).await;
    answered.expect("every command is answered in time").expect("no command is dropped unanswered")
}

/// What it is, if it is neither reply nor rejection.
pub(crate) fn other(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Other(answer) => answer,
        outcome => panic!("expected an answer of the shard, got {outcome:?}"),
    }
}

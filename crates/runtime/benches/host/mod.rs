//! What the benches of this crate run: a counter, and one host that owns every shard of an in-memory cluster.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aether_domain::ports::ReadMode;
use aether_domain::testing::life;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Monotonic, Namespace, NodeRef, ShardCount,
};
use aether_infra_memory::MemoryHub;
use aether_placement::ShardHash;
use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle, KindRegistry, read_outcome};
use aether_runtime::clock::{BootClock, Clock};
use aether_runtime::message::{Payload, Told, Work};
use aether_runtime::shard::{HostConfig, ShardHost};
use aether_runtime::view::{Route, ServeLease, View};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) total: u64,
}
#[derive(Serialize, Deserialize)]
pub(crate) struct Added;
impl Event for Added {}
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
pub(crate) struct Never;
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Get;
impl Command for Get {
    const NAME: &'static str = "get";
    type Reply = u64;
}
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Add;
impl Command for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}
impl Actor for Counter {
    const KIND: &'static str = "counter";
    type Id = u64;
    type Event = Added;
    type Error = Never;
    type Commands = (Get, Add);
    fn apply(&mut self, _: &Added) {
        self.total += 1;
    }
}
impl Handle<Get> for Counter {
    fn handle(&self, _: Get, _: &Ctx<Self>) -> Decision<Self, Get> {
        Ok(Self::answer(self.total))
    }
}
impl Handle<Add> for Counter {
    fn handle(&self, _: Add, _: &Ctx<Self>) -> Decision<Self, Add> {
        Ok(Self::emit(Added).reply(|counter| counter.total))
    }
}

/// Our side: one host that owns every shard of an in-memory cluster.
#[derive(Clone)]
pub(crate) struct Ours {
    pub(crate) host: ShardHost,
    me: NodeRef,
    clock: Arc<BootClock>,
    sequence: Arc<AtomicU64>,
}

impl Ours {
    pub(crate) fn with(adjust: impl FnOnce(&mut HostConfig)) -> Self {
        let me = life("bench", 1);
        let mut kinds = KindRegistry::new();
        kinds.register::<Counter>().expect("the counter is well defined");
        let lease = Arc::new(ServeLease::default());
        lease.extend(BootClock.now() + Duration::from_secs(100_000));
        let ports = MemoryHub::new().ports(&me.node);
        let clock = Arc::new(BootClock);
        let mut config = HostConfig::new(clock.clone(), &ports, kinds, 7, lease, ShardCount::DEFAULT);
        adjust(&mut config);
        let (host, _) = ShardHost::new(config);
        let mut view = View::empty(me.clone());
        view.routes = ShardCount::DEFAULT.all().map(|_| Route::Mine { epoch: Epoch(1) }).collect();
        host.view_changed(&Arc::new(view));
        Self { host, me, clock, sequence: Arc::default() }
    }

    pub(crate) async fn ask<C: Command<Reply = u64>>(&self, actor: &ActorAddress, command: C, mode: ReadMode) -> u64 {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let work = Work {
            trace: None,
            id: CommandId { origin: self.me.incarnation, sequence },
            floor: sequence.saturating_sub(256),
            actor: actor.clone(),
            command: Cow::Borrowed(C::NAME),
            payload: Payload::Typed(Box::new(command)),
            message: None,
            mode,
            deadline: Monotonic::MAX,
            attempt: 1,
        };
        let outcome = match self.host.ask(work, &|| self.clock.now() + Duration::from_secs(60)) {
            Told::Now(outcome) => outcome,
            Told::Later(told) => told.await.expect("it is answered"),
        };
        read_outcome::<Counter, C>(outcome).expect("it is no failure")
    }
}

pub(crate) fn address(number: u64) -> ActorAddress {
    static HASH: LazyLock<(ShardHash, ActorKind)> = LazyLock::new(|| {
        let namespace = Namespace::new("bench").expect("a namespace");
        (ShardHash::v1(0, &namespace), ActorKind::new(Counter::KIND).expect("a kind"))
    });
    let (hash, kind) = &*HASH;
    hash.address(ActorKey { kind: kind.clone(), id: ActorId::new(number.to_string()).expect("an id") })
}

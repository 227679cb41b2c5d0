//! Whole nodes over the in-memory ports: they found a cluster, serve actors from anywhere, and survive each other.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::{ClusterSettings, NodeInfo};
use aether_domain::ports::{
    ControlStore, ControlUpdate, Delivery, Expected, Frame, Ports, ReadError, SendError, Transport, Updates, WriteError,
};
use aether_domain::records::{CommitRecord, ControlKey, ControlRecord, Health, PayloadCodec, StoredRecord};
use aether_domain::timing::Profile;
use aether_domain::{Incarnation, Namespace, NodeId, NodeRef, Nonce, Revision, Sequence, Version, WallTime};
use aether_infra_memory::MemoryHub;
use aether_placement::ShardHash;
use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle, KindRegistry};
use aether_runtime::actor_ref::ActorRef;
use aether_runtime::clock::BootClock;
use aether_runtime::control::{OnRegression, Phase, StopReason, Strategies};
use aether_runtime::node::{NodeConfig, Runtime};
use aether_runtime::shard::MemoryLimits;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// How long the slow command runs.
const SLOWLY: Duration = Duration::from_millis(800);

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Counted {
    Up,
}

impl Event for Counted {}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;

#[derive(Clone, Serialize, Deserialize)]
struct Up;
#[derive(Clone, Serialize, Deserialize)]
struct Slowly;
#[derive(Clone, Serialize, Deserialize)]
struct Read;

impl Command for Up {
    const NAME: &'static str = "up";
    type Reply = u64;
}
impl Command for Slowly {
    const NAME: &'static str = "slowly";
    type Reply = u64;
}
impl Command for Read {
    const NAME: &'static str = "read";
    type Reply = u64;
}

impl Actor for Counter {
    const KIND: &'static str = "counter";
    type Id = u64;
    type Event = Counted;
    type Error = Never;
    type Commands = (Up, Slowly, Read);
    fn apply(&mut self, _: &Counted) {
        self.count += 1;
    }
}
impl Handle<Up> for Counter {
    fn handle(&self, _: Up, _: &Ctx<Self>) -> Decision<Self, Up> {
        Ok(Self::emit(Counted::Up).reply(|state| state.count))
    }
}
impl Handle<Slowly> for Counter {
    fn handle(&self, _: Slowly, _: &Ctx<Self>) -> Decision<Self, Slowly> {
        std::thread::sleep(SLOWLY);
        Ok(Self::emit(Counted::Up).reply(|state| state.count))
    }
}
impl Handle<Read> for Counter {
    fn handle(&self, _: Read, _: &Ctx<Self>) -> Decision<Self, Read> {
        Ok(Self::answer(self.count))
    }
}

fn start(hub: &MemoryHub, name: &str, seed: u64) -> Runtime {
    let transport = hub.ports(&NodeId::new(name).expect("a valid name")).transport;
    start_on(hub, name, seed, transport)
}

fn ports(hub: &MemoryHub, name: &str) -> Ports {
    hub.ports(&NodeId::new(name).expect("a valid name"))
}

fn start_on(hub: &MemoryHub, name: &str, seed: u64, transport: Arc<dyn Transport>) -> Runtime {
    start_with(Ports { transport, ..ports(hub, name) }, name, seed)
}

fn start_with(ports: Ports, name: &str, seed: u64) -> Runtime {
    let node = NodeId::new(name).expect("a valid name");
    let config = NodeConfig {
        namespace: Namespace::new("test").expect("a valid name"),
        node,
        profile: Profile::Fast,
        settings: ClusterSettings { hash: ShardHash::ID, hash_seed: 7, ..ClusterSettings::default() },
        info: NodeInfo::default(),
        admin_url: String::new(),
        seed,
        build: "test".into(),
        supervisor: None,
        on_regression: OnRegression::Halt,
        strategies: Strategies::default(),
        limits: MemoryLimits::default(),
    };
    let mut kinds = KindRegistry::new();
    kinds.register::<Counter>().expect("a good definition");
    Runtime::start(ports, Arc::new(BootClock), config, kinds).expect("a good configuration")
}

async fn balanced(node: &Runtime, nodes: usize) {
    let mut status = node.status();
    let wait = status.wait_for(|status| {
        let topology = &status.topology;
        status.phase == Phase::Active
            && topology.cluster().active().count() == nodes
            && topology.assignment().orphaned() == 0
            && topology.assignment().moving() == 0
            && topology.cluster().plan().is_none()
            && topology
                .cluster()
                .active()
                .all(|member| topology.assignment().owned_by(member.node.incarnation).abs_diff(1024 / nodes) <= 1)
    });
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await.map(|found| found.is_ok());
    assert_eq!(waited, Ok(true), "not balanced over {nodes}: {:?}", node.status().borrow());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_command_is_there_whichever_node_is_asked_and_whoever_dies() {
    let hub = MemoryHub::new();
    let nodes: Vec<_> = (1..=3).map(|nth| start(&hub, &format!("n{nth}"), nth)).collect();
    for node in &nodes {
        balanced(node, 3).await;
    }
    let mut expected = vec![0_u64; 60];
    for round in 0..3 {
        for (id, expected) in expected.iter_mut().enumerate() {
            let node = &nodes[(id + round) % 3];
            let counter = node.actor::<Counter>(&(id as u64)).expect("a valid id");
            *expected += 1;
            assert_eq!(counter.ask(Up).await.expect("an answer"), *expected, "actor {id} in round {round}");
        }
    }
    let dead = nodes[0].status().borrow().me.clone();
    nodes[0].stop().await;
    hub.kill(&dead);
    for (id, expected) in expected.iter_mut().enumerate() {
        let counter = nodes[1 + id % 2].actor::<Counter>(&(id as u64)).expect("a valid id");
        *expected += 1;
        let answer = counter.timeout(Duration::from_secs(15)).ask(Up).await;
        assert_eq!(answer.expect("an answer in spite of the death"), *expected, "actor {id}");
    }
    balanced(&nodes[1], 2).await;
    for (id, expected) in expected.iter().enumerate() {
        let counter = nodes[2 - id % 2].actor::<Counter>(&(id as u64)).expect("a valid id");
        assert_eq!(counter.ask(Read).await.expect("an answer"), *expected);
    }
    assert_eq!(nodes[1].drain().await, Some(StopReason::Left));
    balanced(&nodes[2], 1).await;
    for (id, expected) in expected.iter().enumerate() {
        let counter = nodes[2].actor::<Counter>(&(id as u64)).expect("a valid id");
        assert_eq!(counter.ask(Read).await.expect("an answer"), *expected);
    }
    assert_eq!(nodes[2].drain().await, Some(StopReason::Left));
}

/// A transport with a bug.
struct Broken;

#[async_trait]
impl Transport for Broken {
    async fn listen(&self, _: &NodeRef) -> Result<Updates<Delivery>, SendError> {
        panic!("a bug of the transport")
    }
    async fn send(&self, _: &NodeRef, _: &NodeRef, _: Vec<Frame>) -> Result<(), SendError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_node_that_can_hear_nobody_any_more_ends() {
    let node = start_on(&MemoryHub::new(), "a", 1, Arc::new(Broken));
    let ended = tokio::time::timeout(Duration::from_secs(30), node.stopped()).await;
    assert_eq!(ended.expect("it ends by itself"), Some(StopReason::PartEnded { part: "routing" }));
    node.stop().await;
}

#[async_trait]
impl ControlStore for Broken {
    async fn read(&self, _: &ControlKey) -> Result<Option<StoredRecord>, ReadError> {
        Ok(None)
    }
    async fn write(&self, _: &ControlRecord, _: Expected) -> Result<Revision, WriteError> {
        Ok(Revision::ZERO)
    }
    async fn watch(&self) -> Result<Updates<ControlUpdate>, ReadError> {
        panic!("a bug of the control store")
    }
}

#[tokio::test]
async fn a_node_whose_control_plane_panics_ends_instead_of_living_on_unseen() {
    let hub = MemoryHub::new();
    let mut ports = ports(&hub, "a");
    ports.control = Arc::new(Broken);
    let node = start_with(ports, "a", 1);
    let ended = tokio::time::timeout(Duration::from_secs(30), node.stopped()).await;
    assert_eq!(ended.expect("it ends by itself"), Some(StopReason::PartEnded { part: "control plane" }));
    node.stop().await;
}

/// A transport that brings nobody this node's answers.
struct Mute(Arc<dyn Transport>);

#[async_trait]
impl Transport for Mute {
    async fn listen(&self, me: &NodeRef) -> Result<Updates<Delivery>, SendError> {
        self.0.listen(me).await
    }
    async fn send(&self, from: &NodeRef, to: &NodeRef, mut frames: Vec<Frame>) -> Result<(), SendError> {
        frames.retain(|frame| !matches!(frame, Frame::Answer(_)));
        self.0.send(from, to, frames).await
    }
}

async fn says(node: &Runtime, what: &str, says: impl Fn(&Health) -> bool) {
    let mut status = node.status();
    let me = status.borrow().me.node.clone();
    let said = status.wait_for(|status| status.members.get(&me).is_some_and(|(record, _)| says(&record.health)));
    let said = tokio::time::timeout(Duration::from_secs(30), said).await;
    assert!(said.is_ok_and(|said| said.is_ok()), "{what}: {:?}", node.status().borrow().members);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_answers_do_not_come_is_accused_in_the_heartbeats_of_those_who_ask() {
    let hub = MemoryHub::new();
    let mute = hub.ports(&NodeId::new("n2").expect("a valid name")).transport;
    let nodes = [start(&hub, "n1", 1), start_on(&hub, "n2", 2, Arc::new(Mute(mute)))];
    for node in &nodes {
        balanced(node, 2).await;
    }
    says(&nodes[0], "nobody is accused", |health| health.accuses.is_empty()).await;
    let asks = (0..40_u64).map(|id| {
        let counter = nodes[0].actor::<Counter>(&id).expect("a valid id").timeout(Duration::from_millis(100));
        async move { counter.ask(Read).await.is_ok() }
    });
    let answered = futures_util::future::join_all(asks).await.into_iter().filter(|answered| *answered).count();
    assert!((1..40).contains(&answered), "only n1's own actors answer: {answered}");
    let accused = NodeId::new("n2").expect("a valid name");
    says(&nodes[0], "n2 is accused", |health| health.accuses == [accused.clone()]).await;
    for node in &nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_node_whose_executor_was_held_up_says_so_once() {
    let node = start(&MemoryHub::new(), "n1", 1);
    balanced(&node, 1).await;
    says(&node, "all is well", |health| health.loop_lag < Duration::from_millis(500)).await;
    std::thread::sleep(Duration::from_millis(700));
    says(&node, "it was late", |health| health.loop_lag >= Duration::from_millis(500)).await;
    says(&node, "all is well again", |health| health.loop_lag < Duration::from_millis(500)).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_actor_was_written_to_under_a_later_epoch_is_served_by_another_owner() {
    let hub = MemoryHub::new();
    let nodes = [start(&hub, "n1", 1), start(&hub, "n2", 2)];
    for node in &nodes {
        balanced(node, 2).await;
    }
    // As after a loss of the log's end: somebody has written under an epoch that the log has given to nobody.
    let topology = Arc::clone(&nodes[0].status().borrow().topology);
    let (me, shards) = (nodes[0].status().borrow().me.clone(), topology.cluster().settings().shards);
    let is_meant = |counter: &ActorRef<Counter>| {
        let state = topology.assignment().shard(counter.address().slot.shard(shards));
        state.owner() == Some(me.incarnation) && state.epoch() < Some(topology.epoch())
    };
    let mut counters = (0..).map(|id: u64| nodes[0].actor::<Counter>(&id).expect("a valid id"));
    let counter = counters.find(is_meant).expect("it owns half of the shards");
    let by_nobody = CommitRecord {
        shard_epoch: topology.epoch(),
        owner: Incarnation(4_711),
        nonce: Nonce(4_711),
        base: Version(0),
        prev_sequence: Sequence::ZERO,
        prev_hash: 0,
        at: WallTime::default(),
        codec: PayloadCodec::Json,
        commands: Vec::new(),
        events: Vec::new(),
        timers: Vec::new(),
    };
    let stored = ports(&hub, "n1").events.append(counter.address(), &by_nobody, Sequence::ZERO).await;
    assert!(stored.is_ok(), "{stored:?}");
    assert_eq!(counter.clone().timeout(Duration::from_secs(60)).ask(Up).await.expect("another owner answers"), 1);
    // The answer may be here before the log says so here.
    let (other, shard) = (nodes[1].status().borrow().me.clone(), counter.address().slot.shard(shards));
    let mut status = nodes[0].status();
    let moved = status.wait_for(|status| status.topology.owner(shard).is_some_and(|(owner, _)| *owner == other));
    assert!(tokio::time::timeout(Duration::from_secs(30), moved).await.is_ok_and(|moved| moved.is_ok()), "n2 has it");
    assert_eq!(nodes[0].stats().host.reconciled, 1, "it was reported once");
    let right = async {
        while nodes.iter().any(|node| node.stats().host.unreconciled > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), right).await.expect("nothing differs any more");
    for node in &nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn whoever_asks_holds_little_while_it_waits() {
    let node = start(&MemoryHub::new(), "n1", 1);
    let counter = node.actor::<Counter>(&1).expect("a valid id");
    // It lies in the caller's own future, which is moved about: with a thousand callers twice its size is a megabyte more.
    let bytes = size_of_val(&counter.ask(Up));
    assert!(bytes <= 512, "{bytes} bytes");
    node.stop().await;
}

#[tokio::test]
async fn the_time_of_whoever_asks_in_place_begins_when_its_handler_has_run() {
    let node = start(&MemoryHub::new(), "n1", 1);
    balanced(&node, 1).await;
    let counter = node.actor::<Counter>(&1).expect("a valid id");
    assert_eq!(counter.ask(Up).await.expect("it is loaded"), 1);
    // The handler runs on this very task, which could not have gone on meanwhile.
    let within = SLOWLY.mul_f32(0.75);
    assert_eq!(counter.clone().timeout(within).ask(Slowly).await.expect("there is time to store it"), 2);
    assert_eq!(counter.ask(Read).await.expect("an answer"), 2);
    node.stop().await;
}

//! A call that takes longer than its shard's owner has for the release, with handlers that really run that long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether::prelude::*;
use aether_domain::assignment::{AssignmentEvent, CancelReason};
use aether_domain::orders::Asked;
use aether_domain::policy::{Pin, PlacementPolicy};
use aether_domain::ports::{Expected, GatewayAnswer};
use aether_domain::records::{ControlRecord, DesiredPlacement};
use aether_domain::topology::{Topology, TopologyEvent};
use aether_domain::{NodeId, Nonce, Sequence, ShardCount};
use aether_infra_memory::{GatewayCall, MemoryHub};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

/// Longer than a source has for its release, which is 5 s.
const NAP: Duration = Duration::from_secs(8);
/// Longer than a node takes to leave, and by far shorter than it would stay for an answer.
const DOZE: Duration = Duration::from_millis(700);
const LIMIT: Duration = Duration::from_secs(60);

/// How often a nap was begun.
static BEGUN: AtomicU64 = AtomicU64::new(0);

#[derive(Default, Serialize, Deserialize)]
struct Sleeper {
    naps: u64,
}
#[derive(Serialize, Deserialize)]
struct Slept;
impl Event for Slept {}
#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;
#[derive(Clone, Serialize, Deserialize)]
struct Nap {}
impl Command for Nap {
    const NAME: &'static str = "nap";
    type Reply = u64;
}
/// A shorter one.
#[derive(Clone, Serialize, Deserialize)]
struct Doze {}
impl Command for Doze {
    const NAME: &'static str = "doze";
    type Reply = u64;
}
#[derive(Clone, Serialize, Deserialize)]
struct Naps {}
impl Command for Naps {
    const NAME: &'static str = "naps";
    type Reply = u64;
}
impl Actor for Sleeper {
    const KIND: &'static str = "sleeper";
    type Id = u64;
    type Event = Slept;
    type Error = Never;
    type Commands = (Nap, Doze, Naps);
    fn apply(&mut self, Slept: &Slept) {
        self.naps += 1;
    }
}
impl Handle<Nap> for Sleeper {
    fn handle(&self, _: Nap, _: &Ctx<Self>) -> Decision<Self, Nap> {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(NAP);
        Ok(Self::emit(Slept).reply(|sleeper| sleeper.naps))
    }
}
impl Handle<Doze> for Sleeper {
    fn handle(&self, _: Doze, _: &Ctx<Self>) -> Decision<Self, Doze> {
        std::thread::sleep(DOZE);
        Ok(Self::emit(Slept).reply(|sleeper| sleeper.naps))
    }
}
impl Handle<Naps> for Sleeper {
    fn handle(&self, _: Naps, _: &Ctx<Self>) -> Decision<Self, Naps> {
        Ok(Self::answer(self.naps))
    }
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let wait = async {
        while !is() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

/// Whether three nodes have a share each: one that has joined has none, and no plan yet that gives it some.
fn is_shared_by_three(topology: &Topology) -> bool {
    let (members, shards) = (topology.cluster(), topology.assignment());
    let share = |life| shards.owned_by(life).abs_diff(1024 / 3) <= 1;
    let shared = members.active().all(|member| share(member.node.incarnation));
    members.active().count() == 3 && members.plan().is_none() && shared
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_call_longer_than_the_drain_deadline_cancels_that_move_is_not_run_twice_and_the_move_succeeds_later() {
    let hub = MemoryHub::new();
    let mut nodes = Vec::new();
    for id in ["n1", "n2", "n3"] {
        let node = Node::builder(id).namespace("naps").profile(Profile::Fast).in_memory(&hub).actor::<Sleeper>();
        nodes.push(node.start().await.expect("it starts"));
    }
    let topology = || nodes[0].source().picture().expect("it runs").topology;
    let shard = nodes[0].actor::<Sleeper>(1).address().slot.shard(ShardCount::DEFAULT);
    let owner = |topology: &Topology| topology.owner(shard).map(|(owner, _)| owner.node.to_string());
    until("everybody has a share", || is_shared_by_three(&topology())).await;
    let source = owner(&topology()).expect("it has an owner");
    let others: Vec<_> = nodes.iter().filter(|node| node.id().as_str() != source).collect();
    let (asker, destination) = (others[0].clone(), others[1].id().clone());
    let nap = tokio::spawn(async move { asker.actor::<Sleeper>(1).timeout(LIMIT).ask(Nap {}).await });
    until("the nap is begun", || BEGUN.load(Ordering::SeqCst) == 1).await;

    let control = hub.ports(&NodeId::new("operator").expect("a name")).control;
    let pins = vec![Pin { shard, node: destination.clone() }];
    let policy = Arc::new(PlacementPolicy { pins, ..PlacementPolicy::default() });
    let wanted = ControlRecord::Placement(DesiredPlacement { nonce: Nonce(7), policy });
    control.write(&wanted, Expected::Absent).await.expect("it is written");
    until("the move is given up", || {
        let stores = hub.stores();
        let mut events = stores.entries(Sequence::ZERO).iter().flat_map(|stored| &stored.entry.events);
        events.any(|event| {
            matches!(event, TopologyEvent::Assignment(AssignmentEvent::ShardMigrationFailed { shards, reason, .. })
                if shards.contains(shard) && *reason == CancelReason::Deadline)
        })
    })
    .await;
    let answer = timeout(LIMIT, nap).await.expect("in time").expect("no panic");
    assert_eq!((answer, BEGUN.load(Ordering::SeqCst)), (Ok(1), 1));
    until("the move is made", || owner(&topology()).as_deref() == Some(destination.as_str())).await;
    let naps = nodes[0].actor::<Sleeper>(1).timeout(LIMIT).ask(Naps {}).await;
    assert_eq!((naps, BEGUN.load(Ordering::SeqCst)), (Ok(1), 1));
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn what_clients_have_asked_through_a_node_is_answered_before_it_ends() {
    what_is_asked_while_it_leaves(async |_, node| drop(node.drain().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn so_it_is_when_an_operator_asks_the_node_to_leave() {
    what_is_asked_while_it_leaves(async |hub, node| {
        let control = hub.ports(node.id()).control;
        let asked = Asked::new("ann", "a new disk");
        aether::operator::drain(&*control, node.id(), &asked).await.expect("it is asked");
        drop(timeout(LIMIT, node.ended()).await.expect("it is let go"));
    })
    .await;
}

/// Asks through three nodes, of which `leave` makes one leave meanwhile.
async fn what_is_asked_while_it_leaves(leave: impl AsyncFnOnce(&MemoryHub, &Node)) {
    let hub = MemoryHub::new();
    let mut nodes = Vec::new();
    for id in ["n1", "n2", "n3"] {
        let node = Node::builder(id).namespace("dozes").profile(Profile::Fast).in_memory(&hub).actor::<Sleeper>();
        nodes.push(node.start().await.expect("it starts"));
    }
    let topology = || nodes[0].source().picture().expect("it runs").topology;
    until("everybody has a share", || is_shared_by_three(&topology())).await;
    let shard_of = |id: u64| nodes[0].actor::<Sleeper>(id).address().slot.shard(ShardCount::DEFAULT);
    // Asked of others than the one who leaves, through each of the three in turn. Each takes a thread for as long as it lasts.
    let stay = |id: &u64| topology().owner(shard_of(*id)).is_some_and(|(owner, _)| owner.node.as_str() != "n2");
    let asked: Vec<u64> = (1..).filter(stay).take(3).collect();
    let asks = asked.iter().map(|id| {
        let call = GatewayCall {
            kind: Sleeper::KIND.into(),
            id: id.to_string(),
            command: Doze::NAME.into(),
            payload: "{}".into(),
            message: None,
            mode: ReadMode::Strict,
            timeout: LIMIT,
        };
        let hub = hub.clone();
        tokio::spawn(async move { hub.gateway_ask(call).await })
    });
    let asks: Vec<_> = asks.collect();
    sleep(DOZE / 8).await;
    leave(&hub, &nodes[1]).await;
    for ask in asks {
        let answer = ask.await.expect("nobody panics");
        assert!(matches!(answer, GatewayAnswer::Replied(_)), "{answer:?}");
    }
}

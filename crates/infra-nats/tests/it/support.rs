//! A server, ports on it, and records to write.

use std::fmt::Debug;
use std::time::Duration;

use aether_domain::cluster::{ClusterEvent, NodeInfo};
use aether_domain::ports::Updates;
use aether_domain::records::{
    CommitRecord, ControlRecord, Entry, EventRecord, Format, Health, LeaseRecord, LeaseState, Load, MemberRecord,
    MemberState, PayloadCodec,
};
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, ClusterUid, Epoch, Incarnation, Namespace, NodeId, NodeRef, Nonce,
    Sequence, Slot, Term, Version, WallTime,
};
use aether_infra_nats::{NatsConfig, NatsPorts, connect};
use bytes::Bytes;
use futures_util::StreamExt;
use xtask::nats::{NatsServer, ServerOptions};

/// How long a test waits for something that must happen. JetStream elections take up to nine seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn namespace() -> Namespace {
    Namespace::new("t").expect("a namespace")
}

/// A server of its own with default options.
pub(crate) fn server() -> NatsServer {
    NatsServer::start(ServerOptions::default()).expect("a server")
}

/// Freezes the server and waits until it is: the signal alone says nothing about when.
pub(crate) fn freeze(server: &NatsServer) {
    server.stop().expect("it runs");
    while server.is_healthy() {}
}

/// Default settings, with the patience that a machine under load needs.
pub(crate) fn config(url: impl Into<String>) -> NatsConfig {
    let (connect_within, request_timeout) = (Duration::from_secs(15), Duration::from_secs(5));
    NatsConfig { connect_within, request_timeout, ..NatsConfig::new([url]) }
}

pub(crate) async fn ports(server: &NatsServer) -> NatsPorts {
    connect(&config(server.url()), &namespace()).await.expect("ports")
}

/// A plain client, for what Aether itself never does.
pub(crate) async fn stranger(server: &NatsServer) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.expect("a plain client"))
}

/// Counts what the streams' leaders are asked for, message by message.
pub(crate) struct LeaderGets {
    client: async_nats::Client,
    seen: async_nats::Subscriber,
}

impl LeaderGets {
    const SUBJECT: &str = "$JS.API.STREAM.MSG.GET";

    pub(crate) async fn of(server: &NatsServer) -> Self {
        let client = async_nats::connect(server.url()).await.expect("a plain client");
        let seen = client.subscribe(format!("{}.*", Self::SUBJECT)).await.expect("subscribed");
        client.flush().await.expect("the server knows");
        Self { client, seen }
    }

    /// How many there were since last asked.
    pub(crate) async fn count(&mut self) -> usize {
        let mark = format!("{}.mark", Self::SUBJECT);
        self.client.publish(mark.clone(), Bytes::new()).await.expect("sent");
        let mut count = 0;
        while within("the mark", self.seen.next()).await.expect("subscribed").subject.as_str() != mark {
            count += 1;
        }
        count
    }
}

pub(crate) async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step).await.unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}

/// What comes next.
pub(crate) async fn next<T>(updates: &mut Updates<T>) -> T {
    within("an update", updates.next()).await.expect("the stream goes on")
}

/// Skips what does not matter and answers the first thing that does.
pub(crate) async fn until<T: Debug, R>(updates: &mut Updates<T>, mut matters: impl FnMut(&T) -> Option<R>) -> R {
    loop {
        let update = next(updates).await;
        if let Some(found) = matters(&update) {
            return found;
        }
    }
}

/// Repeats until it gives something.
pub(crate) async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(done) = attempt().await {
                return done;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

pub(crate) fn node(name: &str, life: u64) -> NodeRef {
    NodeRef { node: NodeId::new(name).expect("a node id"), incarnation: Incarnation(life) }
}

pub(crate) fn lease(term: u64) -> ControlRecord {
    ControlRecord::Lease(LeaseRecord {
        term: Term(term),
        holder: node("n1", 1),
        ttl: Duration::from_secs(10),
        nonce: Nonce(term),
        state: LeaseState::Held,
    })
}

pub(crate) fn member(name: &str, heartbeat: u64) -> ControlRecord {
    ControlRecord::Member(MemberRecord {
        node: node(name, 1),
        state: MemberState::Alive,
        heartbeat,
        nonce: Nonce(heartbeat),
        heartbeat_every: Duration::from_secs(1),
        view: Epoch(0),
        load: Load::default(),
        info: NodeInfo::default(),
        admin_url: String::new(),
        build: "test".to_owned(),
        supervisor: None,
        health: Health::default(),
        shard_loads: Vec::new(),
        reads: Format::FIRST,
        digest: 0,
    })
}

pub(crate) fn entry(epoch: u64, prev_hash: u64) -> Entry {
    Entry {
        format: Format::FIRST,
        cluster: ClusterUid(1),
        epoch: Epoch(epoch),
        term: Term(1),
        leader: node("n1", 1),
        nonce: Nonce(epoch),
        prev_hash,
        cause: "test".to_owned(),
        at: WallTime::default(),
        events: vec![ClusterEvent::NodeJoined { node: node("n1", 1), info: NodeInfo::default() }.into()],
    }
}

pub(crate) fn actor(id: &str) -> ActorAddress {
    let kind = ActorKind::new("account").expect("a kind");
    ActorAddress { key: ActorKey { kind, id: ActorId::new(id).expect("an id") }, slot: Slot(0xa5b0) }
}

pub(crate) fn commit(base: u64, prev_sequence: Sequence, payload: impl Into<Bytes>) -> CommitRecord {
    CommitRecord {
        shard_epoch: Epoch(1),
        owner: Incarnation(1),
        nonce: Nonce(base),
        base: Version(base),
        prev_sequence,
        prev_hash: 0,
        at: WallTime::default(),
        codec: PayloadCodec::Json,
        commands: Vec::new(),
        events: vec![EventRecord { schema: 1, name: "".into(), payload: payload.into() }],
        timers: vec![],
    }
}

//! The suite over real nats-servers: one alone, the oldest that is supported, and three that keep every stream together. And
//! what one alone answers to operations that nobody thought of, held against what memory answers.
//!
//! A store of histories has two ways to append: it is waited for (one server alone), or it is told to begin and tells (all
//! others).
//!
//! Servers are found or fetched, started on loopback and ended here; their folders stay behind when a case fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aether_contract::differential::agree;
use aether_contract::memory::MemoryWorld;
use aether_contract::{Begun, Faults, Need, Place, World, cases, run};
use aether_domain::ids::{MessageId, Namespace, NodeId, NodeRef};
use aether_domain::ports::{GatewayAnswer, Ports, ReadMode};
use aether_infra_memory::{GatewayCall, Manner};
use aether_infra_nats::names::Names;
use aether_infra_nats::{NatsConfig, connect};
use anyhow::{Context, bail};
use async_nats::client::RequestErrorKind;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use xtask::nats::{NatsCluster, NatsServer, Options, ServerOptions, locate, oldest_version};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_alone_keeps_the_contract() {
    let server = alone(None).await;
    run(world("nats R1", vec![server.url()], 1, Appends::AreWaitedFor).await, cases::all()).await;
    done(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_supported_nats_server_keeps_the_contract() {
    let server = alone(Some(oldest_version().expect("pinned"))).await;
    run(world("oldest nats R1", vec![server.url()], 1, Appends::AreBegun).await, cases::all()).await;
    done(server);
}

/// `cargo xtask differential`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_a_nats_server_answer_the_same_whatever_is_asked() {
    let number = |name: &str, otherwise| match std::env::var(name) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{name} is no number: {number}")),
        Err(_) => otherwise,
    };
    let (sequences, steps) = (number("AETHER_SEQUENCES", 60), number("AETHER_STEPS", 50));
    let seed = number("AETHER_SEED", 0);
    let server = alone(None).await;
    let real = world("nats R1", vec![server.url()], 1, Appends::AreBegun).await;
    let memory = Arc::new(MemoryWorld::new(Manner::R1));
    let count = agree([memory, real], seed, sequences, steps as usize).await;
    println!("{sequences} sequences of {steps} steps from seed {seed}: {count} answers, all the same");
    done(server);
}

/// A server whose folder stays behind unless all is well.
async fn alone(version: Option<String>) -> NatsServer {
    blocking(move || {
        let program = version.map(|version| locate(&Options::with_version(version))).transpose()?;
        NatsServer::start(ServerOptions { keep: true, program, ..ServerOptions::default() })
    })
    .await
}

fn done(server: NatsServer) {
    let dir = server.dir().to_owned();
    drop(server);
    std::fs::remove_dir_all(dir).expect("the server's folder goes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nats_servers_keep_the_contract() {
    let options = ServerOptions { keep: true, ..ServerOptions::default() };
    let cluster = blocking(move || NatsCluster::start_with(3, &options)).await;
    let dirs: Vec<_> = cluster.servers().iter().map(|server| server.dir().to_owned()).collect();
    run(world("nats R3", cluster.urls(), 3, Appends::AreBegun).await, cases::all()).await;
    drop(cluster);
    for dir in dirs {
        std::fs::remove_dir_all(dir).expect("the server's folder goes");
    }
}

async fn blocking<T: Send + 'static>(start: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> T {
    let started = tokio::task::spawn_blocking(start).await.expect("starting does not panic");
    started.expect("nats-server starts")
}

/// In which of its two ways a store of histories appends.
#[derive(Clone, Copy, PartialEq)]
enum Appends {
    AreWaitedFor,
    AreBegun,
}

async fn world(backend: &'static str, urls: Vec<String>, replicas: usize, appends: Appends) -> Arc<dyn World> {
    let raw = async_nats::connect(urls.clone()).await.expect("a plain client connects");
    let config = NatsConfig { replicas, ..NatsConfig::new(urls) };
    Arc::new(NatsWorld { backend, config, raw, appends, places: AtomicU64::new(0) })
}

struct NatsWorld {
    backend: &'static str,
    config: NatsConfig,
    /// A client that knows nothing of Aether.
    raw: async_nats::Client,
    appends: Appends,
    /// How many places there are: names the next one.
    places: AtomicU64,
}

#[async_trait]
impl World for NatsWorld {
    fn backend(&self) -> &str {
        self.backend
    }

    async fn place(&self) -> anyhow::Result<Box<dyn Place>> {
        let nth = self.places.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::new(format!("case-{nth}"))?;
        let names = Names::new(namespace);
        let (config, raw, appends) = (self.config.clone(), self.raw.clone(), self.appends);
        Ok(Box::new(NatsPlace { names, config, raw, appends }))
    }

    fn can(&self, need: Need) -> bool {
        matches!(need, Need::Nothing | Need::RawBytes)
    }
}

struct NatsPlace {
    names: Names,
    config: NatsConfig,
    raw: async_nats::Client,
    appends: Appends,
}

#[async_trait]
impl Place for NatsPlace {
    fn namespace(&self) -> &Namespace {
        self.names.namespace()
    }

    async fn connect(&self, node: &NodeId) -> anyhow::Result<Ports> {
        let config = NatsConfig { name: node.to_string(), ..self.config.clone() };
        let mut ports = connect(&config, self.names.namespace()).await?.ports;
        if self.appends == Appends::AreBegun {
            ports.events = Arc::new(Begun(ports.events));
        }
        Ok(ports)
    }

    async fn ask(&self, call: GatewayCall) -> anyhow::Result<GatewayAnswer> {
        let request = async_nats::Request::new().payload(written(&call)?.into()).timeout(Some(call.timeout));
        match self.raw.send_request(self.names.gateway_subject(), request).await {
            Ok(answer) => understood(&answer.payload),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                let reason = "no node takes requests now".to_owned();
                Ok(GatewayAnswer::Failed { code: "unavailable", reason, maybe_applied: false })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn send_raw(&self, to: &NodeRef, bytes: Bytes) -> anyhow::Result<()> {
        self.raw.publish(self.names.node_subject(to), bytes).await?;
        Ok(self.raw.flush().await?)
    }

    async fn claim_raw(&self, bytes: Bytes) -> anyhow::Result<()> {
        self.raw.publish(self.names.claims_subject(), bytes).await?;
        Ok(self.raw.flush().await?)
    }

    fn faults(&self) -> Option<&dyn Faults> {
        None
    }
}

impl Drop for NatsPlace {
    /// Lets the server forget the namespace, so that it does not carry those of all cases at once.
    fn drop(&mut self) {
        let js = async_nats::jetstream::new(self.raw.clone());
        let names = &self.names;
        let streams = [
            names.topology_stream(),
            names.control_stream(),
            names.event_stream(0),
            names.snapshot_stream(),
            names.wake_stream(),
            names.feed_stream(),
            names.dead_letter_stream(),
        ];
        tokio::spawn(async move {
            for stream in streams {
                // A case that never connected has made none.
                let _ = js.delete_stream(stream).await;
            }
        });
    }
}

/// The request as any client in any language would write it; the command as it is, to the letter.
fn written(call: &GatewayCall) -> anyhow::Result<Vec<u8>> {
    let mode = match call.mode {
        ReadMode::Strict => "strict",
        ReadMode::Leased => "leased",
        ReadMode::Log => "log",
    };
    let mut request = BTreeMap::from([
        ("kind", to_raw_value(&call.kind)?),
        ("id", to_raw_value(&call.id)?),
        ("command", to_raw_value(&call.command)?),
        ("payload", serde_json::from_slice(&call.payload)?),
        ("timeout_ms", to_raw_value(&call.timeout.as_millis())?),
        ("mode", to_raw_value(mode)?),
    ]);
    if let Some(MessageId(id)) = call.message {
        request.insert("message_id", to_raw_value(&format!("{id:032x}"))?);
    }
    Ok(serde_json::to_vec(&request)?)
}

fn understood(answer: &[u8]) -> anyhow::Result<GatewayAnswer> {
    let fields: BTreeMap<&str, &RawValue> = serde_json::from_slice(answer).context("an answer is an object")?;
    let raw = |field: &RawValue| Bytes::copy_from_slice(field.get().as_bytes());
    if let Some(reply) = fields.get("reply") {
        return Ok(GatewayAnswer::Replied(raw(reply)));
    }
    if let Some(refusal) = fields.get("rejected") {
        return Ok(GatewayAnswer::Rejected(raw(refusal)));
    }
    let error: Value = serde_json::from_str(fields.get("error").context("an answer is one of three")?.get())?;
    let codes = ["timeout", "unavailable", "busy", "poisoned", "invalid", "quarantined"];
    let Some(code) = codes.into_iter().find(|code| error["code"] == *code) else { bail!("unknown code in {error}") };
    let reason = error["reason"].as_str().context("an error says why")?.to_owned();
    let maybe_applied = error["maybe_applied"].as_bool().context("an error says whether it may be applied")?;
    Ok(GatewayAnswer::Failed { code, reason, maybe_applied })
}

//! What NATS has stored, read and written past Aether: for looking at histories, and for spoiling them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer::pull::OrderedConfig, stream::Stream};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::{runtime::Runtime, time::timeout};
use xtask::cluster::ClusterFile;

/// How long one question to NATS may take.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// How long a client beside the cluster waits before it tries to reconnect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// How long a server may take to say that it takes writes.
const TAKES_WRITES_LIMIT: Duration = Duration::from_millis(250);

/// A sequence that no stream of a test reaches: a write that expects it is refused, by whoever could have taken it.
const NEVER: &str = "999999999999";

/// JetStream's words for "not behind that": the number is wrong, or another write is on its way.
const REFUSALS: [u64; 2] = [10071, 10164];

/// A client that is back soon after its servers are.
pub(crate) async fn client(urls: &[String]) -> Result<async_nats::Client> {
    let options = async_nats::ConnectOptions::new().reconnect_delay_callback(|_| RECONNECT_PAUSE);
    Ok(options.connect(urls.to_vec()).await?)
}

/// One stored message.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its place in the stream.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Its bytes.
    pub payload: Bytes,
}

impl Stored {
    /// It as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// A connection to the servers of a cluster, beside the cluster.
#[derive(Debug)]
pub struct History {
    runtime: Runtime,
    client: async_nats::Client,
    namespace: String,
}

impl History {
    /// Connects.
    ///
    /// # Errors
    /// No server answers.
    pub fn of(file: &ClusterFile) -> Result<Self> {
        Self::connect(&file.nats_urls.join(","), &file.namespace)
    }

    /// Connects to those servers, separated by commas.
    ///
    /// # Errors
    /// No server answers.
    pub fn connect(urls: &str, namespace: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let urls: Vec<_> = urls.split(',').map(str::to_owned).collect();
        let client = runtime.block_on(client(&urls)).context("connecting beside the cluster")?;
        Ok(Self { runtime, client, namespace: namespace.to_owned() })
    }

    /// The name of the topology log's stream.
    pub fn topology(&self) -> String {
        format!("AETHER_{}_TOP", self.namespace)
    }

    /// The name of the stream of actors' events.
    pub fn events(&self) -> String {
        format!("AETHER_{}_EVT_0", self.namespace)
    }

    /// The name of the stream behind the control bucket.
    pub fn control(&self) -> String {
        format!("KV_aether_{}_ctl", self.namespace)
    }

    /// The name of the nats-server that leads a stream.
    ///
    /// # Errors
    /// There is no such stream, or nobody leads it.
    pub fn leader(&self, stream: &str) -> Result<String> {
        let stream = self.runtime.block_on(self.stream(stream))?;
        let cluster = stream.cached_info().cluster.as_ref();
        cluster.and_then(|cluster| cluster.leader.clone()).context("nobody leads that stream")
    }

    /// The last sequence of a stream.
    ///
    /// # Errors
    /// There is no such stream.
    pub fn last(&self, stream: &str) -> Result<u64> {
        self.runtime.block_on(async { Ok(self.stream(stream).await?.cached_info().state.last_sequence) })
    }

    /// Everything a stream holds behind `after`, up to its present end.
    ///
    /// # Errors
    /// There is no such stream, or it cannot be read.
    pub fn read(&self, stream: &str, after: u64) -> Result<Vec<Stored>> {
        self.runtime.block_on(async {
            let stream = self.stream(stream).await?;
            let last = stream.cached_info().state.last_sequence;
            let mut found = Vec::new();
            if stream.cached_info().state.messages == 0 || last <= after {
                return Ok(found);
            }
            let deliver_policy = jetstream::consumer::DeliverPolicy::ByStartSequence { start_sequence: after + 1 };
            let consumer = stream.create_consumer(OrderedConfig { deliver_policy, ..OrderedConfig::default() }).await?;
            let mut messages = consumer.messages().await?;
            loop {
                let message = timeout(ASK_LIMIT, messages.next()).await.context("the stream ends early")?;
                let message = message.context("the stream ends early")??;
                let sequence = message.info().map_err(|error| anyhow::anyhow!(error))?.stream_sequence;
                let (subject, payload) = (message.subject.to_string(), message.payload.clone());
                found.push(Stored { sequence, subject, payload });
                if sequence >= last {
                    return Ok(found);
                }
            }
        })
    }

    /// The names of all events in the topology log behind `after`, each with the node it is about where there is one.
    ///
    /// # Errors
    /// As [`History::read`].
    pub fn topology_events(&self, after: u64) -> Result<Vec<(String, String)>> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = self.read(&self.topology(), after)?;
        let events = entries.iter().flat_map(|entry| entry.json()["events"].as_array().cloned().unwrap_or_default());
        Ok(events.map(|event| (text(&event["event"]), text(&event["node"]))).collect())
    }

    /// Publishes bytes on any subject, and waits until the server has them.
    ///
    /// # Errors
    /// The server is gone.
    pub fn publish(&self, subject: &str, payload: impl Into<Bytes>) -> Result<()> {
        self.runtime.block_on(async {
            self.client.publish(subject.to_owned(), payload.into()).await?;
            timeout(ASK_LIMIT, self.client.flush()).await.context("the server takes nothing")??;
            Ok(())
        })
    }

    /// Asks on any subject.
    ///
    /// # Errors
    /// Nobody answers in time.
    pub fn request(&self, subject: &str, payload: impl Into<Bytes>) -> Result<Bytes> {
        self.runtime.block_on(async {
            let asked = self.client.request(subject.to_owned(), payload.into());
            Ok(timeout(ASK_LIMIT, asked).await.context("no answer")??.payload)
        })
    }

    /// Asks JetStream's own interface and reads JSON; an error it reports is an error here.
    ///
    /// # Errors
    /// It refuses or does not answer.
    pub fn api(&self, verb: &str, body: &Value) -> Result<Value> {
        let payload = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let said: Value = serde_json::from_slice(&self.request(&format!("$JS.API.{verb}"), payload)?)?;
        ensure!(said.get("error").is_none(), "JetStream refuses {verb}: {said}");
        Ok(said)
    }

    /// Whether topology log, control bucket and histories all take writes now. Nothing is written: each is asked for a
    /// write that must be refused, and only a stream that could have taken it refuses it.
    pub fn takes_writes(&self) -> bool {
        let subjects = [
            format!("aether.{}.top", self.namespace),
            format!("$KV.aether_{}_ctl.lease", self.namespace),
            format!("aether.{}.ev.0.000.account.0", self.namespace),
        ];
        self.runtime.block_on(async {
            let asked = subjects.into_iter().map(|subject| async move {
                let mut headers = async_nats::HeaderMap::new();
                headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NEVER);
                let asked = self.client.request_with_headers(subject, headers, Bytes::new());
                let Ok(Ok(said)) = timeout(TAKES_WRITES_LIMIT, asked).await else { return false };
                let said: Value = serde_json::from_slice(&said.payload).unwrap_or_default();
                said["error"]["err_code"].as_u64().is_some_and(|code| REFUSALS.contains(&code))
            });
            futures_util::future::join_all(asked).await.into_iter().all(|refused| refused)
        })
    }

    /// The settings of a stream, as JetStream tells them.
    ///
    /// # Errors
    /// There is no such stream.
    pub fn settings(&self, stream: &str) -> Result<Value> {
        Ok(self.api(&format!("STREAM.INFO.{stream}"), &Value::Null)?["config"].clone())
    }

    async fn stream(&self, name: &str) -> Result<Stream> {
        let js = jetstream::new(self.client.clone());
        js.get_stream(name).await.with_context(|| format!("looking at stream {name}"))
    }
}

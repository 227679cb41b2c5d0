//! Somebody beside the cluster who follows the topology log and notes when each entry came, by one clock for everything.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use async_nats::jetstream::{self, consumer::push::OrderedConfig};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::runtime::Runtime;
use xtask::{
    clock::{Deadline, Stopwatch},
    cluster::ClusterFile,
    interrupt,
};

/// How long a pause between two looks at an interrupt may be.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long to wait before following again after a failure.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// One entry of the topology log, and when it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it came.
    pub at: Stopwatch,
    /// Its place in the stream.
    pub sequence: u64,
    /// What it says.
    pub entry: Value,
}

impl Seen {
    /// The life that wrote it, `n1/00000000000004d2`.
    pub fn writer(&self) -> &str {
        self.entry["leader"].as_str().unwrap_or_default()
    }

    /// Its events of that name.
    pub fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.entry["events"].as_array().into_iter().flatten().filter(move |event| event["event"] == name)
    }

    /// Whether it has an event of that name.
    pub fn has(&self, name: &str) -> bool {
        self.events(name).next().is_some()
    }

    /// The ids of the nodes its events of that name speak of.
    pub fn nodes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let life = |event: &'a Value| event["node"].as_str().unwrap_or_default();
        self.events(name).map(move |event| life(event).split('/').next().unwrap_or_default())
    }
}

/// What was seen so far, for the follower and those who wait.
type Sights = Arc<(Mutex<Vec<Seen>>, Condvar)>;

/// A follower of the log with a connection of its own.
#[derive(Debug)]
pub struct Observer {
    sights: Sights,
    // Dropped last: it follows.
    _runtime: Runtime,
}

impl Observer {
    /// Begins to follow the log from its first entry.
    ///
    /// # Errors
    /// No server answers.
    pub fn of(file: &ClusterFile) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(super::history::client(&file.nats_urls)).context("connecting an observer")?;
        let sights: Sights = Arc::default();
        let stream = format!("AETHER_{}_TOP", file.namespace);
        runtime.spawn(follow(client, stream, Arc::clone(&sights)));
        Ok(Self { sights, _runtime: runtime })
    }

    /// How many entries were seen so far: what comes later is at or behind that place.
    pub fn so_far(&self) -> usize {
        seen(&self.sights).len()
    }

    /// Everything seen at or behind that place.
    pub fn since(&self, place: usize) -> Vec<Seen> {
        seen(&self.sights).get(place..).unwrap_or_default().to_vec()
    }

    /// The first entry at or behind that place that fits, as soon as it has come.
    ///
    /// # Errors
    /// None comes within `limit`, or the command was interrupted.
    pub fn first(&self, place: usize, what: &str, limit: Duration, fits: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let deadline = Deadline::after(limit);
        let mut sights = seen(&self.sights);
        loop {
            if let Some(found) = sights.iter().skip(place).find(|seen| fits(seen)) {
                return Ok(found.clone());
            }
            if deadline.passed() {
                let names: Vec<_> = sights.iter().skip(place).map(|seen| seen.entry["cause"].to_string()).collect();
                bail!("the log has no {what} after {limit:?}; since then it has {}", names.join("; "));
            }
            interrupt::check()?;
            let waited = self.sights.1.wait_timeout(sights, LOOK_EVERY.min(deadline.left()));
            sights = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn seen(sights: &Sights) -> MutexGuard<'_, Vec<Seen>> {
    sights.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows as long as the runtime lives, beginning anew behind what it has whenever the server or the stream goes away.
async fn follow(client: async_nats::Client, stream: String, sights: Sights) {
    let js = jetstream::new(client.clone());
    loop {
        // What went wrong will show in what is not seen.
        let _ = follow_once(&client, &js, &stream, &sights).await;
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn follow_once(
    client: &async_nats::Client,
    js: &jetstream::Context,
    stream: &str,
    sights: &Sights,
) -> Result<()> {
    let last = || seen(sights).last().map_or(0, |seen| seen.sequence);
    let deliver_policy = jetstream::consumer::DeliverPolicy::ByStartSequence { start_sequence: last() + 1 };
    let deliver_subject = client.new_inbox();
    let config = OrderedConfig { deliver_policy, deliver_subject, ..OrderedConfig::default() };
    let mut messages = js.get_stream(stream).await?.create_consumer(config).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let at = Stopwatch::start();
        let message = message?;
        let sequence = message.info().map_err(|error| anyhow::anyhow!(error))?.stream_sequence;
        if sequence > last() {
            let entry = serde_json::from_slice(&message.payload).unwrap_or_default();
            seen(sights).push(Seen { at, sequence, entry });
            sights.1.notify_all();
        }
    }
    Ok(())
}

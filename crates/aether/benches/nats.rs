//! Commands over a real nats-server, each row against the raw limit of the same server in the same run.
//!
//! A remote ask is measured against an async-nats request between two connections, a commit against compare-and-set
//! publishes of the same size and concurrency. Prints one line a row: what, ours, raw, the ratio and the goal. With
//! `--check` it fails where a ratio is below a third of its goal three times in a row; `--quick` runs a fifth of it, and
//! leaves out the rows on three servers. The rows by hand (`by_hand.rs`) are what a person would write for the same.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark reads clocks and prints")]

#[path = "nats/activation.rs"]
mod activation;
#[path = "nats/by_hand.rs"]
mod by_hand;
#[path = "nats/replicated.rs"]
mod replicated;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aether::prelude::*;
use aether_domain::cluster::{ClusterSettings, NodeInfo};
use aether_domain::records::PayloadCodec;
use aether_domain::timing::Profile;
use aether_domain::{Namespace, NodeId};
use aether_infra_nats::NatsConfig;
use aether_placement::ShardHash;
use aether_runtime::actor::{KindRegistry, Settings};
use aether_runtime::actor_ref::ActorRef;
use aether_runtime::clock::BootClock;
use aether_runtime::control::{OnRegression, Strategies};
use aether_runtime::node::{NodeConfig, Runtime};
use aether_runtime::shard::MemoryLimits;
use aether_runtime::view::Route;
use async_nats::jetstream;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use xtask::nats::{NatsServer, ServerOptions};

/// That of the `aether` program, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often `--check` measures before it says that a row misses its goal: a neighbour on the machine is no miss.
const ATTEMPTS_MAX: usize = 3;

/// How often both sides of a row are measured, in turn: what else the machine does meets them alike.
const ROUNDS: u32 = 4;

/// How often a raw publish is sent, as ours is, until a server that has another one of the subject under way takes it.
const RAW_TRIES_MAX: usize = 16;

/// Bytes of a command's payload and of an event's: what a small business event has.
const FILL: usize = 100;

#[derive(Clone, Serialize, Deserialize)]
struct Put {
    fill: String,
}
impl Command for Put {
    const NAME: &'static str = "put";
    type Reply = u64;
}
#[derive(Clone, Serialize, Deserialize)]
struct Get {}
impl Command for Get {
    const NAME: &'static str = "get";
    type Reply = u64;
}
#[derive(Serialize, Deserialize)]
struct Stored {
    fill: String,
}
impl Event for Stored {}
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;

macro_rules! keeper {
    ($name:ident, $kind:literal, $codec:expr) => {
        #[derive(Default, Serialize, Deserialize)]
        struct $name {
            count: u64,
        }
        impl Actor for $name {
            const KIND: &'static str = $kind;
            type Id = u64;
            type Event = Stored;
            type Error = Never;
            type Commands = (Put, Get);
            fn apply(&mut self, _: &Stored) {
                self.count += 1;
            }
            fn settings() -> Settings {
                Settings { codec: $codec, ..Settings::default() }
            }
        }
        impl Handle<Put> for $name {
            fn handle(&self, put: Put, _: &Ctx<Self>) -> Decision<Self, Put> {
                Ok(Self::emit(Stored { fill: put.fill }).reply(|state| state.count))
            }
        }
        impl Handle<Get> for $name {
            fn handle(&self, _: Get, _: &Ctx<Self>) -> Decision<Self, Get> {
                Ok(Self::answer(self.count))
            }
        }
    };
}
keeper!(Binary, "binary", PayloadCodec::Binary);
keeper!(Json, "json", PayloadCodec::Json);

async fn node(nats: &NatsConfig, name: &str, seed: u64) -> anyhow::Result<Runtime> {
    let namespace = Namespace::new("bench")?;
    let ports = aether_infra_nats::connect(nats, &namespace).await?;
    let mut kinds = KindRegistry::new();
    kinds.register::<Binary>()?;
    kinds.register::<Json>()?;
    let config = NodeConfig {
        namespace,
        node: NodeId::new(name)?,
        profile: Profile::Default,
        settings: ClusterSettings { hash: ShardHash::ID, ..ClusterSettings::default() },
        info: NodeInfo::default(),
        admin_url: String::new(),
        seed,
        build: "bench".into(),
        supervisor: None,
        on_regression: OnRegression::Halt,
        strategies: Strategies::default(),
        limits: MemoryLimits::default(),
    };
    Ok(Runtime::start(ports.ports, Arc::new(BootClock), config, kinds)?)
}

/// Waits until so many nodes share all shards, and this one serves its own.
async fn balanced(node: &Runtime, nodes: usize) -> anyhow::Result<()> {
    let mut status = node.status();
    let settled = status.wait_for(|status| {
        let (cluster, assignment) = (status.topology.cluster(), status.topology.assignment());
        cluster.active().count() == nodes
            && cluster.plan().is_none()
            && assignment.moving() == 0
            && cluster.active().all(|member| assignment.owned_by(member.node.incarnation) == 1024 / nodes)
    });
    tokio::time::timeout(Duration::from_secs(30), settled).await??;
    let routed = async {
        let mine = |route: &Route| matches!(route, Route::Mine { .. });
        while node.router().view().routes.iter().filter(|route| mine(route)).count() < 1024 / nodes {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(30), routed).await?)
}

/// References from `node` to `count` actors, all on this node or all on another.
fn actors<A: Actor<Id = u64>>(node: &Runtime, count: usize, here: bool) -> anyhow::Result<Vec<ActorRef<A>>> {
    let view = node.router().view();
    let mut found = Vec::with_capacity(count);
    for id in 0_u64.. {
        let actor = node.actor::<A>(&id)?;
        let mine = matches!(view.route(actor.address().slot.shard(view.shards)), Route::Mine { .. });
        if mine == here {
            found.push(actor);
        }
        if found.len() == count {
            break;
        }
    }
    Ok(found)
}

/// Runs `once` again and again from `workers` tasks for `time`; how often a second.
async fn rate<F>(workers: usize, time: Duration, once: impl Fn(usize) -> F + Send + Sync + 'static) -> Rate
where
    F: Future<Output = ()> + Send,
{
    let once = Arc::new(once);
    let (began, processor) = (Instant::now(), processor_time());
    let tasks: Vec<_> = (0..workers)
        .map(|worker| {
            let once = Arc::clone(&once);
            tokio::spawn(async move {
                let mut done = 0_u32;
                while began.elapsed() < time {
                    once(worker).await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    // Counted by each for itself: one counter would be fought over by the threads.
    let mut done = 0.0;
    for task in tasks {
        done += f64::from(task.await.expect("a worker ends"));
    }
    let processor = processor_time().saturating_sub(processor).as_secs_f64() / done;
    Rate { per_second: done / began.elapsed().as_secs_f64(), processor }
}

/// How often a second, and what each time cost this process, in seconds of processor time: the server's is not in it, and
/// neighbours on the machine disturb it less.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    processor: f64,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:.0}/s {:.1}us", self.per_second, self.processor * 1e6))
    }
}

fn processor_time() -> Duration {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(read.tv_sec.unsigned_abs(), read.tv_nsec.unsigned_abs() as u32)
}

/// What was measured.
type Measured<'a> = BoxFuture<'a, anyhow::Result<Rate>>;
/// One side of a row, measured for so long.
type Side<'s, 'a> = &'s (dyn Fn(Duration) -> Measured<'a> + 's);

/// The mean of each side over [`ROUNDS`], which take `time` a side together.
async fn in_turn<const N: usize>(time: Duration, sides: [Side<'_, '_>; N]) -> anyhow::Result<[Rate; N]> {
    let mut means = [Rate { per_second: 0.0, processor: 0.0 }; N];
    for _ in 0..ROUNDS {
        for (mean, side) in means.iter_mut().zip(sides) {
            let measured = side(time / ROUNDS).await?;
            mean.per_second += measured.per_second / f64::from(ROUNDS);
            mean.processor += measured.processor / f64::from(ROUNDS);
        }
    }
    Ok(means)
}

/// The times of `count` runs, one after the other.
async fn timed<F: Future<Output = ()>>(count: usize, once: impl Fn() -> F) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        once().await;
        times.push(began.elapsed());
    }
    times
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Prints a row; a goal of NaN is none.
fn show(what: &str, ours: &str, raw: &str, ratio: f64, goal: f64) {
    let goal = if goal.is_nan() { String::new() } else { format!("{goal:.2}") };
    println!("{what:<40} {ours:>17} {raw:>17} {ratio:>8.2} {goal:>8}");
}

struct Report {
    check: bool,
    missed: Vec<String>,
}

impl Report {
    /// `ratio` is how much better than raw we are; `goal` what it should be.
    fn row(&mut self, what: &str, ours: &str, raw: &str, ratio: f64, goal: f64) {
        show(what, ours, raw, ratio, goal);
        if ratio < goal / 3.0 {
            self.missed.push(format!("{what}: {ratio:.2}, a third of the goal is {:.2}", goal / 3.0));
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let time = Duration::from_millis(if flag("--quick") { 600 } else { 3_000 });
    let singles = if flag("--quick") { 400 } else { 2_000 };
    // Some rows only, for whoever looks for where the time goes.
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let wanted = |rows: &str| only.as_ref().is_none_or(|only| only == rows);
    let mut report = Report { check: flag("--check"), missed: Vec::new() };
    let server = NatsServer::start(ServerOptions::default())?;
    let url = server.url();
    let nats = NatsConfig::new([&url]);
    let (one, two) = (node(&nats, "n1", 1).await?, node(&nats, "n2", 2).await?);
    balanced(&one, 2).await?;
    balanced(&two, 2).await?;
    let (asker, raw) = (echoed(&url).await?, Arc::new(RawStream::open(&url, 1).await?));
    println!("{:<40} {:>17} {:>17} {:>8} {:>8}", "", "aether", "raw", "ratio", "goal");
    for _ in 0..ATTEMPTS_MAX {
        report.missed.clear();
        if wanted("remote") {
            remote(&asker, &one, time, singles, &mut report).await?;
        }
        for workers in [64, 1_000] {
            if wanted("commits") {
                commits(&raw, &one, workers, time, &mut report).await?;
            }
        }
        if wanted("hot") {
            hot(&raw, &one, time, &mut report).await?;
        }
        for missed in &report.missed {
            println!("below a third of its goal: {missed}");
        }
        if !report.check || report.missed.is_empty() {
            break;
        }
    }
    if wanted("activation") {
        let (ours, raw) = activation::measure(&url).await?;
        let ratio = raw.as_secs_f64() / ours.as_secs_f64();
        let (ours, raw) = (format!("{ours:.0?}"), format!("{raw:.0?}"));
        show("activation from snapshot, 100k-event history, p50", &ours, &raw, ratio, 0.5);
    }
    one.drain().await;
    two.drain().await;
    drop(server);
    if wanted("replicated") && !flag("--quick") {
        replicated::measure(time).await?;
    }
    anyhow::ensure!(
        !report.check || report.missed.is_empty(),
        "{} rows are below a third of their goal",
        report.missed.len()
    );
    Ok(())
}

/// A connection whose requests to `raw.echo` are answered by another one.
async fn echoed(url: &str) -> anyhow::Result<async_nats::Client> {
    let (asker, answerer) = (async_nats::connect(url).await?, async_nats::connect(url).await?);
    let mut asked = answerer.subscribe("raw.echo").await?;
    answerer.flush().await?;
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            if let Some(reply) = message.reply {
                let _ = answerer.publish(reply, message.payload).await;
            }
        }
    });
    Ok(asker)
}

async fn remote(
    asker: &async_nats::Client,
    node: &Runtime,
    time: Duration,
    singles: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let there = Arc::new(actors::<Binary>(node, 512, false)?);
    for actor in there.iter() {
        actor.ask(Put { fill: "x".into() }).await?;
        actor.ask(Get {}).await?;
    }
    let payload = bytes::Bytes::from(vec![b'x'; 64]);
    let echo = move |client: async_nats::Client, payload: bytes::Bytes| async move {
        client.request("raw.echo", payload).await.expect("an echo");
    };
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.extend(timed(singles, || async { read(&there[0]).await }).await);
        raw.extend(timed(singles, || echo(asker.clone(), payload.clone())).await);
    }
    let (ours, raw) = (median(ours), median(raw));
    let ratio = raw.as_secs_f64() / ours.as_secs_f64();
    report.row("remote ask, one at a time, p50", &format!("{ours:.0?}"), &format!("{raw:.0?}"), ratio, 1.0);
    for (workers, goal) in [(64, 1.8), (512, 3.0)] {
        let ours = |time| {
            let actors = Arc::clone(&there);
            let once = move |worker: usize| {
                let actor = actors[worker].clone();
                async move { read(&actor).await }
            };
            async move { Ok(rate(workers, time, once).await) }.boxed()
        };
        let raw = |time| {
            let (client, payload) = (asker.clone(), payload.clone());
            async move { Ok(rate(workers, time, move |_| echo(client.clone(), payload.clone())).await) }.boxed()
        };
        let [ours, raw] = in_turn(time, [&ours, &raw]).await?;
        let ratio = ours.per_second / raw.per_second;
        report.row(&format!("remote ask, {workers} in flight"), &ours.to_string(), &raw.to_string(), ratio, goal);
    }
    Ok(())
}

async fn read(actor: &ActorRef<Binary>) {
    std::hint::black_box(actor.ask(Get {}).await.expect("an answer"));
}

async fn commits(
    raw: &Arc<RawStream>,
    node: &Runtime,
    workers: usize,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let json = |time| async move { Ok(commit_rate(actors::<Json>(node, workers, true)?, workers, time).await) }.boxed();
    let [limit, binary, json, hand] =
        in_turn(time, [&raw.side(workers), &binary_side(node, workers), &json, &by_hand::side(raw, workers)]).await?;
    for (what, ours, goal) in [
        (format!("commit, {workers} actors, binary"), binary, 0.95),
        (format!("commit, {workers} actors, JSON"), json, f64::NAN),
        ("the same by hand".into(), hand, f64::NAN),
    ] {
        report.row(&what, &ours.to_string(), &limit.to_string(), ours.per_second / limit.per_second, goal);
    }
    Ok(())
}

async fn hot(raw: &Arc<RawStream>, node: &Runtime, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    let hot = |time| async move { Ok(commit_rate(actors::<Binary>(node, 1, true)?, 64, time).await) }.boxed();
    let hand = |time| by_hand::rate(&raw.context, 1, 64, time).map(Ok).boxed();
    let [limit, hand, hot] = in_turn(time, [&raw.side(1), &hand, &hot]).await?;
    let what = "commit, one hot actor, 64 in flight";
    show(what, &hot.to_string(), &limit.to_string(), hot.per_second / limit.per_second, f64::NAN);
    show("the same by hand", &hand.to_string(), &limit.to_string(), hand.per_second / limit.per_second, f64::NAN);
    report.row(
        "one hot actor beside by hand",
        &hot.to_string(),
        &hand.to_string(),
        hot.per_second / hand.per_second,
        0.5,
    );
    Ok(())
}

/// Commits of so many binary actors of this node.
fn binary_side<'a>(node: &'a Runtime, workers: usize) -> impl Fn(Duration) -> Measured<'a> {
    move |time| async move { Ok(commit_rate(actors::<Binary>(node, workers, true)?, workers, time).await) }.boxed()
}

async fn commit_rate<A>(actors: Vec<ActorRef<A>>, workers: usize, time: Duration) -> Rate
where
    A: Actor<Id = u64, Commands = (Put, Get)> + Handle<Put> + Handle<Get>,
{
    let actors = Arc::new(actors);
    for actor in actors.iter() {
        let _ = actor.ask(Put { fill: "x".into() }).await;
    }
    rate(workers, time, move |worker| {
        let actor = actors[worker % actors.len()].clone();
        async move {
            if let Err(error) = actor.ask(Put { fill: "x".repeat(FILL) }).await {
                println!("not committed: {error}");
            }
        }
    })
    .await
}

/// The stream of raw publishes.
const RAW: &str = "RAW";

/// Compare-and-set publishes as plain as they can be: each worker on its own subject, the next expectation from the
/// last acknowledgement.
struct RawStream {
    context: jetstream::Context,
    runs: AtomicUsize,
}

impl RawStream {
    async fn open(url: &str, replicas: usize) -> anyhow::Result<Self> {
        let context = jetstream::new(async_nats::connect(url).await?);
        let config = jetstream::stream::Config {
            name: RAW.into(),
            num_replicas: replicas,
            subjects: vec!["raw.ev.>".into()],
            discard: jetstream::stream::DiscardPolicy::New,
            ..Default::default()
        };
        context.create_stream(config).await?;
        Ok(Self { context, runs: AtomicUsize::new(0) })
    }

    fn side<'a>(self: &'a Arc<Self>, workers: usize) -> impl Fn(Duration) -> Measured<'a> {
        move |time| self.rate(workers, time).map(Ok).boxed()
    }

    async fn rate(self: &Arc<Self>, workers: usize, time: Duration) -> Rate {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let last: Arc<Vec<_>> = Arc::new((0..workers).map(|_| std::sync::atomic::AtomicU64::new(0)).collect());
        // As many bytes as a commit of ours with one small event.
        let payload = bytes::Bytes::from(vec![b'x'; 2 * FILL]);
        let context = self.context.clone();
        rate(workers, time, move |worker| {
            let (context, last, payload) = (context.clone(), Arc::clone(&last), payload.clone());
            async move {
                let expected = last[worker].load(Ordering::Relaxed);
                let stored = publish(&context, &format!("raw.ev.{run}.{worker}"), payload, expected).await;
                last[worker].store(stored, Ordering::Relaxed);
            }
        })
        .await
    }
}

/// Stores a message behind the one at `expected` on its subject, and answers where.
async fn publish(context: &jetstream::Context, subject: &str, payload: bytes::Bytes, expected: u64) -> u64 {
    let mut tries = 0;
    loop {
        let message = jetstream::message::PublishMessage::build()
            .payload(payload.clone())
            .expected_last_subject_sequence(expected);
        let sent = context.send_publish(subject.to_owned(), message).await.expect("sent");
        tries += 1;
        match sent.await {
            Ok(stored) => return stored.sequence,
            // Replicated streams say so of a subject whose last message is still in their pipeline.
            Err(_) if tries < RAW_TRIES_MAX => tokio::time::sleep(Duration::from_micros(500)).await,
            Err(refused) => panic!("no acknowledgement: {refused:?}"),
        }
    }
}

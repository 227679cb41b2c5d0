//! The hand-over of a shard's warm actors over a real nats-server, against one bulk transfer of the same bytes between two
//! connections in the same run.
//!
//! Ours is the time from when its owner sees that a shard of 1,000 actors (1 KiB of state each) is asked back until it reports
//! the release: everything captured, written down, sent, and, but for up to 64 KiB, kept by the destination and acknowledged. Raw is the time
//! from when as many bytes are published, in messages as large as the server takes, until the other side has answered that it
//! has them. Prints one line for states in the binary codec and one for JSON; with `--check` it fails where ours takes more than
//! six times as long, `--quick` runs a fifth.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark reads clocks and prints")]

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aether::prelude::*;
use aether_domain::ports::{Delivery, Frame};
use aether_domain::testing::life;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Namespace, NodeRef, ShardCount, ShardId, Slot,
};
use aether_infra_nats::NatsConfig;
use aether_runtime::actor::KindRegistry;
use aether_runtime::clock::{BootClock, Clock as _};
use aether_runtime::message::{Outcome, Payload, Responder, Work};
use aether_runtime::router::{HandOver, Local as _};
use aether_runtime::shard::{HostConfig, Release, ShardHost};
use aether_runtime::view::{Route, ServeLease, View};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use xtask::nats::{NatsServer, ServerOptions};

/// That of the `aether` program, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ACTORS: u64 = 1_000;
const STATE_BYTES: usize = 1024;
/// What one raw message has at most: below what a server takes by default.
const RAW_BYTES: usize = 1000 * 1024;
/// The shard they are all in.
const SHARD: ShardId = ShardId(0);

#[derive(Default, Serialize, Deserialize)]
struct Filled<const BINARY: bool> {
    text: String,
}
#[derive(Clone, Serialize, Deserialize)]
struct Touch {}
impl Command for Touch {
    const NAME: &'static str = "touch";
    type Reply = u64;
}
#[derive(Serialize, Deserialize)]
struct Touched {}
impl Event for Touched {}
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;
impl<const BINARY: bool> Actor for Filled<BINARY> {
    const KIND: &'static str = "filled";
    type Id = u64;
    type Event = Touched;
    type Error = Never;
    type Commands = (Touch,);
    fn settings() -> Settings {
        let codec = if BINARY { PayloadCodec::Binary } else { PayloadCodec::Json };
        Settings { codec, ..Settings::default() }
    }
    fn apply(&mut self, _: &Touched) {
        self.text = "x".repeat(STATE_BYTES);
    }
}
impl<const BINARY: bool> Handle<Touch> for Filled<BINARY> {
    fn handle(&self, _: Touch, _: &Ctx<Self>) -> Decision<Self, Touch> {
        Ok(Self::emit(Touched {}).reply(|filled| filled.text.len() as u64))
    }
}

/// A node's shards, with a way to the other one and no cluster around them.
struct Desk {
    host: ShardHost,
    me: NodeRef,
    released: mpsc::Receiver<Release>,
    sequence: AtomicU64,
}

impl Desk {
    async fn open<const BINARY: bool>(url: &str, name: &str) -> anyhow::Result<Self> {
        let namespace = Namespace::new(if BINARY { "binary" } else { "json" })?;
        let ports = aether_infra_nats::connect(&NatsConfig::new([url]), &namespace).await?.ports;
        let (me, lease) = (life(name, 1), Arc::new(ServeLease::default()));
        lease.extend(BootClock.now() + Duration::from_secs(3600));
        let mut kinds = KindRegistry::new();
        kinds.register::<Filled<BINARY>>()?;
        let config = HostConfig::new(Arc::new(BootClock), &ports, kinds, me.incarnation.0, lease, ShardCount::DEFAULT);
        let (host, released) = ShardHost::new(config);
        let (mut deliveries, listening) = (ports.transport.listen(&me).await?, host.clone());
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.next().await {
                let Delivery::Frames { from, frames } = delivery else { continue };
                for frame in frames {
                    match frame {
                        Frame::Warm(warm) => listening.hand_over(&from, HandOver::Warm(warm)),
                        Frame::WarmTaken(taken) => listening.hand_over(&from, HandOver::Taken(taken)),
                        Frame::Ask(_) | Frame::Answer(_) => {}
                    }
                }
            }
        });
        Ok(Self { host, me, released, sequence: AtomicU64::new(0) })
    }

    /// Both are members; the shard's route is that, and it may be on its way here.
    fn sees(&self, epoch: u64, other: &Self, route: Route, arriving: Option<Epoch>) {
        let mut view = View::empty(self.me.clone());
        view.epoch = Epoch(epoch);
        view.lives.insert(other.me.incarnation);
        view.routes = vec![Route::Nobody; ShardCount::DEFAULT.get()];
        view.routes[SHARD.index()] = route;
        view.arriving = arriving.into_iter().map(|drain_epoch| (SHARD, drain_epoch)).collect();
        self.host.view_changed(&Arc::new(view));
    }

    async fn touch_all(&self) {
        let asked = (0..ACTORS).map(|id| {
            let key = ActorKey {
                kind: ActorKind::new(Filled::<false>::KIND).expect("a kind"),
                id: ActorId::new(id.to_string()).expect("an id"),
            };
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
            let (respond, answer) = oneshot::channel();
            let work = Work {
                trace: None,
                id: CommandId { origin: self.me.incarnation, sequence },
                floor: sequence,
                actor: ActorAddress { key, slot: Slot(0) },
                command: Cow::Borrowed(Touch::NAME),
                payload: Payload::Typed(Box::new(Touch {})),
                message: None,
                mode: ReadMode::Strict,
                deadline: BootClock.now() + Duration::from_secs(60),
                attempt: 1,
            };
            self.host.deliver(work, Responder::Waiting(respond));
            answer
        });
        for outcome in futures_util::future::join_all(asked.collect::<Vec<_>>()).await {
            let outcome = outcome.expect("it is answered");
            assert!(matches!(outcome, Outcome::Replied(_)), "{outcome:?}");
        }
    }
}

/// How often it is measured before a miss counts: a neighbour's noise is no failure.
const ATTEMPTS_MAX: u64 = 3;

/// The shard goes from one to the other, asked back by the entry `epoch`; how long until it is released.
async fn hand_over(from: &mut Desk, to: &Desk, epoch: u64) -> anyhow::Result<Duration> {
    let drain_epoch = Epoch(epoch);
    to.sees(epoch, from, Route::Remote { owner: from.me.clone() }, Some(drain_epoch));
    let began = Instant::now();
    from.sees(epoch, to, Route::Leaving { epoch: Epoch(epoch - 1), drain_epoch, to: to.me.clone() }, None);
    let released = from.released.recv().await;
    let took = began.elapsed();
    anyhow::ensure!(released == Some((SHARD, drain_epoch)), "{released:?} was released");
    let next = epoch + 1;
    from.sees(next, to, Route::Remote { owner: to.me.clone() }, None);
    to.sees(next, from, Route::Mine { epoch: Epoch(next) }, None);
    Ok(took)
}

/// So many bytes from one connection to another, and back that they are there.
async fn bulk(from: &async_nats::Client, bytes: usize) -> anyhow::Result<Duration> {
    let payload = bytes::Bytes::from(vec![7_u8; bytes]);
    let began = Instant::now();
    let mut rest = payload;
    while rest.len() > RAW_BYTES {
        from.publish("raw.bulk", rest.split_to(RAW_BYTES)).await?;
    }
    from.request("raw.bulk", rest).await?;
    Ok(began.elapsed())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let rounds = if flag("--quick") { 10 } else { 50 };
    let server = NatsServer::start(ServerOptions::default())?;
    println!("{:<48} {:>10} {:>10} {:>8} {:>8}", "", "aether", "raw", "times", "at most");
    run::<true>(&server.url(), rounds, flag("--check")).await?;
    run::<false>(&server.url(), rounds, flag("--check")).await
}

async fn run<const BINARY: bool>(url: &str, rounds: u64, check: bool) -> anyhow::Result<()> {
    let (mut one, mut two) = (Desk::open::<BINARY>(url, "n1").await?, Desk::open::<BINARY>(url, "n2").await?);
    let (sender, receiver) = (async_nats::connect(url).await?, async_nats::connect(url).await?);
    let mut received = receiver.subscribe("raw.bulk").await?;
    receiver.flush().await?;
    tokio::spawn(async move {
        while let Some(message) = received.next().await {
            if let Some(reply) = message.reply {
                let _ = receiver.publish(reply, bytes::Bytes::new()).await;
            }
        }
    });
    one.sees(1, &two, Route::Mine { epoch: Epoch(1) }, None);
    two.sees(1, &one, Route::Remote { owner: one.me.clone() }, None);
    one.touch_all().await;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in 0..rounds * ATTEMPTS_MAX {
        let took = hand_over(&mut one, &two, 2 + 2 * round).await?;
        let moved = one.host.moves().into_iter().next().expect("it has just moved");
        anyhow::ensure!(moved.actors as u64 == ACTORS, "{} actors were captured", moved.actors);
        let raw_took = bulk(&sender, moved.bytes).await?;
        let before = two.host.stats();
        two.touch_all().await;
        let after = two.host.stats();
        let (used, read) = (after.warm_used - before.warm_used, after.activations - before.activations);
        anyhow::ensure!(used + read == ACTORS, "{used} came warm, {read} were read");
        // The first rounds warm everything else up as well. Where actors had to be read the machine had stopped for so long
        // that the release waited no longer: a slow round like others.
        if round >= rounds / 5 {
            ours.push(took);
            raw.push(raw_took);
        }
        std::mem::swap(&mut one, &mut two);
        if (round + 1) % rounds > 0 {
            continue;
        }
        let codec = if BINARY { "binary" } else { "JSON" };
        let ratio = report(codec, &mut std::mem::take(&mut ours), &mut std::mem::take(&mut raw));
        if !check || ratio <= 6.0 {
            return Ok(());
        }
    }
    anyhow::bail!("it takes more than three times what it may, {ATTEMPTS_MAX} times in a row");
}

/// Half of the rounds: how often ours is as long as the bulk transfer.
fn report(codec: &str, ours: &mut [Duration], raw: &mut [Duration]) -> f64 {
    ours.sort_unstable();
    raw.sort_unstable();
    let (ours, raw) = (ours[ours.len() / 2], raw[raw.len() / 2]);
    let ratio = ours.as_secs_f64() / raw.as_secs_f64();
    let what = format!("hand-over of 1,000 actors, 1 KiB each, {codec}");
    println!("{what:<48} {ours:>10.1?} {raw:>10.1?} {ratio:>8.2} {:>8.2}", 2.0);
    ratio
}

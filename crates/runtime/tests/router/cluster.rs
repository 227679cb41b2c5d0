//! A few nodes in one process, in paused time: real routers and links, a real (in-memory) transport, and stand-ins for
//! the shards that share one history, as real ones share the event store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether_domain::ports::{Answer, ReadMode};
use aether_domain::records::PayloadCodec;
use aether_domain::testing::life;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Monotonic, NodeRef, ShardCount, Slot, WallTime,
};
use aether_infra_memory::MemoryHub;
use aether_runtime::clock::Clock;
use aether_runtime::message::{Outcome, Payload, Responder, Work};
use aether_runtime::router::{Local, Outgoing, Router, RouterConfig, Written};
use aether_runtime::view::{Route, View};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The paused clock of tokio, as ours.
pub(crate) struct PausedClock(Instant);

impl PausedClock {
    #[expect(clippy::disallowed_methods, reason = "a clock of the tests: tokio's time is paused")]
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(1_000) + self.0.elapsed())
    }
    fn wall(&self) -> WallTime {
        WallTime::default()
    }
}

/// What all shards together have run, in order, and which commands that were.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) applied: Vec<(CommandId, String)>,
    replies: BTreeMap<CommandId, String>,
}

/// How long a command whose text begins with `slow` keeps its thread: a machine under load, too, does much else meanwhile.
pub(crate) const SLOW: Duration = Duration::from_secs(6);

/// The shards of one node: they run what is theirs in the view and answer with its text.
pub(crate) struct Shards {
    view: watch::Receiver<Arc<View>>,
    pub(crate) history: Arc<Mutex<History>>,
    /// The next so many commands are answered `Busy`.
    pub(crate) busy: AtomicU32,
    /// The next so many commands are kept, unanswered, in [`Self::kept`].
    pub(crate) keep: AtomicU32,
    pub(crate) kept: Mutex<Vec<(Work, Responder)>>,
    /// How many commands came in, repeats included.
    pub(crate) delivered: AtomicU32,
    /// The highest floor seen.
    pub(crate) attempts: Mutex<Vec<u8>>,
}

fn take_one(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
}

impl Local for Shards {
    fn deliver(&self, work: Work, respond: Responder) {
        self.delivered.fetch_add(1, Ordering::AcqRel);
        self.attempts.lock().expect("no panic").push(work.attempt);
        if take_one(&self.busy) {
            return respond.respond(Outcome::Other(Answer::Busy));
        }
        if take_one(&self.keep) {
            return self.kept.lock().expect("no panic").push((work, respond));
        }
        self.run(work, respond);
    }
}

impl Shards {
    /// Runs what was kept, now.
    pub(crate) fn run_kept(&self) {
        let kept = std::mem::take(&mut *self.kept.lock().expect("no panic"));
        for (work, respond) in kept {
            self.run(work, respond);
        }
    }

    fn run(&self, work: Work, respond: Responder) {
        let view = self.view.borrow().clone();
        match view.route(work.actor.slot.shard(view.shards)) {
            Route::Mine { .. } => {}
            Route::Leaving { to, .. } => {
                return respond.respond(Outcome::Other(Answer::Moving { to: Some(to.node.clone()) }));
            }
            Route::Nobody | Route::Remote { .. } => {
                return respond.respond(Outcome::Other(Answer::NotOwner { owner: None }));
            }
        }
        let text = match &work.payload {
            Payload::Typed(value) => value.downcast_ref::<String>().expect("a text").clone(),
            Payload::Encoded(_, bytes) => String::from_utf8(bytes.to_vec()).expect("a text"),
        };
        // What is sent again because no answer came is not run again.
        let known = self.history.lock().expect("no panic").replies.contains_key(&work.id);
        if text.starts_with("slow") && !known {
            std::thread::sleep(SLOW);
        }
        assert!(!text.starts_with("panic"), "as no shard should");
        let mut history = self.history.lock().expect("no panic");
        let known = history.replies.get(&work.id).cloned();
        let reply = known.unwrap_or_else(|| {
            assert!(work.floor <= work.id.sequence, "a floor above its own command");
            history.applied.push((work.id, text.clone()));
            history.replies.insert(work.id, format!("{text}!"));
            format!("{text}!")
        });
        drop(history);
        respond.respond(Outcome::Replied(match work.payload {
            Payload::Typed(_) => Payload::Typed(Box::new(reply)),
            Payload::Encoded(codec, _) => Payload::Encoded(codec, reply.into()),
        }));
    }
}

/// One node.
pub(crate) struct Node {
    pub(crate) me: NodeRef,
    pub(crate) router: Router,
    pub(crate) shards: Arc<Shards>,
    pub(crate) views: watch::Sender<Arc<View>>,
    shutdown: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Node {
    /// A node that does not listen yet and knows no topology.
    pub(crate) fn new(hub: &MemoryHub, name: &str, history: &Arc<Mutex<History>>) -> Self {
        let me = life(name, 1);
        let (views, view) = watch::channel(Arc::new(View::empty(me.clone())));
        let shards = Arc::new(Shards {
            view: view.clone(),
            history: history.clone(),
            busy: AtomicU32::new(0),
            keep: AtomicU32::new(0),
            kept: Mutex::default(),
            delivered: AtomicU32::new(0),
            attempts: Mutex::default(),
        });
        let transport = hub.ports(&me.node).transport;
        let config = RouterConfig { clock: Arc::new(PausedClock::new()), transport, local: shards.clone(), view };
        let (router, shutdown) = (Router::new(config), CancellationToken::new());
        Self { me, router, shards, views, shutdown, running: None }
    }

    /// Lets it listen.
    pub(crate) fn run(mut self) -> Self {
        let (router, shutdown) = (self.router.clone(), self.shutdown.clone());
        self.running = Some(tokio::spawn(async move { router.run(shutdown).await }));
        self
    }

    /// Ends it in good order.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            running.await.expect("the router ends without a panic");
        }
    }

    /// Asks an actor in that slot, in bytes.
    pub(crate) async fn ask(&self, slot: u16, text: &str) -> String {
        worded(self.router.ask(to(slot, text)).await)
    }

    pub(crate) fn delivered(&self) -> u32 {
        self.shards.delivered.load(Ordering::Acquire)
    }
}

/// A command in bytes, for an actor in that slot.
pub(crate) fn to(slot: u16, text: &str) -> Outgoing<Written> {
    let kind = ActorKind::new("account").expect("a kind");
    let key = ActorKey { kind, id: ActorId::new(format!("{slot}")).expect("an id") };
    Outgoing {
        trace: None,
        actor: ActorAddress { key, slot: Slot(slot) },
        command: "say".into(),
        parcel: Written { codec: PayloadCodec::Json, bytes: text.to_string().into() },
        message: None,
        mode: ReadMode::Strict,
        timeout: Duration::from_secs(10),
    }
}

/// An outcome in words.
pub(crate) fn worded(outcome: Outcome) -> String {
    match outcome {
        Outcome::Replied(Payload::Encoded(_, bytes)) => String::from_utf8(bytes.to_vec()).expect("a text"),
        other => format!("{other:?}"),
    }
}

/// Several nodes that share a history.
pub(crate) struct Cluster {
    pub(crate) hub: MemoryHub,
    pub(crate) nodes: BTreeMap<&'static str, Node>,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) epoch: u64,
}

impl Cluster {
    /// These nodes, all listening, with every shard at `owner`.
    pub(crate) async fn of(names: &[&'static str], owner: &str) -> Self {
        let (hub, history) = (MemoryHub::new(), Arc::<Mutex<History>>::default());
        let node = |name: &&'static str| (*name, Node::new(&hub, name, &history).run());
        let nodes = names.iter().map(node).collect();
        let mut cluster = Self { hub, nodes, history, epoch: 0 };
        cluster.give_all(owner);
        cluster.settle().await;
        cluster
    }

    /// Lets every task run until all wait: time is paused, so it passes only when nothing else can happen.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// A next epoch that every node sees at once.
    pub(crate) fn give_all(&mut self, owner: &str) {
        self.epoch += 1;
        for name in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.show(name, self.epoch, owner, &[]);
        }
    }

    /// Shows one node an epoch in which `owner` has every shard and the lives in `gone` are no members.
    pub(crate) fn show(&self, name: &str, epoch: u64, owner: &str, gone: &[&str]) {
        let members: Vec<_> = self.nodes.keys().filter(|name| !gone.contains(name)).collect();
        let node = &self.nodes[name];
        let me = node.views.borrow().me.clone();
        let mut view = View::empty(me.clone());
        let epoch = Epoch(epoch);
        let life_of = |name: &str| self.nodes[name].views.borrow().me.clone();
        let route = match owner {
            "-" => Route::Nobody,
            owner if life_of(owner) == me => Route::Mine { epoch },
            owner => Route::Remote { owner: life_of(owner) },
        };
        (view.epoch, view.shards) = (epoch, ShardCount::new(16).expect("a power of two"));
        view.routes = vec![route; 16];
        view.lives.extend(members.iter().map(|name| life_of(name).incarnation));
        node.views.send_replace(Arc::new(view));
    }

    pub(crate) fn node(&self, name: &str) -> &Node {
        &self.nodes[name]
    }

    /// The texts that were applied, in order.
    pub(crate) fn applied(&self) -> Vec<String> {
        self.history.lock().expect("no panic").applied.iter().map(|(_, text)| text.clone()).collect()
    }
}

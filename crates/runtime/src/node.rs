//! One running node: the control plane, the shards, the router and the gateway, wired over the ports.
//!
//! It wires and starts; every decision is in a machine. What users see of it is the `aether` crate's `Node`.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aether_domain::cluster::{ClusterSettings, NodeInfo};
use aether_domain::ports::{
    ControlStore, DeadLetters, Delivery, Frame, Ports, SendError, TopologyLog, Transport, Updates, Whose,
};
use aether_domain::records::{Health, Load};
use aether_domain::timing::Profile;
use aether_domain::{ActorId, ActorKey, ActorKind, InvalidId, Monotonic, Namespace, NodeId, NodeRef, Nonce};
use aether_placement::ShardHash;
use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::{Actor, KindRegistry};
use crate::actor_ref::ActorRef;
use crate::clock::Clock;
use crate::control::service::{self, INBOX_MAX, Status, Wiring};
use crate::control::{ControlConfig, Input, Machine, OnRegression, SNAPSHOT_EVERY, StopReason, Strategies};
use crate::feed::{Feed, FeedHandler, FeedOptions, FeedStats, Feeds, SubscribeError};
use crate::gateway;
use crate::handover::{HandoverStats, MoveStatus};
use crate::message::{Responder, Told, Work};
use crate::projection::{self, Migrated, Projections, Rebalancings};
use crate::router::{HandOver, Local, Router, RouterConfig, RouterStats};
use crate::shard::{HostConfig, HostStats, KindStats, MemoryLimits, Quarantined, ShardHost, Watchdog};
use crate::splitbrain::service::{Belief, LEASES_MAX};
use crate::splitbrain::{self, SplitBrain};
use crate::spread::Spread;
use crate::subscription::{
    Grown, Growth, ShardMigrations, Since, TopologyEvents, migrations_of, topology_events_beside,
};
use crate::view::{ServeLease, View};
use crate::vitals::{Costs, Vitals};

/// How long a handler that runs is waited for when the node ends.
const HANDLER_ENDS_WITHIN: Duration = Duration::from_secs(3);
/// How long a node that is to leave stays for the answers that its gateway's clients wait for, and for its feeds to be given back.
const TIED_UP_WITHIN: Duration = Duration::from_secs(2);

/// What a node is told once.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster's namespace: part of every actor's hash.
    pub namespace: Namespace,
    /// This node's id.
    pub node: NodeId,
    /// The cluster's timers.
    pub profile: Profile,
    /// What a cluster founded by this node is founded with, and what an existing one must have.
    pub settings: ClusterSettings,
    /// What this node is like; its weight is at least 1.
    pub info: NodeInfo,
    /// Where its admin pages are; empty if nowhere.
    pub admin_url: String,
    /// All this process's randomness comes from it: 64 bits of entropy, never used twice.
    pub seed: u64,
    /// The build, for people.
    pub build: String,
    /// What this process's supervisor knows it by, if it has one: it goes into the member record.
    pub supervisor: Option<Nonce>,
    /// What to do once a store has surely lost what it had acknowledged.
    pub on_regression: OnRegression,
    /// The placement strategies that it knows; every node should know the same.
    pub strategies: Strategies,
    /// The most its shards hold in memory.
    pub limits: MemoryLimits,
}

/// Why a node did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The settings name a hash that this build does not have.
    #[error("this build has no shard hash number {hash}; it has {}", ShardHash::ID)]
    UnknownHash {
        /// The number asked for.
        hash: u8,
    },
    /// A node without weight would be given nothing.
    #[error("the node's weight is 0; it must be at least 1")]
    Weightless,
    /// No other node could read what this one says of itself.
    #[error("the node has {count} tags; it may have at most {}", NodeInfo::TAGS_MAX)]
    TooManyTags {
        /// How many it was given.
        count: usize,
    },
}

/// Numbers of this node since its process started.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Of its shards.
    pub host: HostStats,
    /// Of its router.
    pub router: RouterStats,
}

impl Local for ShardHost {
    fn deliver(&self, work: Work, respond: Responder) {
        Self::deliver(self, work, respond);
    }
    fn ask(&self, work: Work, deadline: &dyn Fn() -> Monotonic) -> Told {
        Self::ask(self, work, deadline)
    }
    fn hand_over(&self, from: &NodeRef, what: HandOver) {
        Self::hand_over(self, from, what);
    }
    fn unreachable(&self, to: &NodeRef) {
        Self::unreachable(self, to);
    }
}

/// A running node. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    strategies: Strategies,
    hash: ShardHash,
    router: Router,
    host: ShardHost,
    status: watch::Receiver<Arc<Status>>,
    log: Arc<dyn TopologyLog>,
    grown: Arc<Grown>,
    split_brain: watch::Receiver<Arc<SplitBrain>>,
    projections: Arc<RwLock<Projections>>,
    migrated: Arc<Migrated>,
    rebalancings: Arc<Rebalancings>,
    gateway_listens: watch::Receiver<bool>,
    feeds: Feeds,
    leaving: Leaving,
    stopped: watch::Receiver<Option<StopReason>>,
    control_store: Arc<dyn ControlStore>,
    dead_letters: Arc<dyn DeadLetters>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// What a node does before it asks to be let go.
#[derive(Clone)]
struct Leaving {
    /// Cancelled once no client's request is to be taken any more.
    takes_requests: CancellationToken,
    /// Ends once every client that has asked through this node is answered.
    gateway_listens: watch::Receiver<bool>,
    feeds: Feeds,
    control: mpsc::Sender<Input>,
}

impl Leaving {
    /// Takes no more requests of clients and gives its feeds back, waits until those it has taken are answered, and asks. Who is
    /// no member any more is told nothing, so the answers come before that.
    async fn leave(&self) {
        self.takes_requests.cancel();
        let mut listens = self.gateway_listens.clone();
        let answered = async { while listens.changed().await.is_ok() {} };
        // Feeds that take longer are given back beside what follows.
        let (answered, _) = tokio::join!(timeout(TIED_UP_WITHIN, answered), timeout(TIED_UP_WITHIN, self.feeds.stop()));
        if answered.is_err() {
            tracing::warn!(
                "clients that asked through this node have waited for long and may be left without an answer"
            );
        }
        // A node that has ended already has nothing to be told.
        let _ = self.control.send(Input::Leave).await;
    }
}

impl Runtime {
    /// The placement strategies that it knows.
    pub fn strategies(&self) -> &Strategies {
        &self.inner.strategies
    }

    /// Starts a node within the present tokio runtime. It then joins by itself: see [`Self::status`].
    ///
    /// # Errors
    /// [`StartError`], before anything was written anywhere.
    pub fn start(
        ports: Ports,
        clock: Arc<dyn Clock>,
        config: NodeConfig,
        kinds: KindRegistry,
    ) -> Result<Self, StartError> {
        if config.settings.hash != ShardHash::ID {
            return Err(StartError::UnknownHash { hash: config.settings.hash });
        }
        if config.info.weight == 0 {
            return Err(StartError::Weightless);
        }
        if config.info.tags.len() > NodeInfo::TAGS_MAX {
            return Err(StartError::TooManyTags { count: config.info.tags.len() });
        }
        let hash = ShardHash::v1(config.settings.hash_seed, &config.namespace);
        let control_config = ControlConfig {
            profile: config.profile,
            settings: config.settings,
            info: config.info.clone(),
            admin_url: config.admin_url.clone(),
            build: config.build.clone(),
            supervisor: config.supervisor,
            reads: ports.reads,
            on_regression: config.on_regression,
            strategies: config.strategies.clone(),
            snapshot_every: SNAPSHOT_EVERY,
        };
        let machine = Machine::new(config.node.clone(), control_config, config.seed);
        let me = machine.me().clone();
        let feeds = Feeds::new(&ports, Arc::clone(&clock), me.clone(), config.seed.rotate_left(16) ^ 0x46_4545_4453);
        let (view, views) = watch::channel(Arc::new(View::empty(me)));
        let (status, statuses) = watch::channel(Arc::new(Status::of(&machine, clock.now())));
        let (notify, inbox) = mpsc::channel(INBOX_MAX);
        let (lease_seen, leases) = mpsc::channel(LEASES_MAX);
        let lease = Arc::new(ServeLease::default());
        let serving = Arc::clone(&lease);
        let mut host_config = HostConfig::new(
            Arc::clone(&clock),
            &ports,
            kinds,
            // A stream of randomness apart from the control plane's.
            config.seed.rotate_left(32) ^ 0x5348_4152_4453,
            Arc::clone(&lease),
            config.settings.shards,
        );
        host_config.limits = config.limits;
        let (host, releases) = ShardHost::new(host_config);
        let transport: Arc<dyn Transport> =
            Arc::new(Tapped { inner: Arc::clone(&ports.transport), unreachable: notify.clone() });
        let router = Router::new(RouterConfig {
            clock: Arc::clone(&clock),
            transport: Arc::clone(&transport),
            local: Arc::new(host.clone()),
            view: views.clone(),
        });
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (log, grown) = (Arc::clone(&ports.log), Arc::<Grown>::default());
        let (report, split_brain) = watch::channel(Arc::default());
        let watch_wiring = splitbrain::service::Wiring {
            claims: ports.claims,
            clock: Arc::clone(&clock),
            events: recorded(&log, &grown, Since::Recent(splitbrain::machine::EPOCHS_MAX as u64)),
            leases,
            belief: Belief { status: statuses.clone(), view: views },
            report,
        };
        tasks.spawn(splitbrain::service::run(watch_wiring, shutdown.clone()));
        let projections = Arc::<RwLock<Projections>>::default();
        let recent = recorded(&log, &grown, Since::Recent(projection::audit::RECORDS_MAX as u64));
        let (kept, ended) = (projection::keep(recent, Arc::clone(&projections)), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = kept => {}
            }
        });
        let rebalancings = Arc::<Rebalancings>::default();
        let noted = Arc::clone(&rebalancings);
        let events = recorded(&log, &grown, Since::Now).inspect(move |told| {
            if let Ok(record) = told {
                noted.note(record);
            }
        });
        let migrations = migrations_of(Arc::clone(&log), Box::pin(events));
        let migrated = Arc::<Migrated>::default();
        let counting = projection::migrations::count(migrations, config.node.clone(), Arc::clone(&migrated));
        let ended = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = counting => {}
            }
        });
        let (takes_requests, leave) = (shutdown.child_token(), CancellationToken::new());
        let (listening, gateway_listens) = watch::channel(false);
        let leaving = Leaving {
            takes_requests: takes_requests.clone(),
            gateway_listens: gateway_listens.clone(),
            feeds: feeds.clone(),
            control: notify.clone(),
        };
        // Whoever is made to leave by others does so as one that is told to by its own process.
        let (made_to, asked, ended) = (leaving.clone(), leave.clone(), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = asked.cancelled() => made_to.leave().await,
            }
        });
        let (loaded, shards) = (host.clone(), host.clone());
        let (control_store, dead_letters) = (Arc::clone(&ports.control), Arc::clone(&ports.dead_letters));
        let wiring = Wiring {
            control: ports.control,
            log: ports.log,
            transport,
            clock: Arc::clone(&clock),
            lease,
            publish: Box::new(move |next| {
                shards.view_changed(&next);
                view.send_replace(next);
            }),
            status,
            grown: Arc::clone(&grown),
            leave,
            leases: lease_seen,
            carries: Box::new(carried(loaded, router.clone(), Arc::clone(&clock))),
            costs: Box::new(costs(host.clone(), Arc::clone(&clock))),
        };
        let (stop, stopped) = watch::channel(None);
        let part_ended = stop.clone();
        // Whoever watches the status sees it end only after the reason is there to be read.
        let last_status = wiring.status.clone();
        let (control_notify, control_shutdown) = (notify.clone(), shutdown.clone());
        tasks.spawn(async move {
            let control = service::run(machine, wiring, (control_notify, inbox), releases, control_shutdown.clone());
            let reason = AssertUnwindSafe(control).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("the control plane panicked: this node tells nobody that it lives any more, and ends");
                Some(StopReason::PartEnded { part: "control plane" })
            });
            stop.send_if_modified(|known| {
                known.is_none() && {
                    *known = reason;
                    known.is_some()
                }
            });
            control_shutdown.cancel();
            drop(last_status);
        });
        let (running, router_shutdown) = (router.clone(), shutdown.clone());
        tasks.spawn(async move {
            let ended = AssertUnwindSafe(running.run(router_shutdown.clone())).catch_unwind().await;
            if ended.is_err() || !router_shutdown.is_cancelled() {
                tracing::error!("routing has ended by itself: this node answers nobody any more and ends");
                part_ended.send_replace(Some(StopReason::PartEnded { part: "routing" }));
                router_shutdown.cancel();
            }
        });
        let standing = gateway::Standing { clock: Arc::clone(&clock), lease: serving, listening };
        tasks.spawn(gateway::serve(ports.gateway, router.clone(), hash, standing, takes_requests.clone()));
        let inner = Inner {
            strategies: config.strategies,
            hash,
            router,
            host,
            status: statuses,
            log,
            grown,
            split_brain,
            projections,
            migrated,
            rebalancings,
            gateway_listens,
            feeds,
            leaving,
            stopped,
            control_store,
            dead_letters,
            shutdown,
            tasks,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What this node is doing, as it changes.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.inner.status.clone()
    }

    /// Whether requests of clients reach this node: from soon after it serves for the first time.
    pub fn gateway_listens(&self) -> watch::Receiver<bool> {
        self.inner.gateway_listens.clone()
    }

    /// Every entry of the topology log behind `since`, and every later one: see [`crate::subscription`].
    ///
    /// It reads the log by itself, at the pace of whoever polls it. It outlives the node's membership, its faults and its
    /// end, as long as the connection does.
    pub fn topology_events(&self, since: Since) -> TopologyEvents {
        recorded(&self.inner.log, &self.inner.grown, since)
    }

    /// Every shard that a planned move has given another owner behind `since`, and every later one: see
    /// [`crate::subscription::shard_migrations`]. It reads the log as [`Self::topology_events`] does.
    pub fn shard_migrations(&self, since: Since) -> ShardMigrations {
        migrations_of(Arc::clone(&self.inner.log), self.topology_events(since))
    }

    /// How many shards planned moves have brought to this node, and taken from it, since it started.
    pub fn migrated(&self) -> &Migrated {
        &self.inner.migrated
    }

    /// What redistribution has come to since this process started.
    pub fn rebalancings(&self) -> &Rebalancings {
        &self.inner.rebalancings
    }

    /// What the actors of each kind have done here, in the order of the kinds' names.
    pub fn kind_stats(&self) -> Vec<KindStats> {
        self.inner.host.kind_stats()
    }

    /// How long commands took here: see [`ShardHost::command_times`].
    pub fn command_times(&self) -> Spread {
        self.inner.host.command_times()
    }

    /// How long the store took over this node's records.
    pub fn append_times(&self) -> Spread {
        self.inner.host.append_spread()
    }

    /// Looks at what happened and at how everybody is, as far as the log has been read.
    pub fn projected<R>(&self, look: impl FnOnce(&Projections) -> R) -> R {
        look(&self.inner.projections.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What this node's watch for split brains has seen, as it changes.
    pub fn split_brain(&self) -> watch::Receiver<Arc<SplitBrain>> {
        self.inner.split_brain.clone()
    }

    /// Numbers since the process started.
    pub fn stats(&self) -> Stats {
        Stats { host: self.inner.host.stats(), router: self.inner.router.stats() }
    }

    /// The moves of shards that this node knows of as their source or destination, the latest first; at most 1,024.
    pub fn moves(&self) -> Vec<MoveStatus> {
        self.inner.host.moves()
    }

    /// What it has handed over of actors that follow their shards.
    pub fn handover_stats(&self) -> HandoverStats {
        self.inner.host.handover_stats()
    }

    /// The actors that this node has set aside until a person looks, at most 1,024 of them.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.inner.host.quarantined()
    }

    /// The store of control records, for what operators ask.
    pub fn control_store(&self) -> &Arc<dyn ControlStore> {
        &self.inner.control_store
    }

    /// The store of commands that were given up.
    pub fn dead_letters(&self) -> &Arc<dyn DeadLetters> {
        &self.inner.dead_letters
    }

    /// Watches over how long handlers run, from a thread of its own, until the node ends.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn watch_handlers(&self, watchdog: Watchdog) -> std::io::Result<()> {
        self.inner.host.watch_handlers(watchdog)
    }

    /// The router: what [`ActorRef`]s and the gateway go through.
    pub fn router(&self) -> &Router {
        &self.inner.router
    }

    /// A reference to one actor; it need not exist yet.
    ///
    /// # Errors
    /// [`InvalidId`] if the id's text is empty or longer than [`ActorId::BYTES_MAX`] bytes.
    pub fn actor<A: Actor>(&self, id: &A::Id) -> Result<ActorRef<A>, InvalidId> {
        ActorRef::new(self.inner.router.clone(), &self.inner.hash, id)
    }

    /// Where an actor is kept: its kind and id with their slot.
    ///
    /// # Errors
    /// [`InvalidId`] if either name is not valid.
    pub fn address(&self, kind: &str, id: &str) -> Result<aether_domain::ActorAddress, InvalidId> {
        let key = ActorKey { kind: ActorKind::new(kind)?, id: ActorId::new(id)? };
        Ok(self.inner.hash.address(key))
    }

    /// Hands every stored event of that kind of actor, and every later one, to `handler`: durably, at least once, in each
    /// actor's order. See [`crate::feed`].
    ///
    /// One of the nodes that subscribe under a name works, the others stand by: each must ask for the same events and do the
    /// same with them.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing has begun.
    pub fn subscribe<A: Actor>(
        &self,
        name: &str,
        options: FeedOptions,
        handler: impl FeedHandler<A::Event>,
    ) -> Result<Feed, SubscribeError> {
        let of = match &options.actor {
            Some(id) => Whose::Actor(self.address(A::KIND, id)?),
            None => Whose::Kind(ActorKind::new(A::KIND)?),
        };
        self.inner.feeds.subscribe(name, of, options, handler)
    }

    /// How every feed that this node ever subscribed to stands, by name.
    pub fn feeds(&self) -> Vec<Arc<FeedStats>> {
        self.inner.feeds.stats()
    }

    /// Leaves the cluster in good order: answers the clients that have asked through it and gives its feeds back (for 2 s at most),
    /// hands every shard over, is let go, and ends. Answers once it has ended, at the latest after 22 s and what [`Self::stop`] takes.
    pub async fn drain(&self) -> Option<StopReason> {
        self.inner.leaving.leave().await;
        let reason = self.stopped().await;
        self.stop().await;
        reason
    }

    /// Waits until the node ends by itself; `None` if it was stopped by [`Self::stop`].
    pub async fn stopped(&self) -> Option<StopReason> {
        let mut stopped = self.inner.stopped.clone();
        let ended = stopped.wait_for(Option::is_some);
        tokio::select! {
            biased;
            reason = ended => reason.ok().and_then(|reason| reason.clone()),
            () = self.inner.shutdown.cancelled() => self.inner.stopped.borrow().clone(),
        }
    }

    /// Ends at once, without a word to anybody: to the others it looks like a crash. A handler cannot be cut: one that still runs
    /// after 3 s is left to the watchdog, and keeps its thread.
    pub async fn stop(&self) {
        self.inner.shutdown.cancel();
        let ended = async {
            self.inner.feeds.kill().await;
            self.inner.host.close().await;
            self.inner.tasks.close();
            self.inner.tasks.wait().await;
        };
        let stuck = async {
            loop {
                tokio::time::sleep(HANDLER_ENDS_WITHIN).await;
                if self.inner.host.runs_a_handler() {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            () = ended => {}
            () = stuck => tracing::error!("a handler does not end: the node ends without it"),
        }
    }
}

/// The log as it is stored, behind `since`, for a node that folds it.
fn recorded(log: &Arc<dyn TopologyLog>, grown: &Arc<Grown>, since: Since) -> TopologyEvents {
    topology_events_beside(Arc::clone(log), since, grown.at(), Growth::Node(Arc::clone(grown)))
}

/// What the node carries and how well it is, measured each time it is asked.
fn carried(host: ShardHost, router: Router, clock: Arc<dyn Clock>) -> impl Fn() -> (Load, Health) + Send + Sync {
    let vitals = Vitals::begin(Arc::clone(&clock), host.append_times());
    let last = std::sync::Mutex::new((clock.now(), 0_u64));
    move || {
        let (stats, now) = (host.stats(), clock.now());
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = std::mem::replace(&mut *last, (now, stats.commands));
        let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = (stats.commands - before).saturating_mul(1000) / millis;
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let load = Load { actors: small(stats.resident_actors as u64), commands_per_second: small(rate) };
        (load, vitals.read(host.stuck_for(), router.tallies(), host.unserved()))
    }
}

/// What each shard costs this node, measured each time it is asked and a window is over.
fn costs(host: ShardHost, clock: Arc<dyn Clock>) -> impl Fn() -> Option<Vec<u32>> + Send + Sync {
    let costs = std::sync::Mutex::new(Costs::default());
    move || costs.lock().unwrap_or_else(PoisonError::into_inner).read(clock.now(), || host.done())
}

/// The transport, telling the control plane of everybody who cannot be reached.
struct Tapped {
    inner: Arc<dyn Transport>,
    unreachable: mpsc::Sender<Input>,
}

#[async_trait]
impl Transport for Tapped {
    async fn listen(&self, me: &NodeRef) -> Result<Updates<Delivery>, SendError> {
        let tell = self.unreachable.clone();
        let deliveries = self.inner.listen(me).await?;
        Ok(Box::pin(deliveries.inspect(move |delivery| {
            if let Delivery::Unreachable { to } = delivery {
                // A hint that is missed comes again; the loop must not be kept waiting for it.
                let _ = tell.try_send(Input::Unreachable(to.clone()));
            }
        })))
    }

    async fn send(&self, from: &NodeRef, to: &NodeRef, frames: Vec<Frame>) -> Result<(), SendError> {
        self.inner.send(from, to, frames).await
    }
}

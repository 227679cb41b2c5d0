//! All shards of one node: runs their machines, does their I/O, and answers.
//!
//! Whoever brings something to a shard and finds it free runs it on the spot; whoever finds it busy leaves it in the
//! shard's inbox, and the holder goes on with that when it is done. So nobody waits for a lock, and a slow handler delays
//! its shard-mates only. Decisions are the machine's; how a shard is taken is in `cell.rs`, what is done about its
//! decisions in `inner.rs`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use aether_domain::ports::{DeadLetters, EventStore, Ports, SnapshotStore, Transport, WakeStore};
use aether_domain::{Epoch, Monotonic, NodeRef, ShardCount, ShardId, ShardSet};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::NextShard;
use super::bounds::{SAVING_KIB_MAX, TICK_EVERY};
use super::cell::{Cell, lock};
use super::clocks::Clocks;
use super::inner::Inner;
use super::input::Input;
use super::letters::Letterbox;
use super::loads::Loads;
use super::machine::ShardMachine;
use super::memory::{KindStats, Memory, MemoryLimits};
use super::quarantine::{Quarantined, Ward};
use super::reconcile::{RECONCILE_EVERY, Stays};
use super::stats::HostStats;
use super::wakes::{self, Wakes};
use super::watchdog::Watchdog;
use crate::actor::KindRegistry;
use crate::clock::Clock;
use crate::handover::{Handover, HandoverStats, MoveStatus, keep_time};
use crate::message::{Responder, Told, Work};
use crate::router::HandOver;
use crate::spread::Spread;
use crate::view::{Route, ServeLease, View};
use crate::vitals::{Done, Latencies};

/// What a node's shards are run with.
pub struct HostConfig {
    /// The machine's clocks.
    pub clock: Arc<dyn Clock>,
    /// Where histories are kept.
    pub events: Arc<dyn EventStore>,
    /// Where snapshots of actors are kept.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Where it is kept when which actor has to be looked at.
    pub wakes: Arc<dyn WakeStore>,
    /// The way to other nodes, for actors that follow their shards.
    pub transport: Arc<dyn Transport>,
    /// Where commands go that are given up.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The actor kinds this node knows.
    pub kinds: KindRegistry,
    /// Makes the nonces of records. Another one for each life of a node.
    pub seed: u64,
    /// Until when this life may serve.
    pub lease: Arc<ServeLease>,
    /// How many shards the cluster has.
    pub shards: ShardCount,
    /// The most histories read at once: a mass activation after a failure must not drown what is live. At least 1.
    pub loads_max: usize,
    /// The most appends under way at once. At least 1.
    pub appends_max: usize,
    /// The most that is held in memory.
    pub limits: MemoryLimits,
}

impl HostConfig {
    /// These parts, 64 loads and 1,024 appends at once, and the default limits on memory.
    pub fn new(
        clock: Arc<dyn Clock>,
        ports: &Ports,
        kinds: KindRegistry,
        seed: u64,
        lease: Arc<ServeLease>,
        shards: ShardCount,
    ) -> Self {
        let Ports { events, snapshots, wakes, transport, dead_letters, .. } = ports.clone();
        let (loads_max, appends_max, limits) = (64, 1024, MemoryLimits::default());
        Self {
            clock,
            events,
            snapshots,
            wakes,
            transport,
            dead_letters,
            kinds,
            seed,
            lease,
            shards,
            loads_max,
            appends_max,
            limits,
        }
    }
}

/// All shards of one node. Clones are the same host.
#[derive(Clone)]
pub struct ShardHost {
    pub(super) inner: Arc<Inner>,
}

/// What a shard has given up, with the epoch of the entry that asked for it.
pub type Release = (ShardId, Epoch);

impl ShardHost {
    /// A host that owns no shard yet, and the channel on which it reports what it has released (one place a shard; its
    /// reader should not stop reading while the host lives). Must be called on a tokio runtime, which does its I/O.
    pub fn new(config: HostConfig) -> (Self, mpsc::Receiver<Release>) {
        let (releases, released) = mpsc::channel(config.shards.get());
        let kinds = Arc::new(config.kinds);
        let memory = Arc::new(Memory::new(config.limits, &kinds));
        let cell = |shard: ShardId| {
            let seed = config.seed.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::from(shard.0) + 1));
            Cell::new(ShardMachine::new(kinds.clone(), seed, memory.clone()), memory.clone())
        };
        let wakes = Arc::new(Wakes::new(config.wakes));
        let tasks = TaskTracker::new();
        let inner = Arc::new_cyclic(|this: &Weak<Inner>| Inner {
            this: this.clone(),
            handover: Arc::new(Handover::new(config.clock.clone(), config.transport, this.clone(), tasks.clone())),
            clocks: Clocks::new(config.clock, config.lease),
            events: config.events,
            snapshots: config.snapshots,
            wakes: wakes.clone(),
            shards: config.shards,
            cells: config.shards.all().map(cell).collect(),
            memory: memory.clone(),
            telling: Mutex::default(),
            view: Mutex::default(),
            letters: Letterbox::new(config.dead_letters),
            ward: Ward::default(),
            releases,
            loads: Mutex::new(Loads::new(config.loads_max)),
            evict_from: NextShard::default(),
            appends: Box::new(Semaphore::new(config.appends_max)),
            appended: Box::default(),
            saves: Arc::new(Semaphore::new(SAVING_KIB_MAX)),
            append_times: Arc::default(),
            append_spread: Box::default(),
            command_spread: Box::default(),
            runtime: Handle::current(),
            tasks,
            closing: CancellationToken::new(),
            closed: AtomicBool::new(false),
            slow_handlers: AtomicU64::new(0),
            shards_fenced: AtomicU64::new(0),
            reconciler: Mutex::default(),
            reconciled: AtomicU64::new(0),
        });
        inner.tasks.spawn_on(wakes::look(wakes.clone(), Arc::downgrade(&inner), inner.closing.clone()), &inner.runtime);
        inner.tasks.spawn_on(wakes::read(wakes, Arc::downgrade(&inner), inner.closing.clone()), &inner.runtime);
        inner.tasks.spawn_on(reconcile(Arc::downgrade(&inner), inner.closing.clone()), &inner.runtime);
        inner.tasks.spawn_on(keep_time(Arc::downgrade(&inner.handover), inner.closing.clone()), &inner.runtime);
        inner.tasks.spawn_on(tick(Arc::downgrade(&inner), inner.closing.clone()), &inner.runtime);
        (Self { inner }, released)
    }

    /// Brings a command to its shard and sees that `respond` is called once, now or later.
    ///
    /// If the actor is idle and in memory its handler runs here, and a reply that changes nothing is given before this
    /// returns. It never waits: what finds its shard at work is left in a queue.
    pub fn deliver(&self, work: Work, respond: Responder) {
        self.inner.deliver(work, respond);
    }

    /// As [`Self::deliver`], for a caller who waits and who asks now: what can be said at once is said here, and what cannot
    /// has `deadline` instead of its own ([`Work::deadline`] is not looked at). That is asked for under the shard's lock: it
    /// must be quick and must not panic.
    pub fn ask(&self, work: Work, deadline: &dyn Fn() -> Monotonic) -> Told {
        self.inner.ask(work, deadline)
    }

    /// Takes over a newer view: activates what it gives to this life, releases what it asks back, drops what is gone.
    /// Views must come in the order of their epochs.
    pub fn view_changed(&self, view: &Arc<View>) {
        let follows = self.inner.handover.view_changed(view);
        let in_order = lock(&self.inner.telling);
        // Shards are run from here on, and may ask whose they are.
        let last = lock(&self.inner.view).replace(view.clone());
        let same_life = last.as_ref().is_some_and(|last| last.me == view.me);
        let same_lives = last.as_ref().is_some_and(|last| last.lives == view.lives);
        let lives = Arc::new(view.lives.clone());
        for shard in self.inner.shards.all() {
            let before = last.as_ref().map_or(&Route::Nobody, |last| last.route(shard));
            let route = view.route(shard);
            let served = matches!(route, Route::Mine { .. } | Route::Leaving { .. });
            if served && !(same_lives && before == route) {
                self.inner.offer(shard, Input::Lives(Arc::clone(&lives)));
            }
            if same_life && before == route {
                continue;
            }
            if !same_life && matches!(before, Route::Mine { .. } | Route::Leaving { .. }) {
                self.inner.offer(shard, Input::Deactivate { owner: None });
            }
            if matches!(route, Route::Mine { .. }) {
                self.inner.wakes.taken(shard);
            }
            self.inner.offer(shard, told(view, route));
        }
        drop(in_order);
        self.inner.handover.perform(follows);
    }

    /// What another life says of actors that follow their shard.
    pub(crate) fn hand_over(&self, from: &NodeRef, what: HandOver) {
        match what {
            HandOver::Warm(frame) => self.inner.handover.warm(from, frame),
            HandOver::Taken(frame) => self.inner.handover.taken(from, frame),
        }
    }

    /// Nobody seems to listen for that life.
    pub(crate) fn unreachable(&self, to: &NodeRef) {
        self.inner.handover.unreachable(to);
    }

    /// The moves of shards that this node knows of as their source or destination, the latest first; at most 1,024.
    pub fn moves(&self) -> Vec<MoveStatus> {
        self.inner.handover.moves()
    }

    /// What has been handed over since it began.
    pub fn handover_stats(&self) -> HandoverStats {
        self.inner.handover.stats()
    }

    /// What it carries and has done.
    pub fn stats(&self) -> HostStats {
        let mut stats = HostStats::default();
        for cell in &self.inner.cells {
            cell.meters.add_to(&mut stats);
        }
        (stats.letters_kept, stats.letters_lost) = self.inner.letters.counts();
        for kind in self.inner.memory.kind_stats() {
            stats.activations += kind.activations;
            stats.passivations += kind.passivations;
            stats.evictions += kind.evictions;
        }
        stats.shards_fenced = self.inner.shards_fenced.load(Ordering::Relaxed);
        stats.slow_handlers = self.inner.slow_handlers.load(Ordering::Relaxed);
        stats.reconciled = self.inner.reconciled.load(Ordering::Relaxed);
        stats.unreconciled = lock(&self.inner.reconciler).stand();
        stats.quarantined_now = self.inner.quarantined_count();
        let memory = &self.inner.memory;
        (stats.resident_bytes, stats.waiting_bytes) = (memory.resident_bytes(), memory.waiting_bytes());
        stats.warm_waiting_bytes = memory.warm_bytes();
        stats.loads_waiting = lock(&self.inner.loads).waiting();
        stats
    }

    /// What the actors of each kind have done since it began, in the order of the kinds' names.
    pub fn kind_stats(&self) -> Vec<KindStats> {
        self.inner.memory.kind_stats().collect()
    }

    /// How long commands took from being brought to their shard until they were answered, whatever the answer: of one in 16.
    /// Which ones no pattern of commands can foresee.
    pub fn command_times(&self) -> Spread {
        self.inner.command_spread.read()
    }

    /// How long the store took over records, whatever became of them.
    pub fn append_spread(&self) -> Spread {
        self.inner.append_spread.read()
    }

    /// Watches over how long handlers run, until the host ends, from a thread of its own.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn watch_handlers(&self, watchdog: Watchdog) -> std::io::Result<()> {
        super::watchdog::watch(&self.inner, watchdog)
    }

    /// The actors that are set aside here until a person looks, at most 1,024 of them.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.inner.quarantined()
    }

    /// The shards that are this node's and that it cannot serve, although it has tried for a while.
    pub(crate) fn unserved(&self) -> ShardSet {
        let view = lock(&self.inner.view).as_ref().map_or(Epoch::ZERO, |view| view.epoch);
        lock(&self.inner.reconciler).given_up(view)
    }

    /// What each shard has done and has in memory, by shard.
    pub(crate) fn done(&self) -> Vec<Done> {
        self.inner.cells.iter().map(|cell| cell.meters.done()).collect()
    }

    /// How long commands have waited at some shard without one being taken, at worst.
    pub(crate) fn stuck_for(&self) -> Duration {
        let now = self.inner.clocks.now();
        self.inner.cells.iter().map(|cell| cell.stuck_for(now)).max().unwrap_or_default()
    }

    /// Whether some shard runs what users wrote at this moment.
    pub(crate) fn runs_a_handler(&self) -> bool {
        self.inner.runs_a_handler()
    }

    /// How long appends take, for whoever measures this node.
    pub(crate) fn append_times(&self) -> Arc<Latencies> {
        Arc::clone(&self.inner.append_times)
    }

    /// Ends the host: what is under way is answered as it stands, I/O already begun is waited for. For an orderly end,
    /// have the shards released first. Commands brought later are answered `Unavailable`.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        self.inner.closing.cancel();
        for shard in self.inner.shards.all() {
            self.inner.offer(shard, Input::Deactivate { owner: None });
        }
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl std::fmt::Debug for ShardHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardHost").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What a shard of that route is to be told.
fn told(view: &View, route: &Route) -> Input<Responder> {
    match route {
        Route::Mine { epoch } => Input::Activate { me: view.me.incarnation, epoch: *epoch },
        Route::Leaving { drain_epoch, to, .. } => Input::Drain { drain_epoch: *drain_epoch, to: to.node.clone() },
        Route::Remote { owner } => Input::Deactivate { owner: Some(owner.node.clone()) },
        Route::Nobody => Input::Deactivate { owner: None },
    }
}

/// Holds every shard against the view, and tells those again that go on differing from it.
async fn reconcile(inner: Weak<Inner>, closing: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = tokio::time::sleep(RECONCILE_EVERY) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        // Views are told with this lock held, so what a shard has not been told yet is in its inbox.
        let _in_order = lock(&inner.telling);
        let Some(view) = lock(&inner.view).clone() else { continue };
        let (now, mut reconciler) = (inner.clocks.now().at, lock(&inner.reconciler));
        for shard in inner.shards.all() {
            let (standing, route) = (inner.cells[shard.index()].standing(), view.route(shard));
            // Whoever came while it was looked at has left something for whoever holds it.
            inner.pump(shard);
            let Some(Stays { what, again }) = reconciler.look(now, shard, standing, route) else { continue };
            if !again {
                inner.reconciled.fetch_add(1, Ordering::Relaxed);
                tracing::error!(node = %view.me, %shard, epoch = %view.epoch, "ShardReconciled: the shard {what}");
            }
            inner.offer(shard, told(&view, route));
        }
    }
}

/// Lets time pass for every shard that holds something.
async fn tick(inner: Weak<Inner>, closing: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = tokio::time::sleep(TICK_EVERY) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        inner.clocks.read_wall();
        for shard in inner.shards.all() {
            if inner.cells[shard.index()].meters.resident() > 0 {
                inner.offer(shard, Input::Tick);
            }
        }
        inner.keep_limits();
    }
}

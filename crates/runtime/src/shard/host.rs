//! All shards of one node: runs their machines, does their I/O, and answers.
//!
//! Whoever brings something to a shard and finds it free runs it on the spot; whoever finds it busy leaves it in the
//! shard's inbox, and the holder goes on with that when it is done. So nobody waits for a lock, and a slow handler delays
//! its shard-mates only. Decisions are the machine's; nothing is decided here but whether the serve lease still holds
//! when an answer leaves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Duration;

use aether_domain::ports::{Answer, EventStore};
use aether_domain::{Epoch, Sequence, ShardCount, ShardId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bounds::{INBOX_MAX, RETRY_AFTER, TICK_EVERY, TURN_MAX};
use super::facts;
use super::input::{Effect, Input, Now};
use super::machine::ShardMachine;
use super::stats::{HostStats, Meters};
use crate::actor::KindRegistry;
use crate::clock::Clock;
use crate::message::{Outcome, Responder, Work};
use crate::view::{Route, ServeLease, View};

/// What a node's shards are run with.
pub struct HostConfig {
    /// The machine's clocks.
    pub clock: Arc<dyn Clock>,
    /// Where histories are kept.
    pub events: Arc<dyn EventStore>,
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
}

impl HostConfig {
    /// These parts, 64 loads and 1,024 appends at once.
    pub fn new(
        clock: Arc<dyn Clock>,
        events: Arc<dyn EventStore>,
        kinds: KindRegistry,
        seed: u64,
        lease: Arc<ServeLease>,
        shards: ShardCount,
    ) -> Self {
        Self { clock, events, kinds, seed, lease, shards, loads_max: 64, appends_max: 1024 }
    }
}

/// All shards of one node. Clones are the same host.
#[derive(Clone)]
pub struct ShardHost {
    inner: Arc<Inner>,
}

/// What a shard has given up, with the epoch of the entry that asked for it.
pub type Release = (ShardId, Epoch);

struct Inner {
    clock: Arc<dyn Clock>,
    events: Arc<dyn EventStore>,
    lease: Arc<ServeLease>,
    shards: ShardCount,
    cells: Box<[Cell]>,
    view: Mutex<Option<Arc<View>>>,
    releases: mpsc::Sender<Release>,
    loads: Semaphore,
    appends: Semaphore,
    meters: Meters,
    runtime: Handle,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// One shard: its machine, and what has come in while somebody was running it.
struct Cell {
    inbox: Mutex<VecDeque<Input<Responder>>>,
    machine: Mutex<Running>,
}

struct Running {
    machine: ShardMachine<Responder>,
    /// How many of its actors the node's meter counts.
    counted: usize,
}

impl ShardHost {
    /// A host that owns no shard yet, and the channel on which it reports what it has released (one place a shard; its
    /// reader should not stop reading while the host lives). Must be called on a tokio runtime, which does its I/O.
    pub fn new(config: HostConfig) -> (Self, mpsc::Receiver<Release>) {
        let (releases, released) = mpsc::channel(config.shards.get());
        let kinds = Arc::new(config.kinds);
        let cell = |shard: ShardId| {
            let seed = config.seed.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::from(shard.0) + 1));
            let machine = ShardMachine::new(kinds.clone(), seed);
            Cell { inbox: Mutex::default(), machine: Mutex::new(Running { machine, counted: 0 }) }
        };
        let inner = Arc::new(Inner {
            clock: config.clock,
            events: config.events,
            lease: config.lease,
            shards: config.shards,
            cells: config.shards.all().map(cell).collect(),
            view: Mutex::default(),
            releases,
            loads: Semaphore::new(config.loads_max),
            appends: Semaphore::new(config.appends_max),
            meters: Meters::default(),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        });
        inner.tasks.spawn_on(tick(Arc::downgrade(&inner), inner.closing.clone()), &inner.runtime);
        (Self { inner }, released)
    }

    /// Brings a command to its shard and sees that `respond` is called once, now or later.
    ///
    /// If the actor is idle and in memory its handler runs here, and a reply that changes nothing is given before this
    /// returns. It never waits: what finds its shard at work is left in a queue.
    pub fn deliver(&self, work: Work, respond: Responder) {
        let shard = work.actor.slot.shard(self.inner.shards);
        self.inner.offer(shard, Input::Command(work, respond));
    }

    /// Takes over a newer view: activates what it gives to this life, releases what it asks back, drops what is gone.
    /// Views must come in the order of their epochs.
    pub fn view_changed(&self, view: &Arc<View>) {
        let mut last = lock(&self.inner.view);
        let same_life = last.as_ref().is_some_and(|last| last.me == view.me);
        for shard in self.inner.shards.all() {
            let before = last.as_ref().map_or(&Route::Nobody, |last| last.route(shard));
            let route = view.route(shard);
            if same_life && before == route {
                continue;
            }
            if !same_life && matches!(before, Route::Mine { .. } | Route::Leaving { .. }) {
                self.inner.offer(shard, Input::Deactivate { owner: None });
            }
            self.inner.offer(
                shard,
                match route {
                    Route::Mine { epoch } => Input::Activate { me: view.me.incarnation, epoch: *epoch },
                    Route::Leaving { drain_epoch, to, .. } => {
                        Input::Drain { drain_epoch: *drain_epoch, to: to.node.clone() }
                    }
                    Route::Remote { owner } => Input::Deactivate { owner: Some(owner.node.clone()) },
                    Route::Nobody => Input::Deactivate { owner: None },
                },
            );
        }
        *last = Some(view.clone());
    }

    /// What it carries and has done.
    pub fn stats(&self) -> HostStats {
        self.inner.meters.read()
    }

    /// Ends the host: what is under way is answered as it stands, I/O already begun is waited for. For an orderly end,
    /// have the shards released first. Commands brought later are answered `Unavailable`.
    pub async fn close(&self) {
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

/// A lock that a panic elsewhere has not made useless: machines catch what users wrote, and leave nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
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
        for shard in inner.shards.all() {
            // A shard at work is told the next time.
            let holds = try_lock(&inner.cells[shard.index()].machine).is_some_and(|running| running.counted > 0);
            if holds {
                inner.offer(shard, Input::Tick);
            }
        }
    }
}

impl Inner {
    /// Runs `input` here if the shard is free, else leaves it to whoever is running it.
    fn offer(self: &Arc<Self>, shard: ShardId, input: Input<Responder>) {
        let cell = &self.cells[shard.index()];
        if let Some(mut running) = try_lock(&cell.machine) {
            let mut inbox = lock(&cell.inbox);
            if inbox.is_empty() {
                drop(inbox);
                self.run(shard, &mut running, input);
            } else {
                inbox.push_back(input);
            }
        } else {
            let mut inbox = lock(&cell.inbox);
            if inbox.len() >= INBOX_MAX
                && let Input::Command(_, respond) = input
            {
                drop(inbox);
                return respond.respond(Outcome::Other(Answer::Busy));
            }
            inbox.push_back(input);
        }
        self.pump(shard);
    }

    /// Runs what is in the inbox, unless somebody else is about to: whoever has held the machine looks here afterwards.
    fn pump(self: &Arc<Self>, shard: ShardId) {
        let cell = &self.cells[shard.index()];
        if lock(&cell.inbox).is_empty() {
            return;
        }
        let Some(mut running) = try_lock(&cell.machine) else { return };
        for _ in 0..TURN_MAX {
            let Some(input) = lock(&cell.inbox).pop_front() else { break };
            self.run(shard, &mut running, input);
        }
        drop(running);
        // The caller came with one command and has done its share.
        if !lock(&cell.inbox).is_empty() {
            let inner = self.clone();
            self.tasks.spawn_on(async move { inner.pump(shard) }, &self.runtime);
        }
    }

    fn run(self: &Arc<Self>, shard: ShardId, running: &mut Running, input: Input<Responder>) {
        let input = match input {
            Input::Command(_, respond) if self.closing.is_cancelled() => {
                let closed = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
                return respond.respond(Outcome::Other(closed));
            }
            input => input,
        };
        let at = self.clock.now();
        let now = Now { at, wall: self.clock.wall(), serving: self.lease.holds(at) };
        for effect in running.machine.step(now, input) {
            self.start(shard, effect);
        }
        self.meters.add(running.machine.take_counts());
        let resident = running.machine.resident();
        if resident != running.counted {
            self.meters.resident(running.counted, resident);
            running.counted = resident;
        }
    }

    fn start(self: &Arc<Self>, shard: ShardId, effect: Effect<Responder>) {
        match effect {
            Effect::Respond { to, outcome, lease } => {
                if lease && !self.lease.holds(self.clock.now()) {
                    let paused = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
                    return to.respond(Outcome::Other(paused));
                }
                to.respond(outcome);
            }
            Effect::Load { actor, ticket, fresh, wait } => {
                self.spawn(shard, wait, move |inner: Arc<Self>| async move {
                    let permit = inner.loads.acquire().await;
                    let found = if fresh {
                        inner.events.read_fresh(&actor, Sequence::ZERO).await
                    } else {
                        inner.events.read(&actor, Sequence::ZERO).await
                    };
                    drop(permit);
                    Input::Loaded { actor, ticket, found }
                });
            }
            Effect::Append { actor, record, after, wait } => {
                self.spawn(shard, wait, move |inner: Arc<Self>| async move {
                    let permit = inner.appends.acquire().await;
                    let outcome = inner.events.append(&actor, &record, after).await;
                    drop(permit);
                    Input::Appended { actor, nonce: record.nonce, outcome }
                });
            }
            Effect::Look { actor, nonce, after, wait } => self.spawn(shard, wait, move |inner: Arc<Self>| async move {
                let found = inner.events.read_fresh(&actor, after).await;
                Input::Looked { actor, nonce, found }
            }),
            Effect::Released { drain_epoch } => self.report(shard, drain_epoch),
            Effect::Fact(fact) => facts::log(shard, &fact),
        }
    }

    /// Does I/O beside the shard; its answer comes back as an input.
    fn spawn<F>(self: &Arc<Self>, shard: ShardId, wait: Duration, work: impl FnOnce(Arc<Self>) -> F + Send + 'static)
    where
        F: Future<Output = Input<Responder>> + Send,
    {
        let inner = self.clone();
        self.tasks.spawn_on(
            async move {
                if !wait.is_zero() {
                    tokio::select! {
                        biased;
                        () = inner.closing.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                let input = work(inner.clone()).await;
                inner.offer(shard, input);
            },
            &self.runtime,
        );
    }

    fn report(self: &Arc<Self>, shard: ShardId, drain_epoch: Epoch) {
        if let Err(mpsc::error::TrySendError::Full(release)) = self.releases.try_send((shard, drain_epoch)) {
            let (releases, closing) = (self.releases.clone(), self.closing.clone());
            let send = async move {
                tokio::select! {
                    () = closing.cancelled() => {}
                    _ = releases.send(release) => {}
                }
            };
            self.tasks.spawn_on(send, &self.runtime);
        }
    }
}

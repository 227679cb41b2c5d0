//! All shards of one node: runs their machines, does their I/O, and answers.
//!
//! Whoever brings something to a shard and finds it free runs it on the spot; whoever finds it busy leaves it in the
//! shard's inbox, and the holder goes on with that when it is done. So nobody waits for a lock, and a slow handler delays
//! its shard-mates only. Decisions are the machine's; nothing is decided here but whether the serve lease still holds
//! when an answer leaves.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aether_domain::ports::{Answer, EventStore};
use aether_domain::{Epoch, Monotonic, Sequence, ShardCount, ShardId, WallTime};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bounds::{INBOX_MAX, RETRY_AFTER, TICK_EVERY, TURN_MAX};
use super::facts;
use super::input::{Effect, Input, Now};
use super::machine::{Looked, ShardMachine};
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
    /// A recent reading of the clock, in nanoseconds: taken at least once a tick.
    recent: AtomicU64,
    /// How far the wall clock is ahead of the other one, in milliseconds: read once a tick, for what only people read.
    wall_ahead: AtomicU64,
    runtime: Handle,
    tasks: TaskTracker,
    closing: CancellationToken,
    /// The same, cheaper to read.
    closed: AtomicBool,
}

/// How old the recent reading of the clock may be while commands come in: 1 ms.
const RECENT_NANOS: u64 = 1_000_000;

type Machine = ShardMachine<Responder>;

/// One shard: its machine, and what has come in while somebody was running it.
struct Cell {
    machine: Mutex<Machine>,
    inbox: Mutex<VecDeque<Input<Responder>>>,
    /// How many are in the inbox; written under its lock.
    left: AtomicUsize,
    meters: Meters,
}

/// I/O for a shard, on its way to an input.
type Io = Pin<Box<dyn Future<Output = Input<Responder>> + Send>>;

impl ShardHost {
    /// A host that owns no shard yet, and the channel on which it reports what it has released (one place a shard; its
    /// reader should not stop reading while the host lives). Must be called on a tokio runtime, which does its I/O.
    pub fn new(config: HostConfig) -> (Self, mpsc::Receiver<Release>) {
        let (releases, released) = mpsc::channel(config.shards.get());
        let kinds = Arc::new(config.kinds);
        let cell = |shard: ShardId| {
            let seed = config.seed.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::from(shard.0) + 1));
            let machine = Mutex::new(ShardMachine::new(kinds.clone(), seed));
            Cell { machine, inbox: Mutex::default(), left: AtomicUsize::new(0), meters: Meters::default() }
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
            recent: AtomicU64::new(0),
            wall_ahead: AtomicU64::new(0),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            closed: AtomicBool::new(false),
        });
        inner.read_wall();
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
        let mut stats = HostStats::default();
        for cell in &self.inner.cells {
            cell.meters.add_to(&mut stats);
        }
        stats
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

fn millis(at: Monotonic) -> u64 {
    let since = at.since_start();
    since.as_secs() * 1000 + u64::from(since.subsec_millis())
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
        inner.read_wall();
        for shard in inner.shards.all() {
            if inner.cells[shard.index()].meters.resident() > 0 {
                inner.offer(shard, Input::Tick);
            }
        }
    }
}

impl Cell {
    /// Holds the machine if nobody does and nothing that came earlier waits.
    fn take_turn(&self) -> Option<MutexGuard<'_, Machine>> {
        let machine = try_lock(&self.machine)?;
        (self.left.load(Ordering::Acquire) == 0).then_some(machine)
    }

    /// Leaves `input` for whoever holds the machine; a command only if there is room.
    fn leave(&self, input: Input<Responder>) -> Result<(), Responder> {
        let mut inbox = lock(&self.inbox);
        match input {
            Input::Command(_, respond) if inbox.len() >= INBOX_MAX => return Err(respond),
            input => inbox.push_back(input),
        }
        self.left.store(inbox.len(), Ordering::Release);
        Ok(())
    }

    /// The oldest input left here.
    fn next(&self) -> Option<Input<Responder>> {
        let mut inbox = lock(&self.inbox);
        let input = inbox.pop_front();
        self.left.store(inbox.len(), Ordering::Release);
        input
    }

    /// Whether something is left here. Between leaving an input and finding the machine held on one side, and giving
    /// the machine back and finding nothing left on the other, the fences let one of the two see the other's work.
    fn has_left(&self) -> bool {
        fence(Ordering::SeqCst);
        self.left.load(Ordering::Acquire) > 0
    }
}

impl Inner {
    fn read_wall(&self) {
        let (wall, at) = (self.clock.wall().unix_millis, millis(self.now().at));
        self.wall_ahead.store(wall.wrapping_sub(at), Ordering::Relaxed);
    }

    /// The present.
    fn now(&self) -> Now {
        let at = self.clock.now();
        let nanos = at.since_start().as_nanos() as u64;
        // Written rarely, so that threads do not fight over it.
        if nanos > self.recent.load(Ordering::Relaxed) + RECENT_NANOS {
            self.recent.store(nanos, Ordering::Relaxed);
        }
        self.at(at)
    }

    /// The recent past, without the price of reading a clock.
    fn recently(&self) -> Now {
        self.at(Monotonic::from_start(Duration::from_nanos(self.recent.load(Ordering::Relaxed))))
    }

    fn at(&self, at: Monotonic) -> Now {
        let unix_millis = millis(at).wrapping_add(self.wall_ahead.load(Ordering::Relaxed));
        Now { at, wall: WallTime { unix_millis }, serving: self.lease.holds(at) }
    }

    fn deliver(self: &Arc<Self>, work: Work, respond: Responder) {
        if self.closed.load(Ordering::Relaxed) {
            let closed = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
            return respond.respond(Outcome::Other(closed));
        }
        let shard = work.actor.slot.shard(self.shards);
        let cell = &self.cells[shard.index()];
        let Some(mut machine) = cell.take_turn() else { return self.offer(shard, Input::Command(work, respond)) };
        match machine.look(self.recently(), &work) {
            Looked::Answered { outcome, lease } => {
                Self::give_back(cell, machine);
                self.respond(respond, outcome, lease);
            }
            Looked::Open(open) => {
                machine.proceed(self.now(), work, respond, open);
                let effects = Self::give_back(cell, machine);
                self.carry_out(shard, effects);
            }
        }
        self.pump(shard);
    }

    /// Lets the shard know, here or by whoever is running it.
    fn offer(self: &Arc<Self>, shard: ShardId, input: Input<Responder>) {
        if let Err(respond) = self.cells[shard.index()].leave(input) {
            respond.respond(Outcome::Other(Answer::Busy));
        }
        self.pump(shard);
    }

    /// Runs what is left in the inbox, unless somebody else is about to: whoever has held the machine looks here
    /// afterwards.
    fn pump(self: &Arc<Self>, shard: ShardId) {
        let cell = &self.cells[shard.index()];
        let mut turn = 0;
        while cell.has_left() {
            if turn >= TURN_MAX {
                // The caller came with one command and has done its share.
                let inner = self.clone();
                self.tasks.spawn_on(async move { inner.pump(shard) }, &self.runtime);
                return;
            }
            let Some(mut machine) = try_lock(&cell.machine) else { return };
            while turn < TURN_MAX
                && let Some(input) = cell.next()
            {
                machine.step(self.now(), input);
                turn += 1;
            }
            let effects = Self::give_back(cell, machine);
            self.carry_out(shard, effects);
        }
    }

    /// Ends a turn: lets go of the machine and takes away what it wants done.
    fn give_back(cell: &Cell, mut machine: MutexGuard<'_, Machine>) -> Vec<Effect<Responder>> {
        cell.meters.note(machine.take_counts(), machine.resident());
        machine.take_effects()
    }

    fn carry_out(self: &Arc<Self>, shard: ShardId, effects: Vec<Effect<Responder>>) {
        for effect in effects {
            match effect {
                Effect::Respond { to, outcome, lease } => self.respond(to, outcome, lease),
                Effect::Load { actor, ticket, fresh, wait } => {
                    let inner = self.clone();
                    let load = async move {
                        let permit = inner.loads.acquire().await;
                        let found = if fresh {
                            inner.events.read_fresh(&actor, Sequence::ZERO).await
                        } else {
                            inner.events.read(&actor, Sequence::ZERO).await
                        };
                        drop(permit);
                        Input::Loaded { actor, ticket, found }
                    };
                    self.begin(shard, wait, Box::pin(load));
                }
                Effect::Append { actor, record, after, wait } => {
                    let inner = self.clone();
                    let append = async move {
                        let permit = inner.appends.acquire().await;
                        let outcome = inner.events.append(&actor, &record, after).await;
                        drop(permit);
                        Input::Appended { actor, nonce: record.nonce, outcome }
                    };
                    self.begin(shard, wait, Box::pin(append));
                }
                Effect::Look { actor, nonce, after, wait } => {
                    let inner = self.clone();
                    let look = async move {
                        let found = inner.events.read_fresh(&actor, after).await;
                        Input::Looked { actor, nonce, found }
                    };
                    self.begin(shard, wait, Box::pin(look));
                }
                Effect::Released { drain_epoch } => self.report(shard, drain_epoch),
                Effect::Fact(fact) => facts::log(shard, &fact),
            }
        }
    }

    /// Answers, if what protects the answer still holds: this is after its state was read.
    fn respond(&self, to: Responder, outcome: Outcome, lease: bool) {
        if lease && !self.now().serving {
            let paused = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
            return to.respond(Outcome::Other(paused));
        }
        to.respond(outcome);
    }

    /// Begins I/O here and leaves it to a task unless it ends at once, as an in-memory store's does. Its answer comes
    /// back as an input.
    fn begin(self: &Arc<Self>, shard: ShardId, wait: Duration, mut io: Io) {
        if wait.is_zero() {
            let _on_runtime = self.runtime.enter();
            if let Poll::Ready(input) = io.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                // It is no command, so there is room. Whoever began it pumps next.
                return drop(self.cells[shard.index()].leave(input));
            }
        }
        let inner = self.clone();
        let rest = async move {
            if !wait.is_zero() {
                tokio::select! {
                    biased;
                    () = inner.closing.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
            let input = io.await;
            inner.offer(shard, input);
        };
        self.tasks.spawn_on(rest, &self.runtime);
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

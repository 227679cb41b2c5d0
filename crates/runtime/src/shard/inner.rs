//! Behind a host: brings inputs to shards, does what they want done, and brings the answers back.
//!
//! Nothing is decided here but whether the serve lease still holds when an answer leaves.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::{Answer, EventStore, SaveError, SnapshotStore};
use aether_domain::records::{ActorSnapshot, WarmActor};
use aether_domain::{ActorAddress, Epoch, Monotonic, ShardCount, ShardId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::NextShard;
use super::appends::{Append, Appended};
use super::bounds::{RETRY_AFTER, SAVING_KIB_MAX, SAVING_KIB_MIN, TURN_MAX};
use super::cell::{Cell, Machine, keep_room, lock};
use super::clocks::Clocks;
use super::facts;
use super::host::Release;
use super::input::{Effect, Fact, Input};
use super::letters::{Letter, Letterbox};
use super::loads::{Load, Loads};
use super::machine::Looked;
use super::memory::Memory;
use super::quarantine::Ward;
use super::reconcile::Reconciler;
use super::stats::TIMED_ONE_IN;
use super::wakes::{self, Wakes};
use crate::handover::{Handover, Shards};
use crate::message::{Outcome, Responder, Told, Work};
use crate::spread::SharedSpread;
use crate::traces::Step;
use crate::view::View;
use crate::vitals::Latencies;

/// A host's parts. Aligned, so that the count of those who hold it, which changes with every record, is apart from them.
#[repr(align(128))]
pub(super) struct Inner {
    pub(super) handover: Arc<Handover>,
    /// Itself.
    pub(super) this: Weak<Self>,
    pub(super) events: Arc<dyn EventStore>,
    pub(super) snapshots: Arc<dyn SnapshotStore>,
    pub(super) wakes: Arc<Wakes>,
    pub(super) clocks: Clocks,
    pub(super) shards: ShardCount,
    pub(super) cells: Box<[Cell]>,
    /// Held by whoever tells shards what they are to be, so that they are told in order. Whoever runs a shard may not ask for
    /// it.
    pub(super) telling: Mutex<()>,
    pub(super) view: Mutex<Option<Arc<View>>>,
    pub(super) letters: Letterbox,
    pub(super) ward: Ward,
    pub(super) releases: mpsc::Sender<Release>,
    /// The histories that are read, or wait for that.
    pub(super) loads: Mutex<Loads>,
    /// Which shard is asked next for room.
    pub(super) evict_from: NextShard,
    /// What the shards hold together.
    pub(super) memory: Arc<Memory>,
    /// Written for every record, so apart from what is only read.
    pub(super) appends: Box<Semaphore>,
    /// What became of appends that nobody waited for.
    pub(super) appended: Box<Appended>,
    /// In KiB.
    pub(super) saves: Arc<Semaphore>,
    pub(super) append_times: Arc<Latencies>,
    /// The same, for people; apart from what is only read, as the next.
    pub(super) append_spread: Box<SharedSpread>,
    /// How long commands took that are timed.
    pub(super) command_spread: Box<SharedSpread>,
    pub(super) runtime: Handle,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
    /// The same, cheaper to read.
    pub(super) closed: AtomicBool,
    /// Handlers that were named because they ran too long.
    pub(super) slow_handlers: AtomicU64,
    /// Shards that were dropped because a stored record shows a later owner.
    pub(super) shards_fenced: AtomicU64,
    pub(super) reconciler: Mutex<Reconciler>,
    /// How many shards were told again what the view says.
    pub(super) reconciled: AtomicU64,
}

impl Drop for Inner {
    /// Ends the tasks of a host that was dropped unclosed.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Shards for Inner {
    fn released(&self, shard: ShardId, drain_epoch: Epoch) {
        self.report(shard, drain_epoch);
    }

    fn warm(&self, shard: ShardId, parts: Vec<Vec<WarmActor>>) {
        if let Some(inner) = self.this.upgrade() {
            inner.offer(shard, Input::Warm(parts));
        }
    }
}

/// I/O for a shard, on its way to an input.
type Io = Pin<Box<dyn Future<Output = Input<Responder>> + Send>>;

impl Inner {
    /// See [`ShardHost::deliver`](super::ShardHost::deliver).
    pub(super) fn deliver(self: &Arc<Self>, work: Work, respond: Responder) {
        let shard = work.actor.slot.shard(self.shards);
        // Told before what others have left is run: that may take long.
        let deadline = work.deadline;
        if let Err((respond, outcome)) = self.bring(shard, work, &|| deadline, respond, |respond| respond) {
            respond.respond(outcome);
        }
        self.pump(shard);
    }

    /// See [`ShardHost::ask`](super::ShardHost::ask).
    pub(super) fn ask(self: &Arc<Self>, mut work: Work, deadline: &dyn Fn() -> Monotonic) -> Told {
        let (shard, mut later) = (work.actor.slot.shard(self.shards), None);
        // Nobody's time is up who asks now.
        work.deadline = Monotonic::MAX;
        let brought = self.bring(shard, work, deadline, &mut later, |later| {
            let (respond, told) = oneshot::channel();
            *later = Some(told);
            Responder::Waiting(respond)
        });
        self.pump(shard);
        match brought {
            Err((_, outcome)) => Told::Now(outcome),
            Ok(()) => Told::Later(later.expect("whoever is not told at once is told there")),
        }
    }

    /// Brings a command to its shard. Whoever `asks` is given back with the outcome if there is one at once, and is
    /// made somebody who can wait otherwise, until `deadline`. What others have left meanwhile is the caller's to run
    /// ([`Self::pump`]).
    fn bring<R>(
        self: &Arc<Self>,
        shard: ShardId,
        mut work: Work,
        deadline: &dyn Fn() -> Monotonic,
        asks: R,
        waiting: impl FnOnce(R) -> Responder,
    ) -> Result<(), (R, Outcome)> {
        if self.closed.load(Ordering::Relaxed) {
            let closed = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
            return Err((asks, Outcome::Other(closed)));
        }
        let cell = &self.cells[shard.index()];
        let step = Step::execute(&work.trace, &work.actor.key.kind, &work.command);
        if step.is_seen() {
            work.trace = step.told(work.trace.take());
        }
        let began = cell.meters.times_next().then(|| self.clocks.now().at);
        let Some(mut machine) = cell.take_turn() else {
            work.deadline = deadline();
            self.offer(shard, Input::Command(work, self.timed(began, step, waiting(asks))));
            return Ok(());
        };
        let took = || began.map(|began| self.clocks.now().at.since(began));
        let busy = |took: Option<Duration>| took.map_or(Duration::ZERO, |took| took * TIMED_ONE_IN);
        let now = self.clocks.recently();
        cell.running.begin(now, &work.actor, &work.command);
        match machine.look(now, &work) {
            Looked::Answered { outcome, lease } => {
                let took = took();
                cell.give_back(machine, busy(took));
                if let Some(took) = took {
                    self.command_spread.note(took);
                }
                Err((asks, self.protected(outcome, lease)))
            }
            Looked::Open(open) => {
                work.deadline = deadline();
                machine.proceed(self.clocks.now(), work, self.timed(began, step, waiting(asks)), open);
                let effects = cell.give_back(machine, busy(took()));
                self.carry_out(shard, effects);
                Ok(())
            }
        }
    }

    /// Whoever is to be answered; of a command that is timed since then, noting how long that took, and of one that is traced
    /// ending its step.
    fn timed(&self, began: Option<Monotonic>, step: Step, respond: Responder) -> Responder {
        if began.is_none() && !step.is_seen() {
            return respond;
        }
        let this = self.this.clone();
        Responder::Call(Box::new(move |outcome| {
            if let (Some(began), Some(inner)) = (began, this.upgrade()) {
                inner.command_spread.note(inner.clocks.now().at.since(began));
            }
            step.end();
            respond.respond(outcome);
        }))
    }

    /// Lets the shard know, here or by whoever is running it.
    pub(super) fn offer(self: &Arc<Self>, shard: ShardId, input: Input<Responder>) {
        let cell = &self.cells[shard.index()];
        if let Some(machine) = cell.take_turn() {
            self.run(shard, machine, Some(input), 1);
        } else if let Err(respond) = cell.leave(self.clocks.recently(), input) {
            respond.respond(Outcome::Other(Answer::Busy));
        }
        self.pump(shard);
    }

    /// Runs what is left in the inbox, unless somebody else is about to: whoever has held the machine looks here
    /// afterwards.
    pub(super) fn pump(self: &Arc<Self>, shard: ShardId) {
        let cell = &self.cells[shard.index()];
        let mut turn = 0;
        while cell.has_left() {
            if turn >= TURN_MAX {
                // The caller came with one command and has done its share.
                let inner = self.clone();
                self.tasks.spawn_on(async move { inner.pump(shard) }, &self.runtime);
                return;
            }
            let Some(machine) = cell.try_hold() else { return };
            turn += self.run(shard, machine, None, TURN_MAX - turn);
        }
    }

    /// Runs at most so many inputs, the given one first and then what is left in the inbox, and says how many.
    fn run(
        self: &Arc<Self>,
        shard: ShardId,
        mut machine: MutexGuard<'_, Machine>,
        mut given: Option<Input<Responder>>,
        most: usize,
    ) -> usize {
        let cell = &self.cells[shard.index()];
        let mut now = self.clocks.now();
        let (began, mut turn) = (now.at, 0);
        while turn < most
            && let Some(input) = given.take().or_else(|| cell.next(now))
        {
            cell.running.begin_input(now, &input, &mut machine);
            machine.step(now, input);
            now = self.clocks.now();
            turn += 1;
        }
        let effects = cell.give_back(machine, now.at.since(began));
        self.carry_out(shard, effects);
        turn
    }

    pub(super) fn carry_out(self: &Arc<Self>, shard: ShardId, mut effects: Vec<Effect<Responder>>) {
        self.wakes.look_by(self.cells[shard.index()].look.load(Ordering::SeqCst));
        for effect in effects.drain(..) {
            match effect {
                Effect::Respond { to, outcome, lease } => to.respond(self.protected(outcome, lease)),
                Effect::Load { actor, ticket, part, wait, until } => {
                    if let Some(kind) = self.memory.place(&actor.key.kind) {
                        self.load(shard, Load { actor, kind, ticket, part, until }, wait);
                    }
                }
                Effect::Append { actor, record, after, wait, trace } => {
                    self.append(shard, Append { actor, record, after, trace }, wait);
                }
                Effect::Look { actor, nonce, after, wait } => {
                    let inner = self.clone();
                    let look = async move {
                        let found = inner.events.read_fresh(&actor, after).await;
                        Input::Looked { actor, nonce, found }
                    };
                    self.begin(shard, wait, Box::pin(look));
                }
                Effect::Save { actor, snapshot } => self.save(shard, actor, snapshot),
                Effect::Wake { actor, record, keep, wait } => {
                    let inner = self.clone();
                    let write = async move {
                        let outcome = wakes::keep(&*inner.wakes.store, &actor, keep).await;
                        Input::WakeKept { actor, record, outcome }
                    };
                    self.begin(shard, wait, Box::pin(write));
                }
                Effect::EndTurn { actor, ticket } => {
                    let inner = self.clone();
                    let end = async move {
                        // A yielded task goes on when the executor has nothing else that is ready, or after some sixty
                        // other tasks.
                        tokio::task::yield_now().await;
                        inner.offer(shard, Input::TurnOver { actor, ticket });
                    };
                    self.tasks.spawn_on(end, &self.runtime);
                }
                Effect::Captured { drain_epoch, actors } => self.handover.captured(shard, drain_epoch, actors),
                Effect::CaptureMore => self.leave(shard, Input::CaptureMore),
                Effect::Released { drain_epoch } => {
                    self.clear_ward(shard);
                    self.handover.released(shard, drain_epoch);
                }
                Effect::Letter(letter) => self.post(*letter),
                Effect::Fact(fact) => {
                    facts::log(shard, &fact);
                    if let Fact::Stale { .. } = fact {
                        self.shards_fenced.fetch_add(1, Ordering::Relaxed);
                    }
                    if let Fact::Quarantined { actor, reason } = fact {
                        self.ward.note(actor, reason, self.clocks.now().wall);
                    }
                }
            }
        }
        keep_room(effects);
    }

    /// Keeps a snapshot in a task of its own; not at all if too much is on its way.
    fn save(self: &Arc<Self>, shard: ShardId, actor: ActorAddress, snapshot: Arc<ActorSnapshot>) {
        let kib = snapshot.bytes().div_ceil(1024).clamp(SAVING_KIB_MIN, SAVING_KIB_MAX);
        let Ok(permit) = self.saves.clone().try_acquire_many_owned(kib as u32) else {
            let outcome = Err(SaveError::Unavailable { cause: "too many snapshots are on their way".into() });
            // It is no command, so there is room; and whoever does what a shard wants looks there afterwards.
            return drop(self.cells[shard.index()].leave(self.clocks.recently(), Input::Saved { actor, outcome }));
        };
        let inner = self.clone();
        let save = async move {
            let outcome = inner.snapshots.save(&actor, &snapshot).await;
            drop(permit);
            inner.offer(shard, Input::Saved { actor, outcome });
        };
        self.tasks.spawn_on(save, &self.runtime);
    }

    /// Lets a letter be kept, by nobody who is waited for.
    fn post(self: &Arc<Self>, letter: Letter) {
        let inner = self.clone();
        let by = lock(&self.view).as_ref().map(|view| view.me.clone());
        let by = by.expect("nothing is run, let alone given up, before a view has given this life something to run");
        self.tasks.spawn_on(async move { inner.letters.keep(letter, by).await }, &self.runtime);
    }

    /// The outcome, if what protects it still holds: this is after its state was read.
    fn protected(&self, outcome: Outcome, lease: bool) -> Outcome {
        if lease && !self.clocks.now().serving && !is_on(Mutant::ServesWithoutLease) {
            return Outcome::Other(Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false });
        }
        outcome
    }

    /// Leaves an answer, which there is always room for, to whoever pumps next.
    pub(super) fn leave(&self, shard: ShardId, answer: Input<Responder>) {
        drop(self.cells[shard.index()].leave(self.clocks.recently(), answer));
    }

    /// Begins I/O here and leaves it to a task unless it ends at once, as an in-memory store's does. Its answer comes
    /// back as an input.
    pub(super) fn begin(self: &Arc<Self>, shard: ShardId, wait: Duration, mut io: Io) {
        if wait.is_zero() {
            let _on_runtime = self.runtime.enter();
            if let Poll::Ready(input) = io.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return self.leave(shard, input);
            }
        }
        let inner = self.clone();
        if wait.is_zero() {
            self.tasks.spawn_on(async move { inner.offer(shard, io.await) }, &self.runtime);
            return;
        }
        let later = async move {
            tokio::select! {
                biased;
                () = inner.closing.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            inner.offer(shard, io.await);
        };
        self.tasks.spawn_on(later, &self.runtime);
    }

    fn report(&self, shard: ShardId, drain_epoch: Epoch) {
        if let Err(mpsc::error::TrySendError::Full(release)) = self.releases.try_send((shard, drain_epoch)) {
            let (releases, closing) = (self.releases.clone(), self.closing.clone());
            let send = async move {
                tokio::select! {
                    biased;
                    () = closing.cancelled() => {}
                    _ = releases.send(release) => {}
                }
            };
            self.tasks.spawn_on(send, &self.runtime);
        }
    }
}

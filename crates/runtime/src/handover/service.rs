//! Runs the machine: brings it what happens, sends what it wants sent, tells it the time.
//!
//! It decides nothing. Whoever brings something runs the machine on the spot, under a short lock; sending is a task's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aether_domain::ports::{Frame, Transport, WarmFrame, WarmTakenFrame};
use aether_domain::records::WarmActor;
use aether_domain::{Epoch, NodeRef, ShardId};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::book::{HandoverStats, MoveStatus, Now};
use super::bounds::MESSAGE_BYTES_MAX;
use super::machine::{Effect, Input, Machine};
use crate::clock::Clock;
use crate::view::View;

/// This node's shards, as whoever hands actors over sees them.
#[cfg_attr(test, mockall::automock)]
pub(crate) trait Shards: Send + Sync {
    /// The shard is released: the control plane may say so.
    fn released(&self, shard: ShardId, drain_epoch: Epoch);
    /// These actors, in parts, belong to the shard, which may use them.
    fn warm(&self, shard: ShardId, parts: Vec<Vec<WarmActor>>);
}

/// Hands actors over, from this node and to it.
pub(crate) struct Handover {
    /// None before there is a view: until then there is nothing to hand over.
    machine: Mutex<Option<Machine>>,
    clock: Arc<dyn Clock>,
    transport: Arc<dyn Transport>,
    shards: Weak<dyn Shards>,
    /// When the machine wants to be told the time may have changed.
    sooner: Notify,
    runtime: Handle,
    tasks: TaskTracker,
}

impl Handover {
    /// Must be called on a tokio runtime. `tasks` ends what is under way.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        transport: Arc<dyn Transport>,
        shards: Weak<dyn Shards>,
        tasks: TaskTracker,
    ) -> Self {
        let (machine, sooner, runtime) = (Mutex::default(), Notify::new(), Handle::current());
        Self { machine, clock, transport, shards, sooner, runtime, tasks }
    }

    /// A newer view. What follows of it for this node's shards waits for [`Self::perform`]: they have to hear of the view
    /// first.
    #[must_use]
    pub(crate) fn view_changed(&self, view: &Arc<View>) -> Vec<Effect> {
        self.step(Input::View(Arc::clone(view)))
    }

    /// Actors of a shard that leaves are at rest.
    pub(crate) fn captured(&self, shard: ShardId, drain_epoch: Epoch, actors: Vec<WarmActor>) {
        self.run(Input::Captured { shard, drain_epoch, actors });
    }

    /// A shard has nothing under way any more, nor ever will have.
    pub(crate) fn released(&self, shard: ShardId, drain_epoch: Epoch) {
        self.run(Input::Released { shard, drain_epoch });
    }

    /// Actors come from another life.
    pub(crate) fn warm(&self, from: &NodeRef, frame: WarmFrame) {
        self.run(Input::Warm { from: from.clone(), frame });
    }

    /// What became of those that were sent.
    pub(crate) fn taken(&self, from: &NodeRef, frame: WarmTakenFrame) {
        self.run(Input::Taken { from: from.clone(), frame });
    }

    /// Nobody seems to listen for that life.
    pub(crate) fn unreachable(&self, to: &NodeRef) {
        self.run(Input::Unreachable { to: to.clone() });
    }

    /// What has been handed over, and what is kept.
    pub(crate) fn stats(&self) -> HandoverStats {
        self.lock().as_ref().map(Machine::stats).unwrap_or_default()
    }

    /// The moves that this node knows of, the latest first.
    pub(crate) fn moves(&self) -> Vec<MoveStatus> {
        self.lock().as_ref().map(Machine::moves).unwrap_or_default()
    }

    fn run(&self, input: Input) {
        self.perform(self.step(input));
    }

    fn step(&self, input: Input) -> Vec<Effect> {
        let now = Now { at: self.clock.now(), wall: self.clock.wall() };
        let mut place = self.lock();
        let machine = match (&mut *place, &input) {
            (Some(machine), _) => machine,
            (none, Input::View(view)) => none.insert(Machine::new(Arc::clone(view))),
            (None, _) => return Vec::new(),
        };
        let before = machine.wakes_at();
        let effects = machine.step(now, input);
        if machine.wakes_at() != before {
            self.sooner.notify_one();
        }
        effects
    }

    /// Does what the machine wants done.
    pub(crate) fn perform(&self, effects: Vec<Effect>) {
        let mut message: Option<(NodeRef, Vec<Frame>, usize)> = None;
        for effect in effects {
            match effect {
                Effect::Send { to, frame } => {
                    let bytes = if let Frame::Warm(warm) = &frame { warm.bytes() } else { 0 };
                    match &mut message {
                        Some((same, frames, held)) if *same == to && *held + bytes <= MESSAGE_BYTES_MAX => {
                            frames.push(frame);
                            *held += bytes;
                        }
                        _ => self.send(message.replace((to, vec![frame], bytes))),
                    }
                }
                Effect::Release { shard, drain_epoch } => {
                    if let Some(shards) = self.shards.upgrade() {
                        shards.released(shard, drain_epoch);
                    }
                }
                Effect::Give { shard, parts } => {
                    if let Some(shards) = self.shards.upgrade() {
                        shards.warm(shard, parts);
                    }
                }
            }
        }
        self.send(message);
    }

    fn send(&self, message: Option<(NodeRef, Vec<Frame>, usize)>) {
        let Some((to, frames, _)) = message else { return };
        let Some(me) = self.lock().as_ref().map(|machine| machine.me().clone()) else { return };
        let transport = Arc::clone(&self.transport);
        let send = async move {
            if let Err(error) = transport.send(&me, &to, frames).await {
                // What is not acknowledged is sent again.
                tracing::debug!(%error, node = %to, "what is handed over was not sent");
            }
        };
        self.tasks.spawn_on(send, &self.runtime);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Machine>> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looked at again after this long at the latest: clocks may disagree.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Tells the time until the host ends.
pub(crate) async fn keep_time(handover: Weak<Handover>, closing: CancellationToken) {
    loop {
        let Some(this) = handover.upgrade() else { return };
        let (now, wakes_at) = (this.clock.now(), this.lock().as_ref().and_then(Machine::wakes_at));
        let wait = wakes_at.map_or(Duration::MAX, |at| at.since(now));
        if wait.is_zero() {
            this.run(Input::Tick);
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = this.sooner.notified() => {}
            () = tokio::time::sleep(wait.min(SLEEP_MAX)), if wakes_at.is_some() => {}
        }
    }
}

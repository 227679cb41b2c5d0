//! The router's one long-lived task: other nodes' messages, new views, and the passing of time.
//!
//! Commands from other nodes run on this task if their shard is free: a slow handler delays other messages, never a
//! heartbeat.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aether_domain::NodeRef;
use aether_domain::ports::{Answer, AskFrame, Delivery, Frame, Transport};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::ask::Target;
use super::bounds::{TICK, TICKS_IDLE_MAX, TIMEOUT_MAX};
use super::core::Core;
use super::effects::in_bytes;
use super::machine::Input;
use super::parking::{Judgement, Parking, Received, judge};
use crate::message::{Payload, Responder, Work};
use crate::view::View;

/// How long after failing to listen it is tried again.
const LISTEN_AGAIN: Duration = Duration::from_millis(200);

/// Runs until `shutdown`, then ends every ask and waits for the router's tasks.
pub(crate) async fn run(core: &Arc<Core>, shutdown: CancellationToken) {
    let mut inbox = Inbox { core, parking: Parking::default() };
    while !shutdown.is_cancelled() {
        inbox.live(&shutdown).await;
    }
    for shard in shards(core) {
        core.step(shard, Input::Over);
    }
    core.over.cancel();
    core.tasks.close();
    core.tasks.wait().await;
}

struct Inbox<'a> {
    core: &'a Arc<Core>,
    parking: Parking,
}

impl Inbox<'_> {
    /// One life of this node: until another begins, or the end.
    async fn live(&mut self, shutdown: &CancellationToken) {
        let mut views = self.core.views.clone();
        let me = {
            let view = views.borrow_and_update().clone();
            let me = view.me.clone();
            self.take_view(view);
            me
        };
        let mut deliveries = listen(self.core.transport.clone(), me.clone());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut idle_ticks, mut followed) = (0, true);
        self.core.ticking.store(true, Ordering::SeqCst);
        loop {
            let ticking = idle_ticks < TICKS_IDLE_MAX;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                changed = views.changed(), if followed => {
                    // An error: nobody will ever say more of the topology. Go on with what is known.
                    followed = changed.is_ok();
                    let view = views.borrow_and_update().clone();
                    let same = view.me == me;
                    self.take_view(view);
                    if !same {
                        return;
                    }
                }
                _ = ticks.tick(), if ticking => {
                    idle_ticks = if self.tick() { 0 } else { idle_ticks + 1 };
                    if idle_ticks == TICKS_IDLE_MAX {
                        self.core.ticking.store(false, Ordering::SeqCst);
                        // Whoever asked before that was stored may not have stirred.
                        idle_ticks = if self.tick() { 0 } else { idle_ticks };
                        self.core.ticking.store(idle_ticks == 0, Ordering::SeqCst);
                    }
                }
                () = self.core.stir.notified(), if !ticking => {
                    idle_ticks = 0;
                    self.core.ticking.store(true, Ordering::SeqCst);
                    ticks.reset();
                }
                delivery = deliveries.next() => match delivery {
                    Some(delivery) => self.take(delivery),
                    None => deliveries = stream::pending().boxed(),
                },
            }
        }
    }

    /// Looks at the lanes whose time has come. False if none waits for any time at all.
    fn tick(&mut self) -> bool {
        let now = self.core.clock.now();
        let mut waiting = !self.parking.is_empty();
        for (shard, lane) in shards(self.core).zip(self.core.lanes()) {
            if let Some(at) = lane.wakes_at() {
                waiting = true;
                if at <= now {
                    self.core.step(shard, Input::Look);
                }
            }
        }
        for Received { from, ask, .. } in self.parking.overdue(now) {
            self.refuse(&from, &ask, Answer::Behind);
        }
        waiting
    }

    fn take_view(&mut self, view: Arc<View>) {
        let epoch = view.epoch;
        self.core.links.keep(&view.me, &view.lives);
        self.core.view.store(view);
        self.core.knows_cluster();
        for shard in shards(self.core) {
            self.core.step(shard, Input::Look);
        }
        for received in self.parking.reached(epoch) {
            self.receive(received);
        }
    }

    fn take(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Frames { from, frames } => self.take_frames(&from, frames),
            Delivery::Unreachable { to } => {
                self.core.counters.unreachable.more();
                for (shard, lane) in shards(self.core).zip(self.core.lanes()) {
                    // A lane without timers has nothing outstanding.
                    if lane.wakes_at().is_some() {
                        self.core.step(shard, Input::Unreachable { to: to.clone() });
                    }
                }
            }
            Delivery::Corrupt { reason } => {
                self.core.counters.corrupt.more();
                tracing::warn!(%reason, "a message could not be understood; dropped");
            }
            Delivery::Overrun => {
                self.core.counters.overruns.more();
                tracing::warn!("messages were lost because this node did not keep up; their senders ask again");
            }
        }
    }

    fn take_frames(&mut self, from: &NodeRef, frames: Vec<Frame>) {
        let at = self.core.clock.now();
        // What is answered while the message is worked through leaves together.
        let link = self.core.links.known(from);
        if let Some(link) = &link {
            link.heard();
            link.cork();
        }
        for frame in frames {
            match frame {
                Frame::Ask(ask) => {
                    self.core.counters.received.more();
                    self.receive(Received { from: from.clone(), ask, at });
                }
                Frame::Answer(answer) if answer.id.origin == self.core.view.load().me.incarnation => {
                    let from = Target::There(from.clone());
                    self.core.answered(from, answer.id.sequence, answer.sending, answer.view, answer.answer);
                }
                // To an earlier life of this node, which has told its callers what it knew.
                Frame::Answer(_) => {}
            }
        }
        if let Some(link) = &link {
            link.uncork();
        }
    }

    fn receive(&mut self, received: Received) {
        match judge(&self.core.view.load(), &received) {
            Judgement::Run => self.run(received),
            Judgement::Wait => match self.parking.park(received) {
                Ok(()) => {
                    self.core.counters.parked.more();
                    self.core.stir.notify_one();
                }
                Err(back) => self.refuse(&back.from, &back.ask, Answer::Behind),
            },
            Judgement::Refuse(answer) => {
                if matches!(answer, Answer::NotOwner { .. }) {
                    self.core.counters.strangers.more();
                }
                self.refuse(&received.from, &received.ask, answer);
            }
            Judgement::Forged => {
                self.core.counters.corrupt.more();
                tracing::warn!(from = %received.from, command_id = %received.ask.id, "a command in another life's name");
            }
        }
    }

    fn run(&self, received: Received) {
        let Received { from, ask, at } = received;
        let AskFrame { id, floor, actor, command, payload, codec, message, mode, budget, attempt, sending, .. } = ask;
        let work = Work {
            id,
            floor,
            actor,
            command: command.into(),
            payload: Payload::Encoded(codec, payload),
            message,
            mode,
            deadline: at + budget.min(TIMEOUT_MAX),
            attempt,
        };
        let respond = if ask.wants_answer {
            let core = Arc::downgrade(self.core);
            Responder::Call(Box::new(move |outcome| {
                if let Some(core) = core.upgrade() {
                    core.reply(&from, id, sending, in_bytes(outcome));
                }
            }))
        } else {
            Responder::Call(Box::new(drop))
        };
        self.core.local.deliver(work, respond);
    }

    fn refuse(&self, from: &NodeRef, ask: &AskFrame, answer: Answer) {
        if ask.wants_answer {
            self.core.reply(from, ask.id, ask.sending, answer);
        }
    }
}

fn shards(core: &Core) -> impl Iterator<Item = aether_domain::ShardId> + use<> {
    (0u16..=u16::MAX).take(core.lanes().len()).map(aether_domain::ShardId)
}

/// What arrives for that life: begins as soon as the transport lets it, and ends when the transport is closed.
fn listen(transport: Arc<dyn Transport>, me: NodeRef) -> Pin<Box<dyn Stream<Item = Delivery> + Send>> {
    let begin = async move {
        loop {
            match transport.listen(&me).await {
                Ok(deliveries) => return deliveries,
                Err(fault) => {
                    tracing::warn!(node = %me, %fault, "cannot listen for other nodes yet");
                    sleep(LISTEN_AGAIN).await;
                }
            }
        }
    };
    stream::once(begin).flatten().boxed()
}

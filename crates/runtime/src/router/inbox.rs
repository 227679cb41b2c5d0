//! The router's long-lived tasks: one follows the view and the time, another takes what other nodes send.
//!
//! Commands from other nodes run on the task that took them if their shard is free, without a task switch. If one takes
//! long, the first task finds out at its next tick and lets another take over what follows: a slow handler delays its
//! shard-mates, never an answer, a view or a deadline. The order in which commands are brought is `intake`'s.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aether_domain::ports::{Answer, AskFrame, Delivery, Frame, Transport};
use aether_domain::{NodeRef, ShardId};
use futures_util::{Stream, StreamExt, stream};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::ask::Target;
use super::bounds::{TICK, TICKS_IDLE_MAX, TIMEOUT_MAX};
use super::core::Core;
use super::effects::in_bytes;
use super::intake::{State, TurnId};
use super::machine::Input;
use super::outgoing::HandOver;
use super::parking::{Judgement, Received, judge};
use crate::link::{Cork, Link};
use crate::message::{Responder, Work};
use crate::view::View;

/// How long after failing to listen it is tried again.
const LISTEN_AGAIN: Duration = Duration::from_millis(200);

/// What arrives for one life of this node, with whoever listens or in its place.
pub(crate) struct Feed {
    deliveries: Pin<Box<dyn Stream<Item = Delivery> + Send>>,
    /// Cancelled when the life is over.
    life: CancellationToken,
}

impl Feed {
    /// Whether this node has begun another life, or ends.
    pub(crate) fn is_over(&self) -> bool {
        self.life.is_cancelled()
    }
}

/// Runs until `shutdown`, or until nothing can be heard any more; then ends every ask and waits for the router's tasks.
pub(crate) async fn run(core: &Arc<Core>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() && !core.deaf.is_cancelled() {
        live(core, &shutdown).await;
    }
    for shard in shards(core) {
        core.step(core.clock.now(), shard, Input::Over);
    }
    core.over.cancel();
    core.tasks.close();
    core.tasks.wait().await;
}

/// One life of this node: until another begins, or the end.
async fn live(core: &Arc<Core>, shutdown: &CancellationToken) {
    let mut views = core.views.clone();
    let me = {
        let view = views.borrow_and_update().clone();
        let me = view.me.clone();
        take_view(core, view);
        me
    };
    let life = shutdown.child_token();
    // Whatever way this ends, nobody listens for this life any longer.
    let _over = life.clone().drop_guard();
    core.put_feed(Feed { deliveries: listen(core.transport.clone(), me.clone()), life });
    take_turns(core, None);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut idle_ticks, mut followed) = (0, true);
    core.ticking.store(true, Ordering::SeqCst);
    loop {
        let ticking = idle_ticks < TICKS_IDLE_MAX;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = core.deaf.cancelled() => return,
            changed = views.changed(), if followed => {
                // An error: nobody will ever say more of the topology. Go on with what is known.
                followed = changed.is_ok();
                let view = views.borrow_and_update().clone();
                let same = view.me == me;
                take_view(core, view);
                if !same {
                    return;
                }
            }
            _ = ticks.tick(), if ticking => {
                idle_ticks = if tick(core) { 0 } else { idle_ticks + 1 };
                if idle_ticks == TICKS_IDLE_MAX {
                    core.ticking.store(false, Ordering::SeqCst);
                    // Whoever asked before that was stored may not have stirred.
                    idle_ticks = if tick(core) { 0 } else { idle_ticks };
                    core.ticking.store(idle_ticks == 0, Ordering::SeqCst);
                }
            }
            () = core.stir.notified(), if !ticking => {
                idle_ticks = 0;
                core.ticking.store(true, Ordering::SeqCst);
                ticks.reset();
            }
        }
    }
}

/// Looks at the lanes whose time has come, and at whoever has the turn. False if none waits for any time at all.
fn tick(core: &Arc<Core>) -> bool {
    let now = core.clock.now();
    let mut waiting = !core.intake.is_idle();
    for (shard, lane) in shards(core).zip(core.lanes()) {
        if let Some(at) = lane.wakes_at() {
            waiting = true;
            if at <= now {
                core.step_from_within(now, shard, Input::Look);
            }
        }
    }
    if waiting {
        let overdue = core.intake.lock().overdue(now);
        refuse(core, overdue.into_iter().map(|received| (received, Answer::Behind)));
        if let Some(turn) = core.intake.held_up() {
            take_turns(core, Some(turn));
        }
    }
    waiting
}

fn take_view(core: &Arc<Core>, view: Arc<View>) {
    core.links.keep(&view.me, &view.lives);
    core.view.store(view);
    if core.knows_cluster() {
        core.known.notify_waiters();
    }
    let now = core.clock.now();
    for shard in shards(core) {
        core.step_from_within(now, shard, Input::Look);
    }
    // Only now: whoever finds them reached must route by this view.
    admit(core, []);
    if let Some(turn) = core.intake.begin(None) {
        take_turns(core, Some(turn));
    }
}

/// Lets a task of its own bring commands to their shards, and then listen if nobody else does.
fn take_turns(core: &Arc<Core>, turn: Option<TurnId>) {
    let listener = core.clone();
    let work = async move {
        if let Some(turn) = turn {
            run_turn(&listener, turn);
        }
        while let Some(mut feed) = listener.take_feed() {
            let listening = Listening(&listener);
            let delivery = tokio::select! {
                biased;
                () = feed.life.cancelled() => return,
                delivery = feed.deliveries.next() => delivery,
            };
            drop(listening);
            let Some(delivery) = delivery else { return };
            // In its place before anything is run: if that takes long, another listens.
            listener.put_feed(feed);
            let Some(turn) = take(&listener, delivery) else { continue };
            if !listener.ticking.load(Ordering::SeqCst) {
                // Whoever keeps time must run before a handler does: woken from here, it waits for this very thread.
                listener.stir.notify_one();
                yield_now().await;
            }
            run_turn(&listener, turn);
        }
    };
    core.tasks.spawn_on(work, &core.runtime);
}

/// Takes what has arrived; if it brought commands that nobody else sees to, with the turn.
fn take(core: &Arc<Core>, delivery: Delivery) -> Option<TurnId> {
    match delivery {
        Delivery::Frames { from, frames } => return take_frames(core, &from, frames),
        Delivery::Unreachable { to } => {
            core.counters.unreachable.more();
            core.local.unreachable(&to);
            let now = core.clock.now();
            for (shard, lane) in shards(core).zip(core.lanes()) {
                // A lane without timers has nothing outstanding.
                if lane.wakes_at().is_some() {
                    core.step_from_within(now, shard, Input::Unreachable { to: to.clone() });
                }
            }
        }
        Delivery::Corrupt { reason } => {
            core.counters.corrupt.more();
            tracing::warn!(%reason, "a message could not be understood; dropped");
        }
        Delivery::Overrun => {
            core.counters.overruns.more();
            tracing::warn!("messages were lost because this node did not keep up; their senders ask again");
        }
    }
    None
}

fn take_frames(core: &Arc<Core>, from: &NodeRef, frames: Vec<Frame>) -> Option<TurnId> {
    let at = core.clock.now();
    // What is answered while the message is worked through leaves together.
    let link = core.links.known(from);
    let cork: Option<Cork> = link.as_ref().map(Link::heard);
    let mut answers = 0;
    let me = core.view.load().me.incarnation;
    let mut asks = Vec::new();
    for frame in frames {
        match frame {
            Frame::Ask(ask) => {
                core.counters.received.more();
                asks.push(Received { from: from.clone(), ask, at });
            }
            Frame::Answer(answer) if answer.id.origin == me => {
                answers += 1;
                let from = Target::There(from.clone());
                core.answered(at, from, answer);
            }
            // To an earlier life of this node, which has told its callers what it knew.
            Frame::Answer(_) => {}
            Frame::Warm(warm) => core.local.hand_over(from, HandOver::Warm(warm)),
            Frame::WarmTaken(taken) => core.local.hand_over(from, HandOver::Taken(taken)),
        }
    }
    if let Some(link) = link.filter(|_| answers > 0) {
        link.answered(answers);
    }
    if asks.is_empty() {
        return None;
    }
    admit(core, asks);
    core.intake.begin(cork)
}

/// Adds commands to those that are to be brought to their shards, after all that this node's view has reached.
fn admit(core: &Core, asks: impl IntoIterator<Item = Received>) {
    let mut refused = Vec::new();
    {
        let mut intake = core.intake.lock();
        // Loaded under the lock: a command that finds the view reached comes after those that waited for it.
        let view = core.view.load();
        for received in intake.reached(view.epoch) {
            sort(core, &view, &mut intake, received, &mut refused);
        }
        for received in asks {
            sort(core, &view, &mut intake, received, &mut refused);
        }
    }
    refuse(core, refused);
}

fn sort(core: &Core, view: &View, intake: &mut State, received: Received, refused: &mut Vec<(Received, Answer)>) {
    match judge(view, &received) {
        Judgement::Run => {
            if let Err(back) = intake.add(received) {
                refused.push((*back, Answer::Busy));
            }
        }
        Judgement::Wait => match intake.parking.park(received) {
            Ok(()) => {
                core.counters.parked.more();
                core.stir.notify_one();
            }
            Err(back) => refused.push((*back, Answer::Behind)),
        },
        Judgement::Refuse(answer) => {
            if matches!(answer, Answer::NotOwner { .. }) {
                core.counters.strangers.more();
            }
            refused.push((received, answer));
        }
        Judgement::Forged => {
            core.counters.corrupt.more();
            tracing::warn!(from = %received.from, command_id = %received.ask.id, "a command in another life's name");
        }
    }
}

fn refuse(core: &Core, refused: impl IntoIterator<Item = (Received, Answer)>) {
    for (Received { from, ask, .. }, answer) in refused {
        if ask.wants_answer {
            core.reply(&from, ask.id, ask.sending, answer);
        }
    }
}

/// Brings commands to their shards until there is none, or, once another has the turn, none for the shard that held this
/// one up.
fn run_turn(core: &Arc<Core>, turn: TurnId) {
    let mut running = Running { core, turn, last: None };
    let mut refused = Vec::new();
    loop {
        let shard_of = |received: &Received| core.shard_of(&received.ask.request.actor);
        let next = core.intake.next(&running.turn, running.last, shard_of, &mut refused);
        refuse(core, refused.drain(..).map(|received| (received, Answer::Busy)));
        let Some((shard, received)) = next else { return };
        running.last = Some(shard);
        run_one(core, received);
    }
}

/// A turn under way, which must not be lost with whoever has it.
struct Running<'a> {
    core: &'a Arc<Core>,
    turn: TurnId,
    last: Option<ShardId>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(shard = ?self.last, "bringing a command to its shard panicked; going on with the next one");
            self.core.intake.give_up(&self.turn, self.last);
            take_turns(self.core, self.core.intake.begin(None));
        }
    }
}

/// Whoever listens. Should the transport panic, what arrives is lost with it.
struct Listening<'a>(&'a Core);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("listening for other nodes panicked");
            self.0.deaf.cancel();
        }
    }
}

fn run_one(core: &Arc<Core>, received: Received) {
    let Received { from, ask, at } = received;
    let AskFrame { id, floor, request, budget, attempt, sending, wants_answer, .. } = ask;
    let work = Work::asked(request, id, floor, at + budget.min(TIMEOUT_MAX), attempt);
    let respond = if wants_answer {
        let core = Arc::downgrade(core);
        Responder::Call(Box::new(move |outcome| {
            if let Some(core) = core.upgrade() {
                core.reply(&from, id, sending, in_bytes(outcome));
            }
        }))
    } else {
        Responder::Call(Box::new(drop))
    };
    core.local.deliver(work, respond);
}

fn shards(core: &Core) -> impl Iterator<Item = ShardId> + use<> {
    (0u16..=u16::MAX).take(core.lanes().len()).map(ShardId)
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

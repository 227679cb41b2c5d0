//! What the router's callers and its inbox share: the lanes, the links, and how an effect is carried out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use aether_domain::ports::{Answer, AnswerFrame, Frame, SendError, Transport};
use aether_domain::{ActorAddress, CommandId, Epoch, Monotonic, NodeRef, ShardCount, ShardId};
use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ask::{Target, Try};
use super::bounds::{REPLY_BYTES_MAX, RETRY_NEXT_LIFE, WAITING_FOR_CLUSTER_MAX};
use super::budget::NodeBudget;
use super::lanes::{Caller, Lane, LaneState};
use super::machine::{Begin, Effect, Input};
use super::outgoing::Local;
use super::service::RouterConfig;
use super::stats::{Counters, RouterStats};
use super::window;
use crate::clock::Clock;
use crate::link::{Link, Links, Undelivered, Wiring};
use crate::message::{Outcome, Payload, Responder};
use crate::view::View;

/// One node's router, behind its handles.
pub(crate) struct Core {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) local: Arc<dyn Local>,
    /// The view commands are routed by. Stored before the lanes are told, so whoever loads it under a lane's lock either
    /// sees it or is told of it.
    pub(crate) view: ArcSwap<View>,
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) links: Links,
    pub(crate) counters: Counters,
    pub(crate) tasks: TaskTracker,
    pub(crate) over: CancellationToken,
    /// Whether the inbox looks at the lanes every tick; if not, [`Self::stir`] makes it begin.
    pub(crate) ticking: AtomicBool,
    pub(crate) stir: Notify,
    runtime: Handle,
    budget: Arc<NodeBudget>,
    /// Made when the number of shards is known, which never changes then.
    lanes: OnceLock<Lanes>,
    waiting_for_cluster: AtomicUsize,
    this: Weak<Self>,
}

struct Lanes {
    shards: ShardCount,
    lanes: Box<[Lane]>,
}

/// What becomes of a new command.
pub(crate) enum Begun {
    /// It is to be run in place under this id, and settled or handed over.
    Here { id: CommandId, floor: u64 },
    /// Too many are outstanding.
    Busy,
    /// The machine has to look after it.
    Elsewhere,
}

impl Core {
    pub(crate) fn new(config: RouterConfig) -> Arc<Self> {
        let RouterConfig { clock, transport, local, view: views } = config;
        let view = views.borrow().clone();
        let (tasks, over, runtime) = (TaskTracker::new(), CancellationToken::new(), Handle::current());
        Arc::new_cyclic(|this: &Weak<Self>| {
            let wiring = Wiring {
                transport: transport.clone(),
                undelivered: this.clone(),
                runtime: runtime.clone(),
                tasks: tasks.clone(),
                over: over.clone(),
            };
            Self {
                clock,
                transport,
                local,
                links: Links::new(view.me.clone(), wiring),
                view: ArcSwap::new(view),
                views,
                counters: Counters::default(),
                tasks,
                over,
                ticking: AtomicBool::new(false),
                stir: Notify::new(),
                runtime,
                budget: Arc::default(),
                lanes: OnceLock::new(),
                waiting_for_cluster: AtomicUsize::new(0),
                this: this.clone(),
            }
        })
    }

    // The lanes.

    /// Whether there is a topology to route by.
    pub(crate) fn knows_cluster(&self) -> bool {
        self.lanes.get().is_some() || self.make_lanes(&self.view.load())
    }

    fn make_lanes(&self, view: &View) -> bool {
        if view.routes.is_empty() {
            return false;
        }
        let make = || Lanes { shards: view.shards, lanes: Lane::all(view.shards, view.me.incarnation, &self.budget) };
        self.lanes.get_or_init(make);
        true
    }

    /// Waits for a first topology, with few enough others.
    pub(crate) async fn wait_for_cluster(&self, deadline: Monotonic) -> Result<(), Answer> {
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        let place = Place(&self.waiting_for_cluster);
        if self.waiting_for_cluster.fetch_add(1, Ordering::AcqRel) >= WAITING_FOR_CLUSTER_MAX {
            return Err(Answer::Busy);
        }
        let mut views = self.views.clone();
        let known = timeout(deadline.since(self.clock.now()), views.wait_for(|view| !view.routes.is_empty())).await;
        drop(place);
        match known {
            Ok(Ok(view)) => {
                self.make_lanes(&view);
                Ok(())
            }
            Ok(Err(_)) => Err(Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied: false }),
            Err(_) => Err(Answer::Expired { maybe_applied: false }),
        }
    }

    /// The lanes, in order; none before there is a cluster.
    pub(crate) fn lanes(&self) -> &[Lane] {
        self.lanes.get().map_or(&[], |lanes| &lanes.lanes)
    }

    /// Which shard an actor is in. Called only once there is a cluster.
    pub(crate) fn shard_of(&self, actor: &ActorAddress) -> ShardId {
        actor.slot.shard(self.lanes.get().map_or(ShardCount::DEFAULT, |lanes| lanes.shards))
    }

    /// Begins a command in place if it may run there.
    pub(crate) fn begin(&self, shard: ShardId) -> Begun {
        let Some(lane) = self.lanes().get(shard.index()) else { return Begun::Elsewhere };
        for looked in [false, true] {
            let mut state = lane.lock();
            if state.over || state.delivering || !state.outbox.is_empty() {
                break;
            }
            match state.asks.begin(&self.view.load()) {
                Begin::Here { id, floor } => {
                    state.begun += 1;
                    return Begun::Here { id, floor };
                }
                Begin::Busy => return Begun::Busy,
                Begin::NewView if !looked => {
                    drop(state);
                    self.step(shard, Input::Look);
                }
                Begin::NewView | Begin::Elsewhere => break,
            }
        }
        Begun::Elsewhere
    }

    /// Takes a command that was begun in place off the books.
    pub(crate) fn settle(&self, shard: ShardId, sequence: u64) {
        let Some(lane) = self.lanes().get(shard.index()) else { return };
        let awaited = lane.lock().asks.settle(sequence);
        if awaited {
            self.step(shard, Input::Look);
        }
    }

    // The machines.

    /// Takes an input on a caller's own task. What became of a `tell` that was not sent is answered.
    pub(crate) fn step(&self, shard: ShardId, input: Input<Caller>) -> Option<Answer> {
        let (untold, due) = self.step_lane(shard, input);
        if due {
            self.deliver_outbox(shard);
        }
        untold
    }

    /// Takes an input from anywhere, perhaps from within one of this node's shards: these are entered by another task.
    pub(crate) fn step_from_within(&self, shard: ShardId, input: Input<Caller>) {
        let (_, due) = self.step_lane(shard, input);
        if due && let Some(core) = self.this.upgrade() {
            self.tasks.spawn_on(async move { core.deliver_outbox(shard) }, &self.runtime);
        }
    }

    fn step_lane(&self, shard: ShardId, input: Input<Caller>) -> (Option<Answer>, bool) {
        let Some(lane) = self.lanes().get(shard.index()) else { return (None, false) };
        let mut untold = None;
        let mut flush: Option<Arc<Link>> = None;
        let mut state = lane.lock();
        let due = {
            let state = &mut *state;
            if state.over && matches!(input, Input::Ask { .. } | Input::RefusedHere { .. }) {
                return (self.refuse_at_the_end(input), false);
            }
            let (view, now) = (self.view.load(), self.clock.now());
            state.over |= matches!(input, Input::Over);
            let mut inputs = VecDeque::from([input]);
            let mut effects = Vec::new();
            while let Some(input) = inputs.pop_front() {
                state.asks.step(now, &view, input, &mut effects);
                for effect in effects.drain(..) {
                    match effect {
                        Effect::Send { to, attempt } => match self.send(now, &to, attempt) {
                            Ok(link) => flush = Some(link),
                            Err(sequence) => inputs.push_back(Input::NotSent { sequence }),
                        },
                        Effect::Deliver { attempt } => state.outbox.push_back(attempt),
                        Effect::Complete { token, answer } => drop(token.send(answer)),
                        Effect::Untold { answer } => {
                            self.counters.tells_unsent.more();
                            untold = Some(answer);
                        }
                    }
                }
            }
            !state.outbox.is_empty() && !state.delivering
        };
        let wanted = lane.note_wake(state.asks.wakes_at());
        drop(state);
        if wanted && !self.ticking.load(Ordering::SeqCst) {
            self.stir.notify_one();
        }
        if let Some(link) = flush {
            link.flush();
        }
        (untold, due)
    }

    fn refuse_at_the_end(&self, input: Input<Caller>) -> Option<Answer> {
        let refusal = |maybe_applied| Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied };
        match input {
            Input::Ask { token: Some(token), .. } => drop(token.send(refusal(false))),
            Input::Ask { token: None, .. } => return Some(refusal(false)),
            Input::RefusedHere { token, answer, .. } => {
                let applied = matches!(answer, Answer::Unavailable { maybe_applied: true, .. });
                drop(token.send(refusal(applied)));
            }
            _ => {}
        }
        None
    }

    /// Puts a try on its link. If there is no room, says which command stays behind.
    fn send(&self, now: Monotonic, to: &NodeRef, attempt: Try) -> Result<Arc<Link>, u64> {
        let (sequence, again) = (attempt.id.sequence, attempt.again);
        let taken = self.links.to(to).filter(|link| link.push(Frame::Ask(attempt.into_frame(now))).is_ok());
        match &taken {
            None => self.counters.link_full.more(),
            Some(_) if again => self.counters.retries.more(),
            Some(_) => self.counters.asks_remote.more(),
        }
        taken.ok_or(sequence)
    }

    /// Delivers what waits for this node's own shard, in order, unless somebody else is at it.
    fn deliver_outbox(&self, shard: ShardId) {
        let Some(lane) = self.lanes().get(shard.index()) else { return };
        let mut mine = false;
        loop {
            let next = {
                let mut state: std::sync::MutexGuard<'_, LaneState> = lane.lock();
                if state.delivering && !mine {
                    return;
                }
                let next = state.outbox.pop_front();
                state.delivering = next.is_some();
                next
            };
            let Some(attempt) = next else { return };
            mine = true;
            self.deliver(attempt);
        }
    }

    fn deliver(&self, attempt: Try) {
        if attempt.again {
            self.counters.retries.more();
        }
        let (this, sequence) = (self.this.clone(), attempt.id.sequence);
        let respond: Box<dyn FnOnce(Outcome) + Send> = if attempt.wants_answer {
            Box::new(move |outcome| {
                if let Some(core) = this.upgrade() {
                    let known = core.view.load().epoch;
                    core.answered(Target::Here, sequence, known, in_bytes(outcome));
                }
            })
        } else {
            Box::new(drop)
        };
        self.local.deliver(attempt.into_work(), Responder::Call(respond));
    }

    /// Takes what became of a command of ours.
    pub(crate) fn answered(&self, from: Target, sequence: u64, view: Epoch, answer: Answer) {
        self.counters.note_refusal(&answer);
        self.step_from_within(window::shard_of(sequence), Input::Answered { sequence, from, view, answer });
    }

    // Others.

    /// Answers another node's command.
    pub(crate) fn reply(&self, to: &NodeRef, id: CommandId, answer: Answer) {
        let answer = match answer {
            Answer::Replied(bytes) | Answer::Rejected(bytes) if bytes.len() > REPLY_BYTES_MAX => {
                let reason = format!("an answer of {} bytes exceeds {REPLY_BYTES_MAX}", bytes.len());
                Answer::Invalid { reason }
            }
            answer => answer,
        };
        let frame = Frame::Answer(AnswerFrame { id, view: self.view.load().epoch, answer });
        match self.links.to(to) {
            Some(link) if link.push(frame).is_ok() => link.flush(),
            _ => self.counters.answers_dropped.more(),
        }
    }

    /// Notes what a caller is told, and words it.
    pub(crate) fn tell_caller(&self, answer: Answer) -> Outcome {
        self.counters.note_told(&answer);
        Outcome::Other(answer)
    }

    pub(crate) fn stats(&self) -> RouterStats {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (mut asks_local, mut outstanding) = (0, 0);
        for lane in self.lanes() {
            let state = lane.lock();
            asks_local += state.begun;
            outstanding += count(state.asks.outstanding());
        }
        RouterStats {
            asks_local,
            outstanding,
            held_bytes: count(self.budget.held_bytes()),
            outstanding_bytes: count(self.budget.outstanding_bytes()),
            links: count(self.links.count()),
            ..self.counters.read()
        }
    }
}

impl Undelivered for Core {
    fn undelivered(&self, sequences: &[u64], fault: &SendError) {
        for sequence in sequences.iter().copied() {
            self.counters.not_sent.more();
            let input = match fault {
                SendError::Unavailable { .. } => Input::NotSent { sequence },
                SendError::TooLarge { .. } => Input::TooLarge { sequence, reason: fault.to_string() },
            };
            self.step_from_within(window::shard_of(sequence), input);
        }
    }
}

/// An outcome as it travels. A value here would be an answer to a command that nobody sent as a value.
pub(crate) fn in_bytes(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Replied(Payload::Encoded(_, bytes)) => Answer::Replied(bytes),
        Outcome::Rejected(Payload::Encoded(_, bytes)) => Answer::Rejected(bytes),
        Outcome::Other(answer) => answer,
        Outcome::Replied(Payload::Typed(_)) | Outcome::Rejected(Payload::Typed(_)) => {
            Answer::Invalid { reason: "the answer to a written command was not written".into() }
        }
    }
}

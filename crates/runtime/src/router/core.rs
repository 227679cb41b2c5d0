//! What the router's callers and its inbox share: the view, the lanes and the links.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use aether_domain::ports::{Answer, Transport};
use aether_domain::{ActorAddress, CommandId, Monotonic, ShardCount, ShardId, Slot};
use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bounds::{RETRY_NEXT_LIFE, WAITING_FOR_CLUSTER_MAX};
use super::budget::NodeBudget;
use super::inbox::Feed;
use super::intake::Intake;
use super::lanes::Lane;
use super::machine::{Begin, Input};
use super::outgoing::Local;
use super::service::RouterConfig;
use super::stats::{Counters, RouterStats};
use crate::clock::Clock;
use crate::link::{Links, Wiring};
use crate::view::View;

/// One node's router, behind its handles. Aligned, so that the count of these, which changes with every command, is apart
/// from what is only read.
#[repr(align(128))]
pub(crate) struct Core {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) local: Arc<dyn Local>,
    /// The view commands are routed by. Stored before the lanes are told, so whoever loads it under a lane's lock either
    /// sees it or is told of it.
    pub(crate) view: ArcSwap<View>,
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) links: Links,
    /// What other nodes have sent and no shard has yet.
    pub(crate) intake: Box<Intake>,
    /// What arrives, while nobody waits for it.
    feed: Mutex<Option<Feed>>,
    /// Written for every command, as `intake` is, so apart from what is only read.
    pub(crate) counters: Box<Counters>,
    pub(crate) tasks: TaskTracker,
    pub(crate) over: CancellationToken,
    /// Cancelled when the transport has taken the listener down with it: this node hears of nobody any more.
    pub(crate) deaf: CancellationToken,
    /// Whether the inbox looks at the lanes every tick; if not, [`Self::stir`] makes it begin.
    pub(crate) ticking: AtomicBool,
    pub(crate) stir: Notify,
    pub(crate) runtime: Handle,
    budget: Arc<NodeBudget>,
    /// Made when the number of shards is known, which never changes then.
    lanes: OnceLock<Lanes>,
    waiting_for_cluster: AtomicUsize,
    /// Told when [`Self::knows_cluster`] becomes true. Those who wait go on in the order in which they came, which those of a
    /// `watch` do not.
    pub(crate) known: Notify,
    pub(crate) this: Weak<Self>,
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
                intake: Box::default(),
                feed: Mutex::default(),
                counters: Box::default(),
                tasks,
                over,
                deaf: CancellationToken::new(),
                ticking: AtomicBool::new(false),
                stir: Notify::new(),
                runtime,
                budget: Arc::default(),
                lanes: OnceLock::new(),
                waiting_for_cluster: AtomicUsize::new(0),
                known: Notify::new(),
                this: this.clone(),
            }
        })
    }

    /// Leaves what arrives to whoever looks next, unless its life is over.
    pub(crate) fn put_feed(&self, feed: Feed) {
        let mut place = self.feed();
        if !feed.is_over() {
            *place = Some(feed);
        }
    }

    /// What arrives, if nobody else waits for it.
    pub(crate) fn take_feed(&self) -> Option<Feed> {
        self.feed().take()
    }

    fn feed(&self) -> MutexGuard<'_, Option<Feed>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a topology to route by, be it one that is still to be taken over: what is asked now waits for that.
    pub(crate) fn knows_cluster(&self) -> bool {
        self.lanes.get().is_some() || self.make_lanes(&self.views.borrow())
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
        let known = async {
            loop {
                // Begun before looking, so that a view after the look wakes it.
                let told = self.known.notified();
                if self.knows_cluster() || self.over.is_cancelled() {
                    return self.knows_cluster();
                }
                tokio::select! {
                    biased;
                    () = told => {}
                    () = self.over.cancelled() => {}
                }
            }
        };
        let known = timeout(deadline.since(self.clock.now()), known).await;
        drop(place);
        match known {
            Ok(true) => Ok(()),
            Ok(false) => Err(Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied: false }),
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

    /// Begins a command for an actor of that slot in place if it may run there.
    pub(crate) fn begin(&self, shard: ShardId, slot: Slot) -> Begun {
        let Some(lane) = self.lanes().get(shard.index()) else { return Begun::Elsewhere };
        for looked in [false, true] {
            let mut state = lane.lock();
            if state.over || state.delivering || !state.outbox.is_empty() {
                break;
            }
            match state.asks.begin(&self.view.load(), slot) {
                Begin::Here { id, floor } => {
                    state.begun += 1;
                    return Begun::Here { id, floor };
                }
                Begin::Busy => return Begun::Busy,
                Begin::NewView if !looked => {
                    drop(state);
                    self.step(self.clock.now(), shard, Input::Look);
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
            self.step(self.clock.now(), shard, Input::Look);
        }
    }

    pub(crate) fn stats(&self) -> RouterStats {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (mut asks_local, mut asks_remote, mut outstanding) = (0, 0, 0);
        for lane in self.lanes() {
            let state = lane.lock();
            asks_local += state.begun;
            asks_remote += state.sent;
            outstanding += count(state.asks.outstanding());
        }
        RouterStats {
            asks_local,
            asks_remote,
            outstanding,
            held_bytes: count(self.budget.held_bytes()),
            outstanding_bytes: count(self.budget.outstanding_bytes()),
            links: count(self.links.count()),
            ..self.counters.read()
        }
    }
}

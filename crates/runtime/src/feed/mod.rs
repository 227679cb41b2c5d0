//! Feeds: the stored events of a kind, handed to an application's handler, in order, from the first one on.
//!
//! A feed has a name. Its *checkpoint* says how far it has come, and which node works on it: one node at a time does, and
//! the others that subscribed under the same name stand by. When it stops, dies or is cut off, one of them goes on behind
//! the last checkpoint. So every event is handled at least once; one may come again after such a change.
//!
//! **Counting exactly all the same.** Keep how far you have come *with* what you make of it, in one transaction or one file:
//! with one lane the [`Place`] of the last event, with several each actor's last [`Recorded::version`]. What comes again is
//! then seen to be old and left out. `examples/read_model.rs` of the `aether` crate does so.
//!
//! Events of one actor come in order and one at a time; with one lane those of all actors do. A handler that fails or panics
//! is asked again, and its lane waits; what else may become of the event, [`OnFailure`] says. A commit that is damaged,
//! or an event that this build cannot read, stops the feed with that reason: nothing is passed over silently.
//!
//! `machine` decides who works; `watermark` how far everything is handled; `service` and `work` do what they say.
//!
//! ```
//! # use std::sync::{Arc, Mutex};
//! # use aether_domain::ports::{EventStore, Whose};
//! # use aether_domain::records::{CommitRecord, EventRecord, PayloadCodec};
//! # use aether_domain::testing::life;
//! # use aether_domain::*;
//! # use aether_infra_memory::MemoryHub;
//! # use aether_runtime::clock::BootClock;
//! use aether_runtime::actor::Event;
//! use aether_runtime::feed::{FeedOptions, Feeds, Recorded};
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # enum TankEvent { Filled { litres: u64 } }
//! # impl Event for TankEvent {}
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
//! # runtime.block_on(async {
//! # let ports = MemoryHub::new().ports(&life("a", 1).node);
//! # let key = ActorKey { kind: ActorKind::new("tank")?, id: ActorId::new("7")? };
//! # let tank = ActorAddress { key, slot: Slot(1) };
//! # let event = EventRecord { schema: 1, name: "".into(), payload: r#"{"Filled":{"litres":60}}"#.into() };
//! # let commit = CommitRecord {
//! #     shard_epoch: Epoch(1), owner: Incarnation(1), nonce: Nonce(1), base: Version(0), prev_sequence: Sequence(0),
//! #     prev_hash: 0, at: WallTime::default(), codec: PayloadCodec::Json, commands: vec![], events: vec![event],
//! #     timers: vec![],
//! # };
//! # ports.events.append(&tank, &commit, Sequence::ZERO).await.expect("it is new");
//! # let (me, clock) = (life("a", 1), Arc::new(BootClock));
//! let feeds = Feeds::new(&ports, clock, me, 42);
//! let total = Arc::new(Mutex::new(0));
//! let filled = Arc::clone(&total);
//! let handler = move |recorded: Recorded<TankEvent>| {
//!     let TankEvent::Filled { litres } = recorded.event;
//!     *filled.lock().expect("nobody panics") += litres;
//!     async { Ok(()) }
//! };
//! let feed = feeds.subscribe::<TankEvent>("litres", Whose::Everybody, FeedOptions::default(), handler)?;
//! feed.caught_up().await;
//! assert_eq!(*total.lock().expect("nobody panics"), 60);
//! feed.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).expect("it works");
//! ```

mod machine;
mod options;
mod recorded;
mod service;
mod stats;
#[cfg(test)]
mod tests;
mod watermark;
mod work;

pub use options::{FeedOptions, OnFailure, SubscribeError};
pub use recorded::{FeedHandler, Place, Recorded};
pub use stats::{FailingEvent, FeedState, FeedStats};

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aether_domain::ports::{CheckpointStore, EventBus, EventFilter, Ports, Whose};
use aether_domain::{FeedName, NodeRef, Sequence};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::Event;
use crate::clock::Clock;
use machine::{Machine, Timing};
use recorded::Typed;
use work::{Counts, Tools};

/// The feeds of one node. Cheap to clone; all clones are the same feeds.
#[derive(Clone)]
pub struct Feeds {
    shared: Arc<Shared>,
}

struct Shared {
    bus: Arc<dyn EventBus>,
    checkpoints: Arc<dyn CheckpointStore>,
    clock: Arc<dyn Clock>,
    me: NodeRef,
    running: Mutex<Running>,
    kill: CancellationToken,
    tasks: TaskTracker,
}

struct Running {
    feeds: BTreeMap<FeedName, Feed>,
    /// Differs for each feed that is begun: their randomness.
    seed: u64,
}

/// A feed on this node. Cheap to clone; dropping it ends nothing: [`Feed::stop`] does.
#[derive(Clone)]
pub struct Feed {
    stats: watch::Receiver<Arc<FeedStats>>,
    stop: CancellationToken,
}

impl Feeds {
    /// No feeds yet, of that life of a node. `seed` is 64 bits of entropy that were never used before.
    pub fn new(ports: &Ports, clock: Arc<dyn Clock>, me: NodeRef, seed: u64) -> Self {
        let shared = Shared {
            bus: Arc::clone(&ports.bus),
            checkpoints: Arc::clone(&ports.checkpoints),
            clock,
            me,
            running: Mutex::new(Running { feeds: BTreeMap::new(), seed }),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins to work on the feed of that name, or to stand by for it, within the present tokio runtime: the events of `of`,
    /// whatever [`FeedOptions::actor`] says.
    ///
    /// Every subscription under one name must ask for the same events and do the same with them.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing has begun.
    pub fn subscribe<E: Event>(
        &self,
        name: &str,
        of: Whose,
        options: FeedOptions,
        handler: impl FeedHandler<E>,
    ) -> Result<Feed, SubscribeError> {
        options.check()?;
        // Names are looked through here: the bus knows only one, and tells nobody of events that have none.
        let filter = EventFilter { of, name: None, eventless: false };
        let feed = FeedName::new(name)?;
        let mut running = self.running();
        if self.shared.kill.is_cancelled() {
            return Err(SubscribeError::Ended);
        }
        if running.feeds.get(&feed).is_some_and(|feed| !feed.has_stopped()) {
            return Err(SubscribeError::Running(feed));
        }
        let timing = Timing {
            steal_after: options.steal_after,
            checkpoint_every: options.checkpoint_every,
            checkpoint_events: options.checkpoint_events,
        };
        running.seed = running.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let clock = Arc::clone(&self.shared.clock);
        let machine = Machine::new(feed.clone(), self.shared.me.clone(), timing, running.seed, clock.now());
        let (report, stats) = watch::channel(Arc::new(FeedStats {
            name: feed.clone(),
            state: FeedState::Watching { owner: None },
            position: Sequence::ZERO,
            end: None,
            lag: Duration::ZERO,
            handled: 0,
            failures: 0,
            skipped: 0,
            unnamed: 0,
            failing: None,
        }));
        let tools = Tools {
            feed: feed.clone(),
            bus: Arc::clone(&self.shared.bus),
            filter,
            options,
            handling: Box::new(Typed { handler, event: PhantomData::<fn() -> E> }),
            counts: Counts::default(),
        };
        let handle = Feed { stats, stop: CancellationToken::new() };
        let wiring = service::Wiring {
            feed: feed.clone(),
            clock,
            checkpoints: Arc::clone(&self.shared.checkpoints),
            tools: Arc::new(tools),
            report,
            stop: handle.stop.clone(),
            kill: self.shared.kill.clone(),
        };
        running.feeds.insert(feed, handle.clone());
        self.shared.tasks.spawn(service::run(wiring, machine));
        Ok(handle)
    }

    /// How every feed that was ever begun here stands, by name.
    pub fn stats(&self) -> Vec<Arc<FeedStats>> {
        self.running().feeds.values().map(Feed::stats).collect()
    }

    /// Ends every feed in good order and gives it back, so that others go on at once; waits until all have.
    pub async fn stop(&self) {
        let feeds: Vec<_> = self.running().feeds.values().cloned().collect();
        futures_util::future::join_all(feeds.iter().map(Feed::stop)).await;
    }

    /// Ends every feed at once, as a crash would; no more can begin.
    pub async fn kill(&self) {
        {
            // Under the lock, so that none begins beside it.
            let _running = self.running();
            self.shared.kill.cancel();
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // Nothing that runs under the lock leaves it half changed.
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// How it stands.
    pub fn stats(&self) -> Arc<FeedStats> {
        Arc::clone(&self.stats.borrow())
    }

    /// How it stands, as it changes: some ten times a second while this node works on it.
    pub fn watch(&self) -> watch::Receiver<Arc<FeedStats>> {
        self.stats.clone()
    }

    /// Waits until all that was stored when its end was last asked for has been handled, by whichever node; forever, if it
    /// stops before that.
    pub async fn caught_up(&self) {
        let mut stats = self.stats.clone();
        if stats.wait_for(|stats| stats.is_caught_up()).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends it on this node: lets what is being handled be handled to its end, stores how far it has come and gives the
    /// feed back. Answers once that is done or has failed, within a few seconds at the latest.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut stats = self.stats.clone();
        // It ends with its last report, or without one if it was killed.
        let ended = async { while stats.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(STOP_WITHIN, ended).await;
    }

    fn has_stopped(&self) -> bool {
        // Its last report is the last thing it does; one that panicked made none.
        matches!(self.stats.borrow().state, FeedState::Stopped { .. }) || self.stats.has_changed().is_err()
    }
}

/// How long to wait for a feed to be given back.
const STOP_WITHIN: Duration = Duration::from_secs(10);

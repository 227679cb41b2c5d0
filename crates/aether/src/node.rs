//! A node inside an application: described, started, asked, drained.
//!
//! This is the one place where adapters meet the application. It wires; it decides nothing.

pub(crate) mod builder;
mod ended;
mod picture;

use std::sync::Arc;

use aether_domain::{InvalidId, Namespace, NodeId};
use aether_runtime::actor::Actor;
pub use aether_runtime::actor_ref::ActorRef;
use aether_runtime::clock::Clock;
use aether_runtime::control::Phase;
use aether_runtime::control::service::Status;
use aether_runtime::feed::{Feed, FeedHandler, FeedOptions, FeedStats, SubscribeError};
use aether_runtime::handover::MoveStatus;
use aether_runtime::node::Runtime;
use aether_runtime::splitbrain::SplitBrain;
use aether_runtime::subscription::{ShardMigrations, Since, TopologyEvents};
use tokio::sync::watch;

pub use builder::{NodeBuilder, StartError};
pub use ended::Ended;

/// What a node reports as its build.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

/// A running node. Cheap to clone; all clones are the same one. Dropping them does not end it: [`Node::drain`] does.
#[derive(Clone)]
pub struct Node {
    runtime: Runtime,
    status: watch::Receiver<Arc<Status>>,
    id: NodeId,
    namespace: Namespace,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "nats")]
    session: Option<aether_infra_nats::NatsSession>,
}

impl Node {
    /// Begins to describe a node of that id: one per machine, the same in every life of the process.
    pub fn builder(id: impl Into<String>) -> NodeBuilder {
        NodeBuilder::new(id.into())
    }

    /// Its id.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// A reference to one actor, wherever in the cluster it is. It need not exist: every id has an actor.
    ///
    /// # Panics
    /// If the id's text is empty or longer than 128 bytes, or the kind has no valid name. For ids that come from outside
    /// use [`Self::try_actor`].
    pub fn actor<A: Actor>(&self, id: A::Id) -> ActorRef<A> {
        self.try_actor(&id).expect("an actor's id is a text of 1 to 128 bytes")
    }

    /// As [`Self::actor`], for ids that come from outside.
    ///
    /// # Errors
    /// [`InvalidId`] if the id's text is empty or longer than 128 bytes, or the kind has no valid name.
    pub fn try_actor<A: Actor>(&self, id: &A::Id) -> Result<ActorRef<A>, InvalidId> {
        self.runtime.actor(id)
    }

    /// Whether it serves now.
    pub fn is_active(&self) -> bool {
        self.status.borrow().phase == Phase::Active
    }

    /// Waits until this node serves, every shard of the cluster has an owner, and clients' requests reach it.
    ///
    /// # Errors
    /// [`Ended`] if it ends by itself before that.
    pub async fn ready(&self) -> Result<(), Ended> {
        let mut status = self.status.clone();
        let mut listens = self.runtime.gateway_listens();
        let ready = async {
            let served = status.wait_for(|status| {
                let assignment = status.topology.assignment();
                status.phase == Phase::Active && !assignment.shards().is_empty() && assignment.orphaned() == 0
            });
            served.await.map(drop)?;
            listens.wait_for(|listens| *listens).await.map(drop)
        };
        tokio::select! {
            biased;
            ended = self.ended() => Err(ended),
            ready = ready => match ready {
                Ok(()) => Ok(()),
                // Its status ends a moment before it says why.
                Err(_) => Err(self.ended().await),
            },
        }
    }

    /// What happens to the cluster: every entry of the topology log behind `since`, each exactly once and in order, and
    /// every later one. The log keeps them for ever: whoever stores the last epoch it has seen goes on behind it. See
    /// [`aether_runtime::subscription`].
    ///
    /// ```
    /// # use aether::prelude::*;
    /// use aether::{Since, StreamExt as _};
    ///
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    /// # runtime.block_on(async {
    /// let node = Node::builder("n1").namespace("docs").in_memory(&MemoryHub::new()).start().await?;
    /// let mut events = node.topology_events(Since::Start);
    /// let first = events.next().await.expect("it goes on for ever").expect("the log is sound");
    /// assert_eq!(first.events[0].name(), "ClusterCreated");
    /// # Ok::<(), StartError>(())
    /// # }).expect("it starts");
    /// ```
    pub fn topology_events(&self, since: Since) -> TopologyEvents {
        self.runtime.topology_events(since)
    }

    /// Every shard that a planned move has given another owner behind `since`, and every later one, in order. Whoever stores
    /// [`ShardMigrated::seen`](crate::ShardMigrated::seen) goes on behind it, and is told each at least once.
    ///
    /// ```
    /// # use aether::prelude::*;
    /// use aether::{Since, StreamExt as _};
    ///
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    /// # runtime.block_on(async {
    /// let hub = MemoryHub::new();
    /// let node = Node::builder("n1").namespace("docs").profile(Profile::Fast).in_memory(&hub).start().await?;
    /// let mut migrations = node.shard_migrations(Since::Start);
    /// // A second node joins, so shards move to it.
    /// let second = Node::builder("n2").namespace("docs").profile(Profile::Fast).in_memory(&hub).start().await?;
    /// let moved = migrations.next().await.expect("it goes on for ever").expect("the log is sound");
    /// assert_eq!((moved.from.node.as_str(), moved.to.node.as_str()), ("n1", "n2"));
    /// // Behind it come the others; the same one only if the entry has more of them.
    /// let mut later = node.shard_migrations(Since::Epoch(moved.seen));
    /// let next = later.next().await.expect("half of all shards move").expect("the log is sound");
    /// assert!(next.epoch >= moved.epoch);
    /// # drop(second);
    /// # Ok::<(), StartError>(())
    /// # }).expect("both start");
    /// ```
    pub fn shard_migrations(&self, since: Since) -> ShardMigrations {
        self.runtime.shard_migrations(since)
    }

    /// Hands every stored event of that kind of actor, and every later one, to `handler`: durably, at least once, each
    /// actor's in order. One of the nodes that subscribe under a name works, the others stand by. See
    /// [`aether_runtime::feed`], which also says how to count exactly.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing has begun.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// use aether::demo::bank::{Account, AccountEvent, Open};
    /// use aether::prelude::*;
    ///
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    /// # runtime.block_on(async {
    /// # let node = Node::builder("n1").namespace("docs").in_memory(&MemoryHub::new()).actor::<Account>().start().await?;
    /// node.actor::<Account>(42).ask(Open { operation: 1 }).await?;
    /// let seen = Arc::new(Mutex::new(Vec::new()));
    /// let keep = Arc::clone(&seen);
    /// let feed = node.subscribe::<Account>("opened", FeedOptions::default(), move |e: Recorded<AccountEvent>| {
    ///     keep.lock().expect("nobody panics").push((e.actor.id.to_string(), e.version.0));
    ///     async { Ok(()) }
    /// })?;
    /// feed.caught_up().await;
    /// assert_eq!(*seen.lock().expect("nobody panics"), [("42".to_owned(), 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).expect("it works");
    /// ```
    pub fn subscribe<A: Actor>(
        &self,
        name: &str,
        options: FeedOptions,
        handler: impl FeedHandler<A::Event>,
    ) -> Result<Feed, SubscribeError> {
        self.runtime.subscribe::<A>(name, options, handler)
    }

    /// How every feed that this node ever subscribed to stands, by name.
    pub fn feeds(&self) -> Vec<Arc<FeedStats>> {
        self.runtime.feeds()
    }

    /// The moves of shards that this node knows of as their source or destination, the latest first; at most 1,024.
    pub fn moves(&self) -> Vec<MoveStatus> {
        self.runtime.moves()
    }

    /// What this node's watch for split brains has seen, as it changes: see [`aether_runtime::splitbrain`].
    pub fn split_brain(&self) -> watch::Receiver<Arc<SplitBrain>> {
        self.runtime.split_brain()
    }

    /// What its control plane says of itself.
    #[cfg(feature = "test-kit")]
    pub(crate) fn control_status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    /// Which life of the node this is now.
    #[cfg(feature = "test-kit")]
    pub(crate) fn life(&self) -> aether_domain::NodeRef {
        self.status.borrow().me.clone()
    }

    /// Waits until it has ended: by itself, drained, or killed.
    pub async fn ended(&self) -> Ended {
        Ended::of(&self.id, self.runtime.stopped().await)
    }

    /// Hands every shard over, leaves the cluster and ends; at most 22 s, and 3 s more while a handler does not end. Such a
    /// handler keeps its thread: end the process ([`std::process::exit`]) rather than wait for its runtime.
    pub async fn drain(&self) -> Ended {
        let ended = Ended::of(&self.id, self.runtime.drain().await);
        self.close().await;
        ended
    }

    /// Ends at once without a word to anybody. To the others it is a crash: they notice by its silence.
    pub async fn kill(&self) {
        self.runtime.stop().await;
        self.close().await;
    }

    #[cfg_attr(not(feature = "nats"), expect(clippy::unused_async, reason = "only a connection takes time to close"))]
    async fn close(&self) {
        #[cfg(feature = "nats")]
        if let Some(session) = &self.session {
            session.close().await;
        }
    }
}

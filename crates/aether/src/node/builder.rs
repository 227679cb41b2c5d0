//! Describing a node, and starting it.

use std::sync::Arc;

use aether_domain::cluster::{ClusterSettings, NodeInfo};
use aether_domain::timing::Profile;
use aether_domain::{InvalidId, Namespace, NodeId, Tag, Zone};
use aether_infra_memory::MemoryHub;
#[cfg(feature = "nats")]
use aether_infra_nats::{NatsConfig, Promise};
use aether_placement::{PlacementStrategy, ShardHash};
use aether_runtime::actor::{Actor, KindRegistry, RegisterError};
use aether_runtime::clock::{BootClock, Clock};
use aether_runtime::control::{OnRegression, RegisterStrategyError, Strategies};
use aether_runtime::node::{NodeConfig, Runtime};
use aether_runtime::shard::{MemoryLimits, Watchdog};

use super::{BUILD, Ended, Node};
use crate::supervised;

/// A node to be.
pub struct NodeBuilder {
    id: String,
    namespace: String,
    profile: Profile,
    info: NodeInfo,
    zone: Option<String>,
    tags: Vec<String>,
    strategies: Result<Strategies, RegisterStrategyError>,
    admin_url: String,
    on_regression: OnRegression,
    limits: MemoryLimits,
    engine: Option<Engine>,
    kinds: Result<KindRegistry, RegisterError>,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    watchdog: Option<Watchdog>,
}

enum Engine {
    Memory(MemoryHub),
    #[cfg(feature = "nats")]
    Nats(Box<NatsConfig>),
}

/// Why a node did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node's id, its namespace, its zone or one of its tags is no name.
    #[error("the node cannot have that name; choose 1 to 32 lower-case letters, digits, _ and -")]
    Name(#[from] InvalidId),
    /// A placement strategy cannot be made known.
    #[error(transparent)]
    Strategy(#[from] RegisterStrategyError),
    /// An actor kind is defined wrongly.
    #[error("an actor kind cannot be served; correct its definition")]
    Kind(#[from] RegisterError),
    /// Neither NATS nor memory was chosen.
    #[error("the node has nothing to run on; call .nats(..) or .in_memory(..) before .start()")]
    NoEngine,
    /// NATS cannot be used as it is.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] aether_infra_nats::StartError),
    /// The runtime does not take the settings.
    #[error(transparent)]
    Settings(#[from] aether_runtime::node::StartError),
    /// It ended before it was a member.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// What a node of this build founds a cluster with, and what one that is there must have been founded with.
pub(crate) fn founding(profile: Profile) -> ClusterSettings {
    ClusterSettings { hash: ShardHash::ID, profile, ..ClusterSettings::default() }
}

impl NodeBuilder {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            namespace: "aether".into(),
            profile: Profile::Default,
            info: NodeInfo::default(),
            zone: None,
            tags: Vec::new(),
            strategies: Ok(Strategies::default()),
            admin_url: String::new(),
            on_regression: OnRegression::Halt,
            limits: MemoryLimits::default(),
            engine: None,
            kinds: Ok(KindRegistry::new()),
            clock: Arc::new(BootClock),
            seed: None,
            watchdog: Some(Watchdog::default()),
        }
    }

    /// Which cluster it belongs to; `aether` unless told.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The cluster's timers; every node must have the same.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Its relative capacity; 1 unless told.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.info.weight = weight;
        self
    }

    /// Which nodes it may fail together with: a rack, a room, a data centre. In none unless told.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// What can be said of it, for shards that need it: `ssd`, `eu`. Nothing unless told, and at most 16 tags.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl ToString>) -> Self {
        self.tags = tags.into_iter().map(|tag| tag.to_string()).collect();
        self
    }

    /// A placement strategy of the application's own, which an operator may then ask for. Every node should know the same;
    /// [`check_strategy`](aether_placement::check_strategy) tries whether it keeps its contract.
    #[must_use]
    pub fn strategy(mut self, strategy: impl PlacementStrategy) -> Self {
        self.strategies = self.strategies.and_then(|mut known| known.register(strategy).map(|()| known));
        self
    }

    /// Where its admin pages are, for others to link to.
    #[must_use]
    pub fn admin_url(mut self, url: impl Into<String>) -> Self {
        self.admin_url = url.into();
        self
    }

    /// What it does once NATS has surely lost what it had acknowledged; unless told, it serves nothing until a person has
    /// looked.
    #[must_use]
    pub fn on_regression(mut self, way: OnRegression) -> Self {
        self.on_regression = way;
        self
    }

    /// How long a handler may run: unless told, 10 s before it is named in the log, and 60 s before this process ends. `None`:
    /// for ever, while its shard waits. On a node whose runtime has a single thread a handler that does not end also holds up
    /// the heartbeats, so the others give its shards away after the profile's silence.
    #[must_use]
    pub fn watchdog(mut self, watchdog: impl Into<Option<Watchdog>>) -> Self {
        self.watchdog = watchdog.into();
        self
    }

    /// The most it holds in memory: actors, and commands that wait. A kind may have less: see
    /// [`Settings`](aether_runtime::actor::Settings).
    #[must_use]
    pub fn memory_limits(mut self, limits: MemoryLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Runs on NATS JetStream.
    #[cfg(feature = "nats")]
    #[must_use]
    pub fn nats(mut self, config: NatsConfig) -> Self {
        self.engine = Some(Engine::Nats(Box::new(config)));
        self
    }

    /// Runs in memory: nodes of one process on the same hub and namespace are one cluster. Its state ends with the
    /// process.
    #[must_use]
    pub fn in_memory(mut self, hub: &MemoryHub) -> Self {
        self.engine = Some(Engine::Memory(hub.clone()));
        self
    }

    /// Serves actors of this kind. Every node of the cluster should serve the same kinds.
    #[must_use]
    pub fn actor<A: Actor>(mut self) -> Self {
        self.kinds = self.kinds.and_then(|mut kinds| kinds.register::<A>().map(|()| kinds));
        self
    }

    /// It goes by that clock, and all its chance comes from that seed. Nobody watches over its handlers: that takes a thread, and
    /// real time.
    #[cfg(feature = "test-kit")]
    #[must_use]
    pub(crate) fn staged(mut self, clock: Arc<dyn Clock>, seed: u64) -> Self {
        (self.clock, self.seed, self.watchdog) = (clock, Some(seed), None);
        self
    }

    /// Starts it and waits until it is a member of its cluster and serves.
    ///
    /// Without a cluster that takes it in it waits on; use [`Self::launch`] to do something else meanwhile.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub async fn start(self) -> Result<Node, StartError> {
        // Connecting takes much room, and only once.
        let node = Box::pin(self.launch()).await?;
        node.ready().await?;
        Ok(node)
    }

    /// Starts it. It joins by itself from here; [`Node::ready`] waits for that, [`Node::ended`] for the contrary.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    #[cfg_attr(not(feature = "nats"), expect(clippy::unused_async, reason = "only connecting takes time"))]
    pub async fn launch(self) -> Result<Node, StartError> {
        let (id, namespace) = (NodeId::new(&self.id)?, Namespace::new(&self.namespace)?);
        let (kinds, strategies) = (self.kinds?, self.strategies?);
        let zone = self.zone.map(Zone::new).transpose()?;
        let tags = self.tags.iter().map(Tag::new).collect::<Result<_, _>>()?;
        let info = NodeInfo { zone, tags, ..self.info };
        let clock = self.clock;
        let engine = self.engine.ok_or(StartError::NoEngine)?;
        #[cfg(feature = "nats")]
        let mut session = None;
        let ports = match engine {
            Engine::Memory(hub) => {
                tracing::warn!(node = %id, "running in memory: all state ends with this process");
                hub.within(&namespace).ports(&id)
            }
            #[cfg(feature = "nats")]
            Engine::Nats(config) => {
                let ports = aether_infra_nats::connect(&config, &namespace).await?;
                match ports.session.promise() {
                    Promise::Reduced { reason } => tracing::warn!(node = %id, "reduced promise: {reason}"),
                    Promise::IfServersSync => {
                        tracing::info!(node = %id, "full promise if every nats-server has `sync_interval: always`");
                    }
                }
                session = Some(ports.session);
                ports.ports
            }
        };
        let config = NodeConfig {
            namespace: namespace.clone(),
            node: id.clone(),
            profile: self.profile,
            settings: founding(self.profile),
            info,
            admin_url: self.admin_url,
            seed: self.seed.unwrap_or_else(crate::entropy::seed),
            build: BUILD.into(),
            supervisor: supervised::token(),
            on_regression: self.on_regression,
            strategies,
            limits: self.limits,
        };
        let runtime = Runtime::start(ports, Arc::clone(&clock), config, kinds)?;
        if let Some(watchdog) = self.watchdog
            && let Err(error) = runtime.watch_handlers(watchdog)
        {
            tracing::error!(node = %id, %error, "no thread to watch over handlers: one that does not end is not noticed");
        }
        let status = runtime.status();
        Ok(Node {
            runtime,
            status,
            id,
            namespace,
            clock,
            #[cfg(feature = "nats")]
            session,
        })
    }
}

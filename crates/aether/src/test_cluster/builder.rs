//! What a test cluster is begun with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether_domain::testing::history::Book;
use aether_domain::timing::Profile;
use aether_infra_memory::{Manner, MemoryHub};
use aether_runtime::actor::Actor;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::{Inner, State, TestCluster};
use crate::node::NodeBuilder;

/// The most nodes a test cluster may have.
pub const NODES_MAX: usize = 64;

/// How long anything travels at most, unless told.
const DISTANCE: Duration = Duration::from_millis(3);

/// Teaches a node the actor kinds of the cluster.
type Teach = Arc<dyn Fn(NodeBuilder) -> NodeBuilder + Send + Sync>;

/// A test cluster to be.
#[must_use]
pub struct TestClusterBuilder {
    seed: u64,
    nodes: usize,
    profile: Profile,
    manner: Manner,
    distance: Duration,
    teach: Teach,
}

impl TestClusterBuilder {
    pub(super) fn new(seed: u64) -> Self {
        let teach: Teach = Arc::new(|node| node);
        Self { seed, nodes: 1, profile: Profile::Default, manner: Manner::R1, distance: DISTANCE, teach }
    }

    /// How many nodes there are: `n1`, `n2` and so on. One unless told, at most [`NODES_MAX`].
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Every node serves actors of this kind.
    pub fn actor<A: Actor>(mut self) -> Self {
        let before = self.teach;
        self.teach = Arc::new(move |node| before(node).actor::<A>());
        self
    }

    /// The cluster's timers; [`Profile::Default`] unless told, for they cost nothing here.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// The server behaves like three replicas: now and then a write meets another one in flight, or an election.
    pub fn three_replicas(mut self) -> Self {
        self.manner = Manner::R3;
        self
    }

    /// How long anything travels at most, one way, in whole milliseconds drawn from the seed; 3 ms unless told.
    pub fn distance(mut self, way_max: Duration) -> Self {
        self.distance = way_max;
        self
    }

    /// Starts the nodes and waits until they are one cluster at rest.
    ///
    /// It must be called in paused time: within `#[tokio::test(start_paused = true)]`, or use [`Self::run`].
    ///
    /// # Panics
    /// Without nodes, with too many, in time that passes, and if a kind is defined wrongly.
    pub async fn start(self) -> TestCluster {
        assert!((1..=NODES_MAX).contains(&self.nodes), "a test cluster has 1 to {NODES_MAX} nodes");
        in_paused_time().await;
        let hub = MemoryHub::imitating(self.manner, self.seed);
        hub.distance(self.distance);
        let state = State {
            dice: SmallRng::seed_from_u64(self.seed),
            nodes: BTreeMap::new(),
            lives: 0,
            book: Book::default(),
            names: 0,
            trace: Vec::new(),
        };
        #[expect(clippy::disallowed_methods, reason = "tokio's time is paused: it is virtual")]
        let began = Instant::now();
        let (seed, profile, teach) = (self.seed, self.profile, self.teach);
        let inner = Inner { hub, seed, profile, teach, began, state: Mutex::new(state) };
        let cluster = TestCluster { inner: Arc::new(inner) };
        for nth in 1..=self.nodes {
            cluster.launch(&format!("n{nth}")).await;
        }
        if let Err(wrong) = cluster.settle().await {
            panic!("seed {seed}: the cluster does not begin: {wrong}");
        }
        cluster
    }

    /// Starts the cluster in virtual time of its own and plays a scene on it: for a plain `#[test]`.
    ///
    /// # Panics
    /// As [`Self::start`], and whenever the scene does.
    pub fn run<R>(self, scene: impl AsyncFnOnce(TestCluster) -> R) -> R {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime of one thread needs nothing that can be missing");
        runtime.block_on(async move { scene(self.start().await).await })
    }
}

impl std::fmt::Debug for TestClusterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, nodes, profile, .. } = self;
        f.debug_struct("TestClusterBuilder")
            .field("seed", seed)
            .field("nodes", nodes)
            .field("profile", profile)
            .finish_non_exhaustive()
    }
}

/// Says what to do about time that passes, before a test hangs in it.
async fn in_paused_time() {
    use futures_util::FutureExt as _;
    let looked = std::panic::AssertUnwindSafe(tokio::time::advance(Duration::ZERO)).catch_unwind().await;
    assert!(
        looked.is_ok(),
        "a test cluster lives in virtual time: write #[tokio::test(start_paused = true)], or use TestClusterBuilder::run"
    );
}

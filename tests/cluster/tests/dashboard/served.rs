//! Pages in this process: a server that goes and comes back at one address, and a cluster of 65,536 shards.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aether::admin::{Bound, Pages, Picture, Source};
use aether::{MemoryHub, Since, TopologyEvents};
use aether_domain::assignment::{AssignmentCommand, Grant, PlannedMove};
use aether_domain::cluster::{ClusterCommand, ClusterSettings, NodeInfo};
use aether_domain::lease::LeadershipCommand;
use aether_domain::ports::TopologyLog;
use aether_domain::records::{Format, StoredEntry};
use aether_domain::testing::life;
use aether_domain::topology::{Draft, Signature, Topology};
use aether_domain::{ClusterUid, Namespace, Nonce, Sequence, ShardCount, ShardId, ShardSet, Term, WallTime};
use aether_runtime::projection::Why;
use aether_runtime::subscription::topology_events;
use anyhow::{Context, Result, anyhow};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use xtask::clock::{Deadline, wait_for};

/// How long an address may stay taken after its server has gone.
const BIND_LIMIT: Duration = Duration::from_secs(10);

/// A node's pages at an address that stays.
pub(crate) struct Served {
    source: Arc<dyn Source>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Served {
    pub(crate) fn start(source: Arc<dyn Source>) -> Result<Self> {
        let mut served = Self { source, address: SocketAddr::from(([127, 0, 0, 1], 0)), runtime: None };
        served.back()?;
        Ok(served)
    }

    /// The server is there, where it was.
    pub(crate) fn back(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let bound = wait_for("the address to be free", Deadline::after(BIND_LIMIT), || {
            Ok(runtime.block_on(Bound::bind(self.address)).ok())
        })?;
        self.address = bound.url().trim_start_matches("http://").parse().context("an address")?;
        runtime.spawn(bound.serve(Pages::of_node(Arc::clone(&self.source)), CancellationToken::new()));
        self.runtime = Some(runtime);
        Ok(())
    }

    /// The server is gone, and every connection with it.
    pub(crate) fn gone(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(BIND_LIMIT);
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// A cluster of 65,536 shards as its log has it, of which n1, n2 and n3 have four by turns.
pub(crate) struct Wide {
    known: Mutex<Option<Topology>>,
    log: Arc<dyn TopologyLog>,
    runtime: Runtime,
}

pub(crate) const SHARDS: u32 = 65_536;

impl Wide {
    /// Nothing is known yet: the node is starting.
    pub(crate) fn starting() -> Result<Arc<Self>> {
        let log = MemoryHub::new().ports(&life("n1", 1).node).log;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Arc::new(Self { known: Mutex::new(None), log, runtime }))
    }

    /// The first entry: three nodes and who has what.
    pub(crate) fn found(&self) -> Result<()> {
        let mut topology = Topology::default();
        let mut draft = Draft::new(&topology);
        let settings = ClusterSettings { shards: ShardCount::new(SHARDS)?, ..ClusterSettings::default() };
        draft.cluster(&ClusterCommand::CreateCluster { uid: ClusterUid(7), settings })?;
        let nodes = ["n1", "n2", "n3"].map(|name| life(name, 1));
        for node in &nodes {
            draft.cluster(&ClusterCommand::JoinCluster { node: node.clone(), info: NodeInfo::default() })?;
        }
        draft.leadership(&LeadershipCommand::ElectLeader {
            candidate: nodes[0].clone(),
            term: Term(1),
            active: true,
        })?;
        let grants = nodes.iter().zip(0..).map(|(to, nth)| Grant { shards: each_third_four(nth), to: to.clone() });
        let lives: Vec<_> = nodes.iter().map(|node| node.incarnation).collect();
        let assign = AssignmentCommand::AssignShards { grants: grants.collect(), active: lives.clone(), living: lives };
        draft.assignment(&assign)?;
        self.append(&mut topology, draft)
    }

    /// One more: everything of n1 is to move to n2.
    pub(crate) fn empty_n1(&self) -> Result<()> {
        let mut topology = self.topology().context("the cluster is founded")?;
        let mut draft = Draft::new(&topology);
        let moves = vec![PlannedMove { shards: each_third_four(0), from: life("n1", 1), to: life("n2", 1) }];
        let active = vec![life("n2", 1).incarnation];
        draft.assignment(&AssignmentCommand::RebalanceFromTopology { moves, active })?;
        self.append(&mut topology, draft)
    }

    fn append(&self, topology: &mut Topology, draft: Draft) -> Result<()> {
        let (leader, after) = (life("n1", 1), Sequence(topology.epoch().0));
        let cause = r#"<img src=x onerror="window.spoilt = 1">"#.to_owned();
        let at = WallTime { unix_millis: 1_700_000_000_000 };
        let (format, cluster) = (Format::FIRST, ClusterUid(7));
        let signature = Signature { format, cluster, leader, term: Term(1), nonce: Nonce(1), cause, at };
        let entry = draft.finish(signature).map_err(|broken| anyhow!("the entry breaks {broken:?}"))?;
        let at = self.runtime.block_on(self.log.append(&entry, after))?;
        topology.apply(&StoredEntry { entry, at }).map_err(|broken| anyhow!("the entry breaks {broken:?}"))?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(topology.clone());
        Ok(())
    }

    fn topology(&self) -> Option<Topology> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn each_third_four(nth: u32) -> ShardSet {
    (0..SHARDS)
        .filter(|shard| shard / 4 % 3 == nth)
        .map(|shard| ShardId(u16::try_from(shard).unwrap_or(u16::MAX)))
        .collect()
}

impl Source for Wide {
    fn picture(&self) -> Option<Picture> {
        Some(Picture {
            namespace: Namespace::new("wide").expect("a name"),
            me: life("n1", 1),
            phase: "active",
            settled: true,
            serve_left: Duration::from_secs(2),
            topology: Arc::new(self.topology()?),
            leading: Some((Term(1), Duration::from_secs(9))),
            renewed: Some(Duration::from_secs(1)),
            heartbeats: std::collections::BTreeMap::default(),
            fault: None,
            counters: Vec::new(),
            placement: aether::admin::PlacementPicture::default(),
            health: aether_runtime::projection::HealthView::default(),
            split_brain: Arc::default(),
            quarantined: Vec::new(),
            moves: Vec::new(),
            handover: aether::HandoverStats::default(),
            feeds: Vec::new(),
            kinds: Vec::new(),
            command_times: aether_runtime::spread::Spread::default(),
            append_times: aether_runtime::spread::Spread::default(),
            round_trip: None,
            nats: None,
            build: "0.1.0".into(),
        })
    }

    fn topology_events(&self, since: Since) -> Option<TopologyEvents> {
        Some(topology_events(Arc::clone(&self.log), since))
    }

    fn why(&self, _: ShardId) -> Option<Why> {
        None
    }
}

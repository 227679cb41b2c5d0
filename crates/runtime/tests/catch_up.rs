//! A whole node over a log with a past: what it reads of it when it starts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether_domain::assignment::{AssignmentCommand, Grant};
use aether_domain::cluster::{ClusterCommand, ClusterSettings, NodeInfo};
use aether_domain::image::TopologyImage;
use aether_domain::lease::LeadershipCommand;
use aether_domain::ports::{AppendError, Expected, LogUpdate, Ports, ReadError, TopologyLog, Updates};
use aether_domain::records::{ControlRecord, Entry, Format, Position, StoredEntry, TopologySnapshot};
use aether_domain::testing::life;
use aether_domain::timing::Profile;
use aether_domain::topology::{Draft, Signature, Topology};
use aether_domain::{ClusterUid, Namespace, NodeId, Nonce, Sequence, Term, WallTime};
use aether_infra_memory::MemoryHub;
use aether_placement::ShardHash;
use aether_runtime::actor::KindRegistry;
use aether_runtime::clock::BootClock;
use aether_runtime::control::{OnRegression, Strategies};
use aether_runtime::node::{NodeConfig, Runtime};
use aether_runtime::shard::MemoryLimits;
use async_trait::async_trait;

const ENTRIES: u64 = 3_000;
const KEPT_AT: u64 = 2_990;
/// What is folded from the log beside the topology looks at no more than this many entries of the past.
const RECENT_MAX: u64 = 1_024;

fn settings() -> ClusterSettings {
    ClusterSettings { hash: ShardHash::ID, profile: Profile::Fast, ..ClusterSettings::default() }
}

/// The next entry of a log that one life has written alone.
fn next(topology: &Topology) -> Entry {
    let (a, term) = (life("a", 1), Term(1));
    let mut draft = Draft::new(topology);
    if topology.at().sequence == Sequence::ZERO {
        let created = ClusterCommand::CreateCluster { uid: ClusterUid(7), settings: settings() };
        draft.cluster(&created).expect("the first");
        draft.cluster(&ClusterCommand::JoinCluster { node: a.clone(), info: NodeInfo::default() }).expect("new");
        let elect = LeadershipCommand::ElectLeader { candidate: a.clone(), term, active: true };
        draft.leadership(&elect).expect("the first");
        let grants = vec![Grant { shards: settings().shards.all().collect(), to: a.clone() }];
        let active = vec![a.incarnation];
        let assign = AssignmentCommand::AssignShards { grants, active: active.clone(), living: active };
        draft.assignment(&assign).expect("all orphaned");
    } else {
        draft.leadership(&LeadershipCommand::RenewLeadership { leader: a.clone(), term }).expect("it leads");
    }
    let nonce = Nonce(topology.at().sequence.0);
    let signature = Signature {
        format: Format::FIRST,
        cluster: ClusterUid(7),
        leader: a,
        term,
        nonce,
        cause: "past".into(),
        at: WallTime::default(),
    };
    draft.finish(signature).expect("a lawful entry")
}

/// Writes the past, and a snapshot of it, changed or not; answers the fold of everything.
async fn past(ports: &Ports, change: impl Fn(&mut TopologyImage)) -> Topology {
    let mut topology = Topology::default();
    for nth in 1..=ENTRIES {
        let entry = next(&topology);
        let at = ports.log.append(&entry, topology.at().sequence).await.expect("nobody else writes");
        topology.apply(&StoredEntry { entry, at }).expect("a lawful entry");
        if nth == KEPT_AT {
            let mut image = TopologyImage::of(&topology).expect("it has seen an entry");
            change(&mut image);
            let topology = Arc::new(image.topology().expect("a topology"));
            let record = ControlRecord::Snapshot(TopologySnapshot { nonce: Nonce(1), topology });
            ports.control.write(&record, Expected::Absent).await.expect("nobody else writes");
        }
    }
    topology
}

/// A log that remembers behind which entry more than one was read, or it was followed; single ones are looked at in
/// search of a place.
struct Watched {
    inner: Arc<dyn TopologyLog>,
    asked: Arc<Mutex<Vec<Sequence>>>,
}

impl Watched {
    fn note(&self, after: Sequence) {
        self.asked.lock().expect("no test panics with it").push(after);
    }
}

#[async_trait]
impl TopologyLog for Watched {
    async fn append(&self, entry: &Entry, after: Sequence) -> Result<Position, AppendError> {
        self.inner.append(entry, after).await
    }
    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredEntry>, ReadError> {
        if limit > 1 || after == Sequence(KEPT_AT - 1) {
            self.note(after);
        }
        self.inner.read(after, limit).await
    }
    async fn follow(&self, after: Sequence) -> Result<Updates<LogUpdate>, ReadError> {
        self.note(after);
        self.inner.follow(after).await
    }
}

fn start(ports: Ports) -> (Runtime, Arc<Mutex<Vec<Sequence>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::new(Watched { inner: ports.log.clone(), asked: Arc::clone(&asked) });
    let ports = Ports { log, ..ports };
    let config = NodeConfig {
        namespace: Namespace::new("test").expect("a valid name"),
        node: NodeId::new("b").expect("a valid name"),
        profile: Profile::Fast,
        settings: settings(),
        info: NodeInfo::default(),
        admin_url: String::new(),
        seed: 7,
        build: "test".into(),
        supervisor: None,
        on_regression: OnRegression::Halt,
        strategies: Strategies::default(),
        limits: MemoryLimits::default(),
    };
    (Runtime::start(ports, Arc::new(BootClock), config, KindRegistry::new()).expect("it starts"), asked)
}

#[tokio::test]
async fn a_node_reads_no_entry_that_a_snapshot_stands_for_unless_the_log_has_another_one() {
    for forged in [false, true] {
        let hub = MemoryHub::new();
        let ports = hub.ports(&NodeId::new("b").expect("a valid name"));
        let all = past(&ports, |image| image.at.hash ^= u64::from(forged)).await;
        let (node, asked) = start(ports);
        let mut status = node.status();
        let caught_up = status.wait_for(|status| status.topology.epoch() >= all.epoch());
        let caught_up = tokio::time::timeout(Duration::from_secs(20), caught_up).await.expect("in time");
        let counts = caught_up.expect("it runs").counts;
        let asked = asked.lock().expect("no test panics with it").clone();
        assert!(asked.contains(&Sequence(KEPT_AT - 1)), "the entry it ends with is asked for: {asked:?}");
        let from_the_start = asked.contains(&Sequence::ZERO);
        let counted = (counts.snapshots_used, counts.snapshots_passed_over);
        assert_eq!((from_the_start, counted), if forged { (true, (0, 1)) } else { (false, (1, 0)) }, "{asked:?}");
        if !forged {
            assert!(asked.contains(&Sequence(KEPT_AT)), "it goes on behind that entry: {asked:?}");
            assert!(asked.iter().all(|after| after.0 >= ENTRIES - 2 * RECENT_MAX), "{asked:?}");
        }
        let stands = status.borrow().topology.clone();
        assert!(*stands == all || stands.epoch() > all.epoch(), "{stands:?}");
        node.stop().await;
    }
}

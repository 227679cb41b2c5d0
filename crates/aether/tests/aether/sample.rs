//! A cluster as its log would have it: three nodes, of which n1 leads, and eight shards dealt in turn.

use std::sync::Arc;
use std::time::Duration;

use aether::admin::{Picture, PlacementPicture, Source};
use aether_domain::assignment::{AssignmentCommand, Grant};
use aether_domain::cluster::{ClusterCommand, ClusterSettings, NodeInfo};
use aether_domain::lease::LeadershipCommand;
use aether_domain::records::{Format, Health, Load, MemberRecord, MemberState, Position, StoredEntry};
use aether_domain::testing::life;
use aether_domain::topology::{Draft, Signature, Topology};
use aether_domain::{ClusterUid, Epoch, Namespace, NodeRef, Nonce, Sequence, ShardCount, ShardId, Term, WallTime};
use aether_runtime::handover::HandoverStats;
use aether_runtime::projection::{HealthView, Why};
use aether_runtime::spread::Spread;
use aether_runtime::subscription::{Since, TopologyEvents};

pub(crate) fn node(name: &str) -> NodeRef {
    life(name, 1)
}

/// The log so far: one entry.
pub(crate) fn topology() -> Topology {
    let mut topology = Topology::default();
    let (uid, settings) =
        (ClusterUid(7), ClusterSettings { shards: ShardCount::new(8).expect("8"), ..ClusterSettings::default() });
    let mut draft = Draft::new(&topology);
    draft.cluster(&ClusterCommand::CreateCluster { uid, settings }).expect("a new cluster");
    for name in ["n1", "n2", "n3"] {
        draft.cluster(&ClusterCommand::JoinCluster { node: node(name), info: NodeInfo::default() }).expect("it joins");
    }
    let elect = LeadershipCommand::ElectLeader { candidate: node("n1"), term: Term(1), active: true };
    draft.leadership(&elect).expect("nobody leads");
    let dealt = |nth: u16| (0..8).filter(|shard| shard % 3 == nth).map(ShardId).collect();
    let grants =
        ["n1", "n2", "n3"].iter().zip(0..).map(|(name, nth)| Grant { shards: dealt(nth), to: node(name) }).collect();
    let lives: Vec<_> = ["n1", "n2", "n3"].iter().map(|name| node(name).incarnation).collect();
    let assign = AssignmentCommand::AssignShards { grants, active: lives.clone(), living: lives };
    draft.assignment(&assign).expect("nobody has them");
    append(&mut topology, draft);
    topology
}

/// Signs the draft and applies it, as the log would.
pub(crate) fn append(topology: &mut Topology, draft: Draft) {
    let signature = Signature {
        format: Format::FIRST,
        cluster: ClusterUid(7),
        leader: node("n1"),
        term: Term(1),
        nonce: Nonce(1),
        cause: "sample".into(),
        at: WallTime::default(),
    };
    let entry = draft.finish(signature).expect("it breaks nothing");
    let at = Position { sequence: Sequence(entry.epoch.0), hash: entry.epoch.0 };
    topology.apply(&StoredEntry { entry, at }).expect("it follows");
}

pub(crate) fn heartbeat(name: &str) -> MemberRecord {
    MemberRecord {
        node: node(name),
        state: MemberState::Alive,
        heartbeat: 5,
        nonce: Nonce(5),
        heartbeat_every: Duration::from_secs(1),
        view: Epoch(1),
        load: Load { actors: 12, commands_per_second: 34 },
        info: NodeInfo::default(),
        admin_url: format!("http://127.0.0.1:1/{name}"),
        build: "0.1.0".into(),
        supervisor: None,
        health: Health::default(),
        shard_loads: Vec::new(),
        reads: Format::FIRST,
        digest: 0,
    }
}

/// What n1 knows.
pub(crate) fn picture() -> Picture {
    Picture {
        namespace: Namespace::new("bank").expect("a name"),
        me: node("n1"),
        phase: "active",
        settled: true,
        serve_left: Duration::from_secs(2),
        topology: Arc::new(topology()),
        leading: Some((Term(1), Duration::from_secs(9))),
        renewed: Some(Duration::from_secs(1)),
        heartbeats: ["n1", "n2"]
            .iter()
            .map(|name| (node(name).node, (heartbeat(name), Duration::from_millis(500))))
            .collect(),
        fault: None,
        counters: Vec::new(),
        placement: PlacementPicture::default(),
        health: HealthView::default(),
        split_brain: Arc::default(),
        quarantined: Vec::new(),
        moves: Vec::new(),
        handover: HandoverStats::default(),
        feeds: Vec::new(),
        kinds: Vec::new(),
        command_times: Spread::default(),
        append_times: Spread::default(),
        round_trip: None,
        nats: None,
        build: "0.1.0".into(),
    }
}

/// A picture that never changes, or none.
pub(crate) struct Still(pub(crate) Option<Picture>);

impl Source for Still {
    fn picture(&self) -> Option<Picture> {
        self.0.clone()
    }
    fn topology_events(&self, _: Since) -> Option<TopologyEvents> {
        None
    }
    fn why(&self, _: ShardId) -> Option<Why> {
        None
    }
}

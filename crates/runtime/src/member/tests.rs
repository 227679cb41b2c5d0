//! Whose record it is that a life finds under its node's id when it begins.

use std::time::Duration;

use aether_domain::cluster::{ClusterSettings, NodeInfo};
use aether_domain::records::{ControlRecord, Format, Health, Load, MemberRecord, MemberState, StoredRecord};
use aether_domain::timing::Profile;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Incarnation, Monotonic, NodeId, NodeRef, Nonce, Revision};
use aether_placement::MapDigest;

use super::machine::{Member, Surroundings};
use crate::control::{ControlConfig, Effect, OnRegression, SNAPSHOT_EVERY, Sightings, StopReason, Strategies, Timers};

/// The life before this process's present one.
const FORMER: u64 = 1;

fn life(incarnation: u64) -> NodeRef {
    NodeRef { node: NodeId::new("n1").expect("a name"), incarnation: Incarnation(incarnation) }
}

fn record(of: u64, state: MemberState, heartbeat: u64) -> ControlRecord {
    ControlRecord::Member(MemberRecord {
        node: life(of),
        state,
        heartbeat,
        nonce: Nonce(heartbeat),
        heartbeat_every: Duration::from_millis(250),
        view: Epoch(3),
        load: Load::default(),
        info: NodeInfo::default(),
        admin_url: String::new(),
        build: String::new(),
        supervisor: None,
        health: Health::default(),
        shard_loads: Vec::new(),
        reads: Format::FIRST,
        digest: 0,
    })
}

/// A life behind [`FORMER`], what it has seen, and what time it is.
struct Scene {
    member: Member,
    sightings: Sightings,
    at: Monotonic,
    revision: u64,
}

impl Scene {
    fn new() -> Self {
        let config = ControlConfig {
            profile: Profile::Fast,
            settings: ClusterSettings::default(),
            info: NodeInfo::default(),
            admin_url: String::new(),
            build: String::new(),
            supervisor: None,
            reads: Format::FIRST,
            on_regression: OnRegression::Halt,
            strategies: Strategies::default(),
            snapshot_every: SNAPSHOT_EVERY,
        };
        let mut member = Member::new(life(FORMER), config);
        member.begin_again(Incarnation(2), &mut Vec::new());
        let at = Monotonic::from_start(Duration::from_secs(10));
        Self { member, sightings: Sightings::default(), at, revision: 40 }
    }

    /// A record under the node's key is heard of a little later; what the life does about it.
    fn hears(&mut self, record: ControlRecord) -> Vec<Effect> {
        self.at = self.at + Duration::from_millis(20);
        self.revision += 1;
        let stored = StoredRecord { record, revision: Revision(self.revision) };
        self.sightings.saw(&stored, self.at);
        let (topology, mut timers, mut effects) = (Topology::default(), Timers::at(self.at), Vec::new());
        let mut nonces = 100..;
        let mut surroundings = Surroundings {
            topology: &topology,
            digest: MapDigest(0),
            sightings: &mut self.sightings,
            timers: &mut timers,
            effects: &mut effects,
            fresh: &mut || nonces.next().expect("there are more"),
        };
        self.member.saw(&stored, &mut surroundings);
        self.member.advance(&mut surroundings);
        effects
    }
}

fn ends(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Stop(StopReason::NodeIdInUse { .. })))
}

#[test]
fn a_new_life_that_hears_its_former_ones_last_heartbeats_late_waits_for_the_fence_behind_them() {
    let mut scene = Scene::new();
    for heartbeat in 7..12 {
        let effects = scene.hears(record(FORMER, MemberState::Alive, heartbeat));
        assert!(!ends(&effects), "heartbeat {heartbeat}: {effects:?}");
    }
    let effects = scene.hears(record(FORMER, MemberState::Fenced, 11));
    assert!(
        matches!(&effects[..], [.., Effect::Write { record: ControlRecord::Member(mine), .. }] if mine.node == life(2)),
        "it takes its place: {effects:?}"
    );
}

#[test]
fn a_new_life_that_hears_another_processes_heartbeats_ends() {
    let mut scene = Scene::new();
    assert!(!ends(&scene.hears(record(9, MemberState::Alive, 7))), "once is no proof");
    assert!(ends(&scene.hears(record(9, MemberState::Alive, 8))), "it goes on beating");
}

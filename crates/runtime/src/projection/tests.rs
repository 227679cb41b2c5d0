//! What the read models make of a log, and of the same log read again.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::assignment::{AssignmentCommand, AssignmentEvent, Grant, PlannedMove};
use aether_domain::cluster::{ClusterCommand, ClusterEvent, ClusterSettings, FailureReason, NodeInfo, RebalanceCause};
use aether_domain::lease::LeadershipCommand;
use aether_domain::records::{Format, Position, StoredEntry};
use aether_domain::testing::life;
use aether_domain::timing::Profile;
use aether_domain::topology::{Draft, Signature, Topology};
use aether_domain::{ClusterUid, Epoch, NodeId, NodeRef, Nonce, PlanId, Sequence, ShardCount, ShardId, Term, WallTime};
use futures_util::StreamExt as _;

use super::audit::RECORDS_MAX;
use super::{Audit, ClusterVerdict, Facts, Health, HealthView, Projections, Verdict};
use crate::control::Phase;
use crate::subscription::TopologyRecord;

/// A log as it grows: its entries, and the fold.
#[derive(Default)]
struct Log {
    records: Vec<TopologyRecord>,
    fold: Topology,
}

impl Log {
    fn append(&mut self, cause: &str, compose: impl FnOnce(&mut Draft)) {
        let mut draft = Draft::new(&self.fold);
        compose(&mut draft);
        let at = WallTime { unix_millis: 1_000_000 };
        let (cluster, leader, term) = (ClusterUid(7), life("a", 1), Term(1));
        let entry = draft.finish(Signature {
            format: Format::FIRST,
            cluster,
            leader,
            term,
            nonce: Nonce(1),
            cause: cause.into(),
            at,
        });
        let entry = entry.expect("it breaks nothing");
        let at = Position { sequence: Sequence(entry.epoch.0), hash: entry.epoch.0 };
        let stored = StoredEntry { entry, at };
        self.fold.apply(&stored).expect("it follows");
        self.records.push(stored.into());
    }

    fn assign(draft: &mut Draft, shards: std::ops::Range<u16>, to: &NodeRef) {
        let living: Vec<_> = draft.topology().cluster().active().map(|member| member.node.incarnation).collect();
        let grants = vec![Grant { shards: shards.map(ShardId).collect(), to: to.clone() }];
        let assign = AssignmentCommand::AssignShards { grants, active: living.clone(), living };
        draft.assignment(&assign).expect("nobody living has them");
    }

    /// `a`, `b` and `c`; all eight shards are `b`'s.
    fn new() -> Self {
        let mut log = Self::default();
        let settings = ClusterSettings { shards: ShardCount::new(8).expect("8"), ..ClusterSettings::default() };
        let (a, b) = (life("a", 1), life("b", 1));
        let mut draft = Draft::new(&log.fold);
        draft.cluster(&ClusterCommand::CreateCluster { uid: ClusterUid(7), settings }).expect("a new cluster");
        for node in ["a", "b", "c"] {
            draft
                .cluster(&ClusterCommand::JoinCluster { node: life(node, 1), info: NodeInfo::default() })
                .expect("it joins");
        }
        let elect = LeadershipCommand::ElectLeader { candidate: a, term: Term(1), active: true };
        draft.leadership(&elect).expect("nobody leads");
        Log::assign(&mut draft, 0..8, &b);
        let made = draft;
        log.append("founded", |draft| *draft = made);
        log
    }

    /// `b` fails; what it had is `c`'s.
    fn fails(&mut self) {
        let mut draft = Draft::new(&self.fold);
        let (node, reason) = (life("b", 1), FailureReason::Silent);
        draft.cluster(&ClusterCommand::MarkNodeFailed { node, reason }).expect("it is a member");
        Self::assign(&mut draft, 0..8, &life("c", 1));
        self.append("failure of b", |empty| *empty = draft);
    }

    /// Shard 3 moves from `c` to `a`.
    fn moves(&mut self) {
        let (a, c, shard) = (life("a", 1), life("c", 1), ShardId(3));
        let moves = vec![PlannedMove { shards: shard.into(), from: c.clone(), to: a.clone() }];
        self.append("a plan", |draft| {
            let (plan, cause) = (PlanId(1), RebalanceCause::Failure);
            draft.cluster(&ClusterCommand::RebalanceShards { plan, cause, moves: moves.clone() }).expect("none open");
            let active = vec![a.incarnation, c.incarnation];
            let begin = AssignmentCommand::RebalanceFromTopology { moves, active };
            draft.assignment(&begin).expect("c has it");
        });
    }

    fn projected(&self) -> Projections {
        let mut projections = Projections::default();
        self.records.iter().for_each(|record| projections.apply(record));
        projections
    }
}

fn facts(phase: Phase) -> Facts {
    let heard = |name| (life(name, 1).node, (life(name, 1), Duration::from_millis(400)));
    Facts {
        me: life("c", 1),
        phase,
        heard: BTreeMap::from([heard("a"), heard("b"), heard("c")]),
        profile: Profile::Default,
        wall: WallTime { unix_millis: 1_010_000 },
        fault: None,
        suspicions: Vec::new(),
        placement_obstacle: None,
        strays: Vec::new(),
        too_hot: Vec::new(),
        quarantined: 0,
        unreconciled: 0,
    }
}

fn verdict_of(view: &HealthView, name: &str) -> Verdict {
    view.nodes.iter().find(|node| node.node.node.as_str() == name).expect("a member").verdict
}

#[test]
fn why_a_shard_is_where_it_is_begins_with_the_end_of_whoever_had_it() {
    let mut log = Log::new();
    let names = |log: &Log, shard| {
        let why = log.projected().audit.why(ShardId(shard));
        assert!(why.whole);
        why.lines.iter().map(|line| (line.epoch.0, line.event.name())).collect::<Vec<_>>()
    };
    assert_eq!(names(&log, 3), [(1, "ShardAssigned")]);
    log.fails();
    assert_eq!(names(&log, 3), [(2, "NodeFailed"), (2, "ShardAssigned")]);
    log.moves();
    let moving = [(2, "NodeFailed"), (2, "ShardAssigned"), (3, "RebalancingTriggered"), (3, "ShardMigrationStarted")];
    assert_eq!(names(&log, 3), moving);
    assert_eq!(names(&log, 4), moving[..2], "the plan is not about this one");
    let why = log.projected().audit.why(ShardId(3));
    assert_eq!((why.lines[0].cause.as_str(), &why.lines[0].leader), ("failure of b", &life("a", 1)));
}

#[test]
fn a_node_has_a_history() {
    let mut log = Log::new();
    log.fails();
    log.moves();
    let of = |name: &str| {
        let lines = log.projected().audit.of_node(&NodeId::new(name).expect("a name"));
        lines.iter().map(|line| (line.epoch.0, line.event.name())).collect::<Vec<_>>()
    };
    assert_eq!(of("b"), [(1, "NodeJoined"), (1, "ShardAssigned"), (2, "NodeFailed")]);
    assert_eq!(of("a"), [(1, "NodeJoined"), (1, "TermStarted"), (3, "ShardMigrationStarted")]);
    assert_eq!(of("nobody"), []);
}

#[test]
fn the_audit_keeps_the_last_entries_and_says_when_older_ones_are_asked_for() {
    let mut audit = Audit::default();
    let total = RECORDS_MAX as u64 + 500;
    let record = |epoch| TopologyRecord {
        epoch: Epoch(epoch),
        term: Term(1),
        leader: life("a", 1),
        cause: String::new(),
        stamped: WallTime::default(),
        at: Position { sequence: Sequence(epoch), hash: epoch },
        events: vec![
            AssignmentEvent::ShardMigrated { shards: ShardId(1).into(), from: life("a", 1), to: life("b", 1) }.into(),
        ],
    };
    for epoch in 1..=total {
        audit.apply(record(epoch));
    }
    assert_eq!(audit.records().len(), RECORDS_MAX);
    assert_eq!(audit.since(Epoch(10), 5), None, "they are in the log only");
    let first = total - RECORDS_MAX as u64;
    for (since, limit, expected) in [
        (first, 2, vec![first + 1, first + 2]),
        (total - 1, 9, vec![total]),
        (total, 9, vec![]),
        (total + 7, 9, vec![]),
    ] {
        let page = audit.since(Epoch(since), limit).expect("kept");
        assert_eq!(page.iter().map(|record| record.epoch.0).collect::<Vec<_>>(), expected);
    }
    assert_eq!(audit.since(Epoch(first - 1), 1), None);
    let why = audit.why(ShardId(1));
    assert!(!why.whole && why.lines.len() < RECORDS_MAX, "it is bounded, and does not claim to be all");
}

#[test]
fn each_node_has_a_verdict() {
    let mut log = Log::new();
    let of = |log: &Log, facts: &Facts| HealthView::of(&log.fold, &log.projected().health, facts);
    let mut heard = facts(Phase::Active);
    let calm = of(&log, &heard);
    assert_eq!((calm.verdict, calm.reasons.len()), (ClusterVerdict::Ok, 0), "{:?}", calm.reasons);
    for (age, verdict) in [
        (1_400, Verdict::Healthy),
        (1_700, Verdict::Late { by: Duration::from_millis(700) }),
        (3_000, Verdict::Silent { since: Duration::from_secs(3) }),
    ] {
        heard.heard.insert(life("b", 1).node, (life("b", 1), Duration::from_millis(age)));
        assert_eq!(verdict_of(&of(&log, &heard), "b"), verdict);
    }
    heard.heard.insert(life("b", 2).node, (life("b", 2), Duration::ZERO));
    assert!(matches!(verdict_of(&of(&log, &heard), "b"), Verdict::Silent { .. }), "another life was heard");
    for (phase, verdict) in
        [(Phase::Active, Verdict::Healthy), (Phase::Paused, Verdict::Paused), (Phase::Draining, Verdict::Draining)]
    {
        assert_eq!(verdict_of(&of(&log, &facts(phase)), "c"), verdict);
    }
    log.append("b is slow", |draft| {
        let (node, by) = (life("b", 1), vec![life("a", 1).node, life("c", 1).node]);
        draft.cluster(&ClusterCommand::SuspectNode { node, by }).expect("it is trusted");
    });
    assert_eq!(verdict_of(&of(&log, &facts(Phase::Active)), "b"), Verdict::Suspect);
    log.append("b drains", |draft| draft.cluster(&ClusterCommand::DrainNode { node: life("b", 1) }).expect("Active"));
    assert_eq!(verdict_of(&of(&log, &facts(Phase::Active)), "b"), Verdict::Draining);
    log.fails();
    let reason = Some(FailureReason::Silent);
    assert_eq!(verdict_of(&of(&log, &facts(Phase::Active)), "b"), Verdict::Failed { reason });
}

#[test]
fn the_cluster_is_as_bad_as_the_worst_of_its_reasons() {
    let mut log = Log::new();
    let of = |log: &Log, change: &dyn Fn(&mut Facts)| {
        let mut facts = facts(Phase::Active);
        change(&mut facts);
        let view = HealthView::of(&log.fold, &log.projected().health, &facts);
        (view.verdict, view.reasons.first().map(|(_, reason)| reason.clone()).unwrap_or_default())
    };
    let leader_silent = |for_secs| {
        move |facts: &mut Facts| {
            facts.heard.insert(life("a", 1).node, (life("a", 1), Duration::from_secs(for_secs)));
        }
    };
    assert_eq!(of(&log, &leader_silent(5)).1, "a has not been heard for 5.0s", "as any node");
    assert_eq!(
        of(&log, &leader_silent(6)),
        (ClusterVerdict::Degraded, "a, which leads, has not been heard for 6.0s".into())
    );
    let suspects = |facts: &mut Facts| facts.suspicions = vec!["two leaders".into()];
    assert_eq!(of(&log, &suspects), (ClusterVerdict::Critical, "a split brain is suspected: two leaders".into()));
    let strays = |facts: &mut Facts| facts.strays = vec![(life("b", 2), Epoch(17))];
    assert_eq!(
        of(&log, &strays),
        (ClusterVerdict::Critical, "b has another shard map than the leader at entry 17".into())
    );
    let faulty = |facts: &mut Facts| facts.fault = Some("the log went back".into());
    assert_eq!(of(&log, &faulty), (ClusterVerdict::Critical, "c serves nothing: the log went back".into()));
    assert_eq!(of(&Log::default(), &|_| {}), (ClusterVerdict::Critical, "nobody leads since term 0".into()));

    log.fails();
    assert_eq!(of(&log, &|_| {}), (ClusterVerdict::Degraded, "b has failed (silent)".into()));
    log.moves();
    let later = |by: u64| move |facts: &mut Facts| facts.wall = WallTime { unix_millis: 1_000_000 + by };
    assert_eq!(of(&log, &later(300_000)).1, "b has failed (silent)");
    assert_eq!(of(&log, &later(301_000)).1, "shards have been moving for 301 s");

    let mut health = Health::default();
    let mut orphaned = Topology::default();
    let settings = ClusterSettings { shards: ShardCount::new(8).expect("8"), ..ClusterSettings::default() };
    let mut draft = Draft::new(&orphaned);
    draft.cluster(&ClusterCommand::CreateCluster { uid: ClusterUid(7), settings }).expect("new");
    draft.cluster(&ClusterCommand::JoinCluster { node: life("a", 1), info: NodeInfo::default() }).expect("it joins");
    let elect = LeadershipCommand::ElectLeader { candidate: life("a", 1), term: Term(1), active: true };
    draft.leadership(&elect).expect("nobody leads");
    orphaned = draft.topology().clone();
    let view = HealthView::of(&orphaned, &health, &facts(Phase::Active));
    assert_eq!(view.reasons[0], (ClusterVerdict::Critical, "8 shards have no owner".into()));
    health.apply(&TopologyRecord {
        events: vec![ClusterEvent::NodeFailed { node: life("a", 1), reason: FailureReason::Died }.into()],
        ..log.records[0].clone()
    });
    for name in ["b", "c"] {
        let mut draft = Draft::new(&log.fold);
        let (node, reason) = (life(name, 1), FailureReason::Died);
        if draft.cluster(&ClusterCommand::MarkNodeFailed { node, reason }).is_ok() {
            log.fold = draft.topology().clone();
        }
    }
    let facts = Facts { me: life("a", 1), ..facts(Phase::Active) };
    let view = HealthView::of(&log.fold, &health, &facts);
    let half = (ClusterVerdict::Critical, "2 of 3 nodes have failed".to_owned());
    assert!(view.reasons.contains(&half), "{:?}", view.reasons);
}

#[test]
fn shards_of_a_node_that_is_not_heard_are_an_alarm_once_they_should_be_anothers() {
    let log = Log::new();
    for (silent_for, alarms) in [(3_000, false), (11_300, false), (11_500, true)] {
        let mut facts = facts(Phase::Active);
        facts.heard.insert(life("b", 1).node, (life("b", 1), Duration::from_millis(silent_for)));
        let view = HealthView::of(&log.fold, &log.projected().health, &facts);
        let said =
            |(_, reason): &(ClusterVerdict, String)| reason.contains("b has them and has not been heard for 11.5s");
        assert_eq!(view.reasons.iter().any(said), alarms, "{silent_for}: {:?}", view.reasons);
    }
}

#[test]
fn an_actor_that_is_set_aside_and_a_shard_that_is_not_right_are_for_somebody_to_look_at() {
    let log = Log::new();
    let facts = Facts { quarantined: 2, unreconciled: 1, ..facts(Phase::Active) };
    let view = HealthView::of(&log.fold, &log.projected().health, &facts);
    for (verdict, said) in [
        (ClusterVerdict::Degraded, "2 actors are quarantined on c: see /v1/quarantined there"),
        (
            ClusterVerdict::Critical,
            "1 shards of c do something else than the topology says: see ShardReconciled in its log",
        ),
    ] {
        assert!(view.reasons.contains(&(verdict, said.to_owned())), "{:?}", view.reasons);
    }
}

#[tokio::test]
async fn a_process_that_starts_again_has_the_same_views_from_the_log_alone() {
    let mut log = Log::new();
    log.fails();
    log.moves();
    let before = log.projected();
    let told: Vec<_> = log.records.iter().cloned().map(Ok).collect();
    let again = std::sync::Arc::<std::sync::RwLock<Projections>>::default();
    super::keep(futures_util::stream::iter(told).boxed(), again.clone()).await;
    let again = again.read().expect("nobody panicked");
    assert_eq!(again.health, before.health);
    assert_eq!(again.audit.why(ShardId(3)), before.audit.why(ShardId(3)));
    assert_eq!(again.audit.records().collect::<Vec<_>>(), before.audit.records().collect::<Vec<_>>());
}

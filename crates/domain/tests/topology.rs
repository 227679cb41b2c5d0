//! The fold and its invariants: what a leader may compose is believed, and everything else is refused.

use std::sync::Arc;

use aether_domain::assignment::{AssignmentCommand, AssignmentEvent, CancelReason, Grant, PlannedMove};
use aether_domain::cluster::{ClusterCommand, ClusterEvent, ClusterSettings, FailureReason, NodeInfo, RebalanceCause};
use aether_domain::image::TopologyImage;
use aether_domain::invariants::Violation;
use aether_domain::lease::{LeadershipCommand, LeadershipEvent};
use aether_domain::orders::{Asked, RebalanceOrder, Wish};
use aether_domain::policy::{Pin, PlacementPolicy, PolicyFault};
use aether_domain::records::{Entry, Format, Position, StoredEntry};
use aether_domain::testing::life;
use aether_domain::topology::{Draft, Signature, Topology, TopologyEvent};
use aether_domain::{
    ClusterUid, Epoch, Incarnation, Nonce, PlanId, Sequence, ShardCount, ShardId, ShardSet, Term, WallTime,
};
use proptest::prelude::*;

const SHARDS: u32 = 16;

fn uid() -> ClusterUid {
    ClusterUid(7)
}

fn all() -> ShardSet {
    ShardCount::new(SHARDS).expect("a power of two").all().collect()
}

fn signature(leader: &str, term: u64) -> Signature {
    Signature {
        format: Format::FIRST,
        cluster: uid(),
        leader: life(leader, 1),
        term: Term(term),
        nonce: Nonce(1),
        cause: "test".into(),
        at: WallTime::default(),
    }
}

fn lives(names: &[&str]) -> Vec<Incarnation> {
    names.iter().map(|name| life(name, 1).incarnation).collect()
}

fn stored(topology: &Topology, entry: Entry) -> StoredEntry {
    let sequence = Sequence(topology.at().sequence.0 + 1);
    StoredEntry { entry, at: Position { sequence, hash: 1_000 + sequence.0 } }
}

/// `a` leads term 1 and has everything; `b` is Active.
fn founded() -> Topology {
    let mut topology = Topology::default();
    let mut draft = Draft::new(&topology);
    let settings = ClusterSettings { shards: ShardCount::new(SHARDS).expect("a power of two"), ..Default::default() };
    draft.cluster(&ClusterCommand::CreateCluster { uid: uid(), settings }).expect("the first");
    for name in ["a", "b"] {
        draft.cluster(&ClusterCommand::JoinCluster { node: life(name, 1), info: NodeInfo::default() }).expect("new");
    }
    let elect = LeadershipCommand::ElectLeader { candidate: life("a", 1), term: Term(1), active: true };
    draft.leadership(&elect).expect("the first");
    let grants = vec![Grant { shards: all(), to: life("a", 1) }];
    let assign = AssignmentCommand::AssignShards { grants, active: lives(&["a", "b"]), living: lives(&["a", "b"]) };
    draft.assignment(&assign).expect("all orphaned");
    let entry = draft.finish(signature("a", 1)).expect("a lawful entry");
    let next = stored(&topology, entry);
    topology.apply(&next).expect("what was checked");
    topology
}

/// An entry by the leader with those events, unchecked.
fn forged(topology: &Topology, events: Vec<TopologyEvent>) -> Entry {
    Entry {
        format: Format::FIRST,
        cluster: uid(),
        epoch: topology.epoch().next(),
        term: Term(1),
        leader: life("a", 1),
        nonce: Nonce(2),
        prev_hash: topology.at().hash,
        cause: "forged".into(),
        at: WallTime::default(),
        events,
    }
}

fn refused(topology: &Topology, entry: &Entry) -> Vec<Violation> {
    topology.after(entry).err().unwrap_or_default()
}

fn draining_b() -> Vec<TopologyEvent> {
    vec![ClusterEvent::NodeDraining { node: life("b", 1) }.into()]
}

#[test]
fn a_lawful_entry_is_believed() {
    let topology = founded();
    assert_eq!(refused(&topology, &forged(&topology, draining_b())), []);
    let (owner, epoch) = topology.owner(ShardId(3)).expect("owned");
    assert_eq!((owner, epoch), (&life("a", 1), Epoch(1)));
}

#[test]
fn an_entry_out_of_order_of_another_chain_or_of_another_cluster_is_refused() {
    let topology = founded();
    let good = forged(&topology, draining_b());
    let cases: [(Entry, Violation); 4] = [
        (Entry { epoch: Epoch(3), ..good.clone() }, Violation::EpochGap { before: Epoch(1), found: Epoch(3) }),
        (Entry { prev_hash: 1, ..good.clone() }, Violation::BrokenChain { epoch: Epoch(2) }),
        (
            Entry { cluster: ClusterUid(8), ..good.clone() },
            Violation::ForeignCluster { expected: uid(), found: ClusterUid(8) },
        ),
        (Entry { events: Vec::new(), ..good }, Violation::Empty { epoch: Epoch(2) }),
    ];
    for (entry, violation) in cases {
        assert_eq!(refused(&topology, &entry), [violation]);
    }
}

#[test]
fn nothing_is_taken_from_a_life_that_may_still_serve_it() {
    let topology = founded();
    let shards: ShardSet = [ShardId(3)].into_iter().collect();
    let (a, b) = (life("a", 1), life("b", 1));
    let assigned = AssignmentEvent::ShardAssigned { shards: shards.clone(), to: b.clone() };
    let found = refused(&topology, &forged(&topology, vec![assigned.clone().into()]));
    assert_eq!(found, [Violation::TakenFromTheLiving { shard: ShardId(3), from: a.clone() }]);
    let orphaned = AssignmentEvent::ShardsOrphaned { shards: shards.clone() };
    let found = refused(&topology, &forged(&topology, vec![orphaned.into(), assigned.into()]));
    assert_eq!(
        found,
        [Violation::TakenFromTheLiving { shard: ShardId(3), from: a.clone() }],
        "not in two steps either"
    );
    // The same of an owner that fails in this very entry is what a failure looks like.
    let all_to_b = AssignmentEvent::ShardAssigned { shards: all(), to: b.clone() };
    let failed = ClusterEvent::NodeFailed { node: a, reason: FailureReason::Silent };
    let started = LeadershipEvent::TermStarted { term: Term(2), leader: b.clone() };
    let events = vec![failed.into(), started.into(), all_to_b.into()];
    let lawful = Entry { term: Term(2), leader: b, ..forged(&topology, events) };
    assert_eq!(refused(&topology, &lawful), []);
}

#[test]
fn a_move_ends_only_if_it_has_begun_and_only_between_those_it_began_between() {
    let mut topology = founded();
    let (a, b, c) = (life("a", 1), life("b", 1), life("c", 1));
    let shards: ShardSet = [ShardId(3)].into_iter().collect();
    let migrated = |to: &aether_domain::NodeRef| {
        let (shards, from, to) = (shards.clone(), a.clone(), to.clone());
        TopologyEvent::from(AssignmentEvent::ShardMigrated { shards, from, to })
    };
    let failed = |to: &aether_domain::NodeRef| {
        let (shards, from, to, reason) = (shards.clone(), a.clone(), to.clone(), CancelReason::Deadline);
        TopologyEvent::from(AssignmentEvent::ShardMigrationFailed { shards, from, to, reason })
    };
    let violation = |to: &aether_domain::NodeRef| {
        vec![Violation::NotOnItsWay { shard: ShardId(3), from: a.clone(), to: to.clone() }]
    };
    assert_eq!(refused(&topology, &forged(&topology, vec![migrated(&b)])), violation(&b));
    assert_eq!(refused(&topology, &forged(&topology, vec![failed(&b)])), violation(&b));
    let joined = ClusterEvent::NodeJoined { node: c.clone(), info: NodeInfo::default() };
    let (from, to) = (a.clone(), b.clone());
    let begun = AssignmentEvent::ShardMigrationStarted { shards: shards.clone(), from, to };
    let next = stored(&topology, forged(&topology, vec![joined.into(), begun.into()]));
    topology.apply(&next).expect("a lawful entry");
    assert_eq!(refused(&topology, &forged(&topology, vec![migrated(&b)])), []);
    assert_eq!(refused(&topology, &forged(&topology, vec![failed(&b)])), []);
    assert_eq!(refused(&topology, &forged(&topology, vec![migrated(&c)])), violation(&c));
    assert_eq!(refused(&topology, &forged(&topology, vec![failed(&c)])), violation(&c));
}

#[test]
fn a_policy_is_adopted_only_if_it_can_be_gone_by_and_ends_what_had_not_begun() {
    let mut topology = founded();
    let pinned = |shard| {
        let pins = vec![Pin { shard: ShardId(shard), node: life("b", 1).node }];
        Arc::new(PlacementPolicy { pins, ..PlacementPolicy::default() })
    };
    let adopted = |policy: &Arc<PlacementPolicy>| ClusterEvent::PlacementAdopted { policy: Arc::clone(policy) }.into();
    let last = SHARDS as u16 - 1;
    let fault = PolicyFault::UnknownShard { shard: ShardId(last + 1), shards: SHARDS as usize };
    let violation = Violation::Policy { epoch: Epoch(2), fault };
    assert_eq!(refused(&topology, &forged(&topology, vec![adopted(&pinned(last + 1))])), [violation]);

    let moves = vec![PlannedMove { shards: ShardId(0).into(), from: life("a", 1), to: life("b", 1) }];
    let planned = ClusterEvent::RebalancingTriggered { plan: PlanId(2), cause: RebalanceCause::Join, moves };
    for (events, pending) in [(vec![planned.into()], 1), (vec![adopted(&pinned(last))], 0)] {
        let next = stored(&topology, forged(&topology, events));
        topology.apply(&next).expect("a lawful entry");
        assert_eq!(topology.assignment().pending().len(), pending);
    }
    assert_eq!(*topology.cluster().policy(), pinned(last));
}

#[test]
fn nobody_writes_but_the_leader_of_the_term() {
    let topology = founded();
    let good = forged(&topology, draining_b());
    let started = |term, leader: &str| {
        TopologyEvent::from(LeadershipEvent::TermStarted { term: Term(term), leader: life(leader, 1) })
    };
    for entry in [
        Entry { leader: life("b", 1), ..good.clone() },
        Entry { term: Term(2), ..good.clone() },
        Entry { leader: life("b", 1), term: Term(1), events: vec![started(1, "b")], ..good.clone() },
        Entry { leader: life("b", 1), term: Term(2), events: vec![started(2, "b"), started(3, "b")], ..good.clone() },
        Entry { leader: life("b", 1), term: Term(2), events: vec![started(2, "a")], ..good },
    ] {
        let found = refused(&topology, &entry);
        assert!(found.iter().any(|it| matches!(it, Violation::NotTheLeader { .. })), "{found:?}");
    }
}

#[test]
fn after_a_new_term_the_old_leader_writes_nothing() {
    let mut topology = founded();
    let mut draft = Draft::new(&topology);
    let elect = LeadershipCommand::ElectLeader { candidate: life("b", 1), term: Term(2), active: true };
    draft.leadership(&elect).expect("a higher term");
    let entry = draft.finish(signature("b", 2)).expect("a lawful entry");
    let next = stored(&topology, entry);
    topology.apply(&next).expect("what was checked");
    let stale = forged(&topology, draining_b());
    assert!(matches!(refused(&topology, &stale)[..], [Violation::NotTheLeader { .. }]));
}

#[test]
fn a_failed_node_keeps_no_shard_in_any_prefix_of_the_log() {
    let topology = founded();
    let failed = ClusterEvent::NodeFailed { node: life("a", 1), reason: FailureReason::Silent };
    let found = refused(&topology, &forged(&topology, vec![failed.into()]));
    assert!(found.iter().any(|it| matches!(it, Violation::NotAMember { .. })), "{found:?}");
    assert!(found.iter().any(|it| matches!(it, Violation::LeaderNotActive { .. })), "{found:?}");
}

#[test]
fn shards_are_not_orphaned_while_somebody_is_active() {
    let topology = founded();
    let orphaned = AssignmentEvent::ShardsOrphaned { shards: ShardId(3).into() };
    let found = refused(&topology, &forged(&topology, vec![orphaned.into()]));
    assert_eq!(found, [Violation::Unowned { shard: ShardId(3) }]);
}

#[test]
fn a_shard_is_not_newly_given_to_a_draining_or_an_unknown_node() {
    let topology = founded();
    let give = |name: &str| {
        TopologyEvent::from(AssignmentEvent::ShardAssigned { shards: ShardId(3).into(), to: life(name, 1) })
    };
    let found = refused(&topology, &forged(&topology, [draining_b(), vec![give("b")]].concat()));
    assert!(found.contains(&Violation::GivenToInactive { shard: ShardId(3), node: life("b", 1) }), "{found:?}");
    let found = refused(&topology, &forged(&topology, vec![give("z")]));
    assert!(found.contains(&Violation::NotAMember { shard: ShardId(3) }), "{found:?}");
}

#[test]
fn a_shard_moves_only_from_where_it_is() {
    let topology = founded();
    let moved = AssignmentEvent::ShardMigrated { shards: ShardId(3).into(), from: life("b", 1), to: life("a", 1) };
    let found = refused(&topology, &forged(&topology, vec![moved.into()]));
    assert_eq!(found, [Violation::MovedFromElsewhere { shard: ShardId(3), from: life("b", 1) }]);
}

#[test]
fn an_entry_that_is_refused_changes_nothing() {
    let mut topology = founded();
    let before = topology.clone();
    let entry = forged(&topology, Vec::new());
    let next = stored(&topology, entry);
    assert!(topology.apply(&next).is_err());
    assert_eq!(topology, before);
}

/// Something a leader might do.
#[derive(Clone, Debug)]
enum Deed {
    Join(u8),
    Drain(u8),
    Fail(u8),
    Leave(u8),
    Move(u8, u8, u8),
    Complete(u8),
    Elect(u8),
    Plan(u8, u8, u8),
    Order(u8),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let node = 0u8..5;
    let deed = prop_oneof![
        node.clone().prop_map(Deed::Join),
        node.clone().prop_map(Deed::Drain),
        node.clone().prop_map(Deed::Fail),
        node.clone().prop_map(Deed::Leave),
        (0u8..SHARDS as u8, node.clone(), node.clone()).prop_map(|(shard, from, to)| Deed::Move(shard, from, to)),
        (0u8..SHARDS as u8).prop_map(Deed::Complete),
        (0u8..SHARDS as u8, node.clone(), node.clone()).prop_map(|(shard, from, to)| Deed::Plan(shard, from, to)),
        any::<u8>().prop_map(Deed::Order),
        node.prop_map(Deed::Elect),
    ];
    proptest::collection::vec(deed, 0..60)
}

fn name(node: u8) -> &'static str {
    ["a", "b", "c", "d", "e"][usize::from(node)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever the aggregates allow one by one, the invariants judge as a whole: what passes keeps every shard owned by
    /// a member, and the fold of the stored entries is the topology that was checked.
    #[test]
    fn what_passes_the_checks_keeps_every_shard_with_a_member(deeds in deeds()) {
        let mut topology = founded();
        let mut log = Vec::new();
        for deed in deeds {
            let mut draft = Draft::new(&topology);
            let (mut leader, mut term) = match topology.leadership().leader() {
                Some(leader) => (leader.clone(), topology.leadership().term()),
                None => continue,
            };
            let active: Vec<_> = topology.cluster().active().map(|member| member.node.incarnation).collect();
            let outcome = match deed {
                Deed::Join(node) => draft
                    .cluster(&ClusterCommand::JoinCluster { node: life(name(node), 1), info: NodeInfo::default() })
                    .map_err(|refusal| refusal.to_string()),
                Deed::Drain(node) => draft
                    .cluster(&ClusterCommand::DrainNode { node: life(name(node), 1) })
                    .map_err(|refusal| refusal.to_string()),
                Deed::Fail(node) => draft
                    .cluster(&ClusterCommand::MarkNodeFailed { node: life(name(node), 1), reason: FailureReason::Silent })
                    .map_err(|refusal| refusal.to_string()),
                Deed::Leave(node) => {
                    let node = life(name(node), 1);
                    let shards_owned = topology.assignment().owned_by(node.incarnation);
                    draft
                        .cluster(&ClusterCommand::LeaveCluster { node, shards_owned })
                        .map_err(|refusal| refusal.to_string())
                }
                Deed::Move(shard, from, to) => {
                    let (from, to) = (life(name(from), 1), life(name(to), 1));
                    let moves = vec![PlannedMove { shards: ShardId(shard.into()).into(), from, to }];
                    draft
                        .assignment(&AssignmentCommand::RebalanceFromTopology { moves, active })
                        .map_err(|refusal| refusal.to_string())
                }
                Deed::Plan(shard, from, to) => {
                    let (from, to) = (life(name(from), 1), life(name(to), 1));
                    let moves = vec![PlannedMove { shards: ShardId(shard.into()).into(), from, to }];
                    let (plan, cause) = (PlanId(draft.epoch().0), RebalanceCause::Join);
                    draft
                        .cluster(&ClusterCommand::RebalanceShards { plan, cause, moves })
                        .map_err(|refusal| refusal.to_string())
                }
                Deed::Order(id) => {
                    let wish = Wish::NAMES[usize::from(id) % 3].0;
                    let order = RebalanceOrder { wish, asked: Asked::new("ann", ""), id: Nonce(id.into()) };
                    draft.cluster(&ClusterCommand::OrderRebalance { order }).map_err(|refusal| refusal.to_string())
                }
                Deed::Complete(shard) => {
                    use aether_domain::assignment::ShardState;
                    let shard = ShardId(shard.into());
                    match topology.assignment().shard(shard) {
                        ShardState::Draining { from, to, drain_epoch, .. } => {
                            let node = |life| topology.cluster().owner(life).map(|member| member.node.clone());
                            match (node(from), node(to)) {
                                (Some(from), Some(to)) => draft
                                    .assignment(&AssignmentCommand::CompleteMigration {
                                        shards: shard.into(), from, to, drain_epoch, active,
                                    })
                                    .map_err(|refusal| refusal.to_string()),
                                _ => Err("gone".into()),
                            }
                        }
                        _ => Err("not moving".into()),
                    }
                }
                Deed::Elect(node) => {
                    leader = life(name(node), 1);
                    term = term.next();
                    let active = topology.cluster().is_active(&leader);
                    draft
                        .leadership(&LeadershipCommand::ElectLeader { candidate: leader.clone(), term, active })
                        .map_err(|refusal| refusal.to_string())
                }
            };
            if outcome.is_err() {
                continue;
            }
            let signature = Signature { leader, term, ..signature("a", 1) };
            if let Ok(entry) = draft.finish(signature) {
                let next = stored(&topology, entry);
                prop_assert_eq!(topology.apply(&next), Ok(()));
                log.push(next);
                let built = TopologyImage::of(&topology).expect("it has seen an entry").topology();
                prop_assert_eq!(built.as_ref(), Ok(&topology), "any prefix can be kept and built up again");
            }
            if topology.cluster().wish() != Wish::Resume {
                let stays = |from: &aether_domain::NodeRef| !topology.cluster().must_give(from.incarnation);
                let meant = topology.assignment().pending().any(|(_, from, _)| stays(from));
                prop_assert!(!meant, "a move of a node that stays is meant while that is paused");
            }
            let somebody = topology.cluster().active().next().is_some();
            for (shard, state) in topology.assignment().iter() {
                match state.owner() {
                    Some(owner) => prop_assert!(topology.cluster().owner(owner).is_some(), "{shard} of a stranger"),
                    None => prop_assert!(!somebody, "{shard} orphaned"),
                }
            }
        }
        let mut again = founded();
        for entry in &log {
            prop_assert_eq!(again.apply(entry), Ok(()));
        }
        prop_assert_eq!(again, topology);
    }
}

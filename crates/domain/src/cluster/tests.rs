//! The cluster's rules, as given/when/then.

use std::sync::Arc;

use super::{
    Cluster, ClusterCommand as Command, ClusterEvent as Event, ClusterRefusal as Refusal, ClusterSettings,
    FailureReason, NodeInfo, NodeStatus, RebalanceCause, Trust,
};
use crate::aggregate::Aggregate as _;
use crate::assignment::{AssignmentEvent, PlannedMove};
use crate::ids::{ClusterUid, Epoch, Nonce, PlanId, ShardId};
use crate::orders::{Asked, RebalanceOrder, Wish};
use crate::policy::{Pin, PlacementPolicy, PolicyFault, Strategy};
use crate::testing::{given, life};
use crate::topology::TopologyEvent;

fn created() -> TopologyEvent {
    Event::ClusterCreated { uid: ClusterUid(7), settings: ClusterSettings::default() }.into()
}

fn joined(name: &str) -> TopologyEvent {
    Event::NodeJoined { node: life(name, 1), info: NodeInfo::default() }.into()
}

fn failed(name: &str) -> TopologyEvent {
    Event::NodeFailed { node: life(name, 1), reason: FailureReason::Silent }.into()
}

fn draining(name: &str) -> TopologyEvent {
    Event::NodeDraining { node: life(name, 1) }.into()
}

fn join(name: &str, nth: u64) -> Command {
    Command::JoinCluster { node: life(name, nth), info: NodeInfo::default() }
}

fn moves() -> Vec<PlannedMove> {
    vec![PlannedMove { shards: ShardId(3).into(), from: life("a", 1), to: life("b", 1) }]
}

#[test]
fn a_cluster_is_created_once() {
    let settings = ClusterSettings::default();
    given::<Cluster>([]).when(Command::CreateCluster { uid: ClusterUid(7), settings }).then([created()]);
    given::<Cluster>([created()])
        .when(Command::CreateCluster { uid: ClusterUid(8), settings })
        .then_refused(Refusal::AlreadyCreated { uid: ClusterUid(7) });
}

#[test]
fn nobody_joins_what_does_not_exist() {
    given::<Cluster>([]).when(join("a", 1)).then_refused(Refusal::NotCreated);
}

#[test]
fn a_new_node_joins_and_a_member_does_not_join_twice() {
    given::<Cluster>([created()]).when(join("a", 1)).then([joined("a")]);
    given::<Cluster>([created(), joined("a")])
        .when(join("a", 1))
        .then_refused(Refusal::AlreadyMember { node: life("a", 1) });
}

#[test]
fn a_new_life_of_a_member_restarts_it_and_one_of_a_node_that_was_gone_joins() {
    let restarted =
        Event::NodeRestarted { node: life("a", 2), previous: life("a", 1).incarnation, info: NodeInfo::default() };
    given::<Cluster>([created(), joined("a")]).when(join("a", 2)).then([restarted.into()]);
    let again = Event::NodeJoined { node: life("a", 2), info: NodeInfo::default() };
    given::<Cluster>([created(), joined("a"), failed("a")]).when(join("a", 2)).then([again.into()]);
}

#[test]
fn a_life_that_is_over_never_comes_back() {
    let left = Event::NodeLeft { node: life("a", 1) };
    for end in [failed("a"), left.into()] {
        given::<Cluster>([created(), joined("a"), end])
            .when(join("a", 1))
            .then_refused(Refusal::IncarnationOver { node: life("a", 1) });
    }
}

#[test]
fn a_node_without_weight_is_refused() {
    given::<Cluster>([created()])
        .when(Command::JoinCluster { node: life("a", 1), info: NodeInfo { weight: 0, ..NodeInfo::default() } })
        .then_refused(Refusal::Weightless { node: life("a", 1) });
}

#[test]
fn only_a_member_fails_and_only_once() {
    let mark = || Command::MarkNodeFailed { node: life("a", 1), reason: FailureReason::Silent };
    given::<Cluster>([created(), joined("a")]).when(mark()).then([failed("a")]);
    given::<Cluster>([created(), draining("a")]).when(mark()).then([failed("a")]);
    given::<Cluster>([created()]).when(mark()).then_refused(Refusal::NotMember { node: life("a", 1) });
    given::<Cluster>([created(), joined("a"), failed("a")])
        .when(mark())
        .then_refused(Refusal::IncarnationOver { node: life("a", 1) });
}

#[test]
fn only_an_active_node_is_drained() {
    let drain = || Command::DrainNode { node: life("a", 1) };
    given::<Cluster>([created(), joined("a")]).when(drain()).then([draining("a")]);
    let not_active = || Refusal::NodeNotActive { node: life("a", 1).node };
    given::<Cluster>([created(), joined("a"), draining("a")]).when(drain()).then_refused(not_active());
    given::<Cluster>([created(), joined("a"), failed("a")]).when(drain()).then_refused(not_active());
    given::<Cluster>([created()]).when(drain()).then_refused(Refusal::NotMember { node: life("a", 1) });
}

#[test]
fn a_node_leaves_only_with_empty_hands() {
    let leave = |shards_owned| Command::LeaveCluster { node: life("a", 1), shards_owned };
    let left = Event::NodeLeft { node: life("a", 1) };
    given::<Cluster>([created(), joined("a"), draining("a")]).when(leave(0)).then([left.into()]);
    given::<Cluster>([created(), joined("a"), draining("a")])
        .when(leave(3))
        .then_refused(Refusal::StillOwns { node: life("a", 1), shards: 3 });
}

#[test]
fn one_plan_is_under_way_at_a_time_and_is_closed_when_nothing_of_it_is_open() {
    let rebalance = |plan| Command::RebalanceShards { plan: PlanId(plan), cause: RebalanceCause::Join, moves: moves() };
    let triggered =
        || Event::RebalancingTriggered { plan: PlanId(4), cause: RebalanceCause::Join, moves: moves() }.into();
    given::<Cluster>([created()]).when(rebalance(4)).then([triggered()]);
    given::<Cluster>([created(), triggered()]).when(rebalance(5)).then_refused(Refusal::PlanOpen { plan: PlanId(4) });
    given::<Cluster>([created()])
        .when(Command::RebalanceShards { plan: PlanId(4), cause: RebalanceCause::Join, moves: Vec::new() })
        .then_refused(Refusal::NothingToMove);
    let migrated: TopologyEvent =
        AssignmentEvent::ShardMigrated { shards: ShardId(3).into(), from: life("a", 1), to: life("b", 1) }.into();
    given::<Cluster>([created(), triggered(), migrated])
        .when(Command::CompleteRebalance { plan: PlanId(4), open: 0 })
        .then([Event::RebalancingCompleted { plan: PlanId(4), moved: 1 }.into()]);
    given::<Cluster>([created(), triggered()])
        .when(Command::CompleteRebalance { plan: PlanId(4), open: 2 })
        .then_refused(Refusal::PlanNotDone { plan: PlanId(4), open: 2 });
}

#[test]
fn a_members_standing_is_that_of_exactly_its_last_life() {
    let cluster = given::<Cluster>([created(), joined("a"), joined("b"), failed("b")]).state();
    assert_eq!(cluster.status_of(&life("a", 1)), Some(NodeStatus::Active));
    assert_eq!(cluster.status_of(&life("a", 2)), None);
    assert_eq!(cluster.status_of(&life("b", 1)), Some(NodeStatus::Failed));
    assert!(cluster.owner(life("a", 1).incarnation).is_some());
    assert!(cluster.owner(life("b", 1).incarnation).is_none());
    assert_eq!(cluster.active().count(), 1);
}

fn suspected(name: &str) -> TopologyEvent {
    Event::NodeSuspected { node: life(name, 1), by: vec![life("b", 1).node, life("c", 1).node] }.into()
}

fn relieved(name: &str) -> TopologyEvent {
    Event::NodeRelieved { node: life(name, 1) }.into()
}

fn cluster_of(names: &str) -> Vec<TopologyEvent> {
    std::iter::once(created()).chain(names.chars().map(|name| joined(&name.to_string()))).collect()
}

#[test]
fn trust_is_lost_step_by_step_and_given_back_at_once() {
    let (node, by) = (life("a", 1), vec![life("b", 1).node, life("c", 1).node]);
    let (suspect, relieve) =
        (Command::SuspectNode { node: node.clone(), by }, Command::RelieveNode { node: node.clone() });
    let trust = Command::TrustNode { node: node.clone() };
    let trusted = || TopologyEvent::from(Event::NodeTrusted { node: node.clone() });
    let refusal = |trust| Refusal::TrustDiffers { node: node.clone(), trust };
    let begun = |more: &[TopologyEvent]| given::<Cluster>([cluster_of("abcde"), more.to_vec()].concat());
    begun(&[]).when(suspect.clone()).then([suspected("a")]);
    begun(&[]).when(relieve.clone()).then_refused(refusal(Trust::Full));
    begun(&[]).when(trust.clone()).then_refused(refusal(Trust::Full));
    begun(&[suspected("a")]).when(suspect.clone()).then_refused(refusal(Trust::Suspected));
    begun(&[suspected("a")]).when(relieve.clone()).then([relieved("a")]);
    begun(&[suspected("a")]).when(trust.clone()).then([trusted()]);
    begun(&[suspected("a"), relieved("a")]).when(relieve).then_refused(refusal(Trust::Relieved));
    begun(&[suspected("a"), relieved("a")]).when(trust).then([trusted()]);
    begun(&[suspected("a"), trusted()]).when(suspect.clone()).then([suspected("a")]);
    begun(&[draining("a")]).when(suspect.clone()).then_refused(Refusal::NodeNotActive { node: node.node.clone() });
    given::<Cluster>([created()]).when(suspect).then_refused(Refusal::NotMember { node });
}

#[test]
fn one_node_is_relieved_at_a_time_and_never_more_than_a_fifth_of_them() {
    let relieve = |name: &str| Command::RelieveNode { node: life(name, 1) };
    for (names, before, relieved, active) in [
        ("abcd", vec![suspected("a")], 0, 4),
        ("abcdefghij", vec![suspected("a"), suspected("b"), relieved("b")], 1, 10),
        ("abcde", vec![suspected("a"), failed("e")], 0, 4),
    ] {
        given::<Cluster>([cluster_of(names), before].concat())
            .when(relieve("a"))
            .then_refused(Refusal::TooManyRelieved { relieved, active });
    }
    // A relieved node that has failed is in nobody's way.
    let before = [cluster_of("abcdef"), vec![suspected("a"), suspected("b"), relieved("b"), failed("b")]].concat();
    given::<Cluster>(before).when(relieve("a")).then([relieved("a")]);
}

#[test]
fn a_new_life_begins_with_full_trust() {
    let mut cluster = Cluster::default();
    let events = [cluster_of("abcde"), vec![suspected("a"), relieved("a")]].concat();
    for event in events {
        cluster.evolve(&event, Epoch(1));
    }
    assert_eq!(cluster.member(&life("a", 1).node).map(|member| member.trust), Some(Trust::Relieved));
    let restarted =
        Event::NodeRestarted { node: life("a", 2), previous: life("a", 1).incarnation, info: NodeInfo::default() };
    cluster.evolve(&restarted.into(), Epoch(2));
    assert_eq!(cluster.member(&life("a", 1).node).map(|member| member.trust), Some(Trust::Full));
}

fn pinned(shard: u16) -> Arc<PlacementPolicy> {
    let pins = vec![Pin { shard: ShardId(shard), node: life("a", 1).node }];
    Arc::new(PlacementPolicy { pins, ..PlacementPolicy::default() })
}

#[test]
fn a_placement_policy_is_adopted_if_the_cluster_can_go_by_it_and_does_not_yet() {
    let adopt = |policy: &Arc<PlacementPolicy>| Command::AdoptPlacement { policy: Arc::clone(policy) };
    let adopted = |policy: &Arc<PlacementPolicy>| Event::PlacementAdopted { policy: Arc::clone(policy) }.into();
    let (default, last) = (Arc::new(PlacementPolicy::default()), pinned(1023));
    given::<Cluster>([]).when(adopt(&last)).then_refused(Refusal::NotCreated);
    given::<Cluster>([created()]).when(adopt(&default)).then_refused(Refusal::PolicyUnchanged);
    given::<Cluster>([created()]).when(adopt(&last)).then([adopted(&last)]);
    given::<Cluster>([created(), adopted(&last)]).when(adopt(&pinned(1023))).then_refused(Refusal::PolicyUnchanged);
    given::<Cluster>([created(), adopted(&last)]).when(adopt(&default)).then([adopted(&default)]);
    let beyond = PolicyFault::UnknownShard { shard: ShardId(1024), shards: 1024 };
    given::<Cluster>([created()]).when(adopt(&pinned(1024))).then_refused(Refusal::PolicyContradicts(beyond));
}

#[test]
fn only_the_adopted_strategy_is_rejected_and_in_few_words() {
    let own: Strategy = "own/3".parse().expect("a strategy");
    let reject = || Command::RejectPlacement { strategy: own.clone(), why: "no".repeat(1_000) };
    let other = Refusal::NotAdopted { strategy: own.clone() };
    given::<Cluster>([created()]).when(reject()).then_refused(other);
    let policy = Arc::new(PlacementPolicy { strategy: own.clone(), ..PlacementPolicy::default() });
    let rejected = Event::PlacementRejected { strategy: own.clone(), why: "no".repeat(Event::WHY_CHARS_MAX / 2) };
    given::<Cluster>([created(), Event::PlacementAdopted { policy }.into()]).when(reject()).then([rejected.into()]);
}

fn ordered(wish: Wish, id: u64) -> RebalanceOrder {
    RebalanceOrder { wish, asked: Asked::new("ann", "the sale"), id: Nonce(id) }
}

#[test]
fn an_order_is_taken_up_once_and_the_next_one_replaces_it() {
    let order = |wish, id| Command::OrderRebalance { order: ordered(wish, id) };
    let taken = |wish, id| TopologyEvent::from(Event::RebalancingOrdered { order: ordered(wish, id) });
    given::<Cluster>([]).when(order(Wish::Pause, 1)).then_refused(Refusal::NotCreated);
    given::<Cluster>([created()]).when(order(Wish::Pause, 1)).then([taken(Wish::Pause, 1)]);
    let paused = || [created(), taken(Wish::Pause, 1)];
    given::<Cluster>(paused()).when(order(Wish::Pause, 1)).then_refused(Refusal::OrderTaken);
    given::<Cluster>(paused()).when(order(Wish::Pause, 2)).then([taken(Wish::Pause, 2)]);
    given::<Cluster>(paused()).when(order(Wish::Resume, 2)).then([taken(Wish::Resume, 2)]);
}

#[test]
fn while_redistribution_is_paused_only_those_who_leave_or_are_relieved_give_shards_away() {
    let of_cause = |cause, from: &str| Command::RebalanceShards {
        plan: PlanId(9),
        cause,
        moves: vec![PlannedMove { shards: ShardId(3).into(), from: life(from, 1), to: life("e", 1) }],
    };
    let plan = |from: &str| of_cause(RebalanceCause::Join, from);
    let planned_for = |cause, from: &str| {
        let Command::RebalanceShards { plan, cause, moves } = of_cause(cause, from) else { unreachable!("it is one") };
        TopologyEvent::from(Event::RebalancingTriggered { plan, cause, moves })
    };
    let planned = |from: &str| planned_for(RebalanceCause::Join, from);
    let unserved = RebalanceCause::Unserved;
    for wish in [Wish::Pause, Wish::Cancel] {
        let order = || Event::RebalancingOrdered { order: ordered(wish, 1) }.into();
        let cluster = || [cluster_of("abcde"), vec![draining("b"), suspected("c"), relieved("c"), order()]].concat();
        given::<Cluster>(cluster()).when(plan("a")).then_refused(Refusal::RebalancePaused { node: life("a", 1) });
        given::<Cluster>(cluster()).when(plan("b")).then([planned("b")]);
        given::<Cluster>(cluster()).when(plan("c")).then([planned("c")]);
        given::<Cluster>(cluster()).when(of_cause(unserved, "a")).then([planned_for(unserved, "a")]);
        let resumed = Event::RebalancingOrdered { order: ordered(Wish::Resume, 2) }.into();
        given::<Cluster>([cluster(), vec![resumed]].concat()).when(plan("a")).then([planned("a")]);
    }
}

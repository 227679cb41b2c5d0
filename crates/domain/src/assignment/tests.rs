//! The assignment's rules, as given/when/then.

use super::{
    AssignmentCommand as Command, AssignmentEvent as Event, AssignmentRefusal as Refusal, CancelReason, Grant,
    PlannedMove, ShardAssignment, ShardState,
};
use crate::cluster::{ClusterEvent, ClusterSettings, RebalanceCause};
use crate::ids::{ClusterUid, Epoch, Incarnation, PlanId, ShardCount, ShardId, ShardSet};
use crate::testing::{given, life};
use crate::topology::TopologyEvent;

fn shards(text: &str) -> ShardSet {
    text.parse().expect("the test writes shard sets validly")
}

fn created() -> TopologyEvent {
    let settings = ClusterSettings { shards: ShardCount::new(8).expect("a power of two"), ..Default::default() };
    ClusterEvent::ClusterCreated { uid: ClusterUid(7), settings }.into()
}

fn assigned(set: &str, to: &str) -> TopologyEvent {
    Event::ShardAssigned { shards: shards(set), to: life(to, 1) }.into()
}

fn started(set: &str, from: &str, to: &str) -> TopologyEvent {
    Event::ShardMigrationStarted { shards: shards(set), from: life(from, 1), to: life(to, 1) }.into()
}

fn lives(names: &[&str]) -> Vec<Incarnation> {
    names.iter().map(|name| life(name, 1).incarnation).collect()
}

fn planned(set: &str, from: &str, to: &str) -> PlannedMove {
    PlannedMove { shards: shards(set), from: life(from, 1), to: life(to, 1) }
}

fn assign(set: &str, to: &str, active: &[&str], living: &[&str]) -> Command {
    let grants = vec![Grant { shards: shards(set), to: life(to, 1) }];
    Command::AssignShards { grants, active: lives(active), living: lives(living) }
}

/// Everything at `a`, as of epoch 2.
fn all_at_a() -> Vec<TopologyEvent> {
    vec![created(), assigned("0-7", "a")]
}

#[test]
fn orphans_are_assigned_to_active_nodes_only() {
    given::<ShardAssignment>([created()]).when(assign("0-7", "a", &["a"], &["a"])).then([assigned("0-7", "a")]);
    given::<ShardAssignment>([created()])
        .when(assign("7", "b", &["a"], &["a", "b"]))
        .then_refused(Refusal::NodeNotActive { shard: ShardId(7), node: life("b", 1) });
}

#[test]
fn a_shard_with_a_living_owner_is_moved_not_taken() {
    given::<ShardAssignment>(all_at_a())
        .when(assign("3", "b", &["a", "b"], &["a", "b"]))
        .then_refused(Refusal::HasOwner { shard: ShardId(3) });
    given::<ShardAssignment>(all_at_a()).when(assign("3", "b", &["b"], &["b"])).then([assigned("3", "b")]);
}

#[test]
fn a_shard_that_does_not_exist_is_refused() {
    given::<ShardAssignment>(all_at_a())
        .when(assign("8", "a", &["a"], &["a"]))
        .then_refused(Refusal::NoSuchShard { shard: ShardId(8), shards: 8 });
}

#[test]
fn a_move_begins_at_the_owner_and_ends_at_an_active_node() {
    let begin = |step, active: &[&str]| Command::RebalanceFromTopology { moves: vec![step], active: lives(active) };
    given::<ShardAssignment>(all_at_a())
        .when(begin(planned("1-2", "a", "b"), &["a", "b"]))
        .then([started("1-2", "a", "b")]);
    given::<ShardAssignment>(all_at_a())
        .when(begin(planned("1", "b", "a"), &["a", "b"]))
        .then_refused(Refusal::NotOwner { shard: ShardId(1), node: life("b", 1) });
    given::<ShardAssignment>(all_at_a())
        .when(begin(planned("1", "a", "b"), &["a"]))
        .then_refused(Refusal::NodeNotActive { shard: ShardId(1), node: life("b", 1) });
    given::<ShardAssignment>(all_at_a())
        .when(begin(planned("1", "a", "a"), &["a"]))
        .then_refused(Refusal::AlreadyThere { shard: ShardId(1), node: life("a", 1) });
}

#[test]
fn a_shard_on_its_way_is_served_by_its_source_under_its_old_epoch() {
    let state = given::<ShardAssignment>([all_at_a(), vec![started("1", "a", "b")]].concat()).state();
    let [a, b] = [life("a", 1).incarnation, life("b", 1).incarnation];
    let expected = ShardState::Draining { from: a, to: b, epoch: Epoch(2), drain_epoch: Epoch(3) };
    assert_eq!(state.shard(ShardId(1)), expected);
    assert_eq!((state.owned_by(a), state.owned_by(b), state.moving()), (8, 0, 1));
}

#[test]
fn only_what_was_released_under_the_right_epoch_is_moved() {
    let history = [all_at_a(), vec![started("1-2", "a", "b")]].concat();
    let complete = |set: &str, epoch, active: &[&str]| Command::CompleteMigration {
        shards: shards(set),
        from: life("a", 1),
        to: life("b", 1),
        drain_epoch: Epoch(epoch),
        active: lives(active),
    };
    let migrated = Event::ShardMigrated { shards: shards("2"), from: life("a", 1), to: life("b", 1) };
    given::<ShardAssignment>(history.clone()).when(complete("2", 3, &["a", "b"])).then([migrated.into()]);
    for (set, epoch, shard) in [("2", 2, 2), ("5", 3, 5)] {
        given::<ShardAssignment>(history.clone())
            .when(complete(set, epoch, &["a", "b"]))
            .then_refused(Refusal::NotMoving { shard: ShardId(shard) });
    }
    given::<ShardAssignment>(history)
        .when(complete("1", 3, &["a"]))
        .then_refused(Refusal::NodeNotActive { shard: ShardId(1), node: life("b", 1) });
}

#[test]
fn a_move_that_is_given_up_leaves_the_shard_where_it_was_under_a_new_epoch() {
    let history = [all_at_a(), vec![started("1", "a", "b")]].concat();
    let reason = CancelReason::DestinationGone;
    let cancel =
        |set: &str| Command::CancelMigration { shards: shards(set), from: life("a", 1), to: life("b", 1), reason };
    let failed: TopologyEvent =
        Event::ShardMigrationFailed { shards: shards("1"), from: life("a", 1), to: life("b", 1), reason }.into();
    given::<ShardAssignment>(history.clone()).when(cancel("1")).then([failed.clone()]);
    given::<ShardAssignment>(history.clone()).when(cancel("2")).then_refused(Refusal::NotMoving { shard: ShardId(2) });
    let state = given::<ShardAssignment>([history, vec![failed]].concat()).state();
    let expected = ShardState::Owned { owner: life("a", 1).incarnation, epoch: Epoch(4) };
    assert_eq!(state.shard(ShardId(1)), expected);
}

#[test]
fn a_plans_moves_wait_until_they_begin_and_go_with_the_nodes_they_need() {
    let triggered: TopologyEvent = ClusterEvent::RebalancingTriggered {
        plan: PlanId(3),
        cause: RebalanceCause::Join,
        moves: vec![planned("1", "a", "b"), planned("2", "a", "c"), planned("3", "b", "c")],
    }
    .into();
    let drain: TopologyEvent = ClusterEvent::NodeDraining { node: life("b", 1) }.into();
    let fail: TopologyEvent =
        ClusterEvent::NodeFailed { node: life("b", 1), reason: crate::cluster::FailureReason::Silent }.into();
    let pending = |history: Vec<TopologyEvent>| -> Vec<u16> {
        let state = given::<ShardAssignment>([all_at_a(), vec![triggered.clone()], history].concat()).state();
        state.pending().map(|(shard, ..)| shard.0).collect()
    };
    assert_eq!(pending(vec![]), [1, 2, 3]);
    assert_eq!(pending(vec![started("1", "a", "b")]), [2, 3]);
    assert_eq!(pending(vec![drain]), [2, 3], "a draining node is given nothing and still gives");
    assert_eq!(pending(vec![fail]), [2], "a failed node neither gives nor is given");
}

#[test]
fn a_shard_nobody_can_have_is_said_to_be_orphaned() {
    let orphaned = Event::ShardsOrphaned { shards: shards("0-7") };
    given::<ShardAssignment>(all_at_a())
        .when(Command::ReleaseShard { shards: shards("0-7") })
        .then([orphaned.clone().into()]);
    let state = given::<ShardAssignment>([all_at_a(), vec![orphaned.into()]].concat()).state();
    assert_eq!((state.orphaned(), state.owned_by(life("a", 1).incarnation)), (8, 0));
}

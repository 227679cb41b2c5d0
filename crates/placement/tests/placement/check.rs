//! No strategy, however wrong, gets an illegal move past the check.

use aether_domain::{NodeId, ShardId};
use aether_placement::{InFlight, Move, MoveClass, NodeIdx, PlacementPlan, PlanFault, PlanReport};

use crate::world::World;

const N0: Option<NodeIdx> = Some(NodeIdx(0));
const N2: Option<NodeIdx> = Some(NodeIdx(2));

/// Shards 0 and 1 are on `n0`, 2 on `n2` which drains, 3 has no owner, 4 is on its way from `n0` to `n1`.
fn world() -> World {
    let mut world = World::new(5, &[1, 1, 1]).draining(2);
    world.current = vec![N0, N0, N2, None, N0];
    world.in_flight = vec![InFlight { shard: ShardId(4), to: NodeIdx(1) }];
    world
}

fn step(shard: u16, from: Option<NodeIdx>, to: u16, class: MoveClass) -> Move {
    Move { shard: ShardId(shard), from, to: NodeIdx(to), class }
}

/// Exactly these moves in exactly this order, as a careless strategy would give them.
fn proposal(moves: Vec<Move>) -> PlacementPlan {
    PlacementPlan { moves, report: PlanReport::default() }
}

#[test]
fn a_legal_plan_gives_its_moves_in_its_order() {
    use MoveClass::{Balance, Drain, Orphan};
    let moves = vec![step(3, None, 0, Orphan), step(2, N2, 1, Drain), step(1, N0, 1, Balance)];
    let checked = proposal(moves.clone()).check(&world().input()).expect("legal");
    assert_eq!(checked.moves(), moves);
    assert_eq!(checked.into_moves(), moves);
}

#[test]
fn every_fault_is_found_and_named() {
    use MoveClass::{Balance, Drain, Orphan};
    let adopt = step(3, None, 0, Orphan);
    let shard = |number| ShardId(number);
    for (moves, fault) in [
        (vec![], PlanFault::LeftOrphan { shard: shard(3) }),
        (vec![adopt, step(5, N0, 1, Balance)], PlanFault::UnknownShard { shard: shard(5), shards: 5 }),
        (vec![adopt, step(1, N0, 3, Balance)], PlanFault::UnknownTarget { shard: shard(1), to: NodeIdx(3), nodes: 3 }),
        (
            vec![step(3, None, 2, Orphan)],
            PlanFault::TargetDraining { shard: shard(3), node: NodeId::new("n2").expect("a node id") },
        ),
        (vec![adopt, step(1, N2, 1, Balance)], PlanFault::NotTheOwner { shard: shard(1), from: N2, owner: N0 }),
        (vec![adopt, step(1, N0, 0, Balance)], PlanFault::Nowhere { shard: shard(1) }),
        (vec![adopt, step(4, N0, 1, Balance)], PlanFault::InFlight { shard: shard(4) }),
        (vec![adopt, step(1, N0, 1, Balance), step(1, N0, 1, Balance)], PlanFault::Twice { shard: shard(1) }),
        (vec![adopt, step(2, N2, 1, Balance)], PlanFault::WrongClass { shard: shard(2), said: Balance, actual: Drain }),
        (vec![step(1, N0, 1, Balance), adopt], PlanFault::OutOfOrder { shard: shard(3), class: Orphan }),
    ] {
        assert_eq!(proposal(moves).check(&world().input()), Err(fault));
    }
}

#[test]
fn without_a_receiver_the_only_legal_plan_is_to_do_nothing() {
    let world = world().draining(0).draining(1);
    assert!(proposal(vec![]).check(&world.input()).expect("legal").moves().is_empty());
    let fault = proposal(vec![step(3, None, 0, MoveClass::Orphan)]).check(&world.input());
    assert!(matches!(fault, Err(PlanFault::TargetDraining { .. })), "{fault:?}");
}

#[test]
fn a_plan_puts_its_moves_in_order_and_counts_them() {
    use MoveClass::{Balance, Drain, Orphan};
    let plan = PlacementPlan::new(
        vec![step(1, N0, 1, Balance), step(0, N0, 1, Balance), step(2, N2, 1, Drain), step(3, None, 0, Orphan)],
        3,
    );
    assert_eq!(plan.report, PlanReport { forced: 2, voluntary: 2, optimum: 3, max_degree: 3 });
    assert_eq!(
        plan.describe(&world().nodes),
        "orphan  - -> n0: 3\n\
         drain   n2 -> n1: 2\n\
         balance n0 -> n1: 0-1\n\
         forced 2, voluntary 2, optimum 3, max degree 3\n"
    );
}

//! Shards that their owner says it cannot serve are moved to others.

use aether_domain::ShardSet;
use aether_domain::orders::Wish;

use super::*;

/// A node's host finds that it cannot serve those of its shards, or any more of them.
fn cannot_serve(world: &mut World, at: usize, unserved: &ShardSet) {
    let health = Health { unserved: unserved.clone(), ..Health::default() };
    world.queue.push_back((at, Input::Carries(Load::default(), health)));
    world.drain_queue();
}

/// The first so many shards of a node.
fn shards_of(world: &World, at: usize, count: usize) -> ShardSet {
    let topology = world.nodes[at].machine.topology();
    let me = world.nodes[at].machine.me().incarnation;
    let mine = topology.assignment().iter().filter(|(_, state)| state.owner() == Some(me));
    mine.map(|(shard, _)| shard).take(count).collect()
}

/// Whether none of those shards is that node's, nor on its way.
fn are_elsewhere(world: &World, shards: &ShardSet, at: usize) -> bool {
    let (topology, me) = (world.nodes[at].machine.topology(), world.nodes[at].machine.me().incarnation);
    shards
        .iter()
        .all(|shard| matches!(topology.assignment().shard(shard), ShardState::Owned { owner, .. } if owner != me))
}

#[test]
fn what_an_owner_cannot_serve_is_moved_to_others_also_while_redistribution_is_paused_or_cancelled() {
    for (wish, leads) in [(None, false), (None, true), (Some(Wish::Pause), false), (Some(Wish::Cancel), true)] {
        let mut world = three(Profile::Default);
        if let Some(wish) = wish {
            world.wish(wish);
            world.until(SOON, "it is taken up", |world| world.is_taken_up(wish));
        }
        let leader = world.leader().expect("a leader");
        let at = if leads { leader } else { (leader + 1) % 3 };
        let (shards, before) = (shards_of(&world, at, 3), world.log.len());
        cannot_serve(&mut world, at, &shards);
        let took = world.until(SOON, "they are elsewhere", |world| are_elsewhere(world, &shards, at));
        assert!(took < Duration::from_millis(1_500), "with its next heartbeat: {took:?}");
        assert_eq!(plan_causes(&world.log[before..])[0], RebalanceCause::Unserved, "{}", world.describe());
        let cause = format!("{} cannot serve 3 of its shards", world.nodes[at].machine.me().node);
        assert!(world.log[before..].iter().any(|stored| stored.entry.cause.contains(&cause)), "{}", world.describe());
        if wish.is_some() {
            assert_eq!(plan_causes(&world.log[before..]).len(), 1, "nothing else moves: {}", world.describe());
        }
        assert!(world.refusals.is_empty(), "{:?}", world.refusals);
    }
}

#[test]
fn a_shard_that_nobody_can_serve_goes_round_slowly_and_no_more_than_it_alone() {
    let mut world = three(Profile::Default);
    let (shards, before) = (shards_of(&world, 0, 1), world.log.len());
    for _ in 0..30 {
        (0..3).for_each(|at| cannot_serve(&mut world, at, &shards));
        pass(&mut world, Duration::from_secs(1));
    }
    let causes = plan_causes(&world.log[before..]);
    let tries = causes.iter().filter(|cause| **cause == RebalanceCause::Unserved).count();
    assert!((2..=4).contains(&tries), "each once in ten seconds: {causes:?}");
    for (shard, times) in hands_changed(&world.log[before..]) {
        assert!(shards.contains(shard) || times <= tries, "{shard} has moved {times} times");
    }
    (0..3).for_each(|at| cannot_serve(&mut world, at, &ShardSet::default()));
    world.until(SOON, "rest", |world| world.settled(3));
}

#[test]
fn where_nobody_else_can_be_given_a_shard_it_stays() {
    let mut world = World::new(Profile::Default);
    world.start("n1");
    world.until(SOON, "it leads", |world| world.settled(1));
    let before = world.log.len();
    let shards = shards_of(&world, 0, 2);
    cannot_serve(&mut world, 0, &shards);
    pass(&mut world, SOON);
    assert_eq!(world.log.len(), before, "{}", world.describe());
    world.start("n2");
    world.until(SOON, "somebody else has them", |world| are_elsewhere(world, &shards, 0));
}

#[test]
fn a_new_leader_goes_on_with_what_is_not_served() {
    let mut world = three(Profile::Default);
    let leader = world.leader().expect("a leader");
    let at = (leader + 1) % 3;
    let shards = shards_of(&world, at, 5);
    world.releases_max = 0;
    cannot_serve(&mut world, at, &shards);
    world.until(SOON, "they are asked back", |world| world.nodes[at].machine.topology().assignment().moving() > 0);
    world.dies(leader);
    world.releases_max = usize::MAX;
    world.until(SOON, "another leads", |world| world.leader().is_some());
    (0..3).for_each(|at| world.release(at));
    world.drain_queue();
    world.until(SOON, "they are elsewhere", |world| are_elsewhere(world, &shards, at) && world.settled(2));
    let moved = hands_changed(&world.log);
    assert!(shards.iter().all(|shard| moved.contains_key(&shard)), "{}", world.describe());
}

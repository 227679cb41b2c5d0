//! Plans whose leaders, sources and destinations do not stay: what was planned is done once, by whoever leads.

use super::*;

/// What becomes of a leader that has just written an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It cannot reach the log any more, and everything else goes on.
    CutOff,
    /// Its process dies before the store has answered it.
    Dies,
}

/// Where every shard is, by the names of the nodes.
fn map(world: &World) -> BTreeMap<ShardId, String> {
    let topology = world.nodes[world.leader().expect("a leader")].machine.topology();
    let owner = |shard| topology.owner(shard).map_or("nobody".to_owned(), |(node, _)| node.node.to_string());
    topology.assignment().iter().map(|(shard, _)| (shard, owner(shard))).collect()
}

/// Four nodes with everything, and a fifth that has just asked to join; where the log ended before.
fn four_and_one() -> (World, usize) {
    let mut world = World::new(Profile::Default);
    for nth in 1..=4 {
        world.start(&format!("n{nth}"));
    }
    world.until(SOON, "four balanced nodes", |world| world.settled(4));
    // Sources take their time, so that a plan has many steps.
    world.releases_max = 4;
    let before = world.log.len();
    world.start("n5");
    (world, before)
}

/// Releases a few shards at a time until all is at rest. Each of `ends` is the number of an entry behind `before`, and what
/// then becomes of whoever has written it.
fn play(world: &mut World, before: usize, mut ends: Vec<(usize, End)>, active: usize) -> Vec<usize> {
    let mut gone = Vec::new();
    ends.reverse();
    world.stops_writing_at = ends.last().map(|(step, _)| before + step);
    let deadline = world.now + Duration::from_secs(120);
    while !ends.is_empty() || !world.settled(active) || world.leader().is_none() {
        assert!(world.now < deadline, "no rest after {gone:?}: {}", world.describe());
        pass(world, Duration::from_millis(10));
        if let Some(writer) = world.stopped_writing.take() {
            let (_, end) = ends.pop().expect("it was asked for");
            world.stops_writing_at = ends.last().map(|(step, _)| before + step);
            gone.push(writer);
            match end {
                End::CutOff => {
                    world.until(SOON, "another leads", |world| world.leader().is_some_and(|at| at != writer));
                    world.log_away.clear();
                }
                End::Dies => world.dies(writer),
            }
        }
        (0..world.nodes.len()).for_each(|at| world.release(at));
        world.drain_queue();
    }
    gone
}

/// The plans that begin in these entries: each one's moves, by shard.
fn plans(entries: &[StoredEntry]) -> Vec<BTreeMap<ShardId, (NodeRef, NodeRef)>> {
    let triggered = cluster_events(entries).filter_map(|event| match event {
        ClusterEvent::RebalancingTriggered { moves, .. } => Some(moves),
        _ => None,
    });
    let by_shard = triggered.map(|moves| {
        let shards =
            moves.iter().flat_map(|m| m.shards.iter().map(move |shard| (shard, (m.from.clone(), m.to.clone()))));
        shards.collect()
    });
    by_shard.collect()
}

#[test]
fn a_leader_cut_off_after_any_step_of_a_plan_leaves_the_same_map_and_nothing_is_moved_twice() {
    let (mut calm, before) = four_and_one();
    play(&mut calm, before, Vec::new(), 5);
    let (steps, goal) = (calm.log.len() - before, map(&calm));
    assert!(steps >= 10, "{steps} steps: {}", calm.describe());
    // After the last one nobody has anything to write that a leader could miss.
    for step in 1..steps {
        let (mut world, before) = four_and_one();
        let gone = play(&mut world, before, vec![(step, End::CutOff)], 5);
        assert_eq!(gone.len(), 1, "after step {step}");
        assert_eq!(map(&world), goal, "after step {step}: {}", world.describe());
        let entries = &world.log[before..];
        assert_eq!(plans(entries).len(), 1, "after step {step}: {}", world.describe());
        assert!(hands_changed(entries).values().all(|times| *times == 1), "after step {step}: {}", world.describe());
    }
}

#[test]
fn a_leader_that_dies_after_any_step_of_a_plan_leaves_the_others_moves_done_as_planned_and_none_twice() {
    let (mut calm, before) = four_and_one();
    play(&mut calm, before, Vec::new(), 5);
    let steps = calm.log.len() - before;
    for step in 1..=steps {
        let (mut world, before) = four_and_one();
        let leader = world.leader().expect("a leader");
        let dead = world.nodes[leader].machine.me().clone();
        play(&mut world, before, vec![(step, End::Dies)], 4);
        let entries = &world.log[before..];
        let told = format!("after step {step}: {}", world.describe());
        assert!(hands_changed(entries).values().all(|times| *times == 1), "{told}");
        let map = map(&world);
        for (shard, (from, to)) in plans(entries).into_iter().flatten() {
            assert!(from == dead || map[&shard] == to.node.as_str(), "{shard} was to go to {to}; {told}");
        }
    }
}

#[test]
fn a_leader_replaced_five_times_in_one_plan_changes_nothing_about_it() {
    let (mut calm, before) = four_and_one();
    play(&mut calm, before, Vec::new(), 5);
    let (mut world, before) = four_and_one();
    let ends = (0..5).map(|nth| (2 + 3 * nth, End::CutOff)).collect();
    let gone = play(&mut world, before, ends, 5);
    assert_eq!(gone.len(), 5);
    assert_eq!(map(&world), map(&calm), "{}", world.describe());
    let entries = &world.log[before..];
    let terms: std::collections::BTreeSet<_> = entries.iter().map(|stored| stored.entry.term).collect();
    assert!(terms.len() >= 6, "{terms:?}");
    assert_eq!(plans(entries).len(), 1);
    assert!(hands_changed(entries).values().all(|times| *times == 1), "{}", world.describe());
}

#[test]
fn a_release_that_does_not_come_in_time_leaves_no_shard_without_an_owner_and_the_move_is_made_later() {
    let mut world = three(Profile::Default);
    let before = world.log.len();
    world.releases_max = 0;
    world.start("n4");
    let given_up = |world: &World| {
        let failed =
            |stored: &StoredEntry| stored.entry.events.iter().any(|event| event.name() == "ShardMigrationFailed");
        world.log[before..].iter().any(failed)
    };
    let began = world.now;
    while !given_up(&world) {
        pass(&mut world, Duration::from_millis(10));
        assert!(world.now.since(began) < Duration::from_secs(10), "{}", world.describe());
        let topology = world.nodes[world.leader().expect("a leader")].machine.topology();
        assert_eq!(topology.assignment().orphaned(), 0);
    }
    let topology = world.nodes[world.leader().expect("a leader")].machine.topology();
    assert_eq!((topology.assignment().orphaned(), handed_over(&world.log[before..])), (0, 0));
    world.releases_max = usize::MAX;
    world.until(SOON, "four balanced nodes", |world| world.settled(4));
    assert_eq!(handed_over(&world.log[before..]), 256, "each move once: {}", world.describe());
}

#[test]
fn a_node_that_joins_and_dies_again_and_again_does_not_keep_another_from_its_part() {
    for every in [150, 280, 450, 900, 3_000].map(Duration::from_millis) {
        for certified in [true, false] {
            let mut world = three(Profile::Default);
            let began = world.now;
            let newcomer = world.start("n9");
            let mut looping = world.start("n4");
            let part = |world: &World| {
                let viewer = world.leader().map(|at| world.shards_of(at));
                viewer.and_then(|counts| counts.get("n9").copied()).unwrap_or_default()
            };
            while part(&world) < 1024 / 5 - 1 {
                pass(&mut world, every);
                let told = format!("dies every {every:?}, certified: {certified}: {}", world.describe());
                assert!(world.now.since(began) < Duration::from_secs(20), "{told}");
                assert!(world.nodes[newcomer].alive);
                if world.nodes[looping].alive {
                    if certified {
                        world.dies(looping);
                    } else {
                        world.nodes[looping].alive = false;
                    }
                }
                looping = world.start("n4");
            }
            world.until(SOON * 2, "it stays, and all have a part", |world| world.settled(5));
        }
    }
}

#[test]
fn twenty_nodes_restarted_at_once_are_all_back_with_their_parts() {
    for (nodes, certified) in [(20, false), (20, true), (30, false), (30, true)] {
        let mut world = World::new(Profile::Default);
        for nth in 1..=nodes {
            world.start(&format!("n{nth:02}"));
        }
        world.until(SOON * 2, "balanced nodes", |world| world.settled(nodes));
        let before = world.log.len();
        for at in 0..20 {
            if certified {
                world.dies(at);
            } else {
                world.nodes[at].alive = false;
            }
        }
        pass(&mut world, Duration::from_millis(300));
        for nth in 1..=20 {
            world.start(&format!("n{nth:02}"));
        }
        let took = world.until(SOON * 2, "all have a part", |world| world.settled(nodes));
        let told = format!("{nodes} nodes, certified: {certified}, {took:?}: {}", world.describe());
        assert!(took < Duration::from_secs(15), "{told}");
        let plans = plans(&world.log[before..]).len();
        assert!(plans <= 2, "{plans} plans; {told}");
        let most = hands_changed(&world.log[before..]).into_values().max();
        assert!(most <= Some(2), "{most:?}; {told}");
    }
}

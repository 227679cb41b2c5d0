//! Moves begin in waves: from no source and to no destination more at once than may be.

use super::*;

#[test]
fn no_destination_is_sent_more_than_32_shards_at_once_and_they_come_in_waves() {
    let mut world = World::new(Profile::Default);
    for nth in 1..=8 {
        world.start(&format!("n{nth}"));
    }
    world.until(SOON, "eight balanced nodes", |world| world.settled(8));
    world.releases_max = 1;
    let newcomer = world.start("n9");
    let before = world.log.len();
    let mut most = 0;
    while !world.settled(9) {
        let until = world.now + Duration::from_millis(10);
        world.until(SOON, "a moment", |world| world.now >= until);
        most = most.max(world.nodes[newcomer].machine.topology().assignment().moving());
        (0..8).for_each(|at| world.release(at));
        world.drain_queue();
    }
    assert_eq!(most, 32, "a full wave and no more");
    let begins = |stored: &&StoredEntry| {
        let begin = |event: &TopologyEvent| event.name() == "ShardMigrationStarted";
        stored.entry.events.iter().any(begin)
    };
    let waves = world.log[before..].iter().filter(begins).count();
    // 113 shards: 32, and then 16 or a few more each time.
    assert!((4..=7).contains(&waves), "{waves} waves");
}

#[test]
fn an_operator_may_allow_fewer_moves_at_once_in_all_and_for_each_source_and_destination() {
    use aether_domain::policy::{MoveCaps, PlacementPolicy};
    let mut world = World::new(Profile::Default);
    for nth in 1..=4 {
        world.start(&format!("n{nth}"));
    }
    world.until(SOON, "four balanced nodes", |world| world.settled(4));
    let caps = MoveCaps { total: 6, per_source: 3, per_target: 4, ..MoveCaps::default() };
    world.ask_for(PlacementPolicy { caps, ..PlacementPolicy::default() });
    world.until(SOON, "the caps are adopted", |world| {
        let leader = world.leader().expect("a leader");
        world.nodes[leader].machine.topology().cluster().policy().caps == caps
    });
    world.releases_max = 1;
    world.start("n5");
    world.start("n6");
    let mut most = [0; 3];
    while !world.settled(6) {
        let until = world.now + Duration::from_millis(10);
        world.until(SOON, "a moment", |world| world.now >= until);
        let viewer = world.leader().expect("a leader");
        let (mut sent, mut received) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
        for (_, state) in world.nodes[viewer].machine.topology().assignment().iter() {
            if let ShardState::Draining { from, to, .. } = state {
                *sent.entry(from).or_default() += 1;
                *received.entry(to).or_default() += 1;
            }
        }
        let most_of = |counts: &BTreeMap<_, usize>| counts.values().copied().max().unwrap_or(0);
        for (most, now) in most.iter_mut().zip([sent.values().sum(), most_of(&sent), most_of(&received)]) {
            *most = (*most).max(now);
        }
        (0..6).for_each(|at| world.release(at));
        world.drain_queue();
    }
    assert_eq!(most, [6, 3, 4], "in all, from one node, to one node: as many as may be and no more");
}

#[test]
fn an_operator_may_allow_fewer_moves_to_set_out_a_second() {
    use aether_domain::policy::{MoveCaps, PlacementPolicy};
    let mut world = World::new(Profile::Default);
    for name in ["n1", "n2", "n3"] {
        world.start(name);
    }
    world.until(SOON, "three balanced nodes", |world| world.settled(3));
    let caps = MoveCaps { per_second: 40, ..MoveCaps::default() };
    world.ask_for(PlacementPolicy { caps, ..PlacementPolicy::default() });
    let began = world.now;
    world.start("n4");
    world.until(SOON * 2, "four balanced nodes", |world| world.settled(4));
    // 256 shards, 40 a second.
    let took = world.now.since(began);
    assert!((Duration::from_secs(6)..Duration::from_secs(8)).contains(&took), "{took:?}");
    assert!(world.refusals.is_empty(), "{:?}", world.refusals);
}

#[test]
fn a_move_that_is_alone_waits_for_messages_only_and_others_for_those_that_end_soon_after() {
    use aether_domain::policy::{Pin, PlacementPolicy};
    // How many shards their source releases before it is asked again, and how long the move takes at the least and most.
    for (shards, at_once, least, most) in [(1, 1, 0, 0), (7, 7, 0, 0), (2, 1, 3, 6)] {
        let mut world = World::new(Profile::Default);
        for name in ["n1", "n2", "n3"] {
            world.start(name);
        }
        world.until(SOON, "three balanced nodes", |world| world.settled(3));
        let viewer = world.leader().expect("a leader");
        let topology = world.nodes[viewer].machine.topology().clone();
        let source = |shard: &ShardId| topology.owner(*shard).is_some_and(|(node, _)| node.node.as_str() == "n2");
        let of_n2 = topology.assignment().iter().map(|(shard, _)| shard).filter(source).take(shards);
        let pins = of_n2.map(|shard| Pin { shard, node: NodeId::new("n3").expect("a name") }).collect();
        world.releases_max = at_once;
        let before = world.log.len();
        world.ask_for(PlacementPolicy { pins, ..PlacementPolicy::default() });
        let has = |world: &World, name| {
            let mut events = world.log[before..].iter().flat_map(|stored| &stored.entry.events);
            events.any(|event: &TopologyEvent| event.name() == name)
        };
        world.until(SOON, "the move", |world| has(world, "ShardMigrationStarted"));
        let took = world.until(SOON, "its end", |world| has(world, "ShardMigrated"));
        let bounds = Duration::from_millis(least)..=Duration::from_millis(most);
        assert!(bounds.contains(&took), "{shards} shards, {at_once} released at once: {took:?}");
    }
}

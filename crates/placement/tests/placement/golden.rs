//! Plans as text, the same on every machine and in every release. A change here is a new strategy version.

use aether_domain::policy::ZoneMode;
use aether_domain::{NodeId, ShardId};
use aether_placement::{InFlight, NodeIdx, PlacementStrategy, StickyBalanced};
use twox_hash::XxHash3_64;

use crate::world::World;

fn check(world: World, expected: &str) -> World {
    let plan = StickyBalanced.plan(&world.input()).expect("somebody is receiving");
    let text = plan.describe(&world.nodes);
    assert!(text == expected, "the plan is another:\n{text}instead of:\n{expected}");
    let moves = plan.check(&world.input()).expect("legal").into_moves();
    world.committed(&moves)
}

#[test]
fn the_life_of_a_small_cluster() {
    let world = check(
        World::new(24, &[1, 1, 1]),
        "\
         orphan  - -> n0: 0,7,9-11,13,17,21\n\
         orphan  - -> n1: 1-4,12,15-16,23\n\
         orphan  - -> n2: 5-6,8,14,18-20,22\n\
         forced 24, voluntary 0, optimum 24, max degree 8\n",
    );
    let world = check(
        world.joined("n3", 1),
        "\
         balance n0 -> n3: 7,11\n\
         balance n1 -> n3: 3,12\n\
         balance n2 -> n3: 19-20\n\
         forced 0, voluntary 6, optimum 6, max degree 6\n",
    );
    let world = check(
        world.joined("n4", 2).draining(1),
        "\
         drain   n1 -> n4: 1-2,4,15-16,23\n\
         balance n0 -> n4: 13\n\
         balance n2 -> n4: 14\n\
         balance n3 -> n4: 20\n\
         forced 6, voluntary 3, optimum 9, max degree 9\n",
    );
    let world = check(
        world.failed(0),
        "\
         orphan  - -> n2: 0\n\
         orphan  - -> n3: 21\n\
         orphan  - -> n4: 9-10,17\n\
         forced 5, voluntary 0, optimum 5, max degree 3\n",
    );
    check(
        world,
        "\
         forced 0, voluntary 0, optimum 0, max degree 0\n",
    );
}

#[test]
fn a_drain_around_moves_under_way() {
    let mut world = World::new(12, &[1, 1, 1, 1]);
    world.current = (0..12).map(|shard| Some(NodeIdx(shard % 3))).collect();
    world.current[11] = None;
    world.in_flight =
        vec![InFlight { shard: ShardId(0), to: NodeIdx(3) }, InFlight { shard: ShardId(4), to: NodeIdx(0) }];
    check(
        world.draining(2),
        "\
         orphan  - -> n3: 11\n\
         drain   n2 -> n1: 2\n\
         drain   n2 -> n3: 5,8\n\
         forced 4, voluntary 0, optimum 4, max degree 3\n",
    );
}

#[test]
fn zones_that_come_and_go_and_differ_in_size() {
    let world = check(
        World::new(24, &[1, 1, 2, 1]).zoned(&["east", "east", "east", "west"]),
        "\
         orphan  - -> n0: 0,7,21\n\
         orphan  - -> n1: 4,13,23\n\
         orphan  - -> n2: 5-6,9-10,20,22\n\
         orphan  - -> n3: 1-3,8,11-12,14-19\n\
         forced 24, voluntary 0, optimum 24, max degree 12\n",
    );
    let mut joined = world.joined("n4", 3).joined("n5", 1);
    joined.nodes[4].zone = joined.nodes[3].zone.clone();
    let world = check(
        joined,
        "\
         balance n0 -> n5: 7\n\
         balance n1 -> n5: 13\n\
         balance n2 -> n4: 5,20\n\
         balance n3 -> n4: 1-2,12,14\n\
         balance n3 -> n5: 3,8,16-19\n\
         forced 0, voluntary 14, optimum 14, max degree 10\n",
    );
    let world = check(
        world.failed(3).draining(2),
        "\
         orphan  - -> n1: 11\n\
         orphan  - -> n4: 15\n\
         drain   n2 -> n0: 6,10\n\
         drain   n2 -> n1: 22\n\
         drain   n2 -> n4: 9\n\
         forced 6, voluntary 0, optimum 6, max degree 4\n",
    );
    check(
        World { zones: ZoneMode::Ignored, ..world },
        "\
         balance n5 -> n4: 7,13,17,19\n\
         forced 0, voluntary 4, optimum 4, max degree 4\n",
    );
}

#[test]
fn pins_and_moves_under_way_in_zones() {
    let mut world = World::new(16, &[1, 1, 1, 1]).zoned(&["a", "b"]).pinned(3, "n0").pinned(4, "n3").pinned(5, "gone");
    world.current = (0..16).map(|shard| Some(NodeIdx(shard % 3))).collect();
    world.in_flight = vec![InFlight { shard: ShardId(0), to: NodeIdx(1) }];
    let world = check(
        world,
        "\
         rule    n1 -> n3: 4\n\
         balance n0 -> n3: 12\n\
         balance n1 -> n3: 7\n\
         balance n2 -> n3: 11\n\
         forced 1, voluntary 3, optimum 4, max degree 4\n",
    );
    check(
        (0..9).fold(world, |world, shard| if matches!(shard, 3..=5) { world } else { world.pinned(shard, "n2") }),
        "\
         rule    n0 -> n2: 6\n\
         rule    n1 -> n2: 1\n\
         rule    n3 -> n2: 7\n\
         balance n2 -> n0: 14\n\
         balance n2 -> n3: 5\n\
         forced 3, voluntary 2, optimum 5, max degree 3\n",
    );
}

#[test]
fn the_strategy_is_named_with_its_version() {
    assert_eq!(StickyBalanced.id().to_string(), "sticky-balanced/1");
}

/// The owners' ids, shard by shard, in one number.
fn digest(world: &World) -> u64 {
    let owners: Vec<&NodeId> = world.current.iter().flatten().map(|node| &world.nodes[node.index()].id).collect();
    let text: Vec<&str> = owners.into_iter().map(NodeId::as_str).collect();
    XxHash3_64::oneshot(text.join("\n").as_bytes())
}

#[test]
fn a_large_cluster_is_the_same_everywhere() {
    let fill = |world: World| {
        let moves = StickyBalanced.plan(&world.input()).expect("somebody is receiving").moves;
        world.committed(&moves)
    };
    let full = fill(World::new(1024, &[1; 100]));
    let changed = fill(full.clone().joined("late", 3).failed(17).draining(42));
    assert_eq!(format!("{:016x} {:016x}", digest(&full), digest(&changed)), "c97364925f4153a3 fa9a56724110ef93");
    let zoned = fill(changed.zoned(&["a", "b", "b", "c", "c", "c", ""]));
    let pinned = fill((0..100).fold(zoned.clone(), |world, shard| world.pinned(shard * 7, &format!("n{}", shard % 8))));
    assert_eq!(format!("{:016x} {:016x}", digest(&zoned), digest(&pinned)), "a2e123e54e0c7e32 27d2d7d26e0b8073");
}

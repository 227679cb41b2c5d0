//! Rolling upgrades: nodes that say another build, and who is given shards meanwhile.

use super::rolling::{at_most, come_back, drain, shards_at};
use super::*;

const NAMES: [&str; 5] = ["n01", "n02", "n03", "n04", "n05"];
/// Longer than whoever comes back waits if builds are the same.
const PAUSE: Duration = Duration::from_secs(15);

fn cluster() -> World {
    let mut world = World::new(Profile::Default);
    world.builds = NAMES.iter().map(|name| ((*name).to_owned(), "1.9.0".to_owned())).collect();
    for name in NAMES {
        world.start(name);
    }
    world.until(SOON * 4, "balanced nodes", |world| world.settled(NAMES.len()));
    world
}

/// Restarts that node with that build.
fn restart(world: &mut World, name: &str, build: &str) {
    drain(world, name);
    world.builds.insert(name.to_owned(), build.to_owned());
    come_back(world, name);
}

/// Where what that node had went when it drained: how many shards to whom.
fn drained_to(world: &mut World, name: &str) -> BTreeMap<String, usize> {
    let before = world.log.len();
    drain(world, name);
    let mut given = BTreeMap::new();
    for event in cluster_events(&world.log[before..]) {
        if let ClusterEvent::RebalancingTriggered { moves, .. } = event {
            for planned in moves.iter().filter(|planned| planned.from.node.as_str() == name) {
                *given.entry(planned.to.node.to_string()).or_default() += planned.shards.len();
            }
        }
    }
    given
}

#[test]
fn a_slow_upgrade_and_one_that_is_taken_back_hand_over_as_little_as_a_quick_restart() {
    for build in ["1.10.0", "1.8.0"] {
        let mut world = cluster();
        let before = world.log.len();
        for name in NAMES {
            restart(&mut world, name, build);
            pass(&mut world, PAUSE);
        }
        world.until(SOON * 2, "everybody has a part again", |world| world.settled(NAMES.len()));
        let moved = handed_over(&world.log[before..]);
        assert!(moved <= at_most(1024, NAMES.len()), "{build}: {moved}");
    }
}

#[test]
fn what_a_draining_node_has_goes_to_the_build_that_is_rolled_out() {
    let mut world = cluster();
    world.builds.insert("n06".to_owned(), "1.10.0".to_owned());
    come_back(&mut world, "n06");
    world.until(SOON, "its part", |world| world.settled(6));
    let had = shards_at(&world, "n01");
    assert_eq!(drained_to(&mut world, "n01"), BTreeMap::from([("n06".to_owned(), had)]));
    // Whoever leads next goes on so: it sees who is there, not who came.
    let leader = world.leader().expect("a leader");
    let name = world.nodes[leader].machine.me().node.to_string();
    restart(&mut world, &name, "1.10.0");
    let next = NAMES.into_iter().find(|old| *old != "n01" && *old != name).expect("there are five");
    let given = drained_to(&mut world, next);
    assert!(given.keys().all(|to| *to == name || to == "n06"), "{given:?}");
}

#[test]
fn an_upgrade_that_is_taken_back_prefers_what_it_is_taken_back_to() {
    let mut world = cluster();
    for name in ["n01", "n02", "n03"] {
        restart(&mut world, name, "1.10.0");
    }
    restart(&mut world, "n03", "1.9.0");
    let given = drained_to(&mut world, "n02");
    assert!(!given.contains_key("n01"), "it is next: {given:?}");
}

#[test]
fn a_single_node_of_the_incoming_build_is_given_no_more_than_twice_its_share() {
    let mut world = cluster();
    world.builds.insert("n06".to_owned(), "1.10.0".to_owned());
    come_back(&mut world, "n06");
    world.until(SOON, "its part", |world| world.settled(6));
    for name in ["n01", "n02", "n03"] {
        drain(&mut world, name);
        let share = 1024_usize.div_ceil(world.nodes.iter().filter(|node| node.alive).count());
        assert!(shards_at(&world, "n06") <= 2 * share.next_multiple_of(2), "{}", shards_at(&world, "n06"));
    }
}

#[test]
fn members_of_different_builds_all_have_their_part_once_nobody_comes_any_more() {
    let mut world = cluster();
    restart(&mut world, "n01", "1.10.0");
    pass(&mut world, Duration::from_secs(300));
    assert_eq!(shards_at(&world, "n01"), 0, "it waits for the next one to drain");
    let took = world.until(Duration::from_secs(400), "its part", |world| world.settled(5));
    assert!(took > Duration::from_secs(290), "{took:?}");
}

#[test]
fn an_old_node_that_fails_and_is_back_turns_no_roll_out_around() {
    let mut world = cluster();
    for name in ["n01", "n02"] {
        restart(&mut world, name, "1.10.0");
    }
    let at = world.nodes.iter().position(|node| node.alive && node.machine.me().node.as_str() == "n04");
    world.dies(at.expect("it lives"));
    come_back(&mut world, "n04");
    pass(&mut world, PAUSE);
    let given = drained_to(&mut world, "n03");
    assert!(given.keys().all(|to| to == "n01" || to == "n02"), "{given:?}");
}

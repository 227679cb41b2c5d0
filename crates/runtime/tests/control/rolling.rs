//! Rolling restarts: every node is drained, leaves and comes back, one after the other, and each shard moves about once.

use super::*;

const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn nodes(count: usize, profile: Profile) -> World {
    let mut world = World::new(profile);
    for nth in 1..=count {
        world.start(&format!("n{nth:02}"));
    }
    world.until(SOON * 4, "balanced nodes", |world| world.settled(count));
    world
}

fn is_active(world: &World, at: usize) -> bool {
    let me = world.nodes[at].machine.me();
    world.leader().is_some_and(|viewer| world.nodes[viewer].machine.topology().cluster().is_active(me))
}

/// Where the living process of that node is in the list.
fn living(world: &World, name: &str) -> usize {
    let is_it = |node: &Node| node.alive && node.machine.me().node.as_str() == name;
    world.nodes.iter().position(is_it).expect("it lives")
}

pub(super) fn drain(world: &mut World, name: &str) {
    let at = living(world, name);
    world.queue.push_back((at, Input::Leave));
    world.drain_queue();
    world.until(SOON, "it is let go", |world| world.nodes[at].stopped.is_some());
    assert_eq!(world.nodes[at].stopped, Some(StopReason::Left), "{}", world.describe());
}

pub(super) fn come_back(world: &mut World, name: &str) {
    let at = world.start(name);
    world.until(SOON, "it is back", |world| is_active(world, at));
}

/// Drains a node whose shards are released a few at a time, and does something once half of them are gone.
fn drain_slowly(world: &mut World, name: &str, meanwhile: impl FnOnce(&mut World)) {
    let at = living(world, name);
    let had = shards_at(world, name);
    world.queue.push_back((at, Input::Leave));
    world.drain_queue();
    let mut meanwhile = Some(meanwhile);
    while world.nodes[at].alive {
        pass(world, Duration::from_millis(20));
        world.release(at);
        world.drain_queue();
        if shards_at(world, name) < had / 2
            && let Some(meanwhile) = meanwhile.take()
        {
            meanwhile(world);
            assert!(world.nodes[at].alive, "it still drains");
        }
    }
    assert_eq!(world.nodes[at].stopped, Some(StopReason::Left), "{}", world.describe());
}

pub(super) fn shards_at(world: &World, name: &str) -> usize {
    let viewer = world.nodes.iter().position(|node| node.alive && node.machine.leads().is_some());
    let viewer = viewer.unwrap_or_else(|| world.nodes.iter().position(|node| node.alive).expect("one lives"));
    world.shards_of(viewer).get(name).copied().unwrap_or_default()
}

/// Restarts every node in turn with a pause after each; how many times a shard was given to somebody until all is at rest.
fn rolling_restart(world: &mut World, pause: Duration) -> usize {
    let names: Vec<_> = world.nodes.iter().map(|node| node.machine.me().node.to_string()).collect();
    let before = world.log.len();
    for name in &names {
        drain(world, name);
        come_back(world, name);
        pass(world, pause);
    }
    world.until(SOON * 2, "everybody has a part again", |world| world.settled(names.len()));
    handed_over(&world.log[before..])
}

/// The first drain spreads one share, each of the others hands its share (of one node fewer) to whoever came back before,
/// and the last to come back is given one: `S (1 + 2 / n)`, give or take a shard a node for what does not divide.
pub(super) fn at_most(shards: usize, nodes: usize) -> usize {
    shards + (2 * shards).div_ceil(nodes) + nodes
}

fn play(count: usize, profile: Profile, pause: Duration, percent: usize) {
    let mut world = nodes(count, profile);
    let moved = rolling_restart(&mut world, pause);
    assert!(moved <= at_most(1024, count), "{count} nodes: {moved}");
    assert!(moved * 100 <= 1024 * percent, "{count} nodes: {moved}");
}

#[test]
fn a_rolling_restart_of_5_nodes_hands_over_140_percent_of_the_shards() {
    play(5, Profile::Default, PAUSE, 140);
    play(5, Profile::Fast, PAUSE / 4, 140);
}

#[test]
fn a_rolling_restart_of_10_nodes_hands_over_120_percent_of_the_shards() {
    play(10, Profile::Default, PAUSE, 120);
}

#[test]
fn a_rolling_restart_of_50_nodes_hands_over_105_percent_of_the_shards() {
    play(50, Profile::Default, PAUSE, 105);
}

#[test]
fn whoever_drains_hands_its_shards_to_whoever_came_back_in_one_plan() {
    let mut world = nodes(4, Profile::Default);
    drain(&mut world, "n01");
    come_back(&mut world, "n01");
    pass(&mut world, PAUSE);
    assert_eq!(shards_at(&world, "n01"), 0, "it waits for the next one to drain");
    let (before, had) = (world.log.len(), shards_at(&world, "n02"));
    drain(&mut world, "n02");
    let triggered = cluster_events(&world.log[before..]).filter_map(|event| match event {
        ClusterEvent::RebalancingTriggered { cause, moves, .. } => Some((*cause, moves)),
        _ => None,
    });
    let [(cause, moves)] = triggered.collect::<Vec<_>>()[..] else { panic!("one plan: {}", world.describe()) };
    assert_eq!((cause, shards_at(&world, "n01")), (RebalanceCause::Drain, had));
    assert!(moves.iter().all(|planned| planned.from.node.as_str() == "n02" && planned.to.node.as_str() == "n01"));
    assert_eq!(handed_over(&world.log[before..]), had);
}

#[test]
fn whoever_comes_back_has_its_part_after_a_while_if_nobody_drains() {
    let mut world = nodes(4, Profile::Default);
    drain(&mut world, "n01");
    come_back(&mut world, "n01");
    let took = world.until(SOON, "its part", |world| world.settled(4));
    assert!((Duration::from_secs(10)..Duration::from_secs(12)).contains(&took), "after {took:?}");
    assert_eq!(plan_causes(&world.log).last(), Some(&RebalanceCause::Join));
}

#[test]
fn whoever_has_failed_or_was_away_for_long_or_is_new_has_its_part_at_once() {
    let mut world = nodes(4, Profile::Default);
    let at = living(&world, "n01");
    world.dies(at);
    world.until(SOON, "the others have everything", |world| world.settled(3));
    come_back(&mut world, "n01");
    let took = world.until(SOON, "its part", |world| world.settled(4));
    assert!(took < Duration::from_secs(2), "after {took:?}");
    drain(&mut world, "n01");
    pass(&mut world, Duration::from_secs(601));
    for name in ["n01", "n05"] {
        let active = world.nodes.iter().filter(|node| node.alive).count() + 1;
        come_back(&mut world, name);
        let took = world.until(SOON, "its part", |world| world.settled(active));
        assert!(took < Duration::from_secs(2), "{name} after {took:?}");
    }
}

#[test]
fn what_must_move_waits_for_nobody_and_goes_to_whoever_came_back() {
    let mut world = nodes(4, Profile::Default);
    drain(&mut world, "n01");
    come_back(&mut world, "n01");
    let at = living(&world, "n02");
    let had = shards_at(&world, "n02");
    let before = world.log.len();
    world.dies(at);
    let took = world.until(SOON, "nobody lacks an owner", |world| shards_at(world, "n01") > 0);
    assert!(took < Duration::from_secs(2), "after {took:?}");
    assert_eq!((shards_at(&world, "n01"), handed_over(&world.log[before..])), (had, had));
    world.until(SOON, "three have everything", |world| world.settled(3));
}

#[test]
fn whoever_comes_back_while_the_next_one_drains_waits_for_the_one_after_it() {
    let mut world = nodes(6, Profile::Default);
    let began = world.log.len();
    // They are slow to release, so that there is time to come back.
    world.releases_max = 8;
    drain_slowly(&mut world, "n01", |_| {});
    drain_slowly(&mut world, "n02", |world| come_back(world, "n01"));
    come_back(&mut world, "n02");
    pass(&mut world, PAUSE);
    let waiting = [shards_at(&world, "n01"), shards_at(&world, "n02")];
    drain_slowly(&mut world, "n03", |_| {});
    world.releases_max = usize::MAX;
    come_back(&mut world, "n03");
    world.until(SOON * 2, "everybody has a part", |world| world.settled(6));
    let moved = handed_over(&world.log[began..]);
    assert_eq!(waiting, [0, 0]);
    // What the first two had goes to those who stay. What the third has goes to the two who are back, and those who stayed
    // give them the rest of their part; what the third is given in the end comes from all.
    assert!(moved <= 171 + 205 + 2 * 205 + 171, "{moved}");
}

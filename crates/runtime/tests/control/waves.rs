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

//! Two processes under one id, of which the earlier one is deaf.

use super::*;

/// Lets a node do what is due for that long, while its heartbeats are on their way and its watch tells nothing.
fn deaf_for(world: &mut World, at: usize, time: Duration) {
    let until = world.now + time;
    while world.now < until {
        let mut inputs = std::collections::VecDeque::from([Input::Tick]);
        while let Some(input) = inputs.pop_front() {
            for effect in world.nodes[at].machine.step(world.now, WallTime::default(), input) {
                if !matches!(&effect, Effect::Write { record: ControlRecord::Member(_), .. }) {
                    world.perform(at, effect);
                }
            }
            let answers = |(to, input): &(usize, Input)| *to == at && !matches!(input, Input::Control(_));
            inputs.extend(world.queue.drain(..).filter(answers).map(|(_, input)| input));
        }
        world.now = world.now + Duration::from_millis(10);
    }
}

#[test]
fn a_later_life_of_its_own_id_that_a_node_knows_from_the_log_alone_is_no_former_one() {
    let mut world = World::new(Profile::Default);
    world.log_away.insert(0);
    let earlier = world.start("n2");
    world.until(SOON, "its record is stored", |world| world.holder() == Some(earlier));
    world.nodes[earlier].frozen = true;
    let later = world.start("n2");
    world.until(SOON, "the later one has everything", |world| world.settled(1));
    // So long that the serve lease of whoever had the id before the earlier one is over.
    let over = world.now + Duration::from_secs(5);
    world.until(SOON, "a while", |world| world.now >= over);
    assert_eq!(world.holder(), Some(later));

    world.queue.clear();
    world.log_away.clear();
    world.nodes[earlier].frozen = false;
    let told: Vec<_> = world.log.iter().map(|stored| world.read(earlier, stored)).collect();
    world.queue.extend(told.into_iter().map(|entry| (earlier, entry)));
    let entries = world.log.len();
    deaf_for(&mut world, earlier, Duration::from_secs(1));
    assert!(world.nodes[earlier].machine.topology().cluster().is_active(world.nodes[later].machine.me()), "it is told");
    assert_eq!((world.holder(), world.log.len()), (Some(later), entries), "{}", world.describe());

    world.tell(earlier);
    world.drain_queue();
    let by = world.nodes[later].machine.me().clone();
    assert_eq!(world.nodes[earlier].stopped, Some(StopReason::NodeIdInUse { by }));
}

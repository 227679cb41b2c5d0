//! Nodes that beat and do not do their work: suspected, relieved, trusted again, and who leads meanwhile.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// So many nodes, balanced, none of which has been unwell.
fn well(nodes: usize) -> World {
    let mut world = World::new(Profile::Default);
    for nth in 1..=nodes {
        world.start(&format!("n{nth}"));
    }
    world.until(SOON, "balanced nodes", |world| world.settled(nodes));
    world
}

fn name(world: &World, at: usize) -> NodeId {
    world.nodes[at].machine.me().node.clone()
}

/// That node finds these unwell from now on.
fn accuse(world: &mut World, by: usize, accused: &[usize]) {
    let accuses = accused.iter().map(|at| name(world, *at)).collect();
    let health = Health { accuses, ..Health::default() };
    world.queue.push_back((by, Input::Carries(Load::default(), health)));
    world.drain_queue();
}

fn trust_in(world: &World, at: usize) -> Trust {
    let viewer = world.leader().expect("a leader");
    let member = world.nodes[viewer].machine.topology().cluster().member(&name(world, at));
    member.expect("a member").trust
}

fn shards_at(world: &World, at: usize) -> usize {
    let viewer = world.leader().expect("a leader");
    world.shards_of(viewer).get(name(world, at).as_str()).copied().unwrap_or(0)
}

fn trust_events(entries: &[StoredEntry]) -> Vec<String> {
    let events = cluster_events(entries).filter_map(|event| match event {
        ClusterEvent::NodeSuspected { node, by } => Some(format!("{} suspected by {}", node.node, by.len())),
        ClusterEvent::NodeRelieved { node } => Some(format!("{} relieved", node.node)),
        ClusterEvent::NodeTrusted { node } => Some(format!("{} trusted", node.node)),
        _ => None,
    });
    events.collect()
}

#[test]
fn a_node_that_two_find_unwell_is_given_nothing_after_30_s_is_relieved_after_60_and_comes_back_when_it_is_well() {
    let mut world = well(5);
    let (leader, before) = (world.leader().expect("a leader"), world.log.len());
    let [slow, first, second, other] = [1, 2, 3, 4].map(|nth| (leader + nth) % 5);
    accuse(&mut world, first, &[slow]);
    accuse(&mut world, second, &[slow]);
    let had = shards_at(&world, slow);
    let took = world.until(SECOND * 40, "suspicion", |world| trust_in(world, slow) == Trust::Suspected);
    assert!((SECOND * 30..SECOND * 32).contains(&took), "after {took:?}");
    // What another had, who dies, goes to the three who are well; and of four nodes none may be relieved.
    world.nodes[other].alive = false;
    let later = world.now + SECOND * 60;
    world.until(SECOND * 90, "a minute", |world| world.now >= later);
    assert_eq!((trust_in(&world, slow), shards_at(&world, slow)), (Trust::Suspected, had), "{}", world.describe());
    assert_eq!(shards_at(&world, other), 0);
    let node = name(&world, other);
    world.start(node.as_str());
    world.until(SECOND * 30, "relief", |world| trust_in(world, slow) == Trust::Relieved);
    world.until(SECOND * 30, "it has nothing left", |world| shards_at(world, slow) == 0);
    assert!(world.nodes[slow].alive, "it stays a member");
    accuse(&mut world, first, &[]);
    accuse(&mut world, second, &[]);
    let took = world.until(SECOND * 60, "trust", |world| trust_in(world, slow) == Trust::Full);
    assert!((SECOND * 30..SECOND * 32).contains(&took), "after {took:?}");
    world.until(SECOND * 30, "it has its part again", |world| world.settled(5));
    let node = name(&world, slow);
    let expected = [format!("{node} suspected by 2"), format!("{node} relieved"), format!("{node} trusted")];
    assert_eq!(trust_events(&world.log[before..]), expected);
}

#[test]
fn nobody_is_suspected_for_a_moment_by_one_alone_or_by_whoever_finds_everybody_unwell() {
    /// Who accuses whom, every second for so long, counted from the leader; who is slow; and how many are suspected.
    type Case = (&'static str, u32, &'static [(usize, &'static [usize])], Option<usize>, usize);
    let lag = Health { loop_lag: SECOND, ..Health::default() };
    let cases: [Case; 6] = [
        ("a moment", 20, &[(2, &[1]), (3, &[1])], None, 0),
        ("one alone", 90, &[(2, &[1])], None, 0),
        ("one alone, again and again by itself", 90, &[(1, &[2, 3, 4])], None, 0),
        ("it says so itself, and one other does", 90, &[(2, &[1])], Some(1), 1),
        ("two of which one is unwell itself", 90, &[(2, &[1]), (3, &[0, 1, 2, 4])], None, 0),
        ("everybody finds everybody", 90, &[(0, &[1, 2, 3, 4]), (1, &[0, 2, 3, 4]), (2, &[0, 1, 3, 4])], None, 0),
    ];
    for (what, seconds, by, slow, expected) in cases {
        let mut world = well(5);
        let (leader, before) = (world.leader().expect("a leader"), world.log.len());
        let at = |nth: usize| (leader + nth) % 5;
        for second in 0..100 {
            for (nth, accused) in by {
                let accused: Vec<_> = accused.iter().map(|nth| at(*nth)).collect();
                accuse(&mut world, at(*nth), if second < seconds { &accused } else { &[] });
            }
            if let Some(nth) = slow.filter(|_| second < seconds) {
                world.queue.push_back((at(nth), Input::Carries(Load::default(), lag.clone())));
                world.drain_queue();
            }
            let until = world.now + SECOND;
            world.until(SOON, "a second", |world| world.now >= until);
        }
        let suspected = trust_events(&world.log[before..]).iter().filter(|event| event.contains("suspected")).count();
        assert_eq!(suspected, expected, "{what}: {:?}", trust_events(&world.log[before..]));
    }
}

#[test]
fn a_leader_that_is_unwell_hands_the_lead_to_one_that_is_well() {
    let mut world = well(5);
    let leader = world.leader().expect("a leader");
    for nth in [1, 2] {
        accuse(&mut world, (leader + nth) % 5, &[leader]);
    }
    let term = world.nodes[leader].machine.topology().leadership().term();
    world.until(SECOND * 40, "another leader", |world| world.leader().is_some_and(|now| now != leader));
    let next = world.leader().expect("a leader");
    assert_eq!(trust_in(&world, leader), Trust::Suspected, "{}", world.describe());
    assert_eq!(world.nodes[next].machine.topology().leadership().term(), term.next());
    let later = world.now + SECOND * 20;
    world.until(SECOND * 30, "a while", |world| world.now >= later);
    assert_eq!(world.leader(), Some(next), "it does not come back to lead");
    let before = world.log.len();
    world.until(SECOND * 60, "it has nothing left", |world| shards_at(world, leader) == 0);
    assert_eq!(plan_causes(&world.log[before..]), [RebalanceCause::Relief], "{}", world.describe());
}

#[test]
fn a_node_that_is_unwell_leads_all_the_same_when_nobody_else_is_left() {
    let mut world = well(5);
    let unwell = world.leader().expect("a leader");
    for nth in [1, 2] {
        accuse(&mut world, (unwell + nth) % 5, &[unwell]);
    }
    // It gives the lease back to the others just after they have died.
    let later = world.now + Duration::from_millis(29_500);
    world.until(SECOND * 40, "half a minute, nearly", |world| world.now >= later);
    for at in (0..5).filter(|at| *at != unwell) {
        world.nodes[at].alive = false;
    }
    world.until(SECOND * 5, "it resigns", |world| world.leader().is_none());
    let took = world.until(SECOND * 20, "it leads again", |world| world.leader() == Some(unwell));
    world.until(SECOND * 10, "it has everything", |world| shards_at(world, unwell) == 1024);
    assert!(took < SECOND * 10, "{took:?}");
}

#[test]
fn a_relieved_node_carries_everything_when_the_others_leave_or_die() {
    let mut world = well(5);
    let leader = world.leader().expect("a leader");
    let [slow, first, second, other] = [1, 2, 3, 4].map(|nth| (leader + nth) % 5);
    accuse(&mut world, first, &[slow]);
    accuse(&mut world, second, &[slow]);
    world.until(SECOND * 90, "it has nothing left", |world| {
        trust_in(world, slow) == Trust::Relieved && shards_at(world, slow) == 0
    });
    for at in [first, second, other] {
        world.nodes[at].alive = false;
    }
    world.queue.push_back((leader, Input::Leave));
    world.drain_queue();
    world.until(SECOND * 40, "it is left alone", |world| world.nodes[leader].stopped.is_some());
    world.until(SECOND * 20, "it has everything", |world| {
        world.shards_of(slow).get(name(world, slow).as_str()) == Some(&1024)
    });
    assert_eq!(world.refusals, Vec::<String>::new());
}

//! What operators ask: a pause, a cancellation, that all goes on, that a node leaves, that the leader steps down.

use std::sync::Arc;

use aether_domain::assignment::CancelReason;
use aether_domain::orders::{Asked, Orders, RebalanceOrder, Wish};
use aether_domain::records::OrdersRecord;

use super::*;

impl World {
    /// An operator changes what is asked.
    fn order(&mut self, change: impl FnOnce(&mut Orders)) {
        let mut orders = match self.control.get(&ControlKey::Orders).map(|stored| &stored.record) {
            Some(ControlRecord::Orders(record)) => Orders::clone(&record.orders),
            _ => Orders::default(),
        };
        change(&mut orders);
        self.revision += 1;
        let record = OrdersRecord { nonce: Nonce(self.revision), orders: Arc::new(orders) };
        let stored = StoredRecord { record: ControlRecord::Orders(record), revision: Revision(self.revision) };
        self.control.insert(ControlKey::Orders, stored.clone());
        for to in 0..self.nodes.len() {
            self.queue.push_back((to, Input::Control(ControlUpdate::Record(stored.clone()))));
        }
        self.drain_queue();
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        let id = Nonce(self.revision + 1);
        self.order(|orders| orders.rebalance = Some(RebalanceOrder { wish, asked: ann(), id }));
    }

    pub(super) fn is_taken_up(&self, wish: Wish) -> bool {
        self.leader().is_some_and(|at| {
            let order = self.nodes[at].machine.topology().cluster().order();
            order.is_some_and(|(order, _)| order.wish == wish && order.asked == ann())
        })
    }
}

fn ann() -> Asked {
    Asked::new("ann", "the sale")
}

fn orders_in(entries: &[StoredEntry]) -> Vec<Wish> {
    let orders = cluster_events(entries).filter_map(|event| match event {
        ClusterEvent::RebalancingOrdered { order } => Some(order.wish),
        _ => None,
    });
    orders.collect()
}

fn shards_at(world: &World, name: &str) -> usize {
    let leader = world.leader().expect("a leader");
    world.shards_of(leader).get(name).copied().unwrap_or_default()
}

/// Moves that were given up, with why.
fn given_up(entries: &[StoredEntry]) -> BTreeMap<CancelReason, usize> {
    let mut given_up = BTreeMap::new();
    for event in entries.iter().flat_map(|stored| &stored.entry.events) {
        if let TopologyEvent::Assignment(AssignmentEvent::ShardMigrationFailed { shards, reason, .. }) = event {
            *given_up.entry(*reason).or_default() += shards.len();
        }
    }
    given_up
}

fn begun(entries: &[StoredEntry]) -> usize {
    let begun = |event: &TopologyEvent| match event {
        TopologyEvent::Assignment(AssignmentEvent::ShardMigrationStarted { shards, .. }) => shards.len(),
        _ => 0,
    };
    entries.iter().flat_map(|stored| &stored.entry.events).map(begun).sum()
}

#[test]
fn while_redistribution_is_paused_a_newcomer_is_given_nothing_until_it_goes_on_whoever_leads() {
    let mut world = three(Profile::Default);
    world.wish(Wish::Pause);
    world.until(SOON, "it is taken up", |world| world.is_taken_up(Wish::Pause));
    let before = world.log.len();
    world.start("n4");
    pass(&mut world, SOON);
    assert_eq!((shards_at(&world, "n4"), plan_causes(&world.log[before..])), (0, vec![]));
    // Another leader goes by the log, and takes nothing up twice.
    let leader = world.leader().expect("a leader");
    let name = world.nodes[leader].machine.me().node.to_string();
    world.dies(leader);
    world.until(SOON, "another leads, and every shard has an owner", |world| {
        world.leader().is_some_and(|at| world.shards_of(at).values().sum::<usize>() == 1024)
    });
    world.start("n5");
    pass(&mut world, SOON);
    let viewer = world.leader().expect("a leader");
    assert!(!world.shards_of(viewer).contains_key(&name), "what has no owner is given to others at once");
    assert_eq!((begun(&world.log[before..]), orders_in(&world.log[before..])), (0, vec![]));
    world.wish(Wish::Resume);
    let took = world.until(SOON, "balance", |world| world.settled(4));
    assert!(took < Duration::from_millis(500), "at once: {took:?}");
    assert_eq!(orders_in(&world.log), [Wish::Pause, Wish::Resume]);
    assert_eq!(plan_causes(&world.log[before..]), [RebalanceCause::Operator]);
    let settled = world.log.len();
    pass(&mut world, SOON);
    assert_eq!(world.log.len(), settled, "{}", world.describe());
    assert!(world.refusals.is_empty(), "{:?}", world.refusals);
}

/// Three nodes that do not release what a fourth is to be given; where the log ended before it came, and which it is.
fn moves_under_way() -> (World, usize, usize) {
    let mut world = three(Profile::Default);
    world.releases_max = 0;
    let before = world.log.len();
    let newcomer = world.start("n4");
    world
        .until(SOON, "moves are under way", |world| world.nodes[newcomer].machine.topology().assignment().moving() > 0);
    (world, before, newcomer)
}

#[test]
fn a_pause_lets_what_is_under_way_end_and_begins_nothing_more() {
    let (mut world, before, newcomer) = moves_under_way();
    let moving = world.nodes[newcomer].machine.topology().assignment().moving();
    world.wish(Wish::Pause);
    world.until(SOON, "it is taken up", |world| world.is_taken_up(Wish::Pause));
    world.releases_max = usize::MAX;
    (0..3).for_each(|at| world.release(at));
    world.drain_queue();
    pass(&mut world, SOON);
    assert_eq!((shards_at(&world, "n4"), begun(&world.log[before..])), (moving, moving));
    let topology = world.nodes[newcomer].machine.topology();
    assert_eq!((topology.cluster().plan(), topology.assignment().pending().len()), (None, 0), "the plan is done");
    assert!(given_up(&world.log).is_empty());
    world.wish(Wish::Resume);
    world.until(SOON, "balance", |world| world.settled(4));
}

#[test]
fn a_cancelled_plan_gives_up_what_is_under_way_and_is_not_made_again() {
    let (mut world, before, newcomer) = moves_under_way();
    let moving = world.nodes[newcomer].machine.topology().assignment().moving();
    world.wish(Wish::Cancel);
    let took = world.until(SOON, "the plan is over", |world| {
        world.is_taken_up(Wish::Cancel) && world.nodes[newcomer].machine.topology().cluster().plan().is_none()
    });
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(given_up(&world.log[before..]), BTreeMap::from([(CancelReason::Operator, moving)]));
    world.releases_max = usize::MAX;
    let cancelled = world.log.len();
    pass(&mut world, SOON);
    world.start("n5");
    pass(&mut world, SOON);
    assert_eq!((begun(&world.log[cancelled..]), shards_at(&world, "n4")), (0, 0), "{}", world.describe());
    world.wish(Wish::Resume);
    world.until(SOON, "balance", |world| world.settled(5));
}

#[test]
fn who_leaves_is_not_kept_by_a_pause_or_a_cancellation() {
    for wish in [Wish::Pause, Wish::Cancel] {
        let mut world = three(Profile::Default);
        world.releases_max = 8;
        let newcomer = world.start("n4");
        world.until(SOON, "moves are under way", |world| {
            world.nodes[newcomer].machine.topology().assignment().moving() > 0
        });
        let leaver = (world.leader().expect("a leader") + 1) % 3;
        world.queue.push_back((leaver, Input::Leave));
        world.drain_queue();
        world.wish(wish);
        while world.nodes[leaver].stopped.is_none() {
            pass(&mut world, Duration::from_millis(20));
            (0..4).for_each(|at| world.release(at));
            world.drain_queue();
        }
        assert_eq!(world.nodes[leaver].stopped, Some(StopReason::Left), "{wish:?}: {}", world.describe());
        assert!(world.refusals.is_empty(), "{wish:?}: {:?}", world.refusals);
    }
}

#[test]
fn whoever_is_asked_to_leave_by_an_operator_leaves_as_if_its_process_had_been_told() {
    let mut world = three(Profile::Default);
    for leads in [false, true] {
        let leader = world.leader().expect("a leader");
        let at = if leads { leader } else { (0..3).find(|at| *at != leader).expect("another") };
        let (node, before) = (world.nodes[at].machine.me().clone(), world.log.len());
        world.order(|orders| assert_eq!(orders.drain(node.clone(), ann()), Ok(true)));
        let took = world.until(SOON, "it is let go", |world| world.nodes[at].stopped.is_some());
        assert_eq!(world.nodes[at].stopped, Some(StopReason::Left), "{}", world.describe());
        assert!(took < Duration::from_secs(3), "{took:?}");
        let cause = format!("drain of {} asked by ann: the sale", node.node);
        assert!(world.log[before..].iter().any(|stored| stored.entry.cause.contains(&cause)), "{cause}");
        // Its next life is asked nothing.
        let back = world.start(node.node.as_str());
        world.until(SOON * 2, "it is back and stays", |world| world.settled(3));
        assert!(world.nodes[back].alive);
        // It takes the place in the list, for the next turn.
        world.nodes.swap(at, back);
        world.queue.clear();
    }
}

#[test]
fn nothing_is_moved_onto_whoever_is_asked_to_leave_although_it_has_not_said_so_yet() {
    let mut world = three(Profile::Default);
    world.releases_max = 0;
    let newcomer = world.start("n4");
    world
        .until(SOON, "moves are under way", |world| world.nodes[newcomer].machine.topology().assignment().moving() > 0);
    let moving = world.nodes[newcomer].machine.topology().assignment().moving();
    world.nodes[newcomer].frozen = true;
    let (node, before) = (world.nodes[newcomer].machine.me().clone(), world.log.len());
    world.order(|orders| assert_eq!(orders.drain(node.clone(), ann()), Ok(true)));
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(given_up(&world.log[before..]), BTreeMap::from([(CancelReason::DestinationGone, moving)]));
    assert_eq!(begun(&world.log[before..]), 0, "{}", world.describe());
}

#[test]
fn a_leader_that_is_asked_to_steps_down_once_and_another_leads() {
    let mut world = three(Profile::Default);
    let leader = world.leader().expect("a leader");
    let term = world.nodes[leader].machine.leads().expect("it leads").0;
    world.order(|orders| orders.step_down = Some((term, ann())));
    let took = world.until(SOON, "another leads", |world| world.leader().is_some_and(|at| at != leader));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let next = world.leader().expect("a leader");
    let noted = |(at, note): &(usize, Note)| {
        *at == leader && matches!(note, Note::AskedToStepDown { term: of, asked } if *of == term && *asked == ann())
    };
    assert_eq!(world.notes.iter().filter(|note| noted(note)).count(), 1, "{:?}", world.notes);
    let cause = format!("step-down of {} asked by ann: the sale", world.nodes[leader].machine.me().node);
    assert_eq!(
        world.log.iter().filter(|stored| stored.entry.cause.contains(&cause)).count(),
        1,
        "{}",
        world.describe()
    );
    pass(&mut world, SOON);
    assert_eq!(world.leader(), Some(next), "the order is of one term");
    assert!(world.settled(3) && world.nodes[leader].alive);
}

#[test]
fn a_leader_that_is_alone_does_not_step_down() {
    let mut world = World::new(Profile::Default);
    world.start("n1");
    world.until(SOON, "it leads", |world| world.settled(1));
    let term = world.nodes[0].machine.leads().expect("it leads").0;
    world.order(|orders| orders.step_down = Some((term, ann())));
    pass(&mut world, SOON);
    assert_eq!(world.nodes[0].machine.leads().map(|(term, _)| term), Some(term));
}

#[test]
fn all_who_stay_fail_in_one_entry_while_everybody_else_is_about_to_leave_and_the_last_of_them_carries_on() {
    for profile in [Profile::Default, Profile::Fast] {
        let mut world = three(profile);
        let leader = world.leader().expect("a leader");
        let (leaves, stays) = ((leader + 1) % 3, (leader + 2) % 3);
        // Before the leader can say anything, the only one who stays dies, and both others are asked to leave.
        let before = world.log.len();
        world.log_away.insert(leader);
        world.dies(stays);
        for at in [leaves, leader] {
            world.queue.push_back((at, Input::Leave));
            world.drain_queue();
        }
        world.log_away.clear();
        world.until(SOON, "who stayed has failed", |world| world.log.len() > before);
        let entry = &world.log[before..=before];
        let happened = cluster_events(entry).filter_map(|event| match event {
            ClusterEvent::NodeFailed { node, .. } | ClusterEvent::NodeDraining { node } => Some(node.clone()),
            _ => None,
        });
        let happened: std::collections::BTreeSet<_> = happened.collect();
        let both = [stays, leaves].map(|at| world.nodes[at].machine.me().clone());
        assert_eq!(happened, both.into(), "{}", world.describe());
        assert_eq!(plan_causes(entry), [RebalanceCause::Drain], "the leader takes what the other had");
        world.until(SOON, "both are let go", |world| {
            [leader, leaves].iter().all(|at| world.nodes[*at].stopped == Some(StopReason::Left))
        });
        assert!(world.refusals.is_empty(), "{profile:?}: {:?}", world.refusals);
    }
}

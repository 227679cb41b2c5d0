//! What a node does once it is certain that a store has lost what it had acknowledged, if it is told to go on.

use super::*;

/// Three nodes that go on with what is left.
fn three_that_accept() -> World {
    let mut world = World::new(Profile::Default);
    world.on_regression = OnRegression::AcceptLog;
    for name in ["n1", "n2", "n3"] {
        world.start(name);
    }
    world.until(SOON, "three balanced nodes", |world| world.settled(3));
    world
}

fn accepted(world: &World) -> Vec<(usize, Fault, Epoch)> {
    let of = |(at, note): &(usize, Note)| match note {
        Note::RegressionAccepted { fault, had } => Some((*at, fault.clone(), *had)),
        _ => None,
    };
    world.notes.iter().filter_map(of).collect()
}

fn all_serve(world: &World) -> bool {
    world.nodes.iter().filter(|node| node.alive).all(|node| node.machine.phase(world.now) == Phase::Active)
}

/// A log that has lost its last entries when a node has just died, so that the leader has something to write.
fn lose(world: &mut World, entries: usize) -> Vec<StoredEntry> {
    let kept = world.log.len() - entries;
    let lost = world.log.split_off(kept);
    let victim = (world.leader().expect("a leader") + 1) % 3;
    world.nodes[victim].alive = false;
    lost
}

const LONG: Duration = Duration::from_secs(120);

#[test]
fn nodes_that_accept_a_shorter_log_go_on_with_it_under_new_lives() {
    for entries in [1, 2, 3] {
        let mut world = three_that_accept();
        let lives: Vec<_> = world.nodes.iter().map(|node| node.lives.len()).collect();
        let lost = lose(&mut world, entries);
        let living: Vec<_> = (0..3).filter(|at| world.nodes[*at].alive).collect();
        let lost_at = world.now;
        let (known, found) = (lost.last().expect("lost").at.sequence, world.log.last().expect("left").at.sequence);
        world.until(LONG, "somebody accepts it", |world| !accepted(world).is_empty());
        assert!(world.now.since(lost_at) > Duration::from_secs(25), "not before the store is convicted");
        assert_eq!(accepted(&world)[0].1, Fault::LogRegression { known, found });
        world.until(LONG, "the two that live have everything", |world| world.settled(2) && all_serve(world));
        let had: Vec<_> = accepted(&world).into_iter().map(|(at, _, had)| (at, had)).collect();
        assert_eq!(had.len(), 2, "each once: {had:?}");
        for at in living {
            assert!(had.contains(&(at, Epoch(known.0))), "{had:?}");
            assert!(world.nodes[at].lives.len() > lives[at], "under another life");
            assert_eq!(world.nodes[at].machine.fault(), None);
            assert_eq!(world.nodes[at].machine.topology().at(), world.log.last().expect("entries").at);
        }
        let nonces: Vec<_> = lost.iter().map(|stored| stored.entry.nonce).collect();
        assert!(!world.log.iter().any(|stored| nonces.contains(&stored.entry.nonce)), "what is lost is lost");
        assert_eq!(world.refusals, Vec::<String>::new());
    }
}

#[test]
fn a_node_that_accepts_serves_nothing_between_the_first_doubt_and_its_new_life() {
    let mut world = three_that_accept();
    lose(&mut world, 2);
    let at = world.leader().expect("a leader");
    world.until(SOON, "it doubts", |world| world.nodes[at].machine.phase(world.now) == Phase::Paused);
    let old = world.nodes[at].machine.me().clone();
    while accepted(&world).iter().all(|(by, ..)| *by != at) {
        assert_eq!(world.nodes[at].machine.serve_until(), Monotonic::ZERO);
        let next = world.now + Duration::from_millis(100);
        world.until(SOON, "a moment", |world| world.now >= next);
    }
    let machine = &world.nodes[at].machine;
    assert_ne!(machine.me(), &old);
    assert!(machine.phase(world.now) == Phase::Joining && machine.leads().is_none(), "it knows and leads nothing");
}

#[test]
fn a_log_that_was_replaced_is_accepted_by_whoever_reads_it() {
    let mut world = three_that_accept();
    // Another node has gone on with a shorter log, and written more than was lost.
    let first = Sequence(world.log.len() as u64 - 1);
    for stored in world.log.iter_mut().filter(|stored| stored.at.sequence >= first) {
        stored.entry.cause = "another".into();
        stored.at.hash ^= 1;
    }
    let last = world.log.last().expect("entries").clone();
    world.log[first.0 as usize].entry.prev_hash ^= 1;
    world.queue.push_back((0, Input::Log(LogUpdate::Entry(last.clone()))));
    let before = world.nodes[0].machine.me().clone();
    world.drain_queue();
    assert_eq!(accepted(&world)[0].1, Fault::LogReplaced { sequence: last.at.sequence });
    assert_ne!(*world.nodes[0].machine.me(), before);
    assert_eq!(world.nodes[0].machine.topology().at(), last.at);
    assert_eq!(world.nodes[0].machine.fault(), None);
}

/// An entry by the present leader behind another one than everybody has.
fn out_of_chain(world: &World) -> StoredEntry {
    let last = world.log.last().expect("entries");
    let mut stored = last.clone();
    stored.at = Position { sequence: last.at.sequence.next(), hash: 7 };
    (stored.entry.epoch, stored.entry.prev_hash) = (last.entry.epoch.next(), 8);
    stored
}

#[test]
fn an_entry_that_follows_another_one_is_a_replaced_log_only_if_the_log_says_so_when_read_again() {
    let mut world = three_that_accept();
    let broken = out_of_chain(&world);
    world.log.push(broken.clone());
    world.queue.push_back((0, Input::Log(LogUpdate::Entry(broken.clone()))));
    world.drain_queue();
    assert_eq!(accepted(&world).len(), 1, "it looks once");
    let fault = world.nodes[0].machine.fault();
    assert!(matches!(fault, Some(Fault::Broken { sequence, .. }) if *sequence == broken.at.sequence), "{fault:?}");
    assert_eq!(world.nodes[0].machine.phase(world.now), Phase::Faulty);
}

#[test]
fn what_cannot_be_understood_or_breaks_the_rules_is_never_accepted() {
    for told in [
        |_: &World| LogUpdate::Corrupt { sequence: Sequence(1_000), reason: "spoiled".into() },
        |world: &World| {
            let last = world.log.last().expect("entries");
            let mut stored = last.clone();
            stored.at = Position { sequence: last.at.sequence.next(), hash: 7 };
            (stored.entry.epoch, stored.entry.prev_hash) = (Epoch(1_000), last.at.hash);
            LogUpdate::Entry(stored)
        },
    ] {
        let mut world = three_that_accept();
        let update = told(&world);
        world.queue.push_back((0, Input::Log(update)));
        world.drain_queue();
        assert_eq!((accepted(&world), world.nodes[0].machine.phase(world.now)), (Vec::new(), Phase::Faulty));
    }
}

#[test]
fn a_control_store_that_has_lost_a_heartbeat_is_accepted_by_its_sender() {
    let mut world = three_that_accept();
    let at = (world.leader().expect("a leader") + 1) % 3;
    let before = world.nodes[at].machine.me().clone();
    let key = ControlKey::Member(before.node.clone());
    let stored = world.control.get_mut(&key).expect("it beats");
    stored.revision = Revision(stored.revision.0 - 1);
    let (known, found) = (Revision(stored.revision.0 + 1), stored.revision);
    world.until(LONG, "it accepts that", |world| !accepted(world).is_empty());
    assert_eq!(accepted(&world)[0].1, Fault::ControlRegression { key, known, found });
    world.until(LONG, "three have everything", |world| world.settled(3) && all_serve(world));
    assert_ne!(*world.nodes[at].machine.me(), before);
    assert_eq!(accepted(&world).len(), 1);
}

#[test]
fn a_node_that_leaves_does_not_begin_again() {
    let mut world = three_that_accept();
    lose(&mut world, 2);
    let at = world.leader().expect("a leader");
    world.until(SOON, "it doubts", |world| world.nodes[at].machine.phase(world.now) == Phase::Paused);
    let later = world.now + Duration::from_secs(20);
    world.until(LONG, "a while", |world| world.now >= later);
    world.queue.push_back((at, Input::Leave));
    world.drain_queue();
    world.until(LONG, "it has ended", |world| world.nodes[at].stopped.is_some());
    assert_eq!(world.nodes[at].stopped, Some(StopReason::LeftUnasked));
    assert!(accepted(&world).iter().all(|(by, ..)| *by != at));
}

#[test]
fn what_an_earlier_life_had_asked_is_nothing_to_a_node_that_has_begun_again() {
    let mut world = three_that_accept();
    lose(&mut world, 2);
    let at = world.leader().expect("a leader");
    let before = world.log.clone();
    world.until(LONG, "it accepts that", |world| accepted(world).iter().any(|(by, ..)| *by == at));
    let (now, wall) = (world.now, WallTime::default());
    let machine = &mut world.nodes[at].machine;
    let (topology, life) = (machine.topology().clone(), machine.me().clone());
    let mut late = before[1].clone();
    late.at.sequence = Sequence(1_000);
    let token = aether_runtime::control::Token(7);
    machine.step(now, wall, Input::LogRead { token, entries: Some(vec![late]) });
    let of_old = world.control.values().find(|stored| matches!(stored.record, ControlRecord::Member(_)));
    let found = of_old.map(|stored| StoredRecord { revision: Revision(1_000_000), ..stored.clone() });
    let key = found.as_ref().expect("a member").record.key();
    machine.step(now, wall, Input::ReadBack { token, found });
    assert_eq!((machine.topology(), machine.me(), machine.fault()), (&topology, &life, None));
    let ControlKey::Member(node) = key else { unreachable!("it is a member's") };
    assert!(machine.sightings().member(&node).is_none_or(|seen| seen.revision < Revision(1_000_000)));
}

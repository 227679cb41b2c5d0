//! Wakes: at most one an actor, under compare-and-set, and read together by slot and time.

use std::sync::Arc;

use aether_domain::WallTime;
use aether_domain::ids::{ActorAddress, Revision, Slot};
use aether_domain::ports::{Expected, WakeStore};
use aether_domain::records::Wake;
use futures_util::future::join_all;

use super::{case, connect, place};
use crate::samples::actor;
use crate::settle::{self, Lost};
use crate::wait::until;
use crate::{Case, World};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("wakes", an_actor_that_never_had_a_wake_has_none),
        case!("wakes", a_wake_is_read_as_it_was_set_and_replaced_only_at_its_revision),
        case!("wakes", a_wake_that_is_cleared_is_there_without_a_time),
        case!("wakes", of_ten_who_set_a_wake_one_wins),
        case!("wakes", pending_are_those_of_the_slots_up_to_the_time_and_the_earliest_of_them),
        case!("wakes", wakes_of_actors_kinds_and_namespaces_do_not_mix),
    ]
}

#[expect(clippy::unnecessary_wraps, reason = "a wake may have no time")]
fn at(unix_millis: u64) -> Option<WallTime> {
    Some(WallTime { unix_millis })
}

fn in_slot(id: &str, slot: u16) -> ActorAddress {
    ActorAddress { slot: Slot(slot), ..actor("alarm", id) }
}

async fn read(store: &dyn WakeStore, actor: &ActorAddress) -> Option<Wake> {
    until("a read", || async { store.read(actor).await.ok() }).await
}

async fn pending(store: &dyn WakeStore, slots: (u16, u16), until_millis: u64, limit: usize) -> Vec<Wake> {
    let slots = [Slot(slots.0)..=Slot(slots.1)];
    let latest = WallTime { unix_millis: until_millis };
    until("a reading of all", || async { store.pending(&slots, latest, limit).await.ok() }).await
}

/// Their ids.
fn ids(wakes: &[Wake]) -> Vec<&str> {
    wakes.iter().map(|wake| wake.actor.key.id.as_str()).collect()
}

async fn an_actor_that_never_had_a_wake_has_none(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    assert_eq!(read(&*ports.wakes, &actor("alarm", "anna")).await, None);
    assert_eq!(pending(&*ports.wakes, (0, u16::MAX), u64::MAX, 10).await, []);
}

async fn a_wake_is_read_as_it_was_set_and_replaced_only_at_its_revision(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let anna = actor("alarm", "\u{fc}ber/ .>*\u{1f980}");
    let first = settle::wake(&*a.wakes, &anna, at(5), Expected::Absent).await.expect("is free");
    assert!(first > Revision::ZERO);
    let wake = Wake { actor: anna.clone(), at: at(5), revision: first };
    assert_eq!(read(&*b.wakes, &anna).await, Some(wake.clone()));
    assert_eq!(pending(&*b.wakes, (anna.slot.0, anna.slot.0), 5, 10).await, [wake]);
    assert_eq!(settle::wake(&*b.wakes, &anna, at(6), Expected::Absent).await, Err(Lost));
    assert_eq!(settle::wake(&*b.wakes, &anna, at(6), Expected::At(first.next())).await, Err(Lost));
    let second = settle::wake(&*b.wakes, &anna, at(7), Expected::At(first)).await.expect("it is there");
    assert!(second > first);
    assert_eq!(settle::wake(&*a.wakes, &anna, at(8), Expected::At(first)).await, Err(Lost));
    assert_eq!(read(&*a.wakes, &anna).await, Some(Wake { actor: anna, at: at(7), revision: second }));
}

async fn a_wake_that_is_cleared_is_there_without_a_time(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let anna = actor("alarm", "anna");
    let mut last = Expected::Absent;
    // Of many times, since not every replica is always behind.
    for due in 5..25 {
        let set = settle::wake(&*ports.wakes, &anna, at(due), last).await.expect("its revision goes on");
        let cleared = settle::wake(&*ports.wakes, &anna, None, Expected::At(set)).await.expect("it is there");
        assert_eq!(pending(&*ports.wakes, (0, u16::MAX), u64::MAX, 10).await, []);
        assert_eq!(read(&*ports.wakes, &anna).await, Some(Wake { actor: anna.clone(), at: None, revision: cleared }));
        last = Expected::At(cleared);
    }
}

async fn of_ten_who_set_a_wake_one_wins(world: Arc<dyn World>) {
    let place = place(&world).await;
    let anna = actor("alarm", "anna");
    let connections = join_all((0..10).map(|nth| connect_nth(&*place, nth))).await;
    let racing =
        connections.iter().zip(1..).map(|(ports, nth)| settle::wake(&*ports.wakes, &anna, at(nth), Expected::Absent));
    let outcomes = join_all(racing).await;
    assert_eq!(super::winners(&outcomes), 1, "{outcomes:?}");
}

async fn connect_nth(place: &dyn crate::Place, nth: u64) -> aether_domain::ports::Ports {
    connect(place, &format!("n{nth}")).await
}

async fn pending_are_those_of_the_slots_up_to_the_time_and_the_earliest_of_them(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    // Two lanes, their ends and what lies between; later set is earlier due.
    let all = [("first", 0, 90), ("end", 4095, 80), ("next", 4096, 70), ("far", 4200, 60), ("last", 65_535, 50)];
    for (id, slot, due) in all {
        settle::wake(&*ports.wakes, &in_slot(id, slot), at(due), Expected::Absent).await.expect("is free");
    }
    for (slots, until_millis, limit, expected) in [
        ((0, u16::MAX), 100, 10, &["last", "far", "next", "end", "first"][..]),
        ((0, u16::MAX), 70, 10, &["last", "far", "next"]),
        ((0, u16::MAX), 100, 2, &["last", "far"]),
        ((0, 4095), 100, 10, &["end", "first"]),
        ((4095, 4096), 100, 10, &["next", "end"]),
        ((4097, 4199), 100, 10, &[]),
        ((4200, 4200), 60, 1, &["far"]),
        ((0, u16::MAX), 49, 10, &[]),
    ] {
        let found = pending(&*ports.wakes, slots, until_millis, limit).await;
        assert_eq!(ids(&found), expected, "slots {slots:?} until {until_millis}, at most {limit}");
    }
}

async fn wakes_of_actors_kinds_and_namespaces_do_not_mix(world: Arc<dyn World>) {
    let (here, there) = (place(&world).await, place(&world).await);
    let (a, b) = (connect(&*here, "a").await, connect(&*there, "a").await);
    let (anna, other) = (actor("alarm", "anna"), actor("clock", "anna"));
    settle::wake(&*a.wakes, &anna, at(5), Expected::Absent).await.expect("is free");
    settle::wake(&*a.wakes, &other, at(6), Expected::Absent).await.expect("another kind's is free");
    assert_eq!(read(&*b.wakes, &anna).await, None);
    assert_eq!(pending(&*b.wakes, (0, u16::MAX), u64::MAX, 10).await, []);
    let found = pending(&*a.wakes, (0, u16::MAX), u64::MAX, 10).await;
    assert_eq!(found.iter().map(|wake| wake.actor.clone()).collect::<Vec<_>>(), [anna, other]);
}

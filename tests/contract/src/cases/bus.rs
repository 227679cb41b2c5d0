//! The event bus: what is stored, told to whoever wants to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::ids::{ActorAddress, Sequence, Version};
use aether_domain::ports::{BusUpdate, EventBus, EventFilter, EventStore, StartAt, Updates, Whose};
use aether_domain::records::{CommitRecord, EventRecord, Position, StoredCommit};
use aether_domain::testing::life;
use futures_util::future::join_all;

use super::faults::faults;
use super::{case, connect, place};
use crate::samples::{NOTHING, actor, commit, first_commit};
use crate::settle;
use crate::wait::{next, until};
use crate::{Case, World};

/// How many actors write at once, and how many commits each.
const WRITERS: u64 = 8;
const COMMITS: u64 = 50;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("bus", who_begins_at_the_beginning_is_told_everything_once_and_in_order),
        case!("bus", who_begins_behind_a_place_or_now_is_told_only_what_follows),
        case!("bus", a_subscriber_is_told_only_what_it_asked_for),
        case!("bus", a_subscriber_learns_that_what_it_does_not_want_has_gone_by),
        case!("bus", many_writers_are_told_to_every_subscriber_in_one_order),
        case!("bus", namespaces_never_mix),
        case!("bus", the_end_is_where_the_last_commit_is),
        case!("bus", a_subscriber_that_was_cut_off_is_told_what_it_missed, Faults),
    ]
}

type Told = (ActorAddress, StoredCommit);

async fn subscribe(bus: &dyn EventBus, filter: &EventFilter, start: StartAt) -> Updates<BusUpdate> {
    until("a subscription", || async { bus.subscribe(filter, start).await.ok() }).await
}

/// What is told up to `end`: in order, nothing twice, nothing corrupt, and never more said than was told.
async fn told_to(updates: &mut Updates<BusUpdate>, end: Sequence) -> Vec<Told> {
    let (mut told, mut last): (Vec<Told>, _) = (vec![], NOTHING);
    while last < end {
        match next("what is stored", updates).await {
            BusUpdate::EventStored { actor, commit } => {
                assert!(commit.at.sequence > last, "{} behind {last}", commit.at.sequence);
                last = commit.at.sequence;
                told.push((actor, commit));
            }
            BusUpdate::Reached(place) => {
                assert!(place >= last, "reached {place} behind {last}");
                last = place;
            }
            BusUpdate::Corrupt { sequence, reason } => panic!("the commit at {sequence} is corrupt: {reason}"),
        }
    }
    told
}

/// Appends so many commits to the actor's history, which is new, with an event of that name each.
async fn append_many(events: &dyn EventStore, actor: &ActorAddress, count: u64, name: &'static str) -> Vec<Told> {
    let (mut written, mut before): (Vec<Told>, _) = (vec![], Position::default());
    for nth in 0..count {
        let record = commit(nth + 1, Version(nth), before);
        let event = EventRecord { name: name.into(), ..record.events[0].clone() };
        let record = CommitRecord { events: vec![event], ..record };
        before = settle::commit(events, actor, &record, before.sequence).await.expect("nobody else writes it");
        written.push((actor.clone(), StoredCommit { record, at: before }));
    }
    written
}

fn end_of(written: &[Told]) -> Sequence {
    written.iter().map(|(_, stored)| stored.at.sequence).max().unwrap_or(NOTHING)
}

async fn who_begins_at_the_beginning_is_told_everything_once_and_in_order(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut early = subscribe(&*reader.bus, &EventFilter::default(), StartAt::Beginning).await;
    let mut written = append_many(&*writer.events, &actor("account", "anna"), 300, "").await;
    written.extend(append_many(&*writer.events, &actor("odd", "\u{fc}.*> "), 5, "said").await);
    let mut late = subscribe(&*reader.bus, &EventFilter::default(), StartAt::Beginning).await;
    for updates in [&mut early, &mut late] {
        assert_eq!(told_to(updates, end_of(&written)).await, written);
    }
    let more = append_many(&*writer.events, &actor("account", "bert"), 5, "").await;
    for updates in [&mut early, &mut late] {
        assert_eq!(told_to(updates, end_of(&more)).await, more);
    }
}

async fn who_begins_behind_a_place_or_now_is_told_only_what_follows(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let old = append_many(&*writer.events, &actor("account", "anna"), 9, "").await;
    let third = old[2].1.at.sequence;
    let mut behind = subscribe(&*reader.bus, &EventFilter::default(), StartAt::Behind(third)).await;
    // A reader may lag behind; "now" is then where it stands.
    until("the end to be seen", || async { (reader.bus.end().await.ok()? >= end_of(&old)).then_some(()) }).await;
    let mut now = subscribe(&*reader.bus, &EventFilter::default(), StartAt::Now).await;
    let new = append_many(&*writer.events, &actor("account", "bert"), 3, "").await;
    assert_eq!(told_to(&mut now, end_of(&new)).await, new);
    assert_eq!(told_to(&mut behind, end_of(&new)).await, [&old[3..], &new].concat());
}

async fn a_subscriber_is_told_only_what_it_asked_for(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let whose = |of| EventFilter { of, ..EventFilter::default() };
    let (anna, ann) = (actor("account", "anna"), actor("account", "ann"));
    let (other, odd) = (actor("accounts", "anna"), actor("account", "a.nna"));
    let named = EventFilter { of: Whose::Kind(anna.key.kind.clone()), name: Some("opened".into()), eventless: false };
    let filters = [
        whose(Whose::Everybody),
        whose(Whose::Kind(anna.key.kind.clone())),
        whose(Whose::Actor(anna.clone())),
        whose(Whose::Actor(odd.clone())),
        named,
        EventFilter { eventless: true, ..whose(Whose::Actor(odd.clone())) },
    ];
    let mut subscriptions = vec![];
    for filter in &filters {
        subscriptions.push(subscribe(&*reader.bus, filter, StartAt::Beginning).await);
    }
    let mut written = vec![];
    for (actor, name) in [(&anna, "opened"), (&ann, "closed"), (&other, "opened"), (&odd, "opened")] {
        written.extend(append_many(&*writer.events, actor, 5, name).await);
    }
    // A record that only confirms ownership holds no event.
    let (_, last) = written[19].clone();
    let confirm = CommitRecord { events: vec![], ..commit(99, Version(5), last.at) };
    let at = settle::commit(&*writer.events, &odd, &confirm, last.at.sequence).await.expect("nobody else writes it");
    written.push((odd.clone(), StoredCommit { record: confirm, at }));
    for (filter, updates) in filters.iter().zip(&mut subscriptions) {
        let expected = written.iter().filter(|(actor, stored)| {
            let events = &stored.record.events;
            let taken = events.iter().all(|event| filter.takes_event(event));
            filter.takes_actor(actor) && taken && (filter.eventless || !events.is_empty())
        });
        let expected: Vec<_> = expected.cloned().collect();
        assert!(!expected.is_empty());
        assert_eq!(told_to(updates, at.sequence).await, expected, "by {filter:?}");
    }
}

async fn a_subscriber_learns_that_what_it_does_not_want_has_gone_by(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let wants = EventFilter { of: Whose::Kind(actor("account", "anna").key.kind), ..EventFilter::default() };
    let mut updates = subscribe(&*ports.bus, &wants, StartAt::Beginning).await;
    for round in 0..3 {
        let unwanted = append_many(&*ports.events, &actor("odd", &format!("o-{round}")), 20, "").await;
        assert_eq!(told_to(&mut updates, end_of(&unwanted)).await, []);
    }
    let wanted = append_many(&*ports.events, &actor("account", "anna"), 1, "").await;
    assert_eq!(told_to(&mut updates, end_of(&wanted)).await, wanted);
}

async fn many_writers_are_told_to_every_subscriber_in_one_order(world: Arc<dyn World>) {
    let place = place(&world).await;
    let reader = connect(&*place, "reader").await;
    let mut early = subscribe(&*reader.bus, &EventFilter::default(), StartAt::Beginning).await;
    let writing = (0..WRITERS).map(|nth| {
        let place = &place;
        async move {
            let ports = connect(&**place, &format!("writer-{nth}")).await;
            append_many(&*ports.events, &actor("account", &format!("acc-{nth}")), COMMITS, "").await
        }
    });
    let written = join_all(writing).await;
    let end = written.iter().map(|of_one| end_of(of_one)).max().unwrap_or(NOTHING);
    let mut late = subscribe(&*reader.bus, &EventFilter::default(), StartAt::Beginning).await;
    let told = told_to(&mut early, end).await;
    assert_eq!(told_to(&mut late, end).await, told);
    let mut by_actor: BTreeMap<ActorAddress, Vec<Told>> = BTreeMap::new();
    for one in told {
        by_actor.entry(one.0.clone()).or_default().push(one);
    }
    assert_eq!(by_actor.into_values().collect::<Vec<_>>(), written);
}

async fn namespaces_never_mix(world: Arc<dyn World>) {
    let (one, two) = (place(&world).await, place(&world).await);
    let (in_one, in_two) = (connect(&*one, "a").await, connect(&*two, "a").await);
    let mut updates = subscribe(&*in_two.bus, &EventFilter::default(), StartAt::Beginning).await;
    append_many(&*in_one.events, &actor("account", "anna"), 5, "").await;
    let written = append_many(&*in_two.events, &actor("account", "anna"), 1, "").await;
    assert_eq!(told_to(&mut updates, end_of(&written)).await, written);
}

async fn the_end_is_where_the_last_commit_is(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    assert_eq!(until("an end", || async { ports.bus.end().await.ok() }).await, NOTHING);
    let at = settle::commit(&*ports.events, &actor("account", "anna"), &first_commit(1), NOTHING).await;
    let at = at.expect("nobody else writes it");
    until("the end to be seen", || async { (ports.bus.end().await.ok()? == at.sequence).then_some(()) }).await;
}

async fn a_subscriber_that_was_cut_off_is_told_what_it_missed(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut updates = subscribe(&*reader.bus, &EventFilter::default(), StartAt::Beginning).await;
    let before = append_many(&*writer.events, &actor("account", "anna"), 3, "").await;
    assert_eq!(told_to(&mut updates, end_of(&before)).await, before);
    faults(&*place).cut(&life("b", 1).node);
    let missed = append_many(&*writer.events, &actor("account", "bert"), 3, "").await;
    assert!(reader.bus.subscribe(&EventFilter::default(), StartAt::Now).await.is_err());
    faults(&*place).heal(&life("b", 1).node);
    assert_eq!(told_to(&mut updates, end_of(&missed)).await, missed);
}

//! What a caller is told when answers are lost and connections are cut, and how it finds out the truth.

use std::sync::Arc;

use aether_domain::ids::Version;
use aether_domain::ports::{AppendError, ControlUpdate, Delivery, Expected, ReadError, WriteError};
use aether_domain::records::{ControlKey, Position};
use aether_domain::testing::life;
use aether_infra_memory::{Loss, Target};

use super::control::{read, record_of};
use super::events::{nonces, read_to};
use super::{case, connect, place};
use crate::samples::{NOTHING, actor, ask, commit, entry, first_commit, lease, member};
use crate::settle::{self, Lost};
use crate::wait::{next, until};
use crate::{Case, Faults, Place, World};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("control", a_lost_acknowledgement_is_unknown_and_found_by_its_nonce, Faults),
        case!("control", a_write_lost_on_the_way_is_unknown_and_can_be_sent_again, Faults),
        case!("control", a_late_write_is_stored_only_if_nobody_wrote_meanwhile, Faults),
        case!("control", a_node_cut_off_learns_what_it_missed, Faults),
        case!("log", a_lost_acknowledgement_of_an_entry_is_found_by_its_nonce, Faults),
        case!("log", a_late_entry_never_forks_the_log, Faults),
        case!("events", an_own_commit_is_found_below_a_newer_owners_tail, Faults),
        case!("events", a_late_commit_never_forks_a_history, Faults),
        case!("transport", messages_to_a_node_cut_off_are_lost_and_it_goes_on_after, Faults),
    ]
}

pub(super) fn faults(place: &dyn Place) -> &dyn Faults {
    place.faults().expect("the case runs only where faults can be had")
}

async fn a_lost_acknowledgement_is_unknown_and_found_by_its_nonce(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Control, Loss::Stored);
    let record = lease(&life("a", 1), 77);
    let outcome = until_heard(|| ports.control.write(&record, Expected::Absent)).await;
    assert!(matches!(outcome, Err(WriteError::Unknown { .. })), "{outcome:?}");
    let found = until("a read", || async { ports.control.read(&ControlKey::Lease).await.ok() }).await;
    let found = found.expect("the write was stored");
    assert_eq!(found.record.nonce(), record.nonce());
    let again = ports.control.write(&record, Expected::Absent).await;
    assert!(!matches!(again, Ok(_) | Err(WriteError::Unknown { .. })), "the same write cannot happen twice: {again:?}");
    settle::write(&*ports.control, &lease(&life("a", 1), 78), Expected::At(found.revision)).await.expect("goes on");
}

async fn a_write_lost_on_the_way_is_unknown_and_can_be_sent_again(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Control, Loss::NotStored);
    let record = lease(&life("a", 1), 77);
    let outcome = until_heard(|| ports.control.write(&record, Expected::Absent)).await;
    assert!(matches!(outcome, Err(WriteError::Unknown { .. })), "{outcome:?}");
    let found = until("a read", || async { ports.control.read(&ControlKey::Lease).await.ok() }).await;
    assert_eq!(record_of(found), None);
    settle::write(&*ports.control, &record, Expected::Absent).await.expect("the same write, sent again");
}

async fn a_late_write_is_stored_only_if_nobody_wrote_meanwhile(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (late, newer) = (lease(&life("a", 1), 1), lease(&life("b", 1), 2));
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Control, Loss::Late);
    let outcome = until_heard(|| a.control.write(&late, Expected::Absent)).await;
    assert!(matches!(outcome, Err(WriteError::Unknown { .. })), "{outcome:?}");
    let revision = settle::write(&*b.control, &newer, Expected::Absent).await.expect("the late one is not there yet");
    faults(&*place).land_late_writes();
    assert_eq!(read(&*a.control, &ControlKey::Lease, revision).await.record, newer);

    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Control, Loss::Late);
    let outcome = until_heard(|| a.control.write(&late, Expected::At(revision))).await;
    assert!(matches!(outcome, Err(WriteError::Unknown { .. })), "{outcome:?}");
    faults(&*place).land_late_writes();
    assert_eq!(read(&*b.control, &ControlKey::Lease, revision.next()).await.record, late);
}

async fn a_node_cut_off_learns_what_it_missed(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (of_a, of_b) = (life("a", 1), life("b", 1));
    let mut updates = b.control.watch().await.expect("a watch begins");
    assert_eq!(next("the end of an empty list", &mut updates).await, ControlUpdate::CaughtUp);
    faults(&*place).cut(&of_b.node);
    assert_eq!(next("word of the cut", &mut updates).await, ControlUpdate::Interrupted);
    let mut revision = settle::write(&*a.control, &member(&of_a, 1), Expected::Absent).await.expect("a is not cut");
    for heartbeat in 2..=9 {
        let expected = Expected::At(revision);
        revision = settle::write(&*a.control, &member(&of_a, heartbeat), expected).await.expect("a is not cut");
    }
    let written = b.control.write(&member(&of_b, 1), Expected::Absent).await;
    assert!(matches!(written, Err(WriteError::Unknown { .. } | WriteError::Unavailable { .. })), "{written:?}");
    let read = b.control.read(&ControlKey::Lease).await;
    assert!(matches!(read, Err(ReadError::Unavailable { .. })), "{read:?}");
    faults(&*place).heal(&of_b.node);
    loop {
        let ControlUpdate::Record(stored) = next("what was missed", &mut updates).await else { continue };
        if stored.revision == revision {
            assert_eq!(stored.record, member(&of_a, 9));
            break;
        }
    }
    // Silence means something again only from here on.
    while next("the end of what was missed", &mut updates).await != ControlUpdate::CaughtUp {}
}

async fn a_lost_acknowledgement_of_an_entry_is_found_by_its_nonce(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Log, Loss::Stored);
    let first = entry(7, Position::default());
    let outcome = until_heard_append(|| ports.log.append(&first, NOTHING)).await;
    assert!(matches!(outcome, Err(AppendError::Unknown { .. })), "{outcome:?}");
    let found = until("a read", || async { ports.log.read(NOTHING, 10).await.ok() }).await;
    assert_eq!(found.iter().map(|stored| stored.entry.nonce.0).collect::<Vec<_>>(), [7]);
    // Sent again unchanged it settles on the very same position.
    assert_eq!(settle::append(&*ports.log, &first, NOTHING).await, Ok(found[0].at));
}

async fn a_late_entry_never_forks_the_log(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Log, Loss::Late);
    let late = entry(1, Position::default());
    let outcome = until_heard_append(|| a.log.append(&late, NOTHING)).await;
    assert!(matches!(outcome, Err(AppendError::Unknown { .. })), "{outcome:?}");
    settle::append(&*b.log, &entry(2, Position::default()), NOTHING).await.expect("the log is empty");
    faults(&*place).land_late_writes();
    let found = until("a read", || async { a.log.read(NOTHING, 10).await.ok() }).await;
    assert_eq!(found.iter().map(|stored| stored.entry.nonce.0).collect::<Vec<_>>(), [2]);
}

async fn an_own_commit_is_found_below_a_newer_owners_tail(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let anna = actor("account", "anna");
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Events, Loss::Stored);
    let own = first_commit(1);
    let outcome = until_heard_append(|| a.events.append(&anna, &own, NOTHING)).await;
    assert!(matches!(outcome, Err(AppendError::Unknown { .. })), "{outcome:?}");
    let seen = until("b to see it", || async { b.events.read_fresh(&anna, NOTHING).await.ok()?.pop() }).await;
    let newer = commit(2, Version(1), seen.at);
    let tail = settle::commit(&*b.events, &anna, &newer, seen.at.sequence).await.expect("b continues the history");
    // The owner that never heard looks through everything behind its expectation, not only at the tail.
    assert_eq!(settle::commit(&*a.events, &anna, &own, NOTHING).await, Ok(seen.at));
    assert_eq!(nonces(&read_to(&*a.events, &anna, tail.sequence).await), [1, 2]);
}

async fn a_late_commit_never_forks_a_history(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let anna = actor("account", "anna");
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Events, Loss::Late);
    let late = first_commit(1);
    let outcome = until_heard_append(|| a.events.append(&anna, &late, NOTHING)).await;
    assert!(matches!(outcome, Err(AppendError::Unknown { .. })), "{outcome:?}");
    let tail = settle::commit(&*b.events, &anna, &first_commit(2), NOTHING).await.expect("nothing is stored yet");
    faults(&*place).land_late_writes();
    assert_eq!(nonces(&read_to(&*a.events, &anna, tail.sequence).await), [2]);
    assert_eq!(settle::commit(&*a.events, &anna, &late, NOTHING).await, Err(Lost));
}

async fn messages_to_a_node_cut_off_are_lost_and_it_goes_on_after(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (life("a", 1), life("b", 1));
    let mut inbox = at_b.transport.listen(&b).await.expect("b begins to listen");
    faults(&*place).cut(&b.node);
    at_a.transport.send(&a, &b, vec![ask(1)]).await.expect("a is not cut");
    assert!(at_b.transport.send(&b, &a, vec![ask(2)]).await.is_err(), "b knows it is not connected");
    faults(&*place).heal(&b.node);
    at_a.transport.send(&a, &b, vec![ask(3)]).await.expect("a is not cut");
    assert_eq!(next("a message", &mut inbox).await, Delivery::Frames { from: a, frames: vec![ask(3)] });
}

/// Tries until the write meets no election and no write in flight, so that what it meets is the fault of the case.
pub(super) async fn until_heard<T, F: Future<Output = Result<T, WriteError>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, WriteError> {
    loop {
        match attempt().await {
            Err(WriteError::Unavailable { .. } | WriteError::Conflict { actual: None }) => {}
            certain => return certain,
        }
    }
}

/// As [`until_heard`], for appends.
async fn until_heard_append<T, F: Future<Output = Result<T, AppendError>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, AppendError> {
    loop {
        match attempt().await {
            Err(AppendError::Unavailable { .. } | AppendError::Conflict { actual: None, .. }) => {}
            certain => return certain,
        }
    }
}

//! The checkpoints of feeds: one record a feed, under compare-and-set.

use std::sync::Arc;

use aether_domain::ids::{FeedName, Nonce, Revision, Sequence};
use aether_domain::ports::{CheckpointStore, Expected, WriteError};
use aether_domain::records::{Checkpoint, FeedState, StoredCheckpoint};
use aether_domain::testing::life;
use aether_infra_memory::{Loss, Target};
use futures_util::future::join_all;

use super::faults::{faults, until_heard};
use super::{case, connect, place, winners};
use crate::settle::{self, Lost};
use crate::wait::until;
use crate::{Case, World};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("checkpoints", a_feed_that_never_began_has_none),
        case!("checkpoints", a_write_names_the_present_record_or_is_refused),
        case!("checkpoints", of_ten_who_take_a_feed_one_wins),
        case!("checkpoints", every_feeds_record_is_listed_by_name),
        case!("checkpoints", namespaces_never_mix),
        case!("checkpoints", a_lost_acknowledgement_is_unknown_and_found_by_its_nonce, Faults),
        case!("checkpoints", a_late_write_of_a_former_owner_changes_nothing, Faults),
    ]
}

fn feed(name: &str) -> FeedName {
    FeedName::new(name).expect("the case names a valid feed")
}

fn checkpoint(name: &str, position: u64, nonce: u64) -> Checkpoint {
    let (owner, state) = (life("a", 1), FeedState::Held);
    Checkpoint { feed: feed(name), position: Sequence(position), owner, nonce: Nonce(nonce), state }
}

async fn write(store: &dyn CheckpointStore, record: &Checkpoint, expected: Expected) -> Result<Revision, Lost> {
    settle::checkpoint(store, record, expected).await
}

/// The feed's record, once it is the one of that revision.
async fn read(store: &dyn CheckpointStore, name: &str, revision: Revision) -> Checkpoint {
    let look = || async { store.read(&feed(name)).await.ok()?.filter(|found| found.revision == revision) };
    until("the record", look).await.checkpoint
}

async fn a_feed_that_never_began_has_none(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let found = until("a read", || async { ports.checkpoints.read(&feed("totals")).await.ok() }).await;
    assert_eq!(found, None);
    assert_eq!(until("a list", || async { ports.checkpoints.all().await.ok() }).await, []);
}

async fn a_write_names_the_present_record_or_is_refused(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let odd = Checkpoint {
        position: Sequence(u64::MAX),
        owner: life(&"n".repeat(32), u64::MAX),
        nonce: Nonce(u64::MAX),
        state: FeedState::Released,
        ..checkpoint("totals", 0, 0)
    };
    let first = write(&*a.checkpoints, &checkpoint("totals", 5, 1), Expected::Absent).await.expect("it is new");
    assert_eq!(write(&*b.checkpoints, &checkpoint("totals", 6, 2), Expected::Absent).await, Err(Lost));
    // Another feed's record is another record.
    write(&*b.checkpoints, &checkpoint("total", 7, 3), Expected::Absent).await.expect("it is new");
    let second = write(&*b.checkpoints, &odd, Expected::At(first)).await.expect("that is the present one");
    assert!(second > first);
    assert_eq!(write(&*a.checkpoints, &checkpoint("totals", 8, 4), Expected::At(first)).await, Err(Lost));
    assert_eq!(read(&*a.checkpoints, "totals", second).await, odd);
}

async fn of_ten_who_take_a_feed_one_wins(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let start = write(&*ports.checkpoints, &checkpoint("totals", 1, 100), Expected::Absent).await.expect("it is new");
    let racing = (1..=10).map(|nonce| {
        let store = ports.checkpoints.clone();
        async move { write(&*store, &checkpoint("totals", 1, nonce), Expected::At(start)).await }
    });
    let outcomes = join_all(racing).await;
    assert_eq!(winners(&outcomes), 1, "{outcomes:?}");
}

async fn every_feeds_record_is_listed_by_name(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut written = vec![];
    for (name, nonce) in [("b", 1), ("a", 2), ("a-_9", 3)] {
        let record = checkpoint(name, nonce, nonce);
        let revision = write(&*ports.checkpoints, &record, Expected::Absent).await.expect("it is new");
        written.push(StoredCheckpoint { checkpoint: record, revision });
    }
    let expected = Expected::At(written[0].revision);
    written[0].checkpoint.position = Sequence(9);
    written[0].checkpoint.nonce = Nonce(9);
    written[0].revision = write(&*ports.checkpoints, &written[0].checkpoint, expected).await.expect("goes on");
    written.sort_by_key(|stored| stored.checkpoint.feed.clone());
    until("the list", || async { (ports.checkpoints.all().await.ok()? == written).then_some(()) }).await;
}

async fn namespaces_never_mix(world: Arc<dyn World>) {
    let (one, two) = (place(&world).await, place(&world).await);
    let (in_one, in_two) = (connect(&*one, "a").await, connect(&*two, "a").await);
    write(&*in_one.checkpoints, &checkpoint("totals", 1, 1), Expected::Absent).await.expect("it is new");
    write(&*in_two.checkpoints, &checkpoint("totals", 2, 2), Expected::Absent).await.expect("it is new there too");
}

async fn a_lost_acknowledgement_is_unknown_and_found_by_its_nonce(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Checkpoints, Loss::Stored);
    let record = checkpoint("totals", 5, 77);
    let outcome = until_heard(|| ports.checkpoints.write(&record, Expected::Absent)).await;
    assert!(matches!(outcome, Err(WriteError::Unknown { .. })), "{outcome:?}");
    let found = until("the record", || async { ports.checkpoints.read(&feed("totals")).await.ok()? }).await;
    assert_eq!(found.checkpoint, record);
}

async fn a_late_write_of_a_former_owner_changes_nothing(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let first = write(&*a.checkpoints, &checkpoint("totals", 5, 1), Expected::Absent).await.expect("it is new");
    faults(&*place).lose_next_ack(&life("a", 1).node, Target::Checkpoints, Loss::Late);
    let late = checkpoint("totals", 9, 2);
    let outcome = until_heard(|| a.checkpoints.write(&late, Expected::At(first))).await;
    assert!(matches!(outcome, Err(WriteError::Unknown { .. })), "{outcome:?}");
    let taken = checkpoint("totals", 5, 3);
    let revision = write(&*b.checkpoints, &taken, Expected::At(first)).await.expect("the late one is not there yet");
    faults(&*place).land_late_writes();
    assert_eq!(read(&*a.checkpoints, "totals", revision).await, taken);
}

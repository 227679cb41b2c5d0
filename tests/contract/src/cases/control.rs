//! The control store: compare-and-set on small records, and the watch over all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::ids::{Epoch, Revision, ShardId};
use aether_domain::ports::{ControlStore, ControlUpdate, Expected, Updates};
use aether_domain::records::{ControlKey, ControlRecord, StoredRecord};
use aether_domain::testing::life;
use futures_util::future::join_all;

use super::{case, connect, place, winners};
use crate::samples::{lease, member, odd_control_records, release, snapshot};
use crate::settle::{self, Lost};
use crate::wait::{next, until};
use crate::{Case, World};

/// How many rounds two connections race.
const ROUNDS: u64 = 1_000;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("control", a_key_never_written_reads_as_nothing),
        case!("control", expecting_absence_writes_once),
        case!("control", the_present_revision_is_replaced_and_an_old_one_refused),
        case!("control", a_revision_of_a_key_never_written_is_refused),
        case!("control", a_refused_write_changes_nothing),
        case!("control", revisions_grow_over_all_keys),
        case!("control", of_ten_who_create_one_wins),
        case!("control", in_a_thousand_races_of_two_each_has_one_winner),
        case!("control", records_of_every_shape_read_back_bit_for_bit),
        case!("control", three_kinds_of_record_of_one_node_are_three_keys),
        case!("control", a_watch_lists_what_is_there_and_says_so_and_goes_on),
        case!("control", a_watch_of_nothing_is_caught_up_at_once),
        case!("control", a_watch_begun_later_is_told_the_last_of_each_key),
        case!("control", a_slow_watcher_misses_no_last_record),
        case!("control", a_watch_tells_nothing_of_the_topology_snapshot),
        case!("control", every_connection_sees_the_same_last_records),
    ]
}

async fn a_key_never_written_reads_as_nothing(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let of_node = [ControlKey::Member(life("a", 1).node), ControlKey::Release(life("a", 1).node)];
    for key in of_node.into_iter().chain([
        ControlKey::Lease,
        ControlKey::TopologySnapshot,
        ControlKey::Placement,
        ControlKey::Orders,
    ]) {
        assert_eq!(read_now(&*ports.control, &key).await, None, "{key:?}");
    }
}

async fn expecting_absence_writes_once(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let first = settle::write(&*a.control, &lease(&life("a", 1), 1), Expected::Absent).await;
    assert!(first.is_ok_and(|revision| revision > Revision::ZERO));
    let own_again = settle::write(&*a.control, &lease(&life("a", 1), 2), Expected::Absent).await;
    assert_eq!(own_again, Err(Lost));
    assert_eq!(settle::write(&*b.control, &lease(&life("b", 1), 3), Expected::Absent).await, Err(Lost));
}

async fn the_present_revision_is_replaced_and_an_old_one_refused(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let a = life("a", 1);
    let first = settle::write(&*ports.control, &member(&a, 1), Expected::Absent).await.expect("nobody else writes");
    let second = settle::write(&*ports.control, &member(&a, 2), Expected::At(first)).await.expect("it is there");
    assert!(second > first);
    assert_eq!(settle::write(&*ports.control, &member(&a, 3), Expected::At(first)).await, Err(Lost));
    assert_eq!(settle::write(&*ports.control, &member(&a, 4), Expected::At(second.next())).await, Err(Lost));
    let zero = Expected::At(Revision::ZERO);
    assert_eq!(settle::write(&*ports.control, &member(&a, 5), zero).await, Err(Lost));
    settle::write(&*ports.control, &member(&a, 6), Expected::At(second)).await.expect("refusals changed nothing");
}

async fn a_revision_of_a_key_never_written_is_refused(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let other = settle::write(&*ports.control, &lease(&life("a", 1), 1), Expected::Absent).await.expect("is free");
    let missing = settle::write(&*ports.control, &member(&life("a", 1), 2), Expected::At(other)).await;
    assert_eq!(missing, Err(Lost), "another key's revision is not this key's");
}

async fn a_refused_write_changes_nothing(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let written = lease(&life("a", 1), 1);
    let revision = settle::write(&*ports.control, &written, Expected::Absent).await.expect("is free");
    let refused = settle::write(&*ports.control, &lease(&life("b", 1), 2), Expected::Absent).await;
    assert_eq!(refused, Err(Lost));
    let found = read(&*ports.control, &ControlKey::Lease, revision).await;
    assert_eq!(found, StoredRecord { record: written, revision });
}

async fn revisions_grow_over_all_keys(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut last = Revision::ZERO;
    for nth in 1..=20 {
        let record = match nth % 3 {
            0 => member(&life("a", nth), nth),
            1 => release(&life("a", nth), nth, vec![]),
            _ => lease(&life("a", 1), nth),
        };
        let expected = match read_now(&*ports.control, &record.key()).await {
            Some(stored) => Expected::At(stored.revision),
            None => Expected::Absent,
        };
        // The read may have been stale; a settled write then loses and the next round reads again.
        if let Ok(revision) = settle::write(&*ports.control, &record, expected).await {
            assert!(revision > last, "{revision} after {last}");
            last = revision;
        }
    }
    assert!(last > Revision::ZERO);
}

async fn of_ten_who_create_one_wins(world: Arc<dyn World>) {
    let place = place(&world).await;
    let connections = join_all((0..10).map(|nth| connect_nth(&*place, nth))).await;
    let racing = connections.iter().zip(1..).map(|(ports, nonce)| async move {
        let record = lease(&life("a", nonce), nonce);
        settle::write(&*ports.control, &record, Expected::Absent).await.map(|revision| (revision, record))
    });
    let outcomes = join_all(racing).await;
    assert_eq!(winners(&outcomes), 1, "{outcomes:?}");
    let (revision, record) = outcomes.into_iter().find_map(Result::ok).expect("one won");
    assert_eq!(read(&*connections[0].control, &ControlKey::Lease, revision).await.record, record);
}

async fn connect_nth(place: &dyn crate::Place, nth: usize) -> aether_domain::ports::Ports {
    connect(place, &format!("racer-{nth}")).await
}

async fn in_a_thousand_races_of_two_each_has_one_winner(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut expected = Expected::Absent;
    let mut wins = [0, 0];
    for round in 0..ROUNDS {
        let (of_a, of_b) = (lease(&life("a", 1), 2 * round + 1), lease(&life("b", 1), 2 * round + 2));
        let racing = (settle::write(&*a.control, &of_a, expected), settle::write(&*b.control, &of_b, expected));
        let outcome = tokio::join!(racing.0, racing.1);
        let (winner, revision) = match outcome {
            (Ok(revision), Err(Lost)) => (0, revision),
            (Err(Lost), Ok(revision)) => (1, revision),
            other => panic!("round {round} ended {other:?}"),
        };
        wins[winner] += 1;
        expected = Expected::At(revision);
    }
    assert_eq!(wins[0] + wins[1], ROUNDS);
}

async fn records_of_every_shape_read_back_bit_for_bit(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, reader) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut revisions: BTreeMap<ControlKey, Revision> = BTreeMap::new();
    for record in odd_control_records() {
        let key = record.key();
        let expected = revisions.get(&key).map_or(Expected::Absent, |revision| Expected::At(*revision));
        let revision = settle::write(&*writer.control, &record, expected).await.expect("nobody else writes");
        let found = read(&*reader.control, &key, revision).await;
        assert_eq!(found, StoredRecord { record, revision });
        revisions.insert(key, revision);
    }
}

async fn three_kinds_of_record_of_one_node_are_three_keys(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "lease").await;
    // A node may be called what a key is called.
    let node = life("lease", 1);
    for record in [lease(&node, 1), member(&node, 2), release(&node, 3, vec![(ShardId(1).into(), Epoch(1))])] {
        let written = settle::write(&*ports.control, &record, Expected::Absent).await;
        assert!(written.is_ok(), "{:?} was taken by another", record.key());
    }
}

async fn a_watch_lists_what_is_there_and_says_so_and_goes_on(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let (a, b) = (life("a", 1), life("b", 1));
    let mut at_a = settle::write(&*ports.control, &member(&a, 1), Expected::Absent).await.expect("is free");
    settle::write(&*ports.control, &member(&b, 1), Expected::Absent).await.expect("is free");
    let mut updates = ports.control.watch().await.expect("a watch begins");
    let listed = listing(&mut updates).await;
    assert_eq!(listed.keys().collect::<Vec<_>>(), [&member(&a, 1).key(), &member(&b, 1).key()]);
    let mut seen = at_a;
    for heartbeat in 2..=30 {
        at_a = settle::write(&*ports.control, &member(&a, heartbeat), Expected::At(at_a)).await.expect("is ours");
    }
    while seen < at_a {
        let ControlUpdate::Record(stored) = next("the last heartbeat", &mut updates).await else { continue };
        assert_eq!(stored.record.key(), member(&a, 1).key());
        assert!(stored.revision >= seen, "updates of one key come in order");
        seen = stored.revision;
        if seen == at_a {
            assert_eq!(stored.record, member(&a, 30));
        }
    }
}

async fn a_watch_of_nothing_is_caught_up_at_once(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut updates = ports.control.watch().await.expect("a watch begins");
    assert_eq!(next("the end of an empty list", &mut updates).await, ControlUpdate::CaughtUp);
    let revision =
        settle::write(&*ports.control, &lease(&life("a", 1), 1), Expected::Absent).await.expect("nobody else writes");
    let record = lease(&life("a", 1), 1);
    let first = next("the first record", &mut updates).await;
    assert_eq!(first, ControlUpdate::Record(StoredRecord { record, revision }));
}

async fn a_watch_begun_later_is_told_the_last_of_each_key(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, watcher) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let lasts = write_three_keys(&*writer.control, 5).await;
    let mut updates = watcher.control.watch().await.expect("a watch begins");
    assert_eq!(listing(&mut updates).await, lasts);
}

async fn a_slow_watcher_misses_no_last_record(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (writer, watcher) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut updates = watcher.control.watch().await.expect("a watch begins");
    // Nothing is taken from the watch while all this is written.
    let lasts = write_three_keys(&*writer.control, 200).await;
    follow_to(&mut updates, &lasts).await;
}

async fn a_watch_tells_nothing_of_the_topology_snapshot(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let first = snapshot(16, Epoch(20), 1);
    let at = settle::write(&*ports.control, &first, Expected::Absent).await.expect("is free");
    let mut updates = ports.control.watch().await.expect("a watch begins");
    assert_eq!(listing(&mut updates).await, BTreeMap::new());
    let second = snapshot(16, Epoch(21), 2);
    let revision = settle::write(&*ports.control, &second, Expected::At(at)).await.expect("it is there");
    assert_eq!(settle::write(&*ports.control, &first, Expected::At(at)).await, Err(Lost), "it is under comparison");
    let last = lease(&life("a", 1), 1);
    let lease_at = settle::write(&*ports.control, &last, Expected::Absent).await.expect("is free");
    let told = next("the lease", &mut updates).await;
    assert_eq!(told, ControlUpdate::Record(StoredRecord { record: last, revision: lease_at }));
    let found = read(&*ports.control, &ControlKey::TopologySnapshot, revision).await;
    assert_eq!(found, StoredRecord { record: second, revision });
}

async fn every_connection_sees_the_same_last_records(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b, c) = (connect(&*place, "a").await, connect(&*place, "b").await, connect(&*place, "c").await);
    let mut watches = vec![];
    for ports in [&a, &b, &c] {
        watches.push(ports.control.watch().await.expect("a watch begins"));
    }
    let lasts = write_three_keys(&*a.control, 20).await;
    for updates in &mut watches {
        follow_to(updates, &lasts).await;
    }
}

/// Writes a lease, a member and a release record `times` each and answers the last of each.
async fn write_three_keys(control: &dyn ControlStore, times: u64) -> BTreeMap<ControlKey, StoredRecord> {
    let a = life("a", 1);
    let mut lasts: BTreeMap<ControlKey, StoredRecord> = BTreeMap::new();
    for nth in 1..=times {
        for record in [lease(&a, nth), member(&a, nth), release(&a, nth, vec![(ShardId(3).into(), Epoch(nth))])] {
            let key = record.key();
            let expected = lasts.get(&key).map_or(Expected::Absent, |stored| Expected::At(stored.revision));
            let revision = settle::write(control, &record, expected).await.expect("nobody else writes");
            lasts.insert(key, StoredRecord { record, revision });
        }
    }
    lasts
}

/// What a new watch tells before it is caught up.
async fn listing(updates: &mut Updates<ControlUpdate>) -> BTreeMap<ControlKey, StoredRecord> {
    let mut listed = BTreeMap::new();
    loop {
        match next("the end of the list", updates).await {
            ControlUpdate::Record(stored) => {
                listed.insert(stored.record.key(), stored);
            }
            ControlUpdate::CaughtUp => return listed,
            ControlUpdate::Interrupted => {}
            ControlUpdate::Corrupt { key, reason } => panic!("{key} is corrupt: {reason}"),
        }
    }
}

/// Takes updates until each key's last record is as given; per key they must come in order.
async fn follow_to(updates: &mut Updates<ControlUpdate>, lasts: &BTreeMap<ControlKey, StoredRecord>) {
    let mut seen: BTreeMap<ControlKey, StoredRecord> = BTreeMap::new();
    while seen != *lasts {
        let ControlUpdate::Record(stored) = next("each key's last record", updates).await else { continue };
        let before = seen.insert(stored.record.key(), stored.clone());
        assert!(before.is_none_or(|before| before.revision <= stored.revision), "updates of one key come in order");
    }
}

/// What is under a key, once the store is readable.
async fn read_now(control: &dyn ControlStore, key: &ControlKey) -> Option<StoredRecord> {
    until("a read", || async { control.read(key).await.ok() }).await
}

/// Reads until the key is at that revision.
pub(super) async fn read(control: &dyn ControlStore, key: &ControlKey, revision: Revision) -> StoredRecord {
    let look = || async {
        let found = control.read(key).await.ok().flatten()?;
        (found.revision >= revision).then_some(found)
    };
    until("a record to be readable", look).await
}

/// The record of a stored one, for comparison.
pub(super) fn record_of(stored: Option<StoredRecord>) -> Option<ControlRecord> {
    stored.map(|stored| stored.record)
}

//! Whatever it begins with, a stream reads the same; what differs is how many records are read.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;

use super::super::{AppendFailed, Draft, Journal, Nonces, stream};
use crate::ids::{ActorAddress, Incarnation, Sequence, Version};
use crate::ports::{
    AppendError, BusUpdate, EventBus, EventFilter, EventStore, ReadError, SaveError, SnapshotStore, StartAt, Updates,
};
use crate::records::{ActorSnapshot, CommitRecord, EventRecord, Head, PayloadCodec, Position, StoredCommit};
use crate::time::WallTime;

/// One stream in memory, which counts what is read of it.
#[derive(Default)]
struct Shelf {
    commits: Mutex<Vec<StoredCommit>>,
    snapshots: Mutex<Vec<ActorSnapshot>>,
    read: Mutex<usize>,
}

#[async_trait]
impl EventStore for Shelf {
    async fn append(&self, _: &ActorAddress, record: &CommitRecord, after: Sequence) -> Result<Position, AppendError> {
        let mut commits = self.commits.lock().expect("nobody panics");
        let last = commits.last().map_or(Sequence::ZERO, |commit| commit.at.sequence);
        assert_eq!(last, after, "nobody else writes here");
        // Others' records are between them.
        let at = Position { sequence: Sequence(last.0 + 3), hash: last.0 * 31 + record.nonce.0 };
        commits.push(StoredCommit { record: record.clone(), at });
        Ok(at)
    }
    async fn read(&self, _: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        let commits = self.commits.lock().expect("nobody panics");
        let found: Vec<_> = commits.iter().filter(|commit| commit.at.sequence > after).cloned().collect();
        *self.read.lock().expect("nobody panics") += found.len();
        Ok(found)
    }
    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.read(actor, after).await
    }
}

#[async_trait]
impl SnapshotStore for Shelf {
    async fn save(&self, _: &ActorAddress, snapshot: &ActorSnapshot) -> Result<(), SaveError> {
        self.snapshots.lock().expect("nobody panics").push(snapshot.clone());
        Ok(())
    }
    async fn load(&self, _: &ActorAddress, up_to: Sequence) -> Result<Option<ActorSnapshot>, ReadError> {
        let snapshots = self.snapshots.lock().expect("nobody panics");
        let fits = snapshots.iter().filter(|snapshot| snapshot.at.sequence <= up_to);
        Ok(fits.max_by_key(|snapshot| snapshot.at.sequence).cloned())
    }
}

#[async_trait]
impl EventBus for Shelf {
    async fn subscribe(&self, _: &EventFilter, _: StartAt) -> Result<Updates<BusUpdate>, ReadError> {
        Ok(Box::pin(futures_util::stream::empty()))
    }
    async fn end(&self) -> Result<Sequence, ReadError> {
        Ok(Sequence::ZERO)
    }
}

/// A journal that knows nothing yet.
fn journal(shelf: &Arc<Shelf>) -> Journal {
    Journal {
        events: shelf.clone(),
        snapshots: shelf.clone(),
        bus: shelf.clone(),
        writer: Incarnation(1),
        nonces: Arc::new(Nonces { seed: 7, given: 0.into() }),
        versions: Arc::default(),
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing here waits")
}

fn order() -> ActorAddress {
    stream("order", "1").expect("names")
}

fn append(journal: &Journal, expected: u64, events: u64) -> Result<Head, AppendFailed> {
    let event = |nth| EventRecord { schema: 1, name: format!("e{nth}").into(), payload: Bytes::new() };
    let events = (expected + 1..=expected + events).map(event).collect();
    let draft = Draft { codec: PayloadCodec::Json, at: WallTime::default(), events };
    now(journal.append(&order(), Version(expected), draft))
}

fn save(journal: &Journal, head: Head) {
    now(journal.save(&order(), head, 1, PayloadCodec::Json, Bytes::from_static(b"{}"))).expect("it is kept");
}

impl Shelf {
    /// A stream of `records` records of two events each, and where each of them ends.
    fn filled(records: u64) -> (Arc<Self>, Journal, Vec<Head>) {
        let shelf = Arc::new(Self::default());
        let writer = journal(&shelf);
        let heads = (0..records).map(|nth| append(&writer, nth * 2, 2).expect("nobody else writes")).collect();
        (shelf, writer, heads)
    }
    /// How many records `reading` reads, and what comes of it.
    fn records_for<T>(&self, reading: impl Future<Output = Result<T, ReadError>>) -> (usize, T) {
        *self.read.lock().expect("nobody panics") = 0;
        let found = now(reading).expect("it is sound");
        (*self.read.lock().expect("nobody panics"), found)
    }
}

#[test]
fn a_stream_is_read_from_where_it_is_known_to_go_on() {
    let (shelf, writer, heads) = Shelf::filled(100);
    let order = order();
    let end = heads[99];
    assert_eq!(shelf.records_for(writer.head(&order)), (1, end), "the writer knows where it ends");
    assert_eq!(shelf.records_for(journal(&shelf).head(&order)), (100, end), "another one knows nothing");
    let (records, loaded) = shelf.records_for(writer.replay(&order, Version(200)));
    assert_eq!((records, loaded.events.len(), loaded.head), (1, 0, end));
    assert_eq!(shelf.records_for(writer.replay(&order, Version(199))).0, 100, "known is only what is behind it");
    let (records, loaded) = shelf.records_for(writer.replay_behind(&order, heads[89]));
    assert_eq!((records, loaded.events.len(), loaded.head), (11, 20, end));

    save(&writer, heads[59]);
    assert_eq!(shelf.records_for(journal(&shelf).head(&order)), (41, end), "a snapshot is near the end");
    assert_eq!(shelf.records_for(journal(&shelf).replay(&order, Version(130))).0, 41);
    assert_eq!(shelf.records_for(journal(&shelf).replay(&order, Version(119))).0, 100, "it is behind that");
    *shelf.read.lock().expect("nobody panics") = 0;
    append(&journal(&shelf), 200, 1).expect("nobody else writes");
    assert_eq!(*shelf.read.lock().expect("nobody panics"), 41, "an append that must ask reads no more");
    *shelf.read.lock().expect("nobody panics") = 0;
    let refused = append(&writer, 0, 1);
    assert!(matches!(refused, Err(AppendFailed::Conflict { actual: Version(201), .. })), "{refused:?}");
    assert_eq!(*shelf.read.lock().expect("nobody panics"), 2, "it is known that it is not new");
}

#[test]
fn whatever_it_begins_with_the_events_are_the_same() {
    let (shelf, writer, heads) = Shelf::filled(8);
    for kept in [None, Some(heads[2]), Some(heads[5])] {
        if let Some(head) = kept {
            save(&writer, head);
        }
        for version in 0..=17 {
            for journal in [journal(&shelf), writer.clone()] {
                let loaded = now(journal.replay(&order(), Version(version))).expect("it is sound");
                let versions: Vec<_> = loaded.events.iter().map(|event| event.version.0).collect();
                assert_eq!(versions, (version + 1..=16).collect::<Vec<_>>(), "behind {version}, {kept:?}");
                assert!(loaded.events.iter().all(|event| event.event.name == format!("e{}", event.version.0)));
                assert_eq!(loaded.head, heads[7]);
            }
        }
    }
    for head in heads.iter().copied().chain([Head::default()]) {
        let loaded = now(journal(&shelf).replay_behind(&order(), head)).expect("it is sound");
        assert_eq!(loaded.events.len() as u64, 16 - head.version.0);
    }
}

#[test]
fn what_is_known_of_a_history_that_is_gone_is_not_gone_on_from() {
    let (shelf, writer, heads) = Shelf::filled(8);
    save(&writer, heads[6]);
    // The store has lost its end; then another record stands there.
    shelf.commits.lock().expect("nobody panics").truncate(5);
    for another in [false, true] {
        if another {
            let ours = journal(&shelf);
            append(&ours, 10, 4).expect("nobody else writes");
            assert_eq!(shelf.commits.lock().expect("nobody panics")[5].at.sequence, heads[5].at.sequence);
        }
        let end = shelf.commits.lock().expect("nobody panics").last().map(StoredCommit::head).expect("records");
        for journal in [writer.clone(), journal(&shelf)] {
            assert_eq!(now(journal.head(&order())).expect("it is sound"), end);
            assert_eq!(journal.versions().latest(&order()), Some(end.version), "a fresh read has put it right");
            for head in [heads[5], heads[7]] {
                let behind = now(journal.replay_behind(&order(), head));
                assert!(matches!(behind, Err(ReadError::Corrupt { .. })), "what led to {head:?} is gone");
            }
            let loaded = now(journal.load(&order(), 1)).expect("it is sound");
            assert_eq!((loaded.snapshot, loaded.events.len() as u64), (None, end.version.0));
        }
    }
}

#[test]
fn damage_behind_what_it_begins_with_is_an_error() {
    let (shelf, writer, heads) = Shelf::filled(8);
    save(&writer, heads[2]);
    shelf.commits.lock().expect("nobody panics").remove(5);
    let order = order();
    let is_damaged = |found: Result<Head, ReadError>| matches!(found, Err(ReadError::Corrupt { .. }));
    assert!(is_damaged(now(journal(&shelf).head(&order))));
    for version in [0, 3, 6, 15] {
        assert!(
            is_damaged(now(journal(&shelf).replay(&order, Version(version))).map(|loaded| loaded.head)),
            "{version}"
        );
    }
    assert!(is_damaged(now(writer.replay_behind(&order, heads[3])).map(|loaded| loaded.head)));
    assert!(is_damaged(now(writer.load(&order, 1)).map(|loaded| loaded.head)));
}

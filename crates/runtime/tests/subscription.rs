//! Topology events for others, over the in-memory log: whole and in order, from anywhere, at anybody's pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aether_domain::assignment::AssignmentEvent;
use aether_domain::cluster::{ClusterEvent, RebalanceCause};
use aether_domain::ports::{AppendError, LogUpdate, ReadError, TopologyLog, Updates};
use aether_domain::records::{Entry, Format, Position, StoredEntry};
use aether_domain::testing::life;
use aether_domain::topology::TopologyEvent;
use aether_domain::{ClusterUid, Epoch, Nonce, PlanId, Sequence, ShardId, ShardSet, Term, WallTime};
use aether_infra_memory::MemoryHub;
use aether_runtime::subscription::{
    READ_BATCH, ShardMigrated, Since, SubscriptionError, TopologyEvents, shard_migrations, topology_events,
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use proptest::prelude::*;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A leader that has nothing to do but to write entries.
struct Scribe {
    hub: MemoryHub,
    log: Arc<dyn TopologyLog>,
    at: Position,
    epoch: Epoch,
}

impl Scribe {
    fn new() -> Self {
        let hub = MemoryHub::new();
        let log = hub.ports(&life("leader", 1).node).log;
        Self { hub, log, at: Position::default(), epoch: Epoch::ZERO }
    }

    /// Appends an entry whose epoch is so much above the last one's.
    async fn write(&mut self, step: u64) {
        self.say(step, vec![ClusterEvent::NodeDraining { node: life("n", self.epoch.0) }.into()]).await;
    }

    async fn say(&mut self, step: u64, events: Vec<TopologyEvent>) {
        let entry = Entry {
            format: Format::FIRST,
            cluster: ClusterUid(7),
            epoch: Epoch(self.epoch.0 + step),
            term: Term(1),
            leader: life("leader", 1),
            nonce: Nonce(self.epoch.0),
            prev_hash: self.at.hash,
            cause: "a test".into(),
            at: WallTime::default(),
            events,
        };
        self.at = self.log.append(&entry, self.at.sequence).await.expect("nobody else writes");
        self.epoch = entry.epoch;
    }

    async fn write_many(&mut self, count: u64) {
        for _ in 0..count {
            self.write(1).await;
        }
    }

    fn reader(&self) -> Arc<dyn TopologyLog> {
        self.hub.ports(&life("reader", 1).node).log
    }
}

async fn next(events: &mut TopologyEvents) -> u64 {
    let next = tokio::time::timeout(PATIENCE, events.next()).await.expect("an entry in time");
    next.expect("it goes on").expect("the log is sound").epoch.0
}

async fn take(events: &mut TopologyEvents, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(events).await);
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Epochs need not be sequences: they may have gaps.
    #[test]
    fn whoever_goes_on_from_any_epoch_has_the_rest_and_nothing_twice(
        steps in prop::collection::vec(prop_oneof![4 => Just(1_u64), 1 => 2_u64..2_000_000], 0..150),
        ask in any::<prop::sample::Index>(),
        beside in 0_u64..2,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut scribe = Scribe::new();
            let mut epochs = vec![0];
            for step in &steps {
                scribe.write(*step).await;
                epochs.push(scribe.epoch.0);
            }
            let since = epochs[ask.index(epochs.len())] + beside;
            let mut events = topology_events(scribe.reader(), Since::Epoch(Epoch(since)));
            let mut expected: Vec<_> = epochs.iter().copied().filter(|epoch| *epoch > since).collect();
            scribe.write(3).await;
            if scribe.epoch.0 > since {
                expected.push(scribe.epoch.0);
            }
            prop_assert_eq!(take(&mut events, expected.len()).await, expected);
            Ok(())
        })?;
    }
}

/// What an entry says: nothing of moves, that a plan begins, or that shards have moved, in groups.
#[derive(Clone, Debug)]
enum Says {
    Nothing,
    Begins,
    Moved(Vec<Vec<u16>>),
}

impl Says {
    fn strategy() -> impl Strategy<Value = Self> {
        let group = prop::collection::btree_set(0_u16..1024, 1..6).prop_map(|group| group.into_iter().collect());
        prop_oneof![
            4 => Just(Self::Nothing),
            1 => Just(Self::Begins),
            3 => prop::collection::vec(group, 1..4).prop_map(Self::Moved),
        ]
    }

    /// Its events, and the migrations in them.
    fn events(&self, epoch: u64, plan: u64) -> (Vec<TopologyEvent>, Vec<ShardMigrated>) {
        let Self::Moved(groups) = self else {
            let begins = ClusterEvent::RebalancingTriggered {
                plan: PlanId(epoch),
                cause: RebalanceCause::Join,
                moves: Vec::new(),
            };
            let nothing = ClusterEvent::NodeDraining { node: life("n", epoch) };
            return (vec![if matches!(self, Self::Begins) { begins } else { nothing }.into()], Vec::new());
        };
        let (mut events, mut migrations) = (Vec::new(), Vec::new());
        for (nth, group) in groups.iter().enumerate() {
            let (from, to) = (life("a", nth as u64 + 1), life("b", nth as u64 + 1));
            let shards = group.iter().copied().map(ShardId).collect::<ShardSet>();
            migrations.extend(shards.iter().map(|shard| ShardMigrated {
                shard,
                from: from.clone(),
                to: to.clone(),
                epoch: Epoch(epoch),
                plan: Some((PlanId(plan), RebalanceCause::Join)),
                seen: Epoch(epoch - 1),
            }));
            events.push(AssignmentEvent::ShardMigrated { shards, from, to }.into());
        }
        migrations.last_mut().expect("a group has a shard").seen = Epoch(epoch);
        (events, migrations)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The plan may have begun long before what a subscriber is told first.
    #[test]
    fn migrations_come_in_order_with_their_plan_and_at_least_once_however_often_their_subscriber_crashes(
        says in prop::collection::vec(Says::strategy(), 1..200),
        crashes in prop::collection::vec(1_usize..30, 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (mut scribe, mut plan, mut expected) = (Scribe::new(), 1, Vec::new());
            scribe.say(1, Says::Begins.events(1, 0).0).await;
            for one in &says {
                let epoch = scribe.epoch.0 + 1;
                let (events, migrations) = one.events(epoch, plan);
                plan = if matches!(one, Says::Begins) { epoch } else { plan };
                scribe.say(1, events).await;
                expected.extend(migrations);
            }
            let (mut seen, mut dealt_with, mut told) = (Epoch::ZERO, 0, 0);
            let mut crashes = crashes.iter().cycle();
            while dealt_with < expected.len() {
                let mut migrations = shard_migrations(scribe.reader(), Since::Epoch(seen));
                for nth in 0..*crashes.next().expect("it is a cycle") {
                    let Some(next) = expected.get(dealt_with) else { break };
                    let moved = tokio::time::timeout(PATIENCE, migrations.next()).await.expect("in time");
                    let moved = moved.expect("it goes on").expect("the log is sound");
                    told += 1;
                    // A life that begins in the middle of an entry is told that entry again from its first shard.
                    if nth == 0 && moved != *next {
                        prop_assert_eq!(moved.epoch, next.epoch);
                        dealt_with = expected.iter().position(|known| *known == moved).expect("a migration there was");
                    } else {
                        prop_assert_eq!(&moved, next);
                    }
                    seen = moved.seen;
                    dealt_with += 1;
                }
                // One that is told less than an entry before each crash would never come further.
                if told > 50 * expected.len() {
                    break;
                }
            }
            let whole: Vec<_> = shard_migrations(scribe.reader(), Since::Start).take(expected.len()).collect().await;
            prop_assert_eq!(whole.into_iter().map(|moved| moved.expect("sound")).collect::<Vec<_>>(), expected);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn the_start_now_and_an_epoch_yet_to_come_are_places_to_begin() {
    for written in [0, 1, 2, 3, 63, 64, 65, 200] {
        let mut scribe = Scribe::new();
        scribe.write_many(written).await;
        let mut all = topology_events(scribe.reader(), Since::Start);
        assert_eq!(take(&mut all, written as usize).await, (1..=written).collect::<Vec<_>>());
        let mut live = topology_events(scribe.reader(), Since::Now);
        let mut later = topology_events(scribe.reader(), Since::Epoch(Epoch(written + 2)));
        let (first, after) = (
            tokio::join!(next(&mut live), async {
                // Where "now" is, is known once the stream has been asked.
                tokio::time::sleep(Duration::from_millis(20)).await;
                scribe.write_many(4).await;
            })
            .0,
            take(&mut later, 2).await,
        );
        assert_eq!((first, after), (written + 1, vec![written + 3, written + 4]));
        assert_eq!(take(&mut all, 4).await, (written + 1..=written + 4).collect::<Vec<_>>());
    }
}

/// A log that counts who follows it and how much is asked of it at once.
struct Counted {
    inner: Arc<dyn TopologyLog>,
    followers: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
    largest: Arc<AtomicUsize>,
}

struct Follower(Arc<AtomicUsize>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl TopologyLog for Counted {
    async fn append(&self, entry: &Entry, after: Sequence) -> Result<Position, AppendError> {
        self.inner.append(entry, after).await
    }
    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredEntry>, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let read = self.inner.read(after, limit).await;
        self.largest.fetch_max(read.as_ref().map_or(0, Vec::len), Ordering::SeqCst);
        read
    }
    async fn follow(&self, after: Sequence) -> Result<Updates<LogUpdate>, ReadError> {
        self.followers.fetch_add(1, Ordering::SeqCst);
        let follower = Follower(Arc::clone(&self.followers));
        let updates = self.inner.follow(after).await?;
        Ok(Box::pin(updates.inspect(move |_| {
            let _kept = &follower;
        })))
    }
}

#[tokio::test]
async fn a_stuck_subscriber_holds_one_batch_while_a_thousand_entries_go_by_and_then_has_them_all() {
    let mut scribe = Scribe::new();
    scribe.write_many(1).await;
    let (followers, reads, largest) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let counted = Counted {
        inner: scribe.reader(),
        followers: Arc::clone(&followers),
        reads: Arc::clone(&reads),
        largest: Arc::clone(&largest),
    };
    let mut stuck = topology_events(Arc::new(counted), Since::Start);
    assert_eq!(next(&mut stuck).await, 1);
    // It waits for growth, and then looks no more.
    assert!(futures_util::poll!(stuck.next()).is_pending());
    tokio::time::timeout(PATIENCE, async {
        while followers.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it listens for growth");
    let before = reads.load(Ordering::SeqCst);
    scribe.write_many(1_000).await;
    let mut brisk = topology_events(scribe.reader(), Since::Start);
    assert_eq!(take(&mut brisk, 1_001).await, (1..=1_001).collect::<Vec<_>>(), "others are not held back");
    assert_eq!(reads.load(Ordering::SeqCst), before, "nothing is read for one that does not ask");
    assert_eq!(take(&mut stuck, 1_000).await, (2..=1_001).collect::<Vec<_>>());
    assert_eq!(largest.load(Ordering::SeqCst), READ_BATCH, "it never holds more than one batch");
    drop(stuck);
    tokio::time::timeout(PATIENCE, async {
        while followers.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("one that is dropped frees everything");
}

#[tokio::test]
async fn an_outage_in_between_loses_and_repeats_nothing() {
    let mut scribe = Scribe::new();
    scribe.write_many(3).await;
    let mut events = topology_events(scribe.reader(), Since::Start);
    let reader = life("reader", 1).node;
    for round in 0..5_u64 {
        let seen = round * 4;
        assert_eq!(take(&mut events, 3).await, (seen + 1..=seen + 3).collect::<Vec<_>>());
        scribe.hub.cut(&reader);
        scribe.write_many(2).await;
        assert!(futures_util::poll!(events.next()).is_pending(), "it waits");
        scribe.hub.heal(&reader);
        scribe.write_many(2).await;
        assert_eq!(next(&mut events).await, seen + 4);
    }
}

/// A log in which one entry cannot be understood, or is another one than was there.
struct Spoilt {
    inner: Arc<dyn TopologyLog>,
    unreadable: Option<u64>,
    replaced: Option<u64>,
}

#[async_trait]
impl TopologyLog for Spoilt {
    async fn append(&self, entry: &Entry, after: Sequence) -> Result<Position, AppendError> {
        self.inner.append(entry, after).await
    }
    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredEntry>, ReadError> {
        let mut read = self.inner.read(after, limit).await?;
        for stored in &mut read {
            if Some(stored.at.sequence.0) == self.unreadable {
                return Err(ReadError::Corrupt { sequence: stored.at.sequence.0, reason: "no JSON".into() });
            }
            if Some(stored.at.sequence.0) == self.replaced {
                stored.entry.prev_hash ^= 1;
            }
        }
        Ok(read)
    }
    async fn follow(&self, after: Sequence) -> Result<Updates<LogUpdate>, ReadError> {
        self.inner.follow(after).await
    }
}

#[tokio::test]
async fn what_cannot_be_understood_or_does_not_belong_ends_it_behind_all_that_is_sound() {
    for bad in [1, 2, 30, 64, 65, 99] {
        let mut scribe = Scribe::new();
        scribe.write_many(100).await;
        let corrupt = SubscriptionError::Corrupt { sequence: Sequence(bad), reason: "no JSON".into() };
        let broken = SubscriptionError::Broken { sequence: Sequence(bad), epoch: Epoch(bad), behind: Epoch(bad - 1) };
        for (unreadable, replaced, error) in [(Some(bad), None, corrupt), (None, Some(bad), broken)] {
            let log = Spoilt { inner: scribe.reader(), unreadable, replaced };
            let told: Vec<_> = topology_events(Arc::new(log), Since::Start).collect().await;
            let sound: Vec<_> = told.iter().flatten().map(|record| record.epoch.0).collect();
            assert_eq!(sound, (1..bad).collect::<Vec<_>>());
            assert_eq!(told.last(), Some(&Err(error)), "it says where");
        }
    }
}

#[tokio::test]
async fn a_subscriber_may_want_some_events_only() {
    let mut scribe = Scribe::new();
    scribe.write_many(2).await;
    let mut events = topology_events(scribe.reader(), Since::Start);
    let record = events.next().await.expect("an entry").expect("sound");
    assert_eq!(record.clone().only(&["NodeFailed"]), None);
    assert_eq!(record.clone().only(&["NodeFailed", "NodeDraining"]), Some(record));
}

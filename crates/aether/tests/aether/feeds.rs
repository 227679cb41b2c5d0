//! Feeds of real nodes in memory: two that want one feed, crashes at any point, and counts that stay exact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether::demo::bank::{Account, AccountEvent, Deposit, Open, fingerprint};
use aether::prelude::*;
use aether::{FeedState, OnFailure, SubscribeError};
use tokio::time::timeout;

#[path = "../../examples/read_model.rs"]
#[expect(dead_code, reason = "its main is not used here")]
mod read_model;

use read_model::{Totals, keep};

const PATIENCE: Duration = Duration::from_secs(60);

/// Hands over within a second, and stores often.
fn quick() -> FeedOptions {
    FeedOptions {
        steal_after: Duration::from_millis(500),
        checkpoint_every: Duration::from_millis(50),
        retry_pause: (Duration::from_millis(5), Duration::from_millis(20)),
        ..FeedOptions::default()
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} took too long"))
}

async fn start(hub: &MemoryHub, id: &str) -> Node {
    let node = Node::builder(id).namespace("feeds").profile(Profile::Fast).in_memory(hub).actor::<Account>();
    within("a start", node.start()).await.expect("it starts")
}

async fn open(node: &Node, account: u64) {
    within("a first command", node.actor::<Account>(account).ask(Open { operation: 1 })).await.expect("it is opened");
}

async fn deposit(node: &Node, account: u64, operation: u64) {
    let account = node.actor::<Account>(account);
    within("a command", account.ask(Deposit { operation, amount: operation })).await.expect("it is deposited");
}

type Seen = Arc<Mutex<Vec<Recorded<AccountEvent>>>>;

/// A handler that keeps all it is given.
fn keeping(seen: &Seen) -> impl Fn(Recorded<AccountEvent>) -> std::future::Ready<Result<(), BoxError>> + use<> {
    let seen = Arc::clone(seen);
    move |recorded| {
        seen.lock().expect("nobody panics").push(recorded);
        std::future::ready(Ok(()))
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_hands_out_each_actors_events_in_order_with_their_versions_and_only_those_asked_for() {
    let node = start(&MemoryHub::new(), "n1").await;
    let [all, one, late]: [Seen; 3] = Default::default();
    let lanes = quick().lanes(4);
    let feed = node.subscribe::<Account>("all", lanes, keeping(&all)).expect("it begins");
    let only = node.subscribe::<Account>("one", quick().of_actor(3), keeping(&one)).expect("it begins");
    for account in 0..10 {
        open(&node, account).await;
        for operation in 2..=10 {
            deposit(&node, account, operation).await;
        }
    }
    let mut stats = feed.watch();
    within("all events", stats.wait_for(|stats| stats.handled == 100)).await.expect("it works");
    let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for recorded in all.lock().expect("nobody panics").iter() {
        versions.entry(recorded.actor.id.to_string()).or_default().push(recorded.version.0);
    }
    assert_eq!(versions.len(), 10);
    assert!(versions.values().all(|versions| versions.iter().copied().eq(1..=10)), "{versions:?}");
    let mut stats = only.watch();
    within("its events", stats.wait_for(|stats| stats.handled == 10)).await.expect("it works");
    assert!(one.lock().expect("nobody panics").iter().all(|recorded| recorded.actor.id.as_str() == "3"));

    // Whoever begins later begins at the beginning, or where its options say.
    let now = FeedOptions { start: aether::StartAt::Now, ..quick() };
    let fresh = node.subscribe::<Account>("late", now, keeping(&late)).expect("it begins");
    let mut stats = fresh.watch();
    within("work", stats.wait_for(|stats| stats.state == FeedState::Working)).await.expect("it works");
    deposit(&node, 3, 11).await;
    within("one event", stats.wait_for(|stats| stats.handled == 1)).await.expect("it works");
    assert_eq!(late.lock().expect("nobody panics")[0].version.0, 11);
    let places: Vec<_> = one.lock().expect("nobody panics").iter().map(|recorded| recorded.place).collect();
    assert!(places.is_sorted());

    let again = node.subscribe::<Account>("late", quick(), keeping(&late)).map(drop);
    assert!(matches!(again, Err(SubscribeError::Running(_))), "{again:?}");
    let refused = node.subscribe::<Account>("No Name", quick(), keeping(&late)).map(drop);
    assert!(matches!(refused, Err(SubscribeError::Name(_))), "{refused:?}");
    let refused = node.subscribe::<Account>("many", quick().lanes(0), keeping(&late)).map(drop);
    assert!(matches!(refused, Err(SubscribeError::Option { what: "lanes", .. })), "{refused:?}");
    fresh.stop().await;
    assert_eq!(fresh.stats().state, FeedState::Stopped { reason: None });
    within("the end", node.drain()).await;
}

/// Fails so many times at the third event, with an error and a panic in turn.
fn failing(times: u64, seen: &Seen) -> impl Fn(Recorded<AccountEvent>) -> Handled + use<> {
    let (tries, seen) = (Arc::new(AtomicU64::new(0)), Arc::clone(seen));
    move |recorded| {
        let (tries, seen) = (Arc::clone(&tries), Arc::clone(&seen));
        Box::pin(async move {
            if recorded.version.0 == 3 && tries.fetch_add(1, Ordering::Relaxed) < times {
                assert!(tries.load(Ordering::Relaxed).is_multiple_of(2), "it is odd");
                return Err("no luck".into());
            }
            seen.lock().expect("nobody panics").push(recorded);
            Ok(())
        })
    }
}
type Handled = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_is_tried_again_and_then_stops_the_feed_or_is_passed_over_and_counted() {
    let node = start(&MemoryHub::new(), "n1").await;
    open(&node, 1).await;
    for operation in 2..=5 {
        deposit(&node, 1, operation).await;
    }
    let versions = |seen: &Seen| -> Vec<u64> {
        seen.lock().expect("nobody panics").iter().map(|recorded| recorded.version.0).collect()
    };
    let [retried, skipped, stopped]: [Seen; 3] = Default::default();

    let feed = node.subscribe::<Account>("retried", quick(), failing(4, &retried)).expect("it begins");
    let mut stats = feed.watch();
    within("all", stats.wait_for(|stats| stats.handled == 5)).await.expect("it works");
    assert_eq!((feed.stats().failures, feed.stats().skipped), (4, 0));
    assert_eq!(versions(&retried), [1, 2, 3, 4, 5]);

    let options = FeedOptions { on_failure: OnFailure::SkipAfter { tries: 3 }, ..quick() };
    let feed = node.subscribe::<Account>("skipped", options, failing(u64::MAX, &skipped)).expect("it begins");
    let mut stats = feed.watch();
    within("the others", stats.wait_for(|stats| stats.handled == 4)).await.expect("it works");
    assert_eq!((feed.stats().failures, feed.stats().skipped), (3, 1));
    assert_eq!(versions(&skipped), [1, 2, 4, 5]);

    let options = FeedOptions { on_failure: OnFailure::StopAfter { tries: 2 }, ..quick() };
    let feed = node.subscribe::<Account>("stopped", options.clone(), failing(u64::MAX, &stopped)).expect("it begins");
    let mut stats = feed.watch();
    let ended = stats.wait_for(|stats| matches!(stats.state, FeedState::Stopped { .. }));
    let ended = within("the end", ended).await.expect("it says so").state.clone();
    assert!(
        matches!(&ended, FeedState::Stopped { reason: Some(reason) } if reason.contains("failed 2 times")),
        "{ended:?}"
    );
    assert_eq!(versions(&stopped), [1, 2]);
    // Whoever knows how goes on at that event.
    let feed = node.subscribe::<Account>("stopped", options, failing(0, &stopped)).expect("it begins again");
    let mut stats = feed.watch();
    within("the rest", stats.wait_for(|stats| stats.handled == 3)).await.expect("it works");
    assert_eq!(versions(&stopped), [1, 2, 3, 4, 5]);
    let names: Vec<_> = node.feeds().iter().map(|stats| stats.name.to_string()).collect();
    assert_eq!(names, ["retried", "skipped", "stopped"]);
    let text = aether::metrics::encode(&node.source().picture().expect("it runs"));
    for line in [
        "aether_feed_handled_total{feed=\"retried\"} 5.0",
        "aether_feed_skipped_total{feed=\"skipped\"} 1.0",
        "aether_feed_working{feed=\"retried\"} 1.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
    }
    within("the end", node.drain()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_node_goes_on_when_the_one_that_works_crashes_leaves_or_is_cut_off() {
    let hub = MemoryHub::new();
    let (writer, mut other) = (start(&hub, "writer").await, start(&hub, "n0").await);
    within("a cluster", writer.ready()).await.expect("it serves");
    let seen = Seen::default();
    let mut feeds = vec![other.subscribe::<Account>("audit", quick(), keeping(&seen)).expect("it begins")];
    let mut working = feeds[0].watch();
    within("work", working.wait_for(|stats| stats.state == FeedState::Working)).await.expect("it works");
    open(&writer, 1).await;
    for round in 1..=6_u64 {
        let next = start(&hub, &format!("n{round}")).await;
        let feed = next.subscribe::<Account>("audit", quick(), keeping(&seen)).expect("it begins");
        let mut stats = feed.watch();
        let waits = stats.wait_for(|stats| matches!(&stats.state, FeedState::Watching { owner: Some(_) }));
        within("the other to be seen", waits).await.expect("it says so");
        deposit(&writer, 1, 10 * round).await;
        match round % 3 {
            0 => drop(within("the end", other.drain()).await),
            1 => other.kill().await,
            _ => hub.cut(other.id()),
        }
        within("work", stats.wait_for(|stats| stats.state == FeedState::Working)).await.expect("it works");
        deposit(&writer, 1, 10 * round + 1).await;
        let events = 2 * round + 1;
        let known = || seen.lock().expect("nobody panics").iter().map(|one| one.version.0).collect::<BTreeSet<_>>();
        let all = async {
            while known().len() < events as usize {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("all events", all).await;
        assert_eq!(known(), (1..=events).collect());
        feeds.push(feed);
        other = next;
    }
    assert_eq!(feeds.iter().filter(|feed| feed.stats().state == FeedState::Working).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_stay_exact_though_the_reader_is_killed_at_random_points() {
    const KILLS: u64 = 25;
    let seed = std::env::var("AETHER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("AETHER_SEED={seed}");
    let (mut state, mut operation, mut handed_out) = (seed, 2, 0);
    let mut dice = |sides: u64| {
        state += 1;
        fingerprint(state) % sides
    };
    let hub = MemoryHub::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("totals.json");
    let writer = start(&hub, "writer").await;
    within("a cluster", writer.ready()).await.expect("it serves");
    for account in 0..5 {
        open(&writer, account).await;
    }
    let options = FeedOptions { checkpoint_every: Duration::from_millis(200), ..quick() };
    for kill in 0..=KILLS {
        let ports = hub.ports(writer.id());
        let me = aether_domain::testing::life("reader", kill + 1);
        let clock = Arc::new(aether::BootClock);
        let feeds = aether::Feeds::new(&ports, clock, me, dice(u64::MAX));
        let (kept, count) = (path.clone(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&count);
        let of = aether_domain::ports::Whose::Kind(aether_domain::ActorKind::new("account").expect("a kind"));
        let handler = move |recorded: Recorded<AccountEvent>| {
            let (path, counted) = (kept.clone(), Arc::clone(&counted));
            async move {
                counted.fetch_add(1, Ordering::Relaxed);
                keep(&path, &recorded)?;
                // Here a crash finds the event counted and not yet handled.
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(())
            }
        };
        let feed = feeds.subscribe::<AccountEvent>("totals", of, options.clone(), handler).expect("it begins");
        for _ in 0..5 + dice(15) {
            deposit(&writer, dice(5), operation).await;
            operation += 1;
        }
        if kill < KILLS {
            tokio::time::sleep(Duration::from_millis(dice(800))).await;
            feeds.kill().await;
        } else {
            let end = within("an end", ports.bus.end()).await.expect("it is there");
            let mut stats = feed.watch();
            within("all events", stats.wait_for(|stats| stats.position >= end)).await.expect("it works");
        }
        handed_out += count.load(Ordering::Relaxed);
    }
    let mut expected = Totals::default();
    let mut events = 0;
    for (actor, history) in hub.stores().histories() {
        for event in history.iter().flat_map(|stored| &stored.record.events) {
            let event: AccountEvent = serde_json::from_slice(&event.payload).expect("an event");
            expected.count(actor.key.id.as_str(), &event);
            events += 1;
        }
    }
    let totals = Totals::read(&path).expect("totals");
    assert_eq!((totals.events, totals.deposited), (expected.events, expected.deposited));
    println!("{events} events, handed out {handed_out} times, {KILLS} kills");
    assert!(handed_out > events, "no event came twice: the kills came at tame points");
    within("the end", writer.drain()).await;
}

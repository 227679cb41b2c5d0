//! Feeds with several lanes, and feeds that ask for some events only: what comes at a time, in which order, and how far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether::prelude::*;
use aether::{Feed, FeedStats};
use aether_domain::testing::life;
use aether_domain::{FeedName, Sequence};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// A diary, in which everything may stand.
#[derive(Default, Serialize, Deserialize)]
struct Diary {
    entries: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    Noted,
    Struck,
    Moved,
    /// Nobody gave it a name.
    Plain,
}
use Entry::{Moved, Noted, Plain, Struck};

impl Event for Entry {
    fn name(&self) -> &'static str {
        match self {
            Noted => "noted",
            Struck => "struck",
            Moved => "moved",
            Plain => "",
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;

/// Writes all of them at once.
#[derive(Clone, Serialize, Deserialize)]
struct Write(Vec<Entry>);
impl Command for Write {
    const NAME: &'static str = "write";
    type Reply = u64;
}

impl Actor for Diary {
    const KIND: &'static str = "diary";
    type Id = u64;
    type Event = Entry;
    type Error = Never;
    type Commands = (Write,);
    fn apply(&mut self, _: &Entry) {
        self.entries += 1;
    }
}
impl Handle<Write> for Diary {
    fn handle(&self, Write(entries): Write, _: &Ctx<Self>) -> Decision<Self, Write> {
        Ok(Self::emit_all(entries).reply(|diary| diary.entries))
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} took too long"))
}

async fn start(hub: &MemoryHub) -> Node {
    let node = Node::builder("n1").namespace("lanes").profile(Profile::Fast).in_memory(hub).actor::<Diary>();
    within("a start", node.start()).await.expect("it starts")
}

async fn write(node: &Node, diary: u64, entries: &[Entry]) {
    let diary = node.actor::<Diary>(diary);
    within("a command", diary.ask(Write(entries.to_vec()))).await.expect("it is written");
}

async fn once(feed: &Feed, what: &str, holds: impl FnMut(&Arc<FeedStats>) -> bool) {
    let mut stats = feed.watch();
    within(what, stats.wait_for(holds)).await.expect("it works");
}

/// Nobody is in a hurry to take over; an event that fails comes again soon.
fn options() -> FeedOptions {
    FeedOptions {
        checkpoint_every: Duration::from_millis(20),
        retry_pause: (Duration::from_millis(2), Duration::from_millis(10)),
        steal_after: Duration::from_secs(30),
        ..FeedOptions::default()
    }
}

/// Who is in the handler of a feed now, and what it has seen so far.
struct Desk {
    lanes: usize,
    /// The diaries with an event in the handler, and the most there were at once.
    inside: watch::Sender<(BTreeSet<u64>, usize)>,
    /// The version handled last, of each diary.
    handled: Mutex<BTreeMap<u64, u64>>,
    /// What has failed once.
    failed: Mutex<BTreeSet<(u64, u64)>>,
    places: Mutex<Vec<aether::Place>>,
    wrong: Mutex<Vec<String>>,
}

impl Desk {
    fn new(lanes: usize) -> Arc<Self> {
        Arc::new(Self {
            lanes,
            inside: watch::Sender::new((BTreeSet::new(), 0)),
            handled: Mutex::default(),
            failed: Mutex::default(),
            places: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    fn complain(&self, of: String) {
        self.wrong.lock().expect("nobody panics").push(of);
    }

    /// Takes longer over some diaries than over others, fails once at every fifth event, and lets the first event of each
    /// lane wait until every lane has one.
    async fn take(&self, recorded: Recorded<Entry>) -> Result<(), BoxError> {
        let diary: u64 = recorded.actor.id.as_str().parse()?;
        let version = recorded.version.0;
        let mut alone = true;
        self.inside.send_modify(|(inside, most)| {
            alone = inside.insert(diary);
            *most = inside.len().max(*most);
        });
        if !alone {
            self.complain(format!("two events of diary {diary} at a time"));
        }
        let before = self.handled.lock().expect("nobody panics").get(&diary).copied().unwrap_or_default();
        if version != before + 1 {
            self.complain(format!("diary {diary}: version {version} behind {before}"));
        }
        let all_inside = self.inside.subscribe().wait_for(|(_, most)| *most >= self.lanes).await.map(drop);
        sleep(Duration::from_millis(diary % 4)).await;
        let fails =
            (diary + version).is_multiple_of(5) && self.failed.lock().expect("nobody panics").insert((diary, version));
        if !fails {
            self.handled.lock().expect("nobody panics").insert(diary, version);
            self.places.lock().expect("nobody panics").push(recorded.place);
        }
        self.inside.send_modify(|(inside, _)| {
            inside.remove(&diary);
        });
        all_inside?;
        if fails { Err("no luck".into()) } else { Ok(()) }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::test(flavor = "multi_thread")]
async fn lanes_work_side_by_side_and_each_actors_events_come_in_order_one_at_a_time_though_handlers_fail() {
    const DIARIES: u64 = 16;
    const WRITERS: u64 = 3;
    const EACH: u64 = 4;
    let node = Arc::new(start(&MemoryHub::new()).await);
    let mut feeds = Vec::new();
    for lanes in [1, 4] {
        let desk = Desk::new(lanes);
        let at = Arc::clone(&desk);
        let handler = move |recorded| {
            let at = Arc::clone(&at);
            async move { at.take(recorded).await }
        };
        let feed = node.subscribe::<Diary>(&format!("lanes-{lanes}"), options().lanes(lanes), handler);
        feeds.push((feed.expect("it begins"), desk));
    }
    let mut writers = JoinSet::new();
    for writer in 0..DIARIES * WRITERS {
        let node = Arc::clone(&node);
        writers.spawn(async move {
            for nth in 0..EACH {
                // Some commits have one event, some several.
                let entries = [Noted, Struck, Moved];
                write(&node, writer % DIARIES, &entries[..=(nth % 3) as usize]).await;
            }
        });
    }
    within("all writes", writers.join_all()).await;
    let of_one = WRITERS * (1 + 2 + 3 + 1);
    for (feed, desk) in feeds {
        let lanes = desk.lanes;
        once(&feed, "all events", |stats| stats.handled == DIARIES * of_one).await;
        assert_eq!(*desk.wrong.lock().expect("nobody panics"), Vec::<String>::new(), "{lanes} lanes");
        assert_eq!(desk.inside.borrow().1, lanes, "that many at a time, never more");
        let all = (0..DIARIES).map(|diary| (diary, of_one)).collect();
        assert_eq!(*desk.handled.lock().expect("nobody panics"), all, "{lanes} lanes");
        let failed = desk.failed.lock().expect("nobody panics").len() as u64;
        assert!(failed > DIARIES && feed.stats().failures == failed, "{failed} failed once each: {:?}", feed.stats());
        let ordered = desk.places.lock().expect("nobody panics").is_sorted();
        assert_eq!(
            ordered,
            lanes == 1,
            "with one lane all come as they were stored, with more they overtake each other"
        );
    }
    within("the end", Arc::into_inner(node).expect("nobody else has it").drain()).await;
}

type Seen = Arc<Mutex<Vec<(u64, Entry)>>>;

fn keeping(seen: &Seen) -> impl Fn(Recorded<Entry>) -> std::future::Ready<Result<(), BoxError>> + use<> {
    let seen = Arc::clone(seen);
    move |recorded| {
        seen.lock().expect("nobody panics").push((recorded.version.0, recorded.event));
        std::future::ready(Ok(()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_some_names_is_given_those_events_and_its_checkpoint_passes_all_others() {
    let hub = MemoryHub::new();
    let node = start(&hub).await;
    // One commit of all names, some that nobody wants, one that is wanted, and at the end some that are not.
    write(&node, 7, &[Noted, Moved, Struck]).await;
    for entries in [Moved, Moved, Moved, Moved, Struck, Moved, Moved] {
        write(&node, 7, &[entries]).await;
    }
    let ports = hub.ports(&life("looker", 1).node);
    let [two, one]: [Seen; 2] = Default::default();
    let subscribe = |name: &str, names: &[&str], seen| {
        node.subscribe::<Diary>(name, options().named(names.iter().copied()), keeping(seen)).expect("it begins")
    };
    let (first, second) = (subscribe("two", &["noted", "struck"], &two), subscribe("one", &["moved"], &one));
    let end = within("an end", ports.bus.end()).await.expect("it is there");
    for feed in [&first, &second] {
        once(feed, "the last commit", |stats| stats.position >= end).await;
        assert_eq!(feed.stats().unnamed, 0);
    }
    assert_eq!(*two.lock().expect("nobody panics"), [(1, Noted), (3, Struck), (8, Struck)]);
    let moved: Vec<_> = [2, 4, 5, 6, 7, 9, 10].map(|version| (version, Moved)).into();
    assert_eq!(*one.lock().expect("nobody panics"), moved);
    // What is stored of it passes what it does not want, so nothing of that is ever read again.
    let name = FeedName::new("two").expect("a name");
    let stored = || async {
        let checkpoint = ports.checkpoints.read(&name).await.expect("it can be read");
        checkpoint.map_or(Sequence::ZERO, |stored| stored.checkpoint.position)
    };
    let passed = async {
        while stored().await < end {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("the checkpoint", passed).await;
    first.stop().await;
    write(&node, 7, &[Moved, Noted]).await;
    let again = subscribe("two", &["noted", "struck"], &two);
    once(&again, "the new event", |stats| stats.handled == 1).await;
    assert_eq!(two.lock().expect("nobody panics")[3..], [(12, Noted)]);
    within("the end", node.drain()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_name_are_counted_where_names_are_asked_for() {
    let node = start(&MemoryHub::new()).await;
    let seen = Seen::default();
    let named = node.subscribe::<Diary>("named", options().named(["noted"]), keeping(&seen)).expect("it begins");
    let all = node.subscribe::<Diary>("all", options(), keeping(&Seen::default())).expect("it begins");
    write(&node, 1, &[Plain, Noted, Plain]).await;
    write(&node, 2, &[Plain]).await;
    once(&named, "the events without a name", |stats| stats.unnamed == 3 && stats.handled == 1).await;
    once(&all, "all events", |stats| stats.handled == 4).await;
    assert_eq!(all.stats().unnamed, 0);
    assert_eq!(*seen.lock().expect("nobody panics"), [(2, Noted)]);
    within("the end", node.drain()).await;
}

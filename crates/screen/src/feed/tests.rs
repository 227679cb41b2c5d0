//! Nodes that answer, that do not, and that answer what no node should: servers on loopback that say what they are told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::Feed;
use crate::host::Host;
use crate::state::{State, Told, Wish};
use crate::{Look, Text};

/// How long something may take to be told.
const LIMIT: Duration = Duration::from_secs(60);

/// A node's pages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// What a node says, in a cluster of that epoch.
    Well(u64),
    /// The same, without a connection to NATS.
    CutOff(u64),
    /// Nothing, for as long as anybody waits.
    Nothing,
    /// What no node says.
    Rubbish,
    /// More than anybody wants to read.
    TooMuch,
}

struct Node {
    url: String,
    says: Arc<Mutex<Says>>,
}

impl Node {
    /// One that tells of the other's address.
    fn start(says: Says, other: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (says, other) = (Arc::new(Mutex::new(says)), other.to_owned());
        let (said, me) = (Arc::clone(&says), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (said, me, other) = (Arc::clone(&said), me.clone(), other.clone());
                std::thread::spawn(move || answer(&stream, &said, &me, &other));
            }
        });
        Self { url, says }
    }

    fn says(&self, says: Says) {
        *self.says.lock().expect("nobody has panicked") = says;
    }
}

/// Answers one request, and hangs up.
fn answer(mut stream: &TcpStream, says: &Mutex<Says>, me: &str, other: &str) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = String::new();
    while reader.read_line(&mut headers).ok()? > 2 {}
    let says = *says.lock().ok()?;
    let body = match says {
        Says::Nothing => {
            // It waits until the other end has given up.
            drop(stream.read(&mut [0; 1]));
            return None;
        }
        Says::Rubbish => "<html>\u{1b}[2J".to_owned(),
        Says::TooMuch => "[".repeat(20 * 1024 * 1024),
        Says::Well(epoch) => page(&path, epoch, true, me, other)?.to_string(),
        Says::CutOff(epoch) => page(&path, epoch, false, me, other)?.to_string(),
    };
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()
}

fn page(path: &str, epoch: u64, connected: bool, me: &str, other: &str) -> Option<Value> {
    let node = |id: &str, url: &str| json!({ "id": id, "status": "active", "shards": 4, "admin_url": url });
    Some(match path.split('?').next()? {
        "/v1/cluster" => json!({
            "namespace": "bank", "me": me, "epoch": epoch, "term": 1, "leader": "n1",
            "nodes": [node("n1", me), node("n2", other)], "shards": { "total": 8, "assigned": 8, "orphaned": 0 },
        }),
        "/v1/health" => json!({ "verdict": "degraded", "reasons": ["as it says"] }),
        "/v1/moves" => json!({ "plan": null }),
        "/readyz" => json!({ "ready": connected, "checks": { "nats-connected": connected } }),
        "/v1/shards" => json!({ "epoch": epoch, "total": 8, "owners": { "n1": "0-3", "n2": "4-7" } }),
        "/v1/shards/7" => json!({ "state": "owned", "owner": "n2", "incarnation": "1", "shard_epoch": 1, "to": null }),
        "/v1/shards/7/why" => json!({ "entries": [], "whole": true }),
        "/v1/events" => json!({ "epoch": epoch, "entries": [{ "epoch": 1, "events": [{ "name": "NodeJoined" }] }] }),
        _ => return None,
    })
}

struct Urls(Vec<String>);

impl Host for Urls {
    fn urls(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Waits until what is told fits.
fn until<T>(feed: &Feed, fits: impl Fn(Told) -> Option<T>) -> T {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(found) = feed.told().find_map(&fits) {
            return found;
        }
        assert!(waited < LIMIT, "it is not told");
        std::thread::sleep(Duration::from_millis(20));
        waited += Duration::from_millis(20);
    }
}

/// Whose view is told, of which epoch.
fn seen(told: Told) -> Option<(String, u64)> {
    let Told::View(view) = told else { return None };
    Some((view.cluster.me.to_string(), view.cluster.epoch))
}

#[test]
fn whoever_goes_is_followed_by_those_that_it_knew_of() {
    let second = Node::start(Says::Well(2), "");
    let first = Node::start(Says::Well(1), &second.url);
    let feed = Feed::start(Arc::new(Urls(vec![first.url.clone()])));
    assert_eq!(until(&feed, seen), (first.url.clone(), 1));
    for gone in [Says::Rubbish, Says::TooMuch, Says::Nothing] {
        first.says(gone);
        let told = until(&feed, |told| seen(told).filter(|(me, _)| *me == second.url));
        assert_eq!(told.1, 2);
        first.says(Says::Well(1));
        second.says(Says::Rubbish);
        until(&feed, |told| seen(told).filter(|(me, _)| *me == first.url));
        second.says(Says::Well(2));
    }
    first.says(Says::Rubbish);
    second.says(Says::Rubbish);
    let why = until(&feed, |told| if let Told::Silent(why) = told { Some(why) } else { None });
    assert!(why.contains("does not answer as a node does"), "{why}");
    first.says(Says::Well(1));
    until(&feed, |told| seen(told).filter(|(me, _)| *me == first.url));
}

#[test]
fn one_that_is_cut_off_from_nats_is_believed_only_if_no_other_hears_more() {
    let second = Node::start(Says::CutOff(2), "");
    let first = Node::start(Says::CutOff(1), &second.url);
    let feed = Feed::start(Arc::new(Urls(vec![first.url.clone(), second.url.clone()])));
    assert_eq!(until(&feed, seen), (first.url.clone(), 1));
    second.says(Says::Well(3));
    assert_eq!(until(&feed, |told| seen(told).filter(|(me, _)| *me == second.url)), (second.url.clone(), 3));
}

#[test]
fn a_shard_is_told_of_and_so_is_why_not() {
    let node = Node::start(Says::Well(1), "");
    let feed = Feed::start(Arc::new(Urls(vec![node.url.clone()])));
    until(&feed, seen);
    let story = |told| if let Told::Story(shard, story) = told { Some((shard, story)) } else { None };
    assert!(feed.begin(Wish::Tell(7)).is_none());
    let (shard, told) = until(&feed, story);
    assert_eq!((shard, told.expect("it is there").now.owner), (7, Some(Text::new("n2"))));
    assert!(feed.begin(Wish::Tell(6)).is_none());
    assert!(until(&feed, story).1.is_err());
}

#[test]
fn a_picture_can_be_had_once_and_nobody_is_an_error() {
    let node = Node::start(Says::Well(1), "");
    let picture = super::once(Arc::new(Urls(vec![node.url.clone()])), 80, 24).expect("a picture");
    assert!(picture.contains("2 nodes serve all 8 shards") && picture.contains("NodeJoined"), "{picture}");
    assert!(picture.contains(" ! warning   as it says"), "{picture}");
    node.says(Says::Rubbish);
    let why = super::once(Arc::new(Urls(vec![node.url.clone()])), 80, 24).expect_err("rubbish");
    assert!(why.contains("does not answer as a node does"), "{why}");
    let why = super::once(Arc::new(Urls(vec!["file:///etc/passwd".to_owned()])), 80, 24).expect_err("no page");
    assert_eq!(why, "nobody has said where a node is");
}

#[test]
fn more_than_can_be_done_at_once_is_refused_with_a_word() {
    struct Slow(Mutex<()>);
    impl Host for Slow {
        fn urls(&self) -> Vec<String> {
            Vec::new()
        }
        fn act(&self, _: &crate::Deed) -> Result<String, String> {
            drop(self.0.lock());
            Ok("done".to_owned())
        }
    }
    let host = Arc::new(Slow(Mutex::new(())));
    let held = host.0.lock().expect("nobody has panicked");
    let feed = Feed::start(Arc::clone(&host) as Arc<dyn Host>);
    let deed = crate::Deed { verb: crate::Verb::Add, node: None };
    for _ in 0..super::UNDER_WAY_MAX {
        assert!(feed.begin(Wish::Do(deed.clone())).is_none());
    }
    let refused = feed.begin(Wish::Do(deed)).expect("a word");
    let mut state = State::new(Look::default(), Vec::new(), false);
    state.hear(Duration::ZERO, refused);
    assert!(state.message(Duration::ZERO).is_some_and(|said| said.as_ref().is_err_and(|why| why.contains("too much"))));
    drop(held);
    for _ in 0..super::UNDER_WAY_MAX {
        until(&feed, |told| matches!(told, Told::Done(_, Ok(_))).then_some(()));
    }
}

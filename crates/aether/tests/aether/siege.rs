//! The admin pages under clients that mean no good: slow ones, silent ones, too many of them, and ones that talk nonsense.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aether::admin::{BODY_BYTES_MAX, CONNECTIONS_MAX, HEAD_PATIENCE};
use aether_domain::records::ControlKey;
use futures_util::StreamExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{Served, TOKEN, operated};
use crate::sample::picture;

const PATIENCE: Duration = Duration::from_secs(60);
/// Serves a node's pages until dropped.
async fn served() -> (SocketAddr, Served) {
    let (served, _) = operated(picture(), Some(TOKEN)).await;
    (served.url.trim_start_matches("http://").parse().expect("an address"), served)
}

/// Says that and hears what comes back until the end; nothing if it cannot.
async fn say(address: SocketAddr, said: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // Whoever is hung up on while it speaks hears the answer all the same.
    let _ = stream.write_all(said).await;
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    Some(String::from_utf8_lossy(&heard).into_owned())
}

/// How long a probe waits for its answer in the middle of all that, on a machine with as much else to do: less than those who
/// are in its way may stay.
const PROBE_LIMIT: Duration = Duration::from_secs(9);

async fn probe(address: SocketAddr) {
    let request = b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = timeout(PROBE_LIMIT, say(address, request)).await.expect("a probe is answered").expect("it listens");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Waits until each of them is hung up on; whoever still speaks then is told so by the next byte.
async fn hung_up_on(mut streams: Vec<TcpStream>) {
    for stream in &mut streams {
        let heard = timeout(HEAD_PATIENCE + PATIENCE, stream.read(&mut [0; 64])).await.expect("it is hung up on");
        assert!(matches!(heard, Ok(0) | Err(_)), "{heard:?}");
    }
}

/// Lets this process have that many files and connections open.
fn allow_open(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let raised = Rlimit { current: Some(files), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("`ulimit -Hn` is as much as this test needs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_end_their_request_keep_nobody_out_and_are_hung_up_on() {
    let (address, _served) = served().await;
    let mut slow = JoinSet::new();
    for nth in 0..CONNECTIONS_MAX {
        // An empty line is the end of a head, and none before it has begun.
        let said: &[u8] = if nth % 2 == 0 { b"GET /v1/cluster HTTP/1.1\r\nhost: a\r\n" } else { b"\r\n\r\n\r\n" };
        slow.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(said).await.expect("taken");
            // A byte now and then, so that something always comes.
            let mut sent = 0;
            let more: &[u8] = if said.starts_with(b"GET") { b"x" } else { b"\n" };
            while stream.write_all(more).await.is_ok() {
                sent += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            sent
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    probe(address).await;
    while let Some(sent) = timeout(PATIENCE, slow.join_next()).await.expect("all of them are hung up on") {
        assert!(sent.expect("no panic") > 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_that_say_nothing_keep_no_probe_out() {
    allow_open(11_000);
    let (address, _served) = served().await;
    let connect = |_| async move { TcpStream::connect(address).await.expect("it listens") };
    let mut coming = futures_util::stream::iter(0..10_000).map(connect).buffer_unordered(64).chunks(1_000);
    let mut silent = Vec::new();
    while let Some(more) = coming.next().await {
        silent.extend(more);
        // The kernel's own queue may be full, which drops who comes: they are tried again after a second, then after two.
        probe(address).await;
    }
    hung_up_on(silent).await;
    probe(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_at_four_times_the_places_are_all_answered() {
    const AT_ONCE: usize = 4 * CONNECTIONS_MAX;
    allow_open(AT_ONCE as u64 * 2 + 1_000);
    let (address, _served) = served().await;
    let again = AtomicUsize::new(0);
    let asking = futures_util::stream::iter(0..10_000).for_each_concurrent(AT_ONCE, |_| async {
        let request = b"GET /v1/cluster HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let ask = || async { timeout(PATIENCE, say(address, request)).await.expect("it ends").expect("it listens") };
        let mut answer = ask().await;
        // Who does not come to speak for too long, on a machine with too much to do, asks again.
        while answer.is_empty() {
            assert!(again.fetch_add(1, Ordering::Relaxed) < 1_000, "too many were not heard");
            answer = ask().await;
        }
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"namespace\":\"bank\""), "{answer:?}");
    });
    asking.await;
    probe(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_places_are_scarce_none_is_kept_for_a_further_request() {
    let (address, _served) = served().await;
    let (mut kept, mut told_to_go) = (Vec::new(), 0);
    for _ in 0..2 * CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("taken");
        let mut heard = vec![0; 1024];
        let length = timeout(PROBE_LIMIT, stream.read(&mut heard)).await.expect("an answer").expect("an answer");
        let answer = String::from_utf8_lossy(&heard[..length]);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        told_to_go += usize::from(answer.contains("connection: close"));
        kept.push(stream);
    }
    let stay = 2 * CONNECTIONS_MAX - told_to_go;
    assert!((CONNECTIONS_MAX / 2..CONNECTIONS_MAX).contains(&stay), "{stay} may stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_or_hung_up_on_and_nothing_is_told_or_done() {
    let (served, ports) = operated(picture(), Some(TOKEN)).await;
    let address: SocketAddr = served.url.trim_start_matches("http://").parse().expect("an address");
    let post = |headers: &str, body: &str| {
        format!("POST /v1/rebalance HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n{body}")
    };
    let allowed = format!("authorization: Bearer {TOKEN}\r\n");
    let asked = |length: usize, body: &str| post(&format!("{allowed}content-length: {length}\r\n"), body);
    let deep = "[".repeat(BODY_BYTES_MAX / 2);
    let get =
        |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
    let many = "x: y\r\n".repeat(10_000);
    let long = format!("x: {}\r\n", "y".repeat(2 << 20));
    // What is said, and the answers that may come: none is being hung up on.
    let rows: Vec<(&str, String, &[&str])> = vec![
        ("no HTTP at all", "\0\u{1}\u{2}\r\n\r\n".into(), &["400", ""]),
        ("a greeting of TLS", "\u{16}\u{3}\u{1}\0\u{5}\u{1}\r\n\r\n".into(), &["400", ""]),
        ("another version", "GET / HTTP/9.9\r\nhost: a\r\n\r\n".into(), &["400", "505", ""]),
        ("no path", "GET  HTTP/1.1\r\nhost: a\r\n\r\n".into(), &["400", ""]),
        ("a verb that there is not", "FETCH /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".into(), &["405"]),
        ("out of the folder", get("/../../etc/passwd", ""), &["404"]),
        ("encoded, out of the folder", get("/v1/nodes/..%2f..%2fetc%2fpasswd", ""), &["404"]),
        ("a zero byte", get("/v1/nodes/%00", ""), &["404"]),
        ("no UTF-8", get("/v1/nodes/%ff%fe", ""), &["400"]),
        ("a number that is none", get("/v1/events?since=-1", ""), &["400"]),
        ("a number too large", get("/v1/events?since=99999999999999999999", ""), &["400"]),
        ("a path of 64 KiB", get(&format!("/{}", "a".repeat(64 << 10)), ""), &["404", "414"]),
        ("ten thousand headers", get("/livez", &many), &["431", "400", ""]),
        ("a header of 2 MiB", get("/livez", &long), &["431", "400", ""]),
        ("no token", post("content-length: 2\r\n", "{}"), &["401"]),
        ("another scheme", post(&format!("authorization: Basic {TOKEN}\r\ncontent-length: 2\r\n"), "{}"), &["401"]),
        (
            "two tokens, one wrong",
            post(&format!("authorization: Bearer no\r\n{allowed}content-length: 2\r\n"), "{}"),
            &["401"],
        ),
        ("no JSON", asked(7, "by: ann"), &["400"]),
        ("half of it", asked(9, "{\"wish\": "), &["400"]),
        ("another type", asked(11, "{\"wish\": 1}"), &["400"]),
        ("a list", asked(2, "[]"), &["400"]),
        ("a field that there is not", asked(10, "{\"who\": 1}"), &["400"]),
        ("JSON as deep as it may be long", asked(deep.len(), &deep), &["400"]),
        ("a length below zero", post(&format!("{allowed}content-length: -1\r\n"), ""), &["400", ""]),
        ("two lengths", post(&format!("{allowed}content-length: 2\r\ncontent-length: 3\r\n"), "{}"), &["400", ""]),
        (
            "a length and pieces",
            post(&format!("{allowed}content-length: 2\r\ntransfer-encoding: chunked\r\n"), "0\r\n\r\n"),
            &["400", ""],
        ),
        (
            "a piece of no length",
            post(&format!("{allowed}transfer-encoding: chunked\r\n"), "zz\r\n{}\r\n0\r\n\r\n"),
            &["400", ""],
        ),
        (
            "more than is taken, in pieces",
            post(
                &format!("{allowed}transfer-encoding: chunked\r\n"),
                &format!("{:x}\r\n{}\r\n0\r\n\r\n", 1 << 20, " ".repeat(1 << 20)),
            ),
            &["413", ""],
        ),
    ];
    for (what, said, expected) in rows {
        let heard = timeout(PATIENCE, say(address, said.as_bytes())).await.expect("it ends").expect("it listens");
        let status = heard.strip_prefix("HTTP/1.1 ").or(heard.strip_prefix("HTTP/1.0 ")).unwrap_or_default();
        assert!(expected.contains(&status.get(..3).unwrap_or_default()), "{what}: {heard}");
        assert!(!heard.contains(TOKEN), "{what}: {heard}");
        probe(address).await;
    }
    let written = ports.control.read(&ControlKey::Orders).await.expect("it answers");
    assert!(written.is_none(), "{written:?}");
}

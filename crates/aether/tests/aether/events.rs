//! The pages that say what happened and how everybody is, over real HTTP, of a real node in memory.

use std::net::SocketAddr;
use std::time::Duration;

use aether::admin::{Bound, Pages};
use aether::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

async fn asked(address: &str, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

async fn get(address: &str, path: &str) -> (u16, Value) {
    let mut text = String::new();
    let mut stream = asked(address, path, "").await;
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("in time").expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|fault| panic!("{fault}: {body}")))
}

/// Reads a stream of events until one has that id.
async fn follow(address: &str, path: &str, headers: &str, until: u64) -> String {
    let headers = format!("accept: text/event-stream\r\n{headers}");
    let (mut stream, mut text) = (asked(address, path, &headers).await, String::new());
    let mut part = [0; 4096];
    while !text.lines().any(|line| line.trim() == format!("id: {until}")) {
        let read = timeout(PATIENCE, stream.read(&mut part)).await.unwrap_or_else(|_| panic!("no {until}: {text}"));
        let read = read.expect("it goes on");
        assert!(read > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&part[..read]));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_and_how_everybody_is_are_pages_and_a_reader_that_comes_back_goes_on() {
    let hub = MemoryHub::new();
    let described = |id| Node::builder(id).namespace("events").profile(Profile::Fast).in_memory(&hub);
    let node = timeout(PATIENCE, described("n1").start()).await.expect("in time").expect("it starts");
    let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let (address, stop) = (bound.url().trim_start_matches("http://").to_owned(), CancellationToken::new());
    let served = tokio::spawn(bound.serve(Pages::of_node(node.source()), stop.clone()));

    let (status, page) = get(&address, "/v1/events").await;
    let first = &page["entries"][0];
    assert_eq!((status, &first["epoch"], &first["leader"]), (200, &json!(1), &json!("n1")));
    let names: Vec<_> = first["events"].as_array().expect("events").iter().map(|event| &event["name"]).collect();
    assert_eq!(names, ["ClusterCreated", "NodeJoined", "TermStarted", "ShardAssigned"]);
    assert_eq!(first["events"][3], json!({"name": "ShardAssigned", "nodes": ["n1"], "shards": "0-1023"}));
    let (_, health) = get(&address, "/v1/health").await;
    assert_eq!((&health["verdict"], &health["nodes"]), (&json!("ok"), &json!([{"id": "n1", "verdict": "healthy"}])));

    let other = timeout(PATIENCE, described("n2").start()).await.expect("in time").expect("it starts");
    let streamed = follow(&address, "/v1/events?since=1", "", 2).await;
    assert!(streamed.contains("text/event-stream") && streamed.contains("NodeJoined"), "{streamed}");
    let resumed = follow(&address, "/v1/events?since=0", "last-event-id: 2\r\n", 4).await;
    let ids: Vec<_> = resumed.lines().filter_map(|line| line.trim().strip_prefix("id: ")?.parse().ok()).collect();
    assert!(ids.starts_with(&[3, 4]), "{ids:?}");

    let (_, page) = get(&address, "/v1/events?since=1&limit=2").await;
    let epochs: Vec<_> = page["entries"].as_array().expect("entries").iter().map(|entry| &entry["epoch"]).collect();
    assert_eq!((epochs, &page["next"]), (vec![&json!(2), &json!(3)], &json!(3)));
    let (_, beyond) = get(&address, "/v1/events?since=1000000").await;
    assert_eq!((&beyond["entries"], &beyond["next"]), (&json!([]), &json!(1_000_000)), "it is not waited for");

    // The projection follows the log a moment behind the fold.
    let why = timeout(PATIENCE, async {
        loop {
            let (_, shards) = get(&address, "/v1/shards").await;
            let theirs = shards["owners"]["n2"].as_str().unwrap_or("0").split(['-', ',']).next().unwrap_or_default();
            let (_, why) = get(&address, &format!("/v1/shards/{theirs}/why")).await;
            let entries = why["entries"].as_array().expect("entries").clone();
            if entries.last().is_some_and(|entry| entry["events"][0]["name"] == "ShardMigrated") {
                return (why, entries);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (why, entries) = why.await.expect("a shard moves to the node that joined");
    let names: Vec<_> = entries.iter().map(|entry| entry["events"][0]["name"].clone()).collect();
    assert_eq!(names, ["ShardAssigned", "RebalancingTriggered", "ShardMigrationStarted", "ShardMigrated"]);
    assert_eq!((&why["owner"], &why["whole"]), (&json!("n2"), &json!(true)));
    assert_eq!(get(&address, "/v1/shards/1024/why").await.0, 404);
    stop.cancel();
    timeout(PATIENCE, served).await.expect("readers that follow do not keep it").expect("it does not panic");
    node.kill().await;
    other.kill().await;
}

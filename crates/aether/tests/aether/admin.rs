//! The pages over real HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aether::admin::{self, Bound, Pages};
use aether_domain::assignment::{AssignmentCommand, PlannedMove};
use aether_domain::cluster::ClusterCommand;
use aether_domain::orders::{Asked, Orders, Wish};
use aether_domain::policy::{Pin, PlacementPolicy};
use aether_domain::ports::{ControlStore, DeadLetters, Expected, Ports};
use aether_domain::records::{ControlKey, ControlRecord, DeadLetter, PayloadCodec};
use aether_domain::testing::life;
use aether_domain::topology::Draft;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Incarnation, MessageId, ShardId, ShardSet, Slot,
    WallTime,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::sample::{Still, append, node, picture};

/// Serves these pages until dropped.
pub(crate) struct Served {
    pub(crate) url: String,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(source: Still) -> Served {
    let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let (url, stop) = (bound.url(), CancellationToken::new());
    tokio::spawn(bound.serve(Pages::of_node(Arc::new(source)), stop.clone()));
    Served { url, stop }
}

struct Reply {
    status: u16,
    head: String,
    tag: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault}: {}", self.body))
    }
}

/// One request with plain text in and out, so that the test sees what is on the wire.
async fn ask(served: &Served, method: &str, path: &str, headers: &str) -> Reply {
    let address = served.url.trim_start_matches("http://").to_owned();
    let end = if headers.contains("\r\n\r\n") { "" } else { "\r\n" };
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}{end}");
    let text = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    })
    .await
    .expect("asked");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default().to_owned();
    Reply { status, head: head.to_owned(), tag, body: body.to_owned() }
}

async fn get(served: &Served, path: &str) -> Reply {
    ask(served, "GET", path, "").await
}

#[tokio::test]
async fn the_cluster_page_names_every_promised_field() {
    let served = serve(Still(Some(picture()))).await;
    let reply = get(&served, "/v1/cluster").await;
    let life = |name: &str| node(name).incarnation.to_string();
    let entry = |name: &str, shards: u64| {
        json!({"id": name, "incarnation": life(name), "status": "active", "shards": shards, "actors": 12,
            "admin_url": format!("http://127.0.0.1:1/{name}"), "commands_per_second": 34, "weight": 1, "zone": null, "tags": [],
            "since_epoch": 1, "trust": "trusted", "view_epoch": 1, "build": "0.1.0", "heard_ms": 500})
    };
    let mut silent = entry("n3", 2);
    for (key, value) in [("actors", json!(0)), ("commands_per_second", json!(0))] {
        silent[key] = value;
    }
    for key in ["admin_url", "view_epoch", "build", "heard_ms"] {
        silent[key] = Value::Null;
    }
    assert_eq!(
        reply.json(),
        json!({"namespace": "bank", "cluster_uid": "00000000000000000000000000000007", "me": "n1", "epoch": 1, "term": 1,
            "leader": "n1", "lease": {"ttl_ms": 10_000, "left_ms": 9_000, "renewed_ms": 1_000}, "nodes": [entry("n1", 3), entry("n2", 3), silent],
            "shards": {"total": 8, "assigned": 8, "orphaned": 0, "moving": 0}, "order": null,
            "hash": 0, "hash_seed": "0000000000000000"})
    );
    assert_eq!((reply.status, reply.tag.as_str()), (200, "W/\"1\""));
}

#[tokio::test]
async fn every_answer_makes_browsers_careful_and_only_the_dashboard_may_run_its_own_script() {
    let served = serve(Still(Some(picture()))).await;
    let (first, second) = (get(&served, "/").await, get(&served, "/").await);
    let policy = |reply: &Reply| {
        let line = reply.head.lines().find_map(|line| line.strip_prefix("content-security-policy: "));
        line.expect("a policy").to_owned()
    };
    for reply in [&first, &get(&served, "/v1/cluster").await, &get(&served, "/no/such").await] {
        for careful in ["x-content-type-options: nosniff", "x-frame-options: DENY", "referrer-policy: no-referrer"] {
            assert!(reply.head.contains(careful), "{careful} is missing: {}", reply.head);
        }
        assert!(policy(reply).contains("default-src 'none'") && policy(reply).contains("frame-ancestors 'none'"));
    }
    assert_eq!(policy(&get(&served, "/v1/cluster").await), "default-src 'none'; frame-ancestors 'none'");
    let nonce =
        |reply: &Reply| policy(reply).split('\'').find_map(|word| word.strip_prefix("nonce-").map(str::to_owned));
    let (one, other) = (nonce(&first).expect("a nonce"), nonce(&second).expect("a nonce"));
    assert!(one != other && first.body.matches(&format!("nonce=\"{one}\"")).count() == 2, "{one} {other}");
    assert!(!policy(&first).contains("unsafe") && !policy(&first).contains('*'), "{}", policy(&first));
}

#[tokio::test]
async fn shards_are_shown_as_runs_and_one_by_one() {
    let mut shown = picture();
    let mut topology = (*shown.topology).clone();
    let mut draft = Draft::new(&topology);
    let moves = vec![PlannedMove { shards: ShardSet::from(ShardId(3)), from: node("n1"), to: node("n2") }];
    let start = AssignmentCommand::RebalanceFromTopology { moves, active: vec![node("n2").incarnation] };
    draft.assignment(&start).expect("n1 has it");
    append(&mut topology, draft);
    shown.topology = Arc::new(topology);
    let served = serve(Still(Some(shown))).await;

    let runs = get(&served, "/v1/shards").await.json();
    assert_eq!(runs["owners"], json!({"n1": "0,3,6", "n2": "1,4,7", "n3": "2,5"}));
    assert_eq!((&runs["moving"], &runs["orphaned"], &runs["epoch"]), (&json!("3"), &json!(""), &json!(2)));
    assert!(runs.get("shards").is_none());
    let full = get(&served, "/v1/shards?full=1").await.json();
    assert_eq!(full["shards"].as_array().map(Vec::len), Some(8));
    let one = get(&served, "/v1/shards/3").await.json();
    assert_eq!((&one["state"], &one["owner"], &one["to"]), (&json!("draining"), &json!("n1"), &json!("n2")));
    assert_eq!((&one["shard_epoch"], &one["drain_epoch"]), (&json!(1), &json!(2)));
    let moves = get(&served, "/v1/moves").await.json();
    assert_eq!(moves["draining"], json!([{"shards": "3", "from": "n1", "to": "n2"}]));
    assert_eq!(moves["here"], json!([]));
    assert_eq!(get(&served, "/v1/moves/3").await.json()["moves"], json!([]));
    assert_eq!(get(&served, "/v1/moves/8").await.status, 404);
}

#[tokio::test]
async fn the_placement_page_says_what_is_adopted_what_is_wanted_and_why_not() {
    let mut shown = picture();
    let page = get(&serve(Still(Some(shown.clone()))).await, "/v1/placement").await.json();
    assert_eq!((&page["adopted"]["strategy"], &page["desired"]), (&json!("sticky-balanced/1"), &Value::Null));
    assert_eq!((&page["not_adopted"], &page["rejected"], &page["unmet"]), (&Value::Null, &Value::Null, &json!("")));
    // A pin that nobody can obey, and another policy that nobody can go by.
    let pin = |shard, node: &str| Pin { shard: ShardId(shard), node: life(node, 1).node };
    let policy = |pins: Vec<Pin>| Arc::new(PlacementPolicy { pins, ..PlacementPolicy::default() });
    let mut topology = (*shown.topology).clone();
    let mut draft = Draft::new(&topology);
    draft.cluster(&ClusterCommand::AdoptPlacement { policy: policy(vec![pin(3, "n9")]) }).expect("it can be");
    append(&mut topology, draft);
    shown.placement.unmet = aether_runtime::control::unmet(&topology);
    shown.topology = Arc::new(topology);
    shown.placement.desired = Some(policy(vec![pin(8, "n1")]));
    shown.placement.obstacle = Some("shard 8 is named".into());
    let page = get(&serve(Still(Some(shown))).await, "/v1/placement").await.json();
    assert_eq!((&page["adopted"]["pins"], &page["unmet"]), (&json!({"n9": "3"}), &json!("3")));
    assert_eq!((&page["desired"]["pins"], &page["not_adopted"]), (&json!({"n1": "8"}), &json!("shard 8 is named")));
    assert_eq!(page["epoch"], json!(2));
}

#[tokio::test]
async fn a_page_the_log_decides_is_not_sent_twice() {
    let served = serve(Still(Some(picture()))).await;
    let first = get(&served, "/v1/shards").await;
    assert_eq!((first.status, first.tag.as_str()), (200, "\"1\""));
    let again = ask(&served, "GET", "/v1/shards", "if-none-match: \"1\"\r\n").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let older = ask(&served, "GET", "/v1/shards", "if-none-match: \"0\"\r\n").await;
    assert_eq!(older.status, 200);
}

#[tokio::test]
async fn a_node_that_has_not_begun_is_alive_but_not_ready() {
    let served = serve(Still(None)).await;
    assert_eq!(get(&served, "/livez").await.status, 200);
    assert_eq!(get(&served, "/readyz").await.status, 503);
    let page = get(&served, "/v1/cluster").await;
    assert_eq!((page.status, page.json()["error"].as_str()), (503, Some("the node is starting")));
}

#[tokio::test]
async fn readiness_says_which_condition_does_not_hold() {
    for (spoil, check) in [
        ((|picture| picture.phase = "joining") as fn(&mut admin::Picture), "active"),
        (|picture| picture.serve_left = Duration::ZERO, "heartbeat-fresh"),
        (|picture| picture.phase = "draining", "not-draining"),
        (|picture| picture.fault = Some("the log went back".into()), "no-fault"),
        (|picture| picture.settled = false, "settled"),
        (
            |picture| {
                let (record, age) = picture.heartbeats.get_mut(&node("n2").node).expect("it beats");
                (record.view, *age) = (Epoch(2), Duration::from_secs(2));
            },
            "view-fresh",
        ),
    ] {
        let mut shown = picture();
        spoil(&mut shown);
        let served = serve(Still(Some(shown))).await;
        let reply = get(&served, "/readyz?verbose").await;
        assert_eq!((reply.status, &reply.json()["checks"][check]), (503, &json!(false)), "{}", reply.body);
        assert_eq!(get(&served, "/livez").await.status, 200);
    }
    let served = serve(Still(Some(picture()))).await;
    assert_eq!(get(&served, "/readyz").await.status, 200);
    assert_eq!(get(&served, "/readyz?verbose").await.json()["ready"], json!(true));
}

#[tokio::test]
async fn what_is_not_a_page_is_refused_in_json() {
    let served = serve(Still(Some(picture()))).await;
    for (method, path, headers, status) in [
        ("GET", "/v1/nothing", "", 404),
        ("GET", "/v1/nodes/n9", "", 404),
        ("GET", "/v1/nodes/N%209", "", 404),
        ("GET", "/v1/shards/8", "", 404),
        ("GET", "/v1/shards/x", "", 404),
        ("POST", "/v1/cluster", "content-length: 0\r\n", 405),
        ("DELETE", "/v1/nodes/n1", "", 405),
        ("POST", "/v1/cluster", "content-length: 70000\r\n", 413),
    ] {
        let reply = ask(&served, method, path, headers).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        let said = reply.json();
        assert!(said["error"].is_string() && said["cure"].is_string(), "{method} {path}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let taken: SocketAddr = first.url().trim_start_matches("http://").parse().expect("an address");
    let refusal = Bound::bind(taken).await.expect_err("it is taken").to_string();
    assert!(refusal.contains(&taken.to_string()) && refusal.contains("admin.listen"), "{refusal}");
}

#[test]
fn an_announcement_is_whole_and_a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("n1.url");
    admin::announce(&file, &["http://a".into(), "http://b".into()]).expect("written");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "http://a\nhttp://b\n");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else is left");
    let nowhere = folder.path().join("missing").join("n1.url");
    let refusal = admin::announce(&nowhere, &["http://a".into()]).expect_err("no folder").to_string();
    assert!(refusal.contains("missing") && refusal.contains("admin.announce"), "{refusal}");
}

/// A cluster that can be asked something: what is asked is in the control store.
struct Operated {
    picture: admin::Picture,
    ports: Ports,
}

impl admin::Source for Operated {
    fn picture(&self) -> Option<admin::Picture> {
        Some(self.picture.clone())
    }
    fn topology_events(&self, _: aether::Since) -> Option<aether::TopologyEvents> {
        None
    }
    fn why(&self, _: ShardId) -> Option<aether_runtime::projection::Why> {
        None
    }
    fn control(&self) -> Option<Arc<dyn ControlStore>> {
        Some(Arc::clone(&self.ports.control))
    }
    fn dead_letters(&self) -> Option<Arc<dyn DeadLetters>> {
        Some(Arc::clone(&self.ports.dead_letters))
    }
}

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) async fn operated(picture: admin::Picture, token: Option<&str>) -> (Served, Ports) {
    let ports = aether::MemoryHub::new().ports(&node("n1").node);
    let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let (url, stop) = (bound.url(), CancellationToken::new());
    let source = Arc::new(Operated { picture, ports: ports.clone() });
    let pages = Pages::of_operated_node(source, token.map(aether::config::Secret::new));
    tokio::spawn(bound.serve(pages, stop.clone()));
    (Served { url, stop }, ports)
}

async fn post(served: &Served, path: &str, token: Option<&str>, body: &str) -> Reply {
    let token = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    ask(served, "POST", path, &format!("{token}content-length: {}\r\n\r\n{body}", body.len())).await
}

async fn orders(control: &dyn ControlStore) -> Orders {
    match control.read(&ControlKey::Orders).await.expect("it answers").map(|stored| stored.record) {
        Some(ControlRecord::Orders(record)) => Orders::clone(&record.orders),
        None => Orders::default(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_can_be_asked_without_the_token() {
    for path in ["/v1/rebalance", "/v1/nodes/n2/drain", "/v1/leader/step-down"] {
        let (served, Ports { control, .. }) = operated(picture(), None).await;
        assert_eq!(post(&served, path, Some(TOKEN), "").await.status, 404, "{path}");
        assert_eq!(orders(&*control).await, Orders::default());
        let (served, Ports { control, .. }) = operated(picture(), Some(TOKEN)).await;
        for wrong in [None, Some(""), Some("0123456789abcdef0123456789abcdeg"), Some("0123456789abcdef")] {
            assert_eq!(post(&served, path, wrong, "").await.status, 401, "{path} {wrong:?}");
        }
        let large = " ".repeat(admin::BODY_BYTES_MAX + 1);
        assert_eq!(post(&served, path, Some(TOKEN), &large).await.status, 413, "{path}");
        assert_eq!(post(&served, path, Some(TOKEN), "{\"how\": 1}").await.status, 400, "{path}");
        assert_eq!(orders(&*control).await, Orders::default());
    }
}

#[tokio::test]
async fn what_is_asked_over_http_is_written_where_the_cluster_sees_it() {
    let (served, Ports { control, .. }) = operated(picture(), Some(TOKEN)).await;
    let body = r#"{"wish": "pause", "by": "ann", "why": "the sale"}"#;
    let reply = post(&served, "/v1/rebalance", Some(TOKEN), body).await;
    // Nobody leads here who could take it up.
    assert_eq!((reply.status, &reply.json()["taken_up"]), (202, &json!(false)));
    let order = orders(&*control).await.rebalance.expect("it was asked");
    assert_eq!((order.wish, order.asked), (Wish::Pause, Asked::new("ann", "the sale")));
    assert_eq!(post(&served, "/v1/rebalance", Some(TOKEN), r#"{"wish": "stop"}"#).await.status, 400);

    assert_eq!(post(&served, "/v1/nodes/n9/drain", Some(TOKEN), "").await.status, 404);
    assert_eq!(post(&served, "/v1/leader/step-down", Some(TOKEN), "").await.status, 409, "nobody has the lease");
    let record = ControlRecord::Member(crate::sample::heartbeat("n2"));
    control.write(&record, Expected::Absent).await.expect("stored");
    assert_eq!(post(&served, "/v1/nodes/n2/drain", Some(TOKEN), "").await.status, 202);
    let asked = orders(&*control).await;
    assert_eq!(asked.drains(&node("n2")).map(Asked::by), Some("somebody over HTTP"));
    assert!(asked.rebalance.is_some(), "what was asked before is not forgotten");
}

#[tokio::test]
async fn what_was_given_up_is_listed_and_only_whoever_has_the_token_reads_the_commands() {
    let letter = |amount: u64| DeadLetter {
        actor: ActorAddress {
            key: ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("7").expect("an id") },
            slot: Slot(1),
        },
        command: "withdraw".into(),
        id: CommandId { origin: Incarnation(3), sequence: 9 },
        message: Some(MessageId(0xfe)),
        codec: PayloadCodec::Json,
        payload: Some(format!("{{\"amount\":{amount}}}").into()),
        reason: "boom".into(),
        maybe_applied: true,
        by: node("n2"),
        at: WallTime { unix_millis: 5 },
    };
    let (served, Ports { dead_letters, .. }) = operated(picture(), Some(TOKEN)).await;
    assert_eq!(get(&served, "/v1/dead-letters").await.json(), json!({"epoch": 1, "letters": [], "next": null}));
    for amount in 1..=120 {
        dead_letters.keep(&letter(amount)).await.expect("kept");
    }
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let page = ask(&served, "GET", "/v1/dead-letters?after=1&limit=1", &bearer).await;
    let shown = json!({"letter": 2, "kind": "account", "id": "7", "command": "withdraw", "payload": {"amount": 2},
        "payload_bytes": 12, "message_id": "000000000000000000000000000000fe", "command_id": letter(2).id.to_string(),
        "reason": "boom", "maybe_applied": true, "by": node("n2").to_string(), "at_ms": 5});
    assert_eq!((page.status, page.json()), (200, json!({"epoch": 1, "letters": [shown], "next": 2})));
    assert_eq!(page.tag, "", "the epoch says nothing of it");
    // Whoever has no token, or another one, is not told what commands say, and everything else.
    let (open, Ports { dead_letters, .. }) = operated(picture(), None).await;
    dead_letters.keep(&letter(9)).await.expect("kept");
    let wrong = "authorization: Bearer 0123456789abcdef0123456789abcdeg\r\n";
    for (served, headers) in [(&served, ""), (&served, wrong), (&open, ""), (&open, &bearer)] {
        let first = &ask(served, "GET", "/v1/dead-letters?limit=1", headers).await.json()["letters"][0];
        assert_eq!((&first["payload"], &first["payload_bytes"]), (&Value::Null, &json!(12)), "{headers:?}");
    }
    let page = get(&served, "/v1/dead-letters?limit=1000").await.json();
    assert_eq!((page["letters"].as_array().map(Vec::len), &page["next"]), (Some(admin::LETTERS_MAX), &json!(100)));
    let rest = get(&served, "/v1/dead-letters?after=100").await.json();
    assert_eq!((rest["letters"].as_array().map(Vec::len), &rest["next"]), (Some(20), &Value::Null));
    for spoilt in ["/v1/dead-letters?limit=-1", "/v1/dead-letters?after=x"] {
        assert_eq!(get(&served, spoilt).await.status, 400, "{spoilt}");
    }
    assert_eq!(ask(&served, "DELETE", "/v1/dead-letters", "").await.status, 405);
    assert_eq!(get(&serve(Still(None)).await, "/v1/dead-letters").await.status, 503);
}

//! Roles on a real server: what each may do works, and what none of them may do is denied and leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{Expected, GatewayAnswer, ReadMode};
use aether_domain::records::{ControlKey, ControlRecord, OrdersRecord};
use aether_domain::{Namespace, Nonce, Sequence};
use aether_infra_nats::names::Names;
use aether_infra_nats::{
    Credentials, GatewayClient, GatewayCommand, GatewayError, NatsConfig, NatsPorts, Permissions, Role, StartError,
    connect,
};
use async_nats::{Client, ConnectOptions, Event, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use xtask::nats::{NatsServer, ServerOptions};

use crate::support::{actor, commit, config, entry, eventually, lease, member, namespace, within};

/// What the inboxes of one of the clients begin with.
const ALICE: &str = "_INBOX_CLIENT_t.alice";

/// A server with a user for every role; the password of each is its name. `admin` may do anything.
fn server() -> NatsServer {
    let permissions = |role, inbox| Permissions::of(&namespace(), role, inbox).to_string();
    let user = |name: &str, permissions: &str| format!("{{ user: {name}, password: {name}\n{permissions}}}\n");
    // As the comment above an observer's permissions says it.
    let said = permissions(Role::Observer, None);
    let said = |what: &str| {
        said.lines().find_map(|line| line.strip_prefix(&format!("#   {what}"))).expect("it is said").to_owned()
    };
    let (exports, imports) = (said("exports"), said("imports"));
    let extra = format!(
        "accounts {{\n NODES {{ jetstream: enabled, users: [\n{}{}{}{}]\n exports{exports} }}\n OBSERVERS {{ \
         users: [\n{}]\n imports{imports} }}\n}}\n",
        user("admin", ""),
        user("node", &permissions(Role::Node, None)),
        user("operator", &permissions(Role::Operator, None)),
        user("alice", &permissions(Role::Client, Some(ALICE))),
        user("observer", &permissions(Role::Observer, None)),
    );
    NatsServer::start(ServerOptions { extra, ..ServerOptions::default() }).expect("a server that takes what is printed")
}

fn settings(server: &NatsServer, user: &str) -> NatsConfig {
    NatsConfig {
        credentials: Credentials::Password { user: user.to_owned(), password: user.to_owned() },
        inbox_prefix: (user == "alice").then(|| ALICE.to_owned()),
        ..config(server.url())
    }
}

/// The same for somebody who is to be denied what it asks for, which only the want of an answer shows.
fn impatient(server: &NatsServer, user: &str) -> NatsConfig {
    let (connect_within, request_timeout) = (Duration::from_secs(5), Duration::from_secs(2));
    NatsConfig { connect_within, request_timeout, ..settings(server, user) }
}

/// The ports as a node has them, once an operator has made the streams.
async fn ports(server: &NatsServer) -> NatsPorts {
    connect(&settings(server, "operator"), &namespace())
        .await
        .expect("an operator makes the streams")
        .session
        .close()
        .await;
    connect(&settings(server, "node"), &namespace()).await.expect("a node works with them")
}

/// A plain client with the rights of one user, and what the server says to it.
async fn plain(server: &NatsServer, user: &str) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (tell, said) = mpsc::unbounded_channel();
    let prefix = match user {
        "alice" => ALICE.to_owned(),
        "observer" => Permissions::inbox_of(&namespace(), Role::Observer),
        _ => Permissions::inbox_of(&namespace(), Role::Node),
    };
    let options = ConnectOptions::new().user_and_password(user.to_owned(), user.to_owned()).custom_inbox_prefix(prefix);
    let options = options.event_callback(move |event| {
        if let Event::ServerError(error) = event {
            // Whoever listens may have seen enough.
            let _ = tell.send(error.to_string());
        }
        std::future::ready(())
    });
    (options.connect(server.url()).await.expect("the user is known"), said)
}

/// Everything that is stored, and how: each stream's settings, its first and last message, and how many consumers it has.
async fn stored(admin: &Client) -> BTreeMap<String, Value> {
    let ask = async |subject: String| -> Value {
        let answer = admin.request(subject, Bytes::new()).await.expect("an answer");
        serde_json::from_slice(&answer.payload).expect("JSON")
    };
    let listed = ask("$JS.API.STREAM.NAMES".to_owned()).await;
    let mut found = BTreeMap::new();
    for name in listed["streams"].as_array().expect("a list").iter().filter_map(Value::as_str) {
        let info = ask(format!("$JS.API.STREAM.INFO.{name}")).await;
        found.insert(name.to_owned(), json!([info["config"], info["state"]]));
    }
    found
}

/// What a role must not be able to publish to.
fn forbidden(role: Role) -> Vec<String> {
    let api = |requests: &[&str]| requests.iter().map(|request| format!("$JS.API.{request}")).collect::<Vec<_>>();
    let of_another =
        ["aether.u.gw", "aether.u.top", "aether.u.ev.0.a5b.account.a", "$KV.aether_u_ctl.lease", "_INBOX_u.x"];
    // What nobody needs, whoever it is.
    let mut all = api(&[
        "STREAM.UPDATE.AETHER_t_EVT_0",
        "STREAM.DELETE.AETHER_t_EVT_0",
        "STREAM.DELETE.KV_aether_t_ctl",
        "STREAM.PURGE.AETHER_t_TOP",
        "STREAM.PURGE.AETHER_t_DLQ",
        "STREAM.SNAPSHOT.AETHER_t_TOP",
        "STREAM.RESTORE.AETHER_t_TOP",
        "STREAM.MSG.DELETE.AETHER_t_TOP",
        "STREAM.MSG.DELETE.AETHER_t_EVT_0",
        "STREAM.LEADER.STEPDOWN.AETHER_t_TOP",
        "STREAM.PEER.REMOVE.AETHER_t_TOP",
        "META.LEADER.STEPDOWN",
        "ACCOUNT.PURGE.NODES",
        "CONSUMER.DURABLE.CREATE.AETHER_t_EVT_0.c",
        "CONSUMER.DELETE.AETHER_t_TOP.c",
        "STREAM.CREATE.OTHER",
        "STREAM.INFO.AETHER_u_TOP",
        "STREAM.MSG.GET.AETHER_u_EVT_0",
        "DIRECT.GET.AETHER_u_EVT_0",
    ]);
    all.extend(of_another.map(str::to_owned));
    all.extend(["$SYS.REQ.SERVER.PING", "$JS.ACK.AETHER_t_TOP.c.1.1.1.1.1"].map(str::to_owned));
    let of_nodes = [
        "aether.t.top",
        "aether.t.ev.0.a5b.account.alice",
        "aether.t.sn.0.a5b.account.alice",
        "aether.t.wk.0.a5b.account.alice",
        "aether.t.fd.mails",
        "aether.t.dlq.account.alice",
        "aether.t.n.n1.0000000000000001",
        "aether.t.claims",
        "$KV.aether_t_ctl.lease",
        "$KV.aether_t_ctl.node.n1",
        "$KV.aether_t_ctl.rel.n1",
        "$KV.aether_t_ctl.top.snap",
    ];
    let of_readers = api(&[
        "INFO",
        "STREAM.INFO.AETHER_t_TOP",
        "STREAM.MSG.GET.AETHER_t_EVT_0",
        "DIRECT.GET.AETHER_t_EVT_0",
        "CONSUMER.CREATE.AETHER_t_TOP",
    ]);
    let makes = api(&["STREAM.CREATE.AETHER_t_TOP", "STREAM.MSG.DELETE.AETHER_t_DLQ"]);
    let of_operators = ["$KV.aether_t_ctl.orders", "$KV.aether_t_ctl.placement"].map(str::to_owned);
    let inboxes = ["_INBOX_t.x.1", "_INBOX_CLIENT_t.bob.1"].map(str::to_owned);
    match role {
        Role::Node => {
            all.extend(makes);
            all.extend(["$KV.aether_t_ctl.placement", "aether.t.gw", "$KV.aether_t_ctl.mine"].map(str::to_owned));
        }
        Role::Operator => {
            all.extend(of_nodes.map(str::to_owned));
            all.push("_INBOX_CLIENT_t.alice.1".to_owned());
        }
        Role::Client | Role::Observer => {
            all.extend(of_nodes.map(str::to_owned));
            all.extend(makes);
            all.extend(of_operators);
            all.extend(inboxes);
            all.extend(of_readers);
            all.push("$JS.API.STREAM.MSG.GET.AETHER_t_TOP".to_owned());
            let others = if role == Role::Client { "aether.t.api.STREAM.MSG.GET.AETHER_t_TOP" } else { "aether.t.gw" };
            all.push(others.to_owned());
        }
    }
    all
}

/// What a role must not be able to hear.
fn unheard(role: Role) -> Vec<&'static str> {
    let mut all = vec![
        ">",
        "aether.>",
        "aether.t.gw",
        "$JS.API.>",
        "$KV.>",
        "_INBOX.>",
        "$SYS.>",
        "$JS.EVENT.ADVISORY.>",
        "aether.u.>",
    ];
    match role {
        Role::Node => all.push("_INBOX_CLIENT_t.alice.>"),
        Role::Operator => all.extend(["aether.t.claims", "_INBOX_CLIENT_t.alice.>"]),
        Role::Client => {
            all.extend(["aether.t.n.>", "aether.t.claims", "_INBOX_t.>", "_INBOX_CLIENT_t.bob.>", "_INBOX_CLIENT_t.>"]);
        }
        Role::Observer => all.extend(["aether.t.n.>", "aether.t.claims", "_INBOX_t.>", "_INBOX_CLIENT_t.alice.>"]),
    }
    all
}

/// Waits until the server has denied it.
async fn denied(said: &mut mpsc::UnboundedReceiver<String>, user: &str, what: &str, subject: &str) {
    let expected = format!("permissions violation for {what} to \"{subject}\"");
    within(&format!("the server to deny {user} the {what} {subject}"), async {
        while !said.recv().await.expect("connected").to_ascii_lowercase().contains(&expected.to_ascii_lowercase()) {}
    })
    .await;
}

#[tokio::test]
async fn what_a_role_must_not_do_the_server_denies_and_nothing_of_it_is_stored() {
    let server = server();
    let ports = ports(&server).await;
    // Something in every stream that could be purged, deleted or written over.
    ports.control.write(&lease(1), Expected::Absent).await.expect("written");
    ports.control.write(&member("n1", 1), Expected::Absent).await.expect("written");
    ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect("written");
    ports.events.append(&actor("alice"), &commit(0, Sequence::ZERO, "1"), Sequence::ZERO).await.expect("written");
    ports.session.close().await;
    let (admin, _) = plain(&server, "admin").await;
    let before = stored(&admin).await;
    assert_eq!(before.len(), 7, "{:?}", before.keys());
    let mut denials = 0;
    for (role, user) in
        [(Role::Client, "alice"), (Role::Observer, "observer"), (Role::Node, "node"), (Role::Operator, "operator")]
    {
        let (client, mut said) = plain(&server, user).await;
        for subject in forbidden(role) {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Rollup", "all");
            headers.insert("Nats-Expected-Last-Subject-Sequence", "1");
            for headers in [HeaderMap::new(), headers] {
                let body = Bytes::from_static(b"{\"seq\":1}");
                client.publish_with_headers(subject.clone(), headers, body).await.expect("the client lets it go");
                denied(&mut said, user, "publish", &subject).await;
            }
            denials += 1;
        }
        for subject in unheard(role) {
            let _subscriber = client.subscribe(subject).await.expect("the client lets it go");
            denied(&mut said, user, "subscription", subject).await;
            denials += 1;
        }
    }
    assert!(denials >= 150, "{denials}");
    assert_eq!(stored(&admin).await, before);
}

#[tokio::test]
async fn an_observer_reads_the_log_and_no_answer_to_it_is_ever_stored() {
    let server = server();
    let ports = ports(&server).await;
    let mut prev_hash = 0;
    for epoch in 1..=3 {
        prev_hash = ports.log.append(&entry(epoch, prev_hash), Sequence(epoch - 1)).await.expect("written").hash;
    }
    let (admin, _) = plain(&server, "admin").await;
    let before = stored(&admin).await;
    let (observer, _said) = plain(&server, "observer").await;
    let request = "aether.t.api.STREAM.MSG.GET.AETHER_t_TOP";
    let mut read = Vec::new();
    loop {
        let next = json!({ "seq": read.len() + 1, "next_by_subj": "aether.t.top" }).to_string();
        let answer = observer.request(request, next.into()).await.expect("an answer");
        let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let Some(sequence) = answer["message"]["seq"].as_u64() else {
            assert_eq!(answer["error"]["err_code"], 10037, "{answer}");
            break;
        };
        read.push(sequence);
    }
    assert_eq!(read, [1, 2, 3]);
    // In the nodes' own account the server would store these answers as what they are not.
    for into in
        ["aether.t.top", "$KV.aether_t_ctl.lease", "aether.t.ev.0.a5b.account.alice", "aether.t.dlq.account.alice"]
    {
        let asked = observer.publish_with_reply(request, into, Bytes::from_static(b"{\"seq\":1}")).await;
        asked.expect("the client lets it go");
        observer.request(request, "{\"seq\":2}".into()).await.expect("the server goes on, and has worked that off");
    }
    assert_eq!(stored(&admin).await, before);
}

#[tokio::test]
async fn a_client_is_answered_in_its_inbox_and_nowhere_else() {
    let server = server();
    let ports = ports(&server).await;
    let mut requests = ports.gateway.listen(Box::pin(std::future::pending())).await.expect("nodes may listen");
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            (request.respond)(GatewayAnswer::Replied(Bytes::from_static(b"7"))).await;
        }
    });
    let client = GatewayClient::connect(&settings(&server, "alice"), &namespace()).await.expect("a client may connect");
    let command = GatewayCommand {
        trace: None,
        kind: "account",
        id: "alice",
        command: "balance",
        payload: b"{}",
        message_id: None,
        mode: ReadMode::Strict,
        timeout: Duration::from_secs(20),
    };
    let replied = GatewayAnswer::Replied(Bytes::from_static(b"7"));
    assert_eq!(client.ask(&command).await.expect("an answer"), replied);
    // A node's answer as a write of the client's: to the log, to the lease, to JetStream itself.
    let (admin, _) = plain(&server, "admin").await;
    let before = stored(&admin).await;
    let (alice, _said) = plain(&server, "alice").await;
    for into in
        ["aether.t.top", "$KV.aether_t_ctl.lease", "$JS.API.STREAM.PURGE.AETHER_t_TOP", "aether.t.ev.0.a5b.account.a"]
    {
        let request = Bytes::from_static(br#"{"kind":"account","id":"alice","command":"balance"}"#);
        alice.publish_with_reply("aether.t.gw", into, request).await.expect("a client may ask");
        alice.flush().await.expect("sent");
        assert_eq!(client.ask(&command).await.expect("an answer"), replied, "the node has seen the one before");
    }
    assert_eq!(stored(&admin).await, before);
    // Whoever keeps the nodes' prefix for its inboxes would hear what they are answered, and hears nothing.
    let mut wrong = settings(&server, "alice");
    wrong.inbox_prefix = None;
    let deaf = GatewayClient::connect(&wrong, &namespace()).await.expect("connecting is no right");
    let command = GatewayCommand { timeout: Duration::from_millis(100), ..command };
    let unheard = deaf.ask(&command).await;
    assert!(matches!(unheard, Err(GatewayError::NoAnswer { .. } | GatewayError::NoNode { .. })), "{unheard:?}");
    answering.abort();
}

#[tokio::test]
async fn a_node_makes_no_stream_and_says_who_does() {
    let server = server();
    let refused = connect(&impatient(&server, "node"), &namespace()).await.err().expect("there are no streams yet");
    let StartError::Denied { stream, said } = &refused else { panic!("{refused:?}") };
    assert!(stream == "AETHER_t_TOP" && said.contains("STREAM.CREATE"), "{refused}");
    assert!(refused.to_string().contains("aether provision"), "{refused}");
    let another = Namespace::new("u").expect("a namespace");
    let refused = connect(&impatient(&server, "node"), &another).await.err().expect("its rights are for one namespace");
    assert!(matches!(&refused, StartError::JetStreamSilent { .. }), "{refused:?}");
    assert!(refused.to_string().contains("Permissions Violation"), "{refused}");
    let ports = ports(&server).await;
    // What nodes may write a roll-up still cannot empty: the streams refuse it.
    ports.events.append(&actor("alice"), &commit(0, Sequence::ZERO, "1"), Sequence::ZERO).await.expect("written");
    let (node, _said) = plain(&server, "node").await;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Rollup", "all");
    let subject = Names::new(namespace()).event_subject(&actor("alice"));
    let answer = node.request_with_headers(subject, headers, Bytes::new()).await.expect("an answer");
    assert!(String::from_utf8_lossy(&answer.payload).contains("rollup not permitted"), "{answer:?}");
}

#[tokio::test]
async fn operators_write_their_records_and_hear_of_it() {
    let server = server();
    let node = ports(&server).await;
    let operator = connect(&impatient(&server, "operator"), &namespace()).await.expect("ports");
    assert!(operator.control.read(&ControlKey::Orders).await.expect("it may read").is_none());
    let orders = ControlRecord::Orders(OrdersRecord { orders: Arc::default(), nonce: Nonce(1) });
    operator.control.write(&orders, Expected::Absent).await.expect("it may ask");
    eventually("the node to see it", async || node.control.read(&ControlKey::Orders).await.expect("read")).await;
    assert!(operator.control.write(&lease(1), Expected::Absent).await.is_err(), "it may not lead");
    assert!(operator.dead_letters.read(Sequence::ZERO, 1).await.expect("it may read").is_empty());
    operator.dead_letters.forget(Sequence(1)).await.expect("it may forget");
    assert!(operator.checkpoints.all().await.expect("it may read").is_empty());
}

//! Odd actors, odd ids and odd sizes on a real nats-server, each with its stated outcome (docs/PROTOCOL.md, "When an actor
//! is odd").

use std::process::Command as Program;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aether::prelude::*;
use aether_cluster_tests::odd::{
    Add, Boom, CURSED, Curse, Echo, Many, Odd, Recite, Refuse, Refused, Store, Swallow, Total,
};
use aether_domain::Namespace;
use aether_domain::records::PayloadCodec;
use aether_infra_nats::{GatewayClient, GatewayError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use xtask::nats::{NatsServer, ServerOptions};
use xtask::process;

const NAMESPACE: &str = "odd";
const LIMIT: Duration = Duration::from_secs(60);
const TWO_MIB: usize = 2 * 1024 * 1024;

async fn server() -> NatsServer {
    let server = tokio::task::spawn_blocking(|| NatsServer::start(ServerOptions::default()));
    server.await.expect("no panic").expect("a nats-server")
}

async fn node(server: &NatsServer, id: &str) -> Node {
    let node = Node::builder(id).namespace(NAMESPACE).profile(Profile::Fast).actor::<Odd>();
    let started = timeout(LIMIT, node.nats(NatsConfig::new([server.url()])).start()).await;
    started.expect("in time").expect("it starts")
}

async fn client(server: &NatsServer) -> GatewayClient {
    let namespace = Namespace::new(NAMESPACE).expect("a name");
    GatewayClient::connect(&NatsConfig::new([server.url()]), &namespace).await.expect("it connects")
}

async fn by_gateway(client: &GatewayClient, id: &str, command: &str, payload: Value) -> Result<Value, GatewayError> {
    client.ask_json("odd", id, command, &payload, None, Duration::from_secs(20)).await
}

fn code(answer: &Result<Value, GatewayError>) -> &str {
    match answer {
        Err(GatewayError::Failed { code, maybe_applied: false, .. }) => code,
        other => panic!("neither a reply nor a rejection was expected: {other:?}"),
    }
}

/// What the program says when it is asked that, and its exit code.
fn program(server: &NatsServer, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Program::new(env!("CARGO_BIN_EXE_aether-under-test"));
    process::without_our_variables(&mut command);
    command.env("AETHER_NATS__URLS", server.url()).env("AETHER_NAMESPACE", NAMESPACE).args(arguments);
    let output = command.output().expect("it runs");
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.code(), String::from_utf8(said).expect("it is text"))
}

/// Looks until it is so.
async fn soon<T>(look: impl Fn() -> T, is: impl Fn(&T) -> bool) -> T {
    timeout(LIMIT, async {
        loop {
            let seen = look();
            if is(&seen) {
                return seen;
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("in time")
}

/// Every character of ASCII that is no letter and no digit, and what else an id may be made of.
fn odd_ids() -> Vec<String> {
    let odd: Vec<char> = (0..128_u8).map(char::from).filter(|c| !c.is_ascii_alphanumeric()).collect();
    let mut ids: Vec<String> = odd.iter().map(ToString::to_string).collect();
    for all in odd.chunks(60) {
        ids.push(all.iter().collect());
    }
    ids.extend(
        ["..", ".a.", "a.*.>", "a b", "=YQ", "\u{fc}ber", "\u{1F980}", "\u{202e}", "a\r\nPUB x"].map(str::to_owned),
    );
    ids.extend(["x".repeat(128), "\u{1F980}".repeat(32)]);
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_any_characters_is_one_actor_for_every_way_in_and_after_a_restart() {
    let server = server().await;
    let first = node(&server, "n1").await;
    let client = client(&server).await;
    for id in odd_ids() {
        assert_eq!(first.actor::<Odd>(id.clone()).ask(Add(1)).await, Ok(1), "{id:?}");
        let asked = by_gateway(&client, &id, "add", json!(1)).await;
        assert_eq!(asked.expect("added"), json!(2), "{id:?}");
    }
    for id in [String::new(), "x".repeat(129)] {
        assert!(first.try_actor::<Odd>(&id).is_err(), "{id:?}");
        assert_eq!(code(&by_gateway(&client, &id, "add", json!(1)).await), "invalid", "{id:?}");
    }
    first.drain().await;
    let second = node(&server, "n2").await;
    for id in odd_ids() {
        assert_eq!(second.actor::<Odd>(id.clone()).ask(Total()).await, Ok(2), "{id:?}");
    }
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_and_changes_nothing() {
    let server = server().await;
    let (node, client) = (node(&server, "n1").await, client(&server).await);
    let odd = node.actor::<Odd>("large".to_owned()).timeout(LIMIT);
    assert_eq!(odd.ask(Add(1)).await, Ok(1));
    let invalid = |reason: &str, what: &str| {
        assert!(reason.contains("bytes"), "{what}: {reason}");
    };
    // Within a process nothing crosses NATS, so a value may be of any size; a debug build refuses what could not travel.
    let echoed = odd.ask(Echo(TWO_MIB)).await.map(|text| text.len());
    let swallowed = odd.ask(Swallow("x".repeat(TWO_MIB))).await;
    let rejected = odd.ask(Refuse(TWO_MIB)).await;
    if cfg!(debug_assertions) {
        for (what, refused) in [("echo", echoed.err()), ("swallow", swallowed.err()), ("refuse", rejected.err())] {
            match refused {
                Some(AskError::Invalid { reason, maybe_applied: false }) => invalid(&reason, what),
                other => panic!("{what}: {other:?}"),
            }
        }
    } else {
        assert_eq!((echoed, swallowed), (Ok(TWO_MIB), Ok(TWO_MIB)));
        assert_eq!(rejected, Err(AskError::Rejected(Refused("x".repeat(TWO_MIB)))));
    }
    // What would be stored has bounds everywhere.
    match odd.ask(Recite(TWO_MIB)).await {
        Err(AskError::Invalid { reason, maybe_applied: false }) => invalid(&reason, "recite"),
        other => panic!("{other:?}"),
    }
    match odd.ask(Store(TWO_MIB)).await {
        Err(AskError::Invalid { reason, maybe_applied: false }) => invalid(&reason, "store"),
        other => panic!("{other:?}"),
    }
    for (command, payload) in
        [("echo", json!(TWO_MIB)), ("recite", json!(TWO_MIB)), ("store", json!(TWO_MIB)), ("refuse", json!(TWO_MIB))]
    {
        assert_eq!(code(&by_gateway(&client, "large", command, payload).await), "invalid", "{command}");
    }
    // NATS itself takes no message of that size.
    let swallowed = by_gateway(&client, "large", "swallow", json!("x".repeat(TWO_MIB))).await;
    assert!(swallowed.as_ref().is_err_and(|error| !error.maybe_applied()), "{swallowed:?}");
    assert_eq!(odd.ask(Many(10_000)).await, Ok(10_001), "they fit into one record");
    match odd.ask(Many(200_000)).await {
        Err(AskError::Invalid { reason, maybe_applied: false }) => invalid(&reason, "many"),
        other => panic!("{other:?}"),
    }
    assert_eq!(odd.ask(Total()).await, Ok(10_001), "nothing else has changed it");
    node.kill().await;
    let again = node_again(&server).await;
    assert_eq!(again.actor::<Odd>("large".to_owned()).timeout(LIMIT).ask(Total()).await, Ok(10_001));
    again.kill().await;
}

async fn node_again(server: &NatsServer) -> Node {
    node(server, "n1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_panics_is_given_up_and_one_that_panics_on_replay_sets_its_actor_aside() {
    let server = server().await;
    let (node, client) = (node(&server, "n1").await, client(&server).await);
    let odd = node.actor::<Odd>("touchy".to_owned()).timeout(LIMIT);
    assert_eq!(odd.ask(Add(5)).await, Ok(5));
    assert_eq!(odd.ask(Boom()).await, Err(AskError::Poisoned { reason: "boom".into(), maybe_applied: false }));
    assert_eq!(odd.ask(Total()).await, Ok(5), "the actor lives on");
    let letters = soon(|| program(&server, &["dead-letters", "list"]), |(_, said)| !said.is_empty()).await.1;
    let letter: Value = serde_json::from_str(&letters).expect("one line of JSON");
    assert_eq!(
        (&letter["id"], &letter["command"], &letter["reason"]),
        (&json!("touchy"), &json!("boom"), &json!("boom"))
    );
    let number = letter["letter"].to_string();
    let (code, said) = program(&server, &["dead-letters", "again", &number]);
    assert!(code == Some(1) && said.contains("quarantined"), "it has panicked five times by then: {said}");

    let cursed = node.actor::<Odd>("cursed".to_owned()).timeout(LIMIT);
    assert_eq!(cursed.ask(Add(5)).await, Ok(5));
    assert_eq!(cursed.ask(Curse()).await, Ok(()));
    CURSED.store(true, Ordering::SeqCst);
    node.kill().await;
    let again = node_again(&server).await;
    let cursed = again.actor::<Odd>("cursed".to_owned()).timeout(LIMIT);
    for _ in 0..2 {
        let refused = cursed.ask(Total()).await;
        assert!(
            matches!(&refused, Err(AskError::Quarantined { reason, maybe_applied: false }) if reason.contains("curse works")),
            "{refused:?}"
        );
    }
    let listed = again.source().picture().expect("it has begun").quarantined;
    assert_eq!(listed.iter().map(|one| one.actor.key.id.as_str()).collect::<Vec<_>>(), ["cursed"]);
    assert_eq!(again.actor::<Odd>("touchy".to_owned()).ask(Total()).await, Ok(5), "others go on");
    // A build that can replay it has been rolled out; an operator lets it be loaded anew.
    CURSED.store(false, Ordering::SeqCst);
    let (code, said) = program(&server, &["actor", "release", "odd", "cursed"]);
    assert_eq!((code, serde_json::from_str::<Value>(&said).expect("JSON")["released"].clone()), (Some(0), json!(true)));
    assert_eq!(by_gateway(&client, "cursed", "$release", Value::Null).await.expect("asked"), json!(false));
    assert_eq!(cursed.ask(Total()).await, Ok(5));
    again.kill().await;
}

/// A sum whose history is binary.
#[derive(Default, Serialize, Deserialize)]
struct Packed(u64);
#[derive(Serialize, Deserialize)]
struct Grown(u64);
impl Event for Grown {}

impl Actor for Packed {
    const KIND: &'static str = "packed";
    type Id = String;
    type Event = Grown;
    type Error = Refused;
    type Commands = (Add, Total);
    fn settings() -> Settings {
        Settings { codec: PayloadCodec::Binary, ..Settings::default() }
    }
    fn apply(&mut self, event: &Grown) {
        self.0 += event.0;
    }
}
impl Handle<Add> for Packed {
    fn handle(&self, Add(by): Add, _: &Ctx<Self>) -> Decision<Self, Add> {
        Ok(Self::emit(Grown(by)).reply(|packed| packed.0))
    }
}
impl Handle<Total> for Packed {
    fn handle(&self, _: Total, _: &Ctx<Self>) -> Decision<Self, Total> {
        Ok(Self::answer(self.0))
    }
}

/// What is done to a history behind everybody's back.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// Bytes behind its end that are no record.
    Junk(&'static str),
    /// Everything that was acknowledged is gone.
    Gone,
}

/// Does it to the history of the actor of that kind and id.
async fn harm(raw: &async_nats::Client, kind: &str, id: &str, harm: Harm) {
    let js = async_nats::jetstream::new(raw.clone());
    let stream = js.get_stream(format!("AETHER_{NAMESPACE}_EVT_0")).await.expect("the stream");
    let subject = {
        use futures_util::TryStreamExt as _;
        let found =
            stream.info_with_subjects(format!("aether.{NAMESPACE}.ev.*.*.{kind}.{id}")).await.expect("subjects");
        let found: Vec<(String, usize)> = found.try_collect().await.expect("subjects");
        found.into_iter().next().expect("it has a history").0
    };
    match harm {
        Harm::Junk(bytes) => {
            js.publish(subject, bytes.into()).await.expect("sent").await.expect("stored");
        }
        Harm::Gone => {
            stream.purge().filter(subject).await.expect("purged");
        }
    }
}

/// That the actor of both kinds refuses everything, twice, for that reason.
async fn is_set_aside(node: &Node, id: &str, harm: Harm) {
    for _ in 0..2 {
        let odd = node.actor::<Odd>(id.to_owned()).timeout(LIMIT).ask(Add(1)).await;
        let packed = node.actor::<Packed>(id.to_owned()).timeout(LIMIT).ask(Add(1)).await;
        for refused in [odd, packed] {
            let word = if matches!(harm, Harm::Gone) { "regressed" } else { "corrupt" };
            let as_stated = matches!(&refused, Err(AskError::Quarantined { reason, .. }) if reason.contains(word));
            // Who waits for the very record that finds it is told that it may be there.
            let found_by = matches!(&refused, Err(error) if error.maybe_applied());
            assert!(as_stated || found_by, "{harm:?}: {refused:?}");
        }
    }
    let last = node.actor::<Packed>(id.to_owned()).timeout(LIMIT).ask(Total()).await;
    assert!(matches!(last, Err(AskError::Quarantined { .. })), "{harm:?}: {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_damaged_or_gone_sets_its_actor_aside_when_it_is_written_to_and_damage_when_it_is_loaded() {
    let server = server().await;
    let raw = async_nats::connect(server.url()).await.expect("it connects");
    let builder = |id: &str| {
        let node = Node::builder(id).namespace(NAMESPACE).profile(Profile::Fast).actor::<Odd>().actor::<Packed>();
        node.nats(NatsConfig::new([server.url()])).start()
    };
    let first = timeout(LIMIT, builder("n1")).await.expect("in time").expect("it starts");
    let harms = [Harm::Junk("{\"format\":1"), Harm::Junk("AE\u{1}"), Harm::Junk(""), Harm::Gone];
    for (nth, what) in harms.into_iter().enumerate() {
        for place in ["written", "loaded"] {
            let id = format!("{place}{nth}");
            assert_eq!(first.actor::<Odd>(id.clone()).ask(Add(5)).await, Ok(5));
            assert_eq!(first.actor::<Packed>(id.clone()).ask(Add(5)).await, Ok(5));
        }
        for kind in ["odd", "packed"] {
            harm(&raw, kind, &format!("written{nth}"), what).await;
        }
        is_set_aside(&first, &format!("written{nth}"), what).await;
        assert_eq!(first.actor::<Odd>("neighbour".to_owned()).ask(Add(1)).await, Ok(nth as u64 + 1), "others go on");
    }
    first.kill().await;
    for (nth, what) in harms.into_iter().enumerate() {
        for kind in ["odd", "packed"] {
            harm(&raw, kind, &format!("loaded{nth}"), what).await;
        }
    }
    let second = timeout(LIMIT, builder("n2")).await.expect("in time").expect("it starts");
    for (nth, what) in harms.into_iter().enumerate() {
        let id = format!("loaded{nth}");
        if matches!(what, Harm::Gone) {
            // Nobody is left who knows better.
            assert_eq!(second.actor::<Packed>(id).timeout(LIMIT).ask(Total()).await, Ok(0));
        } else {
            is_set_aside(&second, &id, what).await;
        }
    }
    assert_eq!(second.actor::<Odd>("neighbour".to_owned()).ask(Total()).await, Ok(4), "others go on");
    second.kill().await;
}

/// Writes itself differently each time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moody(std::cell::Cell<u64>);

impl std::fmt::Display for Moody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.set(self.0.get() + 1);
        write!(f, "{}", self.0.get())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_is_the_text_of_its_id() {
    let hub = MemoryHub::new();
    let builder = Node::builder("n1").namespace(NAMESPACE).profile(Profile::Fast).in_memory(&hub);
    let started = timeout(LIMIT, builder.actor::<Odd>().start()).await;
    let node = started.expect("in time").expect("it starts");
    let moody = Moody(std::cell::Cell::new(0));
    let reference = node.actor::<Odd>(moody.to_string());
    assert_eq!(
        (reference.ask(Add(1)).await, reference.ask(Add(1)).await),
        (Ok(1), Ok(2)),
        "a reference is written once"
    );
    assert_eq!(node.actor::<Odd>(moody.to_string()).ask(Add(1)).await, Ok(1), "another text is another actor");
    node.kill().await;
}

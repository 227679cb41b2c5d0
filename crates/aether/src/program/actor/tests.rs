//! Histories of accounts, as a node writes them and as bytes.

use std::borrow::Cow;

use aether_domain::records::{CommandMark, Position};
use aether_domain::{CommandId, Epoch, Incarnation, NodeId, Nonce, WallTime};
use aether_infra_memory::MemoryHub;
use aether_runtime::actor::codec::encode;
use bytes::Bytes;

use super::super::args::StoreArgs;
use super::*;
use crate::Node;
use crate::demo::bank::{Account, AccountEvent, Deposit, Open, Withdraw};

fn bank() -> Readers {
    Readers::none().with::<Account>()
}

/// A commit of an account with these events.
fn commit(codec: PayloadCodec, base: u64, events: &[AccountEvent]) -> StoredCommit {
    let stored = |event: &AccountEvent| EventRecord {
        schema: 1,
        name: Cow::Borrowed(""),
        payload: encode(codec, event).expect("it can be written"),
    };
    let mark = |sequence| CommandMark {
        id: CommandId { origin: Incarnation(7), sequence },
        floor: 0,
        message: Some(MessageId(9)),
        reply: Bytes::new(),
    };
    let record = CommitRecord {
        shard_epoch: Epoch(31),
        owner: Incarnation(3),
        nonce: Nonce(1),
        base: Version(base),
        prev_sequence: Sequence::ZERO,
        prev_hash: 0,
        at: WallTime { unix_millis: 1_795_866_264_123 },
        codec,
        commands: events.iter().zip(1..).map(|(_, nth)| mark(nth)).collect(),
        events: events.iter().map(stored).collect(),
        timers: Vec::new(),
    };
    StoredCommit { record, at: Position { sequence: Sequence(5), hash: 1 } }
}

#[test]
fn json_events_are_shown_as_they_are_and_binary_ones_by_their_kind_or_as_hex() {
    let opened = [AccountEvent::Opened { operation: 1 }];
    let lines =
        |codec, readers: &Readers| commit_lines("account", &commit(codec, 4, &opened), readers, false, Ink::NONE);
    let by = format!("(command {}; shard epoch 31)", CommandId { origin: Incarnation(7), sequence: 1 });
    let readable = format!("     5  2026-11-28T11:44:24.123Z  {{\"Opened\":{{\"operation\":1}}}}  {by}");
    assert_eq!(lines(PayloadCodec::Json, &Readers::none()), readable);
    assert_eq!(lines(PayloadCodec::Binary, &bank()), readable);
    let hex = format!("     5  2026-11-28T11:44:24.123Z  2 bytes, binary: 0001  {by}");
    assert_eq!(lines(PayloadCodec::Binary, &Readers::none()), hex);

    let shown = commit_json("account", &commit(PayloadCodec::Binary, 4, &opened), &Readers::none());
    assert_eq!(shown["events"][0], json!({ "version": 5, "name": "", "schema": 1, "bytes": 2, "hex": "0001" }));
    assert_eq!((&shown["shard_epoch"], &shown["codec"], &shown["version"]), (&json!(31), &json!("binary"), &json!(5)));
    assert_eq!(shown["commands"][0]["message_id"], format!("{:032x}", 9));
    let shown = commit_json("account", &commit(PayloadCodec::Binary, 4, &opened), &bank());
    assert_eq!(shown["events"][0]["event"], json!({ "Opened": { "operation": 1 } }));
}

#[test]
fn a_commit_without_events_says_what_else_it_was_and_a_long_event_is_cut() {
    let confirm = commit_lines("account", &commit(PayloadCodec::Json, 4, &[]), &bank(), false, Ink::NONE);
    assert!(confirm.contains("     4  ") && confirm.contains("the owner confirmed"), "{confirm}");
    let mut long = commit(PayloadCodec::Json, 0, &[AccountEvent::Opened { operation: 1 }]);
    long.record.events[0].payload = Bytes::from(format!("{:?}", "é".repeat(300)));
    let lines = |wide| commit_lines("account", &long, &Readers::none(), wide, Ink::NONE);
    assert!(lines(false).contains("… (-o wide shows all)") && lines(false).chars().count() < 320, "{}", lines(false));
    assert!(lines(true).contains(&"é".repeat(300)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_and_the_state_at_each_version_are_read_from_the_store() {
    let hub = MemoryHub::new();
    let node = Node::builder("n1").namespace("history").in_memory(&hub).actor::<Account>().start();
    let node = node.await.expect("it starts");
    let account = node.actor::<Account>(7);
    account.ask(Open { operation: 1 }).await.expect("opened");
    account.ask(Deposit { operation: 2, amount: 50 }).await.expect("deposited");
    account.ask(Withdraw { operation: 3, amount: 20 }).await.expect("withdrawn");
    let ports = hub.ports(&NodeId::new("looks").expect("a name"));
    let namespace = Namespace::new("history").expect("a name");
    let ask = async |id: &str, at: Option<u64>, limit: usize, readers: Readers| {
        let store = StoreArgs { config: None };
        let args = HistoryArgs { kind: "account".into(), id: id.into(), at, limit, store };
        let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new(id).expect("an id") };
        lines(&ports, &namespace, key, &args, &readers, Form::Json, Ink::NONE).await
    };
    let said = ask("7", None, 100, Readers::none()).await.expect("a history");
    let events: Vec<Value> = said.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<_> =
        events.iter().flat_map(|commit| commit["events"].as_array().expect("events").clone()).collect();
    let shown: Vec<_> = events.iter().map(|event| (event["version"].clone(), event["event"].clone())).collect();
    assert_eq!(
        shown,
        [
            (json!(1), json!({ "Opened": { "operation": 1 } })),
            (json!(2), json!({ "Deposited": { "operation": 2, "amount": 50 } })),
            (json!(3), json!({ "Withdrawn": { "operation": 3, "amount": 20 } })),
        ]
    );
    assert_eq!(ask("7", None, 1, bank()).await.expect("the last commit").len(), 1);
    for (at, open, balance) in [(0, false, 0), (1, true, 0), (2, true, 50), (3, true, 30)] {
        let said = ask("7", Some(at), 100, bank()).await.expect("a state").join("");
        let state: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((&state["state"]["balance"], &state["state"]["open"]), (&json!(balance), &json!(open)), "{at}");
        assert_eq!((&state["from"], &state["version"]), (&json!("events"), &json!(at)));
    }
    for (id, at, readers, why) in [
        ("7", Some(4), bank(), "account/7 is at version 3, not yet at 4"),
        ("8", None, bank(), "account/8 has no history in namespace history"),
        ("7", Some(2), Readers::none(), "does not know the kind \"account\""),
    ] {
        let error = ask(id, at, 100, readers).await.expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
    node.kill().await;
}

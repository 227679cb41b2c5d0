//! What is wrong with streams: changed, removed and filled on a real server, and set right again.

use async_nats::Client;
use serde_json::{Value, json};
use xtask::nats::{NatsServer, ServerOptions};

use super::scene::{Files, Report, ask, doctor, done, provision, settings_of, stored};

const EVENTS: &str = "AETHER_bank_EVT_0";

async fn update(client: &Client, settings: &Value) {
    let name = settings["name"].as_str().expect("a name");
    done(ask(client, &format!("STREAM.UPDATE.{name}"), settings.clone()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_somebody_has_changed_is_named_with_what_sets_it_back() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let client = async_nats::connect(server.url()).await.expect("connected");
    let files = Files::new();
    let config = files.plain("n1", &server.url());
    let look = || Report::of(&mut doctor(&["--config", &config]));
    look().names("namespace-empty", "aether provision");
    provision(&config);
    look().is_healthy();

    for (stream, setting, value, code, cure) in [
        (EVENTS, "max_age", json!(3_600_000_000_000_u64), "stream-drops-history", "--max-age=0s"),
        (EVENTS, "max_msgs", json!(1000), "stream-drops-history", "--max-msgs=-1"),
        (EVENTS, "max_msgs_per_subject", json!(5), "stream-drops-history", "--max-msgs-per-subject=-1"),
        (EVENTS, "discard", json!("old"), "stream-drops-history", "--discard=new"),
        (EVENTS, "allow_direct", json!(false), "stream-stale-reads", "--allow-direct"),
        (EVENTS, "allow_rollup_hdrs", json!(true), "stream-removable", "--no-allow-rollup"),
        (EVENTS, "subjects", json!(["aether.bank.ev.0.>"]), "stream-subjects", "--subjects='aether.bank.ev.0.>,"),
        ("KV_aether_bank_ctl", "allow_direct", json!(true), "stream-stale-reads", "--no-allow-direct"),
        ("AETHER_bank_TOP", "max_msg_size", json!(1000), "stream-drops-history", "--max-msg-size=-1"),
        (
            "AETHER_bank_TOP",
            "republish",
            json!({ "src": ">", "dest": "elsewhere.>" }),
            "stream-subjects",
            "nats stream edit AETHER_bank_TOP --no-republish",
        ),
    ] {
        let before = settings_of(&client, stream).await;
        let mut changed = before.clone();
        changed[setting] = value;
        update(&client, &changed).await;
        let report = look();
        report.names(code, cure);
        assert_eq!(report.codes().len(), 1, "{setting}: {}", report.0);
        update(&client, &before).await;
        look().does_not_name(code);
    }
    look().is_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_removed_or_made_by_somebody_else_is_named() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let client = async_nats::connect(server.url()).await.expect("connected");
    let files = Files::new();
    let config = files.plain("n1", &server.url());
    provision(&config);
    let look = || Report::of(&mut doctor(&["--config", &config]));
    let wanted = settings_of(&client, EVENTS).await;
    for (setting, value, code) in [
        ("storage", json!("memory"), "stream-not-on-disk"),
        ("deny_delete", json!(false), "stream-removable"),
        ("retention", json!("workqueue"), "stream-drops-history"),
        ("retention", json!("interest"), "stream-drops-history"),
        ("allow_atomic", json!(true), "stream-setting"),
        ("max_consumers", json!(7), "stream-setting"),
        ("allow_msg_ttl", json!(true), "stream-removable"),
    ] {
        done(ask(&client, &format!("STREAM.DELETE.{EVENTS}"), Value::Null).await);
        look().names("stream-missing", EVENTS);
        let mut made = wanted.clone();
        made[setting] = value;
        done(ask(&client, &format!("STREAM.CREATE.{EVENTS}"), made).await);
        let report = look();
        report.names(code, setting).does_not_name("stream-missing");
        // Its cure edits what the server lets be edited, and nothing else.
        let edits = report.cure(code).contains("nats stream edit");
        let edited = ask(&client, &format!("STREAM.UPDATE.{EVENTS}"), wanted.clone()).await;
        assert_eq!(edits, edited.get("error").is_none(), "{setting}: {} {edited}", report.cure(code));
    }
    done(ask(&client, &format!("STREAM.DELETE.{EVENTS}"), Value::Null).await);
    // The cure of a stream that is missing.
    provision(&config);
    look().is_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fills_is_named_before_it_is_full_and_looking_changes_nothing() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let client = async_nats::connect(server.url()).await.expect("connected");
    let files = Files::new();
    let config = files.plain("n1", &server.url());
    provision(&config);
    let look = || Report::of(&mut doctor(&["--config", &config]));
    for _ in 0..100 {
        client.publish("aether.bank.sn.0.000.k.a.b", vec![7; 1000].into()).await.expect("sent");
    }
    for nth in 0..8001 {
        client.publish(format!("aether.bank.dlq.k.{nth}"), "a letter".into()).await.expect("sent");
    }
    client.flush().await.expect("sent");
    // JetStream keeps the order of what a connection sends; this is answered behind it all.
    let letters = done(ask(&client, "STREAM.INFO.AETHER_bank_DLQ", Value::Null).await);
    assert!(letters["state"]["messages"].as_u64().is_some(), "{letters}");
    xtask::clock::wait_for("the letters to be stored", xtask::clock::Deadline::after(crate::program::LIMIT), || {
        let all = stored(&server);
        let of = |name: &str| all.as_array().into_iter().flatten().find(|stream| stream["name"] == name).cloned();
        let letters = of("AETHER_bank_DLQ").is_some_and(|stream| stream["state"]["messages"] == 8001);
        Ok(letters.then_some(()))
    })
    .expect("they are");
    look().names("dead-letters-filling", "aether dead-letters");

    let snapshots = "AETHER_bank_SNP";
    let before = settings_of(&client, snapshots).await;
    let used = done(ask(&client, &format!("STREAM.INFO.{snapshots}"), Value::Null).await)["state"]["bytes"].as_u64();
    let used = used.expect("bytes");
    for (max, code) in [(used * 100 / 96, "stream-full"), (used * 100 / 85, "stream-filling")] {
        let mut limited = before.clone();
        limited["max_bytes"] = json!(max);
        update(&client, &limited).await;
        look().names(code, &format!("nats stream edit {snapshots} --max-bytes="));
    }
    update(&client, &before).await;
    look().does_not_name("stream-filling");

    let before = stored(&server);
    assert!(before.as_array().is_some_and(|streams| streams.len() == 7), "{before}");
    for role in ["node", "client", "observer", "operator"] {
        let report = Report::of(&mut doctor(&["--config", &config, "--role", role]));
        assert_eq!(report.codes(), ["dead-letters-filling"], "{role}");
    }
    assert_eq!(stored(&server), before, "nothing is written, and nobody reads along");
}

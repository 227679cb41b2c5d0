//! What is wrong with nodes and with what they have stored.

use async_nats::Client;
use nix::sys::signal::Signal;
use xtask::clock::{Deadline, wait_for};
use xtask::nats::{NatsServer, ServerOptions};

use super::scene::{Files, Report, doctor, provision};
use crate::program::{LIMIT, Started};

#[test]
fn nodes_that_do_not_fit_together_are_named() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let files = Files::new();
    let node = |name: &str, node: &str| {
        let announce = format!("[admin]\nannounce = {:?}\n", files.path(&format!("{name}.url")).display().to_string());
        files.node(name, &[server.url()], ["profile = \"fast\"", node, "", &announce])
    };
    let (n1, n2) = (node("n1", ""), node("n2", "zone = \"a\""));
    let start = |config: &str, name: &str| {
        let node = Started::new(&["node", "--config", config], &files.path(""), name);
        node.wait_ready();
        node
    };
    let first = start(&n1, "n1");
    let look = |config: &str| Report::of(&mut doctor(&["--config", config]));
    look(&n1).is_healthy();

    let mut other = files.node("n3", &[server.url()], [""; 4]);
    look(&other).names("cluster-settings-differ", "profile = \"fast\"");
    other = files.node("n3", &[server.url()], ["profile = \"fast\"", "", "", ""]);
    look(&other).is_healthy();
    // Who is no node goes by no timers, unless somebody says which.
    let person = || doctor(&["--nats-url", &server.url(), "--namespace", "bank"]);
    Report::of(&mut person()).is_healthy();
    Report::of(person().env("AETHER_PROFILE", "default")).names("cluster-settings-differ", "profile = \"fast\"");
    // Another machine under the same id; the node itself is none.
    look(&files.node("n1", &[server.url()], ["profile = \"fast\"", "", "", ""])).names("node-id-taken", "n1 is alive");

    let second = start(&n2, "n2");
    look(&other).names("zones-mixed", "no zone: n1");
    drop(second);
    // Killed together nobody fences anybody.
    first.signal(Signal::SIGKILL);
    wait_for("the silence to be named", Deadline::after(LIMIT), || {
        Ok(look(&other).codes().contains(&"node-silent").then_some(()))
    })
    .expect("it is");
}

async fn publish(client: &Client, subject: &str, payload: &'static str) {
    let jetstream = async_nats::jetstream::new(client.clone());
    jetstream.publish(subject.to_owned(), payload.into()).await.expect("sent").await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_nobody_of_ours_can_read_are_named() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let client = async_nats::connect(server.url()).await.expect("connected");
    let files = Files::new();
    let config = files.plain("n1", &server.url());
    provision(&config);
    publish(&client, "$KV.aether_bank_ctl.node.n7", "not a record").await;
    publish(&client, "aether.bank.top", "not an entry").await;
    let report = Report::of(&mut doctor(&["--config", &config]));
    report.names("record-unreadable", "the record of n7").names("log-unreadable", "aether verify");

    // A log that a newer build has begun.
    let config = files.node("n2", &[server.url()], ["namespace = \"newer\"", "", "", ""]);
    provision(&config);
    publish(&client, "aether.newer.top", "{\"format\":9,\"kind\":\"entry\"}").await;
    let report = Report::of(&mut doctor(&["--config", &config]));
    report.names("format-newer", "format 9").does_not_name("log-unreadable");
}

/// The checksum that a JSON record has in a header, as docs/FORMATS.md has it: CRC-32C, in hex.
fn checksum(payload: &str) -> String {
    let shift = |crc: u32| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x82f6_3b78 };
    let crc = payload.bytes().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| shift(crc)));
    format!("{:08x}", !crc)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_different_builds_formats_and_with_and_without_zones_are_named() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let client = async_nats::connect(server.url()).await.expect("connected");
    let files = Files::new();
    let config = files.plain("n1", &server.url());
    provision(&config);
    let jetstream = async_nats::jetstream::new(client.clone());
    let beat = async |node: &str, zone: &str, build: &str, reads: u8| {
        let record = format!(
            r#"{{"format":1,"kind":"member","node":"{node}","inc":"00000000000004d2","state":"alive","heartbeat":"11","nonce":"ffffffffffffffff","heartbeat_every_ms":1000,"view":"1f","load":{{"actors":0,"commands_per_second":0}},"weight":1,"zone":{zone},"tags":[],"admin_url":"http://127.0.0.1:7070","build":"{build}","supervisor":null,"health":{{"loop_lag_ms":0,"commit_p99_ms":0,"mailbox_age_ms":0,"accuses":[],"unserved":""}},"shard_loads":[],"digest":"00000000000000000000000000000000","reads":{reads}}}"#
        );
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Aether-Crc32c", checksum(&record));
        let sent = jetstream.publish_with_headers(format!("$KV.aether_bank_ctl.node.{node}"), headers, record.into());
        sent.await.expect("sent").await.expect("stored");
    };
    let look = || Report::of(&mut doctor(&["--config", &config]));
    beat("n7", "null", "0.1.0", 1).await;
    beat("n8", "null", "0.1.0", 1).await;
    look().is_healthy();
    beat("n8", "\"a\"", "0.2.0", 2).await;
    let report = look();
    report.names("builds-differ", "0.1.0: n7; 0.2.0: n8").names("formats-differ", "up to format 2: n8");
    report.names("zones-mixed", "a: n8; no zone: n7");
}

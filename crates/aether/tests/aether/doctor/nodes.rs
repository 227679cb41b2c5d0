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

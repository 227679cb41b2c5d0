//! Circumstances in which a node must not run: it ends by itself, with one paragraph that says what to do, and has
//! changed nothing.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use aether_cluster_tests::{Cluster, Ended, History, Lone, Spec, alone, node_config};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask::{
    nats::{self, NatsServer, ServerOptions},
    out,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How long a node may take to notice that it cannot run.
const END_LIMIT: Duration = Duration::from_secs(30);

/// How long a second process under a node's id may take to notice, from when it begins to look for NATS: 2.5 s, on a machine
/// that has nothing else to do. What it took is printed.
const DUPLICATE_LIMIT: Duration = Duration::from_secs(15);

/// What a process ends with that found its id in use.
const NODE_ID_IN_USE: i32 = 78;

/// Runs a node to its end and checks how it ended: `code`, no panic, and one paragraph with each of `words`.
fn refused(folder: &Path, name: &str, config: &str, code: i32, words: &[&str]) -> Result<Ended> {
    let ended = Lone::node(PROGRAM, folder, name, config)?.end(END_LIMIT)?;
    check(&ended, name, code, words)?;
    Ok(ended)
}

fn check(ended: &Ended, name: &str, code: i32, words: &[&str]) -> Result<()> {
    out::note(format!("{name} ({:.2} s): {}", ended.lived.as_secs_f64(), ended.paragraph()));
    ensure!(ended.code == Some(code), "{name} should end with {code}: {ended:?}");
    ensure!(!ended.said.contains("panicked"), "{name} panicked: {}", ended.said);
    ensure!(!ended.paragraph().is_empty(), "{name} should say why in a line of its own: {}", ended.said);
    for word in words {
        ensure!(ended.paragraph().contains(word), "{name} should mention `{word}`: {}", ended.said);
    }
    Ok(())
}

fn folder() -> Result<tempfile::TempDir> {
    tempfile::tempdir().context("a folder")
}

/// How many streams a server keeps.
fn streams(server: &NatsServer) -> Result<u64> {
    server.ask::<Value>("/jsz")?["streams"].as_u64().context("a number of streams")
}

#[test]
fn no_nats() -> Result<()> {
    let (_alone, folder) = (alone(), folder()?);
    let words = ["no NATS server answered at nats://127.0.0.1:1", "check that nats-server runs"];
    refused(folder.path(), "n1", &node_config("t", "n1", "nats://127.0.0.1:1", ""), 1, &words).map(drop)
}

#[test]
fn nats_too_old() -> Result<()> {
    let (_alone, folder) = (alone(), folder()?);
    let program = nats::locate(&nats::Options::with_version(nats::refused_version()?))?;
    let server = NatsServer::start(ServerOptions { program: Some(program), ..ServerOptions::default() })?;
    let words = ["nats-server 2.11.11 is too old", "2.12.2", "upgrade"];
    refused(folder.path(), "n1", &node_config("t", "n1", &server.url(), ""), 1, &words)?;
    ensure!(streams(&server)? == 0, "nothing was made");
    Ok(())
}

#[test]
fn jetstream_off() -> Result<()> {
    let (_alone, folder) = (alone(), folder()?);
    let server = NatsServer::start(ServerOptions { jetstream: false, ..ServerOptions::default() })?;
    let words = ["JetStream is not available", "enable it"];
    refused(folder.path(), "n1", &node_config("t", "n1", &server.url(), ""), 1, &words).map(drop)
}

#[test]
fn wrong_credentials() -> Result<()> {
    let (_alone, folder) = (alone(), folder()?);
    let login = Some(("aether".to_owned(), "correct horse".to_owned()));
    let server = NatsServer::start(ServerOptions { login, ..ServerOptions::default() })?;
    for (name, given) in [("nobody", ""), ("somebody", "user = \"aether\"\npassword = \"battery staple\"")] {
        let config = node_config("t", "n1", &server.url(), given);
        let ended = refused(folder.path(), name, &config, 1, &["refused the credentials", "check the user, password"])?;
        ensure!(!ended.said.contains("battery staple"), "a password is never shown: {}", ended.said);
    }
    ensure!(streams(&server)? == 0, "nothing was made");
    let right = "user = \"aether\"\npassword = \"correct horse\"";
    let node = Lone::node(PROGRAM, folder.path(), "right", &node_config("t", "n1", &server.url(), right))?;
    let seen =
        xtask::clock::wait_for("a node with the right password", xtask::clock::Deadline::after(END_LIMIT), || {
            Ok((streams(&server)? > 0).then_some(()))
        });
    drop(node);
    seen
}

#[test]
fn settings_drift() -> Result<()> {
    let spec = Spec { nodes: 1, load: None, ..Spec::of(PROGRAM).fast() };
    Cluster::run(&spec, |cluster| {
        let folder = folder()?;
        let file = cluster.file()?;
        let history = History::of(&file)?;
        let config = node_config(&file.namespace, "n2", &file.nats_urls[0], "");
        let spoil = |stream: &str, setting: &str, value: Value| -> Result<(Value, Value)> {
            let right = history.settings(stream)?;
            let mut wrong = right.clone();
            wrong[setting] = value;
            history.api(&format!("STREAM.UPDATE.{stream}"), &wrong)?;
            Ok((right, history.settings(stream)?))
        };
        for (stream, setting, value) in [
            (history.topology(), "max_age", json!(3_600_000_000_000_u64)),
            (history.control(), "allow_direct", json!(true)),
            (history.control(), "max_msgs_per_subject", json!(5)),
            (history.events(), "max_msgs_per_subject", json!(1)),
            (history.events(), "discard", json!("old")),
        ] {
            let before = history.last(&stream)?;
            let (right, wrong) = spoil(&stream, setting, value)?;
            let words = [stream.as_str(), "is not set up as Aether needs it", setting, "Set these back"];
            refused(folder.path(), &format!("{stream}-{setting}"), &config, 1, &words)?;
            ensure!(history.settings(&stream)? == wrong, "a stream that exists is not changed");
            ensure!(history.last(&stream)? >= before, "nothing stored is gone");
            history.api(&format!("STREAM.UPDATE.{stream}"), &right)?;
        }
        let other = config.replace("\"fast\"", "\"default\"");
        let words = ["was founded with other settings", "profile fast", "profile default", "give it the profile"];
        refused(folder.path(), "other-profile", &other, 1, &words)?;
        // Set back, it is taken in.
        let node = Lone::node(PROGRAM, folder.path(), "n2", &config)?;
        let joined = cluster_has(cluster, "n2");
        drop(node);
        joined
    })
}

fn cluster_has(cluster: &Cluster, id: &str) -> Result<()> {
    xtask::clock::wait_for(&format!("{id} to be Active"), xtask::clock::Deadline::after(END_LIMIT), || {
        let views = cluster.views()?;
        let active =
            |view: &xtask::cluster::ClusterView| view.node(id).is_some_and(xtask::cluster::NodeView::is_active);
        Ok(views.values().any(active).then_some(()))
    })
}

#[test]
fn a_second_process_with_the_same_node_id() -> Result<()> {
    Cluster::run(&Spec { load: Some(2), ..Spec::of(PROGRAM) }, |cluster| {
        let folder = folder()?;
        let file = cluster.file()?;
        let before = cluster.wait_balanced(3, END_LIMIT)?;
        let config = node_config(&file.namespace, "n2", &file.nats_urls[0], "").replace("\"fast\"", "\"default\"");
        let words = ["another process lives under the node id n2", "node.id"];
        let mut second = Lone::node(PROGRAM, folder.path(), "second", &config)?;
        let since = second.once_said("starting; admin pages are served", END_LIMIT)?;
        let ended = second.end(END_LIMIT)?;
        let took = since.elapsed();
        check(&ended, "second", NODE_ID_IN_USE, &words)?;
        out::note(format!("the second process has noticed after {:.2} s", took.as_secs_f64()));
        ensure!(took < DUPLICATE_LIMIT, "it took {took:?}");
        let after = cluster.wait_balanced(3, END_LIMIT)?;
        ensure!(before.node("n2").map(|node| &node.incarnation) == after.node("n2").map(|node| &node.incarnation));
        ensure!((before.epoch, before.term) == (after.epoch, after.term), "the first is not disturbed: {after:?}");
        cluster.wait_progress(20, END_LIMIT)?;
        cluster.verify().map(drop)
    })
}

#[test]
fn an_announcement_that_cannot_be_written() -> Result<()> {
    let (_alone, folder) = (alone(), folder()?);
    let server = NatsServer::start(ServerOptions::default())?;
    let file = folder.path().join("file");
    std::fs::write(&file, "")?;
    for (name, announce) in [("below-a-file", file.join("n1.url")), ("nowhere", folder.path().join("no/such/n1.url"))] {
        let more = format!("[admin]\nannounce = \"{}\"", announce.display());
        let words = [announce.to_str().context("a path")?];
        refused(folder.path(), name, &node_config("t", "n1", &server.url(), &more), 1, &words)?;
    }
    ensure!(streams(&server)? == 0, "nothing was made");
    Ok(())
}

#[test]
fn an_admin_port_that_is_taken() -> Result<()> {
    let (_alone, folder) = (alone(), folder()?);
    let server = NatsServer::start(ServerOptions::default())?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let more = format!("[admin]\nlisten = \"{address}\"");
    refused(folder.path(), "n1", &node_config("t", "n1", &server.url(), &more), 1, &[&address, "admin.listen"])?;
    ensure!(streams(&server)? == 0, "nothing was made");
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_read_or_means_nothing() -> Result<()> {
    let (_alone, folder) = (alone(), folder()?);
    let nats = "nats://127.0.0.1:1";
    let whole = node_config("t", "n1", nats, "");
    for (name, config, words) in [
        ("no-toml", "namespace = [[".to_owned(), &["no-toml.toml"][..]),
        ("unknown-key", whole.replace("[node]\n", "[node]\nidd = 1\n"), &["node.idd"]),
        ("unknown-section", format!("{whole}\n[nots]\nurls = []\n"), &["nots"]),
        ("no-id", whole.replace("id = \"n1\"\n", ""), &["node.id", "it is missing"]),
        ("bad-id", whole.replace("\"n1\"", "\"N 1\""), &["node.id"]),
        ("wrong-type", whole.replace("id = \"n1\"", "id = [1]"), &["node.id"]),
        ("bad-profile", whole.replace("\"fast\"", "\"brisk\""), &["profile", "default"]),
        ("bad-url", whole.replace("nats://", "http://"), &["nats.urls", "nats://"]),
        ("bad-replicas", format!("{whole}replicas = 2\n"), &["nats.replicas", "1 or 3"]),
        ("bad-listen", format!("{whole}[admin]\nlisten = \"here\"\n"), &["admin.listen"]),
    ] {
        refused(folder.path(), name, &config, 1, words)?;
    }
    let missing: PathBuf = folder.path().join("missing.toml");
    let arguments = ["node", "--config", missing.to_str().context("a path")?];
    let ended = Lone::start(PROGRAM, folder.path(), "missing", &arguments)?.end(END_LIMIT)?;
    check(&ended, "missing", 1, &["missing.toml"])?;
    let usage = Lone::start(PROGRAM, folder.path(), "usage", &["node"])?.end(END_LIMIT)?;
    ensure!(usage.code == Some(2), "a wrong command line ends with 2: {usage:?}");
    Ok(())
}

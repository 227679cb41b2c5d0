//! A real nats-server, found or fetched, does what the tests of every other crate rely on.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use xtask::{
    clock::{Deadline, wait_for},
    nats::{
        API_LEVEL_MIN, NatsCluster, NatsServer, Options, ServerOptions, Sync, locate, oldest_version, refused_version,
    },
};

fn greeting(server: &NatsServer) -> String {
    let address = server.url().trim_start_matches("nats://").to_owned();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("it reads");
    let mut said = String::new();
    let mut buffer = [0; 4096];
    while !said.contains("PONG") && !said.contains("-ERR") {
        let read = stream.read(&mut buffer).expect("it answers");
        assert!(read > 0, "it hung up after {said}");
        said.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    said
}

fn is_alive(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}/exe")).exists()
}

#[test]
fn a_server_serves_until_it_is_dropped_and_leaves_nothing() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    assert!(greeting(&server).contains("\"jetstream\":true"));
    assert!(server.api_level().expect("it says") >= API_LEVEL_MIN);
    let (pid, dir) = (server.pid().expect("it runs"), server.dir().to_owned());
    assert!(is_alive(pid) && dir.exists());
    drop(server);
    assert!(!is_alive(pid) && !dir.exists());
}

#[test]
fn a_killed_server_comes_back_on_the_same_port() {
    let mut server =
        NatsServer::start(ServerOptions { sync: Sync::Always, ..ServerOptions::default() }).expect("a server");
    let url = server.url();
    server.kill().expect("it ran");
    assert!(server.pid().is_none() && !server.is_healthy() && server.kill().is_err());
    server.restart().expect("it comes back");
    assert_eq!(server.url(), url);
    greeting(&server);
    server.terminate().expect("it ends when asked");
    server.restart().expect("it comes back");
    greeting(&server);
}

#[test]
fn a_frozen_server_answers_nothing_until_it_goes_on() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    server.stop().expect("it runs");
    // The signal alone says nothing about when.
    wait_for("silence", Deadline::after(Duration::from_secs(30)), || Ok((!server.is_healthy()).then_some(())))
        .expect("silence");
    server.cont().expect("it is frozen");
    wait_for("health", Deadline::after(Duration::from_secs(30)), || Ok(server.is_healthy().then_some(())))
        .expect("health");
}

#[test]
fn a_server_without_jetstream_and_one_with_a_password_can_be_had() {
    let plain = NatsServer::start(ServerOptions { jetstream: false, ..ServerOptions::default() }).expect("a server");
    assert!(!greeting(&plain).contains("\"jetstream\":true"));
    let login = Some(("user".to_owned(), "secret".to_owned()));
    let closed = NatsServer::start(ServerOptions { login, ..ServerOptions::default() }).expect("a server");
    assert!(greeting(&closed).contains("Authorization Violation"));
}

#[test]
fn the_oldest_supported_server_and_one_too_old_differ_in_api_level() {
    for (version, new_enough) in [(oldest_version(), true), (refused_version(), false)] {
        let version = version.expect("pinned");
        let program = locate(&Options::with_version(&version)).expect("fetched");
        let server =
            NatsServer::start(ServerOptions { program: Some(program), ..ServerOptions::default() }).expect("a server");
        assert_eq!(server.api_level().expect("it says") >= API_LEVEL_MIN, new_enough, "nats-server {version}");
    }
}

#[test]
fn a_cluster_of_three_elects_another_leader_when_its_leader_is_killed() {
    let mut cluster = NatsCluster::start(3).expect("a cluster");
    let first = cluster.meta_leader().expect("a leader");
    cluster.server_mut(first).kill().expect("it ran");
    let second = wait_for("another leader", Deadline::after(Duration::from_secs(30)), || {
        Ok(cluster.meta_leader().filter(|&leader| leader != first))
    })
    .expect("another leader");
    assert_ne!(first, second);
    cluster.server_mut(first).restart().expect("it comes back");
    cluster.wait_ready().expect("whole again");
    assert_eq!(cluster.urls().len(), 3);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let options = ServerOptions { extra: "no_such_setting: 7\n".to_owned(), ..ServerOptions::default() };
    let error = format!("{:#}", NatsServer::start(options).expect_err("refused"));
    assert!(error.contains("no_such_setting"), "{error}");
}

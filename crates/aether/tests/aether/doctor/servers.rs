//! What is wrong with servers: how they are reached, what they have, and for whom.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use xtask::nats::{NatsCluster, NatsServer, ServerOptions, Sync, locate, refused_version};

use super::scene::{Files, Report, ask, doctor, done, provision, stored};
use super::settings::valid_for;
use crate::program::{nobody, program};

fn server(extra: &str) -> NatsServer {
    NatsServer::start(ServerOptions { extra: extra.to_owned(), ..ServerOptions::default() }).expect("a server")
}

#[test]
fn a_server_that_cannot_be_reached_or_used_is_named() {
    let files = Files::new();
    let look = |name: &str, url: &str, nats: &str| {
        Report::of(&mut doctor(&["--config", &files.node(name, &[url.to_owned()], ["", "", nats, ""])]))
    };
    let nowhere = nobody();
    look("n1", &nowhere, "").names("server-unreachable", &nowhere);

    let login = ServerOptions { login: Some(("ann".to_owned(), "right".to_owned())), ..ServerOptions::default() };
    let login = NatsServer::start(login).expect("a server");
    let with = |password: &str| look("n1", &login.url(), &format!("user = \"ann\"\npassword = \"{password}\""));
    with("wrong").names("credentials-refused", "nats.user");
    with("right").does_not_name("credentials-refused");

    let old = locate(&xtask::nats::Options::with_version(refused_version().expect("pinned"))).expect("fetched");
    let old = NatsServer::start(ServerOptions { program: Some(old), ..ServerOptions::default() }).expect("a server");
    look("n1", &old.url(), "").names("server-too-old", "2.12.2");

    let small = server("max_payload: 65536\n");
    look("n1", &small.url(), "").names("payload-limit", "max_payload: 1MB");

    let off = NatsServer::start(ServerOptions { jetstream: false, ..ServerOptions::default() }).expect("a server");
    look("n1", &off.url(), "").names("jetstream-off", "jetstream {");

    // What only the servers' own pages tell.
    let (fast, safe) = (server(""), ServerOptions { sync: Sync::Always, ..ServerOptions::default() });
    let safe = NatsServer::start(safe).expect("a server");
    let monitored = |servers: &[&NatsServer]| {
        let urls: Vec<_> = servers.iter().map(|server| server.monitor_url().expect("running")).collect();
        let config = files.plain("n1", &safe.url());
        Report::of(&mut doctor(&["--config", &config, "--monitor", &urls.join(",")]))
    };
    monitored(&[&fast]).names("sync-not-always", "sync_interval: always");
    monitored(&[&safe]).does_not_name("sync-not-always");
    monitored(&[&safe, &old]).names("servers-differ", "2.15");
    let nowhere = nowhere.replace("nats://", "http://");
    let config = files.plain("n1", &safe.url());
    Report::of(&mut doctor(&["--config", &config, "--monitor", &nowhere])).names("monitor-silent", &nowhere);
}

/// A certificate for that host that holds until so many days from now, and its key, as files.
fn identity(files: &Files, name: &str, host: &str, days: i64) -> (String, String) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    valid_for(&mut params, days);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("signed").pem();
    let write = |kind: &str, text: &str| files.write(&format!("{name}.{kind}"), text, 0o600);
    (write("pem", &certificate), write("key", &key.serialize_pem()))
}

#[test]
fn each_way_in_which_encryption_fails_has_a_name_of_its_own() {
    let files = Files::new();
    let good = identity(&files, "good", "localhost", 400);
    let other = identity(&files, "other", "elsewhere.example", 400);
    let ended = identity(&files, "ended", "localhost", -1);
    let ending = identity(&files, "ending", "localhost", 20);
    let serving = |(certificate, key): &(String, String), more: &str| {
        server(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} {more} }}\n"))
    };
    let look = |server: &NatsServer, ca: &str, more: &str| {
        let url = server.url().replace("127.0.0.1", "localhost");
        let monitor = server.monitor_url().expect("running").to_owned();
        let config = files.node("n1", &[url], ["", "", &format!("tls_ca = {ca:?}\n{more}"), ""]);
        Report::of(&mut doctor(&["--config", &config, "--monitor", &monitor]))
    };
    let trusted = serving(&good, "");
    look(&trusted, &good.0, "").does_not_name("tls-untrusted");
    look(&trusted, &other.0, "").names("tls-untrusted", "nats.tls_ca");
    look(&serving(&other, ""), &other.0, "").names("tls-other-host", "nats.urls");
    look(&serving(&ended, ""), &ended.0, "")
        .names("tls-out-of-date", "reload")
        .names("certificate-expired", "the certificate of");
    look(&serving(&ending, ""), &ending.0, "").names("certificate-expiring", "the certificate of");
    let asking = serving(&good, &format!(", verify: true, ca_file: {:?}", good.0));
    look(&asking, &good.0, "").names("tls-own-certificate", "nats.tls_cert");
    let ours = format!("tls_cert = {:?}\ntls_key = {:?}", good.0, good.1);
    look(&asking, &good.0, &ours).does_not_name("tls-own-certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_jetstream_or_with_too_little_of_it_is_named() {
    let user = |name: &str, jetstream: &str| {
        format!("{} {{ {jetstream}users: [ {{ user: {name}, password: p }} ] }}\n", name.to_uppercase())
    };
    let server = server(&format!(
        "accounts {{\n{}{}{}{}{} }}\n",
        user("none", ""),
        user("few", "jetstream: { max_streams: 3 }, "),
        user("bytes", "jetstream: { max_file: 10MB, max_bytes_required: true }, "),
        user("full", "jetstream: { max_file: 1MB }, "),
        user("read", "jetstream: { max_consumers: 5 }, "),
    ));
    let files = Files::new();
    let config =
        |user: &str| files.node(user, &[server.url()], ["", "", &format!("user = \"{user}\"\npassword = \"p\""), ""]);
    let look = |user: &str| Report::of(&mut doctor(&["--config", &config(user)]));
    look("none").names("jetstream-not-for-account", "jetstream: enabled");
    look("few").names("account-streams", "max_streams");
    look("bytes").names("account-byte-limits", "max_bytes_required");

    let connected = async |user: &str| {
        let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), "p".to_owned());
        options.connect(server.url()).await.expect("connected")
    };
    provision(&config("full"));
    look("full").is_healthy();
    let client = connected("full").await;
    let jetstream = async_nats::jetstream::new(client.clone());
    let store = async |count: usize| {
        for _ in 0..count {
            let stored = jetstream.publish("aether.bank.ev.0.000.k.a", vec![7; 10_000].into()).await;
            stored.expect("sent").await.expect("stored");
        }
    };
    store(85).await;
    look("full").names("storage-filling", "max_file");
    store(16).await;
    look("full").names("storage-full", "max_file");
    done(ask(&client, "STREAM.PURGE.AETHER_bank_EVT_0", Value::Null).await);
    look("full").is_healthy();

    provision(&config("read"));
    let client = connected("read").await;
    for nth in 0..4 {
        let name = format!("c{nth}");
        let body =
            json!({ "stream_name": "AETHER_bank_TOP", "config": { "durable_name": name, "ack_policy": "none" } });
        done(ask(&client, &format!("CONSUMER.DURABLE.CREATE.AETHER_bank_TOP.{name}"), body).await);
    }
    look("read").names("account-consumers", "AETHER_bank_TOP has 4 of 5");
    // As many in all streams together are as it must be.
    done(ask(&client, "CONSUMER.DELETE.AETHER_bank_TOP.c0", Value::Null).await);
    let body = json!({ "stream_name": "AETHER_bank_DLQ", "config": { "durable_name": "d", "ack_policy": "none" } });
    done(ask(&client, "CONSUMER.DURABLE.CREATE.AETHER_bank_DLQ.d", body).await);
    look("read").is_healthy();
}

#[test]
fn a_user_without_the_rights_of_its_role_is_told_which_and_one_with_them_is_healthy() {
    let permissions = |role: &str| {
        let printed = program().args(["acl", "--ns", "bank", "--role", role]).output().expect("it runs");
        String::from_utf8_lossy(&printed.stdout).into_owned()
    };
    let user = |role: &str| format!("{{ user: {role}, password: p\n{} }}\n", permissions(role));
    let said = permissions("observer");
    let said = |what: &str| {
        said.lines().find_map(|line| line.strip_prefix(&format!("#   {what}"))).expect("it is said").to_owned()
    };
    let server = server(&format!(
        "accounts {{\n NODES {{ jetstream: enabled, users: [\n{}{}{}]\n exports{} }}\n OBSERVERS {{ users: [\n{}]\n imports{} }}\n}}\n",
        user("node"),
        user("operator"),
        user("client"),
        said("exports"),
        user("observer"),
        said("imports"),
    ));
    let files = Files::new();
    let config = |user: &str, inbox: &str| {
        files.node(user, &[server.url()], ["", "", &format!("user = \"{user}\"\npassword = \"p\"\n{inbox}"), ""])
    };
    let look = |user: &str, inbox: &str, role: &str| {
        Report::of(&mut doctor(&["--config", &config(user, inbox), "--role", role]))
    };
    look("node", "", "node").names("namespace-empty", "aether provision");
    provision(&config("operator", ""));
    look("node", "", "node").is_healthy();
    look("operator", "", "operator").is_healthy();
    // What these may not see is a note.
    let client = "inbox_prefix = \"_INBOX_CLIENT_bank\"";
    let report = look("client", client, "client");
    report.is_healthy();
    assert!(report.notes().contains("may not ask $JS.API.INFO"), "{}", report.notes());
    look("observer", "inbox_prefix = \"_INBOX_OBSERVER_bank\"", "observer").is_healthy();

    for role in ["client", "observer"] {
        let cure = format!("nats.inbox_prefix = \"_INBOX_{}_bank\"", role.to_uppercase());
        look(role, "", role).names("rights-missing", &cure);
    }
    look("client", client, "node").names("rights-missing", "publish to $JS.API.INFO");
    look("operator", "", "node").names("rights-missing", "aether acl --ns bank --role node");
    look("node", "", "operator").names("rights-missing", "STREAM.CREATE");
    // Its answers would come where it may not listen.
    look("node", "inbox_prefix = \"_INBOX_elsewhere\"", "node")
        .names("rights-missing", "subscribe to _INBOX_elsewhere.>");
}

/// A way to a server on which each time that it tells is a year earlier: as a machine whose clock is a year ahead meets it.
fn late_by_a_year(server: &NatsServer) -> String {
    let address = server.url().trim_start_matches("nats://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&address).expect("it listens");
            let (mut up, mut to_server) =
                (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            std::thread::spawn(move || {
                std::io::copy(&mut up, &mut to_server).ok();
                to_server.shutdown(Shutdown::Both).ok();
            });
            std::thread::spawn(move || relay(server, client));
        }
    });
    url
}

fn relay(mut server: TcpStream, mut client: TcpStream) {
    const TIME: &[u8] = b"\"ts\":\"20";
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        let read = &mut bytes[..count];
        for at in 0..count.saturating_sub(TIME.len() + 2) {
            if read[at..].starts_with(TIME) {
                read[at + TIME.len()] -= 1;
            }
        }
        if client.write_all(read).is_err() {
            return;
        }
    }
}

#[test]
fn a_clock_that_differs_from_the_servers_is_named() {
    let (server, files) = (server(""), Files::new());
    let config = files.plain("n1", &server.url());
    provision(&config);
    Report::of(&mut doctor(&["--config", &config])).is_healthy();
    let config = files.plain("n2", &late_by_a_year(&server));
    Report::of(&mut doctor(&["--config", &config])).names("clock-differs", "behind this machine");
}

#[test]
fn three_servers_are_healthy_until_one_is_lost_and_leaderless_without_a_majority() {
    let options = ServerOptions { sync: Sync::Always, ..ServerOptions::default() };
    let mut cluster = NatsCluster::start_with(3, &options).expect("three servers");
    let files = Files::new();
    let three = files.node("n1", &cluster.urls(), ["", "", "replicas = 3", ""]);
    let look = |config: &str| Report::of(&mut doctor(&["--config", config]));
    provision(&three);
    let settled = || {
        let limit = xtask::clock::Deadline::after(crate::program::LIMIT);
        xtask::clock::wait_for("the copies to be current", limit, || Ok(look(&three).codes().is_empty().then_some(())))
    };
    settled().expect("they are");
    let before: Vec<_> = cluster.servers().iter().map(stored).collect();
    let monitors: Vec<_> =
        cluster.servers().iter().map(|server| server.monitor_url().expect("running").to_owned()).collect();
    let report = Report::of(&mut doctor(&["--config", &three, "--monitor", &monitors.join(",")]));
    report.is_healthy();
    assert_eq!(report.0["notes"], json!([]));
    let after: Vec<_> = cluster.servers().iter().map(stored).collect();
    assert_eq!(before, after, "nothing is written, and nobody reads along");

    // Who is no node sees how many copies there are, and one who says another number is told, of all streams at once.
    let urls = cluster.urls().join(",");
    let person = || doctor(&["--nats-url", &urls, "--namespace", "bank"]);
    Report::of(&mut person()).is_healthy();
    let report = Report::of(person().env("AETHER_NATS__REPLICAS", "1"));
    report.names("stream-copies", "`nats.replicas = 3` for every node");
    assert_eq!(report.codes().iter().filter(|code| **code == "stream-copies").count(), 1, "{}", report.0);

    // One copy where there could be three, in a namespace of its own.
    let one = files.node("n2", &cluster.urls(), ["namespace = \"one\"", "", "replicas = 1", ""]);
    look(&one).names("copies-few", "nats.replicas = 3");

    cluster.server_mut(2).kill().expect("it ran");
    let lost = |code: &str| {
        let limit = xtask::clock::Deadline::after(crate::program::LIMIT);
        let named = || Ok(look(&three).codes().contains(&code).then_some(()));
        let named = xtask::clock::wait_for("the loss to be named", limit, named);
        named.unwrap_or_else(|fault| panic!("{code}: {fault}: {:?}", look(&three)));
    };
    lost("replica-offline");
    cluster.server_mut(1).kill().expect("it ran");
    lost("stream-leaderless");
}

//! Beginning: what is refused, in how much time and in which words, and what is set up.

use std::path::PathBuf;
use std::time::Duration;

use aether_domain::Sequence;
use aether_domain::ports::{AppendError, ControlUpdate, Expected, LogUpdate};
use aether_infra_nats::{Credentials, NatsConfig, Promise, StartError, connect};
use async_nats::jetstream::stream::Config;
use xtask::nats::{NatsServer, ServerOptions, locate, oldest_version, refused_version};

use crate::support::{
    LeaderGets, actor, commit, config, entry, lease, namespace, next, ports, server, stranger, until,
};

async fn refused(config: &NatsConfig) -> StartError {
    let patience = config.connect_within + config.provision_within + Duration::from_secs(10);
    let namespace = namespace();
    let connected = tokio::time::timeout(patience, connect(config, &namespace));
    connected.await.expect("refused in bounded time").err().expect("refused")
}

#[tokio::test]
async fn no_server_is_said_with_the_address_and_without_the_password() {
    // One port where nobody listens, and one where somebody listens who never says a word.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    for port in [1, mute.local_addr().expect("its address").port()] {
        let url = format!("nats://me:secret@127.0.0.1:{port}");
        let config = NatsConfig { connect_within: Duration::from_secs(5), ..config(&url) };
        let error = refused(&config).await;
        assert!(matches!(error, StartError::NoServer { cause: Some(_), .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("127.0.0.1") && text.contains("check that nats-server runs"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_comes_up_late_is_waited_for() {
    let mut server = server();
    server.kill().expect("it ran");
    let config = config(server.url());
    let connected = tokio::spawn(async move { connect(&config, &namespace()).await });
    let server = tokio::task::spawn_blocking(move || server.restart().map(|()| server)).await.expect("no panic");
    let _server = server.expect("it comes back");
    assert!(connected.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn wrong_credentials_are_refused_at_once() {
    let options = ServerOptions { login: Some(("me".to_owned(), "right".to_owned())), ..ServerOptions::default() };
    let server = NatsServer::start(options).expect("a server");
    let with = |credentials| NatsConfig { credentials, ..config(server.url()) };
    let password = |password: &str| Credentials::Password { user: "me".to_owned(), password: password.to_owned() };
    for wrong in [password("wrong"), Credentials::None, Credentials::Token("x".to_owned())] {
        let error = refused(&with(wrong)).await;
        assert!(matches!(error, StartError::Credentials { .. }), "{error:?}");
        assert!(error.to_string().contains("refused the credentials"), "{error}");
    }
    assert!(connect(&with(password("right")), &namespace()).await.is_ok());
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named() {
    let server = server();
    let unreadable = Credentials::File(PathBuf::from("no/such/file.creds"));
    for (config, word) in [
        (NatsConfig::new(Vec::<String>::new()), "address"),
        (config("nats://[bad"), "NATS settings"),
        (NatsConfig { replicas: 2, ..config(server.url()) }, "2 replicas"),
        (NatsConfig { credentials: unreadable, ..config(server.url()) }, "no/such/file.creds"),
    ] {
        let error = refused(&config).await;
        assert!(matches!(error, StartError::Settings { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_server_too_old_is_refused() {
    let version = refused_version().expect("pinned");
    let program = locate(&xtask::nats::Options::with_version(&version)).expect("fetched");
    let options = ServerOptions { program: Some(program), ..ServerOptions::default() };
    let server = NatsServer::start(options).expect("a server");
    let error = refused(&config(server.url())).await;
    assert!(matches!(&error, StartError::ServerTooOld { .. }), "{error:?}");
    assert!(error.to_string().contains("too old") && error.to_string().contains("2.12.2"), "{error}");
}

#[tokio::test]
async fn the_oldest_supported_server_has_everything_we_use() {
    let program = locate(&xtask::nats::Options::with_version(oldest_version().expect("pinned"))).expect("fetched");
    let server = NatsServer::start(ServerOptions { program: Some(program), ..ServerOptions::default() });
    let server = server.expect("a server");
    let ports = ports(&server).await;
    drop(connect(&config(server.url()), &namespace()).await.expect("its own settings are no drift"));
    let mut watch = ports.control.watch().await.expect("a watch");
    let mut feed = ports.log.follow(Sequence::ZERO).await.expect("a feed");
    ports.control.write(&lease(1), Expected::Absent).await.expect("written");
    until(&mut watch, |update| matches!(update, ControlUpdate::Record(_)).then_some(())).await;
    let at = ports.log.append(&entry(1, 0), Sequence::ZERO).await.expect("written");
    assert!(matches!(next(&mut feed).await, LogUpdate::Entry(stored) if stored.at == at));
    let again = ports.log.append(&entry(1, 0), Sequence::ZERO).await;
    assert!(matches!(again, Err(AppendError::Conflict { actual: Some(Sequence(1)), .. })), "{again:?}");
    let (alice, mut after) = (actor("alice"), Sequence::ZERO);
    for base in 0..600 {
        after = ports.events.append(&alice, &commit(base, after, "1"), after).await.expect("written").sequence;
    }
    let mut gets = LeaderGets::of(&server).await;
    assert_eq!(ports.events.read(&alice, Sequence::ZERO).await.expect("a history").len(), 600);
    assert_eq!(gets.count().await, 0, "it came in batches");
    assert_eq!(ports.events.read_fresh(&alice, Sequence(590)).await.expect("a history").len(), 10);
}

#[tokio::test]
async fn jetstream_switched_off_is_refused_at_once() {
    let server = NatsServer::start(ServerOptions { jetstream: false, ..ServerOptions::default() }).expect("a server");
    let error = refused(&config(server.url())).await;
    assert!(matches!(error, StartError::JetStreamOff { .. }), "{error:?}");
    assert!(error.to_string().contains("enable it"), "{error}");
}

#[tokio::test]
async fn missing_permissions_are_told_with_the_servers_own_words() {
    let extra = r#"authorization { users: [ { user: "me", password: "p", permissions: { publish: ["nothing"] } } ] }
"#;
    let server = NatsServer::start(ServerOptions { extra: extra.to_owned(), ..ServerOptions::default() });
    let server = server.expect("a server");
    let credentials = Credentials::Password { user: "me".to_owned(), password: "p".to_owned() };
    let config = NatsConfig {
        credentials,
        connect_within: Duration::from_secs(8),
        request_timeout: Duration::from_secs(3),
        ..config(server.url())
    };
    let error = refused(&config).await;
    assert!(matches!(error, StartError::JetStreamSilent { .. }), "{error:?}");
    assert!(error.to_string().contains("Permissions Violation"), "{error}");
}

#[tokio::test]
async fn a_max_payload_too_small_for_our_records_is_refused() {
    let options = ServerOptions { extra: "max_payload: 65536\n".to_owned(), ..ServerOptions::default() };
    let server = NatsServer::start(options).expect("a server");
    let error = refused(&config(server.url())).await;
    assert!(matches!(error, StartError::PayloadLimit { found: 65_536, .. }), "{error:?}");
}

#[tokio::test]
async fn whoever_only_looks_makes_no_stream_and_is_told_which_is_missing() {
    let server = server();
    let looks = NatsConfig { create_streams: false, ..config(server.url()) };
    for _ in 0..2 {
        let error = refused(&looks).await;
        let StartError::Provision { stream, reason, .. } = &error else { panic!("{error:?}") };
        assert!(stream.ends_with("_TOP") && reason.contains("is the namespace right?"), "{error}");
    }
    for config in [&config(server.url()), &looks] {
        connect(config, &namespace()).await.expect("somebody has made them").session.close().await;
    }
}

#[tokio::test]
async fn three_replicas_on_one_server_are_refused_with_the_servers_reason() {
    let server = server();
    let error = refused(&NatsConfig { replicas: 3, ..config(server.url()) }).await;
    assert!(matches!(&error, StartError::Provision { replicas: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("replicas > 1 not supported"), "{error}");
}

#[tokio::test]
async fn the_streams_are_made_once_and_by_whoever_is_first() {
    let server = server();
    let config = config(server.url());
    let racing = (0..6).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { connect(&config, &namespace()).await })
    });
    for one in racing.collect::<Vec<_>>() {
        one.await.expect("no panic").expect("every one of the racing nodes starts");
    }
    let js = stranger(&server).await;
    let mut found = Vec::new();
    for name in ["AETHER_t_TOP", "KV_aether_t_ctl", "AETHER_t_EVT_0", "AETHER_t_SNP", "AETHER_t_DLQ"] {
        let config = js.get_stream(name).await.expect("it exists").cached_info().config.clone();
        // A letter that somebody has dealt with may be deleted, and nothing else.
        assert_eq!(config.deny_delete, name != "AETHER_t_DLQ", "{name}");
        assert!(!config.allow_rollup && config.max_age.is_zero(), "{name}");
        found.push((config.allow_direct, config.deny_purge, config.max_messages_per_subject));
    }
    assert_eq!(found, [(false, true, -1), (false, true, 1), (true, false, -1), (true, false, 2), (false, false, -1)]);
}

#[tokio::test]
async fn a_stream_that_was_changed_is_refused_and_left_alone() {
    let server = server();
    drop(ports(&server).await);
    let js = stranger(&server).await;
    let change = |name: &'static str, change: fn(&mut Config)| {
        let js = js.clone();
        async move {
            let mut config = js.get_stream(name).await.expect("it exists").cached_info().config.clone();
            change(&mut config);
            js.update_stream(config).await.expect("the server takes it");
        }
    };
    change("AETHER_t_EVT_0", |config| config.description = Some("ours".to_owned())).await;
    drop(ports(&server).await);
    change("AETHER_t_EVT_0", |config| {
        config.discard = async_nats::jetstream::stream::DiscardPolicy::Old;
        config.max_age = Duration::from_secs(3600);
    })
    .await;
    let error = refused(&config(server.url())).await;
    let StartError::ConfigDrift { stream, differences } = &error else { panic!("{error:?}") };
    assert_eq!(stream, "AETHER_t_EVT_0");
    let named: Vec<_> = differences.iter().map(|difference| difference.setting.as_str()).collect();
    assert_eq!(named, ["discard", "max_age"]);
    let text = error.to_string();
    assert!(text.contains("discard is \"old\" instead of \"new\""), "{text}");
    let stream = js.get_stream("AETHER_t_EVT_0").await.expect("it exists");
    assert_eq!(stream.cached_info().config.max_age, Duration::from_secs(3600), "nothing was changed back");
}

#[tokio::test]
async fn a_stream_of_our_name_that_is_somebody_elses_is_drift() {
    let server = server();
    let js = stranger(&server).await;
    let other = Config { name: "AETHER_t_TOP".to_owned(), subjects: vec!["x".to_owned()], ..Config::default() };
    js.create_stream(other).await.expect("a stream");
    let error = refused(&config(server.url())).await;
    assert!(matches!(&error, StartError::ConfigDrift { stream, .. } if stream == "AETHER_t_TOP"), "{error:?}");
}

#[tokio::test]
async fn one_replica_is_said_to_be_a_reduced_promise() {
    let server = server();
    let ports = ports(&server).await;
    assert!(matches!(ports.session.promise(), Promise::Reduced { reason } if reason.contains("power cut")));
    assert!(ports.session.is_connected());
    assert_eq!(ports.session.counters().connects, 1);
    assert!(ports.session.server_version().starts_with("2."));
}

//! Every rule on facts that are made up: one row for each kind of finding, and none where all is well.

use std::collections::BTreeSet;
use std::time::Duration;

use aether_domain::cluster::NodeInfo;
use aether_domain::records::{Format, Health, Load, MemberRecord, MemberState};
use aether_domain::timing::Profile;
use aether_domain::{Epoch, Incarnation, NodeId, NodeRef, Nonce, ShardCount, Zone};
use aether_infra_nats::{
    AccountSeen, ClockSeen, Difference, Examined, LogSeen, MemberSeen, NatsConfig, ReplicaSeen, RightsSeen, Role,
    ServerSeen, StartError, StreamSeen, StreamState, TlsFault, Validity,
};

use super::super::facts::{Certificates, Host, Told};
use super::super::finding::Severity;
use super::super::monitor::{Jetstream, JetstreamConfig, JetstreamStats, Monitor, Server};
use super::*;
use crate::config::{ConfigRefused, Layers, RefusedKind, Settings};
use crate::node::builder::founding;

const NOW: &str = "2026-11-28T12:00:00.500Z";

fn now() -> WallTime {
    WallTime { unix_millis: when::unix_millis(NOW).expect("a time") }
}

fn ago(span: Duration) -> WallTime {
    let now = now().unix_millis;
    WallTime { unix_millis: now - u64::try_from(span.as_millis()).expect("short") }
}

fn settings(more: &str) -> Settings {
    let text = format!(
        "namespace = \"bank\"\n[nats]\nurls = [\"tls://nats.example:4222\"]\nreplicas = 3\n[node]\nid = \"n1\"\n{more}"
    );
    Layers::text("n1.toml", text).load().expect("settings")
}

fn told(more: &str) -> Told {
    let settings = settings(more);
    let mut nats = NatsConfig::new(settings.nats.urls.iter().cloned());
    nats.replicas = settings.nats.replicas;
    nats.tls.insecure = settings.nats.tls.insecure;
    Told { settings, nats, file: Some("n1.toml".into()), says_profile: true, says_replicas: true }
}

fn member(id: &str) -> MemberSeen {
    let record = MemberRecord {
        node: NodeRef { node: NodeId::new(id).expect("an id"), incarnation: Incarnation(7) },
        state: MemberState::Alive,
        heartbeat: 9,
        nonce: Nonce(1),
        heartbeat_every: Duration::from_secs(1),
        view: Epoch(9),
        load: Load::default(),
        info: NodeInfo { zone: Some(Zone::new("a").expect("a zone")), ..NodeInfo::default() },
        admin_url: format!("http://10.0.0.1:74{id}"),
        build: "0.1.0".to_owned(),
        supervisor: None,
        health: Health::default(),
        shard_loads: Vec::new(),
        digest: 0,
        reads: Format::FIRST,
    };
    MemberSeen { id: id.to_owned(), record: Ok(Box::new(record)), written: ago(Duration::from_millis(700)) }
}

fn stream(name: &str) -> StreamSeen {
    let replica = |name: &str| ReplicaSeen {
        name: name.to_owned(),
        offline: false,
        current: true,
        heard: Some(Duration::from_millis(700)),
        lag: 0,
    };
    let state = StreamState {
        messages: 10,
        bytes: 1000,
        clustered: true,
        leader: Some("nats-0".to_owned()),
        replicas: vec![replica("nats-1"), replica("nats-2")],
        ..StreamState::default()
    };
    StreamSeen { name: name.to_owned(), found: Ok(state) }
}

fn examined() -> Examined {
    Examined {
        server: ServerSeen {
            name: "nats-0".to_owned(),
            version: "2.15.1".to_owned(),
            older_than: None,
            cluster: Some("aether".to_owned()),
            jetstream: true,
            payload_bytes_max: 1 << 20,
            payload_bytes_needed: 1 << 20,
            asks_who: true,
        },
        rights: RightsSeen { tried: 44, ..RightsSeen::default() },
        account: Ok(AccountSeen {
            api_level: 5,
            streams: 2,
            streams_max: Some(7),
            consumers: 10,
            consumers_max: Some(100),
            storage_bytes: 1 << 20,
            storage_bytes_max: Some(1 << 30),
            byte_limits_required: false,
        }),
        streams: vec![stream("AETHER_bank_EVT_0"), stream("AETHER_bank_DLQ")],
        clock: Some(ClockSeen { asked: ago(Duration::from_millis(2)), said: NOW.to_owned(), answered: now() }),
        members: Ok(vec![member("n2"), member("n3")]),
        log: Ok(LogSeen { founded: Some(founding(Profile::Default)), epoch: Epoch(9), format: Some(Format::FIRST) }),
    }
}

fn monitor(name: &str) -> Monitor {
    let config = JetstreamConfig { sync_always: true, sync_interval: 120_000_000_000, max_storage: 1 << 40 };
    let server = Server {
        name: name.to_owned(),
        version: "2.15.1".to_owned(),
        now: NOW.to_owned(),
        tls_cert_not_after: Some("2027-11-28T12:00:00Z".to_owned()),
        jetstream: Jetstream { config: Some(config), stats: JetstreamStats { storage: 1 << 20 } },
    };
    Monitor { url: format!("http://{name}:8222"), asked: now(), answered: now(), page: Ok(server) }
}

fn facts() -> Facts {
    let certificate = Certificates {
        setting: "nats.tls_cert",
        file: "me.pem".into(),
        held: Ok(vec![Validity { from: 0, until: 1_900_000_000 }]),
    };
    let host = Host {
        open_files_max: Some(1024),
        memory_bytes: Some(8 << 30),
        certificates: vec![certificate],
        ..Host::default()
    };
    Facts {
        now: now(),
        role: Role::Node,
        told: Ok(told("")),
        nameless: false,
        host,
        nats: Some(Ok(examined())),
        monitors: vec![monitor("nats-0"), monitor("nats-1")],
    }
}

type Change = Box<dyn Fn(&mut Facts)>;

fn change(change: impl Fn(&mut Facts) + 'static) -> Change {
    Box::new(change)
}

fn with_settings(more: &'static str) -> Change {
    change(move |facts| facts.told = Ok(told(more)))
}

fn refused(kind: RefusedKind) -> Change {
    change(move |facts| {
        let text = |text: &str| text.to_owned();
        facts.told =
            Err(ConfigRefused { kind, reason: text("node.weight: 0"), place: text("n1.toml"), cure: text("write 1") });
        facts.nats = None;
    })
}

fn nats(change_it: impl Fn(&mut Examined) + 'static) -> Change {
    change(move |facts| change_it(facts.nats.as_mut().expect("looked").as_mut().expect("seen")))
}

fn unreached(error: fn() -> StartError) -> Change {
    change(move |facts| facts.nats = Some(Err(error())))
}

fn tls(fault: TlsFault) -> Change {
    change(move |facts| {
        let reason = "invalid peer certificate; a cure".to_owned();
        facts.nats = Some(Err(StartError::Tls { servers: "tls://nats.example".to_owned(), fault, reason }));
    })
}

fn account(change_it: impl Fn(&mut AccountSeen) + 'static) -> Change {
    nats(move |examined| change_it(examined.account.as_mut().expect("seen")))
}

fn state(change_it: impl Fn(&mut StreamState) + 'static) -> Change {
    nats(move |examined| change_it(examined.streams[0].found.as_mut().expect("seen")))
}

fn drift(setting: &'static str, found: &'static str, expected: &'static str) -> Change {
    state(move |state| {
        let text = |text: &str| text.to_owned();
        state.differences = vec![Difference { setting: text(setting), found: text(found), expected: text(expected) }];
    })
}

fn node(change_it: impl Fn(&mut MemberRecord) + 'static) -> Change {
    nats(move |examined| {
        let members = examined.members.as_mut().expect("seen");
        change_it(members[0].record.as_mut().expect("understood"));
    })
}

fn server(change_it: impl Fn(&mut Server) + 'static) -> Change {
    change(move |facts| change_it(facts.monitors[0].page.as_mut().expect("seen")))
}

fn until(days: i64) -> Change {
    change(move |facts| {
        let now = i64::try_from(facts.now.unix_millis / 1000).expect("our time");
        facts.host.certificates[0].held = Ok(vec![Validity { from: 0, until: now + days * 86_400 }]);
    })
}

fn creds(days: i64) -> Change {
    change(move |facts| {
        let now = i64::try_from(facts.now.unix_millis / 1000).expect("our time");
        facts.host.credentials = Some(("me.creds".into(), Ok(Some(now + days * 86_400))));
    })
}

/// For each kind of finding the facts that have it, and a word of its cure or of what was found.
#[rustfmt::skip]
fn rows() -> Vec<(&'static str, &'static str, Change)> {
    vec![
        ("settings-refused", "write 1", refused(RefusedKind::Setting)),
        ("file-missing", "node.weight: 0 (n1.toml)", refused(RefusedKind::NoFile)),
        ("secret-file-exposed", "node.weight: 0 (n1.toml)", refused(RefusedKind::OpenFile)),
        ("node-id-missing", "AETHER_NODE__ID", change(|facts| facts.nameless = true)),
        ("settings-file-exposed", "chmod 600 n1.toml", change(|facts| facts.host.open_file = Some(0o644))),
        ("secret-in-environment", "AETHER_NATS__TOKEN", change(|facts| facts.host.secret_variables = vec!["AETHER_NATS__TOKEN"])),
        ("nats-in-clear", "tls://nats.example:4222 is on another machine", change(|facts| {
            facts.told.as_mut().expect("told").nats.tls.insecure = true;
        })),
        ("one-server-named", "nats://10.0.0.7:4222 alone", change(|facts| {
            facts.told.as_mut().expect("told").nats.urls = vec!["nats://10.0.0.7:4222".to_owned()];
        })),
        ("admin-writes-in-clear", "0.0.0.0:7400, and admin.token_file", change(|facts| {
            let admin = &mut facts.told.as_mut().expect("told").settings.admin;
            admin.listen = "0.0.0.0:7400".parse().expect("an address");
            admin.token = Some(crate::config::Secret::new("t"));
        })),
        ("admin-off-loopback", "admin.listen is 0.0.0.0:7400", with_settings("[admin]\nlisten = \"0.0.0.0:7400\"")),
        ("losses-accepted", "accept_log", with_settings("on_regression = \"accept_log\"")),
        ("handlers-unending", "for ever", with_settings("handler_end_after_ms = 0")),
        ("few-open-files", "256 open files", change(|facts| facts.host.open_files_max = Some(256))),
        ("memory-over-machine", "1024 MiB", change(|facts| facts.host.memory_bytes = Some(1 << 30))),
        ("certificate-expired", "has ended on 2026-11-27", until(-1)),
        ("certificate-expiring", "in 29 days", until(29)),
        ("certificate-unreadable", "nats.tls_cert (me.pem): odd", change(|facts| {
            facts.host.certificates[0].held = Err("odd".to_owned());
        })),
        ("credentials-expired", "nats.creds (me.creds) has ended on 2026-11-27", creds(-1)),
        ("credentials-expiring", "in 29 days", creds(29)),
        ("server-unreachable", "nobody answers at nats://x", unreached(|| StartError::NoServer {
            servers: "nats://x".to_owned(), within: Duration::from_secs(2), cause: None,
        })),
        ("credentials-refused", "nats.creds", unreached(|| StartError::Credentials { servers: "nats://x".to_owned(), cause: "no".into() })),
        ("tls-untrusted", "nats.tls_ca", tls(TlsFault::Untrusted)),
        ("tls-other-host", "nats.urls", tls(TlsFault::OtherHost)),
        ("tls-out-of-date", "issue a new one", tls(TlsFault::OutOfDate)),
        ("tls-own-certificate", "nats.tls_cert", tls(TlsFault::OurCertificate)),
        ("tls-not-spoken", "nats.insecure", tls(TlsFault::NotSpoken)),
        ("tls-failed", "invalid peer certificate", tls(TlsFault::Other)),
        ("nats-settings-refused", "2 replicas", unreached(|| StartError::Settings { reason: "2 replicas".to_owned() })),
        ("server-too-old", "nats-server 2.9.0, and 2.12.2", nats(|examined| {
            (examined.server.version, examined.server.older_than) = ("2.9.0".to_owned(), Some("2.12.2"));
        })),
        ("payload-limit", "up to 65536 bytes", nats(|examined| examined.server.payload_bytes_max = 65_536)),
        ("server-takes-anybody", "tls://nats.example:4222", nats(|examined| examined.server.asks_who = false)),
        ("rights-missing", "publish to a, b, c, d and 1 more, nor subscribe to e", nats(|examined| {
            let subjects = |text: &str| text.chars().map(String::from).collect();
            examined.rights = RightsSeen { tried: 44, publish: subjects("abcdx"), subscribe: subjects("e") };
        })),
        ("jetstream-off", "not enabled", nats(|examined| examined.account = Err(Unseen::Off))),
        ("jetstream-not-for-account", "this account", nats(|examined| examined.account = Err(Unseen::OffForAccount))),
        ("jetstream-silent", "no leader", nats(|examined| examined.account = Err(Unseen::Nobody))),
        ("api-level", "level is 1", account(|account| account.api_level = 1)),
        ("account-streams", "7 of 7 streams, and 1 are missing", nats(|examined| {
            examined.account.as_mut().expect("seen").streams = 7;
            examined.streams[0].found = Err(Unseen::Missing);
        })),
        ("account-byte-limits", "max_bytes_required", nats(|examined| {
            examined.account.as_mut().expect("seen").byte_limits_required = true;
            examined.streams[0].found = Err(Unseen::Missing);
        })),
        ("account-consumers", "80 of 100", account(|account| account.consumers = 80)),
        ("storage-full", "95 %", account(|account| account.storage_bytes = 973 << 20)),
        ("storage-filling", "80 %", account(|account| account.storage_bytes = 820 << 20)),
        ("copies-impossible", "nats.replicas is 3, and nats-0 is alone", nats(|examined| examined.server.cluster = None)),
        ("copies-few", "the cluster aether", change(|facts| facts.told.as_mut().expect("told").nats.replicas = 1)),
        ("namespace-empty", "aether provision", nats(|examined| {
            examined.streams.iter_mut().for_each(|stream| stream.found = Err(Unseen::Missing));
        })),
        ("stream-missing", "no stream AETHER_bank_EVT_0", nats(|examined| examined.streams[0].found = Err(Unseen::Missing))),
        ("stream-copies", "nats stream edit AETHER_bank_EVT_0 --replicas=3", drift("num_replicas", "1", "3")),
        ("stream-drops-history", "nats stream edit AETHER_bank_EVT_0 --max-age=0s", drift("max_age", "60000000000", "0")),
        ("stream-not-on-disk", "nats stream backup", drift("storage", "\"memory\"", "\"file\"")),
        ("stream-removable", "nats stream edit AETHER_bank_EVT_0 --deny-delete", drift("deny_delete", "unset", "true")),
        ("stream-subjects", "--subjects=a,b", drift("subjects", "[\"a\"]", "[\"a\",\"b\"]")),
        ("stream-stale-reads", "--no-allow-direct", drift("allow_direct", "true", "false")),
        ("stream-setting", "max_consumers is 3 instead of -1", drift("max_consumers", "3", "-1")),
        ("stream-leaderless", "nobody leads AETHER_bank_EVT_0", state(|state| state.leader = None)),
        ("replica-offline", "nats-1 is not heard by the leaders of AETHER_bank_EVT_0", state(|state| state.replicas[0].offline = true)),
        ("replica-behind", "nats-1 is up to 1000 operations behind with AETHER_bank_EVT_0", state(|state| state.replicas[0].lag = 1000)),
        ("stream-full", "--max-bytes=2000", state(|state| state.bytes_max = Some(1000))),
        ("stream-filling", "--max-bytes=2500", state(|state| state.bytes_max = Some(1250))),
        ("dead-letters-filling", "10 letters of 12", state(|state| state.messages_max = Some(12))),
        ("clock-differs", "NATS is 3.600 s behind this machine", nats(|examined| {
            examined.clock.as_mut().expect("seen").said = "2026-11-28T11:59:56.898Z".to_owned();
        })),
        ("cluster-settings-differ", "profile = \"fast\"", nats(|examined| {
            examined.log.as_mut().expect("seen").founded = Some(founding(Profile::Fast));
        })),
        ("format-newer", "format 2", nats(|examined| examined.log.as_mut().expect("seen").format = Some(Format(2)))),
        ("log-unreadable", "its first entry is gone", nats(|examined| {
            examined.log = Err(Unseen::Unreadable("its first entry is gone".to_owned()));
        })),
        ("record-unreadable", "the record of n2: odd", nats(|examined| {
            examined.members.as_mut().expect("seen")[0].record = Err("odd".to_owned());
        })),
        ("node-id-taken", "n1 is alive, its pages are at http://10.0.0.9:1", nats(|examined| {
            let mut ours = member("n1");
            ours.record.as_mut().expect("understood").admin_url = "http://10.0.0.9:1".to_owned();
            examined.members.as_mut().expect("seen").push(ours);
        })),
        ("node-silent", "n2 was heard 31 s ago", nats(|examined| {
            examined.members.as_mut().expect("seen")[0].written = ago(Duration::from_secs(31));
        })),
        ("builds-differ", "0.1.0: n3; 0.2.0: n2", node(|record| record.build = "0.2.0".to_owned())),
        ("formats-differ", "up to format 2: n2", node(|record| record.reads = Format(2))),
        ("zones-mixed", "a: n3; no zone: n2", node(|record| record.info.zone = None)),
        ("sync-not-always", "nats-0 syncs every 120 s", server(|server| {
            server.jetstream.config.as_mut().expect("on").sync_always = false;
        })),
        ("servers-differ", "2.12.2: nats-0; 2.15.1: nats-1", server(|server| server.version = "2.12.2".to_owned())),
        ("monitor-silent", "http://nats-0:8222: gone", change(|facts| facts.monitors[0].page = Err("gone".to_owned()))),
    ]
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.kind.code).collect()
}

#[test]
fn a_healthy_node_cluster_and_server_have_no_finding_and_nothing_is_left_unsaid() {
    let report = report(&facts());
    assert_eq!((codes(&report), &report.notes[..]), (Vec::new(), &[][..]));
    let seen: BTreeSet<_> = report.seen.iter().map(|(what, _)| *what).collect();
    let all = [
        "account",
        "certificate",
        "clock",
        "log",
        "machine",
        "monitor",
        "nodes",
        "rights",
        "server",
        "settings",
        "streams",
    ];
    assert_eq!(seen, all.into());
}

#[test]
fn each_kind_of_finding_is_found_where_it_is_and_nothing_else_but_what_follows() {
    for (code, words, change) in rows() {
        let mut facts = facts();
        change(&mut facts);
        let report = report(&facts);
        let with: &[&str] = match code {
            "account-streams" | "account-byte-limits" => &["stream-missing"],
            _ => &[],
        };
        let mut expected: Vec<_> = [code].iter().chain(with).copied().collect();
        let mut found = codes(&report);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{code}");
        let finding = report.findings.iter().find(|finding| finding.kind.code == code).expect("found");
        let said = format!("{}\n{}", finding.found, finding.cure);
        assert!(said.contains(words), "{code}: {said}");
    }
}

#[test]
fn every_kind_of_finding_has_a_row_above_a_name_of_its_own_and_three_sentences() {
    let rows: BTreeSet<_> = rows().into_iter().map(|(code, ..)| code).collect();
    let all: Vec<_> = kinds().collect();
    assert_eq!(rows, all.iter().map(|kind| kind.code).collect());
    assert_eq!(rows.len(), all.len(), "no name is given twice");
    for Kind { code, what, why, cure, .. } in all {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
        assert!(what.ends_with('.') && why.ends_with('.') && !cure.ends_with('.'), "{code}");
    }
}

#[test]
fn the_worst_comes_first() {
    let mut facts = facts();
    for (_, _, change) in
        rows().into_iter().filter(|(code, ..)| ["few-open-files", "api-level", "copies-few"].contains(code))
    {
        change(&mut facts);
    }
    let report = report(&facts);
    assert_eq!(codes(&report), ["api-level", "few-open-files", "copies-few"]);
    assert_eq!((report.worst(), report.count(Severity::Warning)), (Some(Severity::Fault), 2));
}

#[test]
fn what_may_not_be_seen_is_said_and_is_no_finding() {
    let denied = |what: &str| Unseen::Denied(format!("$JS.API.{what}"));
    let mut facts = facts();
    let examined = facts.nats.as_mut().expect("looked").as_mut().expect("seen");
    examined.account = Err(denied("INFO"));
    examined.streams.iter_mut().for_each(|stream| stream.found = Err(denied("STREAM.INFO.X")));
    (examined.members, examined.log, examined.clock) =
        (Err(denied("STREAM.INFO.X")), Err(denied("STREAM.MSG.GET.X")), None);
    facts.monitors.clear();
    let report = report(&facts);
    assert_eq!(codes(&report), Vec::<&str>::new());
    let notes = report.notes.join("\n");
    for said in [
        "$JS.API.INFO",
        "2 of 2 streams were not seen",
        "the nodes' records",
        "the topology log",
        "clock",
        "sync_interval",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
}

#[test]
fn a_node_that_is_this_one_has_not_taken_its_own_id() {
    for (more, announced) in [("[admin]\nlisten = \"127.0.0.1:7400\"", None), ("", Some("http://10.0.0.9:7400"))] {
        let mut facts = facts();
        facts.told = Ok(told(more));
        facts.host.announced = announced.map(str::to_owned);
        let mut ours = member("n1");
        ours.record.as_mut().expect("understood").admin_url = "http://10.0.0.9:7400".to_owned();
        facts.nats.as_mut().expect("looked").as_mut().expect("seen").members.as_mut().expect("seen").push(ours);
        assert_eq!(codes(&report(&facts)), Vec::<&str>::new(), "{more} {announced:?}");
    }
}

#[test]
fn a_server_is_down_if_nobody_hears_it_and_behind_if_it_is_heard_and_not_current() {
    for (current, heard, code) in [
        (true, Some(700), None),
        (true, None, None),
        (true, Some(5000), Some("replica-offline")),
        (false, None, Some("replica-offline")),
        (false, Some(700), Some("replica-behind")),
    ] {
        let mut facts = facts();
        state(move |state| {
            let replica = &mut state.replicas[1];
            (replica.current, replica.heard) = (current, heard.map(Duration::from_millis));
        })(&mut facts);
        assert_eq!(codes(&report(&facts)), Vec::from_iter(code), "{current} {heard:?}");
    }
}

#[test]
fn a_clock_is_off_by_what_the_way_cannot_explain() {
    let at = |unix_millis| WallTime { unix_millis };
    for (asked, said, answered, off) in [
        (1000, "1970-01-01T00:00:01.500Z", 2000, 0),
        (1000, "1970-01-01T00:00:00.400Z", 2000, -600),
        (1000, "1970-01-01T00:00:03.000Z", 2000, 1000),
    ] {
        assert_eq!(clock_off(at(asked), said, at(answered)), Some(off));
    }
    assert_eq!(clock_off(at(0), "soon", at(1)), None);
}

#[test]
fn more_copies_than_asked_for_are_cured_by_asking_for_them() {
    let mut facts = facts();
    drift("num_replicas", "3", "1")(&mut facts);
    assert!(report(&facts).findings[0].cure.starts_with("`nats.replicas = 3` for every node, or "));
}

#[test]
fn who_says_nothing_of_profile_and_copies_is_no_node_that_differs() {
    let mut facts = facts();
    let told = facts.told.as_mut().expect("told");
    (told.says_profile, told.says_replicas, told.nats.replicas) = (false, false, 1);
    drift("num_replicas", "3", "1")(&mut facts);
    let examined = facts.nats.as_mut().expect("looked").as_mut().expect("seen");
    examined.log.as_mut().expect("seen").founded = Some(founding(Profile::Fast));
    assert_eq!(codes(&report(&facts)), Vec::<&str>::new());
    // That there is one copy only is unwise whoever sees it.
    state(|state| state.differences.clear())(&mut facts);
    assert_eq!(codes(&report(&facts)), ["copies-few"]);
}

#[test]
fn what_is_the_same_in_many_streams_is_said_once_and_cured_in_one_line() {
    let mut facts = facts();
    let wrong =
        |setting: &str| Difference { setting: setting.to_owned(), found: "1".to_owned(), expected: "0".to_owned() };
    for stream in &mut facts.nats.as_mut().expect("looked").as_mut().expect("seen").streams {
        stream.found.as_mut().expect("seen").differences = vec![wrong("max_age"), wrong("first_seq")];
    }
    let report = report(&facts);
    assert_eq!(codes(&report), ["stream-drops-history", "stream-setting"]);
    assert_eq!(report.findings[0].found, "AETHER_bank_EVT_0, AETHER_bank_DLQ: max_age is 1 instead of 0");
    let cure = "for stream in AETHER_bank_EVT_0 AETHER_bank_DLQ; do nats stream edit $stream --max-age=0s; done";
    assert_eq!(report.findings[0].cure, cure);
    assert!(report.findings[1].cure.starts_with("for each of them: it cannot be set back"), "{:?}", report.findings[1]);
}

#[test]
fn profiles_that_founded_another_number_of_shards_cannot_be_set_right_by_a_profile() {
    let mut facts = facts();
    let shards = ShardCount::new(2048).expect("a count");
    let founded = Some(aether_domain::cluster::ClusterSettings { shards, ..founding(Profile::Default) });
    facts.nats.as_mut().expect("looked").as_mut().expect("seen").log.as_mut().expect("seen").founded = founded;
    let report = report(&facts);
    assert!(report.findings[0].found.contains("2048 shards where this node has 1024"));
    assert!(report.findings[0].cure.contains("build"));
}

//! For each kind of finding a change of the facts that makes it.

use std::time::Duration;

use aether_domain::records::{Format, MemberRecord};
use aether_domain::timing::Profile;
use aether_infra_nats::{
    AccountSeen, Difference, Examined, RightsSeen, StartError, StreamState, TlsFault, Unseen, Validity,
};

use super::made_up::{ago, member, told};
use crate::config::{ConfigRefused, RefusedKind};
use crate::node::builder::founding;
use crate::program::doctor::facts::Facts;
use crate::program::doctor::monitor::Server;

pub(super) type Change = Box<dyn Fn(&mut Facts)>;

pub(super) fn change(change: impl Fn(&mut Facts) + 'static) -> Change {
    Box::new(change)
}

pub(super) fn with_settings(more: &'static str) -> Change {
    change(move |facts| facts.told = Ok(told(more)))
}

pub(super) fn refused(kind: RefusedKind) -> Change {
    change(move |facts| {
        let text = |text: &str| text.to_owned();
        facts.told =
            Err(ConfigRefused { kind, reason: text("node.weight: 0"), place: text("n1.toml"), cure: text("write 1") });
        facts.nats = None;
    })
}

pub(super) fn nats(change_it: impl Fn(&mut Examined) + 'static) -> Change {
    change(move |facts| change_it(facts.nats.as_mut().expect("looked").as_mut().expect("seen")))
}

pub(super) fn unreached(error: fn() -> StartError) -> Change {
    change(move |facts| facts.nats = Some(Err(error())))
}

pub(super) fn tls(fault: TlsFault) -> Change {
    change(move |facts| {
        let reason = "invalid peer certificate; a cure".to_owned();
        facts.nats = Some(Err(StartError::Tls { servers: "tls://nats.example".to_owned(), fault, reason }));
    })
}

pub(super) fn account(change_it: impl Fn(&mut AccountSeen) + 'static) -> Change {
    nats(move |examined| change_it(examined.account.as_mut().expect("seen")))
}

pub(super) fn state(change_it: impl Fn(&mut StreamState) + 'static) -> Change {
    nats(move |examined| change_it(examined.streams[0].found.as_mut().expect("seen")))
}

pub(super) fn drift(setting: &'static str, found: &'static str, expected: &'static str) -> Change {
    state(move |state| {
        let text = |text: &str| text.to_owned();
        state.differences = vec![Difference { setting: text(setting), found: text(found), expected: text(expected) }];
    })
}

pub(super) fn node(change_it: impl Fn(&mut MemberRecord) + 'static) -> Change {
    nats(move |examined| {
        let members = examined.members.as_mut().expect("seen");
        change_it(members[0].record.as_mut().expect("understood"));
    })
}

pub(super) fn server(change_it: impl Fn(&mut Server) + 'static) -> Change {
    change(move |facts| change_it(facts.monitors[0].page.as_mut().expect("seen")))
}

pub(super) fn until(days: i64) -> Change {
    change(move |facts| {
        let now = i64::try_from(facts.now.unix_millis / 1000).expect("our time");
        facts.host.certificates[0].held = Ok(vec![Validity { from: 0, until: now + days * 86_400 }]);
    })
}

pub(super) fn creds(days: i64) -> Change {
    change(move |facts| {
        let now = i64::try_from(facts.now.unix_millis / 1000).expect("our time");
        facts.host.credentials = Some(("me.creds".into(), Ok(Some(now + days * 86_400))));
    })
}

/// For each kind of finding the facts that have it, and a word of its cure or of what was found.
#[rustfmt::skip]
pub(super) fn rows() -> Vec<(&'static str, &'static str, Change)> {
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
        ("account-consumers", "AETHER_bank_EVT_0 has 80 of 100", state(|state| state.consumers = 80)),
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
        ("stream-not-on-disk", "no backup can be had", drift("storage", "\"memory\"", "\"file\"")),
        ("stream-removable", "nats stream edit AETHER_bank_EVT_0 --deny-delete", drift("deny_delete", "unset", "true")),
        ("stream-subjects", "--subjects='a,b'", drift("subjects", "[\"a\"]", "[\"a\",\"b\"]")),
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

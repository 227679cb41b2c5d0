//! What only the servers' own monitoring pages tell.

use std::collections::BTreeMap;

use aether_infra_nats::Validity;

use super::{account, certificates, clock_off, cluster};
use crate::program::doctor::facts::Facts;
use crate::program::doctor::finding::{Kind, Report};
use crate::program::doctor::monitor::{Monitor, Server};
use crate::program::when;

pub(super) static KINDS: &[&Kind] = &[&SYNC, &VERSIONS, &NO_PAGE];

static SYNC: Kind = Kind::warning(
    "sync-not-always",
    "A server acknowledges before it has written to disk.",
    "A power cut takes what was acknowledged since the last sync; with several copies, one that takes a majority at once.",
    "`sync_interval: always` in the `jetstream` section of nats-server's configuration, and start the servers anew one by one",
);
static VERSIONS: Kind = Kind::warning(
    "servers-differ",
    "The servers are of different versions.",
    "During an upgrade that is as it must be; for long, the oldest decides what can be relied on.",
    "finish the upgrade, one server after the other",
);
static NO_PAGE: Kind = Kind::warning(
    "monitor-silent",
    "A monitoring page that was named does not answer.",
    "How that server syncs, and until when its certificate holds, was not seen.",
    "`http: \"127.0.0.1:8222\"` in nats-server's configuration, and name that with --monitor",
);

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    if facts.monitors.is_empty() && matches!(facts.nats, Some(Ok(_))) {
        report.note(
            "whether servers sync before they acknowledge cannot be seen by a client: name their monitoring pages with \
             --monitor URL, or look for `sync_interval: always` in their configuration",
        );
    }
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for monitor in &facts.monitors {
        match &monitor.page {
            Ok(server) => {
                versions.entry(&server.version).or_default().push(server.name.clone());
                of_server(facts, monitor, server, report);
            }
            Err(why) => report.find(&NO_PAGE, format!("{}: {why}", monitor.url)),
        }
    }
    if versions.len() > 1 {
        let each: Vec<_> =
            versions.into_iter().map(|(version, names)| format!("{version}: {}", names.join(", "))).collect();
        report.find(&VERSIONS, each.join("; "));
    }
}

fn of_server(facts: &Facts, monitor: &Monitor, server: &Server, report: &mut Report) {
    let name = &server.name;
    let mut seen = format!("{name}, nats-server {}", server.version);
    if let Some(jetstream) = &server.jetstream.config {
        if jetstream.sync_always {
            seen.push_str(", syncs before it acknowledges");
        } else {
            let every = jetstream.sync_interval / 1_000_000_000;
            report.find(&SYNC, format!("{name} syncs every {every} s, and acknowledges before"));
        }
        account::disk(name, server.jetstream.stats.storage, jetstream.max_storage, report);
    }
    let until = server.tls_cert_not_after.as_deref().and_then(when::unix_millis);
    if let Some(until) = until.and_then(|millis| i64::try_from(millis / 1000).ok()) {
        certificates::ends(facts, &format!("the certificate of {name}"), Validity { from: 0, until }, report);
    }
    let off = clock_off(monitor.asked, &server.now, monitor.answered);
    if let Some(found) = off.and_then(|off| cluster::apart(name, off)) {
        report.find(&cluster::CLOCK, found);
    }
    report.saw("monitor", seen);
}

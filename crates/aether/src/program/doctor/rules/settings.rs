//! What a node would be told.

use crate::config::RefusedKind;
use crate::program::doctor::facts::{Facts, Told};
use crate::program::doctor::finding::{Kind, Report};

pub(super) static KINDS: &[&Kind] = &[
    &REFUSED,
    &NO_FILE,
    &OPEN_SECRET,
    &NAMELESS,
    &OPEN_SETTINGS,
    &SECRET_VARIABLE,
    &IN_CLEAR,
    &ONE_SERVER,
    &ADMIN_WRITES,
    &ADMIN_OPEN,
    &LOSSES_ACCEPTED,
    &HANDLERS_UNENDING,
];

static REFUSED: Kind = Kind::fault(
    "settings-refused",
    "A setting is not known, or has a value that it cannot have.",
    "A node with these settings does not start.",
    "what the finding says; docs/FORMATS.md has every setting",
);
static NO_FILE: Kind = Kind::fault(
    "file-missing",
    "A file that the settings name, or the settings' own, is not there, is too large, or cannot be read by this user.",
    "A node with these settings does not start.",
    "name a file that exists and that this user may read",
);
static OPEN_SECRET: Kind = Kind::fault(
    "secret-file-exposed",
    "A file that holds a secret may be read by others.",
    "Whoever reads it can do what its owner can; a node refuses to start with it.",
    "chmod 600 FILE",
);
static NAMELESS: Kind = Kind::fault(
    "node-id-missing",
    "A node's file is given, and nothing says the node's id.",
    "Its id is what the others know a node by through all of its lives; without one it does not start.",
    "set `node.id` in the file, AETHER_NODE__ID in the environment, or --id: an id that no other node has",
);
static OPEN_SETTINGS: Kind = Kind::warning(
    "settings-file-exposed",
    "The node's file holds a password or a token, and others may read it.",
    "Whoever reads it can do on NATS what the node can.",
    "chmod 600 FILE, or keep the secret in a file of its own: `nats.creds` or `nats.nkey`",
);
static SECRET_VARIABLE: Kind = Kind::warning(
    "secret-in-environment",
    "A password or a token is in a variable of the environment.",
    "Other processes of the same user can read it, and so can whoever sees a crash report or the unit's settings.",
    "name a file instead, readable by its owner alone: `nats.creds` or `nats.nkey`",
);
static IN_CLEAR: Kind = Kind::warning(
    "nats-in-clear",
    "`nats.insecure` lets a node talk to another machine without encryption.",
    "Whoever is on the way reads passwords, commands and events, and can forge them.",
    "give nats-server a `tls` section, name its authority in `nats.tls_ca`, and remove `nats.insecure`",
);
static ONE_SERVER: Kind = Kind::warning(
    "one-server-named",
    "Each stream has three copies, and `nats.urls` names one server only.",
    "A node that starts while that server is down finds none, although the others are there.",
    "name all servers of the cluster in `nats.urls`",
);
static ADMIN_WRITES: Kind = Kind::warning(
    "admin-writes-in-clear",
    "The admin pages take orders, and are served to other machines over plain HTTP.",
    "Whoever is on the way reads the token and can then pause, drain and step down.",
    "listen on loopback (`admin.listen = \"127.0.0.1:7400\"`) behind a proxy with TLS, or remove `admin.token_file`",
);
static ADMIN_OPEN: Kind = Kind::warning(
    "admin-off-loopback",
    "The admin pages are served to other machines, without asking who looks.",
    "Whoever reaches the pages sees nodes, addresses and where shards are; no payloads.",
    "listen on loopback (`admin.listen = \"127.0.0.1:7400\"`), or let only those in who watch: a proxy, a NetworkPolicy",
);
static LOSSES_ACCEPTED: Kind = Kind::warning(
    "losses-accepted",
    "`node.on_regression` is `accept_log`.",
    "If NATS loses what it had acknowledged, nodes go on with what is left, and nobody is asked.",
    "remove `node.on_regression`, once the restored store has been gone on with",
);
static HANDLERS_UNENDING: Kind = Kind::warning(
    "handlers-unending",
    "`node.handler_end_after_ms` is 0.",
    "A handler that does not end holds its shard for ever, and its callers with it.",
    "remove `node.handler_end_after_ms`, or write more than 0",
);

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    match &facts.told {
        Ok(told) => {
            let Told { settings, nats, .. } = told;
            report.namespace = Some(settings.namespace.to_string());
            report.servers = Some(nats.servers());
            report.saw("settings", seen(facts, told));
            if facts.nameless {
                report.find(&NAMELESS, "node.id: it is missing");
            }
            secrets(facts, told, report);
            network(told, report);
            node(told, report);
        }
        Err(refused) => {
            let kind = match refused.kind {
                RefusedKind::Setting => &REFUSED,
                RefusedKind::NoNode => &NAMELESS,
                RefusedKind::NoFile => &NO_FILE,
                RefusedKind::OpenFile => &OPEN_SECRET,
            };
            report.find_cured(kind, format!("{} ({})", refused.reason, refused.place), refused.cure.clone());
            report.note("NATS was not looked at: the settings that say where it is are refused");
        }
    }
}

fn seen(facts: &Facts, Told { settings, nats, file, says_profile, says_replicas }: &Told) -> String {
    let node = match file {
        Some(file) if facts.nameless => format!("{}, ", file.display()),
        Some(file) => format!("node {} of {}, ", settings.node.id, file.display()),
        None => String::new(),
    };
    let profile = if *says_profile { format!(", profile {}", settings.profile.name()) } else { String::new() };
    let copies = match nats.replicas {
        _ if !says_replicas => String::new(),
        1 => ", one copy of each stream".to_owned(),
        many => format!(", {many} copies of each stream"),
    };
    format!("{node}namespace {}{profile}{copies}", settings.namespace)
}

fn secrets(facts: &Facts, told: &Told, report: &mut Report) {
    for variable in &facts.host.secret_variables {
        report.find(&SECRET_VARIABLE, format!("{variable} holds a secret"));
    }
    if let (Some(mode), Some(file)) = (facts.host.open_file, &told.file) {
        let shown = file.display();
        let cure = format!("chmod 600 {shown}, or keep the secret in a file of its own: `nats.creds` or `nats.nkey`");
        report.find_cured(&OPEN_SETTINGS, format!("{shown} may be read by others (mode {mode:03o})"), cure);
    }
}

fn network(Told { settings, nats, .. }: &Told, report: &mut Report) {
    let remote = nats.remote_servers();
    if nats.tls.insecure && nats.tls.authorities.is_none() && nats.tls.identity.is_none() && !remote.is_empty() {
        report.find(&IN_CLEAR, format!("nats.insecure is true, and {} is on another machine", super::some_of(&remote)));
    }
    let url = nats.servers();
    if nats.urls.len() == 1 && nats.replicas == 3 && is_one_machine(&url) {
        report.find(&ONE_SERVER, format!("nats.urls is {url} alone, and nats.replicas is 3"));
    }
    let (listen, token) = (settings.admin.listen, settings.admin.token.is_some());
    if !listen.ip().is_loopback() {
        let kind = if token { &ADMIN_WRITES } else { &ADMIN_OPEN };
        let token = if token { ", and admin.token_file lets orders in" } else { "" };
        report.find(kind, format!("admin.listen is {listen}{token}"));
    }
}

/// Whether that URL has an address: a name may stand for more than one server.
fn is_one_machine(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    host.starts_with('[') || host.split(':').next().unwrap_or_default().parse::<std::net::IpAddr>().is_ok()
}

fn node(Told { settings, .. }: &Told, report: &mut Report) {
    if settings.node.on_regression == aether_runtime::control::OnRegression::AcceptLog {
        report.find(&LOSSES_ACCEPTED, "node.on_regression is \"accept_log\"");
    }
    if settings.node.end_after.is_none() {
        report.find(&HANDLERS_UNENDING, "node.handler_end_after_ms is 0: handlers may run for ever");
    }
}

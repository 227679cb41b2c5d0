//! The way to a server, and what it is.

use aether_infra_nats::{Examined, NatsConfig, Permissions, Role, ServerSeen, StartError, TlsFault};

use super::some_of;
use crate::program::doctor::facts::{Facts, Told};
use crate::program::doctor::finding::{Kind, Report};

pub(super) static KINDS: &[&Kind] = &[
    &UNREACHABLE,
    &CREDENTIALS,
    &TLS_UNTRUSTED,
    &TLS_OTHER_HOST,
    &TLS_OUT_OF_DATE,
    &TLS_OUR_CERTIFICATE,
    &TLS_NOT_SPOKEN,
    &TLS_FAILED,
    &NATS_SETTINGS,
    &TOO_OLD,
    &PAYLOAD,
    &ANYBODY,
    &RIGHTS,
];

static UNREACHABLE: Kind = Kind::fault(
    "server-unreachable",
    "No NATS server answers where one was looked for.",
    "Nothing starts without NATS, and nothing is acknowledged.",
    "start nats-server there, correct `nats.urls`, or let the connection through the firewalls in between",
);
static CREDENTIALS: Kind = Kind::fault(
    "credentials-refused",
    "A server answers, and does not take this user.",
    "A node with these credentials does not start.",
    "compare `nats.user`, `nats.token`, `nats.nkey` or `nats.creds` with the server's configuration; its log says what it refused",
);
static TLS_UNTRUSTED: Kind = Kind::fault(
    "tls-untrusted",
    "Nobody who is trusted has issued the server's certificate.",
    "It may be anybody's server, so nothing is said to it.",
    "name the authority that has issued it in `nats.tls_ca`",
);
static TLS_OTHER_HOST: Kind = Kind::fault(
    "tls-other-host",
    "The server's certificate is for another host.",
    "It may be anybody's server, so nothing is said to it.",
    "use a name in `nats.urls` that the certificate has, or issue it for this one",
);
static TLS_OUT_OF_DATE: Kind = Kind::fault(
    "tls-out-of-date",
    "The server's certificate has ended, or does not hold yet.",
    "Nobody gets through any more.",
    "issue a new one and reload nats-server; if it should hold, look at the clocks of both machines",
);
static TLS_OUR_CERTIFICATE: Kind = Kind::fault(
    "tls-own-certificate",
    "The server wants a certificate of the node's, or another one than it has.",
    "It does not talk to strangers.",
    "name one that an authority of the server's has issued in `nats.tls_cert`, and its key in `nats.tls_key`",
);
static TLS_NOT_SPOKEN: Kind = Kind::fault(
    "tls-not-spoken",
    "The connection must be encrypted, and the server does not do that.",
    "Whoever is on the way could read everything, so nothing is said.",
    "give nats-server a `tls` section; on a network that is trusted, set `nats.insecure = true`",
);
static TLS_FAILED: Kind = Kind::fault(
    "tls-failed",
    "The connection cannot be encrypted, for another reason.",
    "Nothing is said without encryption.",
    "look at `nats.tls_ca`, `nats.tls_cert` and `nats.tls_key`, and at the `tls` section of the server",
);
static NATS_SETTINGS: Kind = Kind::fault(
    "nats-settings-refused",
    "What is said of NATS cannot be used.",
    "A node with these settings does not start.",
    "what the finding says; docs/FORMATS.md has every setting",
);
static TOO_OLD: Kind = Kind::fault(
    "server-too-old",
    "The server is older than what Aether builds on.",
    "It lacks what the protocol needs, or may lock a stream for good; a node refuses it.",
    "upgrade every nats-server to 2.12.2 or newer; 2.15 is recommended",
);
static PAYLOAD: Kind = Kind::fault(
    "payload-limit",
    "The server takes smaller messages than records and commands need.",
    "A history with a large commit could not be written; a node refuses the server.",
    "`max_payload: 1MB` or more in nats-server's configuration, and reload it",
);
static ANYBODY: Kind = Kind::warning(
    "server-takes-anybody",
    "A server on another machine does not ask who connects.",
    "Whoever reaches it can read and write everything that nodes can.",
    "give nats-server's users what `aether acl` prints for their roles: docs/SECURITY.md",
);
static RIGHTS: Kind = Kind::fault(
    "rights-missing",
    "The NATS user lacks rights that its role needs.",
    "What it may not do fails when it is needed: at a start, at a failure, when somebody leads.",
    "give the user what `aether acl --ns NAMESPACE --role ROLE` prints, and reload nats-server",
);

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    let Ok(told) = &facts.told else { return };
    match &facts.nats {
        Some(Ok(examined)) => {
            server(&examined.server, &told.nats, report);
            rights(facts, told, examined, report);
        }
        Some(Err(error)) => {
            unreached(error, report);
            report.note("nothing else of NATS was looked at: no server takes us");
        }
        None => {}
    }
}

fn unreached(error: &StartError, report: &mut Report) {
    match error {
        StartError::NoServer { servers, cause, .. } => {
            let why = cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"));
            report.find(&UNREACHABLE, format!("nobody answers at {servers}{why}"));
        }
        StartError::Credentials { servers, .. } => {
            report.find(&CREDENTIALS, format!("NATS at {servers} refused the credentials"));
        }
        StartError::Tls { servers, fault, reason } => {
            let kind = match fault {
                TlsFault::OtherHost => &TLS_OTHER_HOST,
                TlsFault::Untrusted => &TLS_UNTRUSTED,
                TlsFault::OutOfDate => &TLS_OUT_OF_DATE,
                TlsFault::OurCertificate => &TLS_OUR_CERTIFICATE,
                TlsFault::NotSpoken => &TLS_NOT_SPOKEN,
                TlsFault::Other => &TLS_FAILED,
            };
            report.find(kind, format!("{servers}: {}", reason.split("; ").next().unwrap_or(reason)));
        }
        StartError::Settings { reason } => {
            report.find_cured(
                &NATS_SETTINGS,
                reason.clone(),
                "correct what it names; docs/FORMATS.md has every setting",
            );
        }
        other => report.find(&UNREACHABLE, other.to_string()),
    }
}

fn server(server: &ServerSeen, nats: &NatsConfig, report: &mut Report) {
    let ServerSeen { name, version, cluster, .. } = server;
    let of = cluster.as_ref().map_or_else(|| ", alone".to_owned(), |cluster| format!(" of the cluster {cluster}"));
    report.saw(
        "server",
        format!("{name}{of}, nats-server {version}, messages of up to {} bytes", server.payload_bytes_max),
    );
    if let Some(oldest) = server.older_than {
        let cure = format!("upgrade every nats-server to {oldest} or newer; 2.15 is recommended");
        report.find_cured(
            &TOO_OLD,
            format!("{name} is nats-server {version}, and {oldest} is the oldest that will do"),
            cure,
        );
    }
    if server.payload_bytes_max < server.payload_bytes_needed {
        let found = format!(
            "{name} takes messages of up to {} bytes, and {} are needed",
            server.payload_bytes_max, server.payload_bytes_needed
        );
        report.find(&PAYLOAD, found);
    }
    let remote = nats.remote_servers();
    if !server.asks_who && !remote.is_empty() && nats.tls.identity.is_none() {
        report.find(&ANYBODY, format!("{} asks nobody who they are", some_of(&remote)));
    }
}

fn rights(facts: &Facts, told: &Told, Examined { rights, .. }: &Examined, report: &mut Report) {
    let (role, denied) = (facts.role.as_str(), rights.publish.len() + rights.subscribe.len());
    report.saw("rights", format!("{} of {} that the role {role} needs", rights.tried - denied, rights.tried));
    if denied == 0 {
        return;
    }
    let ways = [("publish to", &rights.publish), ("subscribe to", &rights.subscribe)];
    let ways = ways.iter().filter(|(_, subjects)| !subjects.is_empty());
    let ways: Vec<_> = ways.map(|(what, subjects)| format!("{what} {}", some_of(subjects))).collect();
    let namespace = &told.settings.namespace;
    let grant = format!(
        "give the user what `aether acl --ns {namespace} --role {role}` prints, and reload nats-server; if it is for something \
         else, say so with --role"
    );
    // Its answers come elsewhere than `aether acl` lets the role listen.
    let inbox_of = |role| Permissions::inbox_of(namespace, role);
    let ours = told.nats.inbox_prefix.clone().unwrap_or_else(|| inbox_of(Role::Node));
    let is_inbox = |subject: &String| *subject == format!("{ours}.>");
    let cure = if ours != inbox_of(facts.role) && rights.subscribe.iter().any(is_inbox) {
        let set = format!("nats.inbox_prefix = \"{}\"", inbox_of(facts.role));
        if denied == 1 { set } else { format!("{set}; and {grant}") }
    } else {
        grant
    };
    report.find_cured(&RIGHTS, format!("with the role {role} the user may not {}", ways.join(", nor ")), cure);
}

//! JetStream, and the account's share of it.

use aether_infra_nats::{AccountSeen, Examined, Promise, StreamState, Unseen};

use super::{FILLING_PERCENT, bytes, find_full, percent, unseen};
use crate::program::doctor::facts::{Facts, Told};
use crate::program::doctor::finding::{Kind, Report};

pub(super) static KINDS: &[&Kind] = &[
    &OFF,
    &OFF_FOR_ACCOUNT,
    &SILENT,
    &API_LEVEL,
    &STREAMS,
    &BYTE_LIMITS,
    &CONSUMERS,
    &FULL,
    &FILLING,
    &COPIES_IMPOSSIBLE,
    &COPIES_FEW,
];

static OFF: Kind = Kind::fault(
    "jetstream-off",
    "The server has no JetStream.",
    "Everything that Aether acknowledges is stored there.",
    "`jetstream { store_dir: \"/var/lib/nats\", sync_interval: always }` in nats-server's configuration, and start it anew",
);
static OFF_FOR_ACCOUNT: Kind = Kind::fault(
    "jetstream-not-for-account",
    "JetStream is on, and not for this user's account.",
    "Everything that Aether acknowledges is stored there.",
    "`jetstream: enabled` in the account of the user in nats-server's configuration, and reload it",
);
static SILENT: Kind = Kind::fault(
    "jetstream-silent",
    "JetStream does not answer.",
    "Without it nothing starts and nothing is acknowledged.",
    "see that a majority of the servers is up (`nats server report jetstream`)",
);
static API_LEVEL: Kind = Kind::fault(
    "api-level",
    "JetStream's API is of a level below 2.",
    "It lacks what the protocol needs.",
    "upgrade every nats-server to 2.12.2 or newer; 2.15 is recommended",
);
static STREAMS: Kind = Kind::fault(
    "account-streams",
    "The account may not have as many streams as the namespace lacks.",
    "They cannot be made, so nodes do not start.",
    "raise `max_streams` of the account in nats-server's configuration: a namespace has 7",
);
static BYTE_LIMITS: Kind = Kind::fault(
    "account-byte-limits",
    "The account demands a limit of bytes for each stream, and streams are missing.",
    "Aether makes streams without one, so they cannot be made.",
    "remove `max_bytes_required` from the account, run `aether provision`, then set it again and give each stream its `max_bytes`",
);
static CONSUMERS: Kind = Kind::warning(
    "account-consumers",
    "A stream has nearly as many consumers as the account allows for each stream.",
    "A node that starts, or reads a log again, makes some; without them it does not start.",
    "raise `max_consumers` of the account in nats-server's configuration",
);
static FULL: Kind = Kind::fault(
    "storage-full",
    "What may be stored is stored, to 95 % or more.",
    "Once it is full no command is acknowledged, no leader is elected and no heartbeat counts.",
    "raise `max_file` of the account or `max_file_store` of the servers, and give them the disk",
);
static FILLING: Kind = Kind::warning(
    "storage-filling",
    "What may be stored is stored, to 80 % or more.",
    "Once it is full no command is acknowledged, no leader is elected and no heartbeat counts.",
    "raise `max_file` of the account or `max_file_store` of the servers, and give them the disk: docs/deploy/SIZING.md",
);
static COPIES_IMPOSSIBLE: Kind = Kind::fault(
    "copies-impossible",
    "Three copies of each stream are asked for, and the server is alone.",
    "No stream can be made so.",
    "run three servers as one cluster (docs/deploy/nats/nats-server.conf), or set `nats.replicas = 1` and take the lesser promise",
);
static COPIES_FEW: Kind = Kind::warning(
    "copies-few",
    "The servers are a cluster, and one copy is kept of each stream.",
    "The loss of one server's disk loses every history that it kept, and while that server is down nothing is acknowledged.",
    "`nats.replicas = 3` for every node, and `nats stream edit STREAM --replicas=3` for each stream that is there",
);

/// The level of JetStream's API that has what the protocol needs.
const API_LEVEL_MIN: u64 = 2;

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    let (Ok(told), Some(Ok(examined))) = (&facts.told, &facts.nats) else { return };
    match &examined.account {
        Ok(account) => {
            limits(account, examined, report);
            copies(examined, told, report);
        }
        Err(why) => absent(why, examined, report),
    }
}

fn absent(why: &Unseen, Examined { server, .. }: &Examined, report: &mut Report) {
    let name = &server.name;
    match why {
        Unseen::Off => report.find(&OFF, format!("{name} says that JetStream is not enabled")),
        Unseen::OffForAccount => {
            report.find(&OFF_FOR_ACCOUNT, format!("{name} says that JetStream is not enabled for this account"));
        }
        Unseen::Nobody if !server.jetstream && server.cluster.is_none() => {
            report.find(&OFF, format!("{name} has no JetStream, and is alone"));
        }
        Unseen::Nobody if server.jetstream && server.cluster.is_none() => {
            report.find(&OFF_FOR_ACCOUNT, format!("{name} has JetStream, and nobody answers for this account"));
        }
        Unseen::Nobody => report.find(&SILENT, "no server takes requests for JetStream: it has no leader"),
        Unseen::Silent(words) => report.find(&SILENT, format!("JetStream does not answer ({words})")),
        other => {
            if let Some(why) = unseen(other) {
                report.note(format!("the account's limits, and how near it is to them, were not seen: {why}"));
            }
        }
    }
}

fn limits(account: &AccountSeen, examined: &Examined, report: &mut Report) {
    let limit = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
    report.saw(
        "account",
        format!(
            "JetStream API level {}, {} streams ({}), {} consumers (each stream: {}), {} stored ({})",
            account.api_level,
            account.streams,
            limit(account.streams_max),
            account.consumers,
            limit(account.consumers_max),
            bytes(account.storage_bytes),
            account.storage_bytes_max.map_or_else(|| "no limit".to_owned(), bytes),
        ),
    );
    if account.api_level < API_LEVEL_MIN {
        report.find(&API_LEVEL, format!("its level is {}, and {API_LEVEL_MIN} is needed", account.api_level));
    }
    let missing = examined.streams.iter().filter(|stream| stream.found == Err(Unseen::Missing)).count() as u64;
    if let Some(max) = account.streams_max
        && account.streams + missing > max
    {
        let found = format!("the account has {} of {max} streams, and {missing} are missing", account.streams);
        report.find(&STREAMS, found);
    }
    if account.byte_limits_required && missing > 0 {
        report.find(&BYTE_LIMITS, format!("the account says max_bytes_required, and {missing} streams are missing"));
    }
    let crowded = |max: &u64| {
        let found = |name: &str, state: &StreamState| (state.consumers, name.to_owned());
        let of = examined.streams.iter().filter_map(|stream| Some(found(&stream.name, stream.found.as_ref().ok()?)));
        of.max().filter(|(count, _)| percent(*count, *max) >= FILLING_PERCENT)
    };
    if let Some((max, (count, name))) = account.consumers_max.and_then(|max| Some((max, crowded(&max)?))) {
        report.find(&CONSUMERS, format!("{name} has {count} of {max} consumers"));
    }
    let stored = (account.storage_bytes, account.storage_bytes_max);
    let what = |percent| {
        let (stored, max) = (bytes(stored.0), bytes(stored.1.unwrap_or(0)));
        format!("the account has stored {stored} of {max}, which is {percent} %")
    };
    find_full(
        report,
        (&FULL, &FILLING),
        stored,
        what,
        "raise `max_file` of the account in nats-server's configuration, and reload it",
    );
}

fn copies(Examined { server, streams, .. }: &Examined, told: &Told, report: &mut Report) {
    let nats = &told.nats;
    let has_more = streams.iter().filter_map(|stream| stream.found.as_ref().ok()).any(has_other_copies);
    match (&server.cluster, nats.replicas) {
        // Whoever does not say how many sees how many there are.
        (Some(_), 1) if !told.says_replicas && has_more => {}
        (None, 2..) => {
            report
                .find(&COPIES_IMPOSSIBLE, format!("nats.replicas is {}, and {} is alone", nats.replicas, server.name));
        }
        (Some(cluster), 1) => {
            report
                .find(&COPIES_FEW, format!("nats.replicas is 1, and {} is one of the cluster {cluster}", server.name));
        }
        (None, _) => {
            if let Promise::Reduced { reason } = Promise::with(nats.replicas) {
                report.note(reason);
            }
        }
        (Some(_), _) => {}
    }
}

fn has_other_copies(state: &StreamState) -> bool {
    state.differences.iter().any(|difference| difference.setting == "num_replicas")
}

/// That the disk of a server is full, or filling.
pub(super) fn disk(name: &str, stored: u64, max: u64, report: &mut Report) {
    let what = |percent| format!("{name} has stored {} of {}, which is {percent} %", bytes(stored), bytes(max));
    let max = Some(max).filter(|max| *max > 0);
    find_full(
        report,
        (&FULL, &FILLING),
        (stored, max),
        what,
        "raise `max_file_store` of that server, and give it the disk",
    );
}

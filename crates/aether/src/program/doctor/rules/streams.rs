//! The streams: whether they are there, how they are set up, who keeps them, and how full they are.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_infra_nats::{Difference, Examined, ReplicaSeen, StreamSeen, StreamState, Unseen};

use super::cures::cure;
use super::{bytes, find_full, percent, some_of, unseen};
use crate::program::doctor::facts::Facts;
use crate::program::doctor::finding::{Kind, Report};

pub(super) static KINDS: &[&Kind] = &[
    &EMPTY,
    &MISSING,
    &COPIES,
    &DROPS,
    &NOT_ON_DISK,
    &REMOVABLE,
    &SUBJECTS,
    &STALE,
    &OTHERWISE,
    &LEADERLESS,
    &OFFLINE,
    &BEHIND,
    &FULL,
    &FILLING,
    &LETTERS,
];

static EMPTY: Kind = Kind::warning(
    "namespace-empty",
    "There is no stream of this namespace.",
    "Nothing was ever stored under this name here: before the first node that is as it must be, later it is the wrong name or account.",
    "`aether provision` as an operator, or start a node that may make streams; else correct `namespace`",
);
static MISSING: Kind = Kind::fault(
    "stream-missing",
    "Some streams of the namespace are there, and others are not.",
    "What they held is gone or was never made; nodes without the right to make them do not start.",
    "restore it from a backup (`nats stream restore`); if it never was, `aether provision`",
);
static COPIES: Kind = Kind::fault(
    "stream-copies",
    "A stream has another number of copies than `nats.replicas` says.",
    "The promise is not the one that was meant; a node refuses the stream.",
    "`nats stream edit STREAM --replicas=N`, or correct `nats.replicas` for every node",
);
static DROPS: Kind = Kind::fault(
    "stream-drops-history",
    "A stream is set up to drop messages, or to refuse them.",
    "JetStream removes what it has acknowledged: actors come back without what they had done. A node refuses the stream.",
    "`nats stream edit STREAM` with the setting as it must be",
);
static NOT_ON_DISK: Kind = Kind::fault(
    "stream-not-on-disk",
    "A stream is kept in memory, or written later than it is acknowledged.",
    "What was acknowledged ends with the servers' processes. A node refuses the stream.",
    "it cannot be changed: copy a stream in memory into another one on disk first, and never remove it before",
);
static REMOVABLE: Kind = Kind::fault(
    "stream-removable",
    "Messages of a stream can be deleted, purged, rolled up or outlive themselves.",
    "One command, or one header of a message, takes acknowledged history away. A node refuses the stream.",
    "`nats stream edit STREAM` with the setting as it must be",
);
static SUBJECTS: Kind = Kind::fault(
    "stream-subjects",
    "A stream takes other subjects than it must, or copies from or to somewhere else.",
    "Records are stored in the wrong place or in none, or two namespaces are mixed. A node refuses the stream.",
    "`nats stream edit STREAM --subjects=…` as the finding says",
);
static STALE: Kind = Kind::fault(
    "stream-stale-reads",
    "A stream answers direct gets where it must not, or not where it must.",
    "Control records would be read from a server that lags behind, or histories could not be read. A node refuses the stream.",
    "`nats stream edit STREAM` with `--allow-direct` or `--no-allow-direct`",
);
static OTHERWISE: Kind = Kind::fault(
    "stream-setting",
    "Another setting of a stream is not as it must be.",
    "The stream does not do what the protocol builds on. A node refuses it.",
    "set it back as the finding says",
);
static LEADERLESS: Kind = Kind::fault(
    "stream-leaderless",
    "A stream has no leader.",
    "Nothing can be written to it, and most of it not be read.",
    "start the servers that keep it; a majority must be up (`nats stream report`)",
);
static OFFLINE: Kind = Kind::warning(
    "replica-offline",
    "A server that keeps a stream is down, or cut off from the others.",
    "It goes on as long as a majority is up: the next loss stops it.",
    "start the server again; if it is gone for good, `nats server cluster peer-remove`",
);
static BEHIND: Kind = Kind::warning(
    "replica-behind",
    "A server that keeps a stream has not all of it.",
    "Until it has caught up it is no help if another one is lost.",
    "wait; if it stays so, look at the disk and the network of that server",
);
static FULL: Kind = Kind::fault(
    "stream-full",
    "A stream has 95 % or more of the bytes that it may have.",
    "Once it is full it takes nothing more: what is stored there is not acknowledged any more.",
    "`nats stream edit STREAM --max-bytes=BYTES` with more, or -1",
);
static FILLING: Kind = Kind::warning(
    "stream-filling",
    "A stream has 80 % or more of the bytes that it may have.",
    "Once it is full it takes nothing more: what is stored there is not acknowledged any more.",
    "`nats stream edit STREAM --max-bytes=BYTES` with more, or -1",
);
static LETTERS: Kind = Kind::warning(
    "dead-letters-filling",
    "There are nearly as many dead letters as are kept.",
    "Further commands that are given up are only logged.",
    "`aether dead-letters list`, deal with them, and `aether dead-letters forget N`",
);

/// How many operations a replica may be behind while others go on writing.
const LAG_MAX: u64 = 1000;

/// For how long a leader that hears of a server each second may hear nothing.
const UNHEARD: Duration = Duration::from_secs(5);

/// From which part of those that are kept on dead letters are too many, in percent.
const LETTERS_PERCENT: u64 = 80;

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    let (Ok(told), Some(Ok(examined))) = (&facts.told, &facts.nats) else { return };
    let Examined { streams, account, .. } = examined;
    let streams = &judged(streams, told.says_replicas);
    let missing: Vec<_> = streams
        .iter()
        .filter(|stream| stream.found == Err(Unseen::Missing))
        .map(|stream| stream.name.clone())
        .collect();
    if missing.len() == streams.len() {
        report.find(&EMPTY, format!("there is none of {}", some_of(&missing)));
    } else {
        for name in &missing {
            report.find(&MISSING, format!("there is no stream {name}"));
        }
    }
    settings(streams, report);
    let mut asked_in_vain = Vec::new();
    for StreamSeen { name, found } in streams {
        match found {
            Ok(state) => {
                room(name, state, report);
            }
            Err(Unseen::Nobody | Unseen::Silent(_)) => {}
            Err(why) => asked_in_vain
                .extend(unseen(why).filter(|_| account.is_ok() || matches!(why, Unseen::Denied(_) | Unseen::Deaf(_)))),
        }
    }
    if let Some(first) = asked_in_vain.first() {
        let (count, all) = (asked_in_vain.len(), streams.len());
        report.note(format!("{count} of {all} streams were not seen: {first}"));
    }
    peers(streams, account.is_ok(), report);
    summary(streams, report);
}

/// The streams with what differs for whoever asks: who is no node need not know how many copies there must be.
fn judged(streams: &[StreamSeen], says_replicas: bool) -> Vec<StreamSeen> {
    let mut streams = streams.to_vec();
    for state in streams.iter_mut().filter_map(|stream| stream.found.as_mut().ok()) {
        state.differences.retain(|difference| says_replicas || difference.setting != "num_replicas");
    }
    streams
}

fn summary(streams: &[StreamSeen], report: &mut Report) {
    let found: Vec<_> = streams.iter().filter_map(|stream| stream.found.as_ref().ok()).collect();
    let (messages, stored) =
        found.iter().fold((0, 0), |(messages, stored), state| (messages + state.messages, stored + state.bytes));
    let sound = found.iter().filter(|state| state.differences.is_empty()).count();
    report.saw(
        "streams",
        format!(
            "{} of {} there, {sound} as they must be, {messages} messages, {}",
            found.len(),
            streams.len(),
            bytes(stored)
        ),
    );
}

/// Each difference once, with the streams that have it.
fn settings(streams: &[StreamSeen], report: &mut Report) {
    let mut differ: Vec<(&Difference, Vec<String>)> = Vec::new();
    for StreamSeen { name, found } in streams {
        for difference in found.iter().flat_map(|state| &state.differences) {
            match differ.iter_mut().find(|(known, _)| *known == difference) {
                Some((_, names)) => names.push(name.clone()),
                None => differ.push((difference, vec![name.clone()])),
            }
        }
    }
    for (difference, names) in differ {
        let cure = cure(&names, difference);
        report.find_cured(kind_of(&difference.setting), format!("{}: {difference}", some_of(&names)), cure);
    }
}

fn kind_of(setting: &str) -> &'static Kind {
    match setting {
        "num_replicas" => &COPIES,
        "max_age"
        | "max_msgs"
        | "max_msgs_per_subject"
        | "max_msg_size"
        | "retention"
        | "discard"
        | "discard_new_per_subject" => &DROPS,
        "storage" | "persist_mode" | "no_ack" => &NOT_ON_DISK,
        "deny_delete" | "deny_purge" | "allow_rollup_hdrs" | "allow_msg_ttl" | "subject_delete_marker_ttl" => {
            &REMOVABLE
        }
        "subjects" | "mirror" | "sources" | "subject_transform" | "republish" => &SUBJECTS,
        "allow_direct" | "mirror_direct" => &STALE,
        _ => &OTHERWISE,
    }
}

/// Whether the server that keeps that copy is down: so the leader says, or it has not heard of it.
fn is_down(replica: &ReplicaSeen) -> bool {
    replica.offline || replica.heard.map_or(!replica.current, |ago| ago >= UNHEARD)
}

/// Each server once, with the streams whose copies it does not keep up with.
fn peers(streams: &[StreamSeen], account_answers: bool, report: &mut Report) {
    let mut leaderless = Vec::new();
    let (mut down, mut behind) = (BTreeMap::<&str, Vec<String>>::new(), BTreeMap::<&str, (u64, Vec<String>)>::new());
    for StreamSeen { name, found } in streams {
        let state = match found {
            Ok(state) => state,
            // Where JetStream itself is silent, that is said.
            Err(Unseen::Nobody | Unseen::Silent(_)) if account_answers => {
                leaderless.push(name.clone());
                continue;
            }
            Err(_) => continue,
        };
        // Nobody is left who would hear the others.
        if state.clustered && state.leader.is_none() {
            leaderless.push(name.clone());
            continue;
        }
        for replica in &state.replicas {
            if is_down(replica) {
                down.entry(&replica.name).or_default().push(name.clone());
            } else if replica.lag >= LAG_MAX || !replica.current {
                let (lag, of) = behind.entry(&replica.name).or_default();
                *lag = replica.lag.max(*lag);
                of.push(name.clone());
            }
        }
    }
    if !leaderless.is_empty() {
        report.find(&LEADERLESS, format!("nobody leads {}", some_of(&leaderless)));
    }
    for (server, of) in down {
        report.find(&OFFLINE, format!("{server} is not heard by the leaders of {}", some_of(&of)));
    }
    for (server, (lag, of)) in behind {
        report.find(&BEHIND, format!("{server} is up to {lag} operations behind with {}", some_of(&of)));
    }
}

fn room(name: &str, state: &StreamState, report: &mut Report) {
    let used = (state.bytes, state.bytes_max);
    let what = |percent| {
        let (used, max) = (bytes(used.0), bytes(used.1.unwrap_or(0)));
        format!("{name} has {used} of {max}, which is {percent} %")
    };
    let more = used.1.unwrap_or(0).saturating_mul(2);
    find_full(report, (&FULL, &FILLING), used, what, &format!("nats stream edit {name} --max-bytes={more}"));
    // Only dead letters are counted; any other stream with such a limit is found to drop history.
    if let Some(max) = state.messages_max.filter(|_| state.differences.is_empty())
        && percent(state.messages, max) >= LETTERS_PERCENT
    {
        report.find(&LETTERS, format!("{name} has {} letters of {max}", state.messages));
    }
}

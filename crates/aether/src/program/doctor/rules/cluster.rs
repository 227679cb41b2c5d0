//! The cluster that is stored there: what it was founded with, its nodes, and the clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::WallTime;
use aether_domain::records::{MemberRecord, MemberState};
use aether_infra_nats::{ClockSeen, Examined, LogSeen, MemberSeen, Unseen};

use super::{clock_off, some_of, unseen};
use crate::node::builder::founding;
use crate::program::doctor::facts::{Facts, Told};
use crate::program::doctor::finding::{Kind, Report};
use crate::program::when;

pub(super) static KINDS: &[&Kind] =
    &[&CLOCK, &SETTINGS, &FORMAT, &LOG, &RECORD, &TAKEN, &SILENT, &BUILDS, &FORMATS, &ZONES];

pub(super) static CLOCK: Kind = Kind::warning(
    "clock-differs",
    "The clocks of this machine and of a server differ by a second or more.",
    "No safety rests on it, but reminders come as much too early or too late, times in logs mislead, and certificates may be refused.",
    "let both keep time by the same source: `timedatectl set-ntp true`, or chrony",
);
static SETTINGS: Kind = Kind::fault(
    "cluster-settings-differ",
    "The cluster was founded with other settings than this node has.",
    "Who waits for whom, and where an actor is, must be the same everywhere: a node that differs ends at once.",
    "`profile` as the finding says, for every node; or another `namespace`",
);
static FORMAT: Kind = Kind::fault(
    "format-newer",
    "The topology log is written in a newer format than this node reads.",
    "A node that cannot read the log does not start.",
    "run the build that the others run, and remove `node.format_max`",
);
static LOG: Kind = Kind::fault(
    "log-unreadable",
    "The topology log cannot be understood.",
    "It says who is a member and who owns what: nodes stop where they cannot read it.",
    "`aether verify` says where; restore the stream from a backup",
);
static RECORD: Kind = Kind::fault(
    "record-unreadable",
    "A node's own record cannot be understood.",
    "Somebody else wrote it, or a newer build: that node is not heard.",
    "start the node again, with the build that the others run; it writes its record anew",
);
static TAKEN: Kind = Kind::warning(
    "node-id-taken",
    "A node with this id is alive, and its admin pages are not where these settings put them.",
    "Two processes with one id end each other: the second ends with code 78.",
    "if that is not this machine's own node, give `node.id` another value",
);
static SILENT: Kind = Kind::warning(
    "node-silent",
    "A node's record says that it is alive, and it has not been heard for long.",
    "It has died and nobody has noticed, so nobody leads; or everything is off.",
    "start the nodes; `aether check leader` says whether somebody leads",
);
static BUILDS: Kind = Kind::warning(
    "builds-differ",
    "Nodes that are alive run different builds.",
    "During an upgrade that is as it must be; for long, what the newer one can do is not used, and actors may behave differently.",
    "finish the upgrade, one node after the other: docs/guide/moving.md",
);
static FORMATS: Kind = Kind::warning(
    "formats-differ",
    "Nodes that are alive read different formats of records.",
    "The cluster writes the oldest of them until all can read the newer one.",
    "finish the upgrade, then remove `node.format_max`",
);
static ZONES: Kind = Kind::warning(
    "zones-mixed",
    "Some nodes say in which zone they are, and others do not.",
    "Shards cannot be spread over zones that are not known.",
    "set `node.zone` for every node, or for none",
);

/// From which difference on clocks are said to differ.
pub(super) const CLOCK_OFF_MILLIS: u64 = 1000;

/// After how many heartbeats that did not come a node counts as silent: far more than anybody who leads waits.
const SILENT_BEATS: u32 = 30;

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    let (Ok(told), Some(Ok(examined))) = (&facts.told, &facts.nats) else { return };
    clock(examined.clock.as_ref(), facts.monitors.iter().any(|monitor| monitor.page.is_ok()), report);
    match &examined.log {
        Ok(log) => founded(log, told, report),
        Err(Unseen::Unreadable(why)) => report.find(&LOG, why.clone()),
        Err(why) => not_seen("the topology log was", why, examined, report),
    }
    match &examined.members {
        Ok(members) => nodes(members, examined, facts, told, report),
        Err(why) => not_seen("the nodes' records were", why, examined, report),
    }
}

fn not_seen(what: &str, why: &Unseen, examined: &Examined, report: &mut Report) {
    let said = examined.account.is_err() && !matches!(why, Unseen::Denied(_) | Unseen::Deaf(_));
    if let Some(why) = unseen(why).filter(|_| !said) {
        report.note(format!("{what} not seen: {why}"));
    }
}

fn clock(seen: Option<&ClockSeen>, monitored: bool, report: &mut Report) {
    let off = seen.and_then(|ClockSeen { asked, said, answered }| clock_off(*asked, said, *answered));
    match off {
        Some(off) => {
            if let Some(found) = apart("NATS", off) {
                report.find(&CLOCK, found);
            }
            let took = seen.map_or(0, |seen| seen.answered.unix_millis.saturating_sub(seen.asked.unix_millis));
            report.saw(
                "clock",
                format!("the server's is {} to {} ms from this machine's", off.abs(), off.unsigned_abs() + took),
            );
        }
        // Their own pages tell as well.
        None if monitored => {}
        None => report.note("the server's clock was not seen: it is told with a stream, and none was seen"),
    }
}

/// How far that clock is off, if it is too far.
pub(super) fn apart(whose: &str, off: i64) -> Option<String> {
    let way = if off > 0 { "ahead of" } else { "behind" };
    let by = off.unsigned_abs();
    let found = || format!("{whose} is {}.{:03} s {way} this machine", by / 1000, by % 1000);
    (by >= CLOCK_OFF_MILLIS).then(found)
}

fn founded(log: &LogSeen, told: &Told, report: &mut Report) {
    let Some(format) = log.format else {
        report.saw("log", "no entry yet: the first node founds the cluster");
        return;
    };
    report.saw("log", format!("up to epoch {}, format {format}", log.epoch));
    if format.0 > told.nats.format_max {
        report.find(
            &FORMAT,
            format!("its last entry is in format {format}, and this node reads up to {}", told.nats.format_max),
        );
    }
    let mut ours = founding(told.settings.profile);
    if let (Some(found), false) = (log.founded, told.says_profile) {
        ours.profile = found.profile;
    }
    if let Some(found) = log.founded.filter(|found| *found != ours) {
        let mut differ = Vec::new();
        if found.profile != ours.profile {
            differ.push(format!("profile {} where this node has {}", found.profile.name(), ours.profile.name()));
        }
        if found.shards != ours.shards {
            differ.push(format!("{} shards where this node has {}", found.shards.get(), ours.shards.get()));
        }
        if (found.hash, found.hash_seed) != (ours.hash, ours.hash_seed) {
            differ.push("another hash of actors".to_owned());
        }
        let cure = if found.profile == ours.profile {
            "run the build that the others run, or take another `namespace`".to_owned()
        } else {
            format!("`profile = \"{}\"` for every node, or another `namespace`", found.profile.name())
        };
        report.find_cured(&SETTINGS, format!("it was founded with {}", differ.join(", ")), cure);
    }
}

/// A node and how long ago it was heard, by the server's clock.
struct Heard<'a> {
    id: &'a str,
    record: &'a MemberRecord,
    ago: Duration,
}

impl Heard<'_> {
    fn is_silent(&self) -> bool {
        self.ago > self.record.heartbeat_every * SILENT_BEATS
    }
}

fn nodes(members: &[MemberSeen], examined: &Examined, facts: &Facts, told: &Told, report: &mut Report) {
    let now = examined.clock.as_ref().and_then(|clock| when::unix_millis(&clock.said)).unwrap_or(facts.now.unix_millis);
    let ago = |written: &WallTime| Duration::from_millis(now.saturating_sub(written.unix_millis));
    let mut living = Vec::new();
    for MemberSeen { id, record, written } in members {
        match record {
            Ok(record) if matches!(record.state, MemberState::Starting | MemberState::Alive) => {
                living.push(Heard { id, record, ago: ago(written) });
            }
            Ok(_) => {}
            Err(why) => report.find(&RECORD, format!("the record of {id}: {why}")),
        }
    }
    let (silent, alive): (Vec<_>, Vec<_>) = living.into_iter().partition(Heard::is_silent);
    for Heard { id, ago, .. } in &silent {
        report.find(&SILENT, format!("{id} was heard {} s ago for the last time", ago.as_secs()));
    }
    let names: Vec<_> = alive.iter().map(|heard| heard.id.to_owned()).collect();
    let names = if names.is_empty() { "nobody".to_owned() } else { some_of(&names) };
    report.saw("nodes", format!("{} known, {} alive: {names}", members.len(), alive.len()));
    taken(&alive, facts, told, report);
    differ(&alive, report);
}

fn taken(alive: &[Heard<'_>], facts: &Facts, told: &Told, report: &mut Report) {
    if facts.nameless || told.file.is_none() {
        return;
    }
    let ours = |url: &str| {
        let port = told.settings.admin.listen.port();
        facts.host.announced.as_deref() == Some(url) || (port != 0 && url.ends_with(&format!(":{port}")))
    };
    let same = alive.iter().find(|heard| heard.id == told.settings.node.id.as_str());
    if let Some(Heard { id, record, .. }) = same.filter(|heard| !ours(&heard.record.admin_url)) {
        report.find(&TAKEN, format!("{id} is alive, its pages are at {}", record.admin_url));
    }
}

/// What the nodes that are alive say differently.
fn differ(alive: &[Heard<'_>], report: &mut Report) {
    let by = |say: &dyn Fn(&MemberRecord) -> String| {
        let mut who: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Heard { id, record, .. } in alive {
            who.entry(say(record)).or_default().push((*id).to_owned());
        }
        who
    };
    let told = |who: BTreeMap<String, Vec<String>>| {
        let each = who.into_iter().map(|(what, nodes)| format!("{what}: {}", some_of(&nodes)));
        each.collect::<Vec<_>>().join("; ")
    };
    let builds = by(&|record| record.build.clone());
    if builds.len() > 1 {
        report.find(&BUILDS, told(builds));
    }
    let formats = by(&|record| format!("up to format {}", record.reads));
    if formats.len() > 1 {
        report.find(&FORMATS, told(formats));
    }
    let zones = by(&|record| record.info.zone.as_ref().map_or_else(|| "no zone".to_owned(), ToString::to_string));
    if zones.len() > 1 && zones.contains_key("no zone") {
        report.find(&ZONES, told(zones));
    }
}

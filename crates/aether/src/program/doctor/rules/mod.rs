//! What follows from the facts: pure, one file an area, each with the kinds that it finds.

mod account;
mod certificates;
mod cluster;
mod connection;
mod cures;
mod host;
mod monitoring;
mod settings;
mod streams;
#[cfg(test)]
mod tests;

use aether_domain::WallTime;
use aether_infra_nats::Unseen;

use super::facts::Facts;
use super::finding::{Kind, Report};
use crate::program::when;

/// Every kind there is, in the order of docs/DOCTOR.md.
pub(super) fn kinds() -> impl Iterator<Item = &'static Kind> {
    let areas = [
        settings::KINDS,
        host::KINDS,
        certificates::KINDS,
        connection::KINDS,
        account::KINDS,
        streams::KINDS,
        cluster::KINDS,
        monitoring::KINDS,
    ];
    areas.into_iter().flatten().copied()
}

/// What follows from the facts, the worst first.
pub(super) fn report(facts: &Facts) -> Report {
    let mut report = Report::default();
    settings::judge(facts, &mut report);
    host::judge(facts, &mut report);
    certificates::judge(facts, &mut report);
    connection::judge(facts, &mut report);
    account::judge(facts, &mut report);
    streams::judge(facts, &mut report);
    cluster::judge(facts, &mut report);
    monitoring::judge(facts, &mut report);
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.kind.severity));
    report
}

/// From which part of a limit on something is as good as full.
const FULL_PERCENT: u64 = 95;
/// From which part of a limit on somebody should see to it.
const FILLING_PERCENT: u64 = 80;

/// How full something is, in percent of what it may hold.
fn percent(of: u64, max: u64) -> u64 {
    u64::try_from(u128::from(of) * 100 / u128::from(max.max(1))).unwrap_or(u64::MAX)
}

/// Finds that something is full, or filling; whether it did.
fn find_full(
    report: &mut Report,
    (full, filling): (&'static Kind, &'static Kind),
    (used, max): (u64, Option<u64>),
    what: impl Fn(u64) -> String,
    cure: &str,
) {
    let Some(max) = max else { return };
    let percent = percent(used, max);
    let kind = match percent {
        FULL_PERCENT.. => full,
        FILLING_PERCENT.. => filling,
        _ => return,
    };
    report.find_cured(kind, what(percent), cure);
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = bytes;
    while whole >= 10 * 1024 && unit + 1 < UNITS.len() {
        whole /= 1024;
        unit += 1;
    }
    format!("{whole} {}", UNITS[unit])
}

/// How far another clock surely is from ours, in milliseconds, ahead if above 0: what asking and answering took may hide the rest.
fn clock_off(asked: WallTime, said: &str, answered: WallTime) -> Option<i64> {
    let said = when::unix_millis(said)?;
    let (asked, answered) = (asked.unix_millis, answered.unix_millis);
    let off = if said < asked {
        -i64::try_from(asked - said).ok()?
    } else {
        i64::try_from(said.saturating_sub(answered)).ok()?
    };
    Some(off)
}

/// Why something was not seen, for a note; nothing if that is said elsewhere as a finding.
fn unseen(why: &Unseen) -> Option<String> {
    match why {
        Unseen::Denied(subject) => Some(format!("this user may not ask {subject}")),
        Unseen::Deaf(inbox) => Some(format!("this user may not hear answers on {inbox}")),
        Unseen::Silent(words) => Some(format!("no answer: {words}")),
        Unseen::Refused(words) => Some(format!("the server says: {words}")),
        Unseen::Unreadable(words) => Some(words.clone()),
        Unseen::Missing | Unseen::Off | Unseen::OffForAccount | Unseen::Nobody => None,
    }
}

/// Some of many names, and how many more there are.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

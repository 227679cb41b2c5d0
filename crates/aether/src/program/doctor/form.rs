//! How a report is shown: to people, one finding a paragraph, and to programs.

use aether_screen::Text;
use serde_json::json;

use super::finding::{Finding, Kind, Report, Severity};
use crate::program::ask::Form;
use crate::program::ink::{Ink, Tone};
use crate::program::table::{Cell, Table};

/// How wide a line for people is. A cure may be longer: it is there to be copied.
const COLUMNS: usize = 100;

/// Where the sentences of a finding begin.
const INDENT: usize = 9;

/// What was found.
pub(super) fn shown(report: &Report, form: Form, ink: Ink) -> String {
    match form {
        Form::Json => json(report),
        Form::Table => text(report, false, ink),
        Form::Wide => text(report, true, ink),
    }
}

/// Everything that could be found.
pub(super) fn listed(kinds: impl Iterator<Item = &'static Kind>, form: Form, ink: Ink) -> String {
    let paragraph = |kind: &'static Kind| {
        [name(kind, ink), sentence("what", kind.what, ink), sentence("why", kind.why, ink), cure(kind.cure, ink)]
            .join("\n")
    };
    let object = |kind: &'static Kind| {
        let Kind { code, severity, what, why, cure } = kind;
        json!({ "code": code, "severity": severity.name(), "what": what, "why": why, "cure": cure }).to_string()
    };
    match form {
        Form::Json => kinds.map(object).collect::<Vec<_>>().join("\n"),
        Form::Table | Form::Wide => kinds.map(paragraph).collect::<Vec<_>>().join("\n\n"),
    }
}

fn tone(severity: Option<Severity>) -> Tone {
    match severity {
        Some(Severity::Fault) => Tone::Bad,
        Some(Severity::Warning) => Tone::Warning,
        None => Tone::Good,
    }
}

fn text(report: &Report, everything: bool, ink: Ink) -> String {
    let mut parts = vec![head(report, ink)];
    parts.extend(report.findings.iter().map(|finding| paragraph(finding, ink)));
    if !report.notes.is_empty() {
        parts.push(report.notes.iter().map(|note| sentence("note", note, ink)).collect::<Vec<_>>().join("\n"));
    }
    if everything && !report.seen.is_empty() {
        let mut table = Table::new(["", ""]);
        for (what, how) in &report.seen {
            table.row([Cell::toned(Tone::Faint, *what), plain(how).into()]);
        }
        parts.push(format!("looked at\n{}", indented(&table.shown(ink))));
    }
    parts.join("\n\n")
}

fn head(report: &Report, ink: Ink) -> String {
    let namespace =
        report.namespace.as_ref().map_or_else(|| "the settings".to_owned(), |name| format!("namespace {name}"));
    let servers = report.servers.as_ref().map_or_else(String::new, |servers| format!(" at {servers}"));
    format!("{namespace}{servers}: {}", ink.paint(tone(report.worst()), &verdict(report)))
}

fn verdict(report: &Report) -> String {
    let count = |severity, one: &str| match report.count(severity) {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {one}s")),
    };
    let counts: Vec<_> =
        [count(Severity::Fault, "fault"), count(Severity::Warning, "warning")].into_iter().flatten().collect();
    if counts.is_empty() { "nothing is wrong".to_owned() } else { counts.join(", ") }
}

fn paragraph(finding: &Finding, ink: Ink) -> String {
    let Finding { kind, found, cure: told } = finding;
    [name(kind, ink), sentence("found", found, ink), sentence("why", kind.why, ink), cure(told, ink)].join("\n")
}

fn name(kind: &Kind, ink: Ink) -> String {
    ink.paint(tone(Some(kind.severity)), &format!("{:<7}  {}", kind.severity.name(), kind.code))
}

/// On one line, to be copied.
fn cure(text: &str, ink: Ink) -> String {
    format!("  {}   {}", ink.paint(Tone::Good, "cure"), plain(text))
}

/// Without what a terminal would obey: some of it is what servers and nodes say of themselves.
fn plain(text: &str) -> String {
    text.split(' ').map(|word| Text::new(word).to_string()).collect::<Vec<_>>().join(" ")
}

/// A sentence under its word, in lines of bounded width.
fn sentence(word: &str, text: &str, ink: Ink) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().map(plain) {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(&word);
        } else if INDENT + line.chars().count() + 1 + word.chars().count() <= COLUMNS {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    let behind = " ".repeat(INDENT - 2 - word.len());
    format!("  {}{behind}{}", ink.paint(Tone::Faint, word), lines.join(&format!("\n{}", " ".repeat(INDENT))))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn json(report: &Report) -> String {
    let finding = |Finding { kind, found, cure }: &Finding| json!({ "code": kind.code, "severity": kind.severity.name(), "found": found, "why": kind.why, "cure": cure });
    json!({
        "verdict": report.worst().map_or("ok", Severity::name),
        "namespace": report.namespace, "servers": report.servers,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "notes": report.notes,
        "seen": report.seen.iter().map(|(what, how)| json!({ "what": what, "how": how })).collect::<Vec<_>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    static LOST: Kind =
        Kind::fault("all-lost", "All is lost.", "Nothing is left that anybody could lose.", "start anew");
    static LATE: Kind = Kind::warning("late", "It is late.", "People sleep.", "sleep");

    fn report() -> Report {
        let mut report =
            Report { namespace: Some("bank".into()), servers: Some("nats://a:1".into()), ..Report::default() };
        let found =
            "AETHER_bank_EVT_0: everything that was there is gone, and whoever looks for it finds nothing at all";
        report.find_cured(
            &LOST,
            found,
            "nats stream edit AETHER_bank_EVT_0 --a-cure-that-is-copied=is-never-broken-up-into-lines --however-long",
        );
        report.find(&LATE, "it is 23:59");
        report.note("the moon was not seen");
        report.saw("server", "nats-0");
        report
    }

    #[test]
    fn people_are_told_a_finding_a_paragraph_and_a_cure_on_one_line() {
        let shown = shown(&report(), Form::Wide, Ink::NONE);
        let expected = "\
namespace bank at nats://a:1: 1 fault, 1 warning

fault    all-lost
  found  AETHER_bank_EVT_0: everything that was there is gone, and whoever looks for it finds
         nothing at all
  why    Nothing is left that anybody could lose.
  cure   nats stream edit AETHER_bank_EVT_0 --a-cure-that-is-copied=is-never-broken-up-into-lines --however-long

warning  late
  found  it is 23:59
  why    People sleep.
  cure   sleep

  note   the moon was not seen

looked at
  server  nats-0";
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_was_looked_at_is_shown_to_those_who_want_everything_and_wellness_is_a_line() {
        assert!(!shown(&report(), Form::Table, Ink::NONE).contains("looked at"));
        let mut well = report();
        well.findings.clear();
        well.notes.clear();
        assert_eq!(shown(&well, Form::Table, Ink::NONE), "namespace bank at nats://a:1: nothing is wrong");
        assert_eq!(shown(&Report::default(), Form::Table, Ink::NONE), "the settings: nothing is wrong");
    }

    #[test]
    fn what_others_say_of_themselves_is_no_command_to_the_terminal() {
        let evil = "evil\u{1b}]0;title\u{7}\u{9b}2J\r\nend";
        let mut report = report();
        report.find_cured(&LATE, evil, evil);
        report.note(evil);
        report.saw("server", evil);
        let shown = shown(&report, Form::Wide, Ink::NONE);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert_eq!(shown.matches("evil\u{fffd}]0;title\u{fffd}\u{fffd}2J").count(), 4, "{shown}");
    }

    #[test]
    fn programs_are_told_by_names() {
        let shown: serde_json::Value = serde_json::from_str(&shown(&report(), Form::Json, Ink::NONE)).expect("JSON");
        assert_eq!((&shown["verdict"], &shown["namespace"]), (&json!("fault"), &json!("bank")));
        let late = json!({ "code": "late", "severity": "warning", "found": "it is 23:59", "why": "People sleep.", "cure": "sleep" });
        assert_eq!((&shown["findings"][1], &shown["notes"]), (&late, &json!(["the moon was not seen"])));
        assert_eq!(shown["seen"], json!([{ "what": "server", "how": "nats-0" }]));
    }
}

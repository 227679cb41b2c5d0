//! How a verdict is shown: to people, to programs, to Nagios and its kin, to Prometheus.

use serde_json::json;

use super::rule::{Figure, Finding, Judged, Level};
use crate::program::args::Subject;

/// What a plugin of Nagios ends with if all is not well.
pub(super) const NAGIOS_WARNING: u8 = 1;
/// If it is critical.
pub(super) const NAGIOS_CRITICAL: u8 = 2;
/// If nothing could be found out.
pub(super) const NAGIOS_UNKNOWN: u8 = 3;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines for people.
    Text,
    /// One object.
    Json,
    /// The line of a plugin.
    Nagios,
    /// Metrics as text.
    Prometheus,
}

fn subject(what: Subject) -> &'static str {
    match what {
        Subject::Cluster => "cluster",
        Subject::Leader => "leader",
        Subject::Shards => "shards",
        Subject::Moves => "moves",
    }
}

/// What was found.
pub(super) fn shown(judged: &Judged, format: Format) -> String {
    match format {
        Format::Text => text(judged),
        Format::Json => json(judged),
        Format::Nagios => nagios(judged),
        Format::Prometheus => prometheus(judged),
    }
}

/// That nothing could be found out; nothing where standard error is read.
pub(super) fn unknown(what: Subject, why: &str, format: Format) -> Option<String> {
    match format {
        Format::Text => None,
        Format::Json => Some(json!({ "check": subject(what), "verdict": "unknown", "error": why }).to_string()),
        Format::Nagios => Some(format!("AETHER {} UNKNOWN - {}", subject(what).to_uppercase(), one_line(why))),
        Format::Prometheus => Some(format!(
            "# HELP aether_check_answered Whether a node has answered the check.\n# TYPE aether_check_answered gauge\n\
             aether_check_answered{{check=\"{}\"}} 0",
            subject(what)
        )),
    }
}

fn summary(judged: &Judged) -> String {
    let (cluster, figure) = (&judged.facts.cluster, |name| figure(judged, name));
    format!(
        "{} nodes active, {} in term {} leads, {} of {} shards served, {} moving",
        figure("nodes_active"),
        cluster.leader.as_deref().unwrap_or("nobody"),
        cluster.term,
        figure("shards_total").saturating_sub(figure("shards_unserved")),
        figure("shards_total"),
        figure("shards_moving"),
    )
}

fn figure(judged: &Judged, name: &str) -> u64 {
    judged.figures.iter().find(|figure| figure.name == name).map_or(0, |figure| figure.value)
}

fn text(judged: &Judged) -> String {
    let head = format!(
        "{} {} of {}: {}",
        judged.level.name(),
        subject(judged.what),
        judged.facts.cluster.namespace,
        summary(judged)
    );
    let findings = judged.findings.iter().map(|Finding { level, text }| format!("  {:<8}  {text}", level.name()));
    std::iter::once(head).chain(findings).collect::<Vec<_>>().join("\n")
}

fn json(judged: &Judged) -> String {
    let finding = |Finding { level, text }: &Finding| json!({ "level": level.name(), "text": text });
    let figures: serde_json::Map<_, _> =
        judged.figures.iter().map(|figure| (figure.name.to_owned(), figure.value.into())).collect();
    json!({
        "check": subject(judged.what), "verdict": judged.level.name(), "namespace": judged.facts.cluster.namespace,
        "asked": judged.facts.asked, "leader": judged.facts.cluster.leader,
        "findings": judged.findings.iter().map(finding).collect::<Vec<_>>(), "figures": figures,
    })
    .to_string()
}

/// `SERVICE STATUS - text | figures`, on one line: a bar would end the text.
fn nagios(judged: &Judged) -> String {
    let status = judged.level.name().to_uppercase();
    let text = if judged.level == Level::Ok {
        summary(judged)
    } else {
        judged.findings.iter().map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("; ")
    };
    let figures: Vec<_> = judged.figures.iter().map(|Figure { name, value, .. }| format!("{name}={value}")).collect();
    format!("AETHER {} {status} - {} | {}", subject(judged.what).to_uppercase(), one_line(&text), figures.join(" "))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/")
}

fn prometheus(judged: &Judged) -> String {
    let labels = format!("check=\"{}\",namespace=\"{}\"", subject(judged.what), judged.facts.cluster.namespace);
    let metric = |name: &str, meaning: &str, value: u64| {
        format!(
            "# HELP aether_check_{name} {meaning}\n# TYPE aether_check_{name} gauge\naether_check_{name}{{{labels}}} {value}"
        )
    };
    let answered = format!(
        "# HELP aether_check_answered Whether a node has answered the check.\n# TYPE aether_check_answered gauge\n\
         aether_check_answered{{check=\"{}\"}} 1",
        subject(judged.what)
    );
    let verdict = metric("verdict", "0 ok, 1 warning, 2 critical.", judged.level as u64);
    let figures = judged.figures.iter().map(|figure| {
        let mut meaning = figure.meaning.to_owned();
        if let Some(first) = meaning.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        metric(figure.name, &format!("{meaning}."), figure.value)
    });
    [answered, verdict].into_iter().chain(figures).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::{facts, limits};
    use super::*;

    fn judged(worse: bool) -> Judged {
        let mut facts = facts();
        if worse {
            facts.cluster.nodes[2].status = "failed".into();
            facts.cluster.leader = None;
        }
        Judged::of(Subject::Cluster, facts, &limits())
    }

    #[test]
    fn a_verdict_is_lines_for_people() {
        let ok = "ok cluster of bank: 3 nodes active, n1 in term 2 leads, 1024 of 1024 shards served, 0 moving";
        assert_eq!(shown(&judged(false), Format::Text), ok);
        let critical = "\
critical cluster of bank: 2 nodes active, nobody in term 2 leads, 1024 of 1024 shards served, 0 moving
  critical  nobody leads since term 2
  warning   failed: n3";
        assert_eq!(shown(&judged(true), Format::Text), critical);
    }

    #[test]
    fn a_plugin_says_it_on_one_line_with_its_figures() {
        let figures = "nodes_active=2 nodes_draining=0 nodes_failed=1 shards_total=1024 shards_unserved=0 shards_moving=0 \
                       plan_age_seconds=0 entries_behind=0 term=2 epoch=9";
        let critical = format!("AETHER CLUSTER CRITICAL - nobody leads since term 2; failed: n3 | {figures}");
        assert_eq!(shown(&judged(true), Format::Nagios), critical);
        assert!(
            shown(&judged(false), Format::Nagios).starts_with("AETHER CLUSTER OK - 3 nodes active, n1 in term 2 leads")
        );
        let unknown = unknown(Subject::Leader, "no answer |\nat all", Format::Nagios);
        assert_eq!(unknown.as_deref(), Some("AETHER LEADER UNKNOWN - no answer / at all"));
    }

    #[test]
    fn programs_are_told_by_names() {
        let shown: serde_json::Value = serde_json::from_str(&shown(&judged(true), Format::Json)).expect("JSON");
        assert_eq!((&shown["check"], &shown["verdict"]), (&json!("cluster"), &json!("critical")));
        assert_eq!(shown["findings"][1], json!({ "level": "warning", "text": "failed: n3" }));
        assert_eq!((&shown["figures"]["nodes_failed"], &shown["leader"]), (&json!(1), &json!(null)));
        let unknown = unknown(Subject::Leader, "no answer", Format::Json).expect("said");
        assert_eq!(unknown, r#"{"check":"leader","error":"no answer","verdict":"unknown"}"#);
    }

    #[test]
    fn metrics_are_gauges_with_a_meaning_each() {
        let shown = shown(&judged(true), Format::Prometheus);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "# HELP aether_check_answered Whether a node has answered the check.",
                "# TYPE aether_check_answered gauge",
                "aether_check_answered{check=\"cluster\"} 1",
                "# HELP aether_check_verdict 0 ok, 1 warning, 2 critical.",
                "# TYPE aether_check_verdict gauge",
                "aether_check_verdict{check=\"cluster\",namespace=\"bank\"} 2",
            ]
        );
        assert_eq!(lines.len(), 6 + 3 * judged(true).figures.len());
        assert!(
            lines.contains(&"# HELP aether_check_nodes_failed Nodes whose last life ended without leaving."),
            "{shown}"
        );
    }
}

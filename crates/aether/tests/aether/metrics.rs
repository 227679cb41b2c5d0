//! Metric names are for ever: a change of this list is a change for every user's alerts.

use std::collections::BTreeSet;

use aether::admin::Counter;
use aether::metrics::names::Kind;
use aether::metrics::{encode, names};

use crate::sample::picture;

#[test]
fn names_are_as_released() {
    let names: Vec<_> = names::ALL
        .iter()
        .map(|metric| format!("{} {:?} {}", metric.name, metric.kind, metric.label.unwrap_or("-")))
        .collect();
    let released = include_str!("metrics.golden").lines().collect::<Vec<_>>();
    assert_eq!(names, released, "a metric's name, kind or label is not as released");
}

#[test]
fn the_reference_lists_every_metric_as_it_is_and_no_other() {
    let page = include_str!("../../../../docs/reference/metrics.md");
    let listed: BTreeSet<_> = page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let row = |metric: &names::Metric| {
        let (kind, total) = if metric.kind == Kind::Counter { ("counter", "_total") } else { ("gauge", "") };
        let label = metric.label.map_or_else(String::new, |label| format!(" `{label}`"));
        format!("| `{}{total}` | {kind} |{label} | {} |", metric.name, metric.help)
    };
    let there: BTreeSet<_> = names::ALL.iter().map(row).collect();
    let missing: Vec<_> = there.difference(&listed).map(String::as_str).collect();
    let odd: Vec<_> = listed.difference(&there).map(String::as_str).collect();
    let said = format!("to add:\n{}\nto remove:\n{}", missing.join("\n"), odd.join("\n"));
    assert!(missing.is_empty() && odd.is_empty(), "docs/reference/metrics.md is not what the code says; {said}");
}

#[test]
fn every_metric_has_a_meaning_and_obeys_the_rules_of_names() {
    for metric in names::ALL {
        assert!(metric.name.starts_with("aether_") && !metric.name.ends_with("_total"), "{}", metric.name);
        assert!(!metric.help.is_empty(), "{}", metric.name);
    }
}

#[test]
fn a_scrape_shows_the_cluster_as_this_node_sees_it() {
    let mut picture = picture();
    picture.counters = vec![
        Counter { metric: names::APPEND_CONFLICTS, label: None, count: 4 },
        Counter { metric: names::MESSAGES_ROUTED, label: Some("remote"), count: 9 },
    ];
    let text = encode(&picture);
    for line in [
        "aether_cluster_nodes{status=\"active\"} 3.0",
        "aether_cluster_nodes{status=\"failed\"} 0.0",
        "aether_cluster_shards_assigned 8.0",
        "aether_cluster_shards_orphaned 0.0",
        "aether_cluster_leader_is_leader 1.0",
        "aether_cluster_leader_term 1.0",
        "aether_cluster_leader_lease_expires_in_seconds 9.0",
        "aether_cluster_leader_last_renewal_age_seconds 1.0",
        "aether_cluster_node_heartbeat_latency_seconds{node=\"n2\"} 0.5",
        "aether_cluster_node_shards{node=\"n3\"} 2.0",
        "aether_cluster_node_actors{node=\"n1\"} 12.0",
        "aether_topology_epoch 1.0",
        "aether_event_append_conflicts_total 4.0",
        "aether_messages_routed_total{route=\"remote\"} 9.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
    }
}

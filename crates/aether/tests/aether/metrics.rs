//! Metric names are for ever: a change of this list is a change for every user's alerts.

use std::collections::BTreeSet;
use std::time::Duration;

use aether::admin::Counter;
use aether::demo::bank::{Account, Deposit, Open};
use aether::metrics::names::Kind;
use aether::metrics::{encode, names};
use aether::prelude::*;
use aether_domain::ActorKind;
use aether_runtime::shard::KindStats;
use tokio::time::timeout;

use crate::sample::picture;

fn labels_or_dash(metric: &names::Metric) -> String {
    if metric.labels.is_empty() { "-".to_owned() } else { metric.labels.join(",") }
}

#[test]
fn names_are_as_released() {
    let names: Vec<_> = names::ALL
        .iter()
        .map(|metric| format!("{} {:?} {}", metric.name, metric.kind, labels_or_dash(metric)))
        .collect();
    let released = include_str!("metrics.golden").lines().collect::<Vec<_>>();
    assert_eq!(names, released, "a metric's name, kind or label is not as released");
}

#[test]
fn the_reference_lists_every_metric_as_it_is_and_no_other() {
    let page = include_str!("../../../../docs/reference/metrics.md");
    let listed: BTreeSet<_> = page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let row = |metric: &names::Metric| {
        let (kind, total) = match metric.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
        };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!(" `{label}`")).collect();
        let label = labels.join(",");
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
    picture.kinds = vec![KindStats {
        kind: ActorKind::new("account").expect("a name"),
        activations: 7,
        replayed: 40,
        passivations: 3,
        evictions: 2,
    }];
    picture.round_trip = Some(Duration::from_millis(2));
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
        "aether_actor_activations_total{kind=\"account\"} 7.0",
        "aether_actor_replayed_events_total{kind=\"account\"} 40.0",
        "aether_actor_passivations_total{kind=\"account\",reason=\"idle\"} 3.0",
        "aether_actor_passivations_total{kind=\"account\",reason=\"room\"} 2.0",
        "# TYPE aether_command_duration_seconds histogram",
        "aether_command_duration_seconds_count 0",
        "aether_command_duration_seconds_bucket{le=\"+Inf\"} 0",
        "aether_move_duration_seconds_count{phase=\"acknowledged\"} 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
    }
    assert!(!text.contains("\naether_nats_"), "in memory there is no NATS: {text}");
}

/// The whole numbers of a node's page whose names and labels begin so, summed up.
fn sum(node: &Node, beginning: &str) -> u64 {
    let page = encode(&node.source().picture().expect("it runs"));
    let lines = page.lines().filter(|line| line.starts_with(beginning));
    lines.filter_map(|line| line.rsplit(' ').next()?.trim_end_matches(".0").parse::<u64>().ok()).sum()
}

async fn start(hub: &MemoryHub, id: &str) -> Node {
    let node = Node::builder(id).namespace("metrics").profile(Profile::Fast).in_memory(hub).actor::<Account>();
    node.start().await.expect("it starts")
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("{what} took too long"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commands_and_loads_come_to_is_counted() {
    const ACCOUNTS: u64 = 20;
    const DEPOSITS: u64 = 32;
    let hub = MemoryHub::new();
    let node = start(&hub, "n1").await;
    for id in 0..ACCOUNTS {
        node.actor::<Account>(id).ask(Open { operation: 1_000 + id }).await.expect("it is opened");
    }
    for operation in 0..DEPOSITS * ACCOUNTS {
        let account = node.actor::<Account>(operation % ACCOUNTS);
        account.ask(Deposit { operation, amount: 1 }).await.expect("it is deposited");
    }
    let commands = sum(&node, "aether_commands_total ");
    assert!(commands >= ACCOUNTS * (DEPOSITS + 1), "{commands}");
    // One in 16, whichever: of so many neither a fourth is drawn nor less than one in 256.
    let timed = sum(&node, "aether_command_duration_seconds_count ");
    assert!(timed >= commands / 256 && timed <= commands / 4, "{timed} of {commands} commands were timed");
    let picture = node.source().picture().expect("it runs");
    assert!(!picture.command_times.sum().is_zero(), "commands that are stored take time");
    let appended = sum(&node, "aether_event_append_duration_seconds_count ");
    assert!(appended >= ACCOUNTS && appended <= commands, "{appended} appends for {commands} commands");
    assert_eq!(sum(&node, "aether_actor_activations_total{kind=\"account\"} "), ACCOUNTS);
    assert_eq!(sum(&node, "aether_actor_replayed_events_total{kind=\"account\"} "), 0, "there was no history");
    node.kill().await;

    let again = start(&hub, "n1").await;
    for id in 0..ACCOUNTS {
        within("a deposit", again.actor::<Account>(id).ask(Deposit { operation: 10_000 + id, amount: 1 }))
            .await
            .expect("it is deposited");
    }
    assert_eq!(sum(&again, "aether_actor_activations_total{kind=\"account\"} "), ACCOUNTS);
    assert_eq!(sum(&again, "aether_actor_replayed_events_total{kind=\"account\"} "), ACCOUNTS * (DEPOSITS + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_come_to_is_counted_where_they_begin_and_everywhere_what_plans_do() {
    let hub = MemoryHub::new();
    let first = start(&hub, "n1").await;
    let second = start(&hub, "n2").await;
    let gone = || sum(&first, "aether_moves_total{outcome=\"completed\"} ");
    within("the shards' way to the second node", async {
        let completed = |node| sum(node, "aether_cluster_rebalancing_completed_total ");
        while gone() < 512 || [&first, &second].into_iter().any(|node| completed(node) < 1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(sum(&first, "aether_move_pause_seconds_count "), gone(), "each completed move has a pause");
    assert_eq!(sum(&first, "aether_move_duration_seconds_count{phase=\"paused\"} "), gone());
    for node in [&first, &second] {
        let triggered = "aether_cluster_rebalancing_triggered_total{reason=";
        assert!(sum(node, &format!("{triggered}\"join\"}} ")) >= 1, "n2 has joined");
        assert!(sum(node, triggered) >= sum(node, "aether_cluster_rebalancing_completed_total "));
        assert_eq!(sum(node, "aether_cluster_rebalancing_shards_moved_total "), gone());
    }
}

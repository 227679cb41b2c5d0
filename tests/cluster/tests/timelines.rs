//! The failure timelines in short: those that tell most, once each, with the fast timers, on one server and on three.
//! `cargo xtask chaos timelines` plays all of them, with any timers and as often as wanted.

use aether_cluster_tests::timelines::{self, Conditions, Timeline};
use anyhow::{Result, ensure};
use xtask::{cluster::Profile, out};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How often a figure must be missed in a row to count: a neighbour's noise is no failure.
const MISSES_MAX: usize = 3;

fn played(replicas: usize, names: &[&str]) -> Result<()> {
    let conditions =
        Conditions { program: PROGRAM.into(), nodes: 5, replicas, profile: Profile::Fast, supervised: false, load: 4 };
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let chosen = timelines::chosen(&names, replicas)?;
    ensure!(chosen.len() == names.len(), "every name is one that can be played here");
    let mut left: Vec<Timeline> = chosen;
    for attempt in 1..=MISSES_MAX {
        let report = timelines::play(&conditions, &left, 1)?;
        out::note(report.to_string());
        ensure!(report.failures.is_empty(), "what must not happen did:\n{report}");
        left.retain(|timeline| report.rows.iter().any(|row| row.timeline == timeline.name && !row.met));
        ensure!(left.is_empty() || attempt < MISSES_MAX, "missed {MISSES_MAX} times in a row:\n{report}");
        if left.is_empty() {
            break;
        }
    }
    Ok(())
}

#[test]
fn on_one_server_what_was_promised_of_dead_leaders_nodes_and_links_is_kept() -> Result<()> {
    played(1, &["leader-kill", "leader-terminate", "rebalance-kill", "node-hole", "half-kill", "nats-restart"])
}

#[test]
fn in_a_rolling_restart_nobody_fails_nothing_is_lost_and_each_shard_moves_about_once() -> Result<()> {
    played(1, &["rolling-restart"])
}

#[test]
fn on_three_servers_what_was_promised_of_dead_leaders_nodes_and_servers_is_kept() -> Result<()> {
    played(3, &["leader-freeze", "node-kill", "node-cut", "nats-leader-kill"])
}

//! The failure timelines in short: those that tell most, once each, with the fast timers, on one server and on three.
//! `cargo xtask chaos timelines` plays all of them, with any timers and as often as wanted.

use aether_cluster_tests::timelines::{self, Conditions};
use anyhow::{Result, ensure};
use xtask::{cluster::Profile, out};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

fn played(replicas: usize, names: &[&str]) -> Result<()> {
    let conditions = Conditions { program: PROGRAM.into(), nodes: 5, replicas, profile: Profile::Fast, load: 4 };
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let chosen = timelines::chosen(&names, replicas)?;
    ensure!(chosen.len() == names.len(), "every name is one that can be played here");
    let report = timelines::play(&conditions, &chosen, 1)?;
    out::note(report.to_string());
    ensure!(report.missed() == 0, "figures were missed:\n{report}");
    Ok(())
}

#[test]
fn on_one_server_what_was_promised_of_dead_leaders_nodes_and_links_is_kept() -> Result<()> {
    played(1, &["leader-kill", "leader-terminate", "rebalance-kill", "node-hole", "half-kill", "nats-restart"])
}

#[test]
fn on_three_servers_what_was_promised_of_dead_leaders_nodes_and_servers_is_kept() -> Result<()> {
    played(3, &["leader-freeze", "node-kill", "node-cut", "nats-leader-kill"])
}

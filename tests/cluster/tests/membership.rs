//! Joining, draining and restarting under load: balance to within one shard, and no move more than needed.

use std::{collections::BTreeMap, time::Duration};

use aether_cluster_tests::{Cluster, History, SHARDS, Spec};
use anyhow::{Result, ensure};
use serde_json::Value;
use xtask::clock::{Deadline, Stopwatch, wait_for};
use xtask::{cluster, http, out};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How long a change may take until all is balanced again.
const BALANCE_LIMIT: Duration = Duration::from_secs(45);

/// How long a page may take.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// How many commands must be acknowledged between two changes.
const WORK: u64 = 100;

/// How many shards changed owner, and that all of them did so to or from `id`.
fn moved(before: &[String], after: &[String], id: &str) -> Result<usize> {
    ensure!(before.len() == SHARDS && after.len() == SHARDS, "there are {SHARDS} shards");
    let changed = before.iter().zip(after).filter(|(from, to)| from != to);
    let changed: Vec<_> = changed.collect();
    let stray = changed.iter().find(|(from, to)| *from != id && *to != id);
    ensure!(stray.is_none(), "a shard moved from {stray:?} though only {id} came or went");
    Ok(changed.len())
}

fn counts(owners: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for owner in owners {
        *counts.entry(owner.as_str()).or_default() += 1;
    }
    counts
}

fn settle(cluster: &Cluster, active: usize, what: &str, since: Stopwatch) -> Result<Vec<String>> {
    cluster.wait_balanced(active, BALANCE_LIMIT)?;
    let owners = cluster.owners()?;
    out::note(format!("{what}: balanced after {:.2} s, {:?}", since.elapsed().as_secs_f64(), counts(&owners)));
    cluster.wait_progress(WORK, BALANCE_LIMIT)?;
    Ok(owners)
}

#[test]
fn nodes_come_and_go_and_only_the_shards_that_must_move_do() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        let history = History::of(&cluster.file()?)?;
        let three = settle(cluster, 3, "three nodes", Stopwatch::start())?;
        let start = history.last(&history.topology())?;

        let since = Stopwatch::start();
        cluster::add(cluster.dir(), "n4")?;
        let ready = cluster.owners()?;
        ensure!(
            counts(&ready).get("n4") == Some(&256),
            "a new node is ready once it has its share: {:?}",
            counts(&ready)
        );
        let four = settle(cluster, 4, "n4 joined", since)?;
        ensure!(moved(&three, &four, "n4")? == 256, "256 of 1024 is a fourth node's share");
        ensure!(counts(&four).values().all(|count| *count == 256), "{:?}", counts(&four));

        let gone = cluster.follower()?;
        let since = Stopwatch::start();
        cluster::drain(cluster.dir(), &gone)?;
        let after_drain = settle(cluster, 3, &format!("{gone} drained"), since)?;
        ensure!(moved(&four, &after_drain, &gone)? == 256, "only what {gone} had moves");

        let since = Stopwatch::start();
        cluster::restart(cluster.dir(), &gone)?;
        let back = settle(cluster, 4, &format!("{gone} started again"), since)?;
        ensure!(moved(&after_drain, &back, &gone)? == 256, "{gone} gets its share and nothing else moves");

        let leader = cluster.leader()?;
        let since = Stopwatch::start();
        cluster::drain(cluster.dir(), &leader)?;
        let led_anew = settle(cluster, 3, &format!("the leader {leader} drained"), since)?;
        ensure!(moved(&back, &led_anew, &leader)? == 256, "only what {leader} had moves");
        ensure!(cluster.leader()? != leader, "somebody else leads");

        let events = history.topology_events(start)?;
        let count = |name: &str| events.iter().filter(|(event, _)| event == name).count();
        ensure!(count("NodeLeft") == 2, "two nodes left in good order: {events:?}");
        ensure!(count("NodeFailed") == 0, "nobody failed: {events:?}");
        cluster.verify().map(drop)
    })
}

#[test]
fn a_running_node_that_is_restarted_leaves_and_joins_in_good_order() -> Result<()> {
    // The default timers: with shorter ones a machine under load may itself be why somebody is missed.
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        let history = History::of(&cluster.file()?)?;
        let start = history.last(&history.topology())?;
        for id in [cluster.follower()?, cluster.leader()?] {
            let since = Stopwatch::start();
            cluster::restart(cluster.dir(), &id)?;
            settle(cluster, 3, &format!("{id} restarted"), since)?;
        }
        let events = history.topology_events(start)?;
        let count = |name: &str| events.iter().filter(|(event, _)| event == name).count();
        ensure!(count("NodeLeft") == 2 && count("NodeFailed") == 0, "{events:?}");
        cluster.verify().map(drop)
    })
}

#[test]
fn what_happened_is_told_the_same_and_why_and_how_everybody_is_are_known_after_all_were_killed() -> Result<()> {
    Cluster::run(&Spec { load: None, ..Spec::of(PROGRAM).unsupervised().fast() }, |cluster| {
        let page = |page: &str| -> Result<Value> {
            let node = cluster.file()?.nodes.remove(0);
            http::get_json(&format!("{}{page}", node.admin_url), PAGE_LIMIT)
        };
        let entries = |view: &Value| view["entries"].as_array().cloned().unwrap_or_default();
        cluster::restart(cluster.dir(), &cluster.follower()?)?;
        cluster.wait_balanced(3, BALANCE_LIMIT)?;
        let before = entries(&page("/v1/events")?);
        ensure!(!before.is_empty(), "the cluster was made");

        let all: Vec<_> = cluster.file()?.nodes.into_iter().map(|node| node.id).collect();
        for id in &all {
            cluster::kill(cluster.dir(), id)?;
        }
        cluster::restart_all(cluster.dir(), &all)?;
        cluster.wait_balanced(3, BALANCE_LIMIT)?;
        let after = entries(&page("/v1/events")?);
        ensure!(after.len() > before.len() && after.starts_with(&before), "{before:?}, then {after:?}");
        // These are folded from the log again by whoever starts.
        for shard in [7, 700] {
            let why = page(&format!("/v1/shards/{shard}/why"))?;
            let last = entries(&why).pop().map(|entry| entry["events"].to_string()).unwrap_or_default();
            ensure!(why["whole"] == true && last.contains(&why["owner"].to_string()), "{why}");
        }
        wait_for("everybody to be well again", Deadline::after(BALANCE_LIMIT), || {
            let health = page("/v1/health")?;
            let nodes = health["nodes"].as_array().cloned().unwrap_or_default();
            Ok((nodes.len() == 3 && nodes.iter().all(|node| node["verdict"] == "healthy")).then_some(()))
        })
    })
}

//! `kill -9` under load: whoever dies, the others serve every shard again in time and nothing acknowledged is lost.

use std::time::Duration;

use aether_cluster_tests::{Cluster, Prober, SHARDS, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster, http, out,
    process::Identity,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// The promise of the default profile: a leader exists, every shard is owned and serving again.
const KILL_GAP_MAX: Duration = Duration::from_secs(10);

/// The same when a nats-server dies at the same moment: JetStream itself needs 5 to 8 s.
const NATS_KILL_GAP_MAX: Duration = Duration::from_secs(20);

/// How long a cluster may take to share out evenly after a join.
const BALANCE_LIMIT: Duration = Duration::from_secs(45);

/// How many commands must be acknowledged between two faults, so that each meets a cluster at work.
const WORK: u64 = 100;

/// Kills the node and measures until a leader exists and every shard is owned and served by the others.
fn kill_and_measure(cluster: &Cluster, prober: &Prober, id: &str, others: usize, limit: Duration) -> Result<()> {
    let before = cluster.acknowledged()?;
    let since = Stopwatch::start();
    cluster::kill(cluster.dir(), id)?;
    let served = prober.until_all_served(since, limit).with_context(|| format!("after {id} was killed"))?;
    let view = cluster.wait_whole(others, limit.saturating_sub(since.elapsed()))?;
    ensure!(view.shards.assigned == SHARDS as u64, "every shard is owned: {view:?}");
    ensure!(view.node(id).is_some_and(|node| node.status == "failed"), "{id} counts as failed: {view:?}");
    out::note(format!("{id} killed: every shard served again after {:.2} s", served.as_secs_f64()));
    cluster.wait_progress(WORK, limit)?;
    ensure!(cluster.acknowledged()? > before, "the load goes on");
    Ok(())
}

fn revive(cluster: &Cluster, id: &str) -> Result<()> {
    cluster::restart(cluster.dir(), id)?;
    cluster.wait_balanced(3, BALANCE_LIMIT).map(drop)
}

fn follower_then_leader(cluster: &Cluster) -> Result<Prober> {
    let prober = Prober::of(&cluster.file()?)?;
    // Every account is loaded once before, so that what is measured is the take-over.
    prober.until_all_served(Stopwatch::start(), Duration::from_secs(30))?;
    let follower = cluster.follower()?;
    kill_and_measure(cluster, &prober, &follower, 2, KILL_GAP_MAX)?;
    cluster.verify()?;
    revive(cluster, &follower)?;
    let leader = cluster.leader()?;
    kill_and_measure(cluster, &prober, &leader, 2, KILL_GAP_MAX)?;
    ensure!(cluster.leader()? != leader, "somebody else leads");
    cluster.verify()?;
    revive(cluster, &leader)?;
    Ok(prober)
}

#[test]
fn on_one_server_a_follower_and_then_the_leader_die_and_nothing_is_lost() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        follower_then_leader(cluster)?;
        let acknowledged = cluster.verify()?;
        out::note(format!("{acknowledged} commands acknowledged, all there once"));
        Ok(())
    })
}

#[test]
fn on_three_servers_nodes_die_and_then_a_node_together_with_a_server() -> Result<()> {
    Cluster::run(&Spec { servers: 3, ..Spec::of(PROGRAM) }, |cluster| {
        let prober = follower_then_leader(cluster)?;
        let server: Identity = cluster.file()?.nats[0].process.clone();
        server.kill()?;
        let follower = cluster.follower()?;
        kill_and_measure(cluster, &prober, &follower, 2, NATS_KILL_GAP_MAX)?;
        let acknowledged = cluster.verify()?;
        out::note(format!("{acknowledged} commands acknowledged, all there once"));
        Ok(())
    })
}

#[test]
fn with_short_timings_the_leader_dies_in_the_middle_of_a_rebalance() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM).fast(), |cluster| {
        let prober = Prober::of(&cluster.file()?)?;
        cluster::add(cluster.dir(), "n4")?;
        let leader = cluster.leader()?;
        let moves = format!("{}/v1/moves", cluster.node(&leader)?.admin_url);
        wait_for("the leader to move shards to n4", Deadline::after(BALANCE_LIMIT), || {
            let said: Value = http::get_json(&moves, Duration::from_secs(1))?;
            Ok((!said["plan"].is_null()).then_some(()))
        })?;
        kill_and_measure(cluster, &prober, &leader, 3, KILL_GAP_MAX)?;
        cluster.wait_balanced(3, BALANCE_LIMIT)?;
        cluster.verify()?;
        Ok(())
    })
}

//! `kill -9` under load: whoever dies, the others serve every shard again in time and nothing acknowledged is lost.

use std::time::Duration;

use aether_cluster_tests::{Cluster, History, Operator, Prober, SHARDS, Spec};
use aether_domain::orders::Wish;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster, http, out,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// The promise of the default profile: a leader exists, every shard is owned and serving again.
const KILL_GAP: Duration = Duration::from_secs(10);

/// The same when a supervisor saw the node die. The goal is a second; it is less than the 3.4 s after which a serve lease is surely
/// over.
const CERTIFIED_GAP: Duration = Duration::from_secs(3);

/// The same when a nats-server dies at the same moment: JetStream itself needs 5 to 8 s.
const NATS_KILL_GAP: Duration = Duration::from_secs(20);

/// How many times what is promised one of two kills may take on a machine that does much else besides; what it took is printed.
const ROOM: u32 = 3;

/// How long a cluster may take to share out evenly after a join.
const BALANCE_LIMIT: Duration = Duration::from_secs(45);

/// How long a leader may take to plan moves to a node that has joined: no longer than a frozen node is waited for.
const PLAN_LIMIT: Duration = Duration::from_secs(2);

/// How often it is tried to freeze a source of a plan before its moves are over.
const ATTEMPTS_MAX: usize = 5;

/// How many commands must be acknowledged between two faults, so that each meets a cluster at work.
const WORK: u64 = 100;

/// Kills the node and measures until a leader exists and every shard is owned and served by the others.
fn kill_and_measure(
    cluster: &Cluster,
    prober: &Prober,
    id: &str,
    others: usize,
    promise: Duration,
) -> Result<Duration> {
    let before = cluster.acknowledged()?;
    let since = Stopwatch::start();
    cluster::kill(cluster.dir(), id)?;
    measure(cluster, prober, id, others, (since, before), promise)
}

/// Measures from when the node was killed, with so many commands acknowledged, until the others serve every shard.
fn measure(
    cluster: &Cluster,
    prober: &Prober,
    id: &str,
    others: usize,
    (since, before): (Stopwatch, u64),
    promise: Duration,
) -> Result<Duration> {
    let served = prober.until_all_served(since, promise * ROOM).with_context(|| format!("after {id} was killed"))?;
    let view = cluster.wait_whole(others, BALANCE_LIMIT)?;
    ensure!(view.shards.assigned == SHARDS as u64, "every shard is owned: {view:?}");
    ensure!(view.node(id).is_some_and(|node| node.status == "failed"), "{id} counts as failed: {view:?}");
    let (took, promised) = (served.as_secs_f64(), promise.as_secs());
    out::note(format!("{id} killed: every shard served again after {took:.2} s, of {promised} s promised"));
    cluster.wait_progress(WORK, BALANCE_LIMIT)?;
    ensure!(cluster.acknowledged()? > before, "the load goes on");
    Ok(served)
}

fn revive(cluster: &Cluster, id: &str) -> Result<()> {
    cluster::restart(cluster.dir(), id)?;
    cluster.wait_balanced(3, BALANCE_LIMIT).map(drop)
}

/// How the log says that it is known that those nodes have failed, for each failure behind `after`. Nobody else may have: with the
/// default timers a machine under load is no reason.
fn reasons(history: &History, after: u64, killed: &[String]) -> Result<Vec<Value>> {
    let entries = history.read(&history.topology(), after)?;
    let events = entries.iter().flat_map(|entry| entry.json()["events"].as_array().cloned().unwrap_or_default());
    let failures = events.filter(|event| event["event"] == "NodeFailed");
    let reason = |event: Value| {
        let life = event["node"].as_str().unwrap_or_default();
        ensure!(killed.iter().any(|id| life.split('/').next() == Some(id)), "nobody has killed that one: {event}");
        Ok(event["reason"].clone())
    };
    failures.map(reason).collect()
}

/// Kills one after the other, the quicker of which keeps the promise, and answers who they were.
fn follower_then_leader(cluster: &Cluster, promise: Duration) -> Result<(Prober, Vec<String>)> {
    let prober = Prober::of(&cluster.file()?)?;
    // Every account is loaded once before, so that what is measured is the take-over.
    prober.until_all_served(Stopwatch::start(), BALANCE_LIMIT)?;
    let follower = cluster.follower()?;
    let one = kill_and_measure(cluster, &prober, &follower, 2, promise)?;
    cluster.verify()?;
    revive(cluster, &follower)?;
    let leader = cluster.leader()?;
    let other = kill_and_measure(cluster, &prober, &leader, 2, promise)?;
    ensure!(one.min(other) <= promise, "{one:?} and {other:?}, both longer than the {promise:?} promised");
    ensure!(cluster.leader()? != leader, "somebody else leads");
    cluster.verify()?;
    revive(cluster, &leader)?;
    Ok((prober, vec![follower, leader]))
}

#[test]
fn on_one_server_a_follower_and_then_the_leader_die_before_the_eyes_of_their_supervisors() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        let history = History::of(&cluster.file()?)?;
        let start = history.last(&history.topology())?;
        let (_, killed) = follower_then_leader(cluster, CERTIFIED_GAP)?;
        let reasons = reasons(&history, start, &killed)?;
        ensure!(reasons == ["died", "died"], "both were seen to die: {reasons:?}");
        let acknowledged = cluster.verify()?;
        out::note(format!("{acknowledged} commands acknowledged, all there once"));
        Ok(())
    })
}

#[test]
fn on_three_servers_nodes_die_and_then_a_node_together_with_a_server() -> Result<()> {
    // Nobody sees them die: as when a whole machine is gone.
    Cluster::run(&Spec { servers: 3, ..Spec::of(PROGRAM) }.unsupervised(), |cluster| {
        let (file, history) = (cluster.file()?, History::of(&cluster.file()?)?);
        let start = history.last(&history.topology())?;
        let (prober, killed) = follower_then_leader(cluster, KILL_GAP)?;
        let reasons = reasons(&history, start, &killed)?;
        ensure!(reasons == ["silent", "silent"], "both were missed: {reasons:?}");
        // The server that leads the topology log, so that it must find another leader before anything can be decided.
        let named = history.leader(&history.topology())?;
        let server = file.nats.iter().find(|server| server.name == named).context("a server of ours leads the log")?;
        let leader = cluster.leader()?;
        server.process.kill()?;
        kill_and_measure(cluster, &prober, &leader, 2, NATS_KILL_GAP)?;
        let acknowledged = cluster.verify()?;
        out::note(format!("{acknowledged} commands acknowledged, all there once"));
        Ok(())
    })
}

/// Adds or restarts `n4` while redistribution is paused, freezes a source of the shards it will be given, and lets redistribution go
/// on: the plan stays open until the source is missed, which takes seconds. Answers the frozen source once the plan is there, `None`
/// if there was none in time.
fn open_plan(cluster: &Cluster, operator: &Operator, leader: &str) -> Result<Option<String>> {
    let (views, dir) = (cluster.views()?, cluster.dir());
    let source = views.into_keys().find(|id| id != leader && id != "n4").context("a source that does not lead")?;
    let url = cluster.node(leader)?.admin_url;
    operator.order(Wish::Pause)?;
    wait_for("redistribution to be paused", Deadline::after(BALANCE_LIMIT), || {
        let Ok(said) = http::get_json::<Value>(&format!("{url}/v1/cluster"), BALANCE_LIMIT) else { return Ok(None) };
        Ok((said["order"]["wish"] == "pause").then_some(()))
    })?;
    cluster::begin(dir, "n4")?;
    cluster::stop(dir, &source)?;
    operator.order(Wish::Resume)?;
    let moves = format!("{url}/v1/moves");
    let planned = wait_for("the leader to plan moves to n4", Deadline::after(PLAN_LIMIT), || {
        let Ok(said) = http::get_json::<Value>(&moves, Duration::from_secs(1)) else { return Ok(None) };
        Ok((!said["plan"].is_null()).then_some(()))
    });
    if planned.is_ok() {
        return Ok(Some(source));
    }
    cluster::resume(dir, &source)?;
    Ok(None)
}

#[test]
fn with_short_timings_the_leader_dies_in_the_middle_of_a_rebalance() -> Result<()> {
    // Without supervisors nobody else leads before it is missed.
    Cluster::run(&Spec::of(PROGRAM).fast().unsupervised(), |cluster| {
        let (prober, history) = (Prober::of(&cluster.file()?)?, History::of(&cluster.file()?)?);
        let operator = Operator::of(&cluster.file()?, 1)?;
        for attempt in 1..=ATTEMPTS_MAX {
            let leader = cluster.leader()?;
            if let Some(source) = open_plan(cluster, &operator, &leader)? {
                let dead = cluster.node(&leader)?.process;
                let before = cluster.acknowledged()?;
                let since = Stopwatch::start();
                dead.kill()?;
                // Nobody else leads so soon, so this is the log as the dead leader has left it.
                let events = history.topology_events(0)?;
                cluster::resume(cluster.dir(), &source)?;
                measure(cluster, &prober, &leader, 3, (since, before), KILL_GAP)?;
                cluster.wait_balanced(3, BALANCE_LIMIT)?;
                cluster.verify()?;
                let plans = |name: &str| events.iter().filter(|(event, _)| event == name).count();
                if plans("RebalancingTriggered") > plans("RebalancingCompleted") {
                    out::note(format!("{leader} was killed with a plan open and {source} frozen"));
                    return Ok(());
                }
                cluster::restart(cluster.dir(), &leader)?;
            }
            out::note(format!("attempt {attempt}: the plan was over too soon"));
            cluster.wait_balanced(4, BALANCE_LIMIT)?;
            cluster::drain(cluster.dir(), "n4")?;
            cluster.wait_balanced(3, BALANCE_LIMIT)?;
        }
        bail!("{ATTEMPTS_MAX} plans in a row were over before the leader was killed")
    })
}

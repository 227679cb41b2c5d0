//! SIGSTOP and SIGCONT: a node that was away longer than the others wait comes back as somebody new, and whatever its
//! old life still had in hand changes nothing.

use std::time::Duration;

use aether_cluster_tests::{Cluster, History, Prober, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster::{self, ClusterView},
    out,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How long the others may take to serve every shard. A client waits longer than the take-over takes: NATS goes on
/// giving a frozen process its part of the requests, a third of them here, and each such try is lost.
const FREEZE_GAP_MAX: Duration = Duration::from_secs(20);

/// How long a node that wakes may take to be a member again, with its share of the shards.
const REJOIN_LIMIT: Duration = Duration::from_secs(45);

/// How many commands must be acknowledged around a fault.
const WORK: u64 = 100;

fn life(view: &ClusterView, id: &str) -> Result<String> {
    let node = view.node(id).with_context(|| format!("the log has heard of {id}"))?;
    Ok(node.incarnation.as_str().unwrap_or_default().to_owned())
}

/// Freezes the node for `span` at least, wakes it, and checks that its old life left no mark after the fence.
fn freeze_and_wake(cluster: &Cluster, id: &str, span: Duration) -> Result<()> {
    let (prober, history) = (Prober::of(&cluster.file()?)?, History::of(&cluster.file()?)?);
    prober.until_all_served(Stopwatch::start(), Duration::from_secs(30))?;
    cluster.wait_progress(WORK, FREEZE_GAP_MAX)?;
    let old = life(&cluster.wait_balanced(3, FREEZE_GAP_MAX)?, id)?;

    let since = Stopwatch::start();
    cluster::stop(cluster.dir(), id)?;
    let served = prober.until_all_served(since, FREEZE_GAP_MAX).context("while the node is frozen")?;
    out::note(format!("{id} frozen: every shard served by the others after {:.2} s", served.as_secs_f64()));
    cluster.wait_whole(2, FREEZE_GAP_MAX)?;
    // Nothing ends this wait early: how long the node is away is what is tested.
    wait_for(
        "the freeze to be long enough",
        Deadline::after(span * 2),
        || Ok((since.elapsed() >= span).then_some(())),
    )?;
    let events_before = history.last(&history.events())?;
    let entries_before = history.last(&history.topology())?;

    cluster::resume(cluster.dir(), id)?;
    let view = cluster.wait_balanced(3, REJOIN_LIMIT).context("after the node was woken")?;
    let new = life(&view, id)?;
    ensure!(new != old, "{id} is back under the life it had: {view:?}");
    cluster.wait_progress(WORK, FREEZE_GAP_MAX)?;
    cluster.verify()?;

    let records = history.read(&history.events(), events_before)?;
    ensure!(!records.is_empty(), "there is work after the node woke");
    let written_by = |life: &str| records.iter().filter(|record| record.json()["owner"] == life).count();
    ensure!(written_by(&old) == 0, "the old life {old} of {id} has written {} records after waking", written_by(&old));
    ensure!(written_by(&new) > 0, "the new life {new} of {id} has written something");
    let leader_then = Value::from(format!("{id}/{old}"));
    for entry in history.read(&history.topology(), entries_before)? {
        ensure!(entry.json()["leader"] != leader_then, "the old life led an entry: {}", entry.json());
    }
    Ok(())
}

#[test]
fn with_short_timings_a_follower_and_then_the_leader_are_frozen_past_their_fence() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM).fast(), |cluster| {
        freeze_and_wake(cluster, &cluster.follower()?, Duration::from_secs(6))?;
        freeze_and_wake(cluster, &cluster.leader()?, Duration::from_secs(6))
    })
}

#[test]
fn the_leader_is_frozen_for_thirty_seconds() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| freeze_and_wake(cluster, &cluster.leader()?, Duration::from_secs(30)))
}

#[test]
fn a_freeze_shorter_than_the_silence_allowed_is_forgiven() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        let id = cluster.follower()?;
        let old = life(&cluster.wait_balanced(3, FREEZE_GAP_MAX)?, &id)?;
        cluster.wait_progress(WORK, FREEZE_GAP_MAX)?;
        let since = Stopwatch::start();
        cluster::stop(cluster.dir(), &id)?;
        // Longer than the serve lease of 3 s, shorter than the 6 s after which the others act.
        wait_for("a short freeze", Deadline::after(FREEZE_GAP_MAX), || {
            Ok((since.elapsed() >= Duration::from_millis(3_500)).then_some(()))
        })?;
        cluster::resume(cluster.dir(), &id)?;
        let view = cluster.wait_balanced(3, FREEZE_GAP_MAX)?;
        ensure!(life(&view, &id)? == old, "{id} keeps its life: {view:?}");
        cluster.wait_progress(WORK, FREEZE_GAP_MAX)?;
        cluster.verify().map(drop)
    })
}

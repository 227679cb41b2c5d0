//! A rolling restart: every node is asked to end and is started again, one after the other, under load.

use anyhow::{Result, ensure};
use xtask::{clock::Stopwatch, cluster, out};

use super::{Bound, Measured, Stage, leader::shards, node::SERVED_LIMIT};

/// SIGTERM and a new process, node after node. Each shard moves about once: the first drain spreads a share of the shards,
/// each later one hands its shards to whoever came back before it, and the last to come back is given a share.
pub(super) fn restart(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let (ids, place) = (stage.ids(), stage.observer.so_far());
    let since = Stopwatch::start();
    for id in &ids {
        cluster::drain(stage.cluster.dir(), id)?;
        cluster::restart(stage.cluster.dir(), id)?;
        // Whoever restarts nodes waits until the others have taken each in again.
        stage.cluster.wait_whole(ids.len(), SERVED_LIMIT)?;
    }
    let took = since.elapsed();
    stage.cluster.wait_balanced(ids.len(), SERVED_LIMIT)?;
    let balanced = since.elapsed();
    stage.caught_up()?;
    let entries = stage.observer.since(place);
    ensure!(!entries.iter().any(|seen| seen.has("NodeFailed")), "nobody fails in a rolling restart");
    let (all, mut moved) = (stage.cluster.owners()?.len(), 0);
    for seen in &entries {
        for event in seen.events("ShardMigrated").chain(seen.events("ShardAssigned")) {
            moved += shards(event["shards"].as_str().unwrap_or_default())?.len();
        }
    }
    // S (1 + 2 / n), and a shard a node for what does not divide.
    let most = all + (2 * all).div_ceil(ids.len()) + ids.len();
    out::note(format!("    {moved} of {all} shards handed over by {} restarts, {most} at most", ids.len()));
    ensure!(moved <= most, "{} restarts have handed over {moved} of {all} shards, more than {most}", ids.len());
    Ok(vec![
        Measured { what: "every node restarted", took, bound: stage.bound(Bound::of(60_000), Bound::of(40_000)) },
        Measured {
            what: "and every one with its share",
            took: balanced,
            bound: stage.bound(Bound::of(75_000), Bound::of(45_000)),
        },
    ])
}

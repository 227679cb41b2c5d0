//! A rolling restart: every node is asked to end and is started again, one after the other, under load.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use xtask::{clock::Stopwatch, cluster, out};

use super::{Bound, Measured, Stage, leader::shards, node::SERVED_LIMIT};
use crate::{all_answered, all_but};

/// How often an account is asked by somebody who counts what fails, and for how long before anything happens.
const ASKED_EVERY: Duration = Duration::from_millis(5);
const ASKED_BEFORE: Duration = Duration::from_secs(2);

/// How much longer than before a call may take meanwhile, of the slowest in a hundred.
const SLOWER_AT_MOST: u32 = 10;

/// SIGTERM and a new process, node after node. Each shard moves about once: the first drain spreads a share of the shards,
/// each later one hands its shards to whoever came back before it, and the last to come back is given a share.
pub(super) fn restart(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let (ids, place) = (stage.ids(), stage.observer.so_far());
    let everybody: Vec<_> = (0..stage.cluster.owners()?.len()).map(|shard| stage.prober.account(shard)).collect();
    let calls = stage.prober.call(everybody.clone(), ASKED_EVERY);
    thread::sleep(ASKED_BEFORE);
    let before = all_but(1, &stage.prober.hang_up(calls));
    let calls = stage.prober.call(everybody, ASKED_EVERY);
    let since = Stopwatch::start();
    for id in &ids {
        cluster::drain(stage.cluster.dir(), id)?;
        cluster::restart(stage.cluster.dir(), id)?;
        // Whoever restarts nodes waits until the others have taken each in again.
        stage.cluster.wait_whole(ids.len(), SERVED_LIMIT)?;
    }
    let took = since.elapsed();
    let calls = stage.prober.hang_up(calls);
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
    out::note(format!("    {} calls meanwhile", calls.len()));
    all_answered(&calls)?;
    ensure!(moved <= most, "{} restarts have handed over {moved} of {all} shards, more than {most}", ids.len());
    Ok(vec![
        Measured { what: "every node restarted", took, bound: stage.bound(Bound::of(60_000), Bound::of(40_000)) },
        Measured {
            what: "and every one with its share",
            took: balanced,
            bound: stage.bound(Bound::of(75_000), Bound::of(45_000)),
        },
        Measured { what: "99 of 100 calls before", took: before, bound: Bound::default() },
        Measured {
            what: "99 of 100 calls meanwhile",
            took: all_but(1, &calls),
            bound: Bound { all: Some(before * SLOWER_AT_MOST), ..Bound::default() },
        },
    ])
}

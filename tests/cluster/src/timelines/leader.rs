//! What happens to the leader: killed, frozen, asked to end, killed with a plan under way.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use xtask::{clock::Stopwatch, cluster};

use super::{
    Bound, Measured, Stage,
    node::{SERVED_LIMIT, away_and_back, gap_of_a_freeze, gap_of_a_kill},
};
use crate::{Observer, Seen, Weather};

/// How long another leader is waited for at most; what is promised is asserted of what was measured.
const TERM_LIMIT: Duration = Duration::from_secs(30);

/// How much a source's link is slowed down so that its moves are not over before the leader is killed.
const SLOW: Duration = Duration::from_millis(60);

/// How often it is tried to kill a leader before its plan is over.
const ATTEMPTS_MAX: usize = 5;

fn next_term(observer: &Observer, place: usize, since: Stopwatch, bound: Bound) -> Result<(Measured, Seen)> {
    let seen = observer.first(place, "TermStarted", TERM_LIMIT, |seen| seen.has("TermStarted"))?;
    Ok((Measured { what: "the next TermStarted", took: since.until(seen.at), bound }, seen))
}

/// `kill -9`.
pub(super) fn kill(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let leader = stage.cluster.leader()?;
    let (process, shards, place) = (stage.node(&leader)?.process, stage.shards_of(&leader)?, stage.observer.so_far());
    let since = Stopwatch::start();
    process.kill()?;
    let took = stage.prober.until_served_by_the_living(&shards, since, SERVED_LIMIT)?;
    let bound = stage.bound(Bound::half_and_all(2_500, 3_500), Bound::of(1_200));
    let (term, _) = next_term(&stage.observer, place, since, bound)?;
    Ok(vec![term, Measured { what: "its shards served elsewhere", took, bound: gap_of_a_kill(stage) }])
}

/// SIGSTOP, and SIGCONT once others lead and serve.
pub(super) fn freeze(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let leader = stage.cluster.leader()?;
    let old = format!("{leader}/{}", stage.lives()?.get(&leader).context("the leader is a member")?);
    let place = stage.observer.so_far();
    let (since, mut measured) = away_and_back(
        stage,
        &leader,
        gap_of_a_freeze(stage),
        |stage| cluster::stop(stage.cluster.dir(), &leader),
        |stage| cluster::resume(stage.cluster.dir(), &leader),
    )?;
    let bound = stage.bound(Bound::of(7_500), Bound::of(3_000));
    let (term, first) = next_term(&stage.observer, place, since, bound)?;
    let late = stage.observer.since(place);
    let late = late.iter().find(|seen| seen.sequence >= first.sequence && seen.writer() == old);
    ensure!(late.is_none(), "the old life {old} has written after another's TermStarted: {late:?}");
    measured.insert(0, term);
    Ok(measured)
}

/// SIGTERM.
pub(super) fn terminate(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let (leader, place) = (stage.cluster.leader()?, stage.observer.so_far());
    let since = Stopwatch::start();
    cluster::drain(stage.cluster.dir(), &leader)?;
    let left = since.elapsed();
    let (term, _) = next_term(&stage.observer, place, since, Bound::of(250))?;
    stage.caught_up()?;
    let failed = stage.observer.since(place).iter().any(|seen| seen.has("NodeFailed"));
    ensure!(!failed, "nobody fails when a leader is asked to end");
    Ok(vec![term, Measured { what: "it has left, all handed over", took: left, bound: Bound::of(20_000) }])
}

/// `kill -9` as soon as the log has a plan of moves to a node that has joined.
pub(super) fn kill_in_a_rebalance(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    for _ in 0..ATTEMPTS_MAX {
        let leader = stage.cluster.leader()?;
        let others: Vec<_> = stage.ids().into_iter().filter(|id| *id != leader).collect();
        let (joiner, source) = (&others[0], &others[1]);
        cluster::drain(stage.cluster.dir(), joiner)?;
        stage.cluster.wait_balanced(stage.conditions.nodes - 1, SERVED_LIMIT)?;
        let leader = stage.cluster.leader()?;
        let (process, place) = (stage.node(&leader)?.process, stage.observer.so_far());
        stage.link(source)?.becomes(Weather::Slow(SLOW));
        let killed = thread::scope(|scope| {
            let restart = scope.spawn(|| cluster::restart(stage.cluster.dir(), joiner));
            let killed = stage.observer.first(place, "plan", SERVED_LIMIT, |seen| seen.has("RebalancingTriggered"));
            let since = Stopwatch::start();
            let killed = killed.and_then(|_| process.kill());
            // Whether it has heard of its own joining does not matter here: the cluster is looked at below.
            let _ = restart.join();
            killed.map(|()| since)
        });
        stage.link(source)?.becomes(Weather::Fair);
        let since = killed?;
        let bound = stage.bound(Bound::half_and_all(2_500, 3_500), Bound::of(1_200));
        let (term, first) = next_term(&stage.observer, place, since, bound)?;
        stage.cluster.wait_balanced(stage.conditions.nodes - 1, SERVED_LIMIT)?;
        let took = since.elapsed();
        stage.caught_up()?;
        if let Some(carried_on) = carried_on(&stage.observer.since(place), first.sequence)? {
            let bound = Bound::of(15_000);
            return Ok(vec![term, Measured { what: carried_on, took, bound }]);
        }
        stage.rest()?;
    }
    bail!("{ATTEMPTS_MAX} plans in a row were over before their leader was killed")
}

/// Checks that the plan the dead leader left open was ended by its successor, each shard moved once. `None` if it left
/// none open.
fn carried_on(entries: &[Seen], successor: u64) -> Result<Option<&'static str>> {
    let plan_of = |seen: &Seen, name: &'static str| seen.events(name).next().map(|event| event["plan"].clone());
    let begun = entries.iter().find_map(|seen| Some((seen.sequence, plan_of(seen, "RebalancingTriggered")?)));
    let (begun, plan) = begun.context("the log has the plan")?;
    let ended = entries.iter().find(|seen| plan_of(seen, "RebalancingCompleted").as_ref() == Some(&plan));
    let ended = ended.map(|seen| seen.sequence).context("the plan was ended by nobody")?;
    if ended < successor {
        return Ok(None);
    }
    let of_plan = |seen: &&Seen| (begun..=ended).contains(&seen.sequence);
    // The entry that ends it may begin the next one: of a leader that has been found dead meanwhile.
    let between = entries.iter().filter(|seen| begun < seen.sequence && seen.sequence < ended);
    let others = between.filter(|seen| seen.has("RebalancingTriggered"));
    ensure!(others.count() == 0, "another plan was begun before that one was ended");
    let mut moved = BTreeSet::new();
    for event in entries.iter().filter(of_plan).flat_map(|seen| seen.events("ShardMigrated")) {
        for shard in shards(event["shards"].as_str().unwrap_or_default())? {
            ensure!(moved.insert(shard), "shard {shard} was moved twice by one plan");
        }
    }
    ensure!(!moved.is_empty(), "the plan has moved nothing");
    Ok(Some("the same plan ended, all balanced"))
}

/// The shards that runs such as `0-340,512` name.
pub(super) fn shards(runs: &str) -> Result<Vec<usize>> {
    let mut all = Vec::new();
    for run in runs.split(',').filter(|run| !run.is_empty()) {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        all.extend(first.parse::<usize>()?..=last.parse::<usize>()?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn log(entries: &[Value]) -> Vec<Seen> {
        let seen = |(index, events): (usize, &Value)| Seen {
            at: Stopwatch::start(),
            sequence: u64::try_from(index).expect("a few"),
            entry: json!({ "events": events }),
        };
        entries.iter().enumerate().map(seen).collect()
    }

    #[test]
    fn a_plan_is_carried_on_if_it_ends_once_with_each_shard_moved_once() {
        let begun = json!([{"event": "RebalancingTriggered", "plan": "7"}]);
        let other = json!([{"event": "RebalancingTriggered", "plan": "8"}]);
        let moved = |shards: &str| json!([{"event": "ShardMigrated", "shards": shards}]);
        let (term, ended) =
            (json!([{"event": "TermStarted"}]), json!([{"event": "RebalancingCompleted", "plan": "7"}]));
        let (a, b) = (moved("0-2,9"), moved("3"));
        let carried = [begun.clone(), a.clone(), term.clone(), b.clone(), ended.clone()];
        assert!(carried_on(&log(&carried), 2).expect("fine").is_some());
        let over = [begun.clone(), a.clone(), ended.clone(), term.clone()];
        assert!(carried_on(&log(&over), 3).expect("it was over").is_none());
        for wrong in [
            [begun.clone(), a.clone(), term.clone(), moved("1"), ended.clone()],
            [begun.clone(), a.clone(), term.clone(), other, ended.clone()],
            [begun.clone(), a, term.clone(), b.clone(), b],
            [begun, term.clone(), term.clone(), term, ended],
        ] {
            carried_on(&log(&wrong), 2).expect_err("not the same plan, each shard once");
        }
    }
}

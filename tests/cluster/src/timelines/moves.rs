//! What moves cost whoever asks: one shard at a time, a whole node that leaves, a node that joins.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster, http, out,
};

use super::{Bound, Measured, Stage, leader::shards, node::SERVED_LIMIT};
use crate::{Seen, all_answered, all_but, silences};

/// How many shards are moved by a round, one after the other.
const MOVES: usize = 25;

/// How often an actor on the move is asked.
const ASKED_EVERY: Duration = Duration::from_millis(2);

/// How long it is asked before its move is wanted and after it is over.
const ASKED_AROUND: Duration = Duration::from_millis(100);

/// How many actors a node has that leaves, and how often one of them is asked.
const ACTIVE: usize = 10_000;
const ONE_ASKED_EVERY: Duration = Duration::from_millis(5);

/// Within what so many actors must be in memory before anything is measured.
const LOADED_LIMIT: Duration = Duration::from_secs(120);

/// How long a node may take to tell of its moves.
const PAGE_LIMIT: Duration = Duration::from_secs(15);

/// How long one move, or all moves of a plan, are waited for; what is promised is asserted of what was measured.
const MOVED_LIMIT: Duration = Duration::from_secs(30);

/// An operator wants one shard after the other on another node, while one of its actors is asked every 2 ms by a client at
/// the gateway, each call begun when it is time for it.
///
/// *Unavailable* is the actor for the longest time without an answer to any of those calls, of all such times that touch the
/// move, from its first entry in the log to its last as an observer of the log hears of them. Nothing is taken off: what
/// remains of it while nothing moves, the pace of the calls and the load's turns on the same cores, is reported beside it. So
/// is the longest of the calls under way meanwhile, which is that time and the way of a call.
pub(super) fn planned(stage: &mut Stage, round: usize) -> Result<Vec<Measured>> {
    let (ids, owners) = (stage.ids(), stage.cluster.owners()?);
    let bound =
        if stage.conditions.replicas == 1 { Bound::half_and_most(8, 40) } else { Bound::half_and_most(15, 120) };
    let mut measured = Vec::new();
    for nth in 0..MOVES {
        let shard = (round * MOVES + nth) * 37 % owners.len();
        let source = stage.cluster.owners()?[shard].clone();
        let at = ids.iter().position(|id| *id == source).context("its owner is one of the nodes")?;
        let destination = &ids[(at + 1 + nth % (ids.len() - 1)) % ids.len()];
        let place = stage.observer.so_far();
        let calls = stage.prober.call(vec![stage.prober.account(shard)], ASKED_EVERY);
        thread::sleep(ASKED_AROUND);
        stage.operator.pin(shard, destination)?;
        let named = |seen: &Seen, name: &'static str| {
            let mut runs = seen.events(name).filter_map(|event| shards(event["shards"].as_str()?).ok());
            runs.any(|shards| shards.contains(&shard))
        };
        let began = stage.observer.first(place, "move", MOVED_LIMIT, |seen| named(seen, "ShardMigrationStarted"))?;
        let ended = stage.observer.first(place, "end of the move", MOVED_LIMIT, |seen| named(seen, "ShardMigrated"))?;
        thread::sleep(ASKED_AROUND);
        let calls = stage.prober.hang_up(calls);
        all_answered(&calls)?;
        let touches = |since: Stopwatch, took: Duration| {
            let over_before = since.until(began.at) > took;
            let begun_after = ended.at.until(since) > Duration::ZERO;
            !over_before && !begun_after
        };
        let (meanwhile, before): (Vec<_>, Vec<_>) =
            silences(&calls).into_iter().partition(|(since, took)| touches(*since, *took));
        let longest =
            |silences: &[(Stopwatch, Duration)]| silences.iter().map(|(_, took)| *took).max().unwrap_or_default();
        let (asked, others): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| touches(call.began, call.took));
        let only_told = |what, took| Measured { what, took, bound: Bound::default() };
        measured.extend([
            Measured { what: "one of its actors unavailable", took: longest(&meanwhile), bound },
            only_told("the same at other times, at the longest", longest(&before)),
            only_told("a call meanwhile at the longest", all_but(0, &asked)),
            only_told("a call at other times, half of them", all_but(50, &others)),
            only_told("from its first entry to its last", began.at.until(ended.at)),
        ]);
        measured.extend(as_its_source_says(stage, &source, shard)?);
    }
    stage.operator.want(|policy| policy.pins.clear())?;
    Ok(measured)
}

/// How long the move was in each phase of it, as its source has counted.
fn as_its_source_says(stage: &Stage, source: &str, shard: usize) -> Result<Vec<Measured>> {
    let url = format!("{}/v1/moves/{shard}", stage.node(source)?.admin_url);
    let told: Value = http::get_json(&url, PAGE_LIMIT)?;
    let of_it = told["moves"].as_array().into_iter().flatten().find(|one| one["role"] == "source");
    let reached = of_it.and_then(|of_it| of_it["reached"].as_array()).context("its source knows of the move")?;
    let after = |phase| reached.iter().find(|one| one["phase"] == phase).and_then(|one| one["after_us"].as_u64());
    let mut measured = Vec::new();
    for (what, from, to) in [
        ("its source: paused until its actors are written down", "paused", "captured"),
        ("its source: from there until they are acknowledged", "captured", "acknowledged"),
        ("its source: from there until the log names the destination", "acknowledged", "completed"),
    ] {
        let (from, to) = (after(from).context("its source has reached that")?, after(to));
        let took = Duration::from_micros(to.context("its source has reached that")?.saturating_sub(from));
        measured.push(Measured { what, took, bound: Bound::default() });
    }
    Ok(measured)
}

/// A node with its share of the shards and ten thousand actors in memory, which are asked all the time, is asked to end.
pub(super) fn drain(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let id = stage.cluster.follower()?;
    let accounts = stage.prober.accounts(&stage.shards_of(&id)?, ACTIVE)?;
    stage.prober.load(&accounts, LOADED_LIMIT)?;
    let (place, lives) = (stage.observer.so_far(), stage.conditions.nodes - 1);
    let calls = stage.prober.call(accounts, ONE_ASKED_EVERY);
    thread::sleep(ASKED_AROUND);
    let since = Stopwatch::start();
    cluster::drain(stage.cluster.dir(), &id)?;
    let left = stage.observer.first(place, "NodeLeft", MOVED_LIMIT, |seen| seen.has("NodeLeft"))?;
    thread::sleep(ASKED_AROUND);
    let calls = stage.prober.hang_up(calls);
    let took = since.until(left.at);
    stage.cluster.wait_whole(lives, SERVED_LIMIT)?;
    let longest = calls.iter().filter(|call| since.until(call.began) <= took).map(|call| call.took).max();
    out::note(format!("    {} calls meanwhile", calls.len()));
    all_answered(&calls)?;
    cluster::restart(stage.cluster.dir(), &id)?;
    Ok(vec![
        Measured { what: "it has left, all handed over", took, bound: Bound::half_and_all(1_500, 3_000) },
        Measured {
            what: "a call meanwhile at the longest",
            took: longest.unwrap_or_default(),
            bound: Bound::default(),
        },
    ])
}

/// A node joins those that are there, which are asked all the time: it is given its share by the fewest moves.
pub(super) fn join(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let (id, all) = (stage.cluster.follower()?, stage.cluster.owners()?.len());
    // Who has left in good order would be waited for, and it is no rolling restart.
    stage.operator.want(|policy| policy.return_grace = Duration::ZERO)?;
    cluster::drain(stage.cluster.dir(), &id)?;
    stage.cluster.wait_balanced(stage.conditions.nodes - 1, SERVED_LIMIT)?;
    stage.caught_up()?;
    let place = stage.observer.so_far();
    let everybody: Vec<_> = (0..all).map(|shard| stage.prober.account(shard)).collect();
    let calls = stage.prober.call(everybody, ONE_ASKED_EVERY);
    let begun = cluster::restart(stage.cluster.dir(), &id);
    let ended = begun.and_then(|()| {
        let joined = stage.observer.first(place, "NodeJoined", MOVED_LIMIT, |seen| seen.has("NodeJoined"))?;
        let done = |seen: &Seen| seen.sequence > joined.sequence && seen.has("RebalancingCompleted");
        Ok((joined.at, stage.observer.first(place, "RebalancingCompleted", MOVED_LIMIT, done)?.at))
    });
    let calls = stage.prober.hang_up(calls);
    let (joined, done) = ended?;
    all_answered(&calls)?;
    let view = stage.cluster.wait_balanced(stage.conditions.nodes, SERVED_LIMIT)?;
    ensure!(view.node(&id).is_some(), "{id} is a member again");
    let mut moved = 0;
    for event in stage.observer.since(place).iter().flat_map(|seen| seen.events("ShardMigrated")) {
        moved += shards(event["shards"].as_str().unwrap_or_default())?.len();
    }
    let share = all / stage.conditions.nodes;
    out::note(format!("    {moved} shards moved for a share of {share}; {} calls meanwhile", calls.len()));
    ensure!(moved == share, "{moved} shards were moved to give {id} its share of {share}");
    stage
        .operator
        .want(|policy| policy.return_grace = aether_domain::policy::PlacementPolicy::default().return_grace)?;
    let adopted = Deadline::after(MOVED_LIMIT);
    wait_for("what is wanted to be adopted", adopted, || {
        Ok(stage.observer.since(place).iter().rev().any(|seen| seen.has("PlacementAdopted")).then_some(()))
    })?;
    let longest = calls.iter().map(|call| call.took).max().unwrap_or_default();
    Ok(vec![
        Measured { what: "from its joining to the last move", took: joined.until(done), bound: Bound::of(3_000) },
        Measured { what: "a call meanwhile at the longest", took: longest, bound: Bound::default() },
    ])
}

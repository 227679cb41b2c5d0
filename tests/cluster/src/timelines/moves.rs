//! What moves cost whoever asks: one shard at a time, a whole node that leaves, a node that joins.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster, out,
};

use super::{Bound, Measured, Stage, leader::shards, node::SERVED_LIMIT};
use crate::{Call, Seen, all_answered, all_but};

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

/// How long one move, or all moves of a plan, are waited for; what is promised is asserted of what was measured.
const MOVED_LIMIT: Duration = Duration::from_secs(30);

/// An operator wants one shard after the other on another node. What counts is the longest that a call of its actor took
/// that was under way at any moment of the move: to whichever node it came, and with everything that calls take anyway.
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
        let meanwhile = |call: &&Call| {
            let over_before = call.began.until(began.at) > call.took;
            let begun_after = ended.at.until(call.began) > Duration::ZERO;
            !over_before && !begun_after
        };
        let took = calls.iter().filter(meanwhile).map(|call| call.took).max().unwrap_or_default();
        measured.push(Measured { what: "one of its actor's calls at the longest", took, bound });
        let took = began.at.until(ended.at);
        measured.push(Measured { what: "from its first entry to its last", took, bound: Bound::default() });
        let others: Vec<_> = calls.iter().filter(|call| !meanwhile(call)).cloned().collect();
        let took = all_but(50, &others);
        measured.push(Measured { what: "a call while nothing moves, half of them", took, bound: Bound::default() });
    }
    stage.operator.want(|policy| policy.pins.clear())?;
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

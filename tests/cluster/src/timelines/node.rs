//! What happens to nodes: killed alone and half of them at once, frozen, cut off, doubled, started from nothing.

use std::{thread, time::Duration};

use aether_runtime::clock::{BootClock, Clock as _};
use anyhow::{Context, Result, ensure};
use xtask::{
    clock::{Stopwatch, wait_for},
    cluster, out,
};

use super::{Bound, Measured, Stage};
use crate::history::Stored;
use crate::{Lone, Weather, node_config};

/// How long shards may be waited for at most; what is promised is asserted of what was measured.
pub(super) const SERVED_LIMIT: Duration = Duration::from_secs(30);

/// How long a second process under a node's id may live at most.
const SECOND_LIMIT: Duration = Duration::from_secs(20);

/// What a process ends with that found its id in use.
const NODE_ID_IN_USE: i32 = 78;

/// How long a node stays away after the others have taken over, so that its old life is surely over.
const AWAY: Duration = Duration::from_secs(1);

/// Within what the shards of a killed process are served elsewhere, with or without somebody who has seen it die.
pub(super) fn gap_of_a_kill(stage: &Stage) -> Bound {
    if stage.conditions.supervised {
        return Bound::of(1_000);
    }
    stage.bound(Bound::of(5_000), Bound::of(1_500))
}

/// The same of a process that is there and does nothing: nobody can know before it has been silent too long.
pub(super) fn gap_of_a_freeze(stage: &Stage) -> Bound {
    stage.bound(Bound::of(8_000), Bound::of(4_500))
}

/// The same of half the nodes, the leader among them: they fail in one entry, which is held back for a heartbeat at most.
fn gap_of_half(stage: &Stage) -> Bound {
    stage.bound(Bound::of(5_000), Bound::of(3_500))
}

/// `kill -9`.
pub(super) fn kill(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let id = stage.cluster.follower()?;
    let (process, shards) = (stage.node(&id)?.process, stage.shards_of(&id)?);
    let since = Stopwatch::start();
    process.kill()?;
    let took = stage.prober.until_served_by_the_living(&shards, since, SERVED_LIMIT)?;
    Ok(vec![Measured { what: "its shards served elsewhere", took, bound: gap_of_a_kill(stage) }])
}

/// SIGSTOP, and SIGCONT once others serve.
pub(super) fn freeze(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let id = stage.cluster.follower()?;
    let (stop, resume) = (
        |stage: &Stage| cluster::stop(stage.cluster.dir(), &id),
        |stage: &Stage| cluster::resume(stage.cluster.dir(), &id),
    );
    Ok(away_and_back(stage, &id, gap_of_a_freeze(stage), stop, resume)?.1)
}

/// Its connection to NATS ends, and it gets no other.
pub(super) fn cut(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    in_bad_weather(stage, Weather::Cut)
}

/// What it sends goes nowhere, and nobody tells it.
pub(super) fn hole(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    in_bad_weather(stage, Weather::Hole)
}

fn in_bad_weather(stage: &Stage, weather: Weather) -> Result<Vec<Measured>> {
    let id = stage.cluster.follower()?;
    let becomes = |weather| {
        let id = &id;
        move |stage: &Stage| stage.link(id).map(|link| link.becomes(weather))
    };
    let measured = away_and_back(stage, &id, gap_of_a_freeze(stage), becomes(weather), becomes(Weather::Fair))?;
    Ok(measured.1)
}

/// Sends a node away until the others serve its shards, lets it come back, and checks that it came back as somebody new
/// whose old life has decided nothing since: what it was about to send when it went may still be stored, if nobody has written to that
/// actor meanwhile. Answers when it went as well.
pub(super) fn away_and_back(
    stage: &Stage,
    id: &str,
    bound: Bound,
    leave: impl Fn(&Stage) -> Result<()>,
    come_back: impl Fn(&Stage) -> Result<()>,
) -> Result<(Stopwatch, Vec<Measured>)> {
    let (shards, history) = (stage.shards_of(id)?, &stage.history);
    let old = stage.lives()?.get(id).with_context(|| format!("{id} is a member"))?.clone();
    let since = Stopwatch::start();
    leave(stage)?;
    let took = stage.prober.until_served(&shards, since, SERVED_LIMIT)?;
    let taken_over = Stopwatch::start();
    let limit = xtask::clock::Deadline::after(AWAY * 2);
    wait_for("its old life to be over", limit, || Ok((taken_over.elapsed() >= AWAY).then_some(())))?;
    let (events, entries) = (history.last(&history.events())?, history.last(&history.topology())?);
    let (back, came_back) = (Stopwatch::start(), BootClock.wall().unix_millis);
    come_back(stage)?;
    let view = stage.cluster.wait_balanced(stage.conditions.nodes, SERVED_LIMIT)?;
    let rejoined = back.elapsed();
    let new = view.node(id).context("it is a member again")?.incarnation.clone();
    ensure!(new != old.as_str(), "{id} is back under the life it had: {old}");
    stage.cluster.verify()?;
    let mut of_old: Vec<_> = history.read(&history.events(), events)?.iter().map(Stored::json).collect();
    of_old.retain(|record| record["owner"] == old.as_str());
    if !of_old.is_empty() {
        out::note(format!(
            "        {} records of its old life, under way when it went, were stored since",
            of_old.len()
        ));
    }
    let stale = of_old.iter().find(|record| record["at_ms"].as_u64().is_none_or(|at| at >= came_back));
    ensure!(stale.is_none(), "the old life {old} of {id} has written since: {stale:?}");
    let writer = format!("{id}/{old}");
    let stale = history.read(&history.topology(), entries)?;
    ensure!(stale.iter().all(|entry| entry.json()["leader"] != writer.as_str()), "{writer} has led an entry since");
    let back = Measured { what: "back, to a new life with its share", took: rejoined, bound: Bound::of(15_000) };
    Ok((since, vec![Measured { what: "its shards served elsewhere", took, bound }, back]))
}

/// Half of them, the leader among them, at once.
pub(super) fn kill_half(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let leader = stage.cluster.leader()?;
    let others = stage.ids().into_iter().filter(|id| *id != leader);
    let dead: Vec<_> = std::iter::once(leader.clone()).chain(others).take(stage.conditions.nodes.div_ceil(2)).collect();
    let mut shards = Vec::new();
    for id in &dead {
        shards.extend(stage.shards_of(id)?);
    }
    let processes = dead.iter().map(|id| Ok(stage.node(id)?.process)).collect::<Result<Vec<_>>>()?;
    let place = stage.observer.so_far();
    let since = Stopwatch::start();
    thread::scope(|scope| {
        let kills: Vec<_> = processes.iter().map(|process| scope.spawn(|| process.kill())).collect();
        kills.into_iter().try_for_each(|kill| kill.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a kill panicked"))))
    })?;
    let took = stage.prober.until_served_by_the_living(&shards, since, SERVED_LIMIT)?;
    stage.cluster.wait_whole(stage.conditions.nodes - dead.len(), SERVED_LIMIT)?;
    stage.caught_up()?;
    let entries = stage.observer.since(place);
    let failing: Vec<_> = entries.iter().filter(|seen| seen.has("NodeFailed")).collect();
    let failed: Vec<_> = failing.iter().flat_map(|seen| seen.nodes("NodeFailed")).collect();
    ensure!(failing.len() == 1, "one entry fails all of {dead:?}, not {}: {failed:?}", failing.len());
    ensure!(dead.iter().all(|id| failed.contains(&id.as_str())), "{dead:?} have failed, not {failed:?}");
    Ok(vec![Measured { what: "their shards served by the others", took, bound: gap_of_half(stage) }])
}

/// A second process under the leader's id.
pub(super) fn duplicate(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let (leader, file, lives) = (stage.cluster.leader()?, stage.cluster.file()?, stage.lives()?);
    let before = stage.cluster.furthest()?;
    let folder = tempfile::tempdir().context("a folder")?;
    let more = format!("replicas = {}", stage.conditions.replicas);
    let profile = serde_json::to_string(&stage.conditions.profile)?;
    let config = node_config(&file.namespace, &leader, &file.nats_urls[0], &more).replace("\"fast\"", &profile);
    let program = stage.conditions.program.to_str().context("a path")?;
    let mut second = Lone::node(program, folder.path(), "second", &config)?;
    let since = second.once_said("starting; admin pages are served", SECOND_LIMIT)?;
    let ended = second.end(SECOND_LIMIT)?;
    let took = since.elapsed();
    ensure!(ended.code == Some(NODE_ID_IN_USE), "the second {leader} ended otherwise: {ended:?}");
    let after = stage.cluster.furthest()?;
    ensure!((before.epoch, before.term) == (after.epoch, after.term), "the first is disturbed: {after:?}");
    ensure!(stage.lives()? == lives && after.leader.as_ref() == Some(&leader), "the first has noticed: {after:?}");
    Ok(vec![Measured { what: "the second is refused", took, bound: Bound::of(2_500) }])
}

/// Every process is killed, and all are started again.
pub(super) fn start_all_dead(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    start_dead(stage, stage.conditions.nodes, "every shard served, all started again")
}

/// Every process is killed, and one is started again.
pub(super) fn start_one_of_dead(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    start_dead(stage, 1, "every shard served by the one started again")
}

fn start_dead(stage: &Stage, count: usize, what: &'static str) -> Result<Vec<Measured>> {
    let ids = stage.ids();
    for id in &ids {
        stage.node(id)?.process.kill()?;
    }
    let since = Stopwatch::start();
    let took = thread::scope(|scope| {
        let started = scope.spawn(|| cluster::restart_all(stage.cluster.dir(), &ids[..count]));
        let took = stage.prober.until_all_served(since, SERVED_LIMIT);
        started.join().unwrap_or_else(|_| Err(anyhow::anyhow!("starting them panicked")))?;
        took
    })?;
    // A node makes sure that its own old life is gone, then that no serve lease runs any more: 1.5 s and Lsafe. Starting,
    // reading and loading take the rest.
    Ok(vec![Measured { what, took, bound: stage.bound(Bound::of(10_000), Bound::of(6_000)) }])
}

//! What happens to NATS: the server that leads a stream is killed, all servers are killed and started again. Nobody is
//! fenced for it, and nothing is loaded again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    interrupt,
};

use super::{Bound, Measured, Stage};

/// How long JetStream may take to take writes again: its elections take up to nine seconds.
const BACK_LIMIT: Duration = Duration::from_secs(45);

/// How long the first answer after that may be waited for; what is promised is asserted of what was measured.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// From when JetStream takes writes until the first answer.
const FIRST_OK: Bound = Bound::of(1_500);

/// What the log says of a node whose life ended.
const ENDINGS: [&str; 4] = ["NodeFailed", "NodeRestarted", "NodeJoined", "NodeLeft"];

/// The server that leads one of the streams, another in each round.
pub(super) fn kill_leader(stage: &mut Stage, round: usize) -> Result<Vec<Measured>> {
    let history = &stage.history;
    let stream = [history.control(), history.events(), history.topology()][round % 3].clone();
    let named = history.leader(&stream)?;
    let index = stage.servers.iter().position(|server| server.name() == named).context("a server of ours leads it")?;
    outage(stage, |stage| stage.servers[index].kill(), |_| Ok(()), |stage| stage.servers[index].restart())
}

/// All of them, for longer than anybody may serve without.
pub(super) fn restart(stage: &mut Stage, _round: usize) -> Result<Vec<Measured>> {
    let span = stage.span(Duration::from_secs(5), Duration::from_secs(2));
    outage(
        stage,
        |stage| stage.servers.iter_mut().try_for_each(xtask::nats::NatsServer::kill),
        |stage| {
            let since = Stopwatch::start();
            wait_for("the outage to be long enough", Deadline::after(span * 2), || {
                Ok((since.elapsed() >= span).then_some(()))
            })?;
            stage.servers.iter_mut().try_for_each(xtask::nats::NatsServer::restart)
        },
        |_| Ok(()),
    )
}

/// Breaks NATS, repairs it, and measures from when all streams take writes again. Afterwards everything is made whole.
fn outage(
    stage: &mut Stage,
    breaks: impl FnOnce(&mut Stage) -> Result<()>,
    repairs: impl FnOnce(&mut Stage) -> Result<()>,
    makes_whole: impl FnOnce(&mut Stage) -> Result<()>,
) -> Result<Vec<Measured>> {
    // Every account is in memory before, so that whatever is loaded from now on is loaded again.
    stage.prober.until_all_served(Stopwatch::start(), ANSWER_LIMIT)?;
    stage.cluster.verify()?;
    let (lives, loaded, place) = (stage.lives()?, stage.loaded()?, stage.observer.so_far());
    let asking = stage.prober.keep_asking();
    let broken = Stopwatch::start();
    breaks(stage)?;
    ensure!(!stage.history.takes_writes(), "what leads a stream was killed, and all take writes");
    repairs(stage)?;
    let back = wait_for("NATS to take writes again", Deadline::after(BACK_LIMIT), || {
        interrupt::check()?;
        Ok(stage.history.takes_writes().then(Stopwatch::start))
    })?;
    let deadline = Deadline::after(ANSWER_LIMIT);
    let first = wait_for("the first answer after NATS is back", deadline, || Ok(asking.first_after(back)))?;
    drop(asking);
    let all = stage.prober.until_all_served(back, ANSWER_LIMIT)?;
    makes_whole(stage)?;
    stage.servers_healthy()?;
    stage.cluster.wait_balanced(stage.conditions.nodes, ANSWER_LIMIT)?;
    stage.cluster.verify()?;
    stage.caught_up()?;
    let entries = stage.observer.since(place);
    let ended = entries.iter().find(|seen| ENDINGS.iter().any(|name| seen.has(name)));
    ensure!(ended.is_none(), "somebody was fenced for an outage of NATS: {}", ended.map_or("", |_| "see the log"));
    ensure!(stage.lives()? == lives, "a life has ended: {lives:?}, now {:?}", stage.lives());
    let again = stage.loaded()? - loaded;
    ensure!(again == 0, "{again} actors were loaded again");
    Ok(vec![
        Measured { what: "all streams take writes (NATS alone)", took: broken.until(back), bound: Bound::default() },
        Measured { what: "from there to the first answer", took: first, bound: FIRST_OK },
        Measured { what: "from there to an answer of every shard", took: all, bound: Bound::default() },
    ])
}

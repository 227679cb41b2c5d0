//! Many commands on real processes, while nodes, links and servers are broken: what is stored is what was acknowledged.

use std::{fmt, path::Path, thread, time::Duration};

use aether_domain::testing::history::Agreed;
use anyhow::{Context, Result};
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster, interrupt,
};

use super::{
    Conditions, Stage,
    askers::{Asked, Askers, Dice},
};
use crate::Weather;

/// How many accounts there are. They are nobody else's.
const ACCOUNTS: u64 = 48;
/// The first of them.
const ACCOUNTS_FROM: u64 = 7_000_000;
/// How many clients ask at once.
const CLIENTS: u64 = 48;
/// How long something stays broken, at most.
const BROKEN_MAX_MILLIS: u64 = 2_500;
/// Within what the cluster must be at rest after a storm.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// What came of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was compared.
    pub agreed: Agreed,
    /// How many times something was broken, by what it was.
    pub broken: Vec<(&'static str, u64)>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, broken, took } = self;
        let broken: Vec<_> = broken.iter().map(|(what, times)| format!("{times} {what}")).collect();
        write!(f, "{agreed}; broken meanwhile: {}; {:.0} s", broken.join(", "), took.as_secs_f64())
    }
}

/// Asks `commands` questions on those conditions while everything is broken in turn, and judges. `written` is where the
/// history is written.
///
/// # Errors
/// What was told and what is stored do not agree, or the cluster does not come to rest; the seed is in the message.
pub fn storm(conditions: &Conditions, commands: u64, seed: u64, written: Option<&Path>) -> Result<Judged> {
    let mut stage = Stage::up(conditions)?;
    let judged = played(&mut stage, commands, seed, written).with_context(|| format!("seed {seed}, on {conditions}"));
    if judged.is_err() {
        stage.leave_traces();
    }
    judged
}

fn played(stage: &mut Stage, commands: u64, seed: u64, written: Option<&Path>) -> Result<Judged> {
    let accounts = (ACCOUNTS_FROM..ACCOUNTS_FROM + ACCOUNTS).collect();
    let asked = Asked { accounts, clients: CLIENTS, pause: Duration::ZERO, questions: commands, seed };
    let began = Stopwatch::start();
    let mut askers = Askers::begin(stage, asked)?;
    let mut broken = Vec::new();
    while !askers.are_done() {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(askers.dice().below(800)));
        let what = strike(stage, askers.dice())?;
        match broken.iter_mut().find(|(known, _)| *known == what) {
            Some((_, times)) => *times += 1,
            None => broken.push((what, 1)),
        }
    }
    askers.end()?;
    let took = began.elapsed();
    // How soon it is at rest is measured by the timelines; here it only has to be.
    let calm = Deadline::after(REST_LIMIT);
    wait_for("the cluster to be at rest", calm, || Ok(stage.servers_healthy().and_then(|()| stage.rest()).ok()))?;
    Ok(Judged { agreed: askers.judge(written)?, broken, took })
}

/// Breaks one thing for a while.
fn strike(stage: &mut Stage, dice: &Dice) -> Result<&'static str> {
    let ids = stage.ids();
    let id = ids[dice.below(ids.len() as u64) as usize].clone();
    let time = Duration::from_millis(200 + dice.below(BROKEN_MAX_MILLIS));
    if !stage.node(&id)?.process.is_alive() {
        cluster::restart(stage.cluster.dir(), &id)?;
        return Ok("nodes found ended");
    }
    match dice.below(8) {
        0 | 1 => {
            stage.node(&id)?.process.kill()?;
            thread::sleep(time);
            cluster::restart(stage.cluster.dir(), &id)?;
            Ok("nodes killed")
        }
        2 | 3 => {
            stage.link(&id)?.becomes(Weather::Cut);
            thread::sleep(time);
            stage.link(&id)?.becomes(Weather::Fair);
            Ok("links cut")
        }
        4 => {
            stage.link(&id)?.becomes(Weather::Hole);
            thread::sleep(time);
            stage.link(&id)?.becomes(Weather::Fair);
            Ok("links held")
        }
        5 | 6 => {
            cluster::stop(stage.cluster.dir(), &id)?;
            thread::sleep(time);
            cluster::resume(stage.cluster.dir(), &id)?;
            Ok("nodes stopped")
        }
        _ => {
            let server = dice.below(stage.servers.len() as u64) as usize;
            stage.servers[server].kill()?;
            thread::sleep(time / 2);
            stage.servers[server].restart()?;
            stage.servers_healthy()?;
            Ok("servers killed")
        }
    }
}

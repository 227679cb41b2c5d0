//! One move of one shard, and its source or its destination fails in one phase of it.
//!
//! A slow link holds a phase open: whoever must notice something, or say it, does so later. Phases are seen from outside, in
//! the log, in the release report and on the admin pages. A scene whose fault came too late is judged like any other, and
//! played once more.

use std::{thread, time::Duration};

use aether_domain::testing::history::Agreed;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{
    clock::{Deadline, Stopwatch},
    cluster, http, interrupt, out,
};

use super::{
    Conditions, Stage,
    askers::{Asked, Askers},
    leader::shards,
};
use crate::{Seen, Weather};

/// Twice the time that a source has for its release: within that a move is over, whoever fails.
const RESOLVED_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take on a machine that does much else besides; what it took is printed.
const RESOLVED_MAX: Duration = Duration::from_secs(20);
/// How much later a node hears and is heard whose part holds a phase open: many looks, and less than a heartbeat.
const LATE: Duration = Duration::from_millis(150);
/// How much more that is each time a fault came too late, and at most: a heartbeat there and its answer back are still stored
/// within a serve lease.
const LATER: Duration = Duration::from_millis(50);
const LATE_MAX: Duration = Duration::from_millis(300);
/// How long a phase is waited for, and how often it is looked for.
const PHASE_LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long a node may take to answer a question about the move.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How often a scene is played at most until its fault comes in time.
const ATTEMPTS_MAX: u32 = 10;
/// How many shards are moved in turn, and how many accounts of each are asked.
const SHARDS_ASKED: usize = 16;
const ACCOUNTS_A_SHARD: usize = 4;
/// How many actors of a shard are in memory when it moves; and when its source is to wait until they are acknowledged, which
/// it does not for few.
const RESIDENT: usize = 200;
const RESIDENT_FOR_LONG: usize = 900;
/// How many ask at once, and how long each of them waits between two questions.
const CLIENTS: u64 = 16;
const PAUSE: Duration = Duration::from_millis(20);

/// A phase of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The log asks the source for the shard, and the source has not released it.
    Draining,
    /// The source has sent its actors, and nobody has acknowledged them.
    Sending,
    /// The source has released the shard, and the log does not say whose it is now.
    Released,
    /// The log says that it is the destination's, which has not read that yet.
    Assigned,
}

/// Who fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whose shard it was.
    Source,
    /// Whose it is to be.
    Destination,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Killed,
    /// SIGSTOP, until the shard is served by somebody else.
    Frozen,
}

/// Who fails in which phase, and how.
pub type Scene = (Phase, Who, Fault);

/// One move of one shard.
struct Move<'a> {
    stage: &'a Stage,
    shard: usize,
    source: String,
    destination: String,
    /// Somebody who has no part in it.
    witness: String,
    /// Where the log ended before it.
    place: usize,
}

impl<'a> Move<'a> {
    /// A move of that shard between two who do not lead; nothing if the leader owns it.
    fn of(stage: &'a Stage, shard: usize) -> Result<Option<Self>> {
        let (leader, owners, mut ids) = (stage.cluster.leader()?, stage.cluster.owners()?, stage.ids());
        let source = owners[shard].clone();
        ids.retain(|id| *id != leader && *id != source);
        let place = stage.observer.so_far();
        Ok((source != leader).then(|| Self {
            stage,
            shard,
            source,
            destination: ids.swap_remove(shard % ids.len()),
            witness: leader,
            place,
        }))
    }

    /// The first entry since it was wanted that says so of its shard.
    fn said(&self, name: &'static str) -> Option<Seen> {
        self.stage.observer.since(self.place).into_iter().find(|seen| {
            let mut runs = seen.events(name).filter_map(|event| shards(event["shards"].as_str()?).ok());
            runs.any(|shards| shards.contains(&self.shard))
        })
    }

    fn ask(&self, id: &str, page: &str) -> Result<Value> {
        http::get_json(&format!("{}{page}", self.stage.node(id)?.admin_url), ASK_LIMIT)
    }

    /// How far its source says it is.
    fn phase_at_source(&self) -> Option<String> {
        let said = self.ask(&self.source, &format!("/v1/moves/{}", self.shard)).ok()?;
        let latest = said["moves"].as_array()?.first()?;
        (latest["role"] == "source").then(|| latest["phase"].as_str().map(str::to_owned))?
    }

    fn is_released(&self, drain: &Seen) -> Result<bool> {
        let epoch = drain.entry["epoch"].as_str().context("an entry has an epoch")?;
        self.stage.operator.has_released(&self.source, self.shard, u64::from_str_radix(epoch, 16)?)
    }

    /// Whether the destination has read that entry, if it says so.
    fn has_read(&self, entry: &Seen) -> Result<Option<bool>> {
        let epoch = u64::from_str_radix(entry.entry["epoch"].as_str().unwrap_or_default(), 16)?;
        let said = self.ask(&self.destination, "/v1/cluster").ok();
        Ok(said.and_then(|said| said["epoch"].as_u64()).map(|known| known >= epoch))
    }

    /// Whether it is in that phase now, which a part that is `slow` by so much holds open.
    fn is_in(&self, phase: Phase, slow: Duration) -> Result<bool> {
        let Some(drain) = self.said("ShardMigrationStarted") else { return Ok(false) };
        let assigned = self.said("ShardMigrated");
        Ok(match phase {
            Phase::Draining => !self.is_released(&drain)?,
            Phase::Sending => self.phase_at_source().as_deref() == Some("sent") && !self.is_released(&drain)?,
            Phase::Released => assigned.is_none() && self.is_released(&drain)?,
            Phase::Assigned => match assigned {
                None => false,
                Some(entry) => {
                    let asked = Stopwatch::start();
                    // What comes later than the part is slow says nothing of now.
                    self.has_read(&entry)? == Some(false) && asked.elapsed() < slow
                }
            },
        })
    }

    /// Whether it is past that phase.
    fn is_past(&self, phase: Phase) -> Result<bool> {
        let Some(drain) = self.said("ShardMigrationStarted") else { return Ok(false) };
        match phase {
            Phase::Draining | Phase::Sending => self.is_released(&drain),
            Phase::Released => Ok(self.said("ShardMigrated").is_some()),
            Phase::Assigned => match self.said("ShardMigrated") {
                None => Ok(false),
                Some(entry) => Ok(self.has_read(&entry)? == Some(true)),
            },
        }
    }

    /// Whether a node that is well has it, as the witness has read in the log.
    fn is_with_somebody_well(&self, victim: &str) -> bool {
        let Ok(shard) = self.ask(&self.witness, &format!("/v1/shards/{}", self.shard)) else { return false };
        shard["state"] == "owned" && shard["owner"].as_str().is_some_and(|owner| owner != victim)
    }
}

/// Plays these scenes on those conditions, while clients ask the actors that move, and judges what they were told.
///
/// # Errors
/// A shard was not served in time, was without an owner, or the histories are not what was told.
pub fn play(conditions: &Conditions, scenes: &[Scene]) -> Result<Agreed> {
    let mut stage = Stage::up(conditions)?;
    let played = played(&stage, scenes).with_context(|| format!("on {conditions}"));
    if played.is_err() {
        stage.leave_traces();
    }
    played
}

fn played(stage: &Stage, scenes: &[Scene]) -> Result<Agreed> {
    let all = stage.cluster.owners()?.len();
    let moved: Vec<_> = (0..SHARDS_ASKED).map(|nth| nth * (all / SHARDS_ASKED) + 5).collect();
    let mut accounts = Vec::new();
    for shard in &moved {
        accounts.extend(stage.prober.accounts(&[*shard], ACCOUNTS_A_SHARD)?);
    }
    let asked = Asked { accounts, clients: CLIENTS, pause: PAUSE, questions: u64::MAX, seed: 1 };
    let mut askers = Askers::begin(stage, asked)?;
    let mut turns = moved.iter().cycle();
    for scene in scenes {
        let mut met = false;
        for attempt in 0..ATTEMPTS_MAX {
            interrupt::check()?;
            let late = (LATE + LATER * attempt).min(LATE_MAX);
            met = one(stage, *scene, late, &mut turns).with_context(|| format!("{scene:?}"))?;
            if met {
                break;
            }
        }
        ensure!(met, "{scene:?}: the fault came too late {ATTEMPTS_MAX} times in a row");
    }
    askers.end()?;
    stage.rest()?;
    stage.caught_up()?;
    let orphaned = stage.observer.since(0).into_iter().find(|seen| seen.has("ShardsOrphaned"));
    ensure!(orphaned.is_none(), "no shard is ever without an owner: {orphaned:?}");
    let agreed = askers.judge(None)?;
    out::note(format!("    {agreed}"));
    Ok(agreed)
}

/// Plays one, with the next shard that does not belong to the leader and a link that is so slow; answers whether the fault came in
/// time.
fn one<'a>(
    stage: &Stage,
    (phase, who, fault): Scene,
    slow: Duration,
    turns: &mut impl Iterator<Item = &'a usize>,
) -> Result<bool> {
    stage.operator.want(|policy| policy.pins.clear())?;
    let moving = turns.find_map(|shard| Move::of(stage, *shard).transpose()).context("shards in turn")??;
    let (others, victim) = match who {
        Who::Source => (&moving.destination, &moving.source),
        Who::Destination => (&moving.source, &moving.destination),
    };
    let resident = if phase == Phase::Sending { RESIDENT_FOR_LONG } else { RESIDENT };
    stage.prober.load(&stage.prober.accounts(&[moving.shard], resident)?, PHASE_LIMIT)?;
    let late = match phase {
        Phase::Draining | Phase::Sending => &moving.source,
        Phase::Released => &moving.witness,
        Phase::Assigned => &moving.destination,
    };
    stage.link(late)?.becomes(Weather::Slow(slow));
    stage.operator.pin(moving.shard, &moving.destination)?;
    let deadline = Deadline::after(PHASE_LIMIT);
    let mut found = moving.is_in(phase, slow)?;
    while !found && !moving.is_past(phase)? {
        ensure!(!deadline.passed(), "shard {} does not come so far", moving.shard);
        thread::sleep(LOOK_EVERY);
        found = moving.is_in(phase, slow)?;
    }
    let process = stage.node(victim)?.process;
    match fault {
        Fault::Killed => process.kill()?,
        Fault::Frozen => cluster::stop(stage.cluster.dir(), victim)?,
    }
    let since = Stopwatch::start();
    let met = !moving.is_past(phase)?;
    stage.link(late)?.becomes(Weather::Fair);
    stage.prober.until_served(&[moving.shard], since, RESOLVED_MAX)?;
    while !moving.is_with_somebody_well(victim) {
        ensure!(since.elapsed() < RESOLVED_MAX, "shard {} is not with somebody well", moving.shard);
        thread::sleep(LOOK_EVERY);
    }
    let took = since.elapsed();
    ensure!(took < RESOLVED_MAX, "shard {} was resolved after {took:?} only", moving.shard);
    let end = if moving.said("ShardMigrationFailed").is_some() { "given up" } else { "carried on" };
    let when = if met { "" } else { ", too late" };
    let promised = if took < RESOLVED_WITHIN { "" } else { ", though 10 s are promised" };
    out::note(format!(
        "    {phase:?}: {who:?} {fault:?}{when}: shard {} (beside {others}) served and settled after {:.2} s{promised}, {end}",
        moving.shard,
        took.as_secs_f64()
    ));
    if fault == Fault::Frozen {
        cluster::resume(stage.cluster.dir(), victim)?;
    }
    stage.rest()?;
    Ok(met)
}

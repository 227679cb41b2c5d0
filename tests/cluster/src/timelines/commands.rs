//! Many commands on real processes, while nodes, links and servers are broken: what is stored is what was acknowledged.

use std::{collections::BTreeMap, fmt, ops::AddAssign, path::Path, thread, time::Duration};

use aether_domain::testing::history::Agreed;
use anyhow::{Context, Result};
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster, interrupt, out,
    process::{LOG_LINES_SHOWN, tail},
};

use super::{
    Conditions, Stage,
    askers::{Asked, Askers},
    faults::{Deck, Fault, Strike},
};

/// How many accounts there are. They are nobody else's.
const ACCOUNTS: u64 = 48;
/// The first of them.
const ACCOUNTS_FROM: u64 = 7_000_000;
/// How many clients ask at once.
const CLIENTS: u64 = 48;
/// Within what the cluster must be at rest after a storm.
const REST_LIMIT: Duration = Duration::from_secs(120);
/// How many of the last strikes are told after a failure.
const STRIKES_TOLD: usize = 12;

/// What is asked and broken.
#[derive(Clone, Debug)]
pub struct Storm {
    /// What is broken in turn.
    pub faults: Vec<Fault>,
    /// How long something stays broken at most; some things four times as long.
    pub broken_max: Duration,
    /// How long each client waits between an answer and its next question.
    pub pause: Duration,
    /// When it is over.
    pub until: Until,
    /// What is asked and broken is drawn from it.
    pub seed: u64,
}

/// When a storm is over.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many questions were answered.
    Asked(u64),
    /// So much time has passed.
    Passed(Duration),
    /// Everything was broken once.
    EachOnce,
}

impl Storm {
    /// How long something stays broken at most, unless somebody wants it otherwise.
    pub const BROKEN_MAX: Duration = Duration::from_millis(2_500);
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// What was compared.
    pub agreed: Agreed,
    /// How many times each was broken.
    pub broken: BTreeMap<Fault, u64>,
    /// How many times something was broken together with another.
    pub together: u64,
    /// How many times a node was found ended that nobody had ended.
    pub found_ended: u64,
    /// How long it took.
    pub took: Duration,
}

impl AddAssign for Judged {
    fn add_assign(&mut self, more: Self) {
        self.agreed += more.agreed;
        for (fault, times) in more.broken {
            *self.broken.entry(fault).or_default() += times;
        }
        self.together += more.together;
        self.found_ended += more.found_ended;
        self.took += more.took;
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, broken, together, found_ended, took } = self;
        let times: Vec<_> = broken.iter().map(|(fault, times)| format!("{fault} {times}")).collect();
        write!(f, "{agreed}; broken: {}; {together} times two at once", times.join(", "))?;
        if *found_ended > 0 {
            write!(f, "; {found_ended} nodes found ended")?;
        }
        write!(f, "; {:.0} s", took.as_secs_f64())
    }
}

/// Asks on those conditions while everything is broken in turn, and judges. `written` is where the history is written.
///
/// # Errors
/// What was told and what is stored do not agree, what is stored is wrong in itself, or the cluster does not come to rest; the
/// seed is in the message.
pub fn storm(conditions: &Conditions, storm: &Storm, written: Option<&Path>) -> Result<Judged> {
    let mut stage = Stage::up_with_routes(conditions)?;
    let mut struck = Vec::new();
    let judged = played(&mut stage, storm, &mut struck, written);
    if judged.is_err() {
        stage.leave_traces();
        let last: Vec<_> = struck.iter().rev().take(STRIKES_TOLD).rev().map(|turn| told(turn)).collect();
        out::note(format!("the last of {} turns: {}", struck.len(), last.join("; ")));
    }
    judged.with_context(|| format!("seed {}, on {conditions}", storm.seed))
}

fn told(turn: &[Strike]) -> String {
    turn.iter().map(Strike::to_string).collect::<Vec<_>>().join(" with ")
}

fn played(stage: &mut Stage, storm: &Storm, struck: &mut Vec<Vec<Strike>>, written: Option<&Path>) -> Result<Judged> {
    let (accounts, began) = ((ACCOUNTS_FROM..ACCOUNTS_FROM + ACCOUNTS).collect(), Stopwatch::start());
    let questions = if let Until::Asked(count) = storm.until { count } else { u64::MAX };
    let asked = Asked { accounts, clients: CLIENTS, pause: storm.pause, questions, seed: storm.seed };
    let mut askers = Askers::begin(stage, asked)?;
    let mut deck = Deck::new(&storm.faults, storm.seed, stage.ids().len(), stage.servers.len(), storm.broken_max);
    let mut judged = Judged::default();
    let over = |askers: &Askers, deck: &Deck, begun: bool| match storm.until {
        Until::Asked(_) => askers.are_done(),
        Until::Passed(span) => began.elapsed() >= span,
        Until::EachOnce => begun && deck.is_through(),
    };
    while !over(&askers, &deck, !struck.is_empty()) {
        interrupt::check()?;
        thread::sleep(deck.calm());
        judged.found_ended += start_again(stage)?;
        let strikes = deck.draw();
        for strike in &strikes {
            *judged.broken.entry(strike.fault).or_default() += 1;
        }
        judged.together += u64::from(strikes.len() > 1);
        struck.push(strikes.clone());
        Strike::all(&strikes, stage).with_context(|| told(&strikes))?;
    }
    askers.end()?;
    judged.took = began.elapsed();
    // How soon it is at rest is measured by the timelines; here it only has to be.
    let calm = Deadline::after(REST_LIMIT);
    wait_for("the cluster to be at rest", calm, || {
        interrupt::check()?;
        let rests = stage.servers_healthy().and_then(|()| stage.rest());
        // Nobody is to overlook what only comes right later.
        Ok(rests.inspect_err(|error| out::note(format!("not at rest: {error:#}"))).ok())
    })?;
    judged.agreed = askers.judge(written)?;
    Ok(judged)
}

/// Starts nodes again that have ended though nobody has ended them, and answers how many.
fn start_again(stage: &Stage) -> Result<u64> {
    let dead = stage.dead()?;
    for id in &dead {
        let node = stage.node(id)?;
        let status = node.process.exit_status().map(|status| status.to_string()).unwrap_or_default();
        out::note(format!("{id} has ended ({status}):\n{}", tail(&node.log, LOG_LINES_SHOWN)));
    }
    if !dead.is_empty() {
        cluster::restart_all(stage.cluster.dir(), &dead)?;
    }
    Ok(dead.len() as u64)
}

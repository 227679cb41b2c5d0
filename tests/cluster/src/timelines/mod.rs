//! The failure timelines: what happens, and how soon, when a leader, a node, a link or a server fails, measured from
//! outside on real processes under load.
//!
//! - `figure`: what was measured, what was promised, and the table of both.
//! - `stage`: servers, links, nodes, load, an observer of the log and a prober of every shard.
//! - `askers`: clients that keep a book about what they are told, which is judged.
//! - `faults`: what can be broken, and what is drawn from a seed.
//! - `commands`: many commands while everything is broken in turn.
//! - `order`: askers that do not wait for answers, while shards move in good order.
//! - `phases`: a move whose source or destination fails in one phase of it.
//! - `leader`, `moves`, `node`, `rolling`, `server`: the timelines themselves.
//!
//! Every timeline begins and ends with a whole, balanced cluster, and ends with the load's audit: nothing acknowledged is
//! lost or doubled, no answer was wrong. Whoever plays them decides how often, and on how many servers.

mod askers;
pub mod commands;
pub mod faults;
mod figure;
mod leader;
mod moves;
mod node;
pub mod order;
pub mod phases;
mod rolling;
mod server;
mod stage;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
pub use figure::{Bound, Measured, Report, Row};
pub use stage::{Conditions, Stage};
use xtask::{interrupt, out};

/// How old a cluster may be for another round: its load makes histories longer all the time, and whoever takes an actor
/// over reads the whole of it.
const AGE_MAX: Duration = Duration::from_secs(60);

/// One of them.
#[derive(Clone, Copy)]
pub struct Timeline {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// Whether it needs servers that take over from each other.
    pub replicated: bool,
    play: fn(&mut Stage, usize) -> Result<Vec<Measured>>,
}

/// All of them, in the order in which they are played.
pub const ALL: [Timeline; 18] = [
    Timeline { name: "leader-kill", replicated: false, play: leader::kill },
    Timeline { name: "leader-freeze", replicated: false, play: leader::freeze },
    Timeline { name: "leader-terminate", replicated: false, play: leader::terminate },
    Timeline { name: "rebalance-kill", replicated: false, play: leader::kill_in_a_rebalance },
    Timeline { name: "node-kill", replicated: false, play: node::kill },
    Timeline { name: "node-freeze", replicated: false, play: node::freeze },
    Timeline { name: "node-cut", replicated: false, play: node::cut },
    Timeline { name: "node-hole", replicated: false, play: node::hole },
    Timeline { name: "half-kill", replicated: false, play: node::kill_half },
    Timeline { name: "duplicate-id", replicated: false, play: node::duplicate },
    Timeline { name: "planned-move", replicated: false, play: moves::planned },
    Timeline { name: "drain", replicated: false, play: moves::drain },
    Timeline { name: "join", replicated: false, play: moves::join },
    Timeline { name: "rolling-restart", replicated: false, play: rolling::restart },
    Timeline { name: "nats-leader-kill", replicated: true, play: server::kill_leader },
    Timeline { name: "nats-restart", replicated: false, play: server::restart },
    Timeline { name: "cold-start", replicated: false, play: node::start_all_dead },
    Timeline { name: "cold-start-one", replicated: false, play: node::start_one_of_dead },
];

/// The timelines of these names that can be played on so many servers; all of them without a name.
///
/// # Errors
/// There is none of that name.
pub fn chosen(names: &[String], servers: usize) -> Result<Vec<Timeline>> {
    let known = || ALL.map(|timeline| timeline.name).join(", ");
    for name in names {
        ensure!(ALL.iter().any(|timeline| timeline.name == name), "there is no timeline {name}; there are {}", known());
    }
    let asked = |timeline: &Timeline| names.is_empty() || names.iter().any(|name| name == timeline.name);
    Ok(ALL.into_iter().filter(|timeline| asked(timeline) && (servers > 1 || !timeline.replicated)).collect())
}

/// Plays each of them so many times. After a failure, or when it has become old, the rest is played on a fresh cluster.
///
/// # Errors
/// There is no cluster to play on, or the command was interrupted. A figure that was missed is in the report.
pub fn play(conditions: &Conditions, timelines: &[Timeline], repeat: usize) -> Result<Report> {
    let mut report = Report::new(conditions.clone());
    let mut stage: Option<Stage> = None;
    for timeline in timelines {
        for round in 0..repeat {
            interrupt::check()?;
            let young = stage.take().filter(|stage| stage.age() < AGE_MAX);
            let mut ready = young.map_or_else(|| Stage::up(conditions), Ok).context("no cluster to play on")?;
            out::note(format!("{} {}/{repeat}", timeline.name, round + 1));
            match (timeline.play)(&mut ready, round).and_then(|measured| ready.rest().map(|()| measured)) {
                Ok(measured) => {
                    for one in &measured {
                        out::note(format!("    {one}"));
                    }
                    report.add(timeline.name, measured);
                    stage = Some(ready);
                }
                Err(error) => {
                    interrupt::check()?;
                    out::note(format!("    FAILED: {error:#}"));
                    ready.leave_traces();
                    // The rest is above.
                    report.failed(timeline.name, error.root_cause().to_string());
                }
            }
        }
    }
    Ok(report)
}

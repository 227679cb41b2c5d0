//! The way of an operation: sent, run or lost, answered or not.

use aether_domain::Monotonic;
use rand::RngExt;

use super::{Fabric, Pending, Sender};
use crate::fabric::Manner;
use crate::fabric::event::FabricEvent;
use crate::fabric::outcome::{AppendFailure, Cause, Op, Outcome, ReadFailure, SendFailure, WriteFailure};

impl Fabric {
    pub(super) fn submit_connected(&mut self, now: Monotonic, from: Sender, op: Op) {
        let faults = &self.faults;
        let arrives = now + faults.latency.draw(&mut self.dice);
        if faults.unavailable.strikes(&mut self.dice) {
            self.strike("unavailable");
            let outcome = unavailable(&op, Cause::NoLeader);
            self.plan(arrives, Pending::Answer { to: from, outcome });
        } else if faults.request_lost.strikes(&mut self.dice) {
            self.strike("request lost");
            self.time_out(now, from, &op, Cause::NoAnswer);
        } else if op.is_write() && faults.ghost.strikes(&mut self.dice) {
            self.strike("ghost");
            self.time_out(now, from, &op, Cause::NoAnswer);
            let late = now + self.faults.ghost_delay.draw(&mut self.dice);
            self.plan(late, Pending::Arrive { from, op, answered: false });
        } else if op.is_write() && faults.ack_lost.strikes(&mut self.dice) {
            self.strike("acknowledgement lost");
            self.time_out(now, from, &op, Cause::NoAnswer);
            self.plan(arrives, Pending::Arrive { from, op, answered: false });
        } else {
            self.plan(arrives, Pending::Arrive { from, op, answered: true });
        }
    }

    /// A client that is not connected either knows it, or keeps the request and may yet send it when it is back.
    pub(super) fn submit_while_away(&mut self, now: Monotonic, from: Sender, op: Op, cause: Cause) {
        if self.dice.random_ratio(1, 2) {
            let told = now + self.faults.latency.draw(&mut self.dice);
            let outcome = unavailable(&op, cause);
            self.plan(told, Pending::Answer { to: from, outcome });
            return;
        }
        self.time_out(now, from, &op, cause);
        if op.is_write() && self.faults.ghost.strikes(&mut self.dice) {
            self.strike("ghost of a node cut off");
            let late = now + self.faults.answer_timeout + self.faults.ghost_delay.draw(&mut self.dice);
            self.plan(late, Pending::Arrive { from, op, answered: false });
        }
    }

    /// Lets the node wait for an answer in vain.
    fn time_out(&mut self, now: Monotonic, of: Sender, op: &Op, cause: Cause) {
        let outcome = unknown(op, cause);
        self.plan(now.max(of.sent + self.faults.answer_timeout), Pending::TimeOut { of, outcome });
    }

    pub(super) fn arrive(&mut self, now: Monotonic, from: Sender, op: Op, answered: bool) {
        // A request under way when its node is cut off is lost with the connection; one that was kept arrives late,
        // with whatever connection there is then.
        if self.away(from.node).is_some() {
            self.strike("request cut off");
            if answered {
                self.time_out(now, from, &op, Cause::NoAnswer);
            }
            return;
        }
        let outcome = self.run(now, &op);
        if !answered {
            return;
        }
        if let Some(outcome) = outcome {
            let arrives = now + self.faults.latency.draw(&mut self.dice);
            self.plan(arrives, Pending::Answer { to: from, outcome });
        } else {
            self.time_out(now, from, &op, Cause::NoAnswer);
        }
    }

    /// What the server answers; `None` if it never does.
    fn run(&mut self, now: Monotonic, op: &Op) -> Option<Outcome> {
        if self.leaderless_until > now {
            // Some of what reaches a stream without a leader is refused at once, some vanishes.
            let vanishes = op.is_write() && self.dice.random_ratio(1, 4);
            self.strike(if vanishes { "write vanished in an election" } else { "no leader" });
            return (!vanishes).then(|| unavailable(op, Cause::NoLeader));
        }
        if self.manner == Manner::R3 && op.is_write() && self.faults.in_flight.strikes(&mut self.dice) {
            self.strike("in flight");
            return Some(in_flight(op));
        }
        if let Some(stale) = self.stale(op) {
            self.strike("stale read");
            return Some(stale);
        }
        let outcome = self.stores.run(op)?;
        if outcome.is_ok() && op.is_write() {
            let nodes: Vec<usize> = self.links.keys().copied().collect();
            for node in nodes {
                match op {
                    Op::WriteControl { .. } => self.feed_control(now, node),
                    Op::AppendEntry { .. } => self.feed_log(now, node),
                    _ => {}
                }
            }
        }
        Some(outcome)
    }

    /// The answer of a replica that is behind, if the dice want one.
    fn stale(&mut self, op: &Op) -> Option<Outcome> {
        let chance = match op {
            Op::ReadControl(_) | Op::ReadLog { .. } | Op::ReadHistory { fresh: false, .. } => self.faults.stale_read,
            Op::ReadHistory { fresh: true, .. } => self.faults.stale_fresh_read,
            _ => return None,
        };
        if !chance.strikes(&mut self.dice) {
            return None;
        }
        let back = self.dice.random_range(1..=self.faults.stale_writes_max.max(1));
        Some(match op {
            Op::ReadControl(key) => Outcome::Control(Ok(self.stores.control_earlier(key, back).cloned())),
            Op::ReadLog { after, limit } => {
                let entries = self.stores.entries(*after);
                let seen = entries.len().saturating_sub(back).min(*limit);
                Outcome::Log(Ok(entries[..seen].to_vec()))
            }
            Op::ReadHistory { actor, after, .. } => {
                let commits = self.stores.commits(actor, *after);
                Outcome::History(Ok(commits[..commits.len().saturating_sub(back)].to_vec()))
            }
            _ => return None,
        })
    }

    /// An answer reaches the node, or is cut off on its way and never does.
    pub(super) fn answer(&mut self, now: Monotonic, to: Sender, outcome: Outcome, out: &mut Vec<FabricEvent>) {
        if self.away(to.node).is_some() && is_from_the_server(&outcome) {
            self.strike("answer cut off");
            let times_out = now.max(to.sent + self.faults.answer_timeout);
            self.plan(times_out, Pending::TimeOut { of: to, outcome: unanswered(outcome) });
        } else {
            self.done(to, outcome, out);
        }
    }

    pub(super) fn done(&mut self, to: Sender, outcome: Outcome, out: &mut Vec<FabricEvent>) {
        let link = self.link(to.node);
        if link.session == to.session {
            link.pass(FabricEvent::Done { node: to.node, op: to.op, outcome }, out);
        }
    }
}

fn unknown(op: &Op, cause: Cause) -> Outcome {
    match op {
        Op::ReadControl(_) => Outcome::Control(Err(ReadFailure::Unavailable(cause))),
        Op::WriteControl { .. } => Outcome::Written(Err(WriteFailure::Unknown(cause))),
        Op::AppendEntry { .. } | Op::AppendCommit { .. } => Outcome::Appended(Err(AppendFailure::Unknown(cause))),
        Op::ReadLog { .. } => Outcome::Log(Err(ReadFailure::Unavailable(cause))),
        Op::ReadHistory { .. } => Outcome::History(Err(ReadFailure::Unavailable(cause))),
        Op::Send { .. } => Outcome::Sent(Err(SendFailure::Unavailable(cause))),
    }
}

fn unavailable(op: &Op, cause: Cause) -> Outcome {
    match op {
        Op::WriteControl { .. } => Outcome::Written(Err(WriteFailure::Unavailable(cause))),
        Op::AppendEntry { .. } | Op::AppendCommit { .. } => Outcome::Appended(Err(AppendFailure::Unavailable(cause))),
        read => unknown(read, cause),
    }
}

fn in_flight(op: &Op) -> Outcome {
    match op {
        Op::AppendEntry { after, .. } | Op::AppendCommit { after, .. } => {
            Outcome::Appended(Err(AppendFailure::Conflict { expected: *after, actual: None }))
        }
        _ => Outcome::Written(Err(WriteFailure::Conflict { actual: None })),
    }
}

/// What a node knows of an outcome whose answer it never got.
fn unanswered(outcome: Outcome) -> Outcome {
    let cause = Cause::NoAnswer;
    match outcome {
        Outcome::Control(_) => Outcome::Control(Err(ReadFailure::Unavailable(cause))),
        Outcome::Written(_) => Outcome::Written(Err(WriteFailure::Unknown(cause))),
        Outcome::Appended(_) => Outcome::Appended(Err(AppendFailure::Unknown(cause))),
        Outcome::Log(_) => Outcome::Log(Err(ReadFailure::Unavailable(cause))),
        Outcome::History(_) => Outcome::History(Err(ReadFailure::Unavailable(cause))),
        Outcome::Sent(_) => Outcome::Sent(Err(SendFailure::Unavailable(cause))),
    }
}

/// Whether somebody had to carry it here; what a client tells itself needs no connection.
fn is_from_the_server(outcome: &Outcome) -> bool {
    let own = |cause: &Cause| matches!(cause, Cause::CutOff | Cause::Outage);
    !match outcome {
        Outcome::Control(Err(ReadFailure::Unavailable(cause)))
        | Outcome::Log(Err(ReadFailure::Unavailable(cause)))
        | Outcome::History(Err(ReadFailure::Unavailable(cause)))
        | Outcome::Written(Err(WriteFailure::Unavailable(cause)))
        | Outcome::Appended(Err(AppendFailure::Unavailable(cause))) => own(cause),
        _ => false,
    }
}

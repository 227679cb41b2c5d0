//! What reaches a process, what it does about it, and what must hold after every step.

use std::time::Duration;

use aether_domain::ports::{Answer, AnswerFrame, ControlUpdate, Delivery, Frame, LogUpdate};
use aether_domain::{CommandId, Epoch, Sequence};
use aether_infra_memory::fabric::{AppendFailure, FabricEvent, Op, OpId, Outcome, WriteFailure};
use aether_runtime::control::{AppendResult, Effect, Input, Note, StopReason, WriteOutcome};
use aether_runtime::view::View;

use crate::node::{Due, Freeze, Purpose};
use crate::render::{In, Out};
use crate::world::World;

/// How many entries a process reads at once, as the product does.
const READ_BATCH: usize = 256;
/// How long a process waits before it reads the log again at its start, as the product does.
const REREAD_AFTER: Duration = Duration::from_millis(200);

impl World {
    pub(crate) fn frozen(&self, node: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.freeze == Freeze::Yes)
    }

    /// The fabric tells something to a node's process.
    pub(crate) fn reached(&mut self, event: FabricEvent) -> Result<(), String> {
        let node = event.node();
        match event {
            FabricEvent::Control { update, .. } => self.step(node, Input::Control(update)),
            FabricEvent::Log { update, .. } => self.step(node, Input::Log(update)),
            FabricEvent::Delivery { delivery: Delivery::Unreachable { to }, .. } => {
                self.step(node, Input::Unreachable(to))
            }
            FabricEvent::Delivery { .. } => Ok(()),
            FabricEvent::Done { op, outcome, .. } => self.done(node, op, outcome),
        }
    }

    fn done(&mut self, node: usize, op: OpId, outcome: Outcome) -> Result<(), String> {
        let Some(purpose) = self.asked.remove(&op) else { return Err(format!("{op:?} was never asked")) };
        let input = match (purpose, outcome) {
            (Purpose::Write(token), Outcome::Written(outcome)) => {
                let outcome = match outcome {
                    Ok(revision) => WriteOutcome::Ok(revision),
                    Err(WriteFailure::Conflict { actual }) => WriteOutcome::Conflict { actual },
                    Err(WriteFailure::Unknown(_)) => WriteOutcome::Unknown,
                    Err(WriteFailure::Unavailable(_)) => WriteOutcome::Unavailable,
                };
                Input::Written { token, outcome }
            }
            (Purpose::ReadBack(token), Outcome::Control(found)) => {
                Input::ReadBack { token, found: found.ok().flatten() }
            }
            (Purpose::Append(token), Outcome::Appended(outcome)) => {
                let outcome = match outcome {
                    Ok(position) => AppendResult::Ok(position),
                    Err(AppendFailure::Conflict { actual, .. }) => AppendResult::Conflict { actual },
                    Err(AppendFailure::Unknown(_)) => AppendResult::Unknown,
                    Err(AppendFailure::Unavailable(_)) => AppendResult::Unavailable,
                    Err(AppendFailure::TooLarge { .. }) => AppendResult::TooLarge,
                };
                Input::Appended { token, outcome }
            }
            (Purpose::ReadLog(token), Outcome::Log(read)) => Input::LogRead { token, entries: read.ok() },
            (Purpose::CatchUp, Outcome::Log(Ok(entries))) => {
                if entries.is_empty() {
                    self.step(node, Input::LogCaughtUp)?;
                    self.follow(node);
                    return Ok(());
                }
                for stored in entries {
                    self.step(node, Input::Log(LogUpdate::Entry(stored)))?;
                }
                let now = self.now;
                self.plan_due(now, node, Due::CatchUp);
                return Ok(());
            }
            (Purpose::CatchUp, _) => {
                let at = self.now + REREAD_AFTER;
                self.plan_due(at, node, Due::CatchUp);
                return Ok(());
            }
            (Purpose::Probe, _) => return Ok(()),
            (purpose, outcome) => return Err(format!("{purpose:?} was answered with {outcome:?}")),
        };
        self.step(node, input)
    }

    /// Reads the log to its present end, as a process does at its start.
    pub(crate) fn catch_up(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let op = Op::ReadLog { after: process.at(), limit: READ_BATCH };
        self.submit(node, Purpose::CatchUp, op);
    }

    fn follow(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        process.follows = true;
        let after: Sequence = process.at();
        self.fabric.follow(self.now, node, after);
    }

    /// The streams of a process end, and it begins them again.
    pub(crate) fn reset(&mut self, node: usize) -> Result<(), String> {
        if self.frozen(node) {
            return Ok(());
        }
        self.fabric.watch(self.now, node);
        if self.nodes[node].process.as_ref().is_some_and(|process| process.follows) {
            self.follow(node);
        }
        self.step(node, Input::Control(ControlUpdate::Interrupted))
    }

    /// Something of a process is due.
    pub(crate) fn due(&mut self, node: usize, due: Due) -> Result<(), String> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if process.freeze == Freeze::Yes {
            process.waiting.push(due);
            return Ok(());
        }
        match due {
            Due::Wake => {
                process.wake = None;
                self.step(node, Input::Tick)
            }
            Due::CatchUp => {
                self.catch_up(node);
                Ok(())
            }
            Due::Release(shards) => {
                for (shard, drain_epoch) in shards {
                    let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
                    if process.plane.release(shard, drain_epoch) {
                        self.step(node, Input::Released(shard, drain_epoch))?;
                    }
                }
                Ok(())
            }
        }
    }

    pub(crate) fn freeze(&mut self, node: usize) {
        if let Some(process) = &mut self.nodes[node].process {
            process.freeze = Freeze::Yes;
            self.fabric.pause(node);
        }
    }

    /// A stopped process goes on: first with what it was about to send, then by looking at its timers.
    pub(crate) fn thaw(&mut self, node: usize) -> Result<(), String> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let was = std::mem::replace(&mut process.freeze, Freeze::No);
        if was != Freeze::Yes {
            return Ok(());
        }
        let (decided, waiting) = (std::mem::take(&mut process.decided), std::mem::take(&mut process.waiting));
        let told = std::mem::take(&mut process.told);
        self.fabric.resume(self.now, node);
        for effect in decided {
            self.perform(node, effect)?;
        }
        for due in waiting {
            self.plan_due(self.now, node, due);
        }
        self.step(node, Input::Tick)?;
        for input in told {
            self.step(node, input)?;
        }
        Ok(())
    }

    /// One step of a node's machine, and everything that follows at once.
    pub(crate) fn step(&mut self, node: usize, input: Input) -> Result<(), String> {
        if self.is_supervisor(node) {
            self.certify(node, input);
            return Ok(());
        }
        let place = &mut self.nodes[node];
        let (local, wall) = (place.clock.shows(self.now), place.wall(self.now));
        let Some(process) = &mut place.process else { return Ok(()) };
        if process.freeze == Freeze::Yes {
            // Stopped by what came just before, at the same instant.
            process.told.push(input);
            return Ok(());
        }
        self.trace.line(self.now, format_args!("{} < {}", place.name, In(&input)));
        let effects = process.step(local, wall, input)?;
        for effect in &effects {
            self.trace.line(self.now, format_args!("{}   > {}", place.name, Out(effect)));
        }
        if process.freeze == Freeze::HalfWay {
            process.decided = effects;
            self.freeze(node);
            return Ok(());
        }
        self.plan_wake(node);
        let mut serving = false;
        for effect in effects {
            serving |= matches!(effect, Effect::Publish | Effect::ServeUntil(_) | Effect::EndServing);
            self.perform(node, effect)?;
        }
        if serving {
            self.check_serving(node)?;
        }
        self.check_leading(node)
    }

    fn perform(&mut self, node: usize, effect: Effect) -> Result<(), String> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        match effect {
            Effect::Write { token, record, expected } => {
                self.submit(node, Purpose::Write(token), Op::WriteControl { record, expected });
            }
            Effect::ReadBack { token, key } => self.submit(node, Purpose::ReadBack(token), Op::ReadControl(key)),
            Effect::Append { token, entry, after } => {
                self.submit(node, Purpose::Append(token), Op::AppendEntry { entry, after });
            }
            Effect::ReadLog { token, after } => {
                self.submit(node, Purpose::ReadLog(token), Op::ReadLog { after, limit: READ_BATCH });
            }
            Effect::Probe { node: to } => {
                let from = process.machine.me().clone();
                let id = CommandId { origin: from.incarnation, sequence: 0 };
                let probe = Frame::Answer(AnswerFrame { id, sending: 1, view: Epoch::ZERO, answer: Answer::Behind });
                self.submit(node, Purpose::Probe, Op::Send { from, to, frames: vec![probe] });
            }
            Effect::Publish => {
                let view = View::of(process.machine.topology(), process.machine.me());
                let asked = process.plane.view_changed(&view);
                self.checks.view(&view.me, process.machine.topology())?;
                if !asked.is_empty() {
                    let at = self.now + self.draw_release();
                    self.plan_due(at, node, Due::Release(asked));
                }
            }
            Effect::ServeUntil(until) => process.lease.extend(until),
            Effect::EndServing => process.lease.end(),
            Effect::NewLife { me } => {
                let over = std::mem::replace(&mut process.listens, me.clone());
                self.fabric.close(&over);
                self.fabric.listen(node, me);
            }
            Effect::Stop(StopReason::SettingsDiffer { .. }) => return Err("settings differ".into()),
            Effect::Stop(reason) => {
                self.count(match reason {
                    StopReason::Left => "left",
                    StopReason::LeftUnasked => "left unasked",
                    StopReason::PartEnded { part } => part,
                    _ => "driven out by its own id",
                });
                self.ended(node, matches!(reason, StopReason::NodeIdInUse { .. }));
            }
            Effect::Note(note) => self.note(node, &note)?,
        }
        Ok(())
    }

    pub(crate) fn submit(&mut self, node: usize, purpose: Purpose, op: Op) {
        let id = self.fabric.submit(self.now, node, op);
        self.asked.insert(id, purpose);
    }

    fn note(&mut self, node: usize, note: &Note) -> Result<(), String> {
        let id = &self.nodes[node].name;
        match note {
            Note::Elected { .. } => self.count("elected"),
            Note::SteppedDown { why, .. } => self.count(&format!("stepped down: {why}")),
            Note::Suspected { .. } => self.count("suspected"),
            Note::Fenced { .. } => self.count("fenced"),
            Note::LifeOver { .. } => self.count("life over"),
            Note::Refused { reason } => return Err(format!("{id} meant to write what it must not: {reason}")),
            Note::CorruptRecord { key, reason } => return Err(format!("{id} cannot read {key}: {reason}")),
            Note::Fault { fault } => return Err(format!("{id} cannot go on: {fault}")),
            Note::Applied { .. } | Note::Member { .. } | Note::Renewed { .. } => {}
        }
        Ok(())
    }

    /// What is stored is checked as soon as it is.
    pub(crate) fn check_stores(&mut self) -> Result<(), String> {
        for (life, supervisor) in self.checks.control(self.fabric.stores())? {
            let alive = |node: &&crate::node::Node| node.process.as_ref().is_some_and(|p| p.supervisor == supervisor);
            if let Some(node) = self.nodes.iter().find(alive) {
                return Err(format!("R5: {life} was written dead and the process of {} lives", node.name));
            }
        }
        for ended in self.checks.log(self.fabric.stores())? {
            let lives = |node: &&crate::node::Node| node.life().is_some_and(|life| life.incarnation == ended);
            if let Some(node) = self.nodes.iter().find(lives)
                && node.may_serve(self.now)
            {
                return Err(format!("R5: {} was given up in the log while its serve lease held", node.name));
            }
        }
        Ok(())
    }

    /// I7: no two nodes whose serve leases hold, each by its own clock, serve one shard.
    fn check_serving(&self, node: usize) -> Result<(), String> {
        let this = &self.nodes[node];
        let Some(process) = this.process.as_ref().filter(|_| this.may_serve(self.now)) else { return Ok(()) };
        for (at, other) in self.nodes.iter().enumerate() {
            if let Some(theirs) = other.process.as_ref().filter(|_| at != node && other.may_serve(self.now))
                && let Some(shard) = process.plane.common(&theirs.plane)
            {
                return Err(format!("I7: {} and {} both serve shard {shard}", this.name, other.name));
            }
        }
        Ok(())
    }

    /// Whoever acts as leader has the log's word for it.
    fn check_leading(&self, node: usize) -> Result<(), String> {
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        match process.machine.leads() {
            Some((term, _)) => self.checks.leads(process.machine.me(), term),
            None => Ok(()),
        }
    }
}

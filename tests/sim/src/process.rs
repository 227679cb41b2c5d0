//! What reaches a process, what it does about it, and what must hold after every step.

use std::time::Duration;

use aether_domain::ports::{Answer, AnswerFrame, ControlUpdate, Delivery, Frame, LogUpdate};
use aether_domain::records::{ControlKey, ControlRecord, StoredEntry, StoredRecord};
use aether_domain::{CommandId, Epoch, Monotonic, Sequence};
use aether_infra_memory::fabric::{AppendFailure, FabricEvent, Op, OpId, Outcome, ReadFailure, WriteFailure};
use aether_runtime::control::catch_up::{proof_after, weigh};
use aether_runtime::control::{AppendResult, Effect, Input, Note, StopReason, WriteOutcome};
use aether_runtime::view::View;

use crate::act::{Act, Target};
use crate::node::{Due, Freeze, Node, Purpose};
use crate::render::{In, Out};
use crate::seeds::MARKS;
use crate::world::World;

/// How many entries a process reads at once, as the product does.
const READ_BATCH: usize = 256;
/// How long a process that cannot go on stands there before somebody looks after it, and how long that takes.
const LOOKED_AFTER: Duration = Duration::from_secs(1);
/// How many writes of the lease one process may have on their way.
const LEASES_MAX: usize = 8;
/// How long a process waits before it reads the log again at its start, as the product does.
const REREAD_AFTER: Duration = Duration::from_millis(200);

impl World {
    pub(crate) fn frozen(&self, node: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.freeze == Freeze::Yes)
    }

    /// The fabric tells something to a node's process, which takes it in at once unless it is slow.
    pub(crate) fn reached(&mut self, event: FabricEvent) -> Result<(), String> {
        let node = event.node();
        if !self.is_supervisor(node)
            && let Some(at) = self.nodes[node].takes_in(self.now)
        {
            self.plan_due(at, node, Due::Late(Box::new(event)));
            return Ok(());
        }
        self.taken_in(event)
    }

    fn taken_in(&mut self, event: FabricEvent) -> Result<(), String> {
        let node = event.node();
        match event {
            FabricEvent::Log { update: LogUpdate::Entry(stored), .. } if self.misses(node, stored.at.sequence) => {
                Ok(())
            }
            FabricEvent::Control { update, .. } => {
                // A supervisor has no watch for split brains.
                if !self.is_supervisor(node)
                    && let ControlUpdate::Record(StoredRecord { record: ControlRecord::Lease(lease), .. }) = &update
                {
                    self.watch_lease(node, lease)?;
                }
                self.step(node, Input::Control(update))
            }
            FabricEvent::Log { update, .. } => self.step(node, Input::Log(update)),
            FabricEvent::Delivery { delivery: Delivery::Unreachable { to }, .. } => {
                self.step(node, Input::Unreachable(to))
            }
            FabricEvent::Delivery { .. } => Ok(()),
            FabricEvent::Done { op, outcome, .. } => self.done(node, op, outcome),
        }
    }

    /// Whether a process's follower misses that entry: one that it was to miss, and does not know yet.
    fn misses(&mut self, node: usize, sequence: Sequence) -> bool {
        let Some(process) = &mut self.nodes[node].process else { return false };
        let misses = process.skips && sequence == process.at().next();
        process.skips &= !misses;
        process.misled |= misses;
        if misses {
            self.count("entry missed");
        }
        misses
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
            (Purpose::ReadBack(token), Outcome::Control(found)) => match found {
                Err(ReadFailure::Corrupt { revision }) => Input::Spoiled { token, revision },
                found => Input::ReadBack { token, found: found.ok().flatten() },
            },
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
            (Purpose::Look(of) | Purpose::Prove(of) | Purpose::CatchUp(of), _) if of != self.beginning(node) => {
                return Ok(());
            }
            (Purpose::Look(_), Outcome::Control(found)) => {
                self.found(node, found.ok().flatten());
                return Ok(());
            }
            (Purpose::Prove(_), Outcome::Log(shown)) => return self.prove(node, &shown.unwrap_or_default()),
            (Purpose::CatchUp(_), Outcome::Log(Ok(entries))) => {
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
            (Purpose::CatchUp(_), _) => {
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
        let of = process.beginning;
        self.submit(node, Purpose::CatchUp(of), op);
    }

    fn beginning(&self, node: usize) -> u64 {
        self.nodes[node].process.as_ref().map_or(0, |process| process.beginning)
    }

    /// Begins to read the log: with a snapshot if there is one, as the product does.
    pub(crate) fn begin(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        process.beginning += 1;
        (process.follows, process.found) = (false, None);
        let of = process.beginning;
        self.submit(node, Purpose::Look(of), Op::ReadControl(ControlKey::TopologySnapshot));
    }

    fn found(&mut self, node: usize, found: Option<StoredRecord>) {
        let snapshot = found.and_then(|stored| match stored.record {
            ControlRecord::Snapshot(snapshot) => Some(snapshot.topology),
            _ => None,
        });
        let Some(process) = self.nodes[node].process.as_mut().filter(|_| snapshot.is_some()) else {
            self.catch_up(node);
            return;
        };
        let of = process.beginning;
        let after = snapshot.as_ref().map_or(Sequence::ZERO, |snapshot| proof_after(snapshot));
        process.found = snapshot;
        self.submit(node, Purpose::Prove(of), Op::ReadLog { after, limit: 1 });
    }

    fn prove(&mut self, node: usize, shown: &[StoredEntry]) -> Result<(), String> {
        let found = self.nodes[node].process.as_mut().and_then(|process| process.found.take());
        if let Some(snapshot) = found {
            let input = match weigh(&snapshot, shown) {
                Ok(()) => Input::Snapshot(snapshot),
                Err(why) => Input::SnapshotPassedOver(why),
            };
            self.step(node, input)?;
        }
        self.catch_up(node);
        Ok(())
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
            Due::Late(event) => self.taken_in(*event),
            Due::Health => self.tell_health_of(node),
            Due::Leave => self.step(node, Input::Leave),
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
            self.troubled(node);
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
        self.troubled(node);
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
        process.hear(&input);
        let effects = process.step(local, wall, input)?;
        if let Some(write) = effects.iter().find(|effect| process.is_futile(effect)) {
            return Err(format!(
                "R13: {} has seen its own record later than what it writes over: {write:?}",
                place.name
            ));
        }
        for effect in &effects {
            self.trace.line(self.now, format_args!("{}   > {}", place.name, Out(effect)));
        }
        if process.freeze == Freeze::HalfWay {
            // What it has decided is known now, whenever it is sent.
            let (notes, decided): (Vec<_>, Vec<_>) =
                effects.into_iter().partition(|effect| matches!(effect, Effect::Note(_)));
            process.decided = decided;
            for note in notes {
                self.perform(node, note)?;
            }
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
        self.check_leading(node, local)
    }

    fn perform(&mut self, node: usize, effect: Effect) -> Result<(), String> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        match effect {
            Effect::Write { token, record, expected } => {
                self.check_write(node, &record)?;
                self.submit(node, Purpose::Write(token), Op::WriteControl { record, expected });
            }
            Effect::ReadBack { token, key } => self.submit(node, Purpose::ReadBack(token), Op::ReadControl(key)),
            Effect::Append { token, entry, after } => {
                self.check_stranger(node)?;
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
                let (asked, freed) = process.plane.view_changed(&view);
                self.checks.view(&view.me, process.machine.topology())?;
                if !asked.is_empty() {
                    let at = self.now + self.draw_release();
                    self.plan_due(at, node, Due::Release(asked));
                }
                if freed > 0 {
                    self.plan_due(self.now, node, Due::Health);
                    (0..freed).for_each(|_| self.count("stuck shard given to another"));
                }
            }
            Effect::ServeUntil(until) => process.lease.extend(until),
            Effect::EndServing => process.lease.end(),
            Effect::NewLife { me } => {
                let over = std::mem::replace(&mut process.listens, me.clone());
                self.fabric.close(&over);
                self.fabric.listen(node, me);
            }
            Effect::TellAgain => {
                self.fabric.watch(self.now, node);
                self.fabric.unfollow(node);
                self.begin(node);
            }
            Effect::Leave => {
                let at = self.now + self.draw_release();
                self.plan_due(at, node, Due::Leave);
            }
            Effect::Stop(StopReason::SettingsDiffer { .. }) if !self.nodes[node].stranger => {
                return Err(format!("{} has other settings than the cluster", self.nodes[node].name));
            }
            Effect::Stop(reason) => {
                if matches!(reason, StopReason::NodeIdInUse { .. }) {
                    self.driven_out(node)?;
                }
                self.count(match reason {
                    StopReason::Left => "left",
                    StopReason::LeftUnasked => "left unasked",
                    StopReason::PartEnded { part } => part,
                    StopReason::LogUnreadable { .. } => "refused for an unreadable log",
                    StopReason::SettingsDiffer { .. } => "refused for its settings",
                    StopReason::NodeIdInUse { .. } => "driven out by its own id",
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
            Note::AskedToStepDown { .. } => self.count("stepped down on an order"),
            Note::AskedToLeave { .. } => {
                self.count("left on an order");
                if let Some(process) = &mut self.nodes[node].process {
                    process.leaving = true;
                }
            }
            Note::Suspected { node: accused } => {
                self.count("suspected");
                self.accused(node, accused)?;
            }
            Note::Fenced { .. } => self.count("fenced"),
            Note::LifeOver { .. } => self.count("life over"),
            Note::Refused { reason } => return Err(format!("{id} meant to write what it must not: {reason}")),
            Note::PlacementNotAdopted { .. } => self.count("placement not adopted"),
            Note::MapDiffers { node, epoch } => {
                return Err(format!("{id} leads, and {node} has another shard map at epoch {epoch}"));
            }
            Note::CorruptRecord { .. } => self.count("corrupt record seen"),
            // It serves nothing any more; whoever looks after it starts it again.
            Note::Fault { .. } if self.nodes[node].process.as_ref().is_some_and(|process| process.misled) => {
                self.count("missing entry noticed");
                self.plan_act(LOOKED_AFTER, Act::Crash { of: Target::Node(node), restart_after: Some(LOOKED_AFTER) });
            }
            Note::Fault { fault } => return Err(format!("{id} cannot go on: {fault}")),
            Note::BeganFrom { .. } => self.count("began with a snapshot"),
            Note::SnapshotPassedOver { .. } => self.count("snapshot passed over"),
            Note::SnapshotStored { .. } => self.count("snapshot stored"),
            Note::SnapshotNotStored { .. } => self.count("snapshot not stored"),
            Note::RegressionAccepted { .. } => self.count("regression accepted"),
            Note::Applied { events, .. } => {
                for event in events.iter().filter(|event| MARKS.contains(event)) {
                    self.count(event);
                }
            }
            Note::Member { .. } | Note::Renewed { .. } => {}
        }
        Ok(())
    }

    /// What is stored is checked as soon as it is.
    pub(crate) fn check_stores(&mut self) -> Result<(), String> {
        for stored in self.fabric.stores().control_since(self.checks.revision) {
            stored_now(&mut self.nodes, &stored.record, self.now);
        }
        for (life, supervisor) in self.checks.control(self.fabric.stores())? {
            let alive = |node: &&Node| node.process.as_ref().is_some_and(|p| p.supervisor == supervisor);
            if let Some(node) = self.nodes.iter().find(alive) {
                return Err(format!("R5: {life} was written dead and the process of {} lives", node.name));
            }
        }
        for ended in self.checks.log(self.fabric.stores())? {
            let lives = |node: &&Node| node.life().is_some_and(|life| life.incarnation == ended);
            if let Some(node) = self.nodes.iter().find(lives)
                && node.may_serve(self.now)
                && !self.scenario.beyond
            {
                return Err(format!("R5: {} was given up in the log while its serve lease held", node.name));
            }
        }
        Ok(())
    }

    /// I7: no two nodes whose serve leases hold, each by its own clock, serve one shard.
    fn check_serving(&self, node: usize) -> Result<(), String> {
        let this = &self.nodes[node];
        let serves = this.may_serve(self.now) && !self.scenario.beyond;
        let Some(process) = this.process.as_ref().filter(|_| serves) else { return Ok(()) };
        for (at, other) in self.nodes.iter().enumerate() {
            if let Some(theirs) = other.process.as_ref().filter(|_| at != node && other.may_serve(self.now))
                && let Some(shard) = process.plane.common(&theirs.plane)
            {
                return Err(format!("I7: {} and {} both serve shard {shard}", this.name, other.name));
            }
        }
        Ok(())
    }

    /// Whoever acts as leader has the log's word for it, and does so no longer than its last stored renewal allows (R3).
    fn check_leading(&self, node: usize, local: Monotonic) -> Result<(), String> {
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let Some((term, until)) = process.machine.leads() else { return Ok(()) };
        self.checks.leads(process.machine.me(), term)?;
        let allowed = process.lease_stored + self.scenario.profile.lease().self_stop();
        if until > allowed {
            let longer = until.since(allowed);
            return Err(format!(
                "R3: {} would lead {longer:?} longer than its last renewal lasts",
                self.nodes[node].name
            ));
        }
        if local >= until {
            return Err(format!("R3: {} leads past its deadline", self.nodes[node].name));
        }
        Ok(())
    }

    /// What a process is about to write of itself or of others: nobody asks for a term that its own log is past (R2).
    fn check_write(&mut self, node: usize, record: &ControlRecord) -> Result<(), String> {
        self.check_stranger(node)?;
        let place = &mut self.nodes[node];
        let local = place.clock.shows(self.now);
        let (Some(process), ControlRecord::Lease(lease)) = (&mut place.process, record) else { return Ok(()) };
        if process.lease_sent.iter().any(|(nonce, _)| *nonce == lease.nonce) {
            return Ok(());
        }
        process.lease_sent.push_back((lease.nonce, local));
        if process.lease_sent.len() > LEASES_MAX {
            process.lease_sent.pop_front();
        }
        let logged = process.machine.topology().leadership();
        if lease.term < logged.term() || lease.term == logged.term() && !logged.is_led_by(&lease.holder, lease.term) {
            let (asks, has) = (lease.term, logged.term());
            return Err(format!("R2: {} asks for the lease in term {asks}, and its log has term {has}", place.name));
        }
        Ok(())
    }

    /// A node with other timers than the cluster's writes nothing once it has read the log's beginning.
    fn check_stranger(&self, node: usize) -> Result<(), String> {
        let place = &self.nodes[node];
        let read = place.process.as_ref().is_some_and(|process| process.at() > Sequence::ZERO);
        if place.stranger && read {
            return Err("a node with other timers than the cluster's has written".to_owned());
        }
        Ok(())
    }
}

/// A control record is stored: when its writer had first sent it, and that a node has beaten.
fn stored_now(nodes: &mut [Node], record: &ControlRecord, now: Monotonic) {
    match record {
        ControlRecord::Lease(lease) => {
            let sent = nodes.iter_mut().filter_map(|node| node.process.as_mut()).find_map(|process| {
                let sent = process.lease_sent.iter().find(|(nonce, _)| *nonce == lease.nonce)?.1;
                Some((process, sent))
            });
            if let Some((process, sent)) = sent {
                process.lease_stored = process.lease_stored.max(sent);
            }
        }
        ControlRecord::Member(member) => {
            if let Some(node) = nodes.iter_mut().find(|node| node.life() == Some(&member.node)) {
                node.troubles.beaten_at = now;
            }
        }
        ControlRecord::Release(_)
        | ControlRecord::Snapshot(_)
        | ControlRecord::Placement(_)
        | ControlRecord::Orders(_) => {}
    }
}

//! What is done to nodes from outside, done.

use std::time::Duration;

use aether_domain::records::ControlKey;
use aether_domain::records::{Health, Load};
use aether_domain::{Epoch, ShardId};
use aether_runtime::control::Input;
use aether_runtime::view::{Route, View};
use rand::{Rng, RngExt};

use crate::act::{Act, Spoiled, Target};
use crate::node::Freeze;
use crate::world::World;

/// A process that another life has driven out is started again after this long.
const SUPERVISED_AFTER: Duration = Duration::from_secs(1);

impl World {
    fn target(&mut self, of: Target) -> Option<usize> {
        let running: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].process.is_some()).collect();
        let leads = |at: &&usize| self.nodes[**at].leads(self.now).is_some();
        match of {
            Target::Node(node) => Some(node).filter(|node| running.contains(node)),
            Target::Leader if running.iter().any(|at| leads(&at)) => running.iter().find(leads).copied(),
            Target::Leader | Target::Anybody if running.is_empty() => None,
            Target::Leader | Target::Anybody => Some(running[self.dice.random_range(0..running.len())]),
        }
    }

    pub(crate) fn act(&mut self, act: Act) -> Result<(), String> {
        let of = match act {
            Act::Crash { of, .. }
            | Act::Freeze { of, .. }
            | Act::Cut { of, .. }
            | Act::Replace { of, .. }
            | Act::Reset { of }
            | Act::Drain { of, .. }
            | Act::JumpWall { of, .. }
            | Act::Spoil { of, .. }
            | Act::Slow { of, .. }
            | Act::Gray { of, .. }
            | Act::Stick { of, .. }
            | Act::Skip { of, .. } => match self.target(of) {
                Some(node) => node,
                None => return Ok(()),
            },
            Act::Start(node)
            | Act::Rival(node)
            | Act::Thaw(node)
            | Act::Reconnect(node)
            | Act::Quick(node)
            | Act::Recover(node)
            | Act::Again(node) => node,
            Act::Stranger => self.nodes.len() - 1,
            Act::FreezeAll { .. }
            | Act::Outage { .. }
            | Act::DrainAll { .. }
            | Act::CrashAll { .. }
            | Act::Collapse { .. }
            | Act::Place { .. }
            | Act::Order { .. }
            | Act::LoseEntries { .. }
            | Act::Join
            | Act::Return => 0,
        };
        self.trace.line(self.now, format_args!("{} of n{}: {act:?}", act.name(), of + 1));
        self.count(act.name());
        match act {
            Act::Crash { restart_after, .. } => self.crash(of, restart_after),
            Act::CrashAll { restart_after } => {
                for node in 0..self.nodes.len() {
                    if self.nodes[node].process.is_some() {
                        self.crash(node, Some(restart_after));
                    }
                }
            }
            Act::Freeze { lasts, half_way, .. } => self.freeze_for(of, lasts, half_way),
            Act::FreezeAll { lasts } => {
                for node in 0..self.nodes.len() {
                    self.freeze_for(node, lasts, false);
                }
            }
            Act::Cut { lasts, .. } => {
                self.cut(of);
                self.plan_act(lasts, Act::Reconnect(of));
            }
            Act::Outage { lasts } => {
                if !std::mem::replace(&mut self.outage, true) {
                    self.fabric.outage(self.now, true);
                    self.all_troubled();
                    self.plan_act(lasts, Act::Return);
                }
            }
            Act::JumpWall { forward, .. } => self.nodes[of].clock.jump_wall(forward),
            Act::Spoil { what, .. } => self.spoil(of, what),
            Act::Slow { lag, lasts, .. } => {
                self.nodes[of].slow = lag;
                self.troubled(of);
                self.plan_act(lasts, Act::Quick(of));
            }
            Act::Quick(node) => {
                self.nodes[node].slow = Duration::ZERO;
                self.troubled(node);
            }
            Act::Gray { lasts, .. } => {
                self.nodes[of].unwell = true;
                self.tell_health()?;
                self.plan_act(lasts, Act::Recover(of));
            }
            Act::Stick { count, .. } => self.stick(of, count)?,
            Act::Recover(node) => {
                self.nodes[node].unwell = false;
                self.tell_health()?;
            }
            Act::Place { bits } => self.place(bits),
            Act::Order { bits } => self.order(bits),
            Act::Collapse { restart_after } => self.collapse(restart_after)?,
            // It would found a cluster of its own if there were none.
            Act::Stranger if self.checks.truth.epoch() > Epoch::ZERO && self.vacant(of) => self.start(of),
            Act::Stranger => {}
            Act::Skip { after, .. } => {
                if let Some(process) = self.nodes[of].process.as_mut().filter(|process| process.follows) {
                    process.skips = true;
                    self.plan_act(after, Act::Again(of));
                }
            }
            Act::Again(node) => {
                if let Some(process) = &mut self.nodes[node].process {
                    process.skips = false;
                }
                self.reset(node)?;
            }
            Act::LoseEntries { count } => {
                self.watches.retired = true;
                self.fabric.lose_entries(count);
                self.checks.forget();
            }
            Act::Reset { .. } => self.reset(of)?,
            Act::Drain { restart_after, .. } => self.drain(of, restart_after)?,
            Act::DrainAll { restart_after } => {
                for node in 0..self.nodes.len() {
                    self.drain(node, restart_after)?;
                }
            }
            Act::Replace { lasts, after, .. } => {
                self.cut(of);
                self.plan_act(lasts, Act::Reconnect(of));
                self.plan_act(after, Act::Rival(of));
            }
            Act::Join => {
                if let Some(node) = (0..self.scenario.clocks.len()).find(|node| self.vacant(*node)) {
                    self.start(node);
                }
            }
            Act::Start(node) => {
                if self.vacant(node) {
                    self.start(node);
                }
            }
            Act::Rival(node) => {
                let elsewhere = (node + self.scenario.clocks.len()) % (2 * self.scenario.clocks.len());
                if self.nodes[elsewhere].process.is_none() {
                    self.start(elsewhere);
                }
            }
            Act::Thaw(node) => self.thaw(node)?,
            Act::Reconnect(node) => self.reconnect(node),
            Act::Return => {
                self.outage = false;
                self.fabric.outage(self.now, false);
                self.all_troubled();
            }
        }
        Ok(())
    }

    fn cut(&mut self, node: usize) {
        self.fabric.cut(self.now, node);
        self.nodes[node].troubles.cut = true;
        self.troubled(node);
    }

    pub(crate) fn reconnect(&mut self, node: usize) {
        self.fabric.heal(self.now, node);
        self.nodes[node].troubles.cut = false;
        self.troubled(node);
    }

    pub(crate) fn all_troubled(&mut self) {
        for node in 0..self.nodes.len() {
            self.troubled(node);
        }
    }

    fn spoil(&mut self, of: usize, what: Spoiled) {
        let id = self.nodes[of].id.clone();
        let key = match what {
            Spoiled::Lease => ControlKey::Lease,
            Spoiled::Member => ControlKey::Member(id),
            Spoiled::Release => ControlKey::Release(id),
        };
        self.checks.spoiled += 1;
        self.fabric.spoil(self.now, &key);
        self.troubled(of);
    }

    /// Half of the processes end, and one that is left is asked to leave.
    fn collapse(&mut self, restart_after: Option<Duration>) -> Result<(), String> {
        let mut running: Vec<_> = (0..self.nodes.len()).filter(|node| self.nodes[*node].process.is_some()).collect();
        for _ in 0..running.len() / 2 {
            let dies = running.swap_remove(self.dice.random_range(0..running.len()));
            self.crash(dies, restart_after);
        }
        match running.pop() {
            Some(leaves) => {
                self.count("drain in a collapse");
                self.drain(leaves, restart_after)
            }
            None => Ok(()),
        }
    }

    fn freeze_for(&mut self, node: usize, lasts: Duration, half_way: bool) {
        let Some(process) = self.nodes[node].process.as_mut().filter(|p| p.freeze == Freeze::No) else { return };
        if half_way {
            process.freeze = Freeze::HalfWay;
        } else {
            self.freeze(node);
        }
        self.plan_act(lasts, Act::Thaw(node));
    }

    /// Whether no process runs under that place's id, there or elsewhere.
    pub(crate) fn vacant(&self, node: usize) -> bool {
        let id = &self.nodes[node].id;
        !self.nodes.iter().any(|place| place.id == *id && place.process.is_some())
    }

    fn drain(&mut self, node: usize, restart_after: Option<Duration>) -> Result<(), String> {
        if self.frozen(node) {
            return Ok(());
        }
        self.nodes[node].restart_after = restart_after;
        if let Some(process) = &mut self.nodes[node].process {
            process.leaving = true;
        }
        self.step(node, Input::Leave)
    }

    pub(crate) fn start(&mut self, node: usize) {
        let seed = self.dice.next_u64();
        let process = self.nodes[node].start(&self.scenario, seed);
        let me = process.machine.me().clone();
        self.troubled(node);
        self.trace.line(self.now, format_args!("{me} starts"));
        self.fabric.watch(self.now, node);
        self.fabric.listen(node, me);
        self.begin(node);
    }

    /// Each node learns which others it finds unwell now.
    pub(crate) fn tell_health(&mut self) -> Result<(), String> {
        (0..self.nodes.len()).try_for_each(|node| self.tell_health_of(node))
    }

    /// A node learns which others it finds unwell now, and which of its shards it cannot serve.
    pub(crate) fn tell_health_of(&mut self, node: usize) -> Result<(), String> {
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let others = self.nodes.iter().filter(|other| other.unwell && other.id != self.nodes[node].id);
        let accuses = others.take(Health::ACCUSED_MAX).map(|other| other.id.clone()).collect();
        let health = Health { accuses, unserved: process.plane.stuck(), ..Health::default() };
        self.step(node, Input::Carries(Load::default(), health))
    }

    /// A node cannot serve some of its shards any more, under the epochs that it has them under.
    fn stick(&mut self, node: usize, count: usize) -> Result<(), String> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let view = View::of(process.machine.topology(), process.machine.me());
        let mine = (0..).map(ShardId).zip(&view.routes).filter_map(|(shard, route)| match route {
            Route::Mine { epoch } => Some((shard, *epoch)),
            _ => None,
        });
        let mine: Vec<_> = mine.collect();
        for _ in 0..count.min(mine.len()) {
            let (shard, epoch) = mine[self.dice.random_range(0..mine.len())];
            process.plane.stick(shard, epoch);
        }
        self.tell_health_of(node)
    }

    fn crash(&mut self, node: usize, restart_after: Option<Duration>) {
        self.end(node);
        if let Some(after) = restart_after {
            self.plan_act(after, Act::Start(node));
        }
    }

    /// A process is gone; nothing of it goes on but what it has sent.
    pub(crate) fn end(&mut self, node: usize) {
        self.fabric.crash(node);
        self.nodes[node].session += 1;
        let Some(process) = self.nodes[node].process.take() else { return };
        if let Some(wake) = process.wake {
            self.queue.remove(&wake);
        }
        if let Some(token) = process.supervisor {
            self.will_be_reaped(node, token);
        }
    }

    /// A process has ended itself.
    pub(crate) fn ended(&mut self, node: usize, driven_out: bool) {
        self.end(node);
        let restart = if driven_out { Some(SUPERVISED_AFTER) } else { self.nodes[node].restart_after };
        if let Some(after) = restart.filter(|_| driven_out || !self.healed) {
            self.plan_act(after, Act::Start(node));
        }
    }
}

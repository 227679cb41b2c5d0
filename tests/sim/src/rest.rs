//! The end of all faults, and what must be true again soon after (I13).

use std::collections::BTreeSet;
use std::time::Duration;

use aether_domain::NodeRef;
use aether_domain::cluster::{NodeStatus, Trust};
use aether_domain::timing::Profile;
use aether_infra_memory::fabric::Faults;
use aether_runtime::control::Phase;
use rand::RngExt;

use crate::node::Node;
use crate::world::{Happening, World};

/// How soon after everything has healed the cluster must be at rest (I13): 15 s with the default timers or faster ones,
/// and as many times the time for suspicion with slower ones.
fn rests_within(profile: Profile) -> Duration {
    let scale =
        profile.member().suspect_after().as_secs_f64() / Profile::Default.member().suspect_after().as_secs_f64();
    Duration::from_secs(15).mul_f64(scale.max(1.0))
}
/// How much longer it takes if a node was found unwell: it is given its share again once it has been well for half a
/// minute, by the clock of a leader that may be new.
const TRUSTED_WITHIN: Duration = Duration::from_secs(40);
/// How long it must stay so.
const STAYS_FOR: Duration = Duration::from_secs(10);
/// How often one looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl World {
    /// The bound of I13, longer if somebody who is back from a restart waited for the next one; clocks that tick apart more
    /// than they may have as much longer.
    fn rests_within(&self) -> Duration {
        let grace = if self.awaits_drain {
            self.scenario.profile.own_time(self.checks.truth.cluster().policy().return_grace)
        } else {
            Duration::ZERO
        };
        let within = rests_within(self.scenario.profile) + grace;
        let within = within.mul_f64(if self.scenario.beyond { 1.5 } else { 1.0 });
        within + if self.distrust { TRUSTED_WITHIN } else { Duration::ZERO }
    }

    /// Every fault ends. Some processes that had ended are started, and at least two run that do not leave: whoever runs
    /// the others loses patience if it must.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.healed = true;
        self.outage = false;
        self.trace.line(self.now, format_args!("everything heals"));
        let goes_on = |happening: &Happening| {
            matches!(happening, Happening::Of { .. } | Happening::Reaped { .. } | Happening::Certify { .. })
        };
        self.queue.retain(|_, happening| goes_on(happening));
        self.fabric.set_faults(self.now, Faults::none());
        self.fabric.outage(self.now, false);
        self.all_troubled();
        self.no_orders();
        let distrusted = self.checks.truth.cluster().active().any(|member| member.trust != Trust::Full);
        self.distrust = distrusted || self.nodes.iter().any(|node| node.unwell);
        let stays = |node: &Node| node.process.as_ref().is_some_and(|process| !process.leaving);
        let leaves = |node: &Node| node.process.is_some() && !stays(node);
        let leaving: BTreeSet<_> = self.nodes.iter().filter(|node| leaves(node)).map(|node| node.id.clone()).collect();
        let impatient = self.scenario.revives && self.scenario.clocks.len() < leaving.len() + 2;
        for node in 0..self.nodes.len() {
            self.reconnect(node);
            self.nodes[node].slow = Duration::ZERO;
            self.look_after(node)?;
            if impatient && leaves(&self.nodes[node]) {
                self.end(node);
            }
            self.thaw(node)?;
            // Of two processes under one id only one will stay.
            let staying: BTreeSet<_> = self.nodes.iter().filter(|node| stays(node)).map(|node| &node.id).collect();
            let few = staying.len() < 2;
            let revived = self.scenario.revives && (few || self.dice.random_ratio(1, 2));
            if revived && node < self.scenario.clocks.len() && self.vacant(node) {
                self.start(node);
            }
        }
        for node in &mut self.nodes {
            node.unwell = false;
        }
        self.tell_health()?;
        self.scenario.lag = Duration::ZERO..=Duration::from_millis(2);
        self.plan(self.now.since_start() + LOOK_EVERY, Happening::Look);
        Ok(())
    }

    /// A process that cannot go on, or has other timers, is ended; one that may have missed something begins again.
    fn look_after(&mut self, node: usize) -> Result<(), String> {
        let place = &mut self.nodes[node];
        let Some(process) = &mut place.process else { return Ok(()) };
        process.skips = false;
        if process.machine.fault().is_some() || place.stranger {
            self.end(node);
        } else if process.misled {
            self.reset(node)?;
        }
        Ok(())
    }

    pub(crate) fn look(&mut self) -> Result<(), String> {
        let since = self.now.since_start().saturating_sub(self.scenario.heals_at);
        self.awaits_drain |= !self.checks.back.is_empty();
        match (self.restless(), self.rested_after) {
            (None, None) => {
                self.trace.line(self.now, format_args!("at rest"));
                self.rested_after = Some(since);
            }
            (None, Some(rested)) => self.over = since >= rested + STAYS_FOR,
            // What was lost before the healing is missed after it: rest may end again until then.
            (Some(_), _) if since < self.rests_within() => self.rested_after = None,
            (Some(why), None) => return Err(format!("I13: not at rest {since:?} after the last fault: {why}")),
            (Some(why), Some(rested)) => return Err(format!("I13: at rest after {rested:?}, and then: {why}")),
        }
        self.plan(self.now.since_start() + LOOK_EVERY, Happening::Look);
        Ok(())
    }

    /// What is not at rest yet, in words; nothing if all of these hold: one leader; every running node Active and with
    /// the same view; no plan open and nothing on its way; every shard served by its owner, which is
    /// where the placement policy wants it.
    pub(crate) fn restless(&self) -> Option<String> {
        let truth = &self.checks.truth;
        let running: Vec<_> = self.nodes.iter().filter_map(|node| Some((node, node.process.as_ref()?))).collect();
        for (node, process) in &running {
            let phase = process.machine.phase(node.clock.shows(self.now));
            if phase != Phase::Active {
                return Some(format!("{} is {}", node.name, phase.name()));
            }
            if process.machine.topology() != truth {
                return Some(format!("{} does not see the end of the log", node.name));
            }
        }
        let leaders: Vec<&NodeRef> =
            running.iter().filter(|(node, _)| node.leads(self.now).is_some()).map(|(_, p)| p.machine.me()).collect();
        match leaders[..] {
            [leader] if truth.leadership().leader() == Some(leader) => {}
            _ => return Some(format!("{leaders:?} lead, the log says {:?}", truth.leadership().leader())),
        }
        let members = truth.cluster().members().filter(|member| member.status.owns());
        for member in members {
            let runs = running.iter().any(|(_, process)| *process.machine.me() == member.node);
            if !runs || member.status != NodeStatus::Active {
                return Some(format!("{} is {} in the log, running: {runs}", member.node, member.status.name()));
            }
        }
        let assignment = truth.assignment();
        if truth.cluster().plan().is_some() || assignment.moving() > 0 || assignment.pending().len() > 0 {
            return Some(format!("{:?}, {} moving", truth.cluster().plan(), assignment.moving()));
        }
        for (shard, _) in assignment.iter() {
            let Some((owner, _)) = truth.owner(shard) else { return Some(format!("shard {shard} has no owner")) };
            let serves = running.iter().any(|(node, process)| {
                process.machine.me() == owner && process.plane.serves(shard) && node.may_serve(self.now)
            });
            if !serves {
                return Some(format!("shard {shard} is not served by {owner}"));
            }
        }
        self.misplaced()
    }
}

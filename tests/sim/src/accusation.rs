//! What only the simulation knows of an accusation: whether its author could hear, and whether the accused was silent.
//!
//! A fence is safe whoever is fenced, so no rule of what is stored would notice a node that accuses everybody after an
//! outage, or one that loses its life because it has stopped to beat for no reason.

use std::time::Duration;

use aether_domain::cluster::NodeStatus;
use aether_domain::{Monotonic, NodeRef};
use aether_infra_memory::fabric::Faults;

use crate::world::World;

/// How long a heartbeat's answer may take and still be in good time, as the product has it.
const WELL_WITHIN: Duration = Duration::from_secs(1);
/// What a network without a loss adds to everything.
const SLACK: Duration = Duration::from_millis(100);

/// What was done to a node that keeps it from hearing and being heard.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// Whether it is cut off from the server.
    pub(crate) cut: bool,
    /// Since when it neither hears nor is heard.
    away_since: Option<Monotonic>,
    /// Until when something was last done to it.
    pub(crate) disturbed_until: Monotonic,
    /// Until when it was last deaf for so long that it must have noticed.
    deaf_until: Monotonic,
    /// When its member record last changed.
    pub(crate) beaten_at: Monotonic,
}

impl World {
    /// Something has been done to a node, or has ended.
    pub(crate) fn troubled(&mut self, node: usize) {
        let away = self.nodes[node].troubles.cut || self.outage || self.frozen(node);
        let member = self.scenario.profile.member();
        let noticed = (member.heartbeat_every() + WELL_WITHIN).mul_f64(1.06) + SLACK;
        let (now, troubles) = (self.now, &mut self.nodes[node].troubles);
        troubles.disturbed_until = now;
        match (away, troubles.away_since) {
            (true, None) => troubles.away_since = Some(now),
            (false, Some(since)) => {
                troubles.away_since = None;
                if now.since(since) > noticed {
                    troubles.deaf_until = now;
                }
            }
            _ => {}
        }
    }

    /// Until when something was last done to a node: a slow one takes in late what has come meanwhile, when it is slow no more too.
    fn disturbed_until(&self, node: usize) -> Monotonic {
        let place = &self.nodes[node];
        place.troubles.disturbed_until.max(place.late_until)
    }

    /// For how long nothing has been done to a node, in a network that loses nothing.
    fn undisturbed_for(&self, node: usize) -> Duration {
        let (place, quiet) = (&self.nodes[node], self.scenario.faults == Faults::none());
        if !quiet || place.troubles.away_since.is_some() || !place.slow.is_zero() || self.scenario.beyond {
            return Duration::ZERO;
        }
        self.now.since(self.disturbed_until(node))
    }

    /// What is wrong with an accusation, if anything is.
    pub(crate) fn accused(&self, by: usize, accused: &NodeRef) -> Result<(), String> {
        let (author, member) = (&self.nodes[by], self.scenario.profile.member());
        let listened = self.now.since(author.troubles.deaf_until);
        if listened < member.serve_lease().mul_f64(0.94) && !self.scenario.beyond {
            return Err(format!("{} accuses {accused}, and could not hear until {listened:?} ago", author.name));
        }
        let Some(at) = self.nodes.iter().position(|node| node.life() == Some(accused)) else { return Ok(()) };
        let quiet_for = self.undisturbed_for(at).min(self.undisturbed_for(by));
        let beats_within = member.heartbeat_every() + WELL_WITHIN * 2;
        let beaten = self.nodes[at].troubles.beaten_at > self.disturbed_until(at);
        if quiet_for > beats_within.mul_f64(1.06) && !beaten {
            return Err(format!("{accused} has not beaten for {quiet_for:?} although nothing keeps it from it"));
        }
        if quiet_for > (member.suspect_after() + beats_within).mul_f64(1.06) {
            return Err(format!("{} accuses {accused}, which nothing has disturbed for {quiet_for:?}", author.name));
        }
        Ok(())
    }

    /// A process ends because another one lives under its id: nobody drives out a member that runs undisturbed.
    pub(crate) fn driven_out(&self, node: usize) -> Result<(), String> {
        let Some(life) = self.nodes[node].life() else { return Ok(()) };
        let quiet_for = self.undisturbed_for(node);
        let serves = self.checks.truth.cluster().status_of(life).is_some_and(NodeStatus::owns);
        if serves && quiet_for > self.scenario.profile.member().suspect_after() {
            return Err(format!("{life} was driven out, which nothing has disturbed for {quiet_for:?}"));
        }
        Ok(())
    }
}

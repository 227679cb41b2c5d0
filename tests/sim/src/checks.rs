//! What must hold of what is stored, whatever strikes: I1 to I6 on the log, and the rules of the control records.

use std::collections::{BTreeMap, BTreeSet};

use aether_domain::assignment::AssignmentEvent;
use aether_domain::cluster::{ClusterEvent, FailureReason, RebalanceCause};
use aether_domain::lease::LeadershipEvent;
use aether_domain::orders::Wish;
use aether_domain::records::{ControlRecord, MemberRecord, MemberState, Position};
use aether_domain::topology::{Topology, TopologyEvent};
use aether_domain::{Incarnation, NodeId, NodeRef, Nonce, Revision, Sequence, Term};
use aether_infra_memory::fabric::Stores;

/// The truth, folded from what is stored, and what was seen on the way.
#[derive(Default)]
pub(crate) struct Checks {
    /// The fold of the whole log.
    pub(crate) truth: Topology,
    /// Where each entry is.
    positions: Vec<Position>,
    /// Who started each term.
    terms: BTreeMap<Term, NodeRef>,
    pub(crate) revision: Revision,
    /// How often a control record was spoiled: nobody can know what it was then.
    pub(crate) spoiled: u64,
    lease: Option<(Term, NodeRef)>,
    members: BTreeMap<NodeId, MemberRecord>,
    /// Lives whose record was taken over, fenced or written dead.
    over: BTreeSet<Incarnation>,
    /// Lives whose record was written dead.
    dead: BTreeSet<Incarnation>,
    /// How many lives failed because they were.
    pub(crate) died: u64,
    /// Nodes that have left in good order.
    left: BTreeSet<NodeId>,
    /// Those of them that have come back since the last plan: what is for balance alone may wait for the next drain.
    pub(crate) back: BTreeSet<NodeId>,
    /// How many drains gave their shards to somebody who had come back.
    pub(crate) drains_awaited: u64,
}

/// How many of an entry's violations are told: one may break a rule for every shard.
const TOLD_MAX: usize = 4;

impl Checks {
    /// Folds what is new in the log; answers the lives that it has ended.
    pub(crate) fn log(&mut self, stores: &Stores) -> Result<Vec<Incarnation>, String> {
        let mut ended = Vec::new();
        for stored in stores.entries(self.truth.at().sequence) {
            self.truth.apply(stored).map_err(|violations| {
                let mut found: Vec<_> = violations.iter().take(TOLD_MAX).map(ToString::to_string).collect();
                if violations.len() > TOLD_MAX {
                    found.push(format!("and {} more", violations.len() - TOLD_MAX));
                }
                format!("entry {} ({}): {}", stored.at.sequence, stored.entry.cause, found.join("; "))
            })?;
            self.positions.push(stored.at);
            for event in &stored.entry.events {
                match event {
                    TopologyEvent::Cluster(ClusterEvent::NodeFailed { node, reason }) => {
                        if *reason == FailureReason::Died {
                            self.died += 1;
                            if !self.dead.contains(&node.incarnation) {
                                return Err(format!("R5: {node} failed as dead and nobody has said so"));
                            }
                        }
                        ended.push(node.incarnation);
                    }
                    TopologyEvent::Cluster(ClusterEvent::NodeLeft { node }) => {
                        self.left.insert(node.node.clone());
                    }
                    TopologyEvent::Cluster(ClusterEvent::NodeJoined { node, .. }) if self.left.remove(&node.node) => {
                        self.back.insert(node.node.clone());
                    }
                    TopologyEvent::Cluster(ClusterEvent::RebalancingTriggered { cause, moves, .. }) => {
                        let to_whoever_is_back = moves.iter().any(|planned| self.back.contains(&planned.to.node));
                        self.drains_awaited += u64::from(*cause == RebalanceCause::Drain && to_whoever_is_back);
                        self.back.clear();
                    }
                    TopologyEvent::Assignment(AssignmentEvent::ShardMigrationStarted { shards, from, .. }) => {
                        let cluster = self.truth.cluster();
                        if cluster.wish() != Wish::Resume && !cluster.must_give(from.incarnation) {
                            return Err(format!(
                                "{} shards begin to move off {from} while that is paused",
                                shards.len()
                            ));
                        }
                    }
                    TopologyEvent::Cluster(ClusterEvent::NodeRestarted { previous, .. }) => ended.push(*previous),
                    TopologyEvent::Leadership(LeadershipEvent::TermStarted { term, leader }) => {
                        if let Some(before) = self.terms.insert(*term, leader.clone()) {
                            return Err(format!("I1: term {term} was started by {before} and by {leader}"));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(ended)
    }

    /// Entries were lost: what is left, and what will be written behind it, is the truth from here on.
    pub(crate) fn forget(&mut self) {
        (self.truth, self.positions, self.terms) = (Topology::default(), Vec::new(), BTreeMap::new());
    }

    /// Looks at what is new in the control store; answers the lives written dead, with what their supervisors know
    /// their processes by.
    pub(crate) fn control(&mut self, stores: &Stores) -> Result<Vec<(NodeRef, Option<Nonce>)>, String> {
        let mut dead = Vec::new();
        for stored in stores.control_since(self.revision) {
            match &stored.record {
                ControlRecord::Lease(lease) => {
                    if let Some((term, holder)) = &self.lease
                        && self.spoiled == 0
                        && (lease.term < *term || lease.term == *term && lease.holder != *holder)
                    {
                        let (now, by) = (lease.term, &lease.holder);
                        return Err(format!("the lease went from term {term} of {holder} to {now} of {by}"));
                    }
                    self.lease = Some((lease.term, lease.holder.clone()));
                }
                ControlRecord::Member(member) => {
                    Self::member(&mut self.members, &mut self.over, member, self.spoiled > 0)?;
                    if member.state == MemberState::Dead {
                        self.dead.insert(member.node.incarnation);
                        dead.push((member.node.clone(), member.supervisor));
                    }
                }
                ControlRecord::Release(_)
                | ControlRecord::Snapshot(_)
                | ControlRecord::Placement(_)
                | ControlRecord::Orders(_) => {}
            }
        }
        self.revision = stores.revision();
        Ok(dead)
    }

    fn member(
        members: &mut BTreeMap<NodeId, MemberRecord>,
        over: &mut BTreeSet<Incarnation>,
        member: &MemberRecord,
        spoiled: bool,
    ) -> Result<(), String> {
        let node = &member.node;
        let ends = member.state.is_over();
        if over.contains(&node.incarnation) && !ends {
            return Err(format!("{node} is over and has written again: {:?}", member.state));
        }
        if let Some(before) = members.get(&node.node) {
            if before.node != *node {
                over.insert(before.node.incarnation);
            } else if member.heartbeat < before.heartbeat && !(ends && spoiled)
                || !(ends || spoiled) && member.heartbeat == before.heartbeat
            {
                return Err(format!("beat {} of {node} follows beat {}", member.heartbeat, before.heartbeat));
            }
        }
        if ends {
            over.insert(node.incarnation);
        }
        members.insert(node.node.clone(), member.clone());
        Ok(())
    }

    /// Whether a node's fold is a prefix of the truth.
    pub(crate) fn view(&self, of: &NodeRef, view: &Topology) -> Result<(), String> {
        let at = view.at();
        if at.sequence == Sequence::ZERO {
            return Ok(());
        }
        let index = usize::try_from(at.sequence.0 - 1).unwrap_or(usize::MAX);
        if self.positions.get(index) != Some(&at) {
            return Err(format!("{of} has an entry at {} that is not in the log", at.sequence));
        }
        if at == self.truth.at() && *view != self.truth {
            return Err(format!("{of} has folded the same log to something else"));
        }
        Ok(())
    }

    /// Whether a node that believes to lead in `term` has the log's word for it.
    pub(crate) fn leads(&self, node: &NodeRef, term: Term) -> Result<(), String> {
        match self.terms.get(&term) {
            Some(leader) if leader == node => Ok(()),
            other => Err(format!("{node} leads in term {term}, which the log gives to {other:?}")),
        }
    }
}

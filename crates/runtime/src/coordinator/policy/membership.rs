//! Who is a member: joins and restarts, failures once a life has surely stopped serving, drains, and leave.

use std::collections::BTreeSet;
use std::time::Duration;

use aether_domain::assignment::{AssignmentCommand, ShardState};
use aether_domain::cluster::{ClusterCommand, FailureReason, Member, NodeInfo, NodeStatus};
use aether_domain::lease::LeadershipCommand;
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::records::{MemberRecord, MemberState};
use aether_domain::topology::{Draft, Topology};
use aether_domain::{Incarnation, Monotonic, NodeRef, ShardSet};

use super::super::fences::Fences;
use super::{Causes, Facts, Memory, active};
use crate::control::{ControlConfig, Sighting, Sightings, Timers};

/// How much later than due a heartbeat may be seen and nobody thinks anything of it.
const BEAT_LATE_MAX: Duration = Duration::from_millis(250);

/// The members that may be dying: their life is over or being ended, or they have missed two heartbeats. They keep what
/// they have, and nothing is given to them until that is settled.
pub(in crate::coordinator) fn doubtful(
    topology: &Topology,
    me: &NodeRef,
    config: &ControlConfig,
    (sightings, fences): (&Sightings, &Fences),
    timers: &mut Timers,
) -> BTreeSet<Incarnation> {
    let missed_two = config.profile.member().heartbeat_every() * 2 + BEAT_LATE_MAX;
    let others = topology.cluster().members().filter(|member| member.status.owns() && member.node != *me);
    others
        .map(|member| &member.node)
        .filter(|node| {
            fences.is_open(&node.node)
                || sightings.is_over(node)
                || sightings.silent_at(node, missed_two).is_some_and(|at| timers.reached(at))
        })
        .map(|node| node.incarnation)
        .collect()
}

/// The Active lives that are about to leave: their record says so, or an operator does. Nothing is moved onto them. None, if
/// everybody leaves: somebody must have the shards of those who go first.
pub(in crate::coordinator) fn leaving(topology: &Topology, sightings: &Sightings) -> BTreeSet<Incarnation> {
    let leaves = |member: &&Member| {
        let said = sightings.member(&member.node.node).map(|seen| &seen.record);
        let said = said.is_some_and(|record| record.node == member.node && record.state == MemberState::Leaving);
        said || sightings.orders().is_some_and(|orders| orders.drains(&member.node).is_some())
    };
    let (leaving, staying): (Vec<_>, Vec<_>) = topology.cluster().active().partition(leaves);
    if staying.is_empty() { BTreeSet::new() } else { leaving.iter().map(|member| member.node.incarnation).collect() }
}

/// The lives whose silence is over `suspect_after`, or over their serve lease and nobody is found under their name, and
/// that are not fenced yet: to be fenced, each by compare-and-set on
/// the record that was watched.
pub(in crate::coordinator) fn suspects(topology: &Topology, facts: &Facts<'_>, timers: &mut Timers) -> Vec<NodeRef> {
    let timings = facts.config.profile.member();
    let mut silent = Vec::new();
    for member in topology.cluster().members().filter(|member| member.status.owns() && member.node != *facts.me) {
        let life = match facts.sightings.member(&member.node.node) {
            // Whether that is an old record or that of a later life that died young, a fence over it tells: if it lands,
            // the record was the last one, and the member is as over as the life that took its record.
            Some(seen) if is_before_the_log(member, &seen.record) => &seen.record.node,
            _ if facts.sightings.is_over(&member.node) => continue,
            _ => &member.node,
        };
        let deserted = facts.sightings.is_deserted(life, timings.nobody_for(), timers.now());
        let after = if deserted { timings.serve_lease() } else { timings.suspect_after() };
        if facts.sightings.silent_at(life, after).is_some_and(|at| timers.reached(at)) {
            silent.push(life.clone());
        }
    }
    silent
}

/// Whether the record of another life than the member's may be older than the log: the watch may have shown a life that
/// the log has replaced already. A later life says that it has seen the entry it goes beyond; if its first record does
/// not, its next one will.
pub(in crate::coordinator) fn is_before_the_log(member: &Member, record: &MemberRecord) -> bool {
    member.node != record.node && record.view < member.since
}

/// Whether another failure will be due by then than those that are due now: those who die together fail in one entry.
fn more_will_fail(draft: &Draft, facts: &Facts<'_>, by: Monotonic, now: Monotonic) -> bool {
    let timings = facts.config.profile.member();
    let others = draft.topology().cluster().members().filter(|m| m.status.owns() && m.node != *facts.me);
    others.map(|member| &member.node).any(|node| {
        let over = facts.sightings.member(&node.node).filter(|seen| seen.record.state.is_over());
        let due = match over {
            Some(seen) => Some(seen.surely_over(node, timings.serve_lease_over())),
            None if facts.fences.is_open(&node.node) => return true,
            None if facts.sightings.is_unanswering(&node.node) => {
                facts.sightings.silent_at(node, timings.serve_lease())
            }
            None => facts.sightings.silent_at(node, timings.suspect_after()),
        };
        due.is_some_and(|due| due <= by && (over.is_none() || due > now))
    })
}

pub(super) fn members(
    draft: &mut Draft,
    facts: &Facts<'_>,
    memory: &mut Memory,
    timers: &mut Timers,
    causes: &mut Causes,
) -> Result<(), String> {
    let safe = facts.config.profile.member().serve_lease_over();
    let fails = |seen: &Sighting| {
        let known = draft.topology().cluster().member(&seen.record.node.node)?;
        let fails = seen.record.state.is_over() && known.status.owns() && !is_before_the_log(known, &seen.record);
        fails.then(|| seen.surely_over(&known.node, safe))
    };
    let due = facts.sightings.members().any(|(_, seen)| fails(seen).is_some_and(|at| timers.reached(at)));
    if !due {
        memory.failing_since = None;
    }
    let held_back = due && {
        let until = *memory.failing_since.get_or_insert(timers.now()) + facts.config.profile.member().heartbeat_every();
        !timers.reached(until) && more_will_fail(draft, facts, until, timers.now())
    };
    for (_, seen) in facts.sightings.members() {
        let (record, node) = (&seen.record, &seen.record.node);
        let known = draft.topology().cluster().member(&node.node).cloned();
        // Nothing is done by old news, of others or of this node's own earlier lives.
        if known.as_ref().is_some_and(|known| is_before_the_log(known, record))
            || node.node == facts.me.node && node != facts.me
        {
            continue;
        }
        let joins = known.as_ref().is_none_or(|known| known.node != *node) && !record.state.is_over();
        // It cannot read what is written already: it has found that out itself, or will.
        if joins && record.reads < facts.format {
            continue;
        }
        let surely_over = known.as_ref().map(|member| seen.surely_over(&member.node, safe));
        let command = match (&known, record.state) {
            // A member fails once it has surely stopped serving: after its fence, or that of a life that took its record,
            // or when its supervisor has seen it die. That is certain, and waits for no others.
            (Some(member), MemberState::Fenced | MemberState::Dead) if member.status.owns() => {
                let died = facts.sightings.is_dead(&member.node);
                let waits = !surely_over.is_some_and(|at| timers.reached(at)) || held_back && !died;
                if !is_on(Mutant::FailsWithoutWaiting) && waits {
                    continue;
                }
                causes.push(format!("failure of {}", node.node));
                let same = member.node == *node;
                let reason = match died {
                    true => FailureReason::Died,
                    false if same => FailureReason::Silent,
                    false => FailureReason::Replaced,
                };
                ClusterCommand::MarkNodeFailed { node: member.node.clone(), reason }
            }
            // A new life over one that is still a member.
            (Some(member), MemberState::Starting | MemberState::Alive | MemberState::Leaving)
                if member.status.owns() && member.node != *node =>
            {
                if !is_on(Mutant::RestartsWithoutWaiting) && !surely_over.is_some_and(|at| timers.reached(at)) {
                    continue;
                }
                causes.push(format!("restart of {}", node.node));
                ClusterCommand::JoinCluster {
                    node: node.clone(),
                    info: NodeInfo { weight: record.info.weight.max(1), ..record.info.clone() },
                }
            }
            (known, MemberState::Starting) if known.as_ref().is_none_or(|known| known.node != *node) => {
                causes.push(format!("join of {}", node.node));
                ClusterCommand::JoinCluster {
                    node: node.clone(),
                    info: NodeInfo { weight: record.info.weight.max(1), ..record.info.clone() },
                }
            }
            // A leader that leaves lets everybody else go first: it must be Active to lead, and it has the shards.
            (Some(_), MemberState::Leaving)
                if node == facts.me
                    && draft.topology().cluster().members().any(|other| other.node != *node && other.status.owns()) =>
            {
                continue;
            }
            (Some(member), MemberState::Leaving) if member.status == NodeStatus::Active && member.node == *node => {
                let asked = facts.sightings.orders().and_then(|orders| orders.drains(node));
                let asked = asked.map_or_else(String::new, |asked| format!(" asked by {asked}"));
                causes.push(format!("drain of {}{asked}", node.node));
                ClusterCommand::DrainNode { node: node.clone() }
            }
            _ => continue,
        };
        draft.cluster(&command).map_err(|refusal| refusal.to_string())?;
    }
    Ok(())
}

/// Lets draining nodes go that own nothing any more; the last of all takes the lead and the shards with it. It does so in
/// a later entry than the one that drains it: a node that has seen that nobody stays serves nothing any more.
pub(super) fn leave(
    draft: &mut Draft,
    before: &Topology,
    facts: &Facts<'_>,
    causes: &mut Causes,
) -> Result<(), String> {
    let leaving: Vec<_> = draft
        .topology()
        .cluster()
        .members()
        .filter(|member| member.status == NodeStatus::Draining)
        .map(|member| member.node.clone())
        .collect();
    let nobody_stays = active(draft).is_empty();
    let nobody_stayed = before.cluster().active().next().is_none();
    for node in leaving {
        let mine = node == *facts.me;
        if mine && !(nobody_stays && nobody_stayed) {
            continue;
        }
        if nobody_stays {
            let shards = draft.topology().assignment();
            let owned = |state: ShardState| state.owner() == Some(node.incarnation);
            let shards: ShardSet = shards.iter().filter(|(_, state)| owned(*state)).map(|(shard, _)| shard).collect();
            if !mine && !shards.is_empty() {
                continue;
            }
            let command = AssignmentCommand::ReleaseShard { shards };
            draft.assignment(&command).map_err(|refusal| refusal.to_string())?;
        }
        let moving_in = draft
            .topology()
            .assignment()
            .iter()
            .any(|(_, state)| matches!(state, ShardState::Draining { to, .. } if to == node.incarnation));
        let shards_owned = draft.topology().assignment().owned_by(node.incarnation);
        if shards_owned > 0 || moving_in {
            continue;
        }
        if mine {
            let term = draft.topology().leadership().term();
            let resign = LeadershipCommand::ResignLeadership { leader: node.clone(), term };
            draft.leadership(&resign).map_err(|refusal| refusal.to_string())?;
        }
        causes.push(format!("{} leaves", node.node));
        let command = ClusterCommand::LeaveCluster { node, shards_owned };
        draft.cluster(&command).map_err(|refusal| refusal.to_string())?;
    }
    Ok(())
}

//! What a leader writes next: every policy of the cluster, read off the topology and what was seen.
//!
//! Which policies there are, and what leads to what, is the table in `policies.rs`; here is what each of them does.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use aether_domain::assignment::{AssignmentCommand, CancelReason, Grant, PlannedMove, ShardState};
use aether_domain::cluster::{ClusterCommand, FailureReason, Member, NodeStatus, RebalanceCause, Trust};
use aether_domain::lease::LeadershipCommand;
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::records::{MemberRecord, MemberState};
use aether_domain::topology::{Draft, Topology};
use aether_domain::{ClusterUid, Epoch, Incarnation, Monotonic, NodeRef, PlanId, ShardId, ShardSet, Term};
use aether_placement::{InFlight, NodeIdx, NodeState, NodeView, PlacementInput, PlacementStrategy};

use super::fences::Fences;
use super::gray::Unwell;
use super::policies::{LEADING, Turn};
use crate::control::{ControlConfig, Sighting, Sightings, Timers};

/// How much later than due a heartbeat may be seen and nobody thinks anything of it.
const BEAT_LATE_MAX: Duration = Duration::from_millis(250);
/// How many shards one source drains at once.
pub(crate) const DRAINING_PER_SOURCE_MAX: usize = 32;
/// A source is given more to drain once it has no more than this left: moves go in waves, not one by one.
const DRAINING_PER_SOURCE_LOW: usize = DRAINING_PER_SOURCE_MAX / 2;
/// How many shards a source that is unwell drains at once: it is slow enough as it is.
const DRAINING_PER_RELIEVED_MAX: usize = 4;
/// How long membership must be quiet before a plan for balance is made: ten joins make one plan.
const QUIET_BEFORE_PLAN: Duration = Duration::from_millis(300);
/// How long a source has to release before its move is given up.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long a move that was given up is not tried again.
const DRAIN_BACK_OFF: Duration = Duration::from_secs(5);

/// Why an entry is written, in words for people.
pub(super) type Causes = Vec<String>;

/// Every node's last life, with its standing.
type Membership = Vec<(NodeRef, NodeStatus)>;

fn membership_of(topology: &Topology) -> Membership {
    topology.cluster().members().map(|member| (member.node.clone(), member.status)).collect()
}

/// What the difference between two memberships is, as the cause of a plan; the weightiest if there are several.
fn change_between(before: &Membership, after: &Membership) -> Option<RebalanceCause> {
    let changed = after.iter().filter(|now| !before.contains(now)).map(|(_, status)| match status {
        NodeStatus::Active => RebalanceCause::Join,
        NodeStatus::Draining => RebalanceCause::Drain,
        NodeStatus::Failed => RebalanceCause::Failure,
        NodeStatus::Left => RebalanceCause::Leave,
    });
    changed.max_by_key(|cause| weight_of(*cause))
}

/// Which of two causes a plan is put down to.
fn weight_of(cause: RebalanceCause) -> u8 {
    match cause {
        RebalanceCause::Repair => 0,
        RebalanceCause::Join => 1,
        RebalanceCause::Relief => 2,
        RebalanceCause::Leave => 3,
        RebalanceCause::Failure => 4,
        RebalanceCause::Drain => 5,
        RebalanceCause::Operator => 6,
    }
}

/// What a leader remembers beside the log: when things began, by its own clock. Lost with it, and harmless to lose.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    membership: Option<(Membership, Monotonic)>,
    /// The weightiest change of membership since shards were last found in balance, or a plan was made.
    changed: Option<RebalanceCause>,
    /// Since when a failure is due that is held back for others to join it.
    failing_since: Option<Monotonic>,
    /// The epoch at which every shard was with a living owner, and none on its way or meant to move.
    settled_at: Option<Epoch>,
    /// What was looked at when shards were last found in balance: looking at the same again would find the same.
    balanced: Option<(Epoch, BTreeSet<Incarnation>, usize)>,
    pub(super) unwell: Unwell,
    draining_since: BTreeMap<ShardId, (Epoch, Monotonic)>,
    backed_off: BTreeMap<ShardId, Monotonic>,
}

impl Memory {
    /// Whether a source has had that shard to release for too long; such a move is not tried again for a while.
    fn is_late(&mut self, shard: ShardId, drain_epoch: Epoch, timers: &mut Timers) -> bool {
        let now = timers.now();
        let began = self.draining_since.entry(shard).or_insert((drain_epoch, now));
        if began.0 != drain_epoch {
            *began = (drain_epoch, now);
        }
        let late = timers.reached(began.1 + DRAIN_WITHIN);
        if late {
            self.backed_off.insert(shard, now + DRAIN_BACK_OFF);
        }
        late
    }

    fn forget_drains(&mut self, topology: &Topology) {
        let draining = |shard| matches!(topology.assignment().shard(shard), ShardState::Draining { .. });
        self.draining_since.retain(|shard, _| draining(*shard));
    }
}

/// What the policy looks at.
pub(crate) struct Facts<'a> {
    pub(crate) me: &'a NodeRef,
    pub(crate) config: &'a ControlConfig,
    pub(crate) sightings: &'a Sightings,
    pub(crate) strategy: &'a dyn PlacementStrategy,
    /// Lives that are being fenced.
    pub(super) fences: &'a Fences,
    /// Lives that may be dying: see [`doubtful`].
    pub(crate) doubtful: BTreeSet<Incarnation>,
}

/// The members that may be dying: their life is over or being ended, or they have missed two heartbeats. They keep what
/// they have, and nothing is given to them until that is settled.
pub(super) fn doubtful(
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

/// The first entry of a term: whatever founding or return it takes for the leader to be Active, then `TermStarted`, then
/// every shard that nobody has.
pub(crate) fn first_entry(
    topology: &Topology,
    facts: &Facts<'_>,
    term: Term,
    uid: ClusterUid,
) -> Result<(Draft, String), String> {
    let mut draft = Draft::new(topology);
    let mut cause = format!("election of {}", facts.me.node);
    if topology.cluster().uid().is_none() {
        let created = ClusterCommand::CreateCluster { uid, settings: facts.config.settings };
        draft.cluster(&created).map_err(|refusal| refusal.to_string())?;
        cause = format!("creation by {}", facts.me.node);
    }
    if !draft.topology().cluster().is_active(facts.me) {
        let join = ClusterCommand::JoinCluster { node: facts.me.clone(), weight: facts.config.weight };
        draft.cluster(&join).map_err(|refusal| refusal.to_string())?;
    }
    // A new life takes the place of an old one that shards may be on their way to.
    cancel(&mut draft, &mut |_, _| false, &mut Vec::new())?;
    let active = draft.topology().cluster().is_active(facts.me);
    let elect = LeadershipCommand::ElectLeader { candidate: facts.me.clone(), term, active };
    draft.leadership(&elect).map_err(|refusal| refusal.to_string())?;
    assign_homeless(&mut draft, facts)?;
    Ok((draft, cause))
}

/// Everything that is due now, as one entry; an empty draft if nothing is.
pub(crate) fn next_entry(
    topology: &Topology,
    facts: &Facts<'_>,
    memory: &mut Memory,
    timers: &mut Timers,
) -> Result<(Draft, String), String> {
    let (draft, causes) = (Draft::new(topology), Causes::new());
    let mut turn = Turn { draft, before: topology, facts, memory, timers, causes };
    let settled = turn.memory.settled_at == Some(topology.epoch());
    for leading in LEADING {
        // Most of the time nothing is to be done, and nothing is looked at that cannot have changed.
        if settled && turn.draft.is_empty() && !leading.while_settled {
            continue;
        }
        let before = turn.draft.events().len();
        (leading.add)(&mut turn)?;
        let added = &turn.draft.events()[before..];
        debug_assert!(added.iter().all(|event| leading.policy.events.contains(&event.name())), "{added:?}");
    }
    let Turn { draft, mut causes, memory, .. } = turn;
    if draft.is_empty() && !settled && is_settled(topology) {
        memory.settled_at = Some(topology.epoch());
    }
    if causes.is_empty() {
        causes.push("repair".to_owned());
    }
    causes.truncate(8);
    Ok((draft, causes.join(", ")))
}

/// Whether every shard is with a living owner, and none is on its way or meant to move.
fn is_settled(topology: &Topology) -> bool {
    let living: BTreeSet<_> = lives_of(topology, NodeStatus::owns).into_iter().collect();
    let assignment = topology.assignment();
    let owned = |state: &ShardState| matches!(state, ShardState::Owned { owner, .. } if living.contains(owner));
    topology.cluster().plan().is_none() && assignment.pending().len() == 0 && assignment.shards().iter().all(owned)
}

/// The lives whose silence is over `suspect_after`, or over their serve lease and nobody is found under their name, and
/// that are not fenced yet: to be fenced, each by compare-and-set on
/// the record that was watched.
pub(crate) fn suspects(topology: &Topology, facts: &Facts<'_>, timers: &mut Timers) -> Vec<NodeRef> {
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
fn is_before_the_log(member: &Member, record: &MemberRecord) -> bool {
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
                ClusterCommand::JoinCluster { node: node.clone(), weight: record.weight.max(1) }
            }
            (known, MemberState::Starting) if known.as_ref().is_none_or(|known| known.node != *node) => {
                causes.push(format!("join of {}", node.node));
                ClusterCommand::JoinCluster { node: node.clone(), weight: record.weight.max(1) }
            }
            // A leader that leaves lets everybody else go first: it must be Active to lead, and it has the shards.
            (Some(_), MemberState::Leaving)
                if node == facts.me
                    && draft.topology().cluster().members().any(|other| other.node != *node && other.status.owns()) =>
            {
                continue;
            }
            (Some(member), MemberState::Leaving) if member.status == NodeStatus::Active && member.node == *node => {
                causes.push(format!("drain of {}", node.node));
                ClusterCommand::DrainNode { node: node.clone() }
            }
            _ => continue,
        };
        draft.cluster(&command).map_err(|refusal| refusal.to_string())?;
    }
    Ok(())
}

fn lives(draft: &Draft, fits: impl Fn(NodeStatus) -> bool) -> Vec<Incarnation> {
    lives_of(draft.topology(), fits)
}

fn lives_of(topology: &Topology, fits: impl Fn(NodeStatus) -> bool) -> Vec<Incarnation> {
    let members = topology.cluster().members().filter(|member| fits(member.status));
    members.map(|member| member.node.incarnation).collect()
}

fn active(draft: &Draft) -> Vec<Incarnation> {
    lives(draft, |status| status == NodeStatus::Active)
}

/// The lives that are trusted no further than that.
fn distrusted(topology: &Topology, at_most: Trust) -> BTreeSet<Incarnation> {
    let members = topology.cluster().members().filter(|member| member.status.owns() && member.trust >= at_most);
    members.map(|member| member.node.incarnation).collect()
}

fn node_of(topology: &Topology, incarnation: Incarnation) -> Option<NodeRef> {
    topology.cluster().owner(incarnation).map(|member| member.node.clone())
}

/// Gives up moves that will not end by themselves.
pub(super) fn give_up(
    draft: &mut Draft,
    memory: &mut Memory,
    timers: &mut Timers,
    causes: &mut Causes,
) -> Result<(), String> {
    cancel(draft, &mut |shard, drain_epoch| memory.is_late(shard, drain_epoch, timers), causes)?;
    memory.forget_drains(draft.topology());
    Ok(())
}

/// Gives up moves whose destination is gone, or that `is_late` says have taken too long.
fn cancel(
    draft: &mut Draft,
    is_late: &mut dyn FnMut(ShardId, Epoch) -> bool,
    causes: &mut Causes,
) -> Result<(), String> {
    let topology = draft.topology();
    let mut cancelled: BTreeMap<(NodeRef, NodeRef, bool), Vec<ShardId>> = BTreeMap::new();
    for (shard, state) in topology.assignment().iter() {
        let ShardState::Draining { from, to, drain_epoch, .. } = state else { continue };
        let Some(source) = node_of(topology, from) else { continue };
        let destination = topology.cluster().members().find(|member| member.node.incarnation == to);
        let gone = destination.is_none_or(|member| member.status != NodeStatus::Active);
        if gone || is_late(shard, drain_epoch) {
            // A life replaced by another is no longer on record; its name is not needed to give the move up.
            let to =
                destination.map_or_else(|| NodeRef { node: source.node.clone(), incarnation: to }, |m| m.node.clone());
            cancelled.entry((source, to, gone)).or_default().push(shard);
        }
    }
    for ((from, to, gone), shards) in cancelled {
        causes.push(format!("{} moves to {} given up", shards.len(), to.node));
        let reason = if gone { CancelReason::DestinationGone } else { CancelReason::Deadline };
        let shards = shards.into_iter().collect();
        let command = AssignmentCommand::CancelMigration { shards, from, to, reason };
        draft.assignment(&command).map_err(|refusal| refusal.to_string())?;
    }
    Ok(())
}

/// Gives every shard without a living owner one, or says aloud that it has none.
pub(super) fn assign_homeless(draft: &mut Draft, facts: &Facts<'_>) -> Result<(), String> {
    if is_on(Mutant::FailsInTwo) && draft.events().iter().any(|event| event.name() == "NodeFailed") {
        return Ok(());
    }
    let topology = draft.topology();
    let living = lives(draft, NodeStatus::owns);
    let alive: BTreeSet<Incarnation> = living.iter().copied().collect();
    let homeless = |state: ShardState| state.owner().is_none_or(|owner| !alive.contains(&owner));
    if !topology.assignment().iter().any(|(_, state)| homeless(state)) {
        return Ok(());
    }
    let active = active(draft);
    if active.is_empty() {
        let shards: ShardSet = topology
            .assignment()
            .iter()
            .filter(|(_, state)| state.owner().is_some() && homeless(*state))
            .map(|(shard, _)| shard)
            .collect();
        let command = AssignmentCommand::ReleaseShard { shards };
        return draft.assignment(&command).map_err(|refusal| refusal.to_string());
    }
    // Whoever may be dying or is unwell is passed over, unless there is nobody else.
    let fits = |avoided: &BTreeSet<Incarnation>| active.iter().any(|life| !avoided.contains(life));
    let unfit: BTreeSet<_> = facts.doubtful.union(&distrusted(topology, Trust::Suspected)).copied().collect();
    let avoided = [unfit, facts.doubtful.clone()].into_iter().find(fits).unwrap_or_default();
    let plan = Planning::of(topology, &avoided);
    let moves = plan.run(facts.strategy, true)?;
    let mut grants: BTreeMap<NodeRef, Vec<ShardId>> = BTreeMap::new();
    for (shard, _, to) in moves {
        if homeless(topology.assignment().shard(shard)) {
            grants.entry(to).or_default().push(shard);
        }
    }
    let grants = grants.into_iter().map(|(to, shards)| Grant { shards: shards.into_iter().collect(), to }).collect();
    let command = AssignmentCommand::AssignShards { grants, active, living };
    draft.assignment(&command).map_err(|refusal| refusal.to_string())
}

/// Moves what its source reports as released.
pub(super) fn complete(draft: &mut Draft, facts: &Facts<'_>, causes: &mut Causes) -> Result<(), String> {
    let topology = draft.topology();
    let mut ready: BTreeMap<(NodeRef, NodeRef, Epoch), Vec<ShardId>> = BTreeMap::new();
    for (shard, state) in topology.assignment().iter() {
        let ShardState::Draining { from, to, drain_epoch, .. } = state else { continue };
        let (Some(from), Some(to)) = (node_of(topology, from), node_of(topology, to)) else { continue };
        let released = facts.sightings.release(&from.node).is_some_and(|(report, _)| {
            report.node == from
                && report.released.iter().any(|(shards, epoch)| {
                    (*epoch == drain_epoch || is_on(Mutant::OldReleaseCounts)) && shards.contains(shard)
                })
        });
        if (released || is_on(Mutant::MovesBeforeRelease)) && topology.cluster().is_active(&to) {
            ready.entry((from, to, drain_epoch)).or_default().push(shard);
        }
    }
    let active = active(draft);
    for ((from, to, drain_epoch), shards) in ready {
        causes.push(format!("{} shards from {} to {}", shards.len(), from.node, to.node));
        let shards = shards.into_iter().collect();
        let command = AssignmentCommand::CompleteMigration { shards, from, to, drain_epoch, active: active.clone() };
        draft.assignment(&command).map_err(|refusal| refusal.to_string())?;
    }
    let topology = draft.topology();
    if let Some(plan) = topology.cluster().plan() {
        let open = topology.assignment().moving() + topology.assignment().pending().len();
        if open == 0 {
            let command = ClusterCommand::CompleteRebalance { plan: plan.id, open };
            causes.push("rebalance done".to_owned());
            draft.cluster(&command).map_err(|refusal| refusal.to_string())?;
        }
    }
    Ok(())
}

/// Announces a plan if shards are out of balance, on a draining node, and nothing else is under way.
pub(super) fn rebalance(
    draft: &mut Draft,
    before: &Topology,
    facts: &Facts<'_>,
    memory: &mut Memory,
    timers: &mut Timers,
    causes: &mut Causes,
) -> Result<(), String> {
    let topology = draft.topology();
    let membership = membership_of(topology);
    let change = match &memory.membership {
        Some((before, _)) => change_between(before, &membership),
        None => change_between(&membership_of(before), &membership),
    };
    memory.changed = memory.changed.into_iter().chain(change).max_by_key(|cause| weight_of(*cause));
    let quiet_since = match &memory.membership {
        Some((before, since)) if *before == membership => *since,
        _ => timers.now(),
    };
    let draining = membership.iter().any(|(_, status)| *status == NodeStatus::Draining);
    let settled = memory.membership.is_some();
    memory.membership = Some((membership, quiet_since));
    let planned = topology.cluster().plan().is_some() && !is_on(Mutant::PlansAgain);
    if planned || active(draft).is_empty() {
        return Ok(());
    }
    // A node that leaves is not kept waiting; a new leader waits until it has looked around.
    let urgent = draining && settled;
    if !urgent && !timers.reached(quiet_since + QUIET_BEFORE_PLAN) {
        return Ok(());
    }
    memory.backed_off.retain(|_, until| !timers.reached(*until));
    let looked_at = (draft.epoch(), facts.doubtful.clone(), memory.backed_off.len());
    if draft.is_empty() && memory.balanced.as_ref() == Some(&looked_at) {
        return Ok(());
    }
    let mut moves: BTreeMap<(NodeRef, NodeRef), Vec<ShardId>> = BTreeMap::new();
    let in_doubt = |node: &NodeRef| facts.doubtful.contains(&node.incarnation);
    let (suspected, relieved) = (distrusted(topology, Trust::Suspected), distrusted(topology, Trust::Relieved));
    for (shard, from, to) in Planning::of(topology, &relieved).run(facts.strategy, false)? {
        if let Some(from) = from
            && !memory.backed_off.contains_key(&shard)
            && !in_doubt(&from)
            && !in_doubt(&to)
            && !suspected.contains(&to.incarnation)
        {
            moves.entry((from, to)).or_default().push(shard);
        }
    }
    let unprompted = if relieved.is_empty() { RebalanceCause::Repair } else { RebalanceCause::Relief };
    let changed = memory.changed.take().unwrap_or(unprompted);
    if moves.is_empty() {
        memory.balanced = Some(looked_at).filter(|_| draft.is_empty());
        return Ok(());
    }
    let cause = if draining { RebalanceCause::Drain } else { changed };
    causes.push(format!("rebalance after {}", cause.name()));
    let moves = moves
        .into_iter()
        .map(|((from, to), shards)| PlannedMove { shards: shards.into_iter().collect(), from, to })
        .collect();
    let plan = PlanId(draft.epoch().0);
    draft.cluster(&ClusterCommand::RebalanceShards { plan, cause, moves }).map_err(|refusal| refusal.to_string())
}

/// Begins planned moves, as many as each source may drain at once. What changes hands in this very entry moves on in a
/// later one: an entry's moves start from who owned the shards `before` it (I4).
pub(super) fn begin_moves(
    draft: &mut Draft,
    before: &Topology,
    facts: &Facts<'_>,
    causes: &mut Causes,
) -> Result<(), String> {
    let topology = draft.topology();
    if topology.assignment().pending().len() == 0 {
        return Ok(());
    }
    let mut draining: BTreeMap<Incarnation, usize> = BTreeMap::new();
    for (_, state) in topology.assignment().iter() {
        if let ShardState::Draining { from, .. } = state {
            *draining.entry(from).or_default() += 1;
        }
    }
    let busy: Vec<_> =
        draining.iter().filter(|(_, shards)| **shards > DRAINING_PER_SOURCE_LOW).map(|(source, _)| *source).collect();
    let relieved = distrusted(topology, Trust::Relieved);
    let mut begun: BTreeMap<(NodeRef, NodeRef), Vec<ShardId>> = BTreeMap::new();
    for (shard, from, to) in topology.assignment().pending() {
        let in_doubt = |node: &NodeRef| facts.doubtful.contains(&node.incarnation);
        if busy.contains(&from.incarnation) || in_doubt(from) || in_doubt(to) {
            continue;
        }
        let at_source = draining.entry(from.incarnation).or_default();
        let state = topology.assignment().shard(shard);
        let owned = matches!(state, ShardState::Owned { owner, .. } if owner == from.incarnation)
            && before.assignment().shard(shard).owner() == Some(from.incarnation);
        let at_once =
            if relieved.contains(&from.incarnation) { DRAINING_PER_RELIEVED_MAX } else { DRAINING_PER_SOURCE_MAX };
        if owned && *at_source < at_once && topology.cluster().is_active(to) {
            *at_source += 1;
            begun.entry((from.clone(), to.clone())).or_default().push(shard);
        }
    }
    if begun.is_empty() {
        return Ok(());
    }
    causes.push("moves begin".to_owned());
    let active = active(draft);
    let moves = begun
        .into_iter()
        .map(|((from, to), shards)| PlannedMove { shards: shards.into_iter().collect(), from, to })
        .collect();
    let command = AssignmentCommand::RebalanceFromTopology { moves, active };
    draft.assignment(&command).map_err(|refusal| refusal.to_string())
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

/// The topology in the planner's words.
struct Planning {
    nodes: Vec<NodeView>,
    refs: Vec<NodeRef>,
    current: Vec<Option<NodeIdx>>,
    in_flight: Vec<InFlight>,
    seed: u64,
}

impl Planning {
    /// With those in doubt given nothing.
    fn of(topology: &Topology, doubtful: &BTreeSet<Incarnation>) -> Self {
        let members: Vec<_> = topology.cluster().members().filter(|member| member.status.owns()).collect();
        let refs: Vec<_> = members.iter().map(|member| member.node.clone()).collect();
        let nodes = members
            .iter()
            .map(|member| NodeView {
                id: member.node.node.clone(),
                weight: NonZeroU32::new(member.weight).unwrap_or(NonZeroU32::MIN),
                state: match member.status {
                    NodeStatus::Active if !doubtful.contains(&member.node.incarnation) => NodeState::Receiving,
                    _ => NodeState::Draining,
                },
            })
            .collect();
        let index: BTreeMap<_, _> =
            refs.iter().enumerate().map(|(at, node)| (node.incarnation, NodeIdx(at as u16))).collect();
        let state = topology.assignment().shards();
        let current = state.iter().map(|state| state.owner().and_then(|owner| index.get(&owner).copied())).collect();
        let in_flight = topology
            .assignment()
            .iter()
            .filter_map(|(shard, state)| match state {
                ShardState::Draining { from, to, .. } if index.contains_key(&from) => {
                    index.get(&to).map(|to| InFlight { shard, to: *to })
                }
                _ => None,
            })
            .collect();
        Self { nodes, refs, current, in_flight, seed: topology.cluster().settings().hash_seed }
    }

    /// The moves of a checked plan: shard, source if it has one, destination.
    fn run(
        &self,
        strategy: &dyn PlacementStrategy,
        forced_only: bool,
    ) -> Result<Vec<(ShardId, Option<NodeRef>, NodeRef)>, String> {
        let input =
            PlacementInput { seed: self.seed, current: &self.current, nodes: &self.nodes, in_flight: &self.in_flight };
        let plan = strategy.plan(&input).map_err(|refusal| refusal.to_string())?;
        let checked = plan.check(&input).map_err(|fault| fault.to_string())?;
        let node = |index: NodeIdx| self.refs[usize::from(index.0)].clone();
        Ok(checked
            .moves()
            .iter()
            .filter(|step| !forced_only || step.from.is_none())
            .map(|step| (step.shard, step.from.map(node), node(step.to)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::testing::life;

    use super::*;

    #[test]
    fn a_plan_is_put_down_to_the_weightiest_change_of_membership() {
        let with = |changes: &[(&str, u64, NodeStatus)]| {
            let mut membership = vec![(life("a", 1), NodeStatus::Active), (life("b", 1), NodeStatus::Active)];
            for (name, incarnation, status) in changes {
                membership.retain(|(node, _)| node.node != life(name, 1).node);
                membership.push((life(name, *incarnation), *status));
            }
            membership
        };
        for (changes, cause) in [
            (&[][..], None),
            (&[("c", 1, NodeStatus::Active)][..], Some(RebalanceCause::Join)),
            (&[("b", 2, NodeStatus::Active)][..], Some(RebalanceCause::Join)),
            (&[("b", 1, NodeStatus::Failed)][..], Some(RebalanceCause::Failure)),
            (&[("b", 1, NodeStatus::Left)][..], Some(RebalanceCause::Leave)),
            (&[("b", 1, NodeStatus::Draining)][..], Some(RebalanceCause::Drain)),
            (&[("b", 1, NodeStatus::Failed), ("c", 1, NodeStatus::Active)][..], Some(RebalanceCause::Failure)),
        ] {
            assert_eq!(change_between(&with(&[]), &with(changes)), cause, "{changes:?}");
        }
    }
}

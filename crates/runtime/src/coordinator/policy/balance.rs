//! When shards are to be redistributed, and what that is put down to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aether_domain::assignment::PlannedMove;
use aether_domain::cluster::{ClusterCommand, NodeStatus, RebalanceCause, Trust};
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::orders::Wish;
use aether_domain::policy::PlacementPolicy;
use aether_domain::topology::{Draft, Topology};
use aether_domain::{Epoch, Incarnation, Monotonic, NodeRef, PlanId, ShardId};

use super::builds::{self, ROLLOUT_WITHIN, Rollout};
use super::loads::Loads;
use super::planning::Planning;
use super::returns::Returns;
use super::{Causes, Facts, Memory, active, active_of, distrusted, orders};
use crate::control::Timers;

/// How long membership must be quiet before a plan for balance is made: ten joins make one plan.
const QUIET_BEFORE_PLAN: Duration = Duration::from_millis(300);

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
        RebalanceCause::Repair | RebalanceCause::Load => 0,
        RebalanceCause::Join => 1,
        RebalanceCause::Relief => 2,
        RebalanceCause::Leave => 3,
        RebalanceCause::Failure => 4,
        RebalanceCause::Drain => 5,
        RebalanceCause::Operator => 6,
        RebalanceCause::Unserved => 7,
    }
}

/// What has changed since the last plan, and what was found to be in balance.
#[derive(Debug, Default)]
pub(super) struct Changes {
    membership: Option<(Membership, Monotonic)>,
    /// The placement policy as last seen.
    policy: Option<Arc<PlacementPolicy>>,
    /// The weightiest change of membership since shards were last found in balance, or a plan was made.
    weightiest: Option<RebalanceCause>,
    /// What was looked at when shards were last found in balance: looking at the same again would find the same.
    balanced: Option<(Epoch, BTreeSet<Incarnation>, usize, bool)>,
    returns: Returns,
    rollout: Rollout,
    /// The lives that were about to be replaced by another build when it was last looked.
    pub(super) outgoing: BTreeSet<Incarnation>,
}

impl Changes {
    /// Since when membership is as it is.
    pub(super) fn quiet_since(&self) -> Option<Monotonic> {
        self.membership.as_ref().map(|(_, since)| *since)
    }
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
    let Memory { changes, drains, rejections, moved, tries, .. } = memory;
    moved.look(before, timers.now());
    let membership = membership_of(topology);
    let change = match &changes.membership {
        Some((before, _)) => change_between(before, &membership),
        None => change_between(&membership_of(before), &membership),
    };
    let policy = topology.cluster().policy();
    let another = changes.policy.replace(Arc::clone(policy)).is_some_and(|before| before != *policy);
    let hurries = orders::goes_on(before, topology);
    let asked = (another || hurries).then_some(RebalanceCause::Operator);
    changes.weightiest =
        changes.weightiest.into_iter().chain(change).chain(asked).max_by_key(|cause| weight_of(*cause));
    let quiet_since = match &changes.membership {
        Some((before, since)) if *before == membership => *since,
        _ => timers.now(),
    };
    let draining = membership.iter().any(|(_, status)| *status == NodeStatus::Draining);
    let settled = changes.membership.is_some();
    changes.returns.look(before, timers.now());
    changes.returns.look(topology, timers.now());
    changes.membership = Some((membership, quiet_since));
    let planned = topology.cluster().plan().is_some() && !is_on(Mutant::PlansAgain);
    if planned || active(draft).is_empty() {
        return Ok(());
    }
    // A node that leaves is not kept waiting; a new leader waits until it has looked around.
    let urgent = draining && settled || hurries;
    if !urgent && !timers.reached(quiet_since + QUIET_BEFORE_PLAN) {
        return Ok(());
    }
    let backed_off = drains.backed_off(timers);
    let outgoing = changes.rollout.outgoing(topology, facts);
    changes.outgoing.clone_from(&outgoing);
    let grace = facts.config.profile.own_time(topology.cluster().policy().return_grace);
    // The next one of a roll-out may take its time; whoever has come back waits for it.
    let grace = if outgoing.is_empty() { grace } else { grace.max(ROLLOUT_WITHIN) };
    let waits = !hurries && changes.returns.wait(grace, timers);
    let avoided = facts.doubtful.union(&facts.leaving).chain(&outgoing).copied().collect();
    let looked_at = (draft.epoch(), avoided, backed_off.len(), waits);
    if draft.is_empty() && changes.balanced.as_ref() == Some(&looked_at) {
        return Ok(());
    }
    let by_load = topology.cluster().policy().load.is_some();
    let loads = Loads::of(topology, facts, moved);
    // Where load decides, the number of shards is no reason to move any, but a node that has none is, once it is known what
    // they cost. Whatever else is for load waits until all is at rest (`load.rs`).
    let newcomer = by_load && has_newcomer(topology);
    let (voluntary, unknown) = (!by_load || newcomer && loads.is_some(), newcomer && loads.is_none());
    let mut moves: BTreeMap<(NodeRef, NodeRef), Vec<ShardId>> = BTreeMap::new();
    let in_doubt = |node: &NodeRef| facts.doubtful.contains(&node.incarnation);
    let (suspected, mut relieved) = (distrusted(topology, Trust::Suspected), distrusted(topology, Trust::Relieved));
    let avoided = given_nothing(topology, &facts.leaving);
    relieved.retain(|life| avoided.contains(life));
    let held = topology.cluster().wish() != Wish::Resume;
    let mut is_forced = false;
    let (mut steps, rejected) = Planning::of(topology, &avoided).with(loads).holding(tries.shards()).run(facts)?;
    if !outgoing.is_empty() {
        let loads = Loads::of(topology, facts, moved);
        let by = (&facts.config.strategies, facts.me);
        steps = builds::prefer(steps, topology, &avoided, &outgoing, loads, by)?;
    }
    for (shard, from, to, class) in steps {
        if let Some(from) = from
            && !backed_off.contains_key(&shard)
            && !in_doubt(&from)
            && !in_doubt(&to)
            && !suspected.contains(&to.incarnation)
            && (voluntary || class.is_forced())
            && (!held || topology.cluster().must_give(from.incarnation))
        {
            is_forced |= class.is_forced();
            moves.entry((from, to)).or_default().push(shard);
        }
    }
    if let Some(rejected) = rejected {
        rejections.say(draft, rejected)?;
    }
    let rests = waits && !is_forced;
    if rests || moves.is_empty() {
        changes.balanced = Some(looked_at).filter(|_| draft.is_empty() && !unknown);
    }
    if rests {
        return Ok(());
    }
    let unprompted = if relieved.is_empty() { RebalanceCause::Repair } else { RebalanceCause::Relief };
    let changed = changes.weightiest.take().unwrap_or(unprompted);
    if moves.is_empty() {
        return Ok(());
    }
    changes.returns.planned();
    announce(draft, if draining { RebalanceCause::Drain } else { changed }, moves, causes)
}

/// Whoever leaves or is relieved is given nothing, unless nobody else is left who could carry what it has.
pub(super) fn given_nothing(topology: &Topology, leaving: &BTreeSet<Incarnation>) -> BTreeSet<Incarnation> {
    let (living, relieved) = (active_of(topology), distrusted(topology, Trust::Relieved));
    let fits = |avoided: &BTreeSet<_>| living.iter().any(|life| !avoided.contains(life));
    let both: BTreeSet<_> = relieved.union(leaving).copied().collect();
    [both, leaving.clone(), relieved].into_iter().find(fits).unwrap_or_default()
}

/// Whether an Active node has no shard at all.
pub(super) fn has_newcomer(topology: &Topology) -> bool {
    let owners: BTreeSet<_> = topology.assignment().shards().iter().filter_map(|state| state.owner()).collect();
    active_of(topology).iter().any(|life| !owners.contains(life))
}

/// Announces a plan of these moves, if there are any.
pub(super) fn announce(
    draft: &mut Draft,
    cause: RebalanceCause,
    moves: BTreeMap<(NodeRef, NodeRef), Vec<ShardId>>,
    causes: &mut Causes,
) -> Result<(), String> {
    if moves.is_empty() {
        return Ok(());
    }
    causes.push(format!("rebalance after {}", cause.name()));
    let moves = moves
        .into_iter()
        .map(|((from, to), shards)| PlannedMove { shards: shards.into_iter().collect(), from, to })
        .collect();
    let plan = PlanId(draft.epoch().0);
    draft.cluster(&ClusterCommand::RebalanceShards { plan, cause, moves }).map_err(|refusal| refusal.to_string())
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

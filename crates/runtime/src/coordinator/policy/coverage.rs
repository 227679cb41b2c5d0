//! Every shard has an owner, or it is said aloud that it has none.

use std::collections::{BTreeMap, BTreeSet};

use aether_domain::assignment::{AssignmentCommand, Grant, ShardState};
use aether_domain::cluster::{NodeStatus, Trust};
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::topology::Draft;
use aether_domain::{Incarnation, NodeRef, ShardId, ShardSet};

use super::loads::{Loads, Moved};
use super::planning::{Planning, Rejected};
use super::{Facts, active, distrusted, lives};

/// Gives every shard without a living owner one, or says aloud that it has none. Answers whether the adopted strategy was
/// rejected over it.
pub(super) fn assign_homeless(draft: &mut Draft, facts: &Facts<'_>) -> Result<Option<Rejected>, String> {
    if is_on(Mutant::FailsInTwo) && draft.events().iter().any(|event| event.name() == "NodeFailed") {
        return Ok(None);
    }
    let topology = draft.topology();
    let living = lives(draft, NodeStatus::owns);
    let alive: BTreeSet<Incarnation> = living.iter().copied().collect();
    let homeless = |state: ShardState| state.owner().is_none_or(|owner| !alive.contains(&owner));
    if !topology.assignment().iter().any(|(_, state)| homeless(state)) {
        return Ok(None);
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
        draft.assignment(&command).map_err(|refusal| refusal.to_string())?;
        return Ok(None);
    }
    // Whoever may be dying, is about to leave or is unwell is passed over, unless there is nobody else.
    let fits = |avoided: &BTreeSet<Incarnation>| active.iter().any(|life| !avoided.contains(life));
    let going: BTreeSet<_> = facts.doubtful.union(&facts.leaving).copied().collect();
    let unfit: BTreeSet<_> = going.union(&distrusted(topology, Trust::Suspected)).copied().collect();
    let avoided = [unfit, going, facts.doubtful.clone()].into_iter().find(fits).unwrap_or_default();
    let plan = Planning::of(topology, &avoided).with(Loads::of(topology, facts, &Moved::default()));
    let (moves, rejected) = plan.run(facts)?;
    let mut grants: BTreeMap<NodeRef, Vec<ShardId>> = BTreeMap::new();
    for (shard, _, to, _) in moves {
        if homeless(topology.assignment().shard(shard)) {
            grants.entry(to).or_default().push(shard);
        }
    }
    let grants = grants.into_iter().map(|(to, shards)| Grant { shards: shards.into_iter().collect(), to }).collect();
    let command = AssignmentCommand::AssignShards { grants, active, living };
    draft.assignment(&command).map_err(|refusal| refusal.to_string())?;
    Ok(rejected)
}

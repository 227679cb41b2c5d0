//! Which placement policy the cluster goes by: what an operator asks for is taken into the log, if it can be gone by.

use aether_domain::Revision;
use aether_domain::cluster::ClusterCommand;
use aether_domain::policy::PlacementPolicy;
use aether_domain::topology::{Draft, Topology};

use super::{Causes, Facts};
use crate::control::{Note, Strategies};

/// What a leader has said of a policy that it does not adopt: once for each record.
#[derive(Debug, Default)]
pub(super) struct Refused(Option<Revision>);

/// Why that policy cannot be adopted, in words, by a leader that knows `strategies`; nothing if it can.
pub(crate) fn obstacle(policy: &PlacementPolicy, topology: &Topology, strategies: &Strategies) -> Option<String> {
    if let Err(fault) = policy.check(topology.cluster().settings().shards) {
        return Some(fault.to_string());
    }
    let PlacementPolicy { strategy, .. } = policy;
    (!strategies.knows(strategy)).then(|| format!("the placement strategy {strategy} is not known"))
}

/// Adopts what is asked for, if it is something else than what is adopted. What cannot be is left, and said once.
pub(super) fn adopt(
    draft: &mut Draft,
    facts: &Facts<'_>,
    refused: &mut Refused,
    notes: &mut Vec<Note>,
    causes: &mut Causes,
) -> Result<(), String> {
    let Some((policy, revision)) = facts.sightings.desired() else { return Ok(()) };
    if policy == draft.topology().cluster().policy() {
        return Ok(());
    }
    if let Some(why) = obstacle(policy, draft.topology(), &facts.config.strategies) {
        if refused.0.replace(revision) != Some(revision) {
            notes.push(Note::PlacementNotAdopted { revision, why });
        }
        return Ok(());
    }
    causes.push("placement policy adopted".to_owned());
    draft.cluster(&ClusterCommand::AdoptPlacement { policy: policy.clone() }).map_err(|refusal| refusal.to_string())
}

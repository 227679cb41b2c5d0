//! What operators ask of redistribution: each order is taken into the log once, whoever leads, and holds from there on.

use aether_domain::assignment::{CancelReason, ShardState};
use aether_domain::cluster::{ClusterCommand, ClusterRefusal};
use aether_domain::orders::Wish;
use aether_domain::topology::{Draft, Topology};

use super::{Causes, Facts};

/// Takes the last order into the log, unless that was done.
pub(super) fn take_up(draft: &mut Draft, facts: &Facts<'_>, causes: &mut Causes) -> Result<(), String> {
    let Some(order) = facts.sightings.orders().and_then(|orders| orders.rebalance.as_ref()) else { return Ok(()) };
    match draft.cluster(&ClusterCommand::OrderRebalance { order: order.clone() }) {
        Ok(()) => causes.push(format!("{} asked by {}", order.wish.name(), order.asked)),
        Err(ClusterRefusal::OrderTaken) => {}
        Err(refusal) => return Err(refusal.to_string()),
    }
    Ok(())
}

/// Whether an operator asks in this very entry for redistribution to go on.
pub(super) fn goes_on(before: &Topology, after: &Topology) -> bool {
    after.cluster().wish() == Wish::Resume && before.cluster().order() != after.cluster().order()
}

/// Why that move is to be given up on an operator's word, if it is.
pub(super) fn gives_up(topology: &Topology, state: ShardState) -> Option<CancelReason> {
    let ShardState::Draining { from, .. } = state else { return None };
    let cancelled = topology.cluster().wish() == Wish::Cancel && !topology.cluster().must_give(from);
    cancelled.then_some(CancelReason::Operator)
}

//! The topology in the planner's words, and its answer in ours.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::NodeStatus;
use aether_domain::topology::Topology;
use aether_domain::{Incarnation, NodeRef, ShardId};
use aether_placement::{InFlight, NodeIdx, NodeState, NodeView, PlacementInput, PlacementStrategy};

/// The topology in the planner's words.
pub(super) struct Planning {
    nodes: Vec<NodeView>,
    refs: Vec<NodeRef>,
    current: Vec<Option<NodeIdx>>,
    in_flight: Vec<InFlight>,
    seed: u64,
}

impl Planning {
    /// With those in doubt given nothing.
    pub(super) fn of(topology: &Topology, doubtful: &BTreeSet<Incarnation>) -> Self {
        let members: Vec<_> = topology.cluster().members().filter(|member| member.status.owns()).collect();
        let refs: Vec<_> = members.iter().map(|member| member.node.clone()).collect();
        let nodes = members
            .iter()
            .map(|member| NodeView {
                weight: NonZeroU32::new(member.info.weight).unwrap_or(NonZeroU32::MIN),
                state: match member.status {
                    NodeStatus::Active if !doubtful.contains(&member.node.incarnation) => NodeState::Receiving,
                    _ => NodeState::Draining,
                },
                id: member.node.node.clone(),
                zone: member.info.zone.clone(),
                tags: member.info.tags.clone(),
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
    pub(super) fn run(
        &self,
        strategy: &dyn PlacementStrategy,
        forced_only: bool,
    ) -> Result<Vec<(ShardId, Option<NodeRef>, NodeRef)>, String> {
        let input = PlacementInput {
            seed: self.seed,
            current: &self.current,
            nodes: &self.nodes,
            in_flight: &self.in_flight,
            ..Default::default()
        };
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

//! Which of a node's shards it tells the leader of: those that cost it most.

use std::cmp::Reverse;

use aether_domain::records::MemberRecord;
use aether_domain::topology::Topology;
use aether_domain::{Incarnation, ShardId};

/// Of what every shard costs, the part that a heartbeat of that life carries: of its own shards the heaviest, by shard.
pub(super) fn told(topology: &Topology, life: Incarnation, costs: &[u32]) -> Vec<(ShardId, u32)> {
    let owned = topology.assignment().iter().filter(|(_, state)| state.owner() == Some(life));
    let mut loads: Vec<_> =
        owned.map(|(shard, _)| (shard, costs.get(shard.index()).copied().unwrap_or_default())).collect();
    if loads.len() > MemberRecord::SHARD_LOADS_MAX {
        loads.sort_unstable_by_key(|(shard, cost)| (Reverse(*cost), *shard));
        loads.truncate(MemberRecord::SHARD_LOADS_MAX);
        loads.sort_unstable();
    }
    loads
}

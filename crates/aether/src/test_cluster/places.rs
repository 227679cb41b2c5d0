//! Where shards are, who takes them for theirs, and where an operator wants them.

use std::sync::Arc;

use aether_domain::assignment::ShardState;
use aether_domain::policy::PlacementPolicy;
use aether_domain::ports::Expected;
use aether_domain::records::{ControlKey, ControlRecord, DesiredPlacement};
use aether_domain::topology::Topology;
use aether_domain::{NodeId, Nonce, ShardId};
use aether_runtime::actor::Actor;
use aether_runtime::clock::Clock as _;
use aether_runtime::control::service::Status;

use super::TestCluster;

/// Who writes what an operator wants. It is no node of the cluster.
const OPERATOR: &str = "operator";

impl TestCluster {
    /// The topology, as the running node that is furthest ahead sees it; nothing if none runs.
    pub fn topology(&self) -> Option<Arc<Topology>> {
        self.furthest().map(|status| Arc::clone(&status.topology))
    }

    /// The shard of an actor, as long as a node runs.
    ///
    /// # Panics
    /// If the id is no valid name.
    pub fn shard_of<A: Actor>(&self, id: A::Id) -> Option<ShardId> {
        let node = self.lock().nodes.values().find_map(|seat| seat.node.clone())?;
        let shards = self.topology()?.cluster().settings().shards;
        Some(node.actor::<A>(id).address().slot.shard(shards))
    }

    /// Who owns an actor, as the running node that is furthest ahead sees it.
    ///
    /// # Panics
    /// If the id is no valid name.
    pub fn owner_of<A: Actor>(&self, id: A::Id) -> Option<String> {
        let shard = self.shard_of::<A>(id)?;
        self.topology()?.owner(shard).map(|(owner, _)| owner.node.to_string())
    }

    /// The nodes that take that shard for theirs at this instant and hold a serve lease, each by its own clock: whoever may
    /// run a command for it or answer from memory. At most one, always. A paused node does neither.
    pub fn owners_at_once(&self, shard: ShardId) -> Vec<String> {
        let owners = self.serving().into_iter().filter(|(_, status)| takes(status, shard));
        owners.map(|(id, _)| id).collect()
    }

    /// The first of these shards that has two owners at this instant, with them: see [`Self::owners_at_once`].
    pub fn owned_twice(&self, shards: impl IntoIterator<Item = ShardId>) -> Option<(ShardId, Vec<String>)> {
        let serving = self.serving();
        let twice = |shard: &ShardId| serving.iter().filter(|(_, status)| takes(status, *shard)).nth(1).is_some();
        shards.into_iter().find(twice).map(|shard| (shard, self.owners_at_once(shard)))
    }

    /// Every node that is not paused and holds a serve lease.
    fn serving(&self) -> Vec<(String, Arc<Status>)> {
        let state = self.lock();
        let serves = |(id, seat): (&String, &super::Seat)| {
            let status = seat.node.as_ref().filter(|_| !seat.paused)?.control_status();
            (seat.clock.now() < status.serve_until).then(|| (id.clone(), status))
        };
        state.nodes.iter().filter_map(serves).collect()
    }

    /// Lets an operator change what is wanted of where shards are. It is written at once, and done when a leader has taken
    /// it into the log: if the cluster can go by it.
    pub async fn want(&self, change: impl Fn(&mut PlacementPolicy)) {
        let operator = NodeId::new(OPERATOR).unwrap_or_else(|error| unreachable!("{OPERATOR} is a name: {error}"));
        let control = self.inner.hub.ports(&operator).control;
        let nonce = Nonce(self.draw(u64::MAX));
        loop {
            let (mut wanted, expected) = match control.read(&ControlKey::Placement).await {
                // It was stored, whatever was heard of it.
                Ok(Some(stored)) if stored.record.nonce() == nonce => return,
                Ok(Some(stored)) => match stored.record {
                    ControlRecord::Placement(desired) => ((*desired.policy).clone(), Expected::At(stored.revision)),
                    _ => (PlacementPolicy::default(), Expected::At(stored.revision)),
                },
                Ok(None) => (PlacementPolicy::default(), Expected::Absent),
                // The server is away, or in an election.
                Err(_) => continue,
            };
            change(&mut wanted);
            let desired = DesiredPlacement { nonce, policy: Arc::new(wanted) };
            // What came of it is read off the record.
            let _ = control.write(&ControlRecord::Placement(desired), expected).await;
        }
    }
}

/// Whether that node takes a shard for its own: it does not any more once it is asked to release it.
fn takes(status: &Status, shard: ShardId) -> bool {
    let state = status.topology.assignment().shards().get(shard.index());
    matches!(state, Some(ShardState::Owned { owner, .. }) if *owner == status.me.incarnation)
}

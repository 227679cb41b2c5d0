//! Nodes that are restarted one after the other: whoever has come back waits a moment for the next one to drain.
//!
//! A node that left in good order and is back has nothing, and the others have its part. What is moved to it at once is
//! moved again when the next node drains; if that node's shards go to it instead, each shard moves once in a whole rolling
//! restart. So moves that are only for balance wait, for a little while. Moves that must be made never do, and then
//! whoever has come back is given its part with them.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::cluster::NodeStatus;
use aether_domain::topology::Topology;
use aether_domain::{Monotonic, NodeId};

use crate::control::Timers;

/// A node that stays away for longer than this was not restarted: when it comes, it comes as any other.
const RESTART_WITHIN: Duration = Duration::from_secs(600);

/// Who has left and who has come back, by this leader's clock. A new leader counts from when it first looks.
#[derive(Debug, Default)]
pub(super) struct Returns {
    /// Since when nodes are known to have left in good order.
    left: BTreeMap<NodeId, Monotonic>,
    /// When the last of them came back.
    last: Option<Monotonic>,
}

impl Returns {
    /// Takes note of who has left and who is back, in the order in which the topologies came about.
    pub(super) fn look(&mut self, topology: &Topology, now: Monotonic) {
        for member in topology.cluster().members() {
            let id = &member.node.node;
            if member.status == NodeStatus::Left {
                self.left.entry(id.clone()).or_insert(now);
            } else if self.left.remove(id).is_some_and(|since| now.since(since) <= RESTART_WITHIN) {
                self.last = Some(now);
            }
        }
    }

    /// Whether somebody has come back so lately that moves for balance alone are to wait for the next drain.
    pub(super) fn wait(&self, grace: Duration, timers: &mut Timers) -> bool {
        self.last.is_some_and(|last| !timers.reached(last + grace))
    }

    /// Whoever has come back is in a plan now.
    pub(super) fn planned(&mut self) {
        self.last = None;
    }
}

//! What redistribution has come to since this process started, as the topology log tells it.

use std::sync::atomic::{AtomicU64, Ordering};

use aether_domain::assignment::AssignmentEvent;
use aether_domain::cluster::{ClusterEvent, RebalanceCause};
use aether_domain::topology::TopologyEvent;

use crate::subscription::TopologyRecord;

/// Plans of moves, and the shards that they moved. Every node of a cluster counts the same.
#[derive(Debug, Default)]
pub struct Rebalancings {
    triggered: [AtomicU64; RebalanceCause::NAMES.len()],
    completed: AtomicU64,
    moved: AtomicU64,
}

impl Rebalancings {
    /// Takes the next entry.
    pub(crate) fn note(&self, record: &TopologyRecord) {
        for event in &record.events {
            match event {
                TopologyEvent::Cluster(ClusterEvent::RebalancingTriggered { cause, .. }) => {
                    let place = RebalanceCause::NAMES.iter().position(|(named, _)| named == cause);
                    let place = place.expect("every cause has a name");
                    self.triggered[place].fetch_add(1, Ordering::Relaxed);
                }
                TopologyEvent::Cluster(ClusterEvent::RebalancingCompleted { .. }) => {
                    self.completed.fetch_add(1, Ordering::Relaxed);
                }
                TopologyEvent::Assignment(AssignmentEvent::ShardMigrated { shards, .. }) => {
                    self.moved.fetch_add(shards.len() as u64, Ordering::Relaxed);
                }
                _ => {}
            }
        }
    }

    /// Plans begun, by the stable name of what made them necessary.
    pub fn triggered(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.triggered.iter().map(|count| count.load(Ordering::Relaxed));
        RebalanceCause::NAMES.iter().map(|(_, name)| *name).zip(counts)
    }

    /// Plans whose moves are all done or given up.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Shards that planned moves have given another owner.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

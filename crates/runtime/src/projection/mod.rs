//! Read models of what happens to the cluster, folded from the same subscription that others have.
//!
//! [`audit`] says what happened, to whom and why; [`health`] says how everybody is; [`Migrated`] counts shards that come
//! and go, [`Rebalancings`] plans. They are pure and bounded, are built
//! from the log again whenever a process starts, and decide nothing.

pub mod audit;
pub mod health;
pub(crate) mod migrations;
mod rebalancing;

pub use audit::{Audit, Line, Why};
pub use health::{ClusterVerdict, Facts, Health, HealthView, NodeHealth, Verdict, has_failed};
pub use migrations::Migrated;
pub use rebalancing::Rebalancings;

use std::sync::{Arc, PoisonError, RwLock};

use futures_util::StreamExt as _;

use crate::subscription::{TopologyEvents, TopologyRecord};

/// The read models of one node.
#[derive(Clone, Debug, Default)]
pub struct Projections {
    /// What happened.
    pub audit: Audit,
    /// How everybody is.
    pub health: Health,
}

impl Projections {
    /// Folds the next entry.
    pub fn apply(&mut self, record: &TopologyRecord) {
        self.audit.apply(record.clone());
        self.health.apply(record);
    }
}

/// Keeps `projections` up with the log until the subscription ends.
pub(crate) async fn keep(mut events: TopologyEvents, projections: Arc<RwLock<Projections>>) {
    while let Some(told) = events.next().await {
        match told {
            Ok(record) => projections.write().unwrap_or_else(PoisonError::into_inner).apply(&record),
            Err(error) => tracing::error!(%error, "the audit and health views learn nothing more"),
        }
    }
}

#[cfg(test)]
mod tests;

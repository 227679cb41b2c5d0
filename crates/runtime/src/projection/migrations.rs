//! The shards that planned moves have brought to this node and taken from it, as they are told to anybody who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aether_domain::NodeId;
use futures_util::StreamExt as _;

use crate::subscription::ShardMigrations;

/// How many shards have come and gone since this process started.
#[derive(Debug, Default)]
pub struct Migrated {
    gained: AtomicU64,
    lost: AtomicU64,
}

impl Migrated {
    /// Shards that came.
    pub fn gained(&self) -> u64 {
        self.gained.load(Ordering::Relaxed)
    }

    /// Shards that went.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Keeps `migrated` up with the log until the subscription ends.
pub(crate) async fn count(mut migrations: ShardMigrations, me: NodeId, migrated: Arc<Migrated>) {
    while let Some(told) = migrations.next().await {
        match told {
            Ok(moved) => {
                let (shard, epoch, plan) = (moved.shard.0, moved.epoch.0, moved.plan.map(|(plan, _)| plan.0));
                if moved.to.node == me {
                    migrated.gained.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(shard, epoch, plan, from = %moved.from, "a shard has come");
                } else if moved.from.node == me {
                    migrated.lost.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(shard, epoch, plan, to = %moved.to, "a shard has gone");
                }
            }
            Err(error) => tracing::error!(%error, "migrations are not counted any more"),
        }
    }
}

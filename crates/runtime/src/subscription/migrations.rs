//! Shards that have changed owner in a planned move, one by one, each with the plan it was part of.
//!
//! It reads the same entries as everybody ([`super::topology_events`]) and keeps no more than one of them. A plan's number
//! is the epoch of the entry that began it, and there is one plan at a time, so the plan of a move is the last one begun
//! before it: where a subscription begins in the middle of one, that entry is looked for once, going back.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use aether_domain::assignment::AssignmentEvent;
use aether_domain::cluster::{ClusterEvent, RebalanceCause};
use aether_domain::ports::{ReadError, TopologyLog};
use aether_domain::topology::TopologyEvent;
use aether_domain::{Epoch, NodeRef, PlanId, Sequence, ShardId};
use futures_util::{Stream, StreamExt as _, stream};

use super::reader::{READ_BATCH, unanswered};
use super::{Since, SubscriptionError, TopologyEvents, TopologyRecord, topology_events};

/// A shard has another owner, by a move that was planned: its old owner has released it, and the new one may serve it.
///
/// An owner that died is no move: its shards are given out by a `ShardAssigned` ([`super::topology_events`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMigrated {
    /// Which shard.
    pub shard: ShardId,
    /// The life that had it.
    pub from: NodeRef,
    /// The life that has it now.
    pub to: NodeRef,
    /// The epoch of the entry that says so: the shard's new epoch, the fencing token of its new owner.
    pub epoch: Epoch,
    /// The plan that it was part of, and what made that necessary. Nothing only where the log's entry of it cannot be
    /// understood.
    pub plan: Option<(PlanId, RebalanceCause)>,
    /// What to store once this has been dealt with. Whoever goes on behind it ([`Since::Epoch`]) is told everything that
    /// comes after this, and perhaps shards of the same entry once more.
    pub seen: Epoch,
}

/// Migrations as they come: see [`shard_migrations`].
pub type ShardMigrations = Pin<Box<dyn Stream<Item = Result<ShardMigrated, SubscriptionError>> + Send>>;

/// Every shard that a planned move has given another owner behind `since`, and every later one: in the order of the log,
/// those of one entry by number, and at least once for whoever stores [`ShardMigrated::seen`].
///
/// It waits through outages, and ends only behind an error, as [`topology_events`] does. Must be polled within a tokio
/// runtime.
///
/// ```
/// # use std::sync::Arc;
/// # use aether_domain::ids::Epoch;
/// # use aether_domain::ports::TopologyLog;
/// use aether_runtime::subscription::{Since, shard_migrations};
/// use futures_util::StreamExt as _;
///
/// async fn follow(log: Arc<dyn TopologyLog>, stored: Epoch) {
///     let mut migrations = shard_migrations(log, Since::Epoch(stored));
///     while let Some(Ok(moved)) = migrations.next().await {
///         println!("{} is with {} now", moved.shard, moved.to);
///         // Now store `moved.seen`.
///     }
/// }
/// ```
pub fn shard_migrations(log: Arc<dyn TopologyLog>, since: Since) -> ShardMigrations {
    of_events(Arc::clone(&log), topology_events(log, since))
}

/// The migrations among `events`, which are those of `log`.
pub(crate) fn of_events(log: Arc<dyn TopologyLog>, events: TopologyEvents) -> ShardMigrations {
    let migrations = Migrations { log, events, plan: Plan::Unknown, told: VecDeque::new() };
    Box::pin(stream::unfold(migrations, |mut migrations| async {
        let told = migrations.next().await?;
        Some((told, migrations))
    }))
}

/// The last plan begun.
#[derive(Clone, Copy)]
enum Plan {
    /// It has not been looked for.
    Unknown,
    Known(Option<(PlanId, RebalanceCause)>),
}

struct Migrations {
    log: Arc<dyn TopologyLog>,
    events: TopologyEvents,
    plan: Plan,
    /// Of one entry, and still to be told.
    told: VecDeque<ShardMigrated>,
}

impl Migrations {
    async fn next(&mut self) -> Option<Result<ShardMigrated, SubscriptionError>> {
        loop {
            if let Some(moved) = self.told.pop_front() {
                return Some(Ok(moved));
            }
            match self.events.next().await? {
                Ok(record) => self.take(&record).await,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    async fn take(&mut self, record: &TopologyRecord) {
        for event in &record.events {
            if let Some(begun) = begun(event) {
                self.plan = Plan::Known(Some(begun));
            }
            let TopologyEvent::Assignment(AssignmentEvent::ShardMigrated { shards, from, to }) = event else {
                continue;
            };
            let plan = match self.plan {
                Plan::Known(plan) => plan,
                Plan::Unknown => last_begun(self.log.as_ref(), record.at.sequence).await,
            };
            self.plan = Plan::Known(plan);
            let before = Epoch(record.epoch.0.saturating_sub(1));
            self.told.extend(shards.iter().map(|shard| ShardMigrated {
                shard,
                from: from.clone(),
                to: to.clone(),
                epoch: record.epoch,
                plan,
                seen: before,
            }));
        }
        // Only who has dealt with the last of an entry has dealt with the entry.
        if let Some(last) = self.told.back_mut() {
            last.seen = record.epoch;
        }
    }
}

fn begun(event: &TopologyEvent) -> Option<(PlanId, RebalanceCause)> {
    match event {
        TopologyEvent::Cluster(ClusterEvent::RebalancingTriggered { plan, cause, .. }) => Some((*plan, *cause)),
        _ => None,
    }
}

/// The last plan begun before that place.
async fn last_begun(log: &dyn TopologyLog, before: Sequence) -> Option<(PlanId, RebalanceCause)> {
    let mut end = before.0;
    while end > 1 {
        let after = (end - 1).saturating_sub(READ_BATCH as u64);
        match log.read(Sequence(after), READ_BATCH).await {
            Ok(entries) => {
                let mut entries = entries.iter().rev().filter(|stored| stored.at.sequence.0 < end);
                if let Some(plan) = entries.find_map(|stored| stored.entry.events.iter().rev().find_map(begun)) {
                    return Some(plan);
                }
                end = after + 1;
            }
            Err(ReadError::Corrupt { .. }) => return None,
            Err(error) => unanswered(&error).await,
        }
    }
    None
}

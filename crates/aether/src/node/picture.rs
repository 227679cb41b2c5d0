//! What a node's pages show of it.

use std::sync::Arc;

use aether_domain::ShardId;
use aether_domain::ports::{ControlStore, DeadLetters};
use aether_runtime::control::service::Status;
use aether_runtime::control::{Preview, preview, unmet};
use aether_runtime::projection::{Facts, HealthView, Why};
use aether_runtime::splitbrain::SplitBrain;
use aether_runtime::subscription::{Since, TopologyEvents};

use super::{BUILD, Node};
use crate::admin::{Counter, Picture, PlacementPicture, Source};
use crate::metrics::names;

impl Node {
    /// What its admin pages and metrics are made of.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    fn health(&self, status: &Status, split_brain: &SplitBrain) -> HealthView {
        let now = self.clock.now();
        let heard =
            status.members.iter().map(|(node, (record, seen))| (node.clone(), (record.node.clone(), now.since(*seen))));
        let facts = Facts {
            me: status.me.clone(),
            phase: status.phase,
            heard: heard.collect(),
            profile: status.topology.cluster().settings().profile,
            wall: self.clock.wall(),
            fault: status.fault.clone(),
            placement_obstacle: status.placement_obstacle.clone(),
            strays: status.strays.clone(),
            too_hot: status.too_hot.clone(),
            quarantined: self.runtime.stats().host.quarantined_now,
            unreconciled: self.runtime.stats().host.unreconciled,
            suspicions: split_brain.suspicions.iter().map(|suspicion| suspicion.evidence.to_string()).collect(),
        };
        self.runtime.projected(|projections| HealthView::of(&status.topology, &projections.health, &facts))
    }

    fn placement(&self, status: &Status) -> PlacementPicture {
        PlacementPicture {
            desired: status.desired.clone(),
            obstacle: status.placement_obstacle.clone(),
            too_hot: status.too_hot.clone(),
            rejected: self.runtime.projected(|projections| projections.health.rejected()),
            unmet: unmet(&status.topology),
            strategies: self.runtime.strategies().names().map(ToString::to_string).collect(),
        }
    }

    fn counters(&self, suspected: u64) -> Vec<Counter> {
        let stats = self.runtime.stats();
        let (host, router, over) = (stats.host, stats.router, self.runtime.handover_stats());
        let rejections = self.runtime.projected(|projections| projections.health.rejections());
        let (counts, rebalancings) = (self.status.borrow().counts, self.runtime.rebalancings());
        [
            (names::COMMANDS, None, host.commands),
            (names::MESSAGES_ROUTED, Some("local"), router.asks_local),
            (names::MESSAGES_ROUTED, Some("remote"), router.asks_remote),
            (names::MESSAGES_ROUTED, Some("retry"), router.retries),
            (names::MESSAGES_ROUTED, Some("received"), router.received),
            (names::APPEND_CONFLICTS, None, host.conflicts),
            (names::SNAPSHOTS, Some("saved"), host.snapshots_saved),
            (names::SNAPSHOTS, Some("failed"), host.snapshots_failed),
            (names::SNAPSHOTS, Some("used"), host.snapshots_used),
            (names::MOVES, Some("completed"), over.completed),
            (names::MOVES, Some("failed"), over.failed),
            (names::HANDED_OVER, Some("acknowledged"), over.acknowledged),
            (names::HANDED_OVER, Some("left_out"), over.left_out + host.warm_left_out),
            (names::HANDED_OVER, Some("arrived"), over.arrived),
            (names::HANDED_OVER, Some("refused"), over.refused),
            (names::HANDED_OVER, Some("used"), host.warm_used),
            (names::HANDED_OVER, Some("given_back"), over.given_back),
            (names::HANDOVER_RETRIES, None, over.retries),
            (names::HANDOVER_BYTES, Some("moving"), over.held_bytes as u64),
            (names::HANDOVER_BYTES, Some("waiting"), host.warm_waiting_bytes as u64),
            (names::POISONED, None, host.poisoned),
            (names::DEAD_LETTERS, Some("kept"), host.letters_kept),
            (names::DEAD_LETTERS, Some("lost"), host.letters_lost),
            (names::SLOW_HANDLERS, None, host.slow_handlers),
            (names::SHARDS_RECONCILED, None, host.reconciled),
            (names::SHARDS_UNRECONCILED, None, host.unreconciled as u64),
            (names::REMINDERS_FIRED, None, host.reminders_fired),
            (names::REMINDERS_LATE, None, host.reminders_late_millis),
            (names::REMINDERS_ACTORS, None, host.actors_with_reminders as u64),
            (names::EVICTIONS, None, host.evictions),
            (names::BUSY, Some("mailbox"), host.busy_mailbox),
            (names::BUSY, Some("shard"), host.busy_shard),
            (names::BUSY, Some("node"), host.busy_node),
            (names::BUSY, Some("load"), host.busy_load),
            (names::RESIDENTS, None, host.resident_actors as u64),
            (names::RESIDENT_BYTES, None, host.resident_bytes as u64),
            (names::WAITING_BYTES, None, host.waiting_bytes as u64),
            (names::LOADS_WAITING, None, host.loads_waiting as u64),
            (names::FENCING_REJECTIONS, Some("member"), counts.lives_lost),
            (names::FENCING_REJECTIONS, Some("shard"), host.shards_fenced),
            (names::REBALANCING_COMPLETED, None, rebalancings.completed()),
            (names::REBALANCING_MOVED, None, rebalancings.moved()),
            (names::SHARD_MAPS_DIFFERED, None, counts.maps_differed),
            (names::SHARDS_MIGRATED, Some("gained"), self.runtime.migrated().gained()),
            (names::SHARDS_MIGRATED, Some("lost"), self.runtime.migrated().lost()),
            (names::SPLIT_BRAIN_SUSPECTED, None, suspected),
            (names::PLACEMENT_REJECTIONS, None, rejections),
        ]
        .into_iter()
        .chain(rebalancings.triggered().map(|(reason, count)| (names::REBALANCING_TRIGGERED, Some(reason), count)))
        .map(|(metric, label, count)| Counter { metric, label, count })
        .collect()
    }
}

impl Source for Node {
    fn picture(&self) -> Option<Picture> {
        let status = Arc::clone(&self.status.borrow());
        let now = self.clock.now();
        let split_brain = Arc::clone(&self.split_brain().borrow());
        let seen =
            status.members.iter().map(|(node, (record, seen))| (node.clone(), (record.clone(), now.since(*seen))));
        Some(Picture {
            namespace: self.namespace.clone(),
            me: status.me.clone(),
            phase: status.phase.name(),
            settled: status.settled,
            serve_left: status.serve_until.since(now),
            topology: Arc::clone(&status.topology),
            leading: status.leading.map(|(term, until)| (term, until.since(now))),
            renewed: status.renewed.map(|sent| now.since(sent)),
            heartbeats: seen.collect(),
            fault: status.fault.clone(),
            counters: self.counters(split_brain.suspected),
            kinds: self.runtime.kind_stats(),
            command_times: self.runtime.command_times(),
            append_times: self.runtime.append_times(),
            round_trip: status.round_trip,
            health: self.health(&status, &split_brain),
            split_brain,
            placement: self.placement(&status),
            quarantined: self.runtime.quarantined(),
            moves: self.moves(),
            handover: self.runtime.handover_stats(),
            feeds: self.feeds(),
            #[cfg(feature = "nats")]
            nats: self.session.as_ref().map(|session| crate::admin::NatsPicture {
                connected: session.is_connected(),
                reconnects: session.counters().connects.saturating_sub(1),
                server_errors: session.counters().server_errors,
            }),
            #[cfg(not(feature = "nats"))]
            nats: None,
            build: BUILD.into(),
        })
    }
    fn topology_events(&self, since: Since) -> Option<TopologyEvents> {
        Some(Self::topology_events(self, since))
    }

    fn preview(&self) -> Option<Result<Preview, String>> {
        let status = Arc::clone(&self.status.borrow());
        Some(preview(&status.topology, self.runtime.strategies(), &status.me, status.outlook.as_deref()))
    }

    fn dead_letters(&self) -> Option<Arc<dyn DeadLetters>> {
        Some(Arc::clone(self.runtime.dead_letters()))
    }

    fn control(&self) -> Option<Arc<dyn ControlStore>> {
        Some(Arc::clone(self.runtime.control_store()))
    }

    fn why(&self, shard: ShardId) -> Option<Why> {
        Some(self.runtime.projected(|projections| projections.audit.why(shard)))
    }
}

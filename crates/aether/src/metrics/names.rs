//! Every metric there is, with its unit and meaning. A name, once released, is never given another meaning.
//!
//! Labels come from closed sets (status, route, outcome, node ids of the cluster); never an actor's id.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows, from 0 at the start of the process. Scraped with `_total` behind its name.
    Counter,
    /// Durations by buckets that only grow. Scraped with `_bucket`, `_count` and `_sum` behind its name.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, in the order of their values in a scrape.
    pub labels: &'static [&'static str],
    /// Its unit and meaning.
    pub help: &'static str,
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

/// Nodes by status.
pub const NODES: Metric = gauge("aether_cluster_nodes", &["status"], "Nodes the topology log has heard of, by status");
/// Shards with an owner.
pub const SHARDS_ASSIGNED: Metric = gauge("aether_cluster_shards_assigned", &[], "Shards with an owner");
/// Shards without one.
pub const SHARDS_ORPHANED: Metric = gauge("aether_cluster_shards_orphaned", &[], "Shards without an owner");
/// Whether this node leads.
pub const IS_LEADER: Metric =
    gauge("aether_cluster_leader_is_leader", &[], "1 if this node leads in the term beside it, else 0");
/// The term.
pub const LEADER_TERM: Metric = gauge("aether_cluster_leader_term", &[], "The last term started");
/// The rest of the lease.
pub const LEASE_EXPIRES: Metric = gauge(
    "aether_cluster_leader_lease_expires_in_seconds",
    &[],
    "Seconds until this node stops leading unless it renews; 0 if it does not lead",
);
/// The age of the last renewal.
pub const RENEWAL_AGE: Metric = gauge(
    "aether_cluster_leader_last_renewal_age_seconds",
    &[],
    "Seconds since this node's last stored renewal of the lease was sent; absent if it does not lead",
);
/// Whether a plan is under way.
pub const REBALANCING_ACTIVE: Metric =
    gauge("aether_cluster_rebalancing_active", &[], "1 while a plan of moves is under way, else 0");
/// Whether an operator has paused redistribution.
pub const REBALANCING_PAUSED: Metric = gauge(
    "aether_cluster_rebalancing_paused",
    &[],
    "1 while an operator has paused or cancelled redistribution, else 0",
);
/// Plans of moves.
pub const REBALANCING_TRIGGERED: Metric = counter(
    "aether_cluster_rebalancing_triggered",
    &["reason"],
    "Plans of moves begun since this node started, by what made them necessary; every node counts all of the cluster",
);
/// Plans that are over.
pub const REBALANCING_COMPLETED: Metric = counter(
    "aether_cluster_rebalancing_completed",
    &[],
    "Plans of moves that were done or given up since this node started; every node counts all of the cluster",
);
/// What they moved.
pub const REBALANCING_MOVED: Metric = counter(
    "aether_cluster_rebalancing_shards_moved",
    &[],
    "Shards that planned moves have given another owner since this node started; every node counts all of the cluster",
);
/// The age of a node's last heartbeat.
pub const HEARTBEAT_LATENCY: Metric = gauge(
    "aether_cluster_node_heartbeat_latency_seconds",
    &["node"],
    "Seconds since the node's last heartbeat was first seen here",
);
/// A node's commands a second.
pub const NODE_LOAD: Metric =
    gauge("aether_cluster_node_load", &["node"], "Commands a second, by the node's last heartbeat");
/// A node's actors.
pub const NODE_ACTORS: Metric =
    gauge("aether_cluster_node_actors", &["node"], "Actors in memory, by the node's last heartbeat");
/// A node's shards.
pub const NODE_SHARDS: Metric = gauge("aether_cluster_node_shards", &["node"], "Shards the node owns");
/// The epoch.
pub const EPOCH: Metric = gauge("aether_topology_epoch", &[], "The last entry of the topology log applied here");
/// The build.
pub const BUILD_INFO: Metric = gauge("aether_build_info", &["version"], "Always 1; the label names the build");

/// Whether NATS is there.
pub const NATS_CONNECTED: Metric =
    gauge("aether_nats_connected", &[], "1 while this node is connected to NATS, else 0; absent in memory");
/// How often it was found again.
pub const NATS_RECONNECTS: Metric =
    counter("aether_nats_reconnects", &[], "Times the connection to NATS was established anew; absent in memory");
/// What a server has refused.
pub const NATS_SERVER_ERRORS: Metric = counter(
    "aether_nats_server_errors",
    &[],
    "Times a NATS server has refused this node something or complained, a right that it lacks above all; absent in memory",
);
/// How far JetStream is.
pub const NATS_RTT: Metric = gauge(
    "aether_nats_rtt_seconds",
    &[],
    "Seconds to JetStream and back, its write included: what this node's last stored heartbeat took; absent in memory",
);
/// Commands.
pub const COMMANDS: Metric =
    counter("aether_commands", &[], "Commands brought to this node's shards, whatever became of them");
/// How long commands take.
pub const COMMAND_DURATION: Metric = histogram(
    "aether_command_duration_seconds",
    &[],
    "Seconds from when a command was brought to its shard on this node until it was answered, whatever the answer; one in 16 is \
     timed and counted",
);
/// How long appends take.
pub const APPEND_DURATION: Metric = histogram(
    "aether_event_append_duration_seconds",
    &[],
    "Seconds that the store took over a commit of this node, whatever became of it",
);
/// Messages by the way they took.
pub const MESSAGES_ROUTED: Metric = counter(
    "aether_messages_routed",
    &["route"],
    "Commands by their way: run here (local), sent first (remote), sent again (retry), taken from others (received)",
);
/// Appends somebody else won.
pub const APPEND_CONFLICTS: Metric =
    counter("aether_event_append_conflicts", &[], "Commits refused because another write came first");
/// Actors loaded.
pub const ACTIVATIONS: Metric = counter("aether_actor_activations", &["kind"], "Actors loaded into memory");
/// Actors that left memory because nobody asked them.
pub const PASSIVATIONS: Metric = counter(
    "aether_actor_passivations",
    &["kind", "reason"],
    "Actors put out of memory, because nobody had asked them for long enough (idle) or to make room for others (room)",
);
/// Events read to load actors.
pub const REPLAYED: Metric = counter(
    "aether_actor_replayed_events",
    &["kind"],
    "Events read and applied to load actors into memory; those that a snapshot stands for are not read",
);
/// Snapshots of actors by what became of them.
pub const SNAPSHOTS: Metric = counter(
    "aether_actor_snapshots",
    &["outcome"],
    "Snapshots of actors: kept (saved), due and not kept (failed), loaded in the place of a history (used)",
);
/// Actors that left memory to make room.
pub const EVICTIONS: Metric =
    counter("aether_actor_evictions", &[], "Actors put out of memory to make room for others");
/// Commands refused for now.
pub const BUSY: Metric = counter(
    "aether_commands_busy",
    &["bound"],
    "Commands answered Busy by this node's shards: too many for one actor (mailbox), for one shard (shard), too many bytes \
     on the node (node), or no room or too many waiting to load an actor (load)",
);
/// Actors in memory.
pub const RESIDENTS: Metric = gauge("aether_actors_resident", &[], "Actors in memory");
/// Their bytes.
pub const RESIDENT_BYTES: Metric =
    gauge("aether_actors_resident_bytes", &[], "Bytes of the actors in memory, estimated");
/// Bytes that wait.
pub const WAITING_BYTES: Metric =
    gauge("aether_commands_waiting_bytes", &[], "Bytes of the commands that wait in shards, estimated");
/// Actors that wait to be loaded.
pub const LOADS_WAITING: Metric = gauge("aether_loads_waiting", &[], "Actors that wait for their histories to be read");
/// Commands given up.
pub const POISONED: Metric = counter(
    "aether_commands_poisoned",
    &[],
    "Commands given up because their actor panics over them or lives of nodes ended with them",
);
/// Letters about them.
pub const DEAD_LETTERS: Metric = counter(
    "aether_dead_letters",
    &["outcome"],
    "Letters about commands that were given up, by what became of them (kept, lost)",
);
/// Actors set aside.
pub const ACTORS_QUARANTINED: Metric =
    gauge("aether_actors_quarantined", &[], "Actors set aside on this node until a person looks; counted up to 1,024");
/// Handlers that run too long.
pub const SLOW_HANDLERS: Metric =
    counter("aether_handlers_slow", &[], "Handlers that were named in the log because they ran for too long");
/// Shards that were put right.
pub const SHARDS_RECONCILED: Metric = counter(
    "aether_shards_reconciled",
    &[],
    "Times a shard of this node went on doing something else than the topology says, and was told again; none is the only good number",
);
/// Shards that are not right.
pub const SHARDS_UNRECONCILED: Metric = gauge(
    "aether_shards_unreconciled",
    &[],
    "Shards of this node that do something else than the topology says, although told again",
);
/// Reminders that have fired.
pub const REMINDERS_FIRED: Metric =
    counter("aether_reminders_fired", &[], "Reminders that have fired here and are stored");
/// How late they were.
pub const REMINDERS_LATE: Metric = counter(
    "aether_reminders_late_milliseconds",
    &[],
    "Milliseconds from when reminders were due until they were stored, all together",
);
/// Actors to be looked at.
pub const REMINDERS_ACTORS: Metric = gauge(
    "aether_reminders_actors",
    &[],
    "Actors of this node's shards that have reminders, or had some lately, as far ahead as is known here",
);
/// Writes refused because this node's right to them is over.
pub const FENCING_REJECTIONS: Metric = counter(
    "aether_fencing_rejections",
    &["kind"],
    "What others had ended before this node knew: its own life (member), or a shard of it that a stored record shows to be \
     somebody else's (shard)",
);

/// Shard maps that are not the leader's.
pub const SHARD_MAPS_DIFFERED: Metric = counter(
    "aether_shard_maps_differed",
    &[],
    "Times this node, as leader, heard of another shard map than its own at the same entry; none is the only good number",
);
/// Shards that planned moves brought or took.
pub const SHARDS_MIGRATED: Metric = counter(
    "aether_shards_migrated",
    &["direction"],
    "Shards that planned moves have brought to this node (gained) and taken from it (lost)",
);
/// Suspected split brains.
pub const SPLIT_BRAIN_SUSPECTED: Metric = counter(
    "aether_split_brain_suspected",
    &[],
    "Times two things were seen that cannot both be true; none is the only good number",
);
/// Suspected split brains that stand.
pub const SPLIT_BRAIN_SUSPICIONS: Metric =
    gauge("aether_split_brain_suspicions", &[], "Suspected split brains seen within the last 10 s");
/// Strategies rejected.
pub const PLACEMENT_REJECTIONS: Metric = counter(
    "aether_placement_rejections",
    &[],
    "Times the topology log, as far as folded here, says that the adopted placement strategy was stood in for",
);
/// Shards that are too hot.
pub const SHARDS_TOO_HOT: Metric = gauge(
    "aether_shards_too_hot",
    &[],
    "Shards that alone cost more than a node is to bear, if this node leads and load decides where shards are; else 0",
);
/// How the cluster is.
pub const CLUSTER_HEALTH: Metric =
    gauge("aether_cluster_health", &[], "How the cluster is, as this node sees it: 0 ok, 1 degraded, 2 critical");

/// Whether a feed is worked on here.
pub const FEED_WORKING: Metric =
    gauge("aether_feed_working", &["feed"], "1 if this node works on the feed, 0 if it stands by or has stopped");
/// Commits that a feed has not handled.
pub const FEED_BEHIND: Metric = gauge(
    "aether_feed_behind",
    &["feed"],
    "Commits, at most, behind what the feed has handled; those that it does not want are counted too",
);
/// The age of the first event that a feed has not handled.
pub const FEED_LAG: Metric = gauge(
    "aether_feed_lag_seconds",
    &["feed"],
    "Seconds since the first event was stored that is at hand here and not handled; 0 if there is none",
);
/// Events handled.
pub const FEED_HANDLED: Metric = counter("aether_feed_handled", &["feed"], "Events of the feed handled on this node");
/// Failures of handlers.
pub const FEED_FAILURES: Metric =
    counter("aether_feed_failures", &["feed"], "Times the feed's handler failed or panicked on this node");
/// Events passed over.
pub const FEED_SKIPPED: Metric = counter(
    "aether_feed_skipped",
    &["feed"],
    "Events of the feed given up and passed over on this node; none is the only good number",
);

/// Moves that are over.
pub const MOVES: Metric =
    counter("aether_moves", &["outcome"], "Moves of shards away from this node that are over, by how they ended");
/// How long they took.
pub const MOVE_DURATION: Metric = histogram(
    "aether_move_duration_seconds",
    &["phase"],
    "Seconds that moves away from this node which are over have spent in each phase",
);
/// How long their actors waited.
pub const MOVE_PAUSE: Metric = histogram(
    "aether_move_pause_seconds",
    &[],
    "Seconds from when this node stopped serving a shard until it saw the next owner named, of moves that are completed",
);
/// Actors that follow their shards.
pub const HANDED_OVER: Metric = counter(
    "aether_actors_handed_over",
    &["outcome"],
    "Actors that followed their shards warm: acknowledged by the next owner, left out; arrived here, refused, used; given back",
);
/// Parts sent again.
pub const HANDOVER_RETRIES: Metric =
    counter("aether_handover_retries", &[], "Parts of shards' warm actors that were sent again");
/// What is held.
pub const HANDOVER_BYTES: Metric = gauge(
    "aether_handover_held_bytes",
    &["place"],
    "Bytes of warm actors in memory, by estimate: moving with their shards, or waiting here to be asked",
);

/// Every metric, in the order of a scrape.
pub const ALL: &[Metric] = &[
    NODES,
    SHARDS_ASSIGNED,
    SHARDS_ORPHANED,
    IS_LEADER,
    LEADER_TERM,
    LEASE_EXPIRES,
    RENEWAL_AGE,
    REBALANCING_ACTIVE,
    REBALANCING_PAUSED,
    REBALANCING_TRIGGERED,
    REBALANCING_COMPLETED,
    REBALANCING_MOVED,
    HEARTBEAT_LATENCY,
    NODE_LOAD,
    NODE_ACTORS,
    NODE_SHARDS,
    EPOCH,
    BUILD_INFO,
    NATS_CONNECTED,
    NATS_RECONNECTS,
    NATS_SERVER_ERRORS,
    NATS_RTT,
    COMMANDS,
    COMMAND_DURATION,
    MESSAGES_ROUTED,
    APPEND_CONFLICTS,
    APPEND_DURATION,
    ACTIVATIONS,
    PASSIVATIONS,
    REPLAYED,
    SNAPSHOTS,
    EVICTIONS,
    BUSY,
    RESIDENTS,
    RESIDENT_BYTES,
    WAITING_BYTES,
    LOADS_WAITING,
    FENCING_REJECTIONS,
    SHARD_MAPS_DIFFERED,
    SHARDS_MIGRATED,
    SPLIT_BRAIN_SUSPECTED,
    SPLIT_BRAIN_SUSPICIONS,
    PLACEMENT_REJECTIONS,
    SHARDS_TOO_HOT,
    CLUSTER_HEALTH,
    POISONED,
    DEAD_LETTERS,
    ACTORS_QUARANTINED,
    SLOW_HANDLERS,
    SHARDS_RECONCILED,
    SHARDS_UNRECONCILED,
    FEED_WORKING,
    FEED_BEHIND,
    FEED_LAG,
    FEED_HANDLED,
    FEED_FAILURES,
    FEED_SKIPPED,
    REMINDERS_FIRED,
    REMINDERS_LATE,
    REMINDERS_ACTORS,
    MOVES,
    MOVE_DURATION,
    MOVE_PAUSE,
    HANDED_OVER,
    HANDOVER_RETRIES,
    HANDOVER_BYTES,
];

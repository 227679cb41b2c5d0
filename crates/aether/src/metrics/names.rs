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
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its label, if it has one.
    pub label: Option<&'static str>,
    /// Its unit and meaning.
    pub help: &'static str,
}

const fn gauge(name: &'static str, label: Option<&'static str>, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, label, help }
}

const fn counter(name: &'static str, label: Option<&'static str>, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, label, help }
}

/// Nodes by status.
pub const NODES: Metric =
    gauge("aether_cluster_nodes", Some("status"), "Nodes the topology log has heard of, by status");
/// Shards with an owner.
pub const SHARDS_ASSIGNED: Metric = gauge("aether_cluster_shards_assigned", None, "Shards with an owner");
/// Shards without one.
pub const SHARDS_ORPHANED: Metric = gauge("aether_cluster_shards_orphaned", None, "Shards without an owner");
/// Whether this node leads.
pub const IS_LEADER: Metric =
    gauge("aether_cluster_leader_is_leader", None, "1 if this node leads in the term beside it, else 0");
/// The term.
pub const LEADER_TERM: Metric = gauge("aether_cluster_leader_term", None, "The last term started");
/// The rest of the lease.
pub const LEASE_EXPIRES: Metric = gauge(
    "aether_cluster_leader_lease_expires_in_seconds",
    None,
    "Seconds until this node stops leading unless it renews; 0 if it does not lead",
);
/// The age of the last renewal.
pub const RENEWAL_AGE: Metric = gauge(
    "aether_cluster_leader_last_renewal_age_seconds",
    None,
    "Seconds since this node's last stored renewal of the lease was sent; absent if it does not lead",
);
/// Whether a plan is under way.
pub const REBALANCING_ACTIVE: Metric =
    gauge("aether_cluster_rebalancing_active", None, "1 while a plan of moves is under way, else 0");
/// Whether an operator has paused redistribution.
pub const REBALANCING_PAUSED: Metric = gauge(
    "aether_cluster_rebalancing_paused",
    None,
    "1 while an operator has paused or cancelled redistribution, else 0",
);
/// The age of a node's last heartbeat.
pub const HEARTBEAT_LATENCY: Metric = gauge(
    "aether_cluster_node_heartbeat_latency_seconds",
    Some("node"),
    "Seconds since the node's last heartbeat was first seen here",
);
/// A node's commands a second.
pub const NODE_LOAD: Metric =
    gauge("aether_cluster_node_load", Some("node"), "Commands a second, by the node's last heartbeat");
/// A node's actors.
pub const NODE_ACTORS: Metric =
    gauge("aether_cluster_node_actors", Some("node"), "Actors in memory, by the node's last heartbeat");
/// A node's shards.
pub const NODE_SHARDS: Metric = gauge("aether_cluster_node_shards", Some("node"), "Shards the node owns");
/// The epoch.
pub const EPOCH: Metric = gauge("aether_topology_epoch", None, "The last entry of the topology log applied here");
/// The build.
pub const BUILD_INFO: Metric = gauge("aether_build_info", Some("version"), "Always 1; the label names the build");

/// Whether NATS is there.
pub const NATS_CONNECTED: Metric =
    gauge("aether_nats_connected", None, "1 while this node is connected to NATS, else 0; absent in memory");
/// How often it was found again.
pub const NATS_RECONNECTS: Metric =
    counter("aether_nats_reconnects", None, "Times the connection to NATS was established anew; absent in memory");
/// What a server has refused.
pub const NATS_SERVER_ERRORS: Metric = counter(
    "aether_nats_server_errors",
    None,
    "Times a NATS server has refused this node something or complained, a right that it lacks above all; absent in memory",
);
/// Commands.
pub const COMMANDS: Metric =
    counter("aether_commands", None, "Commands brought to this node's shards, whatever became of them");
/// Messages by the way they took.
pub const MESSAGES_ROUTED: Metric = counter(
    "aether_messages_routed",
    Some("route"),
    "Commands by their way: run here (local), sent first (remote), sent again (retry), taken from others (received)",
);
/// Appends somebody else won.
pub const APPEND_CONFLICTS: Metric =
    counter("aether_event_append_conflicts", None, "Commits refused because another write came first");
/// Actors loaded.
pub const ACTIVATIONS: Metric = counter("aether_actor_activations", None, "Actors loaded into memory");
/// Actors that left memory because nobody asked them.
pub const PASSIVATIONS: Metric = counter(
    "aether_actor_passivations",
    None,
    "Actors put out of memory because nobody had asked them for long enough",
);
/// Snapshots of actors by what became of them.
pub const SNAPSHOTS: Metric = counter(
    "aether_actor_snapshots",
    Some("outcome"),
    "Snapshots of actors: kept (saved), due and not kept (failed), loaded in the place of a history (used)",
);
/// Actors that left memory to make room.
pub const EVICTIONS: Metric =
    counter("aether_actor_evictions", None, "Actors put out of memory to make room for others");
/// Commands refused for now.
pub const BUSY: Metric = counter(
    "aether_commands_busy",
    Some("bound"),
    "Commands answered Busy by this node's shards: too many for one actor (mailbox), for one shard (shard), too many bytes \
     on the node (node), or no room or too many waiting to load an actor (load)",
);
/// Actors in memory.
pub const RESIDENTS: Metric = gauge("aether_actors_resident", None, "Actors in memory");
/// Their bytes.
pub const RESIDENT_BYTES: Metric =
    gauge("aether_actors_resident_bytes", None, "Bytes of the actors in memory, estimated");
/// Bytes that wait.
pub const WAITING_BYTES: Metric =
    gauge("aether_commands_waiting_bytes", None, "Bytes of the commands that wait in shards, estimated");
/// Actors that wait to be loaded.
pub const LOADS_WAITING: Metric =
    gauge("aether_loads_waiting", None, "Actors that wait for their histories to be read");
/// Commands given up.
pub const POISONED: Metric = counter(
    "aether_commands_poisoned",
    None,
    "Commands given up because their actor panics over them or lives of nodes ended with them",
);
/// Letters about them.
pub const DEAD_LETTERS: Metric = counter(
    "aether_dead_letters",
    Some("outcome"),
    "Letters about commands that were given up, by what became of them (kept, lost)",
);
/// Actors set aside.
pub const ACTORS_QUARANTINED: Metric =
    gauge("aether_actors_quarantined", None, "Actors set aside on this node until a person looks; counted up to 1,024");
/// Handlers that run too long.
pub const SLOW_HANDLERS: Metric =
    counter("aether_handlers_slow", None, "Handlers that were named in the log because they ran for too long");
/// Shards that were put right.
pub const SHARDS_RECONCILED: Metric = counter(
    "aether_shards_reconciled",
    None,
    "Times a shard of this node went on doing something else than the topology says, and was told again; none is the only good number",
);
/// Shards that are not right.
pub const SHARDS_UNRECONCILED: Metric = gauge(
    "aether_shards_unreconciled",
    None,
    "Shards of this node that do something else than the topology says, although told again",
);
/// Reminders that have fired.
pub const REMINDERS_FIRED: Metric =
    counter("aether_reminders_fired", None, "Reminders that have fired here and are stored");
/// How late they were.
pub const REMINDERS_LATE: Metric = counter(
    "aether_reminders_late_milliseconds",
    None,
    "Milliseconds from when reminders were due until they were stored, all together",
);
/// Actors to be looked at.
pub const REMINDERS_ACTORS: Metric = gauge(
    "aether_reminders_actors",
    None,
    "Actors of this node's shards that have reminders, or had some lately, as far ahead as is known here",
);
/// Writes refused because this node's right to them is over.
pub const FENCING_REJECTIONS: Metric =
    counter("aether_fencing_rejections", Some("kind"), "Lives of this node that others ended (member)");

/// Shard maps that are not the leader's.
pub const SHARD_MAPS_DIFFERED: Metric = counter(
    "aether_shard_maps_differed",
    None,
    "Times this node, as leader, heard of another shard map than its own at the same entry; none is the only good number",
);
/// Shards that planned moves brought or took.
pub const SHARDS_MIGRATED: Metric = counter(
    "aether_shards_migrated",
    Some("direction"),
    "Shards that planned moves have brought to this node (gained) and taken from it (lost)",
);
/// Suspected split brains.
pub const SPLIT_BRAIN_SUSPECTED: Metric = counter(
    "aether_split_brain_suspected",
    None,
    "Times two things were seen that cannot both be true; none is the only good number",
);
/// Suspected split brains that stand.
pub const SPLIT_BRAIN_SUSPICIONS: Metric =
    gauge("aether_split_brain_suspicions", None, "Suspected split brains seen within the last 10 s");
/// Strategies rejected.
pub const PLACEMENT_REJECTIONS: Metric = counter(
    "aether_placement_rejections",
    None,
    "Times the topology log, as far as folded here, says that the adopted placement strategy was stood in for",
);
/// Shards that are too hot.
pub const SHARDS_TOO_HOT: Metric = gauge(
    "aether_shards_too_hot",
    None,
    "Shards that alone cost more than a node is to bear, if this node leads and load decides where shards are; else 0",
);
/// How the cluster is.
pub const CLUSTER_HEALTH: Metric =
    gauge("aether_cluster_health", None, "How the cluster is, as this node sees it: 0 ok, 1 degraded, 2 critical");

/// Whether a feed is worked on here.
pub const FEED_WORKING: Metric =
    gauge("aether_feed_working", Some("feed"), "1 if this node works on the feed, 0 if it stands by or has stopped");
/// Commits that a feed has not handled.
pub const FEED_BEHIND: Metric = gauge(
    "aether_feed_behind",
    Some("feed"),
    "Commits, at most, behind what the feed has handled; those that it does not want are counted too",
);
/// The age of the first event that a feed has not handled.
pub const FEED_LAG: Metric = gauge(
    "aether_feed_lag_seconds",
    Some("feed"),
    "Seconds since the first event was stored that is at hand here and not handled; 0 if there is none",
);
/// Events handled.
pub const FEED_HANDLED: Metric =
    counter("aether_feed_handled", Some("feed"), "Events of the feed handled on this node");
/// Failures of handlers.
pub const FEED_FAILURES: Metric =
    counter("aether_feed_failures", Some("feed"), "Times the feed's handler failed or panicked on this node");
/// Events passed over.
pub const FEED_SKIPPED: Metric = counter(
    "aether_feed_skipped",
    Some("feed"),
    "Events of the feed given up and passed over on this node; none is the only good number",
);

/// Moves that are over.
pub const MOVES: Metric =
    counter("aether_moves", Some("outcome"), "Moves of shards away from this node that are over, by how they ended");
/// How long they took.
pub const MOVE_DURATION: Metric = counter(
    "aether_move_duration_seconds",
    Some("phase"),
    "Seconds that moves away from this node which are over have spent in each phase, all together",
);
/// How long their actors waited.
pub const MOVE_PAUSE: Metric = counter(
    "aether_move_pause_seconds",
    None,
    "Seconds from when this node stopped serving a shard until it saw the next owner named, all completed moves together",
);
/// Actors that follow their shards.
pub const HANDED_OVER: Metric = counter(
    "aether_actors_handed_over",
    Some("outcome"),
    "Actors that followed their shards warm: acknowledged by the next owner, left out; arrived here, refused, used; given back",
);
/// Parts sent again.
pub const HANDOVER_RETRIES: Metric =
    counter("aether_handover_retries", None, "Parts of shards' warm actors that were sent again");
/// What is held.
pub const HANDOVER_BYTES: Metric = gauge(
    "aether_handover_held_bytes",
    Some("place"),
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
    HEARTBEAT_LATENCY,
    NODE_LOAD,
    NODE_ACTORS,
    NODE_SHARDS,
    EPOCH,
    BUILD_INFO,
    NATS_CONNECTED,
    NATS_RECONNECTS,
    NATS_SERVER_ERRORS,
    COMMANDS,
    MESSAGES_ROUTED,
    APPEND_CONFLICTS,
    ACTIVATIONS,
    PASSIVATIONS,
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

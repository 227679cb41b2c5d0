//! The words and rules of Aether, without I/O: identifiers, the three aggregates, the topology they make together, the
//! invariants, what is stored, and the ports through which the rest of the world is reached.
//!
//! Nothing here knows a clock, randomness, an async runtime or a serialisation format. Where to begin:
//! [`topology`] is the fold that everything turns on, [`ports`] is what adapters implement. [`journal`] is event sourcing as a
//! library: streams of events over those ports, without actors, nodes or a cluster (`docs/guide/journal.md`).
//!
//! ```
//! use aether_domain::cluster::{Cluster, ClusterCommand, ClusterEvent, ClusterRefusal, ClusterSettings, NodeInfo};
//! use aether_domain::testing::{given, life};
//! use aether_domain::ClusterUid;
//!
//! let created = ClusterEvent::ClusterCreated { uid: ClusterUid(7), settings: ClusterSettings::default() };
//! let joined = ClusterEvent::NodeJoined { node: life("a", 1), info: NodeInfo::default() };
//! given::<Cluster>([created.into(), joined.into()])
//!     .when(ClusterCommand::JoinCluster { node: life("a", 1), info: NodeInfo::default() })
//!     .then_refused(ClusterRefusal::AlreadyMember { node: life("a", 1) });
//! ```

pub mod aggregate;
pub mod assignment;
pub mod cluster;
pub mod ids;
pub mod image;
pub mod invariants;
pub mod journal;
pub mod lease;
#[doc(hidden)]
pub mod mutants;
pub mod orders;
pub mod policy;
pub mod ports;
pub mod records;
mod shard_set;
pub mod testing;
pub mod time;
pub mod timing;
pub mod topology;
mod trace;
pub mod verification;

pub use ids::{
    ActorAddress, ActorId, ActorKey, ActorKind, ClusterUid, CommandId, Epoch, FeedName, Incarnation, InvalidId,
    MessageId, Namespace, NodeId, NodeRef, Nonce, PlanId, Revision, Sequence, ShardCount, ShardId, ShardSet, Slot,
    StrategyName, Tag, Term, Version, Zone,
};
pub use time::{Monotonic, WallTime};
pub use trace::{InvalidTraceParent, TraceParent};

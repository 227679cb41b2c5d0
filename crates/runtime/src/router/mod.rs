//! Routing: from any caller on this node to whichever node owns the actor's shard, and back.
//!
//! [`Router`] is the way in. One small pure machine a shard decides (`machine`), the lanes keep the machines behind
//! short locks (`lanes`, `core`, `effects`), one task takes what other nodes send and brings it to
//! its shards in turn, another keeps time and follows the view (`inbox`, `intake`). Nodes never forward: whoever is asked
//! answers, or says that it is not the owner. What is promised: a `tell` at most once; an `ask` effectively once for
//! commands that commit at least one record, run again harmlessly otherwise; order per sender while the owner stays the
//! same, and across a completed move.

mod ask;
pub mod bounds;
mod budget;
mod core;
mod effects;
mod inbox;
mod intake;
mod lanes;
mod machine;
mod outgoing;
mod parking;
mod service;
mod stats;
mod window;

pub use outgoing::{HandOver, Local, Outgoing, Parcel, Written};
pub use service::{Router, RouterConfig};
pub use stats::RouterStats;

//! The Cluster aggregate: who is a member, by which policy shards are placed, and when they are to be redistributed.
//!
//! It does not know who owns what (`assignment`) nor who leads (`lease`).

mod command;
mod event;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use command::ClusterCommand;
pub use event::{ClusterEvent, FailureReason, RebalanceCause};
pub use refusal::ClusterRefusal;
pub use state::{Cluster, ClusterSettings, Member, NodeInfo, NodeStatus, OpenPlan, Trust};

//! The control plane of one node: it folds the log, keeps its membership, and leads when it must.
//!
//! [`machine`] is all decisions, without I/O; [`service`] runs it over the ports. Who decides what inside:
//! `member` keeps this life alive and known, `coordinator` elects and leads.

mod cas;
pub mod catch_up;
mod digests;
mod exchange;
mod fault;
pub mod machine;
pub mod service;
mod settling;
mod sightings;
mod sources;
mod timers;

pub use crate::coordinator::append::AppendResult;
pub use crate::coordinator::policy::outlook::{Outlook, Preview, preview};
pub use crate::coordinator::policy::planning::{Step, unmet};
pub use crate::coordinator::policy::table::{Policy, all as policies};
pub use crate::coordinator::strategies::{RegisterStrategyError, Strategies};
pub(crate) use cas::{PendingWrite, Progress};
pub use digests::DIGESTS_MAX;
pub use exchange::{ControlConfig, Effect, Input, Note, Phase, SNAPSHOT_EVERY, StopReason, Token, WriteOutcome};
pub use fault::{Fault, OnRegression};
pub use machine::Machine;
pub use sightings::{ShardLoadsSeen, Sighting, Sightings};
pub(crate) use sources::watching;
pub(crate) use timers::Timers;

#[cfg(test)]
mod tests;

//! Shards: where actors live, one compare-and-set record at a time.
//!
//! [`ShardHost`] is a node's shards. Behind it each shard is a pure machine that is told what happens and answers what it
//! wants done; the host does it. Which node a command belongs to is the router's trade; a shard only says no to what is
//! not its own.

mod admission;
mod appends;
mod bounds;
mod cell;
mod clocks;
mod core;
mod facts;
mod history;
mod host;
mod idle;
mod inner;
mod input;
mod letters;
mod loads;
mod machine;
mod memory;
mod places;
mod quarantine;
mod reconcile;
mod remembered;
mod residents;
mod resolve;
mod slot;
mod snapshots;
mod stats;
#[cfg(test)]
mod tests;
mod timers;
mod wakes;
mod warm;
mod watchdog;
mod withdrawal;

pub use host::{HostConfig, Release, ShardHost};
pub use memory::{KindStats, MemoryLimits};
pub use quarantine::{Quarantined, RELEASE};
pub use stats::HostStats;
pub use watchdog::{EXIT_STUCK, StuckHandler, Watchdog};

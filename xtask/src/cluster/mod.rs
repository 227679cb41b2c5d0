//! A local cluster of real processes: started, looked at, broken on purpose and ended.
//!
//! What runs is written down in `cluster.json` ([`ClusterFile`]); every command works from that file alone, so it does
//! not matter which one started a process. Nothing is ended that is not written there, and of those only the very
//! process that was started. Aether itself is only a program here, asked over HTTP.
//!
//! Read next: [`up()`], then [`ClusterFile`].

mod config;
mod down;
mod file;
mod launch;
mod node;
mod program;
mod status;
mod up;
mod view;
mod watch;

pub use config::{NodeConfig, Profile};
pub use down::{Ending, down};
pub use file::{ClusterFile, LoadRecord, NatsRecord, NodeRecord, Supervisor};
pub use node::{add, begin, drain, kill, restart, restart_all, resume, stop};
pub use program::{build, workspace_root};
pub use status::{LoadStatus, NodeStatus, Status, status};
pub use up::{NatsChoice, UpOptions, up};
pub use view::{ClusterView, NodeView, ShardsView, owners};
pub use watch::watch;

#[cfg(test)]
pub(crate) mod tests {
    //! A cluster's file, for tests of whoever reads it.

    pub(crate) use super::file::tests::sample;
}

//! Membership of this node: its own record, its heartbeat, its serve lease, what it releases, and how it leaves.
//!
//! It judges nobody else; that is the coordinator's work.

mod loads;
pub(crate) mod machine;

#[cfg(test)]
mod tests;

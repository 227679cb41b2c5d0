//! Leadership of the cluster: [`machine`] contends for the lease and keeps it, [`policy`] decides what a leader
//! writes.
//!
//! The lease says who tries; every entry is a compare-and-set on the log, and that decides.

pub(crate) mod append;
mod fences;
mod formats;
pub(crate) mod machine;
pub(crate) mod policy;
mod snapshots;
pub(crate) mod strategies;

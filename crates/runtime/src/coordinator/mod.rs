//! Leadership of the cluster: [`machine`] contends for the lease and keeps it, [`policies`] lists what leads a leader to
//! write what, [`policy`] and [`gray`] carry that out.
//!
//! The lease says who tries; every entry is a compare-and-set on the log, and that decides.

pub(crate) mod append;
mod fences;
mod gray;
pub(crate) mod machine;
pub(crate) mod policies;
pub(crate) mod policy;
mod snapshots;

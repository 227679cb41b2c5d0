//! Death certificates: a supervisor that has reaped a process says so in the records that this process wrote.
//!
//! Nothing else may write one. That a node does not answer, or that its connection is gone, is no proof that its process
//! is; that the system has handed its exit status to its parent is. [`Certificate`] is all decisions, [`certify`] runs it
//! over the control store. Starting processes and waiting for them is the `aether` program's work.

mod machine;
mod service;

pub use machine::{Certificate, Verdict};
pub use service::certify;

#[cfg(test)]
mod tests;

//! The LeadershipLease aggregate: who leads, in which term, as the log knows it.
//!
//! Clocks are not its business: how long a lease lasts is [`LeaseTimings`](crate::timing::LeaseTimings), and who may
//! *try* to lead is decided over the lease record by the coordinator.

mod command;
mod event;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use command::LeadershipCommand;
pub use event::{LeadershipEvent, LossReason};
pub use refusal::LeadershipRefusal;
pub use state::LeadershipLease;

//! The ShardAssignment aggregate: which node owns which shard, and what is on its way.
//!
//! It judges whether a move is legal; finding a good plan is placement's trade.

mod command;
mod event;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use command::{AssignmentCommand, Grant};
pub use event::{AssignmentEvent, CancelReason, PlannedMove};
pub use refusal::AssignmentRefusal;
pub use state::{ShardAssignment, ShardState};

//! Which shard an actor is in, and which node a shard goes to.
#![warn(missing_docs)]

mod census;
pub mod check;
pub mod hash;
pub mod ring;
pub mod sticky;
pub mod strategy;

pub use check::{CheckedPlan, PlanFault};
pub use hash::ShardHash;
pub use ring::ConsistentHashRing150;
pub use sticky::{StickyBalanced, minimum_moves};
pub use strategy::{
    InFlight, InputFault, Move, MoveClass, NodeIdx, NodeState, NodeView, PlacementError, PlacementInput, PlacementPlan,
    PlacementStrategy, PlanReport, StrategyId,
};

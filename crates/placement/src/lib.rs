//! Which shard an actor is in, and which node a shard goes to.
//!
//! Two pure functions that meet in the number of shards and nowhere else:
//! - [`ShardHash`] gives every actor one of 65,536 slots, frozen for ever; a shard is a run of slots.
//! - a [`PlacementStrategy`], by default [`StickyBalanced`], is told who holds which shard and answers with the moves
//!   that bring every node within one shard of its exact share. They are the fewest that can do so.
//!
//! A plan is only a proposal. [`PlacementPlan::check`] makes a [`CheckedPlan`] of it, which alone has moves to execute.
//! This crate executes nothing, stores nothing, and does not know time or the network. `docs/placement.md`
//! says why the moves are the fewest.
//!
//! # A node joins
//!
//! ```
//! use aether_domain::NodeId;
//! use aether_placement::{
//!     NodeIdx, NodeState, NodeView, PlacementError, PlacementInput, PlacementStrategy, StickyBalanced, minimum_moves,
//! };
//!
//! let node = |id: &str| NodeView::new(NodeId::new(id).expect("a name"));
//! let mut nodes = vec![node("n1"), node("n2")];
//! let mut owners: Vec<Option<NodeIdx>> = (0..12).map(|shard| Some(NodeIdx(shard % 2))).collect();
//!
//! // A third of the shards move to the newcomer, and none between the others.
//! nodes.push(node("n3"));
//! let input = PlacementInput { seed: 1, current: &owners, nodes: &nodes, ..Default::default() };
//! let plan = StickyBalanced.plan(&input)?;
//! assert_eq!(plan.moves.len(), 4);
//! assert_eq!(minimum_moves(&input), Ok(4));
//! for step in plan.check(&input)?.moves() {
//!     assert_eq!(step.to, NodeIdx(2));
//!     owners[step.shard.index()] = Some(step.to);
//! }
//!
//! // Balanced is left alone.
//! let input = PlacementInput { seed: 1, current: &owners, nodes: &nodes, ..Default::default() };
//! assert!(StickyBalanced.plan(&input)?.moves.is_empty());
//!
//! // With nobody to receive there is no plan, and the owners stay.
//! let leaving: Vec<_> = nodes.iter().map(|node| NodeView { state: NodeState::Draining, ..node.clone() }).collect();
//! let input = PlacementInput { nodes: &leaving, ..input };
//! assert_eq!(StickyBalanced.plan(&input), Err(PlacementError::NoReceivers { nodes: 3 }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod census;
pub mod check;
pub mod digest;
pub mod hash;
pub mod kit;
pub mod load;
pub mod map;
mod needs;
pub mod places;
pub mod rendezvous;
pub mod ring;
pub mod sticky;
pub mod strategy;
pub mod table;
pub mod waves;
pub mod wire;

pub use check::{CheckedPlan, PlanFault};
pub use digest::MapDigest;
pub use hash::ShardHash;
pub use kit::{Promise, check_strategy};
pub use load::{TooHot, too_hot};
pub use map::ShardMap;
pub use places::Places;
pub use rendezvous::Rendezvous;
pub use ring::{BoundedRing, ConsistentHashRing150};
pub use sticky::{StickyBalanced, minimum_moves};
pub use strategy::{
    InFlight, InputFault, Move, MoveClass, NodeIdx, NodeState, NodeView, PlacementError, PlacementInput, PlacementPlan,
    PlacementStrategy, PlanReport, ShardLoads, StrategyId,
};
pub use waves::{next_wave, waves};

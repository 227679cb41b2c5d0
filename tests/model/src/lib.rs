//! The protocol in small: every state it can reach within narrow bounds, and every rule taken away in turn.
//!
//! One shard with one actor, a node A that has it, a node B that gets it, and one or two leaders. Messages are lost,
//! repeated and late; nodes and leaders die; reads of the history are stale; actors leave memory and are loaded again; an
//! operator pauses redistribution, lets it go on, and asks A to leave.
//! [`explore`] visits every reachable [`State`] of that world breadth first, so what it finds is the shortest way there.
//!
//! It is a model, not the product: it says that the *rules* of docs/PROTOCOL.md suffice, and that none of them is
//! idle. That the code keeps them is the simulation's business (`tests/sim`). Bounds are small, so it proves nothing
//! about all sizes.
//!
//! Read on in [`rules`](Rules), `state.rs`, `steps.rs` (what may happen), `checks.rs` (what must never be).

mod bounded;
mod checks;
mod explore;
mod rules;
mod state;
mod steps;
mod worlds;

pub use explore::{Explored, explore};
pub use rules::{Bounds, Rule, Rules};
pub use state::State;
pub use steps::Step;
pub use worlds::{World, broken, sound};

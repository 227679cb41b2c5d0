//! A small seeded simulation: the production control plane over a server in virtual time, one thread, no waiting.
//!
//! A seed draws a [`Scenario`]: how many nodes and shards, which timers, how each clock goes wrong, which faults the
//! server and the ways to it have, and when nodes are killed, frozen, cut off, joined and drained. A [`World`] runs it in
//! two phases: faults strike, then everything heals and must come to rest. The invariants are checked after every
//! event; the same seed gives the same events, and [`Run::trace_hash`] says so.
//!
//! It does not run actors: of the data plane it models only which shards a node would serve at each instant, from the
//! same view and serve lease as the product. It has no real I/O and does not know NATS; that the imitated server fails
//! like the real one is the contract suite's business.

mod accusation;
mod act;
mod checks;
mod clock;
mod hunt;
mod node;
mod orders;
mod outside;
mod placement;
mod plane;
mod process;
mod render;
mod rest;
mod scenario;
mod seeds;
mod supervisor;
mod trace;
mod watch;
mod world;

pub use act::{Act, Spoiled, Target};
pub use clock::NodeClock;
pub use hunt::{Catch, Hunt};
pub use scenario::{Scenario, Wanted};
pub use seeds::{MARKS, Sum, reproduction, run_seed, run_seeds};
pub use world::{Failure, Run, World};

//! What the ports promise, as cases that every adapter must pass.
//!
//! A [`World`] is one backend; a [`Place`] is one empty namespace in it. The cases of [`cases::all`] know nothing else,
//! so the same table runs over memory and over a real nats-server. [`run`] runs them all and names backend and case
//! of every failure. A case that needs what only some backends can do says so ([`Need`]).
//!
//! [`differential`] holds two backends against each other, with operations that nobody thought of.
//!
//! Not here: what only real processes can show (kills, elections, restarts), which is `tests/cluster`.

mod begun;
pub mod cases;
pub mod differential;
pub mod memory;
mod runner;
mod samples;
mod settle;
mod wait;
mod world;

pub use begun::Begun;
pub use runner::{Case, Need, run};
pub use world::{Faults, Place, World};

//! Actors that follow their shard to its next owner, with what they have in memory.
//!
//! The log alone decides who owns a shard. What travels here saves the next owner the histories of the actors that were in
//! use: the first command of each proves by compare-and-set what came. So nothing here has to succeed, and everything may
//! be forgotten at any moment; it only costs reads. See `docs/PROTOCOL.md`, section 7.
//!
//! `machine` is pure and decides, `service` does; `book` is what people see of it. How an actor is captured, and used
//! where it came, is the shard's trade (`shard/warm.rs`).

mod book;
mod bounds;
mod machine;
mod service;
#[cfg(test)]
mod tests;

pub use book::{ActorMoved, HandoverStats, MovePhase, MoveRole, MoveStatus, Reached};
pub(crate) use service::{Handover, Shards, keep_time};

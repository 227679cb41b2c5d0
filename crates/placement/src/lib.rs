//! Which shard an actor is in, and which node a shard goes to.
#![warn(missing_docs)]

pub mod hash;

pub use hash::ShardHash;

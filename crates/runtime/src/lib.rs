//! The application: leadership, membership, moves, routing and actors, over the domain's ports.

pub mod actor;
pub mod clock;
pub mod control;
mod coordinator;
mod member;
pub mod message;
pub mod router;
pub mod shard;
pub mod view;

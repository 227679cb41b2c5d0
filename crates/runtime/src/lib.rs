//! The application: leadership, membership, moves, routing and actors, over the domain's ports.

pub mod actor;
pub mod actor_ref;
pub mod certificate;
pub mod clock;
pub mod control;
mod coordinator;
pub mod feed;
pub mod gateway;
pub mod handover;
pub mod link;
mod member;
pub mod message;
pub mod node;
pub mod projection;
pub mod router;
pub mod shard;
pub mod splitbrain;
pub mod spread;
pub mod subscription;
pub mod traces;
pub mod view;
mod vitals;

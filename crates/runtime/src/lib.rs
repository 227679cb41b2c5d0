//! The application: leadership, membership, moves, routing and actors, over the domain's ports.

pub mod clock;
pub mod message;
pub mod view;

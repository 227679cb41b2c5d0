//! A node's pages over HTTP: alive, ready, metrics, and the cluster as this node sees it. On loopback unless configured
//! otherwise, and read-only unless a token is configured.
//!
//! The pages decide nothing and ask no other node. `/livez` answers as long as the process does, NATS or not.

mod dashboard;
mod events;
mod feeds;
mod letters;
mod moves;
mod pages;
mod picture;
mod places;
mod server;
mod views;
mod writes;

pub use events::{EVENTS_MAX, EntryView, EventView, EventsView, FOLLOWERS_MAX};
pub use feeds::{FeedView, FeedsView};
#[cfg(feature = "nats")]
pub(crate) use letters::read as read_letters;
pub use letters::{LETTERS_MAX, LetterView, LettersView};
pub use moves::{ActorMoveView, MoveWithActors, MovesOfShardView, ReachedView, ShardMoveView};
pub use pages::{BODY_BYTES_MAX, PAGE_LIMIT, Pages};
pub use picture::{Counter, NatsPicture, Picture, PlacementPicture, Source};
pub use places::CONNECTIONS_MAX;
#[cfg(feature = "test-kit")]
pub use server::converse;
pub use server::{AdminRefused, Bound, HEAD_PATIENCE, PATIENCE, announce};
pub use views::{
    ClusterView, HealthView, LeaseView, MoveView, MovesView, NodeHealthView, NodeView, NodesView, OrderView,
    PlacementView, PlanView, QuarantinedActor, QuarantinedView, ReadyView, RebalanceView, ShardCounts, ShardView,
    ShardsView, StepView, WhyView,
};

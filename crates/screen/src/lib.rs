//! The live screen of a cluster: whose the shards are, how the nodes are, who leads, what moves, what is wrong, what
//! happened; and keys.
//!
//! `aether top`, `aether demo` and `cargo xtask cluster-up` show this one screen. It knows of a cluster what nodes say on
//! their admin pages ([`model`]), and keeps nothing of its own. What can be done about the cluster is the [`Host`]'s.
//! [`State`] is pure: what is told and which keys are pressed go in, wishes come out, [`draw()`] draws it; the clock,
//! the terminal and the connections are in [`run`] and [`once`].
//!
//! Here is no decision about a cluster, and none of the other crates.
//!
//! Read next: [`State`], then [`draw()`], then [`run`].

mod clock;
mod draw;
mod feed;
mod grid;
mod host;
mod keys;
mod layout;
mod letters;
mod map;
pub mod model;
mod runs;
pub mod sse;
mod state;
mod terminal;
mod text;

pub use draw::{Look, draw, plain_frame};
pub use feed::once;
pub use grid::Grid;
pub use host::{Deed, Host, Pages, Verb, health_alerts};
pub use keys::Key;
pub use layout::{HEIGHT_MIN, WIDTH_MIN, grid_of};
pub use map::{Map, NOBODY, SHARDS_MAX};
pub use runs::runs;
pub use state::{Dialog, Pane, State, Told, Wish};
pub use terminal::{run, terminal_size};
pub use text::Text;

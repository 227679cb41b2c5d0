//! The words and rules of Aether, without I/O.
#![warn(missing_docs)]

pub mod ids;
pub mod time;

pub use ids::*;
pub use time::{Monotonic, WallTime};

//! The server as a pure, deterministic thing: no clock, no task, no thread, no dice of its own.
//!
//! [`Stores`] is what it holds. [`Op`] and [`Outcome`] are what may be asked of it, as plain values. [`Fabric`] is the
//! server in virtual time, with [`Faults`] on every way to it: what the seeded simulator runs nodes over.

mod event;
mod faults;
mod frames;
mod letters;
mod link;
mod machine;
mod outcome;
mod render;
mod stores;

pub use event::{FabricEvent, OpId};
pub use faults::{Faults, PerMille, Span};
pub use frames::MESSAGE_BYTES_MAX;
pub(crate) use frames::message_bytes;
pub use machine::Fabric;
pub use outcome::{AppendFailure, Cause, Op, Outcome, ReadFailure, SendFailure, WriteFailure};
pub use render::ENTRY_BYTES_MAX;
pub(crate) use render::{commit as render_commit, entry as render_entry};
pub use stores::Stores;

/// Which server is imitated: how it refuses and fails where one replica and three replicas differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// One replica: a conflict always names what it found, and there is no election.
    #[default]
    R1,
    /// Three replicas: now and then a write is refused because another is in flight, naming nothing, and streams have
    /// spells without a leader.
    R3,
}

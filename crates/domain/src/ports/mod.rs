//! What the domain asks of the world, as small traits whose documentation is a contract.
//!
//! One suite checks every adapter against it. An adapter translates, retries only what is known to be safe, and
//! decides nothing. Reads may be stale everywhere: never decide on a read, only on a compare-and-set.

mod bus;
mod claims;
mod control;
mod error;
mod events;
mod handover;
mod keeping;
mod log;
mod transport;

pub use bus::{BusUpdate, EventBus, EventFilter, StartAt, Whose};
pub use claims::{Claim, Claims, Heard};
pub use control::{ControlStore, ControlUpdate};
pub use error::{AppendError, BoxError, Expected, ReadError, WriteError};
pub use events::{BeginAppend, EventStore, OnAppended};
pub use handover::{WarmFrame, WarmTakenFrame, WarmVerdict};
pub use keeping::{CheckpointStore, DeadLetters, SNAPSHOT_BYTES_MAX, SaveError, SnapshotStore, WakeStore};
pub use log::{LogUpdate, TopologyLog};
pub use transport::Traced;
pub use transport::{
    Answer, AnswerFrame, AskFrame, Delivery, Frame, GATEWAY_CODES, Gateway, GatewayAnswer, GatewayRequest, ReadMode,
    Request, SendError, Transport,
};

use crate::records::Format;
use std::pin::Pin;
use std::sync::Arc;

/// A stream of updates that ends only when its source is closed for good.
pub type Updates<T> = Pin<Box<dyn futures_util::Stream<Item = T> + Send>>;

/// One connection's ports: all that a node needs of the world, but for its clocks.
#[derive(Clone)]
pub struct Ports {
    /// The lease, heartbeats and releases.
    pub control: Arc<dyn ControlStore>,
    /// The topology log.
    pub log: Arc<dyn TopologyLog>,
    /// Actor histories.
    pub events: Arc<dyn EventStore>,
    /// Snapshots of actors.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// When which actor has to be looked at.
    pub wakes: Arc<dyn WakeStore>,
    /// What is stored, to whoever wants to know.
    pub bus: Arc<dyn EventBus>,
    /// How far feeds have come.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// Commands that were given up.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The way to other nodes.
    pub transport: Arc<dyn Transport>,
    /// The way in for clients that are no node.
    pub gateway: Arc<dyn Gateway>,
    /// The way in which nodes tell each other what they believe.
    pub claims: Arc<dyn Claims>,
    /// The newest format that these read. They write the one of the newest entry that has passed through them.
    pub reads: Format,
}

//! What the domain asks of the world, as small traits whose documentation is a contract.
//!
//! One suite checks every adapter against it. An adapter translates, retries only what is known to be safe, and
//! decides nothing. Reads may be stale everywhere: never decide on a read, only on a compare-and-set.

mod claims;
mod control;
mod error;
mod events;
mod log;
mod transport;

pub use claims::{Claim, Claims, Heard};
pub use control::{ControlStore, ControlUpdate};
pub use error::{AppendError, BoxError, Expected, ReadError, WriteError};
pub use events::EventStore;
pub use log::{LogUpdate, TopologyLog};
pub use transport::{
    Answer, AnswerFrame, AskFrame, Delivery, Frame, Gateway, GatewayAnswer, GatewayRequest, ReadMode, SendError,
    Transport,
};

use std::pin::Pin;

/// A stream of updates that ends only when its source is closed for good.
pub type Updates<T> = Pin<Box<dyn futures_util::Stream<Item = T> + Send>>;

//! What a user writes: an actor is a type, its commands and events are types, and a handler is a pure function.
//!
//! Nothing here runs an actor: that is the shard's trade (`crate::shard`). A handler sees its state and a [`Ctx`], never
//! I/O. Read [`Actor`] first, then [`Effect`]; [`testkit`] tests an actor without any runtime.
//!
//! ```
//! use aether_runtime::actor::testkit::given;
//! use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Tank { litres: u64 }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum TankEvent { Filled { litres: u64 } }
//! impl Event for TankEvent {}
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
//! #[error("{free} litres fit")]
//! struct Overflows { free: u64 }
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Fill { litres: u64 }
//! impl Command for Fill { const NAME: &'static str = "fill"; type Reply = u64; }
//!
//! impl Actor for Tank {
//!     const KIND: &'static str = "tank";
//!     type Id = u32;
//!     type Event = TankEvent;
//!     type Error = Overflows;
//!     type Commands = (Fill,);
//!     fn apply(&mut self, event: &TankEvent) {
//!         let TankEvent::Filled { litres } = event;
//!         self.litres += litres;
//!     }
//! }
//! impl Handle<Fill> for Tank {
//!     fn handle(&self, fill: Fill, _: &Ctx<Self>) -> Decision<Self, Fill> {
//!         let free = 100 - self.litres;
//!         if fill.litres > free { return Err(Overflows { free }); }
//!         Ok(Self::emit(TankEvent::Filled { litres: fill.litres }).reply(|tank| tank.litres))
//!     }
//! }
//!
//! let filled = |litres| TankEvent::Filled { litres };
//! given::<Tank>(1, [filled(60)]).when(Fill { litres: 30 }).then([filled(30)]).reply(90);
//! given::<Tank>(1, [filled(60)]).when(Fill { litres: 50 }).rejected(Overflows { free: 40 });
//! ```

mod ask;
mod chunks;
pub mod codec;
mod commands;
mod effect;
mod erased;
mod event;
mod fate;
mod model;
mod registry;
mod settings;
mod shelf;
pub mod testkit;
mod timers;

pub(crate) use ask::read_reply;
pub use ask::{AskError, read_outcome};
pub use codec::CodecError;
pub use commands::{At, CommandSet, Contains};
pub use effect::{AnsweredBy, Effect};
pub use event::{Event, Upcast};
pub use fate::{Fate, OUTCOME_OF};
pub use model::{Actor, ActorIdentity, Command, Ctx, Decision, Handle, Rejection};
pub use registry::{KindRegistry, RegisterError};
pub use settings::Settings;

pub use aether_domain::records::MissedTicks;
pub(crate) use chunks::Chunks;

pub(crate) use erased::{Instance, Kept, Kind, Ran, Replay, Wanted};
pub(crate) use fate::TWIN;
pub(crate) use shelf::{Runnable, Shelf};
pub(crate) use timers::Due;

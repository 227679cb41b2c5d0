//! Distributed, event-sourced actors on NATS JetStream.
//!
//! Write an [`Actor`](prelude::Actor), start a [`Node`] on NATS or in memory, ask. This crate wires the adapters to the
//! application, configures it and shows it; no decision lives here.
//!
#![cfg_attr(feature = "node", doc = "```")]
#![cfg_attr(not(feature = "node"), doc = "```ignore")]
//! use aether::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! /// The type is the state.
//! #[derive(Default, Serialize, Deserialize)]
//! struct Tank { litres: u64 }
//!
//! #[derive(Serialize, Deserialize)]
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
//!     fn apply(&mut self, TankEvent::Filled { litres }: &TankEvent) { self.litres += litres; }
//! }
//! impl Handle<Fill> for Tank {
//!     fn handle(&self, Fill { litres }: Fill, _: &Ctx<Self>) -> Decision<Self, Fill> {
//!         let free = 100 - self.litres;
//!         if litres > free { return Err(Overflows { free }); }
//!         Ok(Self::emit(TankEvent::Filled { litres }).reply(|tank| tank.litres))
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
//! # runtime.block_on(async {
//! let node = Node::builder("n1").namespace("docs").in_memory(&MemoryHub::new()).actor::<Tank>().start().await?;
//! let tank = node.actor::<Tank>(7);
//! assert_eq!(tank.ask(Fill { litres: 60 }).await, Ok(60));
//! assert_eq!(tank.ask(Fill { litres: 60 }).await, Err(AskError::Rejected(Overflows { free: 40 })));
//! # Ok::<(), StartError>(())
//! # }).expect("it starts");
//! ```

#[cfg(feature = "node")]
pub mod admin;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "node")]
pub mod config;
pub mod demo;
#[cfg(feature = "node")]
mod entropy;
#[cfg(feature = "node")]
pub mod metrics;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
pub mod operator;
#[cfg(feature = "node")]
pub mod placement;
#[cfg(feature = "node")]
pub mod program;
#[cfg(feature = "node")]
pub mod supervised;
#[cfg(feature = "node")]
pub mod telemetry;
#[cfg(feature = "test-kit")]
pub mod test_cluster;
#[cfg(feature = "node")]
pub mod verify;

pub use aether_domain::ports::StartAt;
#[cfg(feature = "node")]
pub use aether_infra_memory::MemoryHub;
#[cfg(feature = "client")]
pub use aether_infra_nats::{Credentials, NatsConfig, Tls};
#[cfg(feature = "node")]
pub use aether_placement::{PlacementStrategy, StrategyId};
pub use aether_runtime::actor::{AnsweredBy, Contains};
pub use aether_runtime::clock::BootClock;
pub use aether_runtime::control::OnRegression;
pub use aether_runtime::feed::{
    FailingEvent, Feed, FeedHandler, FeedOptions, FeedState, FeedStats, Feeds, OnFailure, Place, Recorded,
    SubscribeError,
};
pub use aether_runtime::handover::{ActorMoved, HandoverStats, MovePhase, MoveRole, MoveStatus, Reached};
pub use aether_runtime::shard::{EXIT_STUCK, StuckHandler, Watchdog};
pub use aether_runtime::splitbrain::{Evidence, SplitBrain, Suspicion};
pub use aether_runtime::subscription::{
    ShardMigrated, ShardMigrations, Since, SubscriptionError, TopologyEvents, TopologyRecord,
};
#[cfg(feature = "node")]
pub use futures_util::StreamExt;
#[cfg(feature = "node")]
pub use node::{ActorRef, BUILD, Ended, Node, NodeBuilder, StartError};

/// What is printed there compiles, and runs.
#[cfg(doctest)]
mod printed {
    /// With the feature `client` alone too: it is what its readers have.
    #[cfg(feature = "client")]
    #[doc = include_str!("../../../docs/GATEWAY.md")]
    struct Gateway;
    #[cfg(feature = "node")]
    mod with_nodes {
        #[doc = include_str!("../../../README.md")]
        struct Readme;
        #[doc = include_str!("../../../docs/ACTORS.md")]
        struct Actors;
        #[cfg(feature = "test-kit")]
        #[doc = include_str!("../../../docs/TESTING.md")]
        struct Testing;
        #[doc = include_str!("../../../docs/guide/first-minutes.md")]
        struct FirstMinutes;
        #[cfg(feature = "test-kit")]
        #[doc = include_str!("../../../docs/guide/testing.md")]
        struct TestingActors;
        #[doc = include_str!("../../../docs/guide/events.md")]
        struct Events;
        #[doc = include_str!("../../../docs/guide/timers.md")]
        struct Timers;
        #[doc = include_str!("../../../docs/guide/read-models.md")]
        struct ReadModels;
        #[doc = include_str!("../../../docs/guide/journal.md")]
        struct EventSourcing;
        #[doc = include_str!("../../../docs/guide/traces.md")]
        struct Traces;
        #[doc = include_str!("../../../docs/guide/tuning.md")]
        struct Tuning;
    }
}

/// Everything an application needs to write actors and run them.
pub mod prelude {
    #[cfg(feature = "client")]
    pub use crate::NatsConfig;
    #[cfg(feature = "client")]
    pub use crate::client::Client;
    #[cfg(feature = "node")]
    pub use crate::{ActorRef, Ended, Feed, FeedOptions, MemoryHub, Node, OnRegression, Recorded, StartError};
    pub use aether_domain::ports::ReadMode;
    pub use aether_domain::records::PayloadCodec;
    pub use aether_domain::timing::Profile;
    pub use aether_domain::{MessageId, WallTime};
    pub use aether_runtime::actor::{
        Actor, AskError, CodecError, Command, Ctx, Decision, Effect, Event, Fate, Handle, MissedTicks, Settings,
        Upcast, testkit,
    };
}

//! Distributed, event-sourced actors on NATS JetStream.
//!
//! This crate wires the adapters to the application, configures it and shows it; no decision lives here.

pub mod admin;
pub mod config;
pub mod demo;
mod entropy;
pub mod metrics;
mod node;
pub mod program;
pub mod telemetry;

pub use aether_infra_memory::MemoryHub;
#[cfg(feature = "nats")]
pub use aether_infra_nats::{Credentials, NatsConfig, Tls};
pub use node::{ActorRef, BUILD, Ended, Node, NodeBuilder, StartError};

/// Everything an application needs to write actors and run them.
pub mod prelude {
    #[cfg(feature = "nats")]
    pub use crate::NatsConfig;
    pub use crate::{ActorRef, Ended, MemoryHub, Node, StartError};
    pub use aether_domain::ports::ReadMode;
    pub use aether_domain::timing::Profile;
    pub use aether_domain::{MessageId, WallTime};
    pub use aether_runtime::actor::{
        Actor, AskError, CodecError, Command, Ctx, Decision, Effect, Event, Handle, Settings, Upcast, testkit,
    };
}

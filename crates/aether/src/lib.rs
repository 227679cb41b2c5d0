//! Distributed, event-sourced actors on NATS JetStream.
//!
//! This crate wires the adapters to the application, configures it and shows it; no decision lives here.

pub mod admin;
pub mod config;
pub mod demo;
pub mod metrics;
pub mod telemetry;

/// Everything an application needs to write actors.
pub mod prelude {
    pub use aether_domain::ports::ReadMode;
    pub use aether_domain::timing::Profile;
    pub use aether_domain::{MessageId, WallTime};
    pub use aether_runtime::actor::{
        Actor, AskError, CodecError, Command, Ctx, Decision, Effect, Event, Handle, Settings, Upcast, testkit,
    };
}

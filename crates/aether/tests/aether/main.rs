//! What users see of Aether: settings, pages, metrics, the demo and the program. One binary for the whole crate.

mod admin;
mod bank;
mod beats;
#[cfg(all(unix, feature = "nats"))]
mod cli;
mod config;
#[cfg(all(unix, feature = "nats"))]
mod deploy;
#[cfg(all(unix, feature = "nats"))]
mod doctor;
mod events;
mod feeds;
mod flood;
#[cfg(feature = "nats")]
mod gateway;
#[cfg(feature = "nats")]
mod histories;
mod lanes;
mod load;
mod metrics;
mod moves;
mod node;
#[cfg(all(unix, feature = "nats"))]
mod program;
mod sample;
#[cfg(all(unix, feature = "nats"))]
mod secured;
mod siege;
#[cfg(all(unix, feature = "nats"))]
mod supervise;
#[cfg(feature = "nats")]
mod topology;
mod verify;
#[cfg(feature = "nats")]
mod watch;

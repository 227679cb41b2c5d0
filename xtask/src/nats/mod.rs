//! A real nats-server for whoever needs one: found or fetched ([`locate`]), started alone ([`NatsServer`]) or as a
//! replicated cluster ([`NatsCluster`]), frozen, killed and started again.
//!
//! Everything listens on loopback only and lives in a folder that is removed with the value that owns it. Nothing here
//! speaks the NATS protocol: health is read from the server's monitoring port.
//!
//! ```no_run
//! let server = xtask::nats::NatsServer::start(xtask::nats::ServerOptions::default())?;
//! println!("connect to {}", server.url());
//! # anyhow::Ok(())
//! ```

mod cache;
mod cluster;
mod config;
mod fetch;
mod locate;
mod pins;
mod ports;
mod server;
mod version;

pub use cluster::NatsCluster;
pub use config::{ServerOptions, Sync};
pub use locate::{Options, locate};
pub use pins::{oldest_version, pinned_version, refused_version};
pub use server::NatsServer;
pub use version::{API_LEVEL_MIN, VERSION_MIN, Version};

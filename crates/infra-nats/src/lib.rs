//! The ports of `aether-domain` on NATS JetStream.
//!
//! An adapter translates, repeats only what is known to be safe, and decides nothing. [`connect()`] gives working ports
//! or a [`StartError`] that says what to do; [`names`] lists every subject, stream and key. The bytes (`wire`) are frozen
//! once released. Reads may be stale: only a compare-and-set decides, and `outcome` is the one place that says what
//! became of one.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use aether_domain::Namespace;
//! use aether_infra_nats::{NatsConfig, connect};
//!
//! let config = NatsConfig::new(["nats://127.0.0.1:4222"]);
//! let ports = connect(&config, &Namespace::new("bank")?).await?;
//! println!("connected to nats-server {}", ports.session.server_version());
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "decoders")]
pub mod decoders;
pub mod names;

mod certificates;
mod config;
mod connect;
mod connection;
mod creds;
mod examine;
mod permissions;
mod provision;
mod start_error;
mod tls;

mod bus;
mod checkpoints;
mod claims;
mod control;
mod dead_letters;
mod event_store;
mod gateway;
mod gateway_client;
mod snapshots;
mod topology_log;
mod traces;
mod transport;
mod wakes;

mod acks;
mod base64url;
mod feed;
mod outbox;
mod outcome;
mod read;
mod wire;

pub use certificates::{Validity, validity};
pub use config::{Credentials, NatsConfig, Tls};
pub use connect::{NatsPorts, NatsSession, connect};
pub use connection::ConnectionCounters;
pub use creds::credentials_until;
pub use examine::{
    AccountSeen, ClockSeen, Examined, LogSeen, MemberSeen, ReplicaSeen, RightsSeen, Seen, ServerSeen, StreamSeen,
    StreamState, Unseen, examine,
};
pub use gateway::{GATEWAY_TIMEOUT, GATEWAY_TIMEOUT_MAX};
pub use gateway_client::{GatewayClient, GatewayCommand, GatewayError};
pub use permissions::{Permissions, Role};
pub use provision::Promise;
pub use start_error::{Difference, StartError, TlsFault};

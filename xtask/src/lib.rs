//! What the workspace's commands and its tests share: finding, starting and stopping real processes.
//!
//! Tests depend on this library to get a real nats-server ([`nats`]) without anybody installing one by hand. The
//! binary of the same name is `cargo xtask`. Nothing here knows Aether's domain; it starts programs, reads what they
//! say over HTTP and ends exactly what it started. Unix only: stopping and continuing a process are signals.
//!
//! Read next: [`nats`].

pub mod clock;
pub mod http;
pub mod nats;

//! What the workspace's commands and its tests share: finding, starting and stopping real processes.
//!
//! Tests depend on this library to get a real nats-server ([`nats`]) or a whole cluster ([`cluster`]) without anybody
//! installing anything by hand. The binary of the same name is `cargo xtask`. Nothing here knows Aether's domain; it
//! starts programs, reads what they say over HTTP and ends exactly what it started. Unix only: stopping and continuing
//! a process are signals.
//!
//! Read next: [`nats`], then [`cluster`].

pub mod big_endian;
pub mod book;
pub mod clock;
pub mod cluster;
pub mod console;
pub mod http;
pub mod interrupt;
pub mod nats;
pub mod out;
pub mod process;
pub mod screen;
pub mod steps;
pub mod tidy;

//! A node's shards over the in-memory store, as a caller sees them.

mod appends;
mod bank;
mod desk;
mod host;
mod letters;
mod memory;
mod timers;
mod watchdog;

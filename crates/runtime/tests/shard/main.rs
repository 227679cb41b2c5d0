//! A node's shards over the in-memory store, as a caller sees them.

mod bank;
mod desk;
mod host;
mod letters;
mod memory;
mod timers;
mod watchdog;

//! Routers of several nodes over the in-memory transport, with shards that only remember what they ran.

mod across;
mod cluster;
mod faults;
mod here;
mod threads;
mod typed;

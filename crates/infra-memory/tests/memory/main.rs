//! The in-memory ports and the fabric, beyond what the contract suite asks of every adapter.

mod fabric;
mod hub;

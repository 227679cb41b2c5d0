//! What only a real nats-server can show: that it is refused or set up rightly, that compare-and-set decides, that
//! watches survive its death, and that nothing unknown is called certain.

mod begun;
mod corrupt;
mod gateway;
mod healing;
mod outcomes;
mod permissions;
mod replicated;
mod snapshots;
mod start;
mod support;
mod tls;
mod transport;

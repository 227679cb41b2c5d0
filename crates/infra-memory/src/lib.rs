//! The domain's ports in one process: the embedded default, the test double, and the simulator's server with faults.
//!
//! - [`fabric`] is the pure part: what the server holds and, in virtual time, how it fails.
//! - [`MemoryHub`] is "the server" for async code; [`MemoryHub::ports`] is one node's connection to it.
//!
//! Nothing is written to disk: all state ends with the process. Nothing here prints or logs; whoever starts a node
//! over it says so.
//!
//! ```
//! use aether_domain::ports::Expected;
//! use aether_domain::records::{ControlKey, ControlRecord, LeaseRecord, LeaseState};
//! use aether_domain::testing::life;
//! use aether_domain::{Nonce, Term};
//! use aether_infra_memory::MemoryHub;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
//! # runtime.block_on(async {
//! let hub = MemoryHub::new();
//! let (a, b) = (life("a", 1), life("b", 1));
//! let (at_a, at_b) = (hub.ports(&a.node), hub.ports(&b.node));
//! let lease = |holder| {
//!     let ttl = std::time::Duration::from_secs(10);
//!     ControlRecord::Lease(LeaseRecord { term: Term(1), holder, ttl, nonce: Nonce(7), state: LeaseState::Held })
//! };
//! assert!(at_a.control.write(&lease(a), Expected::Absent).await.is_ok());
//! assert!(at_b.control.write(&lease(b), Expected::Absent).await.is_err(), "one of two racers wins");
//! assert!(at_b.control.read(&ControlKey::Lease).await.is_ok_and(|found| found.is_some()));
//! # });
//! ```

pub mod fabric;
mod hub;

pub use fabric::Manner;
pub use hub::{GatewayCall, Loss, MemoryHub, Target};

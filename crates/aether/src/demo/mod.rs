//! The built-in demo application: a [`bank`] whose accounts can be checked to the last operation, and a [`load`] that
//! checks them.
//!
//! It is an example with a purpose: `aether node` runs it, and every test with real processes trusts its sums.

pub mod bank;
#[cfg(feature = "node")]
pub mod load;

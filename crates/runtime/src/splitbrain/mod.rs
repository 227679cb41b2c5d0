//! The watch for split brains: apart from everything that prevents them, and without a say in anything.
//!
//! Every node tells all others what it believes ([`aether_domain::ports::Claims`]), by a way that goes through none of the
//! stores. Each node compares what it hears with the log as it is stored, and reports two things that cannot both be
//! true. [`machine`] compares; [`service`] tells, listens and reports. Nothing is decided by it: what it reports, a
//! person should look at.
//!
//! What differs for a moment in every election, move, freeze or partition is none of its business: a leader that has
//! been asleep claims an *older* term, a node that is behind has an *earlier* epoch. Compared is only what is said of the
//! same term, and of the same epoch.

mod evidence;
pub mod machine;
mod memory;
pub mod service;

pub use evidence::{Evidence, Suspicion};
pub use machine::{CLEARS_AFTER, Finding, Input, SUSPICIONS_MAX, Watch};
pub use service::{CLAIM_EVERY, SplitBrain};

#[cfg(test)]
mod tests;

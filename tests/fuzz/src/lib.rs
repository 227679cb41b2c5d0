//! Every decoder, tried with bytes that nobody of ours wrote: `cargo xtask fuzz`.
//!
//! [`targets::all`] is the table: a decoder, what stands around its bytes, its seeds, and how much memory it may ask for.
//! [`run`] changes seeds and what it has found so far (`mutate`), keeps what makes a decoder do something new, and ends with
//! the first bytes that break a promise: no panic, no more memory than the target's [`Allowance`], and what has a meaning is
//! written, read back as itself, and written the same again.
//!
//! What is new is seen without instrumentation, on any compiler: another reason to refuse, or another pattern of
//! allocations. The same seed is the same run.
//!
//! Not here: what decoded values do further on; the shards' and the control plane's own tests throw damaged and old ones at
//! these.

pub mod corpus;
mod mutate;
mod run;
mod target;
pub mod targets;

pub use aether_domain::testing::shrunk;
pub use run::{Finding, Found, Limit, Report, run};
pub use target::{Allowance, Decoded, Shape, Target, Verdict, again, refused};

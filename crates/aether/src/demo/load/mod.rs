//! A load that checks itself: it keeps every acknowledged operation and compares with what the accounts answer.
//!
//! - [`Asked`] and [`Told`] are one question and its answer; a [`Teller`] carries them, in process or over NATS.
//! - [`Book`] is one worker's accounts as they must be. It is pure: it draws the next operation and judges the answer.
//! - [`Load`] runs the workers, each one operation at a time, and audits on demand.
//!
//! An operation is asked again under the same message id until it is answered, so what counts is exactly what was
//! acknowledged. Each load opens accounts of its own; it does not know what earlier ones left.

mod asked;
mod book;
mod page;
mod run;
mod tally;
mod teller;

pub use asked::{Asked, Said, Told};
pub use book::{Book, Difference, Step};
pub use page::VERIFY_LIMIT;
pub(crate) use page::load_router;
pub use run::Load;
pub use tally::LoadView;
#[cfg(feature = "nats")]
pub use teller::GatewayTeller;
pub use teller::{LocalTeller, Teller};

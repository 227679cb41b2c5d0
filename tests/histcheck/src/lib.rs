//! Histories as text, for any program that asks, breaks things and wants to know: what askers were told, and what is stored.
//!
//! The judge is the one of all tests, [`aether_domain::testing::history`]; this is its text, one JSON object a line, so that
//! a program in any language can write one while it runs:
//!
//! ```text
//! {"line":"call","t":1200,"op":1,"actor":"account/7","id":"a1"}
//! {"line":"call","t":1300,"op":2,"actor":"account/7","id":"a2"}
//! {"line":"done","t":1900,"op":1,"value":5}
//! {"line":"seen","t":2000,"op":2,"value":0}
//! {"line":"stored","actor":"account/7","sequence":17,"epoch":3,"version":1,"id":"a1","value":5}
//! ```
//!
//! - `call`: somebody begins to ask. `op` is the question's number, used once. `id`, 1 to 32 hex digits, says which operation
//!   it is: one that is asked again under its id is the same operation. `turn` names an asker, by a number, who does not wait
//!   for answers and whose operations must be stored in the order in which they were asked.
//! - `done`: it is stored, and this `value` was replied.
//! - `seen`: it changed nothing; the actor's value was that. With `"stale":true` it may have been so at any time before.
//! - `no`: it is not stored, nor will be.
//! - `unsure`: nobody knows. A question that no line ends is that, too.
//! - `stored`: one operation in an actor's history, with the `value` that whoever asked for it must have been told. `sequence`
//!   is its record's place in the store, `epoch` the owner's shard epoch (0 without), `version` the actor's after it, and
//!   `events` by how many it has grown (1 without). `id` is left out of what nobody kept a book about.
//! - `born`: an actor's value before its first operation (0 without).
//!
//! A value is a whole number. `t` is a time on one clock for all lines, in any unit, from any beginning; what is told at the
//! instant at which something else is asked counts as told later. Lines stand in any order, but for those of one actor's
//! store, which stand as they are stored. A text is bounded: [`LINE_BYTES_MAX`] a line.
//!
//! What is judged, besides what the judge says: versions go on without a gap, sequences never go back, nor do epochs.

mod history;
mod line;

pub use history::{History, Malformed, Verdict};
pub use line::{LINE_BYTES_MAX, write};

//! Judges a history: what callers asked and were told, against what is stored of each actor.
//!
//! A history is text, one JSON object a line, so that any program in any language can write one while it runs. Four kinds
//! of line tell of operations, one of what is stored:
//!
//! ```text
//! {"line":"invoke","t":1200,"op":1,"actor":"account/7","id":"a1","add":5}
//! {"line":"invoke","t":1300,"op":2,"actor":"account/7"}
//! {"line":"ok","t":1900,"op":1,"value":5,"version":1}
//! {"line":"ok","t":2000,"op":2,"value":0}
//! {"line":"stored","actor":"account/7","sequence":17,"epoch":3,"version":1,"id":"a1","add":5}
//! ```
//!
//! - `invoke`: an operation begins. `op` is its number, used once. With `id` it is a *write*, which adds `add` (0 without) to the
//!   actor's value; an operation that is asked again under the same id is the same write. Without `id` it is a *read*. `lane`
//!   names a caller whose writes to one actor must be stored in the order in which they were invoked; `"stale":true` marks a
//!   read that may answer what was true earlier.
//! - `ok`: it was acknowledged, with what the caller was told: the actor's `value` after it and the actor's `version`, each
//!   if it was told.
//! - `fail`: the caller was told that nothing was applied.
//! - `info`: the caller does not know. An operation that is not ended by any line is that, too.
//! - `stored`: one write in an actor's history. `sequence` is its place in the store, `epoch` the owner's at that time (0
//!   without), `version` the actor's after it and `events` how many it has grown by (1 without).
//!
//! `t` is in nanoseconds, of one clock for all lines, from any beginning; what happened at the same instant counts as
//! concurrent. Lines may stand in any order, but for those of one actor's store, which stand as they are stored. A text is
//! bounded: [`LINE_BYTES_MAX`] a line, and numbers as JSON writes them.
//!
//! # What is judged
//! 1. Every acknowledged write is stored once; no write twice; none of which its caller was told that nothing was applied
//!    (by all who asked for it), and none that nobody asked for.
//! 2. Real time: what was acknowledged before a write was asked is before it in the history.
//! 3. Every answer is explained by a place in the history: that of the write itself, or, for a read, one that is neither
//!    before anything acknowledged earlier, nor behind anything that was asked only later.
//! 4. Versions go on without a gap, sequences grow, and epochs never go back.
//! 5. Writes of one lane to one actor are stored in the order in which they were asked.
//!
//! The stored history is the order that is claimed, so that no order has to be searched for: the whole takes n log n time.
//! (The rules are those of a register's linearizability with a known order of writes: Herlihy and Wing, 1990.)

mod check;
mod history;

pub use check::{Report, VIOLATIONS_KEPT, Violation, Wrong, check};
pub use history::{History, LINE_BYTES_MAX, Malformed};

//! The table of targets.
//!
//! What one may ask of memory is four times its input and 64 KiB, unless a comment says why not.

mod admin;
mod map;
mod text;
mod values;
mod wire;

use crate::{Allowance, Target};

/// What most need.
const USUAL: Allowance = Allowance { times: 4, room: 64 * 1024 };

/// The most bytes that most are tried with.
const BYTES_MAX: usize = 4 * 1024;

/// Every target, by name.
pub fn all() -> Vec<Target> {
    let mut all = [wire::targets(), map::targets(), text::targets(), values::targets(), admin::targets()].concat();
    all.sort_by_key(|target| target.name);
    all
}

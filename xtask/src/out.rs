//! What a command says: results on standard output, progress on standard error.
//!
//! A reader that has gone away is no reason to stop a cluster, so failures to write are ignored.

use std::io::{self, Write};

/// A line of the result.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(io::stdout(), "{}", text.as_ref());
}

/// A line about what is going on.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}

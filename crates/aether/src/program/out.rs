//! What the program says: results to standard output, everything else to standard error.

use std::io::{self, Write};

/// A line of result. If nobody reads any more there is nobody to tell.
pub(super) fn line(text: impl std::fmt::Display) {
    told(text);
}

/// A line of result; whether somebody reads on.
pub(super) fn told(text: impl std::fmt::Display) -> bool {
    writeln!(io::stdout().lock(), "{text}").is_ok()
}

/// Why the program ends badly: one paragraph with every cause.
pub(super) fn fault(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Some errors repeat their source; once is enough.
        if !text.contains(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    drop(writeln!(io::stderr().lock(), "aether: {text}"));
}

/// A word beside the result, on standard error.
pub(super) fn note(text: impl std::fmt::Display) {
    drop(writeln!(io::stderr().lock(), "aether: {text}"));
}

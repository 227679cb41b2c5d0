//! What a command says: results on standard output, progress on standard error.
//!
//! A reader that has gone away is no reason to stop a cluster, so failures to write are ignored.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

static MUTED: AtomicBool = AtomicBool::new(false);

/// A line of the result.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(io::stdout(), "{}", text.as_ref());
}

/// A line about what is going on.
pub fn note(text: impl AsRef<str>) {
    if !MUTED.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{}", text.as_ref());
    }
}

/// Says nothing about what is going on until the answer is dropped: a screen is shown instead.
pub fn mute() -> Muted {
    MUTED.store(true, Ordering::Relaxed);
    Muted(())
}

/// While this lives, [`note`] is silent.
#[derive(Debug)]
pub struct Muted(());

impl Drop for Muted {
    fn drop(&mut self) {
        MUTED.store(false, Ordering::Relaxed);
    }
}

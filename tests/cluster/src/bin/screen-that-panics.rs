//! A screen whose host panics once it is shown: in the thread that draws, or in one that asks.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aether_screen::Host;

/// After how many looks it panics: the first frames are drawn by then.
const LOOKS: u32 = 5;

struct Faulty {
    draws: bool,
    looks: AtomicU32,
}

impl Host for Faulty {
    fn urls(&self) -> Vec<String> {
        assert!(self.draws, "this fault is on purpose");
        Vec::new()
    }

    fn is_over(&self) -> bool {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        assert!(!self.draws || looks < LOOKS, "this fault is on purpose");
        false
    }
}

fn main() -> ExitCode {
    let draws = std::env::args().nth(1).as_deref() == Some("screen");
    let host = Arc::new(Faulty { draws, looks: AtomicU32::new(0) });
    if aether_screen::run(host, true, false).is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

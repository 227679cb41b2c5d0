//! A screen whose host panics once it is shown: in the thread that draws, or in one that asks.

use std::io::{self, Write as _};
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use aether_screen::Host;

/// After how many looks it panics: the first frames are drawn by then.
const LOOKS: u32 = 5;
/// How long whoever has panicked searches how it came about, and the lines it then writes below the message. Frames would
/// be due meanwhile; the lines would go on where a frame ends.
const SEARCHES_FOR: Duration = Duration::from_millis(1200);
const LINES_BELOW: usize = 15;

/// Whether there is a message that a frame could cover.
static TOLD: AtomicBool = AtomicBool::new(false);

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
        // What asks panics first: the first frame is due when its message is there already.
        while !self.draws && !TOLD.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        assert!(!self.draws || looks < LOOKS, "this fault is on purpose");
        false
    }
}

fn main() -> ExitCode {
    let draws = std::env::args().nth(1).as_deref() == Some("screen");
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        tell(panicked);
        TOLD.store(true, Ordering::SeqCst);
        thread::sleep(SEARCHES_FOR);
        let below = "  at a line of the program\n".repeat(LINES_BELOW);
        io::stderr().write_all(below.as_bytes()).expect("a terminal takes what is written");
    }));
    let host = Arc::new(Faulty { draws, looks: AtomicU32::new(0) });
    if aether_screen::run(host, true, false).is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

//! What happened, as lines: hashed all, the last of them kept, and all of them written where they are wanted.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use aether_domain::Monotonic;
use xxhash_rust::xxh3::Xxh3;

/// How many of the last lines a failure shows.
const TAIL_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct Trace {
    hasher: Xxh3,
    tail: VecDeque<String>,
    spare: String,
    lines: u64,
    /// What could not be written is not: the run itself does not depend on it.
    into: Option<Box<dyn io::Write>>,
}

impl Trace {
    pub(crate) fn new(into: Option<Box<dyn io::Write>>) -> Self {
        Self { into, ..Self::default() }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, now: Monotonic, what: fmt::Arguments<'_>) {
        let mut line = std::mem::take(&mut self.spare);
        line.clear();
        let since: Duration = now.since_start();
        // Writing into a string cannot fail.
        let _ = write!(line, "{:>4}.{:06} {what}", since.as_secs(), since.subsec_micros());
        self.hasher.update(&since.subsec_nanos().to_le_bytes());
        self.hasher.update(line.as_bytes());
        self.lines += 1;
        if let Some(into) = &mut self.into {
            let _ = writeln!(into, "{line}");
        }
        self.tail.push_back(line);
        if self.tail.len() > TAIL_MAX {
            self.spare = self.tail.pop_front().unwrap_or_default();
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.digest()
    }
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}

//! Which formats this process reads, and which it writes in.
//!
//! The log decides what is written: every entry is in the newest format that all members read, so whatever this connection
//! has met of the log, it may write in too. An older format may always be written: everybody reads it.

use std::sync::atomic::{AtomicU8, Ordering};

use aether_domain::records::Format;

use crate::config::NatsConfig;

/// The newest format that this build knows: with the feature for tests, one more than is ever taken unasked.
pub(crate) const NEWEST: Format = Format(NatsConfig::FORMAT_NEWEST + if cfg!(feature = "next-format") { 1 } else { 0 });

/// The formats of one connection.
#[derive(Debug)]
pub(crate) struct Formats {
    reads: Format,
    writes: AtomicU8,
}

impl Formats {
    /// Of a process that reads that one and all before it.
    pub(crate) fn new(reads: Format) -> Self {
        Self { reads, writes: AtomicU8::new(Format::FIRST.0) }
    }

    /// The newest format that is read.
    pub(crate) fn reads(&self) -> Format {
        self.reads
    }

    /// The format to write in.
    pub(crate) fn writes(&self) -> Format {
        Format(self.writes.load(Ordering::Relaxed))
    }

    /// The log has an entry in that format.
    pub(crate) fn met(&self, format: Format) {
        self.writes.fetch_max(format.0, Ordering::Relaxed);
    }
}

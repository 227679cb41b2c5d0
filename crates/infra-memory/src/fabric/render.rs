//! A stable rendering of records: what a stored record's size and hash are taken of.
//!
//! Nothing here is a format: the bytes are never kept and never read back. They only have to be the same for the same
//! record and different for a different one, as long as the process lives. Every length is written before its content,
//! so no two records run together.

use std::fmt::{self, Debug, Write};

use aether_domain::records::{CommitRecord, Entry};
use xxhash_rust::xxh3::Xxh3;

use super::outcome::AppendFailure;

/// The most bytes of a rendered topology entry.
pub const ENTRY_BYTES_MAX: usize = 768 * 1024;

/// That a record is within its bound, and what it hashes to. Its size is that of the rendering, which is close to what
/// a binary encoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// XXH3-64 of the rendering; never 0, which means "no record before".
    pub(crate) hash: u64,
}

/// Renders a topology entry.
///
/// # Errors
/// [`AppendFailure::TooLarge`] above [`ENTRY_BYTES_MAX`].
pub(crate) fn entry(entry: &Entry) -> Result<Rendered, AppendFailure> {
    let mut out = Rendering::default();
    out.bytes(&entry.cluster.0.to_le_bytes());
    out.number(entry.epoch.0);
    out.number(entry.term.0);
    out.text(entry.leader.node.as_str());
    out.number(entry.leader.incarnation.0);
    out.number(entry.nonce.0);
    out.number(entry.prev_hash);
    out.text(&entry.cause);
    out.number(entry.at.unix_millis);
    out.number(entry.events.len() as u64);
    for event in &entry.events {
        out.debug(event);
    }
    out.finish(ENTRY_BYTES_MAX)
}

/// Renders an actor's commit.
///
/// # Errors
/// [`AppendFailure::TooLarge`] above [`CommitRecord::BYTES_MAX`].
pub(crate) fn commit(record: &CommitRecord) -> Result<Rendered, AppendFailure> {
    let mut out = Rendering::default();
    out.number(record.shard_epoch.0);
    out.number(record.owner.0);
    out.number(record.nonce.0);
    out.number(record.base.0);
    out.number(record.prev_sequence.0);
    out.number(record.prev_hash);
    out.number(record.at.unix_millis);
    out.number(record.codec as u64);
    out.number(record.commands.len() as u64);
    for command in &record.commands {
        out.number(command.id.origin.0);
        out.number(command.id.sequence);
        out.number(command.floor);
        out.number(command.message.is_some().into());
        out.bytes(&command.message.map_or(0, |message| message.0).to_le_bytes());
        out.bytes(&command.reply);
    }
    out.number(record.events.len() as u64);
    for event in &record.events {
        out.number(event.schema.into());
        out.text(&event.name);
        out.bytes(&event.payload);
    }
    out.debug(&record.timers);
    out.finish(CommitRecord::BYTES_MAX)
}

#[derive(Default)]
struct Rendering {
    hasher: Xxh3,
    bytes: usize,
}

impl Rendering {
    fn raw(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len();
    }
    fn number(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
    fn debug(&mut self, value: &impl Debug) {
        let before = self.bytes;
        // Writing into a hasher cannot fail.
        let _ = write!(self, "{value:?}");
        self.number((self.bytes - before) as u64);
    }
    fn finish(self, bytes_max: usize) -> Result<Rendered, AppendFailure> {
        if self.bytes > bytes_max {
            return Err(AppendFailure::TooLarge { bytes: self.bytes, bytes_max });
        }
        Ok(Rendered { hash: self.hasher.digest().max(1) })
    }
}

impl Write for Rendering {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.raw(text.as_bytes());
        Ok(())
    }
}

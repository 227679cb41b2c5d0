//! A stable rendering of records: what a stored record's size and hash are taken of.
//!
//! Nothing here is a format: the bytes are never kept and never read back. They only have to be the same for the same
//! record and different for a different one, as long as the process lives. Every length is written before its content,
//! so no two records run together.

use std::fmt::{self, Debug, Write};

use aether_domain::records::{CommitRecord, Entry};
use xxhash_rust::xxh3::Xxh3;

/// How large a record is, and what it hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The bytes of the rendering: close to what a binary encoding takes.
    pub(crate) bytes: usize,
    /// XXH3-64 of the rendering; never 0, which means "no record before".
    pub(crate) hash: u64,
}

/// Renders a topology entry.
pub(crate) fn entry(entry: &Entry) -> Rendered {
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
    out.finish()
}

/// Renders an actor's commit.
pub(crate) fn commit(record: &CommitRecord) -> Rendered {
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
        out.bytes(&event.payload);
    }
    out.finish()
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
    fn finish(self) -> Rendered {
        Rendered { bytes: self.bytes, hash: self.hasher.digest().max(1) }
    }
}

impl Write for Rendering {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.raw(text.as_bytes());
        Ok(())
    }
}

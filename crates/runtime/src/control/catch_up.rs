//! Whether a kept fold of the log may stand for the entries before it.
//!
//! A snapshot is a cache: it may be old, of another cluster, of a log that is no more, or written by nobody of ours. So
//! the log is asked for the entry that the snapshot says it ends with, and a node begins from it only if that very entry
//! is there. Whatever else there is, the log is read from its start, and the only loss is time.

use std::fmt;

use aether_domain::records::StoredEntry;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Sequence};

/// Why a snapshot was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassedOver {
    /// The log has no entry where the snapshot says it ends, or did not show it.
    NotThere {
        /// Where that is.
        sequence: Sequence,
    },
    /// The log has another entry there, or an entry that says something else of itself.
    AnotherEntry {
        /// Where that is.
        sequence: Sequence,
        /// The epoch of the snapshot.
        epoch: Epoch,
        /// The epoch of what is there.
        found: Epoch,
    },
    /// It could not be read, or not be understood.
    Unreadable {
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere { sequence } => write!(f, "the log shows no entry {sequence}, with which it ends"),
            Self::AnotherEntry { sequence, epoch, found } => {
                write!(
                    f,
                    "it is of epoch {epoch} and ends with another entry {sequence} than the log's, of epoch {found}"
                )
            }
            Self::Unreadable { reason } => write!(f, "it cannot be read: {reason}"),
        }
    }
}

/// Behind which entry to read one, to see whether the log bears a snapshot out.
pub fn proof_after(snapshot: &Topology) -> Sequence {
    Sequence(snapshot.at().sequence.0.saturating_sub(1))
}

/// Whether the log bears a snapshot out, by what it showed behind [`proof_after`].
///
/// # Errors
/// [`PassedOver`]: the log is to be read from its start.
pub fn weigh(snapshot: &Topology, shown: &[StoredEntry]) -> Result<(), PassedOver> {
    let (at, epoch) = (snapshot.at(), snapshot.epoch());
    let sequence = at.sequence;
    let Some(stored) = shown.first().filter(|stored| stored.at.sequence == sequence) else {
        return Err(PassedOver::NotThere { sequence });
    };
    let entry = &stored.entry;
    // The hash is of the whole entry, and each entry names the one before. The rest is what a snapshot says beside.
    let is_it = stored.at == at
        && entry.epoch == epoch
        && Some(entry.cluster) == snapshot.cluster().uid()
        && entry.term == snapshot.leadership().term();
    if is_it { Ok(()) } else { Err(PassedOver::AnotherEntry { sequence, epoch, found: entry.epoch }) }
}

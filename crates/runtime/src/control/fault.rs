//! What ends a node's serving until a person has looked, and how a store is convicted of having lost something (R16).
//!
//! Only the answer to a compare-and-set counts: reads and watches may be old. Even such an answer may come from a
//! server that is cut off from the others and does not know it yet, for up to 20 s. So a node that is contradicted
//! pauses at once, and is convinced only if it is contradicted still when no such server can be left.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aether_domain::records::{ControlKey, Position};
use aether_domain::{Monotonic, Revision, Sequence};

/// How long a contradiction must last: longer than a server that leads no more can go on answering.
const SURE_AFTER: Duration = Duration::from_secs(25);
/// How many of the log's last positions are remembered.
const POSITIONS_MAX: usize = 4_096;

/// What a node does once it is certain that a store has lost what it had acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRegression {
    /// It serves nothing until a person has looked.
    #[default]
    Halt,
    /// It drops everything it had, says so aloud, and begins again with what the stores hold now.
    AcceptLog,
}

impl OnRegression {
    /// Every way with its stable name.
    pub const NAMES: [(Self, &'static str); 2] = [(Self::Halt, "halt"), (Self::AcceptLog, "accept_log")];

    /// The way of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(way, _)| *way)
    }
}

/// Why a node cannot go on serving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry of the log cannot be understood.
    #[error("the topology log cannot be read at {sequence}: {reason}")]
    Unreadable {
        /// Where it is.
        sequence: Sequence,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry breaks what must always hold, or does not follow the one before.
    #[error("the topology log is not what it must be at {sequence}: {violations}")]
    Broken {
        /// Where it is.
        sequence: Sequence,
        /// What it breaks, in words.
        violations: String,
    },
    /// The log ends before what it had acknowledged.
    #[error("the topology log has lost what it had acknowledged: it was at {known} and is at {found}")]
    LogRegression {
        /// The last entry known to have been stored.
        known: Sequence,
        /// Where the log says it ends.
        found: Sequence,
    },
    /// The log holds another entry where this node has applied one.
    #[error("the topology log was replaced: entry {sequence} is not the one this node has applied")]
    LogReplaced {
        /// Where.
        sequence: Sequence,
    },
    /// A control record is older than what its store had acknowledged.
    #[error("the control store has lost what it had acknowledged: {key:?} was at {known} and is at {found}")]
    ControlRegression {
        /// Which.
        key: ControlKey,
        /// The revision known to have been stored.
        known: Revision,
        /// The revision that the store says it has.
        found: Revision,
    },
}

impl Fault {
    /// Whether it says that a store has lost something that it had acknowledged: what is there now can be gone on with.
    /// What cannot be understood, or breaks the rules, never can.
    pub fn is_regression(&self) -> bool {
        matches!(self, Self::LogRegression { .. } | Self::LogReplaced { .. } | Self::ControlRegression { .. })
    }
}

/// What a store may have lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubted {
    Log,
    Control(ControlKey),
}

/// Contradictions that are not settled yet, and what this node knows to have been stored.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    since: BTreeMap<Doubted, Monotonic>,
    /// The last positions of the log, in order.
    positions: VecDeque<Position>,
}

impl Doubts {
    /// Whether anything is in doubt.
    pub(super) fn any(&self) -> bool {
        !self.since.is_empty()
    }

    /// A compare-and-set was answered in a way that contradicts what is known; true once that is beyond doubt.
    pub(super) fn contradicted(&mut self, what: Doubted, now: Monotonic) -> bool {
        let since = *self.since.entry(what).or_insert(now);
        now.since(since) >= SURE_AFTER
    }

    /// It was answered in a way that fits.
    pub(super) fn settled(&mut self, what: &Doubted) {
        self.since.remove(what);
    }

    /// An entry was applied there.
    pub(super) fn applied(&mut self, at: Position) {
        self.settled(&Doubted::Log);
        if self.positions.len() == POSITIONS_MAX {
            self.positions.pop_front();
        }
        self.positions.push_back(at);
    }

    /// Whether an entry told again is another one than was applied there.
    pub(super) fn is_another(&self, at: Position) -> bool {
        let known = self.positions.binary_search_by_key(&at.sequence, |known| known.sequence);
        known.is_ok_and(|index| self.positions[index].hash != at.hash)
    }
}

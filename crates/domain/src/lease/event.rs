//! What happened to leadership.

use crate::ids::{NodeRef, Term};

/// An event of the [`LeadershipLease`](super::LeadershipLease).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadershipEvent {
    /// A leader is elected and its election is in the log: from here on every older leader's write fails.
    TermStarted {
        /// The term.
        term: Term,
        /// Its leader.
        leader: NodeRef,
    },
    /// A leader has renewed. Announced, never stored in the topology log: the lease record carries it.
    LeadershipRenewed {
        /// The term.
        term: Term,
        /// Its leader.
        leader: NodeRef,
    },
    /// A leader leads no more.
    LeadershipLost {
        /// The term.
        term: Term,
        /// Who led it.
        leader: NodeRef,
        /// Why.
        reason: LossReason,
    },
}

/// Why a leader leads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// It gave the lead back.
    Resigned,
    /// Another was elected.
    Superseded,
}

impl LossReason {
    /// Every reason with its stable name.
    pub const NAMES: [(Self, &'static str); 2] = [(Self::Resigned, "resigned"), (Self::Superseded, "superseded")];
}

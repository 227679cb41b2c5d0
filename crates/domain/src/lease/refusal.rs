//! Leadership's "no".

use crate::ids::{NodeRef, Term};

/// Why the [`LeadershipLease`](super::LeadershipLease) refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeadershipRefusal {
    /// A term is used once, and terms only grow.
    #[error("term {asked} is not above {current}")]
    TermOver {
        /// The term asked for.
        asked: Term,
        /// The last one started.
        current: Term,
    },
    /// Only an Active node may lead.
    #[error("{candidate} is not active")]
    NotActive {
        /// Who wanted to lead.
        candidate: NodeRef,
    },
    /// It does not lead in that term.
    #[error("{claimed_by} does not lead in term {term}")]
    NotLeader {
        /// Who said so.
        claimed_by: NodeRef,
        /// The term it named.
        term: Term,
    },
}

//! What may be asked of leadership.

use crate::ids::{NodeRef, Term};

/// A command to the [`LeadershipLease`](super::LeadershipLease).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadershipCommand {
    /// Start a term. Whoever led before has lost the lead.
    ElectLeader {
        /// Who is to lead.
        candidate: NodeRef,
        /// In which term: above every earlier one.
        term: Term,
        /// Whether the candidate is an Active node of the topology.
        active: bool,
    },
    /// Go on leading.
    RenewLeadership {
        /// Who renews.
        leader: NodeRef,
        /// The term it leads in.
        term: Term,
    },
    /// Stop leading in good order.
    ResignLeadership {
        /// Who resigns.
        leader: NodeRef,
        /// The term it leads in.
        term: Term,
    },
}

//! Two things that cannot both be true, in words for people.

use std::fmt;

use aether_domain::{Epoch, Monotonic, NodeRef, Term};

/// What was seen that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Two lives are said to lead in one term.
    TwoLeaders {
        /// The term.
        term: Term,
        /// Who leads in it: by the log, or by the first claim heard.
        one: NodeRef,
        /// Who is said to lead in it as well.
        other: NodeRef,
        /// Who says so.
        says: NodeRef,
    },
    /// A life claims to lead in a term that the log, as far as that life has it, does not know.
    NoSuchTerm {
        /// The term.
        term: Term,
        /// Who claims it.
        claimed_by: NodeRef,
    },
    /// The lease record names another holder for a term than the log does.
    LeaseOfAnother {
        /// The term.
        term: Term,
        /// Who leads in it, by the log.
        leader: NodeRef,
        /// Whom the lease record names.
        holder: NodeRef,
    },
    /// A node has another entry under an epoch than the log has: two logs.
    TwoLogs {
        /// The node.
        node: NodeRef,
        /// The epoch.
        epoch: Epoch,
        /// What the entry stored in the log hashes to.
        stored: u64,
        /// What the node's entry hashes to.
        claimed: u64,
    },
    /// A node whose serve lease holds serves other shards, or under other shard epochs, than the log gives it: two nodes
    /// may serve one shard.
    ServesAnothers {
        /// The node.
        node: NodeRef,
        /// By the log up to this entry, which both have.
        epoch: Epoch,
    },
}

impl Evidence {
    /// The same for everything that is one story, told again.
    pub(super) fn story(&self) -> (u8, Term, &NodeRef) {
        match self {
            Self::TwoLeaders { term, other, .. } => (0, *term, other),
            Self::NoSuchTerm { term, claimed_by } => (1, *term, claimed_by),
            Self::LeaseOfAnother { term, holder, .. } => (2, *term, holder),
            Self::TwoLogs { node, .. } => (3, Term::ZERO, node),
            Self::ServesAnothers { node, .. } => (4, Term::ZERO, node),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoLeaders { term, one, other, says } => {
                write!(f, "{one} leads in term {term}, and {says} says that {other} does")
            }
            Self::NoSuchTerm { term, claimed_by } => {
                write!(f, "{claimed_by} claims to lead in term {term}, which the log does not know")
            }
            Self::LeaseOfAnother { term, leader, holder } => {
                write!(f, "the log gives term {term} to {leader}, and the lease record names {holder}")
            }
            Self::TwoLogs { node, epoch, stored, claimed } => {
                write!(f, "the entry of epoch {epoch} hashes to {stored:016x}, and to {claimed:016x} on {node}")
            }
            Self::ServesAnothers { node, epoch } => {
                write!(f, "{node} serves other shards than the log gives it at epoch {epoch}")
            }
        }
    }
}

/// Evidence that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// What was seen last.
    pub evidence: Evidence,
    /// When it was seen first, by this node's clock.
    pub first_seen: Monotonic,
    /// When it was seen last.
    pub last_seen: Monotonic,
    /// How often it was seen.
    pub times: u64,
}

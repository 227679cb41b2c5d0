//! What the fabric tells: one value for everything that can reach a node.

use aether_domain::ids::NodeRef;
use aether_domain::ports::{ControlUpdate, Delivery, LogUpdate};

use super::outcome::Outcome;

/// Names one submitted operation; never used twice in one fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Something that reaches a node now. Nodes are the numbers the caller gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FabricEvent {
    /// An operation ended.
    Done {
        /// Whose.
        node: usize,
        /// Which.
        op: OpId,
        /// How.
        outcome: Outcome,
    },
    /// The watch of the control store says something.
    Control {
        /// To whom.
        node: usize,
        /// What.
        update: ControlUpdate,
    },
    /// The follower of the log says something.
    Log {
        /// To whom.
        node: usize,
        /// What.
        update: LogUpdate,
    },
    /// A life receives something.
    Delivery {
        /// On which node.
        node: usize,
        /// Which life of it.
        life: NodeRef,
        /// What.
        delivery: Delivery,
    },
}

impl FabricEvent {
    /// Whom it reaches.
    pub fn node(&self) -> usize {
        match self {
            Self::Done { node, .. }
            | Self::Control { node, .. }
            | Self::Log { node, .. }
            | Self::Delivery { node, .. } => *node,
        }
    }
}

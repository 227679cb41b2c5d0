//! Whether a proposed plan may be executed. A strategy may come from anyone; these rules do not depend on it.
//!
//! The rules are about safety, not about quality: a plan that balances badly, moves too much or moves nothing passes as
//! long as it leaves no shard without an owner. What the moves are executed against is checked again where they commit.

use aether_domain::{NodeId, ShardId};

use crate::needs::Needs;
use crate::strategy::{InputFault, Move, MoveClass, NodeIdx, PlacementInput, PlacementPlan};

/// Moves that may be executed against the input they were checked with.
///
/// Invariant: made by [`PlacementPlan::check`] alone. Every target is receiving and allowed by pins and rules, no shard in
/// flight is touched, each shard moves at most once and from its committed owner, the order is that of the classes, and if
/// any node is receiving then every shard is owned or on its way once all are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedPlan {
    moves: Vec<Move>,
}

impl CheckedPlan {
    /// The moves, in the order to execute them.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The moves, in the order to execute them, to keep.
    pub fn into_moves(self) -> Vec<Move> {
        self.moves
    }
}

/// Why a plan may not be executed. None of it may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// The input itself contradicts itself.
    #[error(transparent)]
    Input(#[from] InputFault),
    /// A move names a shard that does not exist.
    #[error("shard {shard} is moved, but there are only {shards} shards")]
    UnknownShard {
        /// The shard named.
        shard: ShardId,
        /// How many shards there are.
        shards: usize,
    },
    /// A move leads to a node that is not listed.
    #[error("shard {shard} is moved to node index {}, but only {nodes} nodes are listed", to.0)]
    UnknownTarget {
        /// The shard moved.
        shard: ShardId,
        /// The index named.
        to: NodeIdx,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A move leads to a node that is draining.
    #[error("shard {shard} is moved to {node}, which is draining")]
    TargetDraining {
        /// The shard moved.
        shard: ShardId,
        /// The node named.
        node: NodeId,
    },
    /// A move starts somewhere else than at the shard's committed owner: the plan was made for another map.
    #[error("shard {shard} is moved from {from:?}, but its owner is {owner:?}")]
    NotTheOwner {
        /// The shard moved.
        shard: ShardId,
        /// The owner the plan thought of.
        from: Option<NodeIdx>,
        /// The committed owner.
        owner: Option<NodeIdx>,
    },
    /// A move leads to where the shard is.
    #[error("shard {shard} is moved to the node that owns it")]
    Nowhere {
        /// The shard moved.
        shard: ShardId,
    },
    /// A move is of a shard whose earlier move has not ended.
    #[error("shard {shard} is moved while it is in flight")]
    InFlight {
        /// The shard moved.
        shard: ShardId,
    },
    /// A shard is moved twice.
    #[error("shard {shard} is moved twice")]
    Twice {
        /// The shard moved.
        shard: ShardId,
    },
    /// A move leads to a node where the shard may not be.
    #[error("shard {shard} is moved to {node}, where its pin or its tag rules do not allow it")]
    NotAllowed {
        /// The shard moved.
        shard: ShardId,
        /// The node named.
        node: NodeId,
    },
    /// A move says another reason than the input gives.
    #[error("shard {shard} is moved as {said}, but it is {actual}")]
    WrongClass {
        /// The shard moved.
        shard: ShardId,
        /// The reason the plan gives.
        said: MoveClass,
        /// The reason there is.
        actual: MoveClass,
    },
    /// A move that is less urgent comes first.
    #[error("shard {shard} is moved as {class} behind a less urgent move")]
    OutOfOrder {
        /// The shard moved too late.
        shard: ShardId,
        /// How urgent it is.
        class: MoveClass,
    },
    /// A shard without an owner stays without one although a node is receiving.
    #[error("shard {shard} is left without an owner")]
    LeftOrphan {
        /// The shard left out.
        shard: ShardId,
    },
}

impl PlacementPlan {
    /// Checks this plan against the input it was made for.
    ///
    /// # Errors
    /// The first [`PlanFault`] found: nothing of the plan may be executed. Ask a strategy that keeps its contract.
    pub fn check(self, input: &PlacementInput<'_>) -> Result<CheckedPlan, PlanFault> {
        input.validate()?;
        let needs = Needs::of(input);
        let mut in_flight = vec![false; input.current.len()];
        for move_ in input.in_flight {
            in_flight[move_.shard.index()] = true;
        }
        let mut moved = vec![false; input.current.len()];
        let mut urgency = MoveClass::Orphan;
        for &step in &self.moves {
            check_move(step, input, &needs)?;
            let (shard, class) = (step.shard, step.class);
            if in_flight[shard.index()] {
                return Err(PlanFault::InFlight { shard });
            }
            if std::mem::replace(&mut moved[shard.index()], true) {
                return Err(PlanFault::Twice { shard });
            }
            if class < urgency {
                return Err(PlanFault::OutOfOrder { shard, class });
            }
            urgency = class;
        }
        let left = (0..input.current.len()).find(|&at| input.current[at].is_none() && !in_flight[at] && !moved[at]);
        match left {
            Some(at) if !needs.receivers().is_empty() => Err(PlanFault::LeftOrphan { shard: ShardId(at as u16) }),
            _ => Ok(CheckedPlan { moves: self.moves }),
        }
    }
}

/// What can be said of one move alone. The input is valid.
fn check_move(step: Move, input: &PlacementInput<'_>, needs: &Needs) -> Result<(), PlanFault> {
    let Move { shard, from, to, class: said } = step;
    let Some(&owner) = input.current.get(shard.index()) else {
        return Err(PlanFault::UnknownShard { shard, shards: input.current.len() });
    };
    let Some(target) = input.nodes.get(to.index()) else {
        return Err(PlanFault::UnknownTarget { shard, to, nodes: input.nodes.len() });
    };
    let Some(rank) = needs.rank(Some(to)) else {
        return Err(PlanFault::TargetDraining { shard, node: target.id.clone() });
    };
    if !needs.allows(shard, rank) {
        return Err(PlanFault::NotAllowed { shard, node: target.id.clone() });
    }
    if from != owner {
        return Err(PlanFault::NotTheOwner { shard, from, owner });
    }
    if from == Some(to) {
        return Err(PlanFault::Nowhere { shard });
    }
    let actual = needs.class(shard, owner);
    if said != actual && (said, actual) != (MoveClass::Load, MoveClass::Balance) {
        return Err(PlanFault::WrongClass { shard, said, actual });
    }
    Ok(())
}

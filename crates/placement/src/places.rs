//! Where shards may be and which have to move: what a strategy has to know to make a legal plan.

use aether_domain::ShardId;

use crate::needs::Needs;
use crate::strategy::{MoveClass, NodeIdx, PlacementError, PlacementInput};

/// An input's pins and tag rules, as far as they can be obeyed. What is legal by it, [`PlacementPlan::check`] lets pass.
///
/// [`PlacementPlan::check`]: crate::PlacementPlan::check
#[derive(Debug)]
pub struct Places<'a> {
    input: &'a PlacementInput<'a>,
    needs: Needs,
}

impl PlacementInput<'_> {
    /// Where its shards may be.
    ///
    /// # Errors
    /// As every strategy has to answer them: nobody receives, or the input contradicts itself.
    pub fn places(&self) -> Result<Places<'_>, PlacementError> {
        self.validate()?;
        let needs = Needs::of(self);
        if needs.receivers().is_empty() {
            return Err(PlacementError::NoReceivers { nodes: self.nodes.len() });
        }
        Ok(Places { input: self, needs })
    }
}

impl Places<'_> {
    /// Whether the shard may be given to the node: it receives, and the shard's pin and rules do not forbid it.
    pub fn allows(&self, shard: ShardId, node: NodeIdx) -> bool {
        let known = node.index() < self.input.nodes.len();
        self.needs.rank(Some(node).filter(|_| known)).is_some_and(|rank| self.needs.allows(shard, rank))
    }

    /// The shards that have to move wherever the others are, ascending, each with the reason its move has to give. Those in
    /// flight are not among them. Every one of them is allowed somewhere.
    pub fn forced(&self) -> Vec<(ShardId, MoveClass)> {
        let owners = (0_u16..=u16::MAX).map(ShardId).zip(self.input.current);
        let mut reasons: Vec<_> = owners.map(|(shard, owner)| (shard, self.needs.class(shard, *owner))).collect();
        for moving in self.input.in_flight {
            reasons[moving.shard.index()].1 = MoveClass::Balance;
        }
        reasons.retain(|(_, class)| class.is_forced());
        reasons
    }

    /// The shards with a pin or rules that nobody can obey now, ascending. They are allowed anywhere, or by a pin that cannot
    /// be obeyed where their rules want them.
    pub fn unmet(&self) -> &[ShardId] {
        self.needs.unmet()
    }
}

//! Who may be given shards, and where each shard may be: as pins and tag rules say it, and as far as they can be obeyed.
//!
//! Nodes are put in the order of their ids here, so that nothing behind this point can depend on the input's order. A
//! receiver's place in that order is its *rank*.

use std::collections::BTreeMap;

use aether_domain::ShardId;

use crate::strategy::{MoveClass, NodeIdx, NodeState, PlacementInput};

/// Where one shard may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// On every receiver.
    Anywhere,
    /// On the receivers of this kind: its place in [`Needs::kinds`].
    Kind(u16),
    /// On the receiver of this rank alone.
    Pinned(u16),
}

/// Where every shard may be. Of a valid input.
#[derive(Debug)]
pub(crate) struct Needs {
    /// By rank: the place of a node that may be given shards.
    receivers: Vec<NodeIdx>,
    /// By place: the node's rank, if it may be given shards.
    ranks: Vec<Option<u16>>,
    /// By shard; empty if every shard may be anywhere.
    needs: Vec<Need>,
    /// By kind, by rank: whether the receiver will do. Each kind has at least one that does and one that does not, no two
    /// are the same, and they are in an order of their own.
    kinds: Vec<Vec<bool>>,
    /// Shards that have a pin or rules which nobody can obey now, ascending.
    unmet: Vec<ShardId>,
}

impl Needs {
    /// What `input` asks for.
    pub(crate) fn of(input: &PlacementInput<'_>) -> Self {
        let nodes = (0_u16..=u16::MAX).map(NodeIdx).zip(input.nodes);
        let receiving = nodes.filter(|(_, node)| node.state == NodeState::Receiving);
        let mut receivers: Vec<NodeIdx> = receiving.map(|(at, _)| at).collect();
        receivers.sort_unstable_by(|a, b| input.nodes[a.index()].id.cmp(&input.nodes[b.index()].id));
        let mut ranks = vec![None; input.nodes.len()];
        for (rank, at) in (0_u16..=u16::MAX).zip(&receivers) {
            ranks[at.index()] = Some(rank);
        }
        let mut asked = Self { receivers, ranks, needs: Vec::new(), kinds: Vec::new(), unmet: Vec::new() };
        if !(input.pins.is_empty() && input.rules.is_empty()) {
            asked.read(input);
        }
        asked
    }

    fn read(&mut self, input: &PlacementInput<'_>) {
        // By shard, which rules name it: there are at most 64.
        let mut named = vec![0_u64; input.current.len()];
        for (nth, rule) in input.rules.iter().enumerate() {
            for shard in rule.shards.iter() {
                named[shard.index()] |= 1 << nth;
            }
        }
        let mut fitting: BTreeMap<u64, Vec<bool>> = named.iter().map(|rules| (*rules, Vec::new())).collect();
        for (rules, fits) in &mut fitting {
            let asked = || (0..).zip(input.rules).filter(|(nth, _)| rules >> nth & 1 == 1).map(|(_, rule)| rule);
            let fit = |at: &NodeIdx| asked().all(|rule| rule.tags.is_subset(&input.nodes[at.index()].tags));
            fits.extend(self.receivers.iter().map(fit));
        }
        let mut kinds: Vec<_> = fitting.values().filter(|fits| fits.contains(&true) && fits.contains(&false)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        self.kinds = kinds.into_iter().cloned().collect();
        for (shard, rules) in (0..=u16::MAX).map(ShardId).zip(&named) {
            let fits = &fitting[rules];
            self.needs.push(self.kinds.binary_search(fits).map_or(Need::Anywhere, |kind| Need::Kind(kind as u16)));
            if !fits.contains(&true) {
                self.unmet.push(shard);
            }
        }
        for pin in input.pins {
            match self.receivers.iter().position(|at| input.nodes[at.index()].id == pin.node) {
                Some(rank) => self.needs[pin.shard.index()] = Need::Pinned(rank as u16),
                None => self.unmet.push(pin.shard),
            }
        }
        let Self { needs, unmet, .. } = self;
        unmet.retain(|shard| !matches!(needs[shard.index()], Need::Pinned(_)));
        unmet.sort_unstable();
        unmet.dedup();
    }

    /// By rank: the place of a node that may be given shards.
    pub(crate) fn receivers(&self) -> &[NodeIdx] {
        &self.receivers
    }

    /// The rank of an owner that may be given shards.
    pub(crate) fn rank(&self, owner: Option<NodeIdx>) -> Option<u16> {
        owner.and_then(|node| self.ranks[node.index()])
    }

    /// Why a shard of this owner would move.
    pub(crate) fn class(&self, shard: ShardId, owner: Option<NodeIdx>) -> MoveClass {
        match (owner, self.rank(owner)) {
            (None, _) => MoveClass::Orphan,
            (Some(_), None) => MoveClass::Drain,
            (Some(_), Some(rank)) if !self.allows(shard, rank) => MoveClass::Rule,
            (Some(_), Some(_)) => MoveClass::Balance,
        }
    }

    /// What one shard needs.
    pub(crate) fn of_shard(&self, shard: ShardId) -> Need {
        self.needs.get(shard.index()).copied().unwrap_or(Need::Anywhere)
    }

    /// Whether a shard may be on the receiver of this rank.
    pub(crate) fn allows(&self, shard: ShardId, rank: u16) -> bool {
        match self.of_shard(shard) {
            Need::Anywhere => true,
            Need::Kind(kind) => self.kinds[usize::from(kind)][usize::from(rank)],
            Need::Pinned(to) => to == rank,
        }
    }

    /// By kind, by rank: whether the receiver will do.
    pub(crate) fn kinds(&self) -> &[Vec<bool>] {
        &self.kinds
    }

    /// Shards that have a pin or rules which nobody can obey now, ascending.
    pub(crate) fn unmet(&self) -> &[ShardId] {
        &self.unmet
    }
}

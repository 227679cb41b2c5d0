//! Who may be given shards, and where each shard may be: as pins and tag rules say it, and as far as they can be obeyed.
//!
//! Nodes are put in the order of their ids here, so that nothing behind this point can depend on the input's order. A
//! receiver's place in that order is its *rank*.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use aether_domain::{ShardId, Tag};

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

/// The most kinds times the most sorts of receivers: 64 kinds and 2,048 sorts, to bound time and memory whatever the rules are.
/// Beyond, shards of the kinds with the fewest of them are placed as if they needed nothing, and are unmet.
const PAIRS_MAX: usize = 1 << 17;

/// Where every shard may be. Of a valid input.
#[derive(Debug)]
pub(crate) struct Needs {
    /// By rank: the place of a node that may be given shards.
    receivers: Vec<NodeIdx>,
    /// By place: the node's rank, if it may be given shards.
    ranks: Vec<Option<u16>>,
    /// By shard; empty if every shard may be anywhere.
    shards: Vec<Need>,
    /// By rank: a bit for each set of tags that a rule names and the receiver has.
    meets: Vec<u64>,
    /// By kind: the bits that all its receivers have in common, and no other receiver has. Each kind has at least one receiver
    /// that will do and one that will not. They are in an order that does not depend on the order of rules.
    kinds: Vec<u64>,
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
        let meets = vec![0; receivers.len()];
        let mut asked = Self { receivers, ranks, shards: Vec::new(), meets, kinds: Vec::new(), unmet: Vec::new() };
        if !(input.pins.is_empty() && input.rules.is_empty()) {
            asked.read(input);
        }
        asked
    }

    fn read(&mut self, input: &PlacementInput<'_>) {
        // A bit for each set of tags: there are at most 64.
        let sets: BTreeSet<&BTreeSet<Tag>> = input.rules.iter().map(|rule| &rule.tags).collect();
        let bits: BTreeMap<&BTreeSet<Tag>, u64> = sets.into_iter().zip((0..64).map(|bit| 1 << bit)).collect();
        for (meets, at) in self.meets.iter_mut().zip(&self.receivers) {
            let tags = &input.nodes[at.index()].tags;
            *meets = bits.iter().filter(|(set, _)| set.is_subset(tags)).map(|(_, bit)| bit).sum();
        }
        let mut asked = vec![0_u64; input.current.len()];
        for rule in input.rules {
            for shard in rule.shards.iter() {
                asked[shard.index()] |= bits[&rule.tags];
            }
        }
        let alike: BTreeSet<u64> = self.meets.iter().copied().collect();
        let by_all = alike.iter().fold(u64::MAX, |common, meets| common & meets);
        // What the receivers that will do have in common says which they are. None of them: nothing to have in common.
        let common = |asked: u64| {
            let fits = alike.iter().filter(|meets| asked & !**meets == 0);
            fits.copied().reduce(|common, meets| common & meets)
        };
        let mut found: BTreeMap<u64, (Option<u64>, usize)> = BTreeMap::new();
        for asked in &asked {
            found.entry(*asked).or_insert_with(|| (common(*asked), 0)).1 += 1;
        }
        let mut shards_of: BTreeMap<u64, usize> = BTreeMap::new();
        for (kind, shards) in found.values() {
            kind.iter().filter(|kind| **kind != by_all).for_each(|kind| *shards_of.entry(*kind).or_default() += shards);
        }
        let mut kinds: Vec<(Reverse<usize>, u64)> =
            shards_of.into_iter().map(|(kind, of)| (Reverse(of), kind)).collect();
        kinds.sort_unstable();
        kinds.truncate(PAIRS_MAX / alike.len().max(1));
        self.kinds = kinds.into_iter().map(|(_, kind)| kind).collect();
        self.kinds.sort_unstable();
        for (shard, asked) in (0..=u16::MAX).map(ShardId).zip(&asked) {
            let kind = found[asked].0;
            let place = kind.and_then(|kind| self.kinds.binary_search(&kind).ok());
            self.shards.push(place.map_or(Need::Anywhere, |kind| Need::Kind(kind as u16)));
            if place.is_none() && kind != Some(by_all) {
                self.unmet.push(shard);
            }
        }
        for pin in input.pins {
            let id = |at: &NodeIdx| input.nodes[at.index()].id.cmp(&pin.node);
            match self.receivers.binary_search_by(id) {
                Ok(rank) => self.shards[pin.shard.index()] = Need::Pinned(rank as u16),
                Err(_) => self.unmet.push(pin.shard),
            }
        }
        let Self { shards, unmet, .. } = self;
        unmet.retain(|shard| !matches!(shards[shard.index()], Need::Pinned(_)));
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
        self.shards.get(shard.index()).copied().unwrap_or(Need::Anywhere)
    }

    /// Whether a shard may be on the receiver of this rank.
    pub(crate) fn allows(&self, shard: ShardId, rank: u16) -> bool {
        match self.of_shard(shard) {
            Need::Anywhere => true,
            Need::Kind(kind) => self.kinds[usize::from(kind)] & !self.meets[usize::from(rank)] == 0,
            Need::Pinned(to) => to == rank,
        }
    }

    /// By kind: the bits a receiver must have.
    pub(crate) fn kinds(&self) -> &[u64] {
        &self.kinds
    }

    /// By rank: the bits the receiver has. Receivers with the same are alike: every kind may be on all of them or on none.
    pub(crate) fn meets(&self) -> &[u64] {
        &self.meets
    }

    /// Shards that have a pin or rules which nobody can obey now, ascending.
    pub(crate) fn unmet(&self) -> &[ShardId] {
        &self.unmet
    }
}

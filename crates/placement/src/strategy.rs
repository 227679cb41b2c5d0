//! The question a leader asks (who holds what, who may receive) and the answer a strategy gives (which shards move).
//!
//! A strategy only proposes: [`PlacementPlan::check`] decides whether a proposal may be executed. Nothing here moves a
//! shard, throttles moves or knows about time; [`crate::sticky`] is the strategy to use.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::num::NonZeroU32;

use aether_domain::policy::{LoadPolicy, Pin, TagRule, ZoneMode};
use aether_domain::{NodeId, ShardId, ShardSet, Tag, Zone};

/// Decides which shards should move.
///
/// # Contract
/// - Pure: the same input gives the same plan on every machine and in every release that carries the same
///   [`StrategyId`]. No clock, no randomness, no floating point, no order of a hash map.
/// - The order of [`PlacementInput::nodes`] and [`PlacementInput::in_flight`] does not matter to the result.
/// - Every plan passes [`PlacementPlan::check`].
pub trait PlacementStrategy: Send + Sync + 'static {
    /// Its name and version, stored with what it decided.
    fn id(&self) -> StrategyId;

    /// The moves that lead from `input` to this strategy's target.
    ///
    /// # Errors
    /// [`PlacementError`]; nothing may be moved then, and the owners stay as they are.
    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError>;
}

/// Which function made a plan. A change of any plan it would make is a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrategyId {
    /// What the strategy is called.
    pub name: &'static str,
    /// Which edition of it, from 1.
    pub version: u16,
}

impl fmt::Display for StrategyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// A node's place in [`PlacementInput::nodes`]. It means nothing outside of the input it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIdx(pub u16);

impl NodeIdx {
    /// The node's place in an array of all nodes.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// Whether a node may be given shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// It may (node status `Active`).
    Receiving,
    /// It serves what it has, and all of it is to leave (node status `Draining`).
    Draining,
}

/// What a strategy knows of a node. A node that serves nothing any more is not listed: its shards have no owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Which machine.
    pub id: NodeId,
    /// Its capacity in proportion to the others'; all equal if they are alike.
    pub weight: NonZeroU32,
    /// Whether it may be given shards.
    pub state: NodeState,
    /// Which nodes it may fail together with, if that is known.
    pub zone: Option<Zone>,
    /// What can be said of it, for shards that need it.
    pub tags: BTreeSet<Tag>,
}

impl NodeView {
    /// A node of weight 1 without zone and tags, that may be given shards.
    pub fn new(id: NodeId) -> Self {
        Self { id, weight: NonZeroU32::MIN, state: NodeState::Receiving, zone: None, tags: BTreeSet::new() }
    }
}

/// A move that has begun and is not committed: it counts at its destination, and nobody may plan it again this round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// What is moving.
    pub shard: ShardId,
    /// Where it will be.
    pub to: NodeIdx,
}

/// Everything a plan may depend on. What is not said is nothing: write `..Default::default()` behind what there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlacementInput<'a> {
    /// The cluster's seed: it decides ties and nothing else.
    pub seed: u64,
    /// The committed owner of each shard, in the order of shards; their number is its length.
    pub current: &'a [Option<NodeIdx>],
    /// The nodes that serve, in any order, each once.
    pub nodes: &'a [NodeView],
    /// Moves under way, in any order, each shard at most once.
    pub in_flight: &'a [InFlight],
    /// Shards that are to be on one node, in any order, each shard at most once.
    pub pins: &'a [Pin],
    /// Shards that need nodes with certain tags, in any order.
    pub rules: &'a [TagRule],
    /// What shares are in proportion to.
    pub zones: ZoneMode,
    /// What the shards cost, if that is to count; without it they are all alike.
    pub load: Option<ShardLoads<'a>>,
}

/// What the shards cost, and how far placement is to go by it.
#[derive(Clone, Copy, Debug)]
pub struct ShardLoads<'a> {
    /// By shard: a measure that adds up, the same for all. 0 is as good as idle.
    pub loads: &'a [u32],
    /// Shards that have moved too lately to be moved for load again.
    pub resting: &'a ShardSet,
    /// When to begin, when to end, how much at a time.
    pub policy: LoadPolicy,
}

impl PlacementInput<'_> {
    /// The most shards and the most nodes an input may have.
    pub const COUNT_MAX: usize = 65_536;
    /// The most tag rules an input may have.
    pub const RULES_MAX: usize = 64;

    /// Whether the input speaks only of shards and nodes it lists.
    ///
    /// # Errors
    /// The first [`InputFault`] found.
    pub fn validate(&self) -> Result<(), InputFault> {
        for (what, count, most) in [
            ("shards", self.current.len(), Self::COUNT_MAX),
            ("nodes", self.nodes.len(), Self::COUNT_MAX),
            ("tag rules", self.rules.len(), Self::RULES_MAX),
        ] {
            if count > most {
                return Err(InputFault::TooMany { what, count, most });
            }
        }
        if let Some(ShardLoads { loads, .. }) = self.load
            && loads.len() != self.current.len()
        {
            return Err(InputFault::Loads { loads: loads.len(), shards: self.current.len() });
        }
        let mut ids: Vec<&NodeId> = self.nodes.iter().map(|node| &node.id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InputFault::NodeTwice { node: pair[0].clone() });
        }
        let destinations = self.in_flight.iter().map(|move_| move_.to);
        for node in self.current.iter().copied().flatten().chain(destinations) {
            if node.index() >= self.nodes.len() {
                return Err(InputFault::UnknownNode { node, nodes: self.nodes.len() });
            }
        }
        let mut moving: Vec<ShardId> = self.in_flight.iter().map(|move_| move_.shard).collect();
        moving.sort_unstable();
        if let Some(pair) = moving.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InputFault::InFlightTwice { shard: pair[0] });
        }
        let mut pinned: Vec<ShardId> = self.pins.iter().map(|pin| pin.shard).collect();
        pinned.sort_unstable();
        if let Some(pair) = pinned.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InputFault::PinnedTwice { shard: pair[0] });
        }
        let ruled = self.rules.iter().filter_map(|rule| rule.shards.iter().next_back());
        match moving.last().into_iter().chain(pinned.last()).copied().chain(ruled).max() {
            Some(shard) if shard.index() >= self.current.len() => {
                Err(InputFault::UnknownShard { shard, shards: self.current.len() })
            }
            _ => Ok(()),
        }
    }
}

/// Why an input contradicts itself: a bug in whoever built it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputFault {
    /// More than [`PlacementInput::COUNT_MAX`] shards or nodes, or than [`PlacementInput::RULES_MAX`] rules.
    #[error("{count} {what} were given, at most {most} can be")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A node is listed twice.
    #[error("node {node} is listed twice")]
    NodeTwice {
        /// Which.
        node: NodeId,
    },
    /// An owner or a destination is not in the list of nodes.
    #[error("node index {} is used, but only {nodes} nodes are listed", node.0)]
    UnknownNode {
        /// The index used.
        node: NodeIdx,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A move under way, a pin or a rule is of a shard that does not exist.
    #[error("shard {shard} is named, but there are only {shards} shards")]
    UnknownShard {
        /// The shard named.
        shard: ShardId,
        /// How many shards there are.
        shards: usize,
    },
    /// A shard is on its way to two places.
    #[error("shard {shard} is in flight twice")]
    InFlightTwice {
        /// Which.
        shard: ShardId,
    },
    /// Not every shard has one load.
    #[error("{loads} loads are given for {shards} shards")]
    Loads {
        /// How many loads there are.
        loads: usize,
        /// How many shards there are.
        shards: usize,
    },
    /// A shard is pinned to two places.
    #[error("shard {shard} is pinned twice")]
    PinnedTwice {
        /// Which.
        shard: ShardId,
    },
}

/// Why there is no plan. Every owner stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// No node may be given a shard. Keep the present owners, raise an alarm, and ask again when a node joins.
    #[error("none of the {nodes} nodes may be given shards")]
    NoReceivers {
        /// How many nodes there are, all draining.
        nodes: usize,
    },
    /// The input contradicts itself; asking again with the same input will not help.
    #[error(transparent)]
    Input(#[from] InputFault),
}

/// Why a shard moves; also the order in which moves are to be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MoveClass {
    /// It has no owner, so nobody serves it.
    Orphan,
    /// Its owner is draining.
    Drain,
    /// It is not where its pin or its rules want it.
    Rule,
    /// Its owner has more than its share of shards.
    Balance,
    /// Its owner has more than its share of the load.
    Load,
}

impl MoveClass {
    /// Whether a shard is to move for this reason wherever the others are.
    pub fn is_forced(self) -> bool {
        matches!(self, Self::Orphan | Self::Drain | Self::Rule)
    }
}

impl fmt::Display for MoveClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Orphan => "orphan",
            Self::Drain => "drain",
            Self::Rule => "rule",
            Self::Balance => "balance",
            Self::Load => "load",
        })
    }
}

/// One shard changing owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// What moves.
    pub shard: ShardId,
    /// Its committed owner, if it has one.
    pub from: Option<NodeIdx>,
    /// Its next owner.
    pub to: NodeIdx,
    /// Why.
    pub class: MoveClass,
}

/// What a strategy proposes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementPlan {
    /// The moves, in the order of their classes. A shard that is not named stays.
    pub moves: Vec<Move>,
    /// What they amount to, for people and metrics; [`PlacementPlan::check`] does not look at it.
    pub report: PlanReport,
}

/// The numbers of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// Moves that any plan must make; see [`MoveClass::is_forced`].
    pub forced: u32,
    /// Moves for balance of shards or load alone.
    pub voluntary: u32,
    /// The fewest moves to any balanced map; see [`crate::sticky::minimum_moves`]. With loads those that are forced.
    pub optimum: u32,
    /// The most moves that one node takes part in, as sender or as receiver: with at most `k` of them at a time, the
    /// plan takes at least `max_degree / k` rounds.
    pub max_degree: u32,
}

impl PlacementPlan {
    /// A plan of these moves, put in order, with its numbers. `optimum` is the fewest moves to any balanced map.
    pub fn new(mut moves: Vec<Move>, optimum: u32) -> Self {
        moves.sort_unstable_by_key(|step| (step.class, step.shard));
        let voluntary = moves.iter().filter(|step| !step.class.is_forced()).count();
        let nodes = moves.iter().flat_map(|step| [step.from, Some(step.to)]).flatten();
        let mut degrees = vec![(0, 0); nodes.max().map_or(0, |last| last.index() + 1)];
        for step in &moves {
            if let Some(from) = step.from {
                degrees[from.index()].0 += 1;
            }
            degrees[step.to.index()].1 += 1;
        }
        let report = PlanReport {
            forced: (moves.len() - voluntary) as u32,
            voluntary: voluntary as u32,
            optimum,
            max_degree: degrees.into_iter().map(|(sent, received): (u32, u32)| sent.max(received)).max().unwrap_or(0),
        };
        Self { moves, report }
    }

    /// The plan for people, a line for each pair of nodes: `balance n1 -> n4: 3,7-9`. `nodes` are those of its input;
    /// an index that is not among them is written as a number.
    pub fn describe(&self, nodes: &[NodeView]) -> String {
        let name = |node: NodeIdx| {
            nodes.get(node.index()).map_or_else(|| format!("#{}", node.0), |known| known.id.to_string())
        };
        let mut lines: Vec<(MoveClass, String, String, ShardId)> = Vec::with_capacity(self.moves.len());
        for step in &self.moves {
            lines.push((step.class, step.from.map_or_else(|| "-".to_owned(), name), name(step.to), step.shard));
        }
        lines.sort();
        let mut text = String::new();
        for line in lines.chunk_by(|a, b| (a.0, &a.1, &a.2) == (b.0, &b.1, &b.2)) {
            let (class, from, to, _) = &line[0];
            let shards: ShardSet = line.iter().map(|(.., shard)| *shard).collect();
            writeln!(text, "{class:7} {from} -> {to}: {shards}").expect("a String takes any text");
        }
        let PlanReport { forced, voluntary, optimum, max_degree } = self.report;
        writeln!(text, "forced {forced}, voluntary {voluntary}, optimum {optimum}, max degree {max_degree}")
            .expect("a String takes any text");
        text
    }
}

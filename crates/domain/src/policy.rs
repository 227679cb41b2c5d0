//! What an operator says about where shards should be: values only.
//!
//! A planner obeys them, the cluster stores them. Nothing here plans or moves anything.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::ids::{InvalidId, NodeId, ShardId, ShardSet, StrategyName, Tag};

/// A shard that is to be on one node and nowhere else.
///
/// While that node cannot be given shards (it is unknown, gone or draining), the pin is not obeyed: the shard is placed
/// as if it had none, and goes to its node once that receives again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pin {
    /// Which shard.
    pub shard: ShardId,
    /// Where it is to be.
    pub node: NodeId,
}

/// Shards that may be only on nodes with certain tags.
///
/// Several rules may name a shard: it needs the tags of all of them. A pin goes before every rule. While no node that can be
/// given shards has what a shard needs, the shard is placed as if it needed nothing: it is rather served in the wrong place
/// than not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagRule {
    /// Which shards.
    pub shards: ShardSet,
    /// All of these a node must have.
    pub tags: BTreeSet<Tag>,
}

/// What the shares of nodes are in proportion to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ZoneMode {
    /// To their weights; zones do not matter. The load of all nodes is alike, and the larger a zone, the more is lost with it.
    #[default]
    Ignored,
    /// Every zone to the same share, within it to weights: with any of `Z` zones one shard in `Z` is lost, and the nodes of
    /// a small zone have more to do. Nodes without a zone are together a zone of their own.
    Equal,
}

impl ZoneMode {
    /// Every mode with its stable name.
    pub const NAMES: [(Self, &'static str); 2] = [(Self::Ignored, "ignored"), (Self::Equal, "equal")];
}

/// How many shards may be on their way at once. A shard without an owner waits for nobody and is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MoveCaps {
    /// In the whole cluster, at least 1.
    pub total: u16,
    /// From one node, at least 1.
    pub per_source: u16,
    /// To one node, at least 1.
    pub per_target: u16,
}

impl Default for MoveCaps {
    /// 32 from a node and 32 to a node, 1,024 in all.
    fn default() -> Self {
        Self { total: 1_024, per_source: 32, per_target: 32 }
    }
}

/// When measured load, and not only the number of shards, decides where shards are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoadPolicy {
    /// Begin when the hottest node has more than this much of what cannot be avoided, in percent: 101 to 1000.
    pub trigger: u16,
    /// End when it has no more than this, in percent: 100 to `trigger`.
    pub stop: u16,
    /// The most shards a node may have, in percent of its share: 100 to 1000.
    pub cap: u16,
    /// The most shards one plan may move for load, in thousandths of all shards: 1 to 1000.
    pub budget: u16,
    /// How long a shard that has moved is not moved again for load.
    pub dwell: Duration,
}

impl Default for LoadPolicy {
    /// From 110 % to 105 %, at most 125 % of the shards, two shards of a hundred a plan, five minutes of rest.
    fn default() -> Self {
        Self { trigger: 110, stop: 105, cap: 125, budget: 20, dwell: Duration::from_secs(300) }
    }
}

/// Which function decides where shards go: its name and its edition, written `sticky-balanced/1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Strategy {
    /// What it is called.
    pub name: StrategyName,
    /// Which edition of it, from 1.
    pub version: u16,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

impl std::str::FromStr for Strategy {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bad = || InvalidId::Name {
            what: "strategy",
            text: text.chars().take(64).collect(),
            rule: "a name, a slash and a version from 1, like sticky-balanced/1",
        };
        let (name, version) = text.split_once('/').ok_or_else(bad)?;
        let version = version.parse().ok().filter(|version| *version > 0).ok_or_else(bad)?;
        Ok(Self { name: StrategyName::new(name)?, version })
    }
}

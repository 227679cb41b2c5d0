//! What an operator says about where shards should be: values only.
//!
//! A planner obeys them, the cluster stores them. Nothing here plans or moves anything.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::cluster::NodeInfo;
use crate::ids::{InvalidId, NodeId, ShardCount, ShardId, ShardSet, StrategyName, Tag};

/// Everything an operator says about where shards should be. What a cluster goes by stands in its log; until an operator says
/// otherwise it is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementPolicy {
    /// Which function plans. A leader that does not know it moves only what must move.
    pub strategy: Strategy,
    /// What the shares of nodes are in proportion to.
    pub zones: ZoneMode,
    /// Shards that are to be on one node, ascending by shard, each once.
    pub pins: Vec<Pin>,
    /// Shards that need nodes with certain tags; at most [`PlacementPolicy::RULES_MAX`].
    pub rules: Vec<TagRule>,
    /// How many shards may be on their way at once.
    pub caps: MoveCaps,
    /// How long moves for balance wait after a node that had left in good order is back: the next one may be about to leave.
    /// With the fast timers half of it ([`Profile::own_time`](crate::timing::Profile::own_time)).
    /// At most [`PlacementPolicy::RETURN_GRACE_MAX`].
    pub return_grace: Duration,
    /// Whether, and how far, measured load decides as well.
    pub load: Option<LoadPolicy>,
}

impl Default for PlacementPolicy {
    /// [`Strategy::built_in`], zones ignored, no pins, rules and load, the default caps, ten seconds for the next node.
    fn default() -> Self {
        Self {
            strategy: Strategy::built_in(),
            zones: ZoneMode::Ignored,
            pins: Vec::new(),
            rules: Vec::new(),
            caps: MoveCaps::default(),
            return_grace: Duration::from_secs(10),
            load: None,
        }
    }
}

impl PlacementPolicy {
    /// The most pins that there can be: each of the most shards on one node.
    pub const PINS_MAX: usize = 65_536;
    /// The most tag rules that there may be.
    pub const RULES_MAX: usize = 64;
    /// The longest that moves for balance may wait for the next node.
    pub const RETURN_GRACE_MAX: Duration = Duration::from_secs(3_600);
    /// The longest that a shard may rest.
    pub const DWELL_MAX: Duration = Duration::from_secs(24 * 3_600);

    /// Whether a cluster of so many shards can go by it. That a node is not there, or has not the tags, is no fault: the
    /// cluster does what it can.
    ///
    /// # Errors
    /// The first [`PolicyFault`] found.
    pub fn check(&self, shards: ShardCount) -> Result<(), PolicyFault> {
        let unknown = |shard| PolicyFault::UnknownShard { shard, shards: shards.get() };
        let known = |shard: ShardId| if shard.index() < shards.get() { Ok(()) } else { Err(unknown(shard)) };
        let mut before = None;
        for Pin { shard, .. } in &self.pins {
            if before >= Some(*shard) {
                return Err(PolicyFault::Pinned { shard: *shard });
            }
            known(*shard)?;
            before = Some(*shard);
        }
        within("rules", self.rules.len() as u64, 0, Self::RULES_MAX as u64)?;
        for TagRule { shards, tags } in &self.rules {
            within("shards of a rule", shards.len() as u64, 1, u64::from(u32::MAX))?;
            within("tags of a rule", tags.len() as u64, 1, NodeInfo::TAGS_MAX as u64)?;
            shards.iter().next_back().map_or(Ok(()), known)?;
        }
        let MoveCaps { total, per_source, per_target, per_second } = self.caps;
        for (what, cap) in [
            ("caps.total", total),
            ("caps.per_source", per_source),
            ("caps.per_target", per_target),
            ("caps.per_second", per_second),
        ] {
            within(what, cap.into(), 1, u16::MAX.into())?;
        }
        within_time("return_grace", self.return_grace, Self::RETURN_GRACE_MAX)?;
        if let Some(LoadPolicy { trigger, stop, cap, budget, dwell }) = self.load {
            within("load.trigger", trigger.into(), 101, 1_000)?;
            within("load.stop", stop.into(), 100, trigger.into())?;
            within("load.cap", cap.into(), 100, 1_000)?;
            within("load.budget", budget.into(), 1, 1_000)?;
            within_time("load.dwell", dwell, Self::DWELL_MAX)?;
        }
        Ok(())
    }
}

fn within(what: &'static str, value: u64, least: u64, most: u64) -> Result<(), PolicyFault> {
    let fits = (least..=most).contains(&value);
    if fits { Ok(()) } else { Err(PolicyFault::OutOfRange { what, value, least, most }) }
}

fn within_time(what: &'static str, time: Duration, most: Duration) -> Result<(), PolicyFault> {
    if time <= most { Ok(()) } else { Err(PolicyFault::TooLong { what, time, most }) }
}

/// Why no cluster, or not this one, can go by a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// A pin or a rule is about a shard that does not exist.
    #[error("shard {shard} is named, but there are only {shards} shards, counted from 0")]
    UnknownShard {
        /// The shard named.
        shard: ShardId,
        /// How many there are.
        shards: usize,
    },
    /// A shard is pinned twice, or out of order.
    #[error("shard {shard} is pinned twice, or behind a later one")]
    Pinned {
        /// Which.
        shard: ShardId,
    },
    /// A number is too small or too large.
    #[error("{what}: {value} is out of range; {least} to {most}")]
    OutOfRange {
        /// Of what.
        what: &'static str,
        /// What it is.
        value: u64,
        /// The least it can be.
        least: u64,
        /// The most it can be.
        most: u64,
    },
    /// A time is too long.
    #[error("{what}: {time:?} is too long; at most {most:?}")]
    TooLong {
        /// Which.
        what: &'static str,
        /// How long it is.
        time: Duration,
        /// How long it can be.
        most: Duration,
    },
}

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

/// How many shards may be on their way at once, and how fast they may set out. A shard without an owner waits for nobody and is
/// not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MoveCaps {
    /// In the whole cluster, at least 1.
    pub total: u16,
    /// From one node, at least 1.
    pub per_source: u16,
    /// To one node, at least 1.
    pub per_target: u16,
    /// How many may set out within any second, in the whole cluster, at least 1. A new leader counts anew.
    pub per_second: u16,
}

impl Default for MoveCaps {
    /// 32 from a node and 32 to a node, 1,024 in all, and as many a second as there can be.
    fn default() -> Self {
        Self { total: 1_024, per_source: 32, per_target: 32, per_second: u16::MAX }
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

impl Strategy {
    /// The one that every node knows, and that steps in for any other: `sticky-balanced/1`.
    pub fn built_in() -> Self {
        Self { name: StrategyName::new("sticky-balanced").expect("it keeps the rule for names"), version: 1 }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::life;

    fn faulty(change: impl FnOnce(&mut PlacementPolicy)) -> Result<(), PolicyFault> {
        let rule = TagRule { shards: ShardId(7).into(), tags: [Tag::new("ssd").expect("a tag")].into() };
        let pin = |shard| Pin { shard: ShardId(shard), node: life("a", 1).node };
        let mut policy = PlacementPolicy {
            pins: vec![pin(0), pin(7)],
            rules: vec![rule; PlacementPolicy::RULES_MAX],
            return_grace: PlacementPolicy::RETURN_GRACE_MAX,
            load: Some(LoadPolicy::default()),
            ..PlacementPolicy::default()
        };
        change(&mut policy);
        policy.check(ShardCount::new(8).expect("a power of two"))
    }

    #[test]
    fn a_policy_is_of_the_clusters_shards_and_within_its_bounds() {
        let out = |what, value, least, most| Err(PolicyFault::OutOfRange { what, value, least, most });
        let load = |load| move |policy: &mut PlacementPolicy| policy.load = Some(load);
        let default = LoadPolicy::default();
        let shard = ShardId(8);
        let unknown = Err(PolicyFault::UnknownShard { shard, shards: 8 });
        assert_eq!(faulty(|_| {}), Ok(()));
        assert_eq!(PlacementPolicy::default().check(ShardCount::new(1).expect("one")), Ok(()));
        assert_eq!(faulty(|policy| policy.pins[1].shard = shard), unknown);
        assert_eq!(faulty(|policy| policy.pins[1].shard = ShardId(0)), Err(PolicyFault::Pinned { shard: ShardId(0) }));
        assert_eq!(faulty(|policy| policy.pins.reverse()), Err(PolicyFault::Pinned { shard: ShardId(0) }));
        assert_eq!(faulty(|policy| policy.rules[63].shards.insert(shard)), unknown);
        assert_eq!(faulty(|policy| policy.rules.push(policy.rules[0].clone())), out("rules", 65, 0, 64));
        assert_eq!(faulty(|p| p.rules[1].shards = ShardSet::default()), out("shards of a rule", 0, 1, u32::MAX.into()));
        assert_eq!(faulty(|policy| policy.rules[1].tags.clear()), out("tags of a rule", 0, 1, 16));
        assert_eq!(faulty(|policy| policy.caps.total = 0), out("caps.total", 0, 1, 65_535));
        assert_eq!(faulty(|policy| policy.caps.per_source = 0), out("caps.per_source", 0, 1, 65_535));
        assert_eq!(faulty(|policy| policy.caps.per_target = 0), out("caps.per_target", 0, 1, 65_535));
        assert_eq!(faulty(|policy| policy.caps.per_second = 0), out("caps.per_second", 0, 1, 65_535));
        assert_eq!(faulty(load(LoadPolicy { trigger: 100, ..default })), out("load.trigger", 100, 101, 1_000));
        assert_eq!(faulty(load(LoadPolicy { stop: 111, ..default })), out("load.stop", 111, 100, 110));
        assert_eq!(faulty(load(LoadPolicy { cap: 99, ..default })), out("load.cap", 99, 100, 1_000));
        assert_eq!(faulty(load(LoadPolicy { budget: 0, ..default })), out("load.budget", 0, 1, 1_000));
        let long = Duration::from_secs(1_000_000);
        let too_long = |what, most| Err(PolicyFault::TooLong { what, time: long, most });
        assert_eq!(
            faulty(load(LoadPolicy { dwell: long, ..default })),
            too_long("load.dwell", PlacementPolicy::DWELL_MAX)
        );
        assert_eq!(faulty(|p| p.return_grace = long), too_long("return_grace", PlacementPolicy::RETURN_GRACE_MAX));
    }

    #[test]
    fn a_strategy_is_read_as_it_is_written() {
        assert_eq!("sticky-balanced/1".parse(), Ok(Strategy::built_in()));
        assert_eq!(Strategy::built_in().to_string(), "sticky-balanced/1");
        for bad in ["", "own", "own/", "own/0", "own/-1", "own/70000", "Own/1", "/1", "own/1/2"] {
            assert!(bad.parse::<Strategy>().is_err(), "{bad:?} was read");
        }
    }
}

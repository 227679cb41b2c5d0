//! The placement policy as people write and read it: one TOML file, `aether placement apply`, and the page that shows it.
//!
//! What is left out is as in the default policy. Whether the cluster can go by it is its leader's to say.
//!
//! ```
//! use aether::placement::PolicyText;
//!
//! let policy = PolicyText::parse(r#"
//!     zones = "equal"
//!     [pins]
//!     n1 = "0-3,7"
//!     [[rules]]
//!     shards = "512-1023"
//!     tags = ["ssd"]
//! "#).expect("every key is known");
//! assert_eq!(policy.pins.len(), 5);
//! assert_eq!(PolicyText::parse(&PolicyText::of(&policy).to_string()), Ok(policy));
//!
//! let refused = PolicyText::parse("zones = \"sometimes\"").expect_err("no such mode");
//! assert!(refused.to_string().contains("zones"));
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aether_domain::policy::{LoadPolicy, MoveCaps, Pin, PlacementPolicy, TagRule, ZoneMode};
use aether_domain::{NodeId, ShardId, ShardSet, Tag};
use config::{Config, File, FileFormat};
use serde::{Deserialize, Serialize};

use crate::config::odd_key;

/// A placement policy in text and plain numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyText {
    /// The strategy's name and version: `sticky-balanced/1`.
    pub strategy: String,
    /// `ignored`, or `equal`: every zone has the same share.
    pub zones: String,
    /// How long moves for balance wait after a node is back that had left in good order, in milliseconds.
    pub return_grace_ms: u64,
    /// By node: the shards that are to be there, as runs.
    pub pins: BTreeMap<String, String>,
    /// Shards that need nodes with certain tags.
    pub rules: Vec<RuleText>,
    /// How many shards may be on their way at once.
    pub caps: CapsText,
    /// When measured load decides as well; it does not without it.
    pub load: Option<LoadText>,
}

/// Shards that need nodes with certain tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// Which, as runs.
    pub shards: String,
    /// All of these a node must have.
    pub tags: Vec<String>,
}

/// How many shards may be on their way at once, and how fast they may set out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapsText {
    /// In the whole cluster.
    pub total: u16,
    /// From one node.
    pub per_source: u16,
    /// To one node.
    pub per_target: u16,
    /// How many may set out within any second; 65535 if there is no limit.
    pub per_second: u16,
}

/// When measured load decides as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadText {
    /// Begin above this much of what cannot be avoided, in percent.
    pub trigger: u16,
    /// End at this much, in percent.
    pub stop: u16,
    /// The most shards of a node, in percent of its share.
    pub cap: u16,
    /// The most shards of one plan, in thousandths of all.
    pub budget: u16,
    /// How long a shard that has moved rests, in milliseconds.
    pub dwell_ms: u64,
}

/// Why a text is no placement policy: which key, and what about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct PolicyRefused {
    problem: String,
}

fn refused(key: &str, problem: impl fmt::Display) -> PolicyRefused {
    PolicyRefused { problem: format!("{key}: {problem}") }
}

impl Default for PolicyText {
    fn default() -> Self {
        Self::of(&PlacementPolicy::default())
    }
}

impl Default for CapsText {
    fn default() -> Self {
        let MoveCaps { total, per_source, per_target, per_second } = MoveCaps::default();
        Self { total, per_source, per_target, per_second }
    }
}

impl Default for LoadText {
    fn default() -> Self {
        Self::of(LoadPolicy::default())
    }
}

impl LoadText {
    fn of(LoadPolicy { trigger, stop, cap, budget, dwell }: LoadPolicy) -> Self {
        Self { trigger, stop, cap, budget, dwell_ms: millis(dwell) }
    }
}

fn millis(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

impl PolicyText {
    /// That policy in text.
    pub fn of(policy: &PlacementPolicy) -> Self {
        let mut pins: BTreeMap<&NodeId, Vec<ShardId>> = BTreeMap::new();
        for Pin { shard, node } in &policy.pins {
            pins.entry(node).or_default().push(*shard);
        }
        let runs = |shards: Vec<ShardId>| shards.into_iter().collect::<ShardSet>().to_string();
        let rule = |rule: &TagRule| RuleText {
            shards: rule.shards.to_string(),
            tags: rule.tags.iter().map(ToString::to_string).collect(),
        };
        let zones = ZoneMode::NAMES.iter().find(|(mode, _)| *mode == policy.zones);
        let MoveCaps { total, per_source, per_target, per_second } = policy.caps;
        Self {
            strategy: policy.strategy.to_string(),
            zones: zones.map_or_else(String::new, |(_, name)| (*name).to_owned()),
            return_grace_ms: millis(policy.return_grace),
            pins: pins.into_iter().map(|(node, shards)| (node.to_string(), runs(shards))).collect(),
            rules: policy.rules.iter().map(rule).collect(),
            caps: CapsText { total, per_source, per_target, per_second },
            load: policy.load.map(LoadText::of),
        }
    }

    /// The policy that a TOML text says.
    ///
    /// # Errors
    /// [`PolicyRefused`]: it is not TOML, has a key that there is not, or a value that means nothing.
    pub fn parse(toml: &str) -> Result<PlacementPolicy, PolicyRefused> {
        if let Some(key) = odd_key(toml) {
            return Err(refused(&format!("{key:?}"), "there is no such key"));
        }
        let read = Config::builder().add_source(File::from_str(toml, FileFormat::Toml)).build();
        let text = read.and_then(Config::try_deserialize::<Self>);
        text.map_err(|error| PolicyRefused { problem: error.to_string() })?.policy()
    }

    /// The policy that it says.
    ///
    /// # Errors
    /// [`PolicyRefused`] for the first value that means nothing.
    pub fn policy(&self) -> Result<PlacementPolicy, PolicyRefused> {
        let shards = |key: &str, runs: &str| runs.parse::<ShardSet>().map_err(|error| refused(key, error));
        let mut pins = Vec::new();
        for (node, runs) in &self.pins {
            let key = format!("pins.{node}");
            let node = NodeId::new(node).map_err(|error| refused(&key, error))?;
            let shards = shards(&key, runs)?;
            if pins.len() + shards.len() > PlacementPolicy::PINS_MAX {
                return Err(refused(&key, "more pins than there can be shards"));
            }
            pins.extend(shards.iter().map(|shard| Pin { shard, node: node.clone() }));
        }
        pins.sort_by_key(|pin| pin.shard);
        if self.rules.len() > PlacementPolicy::RULES_MAX {
            return Err(refused("rules", format!("{}, at most {}", self.rules.len(), PlacementPolicy::RULES_MAX)));
        }
        let mut rules = Vec::new();
        for rule in &self.rules {
            let tags = rule.tags.iter().map(Tag::new).collect::<Result<_, _>>();
            let tags = tags.map_err(|error| refused("rules.tags", error))?;
            rules.push(TagRule { shards: shards("rules.shards", &rule.shards)?, tags });
        }
        let zones = ZoneMode::NAMES.iter().find(|(_, name)| *name == self.zones);
        let problem = || format!("there is no mode {:?}; write `ignored` or `equal`", self.zones);
        let CapsText { total, per_source, per_target, per_second } = self.caps;
        // A whole number of TOML ends there; one with a point in it may be larger.
        let span = |key: &str, millis: u64| match i64::try_from(millis) {
            Ok(_) => Ok(Duration::from_millis(millis)),
            Err(_) => Err(refused(key, format!("{millis} ms is more than there can be"))),
        };
        let load = |load: &LoadText| {
            let LoadText { trigger, stop, cap, budget, dwell_ms } = *load;
            Ok(LoadPolicy { trigger, stop, cap, budget, dwell: span("load.dwell_ms", dwell_ms)? })
        };
        Ok(PlacementPolicy {
            strategy: self.strategy.parse().map_err(|error| refused("strategy", error))?,
            zones: zones.map(|(mode, _)| *mode).ok_or_else(|| refused("zones", problem()))?,
            pins,
            rules,
            caps: MoveCaps { total, per_source, per_target, per_second },
            return_grace: span("return_grace_ms", self.return_grace_ms)?,
            load: self.load.as_ref().map(load).transpose()?,
        })
    }
}

/// As TOML. Nothing in it needs escaping: names are tokens, and runs are digits.
impl fmt::Display for PolicyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strategy, zones, return_grace_ms, pins, rules, caps, load } = self;
        writeln!(f, "strategy = \"{strategy}\"\nzones = \"{zones}\"\nreturn_grace_ms = {return_grace_ms}\n")?;
        let CapsText { total, per_source, per_target, per_second } = caps;
        writeln!(
            f,
            "[caps]\ntotal = {total}\nper_source = {per_source}\nper_target = {per_target}\nper_second = {per_second}"
        )?;
        if !pins.is_empty() {
            writeln!(f, "\n[pins]")?;
        }
        for (node, shards) in pins {
            writeln!(f, "{node} = \"{shards}\"")?;
        }
        for RuleText { shards, tags } in rules {
            writeln!(f, "\n[[rules]]\nshards = \"{shards}\"\ntags = {tags:?}")?;
        }
        if let Some(LoadText { trigger, stop, cap, budget, dwell_ms }) = load {
            writeln!(
                f,
                "\n[load]\ntrigger = {trigger}\nstop = {stop}\ncap = {cap}\nbudget = {budget}\ndwell_ms = {dwell_ms}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_cannot_name_more_pins_and_rules_than_there_can_be() {
        let pins = |nodes: usize| {
            let pins: Vec<_> = (0..nodes).map(|nth| format!("n{nth} = \"0-65535\"\n")).collect();
            PolicyText::parse(&format!("[pins]\n{}", pins.concat()))
        };
        assert_eq!(pins(1).expect("each shard once").pins.len(), PlacementPolicy::PINS_MAX);
        assert_eq!(pins(2), Err(refused("pins.n1", "more pins than there can be shards")));
        let rules =
            |count: usize| PolicyText::parse(&"[[rules]]\nshards = \"0-65535\"\ntags = [\"ssd\"]\n".repeat(count));
        assert_eq!(rules(64).expect("as many as there may be").rules.len(), 64);
        assert_eq!(rules(65), Err(refused("rules", "65, at most 64")));
        let odd = PolicyText::parse("\"rules[4000000000]\" = 1");
        assert_eq!(odd, Err(refused("\"rules[4000000000]\"", "there is no such key")));
    }
}

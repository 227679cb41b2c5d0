//! The placement policy in JSON, as it stands in the record that asks for it, in the entry that adopts it, and in the snapshot.
//!
//! Whether any cluster can go by it is not asked here, but where it is adopted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::NodeInfo;
use aether_domain::policy::{LoadPolicy, MoveCaps, Pin, PlacementPolicy, Strategy, TagRule, ZoneMode};
use aether_domain::{NodeId, ShardId, ShardSet, Tag};
use serde::{Deserialize, Serialize};

use super::WireFault;
use super::json::{ShardBudget, Text, Word, Words, millis};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyV1 {
    strategy: Text<Strategy>,
    zones: Word<ZoneMode>,
    pins: Vec<PinsV1>,
    rules: Vec<RuleV1>,
    caps: CapsV1,
    return_grace_ms: u64,
    load: Option<LoadV1>,
}

/// The shards of one node.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinsV1 {
    node: Text<NodeId>,
    shards: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleV1 {
    shards: String,
    tags: Vec<Text<Tag>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapsV1 {
    total: u16,
    per_source: u16,
    per_target: u16,
    per_second: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadV1 {
    trigger: u16,
    stop: u16,
    cap: u16,
    budget: u16,
    dwell_ms: u64,
}

impl Words for ZoneMode {
    const TABLE: &'static [(Self, &'static str)] = &Self::NAMES;
}

impl From<&PlacementPolicy> for PolicyV1 {
    fn from(policy: &PlacementPolicy) -> Self {
        let mut pins: BTreeMap<&NodeId, Vec<ShardId>> = BTreeMap::new();
        for Pin { shard, node } in &policy.pins {
            pins.entry(node).or_default().push(*shard);
        }
        let shards = |shards: Vec<ShardId>| shards.into_iter().collect::<ShardSet>().to_string();
        let rule = |rule: &TagRule| RuleV1 {
            shards: rule.shards.to_string(),
            tags: rule.tags.iter().cloned().map(Text).collect(),
        };
        let MoveCaps { total, per_source, per_target, per_second } = policy.caps;
        let load = |load: LoadPolicy| {
            let LoadPolicy { trigger, stop, cap, budget, dwell } = load;
            LoadV1 { trigger, stop, cap, budget, dwell_ms: millis(dwell) }
        };
        Self {
            strategy: Text(policy.strategy.clone()),
            zones: Word(policy.zones),
            pins: pins
                .into_iter()
                .map(|(node, theirs)| PinsV1 { node: Text(node.clone()), shards: shards(theirs) })
                .collect(),
            rules: policy.rules.iter().map(rule).collect(),
            caps: CapsV1 { total, per_source, per_target, per_second },
            return_grace_ms: millis(policy.return_grace),
            load: policy.load.map(load),
        }
    }
}

impl PolicyV1 {
    pub(super) fn read(self, budget: &mut ShardBudget) -> Result<Arc<PlacementPolicy>, WireFault> {
        if self.rules.len() > PlacementPolicy::RULES_MAX {
            return Err(WireFault::TooMany { what: "tag rules", count: self.rules.len() });
        }
        let mut pins = Vec::new();
        for PinsV1 { node: Text(node), shards } in self.pins {
            let shards = budget.read(&shards)?;
            let count = pins.len() + shards.len();
            if count > PlacementPolicy::PINS_MAX {
                return Err(WireFault::TooMany { what: "pins", count });
            }
            pins.extend(shards.iter().map(|shard| Pin { shard, node: node.clone() }));
        }
        // Which node comes first of two that have one shard is not written: such a policy is refused, and the same each time.
        pins.sort_by(|one, other| (one.shard, &one.node).cmp(&(other.shard, &other.node)));
        pins.dedup();
        let mut rules = Vec::with_capacity(self.rules.len());
        for RuleV1 { shards, tags } in self.rules {
            if tags.len() > NodeInfo::TAGS_MAX {
                return Err(WireFault::TooMany { what: "tags of a rule", count: tags.len() });
            }
            let tags = tags.into_iter().map(|Text(tag)| tag).collect();
            rules.push(TagRule { shards: budget.read(&shards)?, tags });
        }
        let CapsV1 { total, per_source, per_target, per_second } = self.caps;
        let load = |LoadV1 { trigger, stop, cap, budget, dwell_ms }| {
            let dwell = Duration::from_millis(dwell_ms);
            LoadPolicy { trigger, stop, cap, budget, dwell }
        };
        Ok(Arc::new(PlacementPolicy {
            strategy: self.strategy.0,
            zones: self.zones.0,
            pins,
            rules,
            caps: MoveCaps { total, per_source, per_target, per_second },
            return_grace: Duration::from_millis(self.return_grace_ms),
            load: self.load.map(load),
        }))
    }
}

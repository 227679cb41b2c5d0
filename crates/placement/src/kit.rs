//! Our properties, to be run on a strategy of yours: [`check_strategy`].
//!
//! It draws inputs of many shapes (nodes that drain, weights at their extremes, fewer shards than nodes, moves in flight,
//! zones, pins, tag rules) and holds each plan against the contract of [`PlacementStrategy`], and against what else the strategy promises.
//!
//! ```
//! use aether_placement::{ConsistentHashRing150, Promise, StickyBalanced, check_strategy};
//!
//! check_strategy(&StickyBalanced, &[Promise::Settled, Promise::Balanced, Promise::Minimal], 200, 1)?;
//!
//! // The ring keeps the contract, and balances badly.
//! check_strategy(&ConsistentHashRing150, &[Promise::Settled], 200, 1)?;
//! let broken = check_strategy(&ConsistentHashRing150, &[Promise::Balanced], 200, 1).expect_err("it does not balance");
//! assert!(broken.to_string().contains("holds"), "{broken}");
//! # Ok::<(), Box<aether_placement::kit::Broken>>(())
//! ```

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aether_domain::policy::{Pin, TagRule, ZoneMode};
use aether_domain::{NodeId, ShardId, Tag, Zone};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::strategy::{
    InFlight, Move, NodeIdx, NodeState, NodeView, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy,
};

/// What a strategy may promise beyond the contract of [`PlacementStrategy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// A map that it has just made it leaves alone.
    Settled,
    /// With nothing in flight, no pins and no rules every receiver ends within one shard of its exact share, and in
    /// [`ZoneMode::Equal`] every zone too.
    Balanced,
    /// It moves as few shards as its report's `optimum` says, and that is [`minimum_moves`](crate::minimum_moves).
    Minimal,
}

/// How a strategy breaks its contract or a promise, and the input on which it does: [`Drawn::case`] of its seed and case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("case {case} of seed {seed:#x}: {what}\n{input}")]
pub struct Broken {
    /// The seed that was given.
    pub seed: u64,
    /// Which case it was, from 0: with this many and one more the same seed ends with it.
    pub case: u32,
    /// What is broken, in words.
    pub what: String,
    /// The input, as it is written in Rust.
    pub input: String,
}

/// Draws `cases` inputs from `seed` and holds the strategy's plans against its contract and against `promises`: pure,
/// whatever the order of nodes and moves in flight; legal ([`PlacementPlan::check`]); no plan when nobody can receive, and
/// always one otherwise; no panic.
///
/// # Errors
/// [`Broken`]: the first case in which something does not hold.
pub fn check_strategy(
    strategy: &impl PlacementStrategy,
    promises: &[Promise],
    cases: u32,
    seed: u64,
) -> Result<(), Box<Broken>> {
    for case in 0..cases {
        let drawn = Drawn::case(seed, case);
        let judged = catch_unwind(AssertUnwindSafe(|| judge(strategy, promises, &drawn)));
        let broken = judged.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            Err(format!("it panicked: {text}"))
        });
        if let Err(what) = broken {
            return Err(Box::new(Broken { seed, case, what, input: format!("{:#?}", drawn.input()) }));
        }
    }
    Ok(())
}

fn judge(strategy: &impl PlacementStrategy, promises: &[Promise], drawn: &Drawn) -> Result<(), String> {
    let input = drawn.input();
    let receiving = drawn.nodes.iter().any(|node| node.state == NodeState::Receiving);
    let plan = match strategy.plan(&input) {
        Ok(plan) if receiving => plan,
        Ok(_) => return Err("it planned although nobody can receive".into()),
        Err(PlacementError::NoReceivers { .. }) if !receiving => return Ok(()),
        Err(error) => return Err(format!("it planned nothing: {error}")),
    };
    if strategy.plan(&input).as_ref() != Ok(&plan) {
        return Err("the same input gave two plans".into());
    }
    let turned = drawn.turned();
    let there = |step: &Move| (step.shard, turned.nodes[step.to.index()].id.clone());
    let here = |step: &Move| (step.shard, drawn.nodes[step.to.index()].id.clone());
    let again =
        strategy.plan(&turned.input()).map_err(|error| format!("in another order it planned nothing: {error}"))?;
    if !again.moves.iter().map(there).eq(plan.moves.iter().map(here)) {
        return Err("the same input in another order gave another plan".into());
    }
    plan.clone().check(&input).map_err(|fault| format!("its plan is not legal: {fault}"))?;
    let after = drawn.after(&plan);
    for promise in promises {
        match promise {
            Promise::Settled => {
                let again = strategy.plan(&after.input()).map_err(|error| error.to_string())?;
                if let Some(step) = again.moves.first() {
                    return Err(format!("it moves {} of what it has just placed: {step:?}", again.moves.len()));
                }
            }
            Promise::Balanced => balanced(&after)?,
            Promise::Minimal => minimal(&plan, &input)?,
        }
    }
    Ok(())
}

fn balanced(after: &Drawn) -> Result<(), String> {
    if !(after.in_flight.is_empty() && after.pins.is_empty() && after.rules.is_empty()) {
        return Ok(());
    }
    // By zone, or all in one: its weight and what it holds.
    let mut zones: BTreeMap<Option<&Zone>, (u128, u128)> = BTreeMap::new();
    let mut receivers = Vec::new();
    for (at, node) in after.nodes.iter().enumerate().filter(|(_, node)| node.state == NodeState::Receiving) {
        let zone = node.zone.as_ref().filter(|_| after.zones == ZoneMode::Equal);
        let held = after.current.iter().flatten().filter(|owner| owner.index() == at).count() as u128;
        let of_zone = zones.entry(zone).or_default();
        of_zone.0 += u128::from(node.weight.get());
        of_zone.1 += held;
        receivers.push((node, zone, held));
    }
    let (shards, count) = (after.current.len() as u128, zones.len() as u128);
    for (zone, (_, held)) in &zones {
        if (held * count).abs_diff(shards) >= count {
            return Err(format!("zone {zone:?} holds {held}, its share is {shards}/{count}"));
        }
    }
    for (node, zone, held) in receivers {
        let (share, of) = (shards * u128::from(node.weight.get()), zones[&zone].0 * count);
        if (held * of).abs_diff(share) >= of {
            return Err(format!("{} holds {held}, its share is {share}/{of}", node.id));
        }
    }
    Ok(())
}

fn minimal(plan: &PlacementPlan, input: &PlacementInput<'_>) -> Result<(), String> {
    let (moved, fewest) = (plan.moves.len(), crate::minimum_moves(input).map_err(|error| error.to_string())?);
    if moved != fewest as usize || plan.report.optimum != fewest {
        return Err(format!("it moves {moved} shards and says {} are needed; {fewest} are", plan.report.optimum));
    }
    Ok(())
}

/// Numbers drawn from a seed, the same on every machine.
struct Dice {
    seed: u64,
    case: u32,
    rolls: u32,
}

impl Dice {
    fn roll(&mut self, within: Range<u32>) -> u32 {
        self.rolls += 1;
        let frame = (u64::from(self.case) << 32 | u64::from(self.rolls)).to_le_bytes();
        within.start + (xxh3_64_with_seed(&frame, self.seed) % u64::from(within.end - within.start)) as u32
    }

    /// Once in so many times, never if 0.
    fn one_in(&mut self, times: u32) -> bool {
        times > 0 && self.roll(0..times) == 0
    }
}

/// An input that owns what it is made of.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// See [`PlacementInput::seed`].
    pub seed: u64,
    /// See [`PlacementInput::current`].
    pub current: Vec<Option<NodeIdx>>,
    /// See [`PlacementInput::nodes`].
    pub nodes: Vec<NodeView>,
    /// See [`PlacementInput::in_flight`].
    pub in_flight: Vec<InFlight>,
    /// See [`PlacementInput::pins`].
    pub pins: Vec<Pin>,
    /// See [`PlacementInput::rules`].
    pub rules: Vec<TagRule>,
    /// See [`PlacementInput::zones`].
    pub zones: ZoneMode,
}

impl Drawn {
    /// The input of one case of [`check_strategy`]: to look into what it found.
    pub fn case(seed: u64, case: u32) -> Self {
        let dice = &mut Dice { seed, case, rolls: 0 };
        let nodes = draw_nodes(dice);
        let count = nodes.len() as u32;
        let shards = [4, 30, 128, 500][dice.roll(0..4) as usize];
        let shards = dice.roll(0..shards);
        // Owners among the first few, so that nodes that have nothing yet and nodes that have too much are common.
        let (owners, homeless_one_in) = (dice.roll(1..count + 1), dice.roll(1..12));
        let owner = |dice: &mut Dice| match dice.roll(0..homeless_one_in) {
            0 => None,
            _ => Some(NodeIdx(dice.roll(0..owners) as u16)),
        };
        let current = (0..shards).map(|_| owner(dice)).collect();
        let (moving_one_in, pinned_one_in) =
            ([0, 0, 9, 3][dice.roll(0..4) as usize], [0, 0, 40, 4][dice.roll(0..4) as usize]);
        let (mut in_flight, mut pins) = (Vec::new(), Vec::new());
        for shard in (0..shards).map(|shard| ShardId(shard as u16)) {
            if dice.one_in(moving_one_in) {
                in_flight.push(InFlight { shard, to: NodeIdx(dice.roll(0..count) as u16) });
            }
            if dice.one_in(pinned_one_in) {
                // Now and then to a node that is not there.
                let to = nodes.get(dice.roll(0..count + 1) as usize);
                pins.push(Pin { shard, node: to.map_or_else(|| id("gone".into()), |node| node.id.clone()) });
            }
        }
        let rules = [0, 0, 0, 1, 2, 3][dice.roll(0..6) as usize];
        let rules = (0..if shards == 0 { 0 } else { rules }).map(|_| draw_rule(dice, shards)).collect();
        let zones = if dice.one_in(2) { ZoneMode::Equal } else { ZoneMode::Ignored };
        Self { seed: u64::from(dice.roll(0..u32::MAX)), current, nodes, in_flight, pins, rules, zones }
    }

    /// It as an input.
    pub fn input(&self) -> PlacementInput<'_> {
        let Self { seed, current, nodes, in_flight, pins, rules, zones } = self;
        PlacementInput { seed: *seed, current, nodes, in_flight, pins, rules, zones: *zones, load: None }
    }

    /// The same listed backwards.
    #[must_use]
    pub fn turned(&self) -> Self {
        let last = self.nodes.len() - 1;
        let turn = |node: NodeIdx| NodeIdx((last - node.index()) as u16);
        let in_flight = self.in_flight.iter().rev();
        Self {
            current: self.current.iter().map(|owner| owner.map(turn)).collect(),
            nodes: self.nodes.iter().rev().cloned().collect(),
            in_flight: in_flight.map(|moving| InFlight { to: turn(moving.to), ..*moving }).collect(),
            pins: self.pins.iter().rev().cloned().collect(),
            rules: self.rules.iter().rev().cloned().collect(),
            ..*self
        }
    }

    /// As it is when the plan's moves are done, and nothing else.
    #[must_use]
    pub fn after(&self, plan: &PlacementPlan) -> Self {
        let mut after = self.clone();
        for step in &plan.moves {
            after.current[step.shard.index()] = Some(step.to);
        }
        after
    }
}

fn draw_nodes(dice: &mut Dice) -> Vec<NodeView> {
    let count = [2, 5, 13, 40][dice.roll(0..4) as usize];
    let count = dice.roll(1..count + 1);
    let weights = dice.roll(0..3);
    let draining_one_in = [0, 0, 0, 0, 0, 4, 2, 1][dice.roll(0..8) as usize];
    let zones = dice.roll(1..6);
    let node = |nth: u32| {
        let weight = match weights {
            0 => 1,
            1 => dice.roll(1..5),
            _ => [1, 1000, u32::MAX - 1, u32::MAX][dice.roll(0..4) as usize],
        };
        let state = if dice.one_in(draining_one_in) { NodeState::Draining } else { NodeState::Receiving };
        let weight = NonZeroU32::new(weight).unwrap_or(NonZeroU32::MIN);
        // The first of the zones has no name.
        let zone = ZONES[dice.roll(0..zones) as usize].and_then(|name| Zone::new(name).ok());
        let tags = TAGS.iter().filter(|_| dice.one_in(2)).filter_map(|name| Tag::new(*name).ok()).collect();
        // Ids in another order than the list's. 41 and 7 have no divisor in common.
        NodeView { weight, state, zone, tags, ..NodeView::new(id(format!("n{}", nth * 7 % 41))) }
    };
    (0..count).map(node).collect()
}

const ZONES: [Option<&str>; 5] = [None, Some("z1"), Some("z2"), Some("z3"), Some("z4")];
const TAGS: [&str; 2] = ["ssd", "big"];

/// A run of shards that needs one or two tags, of which now and then no node has one.
fn draw_rule(dice: &mut Dice, shards: u32) -> TagRule {
    let first = dice.roll(0..shards);
    let shards = (first..=dice.roll(first..shards)).map(|shard| ShardId(shard as u16)).collect();
    let tags = [&TAGS[..1], &TAGS[1..], &TAGS[..], &["no-such"]][dice.roll(0..7) as usize / 2];
    TagRule { shards, tags: tags.iter().filter_map(|name| Tag::new(*name).ok()).collect() }
}

fn id(name: String) -> NodeId {
    NodeId::new(name).unwrap_or_else(|error| unreachable!("{error}"))
}

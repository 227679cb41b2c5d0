//! The kit that users run on their strategies: ours pass it, and whoever breaks a rule is found.

use std::sync::atomic::{AtomicU16, Ordering};

use aether_domain::policy::ZoneMode;
use aether_placement::{
    BoundedRing, ConsistentHashRing150, Move, MoveClass, NodeIdx, NodeState, PlacementError, PlacementInput,
    PlacementPlan, PlacementStrategy, Promise, Rendezvous, StickyBalanced, StrategyId, check_strategy,
};

const CASES: u32 = 500;

#[test]
fn ours_keep_the_contract_and_what_each_of_them_promises() {
    let all = [Promise::Settled, Promise::Balanced, Promise::Minimal];
    check_strategy(&StickyBalanced, &all, CASES, 1).expect("sticky");
    check_strategy(&ConsistentHashRing150, &[Promise::Settled], CASES, 2).expect("ring");
    check_strategy(&Rendezvous, &[Promise::Settled], CASES, 3).expect("rendezvous");
    for percent in [0, 100, 125, 400] {
        check_strategy(&BoundedRing::full_at(percent), &[Promise::Settled], CASES / 4, 4).expect("bounded ring");
    }
}

/// A strategy that is `StickyBalanced` but for one thing.
struct Spoilt(fn(PlacementPlan, &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError>);

impl PlacementStrategy for Spoilt {
    fn id(&self) -> StrategyId {
        StrategyId { name: "spoilt", version: 1 }
    }
    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        self.0(StickyBalanced.plan(input).unwrap_or_default(), input)
    }
}

static CALLS: AtomicU16 = AtomicU16::new(0);

#[test]
fn whoever_breaks_a_rule_is_found_and_told_which() {
    let spoilt: [(Spoilt, &[Promise], &str); 13] = [
        (Spoilt(|plan, _| Ok(plan)), &[], "although nobody can receive"),
        (Spoilt(|_, _| Err(PlacementError::NoReceivers { nodes: 0 })), &[], "it planned nothing"),
        (Spoilt(|_, _| panic!("oh dear")), &[], "it panicked: oh dear"),
        (
            Spoilt(|mut plan, input| {
                let reachable = refuse(input)?;
                let drop = reachable && CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
                plan.moves.truncate(if drop { 0 } else { plan.moves.len() });
                Ok(plan)
            }),
            &[],
            "two plans",
        ),
        (
            Spoilt(|mut plan, input| {
                refuse(input)?;
                let first = (0..).map(NodeIdx).zip(input.nodes).find(|(_, node)| node.state == NodeState::Receiving);
                let to = first.expect("refused before").0;
                plan.moves.iter_mut().filter(|step| step.from != Some(to)).for_each(|step| step.to = to);
                Ok(plan)
            }),
            &[],
            "in another order gave another plan",
        ),
        (
            Spoilt(|mut plan, input| {
                refuse(input)?;
                plan.moves.retain(|step| step.class != MoveClass::Orphan);
                Ok(plan)
            }),
            &[],
            "not legal: shard",
        ),
        (
            Spoilt(|mut plan, input| {
                refuse(input)?;
                plan.moves.reverse();
                Ok(plan)
            }),
            &[],
            "behind a less urgent move",
        ),
        (
            Spoilt(|mut plan, input| {
                refuse(input)?;
                plan.moves.retain(|step| step.class == MoveClass::Orphan);
                Ok(plan)
            }),
            &[Promise::Balanced],
            "its share is",
        ),
        (
            Spoilt(|mut plan, input| {
                refuse(input)?;
                plan.moves.retain(|step| step.class != MoveClass::Balance || step.shard.0.is_multiple_of(2));
                Ok(plan)
            }),
            &[Promise::Minimal],
            "are needed",
        ),
        (
            // It moves one shard to and fro between the first two by id.
            Spoilt(|plan, input| {
                refuse(input)?;
                let mut ranked: Vec<_> = (0..).map(NodeIdx).zip(input.nodes).collect();
                ranked.retain(|(_, node)| node.state == NodeState::Receiving);
                ranked.sort_by(|a, b| a.1.id.cmp(&b.1.id));
                let free = |shard: usize| {
                    !input.in_flight.iter().any(|moving| moving.shard.index() == shard)
                        && !plan.moves.iter().any(|step| step.shard.index() == shard)
                };
                let mut moves = plan.moves.clone();
                if let [(a, _), (b, _), ..] = ranked[..]
                    && let Some(shard) = (0..input.current.len()).find(|at| free(*at) && input.current[*at] == Some(a))
                {
                    let shard = aether_domain::ShardId(u16::try_from(shard).expect("few shards"));
                    moves.push(Move { shard, from: Some(a), to: b, class: MoveClass::Balance });
                }
                Ok(PlacementPlan::new(moves, plan.report.optimum))
            }),
            &[Promise::Settled],
            "of what it has just placed",
        ),
        (Spoilt(|_, input| StickyBalanced.plan(&PlacementInput { pins: &[], ..*input })), &[], "its plan is not legal"),
        (
            Spoilt(|_, input| StickyBalanced.plan(&PlacementInput { rules: &[], ..*input })),
            &[],
            "its plan is not legal",
        ),
        (
            Spoilt(|_, input| StickyBalanced.plan(&PlacementInput { zones: ZoneMode::Ignored, ..*input })),
            &[Promise::Balanced],
            "its share is",
        ),
    ];
    for (strategy, promises, expected) in spoilt {
        let broken = check_strategy(&strategy, promises, CASES, 5).expect_err(expected);
        assert!(broken.what.contains(expected), "{} instead of: {expected}", broken.what);
        let again = check_strategy(&strategy, promises, broken.case + 1, 5).expect_err("the same again");
        assert!(expected == "two plans" || again.case == broken.case, "the seed repeats it");
        assert!(broken.input.contains("nodes"), "it can be looked at");
    }
}

/// As every strategy must: nothing is planned when nobody can receive.
fn refuse(input: &PlacementInput<'_>) -> Result<bool, PlacementError> {
    let receives = input.nodes.iter().any(|node| node.state == NodeState::Receiving);
    if receives { Ok(true) } else { Err(PlacementError::NoReceivers { nodes: input.nodes.len() }) }
}

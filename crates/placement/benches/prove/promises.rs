//! One case: an input drawn from a seed, and everything that has to hold of its plan.

use aether_placement::kit::Drawn;
use aether_placement::{
    InFlight, NodeState, PlacementError, PlacementPlan, PlacementStrategy, StickyBalanced, minimum_moves,
};

use xxhash_rust::xxh3::xxh3_64;

use crate::slow::Slow;

/// Whether all promises hold in this case, with zones, pins and moves in flight as they are drawn, and no tag rules.
///
/// # Errors
/// What does not hold, and of which input.
pub(crate) fn check(seed: u64, case: u32) -> Result<(), String> {
    let mut drawn = Drawn::case(seed, case);
    drawn.rules.clear();
    plan(&drawn).map(|_| ()).map_err(|what| format!("case {case} of seed {seed}: {what}\n{drawn:#?}"))
}

/// The plan, if anybody receives, when everything that has to hold of it does.
///
/// # Errors
/// What does not hold.
pub(crate) fn plan(drawn: &Drawn) -> Result<Option<PlacementPlan>, String> {
    let plan = match StickyBalanced.plan(&drawn.input()) {
        Ok(plan) => plan,
        Err(PlacementError::NoReceivers { .. }) if drawn.nodes.iter().all(|node| node.state == NodeState::Draining) => {
            return Ok(None);
        }
        Err(error) => return Err(format!("no plan: {error}")),
    };
    check_plan(drawn, &plan)?;
    in_any_order(drawn, &plan)?;
    at_rest(drawn, &plan)?;
    interrupted(drawn, &plan)?;
    Ok(Some(plan))
}

/// It is legal and balanced, moves as few as can be, and in one direction.
fn check_plan(drawn: &Drawn, plan: &PlacementPlan) -> Result<(), String> {
    let input = drawn.input();
    plan.clone().check(&input).map_err(|fault| fault.to_string())?;
    let (moved, optimum, formula) = (plan.moves.len() as u64, plan.report.optimum, minimum_moves(&input));
    let slow = Slow::of(drawn);
    let fewest = if slow.is_exact() {
        slow.judge(drawn, plan)?;
        slow.fewest_moves()
    } else {
        moved
    };
    if (moved, u64::from(optimum), &formula) != (fewest, fewest, &Ok(optimum)) {
        return Err(format!("{moved} moves, {fewest} are needed, reported {optimum}, by the formula {formula:?}"));
    }
    let pinned = |shard| drawn.pins.iter().any(|pin| pin.shard == shard);
    let mut directions = vec![(false, false); drawn.nodes.len()];
    for step in plan.moves.iter().filter(|step| !pinned(step.shard)) {
        directions[step.to.index()].1 = true;
        if let Some(from) = step.from {
            directions[from.index()].0 = true;
        }
    }
    match directions.iter().position(|both| *both == (true, true)) {
        Some(node) => Err(format!("{} both sends and receives", drawn.nodes[node].id)),
        None => Ok(()),
    }
}

/// The order in which the input is listed does not matter.
fn in_any_order(drawn: &Drawn, plan: &PlacementPlan) -> Result<(), String> {
    let turned = drawn.turned();
    let again = StickyBalanced.plan(&turned.input()).map_err(|error| error.to_string())?;
    let same = again.describe(&turned.nodes) == plan.describe(&drawn.nodes);
    if same { Ok(()) } else { Err(format!("listed backwards: {}", again.describe(&turned.nodes))) }
}

/// A map just planned is left alone, whatever breaks the ties.
fn at_rest(drawn: &Drawn, plan: &PlacementPlan) -> Result<(), String> {
    let after = Drawn { seed: !drawn.seed, ..drawn.after(plan) };
    match StickyBalanced.plan(&after.input()) {
        Ok(again) if again.moves.is_empty() => Ok(()),
        again => Err(format!("planned again: {again:?}")),
    }
}

/// A plan made in the middle of this one, by another leader, adds no move.
fn interrupted(drawn: &Drawn, plan: &PlacementPlan) -> Result<(), String> {
    let mut midway = Drawn { seed: !drawn.seed, ..drawn.clone() };
    let mut begun = 0;
    for (nth, step) in plan.moves.iter().enumerate() {
        match mixed(drawn.seed ^ nth as u64) % 4 {
            0 => midway.current[step.shard.index()] = Some(step.to),
            1 => midway.in_flight.push(InFlight { shard: step.shard, to: step.to }),
            _ => continue,
        }
        begun += 1;
    }
    let rest = StickyBalanced.plan(&midway.input()).map_err(|error| error.to_string())?;
    if begun + rest.moves.len() == plan.moves.len() {
        return Ok(());
    }
    Err(format!("{begun} of {} moves begun, and {} to go: {midway:#?}", plan.moves.len(), rest.moves.len()))
}

/// A number as good as drawn from this one.
pub(crate) fn mixed(number: u64) -> u64 {
    xxh3_64(&number.to_le_bytes())
}

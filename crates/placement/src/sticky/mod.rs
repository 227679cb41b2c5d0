//! The sticky quota planner: every node within one shard of its exact share, by exactly the fewest moves.
//!
//! First `quota` decides how many shards each node is to hold, then this file which shards those are. It counts shards
//! and knows nothing of their load. Where tags keep some shards from some nodes, `flow` does both instead. Why the moves are the
//! fewest: `docs/placement.md`, sections 3 and 4.

mod fair;
mod flow;
mod network;
mod quota;

use aether_domain::ShardId;

use crate::census::Census;
use crate::load;
use crate::ring::{Ring, place_of};
use crate::strategy::{NodeIdx, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy, StrategyId};
use quota::Shares;

/// The default strategy. It keeps what it finds as far as balance allows, so a plan made in the middle of another one's
/// execution finishes that one and adds nothing.
///
/// Promised for every target, `share` being the shards divided by weight exactly, or first among zones and then by weight:
/// - a node's count differs from its share by less than one, and so does a zone's (with equal weights and no zones: any two
///   counts by at most one), unless moves in flight or pins already give it more;
/// - the moves are as few as [`minimum_moves`] says, which no strategy with the same balance can beat;
/// - no node both sends and receives, so no count overshoots on the way, but for shards that go to where they are pinned;
/// - a map that keeps the first promise is left alone.
///
/// Where tag rules keep shards from nodes, the share is what is fair with them: a node has more than its weight only if too much
/// may be nowhere else. A node may then send some shards and receive others, which need other nodes.
///
/// With [`PlacementInput::load`] it goes by load instead, and promises what [`crate::load`] says.
#[derive(Clone, Copy, Debug, Default)]
pub struct StickyBalanced;

impl PlacementStrategy for StickyBalanced {
    fn id(&self) -> StrategyId {
        StrategyId { name: "sticky-balanced", version: 1 }
    }

    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let census = Census::take(input)?;
        if let Some(load) = &input.load {
            return Ok(load::plan(&census, load));
        }
        if !census.needs.kinds().is_empty() {
            let (moves, optimum) = flow::plan(&census);
            return Ok(PlacementPlan::new(moves, optimum));
        }
        let (filled, optimum) = fill(&census);
        let mut moves = census.pinned.clone();
        moves.extend(filled.into_iter().map(|(number, to)| census.step(ShardId(number as u16), to)));
        Ok(PlacementPlan::new(moves, optimum))
    }
}

/// The fewest moves from the input's owners to any balanced map: the sum of the shards without a receiving owner, and
/// of what each node holds beyond the target that is kindest to it; with tag rules the cost of a flow. Moves in flight are not
/// counted.
///
/// # Errors
/// As [`StickyBalanced`] has them: no receiver, or an input that contradicts itself.
pub fn minimum_moves(input: &PlacementInput<'_>) -> Result<u32, PlacementError> {
    let census = Census::take(input)?;
    if !census.needs.kinds().is_empty() {
        return Ok(flow::minimum_moves(&census));
    }
    Ok(Shares::of(&census).minimum_moves(&census))
}

/// What [`StickyBalanced`] moves, each shard by its number, and how few moves there can be; with more shards than a cluster can
/// have, to measure where that leads. What the input says of single shards is not read.
#[doc(hidden)]
pub fn plan_of_many(input: &PlacementInput<'_>) -> Result<(Vec<(u32, NodeIdx)>, u32), PlacementError> {
    let input = PlacementInput { in_flight: &[], pins: &[], rules: &[], ..*input };
    let census = Census::count(&input)?;
    let (moves, optimum) = fill(&census);
    Ok((moves.into_iter().map(|(number, to)| (number, census.receivers[usize::from(to)].idx)).collect(), optimum))
}

/// A shard that has to move: how near it is to a node with room, its number, and its place on the ring.
type Mover = (u64, u32, u64);

/// Chooses the shards that move and the ranks they go to, so that every receiver ends with its target; and says how few
/// moves there can be, those of pinned shards among them. Of a node's shards those move that are nearest to a node with room;
/// each goes to the next node clockwise that still has room.
fn fill(census: &Census<'_>) -> (Vec<(u32, u16)>, u32) {
    let seed = census.input.seed;
    let shares = Shares::of(census);
    let (targets, optimum) = (shares.targets(census, seed), shares.minimum_moves(census));
    let held = || census.receivers.iter().map(|node| node.held);
    let mut room: Vec<u32> = targets.iter().zip(held()).map(|(target, held)| target.saturating_sub(held)).collect();
    let surplus: Vec<u32> = held().zip(&targets).map(|(held, target)| held.saturating_sub(*target)).collect();
    let with_room = (0_u16..=u16::MAX).zip(&census.receivers).zip(&room).filter(|(_, room)| **room > 0);
    let mut ring = Ring::new(seed, with_room.map(|((rank, node), _)| (rank, node.id)));
    if ring.is_empty() {
        return (Vec::new(), optimum); // nobody has room, so nobody has too much and nothing lacks an owner
    }

    let mut movers: Vec<Mover> = Vec::with_capacity(room.iter().map(|room| *room as usize).sum());
    let sizes = census.receivers.iter().zip(&surplus);
    let sizes = sizes.map(|(node, surplus)| if *surplus == 0 { 0 } else { (node.held - node.fixed) as usize });
    let mut candidates: Vec<Vec<Mover>> = sizes.map(Vec::with_capacity).collect();
    for (number, holder) in census.movable_numbers() {
        let among = match holder.map(usize::from) {
            Some(rank) if surplus[rank] == 0 => continue,
            Some(rank) => &mut candidates[rank],
            None => &mut movers,
        };
        let place = place_of(seed, number);
        among.push((ring.distance(place), number, place));
    }
    for (surplus, mut candidates) in surplus.into_iter().map(|count| count as usize).zip(candidates) {
        if surplus < candidates.len() {
            candidates.select_nth_unstable(surplus);
        }
        movers.extend(candidates.into_iter().take(surplus));
    }
    movers.sort_unstable();

    let mut moves = Vec::with_capacity(movers.len());
    for (_, number, place) in movers {
        let to = ring.open_node(place, |rank| room[usize::from(rank)] > 0);
        room[usize::from(to)] -= 1;
        moves.push((number, to));
    }
    debug_assert!(room.iter().all(|left| *left == 0), "as many shards move as there is room");
    (moves, optimum)
}

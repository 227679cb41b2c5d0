//! The plan when tags say where shards may be: as a flow of shards through their kinds to receivers.
//!
//! Every shard goes to the receiver that holds it for nothing, or to any of its kind for the price of one move. Receivers and
//! zones take their share rounded down or up. So the cheapest flow is the fewest moves. `docs/placement.md`, section 4.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use aether_domain::ShardId;
use aether_domain::policy::ZoneMode;

use super::fair::{self, Bounds, Demand, Level, Part};
use super::network::{Arc, Network, Vertex};
use crate::census::Census;
use crate::needs::Need;
use crate::ring::{Ring, node_seed, shard_place};
use crate::strategy::Move;

/// The moves, those of pinned shards among them, and how few there can be.
pub(super) fn plan(census: &Census<'_>) -> (Vec<Move>, u32) {
    let classes = Classes::of(census);
    let flow = Flow::cheapest(&classes, &Shares::of(census, &classes));
    let mut moves = census.pinned.clone();
    classes.fill(&flow, &mut moves);
    debug_assert_eq!(moves.len() as u32, flow.moves + census.pinned.len() as u32, "as many move as the flow says");
    (moves, flow.moves + census.pinned.len() as u32)
}

/// How few moves there can be, those of pinned shards among them.
pub(super) fn minimum_moves(census: &Census<'_>) -> u32 {
    let classes = Classes::of(census);
    Flow::cheapest(&classes, &Shares::of(census, &classes)).moves + census.pinned.len() as u32
}

/// The shards and receivers of a census, those that are alike put together. Shards that may be anywhere are a kind like
/// others here, behind them; receivers that are alike are a *group*.
struct Classes<'a> {
    census: &'a Census<'a>,
    /// By kind: the bits a receiver must have.
    kinds: Vec<u64>,
    /// By group, ascending: the bits its receivers have.
    groups: Vec<u64>,
    /// By rank.
    group_of: Vec<usize>,
    /// Ascending.
    movable: Vec<Movable>,
    /// By kind: how many may be moved.
    supply: Vec<u32>,
}

/// A shard that may be moved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Movable {
    kind: usize,
    /// The rank of the receiver that holds it and may keep it.
    holder: Option<u16>,
    shard: ShardId,
}

impl<'a> Classes<'a> {
    fn of(census: &'a Census<'a>) -> Self {
        let needs = &census.needs;
        let kinds: Vec<u64> = needs.kinds().iter().copied().chain([0]).collect();
        let groups: BTreeSet<u64> = needs.meets().iter().copied().collect();
        let groups: Vec<u64> = groups.into_iter().collect();
        let group_of = needs.meets().iter().map(|meets| groups.partition_point(|group| group < meets)).collect();
        let kind = |shard| match needs.of_shard(shard) {
            Need::Kind(kind) => kind.into(),
            Need::Anywhere | Need::Pinned(_) => needs.kinds().len(), // no pinned shard is movable
        };
        let movable = census.movable().map(|(shard, holder)| Movable { kind: kind(shard), holder, shard });
        let mut movable: Vec<Movable> = movable.collect();
        movable.sort_unstable();
        let mut supply = vec![0; kinds.len()];
        for shard in &movable {
            supply[shard.kind] += 1;
        }
        Self { census, kinds, groups, group_of, movable, supply }
    }

    /// The movable shards in lots: of one kind on one receiver, or of one kind and without a holder.
    fn lots(&self) -> impl Iterator<Item = &[Movable]> {
        self.movable.chunk_by(|one, other| (one.kind, one.holder) == (other.kind, other.holder))
    }

    fn fits(&self, kind: usize, group: usize) -> bool {
        self.kinds[kind] & !self.groups[group] == 0
    }

    /// Chooses the shards that the flow moves and where each goes. Of the shards of a kind on a node those move that are
    /// nearest to a node with room for the kind; each goes to the next node clockwise that still has.
    fn fill(&self, flow: &Flow, moves: &mut Vec<Move>) {
        let (seed, receivers) = (self.census.input.seed, &self.census.receivers);
        let mut room = flow.room.clone();
        let with_room = (0_u16..=u16::MAX).zip(receivers).zip(&room).filter(|(_, room)| **room > 0);
        let mut ring = Ring::new(seed, with_room.map(|((rank, node), _)| (rank, node.id)));
        let mut kept = flow.kept.iter();
        for of_kind in self.movable.chunk_by(|one, other| one.kind == other.kind) {
            let mut arriving = flow.arriving[of_kind[0].kind].clone();
            let is_open = |arriving: &[u32], room: &[u32], rank: u16| {
                arriving[self.group_of[usize::from(rank)]] > 0 && room[usize::from(rank)] > 0
            };
            ring.reopen();
            let mut movers = Vec::new();
            for (lot, kept) in of_kind.chunk_by(|one, other| one.holder == other.holder).zip(kept.by_ref()) {
                let leaving = lot.len() - *kept as usize;
                if leaving == 0 {
                    continue; // and perhaps nobody is open
                }
                let mut candidates: Vec<(u64, ShardId, u64)> = Vec::with_capacity(lot.len());
                for &Movable { shard, .. } in lot {
                    let place = shard_place(seed, shard);
                    let distance = ring.nearest(place, |rank| is_open(&arriving, &room, rank)).0;
                    candidates.push((distance, shard, place));
                }
                if leaving < candidates.len() {
                    candidates.select_nth_unstable(leaving);
                }
                movers.extend(candidates.into_iter().take(leaving));
            }
            movers.sort_unstable();
            for (_, shard, place) in movers {
                let to = ring.nearest(place, |rank| is_open(&arriving, &room, rank)).1;
                arriving[self.group_of[usize::from(to)]] -= 1;
                room[usize::from(to)] -= 1;
                moves.push(self.census.step(shard, to));
            }
        }
    }
}

/// What each receiver and each zone is entitled to.
struct Shares {
    /// All ranks. Who comes first is rounded up first where that saves no move: those with the largest remainders.
    /// The seed breaks ties.
    order: Vec<usize>,
    /// By rank.
    nodes: Vec<Bounds>,
    /// By rank: the place of its zone.
    zone_of: Vec<usize>,
    /// By place. Without zones all receivers are in one.
    zones: Vec<Bounds>,
}

impl Shares {
    fn of(census: &Census<'_>, classes: &Classes<'_>) -> Self {
        let (receivers, mode) = (&census.receivers, census.input.zones);
        let zone = |rank: usize| receivers[rank].zone.filter(|_| mode == ZoneMode::Equal);
        let names: BTreeSet<_> = (0..receivers.len()).map(zone).collect();
        let names: Vec<_> = names.into_iter().collect();
        let zone_of: Vec<usize> =
            (0..receivers.len()).map(|rank| names.partition_point(|name| *name < zone(rank))).collect();
        let weights = fair::weights(receivers, &zone_of, mode);
        let levels = levels(census, classes, &weights);
        let together = |ranks: &mut dyn Iterator<Item = usize>| {
            // Those on one level add up without a fraction more.
            let mut parts: Vec<(Level, u128)> = ranks.map(|rank| (levels[rank], weights[rank])).collect();
            parts.sort_unstable_by_key(|(level, _)| (level.shards, level.weight));
            let parts = parts.chunk_by(|one, other| one.0 == other.0);
            fair::together(parts.map(|part| (part[0].0, part.iter().map(|(_, weight)| weight).sum())))
        };
        let nodes = (0..receivers.len()).map(|rank| together(&mut [rank].into_iter())).collect();
        let mut members = vec![Vec::new(); names.len()];
        for (rank, zone) in zone_of.iter().enumerate() {
            members[*zone].push(rank);
        }
        let zones = members.into_iter().map(|ranks| together(&mut ranks.into_iter())).collect();
        let mut order: Vec<usize> = (0..receivers.len()).collect();
        let seed = census.input.seed;
        order.sort_by_cached_key(|rank| {
            (Reverse(levels[*rank].remainder(weights[*rank])), node_seed(seed, receivers[*rank].id), *rank)
        });
        Self { order, nodes, zone_of, zones }
    }
}

/// By rank. A shard in flight counts as any of its kind, for its share does not change because it moves; a pinned one, and one
/// on its way to where its kind may not be, can be nowhere else.
fn levels(census: &Census<'_>, classes: &Classes<'_>, weights: &[u128]) -> Vec<Level> {
    let mut supply = classes.supply.clone();
    let mut confined: Vec<u32> = census.receivers.iter().map(|node| node.fixed).collect();
    for moving in census.input.in_flight {
        let Some(rank) = census.needs.rank(Some(moving.to)) else { continue };
        let kind = match census.needs.of_shard(moving.shard) {
            Need::Anywhere => classes.kinds.len() - 1,
            Need::Kind(kind) => kind.into(),
            Need::Pinned(_) => continue,
        };
        if classes.fits(kind, classes.group_of[usize::from(rank)]) {
            supply[kind] += 1;
            confined[usize::from(rank)] -= 1;
        }
    }
    let mut parts: Vec<Part> =
        classes.groups.iter().map(|meets| Part { meets: *meets, weight: 0, confined: 0 }).collect();
    let mut part_of = classes.group_of.clone();
    for ((part_of, confined), weight) in part_of.iter_mut().zip(confined).zip(weights) {
        if confined > 0 {
            parts.push(Part { weight: 0, confined, ..parts[*part_of] });
            *part_of = parts.len() - 1;
        }
        parts[*part_of].weight += weight;
    }
    let demands = classes.kinds.iter().zip(supply).map(|(kind, shards)| Demand { kind: *kind, shards });
    let levels = fair::levels(&parts, &demands.filter(|demand| demand.shards > 0).collect::<Vec<_>>());
    part_of.into_iter().map(|part| levels[part]).collect()
}

/// How far a flow may be from the shares.
#[derive(Clone, Copy)]
struct Leeway {
    /// How much of its share, rounded down, everyone must have, in parts of [`Leeway::WHOLE`].
    part: u64,
    /// How many shards may be beyond the shares rounded up, all together.
    beyond: u32,
}

impl Leeway {
    const WHOLE: u64 = 1 << 16;
    const NONE: Self = Self { part: Self::WHOLE, beyond: 0 };

    fn least(self, share: Bounds) -> u32 {
        (u64::from(share.floor) * self.part / Self::WHOLE) as u32
    }
}

/// Which shards stay and which kinds go where.
struct Flow {
    moves: u32,
    /// By lot: how many stay.
    kept: Vec<u32>,
    /// By kind, by group: how many come to it.
    arriving: Vec<Vec<u32>>,
    /// By rank: how many come to it.
    room: Vec<u32>,
}

impl Flow {
    /// The flow with the fewest moves. Where shards that cannot be moved leave no flow within the shares, as few as
    /// possible are beyond them, and then everyone has as much of its share as possible. Both depend on nothing but on how many
    /// each receiver is to hold, so that a plan's own moves, once they are in flight, change neither.
    fn cheapest(classes: &Classes<'_>, shares: &Shares) -> Self {
        let total = classes.census.total;
        let sent = |leeway| {
            let mut built = Built::new(classes, shares, leeway);
            let sent = built.network.fill() as u32;
            (built, sent)
        };
        let (mut built, within) = sent(Leeway::NONE);
        if within < total {
            let beyond = total - sent(Leeway { part: 0, beyond: 0 }).1;
            // With no least part all have a place.
            built = sent(Leeway { part: 0, beyond }).0;
            let (mut part, mut too_much) = (0, Leeway::WHOLE + 1);
            while too_much - part > 1 {
                let middle = part.midpoint(too_much);
                match sent(Leeway { part: middle, beyond }) {
                    (better, all) if all == total => (part, built) = (middle, better),
                    _ => too_much = middle,
                }
            }
        }
        built.read(classes)
    }
}

/// A network for a flow, and which of its arcs say what.
struct Built {
    network: Network,
    /// By lot. None without a holder.
    staying: Vec<Option<Arc>>,
    /// By kind: the groups it may be on.
    arriving: Vec<Vec<(usize, Arc)>>,
    /// By rank.
    room: Vec<Arc>,
}

impl Built {
    /// A flow through it that is as large as all shards keeps every bound: what must at least be there has arcs of its own to
    /// the sink, and all arcs to the sink together are just as large.
    fn new(classes: &Classes<'_>, shares: &Shares, leeway: Leeway) -> Self {
        let census = classes.census;
        let receivers = &census.receivers;
        let rest: Vertex = 2;
        let beyond: Vertex = 3;
        let kind = |nth: usize| 4 + nth;
        let group = |nth: usize| kind(classes.kinds.len()) + nth;
        let receiver = |rank: usize| group(classes.groups.len()) + rank;
        let zone = |nth: usize| receiver(receivers.len()) + nth;
        let mut network = Network::new(zone(shares.zones.len()));

        let lots: Vec<_> = classes.lots().collect();
        let mut staying = vec![None; lots.len()];
        let mut on = vec![Vec::new(); receivers.len()];
        for (nth, lot) in lots.iter().enumerate() {
            if let Some(rank) = lot[0].holder {
                on[usize::from(rank)].push(nth);
            }
        }
        for rank in &shares.order {
            for nth in &on[*rank] {
                let lot = lots[*nth];
                staying[*nth] = Some(network.arc(kind(lot[0].kind), receiver(*rank), lot.len() as u128, 0));
            }
        }
        let mut arriving = vec![Vec::new(); classes.kinds.len()];
        for (nth, supply) in
            classes.supply.iter().copied().map(u128::from).enumerate().filter(|(_, supply)| *supply > 0)
        {
            network.arc(Network::SOURCE, kind(nth), supply, 0);
            for to in (0..classes.groups.len()).filter(|to| classes.fits(nth, *to)) {
                arriving[nth].push((to, network.arc(kind(nth), group(to), supply, 1)));
            }
        }

        let total = u128::from(census.total);
        let mut room = vec![None; receivers.len()];
        let (mut to_sink, mut least_in) = (0, vec![0; shares.zones.len()]);
        for &rank in &shares.order {
            let (at, share, in_zone) = (receiver(rank), shares.nodes[rank], shares.zone_of[rank]);
            let least = leeway.least(share);
            network.arc(Network::SOURCE, at, receivers[rank].fixed.into(), 0);
            room[rank] = Some(network.arc(group(classes.group_of[rank]), at, total, 0));
            network.arc(at, Network::SINK, least.into(), 0);
            network.arc(at, zone(in_zone), u128::from(share.ceil - least), 0);
            network.arc(at, beyond, leeway.beyond.into(), 0);
            to_sink += u128::from(least);
            least_in[in_zone] += least;
        }
        for (nth, (share, least_in)) in shares.zones.iter().zip(least_in).enumerate() {
            let least = leeway.least(*share) - least_in;
            network.arc(zone(nth), Network::SINK, least.into(), 0);
            network.arc(zone(nth), rest, u128::from(share.ceil - least_in - least), 0);
            to_sink += u128::from(least);
        }
        network.arc(beyond, rest, leeway.beyond.into(), 0);
        network.arc(rest, Network::SINK, total - to_sink, 0);
        Self { network, staying, arriving, room: room.into_iter().flatten().collect() }
    }

    fn read(&self, classes: &Classes<'_>) -> Flow {
        let through = |arc: Arc| self.network.through(arc) as u32;
        let mut arriving = vec![vec![0; classes.groups.len()]; classes.kinds.len()];
        for (kind, arcs) in self.arriving.iter().enumerate() {
            for (group, arc) in arcs {
                arriving[kind][*group] = through(*arc);
            }
        }
        Flow {
            moves: arriving.iter().flatten().sum(),
            kept: self.staying.iter().map(|arc| arc.map_or(0, through)).collect(),
            arriving,
            room: self.room.iter().map(|arc| through(*arc)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use aether_domain::policy::Pin;
    use aether_domain::{NodeId, Zone};

    use super::*;
    use crate::strategy::{InFlight, NodeIdx, NodeState, NodeView, PlacementInput};
    use crate::{PlacementStrategy, StickyBalanced};

    fn roll(dice: &mut u64, below: u32) -> u32 {
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 33) as u32 % below
    }

    /// The fewest moves as the flow and as the closed form find them.
    fn both_ways(input: &PlacementInput<'_>) -> (u32, u32) {
        let census = Census::take(input).expect("somebody is receiving");
        (minimum_moves(&census), super::super::quota::Shares::of(&census).minimum_moves(&census))
    }

    #[test]
    fn where_no_shard_needs_certain_nodes_the_closed_form_says_the_same() {
        for seed in 0..400 {
            let dice = &mut (seed * 7 + 1);
            let count = roll(dice, 9) + 1;
            let heaviest = [1, 4, u32::MAX][roll(dice, 3) as usize];
            let nodes: Vec<NodeView> = (0..count)
                .map(|nth| NodeView {
                    weight: NonZeroU32::new(roll(dice, heaviest) + 1).expect("not 0"),
                    state: if nth > 0 && roll(dice, 5) == 0 { NodeState::Draining } else { NodeState::Receiving },
                    zone: Some(Zone::new(format!("z{}", roll(dice, 3))).expect("a zone")),
                    ..NodeView::new(NodeId::new(format!("n{nth}")).expect("a node id"))
                })
                .collect();
            let owners = roll(dice, count) + 1;
            let owner = |dice: &mut u64| (roll(dice, 6) > 0).then(|| NodeIdx(roll(dice, owners) as u16));
            let mut current: Vec<Option<NodeIdx>> = (0..roll(dice, 80)).map(|_| owner(dice)).collect();
            let zones = [ZoneMode::Ignored, ZoneMode::Equal][roll(dice, 2) as usize];
            // Where weights or zones count, a pinned shard may change how others are rounded.
            let pins =
                if heaviest == 1 && zones == ZoneMode::Ignored { roll(dice, current.len() as u32 + 1) } else { 0 };
            let pin = |nth| Pin { shard: ShardId(nth), node: nodes[roll(dice, owners) as usize].id.clone() };
            let pins: Vec<Pin> = (0..pins as u16).map(pin).collect();
            let base = PlacementInput { nodes: &nodes, zones, pins: &pins, ..Default::default() };
            let input = PlacementInput { current: &current, ..base };
            let (flow, formula) = both_ways(&input);
            assert_eq!(flow, formula, "seed {seed}: {input:#?}");
            // And in the middle of a plan.
            let plan = StickyBalanced.plan(&input).expect("somebody is receiving");
            let mut in_flight = Vec::new();
            let mut left = formula;
            for step in plan.moves {
                match roll(dice, 3) {
                    0 => current[step.shard.index()] = Some(step.to),
                    1 => in_flight.push(InFlight { shard: step.shard, to: step.to }),
                    _ => continue,
                }
                left -= 1;
            }
            let input = PlacementInput { current: &current, in_flight: &in_flight, ..base };
            assert_eq!(both_ways(&input), (left, left), "seed {seed}: {input:#?}");
        }
    }
}

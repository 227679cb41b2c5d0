//! Where shards go when it counts what they cost: few moves, and the hottest node not far above what cannot be avoided.
//!
//! [`StickyBalanced`](crate::StickyBalanced) asks this instead of counting shards when an input has loads. The best map is
//! out of reach (it is NP-hard to find), so this is a local search with stated bounds: `docs/placement.md`, "Load". Zones do
//! not matter here; pins and tag rules do. It measures nothing and does not know how old the loads are.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use aether_domain::ShardId;
use aether_domain::policy::LoadPolicy;

use crate::census::Census;
use crate::needs::Need;
use crate::strategy::{Move, MoveClass, PlacementError, PlacementInput, PlacementPlan, ShardLoads};

/// What the mean shard costs, whatever the unit of the loads.
const COST_MEAN: u64 = 1_024;
/// What a shard costs at least: less than a 64th of the mean is noise, and where there is only noise the count decides.
const COST_MIN: u64 = COST_MEAN / 64;
/// How many of the coldest nodes are compared; more if none of them will do.
const COLDEST: usize = 8;
/// How many of a node's heaviest shards are tried in exchange for a lighter one.
const HEAVIEST: usize = 24;
/// A plan ends when it has passed over this many nodes that it could not help.
const PASSED_OVER_MAX: usize = 16;

/// A shard that alone is more than a node is to bear. No placement can help: it needs to be divided, or to have less to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TooHot {
    /// Which shard.
    pub shard: ShardId,
    /// Its load in percent of what the strongest node where it may be would bear if all nodes were equally hot: at least 100.
    pub percent: u32,
}

/// The shards that are too hot, the hottest first; none if the input has no loads.
///
/// # Errors
/// [`PlacementError`]: no receiver, or an input that contradicts itself.
///
/// ```
/// use aether_domain::{NodeId, ShardId, ShardSet, policy::LoadPolicy};
/// use aether_placement::{
///     NodeIdx, NodeView, PlacementInput, PlacementStrategy, ShardLoads, StickyBalanced, TooHot, too_hot,
/// };
///
/// // Two nodes with two shards each; all there is to do is for shards 0 and 2, which are on one of them.
/// let nodes: Vec<_> = ["n1", "n2"].map(|id| NodeView::new(NodeId::new(id).expect("a name"))).into();
/// let owners: Vec<_> = [0, 1, 0, 1].map(|node| Some(NodeIdx(node))).into();
/// let (resting, policy) = (ShardSet::default(), LoadPolicy::default());
/// let load = Some(ShardLoads { loads: &[60, 0, 40, 0], resting: &resting, policy });
/// let input = PlacementInput { current: &owners, nodes: &nodes, load, ..Default::default() };
/// let plan = StickyBalanced.plan(&input)?;
/// assert_eq!(plan.describe(&nodes).lines().next(), Some("load    n1 -> n2: 2"));
///
/// // No plan makes a node cooler than shard 0 is: a node should have 50.
/// assert_eq!(too_hot(&input)?, vec![TooHot { shard: ShardId(0), percent: 120 }]);
/// # Ok::<(), aether_placement::PlacementError>(())
/// ```
pub fn too_hot(input: &PlacementInput<'_>) -> Result<Vec<TooHot>, PlacementError> {
    let census = Census::take(input)?;
    let loads = input.load.map_or(&[][..], |load| load.loads);
    let reach = Reach::of(&census);
    let total: u128 = loads.iter().copied().map(u128::from).sum();
    let mut found = Vec::new();
    for (shard, &load) in (0..=u16::MAX).map(ShardId).zip(loads) {
        let load = Ratio(load.into(), reach.best(&census, shard).into());
        let mean = Ratio(total, reach.all().into());
        if load > mean {
            found.push(TooHot { shard, percent: load.percent_of(mean) });
        }
    }
    found.sort_unstable_by_key(|hot| (Reverse(hot.percent), hot.shard));
    Ok(found)
}

/// The moves for load. If some shards have to move they are all that moves, so that recovery is not made longer.
pub(crate) fn plan(census: &Census<'_>, load: &ShardLoads<'_>) -> PlacementPlan {
    let (mut search, homeless) = Search::new(census, load);
    let input = census.input;
    let recovers = |shard: ShardId| census.needs.class(shard, input.current[shard.index()]).is_forced();
    if census.forced > 0 {
        search.place(homeless);
    } else if !input.in_flight.iter().any(|moving| recovers(moving.shard)) {
        search.fill_newcomers();
        search.smooth();
    }
    PlacementPlan::new(search.moves, census.forced)
}

/// The weights of the receivers where shards may be.
struct Reach {
    /// All weights together and the largest, first of all receivers, then of each kind.
    weights: Vec<(u64, u64)>,
}

impl Reach {
    fn of(census: &Census<'_>) -> Self {
        let kinds = std::iter::once(&0).chain(census.needs.kinds());
        let weights = kinds.map(|kind| {
            let fitting = census.receivers.iter().zip(census.needs.meets()).filter(|(_, meets)| kind & !**meets == 0);
            fitting.map(|(node, _)| u64::from(node.weight)).fold((0, 0), |(all, most), w| (all + w, most.max(w)))
        });
        Self { weights: weights.collect() }
    }

    fn all(&self) -> u64 {
        self.weights[0].0
    }

    fn strongest(&self) -> u64 {
        self.weights[0].1
    }

    /// The largest weight of a receiver where this shard may be.
    fn best(&self, census: &Census<'_>, shard: ShardId) -> u64 {
        match census.needs.of_shard(shard) {
            Need::Anywhere => self.strongest(),
            Need::Kind(kind) => self.weights[usize::from(kind) + 1].1,
            Need::Pinned(rank) => census.receivers[usize::from(rank)].weight.into(),
        }
    }
}

/// A shard and what it costs.
type Costly = (u64, ShardId);

/// A receiver during the search.
struct Node {
    load: u64,
    weight: u64,
    /// Of the load, what cannot be moved.
    fixed: u64,
    count: u32,
    /// The most shards it may be given.
    cap: u32,
    /// Whether it has far fewer shards than its share.
    few: bool,
    /// The shards that may be moved from it, lightest first.
    movable: Vec<Costly>,
}

impl Node {
    fn is_full(&self) -> bool {
        self.count >= self.cap
    }

    /// Its load for its weight.
    fn heat(&self) -> Ratio {
        Ratio(self.load.into(), self.weight.into())
    }

    /// Its heat with a shard of this cost.
    fn heat_with(&self, cost: u64) -> Ratio {
        Ratio((self.load + cost).into(), self.weight.into())
    }
}

/// One shard for another, or for none.
#[derive(Clone, Copy)]
struct Exchange {
    from: u16,
    to: u16,
    give: Costly,
    take: Option<Costly>,
    /// How much less the sum of all nodes' load times heat is, for each shard that moves.
    gain: Ratio,
}

/// Shards where they are and where they are to be. Each moves at most once.
struct Search<'a> {
    census: &'a Census<'a>,
    policy: LoadPolicy,
    reach: Reach,
    /// By rank.
    nodes: Vec<Node>,
    /// By rank, coldest first; without those that were passed over.
    order: BTreeSet<(Ratio, u16)>,
    /// What the hottest node has for its weight at least, whatever is done.
    unavoidable: Ratio,
    moves: Vec<Move>,
}

impl<'a> Search<'a> {
    /// What there is, and the shards that have to move.
    fn new(census: &'a Census<'a>, load: &ShardLoads<'_>) -> (Self, Vec<Costly>) {
        let (input, needs, policy) = (census.input, &census.needs, within_range(load.policy));
        let costs = costs(load.loads);
        let reach = Reach::of(census);
        let weights = u128::from(reach.all());
        let mut nodes: Vec<Node> = (census.receivers.iter())
            .map(|node| {
                let share = u128::from(census.total) * u128::from(node.weight);
                let cap = (share * u128::from(policy.cap)).div_ceil(100 * weights) as u32;
                let few = u128::from(node.held) * u128::from(policy.cap) * weights < share * 100;
                let (count, weight) = (node.held, node.weight.into());
                Node { load: 0, weight, fixed: 0, count, cap, few, movable: Vec::new() }
            })
            .collect();

        let moving: BTreeSet<ShardId> = input.in_flight.iter().map(|moving| moving.shard).collect();
        let arriving = input.in_flight.iter().filter_map(|to| Some((to.shard, needs.rank(Some(to.to))?)));
        let pinned = input.pins.iter().filter_map(|pin| match needs.of_shard(pin.shard) {
            Need::Pinned(rank) if !moving.contains(&pin.shard) => Some((pin.shard, rank)),
            _ => None,
        });
        // By kind as in `reach`: what the shards of each cost together.
        let mut totals = vec![0; reach.weights.len()];
        let mut unavoidable = Ratio(0, 1);
        for (shard, rank) in arriving.chain(pinned) {
            let node = &mut nodes[usize::from(rank)];
            node.load += costs[shard.index()];
            node.fixed += costs[shard.index()];
            totals[0] += costs[shard.index()];
            unavoidable = unavoidable.max(Ratio(node.fixed.into(), node.weight.into()));
        }
        let mut homeless = Vec::new();
        for (shard, rank) in census.movable() {
            let cost = costs[shard.index()];
            totals[0] += cost;
            if let Need::Kind(kind) = needs.of_shard(shard) {
                totals[usize::from(kind) + 1] += cost;
            }
            unavoidable = unavoidable.max(Ratio(cost.into(), reach.best(census, shard).into()));
            let Some(rank) = rank else {
                homeless.push((cost, shard));
                continue;
            };
            let node = &mut nodes[usize::from(rank)];
            node.load += cost;
            if !load.resting.contains(shard) {
                node.movable.push((cost, shard));
            }
        }
        for (total, (weight, _)) in totals.into_iter().zip(&reach.weights) {
            unavoidable = unavoidable.max(Ratio(total.into(), (*weight).into()));
        }
        for node in &mut nodes {
            node.movable.sort_unstable();
        }
        let order = (0..=u16::MAX).zip(&nodes).map(|(rank, node)| (node.heat(), rank)).collect();
        (Self { census, policy, reach, nodes, order, unavoidable, moves: census.pinned.clone() }, homeless)
    }

    /// Gives each shard, the heaviest first, to the node that is then the coldest. Only if all that will do are full, one of
    /// them gets more than it may have.
    fn place(&mut self, mut homeless: Vec<Costly>) {
        self.order.retain(|(_, rank)| !self.nodes[usize::from(*rank)].is_full());
        homeless.sort_unstable_by_key(|&(cost, shard)| (Reverse(cost), shard));
        for shard in homeless {
            let to = self.coldest_with(shard).unwrap_or_else(|| {
                let nodes =
                    (0..=u16::MAX).zip(&self.nodes).filter(|(rank, _)| self.census.needs.allows(shard.1, *rank));
                let coldest = nodes.min_by_key(|(rank, node)| (node.heat_with(shard.0), *rank));
                coldest.expect("a need is of receivers, and there is one").0
            });
            let node = &mut self.nodes[usize::from(to)];
            self.order.remove(&(node.heat(), to));
            node.load += shard.0;
            node.count += 1;
            if !node.is_full() {
                self.order.insert((node.heat(), to));
            }
            self.moves.push(self.census.step(shard.1, to));
        }
    }

    /// Of the nodes in `order` where this shard may be the one that is coldest with it.
    fn coldest_with(&self, (cost, shard): Costly) -> Option<u16> {
        let mut coldest: Option<(Ratio, u16)> = None;
        for &(heat, rank) in &self.order {
            // Hotter nodes can be as cold with it only if they are stronger, and none is stronger than the strongest.
            if coldest.is_some_and(|(best, _)| heat.plus(cost, self.reach.strongest()) >= best) {
                break;
            }
            let with = self.nodes[usize::from(rank)].heat_with(cost);
            if self.census.needs.allows(shard, rank) && coldest.is_none_or(|(best, _)| with < best) {
                coldest = Some((with, rank));
            }
        }
        coldest.map(|(_, rank)| rank)
    }

    /// Gives shards to nodes that have far too few and far too little to do, whatever the budget, until no node that could
    /// give to them is much hotter.
    fn fill_newcomers(&mut self) {
        let mean = Ratio(self.nodes.iter().map(|node| u128::from(node.load)).sum(), self.reach.all().into());
        let starves = |node: &Node| node.few && mean.exceeds(self.policy.cap, node.heat());
        let mut hungry: BTreeSet<(Ratio, u16)> =
            self.order.iter().filter(|(_, rank)| starves(&self.nodes[usize::from(*rank)])).copied().collect();
        let mut passed_over = 0;
        while let Some((heat, to)) = hungry.pop_first() {
            let mut hotter = self.order.iter().rev().take_while(|(giver, _)| giver.exceeds(self.policy.stop, heat));
            let Some(exchange) = hotter.find_map(|&(_, from)| self.best_between(from, to, false)) else {
                passed_over += 1;
                if passed_over == PASSED_OVER_MAX {
                    break;
                }
                continue;
            };
            self.apply(exchange);
            hungry.insert((self.nodes[usize::from(to)].heat(), to));
        }
    }

    /// Takes from the hottest node what helps most for each shard that moves, and again, until all are cool enough or the
    /// budget is spent.
    fn smooth(&mut self) {
        let LoadPolicy { trigger, stop, budget, .. } = self.policy;
        let is_above = |search: &Self, percent| {
            let hottest = search.order.last().filter(|(heat, _)| heat.exceeds(percent, search.unavoidable));
            hottest.map(|(_, rank)| *rank)
        };
        if is_above(self, trigger).is_none() {
            return;
        }
        let mut left = (self.census.input.current.len() * usize::from(budget) / 1_000).max(1);
        let mut passed_over = 0;
        while let Some(from) = is_above(self, stop) {
            if let Some(exchange) = self.best_from(from, left > 1) {
                left -= self.apply(exchange);
            } else {
                self.order.remove(&(self.nodes[usize::from(from)].heat(), from));
                passed_over += 1;
            }
            if left == 0 || passed_over == PASSED_OVER_MAX {
                return;
            }
        }
    }

    /// The exchange with a colder node that gains most.
    fn best_from(&self, from: u16, swaps: bool) -> Option<Exchange> {
        let mut best: Option<Exchange> = None;
        for (nth, &(_, to)) in self.order.iter().take_while(|(_, to)| *to != from).enumerate() {
            if nth >= COLDEST && best.is_some() {
                break;
            }
            let other = self.best_between(from, to, swaps);
            best = [best, other].into_iter().flatten().reduce(more_gain);
        }
        best
    }

    fn best_between(&self, from: u16, to: u16, swaps: bool) -> Option<Exchange> {
        let [hot, cold] = [from, to].map(|rank| &self.nodes[usize::from(rank)]);
        let may_be_at = |rank: u16| move |&&(_, shard): &&Costly| self.census.needs.allows(shard, rank);
        // As much less here and more there makes both equally hot, and gains most.
        let gap = (hot.load * cold.weight).saturating_sub(cold.load * hot.weight);
        let ideal = gap / (hot.weight + cold.weight);
        let mut tried: Vec<(Costly, Option<Costly>)> = Vec::new();
        if !cold.is_full() {
            tried.extend(around(&hot.movable, ideal, may_be_at(to)).map(|give| (give, None)));
        }
        if swaps {
            for &give in hot.movable.iter().rev().filter(may_be_at(to)).take(HEAVIEST) {
                let takes = around(&cold.movable, give.0.saturating_sub(ideal), may_be_at(from));
                tried.extend(takes.map(|take| (give, Some(take))));
            }
        }
        let exchanges = tried.into_iter().filter_map(|(give, take)| {
            let gain = gain(hot, cold, give.0.checked_sub(take.map_or(0, |take| take.0))?, take.is_some())?;
            Some(Exchange { from, to, give, take, gain })
        });
        exchanges.reduce(more_gain)
    }

    /// Moves the shards and says how many they are.
    fn apply(&mut self, exchange: Exchange) -> usize {
        let Exchange { from, to, give, take, .. } = exchange;
        self.relocate(give, from, to);
        take.map_or(1, |take| {
            self.relocate(take, to, from);
            2
        })
    }

    fn relocate(&mut self, shard: Costly, from: u16, to: u16) {
        for (rank, comes) in [(from, false), (to, true)] {
            let node = &mut self.nodes[usize::from(rank)];
            self.order.remove(&(node.heat(), rank));
            if comes {
                node.load += shard.0;
                node.count += 1;
            } else {
                node.load -= shard.0;
                node.count -= 1;
                node.movable.retain(|other| *other != shard);
            }
            self.order.insert((node.heat(), rank));
        }
        self.moves.push(Move { class: MoveClass::Load, ..self.census.step(shard.1, to) });
    }
}

/// The policy with every number that is out of range replaced by the nearest that is not.
fn within_range(policy: LoadPolicy) -> LoadPolicy {
    let trigger = policy.trigger.clamp(101, 1_000);
    let stop = policy.stop.clamp(100, trigger);
    LoadPolicy { trigger, stop, cap: policy.cap.clamp(100, 1_000), budget: policy.budget.clamp(1, 1_000), ..policy }
}

/// What the shards cost: in proportion to their loads, but for the noise.
fn costs(loads: &[u32]) -> Vec<u64> {
    let total: u64 = loads.iter().copied().map(u64::from).sum();
    let scale = COST_MEAN * loads.len() as u64; // 2^10 * 2^16 at most
    loads.iter().map(|load| (u64::from(*load) * scale / total.max(1)).max(COST_MIN)).collect()
}

/// Of shards in order of cost the allowed ones nearest to `cost`: one not below it and one below it.
fn around<'a>(shards: &'a [Costly], cost: u64, allowed: impl Fn(&&'a Costly) -> bool) -> impl Iterator<Item = Costly> {
    let (below, above) = shards.split_at(shards.partition_point(|shard| shard.0 < cost));
    [above.iter().find(&allowed), below.iter().rev().find(&allowed)].into_iter().flatten().copied()
}

/// How much the sum of load times heat falls, for each shard that moves, if `hot` has `cost` less and `cold` more. Nothing
/// if it does not fall, or if `cold` would be as hot as `hot` is.
fn gain(hot: &Node, cold: &Node, cost: u64, is_swap: bool) -> Option<Ratio> {
    if cold.heat_with(cost) >= hot.heat() {
        return None;
    }
    // L^2/w falls by x (2L - x) / w at one and rises by x (2L + x) / w at the other. The weight of `hot` is left out: it is
    // the same for all that are compared.
    let [load, other, cost] = [hot.load, cold.load, cost].map(u128::from);
    let [weight, other_weight] = [hot.weight, cold.weight].map(u128::from);
    let falls = (2 * load - cost) * other_weight;
    let rises = (2 * other + cost) * weight;
    let gain = falls.checked_sub(rises)? * cost;
    (gain > 0).then(|| Ratio(gain, other_weight * if is_swap { 2 } else { 1 }))
}

/// The exchange that gains more; of equals the first.
fn more_gain(one: Exchange, other: Exchange) -> Exchange {
    if other.gain > one.gain { other } else { one }
}

/// A fraction, compared exactly. The second part is not 0. With costs below 2^27 in all and weights below 2^32, no product
/// of two parts reaches 2^128.
#[derive(Clone, Copy, Debug)]
struct Ratio(u128, u128);

impl Ratio {
    /// Whether it is more than `percent` of `other`.
    fn exceeds(self, percent: u16, other: Self) -> bool {
        Self(self.0 * 100, self.1) > Self(other.0 * u128::from(percent), other.1)
    }

    /// And `cost` for `weight` more.
    fn plus(self, cost: u64, weight: u64) -> Self {
        let (cost, weight) = (u128::from(cost), u128::from(weight));
        Self(self.0 * weight + cost * self.1, self.1 * weight)
    }

    /// In percent of `other`, which is more than 0; at most `u32::MAX`.
    fn percent_of(self, other: Self) -> u32 {
        u32::try_from(self.0 * 100 * other.1 / (self.1 * other.0)).unwrap_or(u32::MAX)
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 * other.1).cmp(&(other.0 * self.1))
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ratio {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ratio {}

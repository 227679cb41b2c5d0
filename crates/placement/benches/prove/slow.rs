//! What balance is and how few moves it takes, worked out slowly from the definition: exact numbers of any size, and every
//! way of rounding instead of a formula. It shares nothing with the planner but the words of its input.

use std::collections::BTreeMap;

use aether_domain::policy::ZoneMode;
use aether_placement::kit::Drawn;
use aether_placement::{NodeIdx, NodeState, PlacementPlan};

use crate::natural::Natural;

/// A node that may be given shards.
#[derive(Clone, Debug)]
struct Receiver {
    /// Its place in the input.
    at: usize,
    /// Its zone's place among the zones.
    zone: usize,
    weight: u64,
    held: u64,
    fixed: u64,
    /// More is fixed there than its share rounded up, so it keeps that and the others divide the rest.
    overfull: bool,
    /// What it may hold.
    least: u64,
    most: u64,
}

/// How often something is to be weighed against something else: first how far off, then how many moves.
type Cost = (i64, u64);

/// An input without tag rules, worked out.
#[derive(Debug)]
pub(crate) struct Slow {
    receivers: Vec<Receiver>,
    /// By zone: the share of its nodes that are not overfull, rounded down, and whether it is whole.
    zones: Vec<(u64, bool)>,
    /// By shard: where it is fixed, if it is.
    fixed: Vec<Option<usize>>,
    forced: u64,
    /// What nodes that are not overfull share.
    rest: u64,
    /// Whether more of them have to be rounded up than can be: then others have less than their share.
    scarce: bool,
}

impl Slow {
    pub(crate) fn of(drawn: &Drawn) -> Self {
        let receiving = |at: usize| drawn.nodes[at].state == NodeState::Receiving;
        let mut fixed = vec![None; drawn.current.len()];
        for pin in &drawn.pins {
            let node = (0..drawn.nodes.len()).find(|at| drawn.nodes[*at].id == pin.node && receiving(*at));
            fixed[pin.shard.index()] = node;
        }
        let mut forced = 0;
        for (shard, owner) in drawn.current.iter().enumerate() {
            let owner = owner.map(NodeIdx::index).filter(|at| receiving(*at));
            let in_flight = drawn.in_flight.iter().find(|moving| moving.shard.index() == shard);
            match (in_flight, fixed[shard]) {
                (Some(moving), _) => fixed[shard] = Some(moving.to.index()),
                (None, Some(pinned)) => forced += u64::from(owner != Some(pinned)),
                (None, None) => forced += u64::from(owner.is_none()),
            }
        }
        let mut names: Vec<_> = Vec::new();
        let mut receivers = Vec::new();
        for at in (0..drawn.nodes.len()).filter(|at| receiving(*at)) {
            let node = &drawn.nodes[at];
            let name = node.zone.clone().filter(|_| drawn.zones == ZoneMode::Equal);
            if !names.contains(&name) {
                names.push(name.clone());
            }
            let zone = names.iter().position(|known| *known == name).expect("it is among them now");
            let there = |shard: &usize| fixed[*shard] == Some(at);
            let stays =
                |shard: &usize| fixed[*shard].is_none() && drawn.current[*shard].is_some_and(|on| on.index() == at);
            let fixed_here = (0..fixed.len()).filter(there).count() as u64;
            let held = fixed_here + (0..fixed.len()).filter(stays).count() as u64;
            let weight = node.weight.get().into();
            receivers.push(Receiver { at, zone, weight, held, fixed: fixed_here, overfull: false, least: 0, most: 0 });
        }
        let lost = fixed.iter().flatten().filter(|at| !receiving(**at)).count();
        let rest = (fixed.len() - lost) as u64;
        let mut slow = Self { receivers, zones: vec![(0, true); names.len()], fixed, forced, rest, scarce: false };
        while slow.divide() {}
        let open = || slow.receivers.iter().filter(|node| !node.overfull);
        if open().map(|node| node.least.max(node.fixed)).sum::<u64>() > slow.rest {
            slow.be_scarce();
        }
        slow
    }

    /// A node's part of the whole is its weight by the weight of its zone: all brought to one denominator, which can be
    /// left out.
    fn parts(&self) -> Vec<Natural> {
        let mut weights = vec![0; self.zones.len()];
        for node in &self.receivers {
            weights[node.zone] += node.weight;
        }
        let part = |node: &Receiver| {
            let others = (0..weights.len()).filter(|zone| *zone != node.zone).map(|zone| Natural::of(weights[zone]));
            others.fold(Natural::of(node.weight), |product, weight| product.times(&weight))
        };
        self.receivers.iter().map(part).collect()
    }

    /// Divides what is left among those that are not overfull; says whether some of them turn out to be.
    fn divide(&mut self) -> bool {
        let parts = self.parts();
        let whole = self.receivers.iter().zip(&parts).filter(|(node, _)| !node.overfull);
        let whole = whole.fold(Natural::of(0), |sum, (_, part)| sum.plus(part));
        let mut of_zone = vec![Natural::of(0); self.zones.len()];
        for (node, part) in self.receivers.iter_mut().zip(&parts).filter(|(node, _)| !node.overfull) {
            let share = part.times(&Natural::of(self.rest));
            let (floor, exact) = share.divided_by(&whole, self.rest);
            (node.least, node.most) = (floor, floor + u64::from(!exact));
            of_zone[node.zone] = of_zone[node.zone].plus(&share);
        }
        for (zone, share) in self.zones.iter_mut().zip(&of_zone) {
            *zone = share.divided_by(&whole, if *share == Natural::of(0) { 0 } else { self.rest });
        }
        let mut found = false;
        for node in self.receivers.iter_mut().filter(|node| !node.overfull && node.fixed > node.most) {
            (node.overfull, node.least, node.most) = (true, node.fixed, node.fixed);
            self.rest -= node.fixed;
            found = true;
        }
        found
    }

    /// From those with most for their part, one shard after the other, until there are enough for all that is fixed.
    fn be_scarce(&mut self) {
        self.scarce = true;
        let parts = self.parts();
        let mut counts: Vec<u64> = self.receivers.iter().map(|node| node.least.max(node.fixed)).collect();
        // count / part against count / part, as products.
        let above = |(a, a_count): (usize, u64), (b, b_count): (usize, u64)| {
            Natural::of(a_count).times(&parts[b]).cmp(&Natural::of(b_count).times(&parts[a]))
        };
        let overfull: u64 = self.receivers.iter().filter(|node| node.overfull).map(|node| node.fixed).sum();
        let mut last = (0, 0);
        while counts.iter().sum::<u64>() > overfull + self.rest {
            let can = (0..counts.len()).filter(|at| counts[*at] > self.receivers[*at].fixed);
            let most =
                can.max_by(|a, b| above((*a, counts[*a]), (*b, counts[*b]))).expect("all that is fixed has room");
            last = (most, counts[most]);
            counts[most] -= 1;
        }
        for (at, node) in self.receivers.iter_mut().enumerate() {
            let begun_with = node.least.max(node.fixed);
            let gave = counts[at] < begun_with && above((at, counts[at] + 1), last).is_eq();
            let could = counts[at] > node.fixed && above((at, counts[at]), last).is_eq();
            (node.least, node.most) = (counts[at] - u64::from(could), counts[at] + u64::from(gave));
        }
    }

    /// How far off a zone is with so many shards on its nodes that are not overfull: one for each shard above its share
    /// rounded down, two for the next, and so on.
    fn off(&self, zone: usize, count: u64) -> i64 {
        let (floor, whole) = self.zones[zone];
        let step = |nth: u64| {
            let step = nth.cast_signed() - floor.cast_signed();
            step + i64::from(step > 0 && whole)
        };
        if self.scarce { 0 } else { (1..=count).map(step).sum() }
    }

    /// Of all ways to give the nodes what they may hold, the ones where zones are least off: how far that is, and the
    /// fewest moves then.
    fn best(&self) -> Cost {
        // By how many shards the nodes looked at have together.
        let extend = |costs: &BTreeMap<u64, Cost>, choices: &[(u64, Cost)]| {
            let mut all: BTreeMap<u64, Cost> = BTreeMap::new();
            for (count, cost) in costs {
                for (more, more_cost) in choices {
                    let sum = (cost.0 + more_cost.0, cost.1 + more_cost.1);
                    let best = all.entry(count + more).or_insert(sum);
                    *best = sum.min(*best);
                }
            }
            all
        };
        let mut all = BTreeMap::from([(0, (0, 0))]);
        for zone in 0..self.zones.len() {
            let mut in_zone = BTreeMap::from([(0, (0, 0))]);
            for node in self.receivers.iter().filter(|node| node.zone == zone && !node.overfull) {
                let counts = (node.least..=node.most).filter(|count| *count >= node.fixed);
                let choices: Vec<_> = counts.map(|count| (count, (0, node.held.saturating_sub(count)))).collect();
                in_zone = extend(&in_zone, &choices);
            }
            let off = in_zone.into_iter().map(|(count, cost)| (count, (self.off(zone, count), cost.1)));
            all = extend(&all, &off.collect::<Vec<_>>());
        }
        all[&self.rest]
    }

    /// Whether the planner promises exact shares: not when zones of enormous weights are partly overfull at once.
    pub(crate) fn is_exact(&self) -> bool {
        let in_zone = |zone: usize| self.receivers.iter().filter(move |node| node.zone == zone);
        let partly =
            |zone: &usize| in_zone(*zone).any(|node| node.overfull) && !in_zone(*zone).all(|node| node.overfull);
        let weights = (0..self.zones.len()).filter(partly).map(|zone| in_zone(zone).map(|node| node.weight).sum());
        weights.fold(Natural::of(1), |product, weight| product.times(&Natural::of(weight))) < Natural::of(1 << 63)
    }

    /// The fewest moves to a balanced map, of all ways to round.
    pub(crate) fn fewest_moves(&self) -> u64 {
        let overfull = self.receivers.iter().filter(|node| node.overfull);
        self.forced + overfull.map(|node| node.held - node.fixed).sum::<u64>() + self.best().1
    }

    /// Whether the plan leads to a balanced map and leaves alone what is fixed, but for bringing it where it is pinned.
    pub(crate) fn judge(&self, drawn: &Drawn, plan: &PlacementPlan) -> Result<(), String> {
        let mut after: Vec<Option<usize>> = drawn.current.iter().map(|owner| owner.map(NodeIdx::index)).collect();
        for step in &plan.moves {
            let shard = step.shard.index();
            if self.fixed[shard].is_some_and(|at| at != step.to.index()) {
                return Err(format!("shard {shard} is fixed and moves: {step:?}"));
            }
            after[shard] = Some(step.to.index());
        }
        for (after, fixed) in after.iter_mut().zip(&self.fixed) {
            *after = fixed.or(*after);
        }
        let mut in_zones = vec![0; self.zones.len()];
        for node in &self.receivers {
            let count = after.iter().filter(|owner| **owner == Some(node.at)).count() as u64;
            if !(node.least..=node.most).contains(&count) {
                return Err(format!("{count} shards on {node:?}"));
            }
            in_zones[node.zone] += if node.overfull { 0 } else { count };
        }
        let off: i64 = in_zones.iter().enumerate().map(|(zone, count)| self.off(zone, *count)).sum();
        if off != self.best().0 || in_zones.iter().sum::<u64>() != self.rest {
            return Err(format!("zones have {in_zones:?} of {} and may have {:?}", self.rest, self.zones));
        }
        Ok(())
    }
}

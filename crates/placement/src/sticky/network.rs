//! A network of arcs with a capacity and a price for each unit, and the largest flow through it that costs least.
//!
//! Source: R. Ahuja, T. Magnanti and J. Orlin, "Network Flows" (1993), sections 7.5 and 9.8: prices make the cheapest ways
//! those that cost nothing, and all of them are filled at once. The same arcs in the same order give the same flow.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A vertex of a [`Network`].
pub(super) type Vertex = usize;

/// An arc of a [`Network`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc(usize);

/// One direction of an arc: what flows one way makes room for as much the other way.
#[derive(Clone, Copy, Debug)]
struct Half {
    to: Vertex,
    room: u128,
    cost: i32,
}

/// Vertices and arcs, and what flows through them now.
#[derive(Debug)]
pub(super) struct Network {
    /// An arc is at twice its number, its reverse behind it.
    halves: Vec<Half>,
    /// By vertex: the halves that leave it.
    leaving: Vec<Vec<usize>>,
}

impl Network {
    /// Where everything comes from.
    pub(super) const SOURCE: Vertex = 0;
    /// Where everything goes.
    pub(super) const SINK: Vertex = 1;

    /// So many vertices, the source and the sink among them, and no arc.
    pub(super) fn new(vertices: usize) -> Self {
        Self { halves: Vec::new(), leaving: vec![Vec::new(); vertices] }
    }

    /// Adds an arc whose every unit costs `cost`, which is not below 0.
    pub(super) fn arc(&mut self, from: Vertex, to: Vertex, capacity: u128, cost: i32) -> Arc {
        let arc = self.halves.len();
        self.halves.push(Half { to, room: capacity, cost });
        self.halves.push(Half { to: from, room: 0, cost: -cost });
        self.leaving[from].push(arc);
        self.leaving[to].push(arc + 1);
        Arc(arc)
    }

    /// What flows through an arc.
    pub(super) fn through(&self, arc: Arc) -> u128 {
        self.halves[arc.0 + 1].room
    }

    /// Sends as much as possible from the source to the sink, as cheaply as that can be done, and says how much it is. Nothing
    /// flows yet.
    pub(super) fn fill(&mut self) -> u128 {
        let mut prices = vec![0; self.leaving.len()];
        let mut sent = 0;
        while self.reprice(&mut prices) {
            while let Some(steps) = self.steps(&prices) {
                sent += self.fill_shortest(&prices, &steps);
            }
        }
        sent
    }

    /// The vertices that more could be sent to from the source.
    pub(super) fn reachable(&self) -> Vec<bool> {
        let mut reached = vec![false; self.leaving.len()];
        reached[Self::SOURCE] = true;
        let mut open = vec![Self::SOURCE];
        while let Some(at) = open.pop() {
            for half in self.leaving[at].iter().map(|half| self.halves[*half]) {
                if half.room > 0 && !std::mem::replace(&mut reached[half.to], true) {
                    open.push(half.to);
                }
            }
        }
        reached
    }

    /// Adds to each vertex's price what the cheapest way to it costs more than nothing by the prices so far, at most what the
    /// way to the sink does. After that no half with room costs less than nothing, and those of the cheapest ways to the
    /// sink cost nothing. False if there is no way to the sink.
    fn reprice(&self, prices: &mut [i64]) -> bool {
        let mut cost = vec![i64::MAX; prices.len()];
        cost[Self::SOURCE] = 0;
        let mut open = BinaryHeap::from([Reverse((0, Self::SOURCE))]);
        while let Some(Reverse((so_far, at))) = open.pop() {
            if so_far > cost[at] {
                continue;
            }
            for half in self.leaving[at].iter().map(|half| self.halves[*half]) {
                let through_it = so_far + priced(half, at, prices);
                if half.room > 0 && through_it < cost[half.to] {
                    cost[half.to] = through_it;
                    open.push(Reverse((through_it, half.to)));
                }
            }
        }
        let most = cost[Self::SINK];
        if most < i64::MAX {
            for (price, cost) in prices.iter_mut().zip(cost) {
                *price += cost.min(most);
            }
        }
        most < i64::MAX
    }

    /// By vertex: how many halves away from the source it is on ways that cost nothing. None if the sink is on no such way.
    fn steps(&self, prices: &[i64]) -> Option<Vec<u32>> {
        let mut steps = vec![u32::MAX; prices.len()];
        steps[Self::SOURCE] = 0;
        let mut open = VecDeque::from([Self::SOURCE]);
        while let Some(at) = open.pop_front() {
            for half in self.leaving[at].iter().map(|half| self.halves[*half]) {
                if half.room > 0 && steps[half.to] == u32::MAX && priced(half, at, prices) == 0 {
                    steps[half.to] = steps[at] + 1;
                    open.push_back(half.to);
                }
            }
        }
        (steps[Self::SINK] < u32::MAX).then_some(steps)
    }

    /// Fills the ways that cost nothing and have the fewest steps.
    fn fill_shortest(&mut self, prices: &[i64], steps: &[u32]) -> u128 {
        let mut tried = vec![0; prices.len()];
        let (mut way, mut at, mut sent) = (Vec::new(), Self::SOURCE, 0);
        loop {
            if at == Self::SINK {
                let amount = way.iter().map(|half: &usize| self.halves[*half].room).min().unwrap_or(0);
                sent += amount;
                for half in &way {
                    self.halves[*half].room -= amount;
                    self.halves[half ^ 1].room += amount;
                }
                let full = way.iter().position(|half| self.halves[*half].room == 0).unwrap_or(0);
                at = self.halves[way[full] ^ 1].to;
                way.truncate(full);
            }
            let onward = self.leaving[at][tried[at]..].iter().position(|half| {
                let half = self.halves[*half];
                half.room > 0 && steps[half.to] == steps[at] + 1 && priced(half, at, prices) == 0
            });
            if let Some(skipped) = onward {
                tried[at] += skipped;
                let half = self.leaving[at][tried[at]];
                way.push(half);
                at = self.halves[half].to;
            } else if let Some(half) = way.pop() {
                at = self.halves[half ^ 1].to;
                tried[at] += 1;
            } else {
                return sent;
            }
        }
    }
}

/// What a unit through a half from `from` costs when a vertex's price is what it costs to get there.
fn priced(half: Half, from: Vertex, prices: &[i64]) -> i64 {
    i64::from(half.cost) + prices[from] - prices[half.to]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_flow_takes_the_cheapest_ways_and_takes_back_what_stands_in_the_way() {
        // Two ways of two arcs each and a shortcut between them: the cheapest single way uses the shortcut, both together do not.
        let mut network = Network::new(4);
        let arcs: Vec<_> = [(0, 2, 3, 0), (0, 3, 2, 1), (2, 1, 2, 1), (3, 1, 3, 0), (2, 3, 3, 0)]
            .map(|(from, to, capacity, cost)| network.arc(from, to, capacity, cost))
            .to_vec();
        assert_eq!(network.fill(), 5);
        assert_eq!(arcs.iter().map(|arc| network.through(*arc)).collect::<Vec<_>>(), [3, 2, 2, 3, 1]);
        assert_eq!(network.reachable(), [true, false, false, false]);
    }

    #[test]
    fn without_a_way_nothing_flows() {
        let mut network = Network::new(3);
        network.arc(0, 2, 7, 0);
        assert_eq!(network.fill(), 0);
        assert_eq!(network.reachable(), [true, false, true]);
    }
}

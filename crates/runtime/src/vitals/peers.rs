//! Which other nodes do not answer as they should: asks and answers counted over a sliding window.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aether_domain::records::Health;
use aether_domain::{Monotonic, NodeId, NodeRef};

/// What is looked at together.
const WINDOW: Duration = Duration::from_secs(10);
/// An ask this young need not be answered yet.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// The most readings kept a life; they come about once a second.
const READINGS_MAX: usize = 64;
/// Fewer asks than this say nothing.
const ASKS_MIN: u64 = 10;
/// A node of whose asks at least one in this many is not answered in time does not answer as it should.
const UNANSWERED_ONE_IN: u64 = 10;

/// What was asked of one life, and what it answered, since this node knows it.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) to: NodeRef,
    pub(crate) asks: u64,
    pub(crate) answers: u64,
}

/// Readings of the tallies, life by life.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    readings: BTreeMap<NodeRef, VecDeque<(Monotonic, u64, u64)>>,
}

impl Peers {
    /// Takes a reading, and names whoever does not answer as it should.
    pub(crate) fn accuse(&mut self, now: Monotonic, tallies: Vec<Tally>) -> Vec<NodeId> {
        self.readings.retain(|life, _| tallies.iter().any(|tally| tally.to == *life));
        let mut accused = Vec::new();
        for Tally { to, asks, answers } in tallies {
            // Whatever was asked before the first reading was asked since.
            let readings = self.readings.entry(to.clone()).or_insert_with(|| [(now, 0, 0)].into());
            // A link that was closed and made anew to the same life counts from nothing again.
            if readings.back().is_some_and(|(_, before, answered)| asks < *before || answers < *answered) {
                *readings = [(now, 0, 0)].into();
            }
            readings.push_back((now, asks, answers));
            while readings.len() > READINGS_MAX
                || readings.get(1).is_some_and(|(at, ..)| now.since(*at) >= WINDOW + ANSWERED_WITHIN)
            {
                readings.pop_front();
            }
            // The asks until a moment ago, and the answers until now: in doubt, for the accused.
            let asked_until = readings.iter().rev().find(|(at, ..)| now.since(*at) >= ANSWERED_WITHIN);
            let (Some((_, asked, _)), Some((_, asks, before))) = (asked_until, readings.front()) else { continue };
            let (asked, answered) = (asked - asks, answers - before);
            let missing = asked.saturating_sub(answered);
            if asked >= ASKS_MIN && missing * UNANSWERED_ONE_IN >= asked && accused.len() < Health::ACCUSED_MAX {
                accused.push(to.node);
            }
        }
        accused
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::testing::life;

    use super::*;

    /// `secs` seconds with that many asks a second, of which that many percent are answered half a second later; who is
    /// accused at each of them.
    fn accused(secs: u64, asks: u64, percent: u64) -> Vec<bool> {
        let mut peers = Peers::default();
        let reading = |second: u64| {
            let now = Monotonic::from_start(Duration::from_secs(1_000 + second));
            let (asked, due) = (second * asks, (second * asks).saturating_sub(asks / 2));
            (now, vec![Tally { to: life("b", 1), asks: asked, answers: due * percent / 100 }])
        };
        (0..secs).map(reading).map(|(now, tallies)| !peers.accuse(now, tallies).is_empty()).collect()
    }

    #[test]
    fn whoever_answers_in_time_is_never_accused() {
        for asks in [1, 2, 10, 1_000] {
            assert!(!accused(60, asks, 100).contains(&true), "{asks} asks a second");
            assert!(!accused(60, asks, 95).contains(&true), "{asks} asks a second");
        }
    }

    #[test]
    fn whoever_leaves_a_fifth_unanswered_is_accused_within_the_window_and_as_long_as_it_lasts() {
        let accused = accused(60, 100, 80);
        assert!(!accused[0] && accused[5..].iter().all(|accused| *accused), "{accused:?}");
    }

    #[test]
    fn whoever_is_asked_over_a_new_link_is_judged_anew() {
        let mut peers = Peers::default();
        let mut accused = |second: u64, asks: u64, answers: u64| {
            let tally = Tally { to: life("b", 1), asks, answers };
            !peers.accuse(Monotonic::from_start(Duration::from_secs(second)), vec![tally]).is_empty()
        };
        assert!((0..5).all(|second| !accused(second, second * 100, second * 100)));
        // The new link has fewer asks, or as many and fewer answers, than the old one had.
        for (second, asks, answers) in [(5, 10, 10), (6, 110, 100), (7, 210, 210), (8, 210, 20)] {
            assert!(!accused(second, asks, answers), "at {second} s");
        }
        assert!((9..20).any(|second| accused(second, second * 100, 20)));
    }

    #[test]
    fn a_few_asks_say_nothing() {
        assert!(!accused(8, 1, 0).contains(&true));
    }

    #[test]
    fn a_node_that_has_become_better_is_accused_no_more_once_the_window_has_passed() {
        let mut peers = Peers::default();
        let mut answers = 0;
        let mut last = true;
        for second in 0..60_u64 {
            answers += if second < 20 { 0 } else { 100 };
            let tally = Tally { to: life("b", 1), asks: second * 100, answers };
            last = !peers.accuse(Monotonic::from_start(Duration::from_secs(second)), vec![tally]).is_empty();
            assert!(!(3..=20).contains(&second) || last, "accused at {second} s");
        }
        assert!(!last);
    }

    #[test]
    fn another_life_begins_anew() {
        let mut peers = Peers::default();
        let reading = |nth, second: u64, asks| {
            (Monotonic::from_start(Duration::from_secs(second)), vec![Tally { to: life("b", nth), asks, answers: 0 }])
        };
        for second in 0..20 {
            let (now, tallies) = reading(1, second, second * 100);
            peers.accuse(now, tallies);
        }
        let (now, tallies) = reading(2, 20, 0);
        assert!(peers.accuse(now, tallies).is_empty());
        assert_eq!(peers.readings.len(), 1);
    }
}

//! Breadth first through every reachable state.

use indexmap::IndexMap;

use crate::checks::fault;
use crate::rules::{Bounds, Rules};
use crate::state::State;
use crate::steps::{Step, steps};

/// What exploring a world came to.
#[derive(Clone, Debug)]
pub struct Explored {
    /// How many states were met.
    pub states: usize,
    /// The first thing that must not be, and the shortest way there.
    pub fault: Option<(&'static str, Vec<Step>)>,
    /// Whether every reachable state was met.
    pub exhausted: bool,
}

/// Visits every state that can be reached under these rules, until one is wrong or `states_max` have been met.
pub fn explore(rules: Rules, bounds: Bounds, states_max: usize) -> Explored {
    // In the order in which they were met, each with where it came from.
    let mut met: IndexMap<State, Option<(u32, Step)>> = IndexMap::new();
    met.insert(State::first(), None);
    let mut next = 0;
    let mut following = Vec::new();
    while let Some((state, _)) = met.get_index(next) {
        let state = *state;
        if let Some(what) = fault(&state, rules) {
            let path = path(&met, next);
            return Explored { states: met.len(), fault: Some((what, path)), exhausted: false };
        }
        if met.len() > states_max {
            return Explored { states: met.len(), fault: None, exhausted: false };
        }
        steps(&state, rules, bounds, &mut following);
        for (step, state) in following.drain(..) {
            met.entry(state).or_insert(Some((next as u32, step)));
        }
        next += 1;
    }
    Explored { states: met.len(), fault: None, exhausted: true }
}

fn path(met: &IndexMap<State, Option<(u32, Step)>>, mut place: usize) -> Vec<Step> {
    let mut path = Vec::new();
    while let Some((_, Some((before, step)))) = met.get_index(place) {
        path.push(*step);
        place = *before as usize;
    }
    path.reverse();
    path
}

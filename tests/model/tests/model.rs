//! The rules suffice in every reachable state of small worlds, and none of them is idle.

use aether_model::{Rule, Rules, broken, explore, sound};

/// More than any of these worlds has.
const STATES_MAX: usize = 4_000_000;

#[test]
fn nothing_that_must_not_be_can_be_reached_while_every_rule_holds() {
    for world in sound(false) {
        let found = explore(Rules::ALL, world.bounds, STATES_MAX);
        assert_eq!(found.fault, None, "{}", world.name);
        assert!(found.exhausted, "{} has more than {STATES_MAX} states", world.name);
        assert!(found.states > 1_000, "{} has {} states: nothing happens in it", world.name, found.states);
    }
}

#[test]
fn each_rule_taken_away_is_missed() {
    for rule in Rule::ALL {
        let world = broken(rule);
        let found = explore(Rules::without(rule), world.bounds, STATES_MAX);
        assert!(found.fault.is_some(), "without {rule:?}: {} states of {} and no fault", found.states, world.name);
    }
}

//! A slice of what `cargo xtask placement prove` does a million times: plans held against the definition, worked out slowly.

use aether_domain::ShardId;
use aether_placement::{InFlight, NodeIdx, PlacementStrategy, StickyBalanced};

use crate::natural::Natural;
use crate::slow::Slow;
use crate::world::World;
use crate::{churn, promises};

#[test]
fn every_promise_holds_in_five_thousand_cases() {
    let share = |first: u32| (first..5_000).step_by(2).try_for_each(|case| promises::check(20_261_127, case));
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(move || share(1));
        [share(0), other.join().expect("it does not panic")]
    });
    for outcome in both {
        outcome.unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn every_promise_holds_through_a_thousand_steps_of_churn() {
    let tally = churn::run(20_261_127, 1_000).unwrap_or_else(|what| panic!("{what}"));
    assert!(tally.changes > 200 && tally.moves > 2_000 && tally.cancelled > 500 && tally.settled > 50, "{tally:?}");
}

#[test]
fn what_judges_the_planner_knows_a_bad_plan() {
    let mut world = World::new(12, &[1, 2, 1]).zoned(&["a", "a", "b"]).pinned(7, "n2");
    world.in_flight = vec![InFlight { shard: ShardId(5), to: NodeIdx(0) }];
    let drawn = aether_placement::kit::Drawn {
        seed: world.seed,
        current: world.current.clone(),
        nodes: world.nodes.clone(),
        in_flight: world.in_flight.clone(),
        pins: world.pins.clone(),
        rules: Vec::new(),
        zones: world.zones,
    };
    let plan = StickyBalanced.plan(&world.input()).expect("somebody is receiving");
    let slow = Slow::of(&drawn);
    assert_eq!(slow.judge(&drawn, &plan), Ok(()));
    assert_eq!(slow.fewest_moves(), 11, "all but the one in flight");
    let to = |from: u16, to: u16| {
        let mut other = plan.clone();
        let step = other.moves.iter_mut().find(|step| step.to == NodeIdx(from) && step.shard != ShardId(7));
        step.expect("one goes there").to = NodeIdx(to);
        slow.judge(&drawn, &other).expect_err("it is not balanced any more")
    };
    assert!(to(1, 0).contains("on Receiver"));
    assert!(to(2, 1).contains("on Receiver"));
    let mut astray = plan.clone();
    astray.moves.iter_mut().find(|step| step.shard == ShardId(7)).expect("it is pinned").to = NodeIdx(1);
    assert!(slow.judge(&drawn, &astray).expect_err("it is pinned elsewhere").contains("is fixed"));
}

#[test]
fn natural_numbers_of_any_size_count_as_numbers_do() {
    let natural = |number: u128| {
        let high = Natural::of((number >> 64) as u64);
        high.times(&Natural::of(1 << 32)).times(&Natural::of(1 << 32)).plus(&Natural::of(number as u64))
    };
    let numbers = [0, 1, 2, 3, 7, u128::from(u32::MAX), 1 << 32, u128::from(u64::MAX), 1 << 64, (1 << 90) + 12_345];
    for a in numbers {
        for b in numbers {
            assert_eq!(natural(a).plus(&natural(b)), natural(a + b), "{a} + {b}");
            assert_eq!(natural(a).cmp(&natural(b)), a.cmp(&b), "{a}, {b}");
            if let Some(product) = a.checked_mul(b) {
                assert_eq!(natural(a).times(&natural(b)), natural(product), "{a} * {b}");
            }
            if b > 0 && a / b <= 1_000_000 {
                let expected = ((a / b) as u64, a % b == 0);
                assert_eq!(natural(a).divided_by(&natural(b), 1_000_000), expected, "{a} / {b}");
            }
        }
    }
}

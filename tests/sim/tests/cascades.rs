//! One failure on top of another, and ten minutes of coming and going: the cluster is at rest within the bound of I13.
//!
//! Every run checks the invariants after every event and fails if rest is not reached in 15 s, so most of these only
//! have to run to their end and to have met what they are about.

use std::time::Duration;

use aether_domain::timing::Profile;
use aether_infra_memory::fabric::Faults;
use aether_sim::{Act, NodeClock, Run, Scenario, Target, World};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The bound of I13, after the last fault.
const RESTS_WITHIN: Duration = secs(15);

fn run(scenario: Scenario) -> Run {
    World::new(scenario, None)
        .run()
        .unwrap_or_else(|failure| panic!("{}\nafter {:?}: {}", failure.tail.join("\n"), failure.at, failure.what))
}

fn count(run: &Run, what: &str) -> u64 {
    run.counts.get(what).copied().unwrap_or_default()
}

/// Clocks spread over the 5 % that they may differ by.
fn calm(seed: u64, nodes: usize, profile: Profile) -> Scenario {
    let calm = Scenario::calm(seed, nodes);
    let clocks = (0..nodes).map(|node| {
        let rate_ppm = 950_000 + (100_000 * node / (nodes - 1)) as u32;
        NodeClock { rate_ppm, ..calm.clocks[node] }
    });
    Scenario { clocks: clocks.collect(), profile, ..calm }
}

fn dies(of: Target) -> Act {
    Act::Crash { of, restart_after: None }
}

/// A node dies, then others at these times after it; nobody comes back.
fn cascade(nodes: usize, profile: Profile, first: Target, then: &[(Duration, Target)]) -> Run {
    let began = secs(30);
    let mut acts = vec![(began, dies(first))];
    acts.extend(then.iter().map(|(after, of)| (began + *after, dies(*of))));
    acts.sort_by_key(|(at, _)| *at);
    let heals_at = acts.last().map_or(began, |(at, _)| *at);
    run(Scenario { acts, heals_at, ..calm(7, nodes, profile) })
}

/// The moments of a node's replacement, after its death: before anybody suspects it; while its fence is on its way or
/// its serve lease runs out; just after its shards were given to others.
fn phases(profile: Profile) -> [(&'static str, Vec<Duration>); 3] {
    let member = profile.member();
    let (lease, over, suspicion) = (member.serve_lease(), member.serve_lease_over(), member.suspect_after());
    let at = |from: Duration, to: Duration| (0..3).map(|nth| from + to.saturating_sub(from) * nth / 2).collect();
    [
        ("before the fence", at(ms(50), lease.saturating_sub(ms(100)))),
        ("between fence and failure", at(lease, over)),
        ("after the assignment", at(over, suspicion + ms(500))),
    ]
}

#[test]
fn a_second_and_a_third_node_that_die_while_the_first_is_replaced_are_replaced_too() {
    for profile in [Profile::Default, Profile::Fast] {
        for (phase, moments) in phases(profile) {
            for (nodes, first, second) in [(5, Target::Leader, 1), (7, Target::Node(2), 3), (9, Target::Leader, 4)] {
                for after in &moments {
                    // The leader is among those that die, first or next.
                    let next = if first == Target::Leader { Target::Node(second) } else { Target::Leader };
                    let third = (*after + ms(120), Target::Leader);
                    let run = cascade(nodes, profile, first, &[(*after, next), third]);
                    let told = format!("{nodes} nodes, {phase}, {after:?}: {:?}", run.counts);
                    assert_eq!(count(&run, "crash"), 3, "{told}");
                    assert_eq!(count(&run, "life over"), 0, "nobody else loses its life; {told}");
                    assert!(count(&run, "elected") >= 2, "{told}");
                    assert!(run.rested_after <= RESTS_WITHIN, "{told}");
                }
            }
        }
    }
}

#[test]
fn one_leader_after_another_dies_as_soon_as_it_leads_and_the_last_ones_carry_on() {
    for profile in [Profile::Default, Profile::Fast] {
        // There is a successor by then.
        let every = if profile == Profile::Fast { ms(2_000) } else { ms(4_000) };
        let then: Vec<_> = (1..5).map(|nth| (every * nth, Target::Leader)).collect();
        let run = cascade(7, profile, Target::Leader, &then);
        assert_eq!(count(&run, "crash"), 5);
        assert!(count(&run, "elected") >= 5, "{:?}", run.counts);
    }
}

#[test]
fn nodes_that_are_asked_to_leave_while_others_die_leave_in_time() {
    for profile in [Profile::Default, Profile::Fast] {
        for after in [0, 500, 2_000, 3_200, 4_000].map(ms) {
            let acts = vec![
                (secs(30), dies(Target::Leader)),
                (secs(30), dies(Target::Node(1))),
                (secs(30) + after, Act::Drain { of: Target::Node(2), restart_after: None }),
                (secs(30) + after, dies(Target::Node(3))),
            ];
            let run = run(Scenario { acts, heals_at: secs(30) + after, ..calm(3, 7, profile) });
            assert_eq!(count(&run, "left unasked"), 0, "{after:?}: {:?}", run.counts);
            assert!(count(&run, "left") >= u64::from(count(&run, "drain") > 0), "{after:?}: {:?}", run.counts);
        }
    }
}

/// Ten minutes in which somebody joins, leaves, freezes or dies every few seconds.
fn churn(seed: u64, nodes: usize, profile: Profile) -> Run {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let (mut acts, mut at) = (Vec::new(), secs(5));
    while at < secs(600) {
        let back = Some(ms(dice.random_range(200..=8_000)));
        let lasts = ms(dice.random_range(100..=20_000));
        let of = if dice.random_ratio(1, 3) { Target::Leader } else { Target::Anybody };
        acts.push((
            at,
            match dice.random_range(0..6) {
                0 | 1 => Act::Join,
                2 | 3 => Act::Drain { of, restart_after: back },
                4 => Act::Freeze { of, lasts, half_way: dice.random_ratio(1, 2) },
                _ => Act::Crash { of, restart_after: back },
            },
        ));
        at += ms(dice.random_range(200..=8_000));
    }
    let faults = Faults { notices_after: ms(200), ..Faults::none() };
    let calm = calm(seed, nodes, profile);
    run(Scenario { acts, faults, heals_at: secs(600), revives: true, ..calm })
}

#[test]
fn ten_minutes_of_joins_leaves_and_freezes_end_in_rest() {
    for (seed, nodes, profile) in [(1, 5, Profile::Default), (2, 9, Profile::Default), (3, 7, Profile::Fast)] {
        let run = churn(seed, nodes, profile);
        for (what, at_least) in [("join", 20), ("drain", 20), ("left", 10), ("elected", 5), ("life over", 1)] {
            assert!(count(&run, what) >= at_least, "too few of {what:?}: {:?}", run.counts);
        }
        assert!(run.rested_after <= RESTS_WITHIN, "{:?}", run.rested_after);
    }
}

//! The slice of the simulation that every change runs: a few scripted faults, ten seeds, and the promise of replay.

use std::time::Duration;

use aether_domain::timing::Profile;
use aether_infra_memory::fabric::Faults;
use aether_runtime::control::OnRegression;
use aether_sim::{Act, Hunt, MARKS, Run, Scenario, Spoiled, Sum, Target, Wanted, World, reproduction, run_seed};

const SEEDS: u64 = 10;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs a scripted scenario to its end.
fn run(scenario: Scenario) -> Run {
    World::new(scenario, None)
        .run()
        .unwrap_or_else(|failure| panic!("{}\nafter {:?}: {}", failure.tail.join("\n"), failure.at, failure.what))
}

/// Three nodes, each of these done to them, and everything healed when the last of it ends.
fn three(acts: &[(Duration, Act)], heals_at: Duration) -> Run {
    run(Scenario { acts: acts.to_vec(), heals_at, ..Scenario::calm(1, 3) })
}

fn count(run: &Run, what: &str) -> u64 {
    run.counts.get(what).copied().unwrap_or_default()
}

#[test]
fn three_nodes_without_a_fault_elect_once_and_fence_nobody() {
    let run = three(&[], secs(60));
    assert_eq!((count(&run, "elected"), count(&run, "suspected"), count(&run, "life over")), (1, 0, 0));
    assert!(run.rested_after < secs(1), "{:?}", run.rested_after);
}

#[test]
fn a_dead_leader_is_succeeded_and_its_shards_are_served_within_ten_seconds() {
    let dies = Act::Crash { of: Target::Leader, restart_after: None };
    let run = three(&[(secs(30), dies)], secs(30));
    assert_eq!((count(&run, "elected"), count(&run, "fenced")), (2, 1));
    assert!(run.rested_after < secs(5), "{:?}", run.rested_after);
}

#[test]
fn a_dead_node_is_replaced_before_it_would_be_suspected_for_its_silence_alone() {
    for nth in 0..10 {
        let at = secs(30) + Duration::from_millis(100 * nth);
        let run = three(&[(at, Act::Crash { of: Target::Anybody, restart_after: None })], at);
        assert_eq!(count(&run, "fenced"), 1, "{:?}", run.counts);
        assert!(run.rested_after < secs(5), "{:?}", run.rested_after);
    }
}

#[test]
fn a_process_that_its_supervisor_sees_die_is_replaced_within_a_second_and_never_fenced() {
    for nth in 0..10 {
        for of in [Target::Leader, Target::Anybody] {
            let at = secs(30) + Duration::from_millis(100 * nth);
            let acts = vec![(at, Act::Crash { of, restart_after: None })];
            let run = run(Scenario { acts, heals_at: at, supervised: true, ..Scenario::calm(nth, 3) });
            let certified = (count(&run, "certificate shortened a failure"), count(&run, "fenced"));
            assert_eq!(certified, (1, 0), "{:?}", run.counts);
            assert!(run.rested_after < secs(1), "{:?}", run.rested_after);
        }
    }
}

#[test]
fn a_node_that_is_only_connecting_again_loses_neither_the_lead_nor_its_life() {
    for (nth, lasts) in (0..10).flat_map(|nth| [(nth, 500), (nth, 1_000), (nth, 1_500)]) {
        let at = secs(30) + Duration::from_millis(100 * nth);
        let lasts = Duration::from_millis(lasts);
        for of in [Target::Leader, Target::Node(0), Target::Node(1)] {
            let faults = Faults { notices_after: Duration::from_millis(100), ..Faults::none() };
            let acts = vec![(at, Act::Cut { of, lasts })];
            let run = run(Scenario { acts, faults, heals_at: at + lasts, ..Scenario::calm(1, 3) });
            assert_eq!((count(&run, "suspected"), count(&run, "life over")), (0, 0), "{:?}", run.counts);
            assert!(lasts > secs(1) || count(&run, "elected") == 1, "{lasts:?} from {at:?}: {:?}", run.counts);
        }
    }
}

#[test]
fn a_node_cut_off_loses_its_life_and_comes_back_under_another() {
    for of in [Target::Leader, Target::Anybody] {
        let cut = Act::Cut { of, lasts: secs(20) };
        let run = three(&[(secs(30), cut)], secs(50));
        assert_eq!((count(&run, "fenced"), count(&run, "life over")), (1, 1), "{of:?}: {:?}", run.counts);
        assert!(run.rested_after < secs(10), "{of:?}: {:?}", run.rested_after);
    }
}

#[test]
fn a_frozen_leader_wakes_up_fenced_whatever_it_was_about_to_send() {
    for half_way in [false, true] {
        let frozen = Act::Freeze { of: Target::Leader, lasts: secs(30), half_way };
        let run = three(&[(secs(30), frozen)], secs(60));
        assert_eq!((count(&run, "elected"), count(&run, "life over")), (2, 1), "{:?}", run.counts);
    }
}

#[test]
fn nodes_that_are_all_frozen_at_once_accuse_nobody_when_they_wake_up() {
    for (begins, lasts) in (0..6).flat_map(|nth| [4, 7, 8, 9, 30].map(|lasts| (nth, secs(lasts)))) {
        let begins = secs(28) + Duration::from_millis(500 * begins);
        let run = three(&[(begins, Act::FreezeAll { lasts })], begins + lasts);
        let accused = (count(&run, "suspected"), count(&run, "life over"));
        assert_eq!(accused, (0, 0), "from {begins:?} for {lasts:?}: {:?}", run.counts);
    }
}

#[test]
fn a_node_started_elsewhere_waits_until_the_one_cut_off_has_surely_stopped_serving() {
    let replace = Act::Replace { of: Target::Node(1), lasts: secs(20), after: Duration::from_millis(350) };
    let scenario = Scenario { acts: vec![(secs(30), replace)], heals_at: secs(50), ..Scenario::calm(1, 3) };
    let faults = Faults { notices_after: Duration::from_millis(300), ..Faults::none() };
    let run = run(Scenario { faults, ..scenario });
    assert_eq!((count(&run, "fenced"), count(&run, "driven out by its own id")), (0, 1), "{:?}", run.counts);
}

#[test]
fn an_outage_of_the_server_costs_no_node_its_life() {
    for lasts in [secs(2), secs(5), secs(20)] {
        let run = three(&[(secs(30), Act::Outage { lasts })], secs(30) + lasts);
        assert_eq!((count(&run, "fenced"), count(&run, "life over")), (0, 0), "{lasts:?}: {:?}", run.counts);
    }
}

#[test]
fn nodes_join_and_leave_without_a_false_failure() {
    let mut scenario = Scenario { heals_at: secs(60), ..Scenario::calm(1, 4) };
    scenario.starts.truncate(3);
    let leaves = |of| Act::Drain { of, restart_after: Some(secs(2)) };
    scenario.acts =
        vec![(secs(15), Act::Join), (secs(25), leaves(Target::Leader)), (secs(40), leaves(Target::Anybody))];
    let run = run(scenario);
    assert_eq!((count(&run, "left"), count(&run, "fenced"), count(&run, "left unasked")), (2, 0, 0));
}

#[test]
fn the_last_node_serves_nothing_any_more_when_it_gives_its_shards_up() {
    // It is stopped just after it has sent its last entry; the next node finds the house empty and takes everything.
    for after_millis in 0..20 {
        let leaves = secs(30) + Duration::from_micros(500 * after_millis);
        let frozen = Act::Freeze { of: Target::Node(0), lasts: Duration::from_millis(2_500), half_way: false };
        let scenario = Scenario {
            acts: vec![
                (secs(30), Act::Drain { of: Target::Node(0), restart_after: None }),
                (leaves, frozen),
                (leaves + Duration::from_millis(1), Act::Start(1)),
            ],
            starts: vec![Duration::ZERO],
            ..Scenario::calm(after_millis, 2)
        };
        run(scenario);
    }
}

#[test]
fn entries_that_were_acknowledged_and_lost_are_missed_by_whoever_appends_next() {
    for count in [1, 3] {
        let dies = Act::Crash { of: Target::Leader, restart_after: None };
        let acts = vec![(secs(30), Act::LoseEntries { count }), (secs(31), dies)];
        let scenario = Scenario { acts, heals_at: secs(120), ..Scenario::calm(1, 3) };
        let failure = World::new(scenario, None).run().expect_err("a node cannot go on");
        assert!(failure.what.contains("the topology log has lost what it had acknowledged"), "{}", failure.what);
        assert!((secs(55)..secs(70)).contains(&failure.at), "{:?}", failure.at);
    }
}

#[test]
fn a_wall_clock_set_an_hour_forward_or_back_changes_nothing_but_stamps() {
    let dies = (secs(40), Act::Crash { of: Target::Leader, restart_after: Some(secs(5)) });
    let jumps =
        |forward| (0..3).map(move |node| (secs(31 + node), Act::JumpWall { of: Target::Node(node as usize), forward }));
    let end = (secs(60), Act::Reset { of: Target::Node(0) });
    let story = |acts: Vec<_>| three(&acts, secs(60)).entries;
    let calm = story(vec![dies, end]);
    assert!(calm.len() > 4, "{calm:?}");
    for forward in [true, false] {
        assert_eq!(story(jumps(forward).chain([dies, end]).collect()), calm, "forward: {forward}");
    }
}

#[test]
fn nodes_that_accept_a_log_that_has_lost_entries_come_to_rest_with_what_is_left() {
    for lost in [1, 3] {
        let dies = Act::Crash { of: Target::Leader, restart_after: None };
        let acts = vec![(secs(30), Act::LoseEntries { count: lost }), (secs(31), dies)];
        let on_regression = OnRegression::AcceptLog;
        let run = run(Scenario { acts, heals_at: secs(120), on_regression, ..Scenario::calm(1, 3) });
        assert_eq!(count(&run, "regression accepted"), 2, "{:?}", run.counts);
        assert!(run.rested_after < secs(1), "{:?}", run.rested_after);
    }
}

#[test]
fn a_node_with_other_timers_is_refused_and_nobody_else_notices() {
    let run = three(&[(secs(30), Act::Stranger)], secs(45));
    let met =
        ["refused for its settings", "elected", "suspected", "life over", "entries"].map(|what| count(&run, what));
    assert_eq!(met[..4], [1, 1, 0, 0], "{:?}", run.counts);
    assert_eq!(met[4], three(&[], secs(45)).counts["entries"], "it is in no entry");
}

#[test]
fn a_control_record_that_nobody_can_read_is_noted_and_the_cluster_comes_to_rest() {
    for what in [Spoiled::Lease, Spoiled::Member, Spoiled::Release] {
        for of in [Target::Leader, Target::Node(1)] {
            let leaves = Act::Drain { of: Target::Node(2), restart_after: Some(secs(1)) };
            let acts = [(secs(20), leaves), (secs(30), Act::Spoil { of, what }), (secs(31), Act::Reset { of })];
            let run = three(&acts, secs(40));
            assert_eq!(count(&run, "suspected"), 0, "{what:?} {of:?}: {:?}", run.counts);
            // Whoever cannot read what may have replaced a fence begins a new life.
            assert_eq!(
                count(&run, "life over"),
                u64::from(what == Spoiled::Member),
                "{what:?} {of:?}: {:?}",
                run.counts
            );
            let met = count(&run, "record spoiled") > 0;
            assert!(!met || count(&run, "corrupt record seen") >= 3, "{what:?} {of:?}: {:?}", run.counts);
            assert!(met || what == Spoiled::Release, "{:?}", run.counts);
        }
    }
}

#[test]
fn a_slow_node_is_not_a_dead_one() {
    let slow = Act::Slow { of: Target::Node(1), lag: Duration::from_millis(700), lasts: secs(30) };
    let run = three(&[(secs(20), slow)], secs(50));
    assert_eq!((count(&run, "suspected"), count(&run, "life over")), (0, 0), "{:?}", run.counts);
}

#[test]
fn a_follower_that_has_missed_an_entry_notices_with_the_next_one() {
    let met = (0..3).map(|node| {
        let skip = Act::Skip { of: Target::Node(node), after: secs(60) };
        let acts = vec![(secs(20), skip), (secs(25), Act::Join)];
        let starts = vec![Duration::ZERO; 3];
        let run = run(Scenario { acts, starts, heals_at: secs(50), ..Scenario::calm(1, 4) });
        (count(&run, "entry missed"), count(&run, "missing entry noticed"))
    });
    // One of the three leads: it has its own entries from the log's answers.
    let noticed: Vec<_> = met.filter(|met| *met == (1, 1)).collect();
    assert_eq!(noticed.len(), 2, "{noticed:?}");
}

#[test]
fn half_of_the_nodes_die_and_another_is_asked_to_leave_at_the_same_instant() {
    for seed in 0..4 {
        let acts = vec![(secs(30), Act::Collapse { restart_after: None })];
        let run = run(Scenario { acts, heals_at: secs(30), ..Scenario::calm(seed, 7) });
        assert_eq!((count(&run, "fenced"), count(&run, "left")), (3, 1), "{:?}", run.counts);
    }
}

#[test]
fn no_rule_can_be_taken_away_in_an_ordinary_build() {
    let hunt = Hunt::run(None, 0..1, 1, &Wanted::default(), |_| ());
    assert!(hunt.is_err_and(|reason| reason.contains("cargo xtask mutants")));
}

#[test]
fn ten_seeds_break_no_invariant_come_to_rest_and_meet_most_of_what_can_happen() {
    let mut sum = Sum::default();
    for seed in 0..SEEDS {
        let run = run_seed(seed, &Wanted::default(), None);
        sum.add(&run);
        if let Err(failure) = run {
            let again = reproduction(seed, &Wanted::default());
            panic!("{}\nafter {:?}: {}\nagain: {again}", failure.tail.join("\n"), failure.at, failure.what);
        }
    }
    let missed = sum.marks_missed();
    assert!(missed.len() <= MARKS.len() / 4, "too little has happened: {missed:?}");
}

#[test]
fn what_once_failed_holds_for_ever() {
    let failed = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for line in failed {
        let (seed, why) = line.split_once(" | ").unwrap_or_else(|| panic!("{line}: it says no reason"));
        let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("{line}: no seed"));
        let wanted = Wanted { faults_last: Some(secs(600)), ..Wanted::default() };
        if let Err(failure) = run_seed(seed, &wanted, None) {
            let again = reproduction(seed, &wanted);
            panic!("{why}\n{}\nafter {:?}: {}\nagain: {again}", failure.tail.join("\n"), failure.at, failure.what);
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    // Another process, with other addresses and another order of threads, must come to the same.
    let run = |seeds: &[&str], jobs: &str| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_aether-sim"));
        let output = program.args(["--minutes", "1", "--json", "--jobs", jobs]).args(seeds).output();
        let output = output.expect("the simulation starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stdout).lines().last().expect("a last line").to_owned()
    };
    let twenty = ["--seeds", "20", "--start", "100"];
    assert_eq!(run(&twenty, "1"), run(&twenty, "2"));
    let hash = |seed: &str| run(&["--seed", seed], "1");
    assert_ne!(hash("7"), hash("8"));
}

#[test]
fn more_nodes_and_slower_timers_come_to_rest_too() {
    for wanted in
        [Wanted { nodes: 9..=9, ..Wanted::default() }, Wanted { profile: Some(Profile::Seed), ..Wanted::default() }]
    {
        for seed in 0..3 {
            let wanted = Wanted { faults_last: Some(secs(300)), ..wanted.clone() };
            if let Err(failure) = run_seed(seed, &wanted, None) {
                panic!("after {:?}: {}\nagain: {}", failure.at, failure.what, reproduction(seed, &wanted));
            }
        }
    }
}

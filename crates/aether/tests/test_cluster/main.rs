//! The test kit for whole clusters, and what it finds out about this one.

#[path = "../aether/beats.rs"]
mod beats;
mod flood;
mod moves;
mod phases;
mod plan;
mod purse;
mod seeds;
mod storm;
mod tally;

use std::time::Duration;

use aether::prelude::*;
use aether::test_cluster::TestCluster;
use aether_infra_memory::{Loss, Target};

use moves::{Moved, Weather, storm_of_moves};
use plan::{Failure, Plan};
use purse::Names;
use seeds::{Seeds, failed};
use storm::{Storm, storm};
use tally::{Add, AddToOdd, Even, Read, Tally};

#[test]
fn a_cluster_begins_answers_and_is_at_rest() {
    TestCluster::seeded(7).nodes(3).actor::<Tally>().run(async |cluster| {
        assert_eq!(cluster.ask::<Tally, _, _>(1, Add { by: 4 }).await, Ok(4));
        assert_eq!(cluster.ask::<Tally, _, _>(1, Read).await, Ok(4));
        let refused = cluster.ask::<Tally, _, _>(1, AddToOdd { by: 4 }).await;
        assert_eq!(refused, Err(AskError::Rejected(Even { total: 4 })));
        assert_eq!(cluster.running(), ["n1", "n2", "n3"]);
        assert!(cluster.leader().is_some_and(|leader| cluster.running().contains(&leader)));
        let agreed = cluster.assert_invariants().await;
        assert_eq!((agreed.done, agreed.seen), (1, 2));
    });
}

#[tokio::test(start_paused = true)]
async fn it_can_be_begun_in_the_paused_time_of_a_test() {
    let cluster = TestCluster::seeded(1).nodes(1).actor::<Tally>().start().await;
    assert_eq!(cluster.ask::<Tally, _, _>(1, Add { by: 1 }).await, Ok(1));
}

#[tokio::test]
#[should_panic(expected = "start_paused = true")]
async fn in_time_that_passes_it_says_what_to_write() {
    drop(TestCluster::seeded(1).nodes(1).start().await);
}

/// Adds until it is acknowledged, under one name, as an application does.
async fn add(cluster: &TestCluster, id: u64, by: u64) -> u64 {
    let name = cluster.next_name();
    loop {
        match cluster.ask_with_id::<Tally, _, _>(name, id, Add { by }).await {
            Ok(total) => return total,
            Err(error) => assert!(cluster.elapsed() < Duration::from_secs(600), "{error}"),
        }
        cluster.advance(Duration::from_millis(500)).await;
    }
}

/// Whoever owns the tally is treated so, and the others answer for it, or it does when it is back.
fn owner_is(treated: impl AsyncFn(&TestCluster, &str)) {
    for seed in 1..=3 {
        TestCluster::seeded(seed).nodes(3).actor::<Tally>().run(async |cluster| {
            let mut total = 0;
            for _ in 0..2 {
                let owner = cluster.owner_of::<Tally>(9).expect("every shard has an owner");
                total += 3;
                assert_eq!(add(&cluster, 9, 3).await, total);
                treated(&cluster, &owner).await;
                total += 2;
                assert_eq!(add(&cluster, 9, 2).await, total, "seed {seed}");
                cluster.assert_invariants().await;
            }
        });
    }
}

#[test]
fn a_node_that_is_killed_is_replaced_and_comes_back() {
    owner_is(async |cluster, owner| {
        cluster.kill(owner).await;
        cluster.advance(Duration::from_secs(15)).await;
        assert_ne!(cluster.owner_of::<Tally>(9).as_deref(), Some(owner));
        cluster.restart(owner).await;
    });
}

#[test]
fn a_node_that_is_paused_for_long_is_replaced_and_finds_out_when_it_goes_on() {
    owner_is(async |cluster, owner| {
        cluster.pause(owner);
        cluster.advance(Duration::from_secs(20)).await;
        assert_ne!(cluster.owner_of::<Tally>(9).as_deref(), Some(owner));
        cluster.resume(owner);
    });
}

#[test]
fn a_node_that_is_paused_for_a_moment_keeps_what_it_has() {
    owner_is(async |cluster, owner| {
        cluster.pause(owner);
        cluster.advance(Duration::from_secs(1)).await;
        cluster.resume(owner);
        assert_eq!(cluster.owner_of::<Tally>(9).as_deref(), Some(owner));
    });
}

#[test]
fn a_node_that_is_cut_off_is_replaced() {
    owner_is(async |cluster, owner| {
        cluster.cut(owner);
        cluster.advance(Duration::from_secs(20)).await;
        assert_ne!(cluster.owner_of::<Tally>(9).as_deref(), Some(owner));
    });
}

#[test]
fn a_node_that_is_drained_hands_everything_over() {
    owner_is(async |cluster, owner| {
        cluster.drain(owner).await;
        assert_ne!(cluster.owner_of::<Tally>(9).as_deref(), Some(owner));
        cluster.add(owner).await;
    });
}

#[test]
fn a_node_ends_within_22_s_though_none_of_its_feeds_can_be_given_back_and_nobody_may_let_it_go() {
    for (outage, longest) in [(false, 3), (true, 22)] {
        TestCluster::seeded(9).nodes(3).actor::<Tally>().run(async |cluster| {
            let node = cluster.node("n1");
            let never = |_| std::future::pending();
            node.subscribe::<Tally>("stuck", FeedOptions::default(), never).expect("it runs");
            let unkept = node.subscribe::<Tally>("unkept", FeedOptions::default(), async |_| Ok(())).expect("it runs");
            assert_eq!(add(&cluster, 9, 1).await, 1);
            while unkept.stats().handled == 0 {
                cluster.advance(Duration::from_millis(10)).await;
            }
            // No write of a checkpoint is acknowledged any more, so nobody knows whose feed it is.
            for _ in 0..1_000 {
                cluster.hub().lose_next_ack(node.id(), Target::Checkpoints, Loss::NotStored);
            }
            cluster.outage(outage);
            let began = cluster.elapsed();
            cluster.drain("n1").await;
            let took = cluster.elapsed().saturating_sub(began);
            // It has tried for 2 s.
            let expected = Duration::from_secs(2)..=Duration::from_secs(longest);
            assert!(expected.contains(&took), "outage {outage}: {took:?}");
            cluster.end_faults().await;
            assert_eq!(add(&cluster, 9, 1).await, 2);
            cluster.assert_invariants().await;
        });
    }
}

#[test]
fn whoever_asks_through_a_paused_node_hears_when_it_goes_on() {
    TestCluster::seeded(5).nodes(2).actor::<Tally>().run(async |cluster| {
        cluster.pause("n1");
        let name = cluster.next_name();
        let asked = cluster.ask_through::<Tally, _, _>("n1", name, 3, Add { by: 1 });
        let resumed = async {
            cluster.advance(Duration::from_secs(2)).await;
            cluster.resume("n1");
            cluster.elapsed()
        };
        let (answer, at) = futures_util::future::join(async { (asked.await, cluster.elapsed()) }, resumed).await;
        assert!(answer.0 == Ok(1) && answer.1 >= at, "{answer:?}, it went on at {at:?}");
    });
}

#[test]
fn one_seed_is_one_run_and_two_are_two() {
    let run = |seed| {
        TestCluster::seeded(seed).nodes(3).actor::<Tally>().run(async |cluster| {
            for nth in 0..20 {
                drop(cluster.ask::<Tally, _, _>(nth % 5, Add { by: 1 }).await);
            }
            let owner = cluster.owner_of::<Tally>(3).expect("every shard has an owner");
            cluster.kill(&owner).await;
            let survivor = cluster.running()[0].clone();
            cluster.pause(&survivor);
            cluster.advance(Duration::from_secs(4)).await;
            cluster.resume(&survivor);
            for nth in 0..20 {
                drop(cluster.ask::<Tally, _, _>(nth % 5, Add { by: 1 }).await);
            }
            cluster.assert_invariants().await;
            cluster.trace()
        })
    };
    let (first, other) = (run(11), run(12));
    for _ in 0..2 {
        let again = run(11);
        let differs = first.iter().zip(&again).position(|(one, two)| one != two);
        assert_eq!(differs.map(|place| (&first[place], &again[place])), None);
        assert_eq!(first.len(), again.len());
    }
    assert_ne!(first, other);
}

#[test]
fn a_storm_with_feeds_reminders_and_clients_of_the_gateway_is_one_run() {
    for seed in 1..4 {
        let plan = Plan::draw(seed, 600, 3..=5);
        let run = || format!("{:?}", careful(&plan));
        let first = run();
        for _ in 0..2 {
            assert_eq!(run(), first, "seed {seed}");
        }
    }
}

fn commands(play: &dyn Fn(&Plan) -> Result<Storm, Failure>) -> Seeds<'_, Storm> {
    Seeds { storms: "commands", nodes: 3..=5, play }
}

fn moves(play: &dyn Fn(&Plan) -> Result<Moved, Failure>) -> Seeds<'_, Moved> {
    Seeds { storms: "moves", nodes: 5..=5, play }
}

fn careful(plan: &Plan) -> Result<Storm, Failure> {
    storm(plan, Names::OfTheGift)
}

fn foul(plan: &Plan) -> Result<Moved, Failure> {
    storm_of_moves(plan, Weather::Foul)
}

#[test]
fn in_a_storm_what_is_acknowledged_is_what_is_stored() {
    let Some(all) = commands(&careful).run(8, 8_000) else { return };
    let Storm { agreed, strikes, outside, given, warm, passed: _ } = all;
    let reached = [agreed.done, agreed.seen, strikes, outside, given.gifts, given.promises, given.takeovers, warm];
    assert!(!reached.contains(&0), "too little happened: {all}");
}

#[test]
fn while_shards_move_and_everything_fails_nothing_is_lost_or_doubled_and_no_shard_has_two_owners() {
    let Some(all) = moves(&foul).run(2, 8_000) else { return };
    assert_eq!(all.unanswered, 0, "{all}");
    assert!(all.moves * 1_000 > all.asks && all.strikes > 0, "too little happened: {all}");
}

#[test]
fn while_shards_move_and_nodes_come_and_go_no_ask_fails_and_each_askers_order_holds() {
    let Some(all) = moves(&|plan| storm_of_moves(plan, Weather::Fair)).run(2, 8_000) else { return };
    assert_eq!((all.unanswered, all.agreed.unsure, all.agreed.no), (0, 0, 0), "{all}");
    assert!(all.moves * 1_000 > all.asks && all.strikes >= 2, "too little happened: {all}");
}

#[test]
fn what_once_failed_holds_for_ever() {
    let played = commands(&careful).play_what_failed() + moves(&foul).play_what_failed();
    assert_eq!(played, failed().count(), "each is of one kind of storm");
}

#[test]
fn a_plan_is_written_and_read_back() {
    for seed in 0..200 {
        let plan = Plan::draw(seed, 100, 3..=5);
        assert_eq!(plan.to_string().parse(), Ok(plan));
    }
}

/// Whoever passes gifts on asks under a new name each time: sooner or later a gift is taken twice.
#[test]
fn a_fault_in_an_application_is_found_and_made_as_small_as_a_few_things_broken() {
    let careless = |plan: &Plan| {
        let played = storm(plan, Names::Careless);
        let planted = played.as_ref().err().is_none_or(|failure| failure.what.contains("was taken twice"));
        assert!(planted, "{played:?}: that is not the application's fault");
        played
    };
    // One of many things broken, so that there is something to leave out.
    let found = (1..200).find_map(|seed| {
        let plan = Plan::draw(seed, 240, 3..=3);
        careless(&plan).err().filter(|failure| failure.struck >= 6).map(|failure| (plan, failure))
    });
    let (plan, failure) = found.expect("it is missed");
    let told = commands(&careless).told(plan, &failure);
    println!("{told}");
    let line = told.lines().find_map(|line| line.split_once("--plan ")).expect("it says how to play it again").1;
    let least: Plan = line.trim_matches('"').parse().expect("what is printed is a plan");
    assert!(least.strikes.len() < failure.struck, "nothing was left out: {least}");
    assert!(careless(&least).is_err(), "what is printed fails");
    assert!(careful(&least).is_ok(), "and it is the application's fault");
}

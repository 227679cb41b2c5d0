//! What a crowd costs its leader: how many entries a hundred nodes need that all join at once.

use std::time::Duration;

use aether_domain::ShardCount;
use aether_sim::{Scenario, World};

const CROWD: usize = 100;

#[test]
fn a_hundred_nodes_that_join_at_once_cost_one_plan_and_five_entries_at_most() {
    let (founded, joins) = (Duration::ZERO, Duration::from_secs(10));
    let calm = Scenario::calm(1, 1 + CROWD);
    let starts = std::iter::once(founded).chain(std::iter::repeat_n(joins, CROWD)).collect();
    let scenario = Scenario { starts, shards: ShardCount::new(1024).expect("a count"), heals_at: joins, ..calm };
    let run = World::new(scenario, None).run().unwrap_or_else(|failure| panic!("{:?}: {}", failure.at, failure.what));
    let times = |entry: &str, name: &str| entry.split_whitespace().filter(|word| *word == name).count();
    let joined = run.entries.iter().scan(0, |joined, entry| {
        *joined += times(entry, "NodeJoined");
        Some(*joined)
    });
    let all_joined =
        joined.collect::<Vec<_>>().iter().position(|joined| *joined == 1 + CROWD).expect("all have joined");
    let causes = run.entries.join("\n");
    // The first entry founded the cluster.
    assert!(all_joined <= 5, "{all_joined} entries until all had joined\n{causes}");
    assert_eq!(times(&causes, "RebalancingTriggered"), 1, "{causes}");
    println!("{all_joined} entries until all had joined, {} until balanced", run.entries.len() - 1);
}

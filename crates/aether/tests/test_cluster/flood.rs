//! One actor is asked ten times as much as it can do. In virtual time only waiting takes any, so what others wait for
//! beside the flood is to be seen to the millisecond, and the same in every run: no queue of the flood's is in their way.
//! What the flood takes of the processors is not to be seen here; `tests/aether/flood.rs` has that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aether::prelude::*;
use aether::test_cluster::TestCluster;
use aether_domain::testing::life;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::beats::Pulses;
use crate::tally::{Add, Read, Tally};

/// The actor that everybody wants.
const HOT: u64 = 7;
/// The others: on every node, and some of them in the flooded shard.
const QUIET: std::ops::Range<u64> = 100..140;
/// What one shard takes from one node: what is outstanding for it there.
const OUTSTANDING: usize = 1024;

/// Asks each of `ids` at its own pace through a node for so long; gives what each answer took, least first.
async fn ask_quietly(cluster: &TestCluster, through: &str, ids: &[u64], time: Duration) -> Vec<Duration> {
    let mut askers = JoinSet::new();
    for (nth, id) in ids.iter().copied().enumerate() {
        let (cluster, tally) = (cluster.clone(), cluster.node(through).actor::<Tally>(id));
        askers.spawn(async move {
            sleep(Duration::from_millis(nth as u64)).await;
            let (until, mut took) = (cluster.elapsed() + time, Vec::new());
            while cluster.elapsed() < until {
                let asked = cluster.elapsed();
                tally.ask(Add { by: 1 }).await.expect("whoever asks little is answered, and not with Busy");
                took.push(cluster.elapsed().saturating_sub(asked));
                sleep(Duration::from_millis(20)).await;
            }
            took
        });
    }
    let mut took = askers.join_all().await.concat();
    took.sort_unstable();
    took
}

fn p99(took: &[Duration]) -> Duration {
    took[took.len() * 99 / 100]
}

/// What became of the flood.
#[derive(Default)]
struct Flooded {
    acknowledged: AtomicU64,
    busy: AtomicU64,
    in_doubt: AtomicU64,
}

/// Twice as many at once, through every node, as may be outstanding for the shard; each asks again at once when it is
/// answered, and so soon when it is told Busy that together they ask ten times what can be done.
fn flood(cluster: &TestCluster, flooded: &Arc<Flooded>, stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for id in cluster.running() {
        for nth in 0..2 * OUTSTANDING {
            let tally = cluster.node(&id).actor::<Tally>(HOT);
            let (flooded, stop) = (flooded.clone(), stop.clone());
            callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match tally.ask(Add { by: 1 }).await {
                        Ok(_) => flooded.acknowledged.fetch_add(1, Ordering::Relaxed),
                        Err(AskError::Busy) => {
                            flooded.busy.fetch_add(1, Ordering::Relaxed);
                            sleep(Duration::from_millis(45 + nth as u64 % 20)).await;
                            continue;
                        }
                        Err(error) if error.maybe_applied() => flooded.in_doubt.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
    }
    callers
}

#[test]
fn where_only_waiting_takes_time_a_flood_at_ten_times_capacity_keeps_nobody_else_waiting_and_no_heartbeat() {
    // Far from the server, so that little is much.
    TestCluster::seeded(5).nodes(3).distance(Duration::from_millis(10)).actor::<Tally>().run(async |cluster| {
        let time = Duration::from_secs(2);
        let hot = cluster.shard_of::<Tally>(HOT);
        let mut ids: Vec<_> = QUIET.collect();
        ids.extend((1_000..).filter(|id| cluster.shard_of::<Tally>(*id) == hot).take(3));
        for id in ids.iter().copied().chain([HOT]) {
            cluster.ask::<Tally, _, _>(id, Add { by: 1 }).await.expect("it is answered");
        }
        let owner = cluster.owner_of::<Tally>(HOT).expect("every shard has an owner");
        let other = cluster.running().into_iter().find(|id| *id != owner).expect("there are three");
        let (pulses, listener) = (Pulses::default(), cluster.hub().ports(&life("listener", 1).node));
        let (heard, clock) = (pulses.clone(), cluster.clone());
        let listening = tokio::spawn(async move { heard.listen(&*listener.control, || clock.elapsed()).await });
        for through in [&owner, &other] {
            let before = ask_quietly(&cluster, through, &ids, time).await;
            let (flooded, stop) = (Arc::new(Flooded::default()), Arc::new(AtomicBool::new(false)));
            let callers = flood(&cluster, &flooded, &stop);
            cluster.advance(Duration::from_secs(1)).await;
            pulses.take(cluster.elapsed());
            let during = ask_quietly(&cluster, through, &ids, time).await;
            let beats = pulses.take(cluster.elapsed());
            stop.store(true, Ordering::Relaxed);
            callers.join_all().await;
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            println!(
                "through {}: p99 {:?} before, {:?} during; {} acknowledged, {} busy, {} in doubt",
                if *through == owner { "the owner" } else { "another node" },
                p99(&before),
                p99(&during),
                count(&flooded.acknowledged),
                count(&flooded.busy),
                count(&flooded.in_doubt),
            );
            assert!(count(&flooded.busy) > 9 * count(&flooded.acknowledged), "it is ten times what can be done");
            assert!(p99(&during) <= 2 * p99(&before), "p99 {:?}, and {:?} before", p99(&during), p99(&before));
            assert_eq!(beats.len(), cluster.running().len());
            for (node, pulse) in beats {
                assert!(
                    pulse.beats > 0 && pulse.silence < pulse.every * 5 / 4,
                    "{node} has missed a heartbeat: {pulse:?}"
                );
            }
        }
        listening.abort();
        assert!(cluster.ask::<Tally, _, _>(HOT, Read).await.is_ok(), "it is quiet again");
        for id in cluster.running() {
            assert!(cluster.node(&id).is_active(), "{id} serves");
        }
        cluster.assert_invariants().await;
    });
}

//! Real threads and real time: callers, links and views race each other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::cluster::{Cluster, SLOW, to, worded};

const CALLERS: u64 = 12;
const ASKS: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_many_threads_keep_their_order_while_shards_move() {
    let mut cluster = Cluster::of(&["a", "b", "c"], "a").await;
    let callers = (0..CALLERS).map(|caller| {
        let router = cluster.node(["a", "b", "c"][caller as usize % 3]).router.clone();
        tokio::spawn(async move {
            for nth in 0..ASKS {
                let text = format!("{caller}.{nth:03}");
                // Some callers share an actor, and each asks one at a time.
                let slot = (caller % 4) as u16 * 16_384;
                assert_eq!(worded(router.ask(to(slot, &text)).await), format!("{text}!"));
            }
        })
    });
    let all = join_all(callers.collect::<Vec<_>>());
    tokio::pin!(all);
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        for turn in 0u64.. {
            let pause = Duration::from_millis(1 + turn % 7);
            match tokio::time::timeout(pause, &mut all).await {
                Ok(ended) => return ended,
                Err(_) => cluster.give_all(["a", "b", "c"][(turn / 3) as usize % 3]),
            }
        }
        unreachable!("the loop ends with the callers")
    });
    for caller in ended.await.expect("every ask ends within a minute") {
        caller.expect("no caller panics");
    }
    let mut next = BTreeMap::<String, u64>::new();
    for text in cluster.applied() {
        let (caller, nth) = text.split_once('.').expect("a caller and a number");
        let expected = next.entry(caller.to_string()).or_default();
        assert_eq!(nth.parse(), Ok(*expected), "caller {caller}");
        *expected += 1;
    }
    assert!(next.len() as u64 == CALLERS && next.values().all(|count| *count == ASKS), "{next:?}");
    for node in cluster.nodes.values_mut() {
        node.stop().await;
        assert_eq!(node.router.stats().outstanding, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_handler_of_a_remote_command_delays_its_shard_mates_only() {
    let mut cluster = Cluster::of(&["a", "b"], "b").await;
    let ask = |from: &str, slot, text: &'static str| {
        let router = cluster.node(from).router.clone();
        tokio::spawn(async move { worded(router.ask(to(slot, text)).await) })
    };
    // Idle for long enough that nobody keeps time any more.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let slow = ask("a", 0, "slow");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mate = ask("a", 0, "mate");
    let quick = async {
        // Of the same sender, and answered to it, while its first command still runs.
        for round in 0..5 {
            assert_eq!(cluster.node("a").ask(20_000 + round, "quick").await, "quick!");
        }
        // Views are followed and deadlines are kept.
        cluster.show("b", 2, "-", &[]);
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut late = to(40_000, "late");
        late.timeout = Duration::from_millis(50);
        assert_eq!(worded(cluster.node("b").router.ask(late).await), "Other(Expired { maybe_applied: false })");
        cluster.show("b", 3, "b", &[]);
    };
    tokio::time::timeout(SLOW / 2, quick).await.expect("nobody else waits for the slow one");
    assert!(!slow.is_finished() && !mate.is_finished());
    assert_eq!((slow.await.expect("no panic"), mate.await.expect("no panic")), ("slow!".into(), "mate!".into()));
    let applied = cluster.applied();
    assert_eq!(applied[applied.len() - 2..], ["slow", "mate"], "in their order");
    for node in cluster.nodes.values_mut() {
        node.stop().await;
    }
}

//! Real threads and real time: callers, links and views race each other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::cluster::{Cluster, to, worded};

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

//! Commands for other nodes' shards, and shards that move under them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::cluster::{Cluster, Node, to, worded};

#[tokio::test(start_paused = true)]
async fn an_ask_finds_its_actor_on_another_node() {
    let cluster = Cluster::of(&["a", "b"], "b").await;
    assert_eq!(cluster.node("a").ask(0, "hello").await, "hello!");
    let (from, to) = (cluster.node("a").router.stats(), cluster.node("b").router.stats());
    assert_eq!((from.asks_remote, from.retries, from.outstanding, from.outstanding_bytes), (1, 0, 0, 0));
    assert_eq!((to.received, to.asks_local), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tell_reaches_another_node() {
    let cluster = Cluster::of(&["a", "b"], "b").await;
    cluster.node("a").router.tell(to(0, "hello")).expect("it is sent");
    cluster.settle().await;
    assert_eq!(cluster.applied(), ["hello"]);
    assert_eq!(cluster.node("a").router.stats().outstanding, 0);
}

#[tokio::test(start_paused = true)]
async fn many_asks_in_flight_each_get_their_own_answer() {
    let cluster = Cluster::of(&["a", "b"], "b").await;
    let texts: Vec<String> = (0..500).map(|nth| format!("{nth}")).collect();
    let asks = texts.iter().enumerate().map(|(nth, text)| cluster.node("a").ask((nth % 16) as u16 * 4096, text));
    for (text, answer) in texts.iter().zip(join_all(asks).await) {
        assert_eq!(answer, format!("{text}!"));
    }
}

/// Asks all of them, in order, on a task of their own.
fn begin(node: &Node, texts: &[String]) -> JoinHandle<()> {
    let (router, texts) = (node.router.clone(), texts.to_vec());
    tokio::spawn(async move {
        join_all(texts.iter().map(|text| router.ask(to(7, text)))).await;
    })
}

#[tokio::test(start_paused = true)]
async fn asks_of_one_sender_keep_their_order_across_a_move() {
    let mut cluster = Cluster::of(&["a", "b", "c"], "b").await;
    // b answers only after the move, so the second half has to wait for the first.
    cluster.node("b").shards.keep.store(50, Ordering::Release);
    let texts: Vec<String> = (0..100).map(|nth| format!("{nth:03}")).collect();
    let (first, second) = texts.split_at(50);
    let first = begin(cluster.node("a"), first);
    cluster.settle().await;
    cluster.give_all("c");
    cluster.settle().await;
    let second = join_all(second.iter().map(|text| cluster.node("a").ask(7, text)));
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(cluster.applied().is_empty(), "nothing overtakes what b still has");
        cluster.node("b").shards.run_kept();
    };
    let (second, ()) = tokio::join!(second, release);
    assert_eq!(second.len(), 50);
    first.await.expect("no panic");
    assert_eq!(cluster.applied(), texts);
}

#[tokio::test(start_paused = true)]
async fn asks_from_a_shards_old_owner_follow_it_in_order() {
    let mut cluster = Cluster::of(&["a", "b"], "a").await;
    cluster.node("a").shards.keep.store(20, Ordering::Release);
    let texts: Vec<String> = (0..40).map(|nth| format!("{nth:03}")).collect();
    let own = begin(cluster.node("a"), &texts[..20]);
    cluster.settle().await;
    cluster.give_all("b");
    let later = join_all(texts[20..].iter().map(|text| cluster.node("a").ask(7, text)));
    let release = async {
        cluster.settle().await;
        cluster.node("a").shards.run_kept();
    };
    tokio::join!(later, release);
    own.await.expect("no panic");
    assert_eq!(cluster.applied(), texts);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_waits_for_the_senders_topology() {
    let mut cluster = Cluster::of(&["a", "b", "c"], "c").await;
    cluster.epoch += 1;
    cluster.show("a", cluster.epoch, "b", &[]);
    cluster.settle().await;
    let ask = cluster.node("a").ask(0, "hello");
    let catch_up = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(cluster.node("b").router.stats().parked, 1);
        assert_eq!(cluster.node("b").delivered(), 0);
        cluster.show("b", cluster.epoch, "b", &[]);
    };
    let (answer, ()) = tokio::join!(ask, catch_up);
    assert_eq!(answer, "hello!");
    assert_eq!(cluster.node("a").router.stats().nacks_behind, 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_behind_says_so_after_two_seconds() {
    let mut cluster = Cluster::of(&["a", "b"], "b").await;
    cluster.epoch += 1;
    cluster.show("a", cluster.epoch, "b", &[]);
    cluster.settle().await;
    let answer = cluster.node("a").ask(0, "hello").await;
    assert_eq!(answer, "Other(Expired { maybe_applied: true })", "the last repeats were never answered");
    assert!(cluster.node("a").router.stats().nacks_behind >= 3);
    assert_eq!(cluster.node("b").delivered(), 0);
}

#[tokio::test(start_paused = true)]
async fn random_moves_lose_nothing_and_apply_nothing_twice() {
    for seed in 0..8u64 {
        let mut cluster = Cluster::of(&["a", "b", "c"], "a").await;
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut asks = Vec::new();
        for nth in 0..150u64 {
            let from = ["a", "b", "c"][draw(3) as usize];
            let (router, text) = (cluster.node(from).router.clone(), format!("{nth}"));
            let slot = draw(16) as u16 * 4096;
            asks.push(tokio::spawn(async move { worded(router.ask(to(slot, &text)).await) }));
            match draw(12) {
                0 => cluster.give_all(["a", "b", "c", "-"][draw(4) as usize]),
                1 => cluster.hub.lose_next_message(&cluster.node(from).me.node.clone()),
                2 => tokio::time::sleep(Duration::from_millis(draw(40))).await,
                _ => {}
            }
        }
        cluster.give_all("b");
        for (nth, ask) in asks.into_iter().enumerate() {
            assert_eq!(ask.await.expect("no panic"), format!("{nth}!"), "seed {seed}");
        }
        let mut applied = cluster.applied();
        applied.sort_by_key(|text| text.parse::<u64>().expect("a number"));
        assert_eq!(applied, (0..150).map(|nth| format!("{nth}")).collect::<Vec<_>>(), "seed {seed}");
        for name in ["a", "b", "c"] {
            let stats = cluster.node(name).router.stats();
            assert_eq!(
                (stats.outstanding, stats.held_bytes, stats.outstanding_bytes),
                (0, 0, 0),
                "{name}, seed {seed}"
            );
        }
    }
}

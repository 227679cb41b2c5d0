//! Lost messages, dead nodes, cut nodes, strangers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aether_domain::Epoch;
use aether_domain::testing::life;
use aether_infra_memory::MemoryHub;

use super::cluster::{Cluster, Node, to, worded};

#[tokio::test(start_paused = true)]
async fn a_lost_message_is_asked_again_and_counts_once() {
    for loser in ["a", "b"] {
        let cluster = Cluster::of(&["a", "b"], "b").await;
        cluster.hub.lose_next_message(&cluster.node(loser).me.node);
        assert_eq!(cluster.node("a").ask(0, "hello").await, "hello!", "{loser} loses one");
        assert_eq!(cluster.applied(), ["hello"], "{loser} loses one");
        let stats = cluster.node("a").router.stats();
        assert_eq!((stats.asks_remote, stats.retries), (1, 1), "{loser} loses one");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ask_to_a_dead_node_ends_up_at_the_next_owner() {
    let mut cluster = Cluster::of(&["a", "b", "c"], "b").await;
    cluster.node("b").shards.keep.store(1, Ordering::Release);
    let ask = cluster.node("a").ask(0, "hello");
    let die = async {
        cluster.settle().await;
        cluster.hub.kill(&cluster.node("b").me);
        tokio::time::sleep(Duration::from_secs(3)).await;
        for name in ["a", "c"] {
            cluster.show(name, 2, "c", &["b"]);
        }
    };
    let (answer, ()) = tokio::join!(ask, die);
    assert_eq!(answer, "hello!");
    let stats = cluster.node("a").router.stats();
    assert!(stats.unreachable > 0, "{stats:?}");
    assert_eq!(stats.links, 1, "the dead node's link is closed");
    assert_eq!(*cluster.node("c").shards.attempts.lock().expect("no panic"), [2], "b may have died of it");
    cluster.nodes.clear();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_holds_its_asks_and_knows_that_they_never_left() {
    let cluster = Cluster::of(&["a", "b"], "b").await;
    let me = cluster.node("a").me.node.clone();
    cluster.hub.cut(&me);
    let mut short = to(0, "short");
    short.timeout = Duration::from_secs(1);
    assert_eq!(worded(cluster.node("a").router.ask(short).await), "Other(Expired { maybe_applied: false })");
    let ask = cluster.node("a").ask(0, "long");
    let heal = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.hub.heal(&me);
    };
    let (answer, ()) = tokio::join!(ask, heal);
    assert_eq!((answer.as_str(), cluster.applied()), ("long!", vec!["long".to_string()]));
    assert!(cluster.node("a").router.stats().not_sent > 0);
}

#[tokio::test(start_paused = true)]
async fn commands_of_a_life_that_is_no_member_are_refused() {
    let cluster = Cluster::of(&["b"], "b").await;
    let stranger = Node::new(&cluster.hub, "zombie", &cluster.history).run();
    let mut view = (**cluster.node("b").views.borrow()).clone();
    view.routes.fill(aether_runtime::view::Route::Remote { owner: life("b", 1) });
    (view.me, view.epoch) = (stranger.me.clone(), Epoch(1));
    stranger.views.send_replace(std::sync::Arc::new(view));
    cluster.settle().await;
    assert_eq!(stranger.ask(0, "hello").await, "Other(Expired { maybe_applied: false })");
    assert!(cluster.applied().is_empty());
    assert!(cluster.node("b").router.stats().strangers > 0);
    assert!(stranger.router.stats().nacks_not_owner > 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_nobody_hears_is_not_asked_in_a_hurry() {
    let (hub, history) = (MemoryHub::new(), std::sync::Arc::default());
    let node = Node::new(&hub, "a", &history).run();
    let mut view = (**node.views.borrow()).clone();
    view.epoch = Epoch(1);
    view.routes = vec![aether_runtime::view::Route::Remote { owner: life("b", 1) }; 1024];
    view.lives.insert(life("b", 1).incarnation);
    node.views.send_replace(std::sync::Arc::new(view));
    assert_eq!(node.ask(0, "hello").await, "Other(Expired { maybe_applied: true })");
    let stats = node.router.stats();
    let sent = stats.asks_remote + stats.retries;
    assert!((30..=120).contains(&sent), "ten seconds of pauses of 200 to 300 ms, after short ones: {sent}");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_panics_its_shard_stops_no_other() {
    let cluster = Cluster::of(&["a", "b"], "b").await;
    for from in ["a", "b"] {
        // Refused once, so that it is not run in place.
        cluster.node("b").shards.busy.store(1, Ordering::Release);
        let mut fatal = to(0, "panic");
        fatal.timeout = Duration::from_secs(1);
        let answer = worded(cluster.node(from).router.ask(fatal).await);
        assert_eq!(answer, "Other(Expired { maybe_applied: true })", "from {from}");
        for slot in [0, 20_000] {
            assert_eq!(cluster.node(from).ask(slot, "hello").await, "hello!", "from {from}");
        }
    }
}

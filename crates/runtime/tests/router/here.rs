//! Commands for this node's own shards, and the beginning and end of a router.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aether_domain::ports::Answer;
use aether_domain::records::PayloadCodec;
use aether_domain::testing::life;
use aether_infra_memory::MemoryHub;
use aether_runtime::actor::CodecError;
use aether_runtime::clock::Clock as _;
use aether_runtime::message::{Outcome, Payload};
use aether_runtime::router::{Outgoing, Parcel};
use bytes::Bytes;

use super::cluster::{Cluster, Node, PausedClock, to, worded};

/// A command as a value.
#[derive(Clone)]
struct Text(&'static str);

impl Parcel for Text {
    fn here(&self) -> Payload {
        Payload::Typed(Box::new(self.0.to_string()))
    }
    fn written(&self) -> Result<(PayloadCodec, Bytes), CodecError> {
        Ok((PayloadCodec::Json, Bytes::from_static(self.0.as_bytes())))
    }
}

fn value(text: &'static str) -> Outgoing<Text> {
    let Outgoing { actor, command, message, mode, timeout, .. } = to(0, "");
    Outgoing { actor, command, parcel: Text(text), message, mode, timeout, trace: None }
}

#[tokio::test(start_paused = true)]
async fn a_local_ask_is_a_value_both_ways() {
    let cluster = Cluster::of(&["a"], "a").await;
    let Outcome::Replied(Payload::Typed(reply)) = cluster.node("a").router.ask(value("hello")).await else {
        panic!("the reply is a value")
    };
    assert_eq!(reply.downcast_ref::<String>().map(String::as_str), Some("hello!"));
    let stats = cluster.node("a").router.stats();
    assert_eq!((stats.asks_local, stats.asks_remote, stats.outstanding), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_local_ask_that_is_refused_is_written_and_asked_again_under_its_id() {
    let cluster = Cluster::of(&["a"], "a").await;
    let node = cluster.node("a");
    node.shards.busy.store(3, Ordering::Release);
    assert_eq!(worded(node.router.ask(value("hello")).await), "hello!");
    assert_eq!((node.delivered(), cluster.applied().len()), (4, 1));
    let stats = node.router.stats();
    assert_eq!((stats.nacks_busy, stats.retries, stats.outstanding, stats.outstanding_bytes), (3, 3, 0, 0));
    assert_eq!(*node.shards.attempts.lock().expect("no panic"), [1; 4], "a refusal is not a try that may have harmed");
}

#[tokio::test(start_paused = true)]
async fn a_local_ask_without_an_answer_ends_at_its_deadline_in_doubt() {
    let cluster = Cluster::of(&["a"], "a").await;
    cluster.node("a").shards.keep.store(1, Ordering::Release);
    assert_eq!(cluster.node("a").ask(0, "hello").await, "Other(Expired { maybe_applied: true })");
    assert_eq!(cluster.node("a").router.stats().outstanding, 0);
}

#[tokio::test(start_paused = true)]
async fn a_local_ask_that_is_refused_late_has_only_what_is_left_of_its_time() {
    let cluster = Cluster::of(&["a"], "a").await;
    let node = cluster.node("a");
    node.shards.keep.store(1, Ordering::Release);
    let clock = PausedClock::new();
    let began = clock.now();
    let refuse = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        node.shards.busy.store(u32::MAX, Ordering::Release);
        let (_, respond) = node.shards.kept.lock().expect("no panic").pop().expect("it is there");
        respond.respond(Outcome::Other(Answer::Busy));
    };
    let (answer, ()) = tokio::join!(node.ask(0, "hello"), refuse);
    assert_eq!(answer, "Other(Expired { maybe_applied: false })");
    let took = clock.now().since(began);
    assert!((10_000..10_200).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_shard_has_the_last_word_on_what_may_be_stored() {
    let cluster = Cluster::of(&["a"], "a").await;
    let node = cluster.node("a");
    node.shards.keep.store(1, Ordering::Release);
    let ask = node.ask(0, "hello");
    let expire = async {
        // As a shard does that looks at deadlines every 100 ms.
        tokio::time::sleep(Duration::from_millis(10_100)).await;
        let (work, respond) = node.shards.kept.lock().expect("no panic").pop().expect("it is there");
        assert_eq!(work.deadline.since_start(), Duration::from_millis(1_010_001));
        respond.respond(Outcome::Other(Answer::Expired { maybe_applied: false }));
    };
    let (answer, ()) = tokio::join!(ask, expire);
    assert_eq!(answer, "Other(Expired { maybe_applied: false })");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_drops_a_command_leaves_it_in_doubt_until_a_repeat_is_answered() {
    let cluster = Cluster::of(&["a"], "a").await;
    let node = cluster.node("a");
    node.shards.keep.store(1, Ordering::Release);
    let ask = node.ask(0, "hello");
    let drop_it = async {
        cluster.settle().await;
        node.shards.kept.lock().expect("no panic").clear();
    };
    let (answer, ()) = tokio::join!(ask, drop_it);
    assert_eq!((answer.as_str(), node.delivered()), ("hello!", 2));
}

#[tokio::test(start_paused = true)]
async fn a_tell_runs_once_and_one_that_cannot_is_refused() {
    let mut cluster = Cluster::of(&["a"], "a").await;
    cluster.node("a").router.tell(to(0, "one")).expect("it runs");
    assert_eq!(cluster.applied(), ["one"]);
    cluster.give_all("-");
    cluster.settle().await;
    for _ in 0..256 {
        cluster.node("a").router.tell(to(0, "more")).expect("it waits");
    }
    assert_eq!(cluster.node("a").router.tell(to(0, "one too many")), Err(Answer::Busy));
    cluster.give_all("a");
    cluster.settle().await;
    assert_eq!(cluster.applied().len(), 257);
}

#[tokio::test(start_paused = true)]
async fn asks_before_there_is_a_cluster_wait_for_it() {
    let mut node = Node::new(&MemoryHub::new(), "a", &std::sync::Arc::default()).run();
    let mut never = to(0, "never");
    never.timeout = Duration::from_secs(1);
    assert_eq!(worded(node.router.ask(never).await), "Other(Expired { maybe_applied: false })");
    assert!(matches!(node.router.tell(to(0, "tell")), Err(Answer::Unavailable { maybe_applied: false, .. })));
    node.stop().await;

    let cluster = Cluster::of(&["b"], "b").await;
    let late = Node::new(&cluster.hub, "c", &cluster.history).run();
    let ask = late.ask(0, "hello");
    let create = async {
        cluster.settle().await;
        let mut view = (**cluster.node("b").views.borrow()).clone();
        view.me = late.me.clone();
        late.views.send_replace(std::sync::Arc::new(view));
    };
    let (answer, ()) = tokio::join!(ask, create);
    assert_eq!(answer, "hello!");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_to_travel_is_refused_in_words() {
    let cluster = Cluster::of(&["a", "b"], "b").await;
    let answer = cluster.node("a").ask(0, &"x".repeat(512 * 1024 + 1)).await;
    assert!(answer.contains("524289 bytes exceeds 524288"), "{answer}");
    let answer = cluster.node("a").ask(0, &"x".repeat(512 * 1024)).await;
    assert!(answer.contains("an answer of 524289 bytes exceeds 524288"), "{answer}");
    assert!(answer.contains("maybe_applied: true"), "only its reply is too large: {answer}");
    assert_eq!(cluster.node("a").ask(0, &"x".repeat(512 * 1024 - 1)).await.len(), 512 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_new_life_ends_the_asks_of_the_old_one() {
    let mut cluster = Cluster::of(&["a", "b"], "b").await;
    cluster.node("b").shards.keep.store(1, Ordering::Release);
    let ask = cluster.node("a").ask(0, "old");
    let fence = async {
        cluster.settle().await;
        let mut view = (**cluster.node("a").views.borrow()).clone();
        view.me = life("a", 2);
        view.lives.insert(view.me.incarnation);
        cluster.node("a").views.send_replace(std::sync::Arc::new(view));
    };
    let (answer, ()) = tokio::join!(ask, fence);
    assert!(answer.starts_with("Other(Unavailable") && answer.contains("maybe_applied: true"), "{answer}");
    cluster.give_all("b");
    cluster.settle().await;
    cluster.node("b").shards.run_kept();
    assert_eq!(cluster.node("a").ask(0, "new").await, "new!");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_router_ends_its_asks() {
    let mut cluster = Cluster::of(&["a", "b"], "-").await;
    let mut node = cluster.nodes.remove("a").expect("a node");
    let router = node.router.clone();
    let ask = tokio::spawn(async move { worded(router.ask(to(0, "hello")).await) });
    cluster.settle().await;
    node.stop().await;
    let answer = ask.await.expect("no panic");
    assert!(answer.starts_with("Other(Unavailable") && answer.contains("maybe_applied: false"), "{answer}");
    let answer = node.ask(0, "late").await;
    assert!(answer.starts_with("Other(Unavailable") && answer.contains("maybe_applied: false"), "{answer}");
}

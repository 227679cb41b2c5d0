//! One move, and whoever takes part in it fails at each of its steps; and plans whose leaders and nodes do.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use aether::test_cluster::TestCluster;
use aether_domain::assignment::{AssignmentEvent, ShardState};
use aether_domain::cluster::ClusterEvent;
use aether_domain::policy::{MoveCaps, Pin};
use aether_domain::ports::{GatewayAnswer, ReadMode};
use aether_domain::records::{ControlKey, ControlRecord};
use aether_domain::topology::TopologyEvent;
use aether_domain::{Incarnation, NodeId, Sequence, ShardId};
use aether_infra_memory::GatewayCall;

use crate::tally::{Add, Tally};

/// The actor that is asked all the time.
const ACTOR: u64 = 9;
/// Twice the time that a source has for its release: within that a move is over, whoever fails.
const RESOLVED_WITHIN: Duration = Duration::from_secs(10);

/// A step of a move, as soon as it can be seen in the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is wanted; nothing is in the log.
    Wanted,
    /// The source is asked to release the shard.
    Draining,
    /// The source has reported that it released it.
    Released,
    /// The destination owns it.
    Assigned,
}

#[derive(Clone, Copy, Debug)]
enum Who {
    Source,
    Destination,
    Leader,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Frozen,
}

/// Everybody who takes part, and somebody who does not.
struct Cast {
    shard: ShardId,
    source: String,
    destination: String,
    leader: String,
    asker: String,
}

impl Cast {
    async fn of(cluster: &TestCluster) -> Self {
        let shard = cluster.shard_of::<Tally>(ACTOR).expect("nodes run");
        let leader = cluster.leader().expect("somebody leads");
        let mut others: Vec<_> = cluster.running().into_iter().filter(|id| *id != leader).collect();
        let (source, destination, asker) = (others.remove(0), others.remove(0), others.remove(0));
        pin(cluster, shard, &source).await;
        until(cluster, "the shard to be with its source", || owner_of(cluster, shard).as_deref() == Some(&*source))
            .await;
        Self { shard, source, destination, leader, asker }
    }

    fn is_at(&self, cluster: &TestCluster, step: Step) -> bool {
        let Some(topology) = cluster.topology() else { return false };
        let draining = match topology.assignment().shard(self.shard) {
            ShardState::Draining { drain_epoch, .. } => Some(drain_epoch),
            _ => None,
        };
        match step {
            Step::Wanted => true,
            Step::Draining => draining.is_some(),
            Step::Released => draining.is_some_and(|drain_epoch| {
                let stores = cluster.hub().stores();
                let key = ControlKey::Release(NodeId::new(self.source.as_str()).expect("a name"));
                let report = stores.control(&key).and_then(|stored| match &stored.record {
                    ControlRecord::Release(report) => Some(report.clone()),
                    _ => None,
                });
                report.is_some_and(|report| {
                    report.released.iter().any(|(shards, epoch)| *epoch == drain_epoch && shards.contains(self.shard))
                })
            }),
            Step::Assigned => {
                draining.is_none() && owner_of(cluster, self.shard).as_deref() == Some(&*self.destination)
            }
        }
    }
}

async fn pin(cluster: &TestCluster, shard: ShardId, node: &str) {
    let node = NodeId::new(node).expect("a name");
    cluster.want(|policy| policy.pins = vec![Pin { shard, node: node.clone() }]).await;
}

fn owner_of(cluster: &TestCluster, shard: ShardId) -> Option<String> {
    Some(cluster.topology()?.owner(shard)?.0.node.to_string())
}

async fn until(cluster: &TestCluster, what: &str, is: impl Fn() -> bool) {
    let limit = cluster.elapsed() + Duration::from_secs(60);
    while !is() {
        assert!(cluster.elapsed() < limit, "in a minute: {what}");
        cluster.advance(Duration::from_millis(1)).await;
    }
}

/// Adds one after the other through one node until `over`; answers how often. No ask may fail: each waits 30 s.
async fn keep_adding(cluster: &TestCluster, through: &str, over: &Cell<bool>) -> u64 {
    let mut total = 0;
    while !over.get() {
        let name = cluster.next_name();
        let answer = cluster.ask_through::<Tally, _, _>(through, name, ACTOR, Add { by: 1 }).await;
        total += 1;
        assert_eq!(answer, Ok(total), "at {:?}", cluster.elapsed());
        cluster.advance(Duration::from_millis(5)).await;
    }
    total
}

/// Plays one move in which `who` fails at that step.
fn a_move_in_which(who: Who, fault: Fault, step: Step, seed: u64) {
    TestCluster::seeded(seed).nodes(4).actor::<Tally>().run(async |cluster| {
        let cast = Cast::of(&cluster).await;
        let over = Cell::new(false);
        let play = async {
            cluster.advance(Duration::from_millis(20)).await;
            pin(&cluster, cast.shard, &cast.destination).await;
            until(&cluster, &format!("{step:?}"), || {
                cast.is_at(&cluster, step) || step == Step::Released && cast.is_at(&cluster, Step::Assigned)
            })
            .await;
            let victim = match who {
                Who::Source => &cast.source,
                Who::Destination => &cast.destination,
                Who::Leader => &cast.leader,
            };
            match fault {
                Fault::Killed => cluster.kill(victim).await,
                Fault::Frozen => cluster.pause(victim),
            }
            let since = cluster.elapsed();
            let is_resolved = || {
                let topology = cluster.topology().expect("nodes run");
                let still = matches!(topology.assignment().shard(cast.shard), ShardState::Owned { .. });
                let owner = owner_of(&cluster, cast.shard);
                still && owner.is_some_and(|owner| owner != *victim) && cluster.owners_at_once(cast.shard).len() == 1
            };
            until(&cluster, "the shard to be served by somebody who is well", is_resolved).await;
            let took = cluster.elapsed().saturating_sub(since);
            assert!(took <= RESOLVED_WITHIN, "{who:?} {fault:?} at {step:?}, seed {seed}: resolved after {took:?}");
            cluster.end_faults().await;
            cluster.settle().await.expect("it comes to rest");
            over.set(true);
        };
        let look = async {
            while !over.get() {
                let owners = cluster.owners_at_once(cast.shard);
                assert!(owners.len() <= 1, "{who:?} {fault:?} at {step:?}, seed {seed}: {owners:?} own the shard");
                cluster.advance(Duration::from_millis(1)).await;
            }
        };
        let (added, (), ()) = futures_util::future::join3(keep_adding(&cluster, &cast.asker, &over), play, look).await;
        let agreed = cluster.assert_invariants().await;
        assert_eq!(agreed.done, added, "{who:?} {fault:?} at {step:?}, seed {seed}");
    });
}

#[test]
fn whoever_fails_at_whichever_step_the_shard_is_served_within_twice_the_steps_time_and_no_ask_is_lost() {
    for (seed, who) in (1..).zip([Who::Source, Who::Destination, Who::Leader]) {
        for fault in [Fault::Killed, Fault::Frozen] {
            for step in [Step::Wanted, Step::Draining, Step::Released, Step::Assigned] {
                a_move_in_which(who, fault, step, seed);
            }
        }
    }
}

#[test]
fn a_node_scaled_out_does_not_double_an_actor() {
    for seed in 1..=3 {
        TestCluster::seeded(seed).nodes(2).actor::<Tally>().run(async |cluster| {
            let over = Cell::new(false);
            let grow = async {
                for id in ["n3", "n4", "n5"] {
                    cluster.advance(Duration::from_millis(300)).await;
                    cluster.add(id).await;
                    cluster.settle().await.expect("it comes to rest");
                }
                over.set(true);
            };
            let look = async {
                while !over.get() {
                    assert_eq!(cluster.owned_twice((0..1024).map(ShardId)), None, "seed {seed}");
                    cluster.advance(Duration::from_millis(5)).await;
                }
            };
            let (added, (), ()) = futures_util::future::join3(keep_adding(&cluster, "n1", &over), grow, look).await;
            assert_eq!(cluster.assert_invariants().await.done, added, "seed {seed}");
        });
    }
}

/// What a plan did: which shards it meant to move, and how often each was moved until it ended.
fn plan_of(cluster: &TestCluster, place: usize) -> (u64, BTreeMap<ShardId, (usize, Incarnation)>, bool) {
    let stores = cluster.hub().stores();
    let entries = &stores.entries(Sequence::ZERO)[place..];
    let (mut plans, mut moved, mut done) = (0, BTreeMap::<_, (usize, Incarnation)>::new(), false);
    for event in entries.iter().flat_map(|stored| &stored.entry.events) {
        match event {
            TopologyEvent::Cluster(ClusterEvent::RebalancingTriggered { .. }) if !done => plans += 1,
            TopologyEvent::Cluster(ClusterEvent::RebalancingCompleted { .. }) => done = true,
            TopologyEvent::Assignment(AssignmentEvent::ShardMigrated { shards, to, .. }) if !done => {
                for shard in shards.iter() {
                    let known = moved.entry(shard).or_insert((0, to.incarnation));
                    *known = (known.0 + 1, to.incarnation);
                }
            }
            _ => {}
        }
    }
    (plans, moved, done)
}

#[test]
fn a_leader_replaced_five_times_in_one_plan_leaves_each_shard_moved_once_and_no_ask_lost() {
    TestCluster::seeded(5).nodes(9).actor::<Tally>().run(async |cluster| {
        // What its founder had is shared out before.
        cluster.advance(Duration::from_secs(20)).await;
        cluster.settle().await.expect("it is at rest");
        cluster
            .want(|policy| policy.caps = MoveCaps { total: 2, per_source: 1, per_target: 2, ..MoveCaps::default() })
            .await;
        cluster.advance(Duration::from_secs(1)).await;
        let place = cluster.hub().stores().entries(Sequence::ZERO).len();
        cluster.add("n99").await;
        let joined = cluster.node("n99");
        let newcomer = || Some(cluster.topology()?.cluster().member(joined.id())?.node.incarnation);
        let plan = || cluster.topology().and_then(|topology| topology.cluster().plan().map(|plan| plan.id));
        let moved = || {
            let (topology, life) = (cluster.topology().expect("nodes run"), newcomer());
            topology.assignment().shards().iter().filter(|state| state.owner() == life).count()
        };
        until(&cluster, "a plan for the newcomer", || newcomer().is_some() && plan().is_some()).await;
        let (first, over) = (plan(), Cell::new(false));
        let asker =
            cluster.running().into_iter().find(|id| Some(id) != cluster.leader().as_ref()).expect("nine others");
        let replace = async {
            let mut last = None;
            for nth in 0..5 {
                let (before, led) = (moved(), last.clone());
                until(&cluster, "a leader that has moved something", || {
                    cluster.leader().is_some_and(|leader| Some(&leader) != led.as_ref()) && moved() > before
                })
                .await;
                assert_eq!(plan(), first, "the plan was over before its leader was replaced {} times", nth + 1);
                let leader = cluster.leader().expect("somebody leads");
                // Should it be the one that asks, its asks wait for it.
                cluster.pause(&leader);
                let since = cluster.elapsed();
                until(&cluster, "another leader", || cluster.leader().is_some_and(|next| next != leader)).await;
                assert!(
                    cluster.elapsed().saturating_sub(since) < RESOLVED_WITHIN,
                    "a frozen leader is replaced in time"
                );
                cluster.resume(&leader);
                last = Some(leader);
            }
            cluster.settle().await.expect("it comes to rest");
            over.set(true);
        };
        let (added, ()) = futures_util::future::join(keep_adding(&cluster, &asker, &over), replace).await;
        let (plans, moved, done) = plan_of(&cluster, place);
        assert!(done && plans == 1, "{plans} plans, ended: {done}");
        let twice: Vec<_> = moved.iter().filter(|(_, (times, _))| *times > 1).collect();
        assert!(twice.is_empty(), "moved twice by one plan: {twice:?}");
        assert_eq!(cluster.assert_invariants().await.done, added);
    });
}

#[test]
fn twenty_nodes_restarted_at_once_have_everything_again() {
    TestCluster::seeded(20).nodes(20).actor::<Tally>().run(async |cluster| {
        for id in 0..40 {
            assert_eq!(cluster.ask::<Tally, _, _>(id, Add { by: 3 }).await, Ok(3));
        }
        let ids = cluster.running();
        for id in &ids {
            cluster.kill(id).await;
        }
        let since = cluster.elapsed();
        for id in &ids {
            cluster.restart(id).await;
        }
        cluster.settle().await.expect("it comes to rest");
        let took = cluster.elapsed().saturating_sub(since);
        for id in 0..40 {
            assert_eq!(cluster.ask::<Tally, _, _>(id, Add { by: 2 }).await, Ok(5));
        }
        cluster.assert_invariants().await;
        assert!(took < Duration::from_secs(30), "at rest after {took:?}");
    });
}

/// Of forty planned moves in virtual time, where nothing costs but ways and waiting: the longest that a call of the
/// actor took which was begun in the last 100 ms before its move or before it was over.
#[test]
fn a_planned_move_holds_up_its_actor_for_a_few_messages_only() {
    const MOVES: usize = 40;
    TestCluster::seeded(3).nodes(5).distance(Duration::from_millis(1)).actor::<Tally>().run(async |cluster| {
        cluster.advance(Duration::from_secs(20)).await;
        cluster.settle().await.expect("it is at rest");
        let shard = cluster.shard_of::<Tally>(ACTOR).expect("nodes run");
        let longest = std::cell::RefCell::new(Vec::new());
        let over = Cell::new(false);
        let ask = async |nth: u64| {
            cluster.advance(Duration::from_millis(2 * nth)).await;
            while !over.get() {
                let (name, since) = (cluster.next_name(), cluster.elapsed());
                let through = format!("n{}", 1 + nth % 5);
                cluster.ask_through::<Tally, _, _>(&through, name, ACTOR, Add { by: 1 }).await.expect("nothing fails");
                let took = cluster.elapsed().saturating_sub(since);
                if let Some(last) = longest.borrow_mut().last_mut() {
                    *last = took.max(*last);
                }
                cluster.advance(Duration::from_millis(10)).await;
            }
        };
        let moves = async {
            for nth in 0..MOVES {
                let at = owner_of(&cluster, shard).expect("it has an owner");
                let to = ["n1", "n2", "n3", "n4", "n5"]
                    .into_iter()
                    .filter(|id| *id != at)
                    .nth(nth % 4)
                    .expect("four others");
                longest.borrow_mut().push(Duration::ZERO);
                pin(&cluster, shard, to).await;
                until(&cluster, "the move to be over", || owner_of(&cluster, shard).as_deref() == Some(to)).await;
                cluster.advance(Duration::from_millis(500)).await;
            }
            over.set(true);
        };
        futures_util::future::join(futures_util::future::join_all((0..10).map(ask)), moves).await;
        let mut longest = longest.into_inner();
        longest.sort_unstable();
        let (half, most) = (longest[MOVES / 2], longest[MOVES * 99 / 100]);
        eprintln!("{MOVES} planned moves: a call took {half:?} at the longest in half of them, {most:?} in all");
        cluster.assert_invariants().await;
        assert!(half <= Duration::from_millis(25) && most <= Duration::from_millis(40), "{longest:?}");
    });
}

/// A client that is no node adds one after the other through the gateway, whichever node takes it.
async fn keep_calling(cluster: &TestCluster, over: &Cell<bool>) -> u64 {
    let mut asked = 0;
    while !over.get() {
        asked += 1;
        let call = GatewayCall {
            kind: "tally".into(),
            id: (asked % 50).to_string(),
            command: "add".into(),
            payload: br#"{"by":1}"#[..].into(),
            message: None,
            mode: ReadMode::Strict,
            timeout: Duration::from_secs(10),
        };
        let answer = cluster.hub().gateway_ask(call).await;
        assert!(matches!(answer, GatewayAnswer::Replied(_)), "{answer:?} at {:?}", cluster.elapsed());
        cluster.advance(Duration::from_millis(10)).await;
    }
    asked
}

#[test]
fn no_clients_request_fails_while_nodes_join_and_leave() {
    TestCluster::seeded(1).nodes(3).actor::<Tally>().run(async |cluster| {
        let over = Cell::new(false);
        let come_and_go = async {
            for (joins, leaves) in [("n4", "n1"), ("n1", "n2"), ("n2", "n3")] {
                cluster.add(joins).await;
                cluster.advance(Duration::from_secs(2)).await;
                cluster.drain(leaves).await;
                cluster.advance(Duration::from_secs(2)).await;
            }
            over.set(true);
        };
        let clients = futures_util::future::join_all((0..5).map(|_| keep_calling(&cluster, &over)));
        let (asked, ()) = futures_util::future::join(clients, come_and_go).await;
        assert!(asked.iter().sum::<u64>() > 500, "{asked:?}");
        cluster.assert_invariants().await;
    });
}

//! Load mode: what shards cost decides, when all is at rest; never in a recovery, never against itself.

use aether_domain::ShardSet;
use aether_domain::cluster::ClusterCommand;
use aether_domain::policy::{LoadPolicy, PlacementPolicy};
use aether_domain::records::Format;
use aether_domain::topology::{Draft, Signature};
use aether_runtime::control::preview;

use super::*;

/// How often nodes tell what shards cost.
const WINDOW: Duration = MemberRecord::SHARD_LOADS_EVERY;

impl World {
    /// The leader adopts that policy.
    fn adopt(&mut self, policy: PlacementPolicy) {
        let machine = &self.nodes[self.leader().expect("a leader")].machine;
        let (topology, (term, _)) = (machine.topology(), machine.leads().expect("it leads"));
        let mut draft = Draft::new(topology);
        draft.cluster(&ClusterCommand::AdoptPlacement { policy: policy.into() }).expect("it can be adopted");
        let cluster = topology.cluster().uid().expect("there is one");
        let (leader, nonce) = (machine.me().clone(), Nonce(4_711));
        let by = Signature {
            format: Format::FIRST,
            cluster,
            leader,
            term,
            nonce,
            cause: "policy".into(),
            at: WallTime::default(),
        };
        let entry = draft.finish(by).expect("it is checked");
        let tail = self.log.last().expect("it began").at.sequence;
        let stored = StoredEntry { at: Position { sequence: tail.next(), hash: entry.nonce.0 }, entry };
        self.log.push(stored.clone());
        for to in 0..self.nodes.len() {
            self.queue.push_back((to, Input::Log(LogUpdate::Entry(stored.clone()))));
        }
        self.drain_queue();
    }

    /// Lets that many windows pass, in each of which shards cost that.
    fn work(&mut self, windows: u32, cost: impl Fn(u16) -> u32) {
        for _ in 0..windows {
            for at in 0..self.nodes.len() {
                self.queue.push_back((at, Input::Costs((0..1024).map(&cost).collect())));
            }
            self.drain_queue();
            let until = self.now + WINDOW;
            self.until(WINDOW * 2, "a window", |world| world.now >= until);
        }
    }

    /// What each living node has to do, the most first.
    fn heat(&self, cost: impl Fn(u16) -> u32) -> Vec<u32> {
        let topology = self.nodes[self.leader().expect("a leader")].machine.topology();
        let mut heat: BTreeMap<_, u32> =
            topology.cluster().active().map(|member| (member.node.incarnation, 0)).collect();
        for (shard, state) in topology.assignment().iter() {
            *heat.entry(state.owner().expect("it is served")).or_default() += cost(shard.0);
        }
        let mut heat: Vec<_> = heat.into_values().collect();
        heat.sort_unstable_by(|a, b| b.cmp(a));
        heat
    }
}

fn by_load(dwell_secs: u64) -> PlacementPolicy {
    let load = LoadPolicy { dwell: Duration::from_secs(dwell_secs), ..LoadPolicy::default() };
    PlacementPolicy { load: Some(load), ..PlacementPolicy::default() }
}

/// Five nodes; those shards of the first one that are divisible by four cost ten times as much as all others.
fn lopsided() -> (World, impl Fn(u16) -> u32 + Copy) {
    let mut world = World::new(Profile::Default);
    for nth in 1..=5 {
        world.start(&format!("n{nth}"));
    }
    world.until(SOON, "balanced nodes", |world| world.settled(5));
    let hot = world.nodes[0].machine.topology().clone();
    let first = world.nodes[0].machine.me().incarnation;
    let hot: std::collections::BTreeSet<u16> = hot
        .assignment()
        .iter()
        .filter(|(shard, state)| state.owner() == Some(first) && shard.0 % 4 == 0)
        .map(|(shard, _)| shard.0)
        .collect();
    let hot: &'static _ = Box::leak(Box::new(hot));
    (world, |shard| if hot.contains(&shard) { 1_000 } else { 100 })
}

#[test]
fn a_hot_node_is_relieved_of_a_few_shards_once_all_has_been_at_rest_for_long_enough() {
    let (mut world, cost) = lopsided();
    world.adopt(by_load(60));
    let before = world.log.len();
    world.work(8, cost);
    assert_eq!(handed_over(&world.log[before..]), 0, "membership has not been quiet for a minute");
    let heat = world.heat(cost);
    world.work(10, cost);
    let moved = handed_over(&world.log[before..]);
    let [was, is] = [heat, world.heat(cost)].map(|heat| f64::from(heat[0]) * 5.0 / f64::from(heat.iter().sum::<u32>()));
    assert_eq!(plan_causes(&world.log[before..]).first(), Some(&RebalanceCause::Load));
    assert!(was > 1.5 && is <= 1.10 && moved <= 52, "{was} {is} {moved}");
    let before = world.log.len();
    world.work(40, cost);
    assert_eq!(world.log.len(), before, "it stays so: {}", world.describe());
}

#[test]
fn nothing_moves_for_load_while_a_node_tells_nothing_and_only_what_must_while_one_drains() {
    let (mut world, cost) = lopsided();
    world.adopt(by_load(30));
    let before = world.log.len();
    // One of five tells nothing.
    for at in (0..48).map(|nth| nth % 4) {
        world.queue.push_back((at, Input::Costs((0..1024).map(cost).collect())));
        pass(&mut world, WINDOW / 4);
    }
    assert_eq!(handed_over(&world.log[before..]), 0);
    let leaver = (world.leader().expect("a leader") + 1) % 5;
    let had = world.shards_of(0)[world.nodes[leaver].machine.me().node.as_str()];
    world.queue.push_back((leaver, Input::Leave));
    world.drain_queue();
    world.until(SOON, "it is let go", |world| world.nodes[leaver].stopped.is_some());
    world.work(2, cost);
    assert_eq!(
        (handed_over(&world.log[before..]), plan_causes(&world.log[before..])),
        (had, vec![RebalanceCause::Drain])
    );
}

#[test]
fn a_node_that_joins_where_load_decides_is_given_its_part_of_the_load() {
    let (mut world, cost) = lopsided();
    world.adopt(by_load(60));
    world.work(20, cost);
    let before = world.log.len();
    let newcomer = world.start("n6");
    world.work(4, cost);
    let (moved, heat) = (handed_over(&world.log[before..]), world.heat(cost));
    let part = world.shards_of(0)[world.nodes[newcomer].machine.me().node.as_str()];
    assert_eq!(plan_causes(&world.log[before..]), [RebalanceCause::Join]);
    assert!(part >= 100 && moved <= 1024 / 5, "{part} of {moved}");
    assert!(u64::from(heat[0]) * 6 * 100 <= heat.iter().copied().map(u64::from).sum::<u64>() * 110, "{heat:?}");
}

#[test]
fn the_shards_of_a_dead_node_go_where_least_is_to_do_and_nothing_else_moves() {
    let (mut world, cost) = lopsided();
    world.adopt(by_load(300));
    world.work(3, cost);
    let before = world.log.len();
    let victim = (1..5).find(|at| world.nodes[*at].machine.leads().is_none()).expect("there are five");
    let had = world.shards_of(0)[world.nodes[victim].machine.me().node.as_str()];
    let first = world.shards_of(0)["n1"];
    world.dies(victim);
    world.work(4, cost);
    assert_eq!(handed_over(&world.log[before..]), had);
    assert_eq!(world.shards_of(0)["n1"], first, "it had more than enough to do");
}

#[test]
fn a_shard_that_no_node_could_bear_is_named_as_long_as_it_is_too_hot_and_a_minute_longer() {
    let (mut world, _) = lopsided();
    world.adopt(by_load(300));
    let too_hot = |world: &World| world.nodes[world.leader().expect("a leader")].machine.too_hot();
    // Together 102,300 + 51,150: a fifth of that is 30,690.
    let hot = |shard| if shard == 7 { 51_150 } else { 100 };
    world.work(2, hot);
    assert_eq!(too_hot(&world), [(ShardId(7), 166)]);
    let follower = (world.leader().expect("a leader") + 1) % 5;
    assert_eq!(world.nodes[follower].machine.too_hot(), []);
    world.work(11, |_| 100);
    assert_eq!(too_hot(&world).len(), 1, "it may be back in a moment");
    world.work(3, |_| 100);
    assert_eq!(too_hot(&world), []);
}

/// What that node says a plan would move, by where from and where to, and why nothing more.
fn dry_run(world: &World, at: usize) -> (BTreeMap<(NodeRef, NodeRef), ShardSet>, String) {
    let machine = &world.nodes[at].machine;
    let known = machine.outlook();
    let preview = preview(machine.topology(), &world.strategies, machine.me(), known.as_deref()).expect("a plan");
    let mut moves = BTreeMap::<_, ShardSet>::new();
    for (shard, from, to, _) in preview.steps {
        moves.entry((from.expect("an owner"), to)).or_default().insert(shard);
    }
    (moves, preview.waits.unwrap_or_default())
}

#[test]
fn a_dry_run_at_the_leader_is_the_plan_that_it_makes_then_and_any_other_node_says_whom_to_ask() {
    let (mut world, cost) = lopsided();
    world.adopt(by_load(60));
    let (leader, before) = (world.leader().expect("a leader"), world.log.len());
    let name = world.nodes[leader].machine.me().node.to_string();
    assert!(dry_run(&world, leader).1.contains("not every node has said"), "{:?}", dry_run(&world, leader));
    world.work(8, cost);
    for at in (0..5).filter(|at| *at != leader) {
        let (moves, waits) = dry_run(&world, at);
        assert!(
            moves.is_empty() && waits.ends_with(&format!("only the leader knows: ask {name}")),
            "{moves:?} {waits}"
        );
    }
    let (dry, waits) = dry_run(&world, leader);
    assert!(!dry.is_empty() && waits.contains("s of 60 s"), "{waits}");
    assert_eq!(plan_causes(&world.log[before..]), [], "nothing was done");
    world.work(8, cost);
    let planned = cluster_events(&world.log[before..]).find_map(|event| match event {
        ClusterEvent::RebalancingTriggered { moves, .. } => Some(moves.clone()),
        _ => None,
    });
    let planned = planned.expect("a plan").into_iter().map(|planned| ((planned.from, planned.to), planned.shards));
    assert_eq!(planned.collect::<BTreeMap<_, _>>(), dry);
}

//! Images of topologies: what every fold has is asked of each before it is believed.

use std::sync::Arc;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::{ClusterSettings, Member, NodeInfo, NodeStatus, OpenPlan, RebalanceCause, Trust};
use aether_domain::image::{ImageFault, TopologyImage};
use aether_domain::lease::LeadershipLease;
use aether_domain::orders::{Asked, RebalanceOrder, Wish};
use aether_domain::policy::{Pin, PlacementPolicy, PolicyFault};
use aether_domain::records::Position;
use aether_domain::testing::life;
use aether_domain::topology::Topology;
use aether_domain::{ClusterUid, Epoch, Nonce, PlanId, Sequence, ShardCount, ShardId, Term};

fn member(name: &str, status: NodeStatus) -> Member {
    Member { node: life(name, 1), status, info: NodeInfo::default(), since: Epoch(2), trust: Trust::Suspected }
}

fn owned(name: &str, epoch: u64) -> ShardState {
    ShardState::Owned { owner: life(name, 1).incarnation, epoch: Epoch(epoch) }
}

fn draining(from: &str, to: &str, drain_epoch: u64) -> ShardState {
    let (from, to) = (life(from, 1).incarnation, life(to, 1).incarnation);
    ShardState::Draining { from, to, epoch: Epoch(3), drain_epoch: Epoch(drain_epoch) }
}

fn order() -> RebalanceOrder {
    RebalanceOrder { wish: Wish::Pause, asked: Asked::new("ann", "the sale"), id: Nonce(5) }
}

/// `a` leads and is Active, `b` drains, `c` has failed; four shards.
fn image() -> TopologyImage {
    TopologyImage {
        uid: ClusterUid(7),
        settings: ClusterSettings { shards: ShardCount::new(4).expect("a power of two"), ..ClusterSettings::default() },
        members: vec![
            member("a", NodeStatus::Active),
            member("b", NodeStatus::Draining),
            member("c", NodeStatus::Failed),
        ],
        policy: Arc::default(),
        plan: Some(OpenPlan { id: PlanId(9), cause: RebalanceCause::Drain, planned: 2, moved: 0 }),
        order: Some((order(), Epoch(8))),
        leadership: LeadershipLease::Held { leader: life("a", 1), term: Term(2) },
        shards: vec![owned("a", 1), owned("b", 9), draining("b", "a", 9), owned("b", 3)],
        pending: vec![(ShardId(1), life("b", 1), life("a", 1)), (ShardId(3), life("b", 1), life("a", 1))],
        epoch: Epoch(9),
        at: Position { sequence: Sequence(9), hash: 77 },
    }
}

#[test]
fn an_image_is_built_up_to_what_it_was_taken_of() {
    let topology = image().topology().expect("a topology");
    assert_eq!(TopologyImage::of(&topology), Some(image()));
    assert_eq!(topology.owner(ShardId(1)), Some((&life("b", 1), Epoch(9))));
    assert_eq!((topology.epoch(), topology.at()), (Epoch(9), Position { sequence: Sequence(9), hash: 77 }));
    assert_eq!(TopologyImage::of(&Topology::default()), None, "there is nothing to keep yet");
}

#[test]
fn an_image_of_what_no_log_folds_to_is_refused() {
    let no_entry = |epoch, sequence| {
        let at = Position { sequence: Sequence(sequence), hash: 77 };
        (TopologyImage { epoch: Epoch(epoch), at, ..image() }, ImageFault::NoEntry { epoch: Epoch(epoch), at })
    };
    let with_shard = |nth: usize, state| {
        let mut image = image();
        image.shards[nth] = state;
        image
    };
    let with_member = |nth: usize, change: &dyn Fn(&mut Member)| {
        let mut image = image();
        change(&mut image.members[nth]);
        image
    };
    let pending = |shards: &[u16]| TopologyImage {
        pending: shards.iter().map(|shard| (ShardId(*shard), life("b", 1), life("a", 1))).collect(),
        ..image()
    };
    let led_by = |name: &str, nth| TopologyImage {
        leadership: LeadershipLease::Held { leader: life(name, nth), term: Term(2) },
        ..image()
    };
    let later = |found| ImageFault::Later { epoch: Epoch(9), found: Epoch(found) };
    let not_a_member = |shard| ImageFault::NotAMember { shard: ShardId(shard) };
    let not_pending = |shard| ImageFault::Pending { shard: ShardId(shard) };
    let pins = vec![Pin { shard: ShardId(4), node: life("a", 1).node }];
    let pinned = PlacementPolicy { pins, ..PlacementPolicy::default() };
    let beyond = PolicyFault::UnknownShard { shard: ShardId(4), shards: 4 };
    for (image, fault) in [
        no_entry(0, 9),
        no_entry(9, 0),
        (TopologyImage { shards: vec![owned("a", 1); 3], ..image() }, ImageFault::Shards { expected: 4, found: 3 }),
        (TopologyImage { shards: Vec::new(), ..image() }, ImageFault::Shards { expected: 4, found: 0 }),
        (with_member(1, &|member| member.node = life("a", 1)), ImageFault::Members { node: life("a", 1).node }),
        (with_member(2, &|member| member.node = life("aa", 1)), ImageFault::Members { node: life("aa", 1).node }),
        (with_member(1, &|member| member.info.weight = 0), ImageFault::Weightless { node: life("b", 1).node }),
        (with_member(1, &|member| member.since = Epoch(10)), later(10)),
        (led_by("a", 2), ImageFault::LeaderNotMember { leader: life("a", 2) }),
        (led_by("c", 1), ImageFault::LeaderNotMember { leader: life("c", 1) }),
        (with_shard(0, owned("c", 1)), not_a_member(0)),
        (with_shard(0, owned("z", 1)), not_a_member(0)),
        (with_shard(2, draining("b", "c", 9)), not_a_member(2)),
        (with_shard(2, draining("z", "a", 9)), not_a_member(2)),
        (with_shard(2, draining("b", "a", 10)), later(10)),
        (with_shard(0, owned("a", 10)), later(10)),
        (with_shard(0, ShardState::Orphaned), ImageFault::Unowned { shard: ShardId(0) }),
        (pending(&[1, 4]), not_pending(4)),
        (pending(&[3, 1]), not_pending(1)),
        (pending(&[1, 1]), not_pending(1)),
        (TopologyImage { plan: None, ..image() }, not_pending(1)),
        (TopologyImage { order: Some((order(), Epoch(10))), ..image() }, later(10)),
        (TopologyImage { policy: Arc::new(pinned), ..image() }, ImageFault::Policy(beyond)),
    ] {
        assert_eq!(image.topology(), Err(fault));
    }
}

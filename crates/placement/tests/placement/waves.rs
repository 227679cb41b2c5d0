//! Moves in waves: within the caps, the urgent first, and hardly more waves than there must be.

use aether_domain::ShardId;
use aether_domain::policy::MoveCaps;
use aether_placement::{Move, MoveClass, NodeIdx, PlacementStrategy, StickyBalanced, next_wave, waves};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::World;

fn move_(shard: u16, from: Option<u16>, to: u16, class: MoveClass) -> Move {
    Move { shard: ShardId(shard), from: from.map(NodeIdx), to: NodeIdx(to), class }
}

fn caps(total: u16, per_source: u16, per_target: u16) -> MoveCaps {
    MoveCaps { total, per_source, per_target, ..MoveCaps::default() }
}

/// Moves of owned shards, of one class, numbered.
fn moves_between(pairs: &[(u16, u16)]) -> Vec<Move> {
    let numbered = (0..).zip(pairs);
    numbered.map(|(shard, (from, to))| move_(shard, Some(*from), *to, MoveClass::Balance)).collect()
}

/// The most that one cap holds of these moves, in caps, rounded up: no fewer waves can do.
fn fewest(moves: &[Move], caps: MoveCaps) -> usize {
    let counted = || moves.iter().filter(|step| step.from.is_some());
    let nodes = (0..=u16::MAX).map(NodeIdx).take(64);
    let busiest = nodes.map(|node| {
        let sends = counted().filter(|step| step.from == Some(node)).count();
        let receives = counted().filter(|step| step.to == node).count();
        sends.div_ceil(caps.per_source.into()).max(receives.div_ceil(caps.per_target.into()))
    });
    busiest.max().unwrap_or(0).max(counted().count().div_ceil(caps.total.into()))
}

fn is_within(moves: &[Move], caps: MoveCaps) -> bool {
    fewest(moves, caps) <= 1
}

fn any_caps() -> impl Strategy<Value = MoveCaps> {
    (prop_oneof![Just(1_000), 1_u16..12], 1_u16..5, 1_u16..5)
        .prop_map(|(total, source, target)| caps(total, source, target))
}

/// Moves between up to ten nodes; with `few` targets only, as when nodes join.
fn any_pairs() -> impl Strategy<Value = Vec<(u16, u16)>> {
    (2_u16..10, 1_u16..10).prop_flat_map(|(nodes, few)| {
        let other = move |(from, to)| if to == from { (from, (to + 1) % nodes) } else { (from, to) };
        let pair = (0..nodes, 0..few.min(nodes)).prop_map(other);
        vec(pair, 1..80)
    })
}

fn any_moves() -> impl Strategy<Value = Vec<Move>> {
    let class = prop_oneof![
        Just(MoveClass::Orphan),
        Just(MoveClass::Drain),
        Just(MoveClass::Rule),
        Just(MoveClass::Balance),
        Just(MoveClass::Load)
    ];
    any_pairs().prop_flat_map(move |pairs| {
        let classes = vec(class.clone(), pairs.len());
        (Just(pairs), classes).prop_map(|(pairs, mut classes)| {
            classes.sort_unstable();
            let from = |class, from| (class != MoveClass::Orphan).then_some(from);
            let numbered = (0..).zip(pairs).zip(classes);
            numbered.map(|((shard, (source, to)), class)| move_(shard, from(class, source), to, class)).collect()
        })
    })
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn every_move_is_in_one_wave_and_no_wave_is_above_the_caps(moves in any_moves(), caps in any_caps()) {
        let waves = waves(&moves, caps);
        let mut all: Vec<Move> = waves.concat();
        all.sort_unstable_by_key(|step| step.shard);
        prop_assert_eq!(&all, &moves);
        for wave in &waves {
            prop_assert!(!wave.is_empty() && is_within(wave, caps), "{wave:?}");
            prop_assert!(wave.is_sorted_by_key(|step| step.class));
        }
        prop_assert!(waves.iter().skip(1).flatten().all(|step| step.from.is_some()), "orphans wait for nobody");
    }

    #[test]
    fn one_class_takes_at_most_one_wave_more_than_it_must(pairs in any_pairs(), caps in any_caps()) {
        let moves = moves_between(&pairs);
        let (waves, fewest) = (waves(&moves, caps).len(), fewest(&moves, caps));
        prop_assert!((fewest..=fewest + 1).contains(&waves), "{waves} waves, {fewest} would do");
    }

    #[test]
    fn what_is_under_way_counts_and_nothing_that_fits_is_left(
        moves in any_moves(), caps in any_caps(), ended in vec(any::<bool>(), 80),
    ) {
        let first = next_wave(&moves, &[], caps);
        let under_way: Vec<Move> = first.iter().zip(&ended).filter(|(_, ended)| !**ended).map(|(step, _)| *step).collect();
        let left: Vec<Move> = moves.iter().filter(|step| !first.contains(step)).copied().collect();
        let second = next_wave(&left, &under_way, caps);
        let busy = [under_way, second.clone()].concat();
        prop_assert!(is_within(&busy, caps));
        for step in left.iter().filter(|step| !second.contains(step)) {
            prop_assert!(!is_within(&[busy.clone(), vec![*step]].concat(), caps), "{step:?} would fit");
        }
    }

    #[test]
    fn a_more_urgent_move_never_waits_for_a_less_urgent_one(moves in any_moves(), caps in any_caps()) {
        let wave = next_wave(&moves, &[], caps);
        for class in [MoveClass::Drain, MoveClass::Rule, MoveClass::Balance] {
            let until = |moves: &[Move]| -> Vec<Move> { moves.iter().filter(|step| step.class <= class).copied().collect() };
            prop_assert_eq!(next_wave(&until(&moves), &[], caps), until(&wave));
        }
    }

    #[test]
    fn neither_the_order_of_moves_nor_the_numbers_of_nodes_matter(
        (moves, mixed) in any_moves().prop_flat_map(|moves| (Just(moves.clone()), Just(moves).prop_shuffle())),
        caps in any_caps(),
    ) {
        let mirror = |node: NodeIdx| NodeIdx(20 - node.0);
        let mixed: Vec<Move> = mixed.iter().map(|step| Move { from: step.from.map(mirror), to: mirror(step.to), ..*step }).collect();
        let shards = |moves: &[Move]| {
            let mut shards: Vec<ShardId> = next_wave(moves, &[], caps).iter().map(|step| step.shard).collect();
            shards.sort_unstable();
            shards
        };
        prop_assert_eq!(shards(&mixed), shards(&moves));
    }
}

#[test]
fn a_join_and_a_drain_take_as_many_waves_as_the_one_node_needs() {
    let fill = |world: World| {
        let moves = StickyBalanced.plan(&world.input()).expect("somebody is receiving").moves;
        world.committed(&moves)
    };
    let settled = fill(World::new(1024, &[1; 10]));
    let held = usize::try_from(settled.counts()[3]).expect("few");
    for (what, world, moved) in
        [("a join", settled.clone().joined("new", 1), 93), ("a drain", settled.clone().draining(3), held)]
    {
        let moves = StickyBalanced.plan(&world.input()).expect("somebody is receiving").moves;
        assert_eq!(moves.len(), moved, "{what}");
        for cap in [1, 4, 16, 32] {
            let waves = waves(&moves, caps(1_024, cap, cap));
            assert_eq!(waves.len(), moved.div_ceil(cap.into()), "{what}, {cap} at a time");
        }
    }
}

#[test]
fn the_busiest_target_is_not_kept_waiting() {
    // Five nodes send four moves each to nodes of their own, and one, numbered last, to the same node.
    let own = (0..5).flat_map(|from| (0..4).map(move |nth| (from, 10 + from * 4 + nth)));
    let moves = moves_between(&own.chain((0..5).map(|from| (from, 9))).collect::<Vec<_>>());
    assert_eq!(waves(&moves, caps(100, 1, 1)).len(), 5);
}

#[test]
fn caps_of_nothing_still_let_one_move_begin() {
    let moves = moves_between(&[(0, 1), (0, 2), (3, 1)]);
    assert_eq!(waves(&moves, caps(0, 0, 0)).len(), 3);
    assert_eq!(waves(&moves, caps(9, 0, 0)).len(), 2);
    assert_eq!(waves(&[], caps(1, 1, 1)), Vec::<Vec<Move>>::new());
}

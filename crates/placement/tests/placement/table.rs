//! The map as a value and as a table: what a change makes of it, its digest, and what a reader sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aether_domain::{ActorId, ActorKind, Epoch, Namespace, ShardCount};
use aether_placement::map::{Delta, Leaving, MapFault, MapNode, NodeNumber, NodeTable, ShardBits, ShardMap};
use aether_placement::table::{Entry, ShardTable};
use aether_placement::{MapDigest, ShardHash};
use proptest::prelude::*;

use crate::maps::{Model, bits, delta, histories, life, nodes, place, small};

#[test]
fn the_terms_of_a_digest_are_these_for_ever() {
    for (term, expected) in [
        (MapDigest::owned(0, &life(0), Epoch(1)), "4cf876c6cee2e27f0d3a6c65fef00416"),
        (MapDigest::owned(1, &life(0), Epoch(1)), "d2523f57224832ce6684fc8217dde243"),
        (MapDigest::owned(u32::MAX, &life(7), Epoch(u64::MAX)), "d7db1d06a43d6c159737710407592de5"),
        (MapDigest::leaving(0, &life(0), Epoch(1)), "5128827820d7b77ea30b907958b2ea54"),
        (small().0.digest(), "764ad7bd309b006cccb2056b36a183e9"),
        (MapDigest::ZERO, "00000000000000000000000000000000"),
    ] {
        assert_eq!(term.to_string(), expected);
    }
}

/// By shard.
type Owners = Vec<Option<(NodeNumber, Epoch)>>;

#[test]
fn maps_that_differ_in_anything_have_different_digests() {
    let map = small().0;
    let variant = |change: &dyn Fn(&mut Owners, &mut BTreeMap<u32, Leaving>)| {
        let (mut owners, mut leaving) = (map.owners().to_vec(), map.leaving().clone());
        change(&mut owners, &mut leaving);
        ShardMap::new(map.version(), map.nodes().clone(), owners, leaving).expect("a map").digest()
    };
    let mut digests = BTreeSet::from([variant(&|_, _| ()).0]);
    assert_eq!(digests, BTreeSet::from([map.digest().0]));
    let mut different = |digest: MapDigest, what: &str| assert!(digests.insert(digest.0), "{what}");
    for shard in 0..16 {
        different(variant(&|owners, _| owners[shard] = Some((NodeNumber(0), Epoch(17)))), "another epoch");
        different(variant(&|owners, _| owners[shard] = Some((NodeNumber(2), Epoch(17)))), "another owner");
    }
    different(variant(&|owners, _| owners.swap(0, 1)), "two that have changed places");
    different(variant(&|_, leaving| leaving.clear()), "nothing on its way");
    different(variant(&|_, leaving| leaving.get_mut(&5).expect("it is").since = Epoch(6)), "another entry asked");
    let moved = Leaving { to: NodeNumber(3), since: Epoch(300) };
    different(
        variant(&|_, leaving| {
            leaving.insert(5, moved);
        }),
        "another destination",
    );
    different(
        variant(&|_, leaving| {
            leaving.insert(6, moved);
        }),
        "another on its way",
    );
    // Another life of the same node, and the same nodes under other numbers.
    let with = |places: Vec<Option<MapNode>>, owner: u16| {
        let nodes = Arc::new(NodeTable::new(1, places).expect("a table"));
        ShardMap::new(Epoch(1), nodes, vec![Some((NodeNumber(owner), Epoch(1)))], BTreeMap::new()).expect("a map")
    };
    let mut reborn = place(0);
    reborn.as_mut().expect("a node").node.incarnation.0 += 1;
    assert_ne!(with(vec![place(0)], 0).digest(), with(vec![reborn], 0).digest());
    assert_eq!(with(vec![place(0)], 0).digest(), with(vec![place(1), place(0)], 1).digest());
}

#[test]
fn what_is_no_map_is_refused() {
    let owned = |number, epoch| Some((NodeNumber(number), Epoch(epoch)));
    let to = |number, since| BTreeMap::from([(0, Leaving { to: NodeNumber(number), since: Epoch(since) })]);
    let none = BTreeMap::new;
    for (owners, leaving, fault) in [
        (vec![], none(), MapFault::ShardCount { count: 0, wanted: 1 }),
        (vec![None; 3], none(), MapFault::ShardCount { count: 3, wanted: 4 }),
        (vec![owned(0, 6)], none(), MapFault::Future { shard: 0, epoch: Epoch(6), version: Epoch(5) }),
        (vec![owned(3, 5)], none(), MapFault::UnknownNode { number: NodeNumber(3), nodes: 1 }),
        (vec![None, None], to(0, 1), MapFault::LeavesNobody { shard: 0 }),
        (vec![owned(0, 5)], to(3, 1), MapFault::UnknownNode { number: NodeNumber(3), nodes: 1 }),
        (vec![owned(0, 5)], to(0, 6), MapFault::Future { shard: 0, epoch: Epoch(6), version: Epoch(5) }),
        (
            vec![owned(0, 5)],
            BTreeMap::from([(1, Leaving { to: NodeNumber(0), since: Epoch(1) })]),
            MapFault::UnknownShard { shard: 1, shards: 1 },
        ),
    ] {
        assert_eq!(ShardMap::new(Epoch(5), nodes(3), owners, leaving), Err(fault));
    }
    let many = MapFault::ShardCount { count: 1 << 21, wanted: 1 << 20 };
    assert_eq!(ShardMap::new(Epoch(5), nodes(3), vec![None; 1 << 21], none()), Err(many));
    assert_eq!(ShardBits::new(21), Err(MapFault::TooManyShards { log2: 21 }));
    assert_eq!(NodeTable::new(1, vec![None; 32_768]), Err(MapFault::TooManyNodes { places: 32_768 }));
    assert_eq!(NodeTable::new(1, vec![place(1), None, place(1)]), Err(MapFault::LifeTwice { node: life(1) }));
}

#[test]
fn a_change_that_does_not_fit_changes_nothing() {
    let (map, _) = small();
    let mut table = ShardTable::new(map.clone());
    for (delta, fault) in [
        (delta(5, 301, &[], &[]), MapFault::Gap { base: Epoch(5), version: Epoch(301), have: Epoch(300) }),
        (delta(300, 300, &[], &[]), MapFault::Gap { base: Epoch(300), version: Epoch(300), have: Epoch(300) }),
        (delta(300, 301, &[(0, 0), (16, 0)], &[]), MapFault::UnknownShard { shard: 16, shards: 16 }),
        (delta(300, 301, &[(0, 0), (1, 1)], &[]), MapFault::UnknownNode { number: NodeNumber(1), nodes: 9 }),
        (delta(300, 301, &[(0, 0), (1, 4)], &[]), MapFault::UnknownNode { number: NodeNumber(4), nodes: 9 }),
        (delta(300, 301, &[(0, 0)], &[(1, 1)]), MapFault::UnknownNode { number: NodeNumber(1), nodes: 9 }),
        (delta(300, 301, &[(3, 0), (1, 0)], &[]), MapFault::Order { shard: 1 }),
        (delta(300, 301, &[(3, 0), (3, 0)], &[]), MapFault::Order { shard: 3 }),
        (delta(300, 301, &[], &[(3, 0), (3, 0)]), MapFault::Order { shard: 3 }),
        (delta(300, 301, &[(3, 0)], &[(3, 2)]), MapFault::Order { shard: 3 }),
        (delta(300, 301, &[], &[(15, 0)]), MapFault::LeavesNobody { shard: 15 }),
        (delta(300, 301, &[], &[(16, 0)]), MapFault::LeavesNobody { shard: 16 }),
    ] {
        assert_eq!(table.apply(&delta), Err(fault), "{delta:?}");
        assert_eq!(table.map(), &map);
        assert_shown(&table);
    }
}

#[test]
fn a_number_in_use_keeps_its_meaning() {
    let mut table = ShardTable::new(small().0);
    let with = |version, change: &dyn Fn(&mut Vec<Option<MapNode>>)| {
        let mut places = vec![place(0), None, place(1), place(2)];
        change(&mut places);
        Arc::new(NodeTable::new(version, places).expect("a table"))
    };
    // Places 1 and 4 are free; node 3 is under 0, 2 and 3.
    let later = with(10, &|places| places[1] = place(8));
    assert_eq!(table.adopt(later.clone()), Ok(()));
    assert_eq!(table.routes().nodes(), later);
    for (change, number) in
        [(&(|places: &mut Vec<_>| places[2] = None) as &dyn Fn(&mut Vec<_>), 2), (&|places| places.truncate(3), 3)]
    {
        assert_eq!(table.adopt(with(11, change)), Err(MapFault::NumberInUse { number: NodeNumber(number) }));
        assert_eq!((table.map().nodes(), table.routes().nodes()), (&later, later.clone()));
    }
    // The last shard of a node goes, and so may its number; one that shards are on their way to may not.
    let away: Vec<(u32, i32)> = (0..16).map(|shard| (shard, 0)).collect();
    table.apply(&delta(300, 301, &away, &[])).expect("fits");
    table.apply(&delta(301, 302, &[], &[(3, 2)])).expect("fits");
    let without = |number: usize| with(12, &move |places| places[number] = place(9));
    assert_eq!(table.adopt(without(2)), Err(MapFault::NumberInUse { number: NodeNumber(2) }));
    assert_eq!(table.adopt(without(3)), Ok(()));
}

#[test]
fn a_map_of_another_size_does_not_replace_one() {
    let mut table = ShardTable::new(small().0);
    let refused = table.replace(ShardMap::empty(bits(5), nodes(1)));
    assert_eq!(refused, Err(MapFault::ShardCount { count: 32, wanted: 16 }));
    assert_shown(&table);
    table.replace(ShardMap::empty(bits(4), nodes(1))).expect("as many shards");
    assert_eq!(table.routes().version(), Epoch::ZERO);
    assert_shown(&table);
}

/// A reader sees exactly what the map says.
fn assert_shown(table: &ShardTable) {
    let (map, routes) = (table.map(), table.routes());
    for shard in 0..map.owners().len() as u32 {
        let entry = routes.entry(shard);
        assert_eq!(entry.owner(), map.owner(shard).map(|(owner, _)| owner), "shard {shard}");
        assert_eq!(entry.is_leaving(), map.leaving().contains_key(&shard), "shard {shard}");
        assert_eq!(routes.leaving(shard), map.leaving().get(&shard).copied(), "shard {shard}");
    }
    assert_eq!(routes.entry(map.owners().len() as u32), Entry::NOBODY);
    assert_eq!(routes.entry(u32::MAX), Entry::NOBODY);
    assert_eq!((routes.version(), &routes.nodes()), (map.version(), map.nodes()));
}

#[test]
fn a_hash_leads_to_the_shard_of_its_top_bits() {
    let hash = |nth: u64| nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for log2 in 0..=20 {
        let routes = ShardTable::new(ShardMap::empty(bits(log2), nodes(1))).routes();
        for hash in (0..1_000).map(hash).chain([0, 1, u64::MAX]) {
            assert_eq!(u128::from(routes.shard(hash)), u128::from(hash) >> (64 - log2), "2^{log2} shards");
            if log2 <= 16 {
                let slot = ShardHash::slot(hash);
                let shards = ShardCount::new(1 << log2).expect("at most 65,536");
                assert_eq!(routes.shard(hash), u32::from(slot.shard(shards).0));
            }
        }
    }
}

#[test]
fn the_last_number_is_a_node_and_the_one_behind_it_nobody() {
    let places = (0..NodeTable::COUNT_MAX).map(|nth| (nth + 1 == NodeTable::COUNT_MAX).then(|| place(1)).flatten());
    let nodes = Arc::new(NodeTable::new(1, places.collect()).expect("as many as can be"));
    let last = NodeNumber(32_766);
    let leaving = BTreeMap::from([(1, Leaving { to: last, since: Epoch(1) })]);
    let map = ShardMap::new(Epoch(1), nodes, vec![None, Some((last, Epoch(1)))], leaving).expect("a map");
    assert_shown(&ShardTable::new(map));
}

#[test]
fn looking_up_allocates_nothing() {
    let table = ShardTable::new(small().0);
    let hash = ShardHash::v1(7, &Namespace::new("bank").expect("a namespace"));
    let kind = ActorKind::new("account").expect("a kind");
    let ids: Vec<_> = (0..100).map(|nth| ActorId::new(format!("customer-{nth:023}")).expect("an id")).collect();
    let routes = table.routes();
    let mut owned = 0;
    let counted = allocation_counter::measure(|| {
        for id in &ids {
            let entry = routes.route(hash.hash(&kind, id));
            owned += usize::from(entry.owner().is_some());
            owned += usize::from(entry.is_leaving() && routes.leaving(0).is_some());
        }
        owned += usize::from(routes.version() == Epoch(300));
    });
    assert_eq!((counted.count_total, owned > 50), (0, true));
}

#[test]
fn readers_see_no_entry_older_than_the_version_they_have_seen() {
    // At version v every shard goes to node v, so an entry says which version it is of.
    const VERSIONS: u16 = 2_000;
    let places = (0..=usize::from(VERSIONS)).map(place).collect();
    let nodes = Arc::new(NodeTable::new(1, places).expect("a table"));
    let mut table = ShardTable::new(ShardMap::empty(bits(6), nodes));
    let give = |version: u16| -> Delta {
        let all: Vec<(u32, i32)> = (0..64).map(|shard| (shard, version.into())).collect();
        delta(u64::from(version) - 1, version.into(), &all, &[])
    };
    table.apply(&give(1)).expect("fits");
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let readers: Vec<_> = (0..3_u32)
            .map(|nth| {
                let (routes, done) = (table.routes(), &done);
                threads.spawn(move || {
                    let mut reads = 0_u64;
                    while !done.load(Ordering::Relaxed) || reads == 0 {
                        for shard in 0..64 {
                            let before = routes.version().0;
                            let seen: u64 = routes.entry((shard + nth) % 64).owner().expect("it has one").0.into();
                            let after = routes.version().0;
                            // The next version may be on its way into the table.
                            assert!((before..=after + 1).contains(&seen), "{seen}, but {before} to {after}");
                            reads += 1;
                        }
                    }
                    reads
                })
            })
            .collect();
        for version in 2..=VERSIONS {
            table.apply(&give(version)).expect("fits");
        }
        done.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().expect("no reader was wrong") > 0));
    });
    assert_shown(&table);
}

proptest! {
    #![proptest_config(crate::cases(64))]

    #[test]
    fn a_map_that_changes_is_the_map_made_anew(history in histories()) {
        let mut table = ShardTable::new(history.start.clone());
        let mut model = Model::default();
        for delta in &history.deltas {
            let expected = table.map().digest_after(delta);
            let digest = table.apply(delta).expect("it was drawn to fit");
            model.apply(table.map().nodes(), delta);
            prop_assert_eq!(&Model::of(table.map()), &model);
            prop_assert_eq!(digest.0, model.digest());
            prop_assert_eq!(expected, Ok(digest));
            let map = table.map();
            let anew = ShardMap::new(map.version(), map.nodes().clone(), map.owners().to_vec(), map.leaving().clone());
            prop_assert_eq!(anew.as_ref(), Ok(map));
            assert_shown(&table);
        }
    }
}

//! A replica: what it lets in, what it does not, and that it always ends with the leader's map.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::{ClusterUid, Epoch, Term};
use aether_placement::map::{Delta, MapFault, NodeNumber, NodeTable, ShardMap};
use aether_placement::wire::{
    Cure, FRAME_BYTES_MAX, FrameFault, Origin, Received, Refused, Replica, delta_frames, nodes_frames, snapshot_frames,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::maps::{ORIGIN, bits, delta, histories, life, nodes, place, strategy};

/// A leader: the map, and how it speaks of it.
struct Leader {
    map: ShardMap,
    origin: Origin,
    bytes_max: usize,
}

impl Leader {
    fn new(map: ShardMap) -> Self {
        Self { map, origin: ORIGIN, bytes_max: FRAME_BYTES_MAX }
    }
    fn nodes(&self) -> Vec<Vec<u8>> {
        nodes_frames(self.origin, self.map.nodes(), self.bytes_max).expect("it can be written")
    }
    fn snapshot(&self) -> Vec<Vec<u8>> {
        snapshot_frames(self.origin, &strategy(), &self.map, self.bytes_max).expect("it can be written")
    }
    fn delta(&self, delta: &Delta) -> Vec<Vec<u8>> {
        delta_frames(self.origin, &strategy(), &self.map, delta, self.bytes_max).expect("it can be written")
    }
    fn change(&mut self, delta: &Delta) -> Vec<Vec<u8>> {
        self.map.apply(delta).expect("it fits");
        self.delta(delta)
    }
}

/// A leader of four shards on three nodes, and a replica that has its node table.
fn begun() -> (Leader, Replica) {
    let leader = Leader::new(ShardMap::empty(bits(2), nodes(3)));
    let mut replica = Replica::new(ORIGIN.cluster, bits(2));
    assert_eq!(all(&mut replica, &leader.nodes()), Ok(Received::Nodes { version: 1 }));
    (leader, replica)
}

/// What the last of these frames comes to.
fn all(replica: &mut Replica, frames: &[Vec<u8>]) -> Result<Received, Refused> {
    let results: Vec<_> = frames.iter().map(|frame| replica.receive(frame)).collect();
    results.into_iter().next_back().expect("at least one")
}

/// A refusal, its cure, and that nothing has changed.
fn refused(replica: &mut Replica, frames: &[Vec<u8>], expected: &Refused, cure: Cure) {
    let before = replica.table().map().clone();
    let refused = all(replica, frames).expect_err("it should not be let in");
    assert_eq!((&refused, refused.cure()), (expected, cure));
    assert_eq!(replica.table().map(), &before);
}

#[test]
fn a_replica_follows_changes_and_says_which_they_were() {
    let (mut leader, mut replica) = begun();
    assert_eq!(replica.strategy(), None);
    for delta in
        [delta(0, 1, &[(0, 0), (1, 1), (2, 2)], &[]), delta(1, 4, &[(3, 0)], &[(0, 1)]), delta(4, 9, &[(0, 1)], &[])]
    {
        let frames = leader.change(&delta);
        assert_eq!(all(&mut replica, &frames), Ok(Received::Delta(delta)));
        assert_eq!(replica.table().map(), &leader.map);
        assert_eq!(replica.table().routes().version(), leader.map.version());
        // Once more: known, and nothing happens.
        assert_eq!(all(&mut replica, &frames), Ok(Received::Known));
        assert_eq!(all(&mut replica, &leader.snapshot()), Ok(Received::Known));
        assert_eq!(all(&mut replica, &leader.nodes()), Ok(Received::Known));
    }
    assert_eq!(replica.strategy(), Some(&strategy()));
}

#[test]
fn a_change_after_one_that_is_missing_waits_for_a_snapshot() {
    let (mut leader, mut replica) = begun();
    let lost = leader.change(&delta(0, 1, &[(0, 0)], &[]));
    let next = leader.change(&delta(1, 2, &[(1, 0)], &[]));
    let gap = MapFault::Gap { base: Epoch(1), version: Epoch(2), have: Epoch::ZERO };
    refused(&mut replica, &next, &gap.into(), Cure::FetchSnapshot);
    assert_eq!(all(&mut replica, &leader.snapshot()), Ok(Received::Snapshot));
    assert_eq!(replica.table().map(), &leader.map);
    // What comes late is older than what is here.
    for late in [lost, next] {
        assert_eq!(all(&mut replica, &late), Ok(Received::Known));
    }
}

#[test]
fn frames_of_others_are_ignored() {
    let (mut leader, mut replica) = begun();
    let mut stranger = Leader::new(leader.map.clone());
    stranger.origin.cluster = ClusterUid(7);
    let change = delta(0, 1, &[(0, 0)], &[]);
    let other = Refused::OtherCluster { cluster: ClusterUid(7) };
    refused(&mut replica, &stranger.change(&change), &other, Cure::Ignore);
    refused(&mut replica, &stranger.nodes(), &other, Cure::Ignore);

    let larger = Leader::new(ShardMap::empty(bits(3), nodes(3)));
    refused(&mut replica, &larger.snapshot(), &Refused::OtherShards { shards: 8, have: 4 }, Cure::Ignore);

    // A later term is believed from its first frame on, and the one before no longer.
    let old = leader.change(&change);
    leader.origin.term = Term(4);
    assert_eq!(all(&mut replica, &leader.nodes()), Ok(Received::Known));
    let older = Refused::OlderTerm { term: Term(3), have: Term(4) };
    refused(&mut replica, &old, &older, Cure::Ignore);
    assert_eq!(all(&mut replica, &leader.delta(&change)), Ok(Received::Delta(change)));
}

#[test]
fn a_map_that_is_not_the_leaders_is_found_out() {
    let (mut leader, mut replica) = begun();
    let mut other = Leader::new(leader.map.clone());
    let first = leader.change(&delta(0, 1, &[(0, 0)], &[]));
    other.change(&delta(0, 1, &[(0, 1)], &[]));
    assert!(all(&mut replica, &first).is_ok());
    // By the next change, which would lead to another digest, and by one to the same version.
    let (is, theirs) = (leader.map.digest(), other.map.digest());
    let again = other.delta(&delta(0, 1, &[(0, 1)], &[]));
    refused(&mut replica, &again, &Refused::Digest { version: Epoch(1), leader: theirs, is }, Cure::FetchSnapshot);
    let change = delta(1, 2, &[(3, 0)], &[]);
    let (next, is) = (other.change(&change), leader.map.digest_after(&change).expect("it fits"));
    let theirs = other.map.digest();
    refused(&mut replica, &next, &Refused::Digest { version: Epoch(2), leader: theirs, is }, Cure::FetchSnapshot);
    // A snapshot heals it, also one of the version that it has.
    let mut same = Leader::new(ShardMap::empty(bits(2), nodes(3)));
    same.change(&delta(0, 1, &[(2, 2)], &[]));
    assert_eq!(all(&mut replica, &same.snapshot()), Ok(Received::Snapshot));
    assert_eq!(replica.table().map(), &same.map);
    assert_eq!(all(&mut replica, &other.snapshot()), Ok(Received::Snapshot));
    assert_eq!(replica.table().map(), &other.map);
}

#[test]
fn a_snapshot_under_another_node_table_is_found_out() {
    let (leader, _) = begun();
    let places = [1, 0, 2].map(place).to_vec();
    let table = Arc::new(NodeTable::new(1, places).expect("a table"));
    let mut other = Leader::new(ShardMap::empty(bits(2), table));
    let mut replica = Replica::new(ORIGIN.cluster, bits(2));
    assert!(all(&mut replica, &leader.nodes()).is_ok());
    other.change(&delta(0, 1, &[(0, 0)], &[]));
    let is = ShardMap::new(Epoch(1), nodes(3), other.map.owners().to_vec(), BTreeMap::new()).expect("a map").digest();
    let expected = Refused::Digest { version: Epoch(1), leader: other.map.digest(), is };
    refused(&mut replica, &other.snapshot(), &expected, Cure::FetchSnapshot);
}

#[test]
fn numbers_are_believed_only_with_their_table() {
    let (mut leader, mut replica) = begun();
    assert!(all(&mut replica, &leader.change(&delta(0, 1, &[(0, 0), (1, 1), (2, 2)], &[]))).is_ok());
    let with = |version, places: &[usize]| {
        Arc::new(NodeTable::new(version, places.iter().map(|nth| place(*nth)).collect()).expect("a table"))
    };
    // A node joins: its table has to come first.
    leader.map.adopt(with(2, &[0, 1, 2, 3])).expect("a number that was free");
    let joined = leader.change(&delta(1, 2, &[(3, 3)], &[]));
    refused(&mut replica, &joined, &Refused::NodesMissing { needs: 2, have: 1 }, Cure::FetchNodes);
    refused(&mut replica, &leader.snapshot(), &Refused::NodesMissing { needs: 2, have: 1 }, Cure::FetchNodes);
    assert_eq!(all(&mut replica, &leader.nodes()), Ok(Received::Nodes { version: 2 }));
    assert!(all(&mut replica, &joined).is_ok());
    // Node 1 goes and another gets its number, before the replica has heard that it is free.
    let left = leader.change(&delta(2, 3, &[(1, 0)], &[]));
    leader.map.adopt(with(3, &[0, 9, 2, 3])).expect("a number that was free");
    let in_use = || Refused::Unfit(MapFault::NumberInUse { number: NodeNumber(1) });
    refused(&mut replica, &leader.nodes(), &in_use(), Cure::FetchSnapshot);
    let mut behind = Replica::new(ORIGIN.cluster, bits(2));
    let next = leader.change(&delta(3, 4, &[(2, 1)], &[]));
    // The change that frees the number brings the table in, with the next change that needs it.
    assert!(all(&mut replica, &left).is_ok());
    assert!(all(&mut replica, &next).is_ok());
    assert_eq!((replica.table().map(), replica.table().map().nodes().version()), (&leader.map, 3));
    // Or a snapshot does.
    assert!(all(&mut behind, &leader.nodes()).is_ok());
    assert_eq!(all(&mut behind, &leader.snapshot()), Ok(Received::Snapshot));
    assert_eq!(behind.table().map(), &leader.map);
    assert_eq!(leader.map.nodes().get(NodeNumber(1)).map(|place| place.node.clone()), Some(life(9)));
}

#[test]
fn a_replica_that_missed_a_number_changing_hands_is_healed_by_a_snapshot() {
    let (mut leader, mut replica) = begun();
    assert!(all(&mut replica, &leader.change(&delta(0, 1, &[(0, 1)], &[]))).is_ok());
    leader.change(&delta(1, 2, &[(0, 0)], &[]));
    let places = [0, 9, 2].map(place).to_vec();
    leader.map.adopt(Arc::new(NodeTable::new(2, places).expect("a table"))).expect("a number that was free");
    let next = leader.change(&delta(2, 3, &[(0, 1)], &[]));
    let in_use = Refused::Unfit(MapFault::NumberInUse { number: NodeNumber(1) });
    refused(&mut replica, &leader.nodes(), &in_use, Cure::FetchSnapshot);
    let gap = MapFault::Gap { base: Epoch(2), version: Epoch(3), have: Epoch(1) };
    refused(&mut replica, &next, &gap.into(), Cure::FetchSnapshot);
    assert_eq!(all(&mut replica, &leader.snapshot()), Ok(Received::Snapshot));
    assert_eq!(replica.table().map(), &leader.map);
}

#[test]
fn chunks_come_in_any_order_and_change_nothing_before_the_last() {
    let mut leader = Leader::new(ShardMap::empty(bits(8), nodes(30)));
    leader.bytes_max = 110;
    let mut replica = Replica::new(ORIGIN.cluster, bits(8));
    let spread: Vec<(u32, i32)> = (0..256_u32).map(|shard| (shard, (shard * 7 % 30).cast_signed())).collect();
    let changes = leader.change(&delta(0, 1, &spread, &[]));
    for mut frames in [leader.nodes(), changes, leader.snapshot()] {
        assert!(frames.len() >= 4, "{} frames", frames.len());
        if leader.map == *replica.table().map() {
            replica = Replica::new(ORIGIN.cluster, bits(8));
            assert!(matches!(all(&mut replica, &leader.nodes()), Ok(Received::Nodes { .. })));
        }
        let before = replica.table().map().clone();
        frames.reverse();
        frames.insert(1, frames[0].clone());
        let last = frames.pop().expect("many");
        for (nth, frame) in frames.iter().enumerate() {
            let missing = frames.len() as u32 - nth.max(1) as u32;
            assert_eq!(replica.receive(frame), Ok(Received::Waiting { missing }));
            assert_eq!(replica.table().map(), &before);
        }
        assert!(!matches!(replica.receive(&last), Ok(Received::Waiting { .. }) | Err(_)));
    }
    assert_eq!(replica.table().map(), &leader.map);
}

#[test]
fn what_is_newer_displaces_what_is_incomplete() {
    let mut leader = Leader::new(ShardMap::empty(bits(8), nodes(30)));
    let mut replica = Replica::new(ORIGIN.cluster, bits(8));
    assert!(all(&mut replica, &leader.nodes()).is_ok());
    let spread: Vec<(u32, i32)> = (0..256_u32).map(|shard| (shard, (shard * 7 % 30).cast_signed())).collect();
    leader.change(&delta(0, 1, &spread, &[]));
    leader.bytes_max = 160;
    let old = leader.snapshot();
    assert!(matches!(replica.receive(&old[0]), Ok(Received::Waiting { .. })));
    leader.change(&delta(1, 2, &[(5, 5)], &[]));
    assert_eq!(all(&mut replica, &leader.snapshot()), Ok(Received::Snapshot));
    assert_eq!(all(&mut replica, &old), Ok(Received::Known));
    assert_eq!(replica.table().map(), &leader.map);
}

#[test]
fn what_is_no_frame_is_refused() {
    let (leader, mut replica) = begun();
    let mut frame = leader.snapshot().remove(0);
    *frame.last_mut().expect("long") ^= 1;
    let refused = replica.receive(&frame).expect_err("it was changed");
    assert!(matches!(refused, Refused::Frame(FrameFault::Checksum { .. })), "{refused}");
    assert_eq!(refused.cure(), Cure::FetchSnapshot);
}

/// What happens to one frame on its way.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    /// After so many others.
    Late(usize),
    Damaged(usize),
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => (1..5_usize).prop_map(Fate::Late),
        1 => any::<usize>().prop_map(Fate::Damaged),
    ]
}

proptest! {
    #![proptest_config(crate::cases(64))]

    #[test]
    fn a_replica_ends_with_the_leaders_map_whatever_happens_on_the_way(
        history in histories(), fates in vec(fates(), 1..40), bytes_max in 150..2_000_usize,
    ) {
        let mut leader = Leader { bytes_max, ..Leader::new(history.start.clone()) };
        let mut sent = leader.nodes();
        let mut digests = vec![(leader.map.version(), leader.map.digest())];
        for delta in &history.deltas {
            sent.extend(leader.change(delta));
            digests.push((leader.map.version(), leader.map.digest()));
        }
        let mut arriving: Vec<(usize, Vec<u8>)> = Vec::new();
        for (nth, (frame, fate)) in sent.into_iter().zip(fates.iter().cycle()).enumerate() {
            match *fate {
                Fate::Arrives => arriving.push((nth, frame)),
                Fate::Lost => {}
                Fate::Twice => arriving.extend([(nth, frame.clone()), (nth, frame)]),
                Fate::Late(by) => arriving.push((nth + by, frame)),
                Fate::Damaged(at) => {
                    let mut frame = frame;
                    let at = at % (frame.len() * 8);
                    frame[at / 8] ^= 1 << (at % 8);
                    arriving.push((nth, frame));
                }
            }
        }
        arriving.sort_by_key(|(at, _)| *at);
        let mut replica = Replica::new(ORIGIN.cluster, history.start.shards());
        for (_, frame) in arriving {
            let _ = replica.receive(&frame);
            let map = replica.table().map();
            prop_assert!(digests.contains(&(map.version(), map.digest())), "a map that the leader never had");
        }
        // What it is told to fetch, it fetches.
        let mut fetched = 0;
        let mut frames = leader.delta(history.deltas.last().expect("at least one"));
        while let Err(refused) = all(&mut replica, &frames) {
            frames = match refused.cure() {
                Cure::FetchNodes => leader.nodes(),
                Cure::FetchSnapshot => leader.snapshot(),
                Cure::Ignore => panic!("{refused}"),
            };
            fetched += 1;
            prop_assert!(fetched < 4, "{refused}");
            if refused.cure() == Cure::FetchNodes {
                prop_assert!(all(&mut replica, &frames).is_ok());
                frames = leader.snapshot();
            }
        }
        prop_assert_eq!(replica.table().map(), &leader.map);
    }
}

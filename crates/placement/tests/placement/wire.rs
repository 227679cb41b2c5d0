//! Frames: golden bytes, what is written is read, and what is not a frame is refused without a fuss.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use aether_domain::Epoch;
use aether_placement::map::{MapFault, NodeNumber, NodeTable, ShardMap};
use aether_placement::wire::{
    CHUNK_BYTES_MAX, Content, FRAME_BYTES_MAX, Frame, FrameFault, FramingFault, Part, delta_frames, nodes_frames,
    snapshot_frames,
};
use proptest::collection::vec;
use proptest::prelude::*;
use twox_hash::XxHash3_64;

use crate::maps::{ORIGIN, bits, delta, histories, place, small, strategy};

/// Its only frame.
fn one(frames: Result<Vec<Vec<u8>>, FramingFault>) -> Vec<u8> {
    let frames = frames.expect("it can be written");
    assert_eq!(frames.len(), 1, "one frame is enough");
    frames.into_iter().next().expect("one")
}

fn as_hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text + "\n"
    })
}

fn hex(golden: &str) -> Vec<u8> {
    let digits: String = golden.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// One frame of each kind and form: its name, its bytes for ever, and what this release writes.
fn golden() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (map, deltas) = small();
    let mut before = ShardMap::empty(map.shards(), map.nodes().clone());
    before.apply(&deltas[0]).expect("fits");
    let by_node = one(delta_frames(ORIGIN, &strategy(), &before, &deltas[0], FRAME_BYTES_MAX));
    let by_shard = one(delta_frames(ORIGIN, &strategy(), &map, &deltas[2], FRAME_BYTES_MAX));
    vec![
        ("nodes", include_str!("golden/nodes.hex.txt"), one(nodes_frames(ORIGIN, map.nodes(), FRAME_BYTES_MAX))),
        (
            "snapshot",
            include_str!("golden/snapshot.hex.txt"),
            one(snapshot_frames(ORIGIN, &strategy(), &map, FRAME_BYTES_MAX)),
        ),
        ("delta by node", include_str!("golden/delta_by_node.hex.txt"), by_node),
        ("delta by shard", include_str!("golden/delta_by_shard.hex.txt"), by_shard),
    ]
}

#[test]
fn frames_are_these_bytes_for_ever() {
    let (map, deltas) = small();
    for (name, golden, written) in golden() {
        assert!(as_hex(&written) == golden, "{name} is now:\n{}", as_hex(&written));
        let frame = Frame::decode(&hex(golden)).expect("released bytes");
        assert_eq!((frame.origin, frame.part), (ORIGIN, Part { at: 0, of: 1 }), "{name}");
        match frame.content {
            Content::Nodes { version, count, places } => {
                assert_eq!((version, count, places.as_slice()), (9, 4, map.nodes().places()));
            }
            Content::Snapshot { head, owners, leaving } => {
                assert_eq!((head.version, head.shards, head.nodes), (Epoch(300), bits(4), 9));
                assert_eq!((head.strategy, head.digest), (strategy(), map.digest()));
                assert_eq!((owners.as_slice(), &leaving), (map.owners(), map.leaving()));
            }
            Content::Delta { delta, .. } if name.ends_with("node") => assert_eq!(delta, deltas[0]),
            Content::Delta { delta, .. } => assert_eq!(delta, deltas[2]),
        }
    }
}

#[test]
fn a_frame_that_was_cut_or_changed_anywhere_is_refused() {
    for (name, golden, _) in golden() {
        let frame = hex(golden);
        for length in 0..frame.len() {
            assert!(Frame::decode(&frame[..length]).is_err(), "{name} cut at {length}");
        }
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let refused = Frame::decode(&changed).expect_err("it was changed");
            let expected = matches!(refused, FrameFault::Magic | FrameFault::Checksum { .. });
            assert!(expected, "{name}, bit {bit}: {refused}");
        }
        for byte in 0..=255 {
            let longer: Vec<u8> = frame.iter().copied().chain([byte]).collect();
            assert!(Frame::decode(&longer).is_err(), "{name} and {byte:02x}");
        }
    }
}

/// The frame with a checksum that is right, whatever is in it.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    let checksum = XxHash3_64::oneshot(&frame);
    frame.extend(checksum.to_le_bytes());
    frame
}

/// A frame up to where its kind begins to matter.
fn begun(kind: u8) -> Vec<u8> {
    let mut frame = b"AEM1".to_vec();
    frame.push(kind);
    frame.extend([0; 16]);
    frame.extend([3, 0, 0]); // term, one part, the first
    frame
}

/// A frame up to its body: of version 5, `2^log2` shards and `places` places.
fn headed(kind: u8, log2: u8, places: u8) -> Vec<u8> {
    let mut frame = begun(kind);
    frame.extend([5, 1, b's', 1, log2, 1, places]);
    frame.extend([0; 16]);
    frame
}

/// Values of so many bits each, in a row.
fn packed(values: &[(u64, u32)]) -> Vec<u8> {
    let bits: Vec<bool> =
        values.iter().flat_map(|(value, width)| (0..*width).map(move |bit| value >> bit & 1 == 1)).collect();
    let byte = |bits: &[bool]| (0..).zip(bits).map(|(at, bit)| u8::from(*bit) << at).sum();
    bits.chunks(8).map(byte).collect()
}

#[test]
fn what_is_wrong_and_where_is_said() {
    let with = |mut frame: Vec<u8>, rest: &[u8]| {
        frame.extend(rest);
        Frame::decode(&sealed(frame)).expect_err("it is wrong")
    };
    let range = |what, value, most, at| FrameFault::Range { what, value, most, at };
    let cut = |what, at| FrameFault::Cut { what, at };
    let invalid = |what, at| FrameFault::Invalid { what, at };
    let mut parts = begun(1);
    (parts[22], parts[23]) = (11, 0);
    let mut part = begun(1);
    (part[22], part[23]) = (2, 4);
    for (refused, expected) in [
        (Frame::decode(&vec![0; FRAME_BYTES_MAX + 1]).expect_err("too long"), FrameFault::TooLong { bytes: 1_048_577 }),
        (Frame::decode(b"AEM2").expect_err("another"), FrameFault::Magic),
        (Frame::decode(b"AEM1").expect_err("short"), cut("checksum", 4)),
        (with(b"AEM1".to_vec(), &[]), cut("kind", 4)),
        (with(b"AEM1\x01".to_vec(), &[0; 15]), cut("cluster", 17)),
        (with(begun(4), &[]), FrameFault::Kind { kind: 4 }),
        (with(parts, &[]), range("parts", 11, 10, 22)),
        (with(part, &[]), range("part", 4, 3, 23)),
        // A node table.
        (with(begun(1), &[1]), cut("places", 25)),
        (with(begun(1), &[1, 0xff, 0xff, 1]), cut("places", 28)),
        (with(begun(1), &[1, 0x80, 0x80, 2]), range("places", 32_768, 32_767, 25)),
        (with(begun(1), &[1, 1, 1, b'A', 0, 0, 0, 0, 0, 0, 0, 0, 0]), invalid("node id", 28)),
        (with(begun(1), &[1, 1, 200, b'a']), cut("node id", 27)),
        (with(begun(1), &[1, 1, 1, 0xff]), invalid("node id", 28)),
        (with(begun(1), &[1, 1, 0, 0]), FrameFault::Trailing { at: 27 }),
        // The head of a map.
        (with(begun(2), &[5, 0, 1]), invalid("strategy", 26)),
        (with(begun(2), &[0x85, 0]), FrameFault::Number { what: "version", at: 24 }),
        (with(begun(2), &[5, 1, b's', 1, 21, 1, 1]), range("shards", 21, 20, 28)),
        (with(begun(2), &[5, 1, b's', 0x80, 0x80, 4]), range("strategy version", 65_536, 65_535, 27)),
        // Snapshots: of two places, so two bits a shard.
        (with(headed(2, 20, 2), &[]), cut("owners", 47)),
        (with(headed(2, 1, 2), &[0b0011]), range("node number", 3, 2, 47)),
        (with(headed(2, 1, 2), &packed(&[(0, 2), (2, 2), (2, 8)])), range("epochs", 2, 1, 47)),
        (with(headed(2, 1, 2), &packed(&[(0, 2), (2, 2), (1, 8), (6, 8)])), range("epoch", 6, 5, 48)),
        (with(headed(2, 1, 2), &packed(&[(0, 4), (2, 8), (5, 8), (0, 8), (0, 9)])), invalid("epoch", 49)),
        (with(headed(2, 2, 2), &packed(&[(0, 8), (3, 8), (0, 24), (3, 8)])), invalid("epoch index", 52)),
        // Its shard is on its way to nobody, and to a node since an entry to come.
        (
            with(headed(2, 0, 2), &packed(&[(0, 2), (1, 8), (0, 8), (1, 8), (0, 6), (0, 1), (2, 2)])),
            invalid("destination", 51),
        ),
        (
            with(headed(2, 0, 2), &packed(&[(0, 2), (1, 8), (0, 8), (1, 8), (0, 6), (0, 1), (0, 2), (6, 8)])),
            range("entry of a move", 6, 5, 51),
        ),
        // Changes.
        (with(headed(3, 1, 2), &[6, 0, 0]), range("base version", 6, 5, 47)),
        (with(headed(3, 1, 2), &[1, 3, 0]), range("changes", 3, 2, 48)),
        (with(headed(3, 20, 2), &[1, 0xff, 0xff, 0x3f, 0]), cut("changes", 51)),
        (with(headed(3, 1, 2), &packed(&[(1, 8), (1, 8), (0, 6), (0b11, 3), (0, 20)])), range("gap", 2, 1, 49)),
        (
            with(headed(3, 0, 2), &packed(&[(1, 8), (1, 8), (0, 6), (0, 1), (0, 2), (1, 8), (0, 6), (1, 1)])),
            cut("gap", 52),
        ),
        (with(headed(3, 1, 2), &packed(&[(1, 8), (2, 8), (0, 6), (0b01, 2), (0, 2), (0, 20)])), invalid("shard", 50)),
        // By node: more groups or shards than changes, a shard in two groups, fewer than there should be.
        (with(headed(3, 1, 2), &packed(&[(1, 8), (1, 8), (1, 6), (2, 8)])), range("groups", 2, 1, 49)),
        (
            with(headed(3, 1, 2), &packed(&[(1, 8), (1, 8), (1, 6), (1, 8), (0, 2), (2, 8)])),
            range("shards of a group", 2, 1, 51),
        ),
        (
            with(
                headed(3, 1, 2),
                &packed(&[(1, 8), (2, 8), (1, 6), (2, 8), (0, 2), (1, 8), (0, 1), (1, 2), (1, 8), (0, 1), (0, 8)]),
            ),
            invalid("changes", 53),
        ),
        (
            with(headed(3, 1, 2), &packed(&[(1, 8), (2, 8), (1, 6), (1, 8), (0, 2), (1, 8), (0, 1), (0, 8)])),
            invalid("changes", 52),
        ),
        (with(headed(3, 1, 2), &[1, 0, 0, 0]), FrameFault::Trailing { at: 50 }),
    ] {
        assert_eq!(refused, expected, "{expected}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let (map, deltas) = small();
    let small = FramingFault::TooSmall { bytes_max: 60 };
    assert_eq!(nodes_frames(ORIGIN, map.nodes(), 30), Err(FramingFault::TooSmall { bytes_max: 30 }));
    assert_eq!(snapshot_frames(ORIGIN, &strategy(), &map, 60), Err(small.clone()));
    assert_eq!(delta_frames(ORIGIN, &strategy(), &map, &deltas[2], 60), Err(small));
    for (delta, fault) in [
        (deltas[1].clone(), MapFault::Gap { base: Epoch(2), version: Epoch(5), have: Epoch(300) }),
        (delta(300, 300, &[], &[]), MapFault::Gap { base: Epoch(300), version: Epoch(300), have: Epoch(300) }),
        (delta(5, 300, &[(2, 3)], &[]), MapFault::NotMade { shard: 2 }),
        (delta(5, 300, &[(9, -1), (1, 3)], &[]), MapFault::Order { shard: 1 }),
        (delta(5, 300, &[(16, -1)], &[]), MapFault::UnknownShard { shard: 16, shards: 16 }),
        (delta(5, 300, &[], &[(5, 3)]), MapFault::NotMade { shard: 5 }),
        (delta(5, 300, &[], &[(16, 3)]), MapFault::LeavesNobody { shard: 16 }),
    ] {
        let refused = delta_frames(ORIGIN, &strategy(), &map, &delta, CHUNK_BYTES_MAX);
        assert_eq!(refused, Err(FramingFault::Unfit(fault)));
    }
}

#[test]
fn the_largest_there_can_be_goes_in_frames_that_can_be_sent() {
    // Every number and every epoch another, so that nothing is packed well.
    let places: Vec<_> = (0..NodeTable::COUNT_MAX).map(place).collect();
    let table = Arc::new(NodeTable::new(u64::MAX, places).expect("as many as can be"));
    let owner = |shard: u64| {
        let number = NodeNumber((shard.wrapping_mul(0x9e37_79b9) % 32_767) as u16);
        Some((number, Epoch(shard << 20)))
    };
    let owners = (0..1 << 16).map(owner).collect();
    let map = ShardMap::new(Epoch(u64::MAX), table.clone(), owners, BTreeMap::new()).expect("a map");
    assert_eq!(read(nodes_frames(ORIGIN, &table, CHUNK_BYTES_MAX), CHUNK_BYTES_MAX).len(), 16);
    assert_eq!(read(snapshot_frames(ORIGIN, &strategy(), &map, CHUNK_BYTES_MAX), CHUNK_BYTES_MAX).len(), 8);
    assert_eq!(read(snapshot_frames(ORIGIN, &strategy(), &map, FRAME_BYTES_MAX), FRAME_BYTES_MAX).len(), 1);
}

proptest! {
    #![proptest_config(crate::cases(64))]

    #[test]
    fn bytes_that_are_no_frame_are_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Frame::decode(&bytes).is_err());
    }

    #[test]
    fn a_frame_that_was_forged_is_read_as_something_bounded_or_refused(
        which in 0..4_usize, changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6), cut in 0..3_usize,
    ) {
        let mut frame = hex(golden()[which].1);
        frame.truncate(frame.len() - 8);
        for (at, byte) in changes {
            // Behind the magic, so that it is looked at.
            let at = 4 + at.index(frame.len() - 4);
            frame[at] = byte;
        }
        frame.truncate(frame.len() - cut);
        let frame = sealed(frame);
        let mut decoded = None;
        let counted = allocation_counter::measure(|| decoded = Some(Frame::decode(&frame)));
        // A shard takes no bit if there is no node, so a map without owners may be short and large.
        let shards = match decoded.expect("measured") {
            Ok(Frame { content: Content::Snapshot { owners, .. }, .. }) => owners.len() as u64,
            Ok(_) => 0,
            Err(fault) => {
                prop_assert!(!fault.to_string().is_empty());
                1 << 20
            }
        };
        prop_assert!(counted.bytes_max < 8_192 + 40 * shards, "{} bytes, {shards} shards", counted.bytes_max);
    }

    #[test]
    fn a_body_of_anything_is_read_as_something_bounded_or_refused(
        kind in 1..4_u8, log2 in 0..9_u8, places in 0..20_u8, body in vec(any::<u8>(), 0..200),
    ) {
        let mut frame = if kind == 1 { begun(1) } else { headed(kind, log2, places) };
        frame.extend(&body);
        let frame = sealed(frame);
        let counted = allocation_counter::measure(|| drop(Frame::decode(&frame)));
        prop_assert!(counted.bytes_max < 65_536, "{} bytes for {}", counted.bytes_max, frame.len());
    }

    #[test]
    fn what_is_written_is_read_whatever_it_is_cut_into(history in histories(), bytes_max in 150..3_000_usize) {
        for (map, delta) in history.maps().iter().zip(&history.deltas) {
            let (mut given, mut begun) = (Vec::new(), Vec::new());
            for content in read(delta_frames(ORIGIN, &strategy(), map, delta, bytes_max), bytes_max) {
                let Content::Delta { head, delta: part } = content else { panic!("it was a change") };
                prop_assert_eq!((head.version, head.digest), (map.version(), map.digest()));
                prop_assert_eq!((part.base, part.version), (delta.base, delta.version));
                given.extend(part.given);
                begun.extend(part.begun);
            }
            prop_assert_eq!((&given, &begun), (&delta.given, &delta.begun));

            let (mut owners, mut leaving) = (Vec::new(), BTreeMap::new());
            for content in read(snapshot_frames(ORIGIN, &strategy(), map, bytes_max), bytes_max) {
                let Content::Snapshot { head, owners: run, leaving: ways } = content else { panic!("it was a map") };
                prop_assert_eq!((head.version, head.digest), (map.version(), map.digest()));
                owners.extend(run);
                leaving.extend(ways);
            }
            prop_assert_eq!((owners.as_slice(), &leaving), (map.owners(), map.leaving()));
        }
        let table = history.start.nodes();
        let mut all = Vec::new();
        for content in read(nodes_frames(ORIGIN, table, bytes_max), bytes_max) {
            let Content::Nodes { version, count, places } = content else { panic!("it was a table") };
            prop_assert_eq!((version, count), (table.version(), table.places().len()));
            all.extend(places);
        }
        prop_assert_eq!(&all, table.places());
    }
}

/// What frames say: as many as they say there are, each within its bound.
fn read(frames: Result<Vec<Vec<u8>>, FramingFault>, bytes_max: usize) -> Vec<Content> {
    let frames = frames.expect("it can be written");
    let of = u32::try_from(frames.len()).expect("few");
    let content = (0..).zip(frames).map(|(at, frame)| {
        assert!(frame.len() <= bytes_max, "{} bytes", frame.len());
        let frame = Frame::decode(&frame).expect("own bytes");
        assert_eq!((frame.origin, frame.part), (ORIGIN, Part { at, of }));
        frame.content
    });
    content.collect()
}

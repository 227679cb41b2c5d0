//! The frames of a map.

use aether_domain::{ClusterUid, Term};
use aether_placement::map::{NodeTable, ShardBits};
use aether_placement::wire::{Content, FRAME_BYTES_MAX, Frame, Replica, nodes_frames, snapshot_frames};

use super::{BYTES_MAX, USUAL};
use crate::{Allowance, Decoded, Shape, Target, again};

const GOLDEN: &[(&str, Option<usize>)] = &[
    ("crates/placement/tests/placement/golden/nodes.hex.txt", None),
    ("crates/placement/tests/placement/golden/snapshot.hex.txt", None),
    ("crates/placement/tests/placement/golden/delta_by_node.hex.txt", None),
    ("crates/placement/tests/placement/golden/delta_by_shard.hex.txt", None),
];

/// A map of 2^20 shards without a node takes no bit a shard, and 24 bytes in memory.
const OF_A_MAP: Allowance = Allowance { room: 32 * 1024 * 1024, ..USUAL };

pub(super) fn targets() -> Vec<Target> {
    let target =
        |name, allowance, shape, golden, read| Target { name, shape, golden, allowance, bytes_max: BYTES_MAX, read };
    vec![
        target("map-frame", OF_A_MAP, Shape::MapFrame, GOLDEN, frame as fn(&[u8]) -> Decoded),
        target("map-replica", OF_A_MAP, Shape::Plain, &[], replica),
    ]
}

fn frame(bytes: &[u8]) -> Decoded {
    let read = |bytes: &[u8]| Frame::decode(bytes).map_err(|fault| fault.to_string());
    let frame = read(bytes)?;
    Ok(Box::new(move || match &frame.content {
        Content::Nodes { version, places, .. } if frame.part.of == 1 => {
            let Ok(table) = NodeTable::new(*version, places.clone()) else { return Ok(()) };
            let write = |_: &Frame| {
                let mut frames =
                    nodes_frames(frame.origin, &table, FRAME_BYTES_MAX).map_err(|fault| fault.to_string())?;
                Ok(frames.swap_remove(0))
            };
            again(&frame, write, read)
        }
        // A map is written whole: see the replica.
        _ => Ok(()),
    }))
}

/// Frames one behind the other, each behind its length (u16, little endian) and without its checksum, as a replica of 16
/// shards takes them; what it has in the end is written, and another replica has the same of that.
fn replica(bytes: &[u8]) -> Decoded {
    let cluster = ClusterUid(0x00c1_0500_0000_0000_0000_0000_0000_cafe);
    let new = move || Replica::new(cluster, ShardBits::new(4).expect("few"));
    let (mut replica, mut rest, mut last) = (new(), bytes, Ok(()));
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (frame, behind) = behind.split_at(length);
        last = replica.receive(&Shape::MapFrame.wrap(frame)).map(drop);
        rest = behind;
    }
    last.map_err(|refused| refused.to_string())?;
    Ok(Box::new(move || {
        let map = replica.table().map();
        let Some(strategy) = replica.strategy() else { return Ok(()) };
        let origin = aether_placement::wire::Origin { cluster, term: Term(u64::MAX) };
        let nodes = nodes_frames(origin, map.nodes(), FRAME_BYTES_MAX).map_err(|fault| fault.to_string())?;
        let frames = snapshot_frames(origin, strategy, map, FRAME_BYTES_MAX).map_err(|fault| fault.to_string())?;
        let mut other = new();
        for frame in nodes.iter().chain(&frames) {
            other.receive(frame).map_err(|refused| format!("own frames: {refused}"))?;
        }
        let same = (other.table().map().digest(), other.table().map().version()) == (map.digest(), map.version());
        if same { Ok(()) } else { Err("another replica has another map of it".to_owned()) }
    }))
}

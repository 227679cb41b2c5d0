//! One number for a whole map: the frozen digest that two holders of a map compare.
//!
//! Every owned shard, and every shard on its way, adds a term; the digest is the XOR of all terms. So a change costs two
//! hashes a shard, whatever the size of the map, and the order of changes does not matter. A term is XXH3-128, seed 0, over
//!
//! ```text
//! 'O'  u32le shard  u64le incarnation  u64le epoch  node id      the owner, and the entry that gave it the shard
//! 'L'  u32le shard  u64le incarnation  u64le epoch  node id      where it is on its way to, and the entry that asked
//! ```
//!
//! It finds accidents (a lost, doubled or misread change), and is no defence: whoever may choose node ids can make two maps
//! that have the same digest.

use std::fmt;
use std::ops::{BitXor, BitXorAssign};

use aether_domain::{Epoch, NodeRef};
use xxhash_rust::xxh3::xxh3_128;

/// The bytes of a term's frame before the node id.
const HEAD_BYTES: usize = 1 + 4 + 8 + 8;
/// The most bytes of a node id.
const ID_BYTES_MAX: usize = 32;

/// The digest of a map. The map in which nobody owns anything has [`Self::ZERO`].
///
/// ```
/// use aether_domain::{Epoch, Incarnation, NodeId, NodeRef};
/// use aether_placement::MapDigest;
///
/// let n1 = NodeRef { node: NodeId::new("n1")?, incarnation: Incarnation(7) };
/// let before = MapDigest::owned(0, &n1, Epoch(3)) ^ MapDigest::owned(1, &n1, Epoch(3));
/// // Shard 1 is given away and comes back: its epoch is another, so the map is another.
/// let after = before ^ MapDigest::owned(1, &n1, Epoch(3)) ^ MapDigest::owned(1, &n1, Epoch(5));
/// assert_ne!(before, after);
/// # Ok::<(), aether_domain::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapDigest(pub u128);

impl MapDigest {
    /// Of the map in which nobody owns anything.
    pub const ZERO: Self = Self(0);

    /// The term of a shard that `owner` has had since the entry `epoch`.
    pub fn owned(shard: u32, owner: &NodeRef, epoch: Epoch) -> Self {
        term(b'O', shard, owner, epoch)
    }

    /// The term of a shard that the entry `since` has sent on its way to `to`; its owner has a term of its own.
    pub fn leaving(shard: u32, to: &NodeRef, since: Epoch) -> Self {
        term(b'L', shard, to, since)
    }
}

fn term(tag: u8, shard: u32, node: &NodeRef, epoch: Epoch) -> MapDigest {
    let id = node.node.as_str().as_bytes();
    let mut frame = [0; HEAD_BYTES + ID_BYTES_MAX];
    let frame = &mut frame[..HEAD_BYTES + id.len()]; // a node id has at most 32 bytes
    frame[0] = tag;
    frame[1..5].copy_from_slice(&shard.to_le_bytes());
    frame[5..13].copy_from_slice(&node.incarnation.0.to_le_bytes());
    frame[13..HEAD_BYTES].copy_from_slice(&epoch.0.to_le_bytes());
    frame[HEAD_BYTES..].copy_from_slice(id);
    MapDigest(xxh3_128(frame))
}

impl BitXor for MapDigest {
    type Output = Self;

    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl BitXorAssign for MapDigest {
    fn bitxor_assign(&mut self, other: Self) {
        self.0 ^= other.0;
    }
}

impl fmt::Display for MapDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

//! The frozen shard hash: which of the 65,536 slots an actor is in, for ever.
//!
//! Version 1 is XXH3-64, seeded with the cluster's seed, over a specified frame of bytes:
//!
//! ```text
//! u16le(len namespace) namespace  u16le(len kind) kind  key
//! ```
//!
//! `key` is the actor's id. With a co-location key it is that key instead and the kind is empty (length 0), so that
//! actors of different kinds can share a shard. No kind is empty, so the two families never meet.
//!
//! The top 16 bits are the slot; its own top bits are the shard. A cluster stores `{hash id, seed, shard count}` when
//! it is created and a node refuses to serve under other values: comparing them is the caller's, as is choosing the
//! seed. The seed decorrelates clusters. It is no secret and this hash no defence against ids ground to meet in one
//! shard.

use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, Namespace, Slot};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// The most bytes a namespace or a kind may have.
const NAME_BYTES_MAX: usize = 32;
/// The bytes of a length in the frame.
const LENGTH_BYTES: usize = 2;
/// The most bytes a name and its length have.
const HEAD_BYTES_MAX: usize = LENGTH_BYTES + NAME_BYTES_MAX;
/// The most bytes the frame of an actor without a co-location key has.
const FRAME_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX + ActorId::BYTES_MAX;
/// Room for the frames of most actors: the less there is, the sooner it is cleared.
const FRAME_BYTES_USUAL: usize = 64;

/// The shard hash of one cluster: version 1, a seed and a namespace.
///
/// Pure, without allocation, the same on every platform and in every release. A different function would be another
/// constructor with another id, never a change of this one.
///
/// ```
/// use aether_domain::{ActorId, ActorKey, ActorKind, Namespace, ShardCount};
/// use aether_placement::ShardHash;
///
/// let hash = ShardHash::v1(0, &Namespace::new("bank")?);
/// let key = ActorKey { kind: ActorKind::new("account")?, id: ActorId::new("alice")? };
/// let address = hash.address(key);
/// assert_eq!(address.slot, ShardHash::slot(hash.hash(&address.key.kind, &address.key.id)));
/// assert!(address.slot.shard(ShardCount::DEFAULT).index() < 1024);
/// # Ok::<(), aether_domain::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardHash {
    seed: u64,
    /// The frame of an actor so far as it is the same for every actor. Invariant: `head_bytes` of it, the rest is 0.
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
}

impl ShardHash {
    /// What a cluster stores to say that this is its hash.
    pub const ID: u8 = 1;

    /// Version 1 for the cluster that was created with `seed` and `namespace`.
    pub fn v1(seed: u64, namespace: &Namespace) -> Self {
        let mut head = [0; HEAD_BYTES_MAX];
        let head_bytes = append(&mut head, 0, namespace.as_str());
        Self { seed, head, head_bytes }
    }

    /// The seed it was made with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The hash of an actor without a co-location key.
    #[inline]
    pub fn hash(&self, kind: &ActorKind, id: &ActorId) -> u64 {
        self.framed(kind.as_str(), id.as_str())
    }

    /// The hash of every actor, of whatever kind, that has this co-location key: any text. One longer than an id may be
    /// costs a slower path, with the result the frame demands.
    #[inline]
    pub fn hash_colocated(&self, key: &str) -> u64 {
        self.framed("", key)
    }

    /// The slot of a hash: its top 16 bits.
    #[inline]
    pub fn slot(hash: u64) -> Slot {
        Slot((hash >> 48) as u16)
    }

    /// An actor without a co-location key, with its slot.
    pub fn address(&self, key: ActorKey) -> ActorAddress {
        let slot = Self::slot(self.hash(&key.kind, &key.id));
        ActorAddress { key, slot }
    }

    #[inline]
    fn framed(&self, kind: &str, key: &str) -> u64 {
        if self.head_bytes + LENGTH_BYTES + kind.len() + key.len() <= FRAME_BYTES_USUAL {
            self.framed_in::<FRAME_BYTES_USUAL>(kind, key)
        } else {
            self.framed_in::<FRAME_BYTES_MAX>(kind, key)
        }
    }

    /// Of a frame whose names have room in `ROOM` bytes.
    #[inline]
    fn framed_in<const ROOM: usize>(&self, kind: &str, key: &str) -> u64 {
        let mut frame = [0; ROOM];
        frame[..HEAD_BYTES_MAX].copy_from_slice(&self.head);
        let at = append(&mut frame, self.head_bytes, kind);
        let end = at + key.len();
        let Some(room) = frame.get_mut(at..end) else { return self.long(&frame[..at], key) };
        room.copy_from_slice(key.as_bytes());
        xxh3_64_with_seed(&frame[..end], self.seed)
    }

    /// The same hash for a co-location key that the frame on the stack has no room for.
    #[cold]
    fn long(&self, head: &[u8], key: &str) -> u64 {
        let mut hasher = Xxh3::with_seed(self.seed);
        hasher.update(head);
        hasher.update(key.as_bytes());
        hasher.digest()
    }
}

/// Writes a name behind its length and says where the next part goes.
#[inline]
fn append(frame: &mut [u8], at: usize, name: &str) -> usize {
    debug_assert!(name.len() <= NAME_BYTES_MAX, "a name has at most {NAME_BYTES_MAX} bytes");
    let body = at + LENGTH_BYTES;
    let end = body + name.len();
    frame[at..body].copy_from_slice(&(name.len() as u16).to_le_bytes());
    frame[body..end].copy_from_slice(name.as_bytes());
    end
}

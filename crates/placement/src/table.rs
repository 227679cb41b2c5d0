//! The map for those who only look up: one 16-bit entry a shard, read without a lock and changed in place.
//!
//! An entry is the owner's number, in 15 bits, and one bit that says that the shard is on its way; where to is in a small
//! sorted table beside the entries, behind a lock that only those take who ask for it. 1,024 shards take 2 KiB, 65,536
//! take 128 KiB.
//!
//! # What a reader may see
//!
//! [`ShardTable`] is the one writer, and `&mut` keeps it the only one; there are as many [`ShardRoutes`] as anybody likes. A
//! change is stored entry by entry and then, with release, its version. So a reader may see some shards by the new version and
//! others still by the old one. That is harmless: whoever is sent a command fences it by shard and shard epoch, so a command
//! for the old owner is refused and asked again, exactly as one that was on its way when the map changed. What
//! a reader can rely on: after [`ShardRoutes::version`] has said `v`, everything it reads is of `v` or later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aether_domain::Epoch;

use crate::digest::MapDigest;
use crate::map::{Delta, Leaving, MapFault, NodeNumber, NodeTable, ShardMap};

/// What the table says of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry(u16);

impl Entry {
    /// Nobody owns it.
    pub const NOBODY: Self = Self(0x7fff);
    const LEAVING: u16 = 0x8000;

    fn new(owner: Option<NodeNumber>, is_leaving: bool) -> Self {
        let number = owner.map_or(Self::NOBODY.0, |owner| owner.0);
        Self(if is_leaving { number | Self::LEAVING } else { number })
    }
    /// Who owns it now, also while it is on its way.
    #[inline]
    pub fn owner(self) -> Option<NodeNumber> {
        let number = self.0 & !Self::LEAVING;
        if number == Self::NOBODY.0 { None } else { Some(NodeNumber(number)) }
    }
    /// Whether it is on its way: [`ShardRoutes::leaving`] knows where to.
    #[inline]
    pub fn is_leaving(self) -> bool {
        self.0 & Self::LEAVING != 0
    }
}

/// What is beside the entries: asked for seldom.
#[derive(Debug)]
struct Beside {
    /// Of the entries. Written last.
    version: AtomicU64,
    rare: RwLock<Rare>,
}

#[derive(Debug)]
struct Rare {
    leaving: BTreeMap<u32, Leaving>,
    nodes: Arc<NodeTable>,
}

/// The table of one map: its owner changes it, its [`ShardRoutes`] read it.
#[derive(Debug)]
pub struct ShardTable {
    map: ShardMap,
    routes: ShardRoutes,
}

/// A reader of a [`ShardTable`]; a clone reads the same.
///
/// ```
/// use std::sync::Arc;
/// use aether_domain::{Epoch, Incarnation, NodeId, NodeRef};
/// use aether_placement::map::{Delta, MapNode, NodeNumber, NodeTable, ShardBits, ShardMap};
/// use aether_placement::table::{Entry, ShardTable};
///
/// let n1 = NodeRef { node: NodeId::new("n1")?, incarnation: Incarnation(7) };
/// let nodes = Arc::new(NodeTable::new(1, vec![Some(MapNode { node: n1, zone: None })])?);
/// let mut table = ShardTable::new(ShardMap::empty(ShardBits::new(2)?, nodes));
/// let routes = table.routes();
/// assert_eq!(routes.route(u64::MAX), Entry::NOBODY);
/// let given = vec![(3, Some(NodeNumber(0)))];
/// table.apply(&Delta { version: Epoch(1), given, ..Delta::default() })?;
/// assert_eq!(routes.route(u64::MAX).owner(), Some(NodeNumber(0))); // two bits: the last quarter of the hashes
/// assert_eq!(routes.version(), Epoch(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShardRoutes {
    /// One a shard; their number is a power of two.
    entries: Arc<[AtomicU16]>,
    /// How far down the top bits of a hash are to be brought: 64 less the logarithm of their number.
    shift: u32,
    beside: Arc<Beside>,
}

impl ShardTable {
    /// The table of `map`.
    pub fn new(map: ShardMap) -> Self {
        let entries = (0..).zip(map.owners()).map(|(shard, _)| AtomicU16::new(entry(&map, shard).0)).collect();
        let rare = RwLock::new(Rare { leaving: map.leaving().clone(), nodes: map.nodes().clone() });
        let beside = Arc::new(Beside { version: AtomicU64::new(map.version().0), rare });
        let routes = ShardRoutes { entries, shift: u64::BITS - map.shards().log2(), beside };
        Self { map, routes }
    }

    /// The map that readers see, or begin to see.
    pub fn map(&self) -> &ShardMap {
        &self.map
    }
    /// A reader.
    pub fn routes(&self) -> ShardRoutes {
        self.routes.clone()
    }

    /// Makes a change, and says the digest after it.
    ///
    /// # Errors
    /// [`MapFault`]: the delta does not fit, and nothing was changed.
    pub fn apply(&mut self, delta: &Delta) -> Result<MapDigest, MapFault> {
        let digest = self.map.digest_after(delta)?;
        self.commit(delta, digest);
        Ok(digest)
    }

    /// Makes a change whose digest [`ShardMap::digest_after`] has found.
    pub(crate) fn commit(&mut self, delta: &Delta, digest: MapDigest) {
        self.map.commit(delta, digest);
        let changed = || delta.given.iter().chain(&delta.begun).map(|(shard, _)| *shard);
        let mut rare = self.routes.beside.write();
        for shard in changed() {
            match self.map.leaving().get(&shard) {
                Some(leaving) => rare.leaving.insert(shard, *leaving),
                None => rare.leaving.remove(&shard),
            };
        }
        self.store(changed());
    }

    /// Takes another map of as many shards.
    ///
    /// # Errors
    /// [`MapFault::ShardCount`] if it has more or fewer; the old one stays.
    pub fn replace(&mut self, map: ShardMap) -> Result<(), MapFault> {
        let (count, wanted) = (map.shards().count(), self.routes.entries.len());
        if count != wanted {
            return Err(MapFault::ShardCount { count, wanted });
        }
        self.map = map;
        let mut rare = self.routes.beside.write();
        *rare = Rare { leaving: self.map.leaving().clone(), nodes: self.map.nodes().clone() };
        self.store((0..).zip(self.map.owners()).map(|(shard, _)| shard));
        Ok(())
    }

    /// Takes another node table: [`ShardMap::adopt`].
    ///
    /// # Errors
    /// [`MapFault::NumberInUse`]; the old table stays.
    pub fn adopt(&mut self, nodes: Arc<NodeTable>) -> Result<(), MapFault> {
        self.map.adopt(nodes.clone())?;
        self.routes.beside.write().nodes = nodes;
        Ok(())
    }

    /// Stores what the map says of these shards, then the version. What is beside the entries is locked meanwhile.
    fn store(&self, shards: impl Iterator<Item = u32>) {
        for shard in shards {
            self.routes.entries[shard as usize].store(entry(&self.map, shard).0, Ordering::Relaxed);
        }
        self.routes.beside.version.store(self.map.version().0, Ordering::Release);
    }
}

fn entry(map: &ShardMap, shard: u32) -> Entry {
    Entry::new(map.owner(shard).map(|(owner, _)| owner), map.leaving().contains_key(&shard))
}

impl Beside {
    // Nothing panics while the lock is held, and if it did, what is behind it is whole after each of its statements.
    fn read(&self) -> RwLockReadGuard<'_, Rare> {
        self.rare.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Rare> {
        self.rare.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShardRoutes {
    /// The shard of a hash: its top bits.
    #[inline]
    pub fn shard(&self, hash: u64) -> u32 {
        // With one shard the shift is 64, which counts as 0; the mask is 0 then.
        (hash.wrapping_shr(self.shift) as usize & (self.entries.len() - 1)) as u32
    }

    /// What the table says of the shard of a hash. No lock, no allocation.
    #[inline]
    pub fn route(&self, hash: u64) -> Entry {
        self.entry(self.shard(hash))
    }

    /// What the table says of a shard; nobody owns one that does not exist.
    #[inline]
    pub fn entry(&self, shard: u32) -> Entry {
        self.entries.get(shard as usize).map_or(Entry::NOBODY, |entry| Entry(entry.load(Ordering::Relaxed)))
    }

    /// Where a shard is on its way to, if it is. Takes a lock: ask if [`Entry::is_leaving`].
    pub fn leaving(&self, shard: u32) -> Option<Leaving> {
        self.beside.read().leaving.get(&shard).copied()
    }

    /// Whom the numbers mean. Takes a lock: keep what it says until a number is not in it.
    pub fn nodes(&self) -> Arc<NodeTable> {
        self.beside.read().nodes.clone()
    }

    /// A version whose changes are all to be seen from now on.
    pub fn version(&self) -> Epoch {
        Epoch(self.beside.version.load(Ordering::Acquire))
    }
}

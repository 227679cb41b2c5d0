//! The map of shards as a value: who owns each and since when, what is on its way, and one number for all of it.
//!
//! A leader keeps one and makes a [`Delta`] of every entry that changes it; a member applies the deltas to its own.
//! [`crate::table`] is the same map for those who only look up, [`crate::wire`] how it travels.
//!
//! Shards are `u32` here and nodes are numbers: a map may have 2^20 shards on 32,767 nodes, which is more than a cluster of
//! Aether may have today.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aether_domain::{Epoch, NodeRef, ShardCount, Zone};

use crate::digest::MapDigest;

/// How many shards a map has: a power of two, up to 2^20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardBits(u8);

impl ShardBits {
    /// The most there can be: 1,048,576 shards.
    pub const MAX: Self = Self(20);

    /// `log2` is the base-2 logarithm of the number of shards.
    ///
    /// # Errors
    /// [`MapFault::TooManyShards`] above 20.
    pub fn new(log2: u8) -> Result<Self, MapFault> {
        if log2 > Self::MAX.0 { Err(MapFault::TooManyShards { log2 }) } else { Ok(Self(log2)) }
    }
    /// The base-2 logarithm of the number of shards, 0 to 20.
    pub fn log2(self) -> u32 {
        self.0.into()
    }
    /// How many shards.
    pub fn count(self) -> usize {
        1 << self.0
    }
}

impl From<ShardCount> for ShardBits {
    fn from(shards: ShardCount) -> Self {
        Self(shards.log2() as u8) // at most 16
    }
}

/// The number of a node: its place in the [`NodeTable`]. The leader gives it, and gives it to nobody else before every
/// member has a node table in which the place is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeNumber(pub u16);

impl NodeNumber {
    /// Its place in an array of all places.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// One place of the node table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MapNode {
    /// Which life of which machine.
    pub node: NodeRef,
    /// Which nodes it may fail together with, if that is known.
    pub zone: Option<Zone>,
}

/// Which node a number means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTable {
    version: u64,
    /// Invariant: at most [`Self::COUNT_MAX`], no life twice.
    places: Vec<Option<MapNode>>,
}

impl NodeTable {
    /// The most places: 15 bits, and one value that says nobody.
    pub const COUNT_MAX: usize = 32_767;

    /// The places in order; `None` is a free one. `version` grows with every change.
    ///
    /// # Errors
    /// [`MapFault::TooManyNodes`] or [`MapFault::LifeTwice`].
    pub fn new(version: u64, places: Vec<Option<MapNode>>) -> Result<Self, MapFault> {
        if places.len() > Self::COUNT_MAX {
            return Err(MapFault::TooManyNodes { places: places.len() });
        }
        let mut lives = BTreeSet::new();
        if let Some(node) = places.iter().flatten().find(|place| !lives.insert(&place.node)) {
            return Err(MapFault::LifeTwice { node: node.node.clone() });
        }
        Ok(Self { version, places })
    }
    /// Grows with every change; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }
    /// The places in order; `None` is a free one.
    pub fn places(&self) -> &[Option<MapNode>] {
        &self.places
    }
    /// The node with that number, if there is one.
    pub fn get(&self, number: NodeNumber) -> Option<&MapNode> {
        self.places.get(number.index())?.as_ref()
    }

    fn life(&self, number: NodeNumber) -> Result<&NodeRef, MapFault> {
        let unknown = MapFault::UnknownNode { number, nodes: self.version };
        self.get(number).map(|place| &place.node).ok_or(unknown)
    }
}

/// A shard whose owner has been asked to release it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaving {
    /// Who gets it.
    pub to: NodeNumber,
    /// The entry that asked.
    pub since: Epoch,
}

/// What one entry of the log changes in the map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The version of the map that it changes.
    pub base: Epoch,
    /// The version that it makes: the entry's epoch, and the shard epoch of all it gives.
    pub version: Epoch,
    /// Shards that have another owner now, or nobody, ascending. What was on its way has arrived or will not.
    pub given: Vec<(u32, Option<NodeNumber>)>,
    /// Other shards, ascending: where each is on its way to now. `None`: it stays after all.
    pub begun: Vec<(u32, Option<NodeNumber>)>,
}

/// Why something is no map, or does not fit the map it was offered to. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapFault {
    /// There can be 2^20.
    #[error("a map of 2^{log2} shards, at most 2^20 can be")]
    TooManyShards {
        /// The base-2 logarithm as offered.
        log2: u8,
    },
    /// The number of shards is no power of two, or not the map's.
    #[error("{count} shards where {wanted} are expected")]
    ShardCount {
        /// As offered.
        count: usize,
        /// What it should be.
        wanted: usize,
    },
    /// There can be 32,767.
    #[error("{places} nodes, at most {} can be", NodeTable::COUNT_MAX)]
    TooManyNodes {
        /// As offered.
        places: usize,
    },
    /// Two numbers for one life.
    #[error("node {node} has two numbers")]
    LifeTwice {
        /// Which.
        node: NodeRef,
    },
    /// A number without a node.
    #[error("node number {} is free in node table {nodes}", number.0)]
    UnknownNode {
        /// The number.
        number: NodeNumber,
        /// The version of the table it was looked up in.
        nodes: u64,
    },
    /// A number would mean another node while shards are under it.
    #[error("node number {} is in use and cannot mean another node", number.0)]
    NumberInUse {
        /// The number.
        number: NodeNumber,
    },
    /// A shard beyond the last.
    #[error("shard {shard} of {shards}")]
    UnknownShard {
        /// The shard.
        shard: u32,
        /// How many there are.
        shards: usize,
    },
    /// Shards are to be ascending, each once.
    #[error("shard {shard} comes twice or too late")]
    Order {
        /// The shard.
        shard: u32,
    },
    /// Nobody owns it, so it cannot be on its way.
    #[error("shard {shard} leaves nobody")]
    LeavesNobody {
        /// The shard.
        shard: u32,
    },
    /// Given by an entry that the map does not include.
    #[error("shard {shard} is of entry {epoch}, the map of entry {version}")]
    Future {
        /// The shard.
        shard: u32,
        /// The shard's epoch.
        epoch: Epoch,
        /// The map's version.
        version: Epoch,
    },
    /// The map is not the one that the delta makes.
    #[error("the map does not have shard {shard} where the change puts it")]
    NotMade {
        /// The first shard that is elsewhere.
        shard: u32,
    },
    /// The delta changes another version, or makes none.
    #[error("a change of {base} to {version} does not fit a map of version {have}")]
    Gap {
        /// The version it changes.
        base: Epoch,
        /// The version it makes.
        version: Epoch,
        /// The map's own.
        have: Epoch,
    },
}

/// Who owns every shard and since which entry, and which shards are on their way.
///
/// ```
/// use std::sync::Arc;
/// use aether_domain::{Epoch, Incarnation, NodeId, NodeRef, ShardCount};
/// use aether_placement::map::{Delta, MapFault, MapNode, NodeNumber, NodeTable, ShardMap};
///
/// let n1 = NodeRef { node: NodeId::new("n1")?, incarnation: Incarnation(7) };
/// let nodes = Arc::new(NodeTable::new(1, vec![Some(MapNode { node: n1, zone: None })])?);
/// let mut map = ShardMap::empty(ShardCount::DEFAULT.into(), nodes);
/// let given = vec![(0, Some(NodeNumber(0))), (9, Some(NodeNumber(0)))];
/// map.apply(&Delta { base: Epoch::ZERO, version: Epoch(2), given, ..Delta::default() })?;
/// assert_eq!(map.owner(9), Some((NodeNumber(0), Epoch(2))));
///
/// // A change of a version that it does not have is refused, and nothing is changed.
/// let late = Delta { base: Epoch(3), version: Epoch(4), ..Delta::default() };
/// assert_eq!(map.apply(&late), Err(MapFault::Gap { base: Epoch(3), version: Epoch(4), have: Epoch(2) }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMap {
    version: Epoch,
    nodes: Arc<NodeTable>,
    /// By shard: the owner, which has a place in `nodes`, and its shard epoch, which is not above `version`.
    owners: Vec<Option<(NodeNumber, Epoch)>>,
    /// Owned shards that are on their way, with the same two invariants.
    leaving: BTreeMap<u32, Leaving>,
    /// Of all that is above.
    digest: MapDigest,
}

impl ShardMap {
    /// Version 0, in which nobody owns anything.
    pub fn empty(shards: ShardBits, nodes: Arc<NodeTable>) -> Self {
        let owners = vec![None; shards.count()];
        Self { version: Epoch::ZERO, nodes, owners, leaving: BTreeMap::new(), digest: MapDigest::ZERO }
    }

    /// A whole map: each shard's owner and shard epoch, and the shards on their way.
    ///
    /// # Errors
    /// [`MapFault`]: it is no map.
    pub fn new(
        version: Epoch,
        nodes: Arc<NodeTable>,
        owners: Vec<Option<(NodeNumber, Epoch)>>,
        leaving: BTreeMap<u32, Leaving>,
    ) -> Result<Self, MapFault> {
        let count = owners.len();
        if !count.is_power_of_two() || count > ShardBits::MAX.count() {
            let wanted = count.clamp(1, ShardBits::MAX.count()).next_power_of_two();
            return Err(MapFault::ShardCount { count, wanted });
        }
        let mut digest = MapDigest::ZERO;
        let known = |shard, epoch| {
            if epoch > version { Err(MapFault::Future { shard, epoch, version }) } else { Ok(()) }
        };
        for (shard, owner) in (0..).zip(&owners) {
            if let Some((number, epoch)) = *owner {
                known(shard, epoch)?;
                digest ^= MapDigest::owned(shard, nodes.life(number)?, epoch);
            }
        }
        for (&shard, leaving) in &leaving {
            match owners.get(shard as usize) {
                None => return Err(MapFault::UnknownShard { shard, shards: count }),
                Some(None) => return Err(MapFault::LeavesNobody { shard }),
                Some(Some(_)) => known(shard, leaving.since)?,
            }
            digest ^= MapDigest::leaving(shard, nodes.life(leaving.to)?, leaving.since);
        }
        Ok(Self { version, nodes, owners, leaving, digest })
    }

    /// The last entry it includes.
    pub fn version(&self) -> Epoch {
        self.version
    }
    /// How many shards.
    pub fn shards(&self) -> ShardBits {
        ShardBits(self.owners.len().ilog2() as u8) // a power of two
    }
    /// Whom its numbers mean.
    pub fn nodes(&self) -> &Arc<NodeTable> {
        &self.nodes
    }
    /// By shard: its owner and its shard epoch.
    pub fn owners(&self) -> &[Option<(NodeNumber, Epoch)>] {
        &self.owners
    }
    /// Who owns a shard, and since which entry; nobody if there is no such shard.
    pub fn owner(&self, shard: u32) -> Option<(NodeNumber, Epoch)> {
        self.owners.get(shard as usize).copied().flatten()
    }
    /// The shards that are on their way.
    pub fn leaving(&self) -> &BTreeMap<u32, Leaving> {
        &self.leaving
    }
    /// Equal digests mean equal maps, whatever numbers the nodes have: [`crate::digest`].
    pub fn digest(&self) -> MapDigest {
        self.digest
    }

    /// The digest it would have after `delta`: two hashes a change.
    ///
    /// # Errors
    /// [`MapFault`]: the delta does not fit.
    pub fn digest_after(&self, delta: &Delta) -> Result<MapDigest, MapFault> {
        let Delta { base, version, ref given, ref begun } = *delta;
        if base != self.version || version <= base {
            return Err(MapFault::Gap { base, version, have: self.version });
        }
        ascending(given)?;
        ascending(begun)?;
        let mut digest = self.digest;
        for &(shard, to) in given {
            if shard as usize >= self.owners.len() {
                return Err(MapFault::UnknownShard { shard, shards: self.owners.len() });
            }
            digest ^= self.owned_term(shard)? ^ self.leaving_term(shard)?;
            if let Some(to) = to {
                digest ^= MapDigest::owned(shard, self.nodes.life(to)?, version);
            }
        }
        for &(shard, to) in begun {
            if given.binary_search_by_key(&shard, |(shard, _)| *shard).is_ok() {
                return Err(MapFault::Order { shard });
            }
            if self.owner(shard).is_none() {
                return Err(MapFault::LeavesNobody { shard });
            }
            digest ^= self.leaving_term(shard)?;
            if let Some(to) = to {
                digest ^= MapDigest::leaving(shard, self.nodes.life(to)?, version);
            }
        }
        Ok(digest)
    }

    /// Makes the change, and says the digest after it.
    ///
    /// # Errors
    /// [`MapFault`]: the delta does not fit, and nothing was changed.
    pub fn apply(&mut self, delta: &Delta) -> Result<MapDigest, MapFault> {
        let digest = self.digest_after(delta)?;
        self.commit(delta, digest);
        Ok(digest)
    }

    /// Whether this is a map that `delta` can have made.
    ///
    /// # Errors
    /// [`MapFault`]: in what it is not.
    pub(crate) fn was_made_by(&self, delta: &Delta) -> Result<(), MapFault> {
        let Delta { base, version, ref given, ref begun } = *delta;
        if version != self.version || version <= base {
            return Err(MapFault::Gap { base, version, have: self.version });
        }
        ascending(given)?;
        ascending(begun)?;
        let shards = self.owners.len();
        for &(shard, to) in given {
            if shard as usize >= shards {
                return Err(MapFault::UnknownShard { shard, shards });
            }
            if self.owner(shard) != to.map(|to| (to, version)) {
                return Err(MapFault::NotMade { shard });
            }
        }
        for &(shard, to) in begun {
            if self.owner(shard).is_none() {
                return Err(MapFault::LeavesNobody { shard });
            }
            if self.leaving.get(&shard).copied() != to.map(|to| Leaving { to, since: version }) {
                return Err(MapFault::NotMade { shard });
            }
        }
        Ok(())
    }

    /// Makes a change whose digest [`Self::digest_after`] has found.
    pub(crate) fn commit(&mut self, delta: &Delta, digest: MapDigest) {
        for &(shard, to) in &delta.given {
            self.owners[shard as usize] = to.map(|to| (to, delta.version));
            self.leaving.remove(&shard);
        }
        for &(shard, to) in &delta.begun {
            match to {
                Some(to) => self.leaving.insert(shard, Leaving { to, since: delta.version }),
                None => self.leaving.remove(&shard),
            };
        }
        self.version = delta.version;
        self.digest = digest;
    }

    /// Takes another node table, under which every number that is in use means the node that it means now.
    ///
    /// # Errors
    /// [`MapFault::NumberInUse`]; the old table stays.
    pub fn adopt(&mut self, nodes: Arc<NodeTable>) -> Result<(), MapFault> {
        let life = |table: &NodeTable, number| table.get(number).map(|place| place.node.clone());
        let places = (0_u16..).map(NodeNumber).take(self.nodes.places.len());
        let same: Vec<bool> = places.map(|number| life(&nodes, number) == life(&self.nodes, number)).collect();
        let owners = self.owners.iter().flatten().map(|(number, _)| *number);
        let mut in_use = owners.chain(self.leaving.values().map(|leaving| leaving.to));
        if let Some(number) = in_use.find(|number| !same[number.index()]) {
            return Err(MapFault::NumberInUse { number });
        }
        self.nodes = nodes;
        Ok(())
    }

    fn owned_term(&self, shard: u32) -> Result<MapDigest, MapFault> {
        let Some((number, epoch)) = self.owner(shard) else { return Ok(MapDigest::ZERO) };
        Ok(MapDigest::owned(shard, self.nodes.life(number)?, epoch))
    }
    fn leaving_term(&self, shard: u32) -> Result<MapDigest, MapFault> {
        let Some(leaving) = self.leaving.get(&shard) else { return Ok(MapDigest::ZERO) };
        Ok(MapDigest::leaving(shard, self.nodes.life(leaving.to)?, leaving.since))
    }
}

fn ascending(changes: &[(u32, Option<NodeNumber>)]) -> Result<(), MapFault> {
    match changes.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        Some(pair) => Err(MapFault::Order { shard: pair[1].0 }),
        None => Ok(()),
    }
}

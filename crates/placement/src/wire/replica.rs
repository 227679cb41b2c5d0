//! A member's map: which frames it lets in, and what to do about those it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::policy::Strategy;
use aether_domain::{ClusterUid, Epoch, Term};

use super::{Content, Frame, FrameFault, MapHead, Part};
use crate::digest::MapDigest;
use crate::map::{Delta, MapFault, NodeTable, ShardBits, ShardMap};
use crate::table::ShardTable;

/// What a frame has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing new: it has been here before, or a later one has.
    Known,
    /// One of several, and so many are still missing. Nothing has changed yet.
    Waiting {
        /// How many frames.
        missing: u32,
    },
    /// A node table.
    Nodes {
        /// Its version.
        version: u64,
    },
    /// A whole map.
    Snapshot,
    /// A change, which the map now includes.
    Delta(Delta),
}

/// Why a frame was not let in. The map is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no frame.
    #[error("not a frame")]
    Frame(#[from] FrameFault),
    /// It is about another cluster.
    #[error("of cluster {cluster}")]
    OtherCluster {
        /// Which.
        cluster: ClusterUid,
    },
    /// It is of a leader that has been followed by another.
    #[error("of term {term}, the term is {have}")]
    OlderTerm {
        /// The frame's.
        term: Term,
        /// The highest term heard of.
        have: Term,
    },
    /// It is about another number of shards.
    #[error("of a map of {shards} shards, not {have}")]
    OtherShards {
        /// The frame's.
        shards: usize,
        /// The map's.
        have: usize,
    },
    /// Its numbers are of a node table that has not come.
    #[error("node table {needs} is needed, {have} is here")]
    NodesMissing {
        /// The version it needs.
        needs: u64,
        /// The version there is.
        have: u64,
    },
    /// It fits no map that is here: a change before it is missing, most likely.
    #[error("it does not fit")]
    Unfit(#[from] MapFault),
    /// What it makes of the map is not what the leader has.
    #[error("digest {is} at version {version}, the leader has {leader}")]
    Digest {
        /// The version that it makes.
        version: Epoch,
        /// The leader's.
        leader: MapDigest,
        /// What it comes to here.
        is: MapDigest,
    },
}

/// What to do about a frame that was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// Nothing: it was not meant for this member, or it is not worth anything.
    Ignore,
    /// Fetch the node table, then offer the frame again.
    FetchNodes,
    /// Fetch a snapshot.
    FetchSnapshot,
}

impl Refused {
    /// What to do about it.
    pub fn cure(&self) -> Cure {
        match self {
            Self::OtherCluster { .. } | Self::OlderTerm { .. } | Self::OtherShards { .. } => Cure::Ignore,
            Self::NodesMissing { .. } => Cure::FetchNodes,
            Self::Frame(_) | Self::Unfit(_) | Self::Digest { .. } => Cure::FetchSnapshot,
        }
    }
}

/// A map that follows the frames of its cluster's leaders.
///
/// Its digest was the leader's at every version it has had: a frame that would make it another is refused. It trusts
/// its node table so far as that goes: a wrong one makes another digest.
#[derive(Debug)]
pub struct Replica {
    cluster: ClusterUid,
    /// The highest heard of.
    term: Term,
    strategy: Option<Strategy>,
    table: ShardTable,
    /// The latest that is here. The map's own is older while one of its numbers would mean another node.
    nodes: Arc<NodeTable>,
    /// Of a node table, and of a map or a change, not all of whose frames are here: one of each.
    gathered_nodes: Option<Gathered>,
    gathered_map: Option<Gathered>,
}

/// The frames of one message that are here.
#[derive(Debug)]
struct Gathered {
    /// What all its frames have in common.
    key: Key,
    frames: Vec<Option<Content>>,
}

/// Which message a frame is of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Nodes { term: Term, of: u32, version: u64, count: usize },
    Map { term: Term, of: u32, head: MapHead, base: Option<Epoch> },
}

impl Replica {
    /// The empty map of a cluster, before anything was heard.
    pub fn new(cluster: ClusterUid, shards: ShardBits) -> Self {
        let nodes = Arc::new(NodeTable::default());
        let table = ShardTable::new(ShardMap::empty(shards, nodes.clone()));
        Self { cluster, term: Term::ZERO, strategy: None, table, nodes, gathered_nodes: None, gathered_map: None }
    }

    /// The table of its map.
    pub fn table(&self) -> &ShardTable {
        &self.table
    }
    /// The strategy that the leader of the last map or change said the cluster has adopted.
    pub fn strategy(&self) -> Option<&Strategy> {
        self.strategy.as_ref()
    }

    /// Takes a frame, in whatever order and however often it comes.
    ///
    /// # Errors
    /// [`Refused`], which knows its cure; the map is as it was.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Received, Refused> {
        let Frame { origin, part, content } = Frame::decode(bytes)?;
        if origin.cluster != self.cluster {
            return Err(Refused::OtherCluster { cluster: origin.cluster });
        }
        if origin.term < self.term {
            return Err(Refused::OlderTerm { term: origin.term, have: self.term });
        }
        self.term = origin.term;
        match &content {
            Content::Nodes { version, count, .. } => {
                if *version <= self.nodes.version() {
                    return Ok(Received::Known);
                }
                let key = Key::Nodes { term: origin.term, of: part.of, version: *version, count: *count };
                match gather(&mut self.gathered_nodes, key, part, content) {
                    Ok(contents) => self.take_nodes(contents),
                    Err(missing) => Ok(Received::Waiting { missing }),
                }
            }
            Content::Snapshot { head, .. } => self.take_map(head.clone(), None, origin.term, part, content),
            Content::Delta { head, delta } => self.take_map(head.clone(), Some(delta.base), origin.term, part, content),
        }
    }

    fn take_nodes(&mut self, contents: Vec<Content>) -> Result<Received, Refused> {
        let (mut table, mut all) = (0, Vec::new());
        for content in contents {
            if let Content::Nodes { version, places, .. } = content {
                table = version;
                all.extend(places);
            }
        }
        self.nodes = Arc::new(NodeTable::new(table, all)?);
        self.table.adopt(self.nodes.clone())?;
        Ok(Received::Nodes { version: table })
    }

    fn take_map(
        &mut self,
        head: MapHead,
        base: Option<Epoch>,
        term: Term,
        part: Part,
        content: Content,
    ) -> Result<Received, Refused> {
        let map = self.table.map();
        let (shards, have) = (head.shards.count(), map.shards().count());
        if shards != have {
            return Err(Refused::OtherShards { shards, have });
        }
        let (version, leader) = (head.version, head.digest);
        if version < map.version() {
            return Ok(Received::Known);
        }
        if version == map.version() && leader == map.digest() {
            self.strategy = Some(head.strategy);
            return Ok(Received::Known);
        }
        if let Some(base) = base {
            if version == map.version() {
                return Err(Refused::Digest { version, leader, is: map.digest() });
            }
            if base != map.version() {
                return Err(MapFault::Gap { base, version, have: map.version() }.into());
            }
        }
        if head.nodes > self.nodes.version() {
            return Err(Refused::NodesMissing { needs: head.nodes, have: self.nodes.version() });
        }
        if base.is_some() && head.nodes > map.nodes().version() {
            self.table.adopt(self.nodes.clone())?; // changes since it came may have freed the numbers
        }
        let strategy = head.strategy.clone();
        let contents = match gather(&mut self.gathered_map, Key::Map { term, of: part.of, head, base }, part, content) {
            Ok(contents) => contents,
            Err(missing) => return Ok(Received::Waiting { missing }),
        };
        let received = match base {
            None => self.take_snapshot(version, leader, contents)?,
            Some(base) => self.take_delta(base, version, leader, contents)?,
        };
        self.strategy = Some(strategy);
        Ok(received)
    }

    fn take_snapshot(
        &mut self,
        version: Epoch,
        leader: MapDigest,
        contents: Vec<Content>,
    ) -> Result<Received, Refused> {
        let (mut all, mut all_leaving) = (Vec::new(), BTreeMap::new());
        for content in contents {
            if let Content::Snapshot { owners, leaving, .. } = content {
                all.extend(owners);
                all_leaving.extend(leaving);
            }
        }
        let map = ShardMap::new(version, self.nodes.clone(), all, all_leaving)?;
        if map.digest() != leader {
            return Err(Refused::Digest { version, leader, is: map.digest() });
        }
        self.table.replace(map)?;
        Ok(Received::Snapshot)
    }

    fn take_delta(
        &mut self,
        base: Epoch,
        version: Epoch,
        leader: MapDigest,
        contents: Vec<Content>,
    ) -> Result<Received, Refused> {
        let mut whole = Delta { base, version, ..Delta::default() };
        for content in contents {
            if let Content::Delta { delta, .. } = content {
                whole.given.extend(delta.given);
                whole.begun.extend(delta.begun);
            }
        }
        let is = self.table.map().digest_after(&whole)?;
        if is != leader {
            return Err(Refused::Digest { version, leader, is });
        }
        self.table.commit(&whole, is);
        Ok(Received::Delta(whole))
    }
}

/// Puts a frame beside the others of its message. Those of all its parts, in order, once they are all here; until then how
/// many are missing. A frame of another message begins anew.
fn gather(gathered: &mut Option<Gathered>, key: Key, part: Part, content: Content) -> Result<Vec<Content>, u32> {
    if part.of == 1 {
        *gathered = None;
        return Ok(vec![content]);
    }
    let message = match gathered {
        Some(message) if message.key == key => message,
        _ => gathered.insert(Gathered { key, frames: vec![None; part.of as usize] }),
    };
    message.frames[part.at as usize] = Some(content);
    let missing = message.frames.iter().filter(|frame| frame.is_none()).count() as u32;
    if missing > 0 {
        return Err(missing);
    }
    let whole = gathered.take().map(|message| message.frames).unwrap_or_default();
    Ok(whole.into_iter().flatten().collect())
}

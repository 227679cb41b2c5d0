//! The map on the wire: frames that carry a node table, a whole map or a change of one, in few bytes.
//!
//! `docs/FORMATS.md` specifies every bit. [`nodes_frames`], [`snapshot_frames`] and [`delta_frames`] write; what is larger
//! than a message may be goes in several frames, each about a run of its own (*chunks*). [`Frame::decode`] reads one frame and
//! believes nothing: every length is held against what is left and against a bound before anything is allocated. A
//! [`Replica`] holds a map and lets in only the frames that fit it.
//!
//! Nothing here sends or stores.

pub(crate) mod bits;
mod body;
mod replica;

use std::collections::BTreeMap;

use aether_domain::policy::Strategy;
use aether_domain::{ClusterUid, Epoch, Incarnation, NodeId, NodeRef, StrategyName, Term, Zone};
use xxhash_rust::xxh3::xxh3_64;

use crate::digest::MapDigest;
use crate::map::{Delta, Leaving, MapFault, MapNode, NodeNumber, NodeTable, ShardBits, ShardMap};
use bits::{BitReader, BitWriter};

pub use replica::{Cure, Received, Refused, Replica};

/// What every frame begins with.
const MAGIC: [u8; 4] = *b"AEM1";
/// The bytes of the checksum at a frame's end.
const CHECKSUM_BYTES: usize = 8;
/// The most bytes that are read as a frame: what a NATS server takes in one message unless it is told otherwise.
pub const FRAME_BYTES_MAX: usize = 1_048_576;
/// The most bytes of a frame of a map that is too large for one message.
pub const CHUNK_BYTES_MAX: usize = 65_536;
/// The most frames that one node table, map or change is cut into.
pub const PARTS_MAX: u32 = 1_024;

/// Who says it: part of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Of which cluster.
    pub cluster: ClusterUid,
    /// In which term.
    pub term: Term,
}

/// Which of several frames it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 0, below `of`.
    pub at: u32,
    /// How many there are: a power of two, at most [`PARTS_MAX`].
    pub of: u32,
}

impl Part {
    /// The run of `count` things that this part is about.
    fn run(self, count: usize) -> std::ops::Range<usize> {
        let length = count.div_ceil(self.of as usize);
        let end = |at: u32| (at as usize * length).min(count);
        end(self.at)..end(self.at + 1)
    }
}

/// What a frame says of the map it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapHead {
    /// The version that it makes.
    pub version: Epoch,
    /// The strategy that the cluster has adopted.
    pub strategy: Strategy,
    /// How many shards there are.
    pub shards: ShardBits,
    /// The version of the node table that its numbers are of.
    pub nodes: u64,
    /// The digest of the map that it makes.
    pub digest: MapDigest,
}

/// A frame that was read: it is well formed, and that is all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Who says it.
    pub origin: Origin,
    /// Which of several it is.
    pub part: Part,
    /// What it says.
    pub content: Content,
}

/// What a frame says, of the run that its part is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Which node a number means.
    Nodes {
        /// The table's version.
        version: u64,
        /// How many places the whole table has.
        count: usize,
        /// The places of this run.
        places: Vec<Option<MapNode>>,
    },
    /// Who owns what.
    Snapshot {
        /// Of the map.
        head: MapHead,
        /// The shards of this run: owner and shard epoch.
        owners: Vec<Option<(NodeNumber, Epoch)>>,
        /// Those of them that are on their way.
        leaving: BTreeMap<u32, Leaving>,
    },
    /// What has changed.
    Delta {
        /// Of the map.
        head: MapHead,
        /// The changes in this run.
        delta: Delta,
    },
}

/// Why bytes are no frame, and where in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// More than [`FRAME_BYTES_MAX`].
    #[error("{bytes} bytes, at most {FRAME_BYTES_MAX} are read")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// It does not begin as a frame does.
    #[error("no frame of a map")]
    Magic,
    /// Something was changed, or cut off, on the way.
    #[error("checksum {is:016x}, {said:016x} was written")]
    Checksum {
        /// What it says.
        said: u64,
        /// What its bytes come to.
        is: u64,
    },
    /// A frame of a kind that this version does not know.
    #[error("frame kind {kind} is unknown")]
    Kind {
        /// The kind.
        kind: u64,
    },
    /// It ends within something, or what it announces is more than follows.
    #[error("it ends in {what} at byte {at}")]
    Cut {
        /// What was being read.
        what: &'static str,
        /// The byte at which it begins.
        at: usize,
    },
    /// A number that is no number, or longer than it needs to be.
    #[error("{what} at byte {at} is no number")]
    Number {
        /// What was being read.
        what: &'static str,
        /// The byte at which it begins.
        at: usize,
    },
    /// A number above its bound.
    #[error("{what} {value} at byte {at}, at most {most} can be")]
    Range {
        /// What was being read.
        what: &'static str,
        /// What it says.
        value: u64,
        /// The bound.
        most: u64,
        /// The byte at which it begins.
        at: usize,
    },
    /// A name that is none, or something twice or out of order.
    #[error("{what} before byte {at} is not valid")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// The byte behind it.
        at: usize,
    },
    /// Something follows its end.
    #[error("more follows the end at byte {at}")]
    Trailing {
        /// Where it should have ended.
        at: usize,
    },
}

/// Why there are no frames of something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingFault {
    /// It cannot be written in [`PARTS_MAX`] frames of so few bytes.
    #[error("frames of {bytes_max} bytes are too small")]
    TooSmall {
        /// As asked for.
        bytes_max: usize,
    },
    /// The map is not the one that the change makes.
    #[error("the change and the map do not fit")]
    Unfit(#[from] MapFault),
}

/// A frame's first byte behind the magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nodes = 1,
    Snapshot = 2,
    Delta = 3,
}

/// The frames of a node table, each of at most `bytes_max` bytes, as few as can be by halving.
///
/// # Errors
/// [`FramingFault::TooSmall`].
pub fn nodes_frames(origin: Origin, table: &NodeTable, bytes_max: usize) -> Result<Vec<Vec<u8>>, FramingFault> {
    cut(table.places().len(), bytes_max, |part| {
        let mut bits = begin(Kind::Nodes, origin, part);
        bits.put_varint(table.version());
        bits.put_varint(table.places().len() as u64);
        for place in &table.places()[part.run(table.places().len())] {
            let Some(MapNode { node, zone }) = place else {
                put_name(&mut bits, "");
                continue;
            };
            put_name(&mut bits, node.node.as_str());
            bits.put_bytes(&node.incarnation.0.to_le_bytes());
            put_name(&mut bits, zone.as_ref().map_or("", Zone::as_str));
        }
        seal(bits)
    })
}

/// The frames of a whole map, each of at most `bytes_max` bytes, as few as can be by halving.
///
/// # Errors
/// [`FramingFault::TooSmall`].
pub fn snapshot_frames(
    origin: Origin,
    strategy: &Strategy,
    map: &ShardMap,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, FramingFault> {
    cut(map.owners().len(), bytes_max, |part| {
        let mut bits = begin(Kind::Snapshot, origin, part);
        put_head(&mut bits, strategy, map);
        body::put_snapshot(&mut bits, map, part.run(map.owners().len()));
        seal(bits)
    })
}

/// The frames of a change, each of at most `bytes_max` bytes, as few as can be by halving. `after` is the map that it has made.
///
/// # Errors
/// [`FramingFault`]: the frames would be too small, or it has not.
pub fn delta_frames(
    origin: Origin,
    strategy: &Strategy,
    after: &ShardMap,
    delta: &Delta,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, FramingFault> {
    after.was_made_by(delta)?;
    cut(after.owners().len(), bytes_max, |part| {
        let mut bits = begin(Kind::Delta, origin, part);
        put_head(&mut bits, strategy, after);
        bits.put_varint(delta.version.0 - delta.base.0);
        body::put_delta(&mut bits, after.nodes().places().len(), delta, part.run(after.owners().len()));
        seal(bits)
    })
}

/// Twice as many parts until each fits.
fn cut(count: usize, bytes_max: usize, frame: impl Fn(Part) -> Vec<u8>) -> Result<Vec<Vec<u8>>, FramingFault> {
    let bytes_max = bytes_max.min(FRAME_BYTES_MAX);
    let mut of = 1;
    while of <= PARTS_MAX && of as usize <= count.next_power_of_two() {
        let fits = |frame: Vec<u8>| (frame.len() <= bytes_max).then_some(frame);
        if let Some(frames) = (0..of).map(|at| fits(frame(Part { at, of }))).collect() {
            return Ok(frames);
        }
        of *= 2;
    }
    Err(FramingFault::TooSmall { bytes_max })
}

fn begin(kind: Kind, origin: Origin, part: Part) -> BitWriter {
    let mut bits = BitWriter::default();
    bits.put_bytes(&MAGIC);
    bits.put(kind as u64, 8);
    bits.put_bytes(&origin.cluster.0.to_le_bytes());
    bits.put_varint(origin.term.0);
    bits.put(part.of.ilog2().into(), 8);
    bits.put_varint(part.at.into());
    bits
}

fn put_head(bits: &mut BitWriter, strategy: &Strategy, map: &ShardMap) {
    bits.put_varint(map.version().0);
    put_name(bits, strategy.name.as_str());
    bits.put_varint(strategy.version.into());
    bits.put(map.shards().log2().into(), 8);
    bits.put_varint(map.nodes().version());
    bits.put_varint(map.nodes().places().len() as u64);
    bits.put_bytes(&map.digest().0.to_le_bytes());
}

fn put_name(bits: &mut BitWriter, name: &str) {
    bits.put(name.len() as u64, 8); // a name has at most 32 bytes
    bits.put_bytes(name.as_bytes());
}

fn seal(bits: BitWriter) -> Vec<u8> {
    let mut frame = bits.into_bytes();
    let checksum = xxh3_64(&frame);
    frame.extend(checksum.to_le_bytes());
    frame
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// [`FrameFault`]: what is wrong with it, and where.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameFault> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameFault::TooLong { bytes: bytes.len() });
        }
        if !bytes.starts_with(&MAGIC) {
            return Err(FrameFault::Magic);
        }
        let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(FrameFault::Cut { what: "checksum", at: MAGIC.len() });
        };
        let (said, is) = (u64::from_le_bytes(*checksum), xxh3_64(body));
        if said != is {
            return Err(FrameFault::Checksum { said, is });
        }
        let mut bits = BitReader::new(body);
        bits.take("magic", 32)?;
        let kind = bits.take("kind", 8)?;
        let cluster = ClusterUid(bits.take_u128("cluster")?);
        let origin = Origin { cluster, term: Term(bits.take_varint("term")?) };
        let at = bits.byte();
        let parts = bits.take("parts", 8)?;
        let most = PARTS_MAX.ilog2().into();
        if parts > most {
            return Err(FrameFault::Range { what: "parts", value: parts, most, at });
        }
        let of = 1 << parts;
        let part = Part { at: bits.take_bounded("part", u64::from(of) - 1)? as u32, of };
        let content = match kind {
            kind if kind == Kind::Nodes as u64 => take_nodes(&mut bits, part)?,
            kind if kind == Kind::Snapshot as u64 => {
                let (head, places) = take_head(&mut bits)?;
                let run = part.run(head.shards.count());
                let (owners, leaving) = body::take_snapshot(&mut bits, places, head.version, run)?;
                Content::Snapshot { head, owners, leaving }
            }
            kind if kind == Kind::Delta as u64 => {
                let (head, places) = take_head(&mut bits)?;
                let version = head.version;
                let base = Epoch(version.0 - bits.take_bounded("base version", version.0)?);
                let (given, begun) = body::take_delta(&mut bits, places, part.run(head.shards.count()))?;
                Content::Delta { head, delta: Delta { base, version, given, begun } }
            }
            kind => return Err(FrameFault::Kind { kind }),
        };
        bits.end()?;
        Ok(Self { origin, part, content })
    }
}

fn take_nodes(bits: &mut BitReader<'_>, part: Part) -> Result<Content, FrameFault> {
    let version = bits.take_varint("node table version")?;
    let count = bits.take_bounded("places", NodeTable::COUNT_MAX as u64)? as usize;
    let run = part.run(count);
    bits.expect("places", run.len(), 8)?;
    let mut places = Vec::with_capacity(run.len());
    for _ in run {
        let Some(node) = take_name(bits, "node id", NodeId::new)? else {
            places.push(None);
            continue;
        };
        let incarnation = Incarnation(bits.take_u64("incarnation")?);
        let zone = take_name(bits, "zone", Zone::new)?;
        places.push(Some(MapNode { node: NodeRef { node, incarnation }, zone }));
    }
    Ok(Content::Nodes { version, count, places })
}

/// The head, and how many places its node table has.
fn take_head(bits: &mut BitReader<'_>) -> Result<(MapHead, usize), FrameFault> {
    let version = Epoch(bits.take_varint("version")?);
    let name = take_name(bits, "strategy", StrategyName::new)?;
    let name = name.ok_or(FrameFault::Invalid { what: "strategy", at: bits.byte() })?;
    let strategy = Strategy { name, version: bits.take_bounded("strategy version", u16::MAX.into())? as u16 };
    let at = bits.byte();
    let log2 = bits.take("shards", 8)?;
    let most = u64::from(ShardBits::MAX.log2());
    let shards = ShardBits::new(log2 as u8).map_err(|_| FrameFault::Range { what: "shards", value: log2, most, at })?;
    let nodes = bits.take_varint("node table version")?;
    let places = bits.take_bounded("places", NodeTable::COUNT_MAX as u64)? as usize;
    let digest = MapDigest(bits.take_u128("digest")?);
    Ok((MapHead { version, strategy, shards, nodes, digest }, places))
}

/// A name behind its length; none if that is 0.
fn take_name<T, E>(
    bits: &mut BitReader<'_>,
    what: &'static str,
    name: impl FnOnce(String) -> Result<T, E>,
) -> Result<Option<T>, FrameFault> {
    let length = bits.take(what, 8)? as usize;
    if length == 0 {
        return Ok(None);
    }
    let text = bits.take_bytes(what, length)?;
    let invalid = FrameFault::Invalid { what, at: bits.byte() };
    let text = String::from_utf8(text).map_err(|_| invalid.clone())?;
    name(text).map(Some).map_err(|_| invalid)
}

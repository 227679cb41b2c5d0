//! The words of our JSON: how ids, counters, sets and names are written, and the frame every record shares.
//!
//! 64 and 128 bit numbers are lower-case hex strings, because other languages' JSON numbers end at 2^53: counters without
//! leading zeros, random marks and hashes in full width. Milliseconds and small counts are plain numbers.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use aether_domain::assignment::CancelReason;
use aether_domain::cluster::{FailureReason, NodeInfo, RebalanceCause};
use aether_domain::lease::LossReason;
use aether_domain::records::{Format, LeaseState, MemberState};
use aether_domain::{Incarnation, NodeId, NodeRef, ShardSet, Tag, Zone};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Encoded, FORMAT, WireFault, bounded, checksum};

/// The most shards the sets of one record may hold together: a short text can name many.
const SHARDS_PER_RECORD_MAX: usize = 1 << 20;

/// A counter: hex without leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter(pub(super) u64);

/// A random mark or a hash: sixteen hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(pub(super) u64);

/// A wide mark: thirty-two hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WideMark(pub(super) u128);

/// A life of a node: `n1/00000000000004d2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life(pub(super) NodeRef);

/// Anything that has one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<T>(pub(super) T);

/// One of a closed set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for Counter {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = (1..=16).contains(&text.len()) && (text == "0" || !text.starts_with('0'));
        let value = lower_hex(text).filter(|_| canonical).ok_or("not a counter in lower-case hex")?;
        Ok(Self(value as u64))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Mark {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = lower_hex(text).filter(|_| text.len() == 16).ok_or("not sixteen lower-case hex digits")?;
        Ok(Self(value as u64))
    }
}

impl fmt::Display for WideMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for WideMark {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        lower_hex(text).filter(|_| text.len() == 32).map(Self).ok_or("not thirty-two lower-case hex digits")
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Life {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (node, incarnation) = text.split_once('/').ok_or("not a node and its incarnation")?;
        let Mark(incarnation) = incarnation.parse()?;
        let node = NodeId::new(node).map_err(|error| error.to_string())?;
        Ok(Self(NodeRef { node, incarnation: Incarnation(incarnation) }))
    }
}

fn lower_hex(text: &str) -> Option<u128> {
    let fits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if fits { u128::from_str_radix(text, 16).ok() } else { None }
}

/// A closed set of names with their meanings.
pub(super) trait Words: Copy + PartialEq + 'static {
    /// Every meaning with its name.
    const TABLE: &'static [(Self, &'static str)];
}

macro_rules! words {
    ($($of:ty => $table:expr),+ $(,)?) => {
        $(impl Words for $of {
            const TABLE: &'static [(Self, &'static str)] = $table;
        })+
    };
}

words! {
    FailureReason => &FailureReason::NAMES,
    RebalanceCause => &RebalanceCause::NAMES,
    LossReason => &LossReason::NAMES,
    CancelReason => &CancelReason::NAMES,
    LeaseState => &[(LeaseState::Held, "held"), (LeaseState::Resigned, "resigned")],
    MemberState => &MemberState::NAMES,
}

impl<T: Words> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = T::TABLE.iter().find(|(meaning, _)| *meaning == self.0);
        f.write_str(named.expect("a table of words names every meaning").1)
    }
}

impl<T: Words> FromStr for Word<T> {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = T::TABLE.iter().find(|(_, name)| *name == text);
        named.map(|(meaning, _)| Self(*meaning)).ok_or("not one of the names that belong here")
    }
}

struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($($of:ty),+) => {
        $(impl Serialize for $of {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $of {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText(PhantomData))
            }
        })+
    };
}

as_text!(Counter, Mark, WideMark, Life);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData)).map(Self)
    }
}

impl<T: Words> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

/// What a node is like, in the words that stand beside its name.
pub(super) fn info_parts(info: &NodeInfo) -> (u32, Option<Text<Zone>>, Vec<Text<Tag>>) {
    (info.weight, info.zone.clone().map(Text), info.tags.iter().cloned().map(Text).collect())
}

/// What those words say.
pub(super) fn node_info(weight: u32, zone: Option<Text<Zone>>, tags: Vec<Text<Tag>>) -> Result<NodeInfo, WireFault> {
    if tags.len() > NodeInfo::TAGS_MAX {
        return Err(WireFault::TooMany { what: "tags of a node", count: tags.len() });
    }
    Ok(NodeInfo { weight, zone: zone.map(|Text(zone)| zone), tags: tags.into_iter().map(|Text(tag)| tag).collect() })
}

/// Whole milliseconds; what is below is dropped.
pub(super) fn millis(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

/// Reads sets of shards and refuses a record whose sets are larger together than any cluster needs.
pub(super) struct ShardBudget(usize);

impl Default for ShardBudget {
    fn default() -> Self {
        Self(SHARDS_PER_RECORD_MAX)
    }
}

impl ShardBudget {
    /// The set that `runs` names. Counted before it is unfolded.
    pub(super) fn read(&mut self, runs: &str) -> Result<ShardSet, WireFault> {
        let size = |run: &str| {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last) = (first.parse::<u16>().unwrap_or(0), last.parse::<u16>().unwrap_or(0));
            usize::from(last.saturating_sub(first)) + 1
        };
        let shards: usize = runs.split(',').map(size).sum();
        self.0 = self.0.checked_sub(shards).ok_or(WireFault::TooManyShards(SHARDS_PER_RECORD_MAX))?;
        Ok(runs.parse()?)
    }
}

/// A record of some kind, as it stands in JSON.
pub(super) trait JsonRecord: Serialize {
    /// What stands in the field `kind`.
    const KIND: &'static str;
    /// The format and kind it was read with.
    fn head(&self) -> (u8, &str);
}

/// The record as JSON with its checksum.
pub(super) fn encode<T: JsonRecord>(record: &T, bytes_max: usize) -> Result<Encoded, WireFault> {
    let payload = serde_json::to_vec(record)?;
    bounded(payload.len(), bytes_max)?;
    let checksum = Some(checksum(&payload));
    Ok(Encoded { payload: payload.into(), checksum })
}

/// The record that `payload` holds, if its checksum, format and kind are right.
pub(super) fn decode<'a, T>(payload: &'a [u8], header: Option<&str>, bytes_max: usize) -> Result<T, WireFault>
where
    T: JsonRecord + Deserialize<'a>,
{
    bounded(payload.len(), bytes_max)?;
    if payload.first() != Some(&b'{') {
        return Err(WireFault::UnknownEncoding);
    }
    match header {
        None => return Err(WireFault::NoChecksum),
        Some(header) if header != checksum(payload) => return Err(WireFault::Checksum),
        Some(_) => {}
    }
    let record: T = serde_json::from_slice(payload).map_err(|error| match refused_by_head::<T>(payload) {
        Some(fault) => fault,
        None => WireFault::Json(error),
    })?;
    match refused(record.head(), T::KIND) {
        Some(fault) => Err(fault),
        None => Ok(record),
    }
}

/// A better word for a record of another format or kind than that it has an unknown field.
fn refused_by_head<T: JsonRecord>(payload: &[u8]) -> Option<WireFault> {
    let head: Head = serde_json::from_slice(payload).ok()?;
    if head.format != u32::from(FORMAT) {
        return Some(WireFault::UnknownFormat { found: head.format, reads: FORMAT, build: head.build() });
    }
    refused((FORMAT, &head.kind), T::KIND)
}

/// What every text says, in whatever format.
#[derive(Deserialize)]
struct Head {
    format: u32,
    kind: String,
    /// The build, from format 2 on.
    #[serde(default)]
    written_by: String,
}

impl Head {
    fn build(&self) -> String {
        self.written_by.chars().take(64).collect()
    }
}

/// What is wrong with a record in a format newer than is read, and who wrote it where it says so.
pub(crate) fn newer(payload: &[u8], found: Format, reads: Format) -> WireFault {
    let head = serde_json::from_slice::<Head>(payload).ok();
    let build = head.map(|head| head.build()).unwrap_or_default();
    WireFault::UnknownFormat { found: found.0.into(), reads: reads.0, build }
}

fn refused((format, kind): (u8, &str), expected: &'static str) -> Option<WireFault> {
    if format != FORMAT {
        Some(WireFault::UnknownFormat { found: format.into(), reads: FORMAT, build: String::new() })
    } else if kind == expected {
        None
    } else {
        Some(WireFault::Kind { expected, found: kind.chars().take(32).collect() })
    }
}

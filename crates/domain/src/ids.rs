//! The small words everything else is said with: who (nodes, actors), where (shards, slots) and when (terms, epochs).
//!
//! Every constructor that can refuse says why; a value that exists is valid. Nothing here is encoded or hashed:
//! formats live with the adapters, the shard hash in `aether-placement`.

use std::fmt;
use std::sync::Arc;

pub use crate::shard_set::ShardSet;

/// Why a text or number is not the identifier it was offered as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// A name has a length or a character its kind does not allow.
    #[error("{what} {text:?} is not valid: {rule}")]
    Name {
        /// Which kind of name was asked for.
        what: &'static str,
        /// The text as offered, cut after 64 characters.
        text: String,
        /// The rule it breaks, in words.
        rule: &'static str,
    },
    /// A number is outside its range.
    #[error("{what} {value} is out of range: {rule}")]
    Number {
        /// Which kind of number was asked for.
        what: &'static str,
        /// The value as offered.
        value: u64,
        /// The rule it breaks, in words.
        rule: &'static str,
    },
}

fn token<'a>(what: &'static str, text: &'a str, max: usize, rule: &'static str) -> Result<&'a str, InvalidId> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if text.is_empty() || text.len() > max || !text.chars().all(fits) {
        return Err(InvalidId::Name { what, text: text.chars().take(64).collect(), rule });
    }
    Ok(text)
}

/// The most bytes of a name that is kept in place.
const PLACED_BYTES_MAX: usize = 32;

/// A name's text in place: copying it touches nothing that other threads touch.
///
/// Invariant: UTF-8; unused bytes are 0, and no name has such. So texts are compared as their bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PlacedText {
    bytes: [u8; PLACED_BYTES_MAX],
    len: u8,
}

impl From<&str> for PlacedText {
    /// The text of a name, whose bound has been checked.
    fn from(name: &str) -> Self {
        let mut bytes = [0; PLACED_BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Self { bytes, len: name.len() as u8 }
    }
}

impl PlacedText {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::ops::Deref for PlacedText {
    type Target = str;
    fn deref(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("it was copied whole from a text")
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $rule:literal) => {
        name!($(#[$doc])* $name in Arc<str>, $what, $max, $rule);
    };
    ($(#[$doc:meta])* $name:ident in $text:ty, $what:literal, $max:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($text);
        impl $name {
            #[doc = concat!("Checks and takes a name: ", $rule, ".")]
            ///
            /// # Errors
            /// [`InvalidId::Name`] if the text breaks that rule.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                token($what, text.as_ref(), $max, $rule).map(|text| Self(text.into()))
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// One isolated Aether cluster inside a NATS account; part of every subject and stream name.
    Namespace, "namespace", 32, "1 to 32 of a-z, 0-9, _ and -"
);
name!(
    /// A configured machine. The same id names every life of its process; see [`Incarnation`].
    NodeId, "node id", 32, "1 to 32 of a-z, 0-9, _ and -"
);
name!(
    /// A part of the world whose nodes may fail together: a rack, a room, a data centre.
    Zone, "zone", 32, "1 to 32 of a-z, 0-9, _ and -"
);
name!(
    /// Something that can be said of a node, for shards that need it there: `ssd`, `eu`, `gpu`.
    Tag, "tag", 32, "1 to 32 of a-z, 0-9, _ and -"
);
name!(
    /// The stable name of a placement strategy, without its version.
    StrategyName, "strategy", 32, "1 to 32 of a-z, 0-9, _ and -"
);
name!(
    /// The stable name of a feed: whoever uses it goes on where the last one ended.
    FeedName, "feed", 32, "1 to 32 of a-z, 0-9, _ and -"
);
name!(
    /// The stable name of an actor type: part of subjects, metrics and history.
    ActorKind in PlacedText, "actor kind", PLACED_BYTES_MAX, "1 to 32 of a-z, 0-9, _ and -"
);

impl ActorKind {
    /// The name's bytes, which are ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The identity of one actor within its kind: any text of 1 to 128 bytes.
///
/// Adapters encode it where a medium allows fewer characters. Up to [`Self::INLINE_BYTES_MAX`] bytes are kept in place,
/// without memory of their own; longer texts are shared by all copies.
#[derive(Clone, PartialEq, Eq)]
pub struct ActorId(IdText);

/// Invariant: UTF-8; short if and only if it fits, unused bytes are 0. So equal texts are equal values.
#[derive(Clone, PartialEq, Eq)]
enum IdText {
    Short { len: u8, bytes: [u8; ActorId::INLINE_BYTES_MAX] },
    Long(Arc<str>),
}

impl ActorId {
    /// The most bytes an id may have.
    pub const BYTES_MAX: usize = 128;
    /// The most bytes of an id that takes no memory of its own.
    pub const INLINE_BYTES_MAX: usize = 22;

    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`InvalidId::Name`] if it is empty or longer than [`Self::BYTES_MAX`] bytes.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
        let text = text.as_ref();
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            let rule = "1 to 128 bytes";
            return Err(InvalidId::Name { what: "actor id", text: text.chars().take(64).collect(), rule });
        }
        let mut bytes = [0; Self::INLINE_BYTES_MAX];
        Ok(Self(match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                IdText::Short { len: text.len() as u8, bytes }
            }
            None => IdText::Long(text.into()),
        }))
    }
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            IdText::Short { .. } => std::str::from_utf8(self.as_bytes()).expect("it was copied whole from a text"),
            IdText::Long(text) => text,
        }
    }
    /// The text's bytes: what ids are compared and hashed by.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            IdText::Short { len, bytes } => &bytes[..usize::from(*len)],
            IdText::Long(text) => text.as_bytes(),
        }
    }
}

impl PartialOrd for ActorId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ActorId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for ActorId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// One actor: its kind and its id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorKey {
    /// The actor's type.
    pub kind: ActorKind,
    /// Which one of that type.
    pub id: ActorId,
}

impl fmt::Display for ActorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl fmt::Debug for ActorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An actor and the slot its hash falls in, so that the hash is computed once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorAddress {
    /// Whom.
    pub key: ActorKey,
    /// Where in the hash space: fixed for ever, so an actor's subject never changes.
    pub slot: Slot,
}

/// One of 65,536 fixed slices of the hash space (the top 16 bits of an actor's hash).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The shard this slot belongs to when there are `shards` of them: the top bits of the slot.
    pub fn shard(self, shards: ShardCount) -> ShardId {
        ShardId((u32::from(self.0) >> (16 - shards.log2())) as u16)
    }
}

/// How many shards a cluster has: a power of two from 1 to 65,536, fixed at creation (1024 by default).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardCount {
    /// Invariant: at most 16.
    log2: u8,
}

impl ShardCount {
    /// 1024 shards.
    pub const DEFAULT: Self = Self { log2: 10 };

    /// Checks and takes a number of shards.
    ///
    /// # Errors
    /// [`InvalidId::Number`] unless it is a power of two from 1 to 65,536.
    pub fn new(count: u32) -> Result<Self, InvalidId> {
        if !count.is_power_of_two() || count > 65_536 {
            let rule = "a power of two from 1 to 65536";
            return Err(InvalidId::Number { what: "shard count", value: count.into(), rule });
        }
        Ok(Self { log2: count.trailing_zeros() as u8 })
    }
    /// How many shards.
    pub fn get(self) -> usize {
        1 << self.log2
    }
    /// The base-2 logarithm of the count, 0 to 16.
    pub fn log2(self) -> u32 {
        self.log2.into()
    }
    /// All shards, in order.
    pub fn all(self) -> impl DoubleEndedIterator<Item = ShardId> + Clone {
        (0..=(self.get() - 1) as u16).map(ShardId)
    }
}

impl Default for ShardCount {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One of the cluster's shards: the unit of ownership and movement. Counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's place in an array of all shards.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
        impl $name {
            /// Before the first one.
            pub const ZERO: Self = Self(0);
            /// Not before any other.
            pub const MAX: Self = Self(u64::MAX);
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter!(
    /// The number of a leadership: grows with each election. 0 means that nobody has led yet.
    Term
);
counter!(
    /// The topology log's own counter, one per entry. The epoch of the entry that gave a shard to its owner is that
    /// shard's *shard epoch*: globally unique, growing, the fencing token of its commits.
    Epoch
);
counter!(
    /// How many events an actor's history holds. 0 before the first.
    Version
);
counter!(
    /// The revision of a control record: what a compare-and-set compares with. 0 is "no such record".
    Revision
);
counter!(
    /// A position in a stream: what an append compares with. 0 is "nothing stored yet".
    Sequence
);
counter!(
    /// The number of a rebalance plan: the epoch of the entry that announced it.
    PlanId
);

/// One life of a node's process: random, never 0, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A node in one of its lives: the only thing that can own a shard, lead, or be written to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRef {
    /// Which machine.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.incarnation)
    }
}

impl fmt::Debug for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A random number that lets a writer recognise its own record after an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u64);

/// The identity of a cluster: drawn once, in the entry that creates it. A log of another cluster is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterUid(pub u128);

impl fmt::Display for ClusterUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A command's identity: minted once, by the first node that accepts it, and kept through every retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId {
    /// The life of the node that minted it.
    pub origin: Incarnation,
    /// That node's own counter, from 1.
    pub sequence: u64,
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.origin, self.sequence)
    }
}

/// An application's own name for one intention, so that its own retries count once (128 bits, chosen by the caller).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_of_a_subject() {
        for good in ["n1", "a", "bank-eu_2", &"x".repeat(32)] {
            assert_eq!(NodeId::new(good).expect("is a name").as_str(), good);
        }
        for bad in ["", "N1", "a.b", "a*", "ä", "a b", &"x".repeat(33)] {
            assert!(NodeId::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn names_that_are_kept_in_place_compare_as_their_texts_do() {
        let longest = "x".repeat(32);
        let texts = ["a", "a-", "a0", "ab", "b", "x", &longest[1..], &longest];
        let kind = |text: &str| ActorKind::new(text).expect("a kind");
        for one in texts {
            assert_eq!((kind(one).as_str(), kind(one).to_string()), (one, one.to_string()));
            for other in texts {
                assert_eq!(kind(one).cmp(&kind(other)), one.cmp(other), "{one:?} {other:?}");
                assert_eq!(kind(one) == kind(other), one == other, "{one:?} {other:?}");
            }
        }
        assert!(ActorKind::new("x".repeat(33)).is_err());
    }

    #[test]
    fn an_actor_id_is_any_text_up_to_its_bound() {
        assert!(ActorId::new("über/ .>*").is_ok());
        assert!(ActorId::new("x".repeat(128)).is_ok());
        assert!(ActorId::new("").is_err());
        assert!(ActorId::new("x".repeat(129)).is_err());
    }

    #[test]
    fn actor_ids_compare_as_their_texts_do_wherever_these_are_kept() {
        assert_eq!(size_of::<ActorId>(), 24);
        let texts = ["a", "a\0", "ab", "über", &"x".repeat(21), &"x".repeat(22), &"x".repeat(23), &"x".repeat(128)];
        let id = |text: &str| ActorId::new(text).expect("an id");
        for one in texts {
            assert_eq!((id(one).as_str(), id(one).to_string()), (one, one.to_string()));
            for other in texts {
                assert_eq!(id(one).cmp(&id(other)), one.cmp(other), "{one:?} {other:?}");
                assert_eq!(id(one) == id(other), one == other, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn shards_are_runs_of_slots() {
        let thousand = ShardCount::DEFAULT;
        assert_eq!(Slot(0).shard(thousand), ShardId(0));
        assert_eq!(Slot(63).shard(thousand), ShardId(0));
        assert_eq!(Slot(64).shard(thousand), ShardId(1));
        assert_eq!(Slot(u16::MAX).shard(thousand), ShardId(1023));
        let most = ShardCount::new(65_536).expect("the most there can be");
        assert_eq!(Slot(u16::MAX).shard(most), ShardId(u16::MAX));
        assert_eq!(most.all().count(), 65_536);
        assert_eq!(Slot(u16::MAX).shard(ShardCount::new(1).expect("one")), ShardId(0));
        assert!(ShardCount::new(1000).is_err());
        assert!(ShardCount::new(131_072).is_err());
    }

    #[test]
    fn shard_sets_read_what_they_write() {
        for (shards, text) in [
            (vec![], ""),
            (vec![5], "5"),
            (vec![0, 1, 2, 7, 9, 10], "0-2,7,9-10"),
            (vec![65_534, 65_535], "65534-65535"),
        ] {
            let set: ShardSet = shards.into_iter().map(ShardId).collect();
            assert_eq!(set.to_string(), text);
            assert_eq!(text.parse::<ShardSet>().expect("own text"), set);
        }
        for bad in ["1,1", "3-1", "2,1", "x", "1-", "70000", ","] {
            assert!(bad.parse::<ShardSet>().is_err(), "{bad:?} was read");
        }
    }
}

//! Event sourcing without actors: streams of events over the ports alone.
//!
//! A [`Journal`] appends events behind an expected version, replays them, keeps snapshots and tells of what was stored.
//! It needs an adapter of the ports and nothing else: no node, no runtime, no cluster.
//!
//! - **A stream** is a history of its own, named by a kind and an id: [`stream()`]. The actors of a cluster are kept elsewhere
//!   even under the same names, for their places depend on the cluster's hash. Namespaces never mix.
//! - **Two writers** of one stream are told apart by compare-and-set: one succeeds, the other is told
//!   [`AppendFailed::Conflict`] with both versions.
//! - **An unknown outcome** is never guessed: the history is read for the own record, and the same record is sent again
//!   with the same expectation, until it is stored or another stands in its place. If that takes too long the caller is
//!   given the [`Doubt`] itself, to be settled later.
//! - **A history that a cluster's actor writes** is read like any other, and refused for writing
//!   ([`AppendFailed::Owned`]): its owner must be asked. A stream that a journal has written may become an actor's.
//!
//! What reading costs is said at [`Journal::replay`]: a stream is read from a place that is known, or from its start.
//!
//! Times and randomness are arguments: nothing here reads a clock.

mod append;
mod history;
mod reading;
mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::ids::{ActorAddress, ActorId, ActorKey, ActorKind, Incarnation, InvalidId, Nonce, Slot};
use crate::ports::{
    BusUpdate, EventBus, EventFilter, EventStore, Ports, ReadError, SaveError, SnapshotStore, StartAt, Updates,
};
use crate::records::{ActorSnapshot, EventRecord, PayloadCodec};
use crate::time::WallTime;

pub use crate::records::Head;
pub use append::{AppendFailed, Doubt};
pub use history::{Loaded, Recorded};
pub use versions::{FOLLOWED_MAX, VERSIONS_MAX, Versions};

/// Streams of events over one connection's ports. Cheap to clone; all clones share one [`Versions`].
#[derive(Clone)]
pub struct Journal {
    events: Arc<dyn EventStore>,
    snapshots: Arc<dyn SnapshotStore>,
    bus: Arc<dyn EventBus>,
    writer: Incarnation,
    nonces: Arc<Nonces>,
    versions: Arc<Versions>,
}

/// Events that are to be stored together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// How their payloads are encoded.
    pub codec: PayloadCodec,
    /// When, for people.
    pub at: WallTime,
    /// The events, in order; at least one.
    pub events: Vec<EventRecord>,
}

/// The address of a stream: its place follows from its names, by a function that never changes (FNV-1a of `kind`, a zero
/// byte and `id`, then the finalizer of MurmurHash3, the upper 16 bits).
///
/// An actor of a cluster has another: `aether_placement::ShardHash::address`.
///
/// # Errors
/// [`InvalidId`] if one of them is not a valid name.
pub fn stream(kind: impl AsRef<str>, id: impl AsRef<str>) -> Result<ActorAddress, InvalidId> {
    let key = ActorKey { kind: ActorKind::new(kind)?, id: ActorId::new(id)? };
    let bytes = key.kind.as_str().bytes().chain([0]).chain(key.id.as_str().bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Ok(ActorAddress { key, slot: Slot((mix(hash) >> 48) as u16) })
}

impl Journal {
    /// A journal over these ports. `writer` names whoever writes, in every record; `seed` makes the marks by which it knows
    /// its own records again: 64 bits of entropy, never used twice under one writer.
    pub fn new(ports: &Ports, writer: Incarnation, seed: u64) -> Self {
        Self {
            events: ports.events.clone(),
            snapshots: ports.snapshots.clone(),
            bus: ports.bus.clone(),
            writer,
            nonces: Arc::new(Nonces { seed, given: AtomicU64::new(0) }),
            versions: Arc::default(),
        }
    }

    /// What is known of versions without asking. It follows only its own appends and reads until
    /// [`Versions::follow`] is run beside it.
    pub fn versions(&self) -> &Arc<Versions> {
        &self.versions
    }

    /// Keeps `state` as what the stream's events up to `head` lead to. `schema` is the version of its shape, from 1.
    ///
    /// # Errors
    /// [`SaveError`]. Nothing is lost by it: the events are there.
    pub async fn save(
        &self,
        stream: &ActorAddress,
        head: Head,
        schema: u32,
        codec: PayloadCodec,
        state: Bytes,
    ) -> Result<(), SaveError> {
        let snapshot = ActorSnapshot {
            at: head.at,
            version: head.version,
            shard_epoch: head.shard_epoch,
            schema,
            codec,
            state,
            origins: Vec::new(),
            messages: Vec::new(),
            timers: Vec::new(),
        };
        self.snapshots.save(stream, &snapshot).await
    }

    /// What is stored, by whomever, as `filter` wants it: see [`EventBus`].
    ///
    /// # Errors
    /// [`ReadError`] if it cannot begin.
    pub async fn subscribe(&self, filter: &EventFilter, start: StartAt) -> Result<Updates<BusUpdate>, ReadError> {
        self.bus.subscribe(filter, start).await
    }
}

/// Marks for records, each once.
struct Nonces {
    seed: u64,
    given: AtomicU64,
}

impl Nonces {
    fn next(&self) -> Nonce {
        let nth = self.given.fetch_add(1, Ordering::Relaxed);
        // An odd step visits every number once, and the mix is one to one: no mark comes twice.
        Nonce(mix(self.seed.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }
}

/// The finalizer of MurmurHash3: one to one, and every bit of the answer depends on every bit of the question.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_stream_never_changes() {
        for (kind, id, slot) in [("order", "7", 54570_u16), ("order", "8", 2661), ("a", "\u{fc} /.", 12796)] {
            assert_eq!(stream(kind, id).expect("names").slot, Slot(slot), "{kind}/{id}");
        }
        assert!(stream("Order", "7").is_err() && stream("order", "").is_err());
    }

    #[test]
    fn no_mark_is_given_twice() {
        let nonces = Nonces { seed: 7, given: AtomicU64::new(0) };
        let given: std::collections::BTreeSet<_> = (0..10_000).map(|_| nonces.next()).collect();
        assert_eq!(given.len(), 10_000);
    }
}

//! What all shards of a node hold together, and the most they may: actors in memory, their bytes, and waiting commands.
//!
//! Every shard counts here whatever it takes in and lets go. Who has to leave when there is no more room is each shard's
//! own choice (`residents.rs`); when that is asked for is the trade of `loads.rs`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aether_domain::ActorKind;

use super::bounds::WARM_BYTES_MAX;

use crate::actor::KindRegistry;

/// The most that a node's shards may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Actors in memory, of all kinds. At least 1.
    pub residents_max: usize,
    /// The bytes these take, by estimate: see [`Settings::resident_bytes_max`](crate::actor::Settings). At least 1.
    pub resident_bytes_max: usize,
    /// The bytes of all commands that wait in this node's shards, with the events and replies that are not stored yet;
    /// beyond, a command that would have to wait is answered `Busy`. At least 1.
    pub waiting_bytes_max: usize,
}

impl Default for MemoryLimits {
    /// Two million actors, 1 GiB, 256 MiB.
    fn default() -> Self {
        Self { residents_max: 2_000_000, resident_bytes_max: 1024 * 1024 * 1024, waiting_bytes_max: 256 * 1024 * 1024 }
    }
}

/// What one kind's actors have done on a node since it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindStats {
    /// The kind.
    pub kind: ActorKind,
    /// Actors loaded into memory.
    pub activations: u64,
    /// Events read and applied for that, those that a snapshot stood for not counted.
    pub replayed: u64,
    /// Actors dropped from memory because nobody asked them for long enough.
    pub passivations: u64,
    /// Actors dropped from memory to make room for others.
    pub evictions: u64,
}

/// Why an actor leaves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// Nobody has asked it for long enough.
    Idle,
    /// Others need its room.
    Room,
    /// There is nothing to know of it, or its shard goes.
    Uncounted,
}

/// A place in the order of the kinds' names.
pub(super) type KindPlace = usize;

/// What a node's shards hold now, beside what they may.
#[derive(Debug)]
pub(super) struct Memory {
    all: Apart<Held>,
    /// In order.
    names: Box<[ActorKind]>,
    /// By kind, in the order of their names.
    kinds: Box<[Apart<Held>]>,
    /// What they did, likewise.
    lives: Box<[Lives]>,
    waiting_bytes: Apart<AtomicUsize>,
    waiting_bytes_max: usize,
    /// Of actors that came warm and wait to be asked.
    warm_bytes: AtomicUsize,
}

/// What all threads write, for nearly every command, away from what they only read: otherwise whoever reads a kind's name
/// waits for whoever counts.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// What actors of one kind did; written where one is loaded or leaves, which costs far more.
#[derive(Debug, Default)]
struct Lives {
    activations: AtomicU64,
    replayed: AtomicU64,
    passivations: AtomicU64,
    evictions: AtomicU64,
}

/// Actors that are held.
#[derive(Debug)]
struct Held {
    actors: AtomicUsize,
    /// Those of them that have a place in their shard, but wait for their history to be read.
    unread: AtomicUsize,
    bytes: AtomicUsize,
    actors_max: usize,
    bytes_max: usize,
}

impl Held {
    fn new(actors_max: usize, bytes_max: usize) -> Self {
        let (actors, unread, bytes) = Default::default();
        Self { actors, unread, bytes, actors_max: actors_max.max(1), bytes_max: bytes_max.max(1) }
    }

    fn loaded(&self) -> usize {
        self.actors.load(Ordering::Relaxed).saturating_sub(self.unread.load(Ordering::Relaxed))
    }
    fn has_room(&self) -> bool {
        self.loaded() < self.actors_max && self.bytes.load(Ordering::Relaxed) < self.bytes_max
    }
    fn is_over(&self) -> bool {
        self.loaded() > self.actors_max || self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }
}

impl Memory {
    pub(super) fn new(limits: MemoryLimits, kinds: &KindRegistry) -> Self {
        let of_kind = kinds.kinds().map(|kind| {
            let settings = kind.settings();
            Apart(Held::new(settings.residents_max, settings.resident_bytes_max))
        });
        Self {
            all: Apart(Held::new(limits.residents_max, limits.resident_bytes_max)),
            names: kinds.kinds().map(|kind| kind.name().clone()).collect(),
            kinds: of_kind.collect(),
            lives: kinds.kinds().map(|_| Lives::default()).collect(),
            waiting_bytes: Apart(AtomicUsize::new(0)),
            waiting_bytes_max: limits.waiting_bytes_max,
            warm_bytes: AtomicUsize::new(0),
        }
    }

    /// Which kind that is; none if this node does not know it.
    pub(super) fn place(&self, kind: &ActorKind) -> Option<KindPlace> {
        self.names.binary_search(kind).ok()
    }

    /// So many actors of that kind are there, or gone.
    pub(super) fn came(&self, kind: KindPlace, actors: usize) {
        self.each(kind, |held| {
            held.actors.fetch_add(actors, Ordering::Relaxed);
        });
    }
    pub(super) fn left(&self, kind: KindPlace, actors: usize, bytes: usize) {
        self.each(kind, |held| {
            held.actors.fetch_sub(actors, Ordering::Relaxed);
            held.bytes.fetch_sub(bytes, Ordering::Relaxed);
        });
    }

    /// An actor of that kind was loaded, with so many events.
    pub(super) fn activated(&self, kind: &ActorKind, replayed: u64) {
        let Some(lives) = self.place(kind).map(|kind| &self.lives[kind]) else { return };
        lives.activations.fetch_add(1, Ordering::Relaxed);
        lives.replayed.fetch_add(replayed, Ordering::Relaxed);
    }

    /// An actor of that kind left, for that reason.
    pub(super) fn left_because(&self, kind: KindPlace, leaves: Leaves) {
        let lives = &self.lives[kind];
        match leaves {
            Leaves::Idle => drop(lives.passivations.fetch_add(1, Ordering::Relaxed)),
            Leaves::Room => drop(lives.evictions.fetch_add(1, Ordering::Relaxed)),
            Leaves::Uncounted => {}
        }
    }

    /// What each kind's actors did, in the order of the kinds' names.
    pub(super) fn kind_stats(&self) -> impl Iterator<Item = KindStats> {
        self.names.iter().zip(&self.lives).map(|(kind, lives)| KindStats {
            kind: kind.clone(),
            activations: lives.activations.load(Ordering::Relaxed),
            replayed: lives.replayed.load(Ordering::Relaxed),
            passivations: lives.passivations.load(Ordering::Relaxed),
            evictions: lives.evictions.load(Ordering::Relaxed),
        })
    }

    /// An actor was counted with `before` bytes and has `now`.
    pub(super) fn weighs(&self, kind: KindPlace, before: u32, now: u32) {
        if before != now {
            self.each(kind, |held| {
                held.bytes.fetch_add(now as usize, Ordering::Relaxed);
                held.bytes.fetch_sub(before as usize, Ordering::Relaxed);
            });
        }
    }

    /// An actor of that kind waits for its history to be read, or does so no more.
    pub(super) fn unread(&self, kind: KindPlace, waits: bool) {
        self.each(kind, |held| {
            if waits {
                held.unread.fetch_add(1, Ordering::Relaxed);
            } else {
                held.unread.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    /// Whether one more actor of that kind may be read.
    pub(super) fn has_room(&self, kind: KindPlace) -> bool {
        self.all.0.has_room() && self.kinds[kind].0.has_room()
    }

    /// Of which kind actors have to leave before one more of `kind` may be read: the kind itself, or any.
    pub(super) fn tight(&self, kind: KindPlace) -> Option<KindPlace> {
        (!self.kinds[kind].0.has_room()).then_some(kind)
    }

    /// Whether there are more actors than there may be, altogether.
    pub(super) fn is_over(&self) -> bool {
        self.all.0.is_over()
    }

    /// A kind of which there are more than there may be.
    pub(super) fn kind_over(&self) -> Option<KindPlace> {
        self.kinds.iter().position(|held| held.0.is_over())
    }

    /// What waits has changed by that many bytes.
    pub(super) fn waits(&self, before: usize, now: usize) {
        if now > before {
            self.waiting_bytes.0.fetch_add(now - before, Ordering::Relaxed);
        } else if before > now {
            self.waiting_bytes.0.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Whether no more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes() >= self.waiting_bytes_max
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.0.load(Ordering::Relaxed)
    }

    /// So many bytes of actors that came warm are kept from now on; false if there is no room for them.
    pub(super) fn keep_warm(&self, bytes: usize) -> bool {
        let fits = self.warm_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= WARM_BYTES_MAX;
        if !fits {
            self.drop_warm(bytes);
        }
        fits
    }
    pub(super) fn drop_warm(&self, bytes: usize) {
        self.warm_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
    pub(super) fn warm_bytes(&self) -> usize {
        self.warm_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.all.0.bytes.load(Ordering::Relaxed)
    }

    fn each(&self, kind: KindPlace, act: impl Fn(&Held)) {
        act(&self.all.0);
        act(&self.kinds[kind].0);
    }
}

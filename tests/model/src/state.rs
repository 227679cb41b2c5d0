//! Everything there is in the small world.

use crate::bounded::Row;
use crate::rules::Bounds;

/// A node. A has the shard at the beginning; B may get it and never gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    A,
    B,
}

impl Node {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];
}

/// An entry of the topology log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    TermStarted(u8),
    Owned(Node),
    /// A is to release the shard for B.
    Drain,
    /// Redistribution is paused.
    Paused,
    /// It goes on.
    Resumed,
    /// A is about to leave: what it has must move.
    Leaves,
    /// A has left.
    Left,
}

/// What the log says of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) owner: Node,
    pub(crate) draining: bool,
    /// The place of the entry that says so: its epoch.
    pub(crate) epoch: u8,
}

/// What a record of the history is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Command(u8),
    /// Nothing but a compare-and-set.
    Confirm,
}

/// A record of the actor's history. B's shard epoch is later than any of A's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) by: Node,
    pub(crate) write: Write,
}

/// An append on its way to the store, or the store's answer on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Append {
    pub(crate) record: Record,
    /// How many records its writer knows.
    pub(crate) behind: u8,
    /// The answer, once it has arrived.
    pub(crate) stored: bool,
}

/// The actor in a node's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instance {
    /// How many records its state includes.
    pub(crate) sees: u8,
    pub(crate) confirmed: bool,
    pub(crate) writing: Option<Write>,
}

/// A heartbeat of A on its way to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Beat {
    pub(crate) sent: u8,
    pub(crate) over: u8,
}

/// The store's answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BeatAnswer {
    Stored {
        sent: u8,
        revision: u8,
    },
    /// The record shows a fence.
    Fenced,
}

/// A leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    pub(crate) term: Option<u8>,
    /// Dead, or deposed.
    pub(crate) over: bool,
    /// How many entries it has seen.
    pub(crate) knows: u8,
    /// The revision of A's record it watches, and since when.
    pub(crate) watches: Option<(u8, u8)>,
    /// Whether it takes A's life to be over.
    pub(crate) fenced: bool,
    /// Whether it takes A for dead.
    pub(crate) dead: bool,
}

/// One state of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) now: u8,
    pub(crate) log: Row<Entry, { Bounds::ENTRIES_MAX }>,
    pub(crate) leaders: [Leader; 2],
    // A's member record in the control store.
    pub(crate) revision: u8,
    pub(crate) is_fenced: bool,
    pub(crate) is_dead: bool,
    /// The drain that A has reported as done, by its epoch.
    pub(crate) released: Option<u8>,
    // A's own side of it.
    pub(crate) a_lives: bool,
    pub(crate) a_knows_fence: bool,
    pub(crate) a_revision: u8,
    pub(crate) a_serves_until: u8,
    pub(crate) beat: Option<Beat>,
    pub(crate) beat_answer: Option<BeatAnswer>,
    // The shard and its actor.
    /// How many entries each node has seen.
    pub(crate) views: [u8; 2],
    pub(crate) instances: [Option<Instance>; 2],
    pub(crate) history: Row<Record, { Bounds::RECORDS_MAX }>,
    pub(crate) appends: Row<Append, { Bounds::UNDER_WAY_MAX }>,
    pub(crate) answers: Row<Append, { Bounds::UNDER_WAY_MAX }>,
    // What callers were told, a bit a command.
    pub(crate) acknowledged: u8,
    pub(crate) denied: u8,
    // What operators ask.
    /// How many words they have said on redistribution; after an odd number it is to be paused.
    pub(crate) words: u8,
    pub(crate) a_leaves: bool,
    // What has been used of the bounds.
    pub(crate) beats: u8,
    pub(crate) passivations: u8,
    pub(crate) moves: u8,
}

impl State {
    /// A owns the shard and serves; nobody leads yet.
    pub fn first() -> Self {
        let leader = Leader { term: None, over: false, knows: 0, watches: None, fenced: false, dead: false };
        let mut log = Row::new();
        log.push(Entry::Owned(Node::A));
        Self {
            now: 0,
            log,
            leaders: [leader; 2],
            revision: 1,
            is_fenced: false,
            is_dead: false,
            released: None,
            a_lives: true,
            a_knows_fence: false,
            a_revision: 1,
            a_serves_until: Bounds::LEASE,
            beat: None,
            beat_answer: None,
            views: [1, 1],
            instances: [None, None],
            history: Row::new(),
            appends: Row::new(),
            answers: Row::new(),
            acknowledged: 0,
            denied: 0,
            words: 0,
            a_leaves: false,
            beats: 0,
            passivations: 0,
            moves: 0,
        }
    }

    /// The shard as the first `entries` of the log have it.
    pub(crate) fn shard(&self, entries: u8) -> Shard {
        let mut shard = Shard { owner: Node::A, draining: false, epoch: 0 };
        for (epoch, entry) in (0..).zip(self.log.first(entries)) {
            match entry {
                Entry::Owned(owner) => shard = Shard { owner, draining: false, epoch },
                Entry::Drain => shard = Shard { draining: true, epoch, ..shard },
                Entry::TermStarted(_) | Entry::Paused | Entry::Resumed | Entry::Leaves | Entry::Left => {}
            }
        }
        shard
    }

    /// Whether the first `entries` of the log say last that redistribution is paused.
    pub(crate) fn is_paused(&self, entries: u8) -> bool {
        let words = self.log.first(entries).filter(|entry| matches!(entry, Entry::Paused | Entry::Resumed));
        words.last() == Some(Entry::Paused)
    }

    /// Whether the first `entries` of the log have that one.
    pub(crate) fn has(&self, entries: u8, wanted: Entry) -> bool {
        self.log.first(entries).any(|entry| entry == wanted)
    }

    /// The last term in the log.
    pub(crate) fn term(&self) -> u8 {
        let terms = self.log.iter().filter_map(|entry| match entry {
            Entry::TermStarted(term) => Some(term),
            _ => None,
        });
        terms.last().unwrap_or(0)
    }

    /// The shard as `node` sees it, if it takes the shard for its own.
    pub(crate) fn serves(&self, node: Node) -> Option<Shard> {
        let shard = self.shard(self.views[node as usize]);
        let alive = node == Node::B || self.a_lives && !self.a_knows_fence;
        let released = node == Node::A && shard.draining && self.released == Some(shard.epoch);
        (shard.owner == node && alive && !released).then_some(shard)
    }

    /// The commands among the first `records`, a bit each.
    pub(crate) fn applied(&self, records: u8) -> u8 {
        self.history.first(records).fold(0, |applied, record| match record.write {
            Write::Command(command) => applied | 1 << command,
            Write::Confirm => applied,
        })
    }

    /// Whether a record among the first `records` was written under a later epoch than `node` has.
    pub(crate) fn has_later_owner(&self, node: Node, records: u8) -> bool {
        self.history.first(records).any(|record| record.by > node)
    }
}

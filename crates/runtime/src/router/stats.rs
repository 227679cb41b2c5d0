//! What routing has done so far, as numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use aether_domain::ports::Answer;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The numbers of one node's router since it began; a few show the present moment and say so.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct RouterStats {
            /// Commands that were run in place on this node, refused ones included.
            pub asks_local: u64,
            /// Commands sent to another node for the first time.
            pub asks_remote: u64,
            /// At this moment: commands whose outcome is not known yet.
            pub outstanding: u64,
            /// At this moment: bytes of commands that wait for their shard.
            pub held_bytes: u64,
            /// At this moment: bytes of those that may have to be sent again.
            pub outstanding_bytes: u64,
            /// At this moment: links to other lives.
            pub links: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            /// The counters as they are; the rest is zero.
            pub(crate) fn read(&self) -> RouterStats {
                RouterStats { $($name: self.$name.get(),)* ..RouterStats::default() }
            }
        }
    };
}

counters! {
    /// Commands sent again, to whichever node.
    retries,
    /// Commands that arrived from other nodes.
    received,
    /// Refusals: the node asked was not the owner.
    nacks_not_owner,
    /// Refusals: the shard was on its way.
    nacks_moving,
    /// Refusals: the node asked did not know our topology yet.
    nacks_behind,
    /// Refusals: the owner could not run it then.
    nacks_unavailable,
    /// Refusals: a queue there was full.
    nacks_busy,
    /// Sendings that met nobody.
    unreachable,
    /// Asks whose time ran out.
    timeouts,
    /// Callers told that too much was under way on this node.
    busy,
    /// Commands that a full link gave back, to be sent later.
    link_full,
    /// Sendings that failed on this node.
    not_sent,
    /// Answers that a full link dropped; whoever waits for one asks again.
    answers_dropped,
    /// Messages that could not be understood, or claimed to be somebody else's.
    corrupt,
    /// Times this node did not keep up with its inbox, so that messages were lost.
    overruns,
    /// Commands that waited for this node to reach their sender's topology.
    parked,
    /// Commands refused because their sender is no member.
    strangers,
    /// `tell`s that were never sent.
    tells_unsent,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Notes a refusal by its kind; other answers are no refusals.
    pub(crate) fn note_refusal(&self, answer: &Answer) {
        match answer {
            Answer::NotOwner { .. } => self.nacks_not_owner.more(),
            Answer::Moving { .. } => self.nacks_moving.more(),
            Answer::Behind => self.nacks_behind.more(),
            Answer::Unavailable { .. } => self.nacks_unavailable.more(),
            Answer::Busy => self.nacks_busy.more(),
            Answer::Replied(_)
            | Answer::Looked(_)
            | Answer::Rejected(_)
            | Answer::Expired { .. }
            | Answer::Poisoned { .. }
            | Answer::Invalid { .. }
            | Answer::Quarantined { .. } => {}
        }
    }

    /// Notes what a caller is told.
    pub(crate) fn note_told(&self, answer: &Answer) {
        match answer {
            Answer::Expired { .. } => self.timeouts.more(),
            Answer::Busy => self.busy.more(),
            _ => {}
        }
    }
}

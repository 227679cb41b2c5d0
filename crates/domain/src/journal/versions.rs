//! What is known of streams' versions without asking the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;

use super::Head;
use crate::ids::{ActorAddress, Sequence, Version};
use crate::ports::{BusUpdate, EventBus, EventFilter, ReadError, StartAt, Whose};

/// The most streams whose versions are known at once; beyond, those that were not looked at for longest are forgotten.
pub const VERSIONS_MAX: usize = 65_536;

/// The last known version of each stream, for any number of nodes to have one each.
///
/// An entry is never ahead of the store. It is behind by what has been stored since [`Self::right_up_to`], if it is
/// [followed](Self::follow), and no more; a conflict or a read corrects it at once. So an append that relies on it costs one
/// write, or is refused.
#[derive(Debug, Default)]
pub struct Versions {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    heads: BTreeMap<ActorAddress, (Head, u64)>,
    /// By when they were last looked at.
    order: BTreeMap<u64, ActorAddress>,
    looks: u64,
    right_up_to: Sequence,
}

impl Versions {
    /// The stream's version as far as it is known; `None`: ask [`Journal::head`](super::Journal::head).
    pub fn latest(&self, stream: &ActorAddress) -> Option<Version> {
        self.head(stream).map(|head| head.version)
    }

    /// Everything that was stored up to here is in it, but for streams that were forgotten.
    pub fn right_up_to(&self) -> Sequence {
        self.lock().right_up_to
    }

    /// How many streams it knows.
    pub fn len(&self) -> usize {
        self.lock().heads.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over what everybody stores, for as long as the bus lives: run it beside everything else. `start` is
    /// [`StartAt::Beginning`] to know all streams, [`StartAt::Now`] to know those that are written from now on.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot begin.
    pub async fn follow(&self, bus: &dyn EventBus, of: Whose, start: StartAt) -> Result<(), ReadError> {
        let mut updates = bus.subscribe(&EventFilter { of, ..EventFilter::default() }, start).await?;
        while let Some(update) = updates.next().await {
            match update {
                BusUpdate::EventStored { actor, commit } => {
                    let (record, at) = (&commit.record, commit.at);
                    self.note(&actor, Head { version: record.version(), at, shard_epoch: record.shard_epoch });
                    self.reach(at.sequence);
                }
                BusUpdate::Reached(sequence) => self.reach(sequence),
                // Of whichever stream it is: what cannot be read is asked of the store.
                BusUpdate::Corrupt { sequence, .. } => {
                    let mut state = self.lock();
                    state.heads.clear();
                    state.order.clear();
                    drop(state);
                    self.reach(sequence);
                }
            }
        }
        Ok(())
    }

    /// Where the stream ends, as far as it is known.
    pub(super) fn head(&self, stream: &ActorAddress) -> Option<Head> {
        let mut state = self.lock();
        let state = &mut *state;
        let (head, looked) = state.heads.get_mut(stream)?;
        state.looks += 1;
        state.order.remove(looked);
        state.order.insert(state.looks, stream.clone());
        *looked = state.looks;
        Some(*head)
    }

    /// Takes over where a stream ends, if that is news.
    pub(super) fn note(&self, stream: &ActorAddress, head: Head) {
        if head.at.sequence == Sequence::ZERO {
            return;
        }
        let mut state = self.lock();
        let state = &mut *state;
        if let Some((known, _)) = state.heads.get_mut(stream) {
            if head.at.sequence > known.at.sequence {
                *known = head;
            }
            return;
        }
        state.looks += 1;
        state.heads.insert(stream.clone(), (head, state.looks));
        state.order.insert(state.looks, stream.clone());
        while state.heads.len() > VERSIONS_MAX {
            let Some((_, oldest)) = state.order.pop_first() else { break };
            state.heads.remove(&oldest);
        }
    }

    fn reach(&self, sequence: Sequence) {
        let mut state = self.lock();
        state.right_up_to = state.right_up_to.max(sequence);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under it can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::stream;
    use crate::records::Position;

    fn head(version: u64, sequence: u64) -> Head {
        Head { version: Version(version), at: Position { sequence: Sequence(sequence), hash: 1 }, ..Head::default() }
    }

    #[test]
    fn an_older_word_never_replaces_a_newer_one() {
        let (versions, one) = (Versions::default(), stream("order", "1").expect("names"));
        assert_eq!(versions.latest(&one), None);
        for (told, known) in [(head(3, 7), 3), (head(2, 5), 3), (head(4, 9), 4), (Head::default(), 4)] {
            versions.note(&one, told);
            assert_eq!(versions.latest(&one), Some(Version(known)));
        }
    }

    #[test]
    fn beyond_its_bound_it_forgets_what_was_not_looked_at_for_longest() {
        let versions = Versions::default();
        let of = |nth: usize| stream("order", nth.to_string()).expect("names");
        for nth in 0..VERSIONS_MAX {
            versions.note(&of(nth), head(1, 1));
        }
        assert_eq!(versions.latest(&of(0)), Some(Version(1)), "looked at");
        versions.note(&of(VERSIONS_MAX), head(1, 1));
        assert_eq!((versions.len(), versions.order()), (VERSIONS_MAX, VERSIONS_MAX));
        assert_eq!((versions.latest(&of(0)), versions.latest(&of(1))), (Some(Version(1)), None));
    }

    impl Versions {
        fn order(&self) -> usize {
            self.lock().order.len()
        }
    }
}

//! What is known of streams' versions without asking the store.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;

use super::Head;
use crate::ids::{ActorAddress, Sequence, Version};
use crate::ports::{BusUpdate, EventBus, EventFilter, ReadError, StartAt, Whose};

/// The most streams whose versions are known at once; beyond, those that were not looked at for longest are forgotten.
pub const VERSIONS_MAX: usize = 65_536;

/// The last known version of each stream, for any number of nodes to have one each.
///
/// An entry is never ahead of the store. That of a stream that is [followed](Self::follow) is behind by what has been stored
/// of it since [`Self::right_up_to`] and no more; that of another by what others have stored since it was last read or
/// written here. A conflict or a read corrects it at once. So an append that relies on it costs one write, or is refused.
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
    /// What was ever followed, and up to where it has been told.
    followed: Vec<(Whose, Sequence)>,
}

impl Versions {
    /// The stream's version as far as it is known; `None`: ask [`Journal::head`](super::Journal::head).
    pub fn latest(&self, stream: &ActorAddress) -> Option<Version> {
        self.head(stream).map(|head| head.version)
    }

    /// Whatever was stored of that stream up to here is in its version, if [`Self::latest`] knows one; zero if nobody has
    /// followed it yet. It stands still while the bus is cut off or nobody follows. (A stream that was forgotten, and read
    /// since from a store that lags, is as far as that store was.)
    pub fn right_up_to(&self, stream: &ActorAddress) -> Sequence {
        let state = self.lock();
        let told = state.followed.iter().filter(|(of, _)| of.takes(stream)).map(|(_, reached)| *reached);
        told.max().unwrap_or(Sequence::ZERO)
    }

    /// How many streams it knows.
    pub fn len(&self) -> usize {
        self.lock().heads.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over what everybody stores of these streams, for as long as the bus lives: run it beside everything else. A
    /// connection that was lost is made up for.
    ///
    /// `start` is [`StartAt::Beginning`] to know all of them; [`StartAt::Now`] to know those that are written from now on;
    /// [`StartAt::Behind`] to go on where it was once [right](Self::right_up_to). What is known of them and may have grown
    /// old before `start` is forgotten.
    ///
    /// # Errors
    /// [`ReadError`]: it could not begin, or the bus has ended. From then on nothing is taken over any more: follow again.
    pub async fn follow(&self, bus: &dyn EventBus, of: Whose, start: StartAt) -> Result<Infallible, ReadError> {
        let filter = EventFilter { of, ..EventFilter::default() };
        let mut updates = bus.subscribe(&filter, start).await?;
        let of = filter.of;
        self.begin(&of, start);
        while let Some(update) = updates.next().await {
            match update {
                BusUpdate::EventStored { actor, commit } => {
                    let (record, at) = (&commit.record, commit.at);
                    self.note(&actor, Head { version: record.version(), at, shard_epoch: record.shard_epoch });
                    self.lock().reach(&of, at.sequence);
                }
                BusUpdate::Reached(sequence) => self.lock().reach(&of, sequence),
                // Of whichever stream it is: what cannot be read is asked of the store.
                BusUpdate::Corrupt { sequence, .. } => {
                    let mut state = self.lock();
                    state.forget(&of);
                    state.reach(&of, sequence);
                }
            }
        }
        Err(ReadError::Unavailable { cause: "the bus has ended: follow again".into() })
    }

    /// What is told from now on begins at `start`: what is known and may be older is forgotten.
    fn begin(&self, of: &Whose, start: StartAt) {
        let mut state = self.lock();
        let reached = state.followed.iter().find(|(other, _)| other == of).map(|(_, reached)| *reached);
        let goes_on = match start {
            StartAt::Beginning => true,
            StartAt::Behind(sequence) => reached.is_some_and(|reached| sequence <= reached),
            StartAt::Now => false,
        };
        if !goes_on {
            state.forget(of);
        }
        if reached.is_none() {
            state.followed.push((of.clone(), Sequence::ZERO));
        }
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

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under it can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reach(&mut self, of: &Whose, sequence: Sequence) {
        if let Some((_, reached)) = self.followed.iter_mut().find(|(other, _)| other == of) {
            *reached = sequence.max(*reached);
        }
    }

    fn forget(&mut self, of: &Whose) {
        self.heads.retain(|stream, _| !of.takes(stream));
        self.order.retain(|_, stream| !of.takes(stream));
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::{FutureExt as _, stream};

    use super::*;
    use crate::journal::stream as stream_of;
    use crate::ports::Updates;
    use crate::records::Position;

    fn head(version: u64, sequence: u64) -> Head {
        Head { version: Version(version), at: Position { sequence: Sequence(sequence), hash: 1 }, ..Head::default() }
    }

    #[test]
    fn an_older_word_never_replaces_a_newer_one() {
        let (versions, one) = (Versions::default(), stream_of("order", "1").expect("names"));
        assert_eq!(versions.latest(&one), None);
        for (told, known) in [(head(3, 7), 3), (head(2, 5), 3), (head(4, 9), 4), (Head::default(), 4)] {
            versions.note(&one, told);
            assert_eq!(versions.latest(&one), Some(Version(known)));
        }
    }

    #[test]
    fn beyond_its_bound_it_forgets_what_was_not_looked_at_for_longest() {
        let versions = Versions::default();
        let of = |nth: usize| stream_of("order", nth.to_string()).expect("names");
        for nth in 0..VERSIONS_MAX {
            versions.note(&of(nth), head(1, 1));
        }
        assert_eq!(versions.latest(&of(0)), Some(Version(1)), "looked at");
        versions.note(&of(VERSIONS_MAX), head(1, 1));
        assert_eq!((versions.len(), versions.order()), (VERSIONS_MAX, VERSIONS_MAX));
        assert_eq!((versions.latest(&of(0)), versions.latest(&of(1))), (Some(Version(1)), None));
    }

    /// Tells these and ends.
    struct Ends(Vec<BusUpdate>);

    #[async_trait]
    impl EventBus for Ends {
        async fn subscribe(&self, _: &EventFilter, _: StartAt) -> Result<Updates<BusUpdate>, ReadError> {
            Ok(Box::pin(stream::iter(self.0.clone())))
        }
        async fn end(&self) -> Result<Sequence, ReadError> {
            Ok(Sequence(9))
        }
    }

    #[test]
    fn a_bus_that_ends_is_told_and_whoever_begins_later_forgets_what_may_have_grown_old() {
        let (order, invoice) = (stream_of("order", "1").expect("names"), stream_of("invoice", "1").expect("names"));
        let kind = Whose::Kind(order.key.kind.clone());
        let bus = Ends(vec![BusUpdate::Reached(Sequence(7))]);
        let cases = [
            (StartAt::Behind(Sequence(7)), Some(Version(3))),
            (StartAt::Beginning, Some(Version(3))),
            (StartAt::Behind(Sequence(8)), None),
            (StartAt::Now, None),
        ];
        for (start, known) in cases {
            let versions = Versions::default();
            let ended = versions.follow(&bus, kind.clone(), StartAt::Beginning).now_or_never().expect("it ends");
            assert!(matches!(ended, Err(ReadError::Unavailable { .. })), "{ended:?}");
            versions.note(&order, head(3, 7));
            versions.note(&invoice, head(5, 6));
            let again = versions.follow(&bus, kind.clone(), start).now_or_never().expect("it ends");
            assert!(again.is_err());
            assert_eq!((versions.latest(&order), versions.latest(&invoice)), (known, Some(Version(5))), "{start:?}");
            assert_eq!((versions.right_up_to(&order), versions.right_up_to(&invoice)), (Sequence(7), Sequence::ZERO));
            assert_eq!(versions.len(), versions.order());
        }
    }

    impl Versions {
        fn order(&self) -> usize {
            self.lock().order.len()
        }
    }
}

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

/// How many kinds, actors and so on may be [followed](Versions::follow) with one [`Versions`]: of more, those that began first
/// count as not followed.
pub const FOLLOWED_MAX: usize = 64;

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
    /// What was followed; at most [`FOLLOWED_MAX`], those that began last.
    followed: Vec<Followed>,
}

/// What somebody follows, or has followed.
#[derive(Debug)]
struct Followed {
    of: Whose,
    /// Everything behind this has been told, up to `reached`; none before the first word of whoever began with what came then.
    begin: Option<Sequence>,
    reached: Sequence,
}

impl Followed {
    /// Whether it has told of all that was stored of the stream behind `known`, as far as it has come.
    fn covers(&self, stream: &ActorAddress, known: Sequence) -> bool {
        self.begin.is_some_and(|begin| begin <= known) && self.of.takes(stream)
    }
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
        let known = state.heads.get(stream).map_or(Sequence::MAX, |(head, _)| head.at.sequence);
        let told = state.followed.iter().filter(|followed| followed.covers(stream, known));
        told.map(|followed| followed.reached).max().unwrap_or(Sequence::ZERO)
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
                    let head = Head { version: record.version(), at, shard_epoch: record.shard_epoch };
                    let mut state = self.lock();
                    state.reach(&of, at.sequence, true);
                    if !state.has_forgotten(&of, &actor, at.sequence) {
                        state.note(&actor, head);
                    }
                }
                BusUpdate::Reached(sequence) => self.lock().reach(&of, sequence, false),
                // Of whichever stream it is: what cannot be read is asked of the store.
                BusUpdate::Corrupt { sequence, .. } => {
                    let mut state = self.lock();
                    state.forget(&of);
                    state.reach(&of, sequence, false);
                }
            }
        }
        Err(ReadError::Unavailable { cause: "the bus has ended: follow again".into() })
    }

    /// What is told from now on begins at `start`: what is known and may be older is forgotten.
    fn begin(&self, of: &Whose, start: StartAt) {
        let mut state = self.lock();
        let before = state.followed.iter().position(|followed| followed.of == *of);
        let before = before.map(|place| state.followed.remove(place));
        let start = match start {
            StartAt::Beginning => Some(Sequence::ZERO),
            StartAt::Behind(sequence) => Some(sequence),
            StartAt::Now => None,
        };
        // What was told and forgotten since is told again from there on: it is right no further than that yet.
        let (begin, reached) = match (start, before) {
            (Some(start), Some(before)) if start <= before.reached => (before.begin.min(Some(start)), start),
            (start, _) => {
                if start != Some(Sequence::ZERO) {
                    state.forget(of);
                }
                (start, Sequence::ZERO)
            }
        };
        state.followed.push(Followed { of: of.clone(), begin: begin.or(start), reached });
        if state.followed.len() > FOLLOWED_MAX {
            state.followed.remove(0);
        }
    }

    /// A fresh read has not found what was known: the store has lost it.
    pub(super) fn correct(&self, stream: &ActorAddress, known: Head) {
        let mut state = self.lock();
        if let Some((head, looked)) = state.heads.get(stream).copied()
            && head == known
        {
            state.heads.remove(stream);
            state.order.remove(&looked);
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
        self.lock().note(stream, head);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under it can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, stream: &ActorAddress, head: Head) {
        if head.at.sequence == Sequence::ZERO {
            return;
        }
        if let Some((known, _)) = self.heads.get_mut(stream) {
            if head.at.sequence > known.at.sequence {
                *known = head;
            }
            return;
        }
        self.looks += 1;
        self.heads.insert(stream.clone(), (head, self.looks));
        self.order.insert(self.looks, stream.clone());
        while self.heads.len() > VERSIONS_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.heads.remove(&oldest);
        }
    }

    /// Takes a word of what is followed: of a record that is stored there, or of everything up to there.
    fn reach(&mut self, of: &Whose, sequence: Sequence, is_record: bool) {
        if let Some(followed) = self.followed.iter_mut().find(|followed| followed.of == *of) {
            followed.begin.get_or_insert(Sequence(sequence.0 - u64::from(is_record && sequence > Sequence::ZERO)));
            followed.reached = sequence.max(followed.reached);
        }
    }

    /// Whether the stream is unknown although another follower has told of it, up to there or further: what it was then may be
    /// more than this.
    fn has_forgotten(&self, of: &Whose, stream: &ActorAddress, sequence: Sequence) -> bool {
        let further = |followed: &Followed| {
            followed.of != *of && followed.covers(stream, sequence) && followed.reached > sequence
        };
        !self.heads.contains_key(stream) && self.followed.iter().any(further)
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
    use crate::ids::{Epoch, Incarnation, Nonce};
    use crate::journal::stream as stream_of;
    use crate::ports::Updates;
    use crate::records::{CommitRecord, EventRecord, PayloadCodec, Position, StoredCommit};
    use crate::time::WallTime;

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

    #[test]
    fn what_several_follow_is_right_as_far_as_one_of_them_has_told_of_all_that_is_behind_it() {
        let order = stream_of("order", "1").expect("names");
        let kind = || Whose::Kind(order.key.kind.clone());
        let stored = |sequence: u64| {
            let record = CommitRecord {
                shard_epoch: Epoch::ZERO,
                owner: Incarnation(1),
                nonce: Nonce(sequence),
                base: Version(sequence - 1),
                prev_sequence: Sequence::ZERO,
                prev_hash: 0,
                at: WallTime::default(),
                codec: PayloadCodec::Json,
                commands: Vec::new(),
                events: vec![EventRecord { schema: 1, name: "e".into(), payload: bytes::Bytes::new() }],
                timers: Vec::new(),
            };
            let at = Position { sequence: Sequence(sequence), hash: sequence };
            BusUpdate::EventStored { actor: order.clone(), commit: StoredCommit { record, at } }
        };
        let follow = |versions: &Versions, told: Vec<BusUpdate>, of: Whose, start| {
            let ended = versions.follow(&Ends(told), of, start).now_or_never().expect("it ends");
            assert!(ended.is_err());
        };
        let known = |versions: &Versions| (versions.latest(&order), versions.right_up_to(&order).0);
        let reached = |sequence| BusUpdate::Reached(Sequence(sequence));

        // One began at 50 and is at 100; the other has told of the first record only. There may be more before 50.
        let versions = Versions::default();
        follow(&versions, vec![reached(50), reached(100)], Whose::Everybody, StartAt::Now);
        assert_eq!(known(&versions), (None, 100));
        follow(&versions, vec![stored(5)], kind(), StartAt::Beginning);
        assert_eq!(known(&versions), (Some(Version(5)), 5));
        follow(&versions, vec![stored(5), stored(60)], kind(), StartAt::Beginning);
        assert_eq!(known(&versions), (Some(Version(60)), 100));

        // What was forgotten is not taken from one that is behind.
        versions.correct(&order, versions.head(&order).expect("it is known"));
        follow(&versions, vec![stored(60)], kind(), StartAt::Behind(Sequence(59)));
        assert_eq!(known(&versions), (None, 100));
        follow(&versions, vec![stored(60), stored(140)], kind(), StartAt::Behind(Sequence(59)));
        assert_eq!(known(&versions), (Some(Version(140)), 140));

        // Whoever follows again is right no further than it has been told again.
        let alone = Versions::default();
        follow(&alone, vec![stored(5), stored(40)], kind(), StartAt::Beginning);
        follow(&alone, vec![stored(5)], kind(), StartAt::Beginning);
        assert_eq!(known(&alone), (Some(Version(40)), 5));
        for nth in 0..2 * FOLLOWED_MAX {
            let one = stream_of("invoice", nth.to_string()).expect("names");
            follow(&alone, Vec::new(), Whose::Actor(one), StartAt::Now);
        }
        let followed = alone.lock().followed.len();
        assert_eq!((followed, known(&alone).1), (FOLLOWED_MAX, 0));
    }

    impl Versions {
        fn order(&self) -> usize {
            self.lock().order.len()
        }
    }
}

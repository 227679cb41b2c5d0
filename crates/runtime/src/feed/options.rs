//! How a feed is worked on, as an application says it.

use std::time::Duration;

use aether_domain::ports::StartAt;
use aether_domain::records::EventRecord;
use aether_domain::{ActorId, FeedName, InvalidId};

/// How a feed is worked on.
///
/// ```
/// # use std::time::Duration;
/// use aether_runtime::feed::{FeedOptions, OnFailure};
///
/// let options = FeedOptions::default().named(["deposited", "withdrawn"]).lanes(4);
/// assert_eq!(options.lanes, 4);
/// let careful = FeedOptions { on_failure: OnFailure::StopAfter { tries: 5 }, ..FeedOptions::default() };
/// assert_eq!(careful.steal_after, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedOptions {
    /// Where a feed that never began begins. One that did goes on where it was, whatever this says.
    pub start: StartAt,
    /// Only the events of the actor with that id; everybody's of the kind, if it is `None`.
    pub actor: Option<String>,
    /// Only events with one of these names ([`Event::name`](crate::actor::Event::name)); any, if there are none. At most
    /// [`Self::NAMES_MAX`]. An event of a type that tells no names has none, and is never handed out then:
    /// [`FeedStats::unnamed`](super::FeedStats::unnamed) counts those, and the first is warned of in the log.
    pub names: Vec<String>,
    /// How many events are handled at a time: 1 to [`Self::LANES_MAX`]. With one, all events come in the order in which they
    /// were stored; with more, each actor's still do.
    pub lanes: usize,
    /// What becomes of an event whose handler fails.
    pub on_failure: OnFailure,
    /// The pause before an event that failed is handed out again: doubling from the first to the second.
    pub retry_pause: (Duration, Duration),
    /// How often at most how far it has come is stored; and so how long after the end of a backlog it is, at the latest:
    /// 10 ms to 1 min.
    pub checkpoint_every: Duration,
    /// After how many events it is stored even before that; at least 1.
    pub checkpoint_events: u64,
    /// How long nothing must be heard of the node that works on the feed before another takes over: 500 ms to 10 min.
    pub steal_after: Duration,
}

/// What becomes of an event whose handler fails or panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is handed out again until it is handled. Its lane waits for it, and so in the end does the feed.
    #[default]
    Retry,
    /// After so many tries the feed stops on this node: [`FeedState::Stopped`](super::FeedState::Stopped) says why. Another
    /// node may try.
    StopAfter {
        /// How many, at least 1.
        tries: u32,
    },
    /// After so many tries it counts as handled: it is logged as an error and counted as skipped.
    SkipAfter {
        /// How many, at least 1.
        tries: u32,
    },
}

impl FeedOptions {
    /// The most lanes of a feed.
    pub const LANES_MAX: usize = 64;
    /// The most names of events that a feed asks for.
    pub const NAMES_MAX: usize = 64;

    /// These, for the events of that actor only.
    #[must_use]
    pub fn of_actor(self, id: impl ToString) -> Self {
        Self { actor: Some(id.to_string()), ..self }
    }
    /// These, for events of these names only: see [`Self::names`].
    #[must_use]
    pub fn named<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..self }
    }
    /// These, with so many events at a time.
    #[must_use]
    pub fn lanes(self, lanes: usize) -> Self {
        Self { lanes, ..self }
    }

    pub(super) fn check(&self) -> Result<(), SubscribeError> {
        let millis = Duration::from_millis;
        let tries = match self.on_failure {
            OnFailure::Retry => 1,
            OnFailure::StopAfter { tries } | OnFailure::SkipAfter { tries } => tries,
        };
        let names = self.names.iter().all(|name| (1..=EventRecord::NAME_BYTES_MAX).contains(&name.len()));
        for (good, what, rule) in [
            ((1..=Self::LANES_MAX).contains(&self.lanes), "lanes", "1 to 64"),
            (self.names.len() <= Self::NAMES_MAX && names, "names", "at most 64, each of 1 to 64 bytes"),
            (tries >= 1, "tries", "at least 1"),
            (
                self.retry_pause.0 >= millis(1) && self.retry_pause.0 <= self.retry_pause.1,
                "retry_pause",
                "from 1 ms up",
            ),
            ((millis(10)..=millis(60_000)).contains(&self.checkpoint_every), "checkpoint_every", "10 ms to 1 min"),
            (self.checkpoint_events >= 1, "checkpoint_events", "at least 1"),
            ((millis(500)..=millis(600_000)).contains(&self.steal_after), "steal_after", "500 ms to 10 min"),
        ] {
            if !good {
                return Err(SubscribeError::Option { what, rule });
            }
        }
        match &self.actor {
            Some(id) => ActorId::new(id).map(drop).map_err(SubscribeError::Name),
            None => Ok(()),
        }
    }
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self {
            start: StartAt::Beginning,
            actor: None,
            names: Vec::new(),
            lanes: 1,
            on_failure: OnFailure::Retry,
            retry_pause: (Duration::from_millis(100), Duration::from_secs(10)),
            checkpoint_every: Duration::from_secs(1),
            checkpoint_events: 1_000,
            steal_after: Duration::from_secs(10),
        }
    }
}

/// Why a feed did not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The feed's name, the kind's or the actor's id is not valid.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// A feed of that name is worked on, or waited for, in this process already.
    #[error("feed {0} is subscribed to in this process already; stop that one first, or choose another name")]
    Running(FeedName),
    /// An option is out of its range.
    #[error("{what} is out of range; it must be {rule}")]
    Option {
        /// Which.
        what: &'static str,
        /// Its range.
        rule: &'static str,
    },
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

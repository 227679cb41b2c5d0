//! How the server and the way to it misbehave, as data: the caller sets it by hand or draws it from a seed.

use std::time::Duration;

use rand::{Rng, RngExt};

/// So many times in a thousand. 0 is never, 1000 and above always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMille(pub u16);

impl PerMille {
    /// Throws the dice; a chance of never throws none, so that a knob turned off leaves the others' luck alone.
    pub(super) fn strikes(self, dice: &mut impl Rng) -> bool {
        self.0 > 0 && dice.random_range(0..1000) < self.0
    }
}

/// A length of time drawn anew each time. Invariant: `from <= to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: Duration,
    to: Duration,
}

impl Span {
    /// Anything from the one to the other, both included, in whichever order they are given.
    pub const fn between(one: Duration, other: Duration) -> Self {
        if one.as_nanos() <= other.as_nanos() { Self { from: one, to: other } } else { Self { from: other, to: one } }
    }

    /// Always this.
    pub const fn exactly(length: Duration) -> Self {
        Self { from: length, to: length }
    }

    pub(super) fn draw(self, dice: &mut impl Rng) -> Duration {
        if self.from == self.to {
            return self.from;
        }
        let (from, to) = (self.from.as_nanos() as u64, self.to.as_nanos() as u64);
        Duration::from_nanos(dice.random_range(from..=to))
    }
}

/// Every knob of the fabric. Cutting, pausing and crashing nodes are not here: the caller does them when it likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How long a request, an answer or an update is under way, each way.
    pub latency: Span,
    /// How long a node waits for an answer before the outcome is unknown.
    pub answer_timeout: Duration,
    /// A write is stored and its answer lost: `Unknown`.
    pub ack_lost: PerMille,
    /// A request is lost on the way: `Unknown` for a write, `Unavailable` for a read.
    pub request_lost: PerMille,
    /// A write is answered by a time-out and arrives later all the same: a ghost.
    pub ghost: PerMille,
    /// How much later than it was sent a ghost arrives.
    pub ghost_delay: Span,
    /// An operation is refused and nothing stored: `Unavailable`.
    pub unavailable: PerMille,
    /// A write finds another in flight: `Conflict` that names nothing. In the manner of three replicas only.
    pub in_flight: PerMille,
    /// About how often the streams elect a new leader, if ever. In the manner of three replicas only.
    pub election_every: Option<Duration>,
    /// How long they have none then.
    pub election: Span,
    /// A read misses what was written last.
    pub stale_read: PerMille,
    /// A read that the leader answers does so too: the leader was deposed and does not know.
    pub stale_fresh_read: PerMille,
    /// How many writes a stale read misses, at most.
    pub stale_writes_max: usize,
    /// How much longer than an answer an update of a watch or a follower is under way.
    pub update_lag: Span,
    /// An update comes twice.
    pub update_twice: PerMille,
    /// How much longer than an answer a message between nodes is under way.
    pub message_delay: Span,
    /// A message is lost without a word.
    pub message_lost: PerMille,
    /// After how long the server notices that a node is cut off: messages to it are lost before, unreachable after.
    pub notices_after: Duration,
}

impl Faults {
    /// Nothing fails: a quick and steady network.
    pub fn none() -> Self {
        let (us, ms, secs) = (Duration::from_micros, Duration::from_millis, Duration::from_secs);
        Self {
            latency: Span::between(us(100), ms(1)),
            answer_timeout: secs(1),
            ack_lost: PerMille(0),
            request_lost: PerMille(0),
            ghost: PerMille(0),
            ghost_delay: Span::between(ms(1), secs(20)),
            unavailable: PerMille(0),
            in_flight: PerMille(0),
            election_every: None,
            election: Span::between(secs(4), secs(9)),
            stale_read: PerMille(0),
            stale_fresh_read: PerMille(0),
            stale_writes_max: 4,
            update_lag: Span::exactly(Duration::ZERO),
            update_twice: PerMille(0),
            message_delay: Span::exactly(Duration::ZERO),
            message_lost: PerMille(0),
            notices_after: secs(4),
        }
    }

    /// Draws which knobs are on and how hard: about half of them, from hardly noticeable to one time in ten.
    pub fn draw(dice: &mut impl Rng) -> Self {
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        let mut chance =
            |most: u16| if dice.random_ratio(1, 2) { PerMille(dice.random_range(1..=most)) } else { PerMille(0) };
        let calm = Self::none();
        let (ack_lost, request_lost, ghost) = (chance(50), chance(50), chance(50));
        let (unavailable, in_flight) = (chance(50), chance(30));
        let (stale_read, stale_fresh_read) = (chance(100), chance(20));
        let (update_twice, message_lost) = (chance(100), chance(50));
        let mut slow = |most: Duration| {
            let most = if dice.random_ratio(1, 2) { most } else { Duration::ZERO };
            Span::between(Duration::ZERO, most)
        };
        let (update_lag, message_delay) = (slow(ms(400)), slow(ms(100)));
        Self {
            latency: Span::between(ms(1), ms(dice.random_range(1..=30))),
            answer_timeout: ms(dice.random_range(500..=2_000)),
            ack_lost,
            request_lost,
            ghost,
            ghost_delay: Span::between(ms(1), secs(dice.random_range(1..=60))),
            unavailable,
            in_flight,
            election_every: dice.random_ratio(1, 2).then(|| secs(dice.random_range(30..=300))),
            stale_read,
            stale_fresh_read,
            stale_writes_max: dice.random_range(1..=8),
            update_lag,
            update_twice,
            message_delay,
            message_lost,
            // A connection that breaks is noticed at once, one that falls silent is not.
            notices_after: ms(if dice.random_ratio(1, 2) {
                dice.random_range(1..=500)
            } else {
                dice.random_range(500..=10_000)
            }),
            ..calm
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

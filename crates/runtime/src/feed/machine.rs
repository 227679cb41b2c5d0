//! Who works on a feed. Pure: it is told what it is and what happened, and answers what to do.
//!
//! A feed's checkpoint says who works on it. Whoever works writes it again and again, with how far it has come; the others
//! look at it, and one that has not changed for long enough by their own clocks is taken over. Several may try:
//! compare-and-set lets one of them win, and whoever loses it ends its work at once. No two clocks are ever compared.

use std::time::Duration;

use aether_domain::ports::{Expected, WriteError};
use aether_domain::records::{Checkpoint, FeedState, StoredCheckpoint};
use aether_domain::{FeedName, Monotonic, NodeRef, Nonce, Revision, Sequence};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// How long to wait before a write or a read that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// How long a checkpoint must stand still before others take the feed over.
    pub(super) steal_after: Duration,
    /// How often how far it has come is stored, at most.
    pub(super) checkpoint_every: Duration,
    /// After how many events it is stored even before that.
    pub(super) checkpoint_events: u64,
}

impl Timing {
    /// How often the checkpoint is written though nothing was handled: five times before others would take the feed.
    fn renew_every(&self) -> Duration {
        self.steal_after / 5
    }
    /// How long after its last stored checkpoint was sent a node goes on working. Others see the checkpoint later than it was
    /// sent, so they take the feed over only after that.
    fn hold(&self) -> Duration {
        self.steal_after * 4 / 5
    }
    /// How often those who do not work look at the checkpoint.
    fn look_every(&self) -> Duration {
        (self.steal_after / 10).clamp(Duration::from_millis(20), Duration::from_secs(1))
    }
    /// How often whoever works considers whether to write.
    fn consider_every(&self) -> Duration {
        (self.checkpoint_every / 10).max(Duration::from_millis(5))
    }
}

/// What happened.
#[derive(Debug)]
pub(super) enum Input {
    /// Time has passed; and how the work, if there is any, stands.
    Tick(Standing),
    /// The checkpoint as it was read, and where a feed that never began begins.
    Found { stored: Option<StoredCheckpoint>, begin: Sequence },
    /// It could not be read.
    NotRead,
    /// The write with that nonce was answered.
    Written { nonce: Nonce, result: Result<Revision, WriteError> },
    /// This node is to work no more: the work has been ended, and stood so.
    Release(Standing),
}

/// How the work stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Everything up to here has been handled.
    pub(super) position: Sequence,
    /// Events handled since the work began.
    pub(super) handled: u64,
    /// Whether everything that is stored has been handled.
    pub(super) caught_up: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The checkpoint is to be read.
    Read,
    /// It is to be written.
    Write { checkpoint: Checkpoint, expected: Expected },
    /// The work begins, behind that place.
    Begin(Sequence),
    /// The work ends at once.
    Halt,
    /// The feed has been given back, or never was this node's: nothing is left to do.
    Ended,
}

/// See the module.
pub(super) struct Machine {
    feed: FeedName,
    me: NodeRef,
    timing: Timing,
    rng: ChaCha8Rng,
    state: State,
    /// Who works on it, as last seen or decided.
    owner: Option<NodeRef>,
    /// What was last known to be stored.
    stored: Sequence,
}

enum State {
    Watching(Watching),
    /// It is being taken.
    Taking(Attempt),
    Working(Working),
    Releasing(Releasing),
    Ended,
}

#[derive(Default)]
struct Watching {
    /// The revision last seen and when it was first seen.
    seen: Option<(Revision, Monotonic)>,
    /// When to look next; `None` while looking.
    look_at: Option<Monotonic>,
}

struct Working {
    revision: Revision,
    /// When the last checkpoint that was stored was sent.
    sent: Monotonic,
    /// Events that had been handled by then.
    handled: u64,
    consider_at: Monotonic,
    attempt: Option<Attempt>,
}

/// It is being given back.
struct Releasing {
    attempt: Attempt,
    /// How the work stood when it was to be given back, and when that was.
    standing: Standing,
    since: Monotonic,
}

/// A write until it is certain what became of it.
struct Attempt {
    checkpoint: Checkpoint,
    expected: Expected,
    /// When it was first sent.
    sent: Monotonic,
    handled: u64,
    waits: Waits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For the answer, or for what a look tells.
    Answer,
    /// Until it is sent again.
    Send(Monotonic),
    /// Until the record is looked at again.
    Look(Monotonic),
}

enum Verdict {
    Stored(Revision),
    Lost,
    Unclear(Vec<Effect>),
}

impl Machine {
    pub(super) fn new(feed: FeedName, me: NodeRef, timing: Timing, seed: u64, now: Monotonic) -> Self {
        let state = State::Watching(Watching { seen: None, look_at: Some(now) });
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { feed, me, timing, rng, state, owner: None, stored: Sequence::ZERO }
    }

    /// Who works on it, as far as this node knows.
    pub(super) fn owner(&self) -> Option<&NodeRef> {
        self.owner.as_ref()
    }

    /// How far it is known to have come.
    pub(super) fn stored(&self) -> Sequence {
        self.stored
    }

    /// Whether this node works on it.
    pub(super) fn works(&self) -> bool {
        matches!(self.state, State::Working(_))
    }

    /// When it wants its next tick; `None` while it waits for an answer only.
    pub(super) fn wakes_at(&self) -> Option<Monotonic> {
        let due = |attempt: &Attempt| match attempt.waits {
            Waits::Answer => None,
            Waits::Send(at) | Waits::Look(at) => Some(at),
        };
        match &self.state {
            State::Watching(watching) => watching.look_at,
            State::Taking(attempt) | State::Releasing(Releasing { attempt, .. }) => due(attempt),
            State::Working(working) => {
                let give_up = working.sent + self.timing.hold();
                let next = working.attempt.as_ref().map_or(Some(working.consider_at), due);
                Some(next.map_or(give_up, |next| next.min(give_up)))
            }
            State::Ended => None,
        }
    }

    /// Takes one input.
    pub(super) fn step(&mut self, now: Monotonic, input: Input) -> Vec<Effect> {
        if let Input::Release(standing) = input {
            return self.release(now, standing);
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Watching(watching) => self.watch(now, watching, input),
            State::Taking(attempt) => self.take(now, attempt, input),
            State::Working(working) => self.work(now, working, input),
            State::Releasing(releasing) => self.give_back(now, releasing, input),
            State::Ended => Vec::new(),
        }
    }

    fn watch(&mut self, now: Monotonic, mut watching: Watching, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Tick(_) if watching.look_at.is_some_and(|at| at <= now) => {
                watching.look_at = None;
                effects.push(Effect::Read);
            }
            Input::NotRead => watching.look_at = Some(now + self.timing.look_every()),
            Input::Found { stored: None, begin } => return self.try_take(now, begin, Expected::Absent),
            Input::Found { stored: Some(StoredCheckpoint { checkpoint, revision }), .. } => {
                let since = match watching.seen {
                    Some((seen, since)) if seen == revision => since,
                    _ => now,
                };
                self.stored = checkpoint.position;
                let held = checkpoint.state == FeedState::Held;
                self.owner = held.then_some(checkpoint.owner);
                if !held || now.since(since) >= self.timing.steal_after {
                    return self.try_take(now, checkpoint.position, Expected::At(revision));
                }
                watching = Watching { seen: Some((revision, since)), look_at: Some(now + self.timing.look_every()) };
            }
            Input::Tick(_) | Input::Written { .. } | Input::Release(_) => {}
        }
        self.state = State::Watching(watching);
        effects
    }

    fn try_take(&mut self, now: Monotonic, position: Sequence, expected: Expected) -> Vec<Effect> {
        let attempt = self.attempt(now, FeedState::Held, Standing { position, ..Standing::default() }, expected);
        let effects = vec![attempt.write()];
        self.state = State::Taking(attempt);
        effects
    }

    fn attempt(&mut self, now: Monotonic, state: FeedState, standing: Standing, expected: Expected) -> Attempt {
        let (feed, owner, nonce) = (self.feed.clone(), self.me.clone(), Nonce(self.rng.next_u64()));
        let checkpoint = Checkpoint { feed, position: standing.position, owner, nonce, state };
        Attempt { checkpoint, expected, sent: now, handled: standing.handled, waits: Waits::Answer }
    }

    fn take(&mut self, now: Monotonic, mut attempt: Attempt, input: Input) -> Vec<Effect> {
        match attempt.judge(now, input) {
            Verdict::Stored(_) if now.since(attempt.sent) >= self.timing.hold() => self.lose(now),
            Verdict::Stored(revision) => {
                let position = attempt.checkpoint.position;
                (self.owner, self.stored) = (Some(self.me.clone()), position);
                let consider_at = now + self.timing.consider_every();
                self.state =
                    State::Working(Working { revision, sent: attempt.sent, handled: 0, consider_at, attempt: None });
                vec![Effect::Begin(position)]
            }
            Verdict::Lost => self.lose(now),
            Verdict::Unclear(effects) => {
                self.state = State::Taking(attempt);
                effects
            }
        }
    }

    /// Somebody else has it: look who, from the beginning.
    fn lose(&mut self, now: Monotonic) -> Vec<Effect> {
        self.owner = None;
        self.state = State::Watching(Watching { seen: None, look_at: Some(now) });
        Vec::new()
    }

    fn work(&mut self, now: Monotonic, mut working: Working, input: Input) -> Vec<Effect> {
        if now.since(working.sent) >= self.timing.hold() {
            // Others may have taken it by now, and no write of this node got through.
            self.lose(now);
            return vec![Effect::Halt];
        }
        let mut effects = Vec::new();
        if let Some(mut attempt) = working.attempt.take() {
            match attempt.judge(now, input) {
                Verdict::Stored(revision) => {
                    working = Working { revision, sent: attempt.sent, handled: attempt.handled, ..working };
                    self.stored = attempt.checkpoint.position;
                }
                Verdict::Lost => {
                    self.lose(now);
                    return vec![Effect::Halt];
                }
                Verdict::Unclear(more) => {
                    effects = more;
                    working.attempt = Some(attempt);
                }
            }
        } else if let Input::Tick(standing) = input {
            let since = now.since(working.sent);
            let settled = standing.caught_up && since >= self.timing.consider_every();
            let moved = standing.position > self.stored
                && (settled
                    || since >= self.timing.checkpoint_every
                    || standing.handled - working.handled >= self.timing.checkpoint_events);
            if moved || since >= self.timing.renew_every() {
                let attempt = self.attempt(now, FeedState::Held, standing, Expected::At(working.revision));
                effects.push(attempt.write());
                working.attempt = Some(attempt);
            }
            working.consider_at = now + self.timing.consider_every();
        }
        self.state = State::Working(working);
        effects
    }

    fn release(&mut self, now: Monotonic, standing: Standing) -> Vec<Effect> {
        let (attempt, effects) = match std::mem::replace(&mut self.state, State::Ended) {
            // First it has to be certain what the next write must expect.
            State::Taking(attempt) | State::Working(Working { attempt: Some(attempt), .. }) => (attempt, Vec::new()),
            State::Working(Working { revision, .. }) => self.last_write(now, standing, revision),
            State::Releasing(releasing) => {
                self.state = State::Releasing(releasing);
                return Vec::new();
            }
            State::Watching(_) => return vec![Effect::Ended],
            State::Ended => return Vec::new(),
        };
        self.state = State::Releasing(Releasing { attempt, standing, since: now });
        effects
    }

    fn last_write(&mut self, now: Monotonic, standing: Standing, revision: Revision) -> (Attempt, Vec<Effect>) {
        let attempt = self.attempt(now, FeedState::Released, standing, Expected::At(revision));
        let effects = vec![attempt.write()];
        (attempt, effects)
    }

    fn give_back(&mut self, now: Monotonic, mut releasing: Releasing, input: Input) -> Vec<Effect> {
        // It works no more, so nothing hangs on how long ago a write was: if another has taken it, compare-and-set says so.
        if now.since(releasing.since) >= self.timing.hold() {
            // Others find out by their clocks.
            return vec![Effect::Ended];
        }
        let attempt = &mut releasing.attempt;
        let effects = match attempt.judge(now, input) {
            // That was the write that was under way.
            Verdict::Stored(revision) if attempt.checkpoint.state == FeedState::Held => {
                let mut standing = releasing.standing;
                standing.position = standing.position.max(attempt.checkpoint.position);
                let (attempt, effects) = self.last_write(now, standing, revision);
                releasing.attempt = attempt;
                effects
            }
            Verdict::Stored(_) => {
                (self.owner, self.stored) = (None, attempt.checkpoint.position);
                return vec![Effect::Ended];
            }
            Verdict::Lost => return vec![Effect::Ended],
            Verdict::Unclear(effects) => effects,
        };
        self.state = State::Releasing(releasing);
        effects
    }
}

impl Attempt {
    fn write(&self) -> Effect {
        Effect::Write { checkpoint: self.checkpoint.clone(), expected: self.expected }
    }

    /// What an input says of it.
    fn judge(&mut self, now: Monotonic, input: Input) -> Verdict {
        let effects = match input {
            Input::Written { nonce, .. } if nonce != self.checkpoint.nonce => return Verdict::Unclear(Vec::new()),
            Input::Written { result: Ok(revision), .. } => return Verdict::Stored(revision),
            Input::Written { result: Err(WriteError::Unavailable { .. }), .. } => {
                self.waits = Waits::Send(now + AGAIN_AFTER);
                return Verdict::Unclear(Vec::new());
            }
            // Even a conflict may be with an earlier sending of its own: the record says whose it is.
            Input::Written { result: Err(WriteError::Conflict { .. } | WriteError::Unknown { .. }), .. } => {
                vec![Effect::Read]
            }
            Input::NotRead => {
                self.waits = Waits::Look(now + AGAIN_AFTER);
                return Verdict::Unclear(Vec::new());
            }
            Input::Found { stored, .. } => {
                let found = stored.map(|stored| (stored.checkpoint.nonce, stored.revision));
                match found {
                    Some((nonce, revision)) if nonce == self.checkpoint.nonce => return Verdict::Stored(revision),
                    Some((_, revision)) if revision > self.expected.revision() => return Verdict::Lost,
                    // It is as it was, or an old record was read: the same again can do no harm.
                    _ => {
                        self.waits = Waits::Send(now + AGAIN_AFTER);
                        return Verdict::Unclear(Vec::new());
                    }
                }
            }
            Input::Tick(_) => match self.waits {
                Waits::Send(at) if at <= now => vec![self.write()],
                Waits::Look(at) if at <= now => vec![Effect::Read],
                _ => return Verdict::Unclear(Vec::new()),
            },
            Input::Release(_) => return Verdict::Unclear(Vec::new()),
        };
        self.waits = Waits::Answer;
        Verdict::Unclear(effects)
    }
}

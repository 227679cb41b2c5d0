//! Given events, when a command, then events, a reply or a rejection: tests of an actor that read like its rules.
//!
//! Pure: no runtime, no clock, no store. Commands, events and replies cross the JSON codec on the way, so what serde
//! cannot carry fails here. See the example of [`crate::actor`].

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

use aether_domain::records::{CommitRecord, MissedTicks, PayloadCodec, TimerChange};
use aether_domain::{Version, WallTime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::commands::Contains;
use super::event::{Event, Upcast};
use super::model::{Actor, Command, Ctx, Handle};
use super::timers::Wish;

/// An actor with a past.
pub struct Given<A: Actor> {
    state: A,
    ctx: Ctx<A>,
}

/// An actor's answer.
pub struct When<A: Actor, R> {
    outcome: Result<Done<A, R>, A::Error>,
}

struct Done<A: Actor, R> {
    events: Vec<A::Event>,
    reminders: Vec<TimerChange>,
    now: WallTime,
    reply: R,
    state: A,
}

/// What is expected to become of one reminder. Made by [`reminder`], [`periodic`] and [`cancelled`].
pub struct Reminder {
    wish: Wish,
}

/// One of that command, after so long: what [`Effect::remind`](super::Effect::remind) sets.
pub fn reminder<C: Command>(after: Duration, command: &C) -> Reminder {
    Reminder { wish: Wish::remind(C::NAME.into(), after, command) }
}

/// One of that command, every `period`: what [`Effect::remind_every`](super::Effect::remind_every) sets.
pub fn periodic<C: Command>(period: Duration, missed: MissedTicks, command: &C) -> Reminder {
    Reminder { wish: Wish::remind(C::NAME.into(), period, command).every(missed) }
}

/// The one of that name is cancelled.
pub fn cancelled(name: impl Into<Cow<'static, str>>) -> Reminder {
    Reminder { wish: Wish::cancel(name.into()) }
}

impl Reminder {
    /// Under a name of its own.
    #[must_use]
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { wish: self.wish.named(name.into()) }
    }
}

/// The actor of that id after `history`.
pub fn given<A: Actor>(id: A::Id, history: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut given =
        Given { state: A::default(), ctx: Ctx { id, version: Version::ZERO, now: WallTime { unix_millis: 0 } } };
    for event in history {
        given.state.apply(&event);
        given.ctx.version = given.ctx.version.next();
    }
    given
}

#[track_caller]
fn changed(wish: Wish, now: WallTime) -> TimerChange {
    wish.change(now, PayloadCodec::Json).unwrap_or_else(|reason| panic!("{reason}"))
}

#[track_caller]
fn carried<T: Serialize + DeserializeOwned>(what: &str, value: &T) -> T {
    let carried = codec::encode(PayloadCodec::Json, value).and_then(|bytes| codec::decode(PayloadCodec::Json, &bytes));
    carried.unwrap_or_else(|fault| panic!("the {what} does not survive the codec: {fault}"))
}

impl<A: Actor> Given<A> {
    /// What the clock says when the command is handled; 1970 unless told.
    #[must_use]
    pub fn at(mut self, now: WallTime) -> Self {
        self.ctx.now = now;
        self
    }

    /// Asks.
    ///
    /// # Panics
    /// If the command, an event or the reply does not survive the codec, a reply with events is over its bound, or a reminder
    /// cannot be set.
    #[track_caller]
    #[must_use = "say what is expected"]
    pub fn when<C: Command, Index>(mut self, command: C) -> When<A, C::Reply>
    where
        A: Handle<C>,
        A::Commands: Contains<C, Index>,
    {
        let mut effect = match self.state.handle(carried("command", &command), &self.ctx) {
            Ok(effect) => effect,
            Err(rejection) => return When { outcome: Err(carried("rejection", &rejection)) },
        };
        let mut events = Vec::new();
        for event in effect.events() {
            let stored = codec::encode(PayloadCodec::Json, event).expect("an event can be encoded");
            let upcast = Upcast::new(A::Event::VERSION, PayloadCodec::Json, &stored);
            let event = A::Event::upcast(upcast).expect("an event of the present version can be read");
            self.state.apply(&event);
            events.push(event);
        }
        let now = self.ctx.now;
        let wishes = std::mem::take(&mut effect.wishes).into_iter();
        let reminders: Vec<_> = wishes.map(|wish| changed(wish, now)).collect();
        let reply = effect.into_reply(&self.state);
        if !(events.is_empty() && reminders.is_empty()) {
            let bytes = codec::encode(PayloadCodec::Json, &reply).expect("a reply can be encoded").len();
            let bytes_max = CommitRecord::REPLY_BYTES_MAX;
            assert!(bytes <= bytes_max, "a stored reply has at most {bytes_max} bytes, this one has {bytes}");
        }
        let reply = carried("reply", &reply);
        When { outcome: Ok(Done { events, reminders, now, reply, state: self.state }) }
    }

    /// The state the history leads to.
    pub fn state(&self) -> &A {
        &self.state
    }
}

#[expect(clippy::return_self_not_must_use, reason = "each of these may be the last thing expected")]
impl<A: Actor, R> When<A, R> {
    #[track_caller]
    fn done(&self) -> &Done<A, R> {
        match &self.outcome {
            Ok(done) => done,
            Err(rejection) => panic!("rejected: {rejection}"),
        }
    }

    /// Expects exactly these events; none for a query.
    ///
    /// # Panics
    /// If there are others, or a rejection.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) -> Self
    where
        A::Event: PartialEq + Debug,
    {
        assert_eq!(self.done().events, expected.into_iter().collect::<Vec<_>>());
        self
    }

    /// Expects that exactly this becomes of reminders, in this order.
    ///
    /// # Panics
    /// If it is something else, or a rejection.
    #[track_caller]
    pub fn reminds(self, expected: impl IntoIterator<Item = Reminder>) -> Self {
        let Done { reminders, now, .. } = self.done();
        let expected: Vec<_> = expected.into_iter().map(|expected| changed(expected.wish, *now)).collect();
        assert_eq!(*reminders, expected);
        self
    }

    /// Expects this reply.
    ///
    /// # Panics
    /// If it is another, or a rejection.
    #[track_caller]
    pub fn reply(self, expected: R) -> Self
    where
        R: PartialEq + Debug,
    {
        assert_eq!(self.done().reply, expected);
        self
    }

    /// Expects a state after the events of which `holds` is true.
    ///
    /// # Panics
    /// If it is not, or at a rejection.
    #[track_caller]
    pub fn state(self, holds: impl FnOnce(&A) -> bool) -> Self {
        assert!(holds(&self.done().state), "the state after the events is not as expected");
        self
    }

    /// Expects this rejection, and so no events.
    ///
    /// # Panics
    /// If it is another, or none.
    #[track_caller]
    pub fn rejected(self, expected: A::Error)
    where
        A::Error: PartialEq,
        A::Event: Debug,
    {
        match self.outcome {
            Ok(done) => panic!("expected a rejection, got the events {:?}", done.events),
            Err(rejection) => assert_eq!(rejection, expected),
        }
    }
}

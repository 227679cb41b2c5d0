//! What a handler wants to happen.

use std::borrow::Cow;
use std::time::Duration;

use aether_domain::records::MissedTicks;

use super::commands::Contains;
use super::model::{Actor, Command, Handle};
use super::timers::Wish;

/// Events to store, reminders to set, then a reply computed from the state they lead to.
///
/// Made by [`Actor::emit`], [`Actor::emit_all`], [`Actor::nothing`] and [`Actor::answer`]. Nothing has happened until the
/// runtime has stored it.
///
/// # Reminders
/// A reminder is a command of the actor's own that it will be asked later: a durable timer. It is stored with the events and
/// happens with them or not at all. It survives moves, crashes and a cluster that was off, and fires once in effect: what its
/// command leads to is stored together with the fact that it has fired. Its resolution is a millisecond; it is never early by
/// its owner's clock. A reminder of the same name is replaced. A rejection, or an effect that stores nothing, ends a one-shot
/// reminder all the same. An effect with reminders is stored also if it has no events.
///
/// An actor has at most 256 of them open, a name at most 64 bytes, a command at most 16 KiB: beyond, the command that wanted
/// one is answered `Invalid` and nothing is stored.
#[must_use = "an effect that a handler does not return never happens"]
pub struct Effect<A: Actor, R = ()> {
    pub(crate) events: Vec<A::Event>,
    pub(crate) wishes: Vec<Wish>,
    reply: Reply<A, R>,
}

enum Reply<A, R> {
    Now(R),
    After(Box<dyn FnOnce(&A) -> R + Send>),
}

impl<A: Actor> Effect<A> {
    pub(crate) fn of(events: Vec<A::Event>) -> Self {
        Self { events, wishes: Vec::new(), reply: Reply::Now(()) }
    }
    /// Answers with what `reply` makes of the state right after these events, whatever is decided later.
    pub fn reply<R>(self, reply: impl FnOnce(&A) -> R + Send + 'static) -> Effect<A, R> {
        Effect { events: self.events, wishes: self.wishes, reply: Reply::After(Box::new(reply)) }
    }
}

impl<A: Actor, R> Effect<A, R> {
    pub(crate) fn answering(reply: R) -> Self {
        Self { events: Vec::new(), wishes: Vec::new(), reply: Reply::Now(reply) }
    }
    /// The events it wants stored, in order.
    pub fn events(&self) -> &[A::Event] {
        &self.events
    }

    /// The actor is asked `command` once, `after` its present time ([`Ctx::now`](super::Ctx)). The reminder has the command's
    /// name.
    pub fn remind<C: Command, Index>(self, after: Duration, command: &C) -> Self
    where
        A: Handle<C>,
        A::Commands: Contains<C, Index>,
    {
        self.remind_as(C::NAME, after, command)
    }

    /// The same under a name of its own: 1 to 64 bytes.
    pub fn remind_as<C: Command, Index>(self, name: impl Into<Cow<'static, str>>, after: Duration, command: &C) -> Self
    where
        A: Handle<C>,
        A::Commands: Contains<C, Index>,
    {
        self.wish(Wish::remind(name.into(), after, command))
    }

    /// The actor is asked `command` after every `period` (at least a millisecond, cut to whole ones) until it is cancelled;
    /// `missed` says what becomes of the ticks that nobody was there to run. The reminder has the command's name.
    pub fn remind_every<C: Command, Index>(self, period: Duration, missed: MissedTicks, command: &C) -> Self
    where
        A: Handle<C>,
        A::Commands: Contains<C, Index>,
    {
        self.remind_every_as(C::NAME, period, missed, command)
    }

    /// The same under a name of its own: 1 to 64 bytes.
    pub fn remind_every_as<C: Command, Index>(
        self,
        name: impl Into<Cow<'static, str>>,
        period: Duration,
        missed: MissedTicks,
        command: &C,
    ) -> Self
    where
        A: Handle<C>,
        A::Commands: Contains<C, Index>,
    {
        self.wish(Wish::remind(name.into(), period, command).every(missed))
    }

    /// The reminder of that name does not fire any more. One that is not there is cancelled already.
    pub fn cancel_reminder(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.wish(Wish::cancel(name.into()))
    }

    fn wish(mut self, wish: Wish) -> Self {
        self.wishes.push(wish);
        self
    }

    /// The reply, on the state after the events.
    pub(crate) fn into_reply(self, after: &A) -> R {
        match self.reply {
            Reply::Now(reply) => reply,
            Reply::After(reply) => reply(after),
        }
    }
}

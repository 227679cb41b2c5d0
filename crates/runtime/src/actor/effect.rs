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

/// A command's `Reply`, and what its handler answers: always the same type.
///
/// It is here for what the compiler says where they differ, and not to be implemented. It is a trait of the reply, so that what
/// a handler answers can still be inferred from it (`into()`, `collect()`, `None`). An effect that nobody returns or passes
/// on needs its reply's type written down: `let effect: Effect<Lamp, u64> = ..`.
#[diagnostic::on_unimplemented(
    message = "the command's `Reply` is `{Self}`, but its handler answers `{T}`",
    label = "answers `{T}`, not `{Self}`",
    note = "answer a `{Self}`, with `.reply(..)` behind the events or with `Self::answer(..)`; or write `type Reply = {T}` in the command's `impl Command`"
)]
pub trait AnsweredBy<T>: Sized {
    /// The same.
    #[doc(hidden)]
    fn answered(with: T) -> Self;
}

impl<T> AnsweredBy<T> for T {
    fn answered(with: T) -> Self {
        with
    }
}

impl<A: Actor> Effect<A> {
    /// Answers with what `reply` makes of the state right after these events, whatever is decided later.
    pub fn reply<T, R: AnsweredBy<T>>(self, reply: impl FnOnce(&A) -> T + Send + 'static) -> Effect<A, R> {
        let after = Reply::After(Box::new(move |state| R::answered(reply(state))));
        Effect { events: self.events, wishes: self.wishes, reply: after }
    }
}

impl<A: Actor, R> Effect<A, R> {
    pub(crate) fn of(events: Vec<A::Event>, reply: R) -> Self {
        Self { events, wishes: Vec::new(), reply: Reply::Now(reply) }
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

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::super::testkit::given;
    use super::super::{Ctx, Decision, Event};
    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    struct Shelf {
        books: Vec<u32>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Put(u32);
    impl Event for Put {}
    #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
    #[error("never")]
    struct Never;

    macro_rules! commands {
        ($($name:ident $text:literal -> $reply:ty: |$state:ident| $decided:expr;)*) => {
            $(
                #[derive(Clone, Serialize, Deserialize)]
                struct $name;
                impl Command for $name {
                    const NAME: &'static str = $text;
                    type Reply = $reply;
                }
                impl Handle<$name> for Shelf {
                    fn handle(&self, _: $name, _: &Ctx<Self>) -> Decision<Self, $name> {
                        let $state = self;
                        Ok($decided)
                    }
                }
            )*
            impl Actor for Shelf {
                const KIND: &'static str = "shelf";
                type Id = u64;
                type Event = Put;
                type Error = Never;
                type Commands = ($($name,)*);
                fn apply(&mut self, event: &Put) {
                    self.books.push(event.0);
                }
            }
        };
    }

    commands! {
        Literal "literal" -> u8: |_shelf| Self::emit(Put(1)).reply(|_| 7);
        Collected "collected" -> Vec<u64>: |_shelf| {
            Self::emit(Put(2)).reply(|shelf| shelf.books.iter().map(|book| (*book).into()).collect())
        };
        Summed "summed" -> u64: |shelf| Self::answer(shelf.books.iter().map(|book| u64::from(*book)).sum());
        Converted "converted" -> Option<u64>: |shelf| Self::answer(shelf.books.first().map(|book| (*book).into()));
        Nothing "nothing" -> Option<String>: |_shelf| Self::answer(None);
        Parsed "parsed" -> Result<u16, String>: |_shelf| Self::answer("12".parse().map_err(|_| "no".into()));
        Empty "empty" -> Vec<String>: |_shelf| Self::nothing().reply(|_| Vec::new());
        Silent "silent" -> (): |_shelf| Self::emit_all([Put(3), Put(4)]);
        Unchanged "unchanged" -> (): |_shelf| Self::nothing();
        Kept "kept" -> usize: |_shelf| {
            let effect = Self::emit(Put(5)).reply(|shelf| shelf.books.len());
            effect.cancel_reminder("any")
        };
    }

    #[test]
    fn what_a_reply_is_made_into_follows_from_the_command() {
        let shelf = || given::<Shelf>(1, [Put(9)]);
        shelf().when(Literal).then([Put(1)]).reply(7);
        shelf().when(Collected).then([Put(2)]).reply(vec![9, 2]);
        shelf().when(Summed).then([]).reply(9);
        shelf().when(Converted).then([]).reply(Some(9));
        shelf().when(Nothing).then([]).reply(None);
        shelf().when(Parsed).then([]).reply(Ok(12));
        shelf().when(Empty).then([]).reply(Vec::new());
        shelf().when(Silent).then([Put(3), Put(4)]).reply(());
        shelf().when(Unchanged).then([]).reply(());
        shelf().when(Kept).then([Put(5)]).reply(2);
    }
}

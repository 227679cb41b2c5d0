//! What a handler wants to happen.

use super::model::Actor;

/// Events to store, then a reply computed from the state they lead to.
///
/// Made by [`Actor::emit`], [`Actor::emit_all`], [`Actor::nothing`] and [`Actor::answer`]. Nothing has happened until the
/// runtime has stored it.
#[must_use = "an effect that a handler does not return never happens"]
pub struct Effect<A: Actor, R = ()> {
    pub(crate) events: Vec<A::Event>,
    reply: Reply<A, R>,
}

enum Reply<A, R> {
    Now(R),
    After(Box<dyn FnOnce(&A) -> R + Send>),
}

impl<A: Actor> Effect<A> {
    pub(crate) fn of(events: Vec<A::Event>) -> Self {
        Self { events, reply: Reply::Now(()) }
    }
    /// Answers with what `reply` makes of the state right after these events, whatever is decided later.
    pub fn reply<R>(self, reply: impl FnOnce(&A) -> R + Send + 'static) -> Effect<A, R> {
        Effect { events: self.events, reply: Reply::After(Box::new(reply)) }
    }
}

impl<A: Actor, R> Effect<A, R> {
    pub(crate) fn answering(reply: R) -> Self {
        Self { events: Vec::new(), reply: Reply::Now(reply) }
    }
    /// The events it wants stored, in order.
    pub fn events(&self) -> &[A::Event] {
        &self.events
    }
    /// The reply, on the state after the events.
    pub(crate) fn into_reply(self, after: &A) -> R {
        match self.reply {
            Reply::Now(reply) => reply,
            Reply::After(reply) => reply(after),
        }
    }
}

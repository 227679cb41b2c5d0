//! The traits an actor is made of.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use aether_domain::{Version, WallTime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::commands::CommandSet;
use super::effect::{AnsweredBy, Effect};
use super::event::Event;
use super::settings::Settings;

/// The identity of one actor of a kind: anything that is printed and read back, such as `String`, `u64`, a UUID or a
/// newtype of one. Its text is what is stored and hashed: 1 to 128 bytes, and equal ids must print equally, for ever.
pub trait ActorIdentity: Clone + Display + FromStr + Send + Sync + 'static {}
impl<T: Clone + Display + FromStr + Send + Sync + 'static> ActorIdentity for T {}

/// A business "no": typed at the caller too, wherever the actor is. Nothing is stored for it, and the runtime never
/// tries again by itself.
pub trait Rejection: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<T: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static> Rejection for T {}

/// Something an actor can be asked.
///
/// It is `Clone` because a command may have to be handled more than once before it counts once: when another node
/// committed first, the actor is loaded again and its waiting commands decide again, each from an unused copy.
pub trait Command: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// The stable name on the wire and in gateways, unique within the actor kind. Never give it to another shape.
    const NAME: &'static str;
    /// What a success answers. Stored with the commit if there are events, and then at most 1 KiB encoded.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// An event-sourced virtual actor. The implementing type *is* its state; the default is the state before any event.
///
/// The state is written to snapshots now and then: what serde leaves out of it (`#[serde(skip)]`) is gone when the actor is
/// loaded from one. History remains the truth: a snapshot that cannot be read costs time, nothing else.
///
/// Handlers and [`Self::apply`] are pure and synchronous: they are called again on every reload and retry. A panic in
/// one discards this actor's instance only; its history is untouched.
pub trait Actor: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stable name of the kind: 1 to 32 of `a-z`, `0-9`, `_` and `-`. Part of subjects, metrics and history.
    const KIND: &'static str;
    /// What tells actors of this kind apart.
    type Id: ActorIdentity;
    /// What its history is made of.
    type Event: Event;
    /// How it says no.
    type Error: Rejection;
    /// Every command it answers, as a tuple of up to 16. A command that is not listed cannot be asked, a listed one
    /// without a [`Handle`] does not compile.
    type Commands: CommandSet<Self>;

    /// The version of the state's shape, from 1: raise it whenever the state is written otherwise or means something else
    /// than before. A snapshot of another version is not read, and the actor is made of its whole history once.
    const SNAPSHOT: u32 = 1;

    /// Takes over what has happened. It cannot refuse: the event is a fact.
    fn apply(&mut self, event: &Self::Event);

    /// How actors of this kind are run.
    fn settings() -> Settings {
        Settings::default()
    }

    /// An estimate of the bytes that the state holds beyond its own `size_of`: in its strings, lists and maps. It counts for
    /// the limits on resident actors ([`Settings::resident_bytes_max`]) and is asked whenever the actor has nothing under
    /// way any more, so it should be quick. Without it only `size_of` counts.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// One event is to be stored; answers `()` unless [`Effect::reply`] says more.
    fn emit<R: AnsweredBy<()>>(event: Self::Event) -> Effect<Self, R> {
        Effect::of(vec![event], R::answered(()))
    }
    /// These events are to be stored together or not at all; none at all is [`Self::nothing`].
    fn emit_all<R: AnsweredBy<()>>(events: impl IntoIterator<Item = Self::Event>) -> Effect<Self, R> {
        Effect::of(events.into_iter().collect(), R::answered(()))
    }
    /// Nothing is to be stored: it was so already.
    fn nothing<R: AnsweredBy<()>>() -> Effect<Self, R> {
        Effect::of(Vec::new(), R::answered(()))
    }
    /// Nothing is to be stored, and this is the answer: a query.
    fn answer<T, R: AnsweredBy<T>>(reply: T) -> Effect<Self, R> {
        Effect::of(Vec::new(), R::answered(reply))
    }
}

/// How an actor decides about one command.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists the command `{C}` but does not handle it",
    label = "`impl Handle<{C}> for {Self}` is missing",
    note = "every command in `type Commands = (..)` needs a handler"
)]
pub trait Handle<C: Command>: Actor {
    /// Decides on the present state; pure, synchronous, without I/O. What is to happen is in the answer.
    ///
    /// # Errors
    /// The actor's own rejection; nothing is stored then.
    fn handle(&self, command: C, ctx: &Ctx<Self>) -> Decision<Self, C>;
}

/// What a handler answers: an [`Effect`] that ends in the command's reply, or a rejection.
pub type Decision<A, C> = Result<Effect<A, <C as Command>::Reply>, <A as Actor>::Error>;

/// What a handler may know besides its state.
#[derive(Debug)]
pub struct Ctx<A: Actor> {
    /// Which actor it is.
    pub id: A::Id,
    /// How many events its state includes.
    pub version: Version,
    /// The owner's wall clock, for stamps that people read: another node's may differ, and it may be set back.
    pub now: WallTime,
}

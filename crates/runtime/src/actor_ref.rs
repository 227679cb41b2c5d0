//! A typed way to one actor, wherever it is.
//!
//! It keeps the actor's address, so an id is written and hashed once. Whether a command is one of the actor's is
//! checked when the program is compiled; what travels is the router's business.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use aether_domain::ports::ReadMode;
use aether_domain::records::PayloadCodec;
use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, InvalidId, MessageId};
use aether_placement::ShardHash;
use bytes::Bytes;

use crate::actor::{
    Actor, AskError, CodecError, Command, Contains, Fate, Handle, OUTCOME_OF, Settings, codec, read_outcome, read_reply,
};
use crate::message::{Outcome, Payload};
use crate::router::{Outgoing, Parcel, Router};
use crate::traces::Step;

/// One actor of the kind `A`, and how to ask it. Cheap to clone; a clone may be given other options.
///
/// It outlives moves, restarts of nodes and new lives of this one: it names an actor, not a place.
pub struct ActorRef<A: Actor> {
    router: Router,
    address: ActorAddress,
    /// How this kind's replies are stored, so that a stored one is sent as it is.
    codec: PayloadCodec,
    timeout: Duration,
    mode: ReadMode,
    of: PhantomData<fn() -> A>,
}

impl<A: Actor> ActorRef<A> {
    /// The actor with that id. Nothing is sent: an actor exists once it has a history.
    ///
    /// # Errors
    /// [`InvalidId`] if [`Actor::KIND`] or the id's text is not a valid name.
    pub fn new(router: Router, hash: &ShardHash, id: &A::Id) -> Result<Self, InvalidId> {
        let key = ActorKey { kind: ActorKind::new(A::KIND)?, id: ActorId::new(id.to_string())? };
        let address = hash.address(key);
        let Settings { codec, timeout, mode, .. } = A::settings();
        Ok(Self { router, address, codec, timeout, mode, of: PhantomData })
    }

    /// Whom it names.
    pub fn address(&self) -> &ActorAddress {
        &self.address
    }

    /// The same actor, asked with that time-out (at most [`TIMEOUT_MAX`](crate::router::bounds::TIMEOUT_MAX)). It begins when the
    /// command is written, if it goes to another node, or has run, if it runs at once on the caller's own task.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same actor, asked for answers at least that fresh.
    #[must_use]
    pub fn mode(mut self, mode: ReadMode) -> Self {
        self.mode = mode;
        self
    }

    /// Asks. What is lost or refused on the way is tried again until the time-out, and counts once.
    ///
    /// # Errors
    /// [`AskError`]; [`AskError::maybe_applied`] says whether the command may be in the history all the same.
    pub async fn ask<C, I>(&self, command: C) -> Result<C::Reply, AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        read_outcome::<A, C>(self.asked(None, command).await)
    }

    /// Asks under the application's own name for this intention: asked again under it, the command counts once, even
    /// after a restart of the caller. An actor remembers its last 1,024 such names.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_with_id<C, I>(&self, message: MessageId, command: C) -> Result<C::Reply, AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        read_outcome::<A, C>(self.asked(Some(message), command).await)
    }

    /// Asks, and answers what the router says: it tells apart what is stored and what was only looked at. For test kits.
    #[doc(hidden)]
    pub async fn ask_outcome<C, I>(&self, message: Option<MessageId>, command: C) -> Outcome
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        self.asked(message, command).await
    }

    /// What became of the command `C` that was, or was to be, asked of this actor under that name: after an error with
    /// [`AskError::maybe_applied`], or after a restart, when nothing is known any more.
    ///
    /// It is the history that answers, and it is final. If the message is not there it is withdrawn, by a record in the
    /// history, before the answer is given: whatever is still under way under it can do nothing any more, and asking under
    /// it again is [`AskError::Invalid`]. To try once more, use another name.
    ///
    /// A rejected command, and one that led to no event, is not in the history: [`Fate::NotApplied`].
    ///
    /// # Errors
    /// [`AskError`], never [`AskError::Rejected`]: nothing is known then. It is safe to ask again.
    pub async fn outcome_of<C, I>(&self, message: MessageId) -> Result<Fate<C::Reply>, AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        let question = Outgoing {
            actor: self.address.clone(),
            command: format!("{OUTCOME_OF}{}", C::NAME).into(),
            parcel: Question { codec: self.codec },
            message: Some(message),
            mode: self.mode,
            timeout: self.timeout,
            trace: None,
        };
        read_reply(self.router.ask(question).await)
    }

    /// Sends at most once and waits for nothing.
    ///
    /// # Errors
    /// [`AskError`] if it certainly was not sent: `Busy`, `Unavailable`, `Timeout`, or `Codec` if it cannot be written.
    pub fn tell<C, I>(&self, command: C) -> Result<(), AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        let Err(answer) = self.router.tell(self.outgoing(None, command)) else { return Ok(()) };
        read_outcome::<A, C>(Outcome::Other(answer)).map(drop)
    }

    /// Begun when it is called, and small: whoever asks holds it.
    fn asked<C: Command>(&self, message: Option<MessageId>, command: C) -> impl Future<Output = Outcome> + Send {
        let step = Step::ask(A::KIND, C::NAME);
        let outgoing = Outgoing { trace: step.told(None), ..self.outgoing(message, command) };
        step.around(self.router.ask(outgoing))
    }

    fn outgoing<C: Command>(&self, message: Option<MessageId>, command: C) -> Outgoing<Value<C>> {
        Outgoing {
            actor: self.address.clone(),
            command: C::NAME.into(),
            parcel: Value { command, codec: self.codec },
            message,
            mode: self.mode,
            timeout: self.timeout,
            trace: None,
        }
    }
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        let (router, address) = (self.router.clone(), self.address.clone());
        Self { router, address, codec: self.codec, timeout: self.timeout, mode: self.mode, of: PhantomData }
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({})", self.address.key)
    }
}

/// A command as its caller has it: copied for a shard of this node, written only if it has to travel.
struct Value<C> {
    command: C,
    codec: PayloadCodec,
}

impl<C: Command> Parcel for Value<C> {
    fn here(&self) -> Payload {
        Payload::Typed(Box::new(self.command.clone()))
    }
    fn written(&self) -> Result<(PayloadCodec, Bytes), CodecError> {
        Ok((self.codec, codec::encode(self.codec, &self.command)?))
    }
}

/// Asks for the outcome of a message, which stands beside it.
struct Question {
    codec: PayloadCodec,
}

impl Parcel for Question {
    fn here(&self) -> Payload {
        Payload::Typed(Box::new(()))
    }
    fn written(&self) -> Result<(PayloadCodec, Bytes), CodecError> {
        Ok((self.codec, codec::encode(self.codec, &())?))
    }
}

//! Asking actors from a program that is no node: typed, over NATS, through whichever node takes the request.
//!
//! A client holds one connection and nothing of the cluster: no shards, no topology, no heartbeat. It asks in JSON through
//! the gateway, as any NATS client in any language can. An answer takes one hop more than a node's own ask.
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! # use aether::prelude::*;
//! # #[derive(Default, Serialize, Deserialize)] struct Account { balance: u64 }
//! # #[derive(Serialize, Deserialize)] struct Withdrawn { amount: u64 }
//! # impl Event for Withdrawn {}
//! # #[derive(Debug, Serialize, Deserialize, thiserror::Error)] #[error("no")] struct Insufficient;
//! # #[derive(Clone, Serialize, Deserialize)] struct Withdraw { amount: u64 }
//! # impl Command for Withdraw { const NAME: &'static str = "withdraw"; type Reply = u64; }
//! # impl Actor for Account {
//! #     const KIND: &'static str = "account";
//! #     type Id = u64; type Event = Withdrawn; type Error = Insufficient; type Commands = (Withdraw,);
//! #     fn apply(&mut self, event: &Withdrawn) { self.balance -= event.amount; }
//! # }
//! # impl Handle<Withdraw> for Account {
//! #     fn handle(&self, c: Withdraw, _: &Ctx<Self>) -> Decision<Self, Withdraw> {
//! #         Ok(Self::emit(Withdrawn { amount: c.amount }).reply(|account| account.balance))
//! #     }
//! # }
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(&NatsConfig::new(["nats://127.0.0.1:4222"]), "bank").await?;
//! let left: u64 = client.actor::<Account>(42).ask(Withdraw { amount: 30 }).await?;
//! # Ok(()) }
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{GatewayAnswer, ReadMode};
use aether_domain::records::PayloadCodec;
use aether_domain::{ActorId, ActorKind, InvalidId, MessageId, Namespace, TraceParent};
use aether_infra_nats::{GATEWAY_TIMEOUT_MAX, GatewayClient, GatewayCommand, GatewayError, NatsConfig};
use aether_runtime::actor::{Actor, AskError, Command, Contains, Fate, Handle, OUTCOME_OF, codec};
use aether_runtime::clock::{BootClock, Clock};
use aether_runtime::traces::Step;
use async_trait::async_trait;
use serde::de::DeserializeOwned;

/// The longest one try waits for its answer: a node that has died with the request is found out after it.
const TRY_MAX: Duration = Duration::from_secs(2);
/// Between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// The shortest time that a try is worth.
const TRY_MIN: Duration = Duration::from_millis(1);

/// A connection to a cluster's gateway. Cheap to clone; asks may run side by side.
#[derive(Clone)]
pub struct Client {
    gateway: GatewayClient,
    clock: Arc<dyn Clock>,
}

/// Why a client could not connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The namespace is no name.
    #[error("that is no namespace")]
    Namespace(#[from] InvalidId),
    /// NATS does not take us.
    #[error(transparent)]
    Nats(#[from] aether_infra_nats::StartError),
}

impl Client {
    /// Connects to the cluster of that namespace, within [`NatsConfig::connect_within`]. No node needs to be there yet.
    ///
    /// # Errors
    /// [`ConnectError`], which says what to do.
    pub async fn connect(config: &NatsConfig, namespace: impl AsRef<str>) -> Result<Self, ConnectError> {
        let gateway = GatewayClient::connect(config, &Namespace::new(namespace)?).await?;
        Ok(Self { gateway, clock: Arc::new(BootClock) })
    }

    /// One actor; it need not exist: every id has an actor.
    ///
    /// # Panics
    /// If the id's text is empty or longer than 128 bytes, or the kind has no valid name. For ids that come from outside
    /// use [`Self::try_actor`].
    pub fn actor<A: Actor>(&self, id: A::Id) -> RemoteActor<A> {
        self.try_actor(&id).expect("an actor's id is a text of 1 to 128 bytes")
    }

    /// As [`Self::actor`], for ids that come from outside.
    ///
    /// # Errors
    /// [`InvalidId`] if the id's text is empty or longer than 128 bytes, or the kind has no valid name.
    pub fn try_actor<A: Actor>(&self, id: &A::Id) -> Result<RemoteActor<A>, InvalidId> {
        ActorKind::new(A::KIND)?;
        let (settings, id) = (A::settings(), ActorId::new(id.to_string())?);
        let client = self.clone();
        Ok(RemoteActor { client, id, timeout: settings.timeout, mode: settings.mode, of: PhantomData })
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.gateway.close().await;
    }
}

/// One actor of the kind `A`, asked through the gateway. Cheap to clone; a clone may be given other options.
pub struct RemoteActor<A: Actor> {
    client: Client,
    id: ActorId,
    timeout: Duration,
    mode: ReadMode,
    of: PhantomData<fn() -> A>,
}

impl<A: Actor> RemoteActor<A> {
    /// The same actor, asked with that time-out.
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

    /// Asks. What is lost or refused on the way is tried again until the time-out, under one message id, so that it counts
    /// once.
    ///
    /// # Errors
    /// [`AskError`]; [`AskError::maybe_applied`] says whether the command may be in the history all the same.
    pub async fn ask<C, I>(&self, command: C) -> Result<C::Reply, AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        self.ask_with_id(MessageId(uuid::Uuid::now_v7().as_u128()), command).await
    }

    /// As [`Self::ask`], under the application's own name for this intention: asked again under it, even after a restart,
    /// the command counts once. An actor remembers its last 1,024 such names.
    ///
    /// After a rejection ask under a new name: if an earlier try had not been answered, the old one has been withdrawn.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_with_id<C, I>(&self, message: MessageId, command: C) -> Result<C::Reply, AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        let payload = codec::encode(PayloadCodec::Json, &command)
            .map_err(|cause| AskError::Codec { cause, maybe_applied: false })?;
        let (step, mut errand) = (Step::ask(A::KIND, C::NAME), self.errand(message));
        errand.trace = step.told(None).map(|told| *told);
        match step.around(errand.run::<C::Reply, A::Error>(C::NAME, &payload)).await {
            // An earlier try may still be under way, and be run on another state than this one was.
            Err(AskError::Rejected(no)) if errand.doubt => match self.outcome_of::<C, I>(message).await {
                Ok(Fate::Applied(reply)) => Ok(reply),
                Ok(Fate::NotApplied | Fate::Forgotten) => Err(AskError::Rejected(no)),
                Err(_) => Err(AskError::Timeout { maybe_applied: true }),
            },
            told => told,
        }
    }

    /// Sends at most once and waits for nothing: nobody says what becomes of it, and nobody tries again.
    ///
    /// # Errors
    /// [`AskError::Unavailable`] while not connected, [`AskError::Invalid`] or [`AskError::Codec`] if it cannot be sent:
    /// nothing was run.
    pub async fn tell<C, I>(&self, command: C) -> Result<(), AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        let payload = codec::encode(PayloadCodec::Json, &command)
            .map_err(|cause| AskError::Codec { cause, maybe_applied: false })?;
        let timeout = self.timeout.clamp(TRY_MIN, GATEWAY_TIMEOUT_MAX);
        let (kind, id, command, mode) = (A::KIND, self.id.as_str(), C::NAME, self.mode);
        let command =
            GatewayCommand { kind, id, command, payload: &payload, message_id: None, mode, timeout, trace: None };
        self.client.gateway.tell(&command).await.map_err(|error| match error {
            GatewayError::Unsendable { reason } => AskError::Invalid { reason, maybe_applied: false },
            _ => AskError::Unavailable { retry_after: TRY_AGAIN_AFTER, maybe_applied: false },
        })
    }

    /// What became of the command `C` that was, or was to be, asked under that name; asked of the history, and final: see
    /// [`ActorRef::outcome_of`](aether_runtime::actor_ref::ActorRef::outcome_of).
    ///
    /// # Errors
    /// [`AskError`], never [`AskError::Rejected`]: nothing is known then. It is safe to ask again.
    pub async fn outcome_of<C, I>(&self, message: MessageId) -> Result<Fate<C::Reply>, AskError<A::Error>>
    where
        C: Command,
        A: Handle<C>,
        A::Commands: Contains<C, I>,
    {
        self.errand(message).run(&format!("{OUTCOME_OF}{}", C::NAME), b"null").await
    }

    fn errand(&self, message: MessageId) -> Errand<'_> {
        let Self { client, id, timeout, mode, .. } = self;
        let (kind, id) = (A::KIND, id.as_str());
        let (way, clock) = (&client.gateway, &*client.clock);
        Errand { way, clock, kind, id, message, mode: *mode, timeout: *timeout, trace: None, doubt: false }
    }
}

impl<A: Actor> Clone for RemoteActor<A> {
    fn clone(&self) -> Self {
        let (client, id) = (self.client.clone(), self.id.clone());
        Self { client, id, timeout: self.timeout, mode: self.mode, of: PhantomData }
    }
}

impl<A: Actor> fmt::Debug for RemoteActor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteActor({}/{})", A::KIND, self.id.as_str())
    }
}

/// The way to the cluster.
#[async_trait]
trait Way: Send + Sync {
    async fn ask(&self, command: &GatewayCommand<'_>) -> Result<GatewayAnswer, GatewayError>;
}

#[async_trait]
impl Way for GatewayClient {
    async fn ask(&self, command: &GatewayCommand<'_>) -> Result<GatewayAnswer, GatewayError> {
        Self::ask(self, command).await
    }
}

/// One message, asked until there is an answer or no time.
struct Errand<'a> {
    way: &'a dyn Way,
    clock: &'a dyn Clock,
    kind: &'a str,
    id: &'a str,
    message: MessageId,
    mode: ReadMode,
    timeout: Duration,
    /// What traces it.
    trace: Option<TraceParent>,
    /// Whether a try was not accounted for: it may be in the history, or still under way.
    doubt: bool,
}

impl Errand<'_> {
    async fn run<R, E>(&mut self, command: &str, payload: &[u8]) -> Result<R, AskError<E>>
    where
        R: DeserializeOwned,
        E: DeserializeOwned,
    {
        let deadline = self.clock.now() + self.timeout;
        let mut last = AskError::Timeout { maybe_applied: false };
        loop {
            let left = deadline.since(self.clock.now());
            if left < TRY_MIN {
                return Err(if self.doubt { AskError::Timeout { maybe_applied: true } } else { last });
            }
            let timeout = left.min(TRY_MAX).min(GATEWAY_TIMEOUT_MAX);
            let (kind, id, mode) = (self.kind, self.id, self.mode);
            let (message_id, trace) = (Some(self.message), self.trace);
            let asked = GatewayCommand { kind, id, command, payload, message_id, mode, timeout, trace };
            last = match self.way.ask(&asked).await {
                Ok(GatewayAnswer::Replied(reply)) => return read(&reply, true),
                Ok(GatewayAnswer::Rejected(no)) => return Err(AskError::Rejected(read(&no, self.doubt)?)),
                Ok(GatewayAnswer::Failed { code, reason, maybe_applied }) => {
                    self.doubt |= maybe_applied;
                    let maybe_applied = self.doubt;
                    match code {
                        "poisoned" => return Err(AskError::Poisoned { reason, maybe_applied }),
                        "invalid" => return Err(AskError::Invalid { reason, maybe_applied }),
                        "quarantined" => return Err(AskError::Quarantined { reason, maybe_applied }),
                        "busy" => AskError::Busy,
                        "timeout" => AskError::Timeout { maybe_applied },
                        _ => AskError::Unavailable { retry_after: TRY_AGAIN_AFTER, maybe_applied },
                    }
                }
                Err(GatewayError::NoNode { .. }) => {
                    AskError::Unavailable { retry_after: TRY_AGAIN_AFTER, maybe_applied: self.doubt }
                }
                Err(GatewayError::Unsendable { reason }) => {
                    return Err(AskError::Invalid { reason, maybe_applied: self.doubt });
                }
                // Nothing that can be understood came back.
                Err(_) => {
                    self.doubt = true;
                    AskError::Timeout { maybe_applied: true }
                }
            };
            let left = deadline.since(self.clock.now());
            tokio::time::sleep(TRY_AGAIN_AFTER.min(left)).await;
        }
    }
}

fn read<T: DeserializeOwned, E>(bytes: &[u8], maybe_applied: bool) -> Result<T, AskError<E>> {
    codec::decode(PayloadCodec::Json, bytes).map_err(|cause| AskError::Codec { cause, maybe_applied })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// Answers from a list, and keeps what it was asked.
    #[derive(Default)]
    struct Script {
        answers: Mutex<VecDeque<Result<GatewayAnswer, GatewayError>>>,
        asked: Mutex<Vec<(String, MessageId)>>,
    }

    #[async_trait]
    impl Way for Script {
        async fn ask(&self, command: &GatewayCommand<'_>) -> Result<GatewayAnswer, GatewayError> {
            let message = command.message_id.expect("every ask has one");
            self.asked.lock().expect("no panic").push((command.command.to_owned(), message));
            let next = self.answers.lock().expect("no panic").pop_front();
            match next {
                Some(answer) => answer,
                None => Err(nobody()),
            }
        }
    }

    fn nobody() -> GatewayError {
        GatewayError::NoNode { cause: "nobody listens".into() }
    }
    fn silence() -> GatewayError {
        GatewayError::NoAnswer { within: TRY_MAX }
    }
    fn failed(code: &'static str, maybe_applied: bool) -> GatewayAnswer {
        GatewayAnswer::Failed { code, reason: "so".into(), maybe_applied }
    }

    async fn run(
        answers: impl IntoIterator<Item = Result<GatewayAnswer, GatewayError>>,
    ) -> (Result<u64, AskError<String>>, usize, bool) {
        let script = Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() };
        let (clock, timeout) = (BootClock, Duration::from_millis(400));
        let (kind, id, mode) = ("tank", "7", ReadMode::Strict);
        let mut errand = Errand {
            way: &script,
            clock: &clock,
            kind,
            id,
            message: MessageId(9),
            mode,
            timeout,
            trace: None,
            doubt: false,
        };
        let told = errand.run("fill", b"{}").await;
        let doubt = errand.doubt;
        let asked = script.asked.lock().expect("no panic");
        assert!(asked.iter().all(|asked| *asked == ("fill".to_owned(), MessageId(9))), "one intention, one name");
        (told, asked.len(), doubt)
    }

    #[tokio::test]
    async fn what_is_lost_or_refused_is_tried_again_under_the_same_name() {
        let reply = || Ok(GatewayAnswer::Replied("60".into()));
        let answers =
            [Err(nobody()), Ok(failed("busy", false)), Ok(failed("unavailable", false)), Err(silence()), reply()];
        assert_eq!(run(answers).await, (Ok(60), 5, true));
        assert_eq!(run([reply()]).await, (Ok(60), 1, false));
    }

    #[tokio::test]
    async fn what_would_not_help_is_not_tried_again() {
        let reason = || "so".to_owned();
        for (code, expected) in [
            ("poisoned", AskError::Poisoned { reason: reason(), maybe_applied: true }),
            ("invalid", AskError::Invalid { reason: reason(), maybe_applied: true }),
            ("quarantined", AskError::Quarantined { reason: reason(), maybe_applied: true }),
        ] {
            assert_eq!(run([Ok(failed(code, true))]).await, (Err(expected), 1, true));
        }
        let rejected = Ok(GatewayAnswer::Rejected("\"no\"".into()));
        assert_eq!(run([rejected]).await, (Err(AskError::Rejected("no".into())), 1, false));
        let unreadable = run([Ok(GatewayAnswer::Replied("\"x\"".into()))]).await;
        assert!(matches!(unreadable.0, Err(AskError::Codec { maybe_applied: true, .. })), "{unreadable:?}");
    }

    #[tokio::test]
    async fn when_there_is_no_time_left_the_doubt_is_told() {
        let (told, tries, _) = run([]).await;
        assert_eq!(told, Err(AskError::Unavailable { retry_after: TRY_AGAIN_AFTER, maybe_applied: false }));
        assert!(tries > 1, "{tries}");
        let (told, ..) = run([Ok(failed("timeout", true))]).await;
        assert_eq!(told, Err(AskError::Timeout { maybe_applied: true }));
    }
}

//! One event as a feed hands it out, and whoever takes it.

use std::fmt;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;

use aether_domain::ports::BoxError;
use aether_domain::records::StoredCommit;
use aether_domain::{ActorAddress, ActorKey, MessageId, Sequence, Version, WallTime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::actor::{Event, Upcast};

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<E> {
    /// Whose.
    pub actor: ActorKey,
    /// The event, in its present shape.
    pub event: E,
    /// The actor's version once it had happened: 1 for an actor's first event, and one more for each.
    pub version: Version,
    /// Where it is among all events of all actors.
    pub place: Place,
    /// When it was stored, by its writer's clock, for people.
    pub at: WallTime,
    /// The application's own ids of the commands that were committed together with it.
    pub messages: Vec<MessageId>,
}

/// The place of one event among all that are stored: it grows from one to the next, and is the same for every reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The commit.
    pub sequence: Sequence,
    /// Which of its events, from 0.
    pub index: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.sequence, self.index)
    }
}

/// Takes the events of a feed, one after the other within a lane: any async function of a [`Recorded`] event.
///
/// An event that it has answered `Ok` may come again: after a crash, and when another node takes over. See
/// [`crate::feed`] for how to count exactly all the same.
pub trait FeedHandler<E>: Send + Sync + 'static {
    /// Takes one event. An error, or a panic, means that it is to come again.
    fn handle(&self, event: Recorded<E>) -> impl Future<Output = Result<(), BoxError>> + Send;
}

impl<E, F, Handled> FeedHandler<E> for F
where
    E: Send + 'static,
    F: Fn(Recorded<E>) -> Handled + Send + Sync + 'static,
    Handled: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn handle(&self, event: Recorded<E>) -> impl Future<Output = Result<(), BoxError>> + Send {
        self(event)
    }
}

/// One commit on its way through a lane.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) actor: ActorAddress,
    pub(super) commit: StoredCommit,
}

/// Why an event was not handled.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nobody can read it with this build: trying again cannot help.
    Unreadable(String),
    /// The handler failed or panicked.
    Failed(String),
}

/// A handler of events whose type is not known here.
pub(super) trait Handling: Send + Sync {
    fn handle<'a>(&'a self, item: &'a Item, index: usize) -> BoxFuture<'a, Result<(), Fault>>;
}

pub(super) struct Typed<E, H> {
    pub(super) handler: H,
    pub(super) event: PhantomData<fn() -> E>,
}

impl<E: Event, H: FeedHandler<E>> Handling for Typed<E, H> {
    fn handle<'a>(&'a self, item: &'a Item, index: usize) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            // The whole of it may panic: the upcast, the making of the future and the future.
            let handled = AssertUnwindSafe(async {
                let recorded = read(item, index).map_err(Fault::Unreadable)?;
                self.handler.handle(recorded).await.map_err(|error| Fault::Failed(chain(&*error)))
            });
            handled.catch_unwind().await.unwrap_or_else(|panic| {
                let said = panic.downcast_ref::<&str>().copied();
                let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                Err(Fault::Failed(format!("panicked: {}", said.unwrap_or("without a word"))))
            })
        })
    }
}

fn read<E: Event>(item: &Item, index: usize) -> Result<Recorded<E>, String> {
    let (record, at) = (&item.commit.record, item.commit.at);
    let stored = record.events.get(index).ok_or("no such event")?;
    let event = E::upcast(Upcast::new(stored.schema, record.codec, &stored.payload)).map_err(|e| e.to_string())?;
    Ok(Recorded {
        actor: item.actor.key.clone(),
        event,
        version: Version(record.base.0 + index as u64 + 1),
        place: Place { sequence: at.sequence, index: u32::try_from(index).unwrap_or(u32::MAX) },
        at: record.at,
        messages: record.commands.iter().filter_map(|command| command.message).collect(),
    })
}

/// An error with everything that caused it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

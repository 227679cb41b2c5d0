//! Stored commits, told to whoever wants to know: a consumer of the event stream that goes on by itself after any loss.

use aether_domain::Sequence;
use aether_domain::ports::{BusUpdate, EventBus, EventFilter, ReadError, StartAt, Updates, Whose};
use aether_domain::records::Format;
use async_trait::async_trait;
use futures_util::stream;

use crate::connection::Connection;
use crate::event_store::decode;
use crate::feed::{Feed, From, Told};
use crate::names::Names;
use crate::read::unavailable;

/// How many messages that are of no interest may go by before a subscriber is told how far it is. A quiet stream tells
/// it with every heartbeat.
const UNTOLD_MAX: u32 = 256;

/// [`EventBus`] on JetStream.
#[derive(Clone, Debug)]
pub(crate) struct NatsEventBus {
    connection: Connection,
}

impl NatsEventBus {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl EventBus for NatsEventBus {
    async fn subscribe(&self, filter: &EventFilter, start: StartAt) -> Result<Updates<BusUpdate>, ReadError> {
        let names = self.connection.names.clone();
        let subject = match &filter.of {
            Whose::Everybody => names.event_subjects(),
            Whose::Kind(kind) => names.event_subjects_of(kind),
            Whose::Actor(actor) => names.event_subject(actor),
        };
        let after = match start {
            StartAt::Beginning => Sequence::ZERO,
            StartAt::Now => self.end().await?,
            StartAt::Behind(sequence) => sequence,
        };
        let feed = Feed::open(self.connection.clone(), names.event_stream(0), subject, From::After(after.0));
        let feed = feed.await.map_err(unavailable)?;
        let listening =
            Listening { feed, names, filter: filter.clone(), untold: 0, reads: self.connection.formats.reads() };
        Ok(Box::pin(stream::unfold(
            listening,
            |mut listening| async move { Some((listening.next().await?, listening)) },
        )))
    }

    async fn end(&self) -> Result<Sequence, ReadError> {
        self.connection.check().map_err(unavailable)?;
        let stream = self.connection.names.event_stream(0);
        let stream = self.connection.bounded(self.connection.js.get_stream(stream)).await.map_err(unavailable)?;
        Ok(Sequence(stream.map_err(unavailable)?.cached_info().state.last_sequence))
    }
}

struct Listening {
    feed: Feed,
    names: Names,
    filter: EventFilter,
    /// Messages of no interest since something was told.
    untold: u32,
    reads: Format,
}

impl Listening {
    async fn next(&mut self) -> Option<BusUpdate> {
        loop {
            let (subject, sequence, headers, payload) = match self.feed.next().await? {
                Told::Message { subject, sequence, headers, payload } => (subject, sequence, headers, payload),
                Told::Reached(sequence) => {
                    self.untold = 0;
                    return Some(BusUpdate::Reached(Sequence(sequence)));
                }
                // A consumer that has caught up says with its next heartbeat how far.
                Told::CaughtUp | Told::Interrupted => continue,
            };
            let Some(actor) = self.names.actor_of(&subject) else {
                return Some(corrupt(sequence, format!("{subject} is no history's subject")));
            };
            match decode(sequence, headers.as_ref(), &payload, self.reads) {
                Err(reason) => return Some(corrupt(sequence, reason)),
                Ok(commit) if self.filter.takes_commit(&commit.record) => {
                    self.untold = 0;
                    return Some(BusUpdate::EventStored { actor, commit });
                }
                Ok(_) => self.untold += 1,
            }
            if self.untold >= UNTOLD_MAX {
                self.untold = 0;
                return Some(BusUpdate::Reached(Sequence(sequence)));
            }
        }
    }
}

fn corrupt(sequence: u64, reason: String) -> BusUpdate {
    tracing::error!(sequence, reason, "a stored commit cannot be understood");
    BusUpdate::Corrupt { sequence: Sequence(sequence), reason }
}

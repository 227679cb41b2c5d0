//! When which actor has to be looked at: one subject an actor, under compare-and-set.
//!
//! All wakes are read in one pass over the stream, or over one lane of it: a consumer for each shard would be a thousand of
//! them, made and removed at each move.

use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

use aether_domain::ports::{Expected, ReadError, WakeStore, WriteError};
use aether_domain::records::Wake;
use aether_domain::{ActorAddress, Revision, Slot, WallTime};
use async_trait::async_trait;

use crate::connection::Connection;
use crate::feed::{Feed, From, Told};
use crate::outcome;
use crate::read::{self, Wanted, unavailable};
use crate::wire::v1::{decode_wake, encode_wake};

/// [`WakeStore`] on a JetStream stream.
#[derive(Clone, Debug)]
pub(crate) struct NatsWakeStore {
    connection: Connection,
}

impl NatsWakeStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The subjects to read for these slots.
    fn subjects(&self, slots: &[RangeInclusive<Slot>]) -> String {
        let lane = |slot: &Slot| slot.0 >> 12;
        let mut lanes = slots.iter().flat_map(|slots| [lane(slots.start()), lane(slots.end())]);
        match lanes.next() {
            Some(one) if lanes.all(|lane| lane == one) => self.connection.names.wake_subjects_of(one),
            _ => self.connection.names.wake_subjects(),
        }
    }
}

#[async_trait]
impl WakeStore for NatsWakeStore {
    async fn set(
        &self,
        actor: &ActorAddress,
        at: Option<WallTime>,
        expected: Expected,
    ) -> Result<Revision, WriteError> {
        let encoded = encode_wake(at).map_err(|fault| WriteError::Unavailable { cause: fault.into() })?;
        let subject = self.connection.names.wake_subject(actor);
        outcome::publish(&self.connection, &subject, &encoded, expected.revision().0).await.written()
    }

    async fn read(&self, actor: &ActorAddress) -> Result<Option<Wake>, ReadError> {
        let names = &self.connection.names;
        let subject = names.wake_subject(actor);
        let found = read::get(&self.connection, &names.wake_stream(), Wanted::LastOf(&subject)).await?;
        let Some(message) = found else { return Ok(None) };
        let at = decode_wake(&message.payload).map_err(|fault| {
            let reason = format!("{subject}: {fault}");
            ReadError::Corrupt { sequence: message.sequence, reason }
        })?;
        Ok(Some(Wake { actor: actor.clone(), at, revision: Revision(message.sequence) }))
    }

    async fn pending(
        &self,
        slots: &[RangeInclusive<Slot>],
        until: WallTime,
        limit: usize,
    ) -> Result<Vec<Wake>, ReadError> {
        let names = &self.connection.names;
        let opened =
            Feed::open(self.connection.clone(), names.wake_stream(), self.subjects(slots), From::LastPerSubject);
        let mut feed = opened.await.map_err(unavailable)?;
        // The latest on top, so that it makes room.
        let mut earliest: BinaryHeap<(WallTime, u64, ActorAddress)> = BinaryHeap::new();
        loop {
            match self.connection.bounded(feed.next()).await.map_err(unavailable)? {
                Some(Told::Message { subject, sequence, payload, .. }) => {
                    let Some(actor) = names.wake_actor(&subject) else { continue };
                    if !slots.iter().any(|slots| slots.contains(&actor.slot)) {
                        continue;
                    }
                    match decode_wake(&payload) {
                        Ok(Some(at)) if at <= until => earliest.push((at, sequence, actor)),
                        Ok(_) => {}
                        Err(fault) => tracing::error!(%subject, %fault, "a wake cannot be understood"),
                    }
                    if earliest.len() > limit {
                        earliest.pop();
                    }
                }
                Some(Told::CaughtUp) => break,
                Some(Told::Reached(_)) => {}
                Some(Told::Interrupted) | None => return Err(unavailable("interrupted")),
            }
        }
        let wake = |(at, sequence, actor)| Wake { actor, at: Some(at), revision: Revision(sequence) };
        Ok(earliest.into_sorted_vec().into_iter().map(wake).collect())
    }
}

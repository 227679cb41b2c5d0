//! When which actor has to be looked at: one subject an actor, under compare-and-set.
//!
//! A pass is told by whichever replica the server likes, which may be behind; so the leader is asked first what it should come to.
//!
//! All wakes are read in one pass over the stream, or over one lane of it: a consumer for each shard would be a thousand of
//! them, made and removed at each move.

use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::time::Duration;

use aether_domain::ports::{Expected, ReadError, WakeStore, WriteError};
use aether_domain::records::Wake;
use aether_domain::{ActorAddress, Revision, Slot, WallTime};
use async_trait::async_trait;

use crate::connection::Connection;
use crate::feed::{Feed, From, Told};
use crate::outcome;
use crate::read::{self, Wanted, unavailable};
use crate::wire::{decode_wake, encode_wake};

/// How long to wait when a replica is behind, at first; it doubles each time.
const BEHIND_PAUSE: Duration = Duration::from_millis(5);

/// The longest such wait: a replica that is behind after 0.6 s in all has lost touch.
const BEHIND_PAUSE_MAX: Duration = Duration::from_millis(320);

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

    /// What the replica that is asked has of them, and the last sequence that it has told.
    async fn read_all(
        &self,
        subjects: &str,
        slots: &[RangeInclusive<Slot>],
        until: WallTime,
        limit: usize,
    ) -> Result<(Vec<Wake>, u64), ReadError> {
        let names = &self.connection.names;
        let opened =
            Feed::open(self.connection.clone(), names.wake_stream(), subjects.to_owned(), From::LastPerSubject);
        let mut feed = opened.await.map_err(unavailable)?;
        let mut seen = 0;
        // The latest on top, so that it makes room.
        let mut earliest: BinaryHeap<(WallTime, u64, ActorAddress)> = BinaryHeap::new();
        loop {
            match self.connection.bounded(feed.next()).await.map_err(unavailable)? {
                Some(Told::Message { subject, sequence, payload, .. }) => {
                    seen = sequence;
                    let Some(actor) = names.wake_actor(&subject) else { continue };
                    if !slots.iter().any(|slots| slots.contains(&actor.slot)) {
                        continue;
                    }
                    match decode_wake(&payload, self.connection.formats.reads()) {
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
        Ok((earliest.into_sorted_vec().into_iter().map(wake).collect(), seen))
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
        let encoded = encode_wake(at, self.connection.formats.writes())
            .map_err(|fault| WriteError::Unavailable { cause: fault.into() })?;
        let subject = self.connection.names.wake_subject(actor);
        outcome::publish(&self.connection, &subject, &encoded, expected.revision().0).await.written()
    }

    async fn read(&self, actor: &ActorAddress) -> Result<Option<Wake>, ReadError> {
        let names = &self.connection.names;
        let subject = names.wake_subject(actor);
        let found = read::get(&self.connection, &names.wake_stream(), Wanted::LastOf(&subject)).await?;
        let Some(message) = found else { return Ok(None) };
        let at = decode_wake(&message.payload, self.connection.formats.reads()).map_err(|fault| {
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
        let subjects = self.subjects(slots);
        let newest =
            read::get(&self.connection, &self.connection.names.wake_stream(), Wanted::LastOf(&subjects)).await?;
        let newest = newest.map_or(0, |message| message.sequence);
        let mut pause = BEHIND_PAUSE;
        loop {
            let (wakes, seen) = self.read_all(&subjects, slots, until, limit).await?;
            if seen >= newest {
                return Ok(wakes);
            }
            if pause > BEHIND_PAUSE_MAX {
                return Err(unavailable(format!("a replica has come to {seen} of {newest}")));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

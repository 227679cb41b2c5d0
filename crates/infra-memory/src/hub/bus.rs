//! Stored commits, told to whoever wants to know: read from the stores by position, like every stream of updates here.

use std::collections::VecDeque;

use aether_domain::Sequence;
use aether_domain::ids::NodeId;
use aether_domain::ports::{BusUpdate, EventBus, EventFilter, ReadError, StartAt, Updates};
use async_trait::async_trait;
use futures_util::stream;

use super::MemoryHub;
use super::changes::Watcher;
use super::ports::Connection;
use crate::fabric::ReadFailure;

/// How many commits a subscriber looks at, at a time.
const LOOK_COMMITS_MAX: usize = 256;

#[async_trait]
impl EventBus for Connection {
    async fn subscribe(&self, filter: &EventFilter, start: StartAt) -> Result<Updates<BusUpdate>, ReadError> {
        self.reach().map_err(ReadFailure::Unavailable)?;
        let changed = self.hub.shared.events_changed.watch();
        let told = match start {
            StartAt::Beginning => Sequence::ZERO,
            StartAt::Now => self.hub.lock().stores.events_end(),
            StartAt::Behind(sequence) => sequence,
        };
        let listening = Listening {
            hub: self.hub.clone(),
            node: self.node.clone(),
            filter: filter.clone(),
            changed,
            told,
            reached: None,
            ready: VecDeque::new(),
        };
        Ok(Box::pin(stream::unfold(listening, |mut listening| async move {
            loop {
                if let Some(update) = listening.ready.pop_front() {
                    return Some((update, listening));
                }
                // Marked as seen before looking, so that a change after the look wakes us again.
                listening.changed.mark_unchanged();
                if !listening.look() {
                    listening.changed.changed().await;
                }
            }
        })))
    }

    async fn end(&self) -> Result<Sequence, ReadError> {
        Ok(self.read(crate::fabric::Stores::events_end).await?)
    }
}

struct Listening {
    hub: MemoryHub,
    node: NodeId,
    filter: EventFilter,
    changed: Watcher,
    /// The last sequence looked at.
    told: Sequence,
    /// The last sequence of which it was said that everything before has been told.
    reached: Option<Sequence>,
    /// At most [`LOOK_COMMITS_MAX`] and one.
    ready: VecDeque<BusUpdate>,
}

impl Listening {
    /// Looks at what is new; answers whether it looked at anything, or found out that there is no more.
    fn look(&mut self) -> bool {
        let server = self.hub.lock();
        if server.switches.is_paused(&self.node) || server.switches.away(&self.node).is_some() {
            return false;
        }
        let before = self.told;
        for (actor, commit) in server.stores.commits_since(self.told).take(LOOK_COMMITS_MAX) {
            self.told = commit.at.sequence;
            if self.filter.takes_actor(actor) && self.filter.takes_commit(&commit.record) {
                self.ready.push_back(BusUpdate::EventStored { actor: actor.clone(), commit: commit.clone() });
            }
        }
        if self.told == server.stores.events_end() && self.reached != Some(self.told) {
            self.reached = Some(self.told);
            self.ready.push_back(BusUpdate::Reached(self.told));
        }
        self.told > before || !self.ready.is_empty()
    }
}

//! When which actor has to be looked at.

use std::ops::RangeInclusive;

use aether_domain::ports::{Expected, ReadError, WakeStore, WriteError};
use aether_domain::records::Wake;
use aether_domain::{ActorAddress, Revision, Slot, WallTime};
use async_trait::async_trait;

use super::Target;
use super::kept::Kept;
use super::ports::Connection;

/// Each actor's wake.
pub(super) type Wakes = Kept<ActorAddress, Option<WallTime>>;

#[async_trait]
impl WakeStore for Connection {
    async fn set(
        &self,
        actor: &ActorAddress,
        at: Option<WallTime>,
        expected: Expected,
    ) -> Result<Revision, WriteError> {
        Ok(self.keep(Target::Wakes, |server| &mut server.wakes, actor.clone(), at, expected).await?)
    }

    async fn read(&self, actor: &ActorAddress) -> Result<Option<Wake>, ReadError> {
        Connection::read(self, |_| ()).await?;
        let found = self.hub.lock().wakes.records.get(actor).copied();
        Ok(found.map(|(at, revision)| Wake { actor: actor.clone(), at, revision }))
    }

    async fn pending(
        &self,
        slots: &[RangeInclusive<Slot>],
        until: WallTime,
        limit: usize,
    ) -> Result<Vec<Wake>, ReadError> {
        Connection::read(self, |_| ()).await?;
        let server = self.hub.lock();
        let wakes = server.wakes.records.iter().filter(|(actor, (at, _))| {
            at.is_some_and(|at| at <= until) && slots.iter().any(|slots| slots.contains(&actor.slot))
        });
        let mut wakes: Vec<_> =
            wakes.map(|(actor, (at, revision))| Wake { actor: actor.clone(), at: *at, revision: *revision }).collect();
        wakes.sort_by_key(|wake| wake.at);
        wakes.truncate(limit);
        Ok(wakes)
    }
}

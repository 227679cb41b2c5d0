//! What is stored, told to whoever wants to know.

use std::sync::Arc;

use async_trait::async_trait;

use super::{ReadError, Updates};
use crate::ids::{ActorAddress, ActorKind, Sequence};
use crate::records::{CommitRecord, EventRecord, StoredCommit};

/// Of which stored events somebody wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of these actors.
    pub of: Whose,
    /// Only events of that name; any, if it is `None`.
    pub name: Option<Arc<str>>,
    /// Also commits without any event: those that only confirm, or only set timers.
    pub eventless: bool,
}

/// Whose events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    #[default]
    Everybody,
    /// Those of every actor of a kind.
    Kind(ActorKind),
    /// Those of one actor.
    Actor(ActorAddress),
}

impl Whose {
    /// Whether that actor's are among them.
    pub fn takes(&self, actor: &ActorAddress) -> bool {
        match self {
            Self::Everybody => true,
            Self::Kind(kind) => actor.key.kind == *kind,
            Self::Actor(one) => actor == one,
        }
    }
}

impl EventFilter {
    /// Whether it takes events of that actor.
    pub fn takes_actor(&self, actor: &ActorAddress) -> bool {
        self.of.takes(actor)
    }
    /// Whether it takes that event of an actor it takes events of.
    pub fn takes_event(&self, event: &EventRecord) -> bool {
        self.name.as_ref().is_none_or(|name| **name == event.name)
    }
    /// Whether it takes that commit of an actor it takes events of.
    pub fn takes_commit(&self, commit: &CommitRecord) -> bool {
        let CommitRecord { events, .. } = commit;
        if events.is_empty() { self.eventless } else { events.iter().any(|event| self.takes_event(event)) }
    }
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With the first event there is.
    Beginning,
    /// With what is stored from now on.
    Now,
    /// With what is stored behind that place.
    Behind(Sequence),
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusUpdate {
    /// A commit was stored that the filter takes.
    EventStored {
        /// Whose.
        actor: ActorAddress,
        /// The whole commit.
        commit: StoredCommit,
    },
    /// Everything up to here has been told or is of no interest.
    Reached(Sequence),
    /// A stored commit cannot be understood; it is not skipped silently.
    Corrupt {
        /// Where it is.
        sequence: Sequence,
        /// What is wrong with it.
        reason: String,
    },
}

/// The stored commits of all actors, in the order in which they were stored, to every node.
///
/// # Contract
/// - Everything stored behind the beginning is told, once, in order, and goes on being told; a connection that was lost is
///   made up for. A commit that is corrupt is told in its place, and what follows it is told as well.
/// - [`BusUpdate::Reached`] comes once what was stored before has all been told and the store is quiet for a moment, about a
///   second; and now and then while only commits go by that the filter does not take. It never claims more than was told.
/// - Namespaces never mix.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// What is stored, as `filter` wants it.
    ///
    /// # Errors
    /// [`ReadError`] if the subscription cannot begin.
    async fn subscribe(&self, filter: &EventFilter, start: StartAt) -> Result<Updates<BusUpdate>, ReadError>;

    /// The last place in which anything is stored. May be stale.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn end(&self) -> Result<Sequence, ReadError>;
}

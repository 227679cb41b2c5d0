//! A tally: every addition makes it greater, so that a total says how far its actor has come.

use aether::prelude::*;
use aether_domain::records::{PayloadCodec, StoredCommit};
use aether_domain::testing::history::Kept;
use aether_runtime::actor::codec;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    total: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Added {
    by: u64,
}
impl Event for Added {}

/// It is not odd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{total} is even")]
pub(crate) struct Even {
    pub(crate) total: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) by: u64,
}
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AddToOdd {
    pub(crate) by: u64,
}
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Read;

impl Command for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}
impl Command for AddToOdd {
    const NAME: &'static str = "add-to-odd";
    type Reply = u64;
}
impl Command for Read {
    const NAME: &'static str = "read";
    type Reply = u64;
}

impl Actor for Tally {
    const KIND: &'static str = "tally";
    type Id = u64;
    type Event = Added;
    type Error = Even;
    type Commands = (Add, AddToOdd, Read);
    fn apply(&mut self, Added { by }: &Added) {
        self.total += by;
    }
}
impl Handle<Add> for Tally {
    fn handle(&self, Add { by }: Add, _: &Ctx<Self>) -> Decision<Self, Add> {
        Ok(Self::emit(Added { by }).reply(|tally| tally.total))
    }
}
impl Handle<AddToOdd> for Tally {
    fn handle(&self, AddToOdd { by }: AddToOdd, _: &Ctx<Self>) -> Decision<Self, AddToOdd> {
        if self.total.is_multiple_of(2) {
            return Err(Even { total: self.total });
        }
        Ok(Self::emit(Added { by }).reply(|tally| tally.total))
    }
}
impl Handle<Read> for Tally {
    fn handle(&self, _: Read, _: &Ctx<Self>) -> Decision<Self, Read> {
        Ok(Self::answer(self.total))
    }
}

/// What a tally's history says, folded from its events alone.
pub(crate) fn kept(commits: &[StoredCommit]) -> Kept<'_, u64> {
    let (mut total, mut commands) = (0, Vec::new());
    for StoredCommit { record, .. } in commits {
        assert_eq!(record.commands.len(), record.events.len(), "each command of a tally has one event");
        for (mark, event) in record.commands.iter().zip(&record.events) {
            let Added { by } = codec::decode(PayloadCodec::Json, &event.payload).expect("it is an addition");
            total += by;
            commands.push((mark.message.map(|message| message.0), total));
        }
    }
    Kept { commits, born: Some(0), commands }
}

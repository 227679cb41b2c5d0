//! Actors that are set aside until a person looks: which, why, since when, and the way back.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aether_domain::ports::Answer;
use aether_domain::{ActorAddress, ShardId, WallTime};

use super::bounds::QUARANTINED_LISTED_MAX;
use super::cell::lock;
use super::inner::Inner;
use super::input::Now;
use super::machine::{Looked, ShardMachine};
use super::slot::{Live, Slot};
use crate::actor::codec;
use crate::message::{Outcome, Payload, Work};

/// The command that every actor has: it lets a quarantined one be loaded anew and answers whether it was one. No command
/// of an application begins with `$`.
pub const RELEASE: &str = "$release";

/// An actor that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Which.
    pub actor: ActorAddress,
    /// Why, in words.
    pub reason: String,
    /// Since when, for people.
    pub since: WallTime,
}

/// What a node knows of its quarantined actors, at most [`QUARANTINED_LISTED_MAX`] of them.
#[derive(Default)]
pub(super) struct Ward {
    known: Mutex<BTreeMap<ActorAddress, (String, WallTime)>>,
}

impl Ward {
    pub(super) fn note(&self, actor: ActorAddress, reason: String, since: WallTime) {
        let mut known = lock(&self.known);
        if known.len() < QUARANTINED_LISTED_MAX || known.contains_key(&actor) {
            known.insert(actor, (reason, since));
        }
    }
}

impl Inner {
    /// The actors that are set aside here. Those of a shard that is at work just now are listed as they were last known.
    pub(super) fn quarantined(self: &std::sync::Arc<Self>) -> Vec<Quarantined> {
        let actors: Vec<_> = lock(&self.ward.known).keys().cloned().collect();
        for actor in actors {
            let shard = actor.slot.shard(self.shards);
            let Some(mut machine) = self.cells[shard.index()].try_hold() else { continue };
            let still = machine.is_quarantined(&actor);
            drop(machine);
            self.pump(shard);
            if !still {
                lock(&self.ward.known).remove(&actor);
            }
        }
        let known = lock(&self.ward.known);
        let listed = known.iter().map(|(actor, (reason, since))| Quarantined {
            actor: actor.clone(),
            reason: reason.clone(),
            since: *since,
        });
        listed.collect()
    }

    /// How many of them are known.
    pub(super) fn quarantined_count(&self) -> usize {
        lock(&self.ward.known).len()
    }

    /// Forgets what is known of a shard that this node gives up.
    pub(super) fn clear_ward(&self, shard: ShardId) {
        lock(&self.ward.known).retain(|actor, _| actor.slot.shard(self.shards) != shard);
    }
}

impl<T> ShardMachine<T> {
    pub(super) fn is_quarantined(&mut self, actor: &ActorAddress) -> bool {
        self.residents.get_mut(actor).is_some_and(|slot| matches!(slot.live, Live::Quarantined(_)))
    }

    /// Lets an actor that is set aside be loaded anew by its next command, as if it had never been here: what this node
    /// remembers of its history is forgotten too.
    pub(super) fn release(&mut self, now: Now, work: &Work) -> Looked {
        let Payload::Encoded(codec, _) = work.payload else {
            let reason = format!("{RELEASE} is asked in bytes");
            return Looked::refuse(Answer::Invalid { reason, maybe_applied: false });
        };
        let released = match self.residents.get_mut(&work.actor) {
            Some(slot) if matches!(slot.live, Live::Quarantined(_)) => {
                if slot.busy.is_some() {
                    return Looked::refuse(Answer::Busy);
                }
                // Its place among the residents stays as it is counted.
                let (bytes, resting) = (slot.bytes, slot.resting);
                *slot = Slot { bytes, resting, ..Slot::new(slot.kind.clone(), slot.hashed, now.at) };
                true
            }
            _ => false,
        };
        match codec::encode(codec, &released) {
            Ok(reply) => Looked::Answered { outcome: Outcome::Looked(Payload::Encoded(codec, reply)), lease: false },
            Err(fault) => Looked::refuse(Answer::Invalid { reason: fault.to_string(), maybe_applied: false }),
        }
    }
}

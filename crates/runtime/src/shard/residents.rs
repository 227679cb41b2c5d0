//! The actors of a shard that are in memory, and which of them nobody has asked for long enough.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aether_domain::{ActorAddress, ActorId, ActorKind, Monotonic};

use super::bounds::PASSIVATIONS_MAX;
use super::slot::{Live, Slot};

/// The actors of a shard that are in memory.
pub(super) struct Residents<T> {
    /// By kind first: there are few kinds, and hashing an id alone is cheaper than hashing both.
    by_kind: BTreeMap<ActorKind, HashMap<ActorId, Slot<T>>>,
    count: usize,
    /// When to see next whether one has been idle for long enough. One entry an actor; those of forgotten ones are
    /// dropped when their time comes.
    due: BTreeSet<(Monotonic, ActorAddress)>,
}

impl<T> Residents<T> {
    pub(super) fn new() -> Self {
        Self { by_kind: BTreeMap::new(), count: 0, due: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get_mut(&mut self, actor: &ActorAddress) -> Option<&mut Slot<T>> {
        self.by_kind.get_mut(&actor.key.kind)?.get_mut(&actor.key.id)
    }

    /// Takes in an actor that is not there.
    pub(super) fn insert(&mut self, actor: &ActorAddress, slot: Slot<T>) {
        self.due.insert((slot.touched + slot.kind.settings().passivate_after, actor.clone()));
        let of_kind = self.by_kind.entry(actor.key.kind.clone()).or_default();
        let before = of_kind.insert(actor.key.id.clone(), slot);
        assert!(before.is_none(), "an actor is in memory once");
        self.count += 1;
    }

    /// Forgets every actor with nothing under way.
    pub(super) fn forget_idle(&mut self) {
        self.count = 0;
        for of_kind in self.by_kind.values_mut() {
            of_kind.retain(|_, slot| slot.busy.is_some());
            self.count += of_kind.len();
        }
        let by_kind = &self.by_kind;
        self.due.retain(|(_, actor)| by_kind.get(&actor.key.kind).is_some_and(|kind| kind.contains_key(&actor.key.id)));
    }

    /// At most so many of those that `fits`, those that were asked last first, nearly.
    pub(super) fn last_due(&self, most: usize, fits: impl Fn(&Slot<T>) -> bool) -> Vec<ActorAddress> {
        let slot = |actor: &ActorAddress| self.by_kind.get(&actor.key.kind)?.get(&actor.key.id);
        let fitting = self.due.iter().rev().filter(|(_, actor)| slot(actor).is_some_and(&fits));
        fitting.take(most).map(|(_, actor)| actor.clone()).collect()
    }

    /// Forgets actors that nobody has asked for as long as their kind says, at most [`PASSIVATIONS_MAX`], each after `part`
    /// has seen it, and says how many.
    pub(super) fn passivate(&mut self, now: Monotonic, mut part: impl FnMut(&ActorAddress, &mut Slot<T>)) -> u64 {
        let mut passivated = 0;
        for _ in 0..PASSIVATIONS_MAX {
            if self.due.first().is_none_or(|(due, _)| *due > now) {
                break;
            }
            let Some((_, actor)) = self.due.pop_first() else { break };
            let Some(of_kind) = self.by_kind.get_mut(&actor.key.kind) else { continue };
            let Some(slot) = of_kind.get_mut(&actor.key.id) else { continue };
            let after = slot.kind.settings().passivate_after;
            if slot.busy.is_some() || matches!(slot.live, Live::Quarantined(_)) {
                self.due.insert((now + after, actor));
            } else if slot.touched + after > now {
                self.due.insert((slot.touched + after, actor));
            } else {
                part(&actor, slot);
                of_kind.remove(&actor.key.id);
                self.count -= 1;
                passivated += 1;
            }
        }
        passivated
    }
}

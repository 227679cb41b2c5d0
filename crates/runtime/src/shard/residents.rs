//! The actors of a shard that are in memory, and which of them leave it: idle for long enough, or to make room.
//!
//! An actor with something under way is *awake*: it has a whole [`Slot`]. When that has ended it is packed and *idle*: at
//! once if it has stored nothing, a moment later if it has, for then it may be about to store more. Idle actors lie side by
//! side, by kind, in the order in which they came to rest; whoever leaves is replaced by the last one.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use aether_domain::{ActorAddress, ActorId, ActorKey, Epoch, Monotonic, Slot as HashSlot};

use super::bounds::{PASSIVATIONS_MAX, RESTING_MAX, SWEEPS};
use super::core::Core;
use super::idle::{Idle, estimate};
use super::memory::{KindPlace, Leaves, Memory};
use super::places::Places;
use super::remembered::Remembered;
use super::slot::{Live, Slot};
use crate::actor::{Chunks, Kind, KindRegistry, Settings, Shelf};

/// The actors of a shard that are in memory.
pub(super) struct Residents<T> {
    /// In the order of their names.
    kinds: Vec<OfKind<T>>,
    hashes: RandomState,
    memory: Arc<Memory>,
    count: usize,
    /// Awake actors with nothing under way, those that came to rest first in front. Each is here once; one that has
    /// something under way again is taken out when its turn comes.
    resting: VecDeque<(KindPlace, ActorId)>,
}

struct OfKind<T> {
    kind: Arc<dyn Kind>,
    awake: HashMap<ActorId, Box<Slot<T>>>,
    idle: Chunks<Idle>,
    /// The instance of each idle actor, at the same place.
    shelf: Box<dyn Shelf>,
    /// Where in `idle` an actor is.
    places: Places,
    /// Where whoever looks for actors to evict goes on.
    hand: usize,
    /// Where the look at how long each has been idle goes on; none between two of them.
    swept: Option<usize>,
    /// When the next one begins.
    sweep_at: Monotonic,
}

/// An actor in memory, as whoever has a command for it finds it.
pub(super) enum Found<'a, T> {
    Awake(&'a mut Slot<T>),
    Idle { kind: &'a dyn Kind, shelf: &'a mut dyn Shelf, place: usize, remembered: &'a Remembered, confirmed: bool },
}

impl<T> Residents<T> {
    pub(super) fn new(kinds: &KindRegistry, memory: Arc<Memory>) -> Self {
        let kinds = kinds.kinds().map(|kind| OfKind::new(kind.clone())).collect();
        Self { kinds, hashes: RandomState::new(), memory, count: 0, resting: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Finds the actor for somebody who has a command for it.
    pub(super) fn find(&mut self, actor: &ActorAddress, now: Monotonic) -> Option<Found<'_, T>> {
        let of = &mut self.kinds[self.memory.place(&actor.key.kind)?];
        let Some(place) = of.place(&self.hashes, &actor.key.id) else {
            let slot = of.awake.get_mut(&actor.key.id)?;
            slot.touched = now;
            return Some(Found::Awake(slot));
        };
        let idle = &mut of.idle[place];
        idle.touch(now);
        let (shelf, remembered, confirmed) = (&mut *of.shelf, &idle.remembered, idle.is_confirmed());
        Some(Found::Idle { kind: &*of.kind, shelf, place, remembered, confirmed })
    }

    /// Whether the actor is in memory.
    pub(super) fn contains(&self, actor: &ActorAddress) -> bool {
        let of = self.memory.place(&actor.key.kind).map(|kind| &self.kinds[kind]);
        of.is_some_and(|of| of.awake.contains_key(&actor.key.id) || of.place(&self.hashes, &actor.key.id).is_some())
    }

    /// The actor, if it is awake: all with something under way are.
    pub(super) fn get_mut(&mut self, actor: &ActorAddress) -> Option<&mut Slot<T>> {
        self.kinds[self.memory.place(&actor.key.kind)?].awake.get_mut(&actor.key.id).map(Box::as_mut)
    }

    /// Whether the actor has something under way.
    pub(super) fn is_busy(&self, actor: &ActorAddress) -> bool {
        let of = self.memory.place(&actor.key.kind).map(|kind| &self.kinds[kind]);
        of.and_then(|of| of.awake.get(&actor.key.id)).is_some_and(|slot| slot.busy.is_some())
    }

    /// The actors with something under way, in the order of their names.
    #[expect(clippy::disallowed_methods, reason = "in whatever order they come, they are sorted")]
    pub(super) fn busy(&self) -> Vec<ActorAddress> {
        let busy = self.kinds.iter().flat_map(|of| {
            let busy = of.awake.iter().filter(|(_, slot)| slot.busy.is_some());
            busy.map(|(id, slot)| of.address(id, slot.hashed))
        });
        let mut busy: Vec<_> = busy.collect();
        busy.sort_unstable();
        busy
    }

    /// The actor, awake, if it is in memory.
    pub(super) fn awaken(&mut self, actor: &ActorAddress, epoch: Epoch) -> Option<&mut Slot<T>> {
        let of = &mut self.kinds[self.memory.place(&actor.key.kind)?];
        if let Some(place) = of.place(&self.hashes, &actor.key.id)
            && let Some((id, slot)) = of.take(&self.hashes, place, epoch)
        {
            of.awake.insert(id, slot);
        }
        of.awake.get_mut(&actor.key.id).map(Box::as_mut)
    }

    /// Takes in an actor that is not there, and is of a kind that this node knows.
    pub(super) fn insert(&mut self, actor: &ActorAddress, slot: Slot<T>) {
        let Some(kind) = self.memory.place(&actor.key.kind) else { return };
        let before = self.kinds[kind].awake.insert(actor.key.id.clone(), slot.into());
        assert!(before.is_none(), "an actor is in memory once");
        self.count += 1;
        self.memory.came(kind, 1);
    }

    /// An awake actor has nothing under way: it comes to rest, or is forgotten if there is nothing to know of it.
    pub(super) fn came_to_rest(&mut self, actor: &ActorAddress, now: Monotonic, core: &mut Core<T>) {
        let Some(kind) = self.memory.place(&actor.key.kind) else { return };
        let id = &actor.key.id;
        let Some(slot) = self.kinds[kind].awake.get_mut(id).filter(|slot| slot.busy.is_none()) else { return };
        if slot.knows_nothing() {
            return self.forget(kind, id, Leaves::Uncounted);
        }
        if let Live::Present(instance) = &slot.live {
            let bytes = estimate(&**instance);
            self.memory.weighs(kind, std::mem::replace(&mut slot.bytes, bytes), bytes);
        }
        let has_stored = slot.confirmed;
        if !std::mem::replace(&mut slot.resting, true) {
            if !has_stored {
                // It was only looked at, which an idle actor can be too.
                return self.rest_one(kind, id.clone(), now, core, Leaves::Uncounted);
            }
            self.resting.push_back((kind, id.clone()));
        }
        if self.resting.len() > RESTING_MAX {
            self.rest(now, core, Leaves::Uncounted);
        }
    }

    /// Forgets every actor with nothing under way.
    pub(super) fn forget_idle(&mut self) {
        self.resting.clear();
        for (kind, of) in self.kinds.iter_mut().enumerate() {
            let (mut actors, mut bytes) = (of.idle.len(), of.idle.iter().map(|idle| idle.bytes() as usize).sum());
            (of.idle, of.places) = (Chunks::new(), Places::default());
            of.shelf.clear();
            of.awake.retain(|_, slot| {
                slot.resting = false;
                let stays = slot.busy.is_some();
                if !stays {
                    (actors, bytes) = (actors + 1, bytes + slot.bytes as usize);
                }
                stays
            });
            self.count -= actors;
            self.memory.left(kind, actors, bytes);
        }
    }

    /// The actors with nothing under way of which that is true, awake or idle, at most so many: those that were asked last,
    /// these in front.
    #[expect(clippy::disallowed_methods, reason = "in whatever order they come, they are sorted")]
    pub(super) fn asked_last(
        &self,
        most: usize,
        if_awake: impl Fn(&Slot<T>) -> bool,
        if_idle: impl Fn(&Idle, &Settings) -> bool,
    ) -> Vec<ActorAddress> {
        let (if_awake, if_idle) = (&if_awake, &if_idle);
        let all = self.kinds.iter().enumerate().flat_map(|(kind, of)| {
            let settings = of.kind.settings();
            let awake = of.awake.iter().filter(|(_, slot)| slot.busy.is_none() && if_awake(slot));
            let awake = awake.map(move |(id, slot)| (slot.touched, kind, id, slot.hashed));
            let idle = of.idle.iter().filter(|idle| if_idle(idle, settings));
            awake.chain(idle.map(move |idle| (idle.touched(), kind, &idle.id, idle.hashed)))
        });
        let last = greatest(all, most).into_iter();
        last.map(|(_, kind, id, hash_slot)| self.kinds[kind].address(id, hash_slot)).collect()
    }

    /// Packs what has rested, and forgets actors that nobody has asked for as long as their kind says; looks at
    /// [`PASSIVATIONS_MAX`] of each at most.
    pub(super) fn passivate(&mut self, now: Monotonic, core: &mut Core<T>) {
        for _ in 0..self.resting.len().min(PASSIVATIONS_MAX) {
            self.rest(now, core, Leaves::Idle);
        }
        self.shrink();
        let mut looks = PASSIVATIONS_MAX;
        for kind in 0..self.kinds.len() {
            let after = self.kinds[kind].kind.settings().passivate_after;
            while let Some(place) = self.kinds[kind].next_swept(now).filter(|_| looks > 0) {
                looks -= 1;
                if self.kinds[kind].idle[place].touched() + after <= now {
                    self.discard(kind, place, core, Leaves::Idle);
                } else {
                    self.kinds[kind].swept = Some(place + 1);
                }
            }
        }
    }

    /// Forgets up to so many actors with nothing under way, of that kind or of whichever has most, and says how many.
    /// One that was asked since this last came by is passed over once.
    pub(super) fn evict(&mut self, kind: Option<KindPlace>, most: usize, now: Monotonic, core: &mut Core<T>) -> usize {
        let before = self.count;
        for _ in 0..self.resting.len() {
            self.rest(now, core, Leaves::Room);
        }
        let largest = || (0..self.kinds.len()).max_by_key(|kind| self.kinds[*kind].idle.len());
        let Some(kind) = kind.or_else(largest) else { return 0 };
        for _ in 0..2 * self.kinds[kind].idle.len() {
            let of = &mut self.kinds[kind];
            if of.hand >= of.idle.len() {
                of.hand = 0;
            }
            let hand = of.hand;
            if before - self.count >= most || of.idle.is_empty() {
                break;
            } else if of.idle.get_mut(hand).is_some_and(Idle::take_asked) {
                of.hand += 1;
            } else {
                self.discard(kind, hand, core, Leaves::Room);
            }
        }
        before - self.count
    }

    /// Packs the actor that came to rest first.
    fn rest(&mut self, now: Monotonic, core: &mut Core<T>, leaves: Leaves) {
        if let Some((kind, id)) = self.resting.pop_front() {
            self.rest_one(kind, id, now, core, leaves);
        }
    }

    /// Packs an actor that rests, unless it has something under way again. One with more to it than an idle actor has goes
    /// on resting.
    fn rest_one(&mut self, kind: KindPlace, id: ActorId, now: Monotonic, core: &mut Core<T>, leaves: Leaves) {
        let of = &mut self.kinds[kind];
        let Some(slot) = of.awake.get_mut(&id) else { return };
        if slot.busy.is_some() {
            slot.resting = false;
            return;
        }
        slot.forget_old_panics(now);
        let passivated = slot.touched + of.kind.settings().passivate_after <= now;
        if slot.knows_nothing() || passivated && !matches!(slot.live, Live::Quarantined(_)) {
            let actor = ActorAddress { key: ActorKey { kind: of.kind.name().clone(), id }, slot: slot.hashed };
            core.save_idle(&actor, slot);
            let id = actor.key.id;
            return self.forget(kind, &id, leaves);
        }
        if let Some(slot) = of.awake.remove(&id)
            && let Err(slot) = of.pack(&self.hashes, &id, slot, core.epoch)
        {
            of.awake.insert(id.clone(), slot);
            self.resting.push_back((kind, id));
        }
    }

    /// Gives memory back that many awake actors took for a moment.
    fn shrink(&mut self) {
        for of in &mut self.kinds {
            if of.awake.capacity() > 4 * of.awake.len().max(8) {
                of.awake.shrink_to(2 * of.awake.len());
            }
        }
        if self.resting.capacity() > 4 * self.resting.len().max(8) {
            self.resting.shrink_to(2 * self.resting.len());
        }
    }

    /// Takes out an actor with nothing under way, of a shard that leaves. It may still be named among those that rest, until
    /// all are forgotten.
    pub(super) fn take(&mut self, actor: &ActorAddress, epoch: Epoch) -> Option<Box<Slot<T>>> {
        let (kind, id) = (self.memory.place(&actor.key.kind)?, &actor.key.id);
        let of = &mut self.kinds[kind];
        let slot = match of.place(&self.hashes, id) {
            Some(place) => of.take(&self.hashes, place, epoch)?.1,
            None if of.awake.get(id)?.busy.is_some() => return None,
            None => of.awake.remove(id)?,
        };
        self.count -= 1;
        self.memory.left(kind, 1, slot.bytes as usize);
        Some(slot)
    }

    /// Forgets an awake actor.
    fn forget(&mut self, kind: KindPlace, id: &ActorId, leaves: Leaves) {
        if let Some(slot) = self.kinds[kind].awake.remove(id) {
            self.count -= 1;
            self.memory.left(kind, 1, slot.bytes as usize);
            self.memory.left_because(kind, leaves);
        }
    }

    /// Forgets an idle actor, and keeps its state if that is worth it.
    fn discard(&mut self, kind: KindPlace, place: usize, core: &mut Core<T>, leaves: Leaves) {
        let of = &mut self.kinds[kind];
        let bytes = if of.idle[place].is_worth_saving(of.kind.settings()) {
            let Some((id, mut slot)) = of.take(&self.hashes, place, core.epoch) else { return };
            core.save_idle(&of.address(&id, slot.hashed), &mut slot);
            slot.bytes
        } else {
            of.shelf.discard(place);
            let Some(idle) = of.unplace(&self.hashes, place) else { return };
            idle.bytes()
        };
        self.count -= 1;
        self.memory.left(kind, 1, bytes as usize);
        self.memory.left_because(kind, leaves);
    }
}

/// The greatest of them, at most so many, in descending order. Never holds more than twice as many, and one.
fn greatest<K: Ord>(all: impl Iterator<Item = K>, most: usize) -> Vec<K> {
    let mut held = Vec::new();
    for one in all {
        held.push(Reverse(one));
        if held.len() > 2 * most {
            held.select_nth_unstable(most);
            held.truncate(most);
        }
    }
    held.sort_unstable();
    held.into_iter().take(most).map(|Reverse(one)| one).collect()
}

impl<T> Drop for Residents<T> {
    fn drop(&mut self) {
        for (kind, of) in self.kinds.iter_mut().enumerate() {
            let actors = of.idle.len() + of.awake.len();
            let mut bytes = of.idle.iter().map(|idle| idle.bytes() as usize).sum();
            of.awake.retain(|_, slot| {
                bytes += slot.bytes as usize;
                false
            });
            self.memory.left(kind, actors, bytes);
        }
    }
}

impl<T> OfKind<T> {
    fn new(kind: Arc<dyn Kind>) -> Self {
        let shelf = kind.shelf();
        let (awake, idle, places) = (HashMap::new(), Chunks::new(), Places::default());
        Self { kind, awake, idle, shelf, places, hand: 0, swept: None, sweep_at: Monotonic::ZERO }
    }

    fn address(&self, id: &ActorId, hash_slot: HashSlot) -> ActorAddress {
        ActorAddress { key: ActorKey { kind: self.kind.name().clone(), id: id.clone() }, slot: hash_slot }
    }

    fn place(&self, hashes: &RandomState, id: &ActorId) -> Option<usize> {
        if self.idle.is_empty() {
            return None;
        }
        self.places.find(hashes.hash_one(id), |place| self.idle[place].id == *id)
    }

    fn pack(
        &mut self,
        hashes: &RandomState,
        id: &ActorId,
        slot: Box<Slot<T>>,
        epoch: Epoch,
    ) -> Result<(), Box<Slot<T>>> {
        let (idle, instance) = Idle::pack(id, slot, epoch)?;
        let place = self.idle.len();
        let pushed = match u32::try_from(place) {
            Ok(narrow) => self.shelf.push(instance).map(|()| narrow),
            Err(_) => Err(instance),
        };
        match pushed {
            Ok(narrow) => {
                self.idle.push(idle);
                self.places.insert(hashes.hash_one(id), narrow, |place| hashes.hash_one(&self.idle[place].id));
                Ok(())
            }
            Err(instance) => Err(idle.unpack(Some(instance), self.kind.clone(), epoch).1),
        }
    }

    /// Takes an idle actor out, awake.
    fn take(&mut self, hashes: &RandomState, place: usize, epoch: Epoch) -> Option<(ActorId, Box<Slot<T>>)> {
        let idle = self.unplace(hashes, place)?;
        let instance = self.shelf.take(place, &idle.id);
        Some(idle.unpack(instance, self.kind.clone(), epoch))
    }

    /// Takes an idle actor out of the books; the last one comes to its place.
    fn unplace(&mut self, hashes: &RandomState, place: usize) -> Option<Idle> {
        let last = self.idle.len().checked_sub(1).filter(|last| place <= *last)?;
        let hash_of = |place: usize| hashes.hash_one(&self.idle[place].id);
        self.places.remove(hash_of(place), place, hash_of);
        if last != place {
            // It was one of the list, whose places fit.
            self.places.moved(hash_of(last), last, place as u32);
        }
        let idle = self.idle.swap_remove(place);
        self.places.shrink(|place| hashes.hash_one(&self.idle[place].id));
        idle
    }

    /// The next idle actor that is to be looked at, if it is time to look at any.
    fn next_swept(&mut self, now: Monotonic) -> Option<usize> {
        if self.swept.is_none() && self.sweep_at <= now && !self.idle.is_empty() {
            self.swept = Some(0);
            self.sweep_at = now + self.kind.settings().passivate_after / SWEEPS;
        }
        let place = self.swept?;
        if place >= self.idle.len() {
            self.swept = None;
        }
        self.swept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::greatest;

    proptest! {
        #[test]
        fn the_greatest_are_those_of_the_sorted_list(all in prop::collection::vec(0..50_u8, 0..200), most in 0..40_usize) {
            let mut sorted = all.clone();
            sorted.sort_unstable_by(|one, other| other.cmp(one));
            sorted.truncate(most);
            prop_assert_eq!(greatest(all.into_iter(), most), sorted);
        }
    }
}

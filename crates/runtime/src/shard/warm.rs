//! Actors that move with their shard: what is captured of those that leave, and those that came and wait to be asked.
//!
//! An actor that came warm is put in place when it is first asked, or has a timer due, without any read. Nothing has proved
//! it then: it was loaded under no epoch of this owner, so that whatever it answers first takes a compare-and-set of its own
//! behind the tail it came with (R10). If that fails it is loaded like any other, and what it came with is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::WarmFrame;
use aether_domain::records::{ActorSnapshot, WarmActor};
use aether_domain::{ActorAddress, Epoch, Monotonic, Sequence};

use super::bounds::{CAPTURED_AT_ONCE, CAPTURED_BYTES_MAX, CAPTURED_MAX, WARM_FOR};
use super::core::Core;
use super::input::{Effect, Fact, Now};
use super::machine::ShardMachine;
use super::memory::Memory;
use super::remembered::Remembered;
use super::slot::{Live, Slot};
use super::snapshots::Growth;
use crate::actor::{Kept, Kind};

/// The actors of a shard that came warm and were not asked yet.
pub(super) struct Waiting {
    actors: BTreeMap<ActorAddress, WarmActor>,
    bytes: usize,
    /// When they are forgotten.
    until: Monotonic,
    memory: Arc<Memory>,
}

/// What is captured of a shard that leaves, until it is told.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// Those with nothing under way that are still to be captured, the next one last.
    next: Vec<ActorAddress>,
    actors: Vec<WarmActor>,
    /// How many bytes the state of the last one had: those of a kind are often much alike.
    last_state: usize,
    /// Since the shard began to leave, told or not.
    all: usize,
    bytes: usize,
}

impl Waiting {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { actors: BTreeMap::new(), bytes: 0, until: Monotonic::ZERO, memory }
    }

    /// Keeps an actor, unless a later state of it is here or there is no room.
    fn put(&mut self, warm: WarmActor) -> bool {
        let known = self.actors.get(&warm.actor);
        if known.is_some_and(|known| known.snapshot.at.sequence > warm.snapshot.at.sequence) {
            return false;
        }
        self.take(&warm.actor);
        let bytes = warm.bytes();
        let fits = self.actors.len() < CAPTURED_MAX && self.bytes + bytes <= CAPTURED_BYTES_MAX;
        if !fits || !self.memory.keep_warm(bytes) {
            return false;
        }
        self.bytes += bytes;
        self.actors.insert(warm.actor.clone(), warm);
        true
    }

    fn take(&mut self, actor: &ActorAddress) -> Option<WarmActor> {
        let warm = self.actors.remove(actor)?;
        let bytes = warm.bytes();
        self.bytes -= bytes;
        self.memory.drop_warm(bytes);
        Some(warm)
    }

    /// All of them, who are here no more.
    pub(super) fn take_all(&mut self) -> BTreeMap<ActorAddress, WarmActor> {
        self.memory.drop_warm(std::mem::take(&mut self.bytes));
        std::mem::take(&mut self.actors)
    }

    /// Forgets everybody who was not asked for too long, and says how many.
    pub(super) fn forget_old(&mut self, now: Monotonic) -> usize {
        if self.until > now { 0 } else { self.take_all().len() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.take_all();
    }
}

impl Captured {
    /// Another shard's life begins: nothing is captured of it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nobody is left to be captured at once.
    pub(super) fn is_done(&self) -> bool {
        self.next.is_empty()
    }

    /// What was not told yet. The next part is much like it.
    fn take(&mut self) -> Vec<WarmActor> {
        if self.actors.is_empty() {
            return Vec::new();
        }
        let room = if self.is_done() { 0 } else { self.actors.len() };
        std::mem::replace(&mut self.actors, Vec::with_capacity(room))
    }

    fn put(&mut self, warm: WarmActor) -> bool {
        let bytes = warm.bytes();
        let fits = self.all < CAPTURED_MAX && self.bytes + bytes <= CAPTURED_BYTES_MAX;
        if fits && bytes <= WarmFrame::BYTES_MAX {
            self.all += 1;
            self.bytes += bytes;
            self.actors.push(warm);
            return true;
        }
        false
    }
}

impl<T> ShardMachine<T> {
    /// Takes in actors that came warm; what is here already, or cannot be used, is left out.
    pub(super) fn learn_warm(&mut self, now: Now, parts: Vec<Vec<WarmActor>>) {
        self.warm.until = now.at + WARM_FOR;
        for warm in parts.into_iter().flatten() {
            let ours = self.is_mine() && warm.snapshot.shard_epoch <= self.core.epoch;
            let known = !ours || self.residents.contains(&warm.actor);
            if known || !self.warm.put(warm) {
                self.core.counts.warm_left_out += 1;
            }
        }
    }

    /// A place for an actor that is not in memory: with what it came with, if it came warm.
    pub(super) fn new_slot(&mut self, now: Now, actor: &ActorAddress, kind: &Arc<dyn Kind>) -> Slot<T> {
        let slot = Slot::new(kind.clone(), actor.slot, now.at);
        match self.warm.take(actor) {
            Some(warm) => self.core.revive(slot, actor, &warm),
            None => slot,
        }
    }

    /// Begins to capture the actors with nothing under way, of those asked last first.
    pub(super) fn capture_idle(&mut self) {
        let mut next = self.residents.asked_last(CAPTURED_MAX, |_| true, |_, _| true);
        next.reverse();
        self.core.captured.next = next;
        self.capture_more();
    }

    /// Captures a part of them; behind the last one those that wait here to be asked, and forgets the rest. The machine of
    /// a shard that leaves calls it until it is done.
    pub(super) fn capture_more(&mut self) {
        let enough = self.core.captured.bytes + CAPTURED_AT_ONCE;
        while self.core.captured.bytes < enough
            && let Some(actor) = self.core.captured.next.pop()
        {
            if let Some(slot) = self.residents.take(&actor, self.core.epoch) {
                self.core.capture(actor, *slot);
            }
        }
        self.tell_captured();
        if !self.core.captured.is_done() {
            return self.core.want(Effect::CaptureMore);
        }
        for (_, warm) in self.warm.take_all() {
            self.core.keep_captured(warm);
        }
        self.residents.forget_idle();
    }

    /// Tells what has been captured.
    pub(super) fn tell_captured(&mut self) {
        let actors = self.core.captured.take();
        if let (false, Some(drain_epoch)) = (actors.is_empty(), self.drains_under()) {
            self.core.want(Effect::Captured { drain_epoch, actors });
        }
    }
}

impl<T> Core<T> {
    /// Puts an actor in place as it came, if this build can read it and there is room.
    fn revive(&mut self, mut slot: Slot<T>, actor: &ActorAddress, warm: &WarmActor) -> Slot<T> {
        let WarmActor { snapshot, .. } = warm;
        let has_room = self.memory.place(&actor.key.kind).is_some_and(|kind| self.memory.has_room(kind));
        let revived = has_room.then(|| slot.kind.revive(&actor.key.id, snapshot));
        match revived {
            Some(Ok(instance)) => {
                self.counts.warm_used += 1;
                slot.live = Live::Present(instance);
                (slot.tail, slot.remembered) = (snapshot.at, Remembered::of(snapshot, &self.lives));
                slot.growth = Growth::of(warm);
                slot.warm = true;
                if is_on(Mutant::TrustsWarm) {
                    (slot.under, slot.confirmed) = (self.epoch, true);
                }
            }
            Some(Err(reason)) => {
                self.counts.warm_left_out += 1;
                self.fact(Fact::WarmLeftOut { actor: actor.clone(), reason });
            }
            None => self.counts.warm_left_out += 1,
        }
        slot
    }

    /// Captures an actor that had nothing under way and is in memory no more.
    pub(super) fn capture(&mut self, actor: ActorAddress, slot: Slot<T>) {
        let Live::Present(instance) = &slot.live else { return };
        if slot.tail.sequence == Sequence::ZERO {
            return;
        }
        let Kept { state, timers } = match instance.kept(slot.kind.settings().codec, self.captured.last_state) {
            Ok(kept) => kept,
            Err(reason) => {
                self.counts.warm_left_out += 1;
                return self.fact(Fact::WarmLeftOut { actor, reason });
            }
        };
        self.captured.last_state = state.len();
        let (grown_events, grown_bytes) = slot.growth.parts();
        let snapshot_epoch = self.written_under(&slot);
        let (origins, messages) = slot.remembered.into_marks(&self.lives);
        let snapshot = ActorSnapshot {
            at: slot.tail,
            version: instance.version(),
            shard_epoch: snapshot_epoch,
            schema: slot.kind.schema(),
            codec: slot.kind.settings().codec,
            state,
            origins,
            messages,
            timers,
        };
        self.keep_captured(WarmActor { actor, snapshot, grown_events, grown_bytes });
    }

    /// Under which epoch the last commit was written; only of one of its own does an instance know. No lower than that.
    fn written_under(&self, slot: &Slot<T>) -> Epoch {
        if slot.confirmed { slot.under } else { self.epoch }
    }

    fn keep_captured(&mut self, warm: WarmActor) {
        if !self.captured.put(warm) {
            self.counts.warm_left_out += 1;
        }
    }
}

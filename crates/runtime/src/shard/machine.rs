//! One shard: whose it is, and its actors. Pure: time, randomness and all I/O are told to it or asked by it.
//!
//! What becomes of one actor's commands is in `core.rs` (on the way to a record) and `resolve.rs` (after it).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::vec::Drain;

use aether_domain::ports::{Answer, ReadMode};
use aether_domain::{ActorAddress, Epoch, Incarnation, Monotonic, NodeId};

use super::bounds::{BUSY_ACTORS_MAX, PASSIVATIONS_MAX, RETRY_AFTER};
use super::core::{Core, in_place};
use super::input::{Counts, Effect, Input, Now};
use super::remembered::Known;
use super::slot::{Asked, Live, Slot};
use crate::actor::{KindRegistry, Ran};
use crate::message::Work;

/// One shard. `T` is what a command is answered with.
pub(crate) struct ShardMachine<T> {
    kinds: Arc<KindRegistry>,
    ownership: Ownership,
    core: Core<T>,
    slots: HashMap<ActorAddress, Slot<T>>,
    /// The actors with something under way.
    busy: BTreeSet<ActorAddress>,
    /// Every actor, by when to see whether it has been idle for long enough.
    idle: BTreeSet<(Monotonic, ActorAddress)>,
}

/// Whose the shard is, as far as this node knows.
enum Ownership {
    /// Not ours. A stored record may have shown it before the topology did: then under which epoch.
    Elsewhere { owner: Option<NodeId>, later: Option<Epoch> },
    /// Ours, under the core's epoch.
    Mine,
    /// Ours until what is under way has ended.
    Leaving { drain_epoch: Epoch, to: NodeId },
    /// Given up, and never served under that epoch again.
    Released { drain_epoch: Epoch, to: NodeId },
}

impl<T> ShardMachine<T> {
    /// A shard that is not ours yet. `seed` makes the nonces of its records.
    pub(crate) fn new(kinds: Arc<KindRegistry>, seed: u64) -> Self {
        Self {
            kinds,
            ownership: Ownership::Elsewhere { owner: None, later: None },
            core: Core::new(seed),
            slots: HashMap::new(),
            busy: BTreeSet::new(),
            idle: BTreeSet::new(),
        }
    }

    /// How many actors are in memory.
    pub(crate) fn resident(&self) -> usize {
        self.slots.len()
    }

    /// What has been done since this was last asked.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.core.counts)
    }

    /// One step. The effects are to be started in their order.
    pub(crate) fn step(&mut self, now: Now, input: Input<T>) -> Drain<'_, Effect<T>> {
        match input {
            Input::Command(work, to) => self.command(now, work, to),
            Input::Appended { actor, nonce, outcome } => {
                self.with_slot(&actor, |core, slot| core.appended(slot, now, nonce, outcome));
            }
            Input::Looked { actor, nonce, found } => {
                self.with_slot(&actor, |core, slot| core.looked(slot, now, nonce, found));
            }
            Input::Loaded { actor, ticket, found } => {
                self.with_slot(&actor, |core, slot| core.loaded(slot, now, ticket, found));
            }
            Input::Activate { me, epoch } => self.activate(me, epoch),
            Input::Drain { drain_epoch, to } => self.drain(drain_epoch, to),
            Input::Deactivate { owner } => self.deactivate(owner, None),
            Input::Tick => self.tick(now),
        }
        if let Some(later) = self.core.stale.take() {
            self.deactivate(None, Some(later));
        }
        self.core.out.drain(..)
    }

    fn command(&mut self, now: Now, work: Work, to: T) {
        self.core.counts.commands += 1;
        match &self.ownership {
            Ownership::Mine => {}
            Ownership::Elsewhere { owner, .. } => {
                let owner = owner.clone();
                return self.core.answer(to, Answer::NotOwner { owner });
            }
            Ownership::Leaving { to: next, .. } | Ownership::Released { to: next, .. } => {
                let next = Some(next.clone());
                return self.core.answer(to, Answer::Moving { to: next });
            }
        }
        if !now.serving {
            let paused = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
            return self.core.answer(to, paused);
        }
        if work.deadline <= now.at {
            let maybe_applied = work.attempt > 1;
            return self.core.answer(to, Answer::Expired { maybe_applied });
        }
        if !self.slots.contains_key(&work.actor)
            && let Err(answer) = self.settle_in(now, &work)
        {
            return self.core.answer(to, answer);
        }
        let Some(slot) = self.slots.get_mut(&work.actor) else { return };
        let Some(command) = slot.kind.command(&work.command) else {
            let reason = format!("{} has no command {:?} on this node", slot.kind.name(), work.command);
            return self.core.answer(to, Answer::Invalid { reason });
        };
        slot.touched = now.at;
        if slot.busy.is_some() || !matches!(slot.live, Live::Present(_)) {
            return self.queue(now, Asked::new(work, command, to));
        }
        // Idle and in memory: run in place, and often answered in place.
        match slot.remembered.find(&work) {
            Known::New => {}
            Known::Applied(stored) => return self.core.repeat(&*slot.kind, &work, command, to, stored),
            Known::Forgotten => return self.core.answer(to, Answer::Expired { maybe_applied: true }),
        }
        let ran = match &mut slot.live {
            Live::Present(instance) => instance.run(command, &work.payload, slot.kind.settings().codec, now.wall),
            Live::Absent | Live::Quarantined(_) => return,
        };
        match in_place(slot, work.mode, self.core.epoch, ran) {
            Ok(outcome) => {
                self.core.out.push(Effect::Respond { to, outcome, lease: work.mode != ReadMode::Log });
            }
            Err(ran) => self.follow_up(now, Asked::new(work, command, to), ran),
        }
    }

    /// Makes room for an actor that is not in memory.
    fn settle_in(&mut self, now: Now, work: &Work) -> Result<(), Answer> {
        let kind = self.kinds.get(&work.actor.key.kind).ok_or_else(|| {
            let reason = format!("actor kind {} is not known on this node", work.actor.key.kind);
            Answer::Invalid { reason }
        })?;
        kind.instance(&work.actor.key.id).map_err(|reason| Answer::Invalid { reason })?;
        self.idle.insert((now.at + kind.settings().passivate_after, work.actor.clone()));
        self.slots.insert(work.actor.clone(), Slot::new(kind.clone(), now.at));
        Ok(())
    }

    /// Lets a command wait for what is under way for its actor.
    fn queue(&mut self, now: Now, asked: Asked<T>) {
        let actor = asked.work.actor.clone();
        if self.busy.len() >= BUSY_ACTORS_MAX && !self.busy.contains(&actor) {
            return self.core.give_up(asked, &Answer::Busy);
        }
        self.with_slot(&actor, |core, slot| core.admit(slot, now, asked));
    }

    /// Goes on with a command that has run but cannot be answered yet.
    fn follow_up(&mut self, now: Now, asked: Asked<T>, ran: Ran) {
        let actor = asked.work.actor.clone();
        self.with_slot(&actor, |core, slot| {
            core.take(slot, now, asked, ran);
            core.seal(slot, now);
        });
    }

    /// Does something with one actor and keeps the books about it.
    fn with_slot(&mut self, actor: &ActorAddress, act: impl FnOnce(&mut Core<T>, &mut Slot<T>)) {
        let Some(slot) = self.slots.get_mut(actor) else { return };
        let was_busy = slot.busy.is_some();
        act(&mut self.core, slot);
        if slot.busy.as_ref().is_some_and(|busy| busy.is_over()) {
            slot.busy = None;
        }
        let is_busy = slot.busy.is_some();
        if is_busy && !was_busy {
            self.busy.insert(actor.clone());
        } else if was_busy && !is_busy {
            self.busy.remove(actor);
        }
        self.release_if_done();
    }

    fn activate(&mut self, me: Incarnation, epoch: Epoch) {
        match &self.ownership {
            Ownership::Mine if epoch <= self.core.epoch => return,
            // A record has shown a later owner than this entry names.
            Ownership::Elsewhere { later: Some(later), .. } if epoch < *later => return,
            // Given back and taken again, or kept after a cancelled move: what is under way goes on, the rest is loaded
            // anew under the new epoch.
            Ownership::Mine | Ownership::Leaving { .. } => self.forget_idle(),
            Ownership::Elsewhere { .. } | Ownership::Released { .. } => {}
        }
        (self.core.me, self.core.epoch) = (me, epoch);
        self.core.leaving = None;
        self.ownership = Ownership::Mine;
    }

    fn drain(&mut self, drain_epoch: Epoch, to: NodeId) {
        match &self.ownership {
            Ownership::Leaving { drain_epoch: known, .. } | Ownership::Released { drain_epoch: known, .. }
                if *known >= drain_epoch =>
            {
                return;
            }
            _ => {}
        }
        self.core.leaving = Some(to.clone());
        let moving = Answer::Moving { to: Some(to.clone()) };
        self.ownership = Ownership::Leaving { drain_epoch, to };
        for actor in self.busy.clone() {
            let Some(slot) = self.slots.get_mut(&actor) else { continue };
            if let Some(busy) = &mut slot.busy {
                self.core.abandon_unsealed(busy, &moving);
                if busy.is_over() {
                    slot.busy = None;
                    self.busy.remove(&actor);
                }
            }
        }
        self.forget_idle();
        self.release_if_done();
    }

    fn release_if_done(&mut self) {
        if let Ownership::Leaving { drain_epoch, to } = &self.ownership
            && self.busy.is_empty()
        {
            let (drain_epoch, to) = (*drain_epoch, to.clone());
            self.forget_idle();
            self.ownership = Ownership::Released { drain_epoch, to };
            self.core.out.push(Effect::Released { drain_epoch });
        }
    }

    /// Drops everything: the shard is somebody else's.
    fn deactivate(&mut self, owner: Option<NodeId>, later: Option<Epoch>) {
        let not_owner = Answer::NotOwner { owner: owner.clone() };
        for actor in std::mem::take(&mut self.busy) {
            if let Some(mut busy) = self.slots.get_mut(&actor).and_then(|slot| slot.busy.take()) {
                self.core.abandon(&mut busy, &not_owner);
            }
        }
        self.forget_idle();
        self.core.leaving = None;
        let seen = match &self.ownership {
            Ownership::Elsewhere { later, .. } => *later,
            _ => None,
        };
        self.ownership = Ownership::Elsewhere { owner, later: later.max(seen) };
    }

    /// Drops every actor with nothing under way.
    fn forget_idle(&mut self) {
        self.slots.retain(|_, slot| slot.busy.is_some());
        let slots = &self.slots;
        self.idle.retain(|(_, actor)| slots.contains_key(actor));
    }

    fn tick(&mut self, now: Now) {
        for actor in self.busy.clone() {
            self.with_slot(&actor, |core, slot| {
                let Some(busy) = &mut slot.busy else { return };
                for (to, maybe_applied) in busy.expire(now.at) {
                    core.answer(to, Answer::Expired { maybe_applied });
                }
            });
        }
        for _ in 0..PASSIVATIONS_MAX {
            let Some((due, _)) = self.idle.first() else { return };
            if *due > now.at {
                return;
            }
            let Some((_, actor)) = self.idle.pop_first() else { return };
            let Some(slot) = self.slots.get(&actor) else { continue };
            let after = slot.kind.settings().passivate_after;
            let keep = slot.busy.is_some() || matches!(slot.live, Live::Quarantined(_));
            if !keep && slot.touched + after <= now.at {
                self.core.counts.passivations += 1;
                self.slots.remove(&actor);
            } else {
                let due = if keep { now.at + after } else { slot.touched + after };
                self.idle.insert((due, actor));
            }
        }
    }
}

//! One shard: whose it is, and its actors. Pure: time, randomness and all I/O are told to it or asked by it.
//!
//! What becomes of one actor's commands is in `core.rs` (on the way to a record) and `resolve.rs` (after it).

use std::sync::Arc;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::{Answer, ReadMode};
use aether_domain::{ActorAddress, Epoch, Incarnation, NodeId};

use super::bounds::{BUSY_ACTORS_MAX, RETRY_AFTER};
use super::core::Core;
use super::input::{Counts, Effect, Input, Now};
use super::memory::{KindPlace, Memory};
use super::quarantine::RELEASE;
use super::reconcile::Standing;
use super::remembered::{Known, Lives};
use super::residents::{Found, Residents};
use super::slot::{Asked, Live, Slot, freshness, must_confirm};
use super::warm::Waiting;
use super::withdrawal;
use crate::actor::{Kind, KindRegistry, Ran, Runnable};
use crate::message::{Outcome, Work};

/// One shard. `T` is what a command is answered with.
pub(crate) struct ShardMachine<T> {
    kinds: Arc<KindRegistry>,
    ownership: Ownership,
    pub(super) core: Core<T>,
    pub(super) residents: Residents<T>,
    /// How many actors have something under way.
    busy: usize,
    /// Those that came with the shard and were not asked yet.
    pub(super) warm: Waiting,
}

/// What can be said of a command at once.
pub(crate) enum Looked {
    /// This. `lease`: it counts only if the serve lease holds now, after the state was read.
    Answered { outcome: Outcome, lease: bool },
    /// Not everything.
    Open(Open),
}

/// A command that has been looked at and is not answered.
pub(crate) struct Open {
    /// Its place in the kind's list.
    command: u8,
    /// What running it came to, if it could be run at once.
    ran: Option<Ran>,
}

impl Looked {
    pub(super) fn refuse(answer: Answer) -> Self {
        Self::Answered { outcome: Outcome::Other(answer), lease: false }
    }
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
    /// `memory` counts what all shards of its node hold.
    pub(super) fn new(kinds: Arc<KindRegistry>, seed: u64, memory: Arc<Memory>) -> Self {
        Self {
            ownership: Ownership::Elsewhere { owner: None, later: None },
            core: Core::new(seed, memory.clone()),
            residents: Residents::new(&kinds, memory.clone()),
            kinds,
            busy: 0,
            warm: Waiting::new(memory),
        }
    }

    /// How many actors are in memory.
    pub(crate) fn resident(&self) -> usize {
        self.residents.len()
    }

    /// What has been done since this was last asked.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.core.counts)
    }

    /// One step. What is to be done about it waits in [`Self::take_effects`].
    pub(crate) fn step(&mut self, now: Now, input: Input<T>) {
        self.core.wall = now.wall;
        match input {
            Input::Command(work, to) => match self.look(now, &work) {
                Looked::Answered { outcome, lease } => self.core.want(Effect::Respond { to, outcome, lease }),
                Looked::Open(open) => self.proceed(now, work, to, open),
            },
            Input::Appended { actor, nonce, outcome } => {
                self.with_slot(now, &actor, |core, slot| core.appended(slot, now, nonce, outcome));
            }
            Input::Looked { actor, nonce, found } => {
                self.with_slot(now, &actor, |core, slot| core.looked(slot, now, nonce, found));
            }
            Input::Loaded { actor, ticket, found } => {
                self.with_slot(now, &actor, |core, slot| core.loaded(slot, now, ticket, found));
            }
            Input::NotRead { actor, ticket, why } => {
                self.with_slot(now, &actor, |core, slot| core.not_read(slot, now, ticket, why));
            }
            Input::Saved { actor, outcome } => self.core.saved(actor, outcome),
            Input::Lives(lives) => self.core.lives = Lives(Some(lives)),
            Input::TurnOver { actor, ticket } => {
                self.with_slot(now, &actor, |core, slot| core.turn_over(slot, now, ticket));
            }
            Input::Activate { me, epoch } => self.activate(me, epoch),
            Input::Drain { drain_epoch, to } => self.drain(drain_epoch, to),
            Input::Deactivate { owner } => self.deactivate(owner, None),
            Input::CaptureMore => self.go_on_capturing(),
            Input::Warm(parts) => self.learn_warm(now, parts),
            Input::Tick => self.tick(now),
            Input::Look => self.look_at_due(now),
            Input::Wakes { wakes, until } => self.learn_wakes(&wakes, until),
            Input::WakeKept { actor, record, outcome } => self.wake_kept(now, &actor, record, outcome),
        }
        if let Some(later) = self.core.stale.take() {
            self.deactivate(None, Some(later));
        }
    }

    /// What is to be done since this was last asked, in order. If there is anything, what follows gathers in an empty `room`.
    pub(crate) fn take_effects(&mut self, room: impl FnOnce() -> Vec<Effect<T>>) -> Vec<Effect<T>> {
        self.tell_captured();
        if self.core.out.is_empty() { Vec::new() } else { std::mem::replace(&mut self.core.out, room()) }
    }

    /// What can be said of a command at once: its answer, if its actor is idle in memory and need not store anything.
    /// Whatever else follows is for [`Self::proceed`].
    ///
    /// `now` may be a little old: it only saves running what is surely refused. What must hold when a command is
    /// answered or stored is checked with a present reading afterwards; the time of who asks now begins then.
    pub(crate) fn look(&mut self, now: Now, work: &Work) -> Looked {
        self.core.counts.commands += 1;
        match &self.ownership {
            Ownership::Mine => {}
            Ownership::Elsewhere { owner, .. } => return Looked::refuse(Answer::NotOwner { owner: owner.clone() }),
            Ownership::Leaving { to, .. } | Ownership::Released { to, .. } => {
                return Looked::refuse(Answer::Moving { to: Some(to.clone()) });
            }
        }
        if let Some(refusal) = refusal(now, work) {
            return Looked::refuse(refusal);
        }
        if work.command == RELEASE {
            return self.release(now, work);
        }
        let epoch = self.core.epoch;
        let full = self.is_full();
        let Some(found) = self.residents.find(&work.actor, now.at) else {
            if full {
                self.core.counts.busy_shard += 1;
                return Looked::refuse(Answer::Busy);
            }
            return self.settle_in(now, work);
        };
        let (kind, actor, remembered, confirmed, present) = match found {
            Found::Idle { kind, shelf, place, remembered, confirmed } => {
                (kind, Some(Runnable::Idle(shelf, place, &work.actor.key.id)), remembered, confirmed, true)
            }
            Found::Awake(slot) => {
                let actor = match &mut slot.live {
                    Live::Present(instance) if slot.busy.is_none() => Some(Runnable::Awake(&mut **instance)),
                    _ => None,
                };
                (&*slot.kind, actor, &slot.remembered, slot.confirmed, slot.under == epoch)
            }
        };
        let Some(command) = kind.command(&work.command) else { return unknown_command(kind, work) };
        let Some(actor) = actor else { return Looked::Open(Open { command, ran: None }) };
        match remembered.find(work, &self.core.lives) {
            Known::New => {}
            Known::Applied(stored) => {
                return Looked::Answered { outcome: withdrawal::repeat(kind, work, command, stored), lease: false };
            }
            Known::Forgotten => return Looked::refuse(Answer::Expired { maybe_applied: true }),
        }
        if Core::<T>::has_cost_too_many_lives(work) {
            return Looked::Open(Open { command, ran: None });
        }
        let ran = withdrawal::run(kind, actor, remembered, command, work, now.wall);
        let mode = freshness(work.mode, &ran);
        let must_confirm = must_confirm(mode, confirmed, present);
        let lease = mode != ReadMode::Log;
        match ran {
            Ran::Looked(reply) if !must_confirm => Looked::Answered { outcome: Outcome::Looked(reply), lease },
            Ran::Rejected(no) if !must_confirm => Looked::Answered { outcome: Outcome::Rejected(no), lease },
            ran => Looked::Open(Open { command, ran: Some(ran) }),
        }
    }

    /// Goes on with a command that [`Self::look`] has left open.
    pub(crate) fn proceed(&mut self, now: Now, work: Work, to: T, open: Open) {
        let Open { command, ran } = open;
        self.core.wall = now.wall;
        let actor = work.actor.clone();
        let full = self.is_full() && !self.residents.is_busy(&actor);
        if full {
            self.core.counts.busy_shard += 1;
        }
        if let Some(refusal) = refusal(now, &work).or(full.then_some(Answer::Busy)) {
            // What has run must be forgotten, for it may have changed the instance; and one that was to be loaded too.
            self.with_slot(now, &actor, |_, slot| {
                if ran.is_some() {
                    slot.live = Live::Absent;
                }
            });
            return self.core.answer(to, refusal);
        }
        let asked = Asked::new(work, command, to);
        self.with_slot(now, &actor, |core, slot| match ran {
            None => core.admit(slot, now, asked),
            Some(ran) => {
                core.take(slot, now, asked, ran);
                core.seal(slot, now);
            }
        });
    }

    /// Makes room for an actor that is not in memory.
    fn settle_in(&mut self, now: Now, work: &Work) -> Looked {
        let Some(kind) = self.kinds.get(&work.actor.key.kind) else {
            let reason = format!("actor kind {} is not known on this node", work.actor.key.kind);
            return Looked::refuse(Answer::Invalid { reason, maybe_applied: false });
        };
        let Some(command) = kind.command(&work.command) else { return unknown_command(&**kind, work) };
        if let Err(reason) = kind.check(&work.actor.key.id) {
            return Looked::refuse(Answer::Invalid { reason, maybe_applied: false });
        }
        let kind = kind.clone();
        let slot = self.new_slot(now, &work.actor, &kind);
        self.residents.insert(&work.actor, slot);
        Looked::Open(Open { command, ran: None })
    }

    /// Makes room for an actor that has to be looked at, unless it is there; or says why it cannot be here.
    pub(super) fn bring_in(&mut self, now: Now, actor: &ActorAddress) -> Result<(), String> {
        if !self.residents.contains(actor) {
            let kind = self.kinds.get(&actor.key.kind);
            let kind = kind.ok_or_else(|| format!("actor kind {} is not known on this node", actor.key.kind))?;
            kind.check(&actor.key.id)?;
            let kind = kind.clone();
            let slot = self.new_slot(now, actor, &kind);
            self.residents.insert(actor, slot);
        }
        Ok(())
    }

    /// What the shard is, as far as this machine knows.
    pub(super) fn standing(&self) -> Standing {
        match &self.ownership {
            Ownership::Elsewhere { later, .. } => Standing::Elsewhere { later: *later },
            Ownership::Mine => Standing::Serving(self.core.epoch),
            Ownership::Leaving { drain_epoch, .. } | Ownership::Released { drain_epoch, .. } => {
                Standing::Leaving(*drain_epoch)
            }
        }
    }

    pub(super) fn is_mine(&self) -> bool {
        matches!(self.ownership, Ownership::Mine)
    }

    /// The entry that asked for the shard, while it leaves and once it has left.
    pub(super) fn drains_under(&self) -> Option<Epoch> {
        match &self.ownership {
            Ownership::Leaving { drain_epoch, .. } | Ownership::Released { drain_epoch, .. } => Some(*drain_epoch),
            Ownership::Mine | Ownership::Elsewhere { .. } => None,
        }
    }

    /// Whether no more actors may begin anything.
    pub(super) fn is_full(&self) -> bool {
        self.busy >= BUSY_ACTORS_MAX
    }

    /// Does something with one actor and keeps the books about it.
    pub(super) fn with_slot(&mut self, now: Now, actor: &ActorAddress, act: impl FnOnce(&mut Core<T>, &mut Slot<T>)) {
        let Some(slot) = self.residents.awaken(actor, self.core.epoch) else { return };
        let (was_busy, held) = (slot.busy.is_some(), slot.held().weight());
        act(&mut self.core, slot);
        self.core.end_if_over(slot);
        self.core.note_timers(slot, actor);
        let is_busy = slot.busy.is_some();
        self.core.memory.waits(held, slot.held().weight());
        self.busy = self.busy + usize::from(is_busy) - usize::from(was_busy);
        if !is_busy && self.core.leaving.is_some() {
            self.follow(actor);
        } else if !is_busy {
            self.residents.came_to_rest(actor, now.at, &mut self.core);
        }
        self.release_if_done();
    }

    fn activate(&mut self, me: Incarnation, epoch: Epoch) {
        self.tell_captured();
        match &self.ownership {
            Ownership::Mine if epoch <= self.core.epoch => return,
            // A record has shown a later owner than this entry names.
            Ownership::Elsewhere { later: Some(later), .. } if epoch < *later => return,
            // Given back and taken again, or kept after a cancelled move: what is under way goes on, the rest is loaded
            // anew under the new epoch.
            Ownership::Mine | Ownership::Leaving { .. } => self.residents.forget_idle(),
            Ownership::Elsewhere { .. } | Ownership::Released { .. } => {}
        }
        (self.core.me, self.core.epoch, self.core.since) = (me, epoch, self.core.wall);
        self.core.leaving = None;
        self.core.captured.clear();
        self.core.agenda.clear();
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
        self.core.agenda.clear();
        let moving = Answer::Moving { to: Some(to.clone()) };
        self.ownership = Ownership::Leaving { drain_epoch, to };
        for actor in self.residents.busy() {
            let Some(slot) = self.residents.get_mut(&actor) else { continue };
            let held = slot.held().weight();
            if let Some(busy) = &mut slot.busy {
                self.core.abandon_unsealed(&mut slot.live, busy, &moving);
                if busy.is_over() {
                    slot.busy = None;
                    self.busy -= 1;
                }
            }
            self.core.memory.waits(held, slot.held().weight());
        }
        self.core.save_leaving(&mut self.residents);
        self.capture_idle();
        self.release_if_done();
    }

    /// More actors of a shard that leaves are captured, unless it has been taken back.
    fn go_on_capturing(&mut self) {
        if matches!(self.ownership, Ownership::Leaving { .. }) {
            self.capture_more();
            self.release_if_done();
        }
    }

    /// An actor of a shard that leaves has come to rest: it is not run here any more.
    fn follow(&mut self, actor: &ActorAddress) {
        if let Some(mut slot) = self.residents.take(actor, self.core.epoch) {
            self.core.save_idle(actor, &mut slot);
            self.core.capture(actor.clone(), *slot);
        }
    }

    fn release_if_done(&mut self) {
        if let Ownership::Leaving { drain_epoch, to } = &self.ownership
            && self.busy == 0
            && self.core.captured.is_done()
        {
            let (drain_epoch, to) = (*drain_epoch, to.clone());
            self.tell_captured();
            self.ownership = Ownership::Released { drain_epoch, to };
            self.core.want(Effect::Released { drain_epoch });
        }
    }

    /// Drops everything: the shard is somebody else's.
    fn deactivate(&mut self, owner: Option<NodeId>, later: Option<Epoch>) {
        let not_owner = Answer::NotOwner { owner: owner.clone() };
        for actor in self.residents.busy() {
            let Some(slot) = self.residents.get_mut(&actor) else { continue };
            self.core.memory.waits(slot.held().weight(), 0);
            if let Some(mut busy) = slot.busy.take() {
                self.core.abandon(&mut slot.live, &mut busy, &not_owner);
            }
        }
        self.busy = 0;
        self.residents.forget_idle();
        self.warm.take_all();
        self.core.captured.clear();
        self.core.spare = None;
        self.core.leaving = None;
        self.core.agenda.clear();
        let seen = match &self.ownership {
            Ownership::Elsewhere { later, .. } => *later,
            _ => None,
        };
        self.ownership = Ownership::Elsewhere { owner, later: later.max(seen) };
    }

    fn tick(&mut self, now: Now) {
        for actor in self.residents.busy() {
            self.with_slot(now, &actor, |core, slot| {
                let Some(busy) = &mut slot.busy else { return };
                for (to, maybe_applied) in busy.expire(now.at) {
                    core.answer(to, Answer::Expired { maybe_applied });
                }
                core.seal(slot, now);
            });
        }
        self.core.refill_idle_saves();
        self.core.counts.warm_left_out += self.warm.forget_old(now.at) as u64;
        self.residents.passivate(now.at, &mut self.core);
    }

    /// Forgets up to so many idle actors, of that kind or of any, and says how many. The states of some may have to be
    /// saved.
    pub(super) fn evict(&mut self, kind: Option<KindPlace>, most: usize, now: Now) -> usize {
        self.residents.evict(kind, most, now.at, &mut self.core)
    }
}

/// Why a command is not run now, whatever its actor is.
fn refusal(now: Now, work: &Work) -> Option<Answer> {
    if !now.serving && !is_on(Mutant::ServesWithoutLease) {
        return Some(Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false });
    }
    (work.deadline <= now.at).then(|| Answer::Expired { maybe_applied: work.attempt > 1 })
}

fn unknown_command(kind: &dyn Kind, work: &Work) -> Looked {
    let reason = format!("{} has no command {:?} on this node", kind.name(), work.command);
    Looked::refuse(Answer::Invalid { reason, maybe_applied: false })
}

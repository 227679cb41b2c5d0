//! One actor's way from a command to a stored record: run, gather, seal, answer.
//!
//! A record under way does not stop the actor: further commands run on the speculative state and gather for the next
//! record. What they lead to is answered only when everything they saw is stored. What became of a record is the trade
//! of `resolve.rs`.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::{Answer, ReadMode};
use aether_domain::records::{CommandMark, CommitRecord, Position, StoredReply};
use aether_domain::{ActorAddress, Epoch, Incarnation, Monotonic, NodeId, Nonce, Sequence, Version, WallTime};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::bounds::{
    BATCH_BYTES_MAX, IDLE_SAVES_MAX, PANIC_RETRIES_MAX, PANIC_WINDOW, PANICS_MAX, REFUSE_AFTER_TRIES, RETRY_AFTER,
    back_off,
};
use super::input::{Counts, Effect, Fact, NotRead, Now};
use super::memory::Memory;
use super::remembered::{Known, Lives};
use super::slot::{Asked, Busy, Decided, Flight, Gathering, Live, Loading, Slot, What, freshness};
use super::snapshots::Part;
use super::timers::{Agenda, timer_bytes};
use super::warm::Captured;
use super::withdrawal;
use crate::actor::{Kind, Ran, Runnable};
use crate::message::Outcome;

/// A moment that does not come.
const FOR_EVER: Monotonic = Monotonic::MAX;

/// What all actors of a shard share.
pub(super) struct Core<T> {
    /// Who writes the records.
    pub(super) me: Incarnation,
    /// What they are fenced with.
    pub(super) epoch: Epoch,
    /// Since when, by the wall clock: a timer that was due before may have ended those before.
    pub(super) since: WallTime,
    rng: ChaCha8Rng,
    pub(super) out: Vec<Effect<T>>,
    pub(super) counts: Counts,
    tickets: u64,
    /// Set when a record shows that the shard is somebody else's, under that epoch.
    pub(super) stale: Option<Epoch>,
    /// Set while the shard is released: what has not been sealed is not run any more.
    pub(super) leaving: Option<NodeId>,
    /// How many idle actors' states may still be kept before the next tick.
    pub(super) idle_saves: usize,
    /// Whose commands are believed.
    pub(super) lives: Lives,
    /// Whom to look at because of timers.
    pub(super) agenda: Agenda,
    /// What the wall clock says in this step: it decides only when a timer is tried.
    pub(super) wall: WallTime,
    /// What the node's shards hold together.
    pub(super) memory: Arc<Memory>,
    /// What follows the shard that leaves.
    pub(super) captured: Captured,
    /// The memory of what was under way for the actor that last came to rest: mostly there is one at a time.
    pub(super) spare: Option<Box<Busy<T>>>,
}

impl<T> Core<T> {
    pub(super) fn new(seed: u64, memory: Arc<Memory>) -> Self {
        Self {
            me: Incarnation(0),
            epoch: Epoch::ZERO,
            since: WallTime::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            out: Vec::new(),
            counts: Counts::default(),
            tickets: 0,
            stale: None,
            leaving: None,
            idle_saves: IDLE_SAVES_MAX,
            lives: Lives::default(),
            agenda: Agenda::default(),
            wall: WallTime::default(),
            memory,
            captured: Captured::default(),
            spare: None,
        }
    }

    /// What is under way for that actor, which is something from now on.
    pub(super) fn begin<'a>(&mut self, busy: &'a mut Option<Box<Busy<T>>>, actor: &ActorAddress) -> &'a mut Busy<T> {
        busy.get_or_insert_with(|| match self.spare.take() {
            Some(spare) => spare.again(actor.clone()),
            None => Box::new(Busy::new(actor.clone())),
        })
    }

    /// Sees whether nothing is under way any more.
    pub(super) fn end_if_over(&mut self, slot: &mut Slot<T>) {
        if let Some(over) = slot.busy.take_if(|busy| busy.is_over())
            && over.is_small()
        {
            self.spare = Some(over);
        }
    }

    /// Has that done, after what was wanted before. Most steps want one thing.
    pub(super) fn want(&mut self, effect: Effect<T>) {
        if self.out.capacity() == 0 {
            self.out.reserve_exact(1);
        }
        self.out.push(effect);
    }

    pub(super) fn answer(&mut self, to: T, answer: Answer) {
        self.want(Effect::Respond { to, outcome: Outcome::Other(answer), lease: false });
    }

    pub(super) fn fact(&mut self, fact: Fact) {
        self.want(Effect::Fact(fact));
    }

    /// Answers everybody who waits for `asked`.
    pub(super) fn give_up(&mut self, asked: Asked<T>, answer: &Answer) {
        if let Some(to) = asked.to {
            self.answer(to, answer.clone());
        }
        for echo in asked.echoes {
            self.give_up(echo, answer);
        }
    }

    /// Answers everybody who waits for a command that is in the history.
    fn repeat_all(&mut self, kind: &dyn Kind, asked: Asked<T>, stored: &StoredReply) {
        if let Some(to) = asked.to {
            let outcome = withdrawal::repeat(kind, &asked.work, asked.command, stored);
            self.want(Effect::Respond { to, outcome, lease: false });
        }
        for echo in asked.echoes {
            self.repeat_all(kind, echo, stored);
        }
    }

    /// Takes a command that cannot be answered in place: runs it, or lets it wait. Answers `Busy` beyond the bounds.
    pub(super) fn admit(&mut self, slot: &mut Slot<T>, now: Now, asked: Asked<T>) {
        let actor = &asked.work.actor;
        let busy = self.begin(&mut slot.busy, actor);
        let (held, settings) = (busy.held(), slot.kind.settings());
        if held.commands >= settings.mailbox || held.bytes >= settings.mailbox_bytes {
            self.counts.busy_mailbox += 1;
            return self.give_up(asked, &Answer::Busy);
        }
        if self.memory.is_full() {
            self.counts.busy_node += 1;
            return self.give_up(asked, &Answer::Busy);
        }
        let Some(asked) = busy.echo(asked) else { return };
        if let Live::Quarantined(reason) = &slot.live {
            let reason = reason.to_string();
            return self.give_up(asked, &Answer::Quarantined { reason, maybe_applied: false });
        }
        if busy.flight.as_ref().is_some_and(|flight| flight.tries >= REFUSE_AFTER_TRIES) {
            return self.give_up(asked, &Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false });
        }
        if Self::is_not_worth_a_load(slot, &asked.work) {
            return self.spare_lives(slot, now, asked);
        }
        let Some(busy) = &mut slot.busy else { return };
        busy.push_waiting(asked);
        match slot.live {
            Live::Present(_) => self.run_waiting(slot, now),
            _ if busy.load.is_none() && busy.flight.is_none() => self.load(slot, false, Duration::ZERO),
            _ => {}
        }
    }

    /// Asks for the history, from a snapshot on that reaches no further than `up_to`.
    pub(super) fn load_from(&mut self, slot: &mut Slot<T>, fresh: bool, wait: Duration, up_to: Sequence) {
        let Some(busy) = &mut slot.busy else { return };
        self.tickets += 1;
        let part = Part { up_to, schema: slot.kind.schema(), fresh };
        busy.load = Some(Loading { ticket: self.tickets, part });
        let until = busy.waiting.iter().map(|asked| asked.work.deadline).max().unwrap_or(FOR_EVER);
        self.want(Effect::Load { actor: busy.actor.clone(), ticket: self.tickets, part, wait, until });
    }

    /// The history was not read.
    pub(super) fn not_read(&mut self, slot: &mut Slot<T>, now: Now, ticket: u64, why: NotRead) {
        let Some(busy) = &mut slot.busy else { return };
        let Some(Loading { part, .. }) = busy.load.take_if(|loading| loading.ticket == ticket) else { return };
        match why {
            NotRead::Busy => {
                self.counts.busy_load += busy.held().commands as u64;
                self.abandon_unsealed(&mut slot.live, busy, &Answer::Busy);
            }
            NotRead::Late => {
                for (to, maybe_applied) in busy.expire(now.at) {
                    self.answer(to, Answer::Expired { maybe_applied });
                }
                // Somebody may have come since who has more time.
                if !busy.waiting.is_empty() {
                    self.load_from(slot, part.fresh, Duration::ZERO, part.up_to);
                }
            }
        }
    }

    /// Runs what waits, in order, while there is an instance to run it; then seals what came of it.
    pub(super) fn run_waiting(&mut self, slot: &mut Slot<T>, now: Now) {
        self.fire_due(slot, now);
        loop {
            while matches!(slot.live, Live::Present(_)) {
                let Some(asked) = slot.busy.as_mut().and_then(|busy| busy.pop_waiting()) else { break };
                self.run(slot, now, asked);
            }
            self.seal(slot, now);
            // What could be answered at the seal may have had repeats, which are asked again.
            let more = slot.busy.as_ref().is_some_and(|busy| !busy.waiting.is_empty());
            if !more || !matches!(slot.live, Live::Present(_)) {
                return;
            }
        }
    }

    fn run(&mut self, slot: &mut Slot<T>, now: Now, mut asked: Asked<T>) {
        if asked.to.is_none() {
            // Its own asker has gone; a repeat of it may still wait, in its place.
            if asked.echoes.is_empty() {
                return;
            }
            let mut next = asked.echoes.remove(0);
            next.echoes.append(&mut asked.echoes);
            asked = next;
        }
        if asked.work.deadline <= now.at {
            let maybe_applied = asked.work.attempt > 1;
            return self.give_up(asked, &Answer::Expired { maybe_applied });
        }
        match slot.remembered.find(&asked.work, &self.lives) {
            Known::New => {}
            Known::Forgotten => return self.give_up(asked, &Answer::Expired { maybe_applied: true }),
            Known::Applied(stored) => return self.repeat_all(&*slot.kind, asked, stored),
        }
        if Self::has_cost_too_many_lives(&asked.work) {
            return self.spare_lives(slot, now, asked);
        }
        let Live::Present(instance) = &mut slot.live else { return };
        let actor = Runnable::Awake(&mut **instance);
        let ran = withdrawal::run(&*slot.kind, actor, &slot.remembered, asked.command, &asked.work, now.wall);
        self.take(slot, now, asked, ran);
    }

    /// Takes over what running a command came to.
    pub(super) fn take(&mut self, slot: &mut Slot<T>, now: Now, mut asked: Asked<T>, ran: Ran) {
        asked.work.mode = freshness(asked.work.mode, &ran);
        let (what, event_bytes) = match ran {
            Ran::Looked(reply) => (What::Look(Outcome::Looked(reply)), 0),
            Ran::Rejected(rejection) => (What::Look(Outcome::Rejected(rejection)), 0),
            Ran::Changed { events, timers, stored, reply } => {
                let bytes = stored.len() + events.iter().map(|event| event.payload.len()).sum::<usize>();
                let bytes = bytes + timer_bytes(&timers);
                (What::Change { events, timers, stored, reply }, bytes)
            }
            Ran::Invalid(reason) => return self.give_up(asked, &Answer::Invalid { reason, maybe_applied: false }),
            Ran::Spoiled(reason) => {
                self.spoil(slot, Duration::ZERO);
                return self.give_up(asked, &Answer::Invalid { reason, maybe_applied: false });
            }
            Ran::Panicked(reason) => return self.panicked(slot, now, asked, reason),
        };
        self.begin(&mut slot.busy, &asked.work.actor);
        let state = if matches!(what, What::Change { .. }) { self.cut(slot) } else { None };
        if let Some(busy) = &mut slot.busy {
            busy.push_decided(Decided { asked, what, event_bytes, state });
        }
    }

    /// Discards an instance that cannot be trusted. What is sealed stays; what is not waits to be run again.
    fn spoil(&mut self, slot: &mut Slot<T>, wait: Duration) {
        slot.live = Live::Absent;
        let Some(busy) = &mut slot.busy else { return };
        busy.undecide(&mut slot.live);
        if busy.flight.is_none() && busy.load.is_none() && !busy.waiting.is_empty() {
            self.load(slot, false, wait);
        }
    }

    fn panicked(&mut self, slot: &mut Slot<T>, now: Now, mut asked: Asked<T>, reason: String) {
        let actor = asked.work.actor.clone();
        self.fact(Fact::Panicked { actor: actor.clone(), reason: reason.clone() });
        asked.panics += 1;
        let mut wait = Duration::ZERO;
        let busy = self.begin(&mut slot.busy, &actor);
        if asked.panics > PANIC_RETRIES_MAX {
            self.poison(slot, now, asked, reason);
        } else {
            wait = back_off(asked.panics.into());
            // Before what came later; what was decided earlier is put before it.
            busy.push_waiting_first(asked);
        }
        self.count_panic(slot, now.at, wait);
    }

    /// Discards an instance that has panicked, and sets its actor aside if it does so too often.
    pub(super) fn count_panic(&mut self, slot: &mut Slot<T>, at: Monotonic, wait: Duration) {
        slot.panics.retain(|panic| at.since(*panic) < PANIC_WINDOW);
        slot.panics.push(at);
        self.spoil(slot, wait);
        if slot.panics.len() >= PANICS_MAX {
            self.quarantine(slot, format!("it panicked {PANICS_MAX} times within {PANIC_WINDOW:?}"));
        }
    }

    /// Answers what may be answered, and sends the next record if there is something to store or to confirm. Without a
    /// serve lease it sends none: what has been decided waits for the lease, and is looked at every tick.
    pub(super) fn seal(&mut self, slot: &mut Slot<T>, now: Now) {
        loop {
            let first = match &slot.busy {
                Some(busy) if busy.flight.is_none() => busy.decided.front(),
                _ => return,
            };
            match first {
                None => return,
                Some(Decided { asked, what: What::Look(_), .. }) if !slot.must_confirm(asked.work.mode, self.epoch) => {
                }
                Some(_) => break,
            }
            let Some(decided) = slot.busy.as_mut().and_then(|busy| busy.pop_decided()) else { return };
            self.deliver(slot, decided);
        }
        if !now.serving && !is_on(Mutant::ServesWithoutLease) {
            return;
        }
        let (Some(busy), Live::Present(instance)) = (&mut slot.busy, &slot.live) else { return };
        if busy.gathering.as_ref().is_some_and(|gathering| busy.decided.len() < gathering.expected) {
            return;
        }
        busy.gathering = None;
        let unstored = busy.decided.iter().map(Decided::events).sum::<u64>();
        let mut record = CommitRecord {
            shard_epoch: self.epoch,
            owner: self.me,
            nonce: Nonce(self.rng.next_u64()),
            base: Version(instance.version().0 - unstored),
            prev_sequence: slot.tail.sequence,
            prev_hash: slot.tail.hash,
            at: now.wall,
            codec: slot.kind.settings().codec,
            commands: Vec::with_capacity(busy.decided.len().min(CommitRecord::COMMANDS_MAX)),
            events: Vec::new(),
            timers: Vec::new(),
        };
        let (mut covers, mut changes, mut bytes, mut state, mut trace) = (0, 0, 0, None, None);
        for Decided { asked, what, event_bytes, state: after } in &mut busy.decided {
            let full = changes == CommitRecord::COMMANDS_MAX || bytes + *event_bytes > BATCH_BYTES_MAX;
            if let What::Change { events, timers, .. } | What::Fired { events, timers, .. } = what {
                let codec = withdrawal::codec_of(&*slot.kind, asked.command);
                if changes == 0 {
                    record.codec = codec;
                } else if full || codec != record.codec {
                    break;
                }
                changes += 1;
                bytes += *event_bytes;
                move_behind(&mut record.events, events);
                move_behind(&mut record.timers, timers);
            }
            if let What::Change { stored, .. } = what {
                let (id, floor, message) = (asked.work.id, asked.work.floor, asked.work.message);
                record.commands.push(CommandMark { id, floor, message, reply: stored.clone() });
            }
            if trace.is_none() {
                trace.clone_from(&asked.work.trace);
            }
            covers += 1;
            if after.is_some() {
                state = after.take();
                break;
            }
        }
        let settings = slot.kind.settings();
        let state = state.or_else(|| self.captured(&mut slot.growth, settings, busy, &**instance, (&record, covers)));
        let (record, after) = (Arc::new(record), slot.tail.sequence);
        busy.flight = Some(Flight { record, after, covers, tries: 0, wake: None, state, trace });
        self.send(busy);
    }

    pub(super) fn append(&mut self, busy: &Busy<T>, record: Arc<CommitRecord>, wait: Duration) {
        let after = record.prev_sequence;
        let trace = busy.flight.as_ref().and_then(|flight| flight.trace.clone());
        self.want(Effect::Append { actor: busy.actor.clone(), record, after, wait, trace });
    }

    /// The record under way is stored: answers what it covers, and goes on.
    pub(super) fn stored(&mut self, slot: &mut Slot<T>, at: Position) {
        let Some(flight) = slot.busy.as_mut().and_then(|busy| busy.flight.take()) else { return };
        self.counts.commits += 1;
        slot.tail = at;
        (slot.confirmed, slot.under, slot.warm) = (true, flight.record.shard_epoch, false);
        for mark in &flight.record.commands {
            slot.remembered.note(mark, flight.record.codec, &self.lives);
        }
        slot.growth = slot.growth.with(&flight.record);
        if let Some(busy) = &mut slot.busy {
            busy.conflicts = 0;
        }
        for _ in 0..flight.covers {
            let Some(decided) = slot.busy.as_mut().and_then(|busy| busy.pop_decided()) else { break };
            self.deliver(slot, decided);
        }
        if let (Some(state), Some(busy)) = (flight.state, &slot.busy) {
            let actor = busy.actor.clone();
            self.save(slot, actor, (at, flight.record.version(), flight.record.shard_epoch), state);
        }
        if let Some(busy) = slot.busy.as_mut().filter(|_| flight.covers > 1) {
            self.tickets += 1;
            let expected = (flight.covers + busy.decided.len()).min(CommitRecord::COMMANDS_MAX);
            busy.gathering = Some(Gathering { ticket: self.tickets, expected });
            self.want(Effect::EndTurn { actor: busy.actor.clone(), ticket: self.tickets });
        }
    }

    /// The turn in which a record was answered is over: what has gathered is sealed.
    pub(super) fn turn_over(&mut self, slot: &mut Slot<T>, now: Now, ticket: u64) {
        let gathering = slot.busy.as_mut().map(|busy| &mut busy.gathering);
        if let Some(open) = gathering
            && open.as_ref().is_some_and(|gathering| gathering.ticket == ticket)
        {
            *open = None;
            self.seal(slot, now);
        }
    }

    /// Answers a command whose effects, and all it saw, are stored.
    fn deliver(&mut self, slot: &mut Slot<T>, Decided { asked, what, .. }: Decided<T>) {
        match what {
            What::Fired { since, .. } => self.fired(since),
            What::Change { stored, reply, .. } => {
                if let Some(to) = asked.to {
                    self.want(Effect::Respond { to, outcome: Outcome::Replied(reply), lease: false });
                }
                let codec = withdrawal::codec_of(&*slot.kind, asked.command);
                let stored = StoredReply { codec, bytes: stored };
                for echo in asked.echoes {
                    self.repeat_all(&*slot.kind, echo, &stored);
                }
            }
            What::Look(outcome) => {
                let lease = asked.work.mode != ReadMode::Log;
                let mut retries = Vec::new();
                for echo in asked.echoes {
                    if echo.work.id != asked.work.id {
                        retries.push(echo);
                    } else if let Some(to) = echo.to {
                        // The same question, asked once: whoever hears the first answer asks no more, so that running it
                        // again could do what its asker believes refused.
                        let paused = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
                        let outcome = outcome.encoded_copy().unwrap_or(Outcome::Other(paused));
                        self.want(Effect::Respond { to, outcome, lease });
                    }
                }
                if let Some(to) = asked.to {
                    self.want(Effect::Respond { to, outcome, lease });
                }
                // It changed nothing, so the application's own retry of it is asked anew; once, however many there are.
                let mut retries = retries.into_iter();
                if let (Some(busy), Some(mut first)) = (&mut slot.busy, retries.next()) {
                    first.echoes.extend(retries);
                    busy.push_waiting(first);
                }
            }
        }
    }

    /// Sets the actor aside until a person looks. A record under way keeps those who wait for it.
    pub(super) fn quarantine(&mut self, slot: &mut Slot<T>, reason: String) {
        self.counts.quarantined += 1;
        slot.live = Live::Quarantined(reason.as_str().into());
        let Some(busy) = &mut slot.busy else { return };
        self.want(Effect::Fact(Fact::Quarantined { actor: busy.actor.clone(), reason: reason.clone() }));
        self.abandon_unsealed(&mut slot.live, busy, &Answer::Quarantined { reason, maybe_applied: false });
    }

    /// Answers everything that is under way: what is sealed may yet be stored, the rest is not run.
    pub(super) fn abandon(&mut self, live: &mut Live, busy: &mut Busy<T>, answer: &Answer) {
        let sealed = busy.flight.take().map_or(0, |flight| flight.covers);
        for _ in 0..sealed {
            let Some(Decided { asked, what, .. }) = busy.pop_decided() else { break };
            let maybe = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: true };
            self.give_up(asked, if matches!(what, What::Change { .. }) { &maybe } else { answer });
        }
        self.abandon_unsealed(live, busy, answer);
    }

    /// Answers everything that is in no record, and forgets what it has changed.
    pub(super) fn abandon_unsealed(&mut self, live: &mut Live, busy: &mut Busy<T>, answer: &Answer) {
        busy.undecide(live);
        busy.load = None;
        while let Some(asked) = busy.pop_waiting() {
            self.give_up(asked, answer);
        }
    }
}

/// Moves all of one list behind another: the whole list, if it is the first.
fn move_behind<I>(list: &mut Vec<I>, more: &mut Vec<I>) {
    if list.is_empty() {
        std::mem::swap(list, more);
    } else {
        list.append(more);
    }
}

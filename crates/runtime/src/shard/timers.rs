//! Firing the timers of a shard's actors: whom to look at and when, and what a firing comes to.
//!
//! An actor's history holds its timers; a *wake* beside it says when somebody has to look. Rules, each needed:
//!
//! - A record that sets a timer is appended only once a wake no later than that timer is acknowledged. Only a wake that this
//!   owner has written itself counts: one that was read may yet be overtaken by a late write of an earlier owner.
//! - A wake is put later, or cleared, only when its own time has passed, and only after a compare-and-set of this instance on
//!   the history has succeeded: then no earlier owner can commit a timer any more that relies on it.
//!
//! So at any moment the wake in the store is no later than any timer in the history. A firing is decided on the speculative
//! state and gathers into records like any command; nobody waits for it, and where its record is not stored it is dropped:
//! the history still says that it is due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aether_domain::ports::{Answer, BoxError};
use aether_domain::records::{CommitRecord, DeadLetter, EventRecord, TimerChange, Wake};
use aether_domain::{ActorAddress, CommandId, Incarnation, Monotonic, Nonce, Revision, WallTime};

use super::bounds::{
    FIRINGS_MAX, LIVES_BEGIN_MAX, LOAD_TRIES_MAX, LOOK_AGAIN_AFTER, LOOKS_MAX, PANIC_RETRIES_MAX, RETRY_AFTER,
    WAKE_SLACK, WAKES_MAX, back_off,
};
use super::core::Core;
use super::input::{Effect, Fact, Keep, Now};
use super::letters::{Letter, cut};
use super::machine::ShardMachine;
use super::slot::{Asked, Busy, Decided, Live, Slot, What};
use crate::actor::{Due, Ran};

/// The id of what no origin has sent: a timer's command.
pub(super) const NOBODYS: CommandId = CommandId { origin: Incarnation(0), sequence: 0 };

/// Which actors of a shard have to be looked at, and when.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<ActorAddress, Entry>,
    /// The same by time.
    by_time: BTreeSet<(WallTime, ActorAddress)>,
    /// Nothing is looked at before.
    paused_until: WallTime,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    look: WallTime,
    wake: Option<Known>,
}

/// What is known of an actor's wake in the store.
#[derive(Clone, Copy, Debug)]
struct Known {
    at: Option<WallTime>,
    revision: Revision,
    /// Whether this owner has written it.
    own: bool,
}

impl Agenda {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// When somebody has to be looked at next.
    fn next(&self) -> Option<WallTime> {
        self.by_time.first().map(|(look, _)| (*look).max(self.paused_until))
    }

    fn put(&mut self, actor: &ActorAddress, entry: Entry) {
        match self.entries.get_mut(actor) {
            Some(before) if before.look == entry.look => return *before = entry,
            Some(before) => {
                self.by_time.remove(&(before.look, actor.clone()));
                *before = entry;
            }
            None => drop(self.entries.insert(actor.clone(), entry)),
        }
        self.by_time.insert((entry.look, actor.clone()));
    }

    fn forget(&mut self, actor: &ActorAddress) {
        if let Some(before) = self.entries.remove(actor) {
            self.by_time.remove(&(before.look, actor.clone()));
        }
    }

    /// The actor is looked at by then at the latest.
    pub(super) fn look_by(&mut self, actor: &ActorAddress, at: WallTime) {
        let entry = self.entries.get(actor).copied().unwrap_or(Entry { look: at, wake: None });
        self.put(actor, Entry { look: entry.look.min(at), ..entry });
    }

    /// Whom to look at now. It comes again after a while unless it is known by then when to look next.
    fn take_due(&mut self, now: WallTime) -> Option<ActorAddress> {
        let (look, actor) = self.by_time.first()?;
        if *look > now {
            return None;
        }
        let actor = actor.clone();
        self.put_off(&actor, after(now, LOOK_AGAIN_AFTER));
        Some(actor)
    }

    fn put_off(&mut self, actor: &ActorAddress, look: WallTime) {
        if let Some(entry) = self.entries.get(actor).copied() {
            self.put(actor, Entry { look, ..entry });
        }
    }

    /// Takes over a wake that the store has.
    fn learn(&mut self, wake: &Wake) {
        let Some(at) = wake.at else { return };
        let known = Known { at: Some(at), revision: wake.revision, own: false };
        match self.entries.get(&wake.actor).copied() {
            Some(Entry { wake: Some(newer), .. }) if newer.revision >= wake.revision => {}
            Some(entry) => self.put(&wake.actor, Entry { look: entry.look.min(at), wake: Some(known) }),
            None if self.entries.len() >= WAKES_MAX => {}
            None => self.put(&wake.actor, Entry { look: at, wake: Some(known) }),
        }
    }

    /// Takes over that this owner has written that wake.
    fn written(&mut self, wake: &Wake) {
        let Some(entry) = self.entries.get_mut(&wake.actor) else { return };
        if entry.wake.is_none_or(|known| known.revision < wake.revision) {
            entry.wake = Some(Known { at: wake.at, revision: wake.revision, own: true });
        }
    }

    /// Whether a wake of this owner's own is no later than `at`.
    fn covers(&self, actor: &ActorAddress, at: WallTime) -> bool {
        let wake = self.entries.get(actor).and_then(|entry| entry.wake);
        wake.is_some_and(|wake| wake.own && wake.at.is_some_and(|stored| stored <= at))
    }

    /// Whether the actor's wake has passed although nothing is due until `due`.
    fn outlived(&self, actor: &ActorAddress, due: Option<WallTime>, now: WallTime) -> Option<Revision> {
        let wake = self.entries.get(actor)?.wake?;
        let passed = wake.at.is_some_and(|at| at <= now);
        // A wake that would pass again soon is left: looking too early costs less than writing it each time.
        (passed && due.is_none_or(|due| due > after(now, WAKE_SLACK))).then_some(wake.revision)
    }

    /// An idle actor's first timer is due then: says when to look.
    fn idle(&mut self, actor: &ActorAddress, due: Option<WallTime>, now: WallTime) {
        let wake = self.entries.get(actor).and_then(|entry| entry.wake);
        let to_come = wake.and_then(|wake| wake.at).filter(|at| *at > now);
        match [due, to_come].into_iter().flatten().min() {
            Some(look) => self.put(actor, Entry { look, wake }),
            None => self.forget(actor),
        }
    }
}

impl<T> ShardMachine<T> {
    /// When an actor of this shard has to be looked at next.
    pub(crate) fn next_look(&self) -> Option<WallTime> {
        self.is_mine().then(|| self.core.agenda.next()).flatten()
    }

    /// How many actors have to be looked at some time.
    pub(crate) fn timed(&self) -> usize {
        self.core.agenda.len()
    }

    /// Looks at every actor whose time has come, a bounded number at once.
    pub(super) fn look_at_due(&mut self, now: Now) {
        if !self.is_mine() {
            return;
        }
        for _ in 0..LOOKS_MAX {
            if !now.serving || self.is_full() {
                self.core.agenda.paused_until = after(now.wall, RETRY_AFTER);
                return;
            }
            let Some(actor) = self.core.agenda.take_due(now.wall) else { return };
            match self.bring_in(now, &actor) {
                Ok(()) => self.with_slot(now, &actor, |core, slot| core.attend(slot, now, &actor)),
                Err(reason) => {
                    self.core.agenda.put_off(&actor, after(now.wall, Duration::from_secs(60)));
                    self.core.fact(Fact::NotLoaded { actor, reason });
                }
            }
        }
    }

    /// The store's wakes up to `until`: what lies behind comes with a later reading.
    pub(super) fn learn_wakes(&mut self, wakes: &[Wake], until: WallTime) {
        if !self.is_mine() {
            return;
        }
        let agenda = &mut self.core.agenda;
        let later = agenda.by_time.iter().rev().take_while(|(look, _)| *look > until);
        for actor in later.map(|(_, actor)| actor.clone()).collect::<Vec<_>>() {
            if !self.residents.contains(&actor) {
                agenda.forget(&actor);
            }
        }
        for wake in wakes {
            agenda.learn(wake);
        }
    }

    /// What became of [`Effect::Wake`].
    pub(super) fn wake_kept(
        &mut self,
        now: Now,
        actor: &ActorAddress,
        record: Option<Nonce>,
        outcome: Result<Wake, BoxError>,
    ) {
        if let Ok(wake) = &outcome {
            self.core.agenda.written(wake);
        }
        if let Some(record) = record {
            self.with_slot(now, actor, |core, slot| core.woken(slot, now, record, outcome.err()));
        }
    }
}

impl<T> Core<T> {
    /// Looks at an actor because of its timers.
    fn attend(&mut self, slot: &mut Slot<T>, now: Now, actor: &ActorAddress) {
        if matches!(slot.live, Live::Quarantined(_)) {
            return;
        }
        let busy = self.begin(&mut slot.busy, actor);
        match slot.live {
            Live::Present(_) => self.run_waiting(slot, now),
            _ if busy.load.is_none() && busy.flight.is_none() => self.load(slot, false, Duration::ZERO),
            _ => {}
        }
    }

    /// Runs the timers of a present actor that are due, a bounded number at once; the rest when these are stored.
    pub(super) fn fire_due(&mut self, slot: &mut Slot<T>, now: Now) {
        let (Live::Present(instance), Some(busy)) = (&mut slot.live, &mut slot.busy) else { return };
        if !now.serving || self.leaving.is_some() {
            return;
        }
        let codec = slot.kind.settings().codec;
        for nth in 0..FIRINGS_MAX {
            let timers = instance.timers();
            let Some(due) = timers.due(now.wall) else {
                let outlived = || self.agenda.outlived(&busy.actor, timers.next_due(), now.wall).is_some();
                if nth == 0 && !slot.confirmed && busy.is_quiet() && outlived() {
                    // Nothing to fire: a confirm, so that the wake may be put later.
                    let decided = firing(&busy.actor, Vec::new(), Vec::new(), None);
                    busy.push_decided(decided);
                }
                return;
            };
            if nth == 0 && busy.has_firings() {
                return;
            }
            let known = slot.trouble.as_ref().filter(|trouble| trouble.is(&due));
            let mut tries = known.map_or(0, |trouble| trouble.tries);
            if due.since < self.since && tries == 0 && !due.begun_by.contains(&self.me) {
                if nth > 0 {
                    return;
                }
                if due.begun_by.len() < LIVES_BEGIN_MAX {
                    // It was due before this life was asked to see to it, so it may be what ended the one before: the
                    // history is to say who tries.
                    let begun = vec![instance.begin(&due, self.me)];
                    let decided = firing(&busy.actor, Vec::new(), begun, None);
                    return busy.push_decided(decided);
                }
                let trouble = Trouble::given_up(&due);
                tries = trouble.tries;
                slot.trouble = Some(Box::new(trouble));
                let lost = due.begun_by.len();
                self.timer_given_up(busy.actor.clone(), &due, format!("{lost} lives of nodes ended while they ran it"));
            }
            match instance.fire(&due, tries <= PANIC_RETRIES_MAX, codec, now.wall) {
                Ran::Changed { events, timers, .. } => {
                    slot.trouble = None;
                    let decided = firing(&busy.actor, events, timers, Some(due.since));
                    busy.push_decided(decided);
                }
                // It cannot be run now, nor later.
                Ran::Invalid(reason) => {
                    slot.trouble = Some(Box::new(Trouble::given_up(&due)));
                    self.timer_given_up(busy.actor.clone(), &due, reason);
                }
                Ran::Panicked(reason) | Ran::Spoiled(reason) => {
                    slot.trouble = Some(Box::new(Trouble { tries: tries + 1, ..Trouble::given_up(&due) }));
                    if tries + 1 > PANIC_RETRIES_MAX {
                        self.timer_given_up(busy.actor.clone(), &due, reason.clone());
                    }
                    return self.timer_panicked(slot, now.at, reason);
                }
                Ran::Looked(_) | Ran::Rejected(_) => unreachable!("a timer that is run has fired"),
            }
        }
    }

    /// A timer's command will not be run: it fires without it, and a letter is kept.
    fn timer_given_up(&mut self, actor: ActorAddress, due: &Due, reason: String) {
        self.counts.poisoned += 1;
        self.want(Effect::Letter(Box::new(Letter {
            actor: actor.clone(),
            command: due.command_name.clone().into(),
            id: NOBODYS,
            message: None,
            codec: due.codec,
            payload: Some(due.payload.clone()),
            reason: cut(&format!("reminder {:?}: {reason}", due.name), DeadLetter::REASON_BYTES_MAX).to_owned(),
            maybe_applied: false,
            at: self.wall,
        })));
        self.fact(Fact::TimerGivenUp { actor, timer: due.name.clone(), reason });
    }

    fn timer_panicked(&mut self, slot: &mut Slot<T>, at: Monotonic, reason: String) {
        if let Some(busy) = &slot.busy {
            let actor = busy.actor.clone();
            // Its turn comes again, on a fresh instance.
            self.agenda.look_by(&actor, after(self.wall, RETRY_AFTER));
            self.fact(Fact::Panicked { actor, reason });
        }
        self.count_panic(slot, at, Duration::ZERO);
    }

    /// Sends a sealed record: at once, unless a timer in it needs an earlier wake.
    pub(super) fn send(&mut self, busy: &mut Busy<T>) {
        let Some(flight) = &mut busy.flight else { return };
        flight.wake = earliest(&flight.record).filter(|at| !self.agenda.covers(&busy.actor, *at));
        if flight.wake.is_some() {
            return self.ask_wake(busy, Duration::ZERO);
        }
        let record = flight.record.clone();
        self.append(busy, record, Duration::ZERO);
    }

    fn ask_wake(&mut self, busy: &Busy<T>, wait: Duration) {
        let Some((record, at)) = busy.flight.as_ref().and_then(|flight| Some((&flight.record, flight.wake?))) else {
            return;
        };
        let wake = self.agenda.entries.get(&busy.actor).and_then(|entry| entry.wake);
        let mut known = wake.map(|wake| (wake.revision, wake.at));
        if record.prev_sequence.0 == 0 {
            // An actor without history has most likely never had a wake.
            known = known.or(Some((Revision::ZERO, None)));
        }
        let (actor, keep) = (busy.actor.clone(), Keep::NoLaterThan { at, known });
        self.want(Effect::Wake { actor, record: Some(record.nonce), keep, wait });
    }

    /// The wake that a record waits for is written, or is not.
    fn woken(&mut self, slot: &mut Slot<T>, now: Now, record: Nonce, fault: Option<BoxError>) {
        let Some(busy) = &mut slot.busy else { return };
        let flight = busy.flight.as_mut().filter(|flight| flight.record.nonce == record && flight.wake.is_some());
        let Some(flight) = flight else { return };
        let Some(fault) = fault else {
            (flight.wake, flight.tries) = (None, 0);
            let record = flight.record.clone();
            return self.append(busy, record, Duration::ZERO);
        };
        flight.tries += 1;
        let tries = flight.tries;
        if let Some(entry) = self.agenda.entries.get_mut(&busy.actor) {
            entry.wake = None;
        }
        if tries < LOAD_TRIES_MAX && self.leaving.is_none() {
            return self.ask_wake(busy, back_off(tries));
        }
        // The record has never been sent, so nothing of it is stored.
        busy.flight = None;
        let answer = match &self.leaving {
            Some(to) => Answer::Moving { to: Some(to.clone()) },
            None => Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false },
        };
        let actor = busy.actor.clone();
        self.agenda.look_by(&actor, after(now.wall, LOOK_AGAIN_AFTER));
        self.want(Effect::Fact(Fact::NoWake { actor, reason: fault.to_string() }));
        self.abandon_unsealed(&mut slot.live, busy, &answer);
    }

    /// After anything has happened to an actor: when to look at it next, and whether its wake should be put later.
    pub(super) fn note_timers(&mut self, slot: &Slot<T>, actor: &ActorAddress) {
        let instance = match &slot.live {
            // What it was to be looked at for is still open.
            Live::Absent => return,
            Live::Quarantined(_) => return self.agenda.forget(actor),
            Live::Present(instance) => instance,
        };
        let due = instance.timers().next_due();
        if due.is_none() && !self.agenda.entries.contains_key(actor) {
            return;
        }
        let Some(busy) = &slot.busy else {
            let confirmed = slot.confirmed && slot.under == self.epoch && self.leaving.is_none();
            let outlived = if confirmed { self.agenda.outlived(actor, due, self.wall) } else { None };
            if let (Some(expected), Some(entry)) = (outlived, self.agenda.entries.get_mut(actor)) {
                // Until it is known what became of this, no record relies on any wake.
                entry.wake = None;
                let keep = Keep::Exactly { at: due, expected };
                self.want(Effect::Wake { actor: actor.clone(), record: None, keep, wait: Duration::ZERO });
            }
            return self.agenda.idle(actor, due, self.wall);
        };
        // What has been decided may not be stored in the end: until then it is only ever looked at earlier.
        let again = busy.has_firings().then(|| after(self.wall, LOOK_AGAIN_AFTER));
        if let Some(look) = again.or(due) {
            self.agenda.look_by(actor, look);
        }
    }

    /// Says so if some timer of an actor just loaded cannot fire here.
    pub(super) fn note_unknown_timers(&mut self, slot: &Slot<T>) {
        let (Some(busy), Live::Present(instance)) = (&slot.busy, &slot.live) else { return };
        if let Some((timer, command)) = instance.timers().unknown().next() {
            let (timer, command) = (timer.to_owned(), command.to_owned());
            self.want(Effect::Fact(Fact::TimerUnknown { actor: busy.actor.clone(), timer, command }));
        }
    }

    /// A firing, or a confirm, is stored.
    pub(super) fn fired(&mut self, since: Option<WallTime>) {
        let Some(since) = since else { return };
        self.counts.fired += 1;
        self.counts.late_millis += self.wall.unix_millis.saturating_sub(since.unix_millis);
    }
}

/// A timer whose command makes its actor panic, or cannot be run.
#[derive(Debug)]
pub(super) struct Trouble {
    name: String,
    since: WallTime,
    tries: u8,
}

impl Trouble {
    fn given_up(due: &Due) -> Self {
        Self { name: due.name.clone(), since: due.since, tries: u8::MAX }
    }

    /// The first timer that fires in that record: it is to fire without its command.
    pub(super) fn of_refused(record: &CommitRecord, since: Option<WallTime>) -> Option<Self> {
        let fired = record.timers.iter().find_map(|change| match change {
            TimerChange::Fired { name, .. } => Some(name.clone()),
            _ => None,
        });
        Some(Self { name: fired?, since: since?, tries: u8::MAX })
    }

    fn is(&self, due: &Due) -> bool {
        (self.since, &self.name) == (due.since, &due.name)
    }
}

fn firing<T>(
    actor: &ActorAddress,
    events: Vec<EventRecord>,
    timers: Vec<TimerChange>,
    since: Option<WallTime>,
) -> Decided<T> {
    let event_bytes = events.iter().map(|event| event.payload.len()).sum::<usize>() + timer_bytes(&timers);
    let what = What::Fired { events, timers, since };
    Decided { asked: Asked::by_nobody(actor.clone()), what, event_bytes, state: None }
}

/// The bytes of what these changes hold.
pub(super) fn timer_bytes(timers: &[TimerChange]) -> usize {
    let bytes = |change: &TimerChange| match change {
        TimerChange::Set(timer) => timer.name.len() + timer.command.len() + timer.payload.len(),
        TimerChange::Cancelled { name } | TimerChange::Fired { name, .. } => name.len(),
    };
    timers.iter().map(bytes).sum()
}

/// When the first timer is due that this record sets.
fn earliest(record: &CommitRecord) -> Option<WallTime> {
    let due = |change: &TimerChange| match change {
        TimerChange::Set(timer) => Some(timer.due),
        TimerChange::Fired { next, .. } => *next,
        TimerChange::Cancelled { .. } => None,
    };
    record.timers.iter().filter_map(due).min()
}

fn after(time: WallTime, by: Duration) -> WallTime {
    WallTime { unix_millis: time.unix_millis.saturating_add(by.as_millis() as u64) }
}

//! What a shard holds of one actor.
//!
//! A slot is in one of five states, told by its parts:
//!
//! | state | `live` | `busy` |
//! |---|---|---|
//! | Ready | present | none |
//! | Loading | absent | a load under way, commands waiting |
//! | Committing | present, or absent if spoiled meanwhile | a flight |
//! | Unknown | as Committing | a flight in doubt |
//! | Quarantined | set aside | none |
//!
//! Absent without `busy` is an actor that failed to load; the next command tries again.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::{ReadMode, Traced};
use aether_domain::records::{CommitRecord, EventRecord, PayloadCodec, Position, TimerChange};
use aether_domain::{ActorAddress, CommandId, Epoch, Monotonic, Sequence, Slot as HashSlot, WallTime};
use bytes::Bytes;

use super::bounds::{COMMAND_BYTES, ORIGINS_NOTED_MAX, PANIC_WINDOW};
use super::remembered::Remembered;
use super::snapshots::{Growth, Part};
use super::timers::{NOBODYS, Trouble};
use crate::actor::{Instance, Kept, Kind, Ran};
use crate::message::{Outcome, Payload, Work};

/// What a shard holds of one actor.
pub(super) struct Slot<T> {
    pub(super) kind: Arc<dyn Kind>,
    pub(super) live: Live,
    /// The last record known from an acknowledgement or a load.
    pub(super) tail: Position,
    /// The epoch the instance was loaded or last confirmed under.
    pub(super) under: Epoch,
    /// Whether a compare-and-set of this very instance has succeeded under `under`.
    pub(super) confirmed: bool,
    pub(super) touched: Monotonic,
    pub(super) remembered: Remembered,
    /// Since the last snapshot.
    pub(super) growth: Growth,
    pub(super) busy: Option<Box<Busy<T>>>,
    /// When it panicked lately; at most [`super::bounds::PANICS_MAX`].
    pub(super) panics: Vec<Monotonic>,
    /// The timer whose command made it panic last.
    pub(super) trouble: Option<Box<Trouble>>,
    /// Where in the hash space its actor is, so that its address is known.
    pub(super) hashed: HashSlot,
    /// What it was last counted with among the residents.
    pub(super) bytes: u32,
    /// Whether it is among those that rest and may be packed.
    pub(super) resting: bool,
    /// Whether it came from another node and nothing has proved it yet.
    pub(super) warm: bool,
}

/// The actor itself.
pub(super) enum Live {
    Absent,
    Present(Box<dyn Instance>),
    Quarantined(Box<str>),
}

/// Queues with more room than this together are not kept for another actor.
const ROOM_KEPT: usize = 4;

/// What is under way for one actor.
pub(super) struct Busy<T> {
    pub(super) actor: ActorAddress,
    /// The load under way.
    pub(super) load: Option<Loading>,
    /// The record under way.
    pub(super) flight: Option<Flight>,
    /// Whom the next record waits for.
    pub(super) gathering: Option<Gathering>,
    /// What has been run on the speculative state, in order. The first [`Flight::covers`] end with the flight.
    pub(super) decided: VecDeque<Decided<T>>,
    /// What has not been run. Empty while there is an instance.
    pub(super) waiting: VecDeque<Asked<T>>,
    /// How many of the decided are firings of timers.
    firings: usize,
    /// The newest command of each origin that has been in the queues, of the first [`ORIGINS_NOTED_MAX`] origins.
    newest: Vec<CommandId>,
    /// Both queues, repeats included.
    held: Held,
    /// Conflicts since the last success.
    pub(super) conflicts: u32,
    /// Failed loads since the last success.
    pub(super) load_tries: u32,
}

/// A read of the history under way.
pub(super) struct Loading {
    pub(super) ticket: u64,
    /// What is read. Only a history that is read as fresh as the store can convicts an actor.
    pub(super) part: Part,
}

/// A record that is not sealed yet, because those that the last one answered are likely to ask again within this turn of
/// the executor: without it the first of them would have a record of its own, and the others a round trip to wait.
pub(super) struct Gathering {
    /// Names the end of the turn.
    pub(super) ticket: u64,
    /// With so many decided there is nobody left to wait for.
    pub(super) expected: usize,
}

/// A record under way.
pub(super) struct Flight {
    pub(super) record: Arc<CommitRecord>,
    pub(super) after: Sequence,
    /// How many of the decided end with it.
    pub(super) covers: usize,
    /// How often its outcome was not clear.
    pub(super) tries: u32,
    /// The state it leads to, if that is to be kept.
    pub(super) state: Option<Kept>,
    /// The wake that has to be written before it is sent.
    pub(super) wake: Option<WallTime>,
    /// What traces the first of its commands that is traced.
    pub(super) trace: Traced,
}

/// A command that somebody waits for.
pub(super) struct Asked<T> {
    /// Apart, because whoever waits is moved about, from queue to queue.
    pub(super) work: Box<Work>,
    /// Its place in the kind's list.
    pub(super) command: u8,
    /// Who waits; nobody once it has expired.
    pub(super) to: Option<T>,
    /// How often it has panicked.
    pub(super) panics: u8,
    /// The same command again, from other attempts.
    pub(super) echoes: Vec<Asked<T>>,
}

/// A command that has been run.
pub(super) struct Decided<T> {
    pub(super) asked: Asked<T>,
    pub(super) what: What,
    /// The bytes of its events and stored reply, wherever they are now.
    pub(super) event_bytes: usize,
    /// The state after it, if the record it is in is to end with it.
    pub(super) state: Option<Kept>,
}

/// What running it came to.
pub(super) enum What {
    /// Events and timers. They move into the record when it is sealed.
    Change { events: Vec<EventRecord>, timers: Vec<TimerChange>, stored: Bytes, reply: Payload },
    /// What a timer's firing came to; it had been due since then. Of none: it only confirms.
    Fired { events: Vec<EventRecord>, timers: Vec<TimerChange>, since: Option<WallTime> },
    /// A reply or rejection that changes nothing.
    Look(Outcome),
}

impl<T> Slot<T> {
    pub(super) fn new(kind: Arc<dyn Kind>, hash_slot: HashSlot, touched: Monotonic) -> Self {
        Self {
            kind,
            hashed: hash_slot,
            live: Live::Absent,
            tail: Position::default(),
            under: Epoch::ZERO,
            confirmed: false,
            touched,
            remembered: Remembered::default(),
            growth: Growth::default(),
            busy: None,
            panics: Vec::new(),
            trouble: None,
            bytes: 0,
            resting: false,
            warm: false,
        }
    }

    /// Whether a new slot would do as well.
    pub(super) fn knows_nothing(&self) -> bool {
        matches!(self.live, Live::Absent)
            && self.busy.is_none()
            && self.tail.sequence == Sequence::ZERO
            && self.panics.is_empty()
    }

    pub(super) fn forget_old_panics(&mut self, now: Monotonic) {
        self.panics.retain(|panic| now.since(*panic) < PANIC_WINDOW);
    }

    /// How much waits for it.
    pub(super) fn held(&self) -> Held {
        self.busy.as_ref().map_or_else(Held::default, |busy| busy.held())
    }

    /// Whether an answer that changes nothing needs a compare-and-set first.
    pub(super) fn must_confirm(&self, mode: ReadMode, epoch: Epoch) -> bool {
        must_confirm(mode, self.confirmed, self.under == epoch)
    }
}

/// Whether an answer that changes nothing needs a compare-and-set first, of an instance that has been confirmed or not, and
/// that was loaded or confirmed under the shard's present epoch or not.
pub(super) fn must_confirm(mode: ReadMode, confirmed: bool, present: bool) -> bool {
    match mode {
        _ if is_on(Mutant::ReadsUnconfirmed) => false,
        ReadMode::Strict => !confirmed || !present,
        ReadMode::Leased => !present,
        ReadMode::Log => true,
    }
}

/// How fresh what running a command came to must be. A rejection decides something, as a commit does: it takes a
/// compare-and-set of its own, so that nobody is turned away for a reason that is gone, whatever clocks do.
pub(super) fn freshness(mode: ReadMode, ran: &Ran) -> ReadMode {
    match ran {
        Ran::Rejected(_) if mode == ReadMode::Strict => ReadMode::Log,
        _ => mode,
    }
}

impl<T> Busy<T> {
    pub(super) fn new(actor: ActorAddress) -> Self {
        Self {
            actor,
            load: None,
            flight: None,
            gathering: None,
            decided: VecDeque::new(),
            waiting: VecDeque::new(),
            firings: 0,
            newest: Vec::new(),
            held: Held::default(),
            conflicts: 0,
            load_tries: 0,
        }
    }

    /// The same for another actor, once nothing is under way any more.
    pub(super) fn again(mut self: Box<Self>, actor: ActorAddress) -> Box<Self> {
        let Self { decided, waiting, newest, .. } = &mut *self;
        newest.clear();
        let (decided, waiting, newest) = (mem::take(decided), mem::take(waiting), mem::take(newest));
        *self = Self { decided, waiting, newest, ..Self::new(actor) };
        self
    }

    /// Whether it has no more room than one or a few commands take.
    pub(super) fn is_small(&self) -> bool {
        self.decided.capacity() + self.waiting.capacity() <= ROOM_KEPT
    }

    /// Whether nothing is under way any more.
    pub(super) fn is_over(&self) -> bool {
        self.load.is_none()
            && self.flight.is_none()
            && self.gathering.is_none()
            && self.decided.is_empty()
            && self.waiting.is_empty()
    }

    /// Whether neither commands nor firings wait for a record.
    pub(super) fn is_quiet(&self) -> bool {
        self.decided.is_empty() && self.waiting.is_empty()
    }

    /// Whether a timer's firing waits for its record's outcome.
    pub(super) fn has_firings(&self) -> bool {
        self.firings > 0
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn push_decided(&mut self, decided: Decided<T>) {
        self.held += decided.held();
        if decided.is_firing() {
            self.firings += 1;
        } else {
            self.note(decided.asked.work.id);
        }
        push(&mut self.decided, decided);
    }
    pub(super) fn pop_decided(&mut self) -> Option<Decided<T>> {
        let decided = self.decided.pop_front()?;
        self.held -= decided.held();
        self.firings -= usize::from(decided.is_firing());
        Some(decided)
    }
    pub(super) fn push_waiting(&mut self, asked: Asked<T>) {
        self.held += asked.held();
        self.note(asked.work.id);
        push(&mut self.waiting, asked);
    }
    pub(super) fn push_waiting_first(&mut self, asked: Asked<T>) {
        self.held += asked.held();
        self.note(asked.work.id);
        self.waiting.push_front(asked);
    }
    pub(super) fn pop_waiting(&mut self) -> Option<Asked<T>> {
        let asked = self.waiting.pop_front()?;
        self.held -= asked.held();
        Some(asked)
    }

    /// Lets everything decided that is in no record wait to be run again, before what waits already. `live` had run it:
    /// where that has changed it, it is discarded.
    pub(super) fn undecide(&mut self, live: &mut Live) {
        self.gathering = None;
        let keep = self.flight.as_ref().map_or(0, |flight| flight.covers);
        while self.decided.len() > keep {
            if let Some(decided) = self.decided.pop_back() {
                if matches!((&decided.what, &live), (What::Change { .. } | What::Fired { .. }, Live::Present(_))) {
                    *live = Live::Absent;
                }
                self.held -= decided.held();
                // A firing is not run again: the history says whether it is still due.
                if decided.is_firing() {
                    self.firings -= 1;
                } else {
                    self.held += decided.asked.held();
                    self.waiting.push_front(decided.asked);
                }
            }
        }
    }

    fn note(&mut self, id: CommandId) {
        if let Some(newest) = self.newest.iter_mut().find(|newest| newest.origin == id.origin) {
            newest.sequence = newest.sequence.max(id.sequence);
        } else if self.newest.len() < ORIGINS_NOTED_MAX {
            self.newest.push(id);
        }
    }

    /// Whether a command is certainly not in the queues, which spares looking through them: nearly all are new.
    fn is_new(&self, id: CommandId) -> bool {
        match self.newest.iter().find(|newest| newest.origin == id.origin) {
            Some(newest) => newest.sequence < id.sequence,
            None => self.newest.len() < ORIGINS_NOTED_MAX,
        }
    }

    /// The same command, if it is here already.
    pub(super) fn find(&mut self, work: &Work) -> Option<&mut Asked<T>> {
        if work.message.is_none() && self.is_new(work.id) {
            return None;
        }
        let asked = |decided: &&mut Decided<T>| !decided.is_firing();
        let decided = self.decided.iter_mut().filter(asked).map(|decided| &mut decided.asked);
        decided
            .chain(&mut self.waiting)
            .find(|asked| asked.work.id == work.id || (work.message.is_some() && asked.work.message == work.message))
    }

    /// Lets a repeat wait for the command found by [`Self::find`]; gives back what is none.
    pub(super) fn echo(&mut self, asked: Asked<T>) -> Option<Asked<T>> {
        let held = asked.held();
        let Some(same) = self.find(&asked.work) else { return Some(asked) };
        same.echoes.push(asked);
        self.held += held;
        None
    }

    /// Takes out everybody whose time is up, each with whether the command may yet be stored.
    pub(super) fn expire(&mut self, now: Monotonic) -> Vec<(T, bool)> {
        let mut expired = Vec::new();
        for decided in &mut self.decided {
            let changes = matches!(decided.what, What::Change { .. });
            decided.asked.expire(now, changes, &mut self.held, &mut expired);
        }
        for asked in &mut self.waiting {
            asked.expire(now, false, &mut self.held, &mut expired);
        }
        while self.waiting.front().is_some_and(Asked::is_forsaken) {
            self.pop_waiting();
        }
        expired
    }
}

/// Adds an item. Most queues only ever hold one, which then takes no more memory than it needs: four would be too large for
/// what allocators are quick with.
fn push<I>(queue: &mut VecDeque<I>, item: I) {
    if queue.capacity() == 0 {
        queue.reserve_exact(1);
    }
    queue.push_back(item);
}

impl<T> Asked<T> {
    pub(super) fn new(work: Work, command: u8, to: T) -> Self {
        Self { work: Box::new(work), command, to: Some(to), panics: 0, echoes: Vec::new() }
    }

    /// What stands in place of a command where a timer fires.
    pub(super) fn by_nobody(actor: ActorAddress) -> Self {
        let work = Work {
            trace: None,
            id: NOBODYS,
            floor: 0,
            actor,
            command: "".into(),
            payload: Payload::Encoded(PayloadCodec::Json, Bytes::new()),
            message: None,
            mode: ReadMode::Strict,
            deadline: Monotonic::from_start(std::time::Duration::MAX),
            attempt: 1,
        };
        Self { work: Box::new(work), command: 0, to: None, panics: 0, echoes: Vec::new() }
    }

    /// Whether nobody waits for it.
    pub(super) fn is_forsaken(&self) -> bool {
        self.to.is_none() && self.echoes.is_empty()
    }

    fn held(&self) -> Held {
        let bytes = self.work.payload.bytes();
        self.echoes.iter().fold(Held { commands: 1, bytes }, |sum, echo| sum + echo.held())
    }

    fn expire(&mut self, now: Monotonic, changes: bool, held: &mut Held, expired: &mut Vec<(T, bool)>) {
        if self.work.deadline <= now
            && let Some(to) = self.to.take()
        {
            expired.push((to, changes || self.work.attempt > 1));
        }
        if self.echoes.iter().any(|echo| echo.work.deadline <= now) {
            for mut echo in mem::take(&mut self.echoes) {
                if echo.work.deadline <= now {
                    *held -= echo.held();
                    expired.extend(echo.to.take().map(|to| (to, true)));
                } else {
                    self.echoes.push(echo);
                }
            }
        }
    }
}

impl<T> Decided<T> {
    /// How many events of it are in no record yet.
    pub(super) fn events(&self) -> u64 {
        match &self.what {
            What::Change { events, .. } | What::Fired { events, .. } => events.len() as u64,
            What::Look(_) => 0,
        }
    }

    /// Whether it is no command, but a timer's firing.
    fn is_firing(&self) -> bool {
        matches!(self.what, What::Fired { .. })
    }

    fn held(&self) -> Held {
        let bytes = self.event_bytes;
        self.asked.held() + Held { commands: 0, bytes }
    }
}

impl Held {
    /// What it takes in memory, by estimate.
    pub(super) fn weight(self) -> usize {
        self.bytes + self.commands * COMMAND_BYTES
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) commands: usize,
    pub(super) bytes: usize,
}

impl std::ops::Add for Held {
    type Output = Self;
    fn add(self, more: Self) -> Self {
        Self { commands: self.commands + more.commands, bytes: self.bytes + more.bytes }
    }
}
impl std::ops::AddAssign for Held {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}
impl std::ops::SubAssign for Held {
    fn sub_assign(&mut self, less: Self) {
        *self = Self { commands: self.commands - less.commands, bytes: self.bytes - less.bytes };
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::{ActorId, ActorKey, ActorKind, Incarnation};
    use proptest::prelude::*;

    use super::*;

    fn asked(origin: u64, sequence: u64) -> Asked<()> {
        let key = ActorKey { kind: ActorKind::new("k").expect("valid"), id: ActorId::new("1").expect("valid") };
        let mut asked = Asked::by_nobody(ActorAddress { key, slot: HashSlot(0) });
        asked.work.id = CommandId { origin: Incarnation(origin), sequence };
        asked
    }

    #[test]
    fn what_is_used_again_for_another_actor_knows_nothing_of_the_one_before() {
        let mut busy = Box::new(Busy::new(asked(0, 0).work.actor));
        // As much as can be left behind when nothing is under way any more.
        busy.push_waiting(asked(1, 9));
        busy.pop_waiting();
        busy.push_decided(Decided {
            asked: asked(2, 9),
            what: What::Fired { events: Vec::new(), timers: Vec::new(), since: None },
            event_bytes: 7,
            state: None,
        });
        busy.pop_decided();
        (busy.conflicts, busy.load_tries) = (3, 2);
        assert!(busy.is_over() && busy.is_small());
        let mut other = asked(0, 0).work.actor;
        other.key.id = ActorId::new("2").expect("valid");
        let (again, new) = (busy.again(other.clone()), Busy::<()>::new(other));
        let known = |busy: &Busy<()>| {
            let Busy { actor, load, flight, gathering, decided, waiting, firings, newest, held, conflicts, load_tries } =
                busy;
            let queues = (decided.len(), waiting.len(), *firings, newest.len(), *held);
            (actor.clone(), load.is_some(), flight.is_some(), gathering.is_some(), queues, *conflicts, *load_tries)
        };
        assert_eq!(known(&again), known(&new));
    }

    proptest! {
        #[test]
        fn a_repeat_is_found_in_whatever_order_and_from_however_many_origins_commands_come(
            steps in prop::collection::vec((0..3 * ORIGINS_NOTED_MAX as u64, 0..4u64, any::<bool>()), 1..200),
        ) {
            let mut busy = Busy::new(asked(0, 0).work.actor);
            for (origin, sequence, ends) in steps {
                let new = asked(origin, sequence);
                let known = busy.waiting.iter().any(|asked| asked.work.id == new.work.id);
                prop_assert_eq!(busy.find(&new.work).is_some(), known);
                if !known {
                    busy.push_waiting(new);
                }
                if ends {
                    busy.pop_waiting();
                }
            }
        }
    }
}

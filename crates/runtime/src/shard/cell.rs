//! One shard in its place: taken by whoever comes first, with an inbox for those who come meanwhile.
//!
//! The rule that loses nothing: whoever leaves an input looks for the machine afterwards, and whoever has held the
//! machine looks into the inbox afterwards.

use std::cell::Cell as StdCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use aether_domain::Monotonic;

use super::bounds::{COMMAND_BYTES, INBOX_BYTES_MAX, INBOX_MAX};
use super::input::{Effect, Input, Now};
use super::machine::ShardMachine;
use super::memory::Memory;
use super::reconcile::Standing;
use super::stats::Meters;
use super::watchdog::Running;
use crate::message::Responder;

pub(super) type Machine = ShardMachine<Responder>;

/// Room for more effects than this is not kept.
const EFFECTS_KEPT: usize = 4;

thread_local! {
    /// Room for what a shard wants done, from the last one whose wishes were carried out on this thread.
    static ROOM: StdCell<Vec<Effect<Responder>>> = const { StdCell::new(Vec::new()) };
}

/// Keeps the room of what has been carried out.
pub(super) fn keep_room(room: Vec<Effect<Responder>>) {
    if room.is_empty() && (1..=EFFECTS_KEPT).contains(&room.capacity()) {
        // A thread that ends keeps nothing.
        let _ = ROOM.try_with(|kept| kept.set(room));
    }
}

/// One shard: its machine, and what has come in while somebody was running it.
pub(super) struct Cell {
    machine: Mutex<Machine>,
    inbox: Mutex<Inbox>,
    /// How many are in the inbox; written under its lock.
    left: AtomicUsize,
    /// When one of them was last taken, or the first was left, by the host's clock in nanoseconds; 0 while there is none.
    moved: AtomicU64,
    /// What is run at this moment.
    pub(super) running: Running,
    /// When it has to look at an actor, in milliseconds of the wall clock; the largest number for never.
    pub(super) look: AtomicU64,
    pub(super) meters: Meters,
    /// What the node's shards hold together.
    memory: Arc<Memory>,
}

/// What waits for a shard that is at work.
#[derive(Default)]
struct Inbox {
    inputs: VecDeque<Input<Responder>>,
    /// Of the commands among them.
    bytes: usize,
}

impl Cell {
    pub(super) fn new(machine: Machine, memory: Arc<Memory>) -> Self {
        Self {
            machine: Mutex::new(machine),
            inbox: Mutex::default(),
            left: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            running: Running::default(),
            look: AtomicU64::new(u64::MAX),
            meters: Meters::default(),
            memory,
        }
    }

    /// Holds the machine if nobody does and nothing that came earlier waits.
    pub(super) fn take_turn(&self) -> Option<MutexGuard<'_, Machine>> {
        let machine = try_lock(&self.machine)?;
        (self.left.load(Ordering::Acquire) == 0).then_some(machine)
    }

    /// Leaves `input` for whoever holds the machine; a command only if there is room.
    pub(super) fn leave(&self, now: Now, input: Input<Responder>) -> Result<(), Responder> {
        let bytes = weight(&input);
        let mut inbox = lock(&self.inbox);
        let full = inbox.inputs.len() >= INBOX_MAX || inbox.bytes + bytes > INBOX_BYTES_MAX;
        if inbox.inputs.is_empty() {
            self.moved.store(nanos(now), Ordering::Relaxed);
        }
        match input {
            Input::Command(_, respond) if full || self.memory.is_full() => {
                self.meters.refused_at_inbox();
                return Err(respond);
            }
            // Time need not be told twice to a shard whose handler takes long.
            Input::Tick if matches!(inbox.inputs.back(), Some(Input::Tick)) => {}
            input => inbox.inputs.push_back(input),
        }
        inbox.bytes += bytes;
        self.memory.waits(0, bytes);
        self.left.store(inbox.inputs.len(), Ordering::Release);
        Ok(())
    }

    /// Holds the machine if nobody does.
    pub(super) fn try_hold(&self) -> Option<MutexGuard<'_, Machine>> {
        try_lock(&self.machine)
    }

    /// The oldest input left here.
    pub(super) fn next(&self, now: Now) -> Option<Input<Responder>> {
        let mut inbox = lock(&self.inbox);
        let input = inbox.inputs.pop_front();
        let bytes = input.as_ref().map_or(0, weight);
        inbox.bytes -= bytes;
        self.memory.waits(bytes, 0);
        self.moved.store(if inbox.inputs.is_empty() { 0 } else { nanos(now) }, Ordering::Relaxed);
        self.left.store(inbox.inputs.len(), Ordering::Release);
        input
    }

    /// How long what is left here has waited without any of it being taken.
    pub(super) fn stuck_for(&self, now: Now) -> Duration {
        match self.moved.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            moved => now.at.since(Monotonic::from_start(Duration::from_nanos(moved))),
        }
    }

    /// What the shard is by its own account; nothing while somebody runs it or something is left here.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.take_turn().map(|machine| machine.standing())
    }

    /// Whether something is left here. Between leaving an input and finding the machine held on one side, and giving
    /// the machine back and finding nothing left on the other, the fences let one of the two see the other's work.
    pub(super) fn has_left(&self) -> bool {
        fence(Ordering::SeqCst);
        self.left.load(Ordering::Acquire) > 0
    }

    /// Ends a turn that took so long: lets go of the machine and takes away what it wants done.
    pub(super) fn give_back(&self, mut machine: MutexGuard<'_, Machine>, busy: Duration) -> Vec<Effect<Responder>> {
        self.running.end();
        self.meters.note(machine.take_counts(), busy, machine.resident(), machine.timed());
        let look = machine.next_look().map_or(u64::MAX, |look| look.unix_millis);
        if self.look.load(Ordering::SeqCst) != look {
            self.look.store(look, Ordering::SeqCst);
        }
        machine.take_effects(|| ROOM.try_with(StdCell::take).unwrap_or_default())
    }
}

/// What a command takes in memory, by estimate. What the store answers is bounded by what was asked of it.
fn weight(input: &Input<Responder>) -> usize {
    match input {
        Input::Command(work, _) => work.payload.bytes() + COMMAND_BYTES,
        _ => 0,
    }
}

fn nanos(now: Now) -> u64 {
    u64::try_from(now.at.since_start().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// A lock that a panic elsewhere has not made useless: machines catch what users wrote, and leave nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

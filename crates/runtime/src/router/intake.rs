//! Commands from other nodes between the transport and this node's shards: in order, and never all behind one of them.
//!
//! Whoever has the *turn* brings them to their shards one by one, which may run their handlers. A turn that has been with
//! one command for a whole tick is held up: somebody else gets the turn, and what comes for the same shard waits until
//! the held-up one has ended and runs it, so that no command overtakes another of its sender and actor.
//!
//! It keeps the books only; the inbox runs what it hands out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aether_domain::{Epoch, Monotonic, ShardId};

use super::bounds::{BEHIND_SLOW_MAX, READY_BYTES_MAX, READY_MAX};
use super::parking::{Parking, Received};
use crate::link::Cork;

/// What one node has received and not yet brought to its shards.
#[derive(Default)]
pub(crate) struct Intake {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// What waits for this node to reach its sender's topology.
    pub(crate) parking: Parking,
    /// What may be run, oldest first.
    ready: VecDeque<Received>,
    /// Of the commands that are ready or behind a slow one.
    bytes: usize,
    turn: Option<Turn>,
    /// How many turns there were.
    turns: u64,
    /// How many commands were handed out, now and when [`Intake::held_up`] last looked.
    steps: u64,
    looked_at: u64,
    /// The shards of turns that were held up, with what has come for them since.
    slow: BTreeMap<ShardId, VecDeque<Received>>,
}

struct Turn {
    id: u64,
    /// The shard of the command that was handed out last.
    at: Option<ShardId>,
    /// What is answered during the turn leaves together, unless the turn is held up.
    cork: Option<Cork>,
}

/// The right to bring commands to their shards, until none is left.
pub(crate) struct TurnId(u64);

impl Intake {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of users runs under it, and nothing is left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn, if nobody has it and there is something to do. Lets go of the cork if there is none.
    pub(crate) fn begin(&self, cork: Option<Cork>) -> Option<TurnId> {
        let mut state = self.lock();
        if state.turn.is_some() || state.ready.is_empty() {
            drop(state);
            drop(cork);
            return None;
        }
        Some(state.new_turn(cork))
    }

    /// The next command for whoever has that turn, and its shard; `last` is the shard of the one before, which has been
    /// brought there. What is too much is put into `refused`. None: the turn is over.
    pub(crate) fn next(
        &self,
        turn: &TurnId,
        last: Option<ShardId>,
        shard_of: impl Fn(&Received) -> ShardId,
        refused: &mut Vec<Received>,
    ) -> Option<(ShardId, Received)> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(own) = state.turn.as_mut().filter(|own| own.id == turn.0) else {
            // It was held up at `last`, and has ended: what has come for that shard since is its to run.
            let shard = last?;
            let next = state.slow.get_mut(&shard).and_then(VecDeque::pop_front);
            if next.is_none() {
                state.slow.remove(&shard);
            }
            state.bytes -= next.as_ref().map_or(0, bytes);
            return next.map(|received| (shard, received));
        };
        while let Some(received) = state.ready.pop_front() {
            let shard = shard_of(&received);
            let Some(behind) = state.slow.get_mut(&shard) else {
                state.bytes -= bytes(&received);
                own.at = Some(shard);
                state.steps += 1;
                return Some((shard, received));
            };
            if behind.len() < BEHIND_SLOW_MAX {
                behind.push_back(received);
            } else {
                state.bytes -= bytes(&received);
                refused.push(received);
            }
        }
        let over = state.turn.take();
        drop(guard);
        // Sends what was answered meanwhile.
        drop(over);
        None
    }

    /// Called every tick: the turn for somebody else, if it is held up or was left with something to do.
    pub(crate) fn held_up(&self) -> Option<TurnId> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let same = state.looked_at == state.steps;
        state.looked_at = state.steps;
        let held = match &mut state.turn {
            Some(turn) if same => turn.at.map(|shard| (shard, turn.cork.take())),
            Some(_) => return None,
            None if state.ready.is_empty() => return None,
            None => return Some(state.new_turn(None)),
        };
        let (shard, cork) = held?;
        state.slow.insert(shard, VecDeque::new());
        let turn = state.new_turn(None);
        drop(guard);
        drop(cork);
        Some(turn)
    }

    /// Whoever had that turn will not come back from the command for `last`.
    pub(crate) fn give_up(&self, turn: &TurnId, last: Option<ShardId>) {
        let mut state = self.lock();
        let own = state.turn.take_if(|own| own.id == turn.0);
        if own.is_none()
            && let Some(mut behind) = last.and_then(|shard| state.slow.remove(&shard))
        {
            behind.append(&mut state.ready);
            state.ready = behind;
        }
        drop(state);
        drop(own);
    }

    /// Whether there is anything that needs a tick.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.parking.is_empty() && state.turn.is_none() && state.ready.is_empty() && state.slow.is_empty()
    }
}

fn bytes(received: &Received) -> usize {
    received.ask.request.payload.len()
}

impl State {
    fn new_turn(&mut self, cork: Option<Cork>) -> TurnId {
        self.turns += 1;
        self.turn = Some(Turn { id: self.turns, at: None, cork });
        TurnId(self.turns)
    }

    /// Adds what may be run behind everything else; gives it back if there is too much.
    pub(crate) fn add(&mut self, received: Received) -> Result<(), Box<Received>> {
        let more = bytes(&received);
        if self.ready.len() >= READY_MAX || self.bytes + more > READY_BYTES_MAX {
            return Err(received.into());
        }
        self.bytes += more;
        self.ready.push_back(received);
        Ok(())
    }

    /// What has waited for this epoch, in order.
    pub(crate) fn reached(&mut self, epoch: Epoch) -> Vec<Received> {
        if self.parking.is_empty() { Vec::new() } else { self.parking.reached(epoch) }
    }

    /// What has waited for its epoch long enough.
    pub(crate) fn overdue(&mut self, now: Monotonic) -> Vec<Received> {
        if self.parking.is_empty() { Vec::new() } else { self.parking.overdue(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parking::tests::received;
    use super::*;

    fn with(slots: &[(u16, u64)]) -> Intake {
        let intake = Intake::default();
        add(&intake, slots);
        intake
    }

    /// Commands for a slot, each with a number.
    fn add(intake: &Intake, slots: &[(u16, u64)]) {
        for (slot, number) in slots {
            let mut received = received("a", 5, 1);
            received.ask.id.sequence = *number;
            std::sync::Arc::make_mut(&mut received.ask.request).actor.slot = aether_domain::Slot(*slot);
            intake.lock().add(received).expect("there is room");
        }
    }

    fn next(intake: &Intake, turn: &TurnId, last: Option<u16>) -> Option<(u16, u64)> {
        let mut refused = Vec::new();
        let shard_of = |received: &Received| ShardId(received.ask.request.actor.slot.0);
        let next = intake.next(turn, last.map(ShardId), shard_of, &mut refused);
        assert!(refused.is_empty());
        next.map(|(shard, received)| (shard.0, received.ask.id.sequence))
    }

    #[test]
    fn commands_are_handed_out_in_order_to_one_at_a_time() {
        let intake = with(&[(1, 1), (2, 2), (1, 3)]);
        let turn = intake.begin(None).expect("nobody has it");
        assert_eq!(next(&intake, &turn, None), Some((1, 1)));
        assert!(intake.begin(None).is_none(), "somebody has it");
        assert_eq!(next(&intake, &turn, Some(1)), Some((2, 2)));
        assert_eq!(next(&intake, &turn, Some(2)), Some((1, 3)));
        assert_eq!(next(&intake, &turn, Some(1)), None);
        assert!(intake.is_idle() && intake.begin(None).is_none());
    }

    #[test]
    fn a_held_up_command_delays_its_shard_mates_only() {
        let intake = with(&[(1, 1), (2, 2), (1, 3)]);
        let slow = intake.begin(None).expect("nobody has it");
        assert_eq!(next(&intake, &slow, None), Some((1, 1)));
        assert!(intake.held_up().is_none(), "there was progress since the last look");
        let quick = intake.held_up().expect("there was none");
        assert_eq!(next(&intake, &quick, None), Some((2, 2)));
        assert_eq!(next(&intake, &quick, Some(2)), None, "the third waits behind the first");
        add(&intake, &[(1, 4), (3, 5)]);
        let quick = intake.begin(None).expect("nobody has it");
        assert_eq!(next(&intake, &quick, None), Some((3, 5)));
        assert_eq!(next(&intake, &slow, Some(1)), Some((1, 3)), "the first has ended");
        assert_eq!(next(&intake, &slow, Some(1)), Some((1, 4)));
        assert_eq!(next(&intake, &slow, Some(1)), None);
        assert_eq!(next(&intake, &quick, Some(3)), None);
        add(&intake, &[(1, 6)]);
        let turn = intake.begin(None).expect("nobody has it");
        assert_eq!(next(&intake, &turn, None), Some((1, 6)), "the shard is free again");
    }

    #[test]
    fn whoever_does_not_come_back_leaves_nothing_behind() {
        let intake = with(&[(1, 1), (1, 2), (2, 3)]);
        let lost = intake.begin(None).expect("nobody has it");
        assert_eq!(next(&intake, &lost, None), Some((1, 1)));
        intake.give_up(&lost, Some(ShardId(1)));
        let turn = intake.held_up().expect("it was left with something to do");
        assert_eq!(next(&intake, &turn, None), Some((1, 2)));
        assert!(intake.held_up().is_none());
        let quick = intake.held_up().expect("there was no progress");
        add(&intake, &[(1, 4)]);
        assert_eq!(next(&intake, &quick, None), Some((2, 3)));
        assert_eq!(next(&intake, &quick, Some(2)), None);
        intake.give_up(&turn, Some(ShardId(1)));
        let turn = intake.held_up().expect("it was left with something to do");
        assert_eq!(next(&intake, &turn, None), Some((1, 4)));
        assert_eq!(next(&intake, &turn, Some(1)), None);
        assert!(intake.is_idle());
    }

    #[test]
    fn what_waits_behind_a_slow_command_is_bounded() {
        let intake = with(&[(1, 0)]);
        let slow = intake.begin(None).expect("nobody has it");
        assert_eq!(next(&intake, &slow, None), Some((1, 0)));
        assert!(intake.held_up().is_none());
        let quick = intake.held_up().expect("there was no progress");
        for nth in 0..=BEHIND_SLOW_MAX as u64 {
            add(&intake, &[(1, nth)]);
        }
        let mut refused = Vec::new();
        assert!(intake.next(&quick, None, |_| ShardId(1), &mut refused).is_none());
        assert_eq!(refused.len(), 1);
        for nth in 0..READY_MAX as u64 {
            add(&intake, &[(2, nth)]);
        }
        assert!(intake.lock().add(received("a", 5, 1)).is_err());
    }

    #[test]
    fn what_waits_for_its_turn_is_bounded_in_bytes_wherever_it_waits() {
        let intake = Intake::default();
        let half = || received("a", 5, READY_BYTES_MAX / 2);
        intake.lock().add(half()).expect("there is room");
        intake.lock().add(half()).expect("there is room");
        assert!(intake.lock().add(received("a", 5, 1)).is_err());
        let turn = intake.begin(None).expect("nobody has it");
        let shard_of = |received: &Received| ShardId(received.ask.request.actor.slot.0);
        let first = intake.next(&turn, None, shard_of, &mut Vec::new());
        assert!(first.is_some());
        intake.lock().add(half()).expect("there is room again");
        assert!(intake.lock().add(received("a", 5, 1)).is_err());
        while intake.next(&turn, Some(ShardId(0)), shard_of, &mut Vec::new()).is_some() {}
        assert_eq!(intake.lock().bytes, 0);
    }
}

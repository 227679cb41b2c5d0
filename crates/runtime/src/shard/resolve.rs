//! What became of a record or a load, and what follows.
//!
//! A record's outcome is known in two cases only: the store says it is there, or another record stands where it would
//! have to be. Until then the same record is sent again with the same expectation, and its actor waits.

use std::time::Duration;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::{Answer, AppendError, ReadError};
use aether_domain::records::{Position, StoredCommit};
use aether_domain::{Epoch, Nonce, Sequence};

use super::bounds::{LOAD_TRIES_MAX, RETRY_AFTER, back_off};
use super::core::Core;
use super::history::{Refused, Replayed, replay};
use super::input::{Effect, Fact, Found, Now};
use super::slot::{Decided, Flight, Live, Loading, Slot, What};
use super::timers::Trouble;

impl<T> Core<T> {
    /// The store has answered an append.
    pub(super) fn appended(
        &mut self,
        slot: &mut Slot<T>,
        now: Now,
        nonce: Nonce,
        outcome: Result<Position, AppendError>,
    ) {
        let Some(after) = in_flight(slot, nonce).map(|flight| flight.after) else { return };
        let believed = Position { sequence: after.next(), hash: 0 };
        match outcome {
            Err(AppendError::Conflict { actual: None, .. }) if is_on(Mutant::InFlightSucceeds) => {
                self.stored(slot, believed);
                self.go_on(slot, now);
            }
            Err(AppendError::Unknown { .. }) if is_on(Mutant::LostSucceeds) => {
                self.stored(slot, believed);
                self.go_on(slot, now);
            }
            Err(AppendError::Unknown { .. }) if is_on(Mutant::LostFails) => {
                self.outdated(slot);
                self.go_on(slot, now);
            }
            Ok(at) => {
                self.stored(slot, at);
                self.go_on(slot, now);
            }
            // What it came with is not what the store has.
            Err(AppendError::Conflict { actual: Some(actual), .. }) if actual < after && slot.warm => {
                self.outdated(slot);
                self.go_on(slot, now);
            }
            // The only evidence that convicts: a compare-and-set that contradicts an acknowledgement.
            Err(AppendError::Conflict { actual: Some(actual), .. }) if actual < after => {
                self.condemn(slot, format!("history regressed: it ends at {actual}, {after} was acknowledged"));
            }
            Err(AppendError::Conflict { .. }) => self.look(slot, Duration::ZERO),
            Err(AppendError::Unknown { .. }) => {
                let tries = self.tried(slot);
                self.look(slot, back_off(tries));
            }
            Err(AppendError::Unavailable { .. }) => self.send_again(slot),
            Err(AppendError::TooLarge { bytes, bytes_max }) => {
                self.refused(slot, &format!("its record has {bytes} bytes, the bound is {bytes_max}"));
            }
        }
    }

    /// What lies behind the expectation of the record under way.
    pub(super) fn looked(
        &mut self,
        slot: &mut Slot<T>,
        now: Now,
        nonce: Nonce,
        found: Result<Vec<StoredCommit>, ReadError>,
    ) {
        let Some(owner) = in_flight(slot, nonce).map(|flight| flight.record.owner) else { return };
        let commits = match found {
            Ok(commits) => commits,
            Err(ReadError::Unavailable { .. }) => return self.send_again(slot),
            Err(ReadError::Corrupt { sequence, reason }) => {
                return self.condemn(slot, format!("corrupt history at {sequence}: {reason}"));
            }
        };
        if commits.is_empty() {
            // It may still come: only another record in its place rules that out.
            return self.send_again(slot);
        }
        let later = commits
            .iter()
            .map(|commit| commit.record.shard_epoch)
            .find(|epoch| *epoch > self.epoch && !is_on(Mutant::LoadsAnyway));
        let own = commits.iter().find(|commit| commit.record.nonce == nonce && commit.record.owner == owner);
        let outdated = own.is_none() || commits.len() > 1;
        if let Some(own) = own {
            self.stored(slot, own.at);
        }
        if outdated {
            self.outdated(slot);
        }
        if let Some(epoch) = later {
            self.found_later(slot, epoch);
        } else {
            self.go_on(slot, now);
        }
    }

    /// The history has been read.
    pub(super) fn loaded(&mut self, slot: &mut Slot<T>, now: Now, ticket: u64, found: Result<Found, ReadError>) {
        let Some(busy) = &mut slot.busy else { return };
        let Some(Loading { part, .. }) = busy.load.take_if(|loading| loading.ticket == ticket) else { return };
        let fresh = part.fresh;
        let found = match found {
            Ok(found) => found,
            Err(ReadError::Unavailable { cause }) => return self.not_loaded(slot, &cause.to_string()),
            Err(ReadError::Corrupt { .. }) if !fresh => return self.load(slot, true, Duration::ZERO),
            Err(ReadError::Corrupt { sequence, reason }) => {
                return self.quarantine(slot, format!("corrupt history at {sequence}: {reason}"));
            }
        };
        if !fresh && found.snapshot.is_some() && found.commits.is_empty() {
            // Whoever answered does not have the snapshot's own last commit yet.
            return self.load(slot, true, Duration::ZERO);
        }
        match (replay(&*slot.kind, &busy.actor.key.id, self.epoch, &self.lives, slot.tail, &found), found.snapshot) {
            (Ok(Replayed { instance, tail, remembered, growth }), snapshot) => {
                self.memory.activated(slot.kind.name(), growth.parts().0.into());
                self.counts.snapshots_used += u64::from(snapshot.is_some());
                busy.load_tries = 0;
                (slot.live, slot.tail, slot.remembered) = (Live::Present(instance), tail, remembered);
                slot.growth = growth;
                (slot.confirmed, slot.under) = (false, self.epoch);
                self.note_unknown_timers(slot);
                self.run_waiting(slot, now);
            }
            (Err(Refused::Stale(epoch)), _) => self.found_later(slot, epoch),
            (Err(Refused::Short), _) => {
                self.not_loaded(slot, "the store answered an older history than it acknowledged");
            }
            // Only the whole history convicts.
            (Err(Refused::Quarantine(reason) | Refused::Panicked(reason)), Some(snapshot)) => {
                self.without(slot, fresh, &snapshot, reason);
            }
            // One copy of the history may be damaged, or have lost something on its way here.
            (Err(Refused::Quarantine(_)), None) if !fresh => {
                self.load_from(slot, true, Duration::ZERO, Sequence::ZERO);
            }
            (Err(Refused::Quarantine(reason)), None) => self.quarantine(slot, reason),
            (Err(Refused::Panicked(reason)), None) => {
                busy.load_tries += 1;
                let (actor, tries) = (busy.actor.clone(), busy.load_tries);
                self.fact(Fact::Panicked { actor, reason: reason.clone() });
                if tries < LOAD_TRIES_MAX {
                    self.load(slot, false, back_off(tries));
                } else {
                    self.quarantine(slot, format!("its history makes it panic: {reason}"));
                }
            }
        }
    }

    /// After a record's end: on with what waits, unless the actor is not to be run any more.
    fn go_on(&mut self, slot: &mut Slot<T>, now: Now) {
        let Some(busy) = &mut slot.busy else { return };
        if let Some(to) = &self.leaving {
            let to = Some(to.clone());
            return self.abandon_unsealed(&mut slot.live, busy, &Answer::Moving { to });
        }
        match &slot.live {
            Live::Present(_) => self.run_waiting(slot, now),
            Live::Quarantined(reason) => {
                let reason = reason.to_string();
                self.abandon_unsealed(&mut slot.live, busy, &Answer::Quarantined { reason, maybe_applied: false });
            }
            Live::Absent if busy.waiting.is_empty() || busy.load.is_some() => {}
            Live::Absent => {
                // One conflict is a race; a second in a row is somebody who goes on writing.
                let wait = if busy.conflicts > 1 { back_off(busy.conflicts - 1) } else { Duration::ZERO };
                let fresh = busy.conflicts > 0;
                self.load(slot, fresh, wait);
            }
        }
    }

    /// Somebody else has written: nothing this instance has decided since the last stored record holds.
    fn outdated(&mut self, slot: &mut Slot<T>) {
        if matches!(slot.live, Live::Present(_)) {
            slot.live = Live::Absent;
        }
        self.counts.conflicts += 1;
        let Some(busy) = &mut slot.busy else { return };
        busy.flight = None;
        busy.conflicts += 1;
        busy.undecide(&mut slot.live);
        // Whatever is in that record may be due.
        self.agenda.look_by(&busy.actor, self.wall);
        self.want(Effect::Fact(Fact::Conflict { actor: busy.actor.clone() }));
    }

    fn found_later(&mut self, slot: &Slot<T>, epoch: Epoch) {
        self.stale = Some(epoch);
        if let Some(busy) = &slot.busy {
            self.fact(Fact::Stale { actor: busy.actor.clone(), epoch });
        }
    }

    /// The store refuses the record for good.
    fn refused(&mut self, slot: &mut Slot<T>, reason: &str) {
        let Some(busy) = &mut slot.busy else { return };
        let Some(Flight { covers, record, .. }) = busy.flight.take() else { return };
        for _ in 0..covers {
            let Some(Decided { asked, what, .. }) = busy.pop_decided() else { break };
            if let What::Fired { since, .. } = what {
                slot.trouble = Trouble::of_refused(&record, since).map(Box::new).or(slot.trouble.take());
                self.agenda.look_by(&busy.actor, self.wall);
                continue;
            }
            let answer = match what {
                What::Fired { .. } | What::Change { .. } => {
                    Answer::Invalid { reason: reason.to_string(), maybe_applied: false }
                }
                What::Look(_) => Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false },
            };
            self.give_up(asked, &answer);
        }
        busy.undecide(&mut slot.live);
        if matches!(slot.live, Live::Present(_)) {
            slot.live = Live::Absent;
        }
        if !busy.waiting.is_empty() {
            self.load(slot, false, Duration::ZERO);
        }
    }

    fn not_loaded(&mut self, slot: &mut Slot<T>, reason: &str) {
        let Some(busy) = &mut slot.busy else { return };
        busy.load_tries += 1;
        if busy.load_tries < LOAD_TRIES_MAX {
            let wait = back_off(busy.load_tries);
            return self.load(slot, true, wait);
        }
        let unavailable = Answer::Unavailable { retry_after: RETRY_AFTER, maybe_applied: false };
        self.want(Effect::Fact(Fact::NotLoaded { actor: busy.actor.clone(), reason: reason.to_string() }));
        self.abandon_unsealed(&mut slot.live, busy, &unavailable);
    }

    /// Sets an actor aside whose record under way cannot be resolved.
    fn condemn(&mut self, slot: &mut Slot<T>, reason: String) {
        if let Some(busy) = &mut slot.busy {
            self.abandon(&mut slot.live, busy, &Answer::Quarantined { reason: reason.clone(), maybe_applied: false });
        }
        self.quarantine(slot, reason);
    }

    fn tried(&mut self, slot: &mut Slot<T>) -> u32 {
        let Some((busy, flight)) = slot.busy.as_mut().and_then(|busy| Some((&busy.actor, busy.flight.as_mut()?)))
        else {
            return 0;
        };
        flight.tries += 1;
        self.want(Effect::Fact(Fact::Unresolved { actor: busy.clone(), tries: flight.tries }));
        flight.tries
    }

    fn send_again(&mut self, slot: &mut Slot<T>) {
        let tries = self.tried(slot);
        let Some(busy) = &slot.busy else { return };
        if let Some(flight) = &busy.flight {
            self.append(busy, flight.record.clone(), back_off(tries));
        }
    }

    fn look(&mut self, slot: &Slot<T>, wait: Duration) {
        let Some(busy) = &slot.busy else { return };
        if let Some(flight) = &busy.flight {
            let (actor, nonce, after) = (busy.actor.clone(), flight.record.nonce, flight.after);
            self.want(Effect::Look { actor, nonce, after, wait });
        }
    }
}

/// The record with that nonce, if it is under way.
fn in_flight<T>(slot: &Slot<T>, nonce: Nonce) -> Option<&Flight> {
    slot.busy.as_ref()?.flight.as_ref().filter(|flight| flight.record.nonce == nonce)
}

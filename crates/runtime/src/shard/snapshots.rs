//! Snapshots of actors: when one is due, what is in it, and how an actor's history is read from one on.
//!
//! A snapshot is of the state that a stored record leads to, never of one that has run ahead: the state is written when the
//! record is sealed, kept with it, and saved once the record is acknowledged. Nothing waits for it, and one that fails is
//! not tried again: the next due one is.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{EventStore, ReadError, SaveError, SnapshotStore};
use aether_domain::records::{ActorSnapshot, CommitRecord, EventRecord, Position, WarmActor};
use aether_domain::{ActorAddress, Epoch, Sequence, Version};

use super::bounds::{BATCH_BYTES_MAX, IDLE_SAVES_MAX, SAVE_IDLE_PART, SNAPSHOTS_TRIED_MAX};
use super::core::Core;
use super::idle::Idle;
use super::input::{Effect, Fact, Found};
use super::residents::Residents;
use super::slot::{Busy, Decided, Live, Slot, What};
use crate::actor::{Instance, Kept, Settings};

/// What a history has grown by since the last snapshot of it. A record without events counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    events: u32,
    bytes: u32,
}

impl Growth {
    /// What an actor came with.
    pub(super) fn of(warm: &WarmActor) -> Self {
        Self { events: warm.grown_events, bytes: warm.grown_bytes }
    }
    /// The events, and their bytes.
    pub(super) fn parts(self) -> (u32, u32) {
        (self.events, self.bytes)
    }

    /// With what a record has added.
    #[must_use]
    pub(super) fn with(self, record: &CommitRecord) -> Self {
        let bytes = |event: &EventRecord| u32::try_from(event.payload.len()).unwrap_or(u32::MAX);
        Self {
            events: self.events.saturating_add(u32::try_from(record.events.len()).unwrap_or(u32::MAX).max(1)),
            bytes: record.events.iter().map(bytes).fold(self.bytes, u32::saturating_add),
        }
    }

    /// Whether the next record's state is to be kept.
    fn is_due(self, settings: &Settings) -> bool {
        let over = |grown: u32, limit: u32| limit > 0 && grown >= limit;
        over(self.events, settings.snapshot_every) || over(self.bytes, settings.snapshot_bytes)
    }

    /// Whether the state of an actor that leaves is to be kept.
    pub(super) fn is_worth_it(self, settings: &Settings) -> bool {
        let part = |grown: u32| grown.saturating_mul(SAVE_IDLE_PART);
        Self { events: part(self.events), bytes: part(self.bytes) }.is_due(settings)
    }
}

impl<T> Core<T> {
    /// Asks for the history as far as it is known, or as far as there is one.
    pub(super) fn load(&mut self, slot: &mut Slot<T>, fresh: bool, wait: Duration) {
        if std::mem::take(&mut slot.warm) {
            // What nothing has proved is forgotten with its instance.
            slot.tail = Position::default();
        }
        // From a snapshot that lies behind what is known of, nobody could tell whether the history still holds that.
        let known = slot.tail.sequence;
        self.load_from(slot, fresh, wait, if known == Sequence::ZERO { Sequence::MAX } else { known });
    }

    /// A snapshot that will not do is left out, and with it every later one.
    pub(super) fn without(&mut self, slot: &mut Slot<T>, fresh: bool, snapshot: &ActorSnapshot, reason: String) {
        let Some(busy) = &slot.busy else { return };
        let actor = busy.actor.clone();
        self.fact(Fact::SnapshotLeftOut { actor, reason });
        self.load_from(slot, fresh, Duration::ZERO, before(snapshot));
    }

    /// The state after what has just been decided, if the next record should end with it so that it can be kept: where
    /// commands keep coming, the state never is what a record leads to when that is sealed.
    pub(super) fn cut(&mut self, slot: &mut Slot<T>) -> Option<Kept> {
        let settings = slot.kind.settings();
        let (true, Some(busy), Live::Present(instance)) = (slot.growth.is_due(settings), &slot.busy, &slot.live) else {
            return None;
        };
        let covers = busy.flight.as_ref().map_or(0, |flight| flight.covers);
        let kept = busy.flight.as_ref().is_some_and(|flight| flight.state.is_some());
        let (mut commands, mut bytes) = (1, 0);
        for Decided { what, event_bytes, state, .. } in busy.decided.iter().skip(covers) {
            if kept || state.is_some() {
                return None;
            }
            commands += usize::from(!matches!(what, What::Look(_)));
            bytes += event_bytes;
        }
        let full = commands >= CommitRecord::COMMANDS_MAX || bytes >= BATCH_BYTES_MAX / 2;
        full.then(|| self.written(&mut slot.growth, settings, busy, &**instance)).flatten()
    }

    /// The state that `record` leads to, with which `covers` of the decided end, if it is due and the instance has not run
    /// ahead of it.
    pub(super) fn captured(
        &mut self,
        growth: &mut Growth,
        settings: &Settings,
        busy: &Busy<T>,
        instance: &dyn Instance,
        (record, covers): (&CommitRecord, usize),
    ) -> Option<Kept> {
        let due = growth.with(record).is_due(settings)
            && busy.decided.iter().skip(covers).all(|decided| matches!(decided.what, What::Look(_)));
        due.then(|| self.written(growth, settings, busy, instance)).flatten()
    }

    fn written(
        &mut self,
        growth: &mut Growth,
        settings: &Settings,
        busy: &Busy<T>,
        instance: &dyn Instance,
    ) -> Option<Kept> {
        let written = instance.kept(settings.codec, 0);
        written.map_err(|reason| self.not_saved(growth, busy.actor.clone(), reason)).ok()
    }

    fn not_saved(&mut self, growth: &mut Growth, actor: ActorAddress, reason: String) {
        self.counts.snapshots_failed += 1;
        *growth = Growth::default();
        self.fact(Fact::NotSaved { actor, reason });
    }

    /// Keeps the state after the record at `at`, which has just been acknowledged or is the last of an idle actor.
    pub(super) fn save(
        &mut self,
        slot: &mut Slot<T>,
        actor: ActorAddress,
        (at, version, shard_epoch): (Position, Version, Epoch),
        Kept { state, timers }: Kept,
    ) {
        slot.remembered.forget_gone(&self.lives);
        let (origins, messages) = slot.remembered.marks();
        let snapshot = ActorSnapshot {
            at,
            version,
            shard_epoch,
            schema: slot.kind.schema(),
            codec: slot.kind.settings().codec,
            state,
            origins,
            messages,
            timers,
        };
        slot.growth = Growth::default();
        self.want(Effect::Save { actor, snapshot: Arc::new(snapshot) });
    }

    /// Keeps the state of an actor that is about to leave, if that is worth it and not too many have been kept since the
    /// last tick.
    pub(super) fn save_idle(&mut self, actor: &ActorAddress, slot: &mut Slot<T>) {
        let Live::Present(instance) = &slot.live else { return };
        if self.idle_saves == 0 || !is_worth_saving(slot) {
            return;
        }
        self.idle_saves -= 1;
        let last = (slot.tail, instance.version(), slot.under);
        match instance.kept(slot.kind.settings().codec, 0) {
            Ok(kept) => self.save(slot, actor.clone(), last, kept),
            Err(reason) => self.not_saved(&mut slot.growth, actor.clone(), reason),
        }
    }

    /// From here on as many states of idle actors may be kept as the bound says.
    pub(super) fn refill_idle_saves(&mut self) {
        self.idle_saves = IDLE_SAVES_MAX;
    }

    /// Keeps the states of idle actors of a shard that leaves this node, of those asked last first, as far as the bound
    /// goes. The release does not wait for it.
    pub(super) fn save_leaving(&mut self, residents: &mut Residents<T>) {
        self.refill_idle_saves();
        for actor in residents.asked_last(IDLE_SAVES_MAX, is_worth_saving, Idle::is_worth_saving) {
            if let Some(slot) = residents.awaken(&actor, self.epoch) {
                self.save_idle(&actor, slot);
            }
        }
    }

    /// A snapshot was saved, or was not.
    pub(super) fn saved(&mut self, actor: ActorAddress, outcome: Result<(), SaveError>) {
        match outcome {
            Ok(()) => self.counts.snapshots_saved += 1,
            Err(fault) => {
                self.counts.snapshots_failed += 1;
                self.fact(Fact::NotSaved { actor, reason: fault.to_string() });
            }
        }
    }
}

/// Whether an idle actor's state should be kept. Only of a record of its own does an instance know under which epoch it was
/// written.
pub(super) fn is_worth_saving<T>(slot: &Slot<T>) -> bool {
    slot.busy.is_none() && slot.confirmed && slot.growth.is_worth_it(slot.kind.settings())
}

/// Behind which a history is read: the snapshot's own last commit comes first, so that it can be seen to be there.
pub(super) fn after(snapshot: Option<&ActorSnapshot>) -> Sequence {
    snapshot.map_or(Sequence::ZERO, before)
}

/// How far a snapshot may reach that ends before this one.
fn before(snapshot: &ActorSnapshot) -> Sequence {
    Sequence(snapshot.at.sequence.0.saturating_sub(1))
}

/// Which part of a history is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// No snapshot that reaches further. Nothing: no snapshot, but all of the history.
    pub(crate) up_to: Sequence,
    /// The version of the state's shape that can be read.
    pub(crate) schema: u32,
    /// Whether as fresh as the store can.
    pub(crate) fresh: bool,
}

/// Reads an actor's last snapshot that will do, and what is behind it.
pub(super) async fn read(
    events: &dyn EventStore,
    snapshots: &dyn SnapshotStore,
    actor: &ActorAddress,
    part: Part,
) -> Result<Found, ReadError> {
    let snapshot = last(snapshots, actor, part).await;
    let after = after(snapshot.as_deref());
    let commits = if part.fresh { events.read_fresh(actor, after).await? } else { events.read(actor, after).await? };
    Ok(Found { snapshot, commits })
}

async fn last(store: &dyn SnapshotStore, actor: &ActorAddress, part: Part) -> Option<Box<ActorSnapshot>> {
    let mut up_to = part.up_to;
    for _ in 0..SNAPSHOTS_TRIED_MAX {
        if up_to == Sequence::ZERO {
            break;
        }
        let found = store.load(actor, up_to).await;
        let found = found.inspect_err(|error| tracing::debug!(%error, actor = %actor.key, "no snapshot could be read"));
        let snapshot = found.ok()??;
        if snapshot.schema == part.schema {
            return Some(Box::new(snapshot));
        }
        up_to = before(&snapshot);
    }
    None
}

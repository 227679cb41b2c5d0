//! An actor that nobody asks anything, in as few bytes as will do: its [`Slot`], packed.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::records::Position;
use aether_domain::{ActorId, Epoch, Monotonic, Slot as HashSlot};

use super::remembered::Remembered;
use super::slot::{Live, Slot};
use super::snapshots::Growth;
use crate::actor::{Instance, Kind, Settings};

/// What an actor in memory takes besides its instance, in the estimates of its size: about what one of a million takes.
const OVERHEAD_BYTES: usize = 92;

/// What a shard keeps of an idle actor. Its instance is on the shelf of its kind; it was loaded or confirmed under the
/// shard's present epoch.
pub(super) struct Idle {
    pub(super) id: ActorId,
    tail: Position,
    pub(super) remembered: Remembered,
    growth: Growth,
    /// What it was last counted with.
    pub(super) bytes: u32,
    stamp: Stamp,
}

/// An idle actor, what goes on the shelf of its kind, and where in the hash space it is.
pub(super) type Packed = (Idle, Box<dyn Instance>, HashSlot);

impl Idle {
    /// Packs a slot under that epoch, if there is no more to it than an idle actor has.
    pub(super) fn pack<T>(id: &ActorId, slot: Slot<T>, epoch: Epoch) -> Result<Packed, Box<Slot<T>>> {
        let quiet = slot.busy.is_none()
            && !slot.warm
            && slot.panics.is_empty()
            && slot.trouble.is_none()
            && slot.under == epoch;
        if !quiet || !matches!(slot.live, Live::Present(_)) {
            return Err(slot.into());
        }
        // Every field is named: one more must be kept too, or be a reason not to pack.
        let Slot {
            kind,
            live,
            tail,
            under,
            confirmed,
            touched,
            remembered,
            growth,
            busy,
            panics,
            trouble,
            hashed,
            bytes,
            resting,
            warm,
        } = slot;
        match live {
            Live::Present(instance) => {
                let stamp = Stamp::new(touched, confirmed);
                Ok((Self { id: id.clone(), tail, remembered, growth, bytes, stamp }, instance, hashed))
            }
            live => Err(Box::new(Slot {
                kind,
                live,
                tail,
                under,
                confirmed,
                touched,
                remembered,
                growth,
                busy,
                panics,
                trouble,
                hashed,
                bytes,
                resting,
                warm,
            })),
        }
    }

    /// The slot again, and whose it is.
    pub(super) fn unpack<T>(packed: Packed, kind: Arc<dyn Kind>, epoch: Epoch) -> (ActorId, Slot<T>) {
        let (Self { id, tail, remembered, growth, bytes, stamp }, instance, hash_slot) = packed;
        let mut slot = Slot::new(kind, hash_slot, stamp.touched());
        slot.live = Live::Present(instance);
        (slot.tail, slot.remembered, slot.growth, slot.bytes) = (tail, remembered, growth, bytes);
        (slot.under, slot.confirmed) = (epoch, stamp.is_confirmed());
        (id, slot)
    }

    /// Whether its state should be kept when it leaves.
    pub(super) fn is_worth_saving(&self, settings: &Settings) -> bool {
        self.is_confirmed() && self.growth.is_worth_it(settings)
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.stamp.is_confirmed()
    }
    pub(super) fn touched(&self) -> Monotonic {
        self.stamp.touched()
    }
    /// It has been asked something.
    pub(super) fn touch(&mut self, now: Monotonic) {
        self.stamp = Stamp::new(now, self.is_confirmed());
    }
    /// Whether it was asked something since this was last said.
    pub(super) fn take_asked(&mut self) -> bool {
        self.stamp.take_asked()
    }
}

/// An estimate of what an actor takes in memory.
pub(super) fn estimate(instance: &dyn Instance) -> u32 {
    u32::try_from(instance.bytes().saturating_add(OVERHEAD_BYTES)).unwrap_or(u32::MAX)
}

/// When an actor was last asked something, to an eighth of a second, and two marks, in four bytes.
#[derive(Clone, Copy)]
struct Stamp(u32);

impl Stamp {
    const CONFIRMED: u32 = 1;
    /// Set by whoever asks it, taken away by whoever looks for actors to evict.
    const ASKED: u32 = 2;
    const EIGHTH: u64 = 125_000_000;

    fn new(touched: Monotonic, confirmed: bool) -> Self {
        let nanos = u64::try_from(touched.since_start().as_nanos()).unwrap_or(u64::MAX);
        // Rounded up: nobody leaves before its time. Four years of a process are enough.
        let eighths = u32::try_from(nanos.div_ceil(Self::EIGHTH)).map_or(u32::MAX >> 2, |some| some.min(u32::MAX >> 2));
        Self(eighths << 2 | Self::ASKED | u32::from(confirmed))
    }
    fn is_confirmed(self) -> bool {
        self.0 & Self::CONFIRMED != 0
    }
    fn touched(self) -> Monotonic {
        Monotonic::from_start(Duration::from_nanos(u64::from(self.0 >> 2) * Self::EIGHTH))
    }
    fn take_asked(&mut self) -> bool {
        let asked = self.0 & Self::ASKED != 0;
        self.0 &= !Self::ASKED;
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_actor_has_64_bytes_and_knows_when_it_was_asked() {
        assert_eq!(size_of::<Idle>(), 64);
        for (millis, known) in [(0, 0), (1, 125), (125, 125), (126, 250), (u64::from(u32::MAX), 4_294_967_375)] {
            for confirmed in [false, true] {
                let mut stamp = Stamp::new(Monotonic::from_start(Duration::from_millis(millis)), confirmed);
                assert_eq!(stamp.touched().since_start(), Duration::from_millis(known));
                assert_eq!((stamp.is_confirmed(), stamp.take_asked(), stamp.take_asked()), (confirmed, true, false));
            }
        }
    }
}

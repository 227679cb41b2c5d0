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
const OVERHEAD_BYTES: usize = 80;

/// What a shard keeps of an idle actor. Its instance is on the shelf of its kind; it was loaded or confirmed under the
/// shard's present epoch.
pub(super) struct Idle {
    pub(super) id: ActorId,
    tail: Position,
    pub(super) remembered: Remembered,
    growth: Growth,
    size: Size,
    /// Where in the hash space it is.
    pub(super) hashed: HashSlot,
    stamp: Stamp,
}

/// An idle actor, and what goes on the shelf of its kind.
pub(super) type Packed = (Idle, Box<dyn Instance>);

impl Idle {
    /// Packs a slot under that epoch, if there is no more to it than an idle actor has.
    pub(super) fn pack<T>(id: &ActorId, slot: Box<Slot<T>>, epoch: Epoch) -> Result<Packed, Box<Slot<T>>> {
        let quiet = slot.busy.is_none()
            && !slot.warm
            && slot.panics.is_empty()
            && slot.trouble.is_none()
            && slot.under == epoch;
        if !quiet || !matches!(slot.live, Live::Present(_)) {
            return Err(slot);
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
        } = *slot;
        match live {
            Live::Present(instance) => {
                let (size, stamp) = (Size::of(bytes), Stamp::new(touched, confirmed));
                Ok((Self { id: id.clone(), tail, remembered, growth, size, hashed, stamp }, instance))
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

    /// The slot again, and whose it is. Without an instance its actor has to be loaded.
    pub(super) fn unpack<T>(
        self,
        instance: Option<Box<dyn Instance>>,
        kind: Arc<dyn Kind>,
        epoch: Epoch,
    ) -> (ActorId, Box<Slot<T>>) {
        let Self { id, tail, remembered, growth, size, hashed, stamp } = self;
        let mut slot = Box::new(Slot::new(kind, hashed, stamp.touched()));
        slot.live = instance.map_or(Live::Absent, Live::Present);
        (slot.tail, slot.remembered, slot.growth, slot.bytes) = (tail, remembered, growth, size.bytes());
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
    /// What it was last counted with.
    pub(super) fn bytes(&self) -> u32 {
        self.size.bytes()
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

/// An estimate of what an actor takes in memory, one that [`Size`] can say.
pub(super) fn estimate(instance: &dyn Instance) -> u32 {
    let bytes = u32::try_from(instance.bytes().saturating_add(OVERHEAD_BYTES)).unwrap_or(u32::MAX);
    Size::of(bytes).bytes()
}

/// A number of bytes in two: eleven bits of it, and how far they are shifted. Exact below 2 KiB; above, at most a
/// thousandth more.
#[derive(Clone, Copy)]
struct Size(u16);

impl Size {
    const BITS: u32 = 11;

    fn of(bytes: u32) -> Self {
        let shift = (u32::BITS - bytes.leading_zeros()).saturating_sub(Self::BITS);
        let up = (u64::from(bytes) + (1 << shift) - 1) >> shift;
        // Rounding up may have made it a bit longer: that bit is then the only one.
        let (shift, up) = if up >> Self::BITS == 0 { (shift, up) } else { (shift + 1, up / 2) };
        Self((shift << Self::BITS) as u16 | up as u16)
    }
    fn bytes(self) -> u32 {
        let (shift, up) = (self.0 >> Self::BITS, self.0 & ((1 << Self::BITS) - 1));
        u32::try_from(u64::from(up) << shift).unwrap_or(u32::MAX)
    }
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
    fn a_size_is_kept_as_it_was_estimated_and_is_never_too_small() {
        for bytes in [0, 1, 2047, 2048, 2049, 4095, 1_000_001, 0x7FFF_FFFF, u32::MAX - 1, u32::MAX] {
            let kept = Size::of(bytes).bytes();
            assert!(kept >= bytes && kept - bytes <= bytes / 1000, "{bytes}: {kept}");
            assert_eq!(Size::of(kept).bytes(), kept, "{bytes}");
        }
    }

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

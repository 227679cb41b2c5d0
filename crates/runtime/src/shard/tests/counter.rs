//! A counter: the actor the machine's tests ask.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actor::{Actor, Command, Ctx, Decision, Event, Handle, MissedTicks};

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Counter {
    total: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Happened {
    Added {
        by: u64,
    },
    Padded {
        text: String,
    },
    /// Applying it panics.
    Cursed,
}
impl Event for Happened {}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("only {total} there")]
pub(super) struct TooFew {
    pub(super) total: u64,
}

macro_rules! commands {
    ($($command:ident $body:tt $name:literal -> $reply:ty;)+) => { $(
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(super) struct $command $body
        impl Command for $command {
            const NAME: &'static str = $name;
            type Reply = $reply;
        }
    )+ };
}
commands! {
    Add { pub(super) by: u64 } "add" -> u64;
    Get {} "get" -> u64;
    Demand { pub(super) at_least: u64 } "demand" -> u64;
    Grow { pub(super) by: u64 } "grow" -> u64;
    Odd { pub(super) by: u64 } "odd" -> u64;
    Boom {} "boom" -> u64;
    Curse {} "curse" -> u64;
    Pad { pub(super) bytes: usize } "pad" -> u64;
    Recite { pub(super) bytes: usize } "recite" -> String;
    Later { pub(super) after: u64 } "later" -> u64;
    Beat { pub(super) every: u64, pub(super) missed: Missed } "beat" -> u64;
    Fuse { pub(super) after: u64, pub(super) what: Fused } "fuse" -> u64;
    Chain { pub(super) after: u64 } "chain" -> u64;
    Crowd { pub(super) timers: u64 } "crowd" -> u64;
    Still {} "still" -> u64;
    Cut {} "cut" -> u64;
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Missed {
    Once,
    All,
    Skip,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Fused {
    Boom,
    Reject,
    Nothing,
    Large,
}

impl Actor for Counter {
    const KIND: &'static str = "counter";
    type Id = u64;
    type Event = Happened;
    type Error = TooFew;
    type Commands =
        (Add, Get, Demand, Grow, Odd, Boom, Curse, Pad, Recite, Later, Beat, Fuse, Chain, Crowd, Still, Cut);

    fn apply(&mut self, event: &Happened) {
        match event {
            Happened::Added { by } => self.total += by,
            Happened::Padded { .. } => self.total += 1,
            Happened::Cursed => panic!("cursed"),
        }
    }

    fn settings() -> crate::actor::Settings {
        crate::actor::Settings { mailbox: 100, ..Default::default() }
    }
}

impl Handle<Add> for Counter {
    fn handle(&self, add: Add, _: &Ctx<Self>) -> Decision<Self, Add> {
        Ok(Self::emit(Happened::Added { by: add.by }).reply(|counter| counter.total))
    }
}
impl Handle<Get> for Counter {
    fn handle(&self, _: Get, _: &Ctx<Self>) -> Decision<Self, Get> {
        Ok(Self::answer(self.total))
    }
}
impl Handle<Demand> for Counter {
    fn handle(&self, demand: Demand, _: &Ctx<Self>) -> Decision<Self, Demand> {
        if self.total < demand.at_least { Err(TooFew { total: self.total }) } else { Ok(Self::answer(self.total)) }
    }
}
/// Adds no more than is there.
impl Handle<Grow> for Counter {
    fn handle(&self, grow: Grow, _: &Ctx<Self>) -> Decision<Self, Grow> {
        if self.total < grow.by {
            return Err(TooFew { total: self.total });
        }
        Ok(Self::emit(Happened::Added { by: grow.by }).reply(|counter| counter.total))
    }
}
/// Adds to an odd total only.
impl Handle<Odd> for Counter {
    fn handle(&self, odd: Odd, _: &Ctx<Self>) -> Decision<Self, Odd> {
        if self.total.is_multiple_of(2) {
            return Err(TooFew { total: self.total });
        }
        Ok(Self::emit(Happened::Added { by: odd.by }).reply(|counter| counter.total))
    }
}
impl Handle<Boom> for Counter {
    fn handle(&self, _: Boom, _: &Ctx<Self>) -> Decision<Self, Boom> {
        panic!("boom")
    }
}
impl Handle<Curse> for Counter {
    fn handle(&self, _: Curse, _: &Ctx<Self>) -> Decision<Self, Curse> {
        Ok(Self::emit(Happened::Cursed).reply(|counter| counter.total))
    }
}
impl Handle<Pad> for Counter {
    fn handle(&self, pad: Pad, _: &Ctx<Self>) -> Decision<Self, Pad> {
        Ok(Self::emit(Happened::Padded { text: "x".repeat(pad.bytes) }).reply(|counter| counter.total))
    }
}
impl Handle<Recite> for Counter {
    fn handle(&self, recite: Recite, _: &Ctx<Self>) -> Decision<Self, Recite> {
        Ok(Self::emit(Happened::Added { by: 1 }).reply(move |_| "x".repeat(recite.bytes)))
    }
}

/// Adds one after so many milliseconds.
impl Handle<Later> for Counter {
    fn handle(&self, later: Later, _: &Ctx<Self>) -> Decision<Self, Later> {
        let after = Duration::from_millis(later.after);
        Ok(Self::nothing().remind(after, &Add { by: 1 }).reply(|counter| counter.total))
    }
}
/// Adds one every so many milliseconds.
impl Handle<Beat> for Counter {
    fn handle(&self, beat: Beat, _: &Ctx<Self>) -> Decision<Self, Beat> {
        let missed = match beat.missed {
            Missed::Once => MissedTicks::Once,
            Missed::All => MissedTicks::All,
            Missed::Skip => MissedTicks::Skip,
        };
        let every = Duration::from_millis(beat.every);
        Ok(Self::nothing().remind_every_as("beat", every, missed, &Add { by: 1 }).reply(|counter| counter.total))
    }
}
/// Does something odd after so many milliseconds.
impl Handle<Fuse> for Counter {
    fn handle(&self, fuse: Fuse, _: &Ctx<Self>) -> Decision<Self, Fuse> {
        let (after, nothing) = (Duration::from_millis(fuse.after), Self::nothing());
        let effect = match fuse.what {
            Fused::Boom => nothing.remind(after, &Boom {}),
            Fused::Reject => nothing.remind(after, &Grow { by: 1 << 50 }),
            Fused::Nothing => nothing.remind(after, &Get {}),
            Fused::Large => nothing.remind(after, &Pad { bytes: 10 }),
        };
        Ok(effect.reply(|counter| counter.total))
    }
}
/// Adds one and does so again after so many milliseconds.
impl Handle<Chain> for Counter {
    fn handle(&self, chain: Chain, _: &Ctx<Self>) -> Decision<Self, Chain> {
        let after = Duration::from_millis(chain.after);
        Ok(Self::emit(Happened::Added { by: 1 }).remind(after, &chain).reply(|counter| counter.total))
    }
}
/// Sets so many reminders of a second at once.
impl Handle<Crowd> for Counter {
    fn handle(&self, crowd: Crowd, _: &Ctx<Self>) -> Decision<Self, Crowd> {
        let timers = (0..crowd.timers).map(|nth| format!("t{nth}"));
        let one =
            |effect: crate::actor::Effect<Self>, name| effect.remind_as(name, Duration::from_secs(1), &Add { by: 1 });
        Ok(timers.fold(Self::nothing(), one).reply(|counter| counter.total))
    }
}
/// Cancels what [`Later`] and [`Beat`] have set.
impl Handle<Still> for Counter {
    fn handle(&self, _: Still, _: &Ctx<Self>) -> Decision<Self, Still> {
        Ok(Self::nothing().cancel_reminder("add").cancel_reminder("beat").reply(|counter| counter.total))
    }
}
/// Cancels what [`Chain`] has set.
impl Handle<Cut> for Counter {
    fn handle(&self, _: Cut, _: &Ctx<Self>) -> Decision<Self, Cut> {
        Ok(Self::nothing().cancel_reminder("chain").reply(|counter| counter.total))
    }
}

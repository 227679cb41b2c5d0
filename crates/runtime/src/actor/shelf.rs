//! Idle actors of one kind, side by side: none has memory of its own, nor a pointer to its code.

use aether_domain::records::PayloadCodec;
use aether_domain::{ActorId, Version, WallTime};

use super::chunks::Chunks;
use super::erased::{Instance, Live, Parts, Ran, read_id};
use super::model::{Actor, Ctx};
use super::timers::OpenTimers;
use crate::message::Payload;

/// Idle actors of one kind, by place. The places are those of a list without gaps, and are there whenever they are named.
pub(crate) trait Shelf: Send {
    /// Puts an actor behind the last one; gives it back if it is of another kind.
    fn push(&mut self, instance: Box<dyn Instance>) -> Result<(), Box<dyn Instance>>;
    /// Runs the command on the actor at that place, which has that id, as [`Instance::run`] does.
    fn run(
        &mut self,
        place: usize,
        id: &ActorId,
        command: u8,
        payload: &Payload,
        codec: PayloadCodec,
        now: WallTime,
    ) -> Ran;
    /// Takes the actor of that id from that place; the last one comes there. None if the id cannot be read any more.
    fn take(&mut self, place: usize, id: &ActorId) -> Option<Box<dyn Instance>>;
    /// Drops the actor at that place; the last one comes there.
    fn discard(&mut self, place: usize);
    /// Drops all of them.
    fn clear(&mut self);
}

/// An actor that can run a command, awake or on its shelf.
pub(crate) enum Runnable<'a> {
    /// By itself.
    Awake(&'a mut dyn Instance),
    /// The one of that id at that place.
    Idle(&'a mut dyn Shelf, usize, &'a ActorId),
}

impl Runnable<'_> {
    /// See [`Instance::run`].
    pub(crate) fn run(self, command: u8, payload: &Payload, codec: PayloadCodec, now: WallTime) -> Ran {
        match self {
            Self::Awake(instance) => instance.run(command, payload, codec, now),
            Self::Idle(shelf, place, id) => shelf.run(place, id, command, payload, codec, now),
        }
    }
}

pub(super) struct ShelfOf<A: Actor>(Chunks<Rested<A>>);

/// What cannot be made again of an actor whose id is known as text: reading that costs less than keeping it a million times.
pub(super) struct Rested<A: Actor> {
    state: A,
    version: Version,
    timers: OpenTimers,
}

impl<A: Actor> ShelfOf<A> {
    pub(super) fn new() -> Self {
        Self(Chunks::new())
    }
}

impl<A: Actor> Shelf for ShelfOf<A> {
    fn push(&mut self, instance: Box<dyn Instance>) -> Result<(), Box<dyn Instance>> {
        let Live { state, ctx, timers } = *instance.into_live::<A>()?;
        self.0.push(Rested { state, version: ctx.version, timers });
        Ok(())
    }
    fn run(
        &mut self,
        place: usize,
        id: &ActorId,
        command: u8,
        payload: &Payload,
        codec: PayloadCodec,
        now: WallTime,
    ) -> Ran {
        let Rested { state, version, timers } = &mut self.0[place];
        let mut ctx = match read_id::<A>(id) {
            Ok(id) => Ctx { id, version: *version, now },
            Err(reason) => return Ran::Spoiled(reason),
        };
        let ran = Parts { state, ctx: &mut ctx, timers }.run(command, payload, codec);
        *version = ctx.version;
        ran
    }
    fn take(&mut self, place: usize, id: &ActorId) -> Option<Box<dyn Instance>> {
        let Rested { state, version, timers } = self.0.swap_remove(place)?;
        let ctx = Ctx { id: read_id::<A>(id).ok()?, version, now: WallTime::default() };
        Some(Box::new(Live { state, ctx, timers }))
    }
    fn discard(&mut self, place: usize) {
        drop(self.0.swap_remove(place));
    }
    fn clear(&mut self) {
        self.0 = Chunks::new();
    }
}

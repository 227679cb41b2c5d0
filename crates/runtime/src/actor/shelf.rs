//! Idle actors of one kind, side by side: none has memory of its own, nor a pointer to its code.

use super::chunks::Chunks;
use super::erased::{Instance, Live};
use super::model::Actor;

/// Idle actors of one kind, by place. The places are those of a list without gaps.
pub(crate) trait Shelf: Send {
    /// Puts an actor behind the last one; gives it back if it is of another kind.
    fn push(&mut self, instance: Box<dyn Instance>) -> Result<(), Box<dyn Instance>>;
    /// The actor at that place, if there is one.
    fn at(&mut self, place: usize) -> Option<&mut dyn Instance>;
    /// Takes the actor from that place; the last one comes there.
    fn take(&mut self, place: usize) -> Option<Box<dyn Instance>>;
    /// Drops the actor at that place; the last one comes there.
    fn discard(&mut self, place: usize);
    /// Drops all of them.
    fn clear(&mut self);
}

pub(super) struct ShelfOf<A: Actor>(Chunks<Live<A>>);

impl<A: Actor> ShelfOf<A> {
    pub(super) fn new() -> Self {
        Self(Chunks::new())
    }
}

impl<A: Actor> Shelf for ShelfOf<A> {
    fn push(&mut self, instance: Box<dyn Instance>) -> Result<(), Box<dyn Instance>> {
        self.0.push(*instance.into_live::<A>()?);
        Ok(())
    }
    fn at(&mut self, place: usize) -> Option<&mut dyn Instance> {
        Some(self.0.get_mut(place)?)
    }
    fn take(&mut self, place: usize) -> Option<Box<dyn Instance>> {
        Some(Box::new(self.0.swap_remove(place)?))
    }
    fn discard(&mut self, place: usize) {
        drop(self.0.swap_remove(place));
    }
    fn clear(&mut self) {
        self.0 = Chunks::new();
    }
}

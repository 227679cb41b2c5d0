//! What nodes say to each other about actors that follow their shard.

use std::sync::Arc;

use crate::ids::{Epoch, ShardId};
use crate::records::WarmActor;

/// Some of the warm actors of a shard that leaves its owner, to the life that is to own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmFrame {
    /// Whose actors they are.
    pub shard: ShardId,
    /// The entry that asked for the shard to be released.
    pub drain_epoch: Epoch,
    /// Which part of the shard's warm state this is, from 0: a part that comes twice counts once.
    pub chunk: u32,
    /// At most [`Self::BYTES_MAX`] bytes of them, by [`WarmActor::bytes`].
    pub actors: Arc<Vec<WarmActor>>,
}

impl WarmFrame {
    /// The most bytes of one frame's actors.
    pub const BYTES_MAX: usize = 256 * 1024;

    /// How many bytes its actors take, nearly.
    pub fn bytes(&self) -> usize {
        self.actors.iter().map(WarmActor::bytes).sum()
    }
}

/// What became of a [`WarmFrame`] at its addressee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmTakenFrame {
    /// As in the frame.
    pub shard: ShardId,
    /// As in the frame.
    pub drain_epoch: Epoch,
    /// As in the frame.
    pub chunk: u32,
    /// What became of it.
    pub verdict: WarmVerdict,
}

/// What becomes of warm state that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarmVerdict {
    /// It is kept until its shard is taken, or had been before.
    Taken,
    /// Too much is kept already: the actors will be loaded from their histories.
    NoRoom,
    /// Nobody waits for it: the shard is not on its way here, or is under a later entry.
    Unwanted,
}

//! One ask under way: what is asked, where it is now, and what may have become of it.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{AskFrame, Request};
use aether_domain::{CommandId, Epoch, Monotonic, NodeRef, ShardId};

use super::bounds::{BACK_OFF_MAX, BACK_OFF_MIN};
use crate::message::Work;
use crate::view::{Route, View};

/// What a request counts for against bounds in bytes.
pub(crate) fn weight(request: &Request) -> usize {
    request.payload.len() + request.command.len() + request.actor.key.id.as_str().len() + size_of::<Request>()
}

/// One sending of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// The command's identity, kept through every retry.
    pub(crate) id: CommandId,
    /// The lowest sequence the origin still has outstanding for the shard.
    pub(crate) floor: u64,
    /// What is asked.
    pub(crate) request: Arc<Request>,
    /// When its caller stops waiting.
    pub(crate) deadline: Monotonic,
    /// 1, and one more for each earlier life that it was sent to and that ended without an answer. Refusals, moves and
    /// repeats to a life that goes on do not count: they have cost nobody anything.
    pub(crate) attempt: u8,
    /// Which sending this is, from 1, to whomever: what an answer names.
    pub(crate) sending: u32,
    /// The topology epoch it is sent under.
    pub(crate) view: Epoch,
    /// Whether an answer is wanted.
    pub(crate) wants_answer: bool,
}

impl Try {
    /// Whether it has been sent before, to whomever.
    pub(crate) fn is_again(&self) -> bool {
        self.sending > 1
    }

    /// As it travels to another node; `now` decides how much time is left.
    pub(crate) fn into_frame(self, now: Monotonic) -> AskFrame {
        AskFrame {
            id: self.id,
            floor: self.floor,
            request: self.request,
            view: self.view,
            budget: self.deadline.since(now),
            attempt: self.attempt,
            sending: self.sending,
            wants_answer: self.wants_answer,
        }
    }

    /// As it enters a shard of this node.
    pub(crate) fn into_work(self) -> Work {
        Work::asked(self.request, self.id, self.floor, self.deadline, self.attempt)
    }
}

/// Where a shard's commands go, as far as a sender cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// This node.
    Here,
    /// Another life.
    There(NodeRef),
    /// Nobody for now: wait for another view.
    Nowhere,
}

impl Target {
    /// Where `view` sends the commands of `shard`. What this node is leaving waits for its next owner. Who is no member yet
    /// waits to be one: sent before, its first commands would be refused where others find it taken in and overtake them.
    pub(crate) fn of(view: &View, shard: ShardId) -> Self {
        match view.route(shard) {
            Route::Mine { .. } => Self::Here,
            Route::Remote { owner } if view.member => Self::There(owner.clone()),
            Route::Remote { .. } | Route::Nobody | Route::Leaving { .. } => Self::Nowhere,
        }
    }

    /// Whether nobody will answer from there any more.
    pub(crate) fn is_gone(&self, view: &View) -> bool {
        matches!(self, Self::There(life) if !view.lives.contains(&life.incarnation))
    }
}

/// Where an ask is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Held back, to be sent in order.
    Waiting,
    /// Refused by itself, to be sent again at its next wake.
    BackOff,
    /// Sent, no answer yet.
    Out(Target),
}

/// One ask whose outcome is not known yet.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    /// Whom to tell; none for a `tell`.
    pub(crate) token: Option<T>,
    pub(crate) request: Arc<Request>,
    pub(crate) deadline: Monotonic,
    pub(crate) place: Place,
    /// When to look at it again.
    pub(crate) wake: Monotonic,
    /// Sendings nobody has accounted for.
    pub(crate) unanswered: u32,
    /// Somebody said that it may be applied.
    pub(crate) perhaps: bool,
    /// How often it was refused by itself.
    pub(crate) round: u32,
    pub(crate) attempt: u8,
    /// How often it has been sent. Where no event came of a sending, only the answer to the last one is final: until
    /// then a later one may be stored.
    pub(crate) sendings: u32,
    /// Where a sending was lost sight of, until that life answers or is known to be over.
    pub(crate) lost: Option<Target>,
}

impl<T> Pending<T> {
    /// A new ask, not sent yet.
    pub(crate) fn new(token: Option<T>, request: Arc<Request>, deadline: Monotonic) -> Self {
        let (place, lost) = (Place::Waiting, None);
        Self {
            token,
            request,
            deadline,
            place,
            wake: deadline,
            unanswered: 0,
            perhaps: false,
            round: 0,
            attempt: 1,
            sendings: 0,
            lost,
        }
    }

    /// Whether the command may be in the history.
    pub(crate) fn maybe_applied(&self) -> bool {
        self.perhaps || self.unanswered > 0
    }
}

/// The pause before the next try: doubling from [`BACK_OFF_MIN`] to [`BACK_OFF_MAX`], spread by up to a half with `salt`
/// so that what was refused together does not return together.
pub(crate) fn back_off(round: u32, salt: u64) -> Duration {
    let pause = BACK_OFF_MIN.saturating_mul(1 << round.min(8)).min(BACK_OFF_MAX);
    let spread = (salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u32;
    pause + pause / 2 * spread / 256
}

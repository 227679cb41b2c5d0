//! Commands that are given up for good, and the letters that are kept about them.
//!
//! A command is given up when its actor panics over it again and again, or when it may have cost lives of nodes: then it
//! is not run any more, only looked up. Whoever waits is answered at once; the letter is kept afterwards, as well as can
//! be, and counted either way.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aether_domain::ports::{Answer, DeadLetters, SaveError};
use aether_domain::records::{DeadLetter, PayloadCodec};
use aether_domain::{ActorAddress, CommandId, MessageId, NodeRef, WallTime};
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::bounds::{LETTER_TRIES_MAX, LETTERS_MAX, LIVES_LOAD_MAX, LIVES_RUN_MAX, back_off};
use super::core::Core;
use super::input::{Effect, Fact, Now};
use super::slot::{Asked, Live, Slot};
use crate::message::{Payload, Work};

/// A letter that only its node's name is missing from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) actor: ActorAddress,
    pub(crate) command: Cow<'static, str>,
    pub(crate) id: CommandId,
    pub(crate) message: Option<MessageId>,
    pub(crate) codec: PayloadCodec,
    pub(crate) payload: Option<Bytes>,
    pub(crate) reason: String,
    pub(crate) maybe_applied: bool,
    pub(crate) at: WallTime,
}

impl Letter {
    fn signed(self, by: NodeRef) -> DeadLetter {
        let Self { actor, command, id, message, codec, payload, reason, maybe_applied, at } = self;
        let command = command.into_owned();
        DeadLetter { actor, command, id, message, codec, payload, reason, maybe_applied, by, at }
    }
}

impl<T> Core<T> {
    /// Whether a command may have cost so many lives that not even its actor is loaded for it.
    pub(super) fn is_not_worth_a_load(slot: &Slot<T>, work: &Work) -> bool {
        work.attempt > LIVES_LOAD_MAX && matches!(slot.live, Live::Absent)
    }

    /// Whether a command may have cost so many lives that it is not run again.
    pub(super) fn has_cost_too_many_lives(work: &Work) -> bool {
        work.attempt > LIVES_RUN_MAX
    }

    /// Gives up a command that makes its actor panic.
    pub(super) fn poison(&mut self, slot: &Slot<T>, now: Now, asked: Asked<T>, panic: String) {
        // For people, and to be asked again by: as JSON, whatever the actor's codec is. It has been read before.
        let payload = slot.kind.encode_command(asked.command, &asked.work.payload, PayloadCodec::Json).ok();
        let maybe_applied = asked.work.attempt > 1;
        self.give_up_for_good(now, asked, (PayloadCodec::Json, payload), panic, maybe_applied);
    }

    /// Gives up a command that was with several lives when they ended. Nothing of it is decoded: that may be what ends them.
    pub(super) fn spare_lives(&mut self, slot: &Slot<T>, now: Now, asked: Asked<T>) {
        let lost = asked.work.attempt - 1;
        let (codec, payload) = match &asked.work.payload {
            Payload::Encoded(codec, bytes) => (*codec, Some(bytes.clone())),
            // A value has never been anywhere else, so it cannot have cost another life.
            Payload::Typed(_) => (slot.kind.settings().codec, None),
        };
        let reason = format!("{lost} lives of nodes ended while they may have been running it");
        self.give_up_for_good(now, asked, (codec, payload), reason, true);
    }

    fn give_up_for_good(
        &mut self,
        now: Now,
        asked: Asked<T>,
        (codec, payload): (PayloadCodec, Option<Bytes>),
        reason: String,
        maybe_applied: bool,
    ) {
        let Work { id, actor, command, message, .. } = &*asked.work;
        self.counts.poisoned += 1;
        self.fact(Fact::Poisoned { actor: actor.clone(), command: *id, reason: reason.clone() });
        self.want(Effect::Letter(Box::new(Letter {
            actor: actor.clone(),
            command: command.clone(),
            id: *id,
            message: *message,
            codec,
            payload: payload.filter(|bytes| bytes.len() <= DeadLetter::PAYLOAD_BYTES_MAX),
            reason: cut(&reason, DeadLetter::REASON_BYTES_MAX).to_string(),
            maybe_applied,
            at: now.wall,
        })));
        self.give_up(asked, &Answer::Poisoned { reason, maybe_applied });
    }
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Where letters go, and what became of them.
pub(super) struct Letterbox {
    store: Arc<dyn DeadLetters>,
    places: Semaphore,
    kept: AtomicU64,
    lost: AtomicU64,
}

impl Letterbox {
    pub(super) fn new(store: Arc<dyn DeadLetters>) -> Self {
        let places = Semaphore::new(LETTERS_MAX);
        Self { store, places, kept: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    /// How many letters were kept, and how many could not be.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.kept.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// Keeps a letter, if it can be done within a few tries. Nobody waits for it.
    pub(super) async fn keep(&self, letter: Letter, by: NodeRef) {
        let letter = letter.signed(by);
        let kept = self.try_to(&letter).await;
        let count = if kept.is_ok() { &self.kept } else { &self.lost };
        count.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = kept {
            tracing::error!(actor = %letter.actor.key, command_id = %letter.id, error, "a dead letter could not be kept");
        }
    }

    async fn try_to(&self, letter: &DeadLetter) -> Result<(), String> {
        let Ok(_place) = self.places.try_acquire() else { return Err("too many at once".to_string()) };
        let mut tries = 1;
        loop {
            match self.store.keep(letter).await {
                Ok(()) => return Ok(()),
                Err(SaveError::Unavailable { .. }) if tries < LETTER_TRIES_MAX => {
                    tokio::time::sleep(back_off(tries)).await;
                    tries += 1;
                }
                Err(SaveError::Unavailable { cause }) => return Err(cause.to_string()),
                Err(error @ SaveError::TooLarge { .. }) => return Err(error.to_string()),
            }
        }
    }
}

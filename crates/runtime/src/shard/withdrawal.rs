//! A message that is not in the history when its outcome is asked for is *withdrawn*: a mark in the history says so, and
//! whatever arrives under it later is refused. Only then is it told that it was not applied; so no copy of it that is still
//! under way, from whomever, can make that untrue.
//!
//! The mark is a command's, with one of two texts in the place of the reply, in a JSON record. Neither is JSON, so neither
//! is anybody's reply.

use aether_domain::WallTime;
use aether_domain::ports::Answer;
use aether_domain::records::{PayloadCodec, StoredReply};
use bytes::Bytes;

use super::remembered::Remembered;
use crate::actor::{Fate, Kind, Ran, Runnable, TWIN, Wanted};
use crate::message::{Outcome, Work};

/// Stands for a reply: the message was never applied.
const NOT_APPLIED: &[u8] = b"";
/// Stands for a reply: the message was not among those that are remembered.
const FORGOTTEN: &[u8] = b"?";

/// How replies to a command are stored: one record has one codec, and a withdrawal needs JSON.
pub(super) fn codec_of(kind: &dyn Kind, command: u8) -> PayloadCodec {
    if command & TWIN == 0 { kind.settings().codec } else { PayloadCodec::Json }
}

/// Runs a command that is not in the history; one that asks for the outcome of a message withdraws that.
pub(super) fn run(
    kind: &dyn Kind,
    actor: Runnable<'_>,
    remembered: &Remembered,
    command: u8,
    work: &Work,
    now: WallTime,
) -> Ran {
    if command & TWIN == 0 {
        return actor.run(command, &work.payload, kind.settings().codec, now);
    }
    if work.message.is_none() {
        return Ran::Invalid("it does not say of which message the outcome is wanted".into());
    }
    let (fate, stored) =
        if remembered.has_forgotten() { (Fate::Forgotten, FORGOTTEN) } else { (Fate::NotApplied, NOT_APPLIED) };
    match kind.fate(command, fate, Wanted::like(&work.payload)) {
        Ok(reply) => {
            let (events, timers) = (Vec::new(), Vec::new());
            Ran::Changed { events, timers, stored: Bytes::from_static(stored), reply }
        }
        Err(reason) => Ran::Invalid(reason),
    }
}

/// The answer to a command that is in the history, or whose message is.
pub(super) fn repeat(kind: &dyn Kind, work: &Work, command: u8, stored: &StoredReply) -> Outcome {
    let withdrawn = match (stored.codec, &stored.bytes[..]) {
        (PayloadCodec::Json, NOT_APPLIED) => Some(Fate::NotApplied),
        (PayloadCodec::Json, FORGOTTEN) => Some(Fate::Forgotten),
        _ => None,
    };
    let wanted = Wanted::like(&work.payload);
    let told = match withdrawn {
        Some(_) if command & TWIN == 0 => {
            let reason = "its message was withdrawn when its outcome was asked for: use another".into();
            return Outcome::Other(Answer::Invalid { reason, maybe_applied: false });
        }
        Some(fate) => kind.fate(command, fate, wanted),
        None if command & TWIN == 0 => kind.stored_reply(command, stored.codec, &stored.bytes, wanted),
        None => kind.fate(command, Fate::Applied((stored.codec, stored.bytes.clone())), wanted),
    };
    told.map_or_else(
        |reason| {
            let reason = format!("it is in the history, but its reply is not one of {:?}: {reason}", work.command);
            Outcome::Other(Answer::Invalid { reason, maybe_applied: true })
        },
        Outcome::Replied,
    )
}

//! What became of a message of the application: how it is asked for and told.
//!
//! It is asked like a command of its own: every command has a twin, whose name is the command's behind
//! [`OUTCOME_OF`]. So it takes the same way, waits for the same things and is answered by whoever owns the actor.

use serde::{Deserialize, Serialize};

/// What stands before a command's name where the outcome of a message is asked for. No command's own name begins with its
/// first character.
pub const OUTCOME_OF: &str = "$outcome/";

/// Marks a place in a kind's list as that of a command's twin. There are at most 16 commands.
pub(crate) const TWIN: u8 = 0x80;

/// What became of a message: what was asked under it, or whether it can still be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate<R> {
    /// It is in the history, once; this was the reply.
    Applied(R),
    /// It is not in the history and never will be: from now on whatever arrives under it is refused.
    NotApplied,
    /// It is not among the actor's last 1,024 messages, and from now on whatever arrives under it is refused. Whether it
    /// was applied before those is not known any more. Whoever knows that fewer have been sent since may take it for
    /// [`Self::NotApplied`].
    Forgotten,
}

impl<R> Fate<R> {
    /// The same with another reply.
    pub(crate) fn try_map<S, E>(self, change: impl FnOnce(R) -> Result<S, E>) -> Result<Fate<S>, E> {
        Ok(match self {
            Self::Applied(reply) => Fate::Applied(change(reply)?),
            Self::NotApplied => Fate::NotApplied,
            Self::Forgotten => Fate::Forgotten,
        })
    }
}

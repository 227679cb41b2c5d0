//! What an actor's history says about the commands in it, so that a repeat is answered and not run.
//!
//! Built from commit records and snapshots only. What is not stored yet is looked up in the actor's queue.
//!
//! Lives come and go, and an actor must not remember all that ever asked it. What one of them asked may be forgotten once it
//! is no member any more: no command of it is run from then on, neither here nor by any later owner, for each later owner's
//! view includes the entry that removed it (R18).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::records::{ActorSnapshot, CommandMark, OriginMarks, PayloadCodec, StoredReply};
use aether_domain::{CommandId, Incarnation, MessageId};
use bytes::Bytes;

use super::bounds::{MESSAGES_MAX, OUTSTANDING_MAX};
use crate::message::Work;

/// What is known of a command that has just come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<'a> {
    /// Nothing: it is not in the history.
    New,
    /// It is in the history; this was its reply.
    Applied(&'a StoredReply),
    /// Its origin has said that nobody waits for it any more, or is no member any more: it may be in the history.
    Forgotten,
}

/// The lives whose commands are believed: those of the members as this node's view has them. All of them until it is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives(pub(super) Option<Arc<BTreeSet<Incarnation>>>);

impl Lives {
    fn has(&self, life: Incarnation) -> bool {
        self.0.as_ref().is_none_or(|lives| lives.contains(&life))
    }
}

/// The commands of one history. One without commands takes no memory of its own.
#[derive(Debug, Default)]
pub(super) struct Remembered(Option<Box<Commands>>);

#[derive(Debug, Default)]
struct Commands {
    /// At most one more than there are members: whenever one is added, those that are gone are forgotten.
    origins: Vec<Origin>,
    /// At most [`MESSAGES_MAX`], oldest first.
    messages: VecDeque<(MessageId, StoredReply)>,
}

#[derive(Debug)]
struct Origin {
    life: Incarnation,
    /// Below it nothing is remembered.
    floor: u64,
    /// Ascending, at most [`OUTSTANDING_MAX`], none below the floor.
    applied: VecDeque<(u64, StoredReply)>,
}

impl Remembered {
    /// What a snapshot remembers.
    pub(super) fn of(snapshot: &ActorSnapshot, lives: &Lives) -> Self {
        let origin = |marks: &OriginMarks| Origin {
            life: marks.origin,
            floor: marks.floor,
            applied: marks.applied.iter().cloned().collect(),
        };
        let believed = snapshot.origins.iter().filter(|marks| lives.has(marks.origin));
        Self::from(Commands {
            origins: believed.map(origin).collect(),
            messages: snapshot.messages.iter().cloned().collect(),
        })
    }

    /// All of it, for a snapshot.
    pub(super) fn marks(&self) -> (Vec<OriginMarks>, Vec<(MessageId, StoredReply)>) {
        let marks = |origin: &Origin| OriginMarks {
            origin: origin.life,
            floor: origin.floor,
            applied: origin.applied.iter().cloned().collect(),
        };
        let commands = self.0.iter();
        let messages = commands.clone().flat_map(|commands| commands.messages.iter().cloned()).collect();
        (commands.flat_map(|commands| &commands.origins).map(marks).collect(), messages)
    }

    /// All of it but what lives asked that are gone.
    pub(super) fn into_marks(self, lives: &Lives) -> (Vec<OriginMarks>, Vec<(MessageId, StoredReply)>) {
        let Some(commands) = self.0 else { return Default::default() };
        let Commands { origins, messages } = *commands;
        let marks =
            |origin: Origin| OriginMarks { origin: origin.life, floor: origin.floor, applied: origin.applied.into() };
        let believed = origins.into_iter().filter(|origin| lives.has(origin.life));
        (believed.map(marks).collect(), messages.into())
    }

    /// Forgets what lives asked that are gone.
    pub(super) fn forget_gone(&mut self, lives: &Lives) {
        if let Some(commands) = &mut self.0 {
            commands.forget_gone(lives);
            if commands.know_nothing() {
                self.0 = None;
            }
        }
    }

    /// Takes over what a stored record says of one command.
    pub(super) fn note(&mut self, mark: &CommandMark, codec: PayloadCodec, lives: &Lives) {
        let commands = self.0.get_or_insert_default();
        // A copy, because the reply may be a slice of a large message that would be kept alive whole.
        let reply = StoredReply { codec, bytes: Bytes::copy_from_slice(&mark.reply) };
        if let Some(message) = mark.message {
            if commands.messages.len() == MESSAGES_MAX {
                commands.messages.pop_front();
            }
            commands.messages.push_back((message, reply.clone()));
        }
        let CommandId { origin, sequence } = mark.id;
        let place = commands.origins.iter().position(|known| known.life == origin).unwrap_or_else(|| {
            commands.forget_gone(lives);
            // Most actors are asked by few nodes, and by one at a time.
            commands.origins.reserve_exact(1);
            commands.origins.push(Origin { life: origin, floor: 0, applied: VecDeque::with_capacity(1) });
            commands.origins.len() - 1
        });
        commands.origins[place].note(sequence, mark.floor, reply);
    }

    /// Whether there may have been messages that are not remembered.
    pub(super) fn has_forgotten(&self) -> bool {
        self.0.as_ref().is_some_and(|commands| commands.messages.len() == MESSAGES_MAX)
    }

    /// What is known of `work`.
    pub(super) fn find(&self, work: &Work, lives: &Lives) -> Known<'_> {
        if is_on(Mutant::RunsRepeats) {
            return Known::New;
        }
        let commands = self.0.as_deref();
        let mut origins = commands.into_iter().flat_map(|commands| &commands.origins);
        match origins.find(|known| known.life == work.id.origin) {
            Some(origin) if work.id.sequence < origin.floor && !is_on(Mutant::ForgetsFloor) => return Known::Forgotten,
            Some(origin) => {
                if let Ok(place) = origin.place(work.id.sequence) {
                    return Known::Applied(&origin.applied[place].1);
                }
            }
            None if !lives.has(work.id.origin) => return Known::Forgotten,
            None => {}
        }
        let same = work.message.and_then(|message| commands?.messages.iter().rev().find(|known| known.0 == message));
        same.map_or(Known::New, |(_, reply)| Known::Applied(reply))
    }
}

impl From<Commands> for Remembered {
    fn from(commands: Commands) -> Self {
        Self((!commands.know_nothing()).then(|| commands.into()))
    }
}

impl Commands {
    fn know_nothing(&self) -> bool {
        self.origins.is_empty() && self.messages.is_empty()
    }
    fn forget_gone(&mut self, lives: &Lives) {
        self.origins.retain(|origin| lives.has(origin.life));
    }
}

impl Origin {
    fn place(&self, sequence: u64) -> Result<usize, usize> {
        match self.applied.back() {
            Some((last, _)) if *last >= sequence => {
                self.applied.binary_search_by_key(&sequence, |(applied, _)| *applied)
            }
            _ => Err(self.applied.len()),
        }
    }

    fn note(&mut self, sequence: u64, floor: u64, reply: StoredReply) {
        if sequence >= self.floor
            && let Err(place) = self.place(sequence)
        {
            self.applied.insert(place, (sequence, reply));
        }
        self.floor = self.floor.max(floor);
        while self.applied.front().is_some_and(|(lowest, _)| *lowest < self.floor) {
            self.applied.pop_front();
        }
        // An origin that keeps more outstanding than it may loses the oldest: refused rather than run twice.
        while self.applied.len() > OUTSTANDING_MAX {
            if let Some((lowest, _)) = self.applied.pop_front() {
                self.floor = lowest + 1;
            }
        }
    }
}

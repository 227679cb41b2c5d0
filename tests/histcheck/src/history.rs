//! The text of a history, read and judged.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use aether_domain::testing::history::{Agreed, Book, Call, Kept, Told};
use thiserror::Error;

use crate::line::{Kind, LINE_BYTES_MAX, Line};

/// A text that is no history.
#[derive(Debug, Error)]
pub enum Malformed {
    /// It cannot be read.
    #[error("line {line}: cannot be read")]
    Unreadable {
        /// From 1.
        line: usize,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A line is longer than [`LINE_BYTES_MAX`].
    #[error("line {line}: longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// From 1.
        line: usize,
    },
    /// A line is none of a history.
    #[error("line {line}: {cause}")]
    NotALine {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// A line lacks something, or contradicts another one.
    #[error("line {line}: {reason}")]
    Contradiction {
        /// From 1.
        line: usize,
        /// How.
        reason: String,
    },
}

/// One line about a question.
#[derive(Debug)]
struct Moment {
    t: u64,
    /// Questions come before answers at the same instant.
    what: What,
    op: u64,
    line: usize,
}

#[derive(Debug)]
enum What {
    Call { actor: Arc<str>, id: u128, turn: Option<u64> },
    Told(Told<i64>),
}

/// What is stored of one actor.
#[derive(Debug, Default)]
struct Store {
    born: i64,
    /// Each operation's id and value.
    commands: Vec<(Option<u128>, i64)>,
    /// Where the last one is.
    sequence: u64,
    epoch: u64,
    version: u64,
    /// The first thing wrong with those.
    broken: Option<String>,
}

/// A whole history.
#[derive(Debug, Default)]
pub struct History {
    moments: Vec<Moment>,
    stores: BTreeMap<Arc<str>, Store>,
}

/// What a judgement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was compared, of the actors with whom nothing is wrong.
    pub agreed: Agreed,
    /// The first thing that is wrong with each of the others.
    pub wrong: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, wrong } = self;
        write!(f, "{agreed}; {} actors wrong", wrong.len())?;
        wrong.iter().try_for_each(|wrong| write!(f, "\n  {wrong}"))
    }
}

impl History {
    /// Reads a history.
    ///
    /// # Errors
    /// [`Malformed`], with the first line that is no line of a history or contradicts another one.
    pub fn read(mut text: impl BufRead) -> Result<Self, Malformed> {
        let mut history = Self::default();
        let (mut bytes, mut line) = (Vec::new(), 0);
        loop {
            line += 1;
            bytes.clear();
            let limit = LINE_BYTES_MAX as u64 + 1;
            let read = text.by_ref().take(limit).read_until(b'\n', &mut bytes);
            if read.map_err(|cause| Malformed::Unreadable { line, cause })? == 0 {
                history.moments.sort_by_key(|moment| (moment.t, matches!(moment.what, What::Told(_)), moment.op));
                return Ok(history);
            }
            if bytes.len() > LINE_BYTES_MAX {
                return Err(Malformed::TooLong { line });
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let told: Line = serde_json::from_slice(&bytes).map_err(|cause| Malformed::NotALine { line, cause })?;
            history.take(told, line).map_err(|reason| Malformed::Contradiction { line, reason })?;
        }
    }

    /// Holds what was told against what is stored.
    ///
    /// # Errors
    /// [`Malformed::Contradiction`]: a question is asked twice, ended twice, or ended before it is asked.
    pub fn judge(&self) -> Result<Verdict, Malformed> {
        let mut book: Book<&str, i64> = Book::default();
        // Each question; nothing once it has ended.
        let mut calls: HashMap<u64, Option<Call>> = HashMap::new();
        for Moment { op, what, line, .. } in &self.moments {
            let contradiction = |what| {
                let reason = format!("question {op} is {what}");
                Malformed::Contradiction { line: *line, reason }
            };
            match what {
                What::Call { actor, id, turn } => {
                    let call = match turn {
                        Some(asker) => book.call_in_turn(&**actor, *id, *asker),
                        None => book.call(&**actor, *id),
                    };
                    if calls.insert(*op, Some(call)).is_some() {
                        return Err(contradiction("asked twice"));
                    }
                }
                What::Told(told) => match calls.get_mut(op).map(Option::take) {
                    None => return Err(contradiction("ended and was not asked before")),
                    Some(None) => return Err(contradiction("ended twice")),
                    Some(Some(call)) => book.told(call, told.clone()),
                },
            }
        }
        let kept = |actor: &&str| {
            let store = self.stores.get(*actor);
            let (born, commands) = store.map(|store| (store.born, store.commands.clone())).unwrap_or_default();
            Kept { commits: &[], born: Some(born), commands }
        };
        let mut verdict = Verdict { agreed: Agreed::default(), wrong: Vec::new() };
        for (actor, judged) in book.check_each(self.stores.keys().map(|actor| &**actor), kept) {
            let store = self.stores.get(actor);
            match (judged, store.and_then(|store| store.broken.as_ref())) {
                (_, Some(broken)) => verdict.wrong.push(format!("{actor}: {broken}")),
                (Err(wrong), None) => verdict.wrong.push(wrong.to_string()),
                (Ok(agreed), None) => {
                    let records = store.map_or(0, |store| store.commands.len() as u64);
                    verdict.agreed += Agreed { records, ..agreed };
                }
            }
        }
        Ok(verdict)
    }

    fn take(&mut self, told: Line, line: usize) -> Result<(), String> {
        let (t, op) = (told.t, told.op);
        let mut moment = |what| {
            self.moments.push(Moment { t: needed(t, "t")?, op: needed(op, "op")?, what, line });
            Ok(())
        };
        match told.kind {
            Kind::Call => moment(What::Call {
                actor: needed(told.actor, "actor")?.into(),
                id: id(&needed(told.id, "id")?)?,
                turn: told.turn,
            }),
            Kind::Done => moment(What::Told(Told::Done(needed(told.value, "value")?))),
            Kind::Seen => moment(What::Told(Told::Seen { value: needed(told.value, "value")?, fresh: !told.stale })),
            Kind::No => moment(What::Told(Told::No)),
            Kind::Unsure => moment(What::Told(Told::Unsure)),
            Kind::Born => {
                self.stores.entry(needed(told.actor, "actor")?.into()).or_default().born = needed(told.value, "value")?;
                Ok(())
            }
            Kind::Stored => {
                let store = self.stores.entry(needed(told.actor, "actor")?.into()).or_default();
                let place = (needed(told.sequence, "sequence")?, told.epoch.unwrap_or_default());
                store.follow(place, needed(told.version, "version")?, told.events.unwrap_or(1));
                let id = told.id.as_deref().map(id).transpose()?;
                store.commands.push((id, needed(told.value, "value")?));
                Ok(())
            }
        }
    }
}

impl Store {
    /// Takes the next place. Operations of one record are at the same one.
    fn follow(&mut self, (sequence, epoch): (u64, u64), version: u64, events: u64) {
        let broken = if sequence < self.sequence {
            Some(format!("sequence {sequence} stands behind {}", self.sequence))
        } else if epoch < self.epoch {
            Some(format!("sequence {sequence} is of epoch {epoch}, after one of {}", self.epoch))
        } else if Some(version) != self.version.checked_add(events) {
            Some(format!("sequence {sequence} makes version {version} of {} with {events} events", self.version))
        } else {
            None
        };
        self.broken = self.broken.take().or(broken);
        (self.sequence, self.epoch, self.version) = (sequence, epoch, version);
    }
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("{name} is missing"))
}

fn id(text: &str) -> Result<u128, String> {
    let hex = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = if hex { u128::from_str_radix(text, 16).ok() } else { None };
    id.ok_or_else(|| format!("the id {text:?} is not 1 to 32 hex digits"))
}

//! The text of a history, read into operations and stored writes.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use thiserror::Error;

/// The most bytes of one line.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

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
    /// A line is not one of the five kinds.
    #[error("line {line}: {cause}")]
    NotALine {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// Lines contradict each other.
    #[error("line {line}: {reason}")]
    Contradiction {
        /// From 1.
        line: usize,
        /// How.
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
    Stored,
}

/// Any line: flat, since that is read several times faster than one of five shapes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "line")]
    kind: Kind,
    t: Option<u64>,
    op: Option<u64>,
    actor: Option<String>,
    id: Option<String>,
    lane: Option<String>,
    add: Option<i64>,
    #[serde(default)]
    stale: bool,
    value: Option<i64>,
    version: Option<u64>,
    sequence: Option<u64>,
    epoch: Option<u64>,
    events: Option<u64>,
}

/// A name that was met: its place among all of its sort.
pub(crate) type Name = usize;

/// Names by their place.
#[derive(Debug, Default)]
pub(crate) struct Names {
    texts: Vec<String>,
    known: HashMap<String, Name>,
}

impl Names {
    fn of(&mut self, text: String) -> Name {
        if let Some(&name) = self.known.get(&text) {
            return name;
        }
        self.texts.push(text.clone());
        self.known.insert(text, self.texts.len() - 1);
        self.texts.len() - 1
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        &self.texts[name]
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok { at: u64, value: Option<i64>, version: Option<u64> },
    Failed,
    Unknown,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) number: u64,
    pub(crate) actor: Name,
    /// Which write it is; nothing of a read.
    pub(crate) write: Option<Name>,
    pub(crate) add: i64,
    pub(crate) lane: Option<Name>,
    pub(crate) stale: bool,
    pub(crate) invoked: u64,
    pub(crate) end: End,
}

/// One write in an actor's history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) events: u64,
    pub(crate) write: Name,
    pub(crate) add: i64,
}

/// A whole history.
#[derive(Debug, Default)]
pub struct History {
    pub(crate) actors: Names,
    /// Ids of writes, each with its actor: an id names a write of one actor.
    pub(crate) writes: Names,
    pub(crate) lanes: Names,
    pub(crate) ops: Vec<Op>,
    /// By actor.
    pub(crate) stored: Vec<Vec<Stored>>,
}

impl History {
    /// Reads a history.
    ///
    /// # Errors
    /// [`Malformed`], with the first line that is no line of a history or contradicts an earlier one.
    pub fn read(mut text: impl BufRead) -> Result<Self, Malformed> {
        let (mut history, mut places) = (Self::default(), BTreeMap::<u64, Place>::new());
        let (mut bytes, mut line) = (Vec::new(), 0);
        loop {
            line += 1;
            bytes.clear();
            let limit = LINE_BYTES_MAX as u64 + 1;
            let read = text.by_ref().take(limit).read_until(b'\n', &mut bytes);
            if read.map_err(|cause| Malformed::Unreadable { line, cause })? == 0 {
                let lost = places.iter().find(|(_, place)| place.op.is_none());
                let contradiction = |number| format!("operation {number} ends and never begins");
                return match lost {
                    Some((number, _)) => Err(Malformed::Contradiction { line, reason: contradiction(number) }),
                    None => Ok(history),
                };
            }
            if bytes.len() > LINE_BYTES_MAX {
                return Err(Malformed::TooLong { line });
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let told: Line = serde_json::from_slice(&bytes).map_err(|cause| Malformed::NotALine { line, cause })?;
            history.take(told, &mut places).map_err(|reason| Malformed::Contradiction { line, reason })?;
        }
    }

    /// How many operations there are, and how many stored writes.
    pub fn size(&self) -> (usize, usize) {
        (self.ops.len(), self.stored.iter().map(Vec::len).sum())
    }

    fn take(&mut self, line: Line, places: &mut BTreeMap<u64, Place>) -> Result<(), String> {
        match line.kind {
            Kind::Stored => self.take_stored(line),
            kind => {
                let number = needed(line.op, "op")?;
                let at = needed(line.t, "t")?;
                match kind {
                    Kind::Invoke => self.invoke(line, number, at, places),
                    Kind::Ok => self.end(number, at, places, End::Ok { at, value: line.value, version: line.version }),
                    Kind::Fail => self.end(number, at, places, End::Failed),
                    Kind::Info | Kind::Stored => self.end(number, at, places, End::Unknown),
                }
            }
        }
    }

    fn actor(&mut self, actor: Option<String>) -> Result<Name, String> {
        let actor = self.actors.of(needed(actor, "actor")?);
        self.stored.resize_with(self.actors.len(), Vec::new);
        Ok(actor)
    }

    fn write(&mut self, actor: Name, id: &str) -> Name {
        self.writes.of(format!("{}#{id}", self.actors.text(actor)))
    }

    fn take_stored(&mut self, line: Line) -> Result<(), String> {
        let actor = self.actor(line.actor)?;
        let write = self.write(actor, &needed(line.id, "id")?);
        let stored = Stored {
            sequence: needed(line.sequence, "sequence")?,
            epoch: line.epoch.unwrap_or_default(),
            version: needed(line.version, "version")?,
            events: line.events.unwrap_or(1),
            write,
            add: line.add.unwrap_or_default(),
        };
        self.stored[actor].push(stored);
        Ok(())
    }

    fn invoke(
        &mut self,
        line: Line,
        number: u64,
        invoked: u64,
        places: &mut BTreeMap<u64, Place>,
    ) -> Result<(), String> {
        let actor = self.actor(line.actor)?;
        let write = line.id.map(|id| self.write(actor, &id));
        let lane = line.lane.map(|lane| self.lanes.of(lane));
        let place = places.entry(number).or_default();
        if place.op.is_some() {
            return Err(format!("operation {number} begins twice"));
        }
        let end = place.end.unwrap_or(End::Unknown);
        follows(number, invoked, place.ended)?;
        place.op = Some(self.ops.len());
        let add = line.add.unwrap_or_default();
        self.ops.push(Op { number, actor, write, add, lane, stale: line.stale, invoked, end });
        Ok(())
    }

    fn end(&mut self, number: u64, at: u64, places: &mut BTreeMap<u64, Place>, end: End) -> Result<(), String> {
        let place = places.entry(number).or_default();
        if place.end.replace(end).is_some() {
            return Err(format!("operation {number} ends twice"));
        }
        place.ended = Some(at);
        if let Some(op) = place.op {
            follows(number, self.ops[op].invoked, Some(at))?;
            self.ops[op].end = end;
        }
        Ok(())
    }
}

/// Where an operation is, and what was told of its end: lines come in any order.
#[derive(Default)]
struct Place {
    op: Option<usize>,
    end: Option<End>,
    ended: Option<u64>,
}

fn follows(number: u64, invoked: u64, ended: Option<u64>) -> Result<(), String> {
    match ended {
        Some(ended) if ended < invoked => Err(format!("operation {number} ends before it begins")),
        _ => Ok(()),
    }
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("{name} is missing"))
}

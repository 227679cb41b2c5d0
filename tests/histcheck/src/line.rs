//! One line of the text.

use std::fmt::Display;
use std::io::{self, Write};

use aether_domain::records::StoredCommit;
use aether_domain::testing::history::{Book, Kept, Told};
use serde::{Deserialize, Serialize};

/// The most bytes of one line.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    #[default]
    Call,
    Done,
    Seen,
    No,
    Unsure,
    Stored,
    Born,
}

/// Any line: flat, since that is read several times faster than one of seven shapes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Line {
    #[serde(rename = "line")]
    pub(crate) kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) t: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) op: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<u64>,
}

/// Writes a book, and what is stored of each of its actors, as text.
///
/// # Errors
/// It cannot be written, or a value is no whole number below 2^63.
pub fn write<'a, A: Ord + Clone + Display + 'a>(
    book: &Book<A, u64>,
    mut kept: impl FnMut(&A) -> Kept<'a, u64>,
    mut to: impl Write,
) -> io::Result<()> {
    let value = |value: u64| i64::try_from(value).map(Some).map_err(io::Error::other);
    let mut line = |line: Line| -> io::Result<()> {
        serde_json::to_writer(&mut to, &line)?;
        to.write_all(b"\n")
    };
    for (op, asked) in book.calls().enumerate() {
        let op = Some(op as u64);
        let (actor, id) = (Some(asked.actor.to_string()), Some(format!("{:x}", asked.name)));
        let t = Some(asked.called as u64);
        line(Line { t, op, actor, id, turn: asked.in_turn, ..Line::default() })?;
        let Some((at, told)) = &asked.told else { continue };
        let end = Line { t: Some(*at as u64), op, ..Line::default() };
        line(match told {
            Told::Done(told) => Line { kind: Kind::Done, value: value(*told)?, ..end },
            Told::Seen { value: told, fresh } => Line { kind: Kind::Seen, value: value(*told)?, stale: !fresh, ..end },
            Told::No => Line { kind: Kind::No, ..end },
            Told::Unsure => Line { kind: Kind::Unsure, ..end },
        })?;
    }
    for actor in book.actors() {
        let Kept { commits, born, commands } = kept(&actor);
        let name = || Some(actor.to_string());
        if let Some(born) = born {
            line(Line { kind: Kind::Born, actor: name(), value: value(born)?, ..Line::default() })?;
        }
        let mut commands = commands.into_iter();
        for StoredCommit { record, at } in commits {
            // A record's events belong to its commands together; the last of them closes it.
            let count = record.commands.len();
            for (nth, (id, told)) in commands.by_ref().take(count).enumerate() {
                let last = nth + 1 == count;
                line(Line {
                    kind: Kind::Stored,
                    actor: name(),
                    sequence: Some(at.sequence.0),
                    epoch: Some(record.shard_epoch.0),
                    version: Some(if last { record.version().0 } else { record.base.0 }),
                    events: Some(if last { record.events.len() as u64 } else { 0 }),
                    id: id.map(|id| format!("{id:x}")),
                    value: value(told)?,
                    ..Line::default()
                })?;
            }
        }
    }
    Ok(())
}

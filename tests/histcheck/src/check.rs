//! The judgement. See the crate's documentation for what is judged.

use std::collections::HashMap;
use std::fmt;

use crate::history::{End, History, Name, Op, Stored};

/// The most violations that a report keeps; the rest are counted.
pub const VIOLATIONS_KEPT: usize = 100;

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// An acknowledged write is not in the history.
    Lost,
    /// A write is in the history more than once.
    Doubled,
    /// A write is in the history of which everybody who asked for it was told that nothing was applied.
    AppliedThoughRefused,
    /// A write is in the history that nobody asked for.
    FromNowhere,
    /// A write is stored with another amount than it was asked with.
    Changed,
    /// A write stands before something that was acknowledged before it was asked.
    OutOfOrder,
    /// A write of a lane stands before one that the same lane asked earlier.
    LaneOutOfOrder,
    /// The answer to a write is not what is true where it is stored.
    WrongAnswer,
    /// No place in the history explains a read.
    Unexplained,
    /// A version does not go on from the one before.
    Gap,
    /// A place in the store is not behind the one before.
    SequenceBack,
    /// An owner's epoch is older than the one before.
    EpochBack,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of which kind it is.
    pub wrong: Wrong,
    /// What was found, with the numbers of operations and places in the store.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.wrong, self.found)
    }
}

/// What a caller was told, as far as it was told.
#[derive(Clone, Copy)]
struct Told {
    value: Option<i64>,
    version: Option<u64>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value, self.version) {
            (Some(value), Some(version)) => write!(f, "value {value} at version {version}"),
            (Some(value), None) => write!(f, "value {value}"),
            (None, Some(version)) => write!(f, "version {version}"),
            (None, None) => f.write_str("nothing"),
        }
    }
}

/// What a judgement found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Operations that were judged.
    pub operations: usize,
    /// Of them writes that were acknowledged.
    pub acknowledged: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Operations of which nobody knows whether they were applied.
    pub unknown: usize,
    /// Writes of those that are stored.
    pub unknown_stored: usize,
    /// Stored writes.
    pub stored: usize,
    /// How many things are wrong.
    pub wrong: usize,
    /// The first [`VIOLATIONS_KEPT`] of them.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.wrong == 0
    }

    fn wrong(&mut self, wrong: Wrong, found: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(Violation { wrong, found: found() });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations: {} writes acknowledged, {} reads answered, {} unknown ({} of them stored); {} writes stored; {} wrong",
            self.operations, self.acknowledged, self.reads, self.unknown, self.unknown_stored, self.stored, self.wrong
        )?;
        for violation in &self.violations {
            write!(f, "\n  {violation}")?;
        }
        let left_off = self.wrong - self.violations.len();
        if left_off > 0 { write!(f, "\n  and {left_off} more") } else { Ok(()) }
    }
}

/// One stored write with all that is true there.
#[derive(Clone, Copy)]
struct At {
    actor: Name,
    /// Its place in the actor's history.
    place: usize,
    stored: Stored,
    /// The actor's value after it.
    value: i128,
}

/// What is known of a write's askers.
#[derive(Clone, Copy, Default)]
struct Asked {
    /// When it was first asked.
    first: Option<u64>,
    /// Whether somebody was not told that nothing was applied.
    open: bool,
}

/// Judges a history.
pub fn check(history: &History) -> Report {
    let (operations, stored) = history.size();
    let mut report = Report { operations, stored, ..Report::default() };
    let asked = asked(history);
    let (places, explained) = stored_writes(history, &asked, &mut report);
    let known_before = real_time(history, &places, &explained, &mut report);
    order(history, &places, &explained, &known_before, &mut report);
    report
}

fn asked(history: &History) -> Vec<Asked> {
    let mut asked = vec![Asked::default(); history.writes.len()];
    for op in &history.ops {
        if let Some(write) = op.write {
            let asked = &mut asked[write];
            asked.first = Some(asked.first.map_or(op.invoked, |first| first.min(op.invoked)));
            asked.open |= op.end != End::Failed;
        }
    }
    asked
}

/// An actor's history as reads see it.
struct Explained {
    /// The version after each place.
    versions: Vec<u64>,
    /// The value after each place.
    values: Vec<i128>,
    /// When the last of the writes up to each place was first asked.
    asked_by: Vec<u64>,
}

/// Rules 1 and 4 as far as what is stored shows them; where each write is.
fn stored_writes(history: &History, asked: &[Asked], report: &mut Report) -> (Vec<Option<At>>, Vec<Explained>) {
    let mut places: Vec<Option<At>> = vec![None; history.writes.len()];
    let mut explained = Vec::new();
    for (actor, stored) in history.stored.iter().enumerate() {
        let name = history.actors.text(actor);
        let (mut value, mut asked_by) = (0_i128, 0);
        let mut seen = Explained { versions: vec![], values: vec![], asked_by: vec![] };
        let mut before = Stored { sequence: 0, epoch: 0, version: 0, events: 0, write: 0, add: 0 };
        for (place, at) in stored.iter().enumerate() {
            let (write, sequence) = (history.writes.text(at.write), at.sequence);
            if sequence <= before.sequence {
                report.wrong(Wrong::SequenceBack, || {
                    format!("{name} has sequence {sequence} behind {}", before.sequence)
                });
            }
            if at.epoch < before.epoch {
                report.wrong(Wrong::EpochBack, || {
                    format!("{name} has epoch {} behind {} at sequence {sequence}", at.epoch, before.epoch)
                });
            }
            let expected = before.version.saturating_add(at.events);
            if at.version != expected {
                report.wrong(Wrong::Gap, || {
                    format!("{name} has version {} at sequence {sequence} where {expected} comes next", at.version)
                });
            }
            before = *at;
            value += i128::from(at.add);
            match asked[at.write] {
                Asked { first: None, .. } => {
                    report
                        .wrong(Wrong::FromNowhere, || format!("{write}, at sequence {sequence}, was asked by nobody"));
                }
                Asked { first: Some(first), open } => {
                    asked_by = asked_by.max(first);
                    if !open {
                        report.wrong(Wrong::AppliedThoughRefused, || {
                            format!("{write} is stored at sequence {sequence}, and all who asked were told no")
                        });
                    }
                }
            }
            if places[at.write].is_some() {
                report.wrong(Wrong::Doubled, || format!("{write} is stored again at sequence {sequence}"));
            } else {
                places[at.write] = Some(At { actor, place, stored: *at, value });
            }
            seen.versions.push(at.version);
            seen.values.push(value);
            seen.asked_by.push(asked_by);
        }
        explained.push(seen);
    }
    (places, explained)
}

/// Rules 1 and 3, in the order of time; how many of its actor's stored writes were known to have happened when each
/// operation began.
fn real_time(history: &History, places: &[Option<At>], explained: &[Explained], report: &mut Report) -> Vec<usize> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::with_capacity(history.ops.len() * 2);
    for (index, op) in history.ops.iter().enumerate() {
        moments.push((op.invoked, false, index));
        if let End::Ok { at, .. } = op.end {
            moments.push((at, true, index));
        }
    }
    // What begins at the instant in which something ends is concurrent with it, so it comes first.
    moments.sort_unstable();
    let mut known = vec![0_usize; history.actors.len()];
    let mut known_before = vec![0_usize; history.ops.len()];
    let mut by_value: HashMap<Name, HashMap<i128, Vec<usize>>> = HashMap::new();
    for (_, ended, index) in moments {
        let op = &history.ops[index];
        if !ended {
            known_before[index] = known[op.actor];
            began(history, op, places, report);
            continue;
        }
        let End::Ok { at: answered, value, version } = op.end else { continue };
        let (told, number) = (Told { value, version }, op.number);
        let seen = &explained[op.actor];
        if let Some(write) = op.write {
            report.acknowledged += 1;
            let text = history.writes.text(write);
            let Some(at) = places[write] else {
                report.wrong(Wrong::Lost, || format!("{text} was acknowledged (operation {number}) and is not stored"));
                continue;
            };
            let differs = value.is_some_and(|value| i128::from(value) != at.value)
                || version.is_some_and(|version| version != at.stored.version);
            if differs {
                report.wrong(Wrong::WrongAnswer, || {
                    let version = at.stored.version;
                    format!(
                        "{text} (operation {number}) was answered {told}, stored is {} at version {version}",
                        at.value
                    )
                });
            }
            if seen.asked_by[at.place] > answered {
                report.wrong(Wrong::WrongAnswer, || {
                    format!("{text} (operation {number}) was answered before what precedes it was asked")
                });
            }
            known[op.actor] = known[op.actor].max(at.place + 1);
            continue;
        }
        report.reads += 1;
        let low = if op.stale { 0 } else { known_before[index] };
        let high = seen.asked_by.partition_point(|&asked| asked <= answered);
        match place_of(seen, told, (low, high), by_value.entry(op.actor).or_default()) {
            // Of several places the first: whatever began later is at that one or behind it in any case.
            Some(place) if !op.stale => known[op.actor] = known[op.actor].max(place),
            Some(_) => {}
            None => report.wrong(Wrong::Unexplained, || {
                let version = |count: usize| if count == 0 { 0 } else { seen.versions[count - 1] };
                let (actor, low, high) = (history.actors.text(op.actor), version(low), version(high));
                format!("a read of {actor} (operation {number}) was answered {told}, true at no version from {low} to {high}")
            }),
        }
    }
    known_before
}

/// An operation as it was asked.
fn began(history: &History, op: &Op, places: &[Option<At>], report: &mut Report) {
    let at = op.write.and_then(|write| places[write]);
    if op.end == End::Unknown {
        report.unknown += 1;
        report.unknown_stored += usize::from(at.is_some());
    }
    if let Some(at) = at
        && at.stored.add != op.add
    {
        let (write, stored) = (history.writes.text(at.stored.write), at.stored.add);
        report.wrong(Wrong::Changed, || {
            format!("{write} was asked to add {} (operation {}), stored is {stored}", op.add, op.number)
        });
    }
}

/// After how many of the stored writes, within these bounds, that is true.
fn place_of(
    seen: &Explained,
    told: Told,
    (low, high): (usize, usize),
    by_value: &mut HashMap<i128, Vec<usize>>,
) -> Option<usize> {
    let value_at = |count: usize| if count == 0 { 0 } else { seen.values[count - 1] };
    match (told.version, told.value) {
        (Some(version), value) => {
            let count = if version == 0 { 0 } else { seen.versions.binary_search(&version).ok()? + 1 };
            let fits = value.is_none_or(|value| i128::from(value) == value_at(count));
            (fits && (low..=high).contains(&count)).then_some(count)
        }
        (None, Some(value)) => {
            if by_value.is_empty() {
                for count in 0..=seen.values.len() {
                    by_value.entry(value_at(count)).or_default().push(count);
                }
            }
            let counts = by_value.get(&i128::from(value))?;
            let next = counts[counts.partition_point(|&count| count < low)..].first()?;
            (*next <= high).then_some(*next)
        }
        (None, None) => (low <= high).then_some(low),
    }
}

/// Rules 2 and 5. A write that was asked again is judged by when it was asked first.
fn order(
    history: &History,
    places: &[Option<At>],
    explained: &[Explained],
    known_before: &[usize],
    report: &mut Report,
) {
    let mut first: Vec<Option<usize>> = vec![None; history.writes.len()];
    for (index, op) in history.ops.iter().enumerate() {
        if let Some(write) = op.write {
            let earliest = first[write].get_or_insert(index);
            if history.ops[*earliest].invoked > op.invoked {
                *earliest = index;
            }
        }
    }
    let mut lanes = Vec::new();
    for (index, at) in first.into_iter().zip(places).filter_map(|(index, at)| index.zip(*at)) {
        let op = &history.ops[index];
        if at.place < known_before[index] {
            let known = explained[at.actor].versions[known_before[index] - 1];
            let (write, version) = (history.writes.text(at.stored.write), at.stored.version);
            report.wrong(Wrong::OutOfOrder, || {
                format!(
                    "{write} is version {version}, but {known} was known before it was asked (operation {})",
                    op.number
                )
            });
        }
        if let Some(lane) = op.lane {
            lanes.push((lane, op.actor, op.invoked, at.place, index));
        }
    }
    lanes.sort_unstable();
    for pair in lanes.windows(2) {
        let [(lane, actor, _, before, earlier), (next_lane, next_actor, _, place, index)] = *pair else { continue };
        if (lane, actor) == (next_lane, next_actor) && place < before {
            let (op, earlier) = (&history.ops[index], history.ops[earlier].number);
            report.wrong(Wrong::LaneOutOfOrder, || {
                let actor = history.actors.text(actor);
                format!("operation {} is stored in {actor} before operation {earlier} of the same lane", op.number)
            });
        }
    }
}

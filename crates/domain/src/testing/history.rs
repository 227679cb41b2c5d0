//! Whether stored histories are what askers were told: the one judge of every test that asks, breaks things and compares.
//!
//! A [`Book`] keeps what was asked and what was told, in the order in which it happened. In the end [`Book::check`] holds
//! it against the stored records of each actor:
//!
//! - records are chained, versions contiguous, shard epochs never fall;
//! - whatever was acknowledged is there exactly once, with the reply that was told, whoever asked again;
//! - whatever was certainly not stored is not there, and nothing is there that nobody asked;
//! - whatever was acknowledged before something else was asked stands before it;
//! - whoever asked in turn, without waiting for answers, stands there in that order;
//! - an answer that changed nothing is that of a moment between the last acknowledgement before it was asked and the last
//!   record that can have been there when it was told, and no such moment goes back.
//!
//! It takes O(n log n) for n operations. A name says which command is which: an operation asked again under its name is
//! the same operation. Values are compared, never understood; where an actor's replies say how far it has come, each of
//! them names a moment.
//!
//! ```
//! use aether_domain::testing::history::{Book, Kept, Told, Wrong};
//!
//! let mut book = Book::default();
//! let call = book.call("account/1", 7);
//! book.told(call, Told::Done(30));
//! let wrong = book.check("account/1", &Kept { commits: &[], born: None, commands: Vec::new() }).expect_err("it is lost");
//! assert_eq!(wrong.to_string(), "account/1: 7 was acknowledged, and is not in the history");
//! ```

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};

use crate::records::{Head, StoredCommit};

/// What is known of one actor from its stored records.
#[derive(Clone, Debug)]
pub struct Kept<'a, V> {
    /// All of its records, in order.
    pub commits: &'a [StoredCommit],
    /// What it was like before its first command; nothing if no answer that changes nothing is compared.
    pub born: Option<V>,
    /// Every command in them, in order: its name, or none if nobody kept a book about it, and what an asker must have
    /// been told.
    pub commands: Vec<(Option<u128>, V)>,
}

/// What somebody was told about one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<V> {
    /// It is stored, and this is the reply.
    Done(V),
    /// It changed nothing: the actor was like this at some moment. `fresh`: a moment that no acknowledgement before the
    /// question comes after.
    Seen {
        /// What the actor was like.
        value: V,
        /// Whether it must be a moment that is late enough.
        fresh: bool,
    },
    /// It is not stored, nor will be.
    No,
    /// It may be stored or not.
    Unsure,
}

/// A question under way: what [`Book::told`] is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call(usize);

/// Who was asked what, and what they said. `A` names an actor, `V` is what is compared.
#[derive(Clone, Debug)]
pub struct Book<A, V> {
    calls: Vec<Asking<A, V>>,
    /// How many things have happened: calls and answers.
    moment: usize,
}

/// One question, as a book keeps it.
#[derive(Clone, Debug)]
pub struct Asking<A, V> {
    /// Who was asked.
    pub actor: A,
    /// Which operation it is.
    pub name: u128,
    /// Whose turn it was, if they were taken.
    pub in_turn: Option<u64>,
    /// The moment at which it was asked: how many things had happened in the book.
    pub called: usize,
    /// The moment at which it was answered, and how; nothing if it never was.
    pub told: Option<(usize, Told<V>)>,
}

/// What a history and a book do not agree about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The actor and what is wrong with it.
    what: String,
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Wrong {}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Operations that were acknowledged.
    pub done: u64,
    /// Answers that changed nothing.
    pub seen: u64,
    /// Operations that are certainly not stored.
    pub no: u64,
    /// Operations of which nobody was told what became of them.
    pub unsure: u64,
    /// How many of those are stored.
    pub unsure_and_stored: u64,
    /// Records.
    pub records: u64,
}

impl std::ops::AddAssign for Agreed {
    fn add_assign(&mut self, more: Self) {
        self.done += more.done;
        self.seen += more.seen;
        self.no += more.no;
        self.unsure += more.unsure;
        self.unsure_and_stored += more.unsure_and_stored;
        self.records += more.records;
    }
}

impl Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, seen, no, unsure, unsure_and_stored, records } = self;
        write!(
            f,
            "{done} acknowledged, {seen} seen, {no} not taken, {unsure} unsure ({unsure_and_stored} of them stored), {records} \
             records"
        )
    }
}

impl<A, V> Default for Book<A, V> {
    fn default() -> Self {
        Self { calls: Vec::new(), moment: 0 }
    }
}

/// One operation, however often it was asked.
struct Operation<V> {
    /// When it was asked first.
    called: usize,
    /// When it was first acknowledged, and how.
    done: Option<(usize, V)>,
    /// Whether somebody was told that it is not stored, for good.
    refused: bool,
    /// Whether somebody does not know.
    unsure: bool,
}

impl<A: Ord + Clone + Display, V: Ord + Clone + Debug> Book<A, V> {
    /// Somebody begins to ask. `name` says which operation it is; the same one again is a repeat.
    pub fn call(&mut self, actor: A, name: u128) -> Call {
        self.begin(actor, name, None)
    }

    /// As [`Self::call`], by somebody who asks this actor one thing after the other through one node, not waiting for
    /// answers: what is stored of it must stand in that order. For runs in which the order is promised: owners may change by
    /// moves that are completed, and nothing is lost on the way or refused by itself.
    pub fn call_in_turn(&mut self, actor: A, name: u128, asker: u64) -> Call {
        self.begin(actor, name, Some(asker))
    }

    fn begin(&mut self, actor: A, name: u128, in_turn: Option<u64>) -> Call {
        self.moment += 1;
        self.calls.push(Asking { actor, name, in_turn, called: self.moment, told: None });
        Call(self.calls.len() - 1)
    }

    /// Somebody is told. Who is never told does not know.
    pub fn told(&mut self, call: Call, told: Told<V>) {
        self.moment += 1;
        self.calls[call.0].told = Some((self.moment, told));
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.calls.len()
    }

    /// Every actor that was asked, once.
    pub fn actors(&self) -> Vec<A> {
        let mut actors: Vec<_> = self.calls.iter().map(|asking| asking.actor.clone()).collect();
        actors.sort();
        actors.dedup();
        actors
    }

    /// Every name anything was asked under.
    pub fn names(&self) -> std::collections::BTreeSet<u128> {
        self.calls.iter().map(|asking| asking.name).collect()
    }

    /// Every call, in order, with what was told. For comparing two runs.
    pub fn lines(&self) -> Vec<String> {
        let line =
            |asking: &Asking<A, V>| format!("{} {:x} {} {:?}", asking.actor, asking.name, asking.called, asking.told);
        self.calls.iter().map(line).collect()
    }

    /// Every question, in the order in which they were asked.
    pub fn calls(&self) -> impl Iterator<Item = &Asking<A, V>> {
        self.calls.iter()
    }

    /// Holds the records of each actor, and of those `besides`, against the book; `kept` is asked for them. Tells of each
    /// actor what was compared, or the first thing that is wrong.
    pub fn check_each<'a>(
        &self,
        besides: impl IntoIterator<Item = A>,
        mut kept: impl FnMut(&A) -> Kept<'a, V>,
    ) -> Vec<(A, Result<Agreed, Wrong>)> {
        let mut by_actor: BTreeMap<A, Vec<&Asking<A, V>>> = BTreeMap::new();
        for asking in &self.calls {
            by_actor.entry(asking.actor.clone()).or_default().push(asking);
        }
        for actor in besides {
            by_actor.entry(actor).or_default();
        }
        let judged = by_actor.into_iter().map(|(actor, calls)| {
            let judged = judge(&kept(&actor), &calls).map_err(|what| Wrong { what: format!("{actor}: {what}") });
            (actor, judged)
        });
        judged.collect()
    }

    /// Holds the records of each actor against the book; `kept` is asked for them.
    ///
    /// # Errors
    /// [`Wrong`]: the first thing that is.
    pub fn check_all<'a>(&self, kept: impl FnMut(&A) -> Kept<'a, V>) -> Result<Agreed, Wrong> {
        let mut agreed = Agreed::default();
        for (_, judged) in self.check_each([], kept) {
            agreed += judged?;
        }
        Ok(agreed)
    }

    /// Holds the records of one actor against the book.
    ///
    /// # Errors
    /// [`Wrong`]: the first thing that is.
    pub fn check(&self, actor: A, kept: &Kept<'_, V>) -> Result<Agreed, Wrong> {
        let calls: Vec<_> = self.calls.iter().filter(|asking| asking.actor == actor).collect();
        judge(kept, &calls).map_err(|what| Wrong { what: format!("{actor}: {what}") })
    }
}

/// Whether an actor's records are chained as they must be.
///
/// # Errors
/// What is wrong with which.
pub fn check_chain(commits: &[StoredCommit]) -> Result<(), String> {
    let (mut head, mut ids) = (Head::default(), std::collections::BTreeSet::new());
    for commit in commits {
        let place = commit.at.sequence;
        head = head.follow(commit).map_err(|broken| format!("the record at {place}: {broken}"))?;
        if let Some(twice) = commit.record.commands.iter().find(|mark| !ids.insert(mark.id)) {
            return Err(format!("the record at {place} has command {} once more", twice.id));
        }
    }
    Ok(())
}

fn judge<A, V: Ord + Clone + Debug>(kept: &Kept<'_, V>, calls: &[&Asking<A, V>]) -> Result<Agreed, String> {
    check_chain(kept.commits)?;
    let operations = operations(calls)?;
    // Which places have which value: place n is the actor after n commands.
    let mut places: BTreeMap<&V, Vec<usize>> = kept.born.iter().map(|born| (born, vec![0])).collect();
    let mut stored: BTreeMap<u128, usize> = BTreeMap::new();
    // By place: when, at the earliest, everything up to it can have been there.
    let mut asked_by = vec![0];
    for (nth, (name, value)) in kept.commands.iter().enumerate() {
        let place = nth + 1;
        places.entry(value).or_default().push(place);
        let mut called = 0;
        if let Some(name) = name {
            if stored.insert(*name, place).is_some() {
                return Err(format!("{name:x} is in the history twice"));
            }
            let Some(operation) = operations.get(name) else {
                return Err(format!("{name:x} is in the history, and nobody asked it"));
            };
            if operation.refused {
                return Err(format!("{name:x} was refused, and is in the history"));
            }
            if operation.done.is_none() && !operation.unsure {
                return Err(format!("{name:x} is in the history, and everybody was told that it is not"));
            }
            called = operation.called;
        }
        asked_by.push(called.max(asked_by[nth]));
    }
    in_turn(calls, &operations, &stored)?;
    let mut agreed = Agreed { records: kept.commits.len() as u64, ..Agreed::default() };
    // Acknowledgements in order, each with the latest place acknowledged up to it.
    let mut acknowledged: Vec<(usize, usize)> = Vec::new();
    for (name, operation) in &operations {
        let Some((at, value)) = &operation.done else {
            if operation.unsure && !operation.refused {
                agreed.unsure += 1;
                agreed.unsure_and_stored += u64::from(stored.contains_key(name));
            } else {
                agreed.no += u64::from(!operation.refused);
            }
            continue;
        };
        agreed.done += 1;
        let Some(place) = stored.get(name).copied() else {
            return Err(format!("{name:x} was acknowledged, and is not in the history"));
        };
        let reply = &kept.commands[place - 1].1;
        if reply != value {
            return Err(format!("{name:x} was told {value:?}, and the history says {reply:?}"));
        }
        // Whatever stands up to here was asked by then.
        if asked_by[place] > *at {
            return Err(format!("{name:x} was acknowledged at {at}, and stands behind what was asked later"));
        }
        acknowledged.push((*at, place));
    }
    latest_so_far(&mut acknowledged);
    agreed.seen = match kept.born {
        Some(_) => looks(calls, &places, &asked_by, &acknowledged)?,
        None => calls.iter().filter(|asking| matches!(asking.told, Some((_, Told::Seen { .. })))).count() as u64,
    };
    Ok(agreed)
}

/// Every operation, its attempts put together. A name that only changed nothing is none.
fn operations<A, V: Ord + Clone + Debug>(calls: &[&Asking<A, V>]) -> Result<BTreeMap<u128, Operation<V>>, String> {
    let mut operations: BTreeMap<u128, Operation<V>> = BTreeMap::new();
    for Asking { name, called, told, .. } in calls.iter().copied() {
        let operation = operations.entry(*name).or_insert_with(|| Operation {
            called: *called,
            done: None,
            refused: false,
            unsure: false,
        });
        match told {
            None | Some((_, Told::Unsure)) => operation.unsure = true,
            Some((_, Told::No)) => {}
            Some((_, Told::Seen { .. })) => operation.refused = true,
            Some((at, Told::Done(value))) => match &mut operation.done {
                Some((_, first)) if first != value => {
                    return Err(format!("{name:x} was told {first:?} and then {value:?}"));
                }
                Some((first, _)) => *first = (*first).min(*at),
                none => *none = Some((*at, value.clone())),
            },
        }
    }
    match operations.iter().find(|(_, operation)| operation.refused && operation.done.is_some()) {
        Some((name, _)) => Err(format!("{name:x} was acknowledged, and answered as if it had changed nothing")),
        None => Ok(operations),
    }
}

/// Whether what was asked in turn stands in that order.
fn in_turn<A, V>(
    calls: &[&Asking<A, V>],
    operations: &BTreeMap<u128, Operation<V>>,
    stored: &BTreeMap<u128, usize>,
) -> Result<(), String> {
    let mut last: BTreeMap<u64, (usize, u128)> = BTreeMap::new();
    for Asking { name, in_turn, called, .. } in calls.iter().copied() {
        let (Some(asker), Some(place)) = (in_turn, stored.get(name)) else { continue };
        // Asked again it is the same operation, whose turn was the first time.
        if operations.get(name).is_some_and(|operation| operation.called != *called) {
            continue;
        }
        if let Some((before, earlier)) = last.insert(*asker, (*place, *name))
            && before > *place
        {
            return Err(format!("{name:x} was asked in turn after {earlier:x}, and stands before it"));
        }
    }
    Ok(())
}

/// Sorts by moment and lets each place be the latest so far.
fn latest_so_far(marks: &mut [(usize, usize)]) {
    marks.sort_unstable();
    let mut latest = 0;
    for (_, place) in marks {
        latest = latest.max(*place);
        *place = latest;
    }
}

/// The latest place marked before `moment`.
fn before(marks: &[(usize, usize)], moment: usize) -> usize {
    let count = marks.partition_point(|(at, _)| *at < moment);
    count.checked_sub(1).map_or(0, |last| marks[last].1)
}

/// Finds each answer that changed nothing its moment, the earliest that will do.
fn looks<A, V: Ord + Clone + Debug>(
    calls: &[&Asking<A, V>],
    places: &BTreeMap<&V, Vec<usize>>,
    asked_by: &[usize],
    acknowledged: &[(usize, usize)],
) -> Result<u64, String> {
    let mut seen = 0;
    // Fresh answers in the order in which they were told, each with the latest place seen up to it.
    let mut told: Vec<(usize, usize)> = Vec::new();
    let mut waiting: BTreeMap<usize, usize> = BTreeMap::new();
    // Calls are in order already: they are kept as they happen.
    for Asking { name, called, told: answer, .. } in calls.iter().copied() {
        let Some((at, Told::Seen { value, fresh })) = answer else { continue };
        seen += 1;
        while let Some(first) = waiting.first_entry().filter(|first| first.key() < called) {
            let (moment, place) = first.remove_entry();
            let latest = told.last().map_or(0, |(_, place)| *place).max(place);
            told.push((moment, latest));
        }
        let earliest = if *fresh { before(acknowledged, *called).max(before(&told, *called)) } else { 0 };
        // What was asked after this was told cannot have been there.
        let latest = asked_by.partition_point(|asked| asked < at) - 1;
        let found = places.get(value).map_or(&[][..], Vec::as_slice);
        let place = found.get(found.partition_point(|place| *place < earliest)).copied();
        let Some(place) = place.filter(|place| *place <= latest) else {
            return Err(format!(
                "{name:x} saw {value:?}, which the actor was not between command {earliest} and command {latest}"
            ));
        };
        if *fresh {
            waiting.insert(*at, place);
        }
    }
    Ok(seen)
}

/// The records of an actor with what an asker of each command must have been told: the reply that is stored with it, and
/// the application's own name for it.
pub fn as_stored(commits: &[StoredCommit]) -> Kept<'_, bytes::Bytes> {
    let marks = commits.iter().flat_map(|commit| &commit.record.commands);
    let commands = marks.map(|mark| (mark.message.map(|message| message.0), mark.reply.clone())).collect();
    Kept { commits, born: None, commands }
}

#[cfg(test)]
mod tests;

//! What the server holds: control records, the topology log and actor histories, under compare-and-set.
//!
//! This is the honest part: it never fails or delays, and forgets only what it is told to. Faults are laid over it by
//! whoever uses it ([`Fabric`](super::Fabric) in virtual time, [`MemoryHub`](crate::MemoryHub) in real time). What it
//! keeps grows with what is written, as a history must.

use std::collections::{BTreeMap, VecDeque};

use aether_domain::ids::{ActorAddress, Revision, Sequence};
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::{ControlUpdate, Expected};
use aether_domain::records::{
    ActorSnapshot, CommitRecord, ControlKey, ControlRecord, Entry, MemberState, Position, StoredCommit, StoredEntry,
    StoredRecord,
};

use super::letters::Letters;
use super::outcome::{AppendFailure, Op, Outcome, ReadFailure, WriteFailure};
use super::render::{self, Rendered};

/// How many earlier records of a key are kept, for stale reads.
const EARLIER_RECORDS_MAX: usize = 8;

/// How many snapshots of an actor are kept.
const SNAPSHOTS_KEPT: usize = 2;

/// The stores of one server.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// Each key's records, oldest first, the present one last. Invariant: never empty once there.
    records: BTreeMap<ControlKey, VecDeque<StoredRecord>>,
    /// The key last written at each revision that is still a key's present one.
    written: BTreeMap<Revision, ControlKey>,
    /// The keys that hold something nobody can understand, and at which revision.
    spoiled: BTreeMap<ControlKey, Revision>,
    /// The last revision given out.
    revision: Revision,
    /// Invariant: the entry at index `n` has sequence `n + 1`.
    log: Vec<StoredEntry>,
    histories: BTreeMap<ActorAddress, Vec<StoredCommit>>,
    /// Whose each commit is. Invariant: the one at index `n` has sequence `n + 1`.
    writers: Vec<ActorAddress>,
    /// Commands that were given up.
    pub letters: Letters,
    /// Each actor's last snapshots, oldest first, at most [`SNAPSHOTS_KEPT`].
    snapshots: BTreeMap<ActorAddress, VecDeque<ActorSnapshot>>,
}

impl Stores {
    /// The record last written under `key`, if it was ever written; what spoiled it since is passed over.
    pub fn control(&self, key: &ControlKey) -> Option<&StoredRecord> {
        self.records.get(key)?.back()
    }

    /// The record that was under `key` up to `back` writes ago: the oldest one kept if there were fewer.
    pub fn control_earlier(&self, key: &ControlKey, back: usize) -> Option<&StoredRecord> {
        let records = self.records.get(key)?;
        records.get(records.len().saturating_sub(back + 1))
    }

    /// Every key's present record that was written behind `after`, in order of revision; those that are spoiled, and the
    /// topology's snapshot, are left out.
    pub fn control_since(&self, after: Revision) -> impl Iterator<Item = &StoredRecord> {
        let written = self.watched_since(after).filter(|key| !self.spoiled.contains_key(key));
        written.filter_map(|key| self.control(key))
    }

    /// The keys written behind `after` of which a watch tells: all but the topology's snapshot.
    fn watched_since(&self, after: Revision) -> impl Iterator<Item = &ControlKey> {
        self.written.range(after.next()..).map(|(_, key)| key).filter(|key| **key != ControlKey::TopologySnapshot)
    }

    /// What a watcher is told of every key written behind `after`, in order of revision.
    pub(super) fn updates_since(&self, after: Revision) -> impl Iterator<Item = ControlUpdate> {
        self.watched_since(after).filter_map(|key| match self.spoiled.get(key) {
            Some(_) => Some(ControlUpdate::Corrupt { key: format!("{key:?}"), reason: "it was spoiled".to_owned() }),
            None => self.control(key).cloned().map(ControlUpdate::Record),
        })
    }

    /// The revision that a write under `key` must name.
    fn present(&self, key: &ControlKey) -> Revision {
        let written = self.control(key).map_or(Revision::ZERO, |stored| stored.revision);
        self.spoiled.get(key).copied().unwrap_or(written)
    }

    /// Lets something that nobody can understand be written under `key`, over whatever is there; nothing, if nothing is.
    pub(super) fn spoil(&mut self, key: &ControlKey) -> bool {
        if self.control(key).is_none() {
            return false;
        }
        self.written.remove(&self.present(key));
        self.revision = self.revision.next();
        self.written.insert(self.revision, key.clone());
        self.spoiled.insert(key.clone(), self.revision);
        true
    }

    /// The revision of the last write in the store.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Writes `record` under its own key if the key is as `expected`.
    ///
    /// # Errors
    /// [`WriteFailure::Conflict`] naming the present revision; nothing was written.
    pub fn write(&mut self, record: &ControlRecord, expected: Expected) -> Result<Revision, WriteFailure> {
        let key = record.key();
        let present = self.present(&key);
        if present != expected.revision() && !is_blind(record) {
            return Err(WriteFailure::Conflict { actual: Some(present) });
        }
        Ok(self.write_over(record))
    }

    /// Writes `record` under its own key, whatever is there.
    pub(super) fn write_over(&mut self, record: &ControlRecord) -> Revision {
        let key = record.key();
        let present = self.present(&key);
        self.revision = self.revision.next();
        self.written.remove(&present);
        self.written.insert(self.revision, key.clone());
        self.spoiled.remove(&key);
        let records = self.records.entry(key).or_default();
        if records.len() > EARLIER_RECORDS_MAX {
            records.pop_front();
        }
        records.push_back(StoredRecord { record: record.clone(), revision: self.revision });
        self.revision
    }

    /// The entries behind `after`, in order.
    pub fn entries(&self, after: Sequence) -> &[StoredEntry] {
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(self.log.len());
        &self.log[from..]
    }

    /// Loses the last entries of the log, as a server may that had not written to disk what it acknowledged.
    pub(super) fn lose_entries(&mut self, count: usize) {
        self.log.truncate(self.log.len().saturating_sub(count));
    }

    /// Appends `entry` if the log's last sequence is `after`.
    ///
    /// # Errors
    /// [`AppendFailure::TooLarge`] or [`AppendFailure::Conflict`]; nothing was appended.
    pub fn append_entry(&mut self, entry: &Entry, after: Sequence) -> Result<Position, AppendFailure> {
        self.append_rendered_entry(entry, render::entry(entry)?, after)
    }

    /// As [`Self::append_entry`], for whoever has rendered the entry already.
    pub(crate) fn append_rendered_entry(
        &mut self,
        entry: &Entry,
        rendered: Rendered,
        after: Sequence,
    ) -> Result<Position, AppendFailure> {
        let tail = Sequence(self.log.len() as u64);
        if tail != after && !is_on(Mutant::AppendsWithoutCas) {
            return Err(AppendFailure::Conflict { expected: after, actual: Some(tail) });
        }
        let at = Position { sequence: tail.next(), hash: rendered.hash };
        self.log.push(StoredEntry { entry: entry.clone(), at });
        Ok(at)
    }

    /// The actor's commits behind `after`, in order.
    pub fn commits(&self, actor: &ActorAddress, after: Sequence) -> &[StoredCommit] {
        let history = self.histories.get(actor).map_or(&[][..], Vec::as_slice);
        &history[history.partition_point(|stored| stored.at.sequence <= after)..]
    }

    /// Every actor that has a history, with it; in order of address.
    pub fn histories(&self) -> impl Iterator<Item = (&ActorAddress, &[StoredCommit])> {
        self.histories.iter().map(|(actor, history)| (actor, history.as_slice()))
    }

    /// The last sequence given out to any history.
    pub fn events_end(&self) -> Sequence {
        Sequence(self.writers.len() as u64)
    }

    /// Everybody's commits behind `after`, in the order in which they were stored.
    pub fn commits_since(&self, after: Sequence) -> impl Iterator<Item = (&ActorAddress, &StoredCommit)> {
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(self.writers.len());
        self.writers[from..]
            .iter()
            .zip(from as u64..)
            .filter_map(|(actor, before)| Some((actor, self.commits(actor, Sequence(before)).first()?)))
    }

    /// Appends `record` if the actor's last commit is at `after`.
    ///
    /// # Errors
    /// [`AppendFailure::TooLarge`] or [`AppendFailure::Conflict`]; nothing was appended.
    pub fn append_commit(
        &mut self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendFailure> {
        self.append_rendered_commit(actor, record, render::commit(record)?, after)
    }

    /// As [`Self::append_commit`], for whoever has rendered the record already.
    pub(crate) fn append_rendered_commit(
        &mut self,
        actor: &ActorAddress,
        record: &CommitRecord,
        rendered: Rendered,
        after: Sequence,
    ) -> Result<Position, AppendFailure> {
        let tail = self.commits(actor, Sequence::ZERO).last().map_or(Sequence::ZERO, |stored| stored.at.sequence);
        if tail != after {
            return Err(AppendFailure::Conflict { expected: after, actual: Some(tail) });
        }
        let at = Position { sequence: self.events_end().next(), hash: rendered.hash };
        self.writers.push(actor.clone());
        self.histories.entry(actor.clone()).or_default().push(StoredCommit { record: record.clone(), at });
        Ok(at)
    }

    /// The actor's snapshots that are kept, newest first.
    pub fn snapshots(&self, actor: &ActorAddress) -> impl Iterator<Item = &ActorSnapshot> {
        self.snapshots.get(actor).into_iter().flatten().rev()
    }

    /// Keeps a snapshot of the actor; the oldest one makes room.
    pub fn keep_snapshot(&mut self, actor: &ActorAddress, snapshot: &ActorSnapshot) {
        let kept = self.snapshots.entry(actor.clone()).or_default();
        if kept.len() == SNAPSHOTS_KEPT {
            kept.pop_front();
        }
        kept.push_back(snapshot.clone());
    }

    /// Runs an operation as the server would with nothing in the way; `None` for [`Op::Send`], which is not stored.
    pub fn run(&mut self, op: &Op) -> Option<Outcome> {
        Some(match op {
            Op::ReadControl(key) => Outcome::Control(match self.spoiled.get(key) {
                Some(revision) => Err(ReadFailure::Corrupt { revision: *revision }),
                None => Ok(self.control(key).cloned()),
            }),
            Op::WriteControl { record, expected } => Outcome::Written(self.write(record, *expected)),
            Op::AppendEntry { entry, after } => Outcome::Appended(self.append_entry(entry, *after)),
            Op::ReadLog { after, limit } => {
                Outcome::Log(Ok(self.entries(*after).iter().take(*limit).cloned().collect()))
            }
            Op::AppendCommit { actor, record, after } => Outcome::Appended(self.append_commit(actor, record, *after)),
            Op::ReadHistory { actor, after, .. } => Outcome::History(Ok(self.commits(actor, *after).to_vec())),
            Op::Send { .. } => return None,
        })
    }
}

/// Whether that record is stored whatever lies there: never, but for a mutant that leaves the expectation out.
fn is_blind(record: &ControlRecord) -> bool {
    match record {
        ControlRecord::Member(member) if member.state == MemberState::Fenced => is_on(Mutant::FencesWithoutCas),
        ControlRecord::Member(_) => is_on(Mutant::BeatsWithoutCas),
        _ => false,
    }
}

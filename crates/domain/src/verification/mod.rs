//! Whether what a namespace has stored is what it must be, found out from the records alone.
//!
//! A [`Verification`] is told the topology log, every commit in the order in which it was stored, and then what is kept beside
//! histories; it answers each thing that is wrong with a [`Finding`]. It reads nothing, keeps one [`Head`] an actor, its open
//! timers, and eight bytes a command, and can look at a cluster that goes on writing: whoever feeds it reads the histories up to
//! a place, and the log afterwards ([`Verification::is_behind`]).
//!
//! What holds of every namespace, however its nodes, networks and servers fail, as long as the store keeps what it has acknowledged:
//!
//! - every entry of the log follows the one before and breaks no invariant ([`invariants`](crate::invariants));
//! - every history is chained, its versions contiguous, its shard epochs never falling, no command in it twice;
//! - every commit was written by the life to which the log had given the actor's shard under the shard epoch that it carries;
//! - a snapshot ends with a commit that is in the history;
//! - an actor with open timers has a wake that is not later than the first of them.
//!
//! That states follow from events cannot be seen here: only the application's types know.

mod finding;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::assignment::AssignmentEvent;
use crate::ids::{ActorAddress, CommandId, Epoch, Incarnation, NodeId, Sequence, ShardId};
use crate::records::{ActorSnapshot, CommitRecord, Head, StoredCommit, StoredEntry, TimerChange};
use crate::time::WallTime;
use crate::topology::{Topology, TopologyEvent};

pub use finding::Finding;

/// What has been looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries of the topology log.
    pub entries: u64,
    /// Histories.
    pub actors: u64,
    /// Commits in them.
    pub commits: u64,
    /// Events in those.
    pub events: u64,
    /// Commands that those answer.
    pub commands: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Actors with open timers.
    pub timed: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    topology: Topology,
    /// Nothing can be said of what is behind an entry that is wrong.
    log_ends: bool,
    /// Whose a shard was under each shard epoch that the log ever gave.
    given: BTreeMap<(ShardId, Epoch), Incarnation>,
    histories: BTreeMap<ActorAddress, History>,
    /// A hash of each command with its actor.
    commands: BTreeSet<u64>,
    counts: Counts,
}

#[derive(Clone, Debug, Default)]
struct History {
    head: Head,
    /// When each open timer fires.
    timers: BTreeMap<String, WallTime>,
}

impl Verification {
    /// What has been looked at so far.
    pub fn counts(&self) -> Counts {
        Counts { timed: self.timed().count() as u64, ..self.counts }
    }
    /// What the log leads to.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
    /// Whether that commit is fenced with an entry that is still to be told. A log that has no such entry has lost it.
    pub fn is_behind(&self, commit: &CommitRecord) -> bool {
        commit.shard_epoch > self.topology.epoch() && !self.log_ends
    }
    /// Every actor with a history.
    pub fn actors(&self) -> impl Iterator<Item = &ActorAddress> {
        self.histories.keys()
    }
    /// Every actor with an open timer.
    pub fn timed(&self) -> impl Iterator<Item = &ActorAddress> {
        self.histories.iter().filter(|(_, history)| !history.timers.is_empty()).map(|(actor, _)| actor)
    }
    /// Where its history ends, as far as it was told.
    pub fn head(&self, actor: &ActorAddress) -> Head {
        self.histories.get(actor).map(|history| history.head).unwrap_or_default()
    }

    /// The next entry of the log. Behind one that is wrong nothing of the log, and whose a commit was, is judged any more.
    pub fn entry(&mut self, stored: &StoredEntry) -> Vec<Finding> {
        if self.log_ends {
            return Vec::new();
        }
        self.counts.entries += 1;
        if let Err(violations) = self.topology.apply(stored) {
            self.log_ends = true;
            let at = stored.at.sequence;
            return violations.into_iter().map(|violation| Finding::Entry { at, violation }).collect();
        }
        for event in &stored.entry.events {
            let TopologyEvent::Assignment(event) = event else { continue };
            let shards = match event {
                AssignmentEvent::ShardAssigned { shards, .. }
                | AssignmentEvent::ShardMigrated { shards, .. }
                | AssignmentEvent::ShardMigrationFailed { shards, .. } => shards,
                AssignmentEvent::ShardMigrationStarted { .. } | AssignmentEvent::ShardsOrphaned { .. } => continue,
            };
            for shard in shards.iter() {
                if let Some((owner, epoch)) = self.topology.owner(shard) {
                    self.given.insert((shard, epoch), owner.incarnation);
                }
            }
        }
        Vec::new()
    }

    /// An entry that nobody can read.
    pub fn unreadable_entry(&mut self, at: Sequence, reason: String) -> Finding {
        self.log_ends = true;
        Finding::UnreadableEntry { at, reason }
    }

    /// The next commit of that actor. After one that does not follow, its history is judged from there on.
    pub fn commit(&mut self, actor: &ActorAddress, commit: &StoredCommit) -> Vec<Finding> {
        let (record, at) = (&commit.record, commit.at.sequence);
        self.counts.commits += 1;
        self.counts.events += record.events.len() as u64;
        self.counts.commands += record.commands.len() as u64;
        let mut found = Vec::new();
        if let Some(why) = self.not_the_owner(actor, record) {
            found.push(Finding::NotTheOwner { actor: actor.key.clone(), at, owner: record.owner, why });
        }
        for mark in &record.commands {
            if !self.commands.insert(hash_of(actor, mark.id)) {
                found.push(Finding::Repeated { actor: actor.key.clone(), at, command: mark.id });
            }
        }
        if !self.histories.contains_key(actor) {
            self.counts.actors += 1;
        }
        let history = self.histories.entry(actor.clone()).or_default();
        match history.head.follow(commit) {
            Ok(head) => history.head = head,
            Err(broken) => {
                found.push(Finding::Broken { actor: actor.key.clone(), at, broken });
                history.head = commit.head();
            }
        }
        for change in &record.timers {
            match change {
                TimerChange::Set(timer) => {
                    history.timers.insert(timer.name.clone(), timer.due);
                }
                TimerChange::Cancelled { name } | TimerChange::Fired { name, next: None } => {
                    history.timers.remove(name);
                }
                TimerChange::Fired { name, next: Some(next) } => {
                    history.timers.insert(name.clone(), *next);
                }
            }
        }
        found
    }

    fn not_the_owner(&self, actor: &ActorAddress, record: &CommitRecord) -> Option<String> {
        // What a journal writes is fenced by nothing, and belongs to no shard.
        if record.shard_epoch == Epoch::ZERO || self.log_ends {
            return None;
        }
        let shard = actor.slot.shard(self.topology.cluster().settings().shards);
        match self.given.get(&(shard, record.shard_epoch)) {
            Some(owner) if *owner == record.owner => None,
            Some(owner) => Some(format!("shard {shard} was {owner}'s under shard epoch {}", record.shard_epoch)),
            None if record.shard_epoch > self.topology.epoch() => Some(format!(
                "shard epoch {} is beyond the log, which ends at {}",
                record.shard_epoch,
                self.topology.epoch()
            )),
            None => Some(format!("nobody was given shard {shard} under shard epoch {}", record.shard_epoch)),
        }
    }

    /// That actor's snapshot, with its history from the snapshot's own commit on, read after the snapshot.
    pub fn snapshot(
        &mut self,
        actor: &ActorAddress,
        snapshot: &ActorSnapshot,
        commits: &[StoredCommit],
    ) -> Option<Finding> {
        self.counts.snapshots += 1;
        let there = commits.first().is_some_and(|first| first.head() == snapshot.head());
        let at = snapshot.at.sequence;
        (!there).then(|| Finding::Snapshot { actor: actor.key.clone(), at, version: snapshot.version })
    }

    /// When that actor has to be looked at next, by its wake. The wake must have been read while the history ended where
    /// [`Self::head`] says.
    pub fn wake(&self, actor: &ActorAddress, wake: Option<WallTime>) -> Option<Finding> {
        let (timer, due) = self.histories.get(actor)?.timers.iter().min_by_key(|(_, due)| **due)?;
        let late = wake.is_none_or(|wake| wake > *due);
        late.then(|| Finding::Wake { actor: actor.key.clone(), timer: timer.clone(), due: *due, wake })
    }

    /// How far a node says that it has followed the log, read before the last entry was.
    pub fn view(&self, node: &NodeId, view: Epoch) -> Option<Finding> {
        let ends = self.topology.epoch();
        (view > ends && !self.log_ends).then(|| Finding::LogLost { node: node.clone(), view, ends })
    }
}

/// Two commands of ten million have the same with a chance of three in a million.
fn hash_of(actor: &ActorAddress, command: CommandId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (actor, command).hash(&mut hasher);
    hasher.finish()
}

//! What this node has seen in the control store, and since when by its own clock.
//!
//! Silence is judged here, and only over time in which this node itself was well: a node that could not have heard a
//! heartbeat accuses nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::orders::Orders;
use aether_domain::policy::PlacementPolicy;
use aether_domain::records::{ControlRecord, LeaseRecord, MemberRecord, MemberState, ReleaseReport, StoredRecord};
use aether_domain::{Incarnation, Monotonic, NodeId, NodeRef, Revision, ShardId};

/// A member record as last seen.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// What it says.
    pub record: MemberRecord,
    /// Its revision.
    pub revision: Revision,
    /// When this revision was first seen here.
    pub first_seen: Monotonic,
    /// From when the serve lease of the life before this record's (or of this one, if it is fenced) counts down.
    pub over_since: Monotonic,
    /// The last life of this node whose supervisor has seen its process end: it serves nothing, whatever its lease says.
    pub dead: Option<NodeRef>,
}

impl Sighting {
    /// From when on that life of this node has surely stopped serving, if it is over: `safe` after its end was seen, or
    /// at once if its process is known to have ended (R5).
    pub(crate) fn surely_over(&self, life: &NodeRef, safe: Duration) -> Monotonic {
        if self.dead.as_ref() == Some(life) { self.first_seen } else { self.over_since + safe }
    }
}

/// What a life last said that its shards cost it.
#[derive(Clone, Debug)]
pub struct ShardLoadsSeen {
    /// Which life.
    pub node: NodeRef,
    /// When that was first seen here.
    pub first_seen: Monotonic,
    /// By shard, ascending.
    pub loads: Vec<(ShardId, u32)>,
    /// The least of them.
    pub lightest: u32,
}

/// How often nobody must have answered on a life's subject before that says anything.
const UNANSWERED_MIN: u32 = 3;
/// Messages that nobody answered further apart than this are not one story, and one that is over this long says nothing
/// any more: somebody was there for the next one.
const UNANSWERED_GAP_MAX: Duration = Duration::from_millis(600);

/// Messages to a life that met nobody since its record last changed.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    times: u32,
    first: Monotonic,
    last: Monotonic,
}

/// Everything seen in the control store.
#[derive(Debug, Default)]
pub struct Sightings {
    lease: Option<(LeaseRecord, Revision, Monotonic)>,
    members: BTreeMap<NodeId, Sighting>,
    releases: BTreeMap<NodeId, (ReleaseReport, Revision)>,
    desired: Option<(Arc<PlacementPolicy>, Revision)>,
    orders: Option<(Arc<Orders>, Revision)>,
    /// Not every record says it.
    shard_loads: BTreeMap<NodeId, ShardLoadsSeen>,
    /// Of the lives in `members`.
    unanswered: BTreeMap<NodeId, Unanswered>,
    /// The build that a node was last restarted with in the place of another one, and when that was seen.
    rebuilt: Option<(String, Monotonic)>,
    /// Since when this node has been able to hear others; `None` while it is not.
    well_since: Option<Monotonic>,
    /// Whether the watch has lost its connection and not yet told what it missed.
    blind: bool,
}

impl Sightings {
    /// The lease as last seen, its revision, and when that was first seen.
    pub fn lease(&self) -> Option<(&LeaseRecord, Revision, Monotonic)> {
        self.lease.as_ref().map(|(record, revision, seen)| (record, *revision, *seen))
    }
    /// The record of a node.
    pub fn member(&self, node: &NodeId) -> Option<&Sighting> {
        self.members.get(node)
    }
    /// The build that a node was last restarted with in the place of another one, and when that was seen.
    pub(crate) fn rebuilt(&self) -> Option<(&str, Monotonic)> {
        self.rebuilt.as_ref().map(|(build, seen)| (build.as_str(), *seen))
    }
    /// Every node's record, by id.
    pub fn members(&self) -> impl Iterator<Item = (&NodeId, &Sighting)> {
        self.members.iter()
    }
    /// A node's release report and its revision.
    pub fn release(&self, node: &NodeId) -> Option<(&ReleaseReport, Revision)> {
        self.releases.get(node).map(|(report, revision)| (report, *revision))
    }
    /// The placement that an operator wants, and the revision of the record that says so.
    pub fn desired(&self) -> Option<(&Arc<PlacementPolicy>, Revision)> {
        self.desired.as_ref().map(|(policy, revision)| (policy, *revision))
    }
    /// What operators ask beside placement.
    pub fn orders(&self) -> Option<&Arc<Orders>> {
        self.orders.as_ref().map(|(orders, _)| orders)
    }
    /// What each node last said that its shards cost it; it may be long ago.
    pub fn shard_loads(&self) -> impl Iterator<Item = &ShardLoadsSeen> {
        self.shard_loads.values()
    }
    /// Since when this node hears others.
    pub fn well_since(&self) -> Option<Monotonic> {
        self.well_since
    }

    /// Records what was seen; false if it is no news.
    pub(crate) fn saw(&mut self, stored: &StoredRecord, now: Monotonic) -> bool {
        match &stored.record {
            ControlRecord::Lease(record) => {
                let news = self.lease.as_ref().is_none_or(|(_, revision, _)| *revision < stored.revision);
                if news {
                    self.lease = Some((record.clone(), stored.revision, now));
                }
                news
            }
            ControlRecord::Release(report) => {
                let key = &report.node.node;
                let news = self.releases.get(key).is_none_or(|(_, revision)| *revision < stored.revision);
                if news {
                    self.releases.insert(key.clone(), (report.clone(), stored.revision));
                }
                news
            }
            ControlRecord::Placement(record) => {
                let news = self.desired.as_ref().is_none_or(|(_, revision)| *revision < stored.revision);
                if news {
                    self.desired = Some((Arc::clone(&record.policy), stored.revision));
                }
                news
            }
            ControlRecord::Orders(record) => {
                let news = self.orders.as_ref().is_none_or(|(_, revision)| *revision < stored.revision);
                if news {
                    self.orders = Some((Arc::clone(&record.orders), stored.revision));
                }
                news
            }
            // It says nothing that the log does not.
            ControlRecord::Snapshot(_) => false,
            ControlRecord::Member(record) => {
                let key = &record.node.node;
                let before = self.members.get(key);
                if before.is_some_and(|before| before.revision >= stored.revision) {
                    return false;
                }
                let fenced = |record: &MemberRecord| record.state == MemberState::Fenced;
                let over_since = match before {
                    // The same life goes on (or was over before, or has died): what counted before still counts.
                    Some(before)
                        if before.record.node == record.node
                            && (fenced(&before.record) == fenced(record) || record.state == MemberState::Dead) =>
                    {
                        before.over_since
                    }
                    _ => now,
                };
                let died = (record.state == MemberState::Dead).then(|| record.node.clone());
                let dead = died.or_else(|| before.and_then(|before| before.dead.clone()));
                if before.is_some_and(|seen| seen.record.node != record.node && seen.record.build != record.build) {
                    self.rebuilt = Some((record.build.clone(), now));
                }
                self.unanswered.remove(key);
                if !record.shard_loads.is_empty() {
                    let (node, mut loads) = (record.node.clone(), record.shard_loads.clone());
                    loads.sort_unstable();
                    let lightest = loads.iter().map(|(_, load)| *load).min().unwrap_or_default();
                    self.shard_loads.insert(key.clone(), ShardLoadsSeen { node, first_seen: now, loads, lightest });
                }
                let (record, revision) = (record.clone(), stored.revision);
                self.members.insert(key.clone(), Sighting { record, revision, first_seen: now, over_since, dead });
                true
            }
        }
    }

    /// A message to that life met nobody.
    pub(crate) fn unanswered(&mut self, node: &NodeRef, now: Monotonic) {
        if self.life(&node.node) != Some(node.incarnation) {
            return;
        }
        let fresh = Unanswered { times: 0, first: now, last: now };
        let story = self.unanswered.entry(node.node.clone()).or_insert(fresh);
        if now.since(story.last) > UNANSWERED_GAP_MAX {
            *story = fresh;
        }
        story.times = story.times.saturating_add(1);
        story.last = now;
    }

    /// Whether a message to that life has met nobody since it was last heard of.
    pub(crate) fn is_unanswering(&self, node: &NodeId) -> bool {
        self.unanswered.contains_key(node)
    }

    /// Whether nobody has been there for at least `long`, as far as messages tell. It is no proof of death: a node that has lost
    /// its server looks the same.
    pub(crate) fn is_deserted(&self, node: &NodeRef, long: Duration, now: Monotonic) -> bool {
        self.life(&node.node) == Some(node.incarnation)
            && self.unanswered.get(&node.node).is_some_and(|story| {
                story.times >= UNANSWERED_MIN
                    && story.last.since(story.first) >= long
                    && now.since(story.last) <= UNANSWERED_GAP_MAX
            })
    }

    /// Our own fence landed on exactly the revision we had been watching: nothing was sent after it that counts.
    pub(crate) fn fenced_at(&mut self, fence: &MemberRecord, revision: Revision, watched_since: Monotonic) {
        if let Some(sighting) = self.members.get_mut(&fence.node.node)
            && sighting.revision <= revision
        {
            let (record, dead) = (fence.clone(), sighting.dead.take());
            *sighting = Sighting { record, revision, first_seen: watched_since, over_since: watched_since, dead };
        }
    }

    /// This node's own heartbeats are acknowledged in good time (or are not, when `None`). That is not enough to hear
    /// others while the watch is blind.
    pub(crate) fn set_well(&mut self, since: Option<Monotonic>) {
        self.well_since = match (self.well_since, since) {
            (Some(before), Some(_)) => Some(before),
            (None, Some(_)) if self.blind => None,
            (_, since) => since,
        };
    }

    /// The watch has lost its connection, or tells everything again: nobody is judged in between.
    pub(crate) fn set_blind(&mut self, blind: bool) {
        self.blind = blind;
        if blind {
            self.well_since = None;
        }
    }

    /// From when silence of a record first seen at `first_seen` counts; never, while this node is not well.
    fn counted_from(&self, first_seen: Monotonic) -> Option<Monotonic> {
        let well_since = if is_on(Mutant::CountsWhileDeaf) { Some(Monotonic::ZERO) } else { self.well_since };
        well_since.map(|well| well.max(first_seen))
    }

    /// When that life will have been silent for `after`; `None` if silence cannot be judged now. A life without a
    /// record, or whose record speaks of another life, has been silent since this node is well.
    pub(crate) fn silent_at(&self, node: &NodeRef, after: Duration) -> Option<Monotonic> {
        let first_seen = match self.members.get(&node.node) {
            Some(seen) if seen.record.node == *node => seen.first_seen,
            _ => Monotonic::ZERO,
        };
        self.counted_from(first_seen).map(|from| from + after)
    }

    /// Whether that life's own record says that it is over, or a new life has taken the record.
    pub(crate) fn is_over(&self, node: &NodeRef) -> bool {
        self.members.get(&node.node).is_some_and(|seen| seen.record.node != *node || seen.record.state.is_over())
    }

    /// Whether that life's supervisor has seen its process end.
    pub(crate) fn is_dead(&self, node: &NodeRef) -> bool {
        self.members.get(&node.node).is_some_and(|seen| seen.dead.as_ref() == Some(node))
    }

    /// The life that a node's record speaks of now.
    pub(crate) fn life(&self, node: &NodeId) -> Option<Incarnation> {
        self.members.get(node).map(|seen| seen.record.node.incarnation)
    }
}

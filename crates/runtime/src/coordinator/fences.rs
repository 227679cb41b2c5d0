//! Fences on their way: the leader's compare-and-set on the records of lives that are silent (rule R4).
//!
//! Fencing early is always safe; when the fenced life's shards may go to others is the policy's business.

use aether_domain::ports::Expected;
use aether_domain::records::{ControlKey, ControlRecord, Health, Load, MemberRecord, MemberState, StoredRecord};
use aether_domain::{Monotonic, NodeId, NodeRef, Nonce};

use super::machine::Surroundings;
use crate::control::{ControlConfig, Effect, Note, PendingWrite, Progress, Timers, Token};

/// Fences whose outcome is not known yet; at most one a node.
#[derive(Debug, Default)]
pub(super) struct Fences {
    open: Vec<Fence>,
}

#[derive(Debug)]
struct Fence {
    write: PendingWrite,
    node: NodeRef,
    /// From when the serve lease of the last heartbeat it can have sent counts.
    watched_since: Monotonic,
}

impl Fences {
    /// Fences that life, unless that is under way.
    pub(super) fn begin(&mut self, node: NodeRef, config: &ControlConfig, s: &mut Surroundings<'_>) {
        if self.open.iter().any(|fence| fence.node == node) {
            return;
        }
        let now = s.timers.now();
        let seen = s.sightings.member(&node.node).filter(|seen| seen.record.node == node);
        let (expected, watched_since, heartbeat) = match seen {
            Some(seen) => (Expected::At(seen.revision), seen.first_seen, seen.record.heartbeat),
            None => (Expected::Absent, now, 0),
        };
        let record = MemberRecord {
            node: node.clone(),
            state: MemberState::Fenced,
            heartbeat,
            nonce: Nonce((s.fresh)()),
            heartbeat_every: config.profile.member().heartbeat_every(),
            view: s.topology.epoch(),
            load: Load::default(),
            info: seen.map(|seen| seen.record.info.clone()).unwrap_or_default(),
            admin_url: String::new(),
            build: config.build.clone(),
            // Whoever supervises that process must still find it.
            supervisor: seen.and_then(|seen| seen.record.supervisor),
            health: Health::default(),
            shard_loads: Vec::new(),
            digest: 0,
            reads: seen.map(|seen| seen.record.reads).unwrap_or_default(),
        };
        s.effects.push(Effect::Note(Note::Suspected { node: node.clone() }));
        let token = Token((s.fresh)());
        let write = PendingWrite::send(ControlRecord::Member(record), expected, token, now, s.effects);
        self.open.push(Fence { write, node, watched_since });
    }

    /// Whether a life of that node is being fenced.
    pub(super) fn is_open(&self, node: &NodeId) -> bool {
        self.open.iter().any(|fence| fence.node.node == *node)
    }

    /// The write with that token, if it is a fence's.
    pub(super) fn write(&self, token: Token) -> Option<&PendingWrite> {
        self.open.iter().map(|fence| &fence.write).find(|write| write.token() == token)
    }

    /// Carries on the fence with that token, if there is one.
    pub(super) fn answered(
        &mut self,
        token: Token,
        s: &mut Surroundings<'_>,
        answer: impl FnOnce(&mut PendingWrite, &mut Surroundings<'_>) -> Progress,
    ) {
        if let Some(at) = self.open.iter().position(|fence| fence.write.token() == token) {
            let progress = answer(&mut self.open[at].write, s);
            self.went(at, progress, s);
        }
    }

    /// The record of that node was seen: a fence of ours may be it, or may have come too late.
    pub(super) fn saw(&mut self, stored: &StoredRecord, node: &NodeId, s: &mut Surroundings<'_>) {
        let is_its = |fence: &Fence| fence.write.record().key() == ControlKey::Member(node.clone());
        if let Some(at) = self.open.iter().position(is_its) {
            let progress = self.open[at].write.seen(stored, s.timers.now());
            self.went(at, progress, s);
        }
    }

    /// Sends again what it is time to send again.
    pub(super) fn advance(&mut self, timers: &mut Timers, effects: &mut Vec<Effect>) {
        for fence in &mut self.open {
            fence.write.advance(timers, effects);
        }
    }

    fn went(&mut self, at: usize, progress: Progress, s: &mut Surroundings<'_>) {
        match progress {
            Progress::Open => {}
            Progress::Landed { revision, .. } => {
                let Fence { write, node, watched_since } = self.open.swap_remove(at);
                if let ControlRecord::Member(record) = write.record() {
                    s.sightings.fenced_at(record, revision, watched_since);
                    s.effects.push(Effect::Note(Note::Fenced { node }));
                }
            }
            Progress::Spoiled(revision) => {
                // A heartbeat may have come between: its serve lease counts from here.
                let fence = &mut self.open[at];
                fence.write.write_over(revision, s.effects);
                fence.watched_since = s.timers.now();
            }
            // It beat after all, or somebody else fenced it: either way the watch tells.
            Progress::Lost(stored) => {
                self.open.swap_remove(at);
                s.sightings.saw(&stored, s.timers.now());
            }
        }
    }
}

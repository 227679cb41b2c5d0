//! Comparing what is heard with what is stored: pure, bounded, and without consequences.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::ports::Claim;
use aether_domain::records::LeaseRecord;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Incarnation, Monotonic, NodeId, NodeRef, Term};

use super::evidence::{Evidence, Suspicion};
use super::memory::Newest;
use crate::subscription::TopologyRecord;

/// How long after it was last seen evidence stands.
pub const CLEARS_AFTER: Duration = Duration::from_secs(10);
/// The most suspicions that stand at once; evidence beyond them is counted only.
pub const SUSPICIONS_MAX: usize = 32;
/// The most entries whose hashes are remembered: claims about older ones are not compared.
pub const EPOCHS_MAX: usize = 1_024;
/// The most lives whose last claim waits until the log has been read as far as the claim goes.
pub const WAITING_MAX: usize = 1_024;
/// The most terms whose leaders are remembered.
pub const TERMS_MAX: usize = 256;

/// What the watch is told.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Time has passed.
    Tick,
    /// The next entry as it is stored.
    Stored(&'a TopologyRecord),
    /// This node's fold of the log is now this.
    Folded(&'a Topology),
    /// The lease record is, or was a moment ago, this.
    Lease(&'a LeaseRecord),
    /// A node believes this; this node's own claims are to be told as well.
    Claimed(&'a Claim),
}

/// What the watch has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Two things cannot both be true.
    Suspected(Evidence),
    /// It has not been seen for [`CLEARS_AFTER`].
    Cleared(Evidence),
}

/// The watch of one node.
#[derive(Debug)]
pub struct Watch {
    /// What each entry hashes to.
    hashes: Newest<Epoch, u64>,
    /// Who leads in each term, by the log.
    terms: Newest<Term, NodeRef>,
    /// Who was first heard to lead in terms that the log has not told of yet.
    claimed: Newest<Term, NodeRef>,
    /// What each life owns by this node's fold, and as of which entry.
    owned: (Epoch, u64, BTreeMap<Incarnation, u64>),
    lease: Option<LeaseRecord>,
    /// Claims of those who are further than this node has read or folded.
    waiting: BTreeMap<(NodeId, Incarnation), Claim>,
    suspicions: BTreeMap<(u8, Term, NodeId, Incarnation), Suspicion>,
    suspected: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            hashes: Newest::new(EPOCHS_MAX),
            terms: Newest::new(TERMS_MAX),
            claimed: Newest::new(TERMS_MAX),
            owned: (Epoch::ZERO, 0, BTreeMap::new()),
            lease: None,
            waiting: BTreeMap::new(),
            suspicions: BTreeMap::new(),
            suspected: 0,
        }
    }
}

impl Watch {
    /// What stands.
    pub fn suspicions(&self) -> impl ExactSizeIterator<Item = &Suspicion> {
        self.suspicions.values()
    }
    /// How many stories have been told so far, those that have ended and those beyond the bound included.
    pub fn suspected(&self) -> u64 {
        self.suspected
    }

    /// Takes one input.
    pub fn step(&mut self, now: Monotonic, input: Input<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        match input {
            Input::Tick => {}
            Input::Stored(record) => {
                self.hashes.insert(record.epoch, record.at.hash);
                // A leader's first entry starts its term, and nobody else writes in it.
                self.terms.insert(record.term, record.leader.clone());
            }
            Input::Folded(topology) => {
                self.owned = (topology.epoch(), topology.at().hash, Claim::digests(topology));
            }
            Input::Lease(lease) => self.lease = Some(lease.clone()),
            Input::Claimed(claim) => {
                let life = (claim.node.node.clone(), claim.node.incarnation);
                if claim.epoch > self.read().min(self.owned.0) {
                    if self.waiting.len() < WAITING_MAX || self.waiting.contains_key(&life) {
                        self.waiting.insert(life, claim.clone());
                    }
                } else {
                    self.waiting.remove(&life);
                }
                self.judge(claim, now, &mut findings);
            }
        }
        if matches!(input, Input::Stored(_) | Input::Folded(_)) {
            let judged = self.read().min(self.owned.0);
            let mut due = Vec::new();
            self.waiting.retain(|_, claim| {
                let waits = claim.epoch > judged;
                if !waits {
                    due.push(claim.clone());
                }
                waits
            });
            for claim in due {
                self.judge(&claim, now, &mut findings);
            }
        }
        // The record lies there until it is written over: as long as it does, it is seen.
        if let Some(evidence) = self.lease.as_ref().and_then(|lease| self.lease_of_another(lease)) {
            self.suspect(evidence, now, &mut findings);
        }
        let over: Vec<_> = self
            .suspicions
            .iter()
            .filter(|(_, suspicion)| now.since(suspicion.last_seen) >= CLEARS_AFTER)
            .map(|(story, _)| story.clone())
            .collect();
        findings.extend(
            over.iter()
                .filter_map(|story| self.suspicions.remove(story))
                .map(|suspicion| Finding::Cleared(suspicion.evidence)),
        );
        findings
    }

    /// The last entry read.
    fn read(&self) -> Epoch {
        self.hashes.last().map_or(Epoch::ZERO, |(epoch, _)| epoch)
    }

    fn judge(&mut self, claim: &Claim, now: Monotonic, findings: &mut Vec<Finding>) {
        for evidence in self.contradictions(claim).into_iter().flatten() {
            self.suspect(evidence, now, findings);
        }
    }

    /// What in that claim cannot be.
    fn contradictions(&mut self, claim: &Claim) -> [Option<Evidence>; 5] {
        let known = self.read();
        let led = claim.leads.and_then(|term| self.led_by_another(term, &claim.node, &claim.node));
        let followed = claim.leader.as_ref().and_then(|leader| self.led_by_another(claim.term, leader, &claim.node));
        let unheard_of = claim.leads.filter(|term| {
            let last = self.terms.last().map_or(Term::ZERO, |(term, _)| term);
            known > Epoch::ZERO && claim.epoch <= known && *term > last
        });
        let unheard_of = unheard_of.map(|term| Evidence::NoSuchTerm { term, claimed_by: claim.node.clone() });
        let (node, epoch, claimed) = (&claim.node, claim.epoch, claim.hash);
        let another_log = self.hashes.get(epoch).filter(|stored| **stored != claimed).map(|stored| {
            let stored = *stored;
            Evidence::TwoLogs { node: node.clone(), epoch, stored, claimed }
        });
        let (at, hash, owned) = &self.owned;
        let granted = owned.get(&node.incarnation).copied().unwrap_or_default();
        let serves_anothers = (*at, *hash) == (epoch, claimed) && claim.serves.is_some_and(|digest| digest != granted);
        let serves_anothers = serves_anothers.then(|| Evidence::ServesAnothers { node: node.clone(), epoch });
        [led, followed, unheard_of, another_log, serves_anothers]
    }

    /// That `leader` leads in `term`, as `says` believes, although another life does.
    fn led_by_another(&mut self, term: Term, leader: &NodeRef, says: &NodeRef) -> Option<Evidence> {
        let one = self.terms.get(term).or_else(|| self.claimed.get(term));
        match one {
            Some(one) if one == leader => None,
            Some(one) => {
                Some(Evidence::TwoLeaders { term, one: one.clone(), other: leader.clone(), says: says.clone() })
            }
            None => {
                self.claimed.insert(term, leader.clone());
                None
            }
        }
    }

    fn lease_of_another(&self, lease: &LeaseRecord) -> Option<Evidence> {
        let leader = self.terms.get(lease.term).filter(|leader| **leader != lease.holder)?;
        Some(Evidence::LeaseOfAnother { term: lease.term, leader: leader.clone(), holder: lease.holder.clone() })
    }

    fn suspect(&mut self, evidence: Evidence, now: Monotonic, findings: &mut Vec<Finding>) {
        let (kind, term, about) = evidence.story();
        let story = (kind, term, about.node.clone(), about.incarnation);
        if let Some(standing) = self.suspicions.get_mut(&story) {
            standing.evidence = evidence;
            standing.last_seen = now;
            standing.times = standing.times.saturating_add(1);
            return;
        }
        self.suspected = self.suspected.saturating_add(1);
        if self.suspicions.len() < SUSPICIONS_MAX {
            let suspicion = Suspicion { evidence: evidence.clone(), first_seen: now, last_seen: now, times: 1 };
            self.suspicions.insert(story, suspicion);
            findings.push(Finding::Suspected(evidence));
        }
    }
}

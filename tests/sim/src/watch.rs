//! The product's split-brain watch beside every process: whatever strikes, it must suspect nobody.
//!
//! Claims are told every half second and are heard at once or up to [`LATE_ROUNDS`] rounds late, those of processes that
//! have died or were stopped meanwhile too. They say more than the product's would: a process that believes to lead says
//! so even when its own clock tells it that it no longer may.

use std::collections::VecDeque;
use std::time::Duration;

use aether_domain::ports::Claim;
use aether_domain::records::{LeaseRecord, StoredEntry};
use aether_domain::{Epoch, NodeRef, Sequence};
use aether_runtime::splitbrain::{Evidence, Finding, Input, Watch};
use aether_runtime::view::{Route, View};

use crate::node::Freeze;
use crate::world::World;

/// How often claims are told.
pub(crate) const CLAIM_EVERY: Duration = Duration::from_millis(500);
/// How many rounds late a claim may be.
const LATE_ROUNDS: usize = 4;

/// All watches of a run.
#[derive(Default)]
pub(crate) struct Watches {
    of: Vec<OfProcess>,
    /// The claims of the last rounds, the newest first.
    told: VecDeque<Vec<Claim>>,
    round: usize,
    /// The server has lost what it had acknowledged: there are two logs, and they are right to say so.
    pub(crate) retired: bool,
}

#[derive(Default)]
struct OfProcess {
    session: u64,
    watch: Watch,
    read: Sequence,
    served: Option<(Epoch, NodeRef, u64)>,
}

impl World {
    /// A process has seen a lease record.
    pub(crate) fn watch_lease(&mut self, node: usize, lease: &LeaseRecord) -> Result<(), String> {
        let now = self.nodes[node].clock.shows(self.now);
        let findings = self.watch_of(node).watch.step(now, Input::Lease(lease));
        self.suspect_nobody(node, &findings)
    }

    /// A round of claims.
    pub(crate) fn claim(&mut self) -> Result<(), String> {
        let claims = (0..self.nodes.len()).filter_map(|node| self.belief(node)).collect();
        self.watches.told.push_front(claims);
        self.watches.told.truncate(LATE_ROUNDS);
        self.watches.round += 1;
        let (round, told) = (self.watches.round, self.watches.told.clone());
        for node in 0..self.nodes.len() {
            let Some(process) = &self.nodes[node].process else { continue };
            if process.freeze == Freeze::Yes {
                continue;
            }
            let now = self.nodes[node].clock.shows(self.now);
            let (at, topology) = (process.at(), process.machine.topology());
            let of = watch_of(&mut self.watches, node, self.nodes[node].session);
            let mut findings = Vec::new();
            // It reads the log by itself: now as far as the node, now to its end.
            let unread = self.fabric.stores().entries(of.read).iter();
            let read: Vec<StoredEntry> =
                unread.take_while(|stored| (node + round) % 2 == 0 || stored.at.sequence <= at).cloned().collect();
            for stored in read {
                of.read = stored.at.sequence;
                findings.extend(of.watch.step(now, Input::Stored(&stored.into())));
            }
            findings.extend(of.watch.step(now, Input::Folded(topology)));
            for (teller, late) in (0..self.nodes.len()).map(|teller| (teller, (teller + node + round) % LATE_ROUNDS)) {
                let claims = told.get(late).into_iter().flatten();
                for claim in claims.filter(|claim| claim.node.node == self.nodes[teller].id) {
                    findings.extend(of.watch.step(now, Input::Claimed(claim)));
                }
            }
            self.suspect_nobody(node, &findings)?;
        }
        Ok(())
    }

    fn belief(&mut self, node: usize) -> Option<Claim> {
        let place = &self.nodes[node];
        let process = place.process.as_ref().filter(|process| process.freeze == Freeze::No)?;
        let (topology, me) = (process.machine.topology(), process.machine.me());
        let of = watch_of(&mut self.watches, node, place.session);
        let digest = match &of.served {
            Some((epoch, life, digest)) if *epoch == topology.epoch() && life == me => *digest,
            _ => {
                let view = View::of(topology, me);
                let served = view.routes.iter().zip(0..).filter_map(|(route, shard)| match route {
                    Route::Mine { epoch } | Route::Leaving { epoch, .. } => {
                        Some((aether_domain::ShardId(shard), *epoch))
                    }
                    Route::Nobody | Route::Remote { .. } => None,
                });
                let digest = Claim::digest(served);
                of.served = Some((topology.epoch(), me.clone(), digest));
                digest
            }
        };
        Some(Claim {
            node: me.clone(),
            leads: process.machine.leads().map(|(term, _)| term),
            term: topology.leadership().term(),
            leader: topology.leadership().leader().cloned(),
            epoch: topology.epoch(),
            hash: topology.at().hash,
            serves: place.may_serve(self.now).then_some(digest),
        })
    }

    fn watch_of(&mut self, node: usize) -> &mut OfProcess {
        watch_of(&mut self.watches, node, self.nodes[node].session)
    }

    fn suspect_nobody(&self, node: usize, findings: &[Finding]) -> Result<(), String> {
        // Whoever contends over a lease record that nobody can read may do so in a term that somebody has got meanwhile.
        let spoiled = self.checks.spoiled > 0;
        let is_alarm = |finding: &&Finding| match finding {
            Finding::Suspected(Evidence::LeaseOfAnother { .. }) => !spoiled,
            Finding::Suspected(_) => true,
            Finding::Cleared(_) => false,
        };
        match findings.iter().find(is_alarm) {
            Some(finding) if !self.watches.retired => {
                Err(format!("the watch of {} is alarmed: {finding:?}", self.nodes[node].name))
            }
            _ => Ok(()),
        }
    }
}

/// The watch of the process that runs there now: each begins anew.
fn watch_of(watches: &mut Watches, node: usize, session: u64) -> &mut OfProcess {
    if watches.of.len() <= node {
        watches.of.resize_with(node + 1, OfProcess::default);
    }
    let of = &mut watches.of[node];
    if of.session != session {
        *of = OfProcess { session, ..OfProcess::default() };
    }
    of
}

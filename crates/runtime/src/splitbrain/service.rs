//! The watch's loop: it tells others what this node believes, listens to them, and says aloud what cannot be.
//!
//! It has tasks, a subscription to the log and a way to the others of its own. Whatever becomes of it, the node goes on.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::Monotonic;
use aether_domain::ports::{Claim, Claims, Heard, Updates};
use aether_domain::records::LeaseRecord;
use futures_util::{Stream, StreamExt as _, stream};
use std::pin::pin;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::evidence::Suspicion;
use super::machine::{Finding, Input, Watch};
use crate::clock::Clock;
use crate::control::service::Status;
use crate::subscription::TopologyEvents;
use crate::view::{Route, View};

/// How often a node tells what it believes.
pub const CLAIM_EVERY: Duration = Duration::from_millis(250);
/// How long to wait before listening is begun again.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Lease records waiting for the watch: one is written every few hundred milliseconds at most.
pub(crate) const LEASES_MAX: usize = 64;

/// What the watch of this node has seen since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitBrain {
    /// What stands now.
    pub suspicions: Vec<Suspicion>,
    /// How many stories there were.
    pub suspected: u64,
    /// Claims heard from others.
    pub heard: u64,
    /// Messages that were no claim.
    pub corrupt: u64,
}

/// What the watch works with.
pub(crate) struct Wiring {
    pub(crate) claims: Arc<dyn Claims>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: TopologyEvents,
    pub(crate) leases: mpsc::Receiver<LeaseRecord>,
    pub(crate) belief: Belief,
    pub(crate) report: watch::Sender<Arc<SplitBrain>>,
}

/// Where this node's own belief is read.
#[derive(Clone)]
pub(crate) struct Belief {
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) view: watch::Receiver<Arc<View>>,
}

impl Belief {
    /// What this node believes now.
    fn claim(&self, now: Monotonic) -> Claim {
        let (status, view) = (Arc::clone(&self.status.borrow()), Arc::clone(&self.view.borrow()));
        let topology = &status.topology;
        // What is routed by is told, not what should be: that they agree is what others check.
        let serves = (now < status.serve_until && view.epoch == topology.epoch() && view.me == status.me)
            .then(|| Claim::digest(view.routes.iter().enumerate().filter_map(served)));
        Claim {
            node: status.me.clone(),
            leads: status.leading.filter(|(_, until)| now < *until).map(|(term, _)| term),
            term: topology.leadership().term(),
            leader: topology.leadership().leader().cloned(),
            epoch: topology.epoch(),
            hash: topology.at().hash,
            serves,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "there are at most 65,536 shards")]
fn served((index, route): (usize, &Route)) -> Option<(aether_domain::ShardId, aether_domain::Epoch)> {
    match route {
        Route::Mine { epoch } | Route::Leaving { epoch, .. } => Some((aether_domain::ShardId(index as u16), *epoch)),
        Route::Nobody | Route::Remote { .. } => None,
    }
}

/// Tells and watches until `shutdown`.
pub(crate) async fn run(wiring: Wiring, shutdown: CancellationToken) {
    let telling = tell(Arc::clone(&wiring.claims), Arc::clone(&wiring.clock), wiring.belief.clone());
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = telling => {}
        () = watch_over(wiring) => {}
    }
}

async fn tell(claims: Arc<dyn Claims>, clock: Arc<dyn Clock>, belief: Belief) {
    let mut due = tokio::time::interval(CLAIM_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let claim = belief.claim(clock.now());
        if let Err(error) = claims.tell(&claim).await {
            tracing::trace!(error = &error as &dyn std::error::Error, "nobody was told what this node believes");
        }
    }
}

async fn watch_over(wiring: Wiring) {
    let Wiring { claims, clock, mut events, mut leases, belief, report } = wiring;
    let mut heard = pin!(hearing(claims));
    let mut due = tokio::time::interval(CLAIM_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut watch, mut seen) = (Watch::default(), SplitBrain::default());
    let mut folded = Arc::clone(&belief.status.borrow().topology);
    let mut readable = true;
    loop {
        let input = tokio::select! {
            biased;
            _ = due.tick() => Told::Tick,
            Some(event) = events.next(), if readable => Told::Stored(event),
            Some(lease) = leases.recv() => Told::Lease(lease),
            Some(said) = heard.next() => Told::Heard(said),
        };
        let (now, me) = (clock.now(), belief.status.borrow().me.clone());
        let mut findings = Vec::new();
        let topology = Arc::clone(&belief.status.borrow().topology);
        if !Arc::ptr_eq(&folded, &topology) {
            findings.extend(watch.step(now, Input::Folded(&topology)));
            folded = topology;
        }
        findings.extend(match input {
            Told::Tick => watch.step(now, Input::Claimed(&belief.claim(now))),
            Told::Stored(Ok(record)) => watch.step(now, Input::Stored(&record)),
            Told::Stored(Err(error)) => {
                readable = false;
                tracing::error!(node = %me.node, %error, "the split-brain watch has no log to compare with any more");
                Vec::new()
            }
            Told::Lease(lease) => watch.step(now, Input::Lease(&lease)),
            // Its own it has compared when it told it.
            Told::Heard(Heard::Claim(claim)) if claim.node == me => Vec::new(),
            Told::Heard(Heard::Claim(claim)) => {
                seen.heard += 1;
                watch.step(now, Input::Claimed(&claim))
            }
            Told::Heard(Heard::Corrupt { reason }) => {
                seen.corrupt += 1;
                tracing::warn!(node = %me.node, reason, "a claim cannot be understood");
                Vec::new()
            }
        });
        for finding in findings {
            match finding {
                Finding::Suspected(evidence) => tracing::error!(
                    node = %me.node, %evidence,
                    "SplitBrainSuspected: two things cannot both be true; nothing is done about it: look who says so"
                ),
                Finding::Cleared(evidence) => {
                    tracing::info!(node = %me.node, %evidence, "a suspected split brain has not been seen for a while");
                }
            }
        }
        seen.suspected = watch.suspected();
        seen.suspicions = watch.suspicions().cloned().collect();
        report.send_if_modified(|last| {
            let news = **last != seen;
            if news {
                *last = Arc::new(seen.clone());
            }
            news
        });
    }
}

enum Told {
    Tick,
    Stored(Result<crate::subscription::TopologyRecord, crate::subscription::SubscriptionError>),
    Lease(LeaseRecord),
    Heard(Heard),
}

/// Everything that is heard, without end.
fn hearing(claims: Arc<dyn Claims>) -> impl Stream<Item = Heard> {
    stream::unfold((claims, None::<Updates<Heard>>), |(claims, mut open)| async {
        loop {
            if let Some(updates) = &mut open {
                if let Some(heard) = updates.next().await {
                    return Some((heard, (claims, open)));
                }
                tokio::time::sleep(LISTEN_AGAIN_AFTER).await;
            }
            open = match claims.listen().await {
                Ok(updates) => Some(updates),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "nobody's claims are heard yet");
                    tokio::time::sleep(LISTEN_AGAIN_AFTER).await;
                    None
                }
            };
        }
    })
}

//! The loop that runs the control plane's machine over the ports.
//!
//! One task owns the machine. I/O runs beside it and its answers come back as inputs, so a slow append never delays a
//! heartbeat. It decides nothing.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether_domain::policy::PlacementPolicy;
use aether_domain::ports::{
    Answer, AnswerFrame, AppendError, ControlStore, ControlUpdate, Frame, LogUpdate, ReadError, TopologyLog, Transport,
    WriteError,
};
use aether_domain::records::{ControlRecord, Health, LeaseRecord, Load, MemberRecord};
use aether_domain::topology::Topology;
use aether_domain::{CommandId, Epoch, Monotonic, NodeId, NodeRef, Revision, Sequence, ShardId, Term};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exchange::{Effect, Input, Note, Phase, StopReason, WriteOutcome};
use super::machine::{IDLE_MAX, Machine};
use super::settling::Settling;
use super::sources::{READ_BATCH, following, watching};
use crate::clock::Clock;
use crate::coordinator::append::AppendResult;
use crate::coordinator::policy::outlook::Outlook;
use crate::subscription::Grown;
use crate::view::{ServeLease, View};

/// Answers and notices waiting for the loop. Each operation under way holds at most one, and there are few of those; the
/// rest are releases, of which the host has at most one a shard.
pub const INBOX_MAX: usize = 4_096;

/// What everybody may know of this node's control plane.
#[derive(Clone, Debug)]
pub struct Status {
    /// This life.
    pub me: NodeRef,
    /// What it is doing.
    pub phase: Phase,
    /// Its fold of the log.
    pub topology: Arc<Topology>,
    /// The term it leads in and until when by its own clock, if it leads.
    pub leading: Option<(Term, Monotonic)>,
    /// Until when it may answer from memory, by its own clock.
    pub serve_until: Monotonic,
    /// When its lease was last renewed, by its own clock, if it leads.
    pub renewed: Option<Monotonic>,
    /// The last record seen of each node, with when it was first seen.
    pub members: Arc<BTreeMap<NodeId, (MemberRecord, Monotonic)>>,
    /// What is wrong, if anything is: a person should look.
    pub fault: Option<String>,
    /// The placement that an operator wants, if one does.
    pub desired: Option<Arc<PlacementPolicy>>,
    /// Why this node, if it led, could not adopt it.
    pub placement_obstacle: Option<String>,
    /// While it leads: the lives that said another shard map than its own when last heard, and at which entry.
    pub strays: Vec<(NodeRef, Epoch)>,
    /// Shards that alone are more than a node is to bear, each with how much of that it is in percent, if this node leads.
    pub too_hot: Vec<(ShardId, u32)>,
    /// What it goes by when it plans, if it leads.
    pub outlook: Option<Arc<Outlook>>,
    /// Whether this life has found its place: no shard lacked an owner and no plan was under way for a moment since it became
    /// Active, or it has tried for a minute.
    pub settled: bool,
    /// How long the last heartbeat took to be stored that was; nothing before the first.
    pub round_trip: Option<Duration>,
    /// Entries refused by this node's own rules, records that could not be understood, lives of its own that ended.
    pub counts: Counts,
}

/// What happened to this control plane, counted since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries this node as leader composed and its own rules refused.
    pub refused_entries: u64,
    /// Control records that could not be understood.
    pub corrupt_records: u64,
    /// Lives of this node that others ended.
    pub lives_lost: u64,
    /// Terms this node started.
    pub terms_led: u64,
    /// Lives this node fenced.
    pub fences: u64,
    /// Snapshots of the topology that this node as leader stored.
    pub snapshots_stored: u64,
    /// Snapshots of the topology that this node began with: at most one at each beginning.
    pub snapshots_used: u64,
    /// Snapshots of the topology that this node passed over.
    pub snapshots_passed_over: u64,
    /// Times a node's shard map was found to be another than this node's, as leader, at the same entry.
    pub maps_differed: u64,
    /// Losses of a store that this node went on after, because it was configured to.
    pub regressions_accepted: u64,
}

/// What the loop works with.
pub(crate) struct Wiring {
    pub(crate) control: Arc<dyn ControlStore>,
    pub(crate) log: Arc<dyn TopologyLog>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Arc<ServeLease>,
    /// Takes each new view, in order: the shards first, then whoever routes to them.
    pub(crate) publish: Box<dyn Fn(Arc<View>) + Send + Sync>,
    pub(crate) status: watch::Sender<Arc<Status>>,
    /// How far the log has been folded.
    pub(crate) grown: Arc<Grown>,
    /// Cancelled once others want this node to leave.
    pub(crate) leave: CancellationToken,
    /// Takes each lease record seen, for the split-brain watch.
    pub(crate) leases: mpsc::Sender<LeaseRecord>,
    /// What this node carries now, and how well it is since it was last asked.
    pub(crate) carries: Box<dyn Fn() -> (Load, Health) + Send + Sync>,
    /// What each shard costs it, by shard, each time a window is over.
    pub(crate) costs: Box<dyn Fn() -> Option<Vec<u32>> + Send + Sync>,
}

impl Status {
    pub(crate) fn of(machine: &Machine, now: Monotonic) -> Self {
        Self {
            me: machine.me().clone(),
            phase: machine.phase(now),
            topology: Arc::new(machine.topology().clone()),
            leading: machine.leads(),
            serve_until: machine.serve_until(),
            renewed: None,
            members: Arc::default(),
            fault: None,
            desired: None,
            placement_obstacle: None,
            strays: Vec::new(),
            too_hot: Vec::new(),
            outlook: None,
            settled: false,
            round_trip: None,
            counts: Counts::default(),
        }
    }
}

/// Runs `machine` until it stops itself or `shutdown` ends it; says why it stopped, if it did.
pub(crate) async fn run(
    machine: Machine,
    wiring: Wiring,
    (notify, inbox): (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    releases: mpsc::Receiver<(ShardId, Epoch)>,
    shutdown: CancellationToken,
) -> Option<StopReason> {
    let io = TaskTracker::new();
    let status = Status::clone(&wiring.status.borrow());
    let control_loop = Loop {
        machine,
        wiring,
        notify,
        io: io.clone(),
        status,
        settling: Settling::default(),
        stopped: None,
        tell_again: false,
        round_trip: Arc::default(),
    };
    let stopped = control_loop.run(inbox, releases, shutdown).await;
    io.close();
    // What is still under way is bounded by the adapters' own time-outs; its answers interest nobody any more.
    stopped
}

struct Loop {
    machine: Machine,
    wiring: Wiring,
    notify: mpsc::Sender<Input>,
    io: TaskTracker,
    status: Status,
    settling: Settling,
    stopped: Option<StopReason>,
    /// Whether the watch and the log are to begin again.
    tell_again: bool,
    /// How long the last heartbeat took to be stored, in nanoseconds; 0 before the first.
    round_trip: Arc<AtomicU64>,
}

impl Loop {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Input>,
        mut releases: mpsc::Receiver<(ShardId, Epoch)>,
        shutdown: CancellationToken,
    ) -> Option<StopReason> {
        let mut watch = pin!(watching(Arc::clone(&self.wiring.control)));
        let follow = |wiring: &Wiring| following(Arc::clone(&wiring.control), Arc::clone(&wiring.log));
        let mut log = pin!(follow(&self.wiring));
        let mut beat = Monotonic::ZERO;
        loop {
            let now = self.wiring.clock.now();
            if now >= beat {
                beat = now + IDLE_MAX;
                let (load, health) = (self.wiring.carries)();
                self.step(Input::Carries(load, health));
                if let Some(costs) = (self.wiring.costs)() {
                    self.step(Input::Costs(costs));
                }
            }
            let wakes_in = self.machine.wakes_at().map_or(IDLE_MAX, |at| at.since(now)).min(IDLE_MAX);
            let input = tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.stopped,
                // Timers first: whatever comes in is judged by a machine that knows how late it is.
                () = tokio::time::sleep(wakes_in) => Input::Tick,
                Some(input) = inbox.recv() => input,
                Some((shard, drain_epoch)) = releases.recv() => Input::Released(shard, drain_epoch),
                // Nothing is learnt from the log any more by a node that has found something wrong.
                Some(input) = log.next(), if self.machine.fault().is_none() => input,
                Some(update) = watch.next() => Input::Control(update),
            };
            self.step(input);
            if self.stopped.is_some() {
                return self.stopped;
            }
            if std::mem::take(&mut self.tell_again) {
                watch.set(watching(Arc::clone(&self.wiring.control)));
                log.set(follow(&self.wiring));
            }
        }
    }

    fn step(&mut self, input: Input) {
        if let Input::Control(ControlUpdate::Record(stored)) = &input
            && let ControlRecord::Lease(lease) = &stored.record
        {
            // The watch has no say in anything: it is never waited for.
            let _ = self.wiring.leases.try_send(lease.clone());
        }
        let (now, wall) = (self.wiring.clock.now(), self.wiring.clock.wall());
        let effects = self.machine.step(now, wall, input);
        let topology_changed = effects.iter().any(|effect| matches!(effect, Effect::Publish));
        if topology_changed {
            self.status.topology = Arc::new(self.machine.topology().clone());
            (self.wiring.publish)(Arc::new(View::of(self.machine.topology(), self.machine.me())));
        }
        for effect in effects {
            self.perform(effect);
        }
        self.publish(now);
    }

    fn publish(&mut self, now: Monotonic) {
        let sightings = self.machine.sightings().members();
        let members = sightings.map(|(node, seen)| (node.clone(), (seen.record.clone(), seen.first_seen))).collect();
        let phase = self.machine.phase(now);
        let next = Status {
            me: self.machine.me().clone(),
            phase,
            topology: Arc::clone(&self.status.topology),
            leading: self.machine.leads(),
            serve_until: self.machine.serve_until(),
            renewed: self.status.renewed.filter(|_| self.machine.leads().is_some()),
            members: Arc::new(members),
            fault: self.machine.fault().map(ToString::to_string),
            desired: self.machine.sightings().desired().map(|(policy, _)| Arc::clone(policy)),
            placement_obstacle: self.machine.placement_obstacle(),
            strays: self.machine.strays().cloned().collect(),
            too_hot: self.machine.too_hot(),
            outlook: self.machine.outlook(),
            settled: self.settling.look(now, self.machine.me(), phase == Phase::Active, &self.status.topology),
            round_trip: self.round_trip(),
            counts: self.status.counts,
        };
        if next.fault.is_none() {
            // A node with a fault learns nothing more: it is no witness.
            self.wiring.grown.tell(next.topology.at().sequence);
        }
        self.status = next;
        self.wiring.status.send_replace(Arc::new(self.status.clone()));
    }

    fn round_trip(&self) -> Option<Duration> {
        let nanos = self.round_trip.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Write { token, record, expected } => {
                let control = Arc::clone(&self.wiring.control);
                let (clock, round_trip) = (Arc::clone(&self.wiring.clock), Arc::clone(&self.round_trip));
                self.beside(async move {
                    let began = clock.now();
                    let outcome = match control.write(&record, expected).await {
                        Ok(revision) => {
                            if let ControlRecord::Member(_) = record {
                                let took = u64::try_from(clock.now().since(began).as_nanos()).unwrap_or(u64::MAX);
                                round_trip.store(took.max(1), Ordering::Relaxed);
                            }
                            WriteOutcome::Ok(revision)
                        }
                        Err(WriteError::Conflict { actual }) => WriteOutcome::Conflict { actual },
                        Err(WriteError::Unknown { .. }) => WriteOutcome::Unknown,
                        Err(WriteError::Unavailable { .. }) => WriteOutcome::Unavailable,
                    };
                    Input::Written { token, outcome }
                });
            }
            Effect::ReadBack { token, key } => {
                let control = Arc::clone(&self.wiring.control);
                self.beside(async move {
                    match control.read(&key).await {
                        Ok(found) => Input::ReadBack { token, found },
                        Err(ReadError::Unavailable { .. }) => Input::ReadBack { token, found: None },
                        Err(ReadError::Corrupt { sequence, .. }) => {
                            Input::Spoiled { token, revision: Revision(sequence) }
                        }
                    }
                });
            }
            Effect::Append { token, entry, after } => {
                let log = Arc::clone(&self.wiring.log);
                self.beside(async move {
                    let outcome = match log.append(&entry, after).await {
                        Ok(position) => AppendResult::Ok(position),
                        Err(AppendError::Conflict { actual, .. }) => AppendResult::Conflict { actual },
                        Err(AppendError::Unknown { .. }) => AppendResult::Unknown,
                        Err(AppendError::Unavailable { .. }) => AppendResult::Unavailable,
                        Err(AppendError::TooLarge { .. }) => AppendResult::TooLarge,
                    };
                    Input::Appended { token, outcome }
                });
            }
            Effect::ReadLog { token, after } => {
                let log = Arc::clone(&self.wiring.log);
                self.beside(async move {
                    match log.read(after, READ_BATCH).await {
                        Ok(entries) => Input::LogRead { token, entries: Some(entries) },
                        Err(ReadError::Corrupt { sequence, reason }) => {
                            Input::Log(LogUpdate::Corrupt { sequence: Sequence(sequence), reason })
                        }
                        Err(ReadError::Unavailable { .. }) => Input::LogRead { token, entries: None },
                    }
                });
            }
            Effect::Probe { node } => {
                let (transport, me) = (Arc::clone(&self.wiring.transport), self.machine.me().clone());
                self.io.spawn(async move {
                    // An answer to nothing: whoever is there ignores it.
                    let id = CommandId { origin: me.incarnation, sequence: 0 };
                    let probe =
                        Frame::Answer(AnswerFrame { id, sending: 1, view: Epoch::ZERO, answer: Answer::Behind });
                    if let Err(error) = transport.send(&me, &node, vec![probe]).await {
                        tracing::debug!(error = &error as &dyn std::error::Error, %node, "the probe was not sent");
                    }
                });
            }
            Effect::Publish => {}
            Effect::ServeUntil(until) => self.wiring.lease.extend(until),
            Effect::EndServing => self.wiring.lease.end(),
            Effect::NewLife { me } => tracing::info!(node = %me, "a new life begins"),
            Effect::TellAgain => self.tell_again = true,
            Effect::Leave => self.wiring.leave.cancel(),
            Effect::Stop(reason) => self.stopped = Some(reason),
            Effect::Note(note) => self.note(note),
        }
    }

    fn beside(&self, io: impl Future<Output = Input> + Send + 'static) {
        let notify = self.notify.clone();
        self.io.spawn(async move {
            // Nobody listens once the loop has ended.
            let _ = notify.send(io.await).await;
        });
    }

    fn note(&mut self, note: Note) {
        let me = self.machine.me();
        match note {
            Note::Applied { epoch, cause, events } => {
                tracing::info!(node = %me.node, %epoch, cause, events = %events.join(","), "topology");
            }
            Note::Member { me, epoch } => tracing::info!(node = %me, %epoch, "this node is a member"),
            Note::Elected { term } => {
                self.status.counts.terms_led += 1;
                tracing::info!(node = %me.node, %term, "this node leads");
            }
            Note::Renewed { sent } => self.status.renewed = Some(sent),
            Note::SteppedDown { term, why } => tracing::warn!(node = %me.node, %term, why, "this node leads no more"),
            Note::AskedToStepDown { term, asked } => {
                tracing::warn!(node = %me.node, %term, %asked, "this leader was asked to step down");
            }
            Note::AskedToLeave { asked } => tracing::warn!(node = %me, %asked, "this node was asked to leave"),
            Note::Suspected { node } => tracing::warn!(node = %me.node, suspect = %node, "a node is silent"),
            Note::Fenced { node } => {
                self.status.counts.fences += 1;
                tracing::warn!(node = %me.node, fenced = %node, "a silent node was fenced");
            }
            Note::LifeOver { node } => {
                self.status.counts.lives_lost += 1;
                tracing::warn!(%node, "this node was fenced by others: everything it held is dropped");
            }
            Note::Refused { reason } => {
                self.status.counts.refused_entries += 1;
                tracing::error!(node = %me.node, reason, "an entry of this leader was refused by its own rules");
            }
            Note::PlacementNotAdopted { revision, why } => {
                tracing::error!(node = %me.node, %revision, why, "the placement that an operator wants is not adopted");
            }
            Note::CorruptRecord { key, reason } => {
                self.status.counts.corrupt_records += 1;
                tracing::error!(node = %me.node, key, reason, "a control record cannot be understood");
            }
            Note::BeganFrom { epoch } => {
                self.status.counts.snapshots_used += 1;
                tracing::info!(node = %me.node, %epoch, "the topology begins with a snapshot");
            }
            Note::SnapshotPassedOver { why } => {
                self.status.counts.snapshots_passed_over += 1;
                tracing::info!(node = %me.node, %why, "a topology snapshot was passed over: the log is read from its start");
            }
            Note::SnapshotStored { epoch } => {
                self.status.counts.snapshots_stored += 1;
                tracing::debug!(node = %me.node, %epoch, "a topology snapshot was stored");
            }
            Note::SnapshotNotStored { epoch, outcome } => {
                tracing::warn!(node = %me.node, %epoch, ?outcome, "a topology snapshot was not stored; the next one comes");
            }
            Note::MapDiffers { node, epoch } => {
                self.status.counts.maps_differed += 1;
                tracing::error!(node = %me.node, stray = %node, %epoch, "a node has another shard map than this leader at the same entry");
            }
            Note::RegressionAccepted { fault, had } => {
                self.status.counts.regressions_accepted += 1;
                tracing::error!(
                    node = %me.node, reason = %fault, %had,
                    "what a store had acknowledged is lost; as configured, this node drops everything and goes on with what is left"
                );
            }
            Note::Fault { fault } => {
                tracing::error!(node = %me.node, reason = %fault, "this node serves nothing any more");
            }
        }
    }
}

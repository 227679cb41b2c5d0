//! The server in virtual time: what the seeded simulator runs nodes over.
//!
//! Time is an argument and nothing happens between calls: [`Fabric::next_event_at`] says when something will, and
//! [`Fabric::step`] makes it happen. The same seed, faults and calls give the same events, in the same order.
//!
//! An operation takes a request's way, is run, and takes an answer's way back. Faults strike on either way; which ones
//! and how often is [`Faults`]. What is stored is never touched by them.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::Monotonic;
use aether_domain::ids::{NodeRef, Revision, Sequence};
use aether_domain::ports::{ControlUpdate, Delivery, Frame, LogUpdate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::event::{FabricEvent, OpId};
use super::faults::Faults;
use super::link::{Link, Subscription};
use super::outcome::{AppendFailure, Cause, Op, Outcome, ReadFailure, SendFailure, WriteFailure};
use super::stores::Stores;
use super::{Manner, message_bytes};

/// How many entries a follower is fed at a time.
const FEED_ENTRIES_MAX: usize = 256;

/// One server and the ways of all nodes to it.
#[derive(Debug)]
pub struct Fabric {
    manner: Manner,
    faults: Faults,
    dice: ChaCha8Rng,
    stores: Stores,
    links: BTreeMap<usize, Link>,
    /// Which life listens on which node.
    listeners: BTreeMap<NodeRef, usize>,
    /// When the last message of each pair of nodes arrives: the next one does not before.
    last_arrival: BTreeMap<(usize, NodeRef), Monotonic>,
    down_since: Option<Monotonic>,
    /// Until when the streams have no leader.
    leaderless_until: Monotonic,
    /// What will happen, by time and then by order of planning.
    queue: BTreeMap<(Monotonic, u64), Pending>,
    planned: u64,
    ops: u64,
    subscriptions: u64,
    struck: BTreeMap<&'static str, u64>,
}

/// Something that will happen.
#[derive(Debug)]
enum Pending {
    /// A request reaches the server.
    Arrive { from: Sender, op: Op, answered: bool },
    /// An answer reaches its node.
    Answer { to: Sender, outcome: Outcome },
    /// A node's time-out is over: what it asked for stays unknown.
    TimeOut { of: Sender, outcome: Outcome },
    /// The watch of a node tells what is new.
    FeedControl { node: usize, subscription: u64 },
    /// The follower of a node tells what is new.
    FeedLog { node: usize, subscription: u64 },
    /// A message reaches the server on its way to a life.
    Route { sender: usize, from: NodeRef, to: NodeRef, frames: Vec<Frame> },
    /// Word that nobody was there reaches the sender.
    Unreachable { to: NodeRef, nobody: NodeRef },
    /// A paused node goes on.
    Resume { node: usize, pauses: u64 },
    /// The streams lose their leader.
    Elect,
}

/// Who asked, and when.
#[derive(Clone, Copy, Debug)]
struct Sender {
    node: usize,
    session: u64,
    op: OpId,
    sent: Monotonic,
}

impl Fabric {
    /// An empty server at the beginning of time.
    pub fn new(manner: Manner, faults: Faults, seed: u64) -> Self {
        let mut fabric = Self {
            manner,
            faults: Faults::none(),
            dice: ChaCha8Rng::seed_from_u64(seed),
            stores: Stores::default(),
            links: BTreeMap::new(),
            listeners: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            down_since: None,
            leaderless_until: Monotonic::ZERO,
            queue: BTreeMap::new(),
            planned: 0,
            ops: 0,
            subscriptions: 0,
            struck: BTreeMap::new(),
        };
        fabric.set_faults(Monotonic::ZERO, faults);
        fabric
    }

    /// From now on these faults; what is under way already goes on as it was drawn, ghosts included.
    pub fn set_faults(&mut self, now: Monotonic, faults: Faults) {
        self.faults = faults;
        self.queue.retain(|_, pending| !matches!(pending, Pending::Elect));
        self.plan_election(now);
    }

    /// What is stored: the truth, for checks.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// How often each fault has struck, by name: what a run has really met.
    pub fn struck(&self) -> &BTreeMap<&'static str, u64> {
        &self.struck
    }

    /// Sends an operation of that node on its way. It ends in exactly one [`FabricEvent::Done`], unless the node
    /// crashes first; a write may be stored even then.
    pub fn submit(&mut self, now: Monotonic, node: usize, op: Op) -> OpId {
        self.ops += 1;
        let id = OpId(self.ops);
        let session = self.link(node).session;
        let from = Sender { node, session, op: id, sent: now };
        if let Op::Send { from: sender, to, frames } = op {
            self.send(now, from, sender, to, frames);
        } else if let Some(cause) = self.away(node) {
            self.submit_while_away(now, from, op, cause);
        } else {
            self.submit_connected(now, from, op);
        }
        id
    }

    fn submit_connected(&mut self, now: Monotonic, from: Sender, op: Op) {
        let faults = &self.faults;
        let arrives = now + faults.latency.draw(&mut self.dice);
        if faults.unavailable.strikes(&mut self.dice) {
            self.strike("unavailable");
            let outcome = unavailable(&op, Cause::NoLeader);
            self.plan(arrives, Pending::Answer { to: from, outcome });
        } else if faults.request_lost.strikes(&mut self.dice) {
            self.strike("request lost");
            self.time_out(now, from, &op, Cause::NoAnswer);
        } else if op.is_write() && faults.ghost.strikes(&mut self.dice) {
            self.strike("ghost");
            self.time_out(now, from, &op, Cause::NoAnswer);
            let late = now + self.faults.ghost_delay.draw(&mut self.dice);
            self.plan(late, Pending::Arrive { from, op, answered: false });
        } else if op.is_write() && faults.ack_lost.strikes(&mut self.dice) {
            self.strike("acknowledgement lost");
            self.time_out(now, from, &op, Cause::NoAnswer);
            self.plan(arrives, Pending::Arrive { from, op, answered: false });
        } else {
            self.plan(arrives, Pending::Arrive { from, op, answered: true });
        }
    }

    /// A client that is not connected either knows it, or keeps the request and may yet send it when it is back.
    fn submit_while_away(&mut self, now: Monotonic, from: Sender, op: Op, cause: Cause) {
        if self.dice.random_ratio(1, 2) {
            let told = now + self.faults.latency.draw(&mut self.dice);
            let outcome = unavailable(&op, cause);
            self.plan(told, Pending::Answer { to: from, outcome });
            return;
        }
        self.time_out(now, from, &op, cause);
        if op.is_write() && self.faults.ghost.strikes(&mut self.dice) {
            self.strike("ghost of a node cut off");
            let late = now + self.faults.answer_timeout + self.faults.ghost_delay.draw(&mut self.dice);
            self.plan(late, Pending::Arrive { from, op, answered: false });
        }
    }

    /// Lets the node wait for an answer in vain.
    fn time_out(&mut self, now: Monotonic, of: Sender, op: &Op, cause: Cause) {
        let outcome = unknown(op, cause);
        self.plan(now.max(of.sent + self.faults.answer_timeout), Pending::TimeOut { of, outcome });
    }

    /// Begins the node's watch of the control store, from the beginning; one it has ends.
    pub fn watch(&mut self, now: Monotonic, node: usize) {
        self.subscriptions += 1;
        let number = self.subscriptions;
        self.link(node).watch = Some(Subscription { told: Revision::ZERO, caught_up: false, fed: false, number });
        self.feed_control(now, node);
    }

    /// Begins to tell the node every entry of the log behind `after`; a follower it has ends.
    pub fn follow(&mut self, now: Monotonic, node: usize, after: Sequence) {
        self.subscriptions += 1;
        let number = self.subscriptions;
        self.link(node).follow = Some(Subscription { told: after, caught_up: true, fed: false, number });
        self.feed_log(now, node);
    }

    /// Lets that life receive messages on that node, from now on until the node crashes.
    pub fn listen(&mut self, node: usize, life: NodeRef) {
        self.listeners.insert(life, node);
    }

    /// Ends a life's listening: messages to it are unreachable from now on.
    pub fn close(&mut self, life: &NodeRef) {
        self.listeners.remove(life);
    }

    /// Ends the node's process: its subscriptions, listeners and pending answers are gone. What it had sent may still
    /// arrive. The node number may be used again for its next process.
    pub fn crash(&mut self, node: usize) {
        self.link(node).crash();
        let listeners = &self.listeners;
        self.last_arrival.retain(|(sender, to), _| *sender != node && listeners.get(to) != Some(&node));
        self.listeners.retain(|_, on| *on != node);
    }

    /// Cuts the node off from the server: nothing arrives in either direction until it is healed.
    pub fn cut(&mut self, now: Monotonic, node: usize) {
        self.link(node).cut_since.get_or_insert(now);
        self.feed_control(now, node); // tells the interruption
    }

    /// Undoes [`Self::cut`]: subscriptions go on where they were; lost messages stay lost.
    pub fn heal(&mut self, now: Monotonic, node: usize) {
        self.link(node).cut_since = None;
        self.feed(now, node);
    }

    /// Stops the node where it stands: what reaches it waits. What it has sent goes on.
    pub fn pause(&mut self, node: usize) {
        self.link(node).pause();
    }

    /// Lets a paused node go on: everything that waited reaches it now, in order.
    pub fn resume(&mut self, now: Monotonic, node: usize) {
        let pauses = self.link(node).pauses;
        self.plan(now, Pending::Resume { node, pauses });
    }

    /// Takes the whole server away, or brings it back with everything it had stored.
    pub fn outage(&mut self, now: Monotonic, down: bool) {
        self.down_since = down.then(|| self.down_since.unwrap_or(now));
        let nodes: Vec<usize> = self.links.keys().copied().collect();
        for node in nodes {
            self.feed(now, node);
        }
    }

    /// When something will happen next, if anything will.
    pub fn next_event_at(&self) -> Option<Monotonic> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Makes everything happen that is due by `now`, and answers what reaches nodes, in order.
    pub fn step(&mut self, now: Monotonic) -> Vec<FabricEvent> {
        let mut out = Vec::new();
        while let Some(due) = self.queue.first_entry().filter(|first| first.key().0 <= now) {
            let ((at, _), pending) = due.remove_entry();
            self.happen(at, pending, &mut out);
        }
        out
    }

    fn happen(&mut self, now: Monotonic, pending: Pending, out: &mut Vec<FabricEvent>) {
        match pending {
            Pending::Arrive { from, op, answered } => self.arrive(now, from, op, answered),
            Pending::Answer { to, outcome } => {
                if self.away(to.node).is_some() && outcome_is_from_the_server(&outcome) {
                    self.strike("answer cut off");
                    let outcome = unanswered(outcome);
                    let times_out = now.max(to.sent + self.faults.answer_timeout);
                    self.plan(times_out, Pending::TimeOut { of: to, outcome });
                } else {
                    self.done(to, outcome, out);
                }
            }
            Pending::TimeOut { of, outcome } => self.done(of, outcome, out),
            Pending::FeedControl { node, subscription } => self.tell_control(now, node, subscription, out),
            Pending::FeedLog { node, subscription } => self.tell_log(now, node, subscription, out),
            Pending::Route { sender, from, to, frames } => self.route(now, sender, from, to, frames, out),
            Pending::Unreachable { to, nobody } => {
                if let Some(node) = self.listeners.get(&to).copied()
                    && self.away(node).is_none()
                {
                    let event =
                        FabricEvent::Delivery { node, life: to, delivery: Delivery::Unreachable { to: nobody } };
                    self.link(node).pass(event, out);
                }
            }
            Pending::Resume { node, pauses } => self.link(node).resume(pauses, out),
            Pending::Elect => {
                self.strike("election");
                self.leaderless_until = now + self.faults.election.draw(&mut self.dice);
                self.plan_election(self.leaderless_until);
            }
        }
    }

    fn arrive(&mut self, now: Monotonic, from: Sender, op: Op, answered: bool) {
        // A request under way when its node is cut off is lost with the connection; one that was kept arrives late,
        // with whatever connection there is then.
        if self.away(from.node).is_some() {
            self.strike("request cut off");
            if answered {
                self.time_out(now, from, &op, Cause::NoAnswer);
            }
            return;
        }
        let outcome = self.run(now, &op);
        if !answered {
            return;
        }
        if let Some(outcome) = outcome {
            let arrives = now + self.faults.latency.draw(&mut self.dice);
            self.plan(arrives, Pending::Answer { to: from, outcome });
        } else {
            self.time_out(now, from, &op, Cause::NoAnswer);
        }
    }

    /// What the server answers; `None` if it never does.
    fn run(&mut self, now: Monotonic, op: &Op) -> Option<Outcome> {
        if self.leaderless_until > now {
            // Some of what reaches a stream without a leader is refused at once, some vanishes.
            let vanishes = op.is_write() && self.dice.random_ratio(1, 4);
            self.strike(if vanishes { "write vanished in an election" } else { "no leader" });
            return (!vanishes).then(|| unavailable(op, Cause::NoLeader));
        }
        if self.manner == Manner::R3 && op.is_write() && self.faults.in_flight.strikes(&mut self.dice) {
            self.strike("in flight");
            return Some(in_flight(op));
        }
        if let Some(stale) = self.stale(op) {
            self.strike("stale read");
            return Some(stale);
        }
        let outcome = self.stores.run(op)?;
        if outcome.is_ok() && op.is_write() {
            let nodes: Vec<usize> = self.links.keys().copied().collect();
            for node in nodes {
                match op {
                    Op::WriteControl { .. } => self.feed_control(now, node),
                    Op::AppendEntry { .. } => self.feed_log(now, node),
                    _ => {}
                }
            }
        }
        Some(outcome)
    }

    /// The answer of a replica that is behind, if the dice want one.
    fn stale(&mut self, op: &Op) -> Option<Outcome> {
        let chance = match op {
            Op::ReadControl(_) | Op::ReadLog { .. } | Op::ReadHistory { fresh: false, .. } => self.faults.stale_read,
            Op::ReadHistory { fresh: true, .. } => self.faults.stale_fresh_read,
            _ => return None,
        };
        if !chance.strikes(&mut self.dice) {
            return None;
        }
        let back = self.dice.random_range(1..=self.faults.stale_writes_max.max(1));
        Some(match op {
            Op::ReadControl(key) => Outcome::Control(Ok(self.stores.control_earlier(key, back).cloned())),
            Op::ReadLog { after, limit } => {
                let entries = self.stores.entries(*after);
                let seen = entries.len().saturating_sub(back).min(*limit);
                Outcome::Log(Ok(entries[..seen].to_vec()))
            }
            Op::ReadHistory { actor, after, .. } => {
                let commits = self.stores.commits(actor, *after);
                Outcome::History(Ok(commits[..commits.len().saturating_sub(back)].to_vec()))
            }
            _ => return None,
        })
    }

    fn send(&mut self, now: Monotonic, by: Sender, from: NodeRef, to: NodeRef, frames: Vec<Frame>) {
        let outcome = match (message_bytes(&frames), self.away(by.node)) {
            (Err(failure), _) => Err(failure),
            (Ok(_), Some(cause)) => Err(SendFailure::Unavailable(cause)),
            (Ok(_), None) => Ok(()),
        };
        let sent = outcome.is_ok();
        // A client says "sent" once the bytes are its own library's, which takes no time.
        self.plan(now, Pending::TimeOut { of: by, outcome: Outcome::Sent(outcome) });
        if !sent {
            return;
        }
        if self.faults.message_lost.strikes(&mut self.dice) {
            self.strike("message lost");
            return;
        }
        let way = self.faults.latency.draw(&mut self.dice) + self.faults.message_delay.draw(&mut self.dice);
        let last = self.last_arrival.entry((by.node, to.clone())).or_insert(now);
        *last = (*last).max(now + way);
        let arrives = *last;
        self.plan(arrives, Pending::Route { sender: by.node, from, to, frames });
    }

    fn route(
        &mut self,
        now: Monotonic,
        sender: usize,
        from: NodeRef,
        to: NodeRef,
        frames: Vec<Frame>,
        out: &mut Vec<FabricEvent>,
    ) {
        if self.away(sender).is_some() {
            self.strike("message cut off");
            return;
        }
        let listens = self.listeners.get(&to).copied();
        let cut_since = listens.and_then(|node| self.link(node).cut_since);
        let noticed = cut_since.is_some_and(|since| now.since(since) >= self.faults.notices_after);
        match listens {
            Some(node) if cut_since.is_none() => {
                let event = FabricEvent::Delivery { node, life: to, delivery: Delivery::Frames { from, frames } };
                self.link(node).pass(event, out);
            }
            Some(_) if !noticed => self.strike("message cut off"),
            _ => {
                let back = now + self.faults.latency.draw(&mut self.dice);
                self.plan(back, Pending::Unreachable { to: from, nobody: to });
            }
        }
    }

    fn feed(&mut self, now: Monotonic, node: usize) {
        self.feed_control(now, node);
        self.feed_log(now, node);
    }

    /// Plans the next feed of a node's watch, unless one is planned.
    fn feed_control(&mut self, now: Monotonic, node: usize) {
        let Some(watch) = self.links.get_mut(&node).and_then(|link| link.watch.as_mut()).filter(|w| !w.fed) else {
            return;
        };
        watch.fed = true;
        let subscription = watch.number;
        let at = self.update_arrives(now);
        self.plan(at, Pending::FeedControl { node, subscription });
    }

    /// Plans the next feed of a node's follower, unless one is planned.
    fn feed_log(&mut self, now: Monotonic, node: usize) {
        let Some(follow) = self.links.get_mut(&node).and_then(|link| link.follow.as_mut()).filter(|f| !f.fed) else {
            return;
        };
        follow.fed = true;
        let subscription = follow.number;
        let at = self.update_arrives(now);
        self.plan(at, Pending::FeedLog { node, subscription });
    }

    fn update_arrives(&mut self, now: Monotonic) -> Monotonic {
        now + self.faults.latency.draw(&mut self.dice) + self.faults.update_lag.draw(&mut self.dice)
    }

    fn tell_control(&mut self, now: Monotonic, node: usize, subscription: u64, out: &mut Vec<FabricEvent>) {
        let away = self.away(node).is_some() || self.leaderless_until > now;
        let twice = !away && self.faults.update_twice.strikes(&mut self.dice);
        let link = self.links.entry(node).or_default();
        let Some(watch) = link.watch.as_mut().filter(|watch| watch.number == subscription) else { return };
        watch.fed = false;
        let mut updates = Vec::new();
        if away {
            if !std::mem::replace(&mut link.interrupted, true) {
                updates.push(ControlUpdate::Interrupted);
            }
        } else {
            link.interrupted = false;
            updates.extend(self.stores.control_since(watch.told).cloned().map(ControlUpdate::Record));
            watch.told = self.stores.revision();
            if twice {
                updates.extend(updates.clone());
            }
            if !std::mem::replace(&mut watch.caught_up, true) {
                updates.push(ControlUpdate::CaughtUp);
            }
        }
        for update in updates {
            link.pass(FabricEvent::Control { node, update }, out);
        }
        if twice {
            self.strike("update twice");
        }
        self.feed_after_election(now, |fabric, at| fabric.feed_control(at, node));
    }

    fn tell_log(&mut self, now: Monotonic, node: usize, subscription: u64, out: &mut Vec<FabricEvent>) {
        let away = self.away(node).is_some() || self.leaderless_until > now;
        let twice = !away && self.faults.update_twice.strikes(&mut self.dice);
        let link = self.links.entry(node).or_default();
        let Some(follow) = link.follow.as_mut().filter(|follow| follow.number == subscription) else { return };
        follow.fed = false;
        if away {
            self.feed_after_election(now, |fabric, at| fabric.feed_log(at, node));
            return;
        }
        let behind = self.stores.entries(follow.told);
        let more = behind.len() > FEED_ENTRIES_MAX;
        let mut entries: Vec<_> = behind.iter().take(FEED_ENTRIES_MAX).cloned().collect();
        follow.told = entries.last().map_or(follow.told, |last| last.at.sequence);
        if twice && let Some(last) = entries.last().cloned() {
            entries.push(last);
        }
        for entry in entries {
            link.pass(FabricEvent::Log { node, update: LogUpdate::Entry(entry) }, out);
        }
        if twice {
            self.strike("update twice");
        }
        if more {
            self.feed_log(now, node);
        }
    }

    /// What could not be told for want of a leader is told once there is one.
    fn feed_after_election(&mut self, now: Monotonic, feed: impl FnOnce(&mut Self, Monotonic)) {
        if self.leaderless_until > now {
            feed(self, self.leaderless_until);
        }
    }

    fn done(&mut self, to: Sender, outcome: Outcome, out: &mut Vec<FabricEvent>) {
        let link = self.link(to.node);
        if link.session == to.session {
            link.pass(FabricEvent::Done { node: to.node, op: to.op, outcome }, out);
        }
    }

    fn plan_election(&mut self, now: Monotonic) {
        if self.manner == Manner::R3
            && let Some(every) = self.faults.election_every
        {
            let nanos = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX / 2).max(1);
            let wait = Duration::from_nanos(self.dice.random_range(nanos / 2..=nanos.saturating_mul(3) / 2));
            self.plan(now + wait, Pending::Elect);
        }
    }

    fn plan(&mut self, at: Monotonic, pending: Pending) {
        self.planned += 1;
        self.queue.insert((at, self.planned), pending);
    }

    fn link(&mut self, node: usize) -> &mut Link {
        self.links.entry(node).or_default()
    }

    fn away(&self, node: usize) -> Option<Cause> {
        if self.down_since.is_some() {
            return Some(Cause::Outage);
        }
        self.links.get(&node)?.cut_since.map(|_| Cause::CutOff)
    }

    fn strike(&mut self, fault: &'static str) {
        *self.struck.entry(fault).or_default() += 1;
    }
}

fn unknown(op: &Op, cause: Cause) -> Outcome {
    match op {
        Op::ReadControl(_) => Outcome::Control(Err(ReadFailure::Unavailable(cause))),
        Op::WriteControl { .. } => Outcome::Written(Err(WriteFailure::Unknown(cause))),
        Op::AppendEntry { .. } | Op::AppendCommit { .. } => Outcome::Appended(Err(AppendFailure::Unknown(cause))),
        Op::ReadLog { .. } => Outcome::Log(Err(ReadFailure::Unavailable(cause))),
        Op::ReadHistory { .. } => Outcome::History(Err(ReadFailure::Unavailable(cause))),
        Op::Send { .. } => Outcome::Sent(Err(SendFailure::Unavailable(cause))),
    }
}

fn unavailable(op: &Op, cause: Cause) -> Outcome {
    match op {
        Op::WriteControl { .. } => Outcome::Written(Err(WriteFailure::Unavailable(cause))),
        Op::AppendEntry { .. } | Op::AppendCommit { .. } => Outcome::Appended(Err(AppendFailure::Unavailable(cause))),
        read => unknown(read, cause),
    }
}

fn in_flight(op: &Op) -> Outcome {
    match op {
        Op::AppendEntry { after, .. } | Op::AppendCommit { after, .. } => {
            Outcome::Appended(Err(AppendFailure::Conflict { expected: *after, actual: None }))
        }
        _ => Outcome::Written(Err(WriteFailure::Conflict { actual: None })),
    }
}

/// What a node knows of an outcome whose answer it never got.
fn unanswered(outcome: Outcome) -> Outcome {
    let cause = Cause::NoAnswer;
    match outcome {
        Outcome::Control(_) => Outcome::Control(Err(ReadFailure::Unavailable(cause))),
        Outcome::Written(_) => Outcome::Written(Err(WriteFailure::Unknown(cause))),
        Outcome::Appended(_) => Outcome::Appended(Err(AppendFailure::Unknown(cause))),
        Outcome::Log(_) => Outcome::Log(Err(ReadFailure::Unavailable(cause))),
        Outcome::History(_) => Outcome::History(Err(ReadFailure::Unavailable(cause))),
        Outcome::Sent(_) => Outcome::Sent(Err(SendFailure::Unavailable(cause))),
    }
}

/// Whether somebody had to carry it here; what a client tells itself needs no connection.
fn outcome_is_from_the_server(outcome: &Outcome) -> bool {
    let own = |cause: &Cause| matches!(cause, Cause::CutOff | Cause::Outage);
    !match outcome {
        Outcome::Control(Err(ReadFailure::Unavailable(cause)))
        | Outcome::Log(Err(ReadFailure::Unavailable(cause)))
        | Outcome::History(Err(ReadFailure::Unavailable(cause)))
        | Outcome::Written(Err(WriteFailure::Unavailable(cause)))
        | Outcome::Appended(Err(AppendFailure::Unavailable(cause))) => own(cause),
        _ => false,
    }
}

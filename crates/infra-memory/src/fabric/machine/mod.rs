//! The server in virtual time: what the seeded simulator runs nodes over.
//!
//! Time is an argument and nothing happens between calls: [`Fabric::next_event_at`] says when something will, and
//! [`Fabric::step`] makes it happen. The same seed, faults and calls give the same events, in the same order.
//!
//! An operation takes a request's way, is run, and takes an answer's way back. Faults strike on either way; which ones
//! and how often is [`Faults`]. What is stored is never touched by them, but by [`Fabric::lose_entries`] and
//! [`Fabric::spoil`].

mod feeds;
mod messages;
mod requests;

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::Monotonic;
use aether_domain::ids::{NodeRef, Revision, Sequence};
use aether_domain::ports::Frame;
use aether_domain::records::{ControlKey, ControlRecord};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::event::{FabricEvent, OpId};
use super::faults::Faults;
use super::link::{Link, Subscription};
use super::outcome::{AppendFailure, Cause, Op, Outcome};
use super::stores::Stores;
use super::{Manner, render_commit, render_entry};

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
        if let Some(failure) = too_large(&op) {
            // The client finds out by itself, connected or not.
            self.plan(now, Pending::TimeOut { of: from, outcome: Outcome::Appended(Err(failure)) });
        } else if let Op::Send { from: sender, to, frames } = op {
            self.send(now, from, sender, to, frames);
        } else if let Some(cause) = self.away(node) {
            self.submit_while_away(now, from, op, cause);
        } else {
            self.submit_connected(now, from, op);
        }
        id
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

    /// Ends the node's follower, if it has one.
    pub fn unfollow(&mut self, node: usize) {
        self.link(node).follow = None;
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

    /// Loses the log's last entries although they were acknowledged. The one fault that what is stored does not survive.
    pub fn lose_entries(&mut self, count: usize) {
        self.strike("acknowledged entries lost");
        self.stores.lose_entries(count);
    }

    /// Lets a control record be overwritten with something that nobody can understand, if it was ever written.
    pub fn spoil(&mut self, now: Monotonic, key: &ControlKey) {
        if self.stores.spoil(key) {
            self.strike("record spoiled");
            let nodes: Vec<usize> = self.links.keys().copied().collect();
            for node in nodes {
                self.feed_control(now, node);
            }
        }
    }

    /// Lets a control record be written over whatever is there, by somebody who is no node and whom nothing stands in the way.
    pub fn write_over(&mut self, now: Monotonic, record: &ControlRecord) {
        self.stores.write_over(record);
        let nodes: Vec<usize> = self.links.keys().copied().collect();
        for node in nodes {
            self.feed_control(now, node);
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
            Pending::Answer { to, outcome } => self.answer(now, to, outcome, out),
            Pending::TimeOut { of, outcome } => self.done(of, outcome, out),
            Pending::FeedControl { node, subscription } => self.tell_control(now, node, subscription, out),
            Pending::FeedLog { node, subscription } => self.tell_log(now, node, subscription, out),
            Pending::Route { sender, from, to, frames } => self.route(now, sender, from, to, frames, out),
            Pending::Unreachable { to, nobody } => self.unreachable(to, nobody, out),
            Pending::Resume { node, pauses } => self.link(node).resume(pauses, out),
            Pending::Elect => {
                self.strike("election");
                self.leaderless_until = now + self.faults.election.draw(&mut self.dice);
                self.plan_election(self.leaderless_until);
            }
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

fn too_large(op: &Op) -> Option<AppendFailure> {
    match op {
        Op::AppendEntry { entry, .. } => render_entry(entry).err(),
        Op::AppendCommit { record, .. } => render_commit(record).err(),
        _ => None,
    }
}
